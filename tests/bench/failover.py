#!/usr/bin/env python3
"""What do clients see when the first of two upstreams fails, and how soon is it asked again when it is back?

The driver of tests/bench/failover, in the namespaces of the shared rig and with its pieces (upstreams, faults, how peers are started).
Besides what the rig measures it tells how a fault that is a second old feels, and when the first upstream has the questions back: from
the question on that begins a row of ten which the first upstream heard and the second did not. FAILOVER_SECONDS is how long a fault
lasts (6); prints a table, and writes one JSON object a line to FAILOVER_OUT. Peers: cmd (told as FAILOVER_NAME), unbound, dnsmasq, resolved.
"""
import ast, json, os, random, shutil, statistics, sys, threading, time

PACE, ROW = 0.05, 10
LASTING = float(os.environ.get("FAILOVER_SECONDS", 6))
BEFORE, AFTER = min(3.0, LASTING), min(4.0, LASTING)


def pieces(path):
    """the rig's functions; its last statement measures at once, and is left out"""
    tree = ast.parse(open(path).read(), path)
    tree.body.pop()
    names = {"__name__": "rig"}
    exec(compile(tree, path, "exec"), names)
    return names


RIG = pieces(os.environ["FAILOVER_RIG"])


class Upstream(RIG["Upstream"]):
    """remembers which names it was asked for and answered"""
    def __init__(self, address):
        self.heard = set()
        super().__init__(address)

    def answer(self, q, who):
        # The first label, whatever the case: 0x20 changes it.
        self.heard.add(q[13:13 + q[12]].lower().decode("ascii", "replace"))
        super().answer(q, who)


def answers():
    for _ in range(100):
        probe = []
        RIG["ask"]("start.example.com", probe, 0)
        if probe[0][2] == 0: return True
        time.sleep(0.05)
    return False


def ask(label, at, out):
    """the rig's question, with its name beside its answer"""
    one = []
    RIG["ask"](label + ".example.com", one, at)
    out.append((label, *one[0]))


def measure(fault, first, second):
    out, threads = [], []
    first.heard.clear(), second.heard.clear()
    began, recovered, number = time.monotonic(), None, 0
    while (now := time.monotonic() - began) < BEFORE + LASTING + AFTER:
        want = fault if BEFORE <= now < BEFORE + LASTING else "ok"
        if first.mode != want:
            first.set(want)
            if want == "ok": recovered = time.monotonic() - began
        thread = threading.Thread(target=ask, args=(f"n{random.getrandbits(60):x}", time.monotonic() - began, out))
        thread.start()
        threads.append(thread)
        number += 1
        time.sleep(max(0, number * PACE - (time.monotonic() - began)))
    for thread in threads: thread.join()
    out.sort(key=lambda r: r[1])
    alone = [(at, label in first.heard and label not in second.heard) for label, at, *_ in out]
    # Did it keep to the order before the fault?
    before = [is_first for at, is_first in alone if at < BEFORE]
    ordered = sum(before) >= 0.9 * len(before)
    after = [(at, is_first) for at, is_first in alone if at >= recovered]
    back = next((at for n, (at, _) in enumerate(after) if len(after) >= n + ROW and all(is_first for _, is_first in after[n:n + ROW])), None)
    during = [r for r in out if BEFORE <= r[1] < BEFORE + LASTING]
    took = sorted(ms for _, _, ms, _, _ in during)
    later = [ms for _, at, ms, _, _ in during if at >= BEFORE + 1]
    codes = [code for *_, code, _ in during]
    return dict(p50_ms=statistics.median(took), later_p50_ms=statistics.median(later) if later else None, p99_ms=took[int(len(took) * 0.99)], worst_ms=took[-1],
                unanswered=codes.count(None), servfail=codes.count(2), asked=len(took), ordered=ordered,
                back_ms=None if back is None else (back - recovered) * 1e3, after_ms=AFTER * 1e3, lasting=LASTING)


def line(r):
    if "error" in r: return f"| {r['peer']} | {r['error']} |"
    back = "no order" if not r["ordered"] else "never" if r["back_ms"] is None else f"{r['back_ms']:.0f}"
    later = "–" if r["later_p50_ms"] is None else f"{r['later_p50_ms']:.1f}"
    return f"| {r['peer']} | {r['fault']} | {r['p50_ms']:.1f} | {later} | {r['p99_ms']:.0f} | {r['worst_ms']:.0f} | {r['unanswered']} | {r['servfail']} | {r['asked']} | {back} |"


def main(peers):
    first, second = Upstream(RIG["FIRST"]), Upstream(RIG["SECOND"])
    first.start(), second.start()
    print("| server | fault | p50 ms | p50 from 1 s on | p99 ms | worst ms | unanswered in 5 s | SERVFAIL | asked | back on the first, ms |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    with open(os.environ["FAILOVER_OUT"], "w") as file:
        for peer in peers:
            for fault in RIG["FAULTS"]:
                first.set("ok")
                process = RIG["serve"](peer)
                figures = measure(fault, first, second) if answers() else {"error": "does not start"}
                first.set("ok")
                process.terminate()
                process.wait()
                r = dict(figures, peer=os.environ.get("FAILOVER_NAME", peer) if peer == "cmd" else peer, fault=fault, date=time.strftime("%Y-%m-%d"))
                file.write(json.dumps(r) + "\n")
                file.flush()
                print(line(r), flush=True)
    shutil.rmtree(RIG["WORK"], ignore_errors=True)


main(sys.argv[1:])
