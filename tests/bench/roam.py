"""From network to network: how soon after its new address has a machine the first right answer there, what do the caches still tell, and who is
asked? The part `roam` of tests/bench/links.

Two networks have the same names with other addresses, and one cable goes to and fro between them. What the server of the network before would be
asked would reach it, as a public one would be: the networks know the way to each other.
"""

import math
import socket
import statistics
import struct
import time
from pathlib import Path

from link_rig import InVain, clean, raise_servers, sh, stop, until

# As long as the cable is nowhere: longer than any of them holds on to a network that is gone (NetworkManager: six seconds).
AWAY = 7.0
# What is asked for at once, and what else is in the caches.
FIRST = "www.test"
NAMES = [f"h{number}.test" for number in range(40)]
# Between two questions of the client that waits for the new network.
EAGER = 0.005
# How long an answer to one of the others may take, and how long is listened for late questions.
PATIENCE, LATE = 1.0, 0.5
# When a first right answer is no longer waited for.
IN_VAIN = 10.0
QUESTIONS = (53, 443, 853)

WHAT = "another network"
ANSWER, SLOWEST = f"{WHAT}: address to first right answer, ms", f"{WHAT}: slowest first right answer after the address, ms"
WRONG, STRAY = f"{WHAT}: answers of the network before", f"{WHAT}: questions that reached the server of the network before"
ROWS = (ANSWER, SLOWEST, WRONG, STRAY)


class Network:
    def __init__(self, namespace, prefix):
        self.namespace, self.prefix = namespace, prefix
        self.server, self.name_address = f"{prefix}.1", socket.inet_aton(f"{prefix}.80")

    def ip(self, line):
        sh(f"ip -n {self.namespace} {line}")

    def has_given(self):
        """Whether this host has an address of it, whatever other addresses there are."""
        before = ""
        for line in Path("/proc/self/net/fib_trie").read_text().splitlines():
            if "/32 host LOCAL" in line and f" {self.prefix}." in before:
                return True
            before = line
        return False


LAN, CAFE = Network("lan", "192.0.2"), Network("cafe", "198.51.100")


def raise_networks(folder):
    """The network of the other parts, now behind a bridge that stays when the cable goes, and another; returns their servers."""
    sh("ip netns add cafe && ip -n cafe link set lo up && ip -n lan addr flush dev s0 && "
       "ip link add way0 netns lan type veth peer name way1 netns cafe")
    for network, way, mine, other, theirs in ((LAN, "way0", 1, CAFE, 2), (CAFE, "way1", 2, LAN, 1)):
        network.ip("link add br0 type bridge")
        network.ip(f"addr add {network.server}/24 dev br0")
        network.ip("link set br0 up")
        network.ip(f"addr add 10.255.0.{mine}/24 dev {way}")
        network.ip(f"link set {way} up")
        network.ip(f"route add {other.prefix}.0/24 via 10.255.0.{theirs}")
        sh(f"ip netns exec {network.namespace} sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'")
    LAN.ip("link set s0 master br0 up")
    return [raise_servers(folder, "--local-ttl=60", f"--interface={way}", f"--no-dhcp-interface={way}",
                          network=network.namespace, link="br0", prefix=network.prefix)
            for network, way in ((LAN, "way0"), (CAFE, "way1"))]


def move(before, here):
    """The cable goes from network to network; the link stays the same link."""
    before.ip("link set s0 down")
    time.sleep(AWAY)
    before.ip(f"link set s0 netns {here.namespace}")
    here.ip("link set s0 master br0 up")


class Client:
    """Somebody who asks the stub, and counts answers of another network."""

    def __init__(self, stub, here, before):
        self.here, self.before = here, before
        self.wrong = 0
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((stub, 53))

    def ask(self, name):
        self.asked += 1
        wire = struct.pack(">HHHHHH", self.asked & 0xFFFF, 0x100, 1, 0, 0, 0)
        for part in name.encode().split(b"."):
            wire += bytes([len(part)]) + part
        try:
            self.socket.send(wire + b"\0" + struct.pack(">HH", 1, 1))
        except OSError:
            # Nobody listens there for the moment, or the last question was refused.
            pass

    def is_right(self, wait):
        """Whether a right answer comes before the time is over."""
        until_at = time.monotonic() + wait
        while (left := until_at - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                reply = self.socket.recv(2048)
            except TimeoutError:
                return False
            except OSError:
                time.sleep(min(left, EAGER))
                return False
            if self.before.name_address in reply:
                self.wrong += 1
            elif self.here.name_address in reply:
                return True
        return False

    def first_right(self):
        def right():
            self.ask(FIRST)
            return self.is_right(EAGER)
        return until(f"a right answer in {self.here.namespace}", right, limit=IN_VAIN, pause=0)

    def all_right(self):
        for name in NAMES:
            # Each with a socket of its own, so that no answer to another one is taken for this one's.
            one = Client(self.socket.getpeername()[0], self.here, self.before)

            def right():
                one.ask(name)
                return one.is_right(PATIENCE)
            until(f"a right answer for {name} in {self.here.namespace}", right, limit=IN_VAIN, pause=0)
            self.wrong += one.wrong
            one.socket.close()


class Witness:
    """Counts what leaves by the cable for a server, as questions do."""

    def __init__(self, server):
        self.server = socket.inet_aton(server)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)  # SO_RCVBUFFORCE
        self.socket.bind(("c0", 0))
        self.socket.setblocking(False)

    def count(self):
        found = 0
        with self.socket:
            while True:
                try:
                    frame = self.socket.recv(2048)
                except BlockingIOError:
                    return found
                if frame[12:14] != b"\x08\0" or frame[30:34] != self.server or frame[23] not in (6, 17):
                    continue
                ports = frame[14 + (frame[14] & 15) * 4:]
                found += struct.unpack_from(">H", ports, 2)[0] in QUESTIONS


def travel(subject, trips):
    """Goes to and fro with one program; returns what its rows are."""
    clean()
    sh("ip addr flush dev c0")
    subject.prepare()
    process = subject.start()
    took, wrong, stray = [], 0, 0
    before, here = CAFE, LAN
    try:
        until("an address", LAN.has_given)
        home = Client(subject.stub, here, before)
        home.first_right()
        home.all_right()
        for _ in range(trips):
            before, here = here, before
            witness = Witness(before.server)
            move(before, here)
            since = until(f"an address in {here.namespace}", here.has_given, pause=0.0001)
            client = Client(subject.stub, here, before)
            try:
                took.append(client.first_right() - since)
                client.all_right()
                time.sleep(LATE)
            finally:
                wrong += client.wrong
                stray += witness.count()
    except InVain as vain:
        # Others may, and the table says so; linnetd's figures are then missing, which is told too.
        print(f"{subject.name}: in vain: {vain}", flush=True)
        took = [math.nan]
    stop(subject, process)
    if here is not LAN:
        CAFE.ip("link set s0 netns lan")
        LAN.ip("link set s0 master br0 up")
    return dict(zip(ROWS, (statistics.median(took) * 1e3, max(took) * 1e3, wrong, stray)))


def roam(folder, subjects, trips, told):
    servers = raise_networks(folder)
    for subject in subjects:
        if subject.resolves:
            told.tell_all(subject.name, travel(subject, trips))
    for server in servers:
        server.terminate()
        server.wait()
