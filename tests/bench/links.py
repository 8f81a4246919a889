"""Times and costs of link managers in one namespace; called by tests/bench/links, which explains.

Programs take turns, each run begins with nothing kept. Where all of it happens is link_rig.py's.
"""

import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import links_table
import network_manager
import roam
from link_rig import (NETWORKD, Internet, InVain, Linnetd, Networkd, Plug, answers, clean, has_address, plug, raise_network, raise_servers, sh,
                      stop, until)

RUNS = int(os.environ.get("RUNS", "7"))
ROUTES = [int(size) for size in os.environ.get("ROUTES", "200000,1000000").split(",")]
PAIRS = int(os.environ.get("PAIRS", "500"))
IDLE = int(os.environ.get("IDLE", "60"))
OWN = int(os.environ.get("OWN", "1000"))
OWN_RUNS = max(1, min(RUNS, 5))
# Links that are there while a program is idle.
TEN = 10
MANY = [int(size) for size in os.environ.get("MANY", "10000,64000").split(",")]
# How long a program may take where there are many links.
PATIENCE = 300.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid, which="VmRSS"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def wakeups(pid):
    count = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                count += int(line.split()[1])
    return count


def from_start(subject):
    clean()
    plug("up")
    time.sleep(1.2)
    sh("ip addr flush dev c0")
    subject.prepare()
    begun = time.monotonic()
    process = subject.start()
    took = until("an address", has_address, pause=0.0001) - begun
    stop(subject, process)
    return took


def from_carrier(subject):
    """Time to address and to the right answer in a new network, and to the right answer when it is back."""
    clean()
    plug("down")
    subject.prepare()
    process = subject.start()
    until("it runs", subject.is_up)
    time.sleep(1.0)
    begun = plug("up")
    address = until("an address", has_address, pause=0.0001) - begun
    answer = until("an answer", answers) - begun if subject.resolves else None
    back = None
    if subject.resolves:
        time.sleep(7.0)
        plug("down")
        time.sleep(2.0)
        begun = plug("up")
        back = until("an answer again", answers) - begun
    stop(subject, process)
    return address, answer, back


def settle(process):
    """Waits until a program has done with what happened."""
    last, same, begun = cpu(process.pid), 0, time.monotonic()
    while same < 4:
        if time.monotonic() - begun > PATIENCE:
            raise InVain("it is done")
        time.sleep(0.25)
        current = cpu(process.pid)
        same = same + 1 if current == last else 0
        last = current
    return last


def scale(subject):
    """What links and routes of others cost, and what rest costs."""
    clean()
    plug("up")
    subject.prepare()
    started = time.monotonic()
    process = subject.start()
    results = {}
    try:
        until("an address", has_address)
        links_and_routes(subject, process, started, results)
    except InVain as vain:
        # Whoever is not done with a million routes after minutes need not be waited for: what it took until then is told above.
        results[f"links and routes of others: {links_table.IN_VAIN} for {PATIENCE:.0f} s: {vain}"] = math.nan
        for line in ("ip link del f0", "ip link del group 78"):
            subprocess.run(line.split(), stderr=subprocess.DEVNULL, check=False)
    stop(subject, process)
    return results


