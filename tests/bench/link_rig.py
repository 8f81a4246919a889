"""What links.py measures and where: a network behind a cable, and link managers as subjects; network_manager.py has one more.

The measured program runs in the namespace of the bench; its network is another namespace with dnsmasq.
"""

import ctypes
import fcntl
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

NETWORKD = "/lib/systemd/systemd-networkd"
RESOLVED = "/lib/systemd/systemd-resolved"
NAME_ADDRESS = "192.0.2.80"


def sh(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


class InVain(Exception):
    """What was waited for has not come."""


def until(what, holds, limit=30.0, pause=0.0005):
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > limit:
            raise InVain(what)
        time.sleep(pause)
    return time.monotonic()


def has_address():
    """Whether c0 has an IPv4 address, without a process for each look."""
    query = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with query:
        try:
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


class Linnetd:
    name = "linnetd"
    resolves = True
    stub = "127.0.0.53"
    settings = '[resolver]\ndnssec = "off"\nrecursion = "never"\n'

    def __init__(self, folder):
        self.folder = folder
        self.program = os.environ["LINNETD"]

    def start(self):
        for part in ("run", "state"):
            shutil.rmtree(self.folder / part, ignore_errors=True)
        profiles = self.folder / "etc" / "profiles"
        profiles.mkdir(parents=True, exist_ok=True)
        (self.folder / "etc" / "linnet.toml").write_text(self.settings)
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


class Resolved:
    """systemd-resolved, which is there before the manager, as on a machine that boots."""

    def __init__(self, log, environment=None):
        shutil.rmtree("/run/systemd/resolve", ignore_errors=True)
        Path("/run/systemd/resolve").mkdir(parents=True)
        shutil.chown("/run/systemd/resolve", "systemd-resolve", "systemd-resolve")
        self.process = subprocess.Popen([RESOLVED], stdout=log, stderr=log, env=environment)
        until("systemd-resolved", Path("/run/systemd/resolve/stub-resolv.conf").exists)

    def finish(self):
        self.process.terminate()
        self.process.wait()


class Networkd:
    name = "systemd-networkd"
    resolves = Path(RESOLVED).exists()
    stub = "127.0.0.53"

    def __init__(self, folder):
        self.folder = folder
        self.resolved = None

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
        """It has no resolver of its own."""
        # Words of the run before would tell resolved of a server.
        shutil.rmtree("/run/systemd/netif", ignore_errors=True)
        if self.resolves:
            self.resolved = Resolved(open(self.folder / "resolved.log", "ab"))

    def finish(self):
        if self.resolved is not None:
            self.resolved.finish()
        self.resolved = None


def raise_network(folder):
    sh("mount -t tmpfs tmpfs /run && mkdir -p /run/netns && mount --bind /run/netns /run/netns && mount -t sysfs -o ro sysfs /sys")
    sh("ip link set lo up && ip netns add lan && ip -n lan link set lo up && ip link add c0 type veth peer name s0 netns lan && "
       "ip -n lan addr add 192.0.2.1/24 dev s0 && ip -n lan link set s0 up")
    return raise_servers(folder)


def raise_servers(folder, *more, network="lan", link="s0", prefix="192.0.2"):
    """What gives addresses in the network and answers for names; without `more` for one zone only."""
    log = open(folder / f"dnsmasq-{network}.log", "ab")
    return subprocess.Popen(
        ["ip", "netns", "exec", network, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--user=root", "--group=root",
         f"--interface={link}", "--bind-dynamic", "--no-resolv", "--no-hosts", "--no-ping", "--dhcp-authoritative",
         f"--dhcp-range={prefix}.100,{prefix}.200,1h", f"--dhcp-leasefile={folder / f'leases-{network}'}", f"--address=/test/{prefix}.80",
         *more], stdout=log, stderr=log)


class Internet:
    """A root of its own, signed, behind the name server of the network."""

    def __init__(self, folder):
        self.folder = folder / "internet"
        self.folder.mkdir()
        key = sh(f"dnssec-keygen -q -K {self.folder} -a ECDSAP256SHA256 -f KSK .").strip()
        self.anchor = (self.folder / f"{key}.key").read_text()
        (self.folder / "zone").write_text(
            ". 86400 IN SOA a.root. nobody.root. 1 1800 900 604800 86400\n. 86400 IN NS a.root.\na.root. 86400 IN A 192.0.2.2\n" + self.anchor)
        sh(f"cd {self.folder} && dnssec-signzone -S -z -o . -f signed zone {key}")
        (self.folder / "conf").write_text(
            f'server:\n  ip-address: 127.0.0.2\n  username: ""\n  chroot: ""\n  zonesdir: "{self.folder}"\n  pidfile: "{self.folder}/pid"\n'
            f'  zonelistfile: "{self.folder}/list"\n  xfrdfile: ""\n  xfrdir: "{self.folder}"\n  database: ""\n'
            'remote-control:\n  control-enable: no\nzone:\n  name: "."\n  zonefile: "signed"\n')
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(["ip", "netns", "exec", "lan", "nsd", "-d", "-c", str(self.folder / "conf")], stdout=log, stderr=log)


class Plug:
    """The other end of the cable. A process that waits in the network takes it up and down, and tells when it asked the kernel to: starting `ip`
    for it costs as much as a lease does, and is nobody's doing here."""

    the = None

    def __init__(self):
        self.end, other = socket.socketpair()
        if os.fork() == 0:
            self.end.close()
            self.serve(other)
            os._exit(0)
        other.close()

    @staticmethod
    def serve(orders):
        with open("/run/netns/lan") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0) != 0:
                return
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while order := orders.recv(4):
            # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
            flags = struct.unpack_from("16sH", fcntl.ioctl(control, 0x8913, struct.pack("16sH14x", b"s0", 0)))[1]
            flags = flags | 1 if order == b"up" else flags & ~1
            request = struct.pack("16sH14x", b"s0", flags)
            asked_at = time.monotonic()
            fcntl.ioctl(control, 0x8914, request)
            orders.send(struct.pack("d", asked_at))

    def set(self, how):
        """Takes it up or down; returns when the kernel was asked."""
        self.end.send(how.encode())
        told = self.end.recv(8)
        if len(told) != 8:
            raise SystemExit("the other end of the cable cannot be reached")
        return struct.unpack("d", told)[0]


def plug(how):
    return Plug.the.set(how)


def clean():
    sh("ip link set c0 down; ip addr flush dev c0; ip link set c0 up")


def stop(subject, process):
    # One that has ended takes no time and no memory.
    if process.poll() is not None:
        raise SystemExit(f"{subject.name} has ended by itself: {process.returncode}")
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    subject.finish()


