//! A small signed internet: every kind of proof, and every way in which one goes wrong, signed anew for each story.
//!
//! One nsd serves all zones from the root down; an unbound that does not validate recurses to it and is everybody's
//! upstream. A second unbound, which validates, and delv are what linnet's verdicts are compared with.

use std::fs;
use std::path::{Path, PathBuf};

use crate::namespace::shell;
use crate::office::until_answers;
use crate::peer::Peer;

/// Where nsd serves all zones, in the home namespace.
pub const AUTHORITY: &str = "192.0.2.54";
/// Where unbound recurses without validating, in the home namespace.
pub const UPSTREAM: &str = "192.0.2.53";
/// Where the other unbound validates, beside linnet.
pub const REFEREE: &str = "127.0.0.9";

/// How a zone is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// Not at all.
    None,
    /// Algorithm, and options of dnssec-signzone.
    With(&'static str, &'static str),
}

/// A zone of the lab.
#[derive(Debug, Clone, Copy)]
pub struct Zone {
    /// Its name, with a final dot.
    pub name: &'static str,
    /// How it is signed.
    pub signing: Signing,
    /// What its parent says of its keys.
    pub delegation: Delegation,
    /// Its records besides SOA and NS.
    pub records: &'static str,
}

/// What the parent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delegation {
    /// The DS of its key.
    Right,
    /// The DS of another key.
    Wrong,
    /// A DS of an algorithm that nobody knows.
    Unknown,
    /// Nothing.
    None,
}

const P256: &str = "ECDSAP256SHA256";
const NORMAL: &str = "-s now-3600 -e now+864000";
const USUAL: &str =
    "www A 192.0.2.80\n*.wild A 192.0.2.82\na.b.ent A 192.0.2.83\nalias CNAME www\n";

/// All zones; a parent comes after its children, so that it can take their keys.
pub const ZONES: &[Zone] = &[
    Zone {
        name: "nsec.test.",
        signing: Signing::With(P256, NORMAL),
        delegation: Delegation::Right,
        records: "www A 192.0.2.80\n*.wild A 192.0.2.82\na.b.ent A 192.0.2.83\nalias CNAME www\n\
                  out CNAME www.nsec3.test.\nplain CNAME www.plain.test.\nnowhere CNAME nothing.nsec3.test.\n\
                  stale CNAME www.expired.test.\nold DNAME new\nwww.new A 192.0.2.84\nmail MX 10 www\n",
    },
    Zone {
        name: "nsec3.test.",
        signing: Signing::With("ED25519", "-s now-3600 -e now+864000 -3 -"),
        delegation: Delegation::Right,
        records: USUAL,
    },
    Zone {
        name: "optout.test.",
        signing: Signing::With(P256, "-s now-3600 -e now+864000 -3 abcd -H 5 -A"),
        delegation: Delegation::Right,
        records: "www A 192.0.2.80\nsub NS ns.test.\n",
    },
    Zone {
        name: "sub.optout.test.",
        signing: Signing::None,
        delegation: Delegation::None,
        records: USUAL,
    },
    Zone {
        name: "p384.test.",
        signing: Signing::With("ECDSAP384SHA384", NORMAL),
        delegation: Delegation::Right,
        records: USUAL,
    },
    Zone {
        name: "rsa.test.",
        signing: Signing::With("RSASHA256", NORMAL),
        delegation: Delegation::Right,
        records: USUAL,
    },
    Zone {
        name: "expired.test.",
        signing: Signing::With(P256, "-s now-864000 -e now-86400"),
        delegation: Delegation::Right,
        records: USUAL,
    },
    Zone {
        name: "early.test.",
        signing: Signing::With(P256, "-s now+86400 -e now+864000"),
        delegation: Delegation::Right,
        records: USUAL,
    },
    Zone {
        name: "mismatch.test.",
        signing: Signing::With(P256, NORMAL),
        delegation: Delegation::Wrong,
        records: USUAL,
    },
    Zone {
        name: "unknown.test.",
        signing: Signing::None,
        delegation: Delegation::Unknown,
        records: USUAL,
    },
    Zone {
        name: "plain.test.",
        signing: Signing::None,
        delegation: Delegation::None,
        records: USUAL,
    },
    Zone {
        name: "test.",
        signing: Signing::With(P256, NORMAL),
        delegation: Delegation::Right,
        records: "",
    },
    Zone {
        name: "com.",
        signing: Signing::With(P256, "-s now-3600 -e now+864000 -3 - -A"),
        delegation: Delegation::Right,
        records: "",
    },
    Zone {
        name: ".",
        signing: Signing::With("RSASHA256", NORMAL),
        delegation: Delegation::Right,
        records: "",
    },
];

/// The lab, with its servers up.
#[derive(Debug)]
pub struct Lab {
    /// nsd.
    pub authority: Peer,
    /// unbound, not validating.
    pub upstream: Peer,
    /// unbound, validating.
    pub referee: Peer,
    /// The file with the root's DS.
    pub anchor: PathBuf,
}

