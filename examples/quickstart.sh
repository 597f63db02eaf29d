#!/usr/bin/env bash
# examples/quickstart.sh [IMAGE...]: from a fresh checkout to captions of the pictures named
# (examples/photos when none is). Uses the model folder in $BLIP_MODEL; without one it makes a
# full-size folder of random weights once, which shows the speed and the plumbing but no meaning.
set -euo pipefail
start=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

images=()
for image in "$@"; do
    case $image in
    /*) images+=("$image") ;;
    *) images+=("$start/$image") ;;
    esac
done
[ ${#images[@]} -gt 0 ] || images=(examples/photos)
model=${BLIP_MODEL:-}
case $model in
"" | /*) ;;
*) model=$start/$model ;;
esac

. cmake/install_dependencies.sh
# shellcheck disable=SC2086
install_dependencies $BLIP_BUILD_PACKAGES

mkdir -p build
# A fine-tuned model may have sizes of its own: they are compiled in.
sizes=
[ ! -f "${model:-/nonexistent}/config.json" ] || sizes=$model
cmake --preset release -DBLIP_BUILD_TESTS=OFF -DBLIP_MODELS="$sizes" >build/quickstart.log 2>&1 || {
    cat build/quickstart.log
    exit 1
}
echo "Compiling the caption program for every built-in size: some minutes, up to 3 GB of memory"
cmake --build --preset release --target caption
caption=build/release/bin/caption

random=no
if [ -z "$model" ]; then
    random=yes
    model=build/quickstart-model
    if [ ! -f "$model/config.json" ]; then
        echo "Writing $model: the sizes of BLIP base with random weights (0.9 GB)"
        rm -rf "$model.part"
        "$caption" --random-model "$model.part"
        rm -rf "$model"
        mv "$model.part" "$model"
    fi
fi

"$caption" "$model" "${images[@]}"

if [ $random = yes ]; then
    echo
    echo "These captions are word salad: the weights are random. For real ones, download the folder" \
        "Salesforce/blip-image-captioning-base from the Hugging Face hub and run: BLIP_MODEL=FOLDER examples/quickstart.sh"
fi
if [ $random = yes ] && [ -d tests/golden/hf_caption/model ]; then
    echo "The tiny reference model runs the same way: $caption tests/golden/hf_caption/model examples/photos"
fi
