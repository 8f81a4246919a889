"""Times and costs of link managers in one namespace; called by tests/bench/links, which explains.

The measured program runs in the namespace of the bench; its network is another namespace with dnsmasq. Programs take
turns, each run begins with nothing kept.
"""

import os
import random
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import network_manager

RUNS = int(os.environ.get("RUNS", "7"))
ROUTES = int(os.environ.get("ROUTES", "200000"))
PAIRS = int(os.environ.get("PAIRS", "500"))
IDLE = int(os.environ.get("IDLE", "60"))
OWN = int(os.environ.get("OWN", "1000"))
MANY = int(os.environ.get("MANY", "10000"))
NETWORKD = "/lib/systemd/systemd-networkd"
NAME_ADDRESS = "192.0.2.80"
TICKS = os.sysconf("SC_CLK_TCK")


def sh(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def until(what, holds, limit=30.0, pause=0.0005):
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > limit:
            raise SystemExit(f"in vain: {what}")
        time.sleep(pause)
    return time.monotonic()


def has_address():
    """Whether c0 has an IPv4 address, without a process for each look."""
    query = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with query:
        try:
            import fcntl

            fcntl.ioctl(query, 0x8915, struct.pack("256s", b"c0"))
            return True
        except OSError:
            return False


def answers():
    """Whether the stub gives the network's own answer for a name that nobody asked for."""
    label = f"n{random.getrandbits(48):x}".encode()
    wire = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0)
    for part in (label, b"test"):
        wire += bytes([len(part)]) + part
    wire += b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        query.settimeout(0.02)
        try:
            query.sendto(wire, ("127.0.0.53", 53))
            reply = query.recv(2048)
        except OSError:
            return False
    return socket.inet_aton(NAME_ADDRESS) in reply


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def wakeups(pid):
    count = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                count += int(line.split()[1])
    return count


class Linnetd:
    name = "linnetd"
    resolves = True

    def __init__(self, folder):
        self.folder = folder
        self.program = os.environ["LINNETD"]

    def start(self):
        for part in ("run", "state"):
            shutil.rmtree(self.folder / part, ignore_errors=True)
        profiles = self.folder / "etc" / "profiles"
        profiles.mkdir(parents=True, exist_ok=True)
        (self.folder / "etc" / "linnet.toml").write_text('[resolver]\ndnssec = "off"\nrecursion = "never"\n')
        (profiles / "c.toml").write_text('match = { name = "c0" }\ndhcp4 = true\n')
        options = [f"--{part}-dir={self.folder / where}" for part, where in
                   (("config", "etc"), ("runtime", "run"), ("state", "state"))]
        # The machine's own is about another network.
        (self.folder / "resolv.conf").write_text("")
        self.command = [self.program, "--user=root", f"--resolv-conf={self.folder / 'resolv.conf'}", *options]
        return self.run()

    def run(self):
        log = open(self.folder / "linnetd.log", "ab")
        return subprocess.Popen(self.command, stdout=log, stderr=log)

    def is_up(self):
        return (self.folder / "run" / "control").exists()

    def prepare(self):
        """Nothing runs beside it."""

    def finish(self):
        """Nothing ran beside it."""

    def ask(self, *words):
        linnet = Path(self.program).parent / "linnet"
        return sh(f"{linnet} --socket={self.folder / 'run' / 'control'} {' '.join(words)}")


class Networkd:
    name = "systemd-networkd"
    resolves = False

    def __init__(self, folder):
        self.folder = folder

    def start(self):
        sh("rm -rf /run/systemd/netif /run/systemd/network; mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/network; "
           "chown -R systemd-network /run/systemd/netif 2>/dev/null || true")
        Path("/run/systemd/network/10-c.network").write_text(
            "[Match]\nName=c0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n")
        log = open(self.folder / "networkd.log", "ab")
        return subprocess.Popen([NETWORKD], stdout=log, stderr=log)

    def is_up(self):
        return Path("/run/systemd/netif/state").exists()

    def prepare(self):
        """Nothing runs beside it."""

    def finish(self):
        """Nothing ran beside it."""


