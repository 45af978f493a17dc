#!/usr/bin/env bash
# Installs what the tests run beside the gateway: promtool, redis-server, and the official SDKs for Python
# (target/venv, with llama.cpp's server) and Node (tests/sdk/node_modules), at the versions pinned in tests/sdk/.
# What is already there is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/need.sh promtool=prometheus redis-server=redis-server python3=python3 node=nodejs npm=npm
# Debian splits this module off; a Python without it cannot make an environment.
python3 -c 'import ensurepip' 2>/dev/null || scripts/need.sh ensurepip-module=python3-venv

# Copies $1 to $2 once what depends on it is done, so that the next run can tell.
is_done() { cmp -s "$1" "$2"; }

requirements=tests/sdk/requirements.txt
if ! is_done "$requirements" target/venv/requirements.txt; then
    mkdir -p target
    python3 -m venv --clear target/venv
    target/venv/bin/pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" target/venv/requirements.txt
fi

lock=tests/sdk/package-lock.json
if ! is_done "$lock" tests/sdk/node_modules/package-lock.json; then
    (cd tests/sdk && npm ci --silent --no-audit --no-fund)
    cp "$lock" tests/sdk/node_modules/package-lock.json
fi
