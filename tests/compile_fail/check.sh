#!/usr/bin/env bash
# check.sh NAME COMPILER ARGUMENTS FILE: FILE must not compile, and the message must be readable.
#
# ARGUMENTS is a file of compiler arguments, one a line. Comments in FILE say what is asked for:
#   // expect: text        must appear in the diagnostics (may be given several times)
#   // expect-NAME: text   the same, for one compiler (g++, clang++ or nvcc)
#   // max-lines: 25       most lines of diagnostics (25 when left out)
#   // compilers: g++ ...  the compilers the case is for (all when left out)
#   // error               at the end of a line: the first error must be there (any line of FILE
#                          when no line is marked)
# A FILE that mentions BLIP_CORRECT must compile when that macro is defined: the proof that nothing
# but the mistake stops it.
set -u
name=$1
compiler=$2
arguments=$3
file=$4

field() {
    sed -nE "s|^// $1: *(.*[^ ]) *$|\1|p" "$file"
}

fail() {
    echo "$file: $1" >&2
    printf '%s\n' "--- diagnostics of $name" "$diagnostics" >&2
    exit 1
}

compilers=$(field compilers)
if [ -n "$compilers" ] && [[ " $compilers " != *" $name "* ]]; then
    echo "not a case for $name"
    exit 0
fi

mapfile -t flags < <(grep -vxE -- '-[ID]' "$arguments")
flags+=(-std=c++20)
if [ "$name" = nvcc ]; then
    object=$(mktemp)
    trap 'rm -f "$object"' EXIT
    flags+=(-x cu --expt-relaxed-constexpr -c -o "$object")
else
    flags+=(-fsyntax-only -fdiagnostics-color=never)
fi

diagnostics=
if grep -q BLIP_CORRECT "$file" && [ "$name" != nvcc ]; then
    diagnostics=$("$compiler" "${flags[@]}" -DBLIP_CORRECT "$file" 2>&1) ||
        fail "the correct form (BLIP_CORRECT) must compile"
fi

if diagnostics=$("$compiler" "${flags[@]}" "$file" 2>&1); then
    fail "compiles, but must not"
fi

[ -n "$(field expect)$(field "expect-${name//+/\\+}")" ] || fail "has no // expect: line"
while IFS= read -r text; do
    [ -z "$text" ] || grep -qF -- "$text" <<<"$diagnostics" || fail "the diagnostics must contain: $text"
done < <(
    field expect
    field "expect-${name//+/\\+}"
)

most=$(field max-lines)
lines=$(wc -l <<<"$diagnostics")
[ "$lines" -le "${most:-25}" ] || fail "$lines lines of diagnostics; at most ${most:-25} allowed"

# "file:12:3: error: ..." of g++ and clang, "file(12): error: ..." of nvcc.
first=$(grep -m 1 -E '(^|[^a-z])(fatal )?error( #[0-9-]+[A-Z]*)?:' <<<"$diagnostics")
line=$(sed -nE 's/^[^:(]*[:(]([0-9]+).*/\1/p' <<<"${first#"${file%/*}"/}")
case $first in
"$file":* | "$file("*) ;;
*) fail "the first error must be in the user's file, found: $first" ;;
esac
marked=$(grep -nE '// error$' "$file" | cut -d: -f1)
if [ -n "$marked" ] && ! grep -qx -- "$line" <<<"$marked"; then
    fail "the first error must be at line $marked, found line $line"
fi
