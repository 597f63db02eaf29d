#!/usr/bin/env bash
# check_rules.sh INCLUDE_BLIP: the rules of the folder tree that no compiler checks.
set -u
root=$1
order="core backend config layers compose heads losses text vision io generate networks models metrics train bootstrap"
umbrellas="blip.hpp cuda.cuh fwd.hpp"
broken=0

fail() {
    echo "$1" >&2
    broken=1
}

rank() {
    local i=0 folder
    for folder in $order; do
        i=$((i + 1))
        [ "$folder" = "$1" ] && echo "$i" && return
    done
    echo 0
}

while IFS= read -r header; do
    path=${header#"$root"/}
    case $path in
    */*) folder=${path%%/*} ;;
    *)
        [[ " $umbrellas " == *" $path "* ]] ||
            fail "$path: a header stands in a folder of the tree; only $umbrellas stand above them"
        continue
        ;;
    esac
    own=$(rank "$folder")
    [ "$own" -gt 0 ] || fail "$path: folder $folder is not one of: $order"

    head -n 1 "$header" | grep -qx '#pragma once' || fail "$path:1: expected #pragma once"

    lines=$(wc -l <"$header")
    if [ "$lines" -gt 400 ] && [ "$path" != text/bert_base_uncased.hpp ]; then
        fail "$path: $lines lines; a header has at most 400"
    fi

    while IFS=: read -r line include; do
        [ -n "$line" ] || continue
        target=$(sed -E 's/.*["<]([^">]*)[">].*/\1/' <<<"$include")
        case $include in
        *\"*) fail "$path:$line: include <blip/...> with angle brackets, found \"$target\"" ;;
        esac
        case $target in
        blip/model/*) fail "$path:$line: generated sizes belong to programs, not to the library: <$target>" ;;
        blip/*/*)
            other=${target#blip/}
            other=${other%%/*}
            theirs=$(rank "$other")
            if [ "$theirs" -eq 0 ] || [ "$theirs" -gt "$own" ]; then
                fail "$path:$line: $folder/ may include its own folder and those before it in ($order), found <$target>"
            fi
            ;;
        blip/*) fail "$path:$line: umbrella header <$target> included from the library" ;;
        esac
    done < <(grep -nE '^[[:space:]]*#[[:space:]]*include' "$header")

    if [ "$folder" != backend ]; then
        while IFS= read -r line; do
            fail "$path:$line: a condition on a backend outside backend/"
        done < <(grep -nE '^[[:space:]]*#[[:space:]]*(el)?if.*(CUDA|NVCC|AVX|SSE|FMA|x86|amd64|EIGEN|BACKEND)' "$header")
    fi
done < <(find "$root" -type f \( -name '*.hpp' -o -name '*.cuh' \) | sort)

exit $broken