def raise_network(folder):
    sh("mount -t tmpfs tmpfs /run && mkdir -p /run/netns && mount --bind /run/netns /run/netns && mount -t sysfs -o ro sysfs /sys")
    sh("ip link set lo up && ip netns add lan && ip -n lan link set lo up && ip link add c0 type veth peer name s0 netns lan && "
       "ip -n lan addr add 192.0.2.1/24 dev s0 && ip -n lan link set s0 up")
    log = open(folder / "dnsmasq.log", "ab")
    return subprocess.Popen(
        ["ip", "netns", "exec", "lan", "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--user=root", "--group=root", "--interface=s0",
         "--bind-dynamic", "--no-resolv", "--no-hosts", "--no-ping", "--dhcp-authoritative", "--dhcp-range=192.0.2.100,192.0.2.200,1h",
         f"--dhcp-leasefile={folder / 'leases'}", f"--address=/test/{NAME_ADDRESS}"], stdout=log, stderr=log)


def plug(how):
    sh(f"ip -n lan link set s0 {how}")


def clean():
    sh("ip link set c0 down; ip addr flush dev c0; ip link set c0 up")


def stop(subject, process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    subject.finish()


def from_start(subject):
    clean()
    plug("up")
    time.sleep(1.2)
    sh("ip addr flush dev c0")
    subject.prepare()
    begun = time.monotonic()
    process = subject.start()
    took = until("an address", has_address) - begun
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
    begun = time.monotonic()
    plug("up")
    address = until("an address", has_address) - begun
    answer = until("an answer", answers) - begun if subject.resolves else None
    back = None
    if subject.resolves:
        time.sleep(7.0)
        plug("down")
        time.sleep(2.0)
        begun = time.monotonic()
        plug("up")
        back = until("an answer again", answers) - begun
    stop(subject, process)
    return address, answer, back


def settle(process):
    """Waits until a program has done with what happened."""
    last, same = cpu(process.pid), 0
    while same < 4:
        time.sleep(0.25)
        current = cpu(process.pid)
        same = same + 1 if current == last else 0
        last = current
    return last


def scale(subject):
    clean()
    plug("up")
    subject.prepare()
    started = time.monotonic()
    process = subject.start()
    until("an address", has_address)
    before, memory = settle(process), resident(process.pid)
    results = {"resident, MiB": memory}
    batch = "\n".join(f"link add a{i} type veth peer name b{i}" for i in range(PAIRS))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    after = settle(process)
    results[f"{PAIRS} foreign veth pairs: CPU, s"] = after - before
    results[f"{PAIRS} foreign veth pairs: more resident, MiB"] = resident(process.pid) - memory
    subprocess.run(["ip", "-batch", "-"], input="\n".join(f"link del a{i}" for i in range(PAIRS)), text=True, check=True)
    before, memory = settle(process), resident(process.pid)
    sh("ip link add f0 type veth peer name f1 && ip link set f0 up && ip link set f1 up && ip addr add 203.0.113.1/24 dev f0")
    for protocol in ("bird", "static"):
        before = settle(process)
        routes = "\n".join(
            f"route add {10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24 via 203.0.113.2 proto {protocol}" for i in range(ROUTES))
        subprocess.run(["ip", "-batch", "-"], input=routes, text=True, check=True)
        sh(f"ip route flush proto {protocol}")
        results[f"{ROUTES} foreign routes, proto {protocol}, added and deleted: CPU, s"] = settle(process) - before
    results["more resident after that, MiB"] = resident(process.pid) - memory
    sh("ip link del f0")
    settle(process)
    # linnetd looks at a clock that nobody synchronises 5, 15 and 35 s after its start, and then when somebody asks.
    time.sleep(max(0.0, started + 40.0 - time.monotonic()))
    before = wakeups(process.pid)
    time.sleep(IDLE)
    results[f"wake-ups in {IDLE} s of idleness"] = wakeups(process.pid) - before
    stop(subject, process)
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
    batch = "\n".join(f"link add o{i} type veth peer name p{i}" for i in range(OWN))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    batch = "\n".join(f"link set p{i} up" for i in range(OWN))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)


def drop_own():
    batch = "\n".join(f"link del o{i}" for i in range(OWN))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    sh("while ip -4 rule del protocol 112 2>/dev/null; do :; done")


