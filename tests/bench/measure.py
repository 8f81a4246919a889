#!/usr/bin/env python3
"""What does linnet cost beside its competitors? The driver of tests/bench/run, in the namespaces of the shared rig.

It uses the rig's pieces (how servers are started, loaded and looked at) and adds tests that the rig lacks: names by Zipf, claimed
names, an upstream over TLS, two threads, a list of a million names. Rounds go over all peers, in another order each time, so that
whatever drifts on the machine drifts for everybody. One JSON object a line goes to $RIG_STATE/run.jsonl; table.py reads it.
"""
import argparse, importlib.util, itertools, json, os, random, shutil, signal, subprocess, sys, threading, time

OVERLAY = os.path.dirname(os.path.abspath(__file__))
SPEC = importlib.util.spec_from_file_location("rig", os.environ["RIG_SHARED"] + "/bench.py")
rig = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(rig)
rig.HERE = OVERLAY

FLOOR = "echo-mmsg"
# Our word for each peer's program, and where it is when it is installed.
PROGRAMS = {"unbound": "unbound", "dnsdist": "dnsdist", "dnsmasq": "dnsmasq", "kresd": "kresd", "resolved": "/lib/systemd/systemd-resolved"}
PEERS = ["linnet", FLOOR, *PROGRAMS]
# What is in `plain` already, to be had alone.
ALONE = ["start"]
TESTS = ["plain", "listener", "two", "tls", "turns", "validate", "big", "list", "route"]
# Which peers have the feature; dnsmasq is left out where it forks for each connection, and where it keeps 10,000 names at most.
TCP = ["linnet", "unbound", "dnsdist", "kresd", "resolved"]
LISTENER = ["linnet", "unbound", "dnsmasq"]
TWO = ["linnet", "unbound"]
TURNS = ["linnet", "unbound", "echo-mmsg"]
TLS = ["linnet", "unbound", "dnsdist", "kresd", "resolved"]
VALIDATE = ["linnet", "unbound", "dnsmasq", "kresd", "resolved"]
BIG = ["linnet", "unbound", "dnsdist"]
LIST = ["linnet", "unbound", "dnsmasq"]
MILLION = 1_000_000
SAMPLE = 100_000
MIXED_NAMES, MIXED_LINES, CLAIMED = 200_000, 400_000, 10_000
# Questions a second where the cache has the answers and a rate is fixed; --cold-rate where it has not.
WARM_RATE = "20000"
LAST, LATER = "last-of-all.wild.plain", "later.wild.plain"
NXDOMAIN = 3
# How often a round loads for tails of latency, and where server and client share the cores.
SWAYING = 3
# How often a round has those by turns whose tails, cold forwards and cost for each of many clients are compared: the machine sways more within a minute than they differ.
BY_TURNS = 4


def queries(name, lines):
    """a query file beside the rig's own, made once"""
    path = f"{rig.Z}/{name}"
    if not os.path.exists(path):
        with open(path + ".new", "w") as f:
            f.writelines(line + "\n" for line in lines())
        os.rename(path + ".new", path)
    return path


def mixed(letter, seed):
    """what a host asks: names by Zipf, a third of them twice or more by type, a few that do not exist; names with another letter are new"""
    luck = random.Random(seed)
    weights, total = [], 0.0
    for rank in range(1, MIXED_NAMES + 1):
        total += 1 / rank
        weights.append(total)
    types = luck.choices(["A", "AAAA", "65"], [65, 25, 10], k=MIXED_LINES)
    for name, kind in zip(luck.choices(range(MIXED_NAMES), cum_weights=weights, k=MIXED_LINES), types):
        yield f"x{letter}{name:07d}.plain {kind}" if name % 50 == 7 else f"{letter}{name:07d}.wild.plain {kind}"


def sample(path, count):
    """some of the first names of a file, in no order"""
    luck = random.Random(6)
    with open(path) as f:
        lines = [line.strip() for line in itertools.islice(f, count)]
    yield from luck.sample(lines, min(SAMPLE, len(lines)))


