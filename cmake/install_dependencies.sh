# shellcheck shell=bash disable=SC2034
# Sourced by scripts: install_dependencies PACKAGE... installs the Debian packages that are missing.

# What the library and its programs need, and what the tests need besides.
BLIP_BUILD_PACKAGES="g++ cmake ninja-build pkg-config libeigen3-dev xtl-dev libxtensor-dev nlohmann-json3-dev \
libutf8proc-dev libjpeg-dev libpng-dev zlib1g-dev libwebp-dev libfaiss-dev libopenblas0-pthread \
libcli11-dev"
BLIP_TEST_PACKAGES="catch2 libbenchmark-dev clang libclang-rt-dev"

install_dependencies() {
    local missing=() package as_root=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "This is no Debian or Ubuntu, so nothing is installed for you. If the build asks for" >&2
        echo "something, install what these Debian packages hold: $*" >&2
        return 0
    fi
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "Missing packages, and neither root nor sudo to install them. As root, run:" >&2
            echo "  apt-get update && apt-get install -y ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq </dev/null &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null && return 0
    echo "apt-get could not install: ${missing[*]}" >&2
    return 1
}
