#!/usr/bin/env python3
"""table.py run.jsonl [--docs DIR]: the tables of a run, and which figures miss what linnet promises.

What failing upstreams do to clients is read from the files beside run.jsonl (failures.py).

Prints Markdown; with --docs it becomes DIR/benchmarks.md, and the picture DIR/benchmarks.svg. A figure is the median over the
rounds in which others left the machine alone; where there was none, over all rounds, and it gets a `~`. A latency is the least of these
rounds: whatever else runs can only lengthen a tail, and does so for one server today and for another tomorrow. Exits 1 when a figure
misses its target, 2 when one was not measured.
"""
import argparse, json, os, statistics, sys, time
from collections import defaultdict
import failures, picture

NAMES = {"resolved": "systemd-resolved", "kresd": "knot-resolver", "echo-mmsg": "batch echo"}
NOISE = 0.25
LATENCIES = ("p50_us", "p99_us")
ABOUT = """# Benchmarks

What linnet costs beside other local resolvers, measured by `tests/bench/run`: all in one run, interleaved, each with the same upstream,
the same names and the same load, in a network namespace with a synthetic tree of zones. The server under test has one core, the client
and the upstream the other. linnet runs with split-DNS routing on, 10,000 claimed domains loaded; the others have nothing but a
forwarder and a cache to do. Root, an idle machine and some minutes repeat it: `tests/bench/setup`, then `tests/bench/run`.

Compare ratios within this page, never figures across machines. CPU is the scheduler's time of the server's processes, including the
kernel's work on their behalf, for each answered query. *batch echo* answers without reading the question, each datagram by itself: it is
what sending and receiving cost. linnet takes less where one client has asked for much: the kernel gets all of its answers as one packet.
Differences below 20 % mean nothing.
[benchmarks-links.md](benchmarks-links.md) is about links.
"""
TESTS = [
    ("warm-sat", "warm hit", "a thousand hot names from the cache, asked by eight clients, each for many at a time"),
    ("many-sat", "warm hit, 64 clients", "the same, each client waiting for its answer"),
    ("listener-sat", "warm hit, listener", "as warm hit, at a listener for others than the host, with its access list and limits"),
    ("two-sat", "warm hit, two threads", "as warm hit, two threads on two cores that the client shares"),
    ("tcp-sat", "warm hit, TCP", "as warm hit, over eight connections that stay open"),
    ("claimed-sat", "10,000 claimed names", "from the cache, one name in each claimed domain"),
    ("mixed-sat", "mixed", "names by Zipf, A, AAAA and HTTPS, some that do not exist, cold at first"),
    ("cold-sat", "cold forward", "names that nobody asked for before"),
    ("tls-sat", "cold forward, TLS upstream", "the same, the upstream asked over TLS and held to its name"),
    ("big-sat", "of a million", "from a cache of a million names, a hundred thousand of them asked in no order"),
    ("list", "of a list", "names that a list of a million blocks"),
    ("val-sat", "cold, validated", "signed names that nobody asked for before"),
]
# The same where a rate is fixed.
AT_RATE = [("warm-rate", "warm hit"), ("tcp-rate", "warm hit, TCP"), ("claimed-rate", "10,000 claimed names"), ("big-rate", "of a million"), ("list-rate", "of a list"),
           ("mixed-rate", "mixed"), ("cold-rate", "cold forward"), ("tls-rate", "cold forward, TLS upstream")]


class Figures:
    def __init__(self, path):
        self.rows = defaultdict(list)
        self.errors, self.versions, self.peers, self.seconds = {}, {}, [], None
        for line in open(path):
            r = json.loads(line)
            peer, test = r["peer"], r["test"]
            if test == "took": self.seconds = r["secs"]; continue
            if peer not in self.peers: self.peers.append(peer)
            if "error" in r: self.errors[peer, test] = r["error"]
            elif test == "version": self.versions[peer] = r["note"]
            else: self.rows[peer, test].append(r)

    def get(self, peer, test, key="server_us_q"):
        """the median, and whether others disturbed all rounds"""
        rows = [r for r in self.rows.get((peer, test), []) if r.get(key) is not None]
        if not rows: return None, False
        quiet = [r for r in rows if r.get("foreign", 0) <= NOISE]
        of = min if key in LATENCIES else statistics.median
        return of(r[key] for r in quiet or rows), not quiet

    def value(self, peer, test, key="server_us_q"):
        return self.get(peer, test, key)[0]

    def ratio(self, one, other):
        a, b = self.value(*one), self.value(*other)
        return a / b if a is not None and b else None

    def cell(self, peer, test, key="server_us_q", form="{:.1f}", scale=1.0, to=None):
        value, noisy = self.get(peer, test, key)
        if value is None: return "–"
        text = ("~" if noisy else "") + form.format(value * scale)
        base = self.value(to, test, key) if to else None
        return text + (f" ({value / base:.2f})" if base else "")


