#!/usr/bin/env bash
# check_driver.sh COMPILER ARGUMENTS: check.sh must refuse each kind of bad case.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
broken=0

# refuses WHY TEXT: check.sh fails on a case of this TEXT and says WHY.
refuses() {
    printf '%s\n' "$2" >"$folder/case.cpp"
    if output=$(bash "$here/check.sh" g++ "$compiler" "$arguments" "$folder/case.cpp" 2>&1); then
        echo "accepted a case that must be refused: $1" >&2
        broken=1
    elif ! grep -qF -- "$1" <<<"$output"; then
        printf '%s\n' "refused for another reason than: $1" "$output" >&2
        broken=1
    fi
}

compiler=$1
arguments=$2
refuses "compiles, but must not" $'// expect: x\nint x;'
refuses "has no // expect: line" 'int x = nothing;'
refuses "must contain: something else" $'// expect: something else\nint x = nothing;'
refuses "at most 1 allowed" $'// expect: nothing\n// max-lines: 1\nint x = nothing;'
refuses "must be at line 4" $'// expect: nothing\nint x = nothing;\n\nint y = 0; // error'
refuses "(BLIP_CORRECT) must compile" $'// expect: nothing\n#ifdef BLIP_CORRECT\nint x = nothing;\n#endif\nint x = nothing;'
printf '%s\n' '#pragma once' 'int x = nothing;' >"$folder/library.hpp"
refuses "must be in the user's file" $'// expect: nothing\n#include "library.hpp"'
exit $broken
