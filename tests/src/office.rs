//! The world of most stories: a home link with the default route, an office link behind a VPN, a real server on each.
//!
//! `home0` (192.0.2.2) reaches unbound at 192.0.2.53, which serves `example.test`; `vpn0` (10.8.0.2) reaches knot at
//! 10.8.0.1, which serves `corp.test`. linnetd runs in the middle with a profile `office` for `vpn*`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::namespace::shell;
use crate::peer::{Peer, until};

/// The world, with both servers up; dropped, everything ends.
#[derive(Debug)]
pub struct Office {
    dir: PathBuf,
    /// unbound, if it was started.
    pub home: Option<Peer>,
    /// knot, if it was started.
    pub vpn: Option<Peer>,
}

/// The profile of the office, as a user would write it.
pub const OFFICE: &str = r#"match = { name = "vpn*" }
[dns]
upstreams = ["10.8.0.1"]
claims = ["corp.test"]
search = ["corp.test"]
exclude = ["www.corp.test"]
"#;

/// The profile of the home link.
pub const HOME: &str = r#"match = { name = "home*" }
[dns]
upstreams = ["192.0.2.53"]
"#;

/// Sends a router advertisement with these flags, and these octets behind a prefix to have addresses of.
const ADVERTISE: &str = r#"
import socket, sys
flags, more = int(sys.argv[1], 16), bytes.fromhex(sys.argv[2])
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
link = socket.if_nametoindex("p0")
head = bytes([134, 0, 0, 0, 64, flags]) + (1800).to_bytes(2, "big") + bytes(8)
prefix = bytes([3, 4, 64, 0xC0]) + (7200).to_bytes(4, "big") * 2 + bytes(4) + socket.inet_pton(socket.AF_INET6, "2001:db8:1::")
s.sendto(head + prefix + more, ("ff02::1", 0, 0, link))
"#;

impl Office {
    /// Raises links and servers; to be called inside [`crate::namespace::isolated`].
    pub fn raise() -> Self {
        let dir = links();
        let home = unbound(&dir, "home", "192.0.2.53");
        let vpn = knot(&dir, "vpn", "10.8.0.1");
        Self {
            dir,
            home: Some(home),
            vpn: Some(vpn),
        }
    }

    /// Takes a folder and links without servers.
    pub fn bare(dir: PathBuf) -> Self {
        Self {
            dir,
            home: None,
            vpn: None,
        }
    }

    /// Returns what home's server has printed, names in lower case.
    pub fn home_log(&self) -> String {
        let log = self.home.as_ref().map(Peer::log).unwrap_or_default();
        names_in_lower_case(&log)
    }

    /// Returns what the VPN's server has printed, names in lower case.
    pub fn vpn_log(&self) -> String {
        let log = self.vpn.as_ref().map(Peer::log).unwrap_or_default();
        names_in_lower_case(&log)
    }

    /// Returns the story's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file of linnet's configuration.
    pub fn configure(&self, file: &str, text: &str) {
        let path = self.dir.join("etc").join(file);
        fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("/run is the test's own");
        fs::write(path, text).expect("/run is the test's own");
    }

    /// Writes the two profiles, and a main file with these lines in `[resolver]`.
    pub fn configure_usual(&self, resolver: &str) {
        self.configure("linnet.toml", &format!("[resolver]\n{resolver}\n"));
        self.configure("profiles/office.toml", OFFICE);
        self.configure("profiles/home.toml", HOME);
    }

    /// Starts linnetd, and waits until it answers at its control socket.
    pub fn linnetd(&self, program: &str, more: &[&str]) -> Peer {
        let mut daemon = self.start(&[program], more);
        let control = self.dir.join("run/control");
        until("linnetd listens", || {
            assert!(daemon.runs(), "linnetd ended: {}", daemon.log());
            std::os::unix::net::UnixStream::connect(&control).is_ok()
        });
        daemon
    }

    /// Starts linnetd by this command, with the story's folders, and does not wait for it.
    pub fn start(&self, program: &[&str], more: &[&str]) -> Peer {
        let (etc, run, state) = (self.path("etc"), self.path("run"), self.path("state"));
        let mut command = program.to_vec();
        command.extend(["--config-dir", &etc, "--runtime-dir", &run]);
        command.extend(["--state-dir", &state]);
        command.extend(more);
        Peer::start(&self.dir, "linnetd", None, &command)
    }

    /// Runs the command, and returns its exit code and what it printed.
    pub fn linnet(&self, program: &str, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(program)
            .args(["--runtime-dir", &self.path("run")])
            .args(arguments)
            .output()
            .expect("linnet is built");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text)
    }

    /// Returns a path in the story's folder as text.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// linnetd spells names at random, and servers print them so.
fn names_in_lower_case(log: &str) -> String {
    let word = |word: &str| match word.contains('.') {
        true => word.to_ascii_lowercase(),
        false => word.to_owned(),
    };
    let words: Vec<String> = log.split(' ').map(word).collect();
    words.join(" ")
}

