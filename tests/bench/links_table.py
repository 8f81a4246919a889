"""The page of docs/ that tells what links.py has measured, and which figures miss what linnet promises."""

import math
import os
import time

PAGE = "benchmarks-links.md"
ABOUT = """# Benchmarks of the link manager

What links cost under linnetd, beside other link managers in the same run: `DOCS=docs tests/bench/links`, as root on an idle machine. Each program has a network
namespace with the same DHCP server (dnsmasq) at the other end of a cable, and begins with nothing kept. Compare columns on this page, never figures across
machines; [benchmarks.md](benchmarks.md) is about the resolver.

"""
ENDING = """
- Times are medians of {runs} runs. *carrier* counts from the moment at which the kernel is asked to plug the cable in.
- CPU is the program's own, in ticks of 10 ms: 0.00 is less than one.
- *own links* have an address, a route and a rule each, and are set up from nothing; `ip -batch` is given the same as lines.
- *foreign* are links and routes that the program has nothing to do with.
- *resident* is what the kernel counts for the one process that is measured (`VmRSS`), at least a minute after its start, with a lease and ten links more. Most of it
  are pages of the program's file, which are there once for all processes and which the kernel takes back when it wants memory; since Linux 6.18 it counts the
  whole block of the file (a folio, of up to 2 MiB) in which a page is used. *no file's* is what the program has written.
"""
OURS, NETWORKD, MANAGER = "linnetd", "systemd-networkd", "NetworkManager"
# What is promised: figure, whose it is compared with, at most (or at least), unit.
PROMISES = [
    ("start to address, ms", NETWORKD, 0.6),
    ("carrier to address, ms", MANAGER, 0.7),
    ("carrier to right answer, ms", MANAGER, 0.7),
    ("carrier to right answer in a known network, ms", None, 10),
    ("500 foreign veth pairs: CPU, s", None, 0.1),
    ("500 foreign veth pairs: more resident, of it no file's, MiB", None, 0.5),
    ("10000 foreign links: start until it runs, ms", None, 2000),
    ("200000 foreign routes, proto bird, added and deleted: CPU, s", None, 0.02),
    ("200000 foreign routes: more resident after that, MiB", None, 0.1),
    ("1000000 foreign routes, proto bird, added and deleted: CPU, s", None, 0.02),
    ("1000000 foreign routes: more resident after that, MiB", None, 0.1),
    ("1000 own links: speed beside ip -batch", None, -0.8),
    ("1000 own links: things that changed when all was there", None, 0),
    ("resident when idle, MiB", None, 12),
    ("resident when idle and all is validated, MiB", None, 12),
    ("resident when asked once a second, MiB", None, 12),
    ("wake-ups in 60 s of idleness, with a lease, with an Internet", None, 0),
    ("wake-ups in 60 s of idleness, with a lease, without an Internet", None, 0),
]


class Told:
    """What was measured, as it is told."""

    def __init__(self):
        self.values = {}

    def tell(self, name, what, value, more=""):
        self.values[what, name] = value
        print(f"{name:18} {what:78} {value:10.2f} {more}".rstrip(), flush=True)

    def tell_all(self, name, results):
        for what, value in results.items():
            self.tell(name, what, value)


def shown(value):
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def promises(values):
    lines = ["| figure | asked | measured | |", "|---|---:|---:|---|"]
    for what, other, bound in PROMISES:
        value = values.get((what, OURS))
        base = values.get((what, other)) if other else 1.0
        least = bound < 0
        asked = f"at least {-bound}" if least else f"at most {bound}"
        name = what.removesuffix(", ms") + f", to {other}'s" if other else what
        if value is None or not base or math.isnan(value):
            lines.append(f"| {name} | {asked} | – | not measured |")
            continue
        ratio = value / base
        met = ratio >= -bound if least else ratio <= bound
        lines.append(f"| {name} | {asked} | {shown(ratio)} | {'met' if met else '**missed**'} |")
    return lines


def write(folder, values, runs):
    names = [name for name in (OURS, NETWORKD, MANAGER) if any(of == name for _, of in values)]
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal")) / 2**20
    out = [ABOUT + f"Measured {time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {memory:.0f} GiB of memory, Linux {'.'.join(os.uname().release.split('.')[:2])}.\n"]
    out += ["| | " + " | ".join(names) + " |", "|---" + "|---:" * len(names) + "|"]
    for what in dict.fromkeys(what for what, _ in values):
        out.append(f"| {what} | " + " | ".join(shown(values.get((what, name))) for name in names) + " |")
    out += [ENDING.format(runs=runs), "## What linnet promises\n", *promises(values), ""]
    (folder / PAGE).write_text("\n".join(out))
