#!/usr/bin/env bash
# The release binary again, laid out by what a real load does: built with counters, put under the
# loads of `make bench`, and built by what was counted. Linux only, as that script is.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/target/pgo
host=$(rustc -vV | sed -n 's/^host: //p')
tools=$(rustc --print sysroot)/lib/rustlib/$host/bin
[ -x "$tools/llvm-profdata" ] || rustup component add llvm-tools

rm -rf "$out/counts"
RUSTFLAGS="-Cprofile-generate=$out/counts" cargo build --release --locked --target-dir "$out/counting"
benches/compare.py --bin "$out/counting/release" --peers '^tollgate$' --rounds 1 --seconds 2
"$tools/llvm-profdata" merge -o "$out/profile" "$out"/counts/*.profraw
RUSTFLAGS="-Cprofile-use=$out/profile" cargo build --release --locked --target-dir "$out"
echo "Built: target/pgo/release/tollgate"