/// Raises the links of the world without servers, and returns the story's folder.
pub fn links() -> PathBuf {
    let dir = PathBuf::from("/run/story");
    fs::create_dir_all(&dir).expect("/run is the test's own");
    shell("chmod 755 /run/story");
    for (namespace, link, mine, theirs) in [
        ("home", "home0", "192.0.2.2", "192.0.2.53"),
        ("vpn", "vpn0", "10.8.0.2", "10.8.0.1"),
    ] {
        shell(&format!(
            "ip netns add {namespace} && ip -n {namespace} link set lo up && \
             ip link add {link} type veth peer name p0 netns {namespace} && \
             ip -n {namespace} addr add {theirs}/24 dev p0 && ip -n {namespace} link set p0 up && \
             ip addr add {mine}/24 dev {link} && ip link set {link} up"
        ));
    }
    shell("ip route add default via 192.0.2.53");
    // The kernel sends nothing over a link before it has looked at its carrier, which takes up to a second.
    for link in ["home0", "vpn0"] {
        until(&format!("{link} carries"), || carries(link));
    }
    dir
}

/// Whether the kernel says that a link is up.
pub fn carries(link: &str) -> bool {
    fs::read_to_string(format!("/sys/class/net/{link}/operstate"))
        .is_ok_and(|state| state == "up\n")
}

/// Advertises a router at home0, with flags (RFC 4861 §4.2) and options in hexadecimal.
pub fn advertise(flags: &str, options: &str) {
    let status = Command::new("ip")
        .args(["netns", "exec", "home", "python3", "-c", ADVERTISE])
        .args([flags, options])
        .status();
    assert!(status.is_ok_and(|status| status.success()));
}

/// Asks the stub with dig, and returns all that it printed.
pub fn dig(arguments: &str) -> String {
    let line = format!("dig @127.0.0.53 +time=5 +tries=1 {arguments} 2>&1; true");
    shell(&line)
}

/// Starts unbound with a local zone `example.test`, and waits until it answers.
pub fn unbound(dir: &Path, namespace: &str, address: &str) -> Peer {
    let file = dir.join("unbound.conf");
    let config = format!(
        "server:\n  interface: {address}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{0}\"\n  pidfile: \"\"\n  \
         use-syslog: no\n  logfile: \"\"\n  log-queries: yes\n  access-control: 0.0.0.0/0 allow\n  module-config: \"iterator\"\n  \
         local-zone: \"test.\" static\n  local-zone: \"example.test.\" static\n  \
         local-data: \"test. 60 SOA ns.test. root.test. 1 60 60 60 60\"\n  \
         local-data: \"example.test. 60 SOA ns.example.test. root.example.test. 1 60 60 60 60\"\n  \
         local-data: \"www.example.test. 60 A 192.0.2.80\"\n  local-data: \"www.corp.test. 60 A 192.0.2.81\"\n  \
         local-data: \"alias.example.test. 60 CNAME www.example.test.\"\n  \
         local-data: \"intruder.example.test. 60 CNAME git.corp.test.\"\n  \
         local-zone: \"pub.test.\" redirect\n  local-data: \"pub.test. 60 A 192.0.2.82\"\n\
         remote-control:\n  control-enable: no\n",
        dir.display()
    );
    fs::write(&file, config).expect("the story's folder is writable");
    let peer = Peer::start(
        dir,
        "unbound",
        Some(namespace),
        &["unbound", "-d", "-c", &file.display().to_string()],
    );
    until_answers(Some(namespace), address, "www.example.test");
    peer
}

/// Starts knot with a zone `corp.test`, and waits until it answers.
pub fn knot(dir: &Path, namespace: &str, address: &str) -> Peer {
    let zone = dir.join("corp.test.zone");
    let big = "x".repeat(250);
    let records = (0..16)
        .map(|at| format!("big TXT \"{at:02}{big}\"\n"))
        .collect::<String>();
    let text = format!(
        "$ORIGIN corp.test.\n$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 10.8.0.1\ngit A 10.8.0.80\nwww A 10.8.0.81\n\
         *.wild A 10.8.0.82\nalias CNAME git\nout CNAME www.example.test.\nold DNAME wild\n{records}{}",
        records
            .lines()
            .take(3)
            .map(|line| line.replace("big", "mid") + "\n")
            .collect::<String>()
    );
    fs::write(&zone, text).expect("the story's folder is writable");
    let file = dir.join("knot.conf");
    let config = format!(
        "server:\n  listen: {address}@53\n  rundir: {0}\ndatabase:\n  storage: {0}\nlog:\n  - target: stderr\n    any: info\n\
         zone:\n  - domain: corp.test\n    file: {1}\n    zonefile-load: whole\n    journal-content: none\n",
        dir.display(),
        zone.display()
    );
    fs::write(&file, config).expect("the story's folder is writable");
    let peer = Peer::start(
        dir,
        "knot",
        Some(namespace),
        &["knotd", "-c", &file.display().to_string()],
    );
    until_answers(Some(namespace), address, "git.corp.test");
    peer
}

/// Waits until a server answers for a name.
pub fn until_answers(namespace: Option<&str>, address: &str, name: &str) {
    let place = namespace.map_or_else(String::new, |namespace| {
        format!("ip netns exec {namespace} ")
    });
    until(&format!("{address} answers"), || {
        shell(&format!(
            "{place}dig @{address} +time=1 +tries=1 +short {name} 2>/dev/null; true"
        ))
        .contains("0.")
    });
}