def targets(f):
    """what linnet promises: (figure, bound in words, measured, the bound, the unit)"""
    v, ratio = f.value, f.ratio
    none_lost = v("unbound", "cold-rate", "lost") == 0
    return [
        ("warm hit: CPU to the batch echo's", ratio(("linnet", "warm-sat"), ("echo-mmsg", "warm-sat")), 1.15, "×"),
        ("warm hit, 64 clients: CPU to the batch echo's", ratio(("linnet", "many-sat"), ("echo-mmsg", "many-sat")), 1.15, "×"),
        ("warm hit: CPU to unbound's", ratio(("linnet", "warm-sat"), ("unbound", "warm-sat")), 0.7, "×"),
        ("warm hit at a listener: CPU to unbound's", ratio(("linnet", "listener-sat"), ("unbound", "listener-sat")), 0.8, "×"),
        ("warm hit, two threads on two cores: CPU to unbound's", ratio(("linnet", "two-sat"), ("unbound", "two-sat")), 0.7, "×"),
        ("warm hit at 20,000 queries a second: p99 to unbound's", ratio(("linnet", "warm-rate", "p99_us"), ("unbound", "warm-rate", "p99_us")), 1.0, "×"),
        ("cold forward: CPU to unbound's", ratio(("linnet", "cold-sat"), ("unbound", "cold-sat")), 0.6, "×"),
        ("cold forward at a fixed rate: lost where unbound loses none", v("linnet", "cold-rate", "lost") if none_lost else None, 0, ""),
        ("TCP: CPU to dnsdist's", ratio(("linnet", "tcp-sat"), ("dnsdist", "tcp-sat")), 0.8, "×"),
        ("TLS upstream, cold: CPU to unbound's", ratio(("linnet", "tls-sat"), ("unbound", "tls-sat")), 0.8, "×"),
        ("start to first answer", v("linnet", "start", "ms"), 10, "ms"),
        ("resident at start", mib(v("linnet", "start", "rss_kb")), 10, "MiB"),
        ("resident with 10,000 names cached", mib(v("linnet", "mem-10k", "rss_kb")), 14, "MiB"),
        ("a cached A answer at a million names", v("linnet", "big", "bytes"), 250, "bytes"),
        ("routing a name among 100,000 claimed suffixes", v("linnet", "route", "ns"), 300, "ns"),
        ("a list of a million names: memory", v("linnet", "list", "mib"), 40, "MiB"),
        ("a list of a million names: until it blocks", v("linnet", "list", "load_ms"), 2000, "ms"),
        ("a list read anew beside 20,000 queries a second: until it blocks", v("linnet", "list-reload", "load_ms"), 2000, "ms"),
        ("a list read anew beside 20,000 queries a second: lost", v("linnet", "list-reload", "lost"), 0, ""),
    ]


def mib(kb):
    return None if kb is None else kb / 1024


def rows(out, head, peers, cells):
    out.append("| | " + " | ".join(head) + " |\n|---" + "|---:" * len(head) + "|")
    for peer in peers:
        row = [cell(peer) for cell in cells]
        if any(text != "–" for text in row): out.append(f"| {NAMES.get(peer, peer)} | " + " | ".join(row) + " |")
    out.append("")