def links_and_routes(subject, process, started, results):
    settle(process)
    results["resident, MiB"] = resident(process.pid)
    # What a first link of others needs of the program is no part of what five hundred cost.
    sh("ip link add a0 type veth peer name b0 && sleep 0.2 && ip link del a0")
    before, memory, written = settle(process), resident(process.pid), resident(process.pid, "RssAnon")
    batch = "\n".join(f"link add a{i} type veth peer name b{i}" for i in range(PAIRS))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    after = settle(process)
    results[f"{PAIRS} foreign veth pairs: CPU, s"] = after - before
    results[f"{PAIRS} foreign veth pairs: more resident, MiB"] = resident(process.pid) - memory
    results[f"{PAIRS} foreign veth pairs: more resident, of it no file's, MiB"] = resident(process.pid, "RssAnon") - written
    subprocess.run(["ip", "-batch", "-"], input="\n".join(f"link del a{i}" for i in range(PAIRS)), text=True, check=True)
    before, memory = settle(process), resident(process.pid)
    sh("ip link add f0 type veth peer name f1 && ip link set f0 up && ip link set f1 up && ip addr add 203.0.113.1/24 dev f0")
    for count in ROUTES:
        for protocol in ("bird", "static"):
            before = settle(process)
            routes = "\n".join(
                f"route add {10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24 via 203.0.113.2 proto {protocol}" for i in range(count))
            subprocess.run(["ip", "-batch", "-"], input=routes, text=True, check=True)
            sh(f"ip route flush proto {protocol}")
            results[f"{count} foreign routes, proto {protocol}, added and deleted: CPU, s"] = settle(process) - before
        results[f"{count} foreign routes: more resident after that, MiB"] = resident(process.pid) - memory
    sh("ip link del f0")
    for number in range(TEN // 2):
        sh(f"ip link add t{number} group 78 type veth peer name u{number} && ip link set t{number} up && ip link set u{number} up")
    # Their own addresses come to be usable, which is told.
    time.sleep(10.0)
    results[f"wake-ups in {IDLE} s of idleness, with a lease, without an Internet"] = idle(process, started)
    results["resident when idle, MiB"] = resident(process.pid)
    results["resident when idle: of it no file's, MiB"] = resident(process.pid, "RssAnon")
    if subject.name == Linnetd.name:
        results["resident when asked once a second, MiB"] = asked(process)
    for number in range(TEN // 2):
        sh(f"ip link del t{number}")


def idle(process, started):
    """How often a program wakes for nothing. linnetd looks at a clock that nobody synchronises 5, 15 and 35 s after its start, and then when
    somebody asks; and by then it has tried often enough to reach an Internet."""
    settle(process)
    time.sleep(max(0.0, started + 75.0 - time.monotonic()))
    before = wakeups(process.pid)
    time.sleep(IDLE)
    return wakeups(process.pid) - before


def asked(process):
    """How much memory a program has when it is asked for a new name once a second."""
    for _ in range(IDLE):
        answers()
        time.sleep(1.0)
    return resident(process.pid)


def idle_with_internet(subject, folder):
    """The same where there is an Internet and linnetd has found it, with everything that it validates switched on."""
    internet = Internet(folder)
    anchors = folder / "etc" / "anchors.d"
    anchors.mkdir(parents=True, exist_ok=True)
    (anchors / "root.key").write_text(internet.anchor)
    subject.settings = '[resolver]\nrecursion = "never"\ntrust-anchors = "anchors.d"\n'
    router = raise_servers(folder, "--server=127.0.0.2")
    clean()
    plug("up")
    started = time.monotonic()
    process = subject.start()
    until("an address", has_address)
    until("an Internet", lambda: '"validated"' in subject.ask("status", "--json"), pause=0.2)
    results = {f"wake-ups in {IDLE} s of idleness, with a lease, with an Internet": idle(process, started)}
    results["resident when idle and all is validated, MiB"] = resident(process.pid)
    stop(subject, process)
    subject.settings = Linnetd.settings
    for other in (router, internet.process):
        other.terminate()
        other.wait()
    return results


def own_items(number):
    """Address, route and rule of one of our own links, as a profile and as lines for `ip -batch`."""
    net, other = f"10.{number >> 8}.{number & 255}", f"172.{16 + (number >> 8)}.{number & 255}"
    table, priority = 1000 + number, 1000 + number
    profile = (f'match = {{ name = "o{number}" }}\naddresses = ["{net}.1/24"]\n'
               f'[[routes]]\nto = "{other}.0/24"\nvia = "{net}.2"\nmetric = 100\n'
               f'[[rules]]\nfrom = "{net}.0/24"\ntable = {table}\npriority = {priority}\n')
    lines = (f"link set o{number} up\naddr add {net}.1/24 dev o{number} metric 100\n"
             f"route add {other}.0/24 via {net}.2 dev o{number} metric 100 proto 112\n"
             f"rule add from {net}.0/24 table {table} priority {priority} protocol 112\n")
    return profile, lines


def own_routes():
    """How many routes to 172/8 the main table has: those of our own links."""
    lines = Path("/proc/self/net/route").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[1].endswith("AC"))


def own_rules():
    return sh("ip -4 rule").count("from 10.")


def raise_own():
    batch = "\n".join(f"link add o{i} group 79 type veth peer name p{i}" for i in range(OWN))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    batch = "\n".join(f"link set p{i} up" for i in range(OWN))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)


