#!/usr/bin/env bash
# tests/run.sh [--quick | --programs]: builds and runs every test. On a fresh Debian or Ubuntu it
# first installs what is missing. --quick stops after the release build's tests. --programs instead
# runs the tests of all programs under the sanitizers, which takes much longer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=all
for argument in "$@"; do
    case $argument in
    --quick | --programs)
        [ $mode = all ] || {
            echo "tests/run.sh: --quick and --programs exclude each other" >&2
            exit 2
        }
        mode=${argument#--}
        ;;
    -h | --help)
        sed -n '2,4s/^# //p' tests/run.sh
        exit 0
        ;;
    *)
        echo "tests/run.sh: unknown argument $argument; usage: tests/run.sh [--quick | --programs]" >&2
        exit 2
        ;;
    esac
done

jobs=$(nproc)
failed=()
skipped=()

# skip NAME REASON: says that a stage cannot run here, at once and again at the end.
skip() {
    printf '\n== %s: skipped, %s\n' "$1" "$2"
    skipped+=("$1: $2")
}

# step NAME COMMAND...: runs one stage and remembers its failure; the later ones still run.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        printf '== %s: passed, %d s\n' "$name" $((SECONDS - start))
    else
        printf '== %s: FAILED, %d s\n' "$name" $((SECONDS - start))
        failed+=("$name")
    fi
}

configure_and_build() {
    local preset=$1
    shift
    cmake --preset "$preset" >"build/$preset.configure.log" 2>&1 || {
        cat "build/$preset.configure.log"
        return 1
    }
    cmake --build --preset "$preset" -j "$jobs" "$@"
}

release_tests() {
    configure_and_build release && ctest --test-dir build/release -j "$jobs" --output-on-failure
}

# All headers in one program; the compile-fail tests ran with clang in the release build.
clang_headers() {
    cmake -S . -B build/clang -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER="$clang" \
        -DBLIP_BUILD_EXAMPLES=OFF >build/clang.configure.log 2>&1 || {
        cat build/clang.configure.log
        return 1
    }
    cmake --build build/clang -j "$jobs" --target header_link
}

# The readers of files that strangers write.
sanitized_readers() {
    local test targets=(test_data)
    for test in io vision text; do
        [ -z "$(find "tests/$test" -name '*.cpp' 2>/dev/null)" ] || targets+=("test_$test")
    done
    configure_and_build sanitize --target "${targets[@]}" &&
        ctest --test-dir build/sanitize -R '^(io|vision|text|data)(\.golden)?$' -j "$jobs" --output-on-failure
}

# Only what several threads share, so that it takes a minute.
watched_threads() {
    configure_and_build thread-sanitize --target test_threads &&
        ctest --test-dir build/thread-sanitize -R '^threads$' --output-on-failure
}

# programs_under PRESET [TESTS]: short runs of all programs, with the small sizes alone.
programs_under() {
    local build=build/$1-programs
    cmake --preset "$1" -B "$build" -DBLIP_EXAMPLE_PRESETS=OFF >"$build.configure.log" 2>&1 || {
        cat "$build.configure.log"
        return 1
    }
    shift
    cmake --build "$build" -j "$jobs" --target test_examples && "$build/bin/test_examples" "$@"
}

fuzzing() {
    local program name seeds ok=0
    cmake -S . -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER="$clang" \
        -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g1" -DBLIP_FUZZ=ON -DBLIP_BUILD_TESTS=OFF -DBLIP_BUILD_EXAMPLES=OFF \
        >build/fuzz.configure.log 2>&1 || {
        cat build/fuzz.configure.log
        return 1
    }
    cmake --build build/fuzz -j "$jobs" || return 1
    for program in build/fuzz/bin/fuzz_*; do
        name=${program##*/fuzz_}
        case $name in
        image) seeds=(tests/data/fuzz/jpeg tests/data/fuzz/png tests/data/formats) ;;
        frames) seeds=(tests/data/formats) ;;
        tar) seeds=(tests/data/tar) ;;
        *) seeds=("tests/data/fuzz/$name") ;;
        esac
        mkdir -p "build/fuzz/corpus/$name"
        if "$program" -max_total_time=5 -rss_limit_mb=1024 -timeout=10 -print_final_stats=0 -verbosity=0 \
            -artifact_prefix="build/fuzz/$name-" "build/fuzz/corpus/$name" "${seeds[@]}" \
            >"build/fuzz/$name.log" 2>&1; then
            echo "fuzz_$name: nothing found in 5 s"
        else
            tail -n 40 "build/fuzz/$name.log"
            echo "fuzz_$name: FAILED; the input is build/fuzz/$name-*"
            ok=1
        fi
    done
    return $ok
}

cuda_build() {
    configure_and_build cuda --target cuda_programs || return 1
    if nvidia-smi >/dev/null 2>&1; then
        ctest --test-dir build/cuda -L cuda --output-on-failure
    else
        skip "CUDA tests" "no CUDA device; what they run was compiled and linked"
    fi
}

. cmake/install_dependencies.sh
# shellcheck disable=SC2086
install_dependencies $BLIP_BUILD_PACKAGES $BLIP_TEST_PACKAGES
mkdir -p build

if [ $mode = programs ]; then
    step "programs under the address and undefined-behaviour sanitizers" programs_under sanitize
    step "training programs under the thread sanitizer" programs_under thread-sanitize "[training]"
else
    step "release build and tests" release_tests
fi

if [ $mode = all ]; then
    clang=$(command -v clang++ || true)
    if [ -n "$clang" ]; then
        step "all headers with clang" clang_headers
    else
        skip "all headers with clang" "clang++ not found"
        skip "error messages of clang" "clang++ not found"
    fi
    step "readers under the address and undefined-behaviour sanitizers" sanitized_readers
    step "shared state under the thread sanitizer" watched_threads
    if [ -n "$clang" ]; then
        step "fuzzing" fuzzing
    else
        skip "fuzzing" "clang++ not found"
    fi
    PATH=$PATH:/usr/local/cuda/bin
    if command -v nvcc >/dev/null; then
        step "CUDA build" cuda_build
    else
        skip "CUDA build" "nvcc not found"
    fi
fi
if [ $mode != programs ] && grep -q '^WebP_LIBRARY:.*NOTFOUND' build/release/CMakeCache.txt 2>/dev/null; then
    skip "WebP pictures" "libwebp not found"
fi

echo
[ ${#skipped[@]} -eq 0 ] || printf 'Skipped: %s\n' "${skipped[@]}"
if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "${failed[@]}"
    exit 1
fi
case $mode in
all) ran="All tests" ;;
quick) ran="The tests of the release build" ;;
programs) ran="The programs' tests under the sanitizers" ;;
esac
echo "$ran passed in $((SECONDS / 60)) min $((SECONDS % 60)) s."
