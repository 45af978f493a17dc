#!/usr/bin/env python3
"""CPU microseconds a request, Tollgate beside its peers, in one run.

The proxy under test has core 0 and one worker to itself; the simulated model server and the
load generator (wrk) share core 1. Each round measures every proxy in turn, the order is
reversed from round to round, and the medians are printed with their ranges: a machine whose
speed drifts then drifts for all of them. CPU time is the process's user and system time over
the run, from /proc, divided by its requests.

    benches/compare.py --bin target/release [--rounds 5] [--seconds 4] [--json FILE]
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
KEY = "sk-bench"
PROXY_CORE, LOAD_CORE = "0", "1"
START_SECONDS = 10

NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  keepalive_requests 1000000000; client_max_body_size 64m; client_body_buffer_size 4m;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {key}"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of a process and all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def wait_for(port):
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    sys.exit(f"nothing listens on port {port} after {START_SECONDS} s")


def start(stack, core, *command, port, log):
    process = subprocess.Popen(["taskset", "-c", core, *command], stdout=log, stderr=log)

    def stop():
        process.send_signal(signal.SIGINT if "nginx" not in command[0] else signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return
        process.kill()

    stack.callback(stop)
    wait_for(port)
    return process


def worker_pids(process):
    """The process and its children (nginx works in a child)."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [process.pid, *map(int, children)]


def chat_body(size, stream):
    message = {"model": "chat", "messages": [{"role": "user", "content": ""}]}
    if stream:
        message["stream"] = True
    pad = size - len(json.dumps(message))
    message["messages"][0]["content"] = "Tell me about Rome. " * (pad // 20) + "x" * (pad % 20)
    return json.dumps(message)


def load(port, body, connections, seconds, folder):
    script = folder / "load.lua"
    path = folder / "body.json"
    path.write_text(body)
    script.write_text(LUA.format(key=KEY, body=path))
    out = subprocess.run(
        ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
         "-s", str(script), f"http://127.0.0.1:{port}/v1/chat/completions"],
        capture_output=True, text=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", out)[1])
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: (.*)", out)
    if failed or (errors and re.search(r"[1-9]", errors[1])):
        sys.exit(f"requests failed:\n{out}")
    return requests, float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def configuration(folder, binary, port, admin, upstream, threads):
    text = (pathlib.Path(__file__).parent / "bench.yaml").read_text()
    key_hash = subprocess.run([binary, "key", "hash", KEY], capture_output=True, text=True,
                              check=True).stdout.strip()
    for name, value in {"PORT": port, "ADMIN": admin, "UPSTREAM": upstream, "THREADS": threads,
                        "HASH": key_hash, "DIR": folder}.items():
        text = text.replace(f"@{name}@", str(value))
    path = folder / f"tollgate-{port}.yaml"
    path.write_text(text)
    return path


def proxies(stack, args, folder, upstream, log):
    """Starts each proxy on core 0; yields its name, port and the processes it works in."""
    binary = str(args.bin / "tollgate")
    started = {}
    port, admin = free_port(), free_port()
    config = configuration(folder, binary, port, admin, upstream, 1)
    process = start(stack, PROXY_CORE, binary, "run", "--config", str(config), port=port, log=log)
    started["tollgate"] = (port, [process.pid])
    port = free_port()
    stock = str(args.bin / "examples" / "stock_pingora")
    process = start(stack, PROXY_CORE, stock, f"127.0.0.1:{port}", f"127.0.0.1:{upstream}", "1",
                    "true", port=port, log=log)
    started["stock pingora"] = (port, [process.pid])
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx:
        port = free_port()
        conf = folder / "nginx.conf"
        conf.write_text(NGINX.format(dir=folder, port=port, upstream=upstream))
        process = start(stack, PROXY_CORE, nginx, "-c", str(conf), "-e", str(folder / "e"),
                        port=port, log=log)
        started["nginx"] = (port, worker_pids(process))
    return started


def measure(target, body, connections, seconds, folder):
    port, pids = target
    before = sum(map(cpu_seconds, pids))
    requests, rate = load(port, body, connections, seconds, folder)
    return (sum(map(cpu_seconds, pids)) - before) * 1e6 / requests, rate


def resident_kib(pids):
    read = lambda pid: pathlib.Path(f"/proc/{pid}/status").read_text()
    return sum(int(re.search(r"VmRSS:\s+(\d+)", read(pid))[1]) for pid in pids)


def summary(values):
    return f"{statistics.median(values):8.1f} ({min(values):.1f}–{max(values):.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("target/release"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed: apt-get install wrk")
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed: one for the proxy, one for the load")
    results = {}
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(open(folder / "log", "w"))
        upstream = free_port()
        start(stack, LOAD_CORE, str(args.bin / "tollgate"), "mock", "--listen",
              f"127.0.0.1:{upstream}", "--threads", "1", port=upstream, log=log)
        targets = proxies(stack, args, folder, upstream, log)
        scenarios = {"chat, 600 bytes": chat_body(600, False),
                     "stream, 600 bytes, 20 chunks": chat_body(600, True),
                     "chat, 32 KiB": chat_body(32768, False),
                     "chat, 1 MiB": chat_body(1 << 20, False)}
        for name, body in scenarios.items():
            for target in targets.values():
                load(target[0], body, args.connections, 1, folder)
            samples = {proxy: [] for proxy in targets}
            for turn in range(args.rounds):
                order = list(targets) if turn % 2 == 0 else list(targets)[::-1]
                for proxy in order:
                    samples[proxy].append(
                        measure(targets[proxy], body, args.connections, args.seconds, folder))
            results[name] = samples
            print(f"\n{name} ({args.connections} connections, {args.rounds} rounds of "
                  f"{args.seconds} s, one core)")
            print(f"{'':16}{'CPU µs a request':>26}{'requests a second':>34}{'to stock':>12}")
            for proxy, pairs in samples.items():
                ratio = statistics.median(
                    a[0] / b[0] for a, b in zip(pairs, samples["stock pingora"]))
                print(f"{proxy:16}{summary([p[0] for p in pairs]):>26}"
                      f"{summary([p[1] for p in pairs]):>34}{ratio:12.2f}", flush=True)
        print("\nresident memory at the end, KiB: " + ", ".join(
            f"{proxy} {resident_kib(pids)}" for proxy, (_, pids) in targets.items()))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