def drop_own():
    # All at once: this is what the kernel is quick at.
    sh("ip link del group 79")
    batch = "\n".join(f"rule del priority {1000 + i} protocol 112" for i in range(OWN))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)


def own_links(subject, folder):
    """How fast a thousand links of our own are set up, beside `ip -batch`, and what it costs when all is there already. By turns, and as
    medians: how long a kernel takes to bring up the same thousand links differs by half and more from one time to the next."""
    results = {}
    texts = [own_items(number) for number in range(OWN)]
    profiles = folder / "etc" / "profiles"
    rounds = {}
    for number in range(OWN_RUNS):
        by_ip = own_by_ip(texts)
        process = subject.start()
        until("it runs", subject.is_up)
        raise_own()
        settle(process)
        for place, (profile, _) in enumerate(texts):
            (profiles / f"o{place}.toml").write_text(profile)
        before = cpu(process.pid)
        begun = time.monotonic()
        subject.ask("config", "reload")
        read = time.monotonic() - begun
        # To look is dear, and the looker has half of the machine: not too often.
        until("all routes", lambda: own_routes() == OWN, pause=0.02)
        took = until("all rules", lambda: own_rules() == OWN, pause=0.01) - begun
        values = {"by ip -batch, ms": by_ip * 1e3, "from the reload on, ms": took * 1e3, "of it until the reload is answered, ms": read * 1e3,
                  "CPU, s": settle(process) - before}
        for what, value in values.items():
            rounds.setdefault(what, []).append(value)
        stop(subject, process)
        if number + 1 < OWN_RUNS:
            undo_own(profiles)
    for what, values in rounds.items():
        results[f"{OWN} own links: {what}"] = statistics.median(values)
    by_ip, took = (results[f"{OWN} own links: {what}"] for what in ("by ip -batch, ms", "from the reload on, ms"))
    results[f"{OWN} own links: speed beside ip -batch"] = by_ip / took
    # Once more: nothing is to be written, whoever asks for it. The kernel itself tells of a hundred carriers a second, long after all is set up.
    until("all carriers", lambda: sh("ip -br link").count(" UP ") >= 2 * OWN, pause=0.2)
    monitor = subprocess.Popen(["ip", "-4", "monitor", "link", "address", "route", "rule"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    (folder / "run" / "control").unlink(missing_ok=True)
    begun = time.monotonic()
    process = subject.run()
    results[f"{OWN} own links: start with all there, ms"] = (until("it runs", subject.is_up) - begun) * 1e3
    settle(process)
    subject.ask("config", "reload")
    settle(process)
    monitor.terminate()
    told = [line for line in monitor.communicate()[0].splitlines() if " o" in line or "rule" in line]
    results[f"{OWN} own links: things that changed when all was there"] = len(told)
    stop(subject, process)
    undo_own(profiles)
    return results


def own_by_ip(texts):
    """How long `ip -batch` takes for the same, in seconds."""
    clean()
    raise_own()
    time.sleep(2.0)
    begun = time.monotonic()
    subprocess.run(["ip", "-batch", "-"], input="".join(lines for _, lines in texts), text=True, check=True)
    by_ip = time.monotonic() - begun
    if (own_routes(), own_rules()) != (OWN, OWN):
        raise SystemExit(f"ip has set up {own_routes()} routes and {own_rules()} rules of {OWN}")
    drop_own()
    return by_ip


def undo_own(profiles):
    drop_own()
    for number in range(OWN):
        (profiles / f"o{number}.toml").unlink()


def many_links(subject, count):
    """How soon a program runs where there are many links of others, in what memory, and what becomes of it when they go."""
    # First: the kernel takes a hundred links a second to tell of a carrier, and c0 would wait for all others.
    clean()
    plug("up")
    until("a carrier", lambda: Path("/sys/class/net/c0/operstate").read_text() == "up\n", pause=0.05)
    batch = "\n".join(f"link add m{i} group 77 type veth peer name n{i}" for i in range(count // 2))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    sh("ip addr flush dev c0")
    time.sleep(2.0)
    subject.prepare()
    begun = time.monotonic()
    process = subject.start()
    what, results = f"{count} foreign links", {}
    try:
        results[f"{what}: start until it runs, ms"] = (until("it runs", subject.is_up, limit=PATIENCE) - begun) * 1e3
        results[f"{what}: start to address, ms"] = (until("an address", has_address, limit=PATIENCE) - begun) * 1e3
        before = settle(process)
        results[f"{what}: CPU, s"] = before
        results[f"{what}: resident, MiB"] = resident(process.pid)
        # All at once: this is what the kernel is quick at.
        sh("ip link del group 77")
        results[f"{what}: CPU while they go, s"] = settle(process) - before
        results[f"{what}: resident when they are gone, MiB"] = resident(process.pid)
    except InVain as vain:
        results[f"{what}: {links_table.IN_VAIN} for {PATIENCE:.0f} s: {vain}"] = math.nan
        sh("ip link del group 77")
    stop(subject, process)
    return results


def chosen(subjects):
    only = os.environ.get("ONLY")
    return [subject for subject in subjects if only is None or subject.name in only.split(",")]


def main():
    folder = Path(tempfile.mkdtemp(prefix="links."))
    folder.chmod(0o755)
    router = raise_network(folder)
    Plug.the = Plug()
    subjects = [Linnetd(folder)]
    if Path(NETWORKD).exists():
        subjects.append(Networkd(folder))
    absent = network_manager.missing()
    if absent is None:
        subjects.append(network_manager.NetworkManager(folder))
    else:
        print(f"NetworkManager is not measured: there is no {absent}", flush=True)
    subjects = chosen(subjects)
    wanted = sys.argv[1:] or ["start", "carrier", "scale", "own", "many", "internet", "roam"]
    told = links_table.Told()
    times = {subject.name: {} for subject in subjects}
    if "start" in wanted:
        for _ in range(RUNS):
            for subject in subjects:
                times[subject.name].setdefault("start to address", []).append(from_start(subject))
    if "carrier" in wanted:
        for _ in range(RUNS):
            for subject in subjects:
                address, answer, back = from_carrier(subject)
                row = times[subject.name]
                row.setdefault("carrier to address", []).append(address)
                if answer is not None:
                    row.setdefault("carrier to right answer", []).append(answer)
                    row.setdefault("carrier to right answer in a known network", []).append(back)
    for subject in subjects:
        for what, values in times[subject.name].items():
            values.sort()
            told.tell(subject.name, f"{what}, ms", statistics.median(values) * 1e3, f"({values[0] * 1e3:.1f} to {values[-1] * 1e3:.1f})")
    if "scale" in wanted:
        for subject in subjects:
            told.tell_all(subject.name, scale(subject))
    if "own" in wanted:
        told.tell_all(subjects[0].name, own_links(subjects[0], folder))
    if "many" in wanted:
        for count in MANY:
            for subject in subjects:
                told.tell_all(subject.name, many_links(subject, count))
    router.terminate()
    router.wait()
    if "internet" in wanted:
        told.tell_all(subjects[0].name, idle_with_internet(subjects[0], folder))
    if "roam" in wanted:
        # Last: nothing of the network of the others is left as it was.
        if absent is None:
            subjects.append(network_manager.NetworkManagerWithDnsmasq(folder))
        roam.roam(folder, chosen(subjects), RUNS, told)
    shutil.rmtree(folder, ignore_errors=True)
    if docs := os.environ.get("DOCS"):
        links_table.write(Path(docs), told.values, RUNS)
    return links_table.missed(told.values)


try:
    sys.exit(main())
except InVain as vain:
    raise SystemExit(f"in vain: {vain}") from None
