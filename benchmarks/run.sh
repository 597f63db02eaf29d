#!/bin/sh
# Appends this library's lines to OUT.jsonl, one JSON object a measure.
# usage: run.sh OUT.jsonl [MEASURE,...]
# environment: BUILD (build folder), MODELS (full-size model folders), PHOTOS, THREADS, CALLS
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: run.sh OUT.jsonl [MEASURE,...]}
program=${PROGRAM:-${BUILD:-$here/../build/benchmark}/bin/peer_measures}
set -- --models "${MODELS:?set MODELS to the folder that holds caption_base and the others}" \
    --photos "${PHOTOS:-$here/../examples/photos}" --threads "${THREADS:-2}" \
    ${CALLS:+--calls "$CALLS"} ${2:+--measures "$2"}
"$program" "$@" >>"$out"
