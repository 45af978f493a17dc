#!/usr/bin/env bash
# The demo: a simulated model server on 9100 and the gateway with conf/demo.yaml on 8080, admin
# on 9090. Runs until Ctrl-C, or until one of the two ends, and stops what it started.
set -euo pipefail
cd "$(dirname "$0")/.."

tollgate=${TOLLGATE_BIN:-target/release/tollgate}
started=()

stop() {
    trap - EXIT INT TERM
    [ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'exit 0' INT TERM

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

ready() {
    exec 3<>"/dev/tcp/127.0.0.1/9090" || return 1
    printf 'GET /readyz HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n' >&3
    local status
    IFS= read -r status <&3 || return 1
    exec 3>&-
    [[ $status == *" 200 "* ]]
}

for port in 8080 9090 9100; do
    if answers "$port"; then
        echo "Port $port of 127.0.0.1 is taken: stop what listens there, and run this again." >&2
        exit 1
    fi
done

"$tollgate" mock --listen 127.0.0.1:9100 &
started+=($!)
"$tollgate" run --config conf/demo.yaml &
started+=($!)

for _ in {1..100}; do
    (ready) 2>/dev/null && break
    for process in "${started[@]}"; do
        kill -0 "$process" 2>/dev/null || { echo "It did not start: see above." >&2; exit 1; }
    done
    sleep 0.1
done
(ready) 2>/dev/null || { echo "The gateway was not ready within 10 seconds." >&2; exit 1; }

cat <<'TEXT'

Tollgate is ready. Ask it:

  curl http://127.0.0.1:8080/v1/chat/completions \
    -H 'Authorization: Bearer sk-demo' -H 'Content-Type: application/json' \
    -d '{"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}'

Metrics are at http://127.0.0.1:9090/metrics. Ctrl-C stops.

TEXT
wait -n "${started[@]}" || true
echo "One of the two has ended; stopping the other." >&2
exit 1
