#!/usr/bin/env bash
# `tollgate check` of every file in conf/: `check-conf.sh target/debug/tollgate`. It works on a
# copy that has what the examples expect of their surroundings: the certificates that
# conf/tls.yaml names, a Google key made for tests, and a value for each environment variable that a file names.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/need.sh openssl=openssl
tollgate=$(realpath "$1")
root=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R conf "$copy"
cd "$copy"

mkdir -p conf/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout conf/tls/server.key -out conf/tls/server.crt 2>/dev/null
cp conf/tls/server.crt conf/tls/upstream-ca.crt
cp conf/tls/server.crt conf/tls/clients-ca.crt
cp "$root/tests/data/google/service-account.json" conf/service-account.json
for variable in $(grep -v '^ *#' conf/*.yaml | grep -o 'env: *[A-Z][A-Z0-9_]*' | sed 's/env: *//'); do
    export "$variable=${!variable:-a-value-for-the-check}"
done

failed=0
for file in conf/*.yaml; do
    # No configuration, but the list of prices that others refer to.
    [ "$file" = conf/prices.yaml ] && continue
    "$tollgate" check --config "$file" || failed=1
done
exit $failed