def page(f, failed):
    out = []
    peers = f.peers
    say = out.append
    say("## CPU for each query, in µs, at saturation\n\nIn brackets: to unbound's.\n")
    measured = [t for t in TESTS if any((p, t[0]) in f.rows for p in peers)]
    rows(out, [name for _, name, _ in measured], peers, [lambda p, t=t: f.cell(p, t, to="unbound") for t, _, _ in measured])
    for _, name, what in measured: say(f"- *{name}*: {what}.")
    once, by_turns = (len(f.rows.get(("linnet", test), [])) for test in ("warm-sat", "cold-sat"))
    if once < by_turns: say(f"- Cold forwards of linnet and unbound were measured {by_turns} times by turns, and so were hits for 64 clients, with the batch echo; others {once} times: the machine sways more within a minute than those differ.")
    new = f.value("linnet", "mixed-sat", "new")
    if new is not None: say(f"- Of the mixed questions of linnet's median round {new:.0%} were new.")
    say("\n## At a fixed rate\n\n20,000 questions a second that the cache can answer, and 5,000 where it has no answer, or not always. CPU for each, in µs:\n")
    rows(out, [name for _, name in AT_RATE], peers, [lambda p, t=t: f.cell(p, t, to="unbound") for t, _ in AT_RATE])
    say("Latency as the client's kernel saw it, in the round in which it was least, of more rounds for linnet and unbound than for others. Here, and for times of starts and failures, processors are kept from halting: to wake a\nvirtual one takes now less and now more.\n")
    rows(out, ["warm: p50 µs", "p99 µs", "lost", "cold: p50 µs", "p99 µs", "lost"], peers,
         [lambda p, t=t, k=k: f.cell(p, t, k, "{:.0f}") for t in ("warm-rate", "cold-rate") for k in ("p50_us", "p99_us", "lost")])
    say("## Start and memory\n\nMemory in MiB is resident, what a server's processes share counted once; *private* leaves out what is shared.\n")
    rows(out, ["first answer ms", "at start", "private", "10,000 names", "private", "bytes a name at a million", "a list of a million: until it blocks, ms", "memory"], peers, [
        lambda p: f.cell(p, "start", "ms"), lambda p: f.cell(p, "start", "rss_kb", scale=1 / 1024), lambda p: f.cell(p, "start", "private_kb", scale=1 / 1024),
        lambda p: f.cell(p, "mem-10k", "rss_kb", scale=1 / 1024), lambda p: f.cell(p, "mem-10k", "private_kb", scale=1 / 1024),
        lambda p: f.cell(p, "big", "bytes", "{:.0f}") + ("" if f.value(p, "big", "kept") in (None, True) else " (not kept)"),
        lambda p: f.cell(p, "list", "load_ms", "{:.0f}"), lambda p: f.cell(p, "list", "mib", "{:.0f}")])
    out += failures.section(failed)
    say("## What linnet promises\n")
    say("| figure | at most | measured | |\n|---|---:|---:|---|")
    missed = unknown = 0
    for what, value, bound, unit in targets(f) + failures.targets(failed):
        if value is None:
            verdict, shown, unknown = "not measured", "–", unknown + 1
        else:
            good = value <= bound
            verdict, shown = ("met" if good else "**missed**"), (f"{value:.2f}" if unit == "×" else f"{value:.0f}" if value >= 100 or not unit else f"{value:.1f}") + f" {unit}".rstrip()
            missed += not good
            if value == failures.NEVER: shown = "never"
        say(f"| {what} | {bound} {unit} | {shown} | {verdict} |".replace("  |", " |"))
    say("")
    if f.errors:
        say("## Not measured\n")
        for (peer, test), error in sorted(f.errors.items()): say(f"- {NAMES.get(peer, peer)}, {test}: {' '.join(error.split())[:300]}")
        say("")
    say("Versions: " + "; ".join(v for v in f.versions.values()) + ".")
    return "\n".join(out) + "\n", missed, unknown


def machine(f):
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal")) / 2**20
    kernel = ".".join(os.uname().release.split("-")[0].split(".")[:2])
    text = f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {memory:.0f} GiB of memory, Linux {kernel}"
    return text + (f"; the run took {f.seconds / 60:.0f} minutes" if f.seconds else "")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("file", nargs="?"); ap.add_argument("--docs"); ap.add_argument("--unmeasured", action="store_true", help="writes the page without figures")
    a = ap.parse_args()
    if a.unmeasured:
        text, missed, unknown = "No run has been recorded yet.\n", 0, 1
    else:
        f = Figures(a.file)
        text, missed, unknown = page(f, failures.read(os.path.dirname(os.path.abspath(a.file))))
        text = f"Measured {machine(f)}.\n\n{text}"
        print(text)
    if a.docs:
        figure = "" if a.unmeasured else "![CPU per query of linnet and others, as bars](benchmarks.svg)\n\n"
        with open(a.docs + "/benchmarks.md", "w") as page_file: page_file.write(ABOUT + "\n" + figure + text)
        if not a.unmeasured:
            with open(a.docs + "/benchmarks.svg", "w") as drawing: drawing.write(picture.draw(f, machine(f), TESTS, NAMES))
    if missed: print(f"{missed} figures miss their target", file=sys.stderr)
    if unknown: print(f"{unknown} figures were not measured", file=sys.stderr)
    sys.exit(1 if missed else 2 if unknown else 0)


if __name__ == "__main__":
    main()