def own_links(subject, folder):
    """How fast a thousand links of our own are set up, beside `ip -batch`, and what it costs when all is there already."""
    results = {}
    texts = [own_items(number) for number in range(OWN)]
    clean()
    # What ip does.
    raise_own()
    time.sleep(2.0)
    begun = time.monotonic()
    subprocess.run(["ip", "-batch", "-"], input="".join(lines for _, lines in texts), text=True, check=True)
    by_ip = time.monotonic() - begun
    if (own_routes(), own_rules()) != (OWN, OWN):
        raise SystemExit(f"ip has set up {own_routes()} routes and {own_rules()} rules of {OWN}")
    drop_own()
    # What linnetd does: nothing is there, then the profiles come.
    profiles = folder / "etc" / "profiles"
    process = subject.start()
    until("it runs", subject.is_up)
    raise_own()
    settle(process)
    for number, (profile, _) in enumerate(texts):
        (profiles / f"o{number}.toml").write_text(profile)
    before = cpu(process.pid)
    begun = time.monotonic()
    subject.ask("config", "reload")
    read = time.monotonic() - begun
    until("all routes", lambda: own_routes() == OWN, pause=0.005)
    took = until("all rules", lambda: own_rules() == OWN, pause=0.005) - begun
    results[f"{OWN} own links: by ip -batch, ms"] = by_ip * 1e3
    results[f"{OWN} own links: from the reload on, ms"] = took * 1e3
    results[f"{OWN} own links: of it until the reload is answered, ms"] = read * 1e3
    results[f"{OWN} own links: speed beside ip -batch"] = by_ip / took
    results[f"{OWN} own links: CPU, s"] = settle(process) - before
    # Once more: nothing is to be written, whoever asks for it.
    stop(subject, process)
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
    drop_own()
    for number in range(OWN):
        (profiles / f"o{number}.toml").unlink()
    return results


def many_links(subject):
    """How soon a program runs where there are many links of others, and in what memory."""
    # First: the kernel takes a hundred links a second to tell of a carrier, and c0 would wait for all others.
    clean()
    plug("up")
    until("a carrier", lambda: Path("/sys/class/net/c0/operstate").read_text() == "up\n", pause=0.05)
    batch = "\n".join(f"link add m{i} type veth peer name n{i}" for i in range(MANY // 2))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    sh("ip addr flush dev c0")
    time.sleep(2.0)
    subject.prepare()
    begun = time.monotonic()
    process = subject.start()
    results = {f"{MANY} foreign links: start until it runs, ms": (until("it runs", subject.is_up) - begun) * 1e3}
    results[f"{MANY} foreign links: start to address, ms"] = (until("an address", has_address) - begun) * 1e3
    results[f"{MANY} foreign links: CPU, s"] = settle(process)
    results[f"{MANY} foreign links: resident, MiB"] = resident(process.pid)
    stop(subject, process)
    batch = "\n".join(f"link del m{i}" for i in range(MANY // 2))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    return results


def main():
    folder = Path(tempfile.mkdtemp(prefix="links."))
    folder.chmod(0o755)
    router = raise_network(folder)
    subjects = [Linnetd(folder)]
    if Path(NETWORKD).exists():
        subjects.append(Networkd(folder))
    absent = network_manager.missing()
    if absent is None:
        subjects.append(network_manager.NetworkManager(folder))
    else:
        print(f"NetworkManager is not measured: there is no {absent}", flush=True)
    wanted = sys.argv[1:] or ["start", "carrier", "scale", "own", "many"]
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
            print(f"{subject.name:18} {what:46} median {statistics.median(values) * 1e3:8.1f} ms  "
                  f"({values[0] * 1e3:.1f} to {values[-1] * 1e3:.1f})", flush=True)
    if "scale" in wanted:
        for subject in subjects:
            for what, value in scale(subject).items():
                print(f"{subject.name:18} {what:70} {value:10.2f}", flush=True)
    if "own" in wanted:
        for what, value in own_links(subjects[0], folder).items():
            print(f"{subjects[0].name:18} {what:70} {value:10.2f}", flush=True)
    if "many" in wanted:
        for subject in subjects:
            for what, value in many_links(subject).items():
                print(f"{subject.name:18} {what:70} {value:10.2f}", flush=True)
    router.terminate()
    shutil.rmtree(folder, ignore_errors=True)


main()
