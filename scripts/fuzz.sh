#!/usr/bin/env bash
# Fuzzes one target (`make fuzz TARGET=stream_chat SECONDS=600`) or each in turn, by coverage, with libFuzzer.
# Inputs found so far are kept in target/fuzz-corpus, and one that breaks a property in target/fuzz-found.
# It works on stable Rust: what is instrumented is asked of LLVM.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
triple=$(rustc -vV | sed -n 's/^host: //p')
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
RUSTFLAGS="$flags" cargo build --locked --profile fuzz --target "$triple" --target-dir target/fuzz \
    -p tollgate-fuzz --features libfuzzer --bin libfuzzer

all=$(cargo run --quiet --locked -p tollgate-fuzz --bin seeds -- target/fuzz-seeds)
mkdir -p target/fuzz-found
for target in ${FUZZ_TARGET:-$all}; do
    mkdir -p "target/fuzz-corpus/$target"
    echo "fuzzing $target for $seconds s"
    TOLLGATE_FUZZ=$target "target/fuzz/$triple/fuzz/libfuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="target/fuzz-found/$target-" -print_final_stats=1 -verbosity=0 \
        "target/fuzz-corpus/$target" "target/fuzz-seeds/$target"
done
