#!/usr/bin/env bash
# CPU microseconds a request and requests a second: the gateway, with authentication, limits,
# metering, metrics and access log on, beside stock Pingora that passes through, in one run.
#
#   THREADS=1 CONNECTIONS=64 SECONDS_EACH=10 ROUNDS=3 scripts/bench.sh
#
# The figure to compare is CPU a request: user and system time of the proxy's process over a run,
# divided by the run's requests. It hardly depends on what else the machine does; requests a
# second do. The rounds alternate between the two, and the best round of each counts.
set -euo pipefail
cd "$(dirname "$0")/.."

threads=${THREADS:-1} connections=${CONNECTIONS:-64}
seconds=${SECONDS_EACH:-10} rounds=${ROUNDS:-3}
mock=127.0.0.1:19100 stock=127.0.0.1:19101 gateway=127.0.0.1:19102 admin=127.0.0.1:19103
directory=$(mktemp -d)
started=()

stop() {
    trap - EXIT INT TERM
    [ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf "$directory"
}
trap stop EXIT
trap 'exit 1' INT TERM

start() {
    "$@" >>"$directory/output" 2>&1 &
    started+=($!)
}

await() {
    for _ in {1..100}; do
        (exec 3<>"/dev/tcp/${1%:*}/${1#*:}") 2>/dev/null && return
        sleep 0.1
    done
    echo "Nothing listens on $1:" >&2
    cat "$directory/output" >&2
    exit 1
}

# User and system time of a process so far, in clock ticks (proc(5), fields 14 and 15). The name
# in field 2 may hold spaces, so the count starts behind it.
ticks() {
    local stat
    stat=$(<"/proc/$1/stat")
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    echo $((${12} + ${13}))
}

# One run: name, process, address, 0 or 1 for a stream. Appends a line to the results.
measure() {
    local before after line
    before=$(ticks "$2")
    line=$(BENCH_STREAM=$4 wrk -t1 -c"$connections" -d"${seconds}s" -s scripts/bench.lua \
        "http://$3" | grep '^RESULT')
    after=$(ticks "$2")
    echo "$1 $4 ${line#RESULT } $((after - before)) $(getconf CLK_TCK)" >>"$directory/results"
}

cargo build --release --locked --bin tollgate --example pass_through

for address in $mock $stock $gateway $admin; do
    if (exec 3<>"/dev/tcp/${address%:*}/${address#*:}") 2>/dev/null; then
        echo "$address is taken: stop what listens there, and run this again." >&2
        exit 1
    fi
done

cat >"$directory/tollgate.yaml" <<YAML
server:
  listeners: [{address: "$gateway"}]
  admin: {address: "$admin"}
  threads: $threads
  pid_file: $directory/tollgate.pid
  upgrade_socket: $directory/upgrade.sock
access_log: {path: $directory/access.log}
providers:
  simulated:
    endpoints: [{url: "http://$mock/v1"}]
    health: {path: /health, interval_ms: 1000}
models:
  demo: {candidates: [{provider: simulated, model: simulated}]}
keys:
  - id: demo
    hash: sha256:$(printf %s sk-demo | sha256sum | cut -d" " -f1)
YAML

start target/release/tollgate mock --listen $mock --tokens 20
start target/release/examples/pass_through $stock $mock "$threads"
stock_process=$!
start target/release/tollgate run --config "$directory/tollgate.yaml"
gateway_process=$!
for address in $mock $stock $gateway; do await $address; done

for _ in $(seq "$rounds"); do
    for stream in 0 1; do
        measure stock "$stock_process" $stock $stream
        measure tollgate "$gateway_process" $gateway $stream
    done
done

awk '
    function row(name, stream) {
        return sprintf("| %s | %s | %.1f | %.0f | %.2f ms | %d |\n", name,
            stream ? "stream of 20" : "whole", cpu[name, stream], rate[name, stream],
            slow[name, stream] / 1000, failed[name, stream])
    }
    {
        used = $7 / $8 * 1e6 / $3
        failed[$1, $2] += $5
        if (!(($1, $2) in cpu) || used < cpu[$1, $2]) {
            cpu[$1, $2] = used; rate[$1, $2] = $3 / $4 * 1e6; slow[$1, $2] = $6
        }
    }
    END {
        print "| proxy | answer | CPU µs a request | requests/s | p99 | failed |"
        print "|---|---|---|---|---|---|"
        for (stream = 0; stream < 2; stream++)
            printf "%s%s", row("stock", stream), row("tollgate", stream)
        printf "\nTollgate takes %.2f × stock for whole answers, %.2f × for streams.\n",
            cpu["tollgate", 0] / cpu["stock", 0], cpu["tollgate", 1] / cpu["stock", 1]
        bad = failed["stock", 0] + failed["stock", 1] + failed["tollgate", 0] + failed["tollgate", 1]
        exit bad > 0
    }' "$directory/results"
