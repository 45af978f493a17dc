#!/usr/bin/env bash
# Builds the release binary, laid out by profile/: what the loads of `make bench` ran through, counted
# by `make pgo`. Another compiler than the one that counted cannot use it, and builds without.
set -euo pipefail
cd "$(dirname "$0")/.."

counted_by=$(cat profile/rustc)
compiler=$(rustc -vV | sed -n 's/^release: //p')
if [ "$compiler" = "$counted_by" ]; then
    mkdir -p target
    # Named by what is in it: cargo looks at the flags, not into the file.
    profile=$PWD/target/profile-$(cksum <profile/tollgate.profdata.gz | tr ' ' -).profdata
    # Written once: cargo builds everything anew when it is newer than what it built.
    if [ ! -e "$profile" ]; then
        gzip -dc profile/tollgate.profdata.gz >"$profile.new"
        mv "$profile.new" "$profile"
    fi
    # A function that has changed since it was counted is laid out as any other: no need to tell.
    export RUSTFLAGS="${RUSTFLAGS:-} -Cprofile-use=$profile -Cllvm-args=-no-pgo-warn-mismatch"
else
    echo "rustc $compiler: building without the profile, which rustc $counted_by made; make pgo makes one." >&2
fi
cargo build --release --locked
