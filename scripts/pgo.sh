#!/usr/bin/env bash
# Counts what the loads of `make bench` run through, and keeps the counts in profile/, by which
# scripts/build.sh lays the binary out. Stock Pingora gets the same, from counts of its own, so that both can be
# compared like with like. Linux only, as that script is. Nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/target/pgo
host=$(rustc -vV | sed -n 's/^host: //p')
tools=$(rustc --print sysroot)/lib/rustlib/$host/bin
[ -x "$tools/llvm-profdata" ] || rustup component add llvm-tools

# count NAME PEER CARGO-ARGUMENTS…: the counts of one program under the loads, as target/pgo/NAME.profdata.
count() {
    local name=$1 peer=$2 counts=$out/counts-$1
    shift 2
    RUSTFLAGS="-Cprofile-generate=$counts" \
        cargo build --release --locked --target-dir "$out/counting" "$@"
    # The compiler's own helpers have counted, too.
    rm -rf "$counts"
    benches/compare.py --bin "$out/counting/release" --plain "$out/counting/release" \
        --load target/release/tollgate --peers "^$peer\$" --rounds 1 --seconds 2
    "$tools/llvm-profdata" merge --sparse -o "$out/$name.profdata" "$counts"/*.profraw
}

# Load and model server come from the binary that there is.
scripts/build.sh
count tollgate tollgate
count stock "stock pingora" --example stock_pingora

gzip -9nc "$out/tollgate.profdata" >profile/tollgate.profdata.gz
rustc -vV | sed -n 's/^release: //p' >profile/rustc
scripts/build.sh
RUSTFLAGS="-Cprofile-use=$out/stock.profdata" \
    cargo build --release --locked --target-dir "$out" --example stock_pingora
echo "Built: target/release/tollgate, by profile/, and target/pgo/release/examples/stock_pingora"
