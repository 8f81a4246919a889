"""NetworkManager with systemd-resolved as a subject of links.py, on a bus of their own."""

import os
import shutil
import subprocess
from pathlib import Path

from link_rig import RESOLVED, Resolved, until

PROGRAM = "/usr/sbin/NetworkManager"
# Where it remembers leases, wherever the rest of its state is.
LEASES = Path("/var/lib/NetworkManager")
BUS = Path("/run/dbus/system_bus_socket")

SETTINGS = """[main]
plugins=keyfile
no-auto-default=*
dns=@DNS@
systemd-resolved=@RESOLVED@
rc-manager=unmanaged
dhcp=internal
[connectivity]
enabled=false
[logging]
level=WARN
"""

PROFILE = """[connection]
id=c0
uuid=3f4c0f3b-9a0e-4a5f-8f5e-6c0fd1c3a001
type=ethernet
interface-name=c0
autoconnect=true
[ipv4]
method=auto
dad-timeout=0
[ipv6]
method=disabled
"""


def missing():
    """What keeps it from being measured here, or nothing."""
    needed = (PROGRAM, RESOLVED, "/usr/bin/dbus-daemon")
    return next((path for path in needed if not Path(path).exists()), None)


class NetworkManager:
    name = "NetworkManager"
    resolves = True
    dns = "systemd-resolved"
    stub = "127.0.0.53"

    def __init__(self, folder):
        self.folder = folder
        self.bus = None
        self.resolved = None

    def prepare(self):
        """The bus and the resolver are there before the manager, as on a machine that boots."""
        shutil.rmtree("/run/NetworkManager", ignore_errors=True)
        # The machine's own are none of our business, and those of the run before would spare it half of the exchange.
        LEASES.mkdir(parents=True, exist_ok=True)
        if not LEASES.is_mount():
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(LEASES)], check=True)
        for kept in LEASES.iterdir():
            kept.unlink()
        keep = self.folder / "networkmanager"
        shutil.rmtree(keep, ignore_errors=True)
        for part in ("profiles", "conf.d", "state"):
            (keep / part).mkdir(parents=True)
        settings = SETTINGS.replace("@DNS@", self.dns).replace("@RESOLVED@", str(self.dns == "systemd-resolved").lower())
        (keep / "conf").write_text(settings + f"[keyfile]\npath={keep / 'profiles'}\n")
        profile = keep / "profiles" / "c0.nmconnection"
        profile.write_text(PROFILE)
        profile.chmod(0o600)
        BUS.parent.mkdir(exist_ok=True)
        log = open(self.folder / "networkmanager.log", "ab")
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={BUS}"}
        self.bus = subprocess.Popen(["dbus-daemon", "--system", "--nofork", "--nopidfile", "--nosyslog"], stdout=log, stderr=log)
        until("NetworkManager's bus", BUS.exists)
        if self.dns == "systemd-resolved":
            self.resolved = Resolved(log, environment)

    def start(self):
        """The manager's process."""
        log = open(self.folder / "networkmanager.log", "ab")
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={BUS}"}
        keep = self.folder / "networkmanager"
        command = [PROGRAM, "--no-daemon", f"--config={keep / 'conf'}", f"--config-dir={keep / 'conf.d'}", "--system-config-dir=/nonexistent",
                   f"--state-file={keep / 'state' / 'NetworkManager.state'}", f"--intern-config={keep / 'state' / 'intern.conf'}"]
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def is_up(self):
        asked = subprocess.run(["nmcli", "-t", "-f", "STATE", "general"], capture_output=True, check=False)
        return asked.returncode == 0

    def finish(self):
        if self.resolved is not None:
            self.resolved.finish()
        if self.bus is not None:
            self.bus.terminate()
            self.bus.wait()
        self.bus = self.resolved = None
        BUS.unlink(missing_ok=True)


class NetworkManagerWithDnsmasq(NetworkManager):
    name = "NetworkManager with dnsmasq"
    dns = "dnsmasq"
    stub = "127.0.0.1"