def blocked(count):
    """names as lists have them: no two in one zone, most with a label before it; the last is one that the upstream has, so that one
    sees whether it is blocked"""
    luck = random.Random(5)
    for number in range(count - 1):
        label = "".join(luck.choices("abcdefghijklmnopqrstuvwxyz", k=luck.randint(4, 10)))
        yield f"{luck.choice(('ads.', 'track.', 'm.', '', ''))}{label}{number}.{luck.choice(('com', 'net', 'org', 'example', 'co.uk'))}"
    yield LAST


class Awake:
    """has the processors wait without halting (the kernel's PM QoS) while a time is taken. A virtual one that has halted costs its host now
    less and now more to wake, for each hop from process to process: that is no server's doing. CPU is measured without: to wake others is part of it"""
    def __enter__(self):
        try:
            self.file = open("/dev/cpu_dma_latency", "wb", buffering=0)
            self.file.write(bytes(4))
        except OSError:
            self.file = None

    def __exit__(self, *_):
        if self.file: self.file.close()


class Run:
    def __init__(self, a, peers):
        self.a, self.peers = a, peers
        self.rig = rig.Rig(a)
        self.secs = str(a.secs)
        self.out = open(a.out, "w")
        self.began = time.time()
        self.tls = None

    def emit(self, peer, test, figures):
        r = dict(figures or {"error": "nothing came"}, peer=peer, test=test, round=self.round)
        self.out.write(json.dumps(r) + "\n")
        self.out.flush()
        keys = ("qps", "server_us_q", "server_util", "p50_us", "p99_us", "lost", "servfail", "foreign", "ms", "rss_kb", "private_kb", "error", "note")
        shown = (f"{k}={r[k]:.4g}" if isinstance(r[k], float) else f"{k}={r[k]}" for k in keys if k in r)
        print(f"{time.time() - self.began:5.0f} s  {self.round} {peer:12s} {test:12s} " + " ".join(shown), flush=True)
        return r

    def memory(self, p):
        """resident memory of a server: what its processes have for themselves, and what they share counted once (that of the one
        which shares most: they are forks of each other)"""
        private = shared = 0
        for pid in rig.tree(p.pid):
            own = {"Rss:": 0, "Private_Clean:": 0, "Private_Dirty:": 0}
            try:
                for line in open(f"/proc/{pid}/smaps_rollup"):
                    key, *value = line.split()
                    if key in own: own[key] = int(value[0])
            except OSError:
                continue
            alone = own["Private_Clean:"] + own["Private_Dirty:"]
            private, shared = private + alone, max(shared, own["Rss:"] - alone)
        return {"rss_kb": private + shared, "private_kb": private}

    def start(self, peer, test, variant="", **more):
        """starts a server for a test; says so when it does not come up"""
        try:
            p, ms = self.rig.start(peer + variant, **more)
        except subprocess.CalledProcessError:
            p = None
        if not p:
            self.emit(peer, test, {"error": f"{peer}{variant} does not start"})
            return None, None
        return p, ms

    def load(self, peer, test, p, args, tool="dnsblast"):
        return self.emit(peer, test, self.rig.load(p, args, tool))

    def loads(self, peer, test, p, args):
        """the same load several times: of what the machine sways more than servers differ"""
        for _ in range(SWAYING): self.load(peer, test, p, args)

    def fill(self, p, path, secs=20):
        self.rig.load(p, ["-d", path, "-1", "-q", "20", "-l", str(secs)], wait=False)

    def starts(self, peer):
        """how soon after it is started a server answers, and in what memory; returns the last one"""
        p = None
        for _ in range(self.a.starts):
            if p: self.rig.stop(p)
            with Awake(): p, ms = self.start(peer, "start")
            if not p: return None
            time.sleep(0.2)
            self.emit(peer, "start", dict(ms=ms, **self.memory(p)))
        return p

    def only_starts(self, peer):
        p = self.starts(peer)
        if p: self.rig.stop(p)

    def plain(self, peer):
        p = self.starts(peer)
        if not p: return
        hot = f"{rig.Z}/q.hot-plain"
        self.fill(p, hot)
        with Awake(): self.loads(peer, "warm-rate", p, ["-d", hot, "-Q", WARM_RATE, "-l", self.secs])
        self.load(peer, "warm-sat", p, ["-d", hot, "-c", "8", "-q", "200", "-l", self.secs])
        self.many(peer, p, hot)
        if peer != FLOOR:
            self.fill(p, f"{rig.Z}/q.10k-plain")
            self.emit(peer, "mem-10k", self.memory(p))
            if peer in TCP:
                by_tcp = ["-d", hot, "-m", "tcp", "-c", "8", "-T", "1", "-q", "200", "-l", self.secs]
                self.load(peer, "tcp-rate", p, by_tcp + ["-Q", WARM_RATE], "dnsperf")
                self.load(peer, "tcp-sat", p, by_tcp, "dnsperf")
            claimed = queries("q.claimed", lambda: (f"h.c{n:05d}.wild.plain A" for n in range(CLAIMED)))
            self.fill(p, claimed)
            self.load(peer, "claimed-rate", p, ["-d", claimed, "-Q", WARM_RATE, "-l", self.secs])
            self.load(peer, "claimed-sat", p, ["-d", claimed, "-c", "8", "-q", "200", "-l", self.secs])
            names = f"{rig.Z}/q.cold-plain"
            with Awake(): rate = self.load(peer, "cold-rate", p, ["-d", names, "-1", "-n", str(int(self.a.cold_rate * self.a.secs)), "-Q", str(self.a.cold_rate), "-l", self.secs])
            offset = str(rate.get("next_offset", 0))
            self.load(peer, "cold-sat", p, ["-d", names, "-1", "-n", "300000", "-q", "100", "-l", self.secs, "-o", offset])
            self.mixed(peer, p)
        self.rig.stop(p)

    def many(self, peer, p, hot):
        self.load(peer, "many-sat", p, ["-d", hot, "-c", "64", "-q", "64", "-l", self.secs])

    def mixed(self, peer, p):
        path = queries("q.mixed-rate", lambda: mixed("y", 7))
        self.load(peer, "mixed-rate", p, ["-d", path, "-Q", str(self.a.cold_rate), "-l", self.secs])
        path = queries("q.mixed-sat", lambda: mixed("z", 4))
        r = self.rig.load(p, ["-d", path, "-q", "100", "-l", self.secs])
        asked = min(r.get("sent", 0), MIXED_LINES)
        with open(path) as f:
            new = len({line for _, line in zip(range(asked), f)})
        self.emit(peer, "mixed-sat", dict(r, new=new / max(asked, 1)))

    def listener(self, peer):
        """the cache, asked where others than the host ask; peers other than linnet have no other place"""
        p, _ = self.start(peer, "listener-sat", "-listener" if peer == "linnet" else "")
        if not p: return
        hot = f"{rig.Z}/q.hot-plain"
        self.fill(p, hot)
        self.load(peer, "listener-sat", p, ["-d", hot, "-c", "8", "-q", "200", "-l", self.secs])
        self.rig.stop(p)

    def two(self, peer):
        p, _ = self.start(peer, "two-sat", threads=2, cpus=f"{self.a.server_cpu},{self.a.client_cpu}")
        if not p: return
        hot = f"{rig.Z}/q.hot-plain"
        self.fill(p, hot)
        self.loads(peer, "two-sat", p, ["-d", hot, "-c", "8", "-q", "200", "-l", self.secs])
        self.rig.stop(p)

    def turns(self, peers):
        """hits for many clients, tails of hits, and cold names in the clear and over TLS, again and again, by those whose figures are compared"""
        for turn in range(BY_TURNS):
            for peer in peers if turn % 2 else peers[::-1]:
                p, _ = self.start(peer, "many-sat")
                if not p: continue
                hot = f"{rig.Z}/q.hot-plain"
                self.fill(p, hot)
                self.many(peer, p, hot)
                if peer == FLOOR:
                    self.rig.stop(p)
                    continue
                with Awake(): self.load(peer, "warm-rate", p, ["-d", hot, "-Q", WARM_RATE, "-l", self.secs])
                self.fill(p, f"{rig.Z}/q.10k-plain")
                self.load(peer, "cold-sat", p, ["-d", f"{rig.Z}/q.cold-plain", "-1", "-n", "300000", "-q", "100", "-l", self.secs])
                self.rig.stop(p)
                self.over_tls(peer, at_rate=False)

    def over_tls(self, peer, at_rate=True):
        """cold names through an upstream that is asked over TLS, by its name"""
        if not self.tls: self.tls = Authority(self.rig.work, self.a.client_cpu)
        os.environ.update(self.tls.environment)
        p, _ = self.start(peer, "tls-sat", "-tls")
        for name in self.tls.environment: del os.environ[name]
        if not p: return
        plain, self.rig.up = self.rig.up, self.tls.process
        before, names = rig.cpu_s(plain.pid), ["-d", f"{rig.Z}/q.cold-plain", "-1"]
        r = self.rig.load(p, names + ["-n", "300000", "-q", "100", "-l", self.secs])
        aside = (rig.cpu_s(plain.pid) - before) / max(r.get("recv", 1), 1) * 1e6
        rate, offset = self.a.cold_rate, str(r.get("next_offset", 0))
        if at_rate: self.load(peer, "tls-rate", p, names + ["-n", str(int(rate * self.a.secs)), "-Q", str(rate), "-l", self.secs, "-o", offset])
        self.rig.up = plain
        if aside > 1: r = {"error": f"asks in the clear: the plain upstream spent {aside:.1f} us a question"}
        self.emit(peer, "tls-sat", r)
        self.rig.stop(p)

    def validate(self, peer):
        p, _ = self.start(peer, "val-sat", validate=1)
        if not p: return
        good, bad, bare = rig.ask(rig.LISTEN, "h000002.signed"), rig.ask(rig.LISTEN, "h000002.bogus", 10), rig.ask(rig.LISTEN, "h000002.plain")
        if not (good and good[0] == 0 and good[2] and bad and bad[0] == 2 and bare and bare[0] == 0 and not bare[2]):
            self.emit(peer, "val-sat", {"error": f"does not validate: signed {good}, bogus {bad}, plain {bare}"})
        else:
            self.load(peer, "val-sat", p, ["-d", f"{rig.Z}/q.cold-signed", "-1", "-q", "100", "-l", self.secs])
        self.rig.stop(p)

    def big(self, peer):
        p, _ = self.start(peer, "big", cache="big")
        if not p: return
        time.sleep(0.2)
        before = self.memory(p)
        names = f"{rig.Z}/q.cold-plain"
        count = min(MILLION, self.a.big)
        r = self.rig.load(p, ["-d", names, "-1", "-q", "100", "-n", str(count), "-l", "100"])
        after = self.memory(p)
        # Kept, or only read? Whoever kept the first names asks the upstream for nothing.
        again = self.rig.load(p, ["-d", names, "-1", "-q", "100", "-n", str(count // 50), "-l", "10"])
        kept = again.get("upstream_us_q", 9) < 0.1 * r.get("upstream_us_q", 0)
        got = r.get("noerror", 0)
        self.emit(peer, "big", dict(after, names=got, kept=kept, bytes=(after["rss_kb"] - before["rss_kb"]) * 1024 / max(got, 1), qps=r.get("qps", 0), note=f"names={got} kept={kept}"))
        if kept:
            some = queries(f"q.sample-{count}", lambda: sample(names, count))
            self.load(peer, "big-rate", p, ["-d", some, "-Q", WARM_RATE, "-l", self.secs])
            self.load(peer, "big-sat", p, ["-d", some, "-c", "8", "-q", "200", "-l", self.secs])
        self.rig.stop(p)

    def names_of_list(self):
        path = queries(f"blocked-{self.a.big}", lambda: blocked(self.a.big))
        step = self.a.big // 1000
        return path, queries(f"q.blocked-{self.a.big}", lambda: (line.strip() + " A" for n, line in enumerate(open(path)) if n % step == 3))

    def blocks(self, name, began, patience=60):
        """waits until a name is blocked; returns since when, or nothing"""
        while time.perf_counter() - began < patience:
            answer = rig.ask(rig.LISTEN, name, 0.5)
            if answer and answer[0] == NXDOMAIN: return (time.perf_counter() - began) * 1e3
            time.sleep(0.01)

    def list(self, peer):
        """how soon a million names are blocked, in what memory, and who notices"""
        path, ask = self.names_of_list()
        p, _ = self.start(peer, "list")
        if not p: return
        time.sleep(0.2)
        without = self.memory(p)
        self.rig.stop(p)
        os.environ["RIG_LIST"] = path
        p, ms = self.start(peer, "list", "-list")
        del os.environ["RIG_LIST"]
        if not p: return
        # The start was until the first answer; a list that is loaded in the background may come after it.
        took = self.blocks(LAST, time.perf_counter() - ms / 1e3)
        if took is None: self.emit(peer, "list", {"error": "does not block"})
        else:
            r = self.rig.load(p, ["-d", ask, "-c", "8", "-q", "200", "-l", self.secs])
            after = self.memory(p)
            self.load(peer, "list-rate", p, ["-d", ask, "-Q", WARM_RATE, "-l", self.secs])
            self.emit(peer, "list", dict(after, ms=ms, load_ms=took, mib=(after["rss_kb"] - without["rss_kb"]) / 1024, server_us_q=r.get("server_us_q"), foreign=r.get("foreign", 0),
                                         note=f"load_ms={took:.0f} mib={(after['rss_kb'] - without['rss_kb']) / 1024:.1f}"))
            if peer == "linnet": self.read_anew(p)
        self.rig.stop(p)

    def read_anew(self, p):
        """beside full service: the list is read anew, a name longer, while 20,000 questions a second are answered"""
        hot, took = f"{rig.Z}/q.hot-plain", []
        self.fill(p, hot)
        # It is in the cache when it comes to be blocked.
        known = rig.ask(rig.LISTEN, LATER)
        def change():
            time.sleep(0.5)
            with open(f"{self.rig.work}/{self.rig.n}/etc/list", "a") as f: f.write(LATER + "\n")
            os.kill(p.pid, signal.SIGHUP)
            took.append(self.blocks(LATER, time.perf_counter(), 20))
        changing = threading.Thread(target=change)
        changing.start()
        r = self.rig.load(p, ["-d", hot, "-Q", WARM_RATE, "-l", str(max(self.a.secs, 4))])
        changing.join()
        if not known or known[0] or not took[0]: r = {"error": f"a name that was added to the list is not blocked: {known} before, {took[0]}"}
        else: r = dict(r, load_ms=took[0], note=f"load_ms={took[0]:.0f}", **self.memory(p))
        self.emit("linnet", "list-reload", r)

    def route(self):
        """linnet's own: a name among a hundred thousand claimed suffixes"""
        program = os.environ.get("LINNET_ROUTE")
        if not program: return self.emit("linnet", "route", {"error": "the example `route` is not built"})
        out = subprocess.run(["taskset", "-c", self.a.server_cpu, program], capture_output=True, text=True)
        try: figures = json.loads(out.stdout.splitlines()[-1])
        except (ValueError, IndexError): figures = {"error": out.stderr[-300:]}
        return self.emit("linnet", "route", figures)


class Authority:
    """nsd once more, over TLS alone, with a certificate of an authority that is made for this run"""
    NAME = "ns.rig.test"

    def __init__(self, work, cpus):
        d = work + "/tls"
        os.makedirs(d)
        subject = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "30"]
        sh = lambda *c: subprocess.run(c, check=True, capture_output=True, cwd=d)
        sh("openssl", "req", "-x509", *subject, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=rig")
        sh("openssl", "req", "-x509", *subject, "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=" + self.NAME, "-CA", "ca.pem", "-CAkey", "ca.key",
           "-addext", f"subjectAltName=DNS:{self.NAME}", "-addext", "basicConstraints=critical,CA:FALSE")
        subprocess.run("cat ca.pem >>cert.pem; chmod -R a+rX .", shell=True, cwd=d)
        with open(d + "/nsd.conf", "w") as f:
            f.write(f"""server:
  ip-address: {rig.UP}@853
  tls-port: 853
  tls-service-key: "{d}/key.pem"
  tls-service-pem: "{d}/cert.pem"
  server-count: 1
  username: ""
  zonesdir: "{rig.Z}"
  database: ""
  zonelistfile: "{d}/zone.list"
  pidfile: "{d}/pid"
  xfrdfile: "{d}/xfrd"
  xfrdir: "{d}"
  tcp-count: 1000
  tcp-query-count: 0
  minimal-responses: yes
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "plain"
  zonefile: "plain.zone"
""")
        self.process = subprocess.Popen(["taskset", "-c", cpus, "nsd", "-d", "-c", d + "/nsd.conf"], stdout=subprocess.DEVNULL, stderr=open(d + "/log", "w"))
        self.environment = {"RIG_TLS": self.NAME, "RIG_TLS_CA": d + "/ca.pem"}
        for _ in range(100):
            try:
                with rig.socket.create_connection((rig.UP, 853), 0.5): return
            except OSError:
                time.sleep(0.05)
        sys.exit("the upstream over TLS does not come up: " + open(d + "/log").read())


def installed(peer):
    program = PROGRAMS.get(peer)
    return not program or os.access(program, os.X_OK) or shutil.which(program)


def main():
    ap = argparse.ArgumentParser(prog="tests/bench/run", description="linnet beside its competitors, in one run")
    ap.add_argument("--rounds", type=int, default=3, help="rounds over all peers (3)")
    ap.add_argument("--minutes", type=float, default=20, help="no round begins that would last longer than this (20)")
    ap.add_argument("--secs", type=float, default=1.5, help="seconds of each load (1.5)")
    ap.add_argument("--starts", type=int, default=2, help="starts of each server a round (2)")
    ap.add_argument("--only", default=",".join(TESTS), help="tests, out of " + ",".join(TESTS + ALONE) + "; also failover,upstream-faults")
    ap.add_argument("--peers", default=",".join(PEERS), help="peers, out of " + ",".join(PEERS))
    ap.add_argument("--big", type=int, default=MILLION, help="names in the big cache and the list (1,000,000)")
    ap.add_argument("--cold-rate", type=int, default=5000)
    ap.add_argument("--server-cpu", default="0")
    ap.add_argument("--client-cpu", default="1")
    ap.add_argument("--quiet", type=float, default=0.15, help="work of others, in cores, under which a load may begin")
    ap.add_argument("--quiet-wait", type=float, default=3, help="how long to wait for that")
    ap.add_argument("--out", default=rig.STATE + "/run.jsonl")
    a = ap.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted, tests = a.peers.split(","), a.only.split(",")
    for word, known in [(wanted, PEERS), (tests, TESTS + ALONE)]:
        strange = set(word) - set(known)
        if strange: ap.error(f"unknown: {', '.join(sorted(strange))}")
    run = Run(a, [peer for peer in wanted if installed(peer)])
    run.round = 0
    absent = [peer for peer in wanted if peer not in run.peers]
    for peer in absent: run.emit(peer, "version", {"error": "not installed (tests/bench/setup installs it)"})
    for peer in run.peers:
        note = subprocess.run([f"{OVERLAY}/peers/{peer}.sh", "version"], capture_output=True, text=True).stdout.strip()
        run.emit(peer, "version", {"note": note})
    run.rig.upstream()
    # What fills memory for a minute is measured once: it does not vary. It has its time kept for it.
    once = [(test, able, block) for test, able, block in [("big", BIG, run.big), ("list", LIST, run.list)] if test in tests]
    kept = 110 * len(once) * a.big / MILLION
    turn = 0.0
    for run.round in range(1, a.rounds + 1):
        began = time.time()
        if began - run.began + turn + kept > a.minutes * 60:
            print(f"no time for round {run.round} of {a.rounds}: --minutes gives more", file=sys.stderr)
            break
        order = run.peers[run.round - 1:] + run.peers[:run.round - 1]
        for test, able, block in [("start", PEERS, run.only_starts), ("plain", PEERS, run.plain), ("listener", LISTENER, run.listener), ("two", TWO, run.two), ("tls", TLS, run.over_tls), ("validate", VALIDATE, run.validate)]:
            for peer in order if test in tests else []:
                if peer in able: block(peer)
        if "turns" in tests: run.turns([peer for peer in order if peer in TURNS])
        if "route" in tests: run.route()
        turn = time.time() - began
    for test, able, block in once:
        for peer in run.peers:
            if peer in able: block(peer)
    run.emit("linnet", "took", {"secs": time.time() - run.began})
    if run.tls: run.rig.stop(run.tls.process)
    run.rig.stop(run.rig.up)
    shutil.rmtree(run.rig.work, ignore_errors=True)


if __name__ == "__main__":
    main()
