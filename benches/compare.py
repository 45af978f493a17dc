#!/usr/bin/env python3
"""What Tollgate costs beside its peers, in one run.

The proxy under test has its cores to itself; the simulated model server and the load generator
have theirs. Each round measures every proxy in turn, the order is reversed from round to round,
and medians are given with their ranges: a machine whose speed drifts then drifts for all of them.
CPU time is the process's user and system time over the run, from /proc, divided by its requests.

    benches/compare.py --bin target/release [--rounds 5] [--seconds 4] [--quick] [--only chat]
                       [--peers tollgate] [--results benches/RESULTS.md] [--json FILE]

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
import urllib.error
import urllib.request

import peers
import results

CONNECTIONS = 64
OURS = ("tollgate", peers.PLAIN)
# More than connections, so that hardly a turn waits for the one before it; as many as a mix may have.
CONTEXTS = 100
# Of each context in a run: few, so that its history stays nearly as long as it was.
TURNS = 20


@dataclasses.dataclass
class Scenario:
    """A load, as flags of `tollgate bench`."""
    name: str
    flags: list
    connections: int = CONNECTIONS
    tls: bool = False
    # Who can do it; None: everyone.
    only: tuple = None
    # Configurations of Tollgate that are started for this scenario alone.
    variants: tuple = ()
    # Flags of a second load in turns with the first: turns of as many contexts as CONTEXTS says, each with so
    # many bytes of history at the beginning of each run.
    turns: list = None
    history_bytes: int = 0
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
    return [
        Scenario("chat, 600 bytes", [*chat, "--tokens", "20"]),
        Scenario("chat, 600 bytes", [*chat, "--tokens", "20"], 1),
        Scenario("chat, 600 bytes", [*chat, "--tokens", "20"], 1000),
        Scenario("chat, 32 KiB", ["--body-bytes", "32768", "--tokens", "20"]),
        Scenario("chat, 1 MiB", ["--body-bytes", "1048576", "--tokens", "20"]),
        Scenario("stream, 20 chunks", [*stream, "--tokens", "20"]),
        Scenario("stream, 200 chunks", [*stream, "--tokens", "200"]),
        Scenario("streams of 100 chunks, one every 10 ms", paced(folder, 100, 10), 400),
        Scenario("streams of 20 chunks, one every 100 ms", paced(folder, 20, 100), 2000,
                 open_streams=True),
        Scenario("chat, 600 bytes, TLS and HTTP/2", [*chat, "--tokens", "20", *h2],
                 CONNECTIONS // 8, tls=True),
        Scenario("stream, 20 chunks, TLS and HTTP/2", [*stream, "--tokens", "20", *h2],
                 CONNECTIONS // 8, tls=True),
        Scenario("stream, 20 chunks, asked for as Messages, served as Chat Completions",
                 [*stream, "--tokens", "20", "--path", "/v1/messages"], only=OURS),
        Scenario("stream, 200 chunks, asked for as Messages, served as Chat Completions",
                 [*stream, "--tokens", "200", "--path", "/v1/messages"], only=OURS),
        Scenario("chat, 64 KiB", ["--body-bytes", "65536", "--tokens", "20"], only=("tollgate",),
                 turns=turns(folder), history_bytes=65536),
        Scenario("chat, 600 bytes, much configured", [*chat, "--tokens", "20"],
                 only=OURS, variants=(peers.MANY,)),
        Scenario("chat, 600 bytes, more threads", [*chat, "--tokens", "20"],
                 only=OURS, variants=(peers.MORE_THREADS,)),
        Scenario("chat, 600 bytes, without limits, budgets and prices", [*chat, "--tokens", "20"],
                 only=("tollgate", peers.STOCK), variants=(peers.NO_QUOTA,)),
        Scenario("chat, 600 bytes, asked for by 100 of 1,000 keys", [*chat, *turning_keys(folder)],
                 only=(), variants=(peers.KEYS, peers.KEYS_LIMITED)),
    ]


def paced(folder, chunks, pace_ms):
    """A stream of so many chunks, so far apart."""
    return mix(folder / f"paced-{pace_ms}.yaml", [{"name": "paced", "stream": True, "body": {
        "model": "chat", "stream": True, "max_tokens": chunks,
        "messages": [{"role": "user", "content": "Tell me about Rome."}],
        "metadata": {"mock": f"chunk-ms={pace_ms}"}}}])


def turns(folder):
    """Some turns of each of the contexts."""
    new = [{"role": "user", "content": "And what is there to see on the second day?"}]
    entries = [{"name": "turn", "body": {
        "model": "chat", "max_tokens": 20, "context": {"id": f"c{number}"}, "messages": new}}
        for number in range(CONTEXTS)]
    return [*mix(folder / "turns.yaml", entries), "--requests", str(CONTEXTS * TURNS)]


def turning_keys(folder):
    """A chat of each of the keys that take turns."""
    return mix(folder / "keys.yaml", [{"name": f"key {number}", "tokens": 20, "key_env": f"KEY_{number}"}
                                      for number in range(len(peers.TURNS))])


def mix(file, entries):
    """The flags for a mix of these."""
    file.write_text(json.dumps(entries))
    return ["--mix", str(file)]


def renew_contexts(peer, size):
    """Conversations of so many bytes, in place of those that there are."""
    text = "It is a city of seven hills, and this is what I know of them. " * 8
    turn = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    messages = turn * max(1, size // len(json.dumps(turn)))
    head = {"authorization": f"Bearer {peers.KEY}", "content-type": "application/json"}

    def ask(method, path, body=None):
        asked = urllib.request.Request(f"{peer.url}/v1/contexts{path}", body, head, method=method)
        urllib.request.urlopen(asked).close()

    for number in range(CONTEXTS):
        with contextlib.suppress(urllib.error.HTTPError):
            ask("DELETE", f"/c{number}")
        ask("POST", "", json.dumps({"id": f"c{number}", "messages": messages}).encode())


class Bench:
    """The load generator, on its own cores."""

    def __init__(self, args, folder):
        self.args, self.file = args, folder / "figures.json"
        self.command = ["taskset", "-c", args.load_cores, str(args.load), "bench"]
        self.keys = {"TOLLGATE_KEY": peers.KEY,
                     **{f"KEY_{number}": key for number, key in enumerate(peers.TURNS)}}
        self.flags = ["--model", "chat", "--quiet", "--json", str(self.file),
                      "--threads", str(args.load_threads)]

    def run(self, url, flags, pids=()):
        """One run; its figures. A request that fails spoils the comparison, so it ends it."""
        pids = [flag for pid in pids for flag in ("--pid", str(pid))]
        said = subprocess.run([*self.command, url, *self.flags, *flags, *pids],
                              capture_output=True, text=True,
                              env={**os.environ, **self.keys})
        if said.returncode:
            sys.exit(f"the load on {url} failed:\n{said.stdout}{said.stderr}")
        step = json.loads(self.file.read_text())["steps"][0]
        if step["through"]["failed"]:
            sys.exit(f"requests to {url} failed:\n{said.stdout}")
        return step

    def measure(self, scenario, peer):
        flags = ["--seconds", str(self.args.seconds), "--warm-up-seconds", str(self.args.warm_up)]
        return self.sample(scenario, peer, [*scenario.flags, *flags])

    def measure_turns(self, scenario, peer):
        renew_contexts(peer, scenario.history_bytes)
        return self.sample(scenario, peer, [*scenario.turns, "--warm-up-seconds", "0"])

    def sample(self, scenario, peer, flags):
        url = peer.tls_url if scenario.tls else peer.url
        figures = self.run(url, ["-c", str(scenario.connections), *flags], peer.pids)["through"]
        process = figures["process"] or {}
        return {"rate": figures["rate"],
                "cpu_us": process.get("cpu_us_per_request"),
                "resident_bytes": process.get("resident_bytes"),
                "p50_us": figures["latency_us"]["p50"],
                "p99_us": figures["latency_us"]["p99"],
                "first_token_p99_us": (figures["first_token_us"] or {}).get("p99")}


def taking_part(scenario, started, starting):
    """Who is put under this load, with what it needs first."""
    able = [peer for peer in started if scenario.only is None or peer.name in scenario.only]
    able = [peer for peer in able if peer.tls_url or not scenario.tls]
    able += [peers.variant(starting, name) for name in scenario.variants
             if re.search(starting.args.peers, name)]
    return able


def rounds(bench, args, scenario, able):
    """Samples by peer, the order reversed from round to round."""
    ways = [(peer.name, peer, bench.measure) for peer in able]
    if scenario.turns:
        ways += [(f"{peer.name}, a turn of a context with as much history", peer, bench.measure_turns)
                 for peer in able]
    samples = {name: [] for name, *_ in ways}
    for turn in range(args.rounds):
        for name, peer, measure in ways if turn % 2 == 0 else ways[::-1]:
            samples[name].append(measure(scenario, peer))
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
                        help="where tollgate lies")
    parser.add_argument("--plain", type=pathlib.Path, default=pathlib.Path("target/plain/release"),
                        help="where examples/stock_pingora lies, and a tollgate without a profile")
    parser.add_argument("--load", type=pathlib.Path,
                        help="load generator and model server, if another tollgate")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before each run")
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    parser.add_argument("--only", default="", help="scenarios whose title matches this expression")
    parser.add_argument("--peers", default="", help="proxies whose name matches this expression")
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
        starting, started = peers.start_all(stack, args, folder)
        direct = started[0]
        bench = Bench(args, folder)
        report = results.Report(args, started)
        for scenario in scenarios(folder):
            if re.search(args.only, scenario.title):
                with contextlib.ExitStack() as own:
                    able = taking_part(scenario, started, starting.within(own))
                    idle = {peer.name: peer.resident_bytes() for peer in able}
                    samples = rounds(bench, args, scenario, able)
                # Not all of them can be asked for everything.
                if able:
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
