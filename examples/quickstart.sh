#!/usr/bin/env bash
# examples/quickstart.sh [IMAGE...]: from a fresh checkout to captions. Without IMAGEs the small
# model that comes with the project describes pictures it has never seen, on a page too. IMAGEs are
# described by the model folder in $BLIP_MODEL; without one by a full-size folder of random weights,
# made once, which shows the speed and the plumbing but no meaning.
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
model=${BLIP_MODEL:-}
page=()
if [ ${#images[@]} -eq 0 ] && [ -z "$model" ]; then
    model=examples/scenes/model
    images=(examples/scenes/pictures)
    page=(--html build/quickstart.html --force)
fi
[ ${#images[@]} -gt 0 ] || images=(examples/photos)
case $model in
"" | /* | examples/scenes/model) ;;
*) model=$start/$model ;;
esac

. cmake/install_dependencies.sh
# shellcheck disable=SC2086
install_dependencies $BLIP_BUILD_PACKAGES

mkdir -p build
# A fine-tuned model may have sizes of its own: they are compiled in.
sizes=
case $model in
"" | examples/scenes/model) ;;
*) [ ! -f "$model/config.json" ] || sizes=$model ;;
esac
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

"$caption" "$model" "${images[@]}" "${page[@]}"
[ ${#page[@]} -eq 0 ] || echo "The page with the pictures: build/quickstart.html"

if [ $random = yes ]; then
    echo
    echo "These captions are word salad: the weights are random. For real ones, download the folder" \
        "Salesforce/blip-image-captioning-base from the Hugging Face hub and run: BLIP_MODEL=FOLDER examples/quickstart.sh"
fi
