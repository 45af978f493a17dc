#!/usr/bin/env bash
# `tollgate check` of every file in conf/: `check-conf.sh target/debug/tollgate`. It works on a
# copy, beside a certificate made for the occasion: conf/tls.yaml names one.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/need.sh openssl=openssl
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp conf/*.yaml "$copy"
mkdir "$copy/tls"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$copy/tls/server.key" -out "$copy/tls/server.crt" 2>/dev/null
cp "$copy/tls/server.crt" "$copy/tls/upstream-ca.crt"

for file in "$copy"/*.yaml; do
    echo "tollgate check --config conf/$(basename "$file")"
    "$1" check --config "$file"
done
