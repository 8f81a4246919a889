"""The page of docs/ that tells what links.py has measured, and which figures miss what linnet promises."""

import math
import os
import time

import roam

PAGE = "benchmarks-links.md"
ABOUT = """# Benchmarks of the link manager

What links cost under linnetd, beside other link managers in the same run: `DOCS=docs tests/bench/links`, as root on an idle machine. Processors
are kept from halting meanwhile, where the machine allows that: to wake a virtual one takes now less and now more. Each program has a network namespace with the
same DHCP server (dnsmasq) at the other end of a cable, and begins with nothing kept. Compare columns on this page, never figures across machines; [benchmarks.md](benchmarks.md) is about the resolver.
"""
ENDING = """
- Times are medians of {runs} runs. systemd-networkd and NetworkManager have systemd-resolved beside them. *carrier* counts from the moment at which the kernel is asked to plug the cable in.
- CPU is the program's own, in ticks of 10 ms: 0.00 is less than one.
- *own links* have an address, a route and a rule each, and are set up from nothing; `ip -batch` is given the same as lines.
- *foreign* are links and routes that the program has nothing to do with.
- *resident* is what the kernel counts for the one process that is measured (`VmRSS`), at least a minute after its start, with a lease and ten links more. Most of it
  are pages of the program's file, which are there once for all processes and which the kernel takes back when it wants memory; since Linux 6.18 it counts the
  whole block of the file (a folio, of up to 2 MiB) in which a page is used. *no file's* is what the program has written.
"""
ROAMING = """
- `tests/bench/links roam`: {trips} trips to and fro between two networks that have the same names with other addresses and know the way to each other's server. The
  cable is nowhere for 7 s each time, the cache is full of the other network's answers (TTL 60 s), and a client asks every 5 ms from the moment of the new address.
- systemd-networkd and the first NetworkManager have systemd-resolved beside them; the second starts dnsmasq itself. *slowest* is of all trips, the other a median.
- A question is anything to port 53, 443 or 853 of the server of the network before, from the new network.
"""
OURS, NETWORKD, MANAGER, WITH_DNSMASQ = "linnetd", "systemd-networkd", "NetworkManager", "NetworkManager with dnsmasq"
# What is said of a figure that nobody waited for to its end.
IN_VAIN = "in vain"
NAMES = (OURS, NETWORKD, MANAGER, WITH_DNSMASQ)
# What is promised: figure, whose it is compared with, at most (or at least), unit.
PROMISES = [
    ("start to address, ms", NETWORKD, 0.6),
    ("carrier to address, ms", MANAGER, 0.7),
    ("carrier to right answer, ms", MANAGER, 0.7),
    ("carrier to right answer in a known network, ms", None, 10),
    (roam.SLOWEST, None, 150),
    (roam.WRONG, None, 0),
    (roam.STRAY, None, 0),
    ("500 foreign veth pairs: CPU, s", None, 0.1),
    ("500 foreign veth pairs: more resident, of it no file's, MiB", None, 0.5),
    ("10000 foreign links: start until it runs, ms", None, 2000),
    ("200000 foreign routes, proto bird, added and deleted: CPU, s", None, 0.02),
    ("200000 foreign routes, proto static, added and deleted: CPU, s", None, 0.02),
    ("200000 foreign routes: more resident after that, MiB", None, 0.1),
    ("1000000 foreign routes, proto bird, added and deleted: CPU, s", None, 0.02),
    ("1000000 foreign routes, proto static, added and deleted: CPU, s", None, 0.02),
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
        print(f"{name:27} {what:78} {value:10.2f} {more}".rstrip(), flush=True)

    def tell_all(self, name, results):
        for what, value in results.items():
            self.tell(name, what, value)


def shown(value):
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def judged(values):
    """What is promised, each with what was measured of it (or nothing) and whether that is enough."""
    for what, other, bound in PROMISES:
        value = values.get((what, OURS))
        base = values.get((what, other)) if other else 1.0
        if value is None or not base or math.isnan(value) or math.isnan(base):
            yield what, other, bound, None, False
            continue
        ratio = value / base
        yield what, other, bound, ratio, ratio >= -bound if bound < 0 else ratio <= bound


def missed(values):
    """The exit code: 1 when a figure misses what is promised, 2 when it was to be measured and was not, for linnetd was not done with it."""
    code = 0
    for what, other, _, ratio, met in judged(values):
        if ratio is not None and not met:
            print(f"missed: {what}", flush=True)
            code = 1
        elif ratio is None and math.isnan(values.get((what, OURS), 0.0)):
            print(f"not measured: {what}", flush=True)
            code = code or 2
    for what, name in values:
        if name == OURS and IN_VAIN in what:
            print(f"not measured: {what}", flush=True)
            code = code or 2
    return code


def promises(values):
    lines = ["| figure | asked | measured | |", "|---|---:|---:|---|"]
    for what, other, bound, ratio, met in judged(values):
        asked = f"at least {-bound}" if bound < 0 else f"at most {bound}"
        name = what.removesuffix(", ms") + f", to {other}'s" if other else what
        if ratio is None:
            lines.append(f"| {name} | {asked} | – | not measured |")
            continue
        lines.append(f"| {name} | {asked} | {shown(ratio)} | {'met' if met else '**missed**'} |")
    return lines


def table(values):
    names = [name for name in NAMES if any(of == name for _, of in values)]
    out = ["| | " + " | ".join(names) + " |", "|---" + "|---:" * len(names) + "|"]
    for what in dict.fromkeys(what for what, _ in values):
        out.append(f"| {what} | " + " | ".join(shown(values.get((what, name))) for name in names) + " |")
    return out


def told_by(section):
    """The figures of a section as the page tells them."""
    values, names = {}, []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| | "):
            names = cells[1:]
        elif line.startswith("| ") and names:
            values |= {(cells[0], name): float(cell) for name, cell in zip(names, cells[1:]) if cell != "–"}
    return values


def write(folder, values, runs):
    """Writes the page. One of its two sections that this run has measured nothing of stays as it is."""
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal")) / 2**20
    measured = f"Measured {time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {memory:.0f} GiB of memory, Linux {'.'.join(os.uname().release.split('.')[:2])}."
    page = folder / PAGE
    before = page.read_text() if page.exists() else ""
    roaming = {key: value for key, value in values.items() if key[0] in roam.ROWS}
    others = {key: value for key, value in values.items() if key[0] not in roam.ROWS}
    sections, figures = [], {}
    for head, mine, ending in (("## Times and costs", others, ENDING.format(runs=runs)), ("## From network to network", roaming, ROAMING.format(trips=runs))):
        kept = before.split(f"{head}\n", 1)[-1].split("\n## ", 1)[0] if f"{head}\n" in before else ""
        if mine:
            kept = "\n".join(["", measured, "", *table(mine), ending])
        if kept.strip():
            sections.append(f"{head}\n\n{kept.strip()}\n")
        figures |= mine or told_by(kept)
    page.write_text("\n".join([ABOUT.rstrip() + "\n", *sections, "## What linnet promises\n", *promises(figures), ""]))
