#!/usr/bin/env python3
"""What Tollgate costs beside its peers, in one run.

The proxy under test has its cores to itself; the simulated model server and the load generator
have theirs. Each round measures every proxy in turn, the order is reversed from round to round,
and medians are given with their ranges: a machine whose speed drifts then drifts for all of them.
CPU time is the process's user and system time over the run, from /proc, divided by its requests.

    benches/compare.py --bin target/release [--rounds 5] [--seconds 4] [--quick] [--only chat]
                       [--results benches/RESULTS.md] [--json FILE]

docs/benchmarking.md says how to run it on a machine of its own, and what would spoil the figures.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile

import peers
import results

CONNECTIONS = 64
OPEN_STREAMS = 1000
# A paced stream: so many chunks, so far apart.
PACED_CHUNKS, PACE_MS = 20, 100


@dataclasses.dataclass
class Scenario:
    """A load, as flags of `tollgate bench`."""
    name: str
    flags: list
    connections: int = CONNECTIONS
    tls: bool = False
    # Who can do it; None: everyone.
    only: tuple = None
    # Something is seen beside the usual: memory of each open stream.
    open_streams: bool = False

    @property
    def title(self):
        plural = "" if self.connections == 1 else "s"
        return f"{self.name} ({self.connections:,} connection{plural})"


def scenarios(folder):
    """All of them. A further one is a line here: any flags of `tollgate bench` will do."""
    chat, stream = ["--body-bytes", "600"], ["--stream", "--body-bytes", "600"]
    h2 = ["--http", "2", "--insecure", "--streams", "8"]
    paced = folder / "paced.yaml"
    paced.write_text(json.dumps([{"name": "paced", "stream": True, "body": {
        "model": "chat", "stream": True, "max_tokens": PACED_CHUNKS,
        "messages": [{"role": "user", "content": "Tell me about Rome."}],
        "metadata": {"mock": f"chunk-ms={PACE_MS}"}}}]))
    return [
        Scenario("chat, 600 bytes", [*chat, "--tokens", "20"]),
        Scenario("chat, 600 bytes", [*chat, "--tokens", "20"], 1),
        Scenario("chat, 600 bytes", [*chat, "--tokens", "20"], 1000),
        Scenario("chat, 32 KiB", ["--body-bytes", "32768", "--tokens", "20"]),
        Scenario("chat, 1 MiB", ["--body-bytes", "1048576", "--tokens", "20"]),
        Scenario("stream, 20 chunks", [*stream, "--tokens", "20"]),
        Scenario("stream, 200 chunks", [*stream, "--tokens", "200"]),
        Scenario(f"{OPEN_STREAMS:,} open streams, a chunk every {PACE_MS} ms",
                 ["--mix", str(paced)], OPEN_STREAMS, open_streams=True),
        Scenario("chat, 600 bytes, TLS and HTTP/2", [*chat, "--tokens", "20", *h2],
                 CONNECTIONS // 8, tls=True),
        Scenario("stream, 20 chunks, TLS and HTTP/2", [*stream, "--tokens", "20", *h2],
                 CONNECTIONS // 8, tls=True),
        Scenario("stream, 20 chunks, asked for as Messages, served as Chat Completions",
                 [*stream, "--tokens", "20", "--path", "/v1/messages"], only=("tollgate",)),
    ]


class Bench:
    """The load generator, on its own cores."""

    def __init__(self, args, folder):
        self.args, self.file = args, folder / "figures.json"
        self.command = ["taskset", "-c", args.load_cores, str(args.load), "bench"]
        self.flags = ["--model", "chat", "--quiet", "--json", str(self.file),
                      "--threads", str(args.load_threads)]

    def run(self, url, flags, pids=()):
        """One run; its figures. A request that fails spoils the comparison, so it ends it."""
        pids = [flag for pid in pids for flag in ("--pid", str(pid))]
        said = subprocess.run([*self.command, url, *self.flags, *flags, *pids],
                              capture_output=True, text=True,
                              env={**os.environ, "TOLLGATE_KEY": peers.KEY})
        if said.returncode:
            sys.exit(f"the load on {url} failed:\n{said.stdout}{said.stderr}")
        step = json.loads(self.file.read_text())["steps"][0]
        if step["through"]["failed"]:
            sys.exit(f"requests to {url} failed:\n{said.stdout}")
        return step

    def measure(self, scenario, peer):
        url = peer.tls_url if scenario.tls else peer.url
        flags = ["-c", str(scenario.connections), "--seconds", str(self.args.seconds),
                 "--warm-up-seconds", str(self.args.warm_up)]
        figures = self.run(url, [*scenario.flags, *flags], peer.pids)["through"]
        process = figures["process"] or {}
        return {"rate": figures["rate"],
                "cpu_us": process.get("cpu_us_per_request"),
                "resident_bytes": process.get("resident_bytes"),
                "p50_us": figures["latency_us"]["p50"],
                "p99_us": figures["latency_us"]["p99"],
                "first_token_p99_us": (figures["first_token_us"] or {}).get("p99")}


def rounds(bench, args, scenario, started):
    """Samples by peer, the order reversed from round to round."""
    able = [peer for peer in started if scenario.only is None or peer.name in scenario.only]
    able = [peer for peer in able if peer.tls_url or not scenario.tls]
    samples = {peer.name: [] for peer in able}
    for turn in range(args.rounds):
        for peer in able if turn % 2 == 0 else able[::-1]:
            samples[peer.name].append(bench.measure(scenario, peer))
    return samples


def added_latency(bench, args, peer, direct, rate):
    """At half of the peer's highest rate, direct and through in turns."""
    flags = ["--body-bytes", "600", "--tokens", "20", "-c", str(CONNECTIONS), "--rate",
             str(max(1, int(rate / 2))), "--direct", direct.url, "--rounds", str(args.rounds),
             "--seconds", str(args.seconds), "--warm-up-seconds", str(args.warm_up)]
    return bench.run(peer.url, flags)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("target/release"),
                        help="where tollgate and examples/stock_pingora lie")
    parser.add_argument("--load", type=pathlib.Path, help="the load generator, if another tollgate")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before each run")
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    parser.add_argument("--only", default="", help="scenarios whose title matches this expression")
    parser.add_argument("--proxy-cores", default="0")
    parser.add_argument("--upstream-cores", default="1")
    parser.add_argument("--load-cores", default="1")
    parser.add_argument("--proxy-threads", type=int, default=1)
    parser.add_argument("--upstream-threads", type=int, default=1)
    parser.add_argument("--load-threads", type=int, default=1)
    parser.add_argument("--results", type=pathlib.Path, help="write the figures as Markdown")
    parser.add_argument("--json", type=pathlib.Path, help="write every sample")
    args = parser.parse_args()
    args.load = args.load or args.bin / "tollgate"
    if args.quick:
        args.rounds, args.seconds, args.warm_up = 1, 1, 0.2
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed: one for the proxy, one for the load")
    return args


def main():
    args = arguments()
    # A thousand streams are two thousand descriptors of a proxy.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = peers.start_all(stack, args, folder)
        direct = started[0]
        bench = Bench(args, folder)
        report = results.Report(args, started)
        for scenario in scenarios(folder):
            if re.search(args.only, scenario.title):
                idle = {peer.name: peer.resident_bytes() for peer in started}
                samples = rounds(bench, args, scenario, started)
                report.add(scenario, samples, idle)
        rates = report.rates(f"chat, 600 bytes ({CONNECTIONS} connections)")
        for peer in started[1:]:
            if peer.name in rates:
                rate = statistics.median(rates[peer.name])
                report.add_latency(peer.name, added_latency(bench, args, peer, direct, rate))
    if args.results:
        args.results.write_text(report.markdown())
    if args.json:
        args.json.write_text(json.dumps(report.samples, indent=1))


if __name__ == "__main__":
    main()
