#!/usr/bin/env bash
# Makes sure that commands exist: `need.sh cmake=cmake cc=build-essential`, each a command and its package.
# Missing ones are installed through apt-get; where that is not possible, it says what to do.
set -euo pipefail

packages=()
for need in "$@"; do
    command -v "${need%%=*}" >/dev/null || packages+=("${need#*=}")
done
[ ${#packages[@]} -eq 0 ] && exit 0

by_hand() {
    echo "Missing: ${packages[*]}. $1" >&2
    if [ "$(uname)" = Darwin ]; then
        # Apple's own tools bring the compiler, and rustup-init is what brew calls Rust's installer.
        local brew=${packages[*]}
        echo "On macOS: brew install ${brew//build-essential/llvm}" >&2
    else
        echo "Install them with the system's package manager, Rust from https://rustup.rs," >&2
        echo "and run make again." >&2
    fi
    exit 1
}

command -v apt-get >/dev/null || by_hand "This system has no apt-get."
sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || by_hand "Installing needs root, and there is no sudo."
    sudo=(sudo)
fi

echo "Installing ${packages[*]} …" >&2
"${sudo[@]}" apt-get update -qq
for package in "${packages[@]}"; do
    apt-cache show "$package" >/dev/null 2>&1 || by_hand "This release has no package $package."
done
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends \
    "${packages[@]}" >/dev/null
# The package brings the installer of toolchains, not a toolchain.
if [[ " ${packages[*]} " == *" rustup "* ]]; then
    rustup toolchain install stable --profile minimal --component clippy,rustfmt
fi
