#!/usr/bin/env python3
"""What tests/bench/failover and tests/bench/upstream-faults have measured: its tables for the page, and which figures miss a promise.

failures.py keep FILE            reads the table that upstream-faults prints, and writes it as JSON, one object a line
failures.py check KIND STATE     says which figures of linnet miss what it promises, and ends with 1 when one does or was not measured
"""
import json, os, re, sys, time

FAILOVER, ONLY = "failover", "upstream-faults"
FAULTS = {FAILOVER: ["drop", "refuse", "servfail", "loss", "slow"], ONLY: ["killed", "blackholed", "30 % loss", "TCP only", "truncating", "1 s late"]}
WORDS = {"drop": "packets vanish", "refuse": "port closed", "servfail": "SERVFAIL", "loss": "30 % loss", "slow": "1 s late"}
NAMES = {"resolved": "systemd-resolved"}
COLUMNS = ["peer", "fault", "p50_ms", "p99_ms", "worst_ms", "errors", "unanswered", "asked", "back_ms"]
NEVER = float("inf")


def read(state):
    """what lies in the folder, by kind; nothing of a kind that was never measured"""
    found = {}
    for kind in FAULTS:
        path = f"{state}/{kind}.jsonl"
        rows = [json.loads(line) for line in open(path)] if os.path.exists(path) else []
        found[kind] = [r for r in rows if "error" not in r]
    return found


def ours(found, kind):
    """linnet's rows when there is one for every fault"""
    rows = [r for r in found[kind] if r["peer"] == "linnet"]
    return rows if [r["fault"] for r in rows] == FAULTS[kind] else None


def back(r):
    """how soon the first upstream had the questions back; a linnet that keeps no order misses as well as one that never goes back"""
    return r["back_ms"] if r["ordered"] and r["back_ms"] is not None else NEVER


def targets(found, kinds=(FAILOVER, ONLY)):
    """what linnet promises, as table.py tells it: (figure, measured, the bound, the unit)"""
    two, one = ours(found, FAILOVER), ours(found, ONLY)
    add = lambda key: None if two is None else sum(r[key] for r in two)
    worst = lambda rows, figure: None if rows is None or any(figure(r) is None for r in rows) else max(figure(r) for r in rows)
    of = {
        FAILOVER: [
            ("first of two upstreams fails: unanswered", add("unanswered"), 0, ""),
            ("first of two upstreams fails: SERVFAIL", add("servfail"), 0, ""),
            ("first of two upstreams fails: p99 in the worst of five faults", worst(two, lambda r: r["p99_ms"]), 250, "ms"),
            ("first of two upstreams fails: p50 once the fault is a second old", worst(two, lambda r: r["later_p50_ms"]), 2, "ms"),
            ("first of two upstreams is back: until it is asked again", worst(two, back), 1000, "ms"),
        ],
        ONLY: [("the only upstream fails: the longest wait in six faults", worst(one, lambda r: r["worst_ms"]), 4500, "ms")],
    }
    return [target for kind in kinds for target in of[kind]]


def table(head, rows):
    return ["| | " + " | ".join(head) + " |\n|---|---" + "|---:" * (len(head) - 1) + "|", *("| " + " | ".join(row) + " |" for row in rows), ""]


def peer(r):
    return NAMES.get(r["peer"], r["peer"])


def section(found):
    """the sections of the page, as lines"""
    out = []
    two, one = found[FAILOVER], found[ONLY]
    out.append("## When the first of two upstreams fails\n")
    if two:
        out.append(f"For {two[0]['lasting']:.0f} s, with 20 new names a second; a client waits for 5 s, as the C library does (`tests/bench/failover`, measured {two[0]['date']}).\n")
        number = lambda value, form="{:.1f}": "–" if value is None else form.format(value)
        again = lambda r: "no order" if not r["ordered"] else f"not in {r['after_ms'] / 1e3:.0f} s" if r["back_ms"] is None else f"{r['back_ms']:.0f}"
        out += table(["fault", "unanswered", "SERVFAIL", "asked", "p50 ms", "p50 from 1 s on", "p99 ms", "worst ms", "back on the first after ms"],
                     [[peer(r), WORDS.get(r["fault"], r["fault"]), str(r["unanswered"]), str(r["servfail"]), str(r["asked"]), number(r["p50_ms"]), number(r["later_p50_ms"]),
                       number(r["p99_ms"], "{:.0f}"), number(r["worst_ms"], "{:.0f}"), again(r)] for r in two])
        out.append("- *p50 from 1 s on*: of the questions that came when the fault was at least a second old.\n"
                   "- *back on the first*: from the end of the fault until the first upstream alone gets the questions, ten in a row. *No order*: before the fault it did not keep to the first.\n"
                   "- dnsmasq keeps to whichever was faster: of a fault of the other one it notices nothing.\n")
    else: out.append("Not measured.\n")
    out.append("## When the only upstream fails\n")
    if one:
        out.append(f"For {one[0]['lasting']:.0f} s, with 50 new names a second (`tests/bench/upstream-faults`, measured {one[0]['date']}).\n")
        out += table(["fault", "p50 ms", "p99 ms", "worst ms", "errors", "unanswered in 5 s", "asked", "right again after ms"],
                     [[peer(r), r["fault"], f"{r['p50_ms']:.1f}", f"{r['p99_ms']:.0f}", f"{r['worst_ms']:.0f}", f"{r['errors']:.0f}", f"{r['unanswered']:.0f}", f"{r['asked']:.0f}",
                       "not in 30 s" if r["back_ms"] is None else f"{r['back_ms']:.0f}"] for r in one])
        out.append("- *errors*: answers that say SERVFAIL, or have no address; linnet says in each why (EDE). *right again*: from the end of the fault to the first right answer.\n")
    else: out.append("Not measured.\n")
    return out


def keep(path):
    """passes the table on, and keeps what it says"""
    with open(path, "w") as file:
        for line in sys.stdin:
            print(line, end="", flush=True)
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if not line.startswith("|") or len(cells) != len(COLUMNS) or not re.fullmatch(r"[0-9.]+", cells[2]): continue
            number = lambda cell: None if cell == "never" else float(cell)
            r = dict(zip(COLUMNS, [*cells[:2], *map(number, cells[2:])]), lasting=float(os.environ.get("LINNET_FAULTS_SECONDS", 6)), date=time.strftime("%Y-%m-%d"))
            file.write(json.dumps(r) + "\n")
            file.flush()


def check(kind, state):
    missed = 0
    for what, value, bound, unit in targets(read(state), [kind]):
        if value is None or value > bound:
            missed += 1
            print(f"missed: {what}: {'not measured' if value is None else 'never' if value == NEVER else f'{value:.1f} {unit}'.rstrip()}, at most {bound} {unit}".rstrip())
    sys.exit(missed > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["keep"] and len(sys.argv) == 3: keep(sys.argv[2])
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 4: check(*sys.argv[2:])
    else: sys.exit(__doc__)
