//! Do linnet and avahi find each other, on real links? Two or three namespaces on a wire, avahi on one side.

use std::fs;
use std::path::{Path, PathBuf};

use tests::namespace::{isolated, shell};
use tests::office::{Office, carries, dig};
use tests::peer::{Peer, until};

use crate::{LINNET, LINNETD, json};

/// A link `lan{n}` of ours to the namespace `n{n}`, both families, and nobody's DNS.
pub(crate) fn wire(number: u8) {
    shell(&format!(
        "ip netns add n{number} && ip link add lan{number} type veth peer name eth0 netns n{number} && \
         ip addr add 10.{number}.0.1/24 dev lan{number} && ip -n n{number} addr add 10.{number}.0.2/24 dev eth0 && \
         ip addr add fd00:{number}::1/64 dev lan{number} nodad && ip -n n{number} addr add fd00:{number}::2/64 dev eth0 nodad && \
         ip -n n{number} link set lo up && ip -n n{number} link set eth0 up && ip link set lan{number} up"
    ));
    until("the wire carries", || carries(&format!("lan{number}")));
}

pub(crate) fn folder() -> PathBuf {
    let dir = PathBuf::from("/run/story");
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Starts avahi in a namespace, or beside us, at a bus when one is named; returns it when it has its name.
pub(crate) fn avahi(
    dir: &Path,
    namespace: Option<&str>,
    host: &str,
    services: &str,
    bus: Option<&str>,
) -> Peer {
    let name = format!("avahi-{}", namespace.unwrap_or("here"));
    let home = dir.join(&name);
    fs::create_dir_all(home.join("services")).unwrap();
    let with_bus = if bus.is_some() { "yes" } else { "no" };
    let config = home.join("avahi.conf");
    fs::write(
        &config,
        format!(
            "[server]\nhost-name={host}\nuse-ipv4=yes\nuse-ipv6=yes\nenable-dbus={with_bus}\nallow-point-to-point=yes\n\
             [publish]\npublish-workstation=no\npublish-hinfo=no\npublish-aaaa-on-ipv4=yes\npublish-a-on-ipv6=yes\n[reflector]\n[rlimits]\n"
        ),
    )
    .unwrap();
    let mounts = format!(
        "mkdir -p /etc/avahi/services && mount --bind {} /etc/avahi/services && mount -t tmpfs tmpfs /run && \
         exec env DBUS_SYSTEM_BUS_ADDRESS={} avahi-daemon --no-chroot --no-drop-root --no-rlimits --debug -f {}",
        home.join("services").display(),
        bus.unwrap_or_default(),
        config.display()
    );
    if !services.is_empty() {
        fs::write(home.join("services/s.service"), services).unwrap();
    }
    // A mount namespace of its own: avahi's files lie at fixed places. /run goes last, so that its folder is still found.
    let line = mounts.replace(
        "mount -t tmpfs tmpfs /run && ",
        "mkdir -p /run/avahi-daemon && mount -t tmpfs tmpfs /run/avahi-daemon && ",
    );
    let peer = Peer::start(
        dir,
        &name,
        namespace,
        &["unshare", "--mount", "sh", "-c", &line],
    );
    until("avahi has its name", || {
        peer.log().contains("Server startup complete")
    });
    peer
}

pub(crate) const PRINTER: &str = "<service-group><name>Paper Mill</name><service><type>_ipp._tcp</type><port>631</port>\
                       <txt-record>pages=many</txt-record></service></service-group>";

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn configure(office: &Office, mode: &str) {
    office.configure(
        "linnet.toml",
        "[resolver]\ndnssec = \"off\"\nhosts = false\n",
    );
    office.configure(
        "profiles/lan.toml",
        &format!("match = {{ name = \"lan*\" }}\n[dns]\nmdns = \"{mode}\"\n"),
    );
}

pub(crate) fn begin(mode: &str, wires: u8) -> Office {
    for number in 1..=wires {
        wire(number);
    }
    let office = Office::bare(folder());
    configure(&office, mode);
    office
}

/// A client without multicast DNS of its own (RFC 6762 §5.1): asks the group once, prints who answers with what.
const ONE_SHOT: &str = r#"
import socket, struct, sys
name, kind = sys.argv[1], int(sys.argv[2])
labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", b"\0" * 4, b"\0" * 4, socket.if_nametoindex("eth0")))
s.settimeout(0.7)
s.sendto(struct.pack(">6H", 77, 0, 1, 0, 0, 0) + labels + struct.pack(">2H", kind, 1), ("224.0.0.251", 5353))
try:
    while True:
        wire, source = s.recvfrom(9000)
        print(source[0], wire.hex())
except TimeoutError:
    pass
"#;

/// Asks the group from a namespace; returns the answers in hexadecimal.
fn one_shot(dir: &Path, namespace: &str, name: &str, record_type: u16) -> String {
    let script = dir.join("one_shot.py");
    fs::write(&script, ONE_SHOT).unwrap();
    shell(&format!(
        "ip netns exec {namespace} python3 {} {name} {record_type}",
        script.display()
    ))
}

#[test]
fn names_and_services_of_avahi_are_found_both_families() {
    isolated(
        "neighbours::names_and_services_of_avahi_are_found_both_families",
        || {
            let office = begin("resolve", 1);
            let avahi = avahi(office.dir(), Some("n1"), "printer", PRINTER, None);
            let _linnetd = office.linnetd(LINNETD, &[]);
            let status = json(&office, &["status"]);
            assert_eq!(
                status["multicast"][0]["listens"], false,
                "nobody asked yet: {status}"
            );
            assert!(
                !shell("ss -uln").contains(":5353"),
                "no socket before the first question"
            );

            assert!(
                dig("+short printer.local").contains("10.1.0.2"),
                "{}",
                dig("printer.local")
            );
            assert!(
                dig("+short printer.local AAAA").contains("fd00:1::2"),
                "{}",
                dig("printer.local AAAA")
            );
            let whole = dig("printer.local AAAA");
            assert!(
                !whole.contains("fe80:") && !whole.contains(" ad"),
                "{whole}"
            );
            let found = dig("_ipp._tcp.local PTR");
            assert!(found.contains("Paper\\032Mill._ipp._tcp.local."), "{found}");
            let place = dig("+short 'Paper Mill._ipp._tcp.local' SRV");
            assert!(place.contains("0 0 631 printer.local."), "{place}");
            assert!(dig("+short 'Paper Mill._ipp._tcp.local' TXT").contains("pages=many"));

            let told = json(&office, &["explain", "printer.local"]);
            assert_eq!(told["target"]["action"], "multicast", "{told}");
            assert!(
                told["because"]["text"]
                    .as_str()
                    .unwrap()
                    .contains("lan1 (profile lan: mdns = resolve)"),
                "{told}"
            );

            let nobody = dig("nobody.local");
            assert!(
                nobody.contains("NXDOMAIN") && nobody.contains("nobody on lan1 answered"),
                "{nobody}"
            );

            let (code, seen) = office.linnet(LINNET, &["browse", "_ipp._tcp", "--seconds", "3"]);
            assert!(
                code == 0 && seen.contains("+ lan1") && seen.contains("printer.local:631"),
                "{seen}"
            );
            assert!(
                seen.contains("10.1.0.2") && seen.contains("pages=many"),
                "{seen}"
            );
            let (_, types) = office.linnet(LINNET, &["browse", "--seconds", "3"]);
            assert!(types.contains("_ipp._tcp.local"), "{types}");

            // It goes, and says so.
            avahi.signal(libc::SIGTERM);
            until("the printer is forgotten", || {
                dig("printer.local").contains("NXDOMAIN")
            });
        },
    );
}

#[test]
fn avahi_finds_us_and_hears_our_goodbye() {
    isolated("neighbours::avahi_finds_us_and_hears_our_goodbye", || {
        let office = begin("respond", 1);
        let linnetd = office.linnetd(LINNETD, &[]);
        until("we have our name", || {
            json(&office, &["status"])["multicast"][0]["voice"] == "answers for sandbox.local"
        });
        let ask = |name: &str, record_type| one_shot(office.dir(), "n1", name, record_type);
        let a = ask("sandbox.local", 1);
        // TTL 10, four octets.
        assert!(
            a.starts_with("10.1.0.1 004d") && a.contains("0000000a00040a010001"),
            "{a}"
        );
        let aaaa = ask("sandbox.local", 28);
        assert!(aaaa.contains("fd000001000000000000000000000001"), "{aaaa}");
        let back = ask("1.0.1.10.in-addr.arpa", 12);
        assert!(back.contains(&hex("sandbox")), "{back}");
        assert!(
            dig("+short sandbox.local").contains("10.1.0.1"),
            "to our own programs too"
        );

        // A new address is told, the old one is taken back.
        shell("ip addr del 10.1.0.1/24 dev lan1 && ip addr add 10.1.0.9/24 dev lan1");
        until("the new address is answered with", || {
            let a = ask("sandbox.local", 1);
            a.contains("0a010009") && !a.contains("0a010001")
        });
        shell(
            "ip netns exec n1 timeout 20 tcpdump -i eth0 -n -c 1 -vv 'udp port 5353 and src 10.1.0.9 and greater 60' >/run/goodbye 2>&1 &",
        );
        until("tcpdump listens", || {
            fs::read_to_string("/run/goodbye").is_ok_and(|said| said.contains("listening on"))
        });
        linnetd.signal(libc::SIGTERM);
        until("a goodbye is heard", || {
            let heard = fs::read_to_string("/run/goodbye").unwrap_or_default();
            heard.contains("[0s]") || heard.contains("sandbox.local.")
        });
        assert_eq!(ask("sandbox.local", 1), "", "nobody answers");
    });
}

#[test]
fn a_name_that_avahi_has_is_left_to_it() {
    isolated("neighbours::a_name_that_avahi_has_is_left_to_it", || {
        let office = begin("respond", 1);
        let _avahi = avahi(office.dir(), Some("n1"), "sandbox", "", None);
        let _linnetd = office.linnetd(LINNETD, &[]);
        until("we have another name", || {
            json(&office, &["status"])["multicast"][0]["voice"] == "answers for sandbox-2.local"
        });
        assert!(
            dig("+short sandbox.local").contains("10.1.0.2"),
            "{}",
            dig("sandbox.local")
        );
        let ours = one_shot(office.dir(), "n1", "sandbox-2.local", 1);
        assert!(ours.contains("0a010001"), "{ours}");
    });
}

#[test]
fn avahi_takes_another_name_when_we_have_it() {
    isolated(
        "neighbours::avahi_takes_another_name_when_we_have_it",
        || {
            let office = begin("respond", 1);
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("we have our name", || {
                json(&office, &["status"])["multicast"][0]["voice"] == "answers for sandbox.local"
            });
            let avahi = avahi(office.dir(), Some("n1"), "sandbox", "", None);
            until("avahi has another name", || {
                avahi.log().contains("sandbox-2.local")
            });
            assert!(
                dig("+short sandbox-2.local").contains("10.1.0.2"),
                "{}",
                dig("sandbox-2.local")
            );
            assert_eq!(
                json(&office, &["status"])["multicast"][0]["voice"],
                "answers for sandbox.local"
            );
        },
    );
}

#[test]
fn an_avahi_on_this_machine_is_given_way() {
    isolated("neighbours::an_avahi_on_this_machine_is_given_way", || {
        let office = begin("respond", 1);
        let _there = avahi(office.dir(), Some("n1"), "printer", "", None);
        let here = avahi(office.dir(), None, "sandbox", "", None);
        let _linnetd = office.linnetd(LINNETD, &[]);
        until("we give way", || {
            json(&office, &["status"])["multicast"][0]["voice"]
                .as_str()
                .is_some_and(|voice| voice.starts_with("gives way"))
        });
        let (_, text) = office.linnet(LINNET, &["status"]);
        assert!(
            text.contains("gives way: another program of this machine answers for sandbox.local"),
            "{text}"
        );
        assert!(
            dig("+short printer.local").contains("10.1.0.2"),
            "names are found all the same"
        );
        let answers = one_shot(office.dir(), "n1", "sandbox.local", 1);
        assert_eq!(
            answers.lines().count(),
            1,
            "one of the two answers: {answers}"
        );
        here.signal(libc::SIGTERM);
        until("we take over", || {
            json(&office, &["status"])["multicast"][0]["voice"] == "answers for sandbox.local"
        });
    });
}

#[test]
fn the_same_name_in_two_networks_is_never_mixed_up() {
    isolated(
        "neighbours::the_same_name_in_two_networks_is_never_mixed_up",
        || {
            let office = begin("resolve", 2);
            let _one = avahi(office.dir(), Some("n1"), "nas", "", None);
            let _two = avahi(office.dir(), Some("n2"), "nas", "", None);
            let _linnetd = office.linnetd(LINNETD, &[]);
            for _ in 0..3 {
                let (v4, v6) = (dig("+short nas.local"), dig("+short nas.local AAAA"));
                assert_eq!(v4.trim(), "10.1.0.2", "one network's, always the same");
                assert_eq!(v6.trim(), "fd00:1::2");
            }
            shell("ip link set lan1 down");
            until("the other network's is found", || {
                dig("+short nas.local").trim() == "10.2.0.2"
            });
            shell("ip link set lan1 up");
            until("the first is back", || {
                dig("+short nas.local").trim() == "10.1.0.2"
            });
        },
    );
}

#[test]
fn switched_off_there_is_no_socket_and_no_word() {
    isolated(
        "neighbours::switched_off_there_is_no_socket_and_no_word",
        || {
            let office = begin("off", 1);
            let _avahi = avahi(office.dir(), Some("n1"), "printer", "", None);
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(dig("printer.local").contains("NXDOMAIN"));
            assert!(!shell("ss -uln").contains(":5353"));
            assert!(!shell("ip maddr show dev lan1").contains("224.0.0.251"));
            let (code, text) = office.linnet(LINNET, &["browse", "_ipp._tcp"]);
            assert!(code != 0 && text.contains("multicast DNS is off"), "{text}");
            configure(&office, "resolve");
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            assert!(dig("+short printer.local").contains("10.1.0.2"));
        },
    );
}
