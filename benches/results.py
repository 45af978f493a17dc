"""The figures of `compare.py`: printed as they come, then as a Markdown page."""

import datetime
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

from peers import STOCK


class Report:
    """Everything that was measured."""

    def __init__(self, args, started):
        self.args, self.started = args, started
        self.samples, self.latency, self.tables = {}, {}, []

    def add(self, scenario, samples, idle):
        """Takes a scenario's samples by peer, and what each peer's memory was before."""
        self.samples[scenario.title] = samples
        base = STOCK if STOCK in samples else next(iter(samples))
        head = ["", "CPU µs a request", f"to {base}", "requests a second", "p50", "p99", "memory"]
        if scenario.open_streams:
            head.append("for each open stream")
        rows = []
        for peer, values in samples.items():
            peak = max(value["resident_bytes"] or 0 for value in values)
            row = [peer, spread(values, "cpu_us"), ratio(values, samples[base]), spread(values, "rate", 0),
                   duration(values, "p50_us"), duration(values, "p99_us"), mebibytes(peak)]
            if scenario.open_streams:
                each = max(0, peak - idle[peer]) / scenario.connections / 1024
                row.append(f"{each:.0f} KiB" if peak else "")
            rows.append(row)
        self.tables.append((scenario.title, [head, *rows]))
        print(f"\n{scenario.title}")
        plain([head, *rows])

    def add_latency(self, peer, step):
        """Takes one peer's latency beside that of the direct way."""
        self.latency[peer] = step
        asked = step["rate_asked"]
        print(f"\nadded latency of {peer} at {asked:.0f} requests a second: "
              f"p50 {span(step['added']['p50_us'])}, p99 {span(step['added']['p99_us'])}")

    def rates(self, title):
        """Requests a second by peer, where the scenario was measured."""
        samples = self.samples.get(title, {})
        return {peer: [value["rate"] for value in values] for peer, values in samples.items()}

    def markdown(self):
        lines = ["# Results", "", "Written by `benches/compare.py`, which `make bench` runs: "
                 "[how to measure, and what the figures mean](../docs/benchmarking.md).", ""]
        lines += [f"- {name}: {value}" for name, value in self.machine()]
        for title, table in self.tables:
            lines += ["", f"## {title[0].upper()}{title[1:]}", "", *markdown_table(table)]
        if self.latency:
            table = [["", "requests a second", "added p50", "added p99", "direct p50",
                      "direct p99"]]
            table += [[peer, f"{step['rate_asked']:.0f}", span(step["added"]["p50_us"]),
                       span(step["added"]["p99_us"]), f"{direct(step, 'p50'):.0f} µs",
                       f"{direct(step, 'p99'):.0f} µs"] for peer, step in self.latency.items()]
            lines += ["", "## Added latency at half of the highest rate, chat of 600 bytes", "",
                      *markdown_table(table)]
        return "\n".join(lines) + "\n"

    def machine(self):
        """What the figures depend on."""
        args = self.args
        yield "measured", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        yield "commit", commit()
        yield "processor", f"{processor()}, {os.cpu_count()} cores seen"
        yield "memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 30} GiB"
        yield "kernel", platform.release()
        yield "cores", (f"proxy {args.proxy_cores} ({args.proxy_threads} threads), model server "
                        f"{args.upstream_cores}, load {args.load_cores}")
        yield "rounds", (f"{args.rounds} of {args.seconds:g} s; medians with the lowest and the "
                         "highest; load average at the end " + " ".join(
                             f"{load:.1f}" for load in os.getloadavg()))
        for peer in self.started:
            if peer.version:
                yield peer.name, peer.version


def ratio(values, base):
    """The median of the rounds' ratios to another peer's CPU time."""
    pairs = zip(values, base)
    ratios = [a["cpu_us"] / b["cpu_us"] for a, b in pairs if a["cpu_us"] and b["cpu_us"]]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def spread(values, name, digits=1):
    values = [value[name] for value in values if value[name] is not None]
    if not values:
        return ""
    middle = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def duration(values, name):
    middle = statistics.median(value[name] for value in values)
    return f"{middle / 1000:.2f} ms" if middle >= 1000 else f"{middle:.0f} µs"


def span(added):
    return f"{added['median']:+.0f} µs ({added['min']:+.0f} to {added['max']:+.0f})"


def direct(step, name):
    return step["direct"]["latency_us"][name]


def mebibytes(count):
    return f"{count / 2**20:.1f} MiB" if count else ""


def markdown_table(table):
    head, *rows = table
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def plain(table):
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        first, *rest = zip(row, widths)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        print("  ".join(cells).rstrip())
    sys.stdout.flush()


def commit():
    def git(*arguments):
        here = pathlib.Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True,
                              text=True).stdout.strip()
    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + changed


def processor():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    found = re.search(r"model name\s*:\s*(.*)", text)
    return found[1] if found else platform.machine()