impl Lab {
    /// Signs all zones below `dir` and starts the servers; the links of [`crate::office::links`] must be up.
    ///
    /// # Panics
    /// When a zone cannot be signed or a server does not answer.
    pub fn raise(dir: &Path) -> Self {
        let zones = dir.join("zones");
        fs::create_dir_all(&zones).expect("the story's folder is writable");
        for zone in ZONES {
            sign(&zones, zone);
        }
        let anchor = zones.join("anchor");
        let ds = fs::read_to_string(zones.join("root.ds")).expect("the root was signed");
        fs::write(&anchor, ds).expect("the story's folder is writable");
        shell(&format!("ip -n home addr add {AUTHORITY}/24 dev p0"));
        let authority = nsd(dir, &zones);
        let hints = dir.join("hints");
        let text = format!(". 3600 NS ns.test.\nns.test. 3600 A {AUTHORITY}\n");
        fs::write(&hints, text).expect("the story's folder is writable");
        let upstream = unbound(
            dir,
            "upstream",
            Some("home"),
            UPSTREAM,
            &format!(
                "  module-config: \"iterator\"\n  root-hints: \"{}\"\n  local-zone: \"test.\" nodefault\n",
                hints.display()
            ),
        );
        let referee = unbound(
            dir,
            "referee",
            None,
            REFEREE,
            &format!(
                "  module-config: \"validator iterator\"\n  trust-anchor-file: \"{}\"\n  trust-anchor-signaling: no\n  \
                 val-sig-skew-min: 0\n  val-sig-skew-max: 0\n  aggressive-nsec: no\n  local-zone: \"test.\" nodefault\n\
                 forward-zone:\n  name: \".\"\n  forward-addr: {UPSTREAM}\n",
                anchor.display()
            ),
        );
        Self {
            authority,
            upstream,
            referee,
            anchor,
        }
    }
}

fn file(zone: &str) -> &str {
    match zone {
        "." => "root",
        zone => zone.trim_end_matches('.'),
    }
}

/// Whether `child` is delegated by `parent` directly.
fn is_child(child: &str, parent: &str) -> bool {
    let above = child.split_once('.').map_or("", |(_, above)| above);
    let above = if above.is_empty() { "." } else { above };
    child != "." && above == parent
}

/// Writes a zone with what its children gave it, and signs it.
fn sign(zones: &Path, zone: &Zone) {
    let Zone {
        name,
        signing,
        delegation,
        records,
    } = zone;
    let name = *name;
    let file = file(name);
    let mut text = format!(
        "$ORIGIN {name}\n$TTL 300\n@ SOA ns.test. root.test. 1 7200 3600 1209600 300\n@ NS ns.test.\n{records}"
    );
    if name == "test." {
        text += &format!("ns A {AUTHORITY}\n");
    }
    for child in ZONES.iter().filter(|child| is_child(child.name, name)) {
        if child.name != "sub.optout.test." {
            text += &format!("{} NS ns.test.\n", child.name);
        }
        text += &match child.delegation {
            Delegation::None => String::new(),
            Delegation::Unknown => format!("{} DS 12345 200 2 {}\n", child.name, "ab".repeat(32)),
            Delegation::Right | Delegation::Wrong => {
                fs::read_to_string(zones.join(format!("{}.ds", self::file(child.name))))
                    .expect("children come first")
            }
        };
    }
    let raw = zones.join(format!("{file}.raw"));
    let done = zones.join(format!("{file}.zone"));
    let Signing::With(algorithm, options) = signing else {
        fs::write(done, text).expect("the story's folder is writable");
        return;
    };
    fs::write(raw, text).expect("the story's folder is writable");
    let bits = if *algorithm == "RSASHA256" {
        "-b 2048"
    } else {
        ""
    };
    let nsec3 = if options.contains("-3") { "-3" } else { "" };
    let stranger = match delegation {
        Delegation::Wrong => format!("other=$(dnssec-keygen -q -a {algorithm} -f KSK {name})\n"),
        Delegation::Right | Delegation::Unknown | Delegation::None => "other=$key\n".to_owned(),
    };
    shell(&format!(
        "cd {} && key=$(dnssec-keygen -q {nsec3} -a {algorithm} {bits} -f KSK {name})\n{stranger}\
         cat {file}.raw $key.key > {file}.in && \
         dnssec-signzone -q -P -z -x -O full {options} -o {name} -f {file}.zone {file}.in $key >/dev/null && \
         dnssec-dsfromkey -2 $other.key > {file}.ds",
        zones.display()
    ));
}

fn nsd(dir: &Path, zones: &Path) -> Peer {
    // Without its limit of replies a second, which a crowd of clients behind one recursor meets at once.
    let mut config = format!(
        "server:\n  ip-address: {AUTHORITY}\n  username: \"\"\n  zonesdir: \"{0}\"\n  pidfile: \"\"\n  xfrdfile: \"\"\n  \
         zonelistfile: \"{1}/zone.list\"\n  xfrdir: \"{1}\"\n  database: \"\"\n  server-count: 1\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n",
        zones.display(),
        dir.display()
    );
    for zone in ZONES {
        config += &format!(
            "zone:\n  name: \"{}\"\n  zonefile: \"{}.zone\"\n",
            zone.name,
            file(zone.name)
        );
    }
    let path = dir.join("nsd.conf");
    fs::write(&path, config).expect("the story's folder is writable");
    let command = ["nsd", "-d", "-c", &path.display().to_string()];
    let peer = Peer::start(dir, "nsd", Some("home"), &command);
    until_answers(Some("home"), AUTHORITY, "www.nsec.test");
    peer
}

fn unbound(dir: &Path, name: &str, namespace: Option<&str>, address: &str, more: &str) -> Peer {
    let path = dir.join(format!("{name}.conf"));
    let config = format!(
        "server:\n  interface: {address}\n  do-daemonize: no\n  do-ip6: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{}\"\n  \
         pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  access-control: 0.0.0.0/0 allow\n  do-not-query-localhost: no\n  \
         edns-buffer-size: 1232\n  val-log-level: 2\n{more}remote-control:\n  control-enable: no\n",
        dir.display()
    );
    fs::write(&path, config).expect("the story's folder is writable");
    let command = ["unbound", "-d", "-c", &path.display().to_string()];
    let peer = Peer::start(dir, name, namespace, &command);
    until_answers(namespace, address, "www.plain.test");
    peer
}
