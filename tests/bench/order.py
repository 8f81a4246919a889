"""Writes the linker's list of functions; called by tests/bench/order, which explains.

linnetd runs as tests/bench/first-calls in the networks of tests/bench/links: a start with many claimed domains, a first network with an
Internet behind it, the same network again.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from link_rig import Internet, Linnetd, Plug, answers, clean, has_address, plug, raise_network, raise_servers, sh, stop, until

HEAD = """/* Which functions of linnetd lie beside one another: first what a network that is known takes until the first answer, then what else
   networks and questions take, then what only a start takes. Written by tests/bench/order. A name that no function has any more does no harm; hashes, in the names of
   what the compiler makes for types, are another compiler's after an update. */
SECTIONS
{
  .text.early :
  {
"""
TAIL = """  }
}
INSERT BEFORE .text;
"""


def stripped(name):
    """Without what the optimiser appends to make a name its own."""
    return re.sub(r"\.llvm\.\d+$", "", name)


def unhashed(name):
    return re.sub(r"17h[0-9a-f]{16}E$", "", name)


def sizes(program):
    sizes = {}
    for line in subprocess.run(["nm", "-S", "--defined-only", program], capture_output=True, text=True, check=True).stdout.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] in "tT":
            sizes[stripped(fields[3])] = int(fields[1], 16)
    return sizes


def live(folder):
    """A short life; returns which functions were called first in each phase, in their order: phase 0 is the start, 1 the first network, then each
    return to it has one until the first answer and one for what follows."""
    calls = folder / "calls"
    os.environ["CALLS"] = str(calls)
    os.environ["LINNETD"] = str(Path(__file__).with_name("first-calls"))
    linnetd = Linnetd(folder)
    internet = Internet(folder)
    anchors = folder / "etc" / "anchors.d"
    anchors.mkdir(parents=True)
    (anchors / "root.key").write_text(internet.anchor)
    # Its Internet denies the network's own name, which is answered all the same.
    linnetd.settings = '[resolver]\ndnssec = "observe"\nrecursion = "never"\ntrust-anchors = "anchors.d"\n'
    claims = ", ".join(f'"d{number}.claimed.test"' for number in range(10000))
    profiles = folder / "etc" / "profiles"
    profiles.mkdir()
    (profiles / "lo.toml").write_text(f'match = {{ name = "lo" }}\n[dns]\nupstreams = ["127.0.0.1:5398"]\nclaims = [{claims}]\n')
    clean()
    plug("down")
    process = linnetd.start()
    until("it runs", linnetd.is_up)
    until("an answer", lambda: sh("dig +short +time=1 +tries=1 @127.0.0.53 localhost") != "")
    time.sleep(1.0)
    process.send_signal(signal.SIGUSR1)
    plug("up")
    until("an address", has_address)
    until("an answer", answers)
    program = Path(os.environ["PROGRAM"]).parent / "linnet"
    until("an Internet", lambda: '"validated"' in sh(f"{program} --socket={folder / 'run' / 'control'} status --json"), pause=0.2)
    for question in ("+tcp n1.test", "+dnssec . NS", "+cd . DNSKEY", "n2.test AAAA", "nobody", "-x 192.0.2.1"):
        sh(f"dig +time=3 +tries=1 @127.0.0.53 {question}")
        sh(f"dig +time=3 +tries=1 @127.0.0.53 {question}")
    # What it looks at some time after its start is a part of a start.
    time.sleep(45.0)
    for _ in range(3):
        plug("down")
        time.sleep(2.0)
        process.send_signal(signal.SIGUSR1)
        plug("up")
        until("an answer", answers)
        process.send_signal(signal.SIGUSR1)
        time.sleep(5.0)
    stop(linnetd, process)
    internet.process.terminate()
    internet.process.wait()
    phases = defaultdict(list)
    for line in calls.read_text().splitlines():
        phase, name = line.split(" ", 1)
        phases[int(phase)].append(stripped(name))
    return phases


def main():
    folder = Path(tempfile.mkdtemp(prefix="order."))
    folder.chmod(0o755)
    router = raise_network(folder)
    router.terminate()
    router.wait()
    router = raise_servers(folder, "--server=127.0.0.2")
    Plug.the = Plug()
    phases = live(folder)
    router.terminate()
    router.wait()
    back = [phase for phase in phases if phase > 1]
    urgent = [name for phase in back if phase % 2 == 0 for name in phases[phase]]
    later = [name for phase in (1, *back) for name in phases[phase]]
    order = list(dict.fromkeys((*urgent, *later, *phases[0])))
    size = sizes(os.environ["PROGRAM"])
    family = defaultdict(list)
    for name in size:
        family[unhashed(name)].append(name)
    called = set(order)
    patterns = {}
    for name in order:
        kin = family[unhashed(name)]
        # A name without its hash holds with any compiler. What is made for many types has one for all of them, which would be far more than is called.
        if unhashed(name) != name and sum(size[one] for one in kin) <= 256 + 2 * sum(size[one] for one in kin if one in called):
            patterns[f"{unhashed(name)}17h*"] = None
        else:
            patterns[f"{name}*" if unhashed(name) != name else name] = None
    Path(sys.argv[1]).write_text(HEAD + "".join(f"    *(.text.{pattern})\n" for pattern in patterns) + TAIL)
    print(f"{len(order)} functions of {len(size)}, {sum(size[name] for name in order) >> 10} KiB of {sum(size.values()) >> 10}; "
          f"a network that is known takes {sum(size[name] for name in set(urgent)) >> 10} KiB of them, a start {sum(size[name] for name in phases[0]) >> 10}; "
          f"{sum(pattern.endswith('17h*') for pattern in patterns)} of {len(patterns)} names are without a hash")


main()
