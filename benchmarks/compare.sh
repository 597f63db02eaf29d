#!/bin/sh
# Runs this library and its peers in turn, measure by measure, and prints medians and ratios.
# usage: compare.sh [PEERS]
# PEERS: a folder with bench_onnx.py and bench_openvino.py that take --graphs, --threads,
# --precision, --measures and --out, to run besides PyTorch
# environment: PYTHON (with torch, transformers), GRAPHS (for PEERS), MEASURES, ROUNDS, OUT,
# and what run.sh reads
set -eu
here=$(cd "$(dirname "$0")" && pwd)
peers=${1:-}
python=${PYTHON:-python3}
threads=${THREADS:-2}
photos=${PHOTOS:-$here/../examples/photos}
out=${OUT:-$(mktemp)}
export PYTHONDONTWRITEBYTECODE=1
round=0
while [ "$round" -lt "${ROUNDS:-2}" ]; do
    round=$((round + 1))
    for measure in ${MEASURES:-preprocess_384 vision_base_384_batch1 vision_base_384_batch8 \
        caption_greedy_20 caption_greedy_20_from_jpeg caption_beam3_20 \
        caption_folder16_batch8_beam3_20 train_caption_224_batch4 train_caption_384_batch2 \
        train_caption_224_batch4_recompute \
        vision_large_384_batch1 cold_start_caption vqa_384_beam3_10 vqa_480_beam3_10 itm_1x1 \
        itm_1x16 text_features_12}; do
        "$here/run.sh" "$out" "$measure"
        "$python" "$here/peers/bench_pytorch.py" --models "$MODELS" --photos "$photos" \
            --threads "$threads" ${CALLS:+--calls "$CALLS"} --measures "$measure" >>"$out"
        case $measure in preprocess* | train* | vision_large* | vqa* | itm* | text*) continue ;; esac
        [ -n "$peers" ] || continue
        for script in bench_onnx.py bench_openvino.py; do
            "$python" "$peers/$script" --graphs "${GRAPHS:?set GRAPHS to the exported graphs}" \
                --threads "$threads" --precision float32 --measures "$measure" --out "$out" \
                >/dev/null
        done
    done
done
"$python" "$here/peers/ratios.py" ${BY_CPU:+--cpu} "$out"
