//! What becomes of a static address that somebody else has too? A neighbour at the other end of a cable that has it before or
//! takes it later, and ARP as that neighbour hears it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::{Peer, until, until_within};

use super::{LINNET, LINNETD, addresses, folder, link_status, office};

const OWN: &str = "192.0.2.10";
const NEIGHBOUR: &str = "02:00:00:00:00:20";

/// Announces addresses by ARP on the neighbour's link.
const SPEAK: &str = r#"
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far0", 0x806))
mac = bytes.fromhex("020000000020")
for word in sys.argv[1:]:
    address = socket.inet_aton(word)
    s.send(b"\xff" * 6 + mac + b"\x08\x06" + bytes.fromhex("0001080006040001") + mac + address + bytes(6) + address)
"#;

/// Writes a line for each ARP packet of others that the neighbour hears.
const LISTEN: &str = r#"
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x806))
s.bind(("far0", 0x806))
print("listens", flush=True)
while True:
    try:
        packet, where = s.recvfrom(64)
    except OSError:
        continue
    if where[2] == 4:
        continue
    words = {1: "request", 2: "reply"}
    sender, target = (socket.inet_ntoa(packet[at:at + 4]) for at in (14, 24))
    print(words[packet[7]], sender, target, flush=True)
"#;

fn links() {
    shell(&format!(
        "ip netns add far; ip link add net0 address 02:00:00:00:00:10 type veth peer name far0 netns far address {NEIGHBOUR} && \
         sysctl -qw net.ipv6.conf.net0.accept_dad=0 net.ipv6.conf.net0.accept_ra=0 && \
         ip link set net0 up && ip -n far link set far0 up && ip -n far addr add 192.0.2.1/24 dev far0"
    ));
}

fn speak(addresses: &str) {
    shell(&format!(
        "ip netns exec far python3 -c '{SPEAK}' {addresses}"
    ));
}

pub(super) fn listen(dir: &Path) -> Peer {
    let listener = Peer::start(dir, "arp", Some("far"), &["python3", "-c", LISTEN]);
    until("the neighbour listens", || {
        listener.log().starts_with("listens\n")
    });
    listener
}

/// How many probes and announcements of our address the neighbour has heard.
fn heard(listener: &Peer) -> (usize, usize) {
    let log = listener.log();
    let count = |sender: &str| {
        let line = format!("request {sender} {OWN}");
        log.lines().filter(|it| *it == line).count()
    };
    (count("0.0.0.0"), count(OWN))
}

fn profile(office: &Office, conflicts: &str) {
    let text = format!(
        "match = {{ name = \"net0\" }}\nconflicts = \"{conflicts}\"\naddresses = [\"{OWN}/24\"]\n"
    );
    office.configure("profiles/server.toml", &text);
}

/// What linnet says of the address.
fn item(office: &Office) -> (String, String) {
    let status = link_status(office, "net0");
    let items = status["items"].as_array().cloned().unwrap_or_default();
    let item = items
        .iter()
        .find(|item| item["item"] == format!("address {OWN}/24"));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
    (
        text(item.map(|item| &item["state"])),
        text(item.map(|item| &item["detail"])),
    )
}

/// Pulls the cable out, and plugs it in again.
fn replug(office: &Office) {
    shell("ip -n far link set far0 down");
    until("the carrier is gone", || {
        link_status(office, "net0")["up"] == false
    });
    shell("ip -n far link set far0 up");
}

fn has_it() -> bool {
    addresses("net0").contains(&OWN.to_owned())
}

#[test]
fn an_address_is_asked_for_beside_its_use_and_told_of_when_it_comes_and_with_the_carrier() {
    isolated(
        "links::conflicts::an_address_is_asked_for_beside_its_use_and_told_of_when_it_comes_and_with_the_carrier",
        || {
            let dir = folder();
            links();
            let office = office(dir.clone());
            for (conflicts, expected) in [
                ("ignore", (0, 0)),
                ("announce", (0, 2)),
                ("check", (3, 2)),
                ("watch", (3, 2)),
                ("probe", (3, 2)),
            ] {
                shell("ip addr flush dev net0 scope global");
                let listener = listen(&dir);
                profile(&office, conflicts);
                let mut linnetd = office.linnetd(LINNETD, &[]);
                until("the address is there", has_it);
                until(&format!("neighbours know of it: {conflicts}"), || {
                    heard(&listener) == expected
                });
                assert_eq!(item(&office).0, "ours", "{conflicts}");
                // Another place.
                replug(&office);
                let twice = (2 * expected.0, 2 * expected.1);
                until(&format!("they are told again: {conflicts}"), || {
                    heard(&listener) == twice
                });
                // What is there already needs no word.
                linnetd.signal(libc::SIGTERM);
                linnetd.wait();
                let linnetd = office.linnetd(LINNETD, &[]);
                until("linnetd knows it again", || item(&office).0 == "ours");
                // Announcements are sent by no write to the kernel: as long as the first of them takes above, and more.
                thread::sleep(Duration::from_millis(500));
                assert_eq!(heard(&listener), twice, "{conflicts}");
                drop(linnetd);
                fs::remove_dir_all(office.dir().join("state")).unwrap();
            }
        },
    );
}

#[test]
fn a_neighbour_that_has_the_address_is_told_and_keeps_it_where_the_profile_says_so() {
    isolated(
        "links::conflicts::a_neighbour_that_has_the_address_is_told_and_keeps_it_where_the_profile_says_so",
        || {
            let dir = folder();
            links();
            let office = office(dir);
            for (conflicts, is_used) in [("check", true), ("probe", false)] {
                shell(&format!(
                    "ip addr flush dev net0 scope global; ip -n far addr add {OWN}/24 dev far0"
                ));
                profile(&office, conflicts);
                let linnetd = office.linnetd(LINNETD, &[]);
                until("the conflict is found", || item(&office).0 == "conflict");
                assert_eq!(item(&office).1, format!("{NEIGHBOUR} has it too"));
                assert_eq!(has_it(), is_used, "{conflicts}");
                let (_, told) = office.linnet(LINNET, &["status"]);
                let line = format!("! address {OWN}/24 conflict: {NEIGHBOUR} has it too");
                assert!(told.contains(&line), "{told}");
                // It is found once more, by the carrier, and told in the log once for each time that it is new.
                let line = format!("{NEIGHBOUR} has the address {OWN} too");
                assert_eq!(linnetd.log().matches(&line).count(), 1, "{conflicts}");

                // Whoever has it lets it go, and the cable is plugged in anew.
                shell(&format!("ip -n far addr del {OWN}/24 dev far0"));
                replug(&office);
                until("the address is ours alone", || item(&office).0 == "ours");
                assert!(has_it());
                drop(linnetd);
                fs::remove_dir_all(office.dir().join("state")).unwrap();
            }
            // Without an event it takes a while.
            shell(&format!(
                "ip addr flush dev net0 scope global; ip -n far addr add {OWN}/24 dev far0"
            ));
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("the conflict is found", || item(&office).0 == "conflict");
            shell(&format!("ip -n far addr del {OWN}/24 dev far0"));
            until_within(
                Duration::from_secs(20),
                "the address is asked for again",
                has_it,
            );
        },
    );
}

#[test]
fn a_neighbour_that_takes_the_address_later_is_answered_once() {
    isolated(
        "links::conflicts::a_neighbour_that_takes_the_address_later_is_answered_once",
        || {
            let dir = folder();
            links();
            let office = office(dir.clone());
            for (conflicts, is_used) in [("watch", true), ("probe-carefully", false)] {
                shell("ip addr flush dev net0 scope global");
                let listener = listen(&dir);
                profile(&office, conflicts);
                let linnetd = office.linnetd(LINNETD, &[]);
                until_within(Duration::from_secs(20), "the address is announced", || {
                    heard(&listener) == (3, 2)
                });
                shell(&format!("ip -n far addr add {OWN}/24 dev far0"));
                speak(OWN);
                let answered = format!("{NEIGHBOUR} used the address {OWN}, and was told");
                until("the neighbour is answered", || {
                    linnetd.log().contains(&answered)
                });
                until("the answer is heard", || heard(&listener) == (3, 3));
                assert_eq!(item(&office).0, "ours");
                assert!(has_it());
                speak(OWN);
                until("the conflict is told", || item(&office).0 == "conflict");
                until("the address is as the profile says", || has_it() == is_used);
                assert_eq!(heard(&listener), (3, 3), "nobody insists: {conflicts}");
                drop(linnetd);
                shell(&format!("ip -n far addr del {OWN}/24 dev far0"));
                fs::remove_dir_all(office.dir().join("state")).unwrap();
            }
        },
    );
}

/// How often any thread of a process has woken up.
fn wakes(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
    let counts = status.filter_map(Result::ok).flat_map(|status| {
        let counts = status.lines().filter_map(|line| {
            let line = line.strip_prefix("voluntary_ctxt_switches:")?;
            line.trim().parse::<u64>().ok()
        });
        counts.collect::<Vec<u64>>()
    });
    counts.sum()
}

#[test]
fn what_neighbours_say_of_other_addresses_wakes_nobody() {
    isolated(
        "links::conflicts::what_neighbours_say_of_other_addresses_wakes_nobody",
        || {
            let dir = folder();
            links();
            let office = office(dir.clone());
            let listener = listen(&dir);
            profile(&office, "watch");
            let linnetd = office.linnetd(LINNETD, &[]);
            until("the address is announced", || heard(&listener) == (3, 2));
            assert_eq!(item(&office).0, "ours");
            let rests = || {
                let before = wakes(linnetd.pid());
                thread::sleep(Duration::from_millis(400));
                wakes(linnetd.pid()) == before
            };
            until("linnetd rests", rests);
            let before = wakes(linnetd.pid());
            let others: Vec<String> = (100..200).map(|last| format!("192.0.2.{last}")).collect();
            speak(&others.join(" "));
            assert_eq!(wakes(linnetd.pid()), before);
            speak(OWN);
            let answered = format!("{NEIGHBOUR} used the address {OWN}, and was told");
            until("its own is heard of", || linnetd.log().contains(&answered));
            assert!(wakes(linnetd.pid()) > before);
        },
    );
}

#[test]
fn links_without_neighbours_are_neither_asked_nor_waited_for() {
    isolated(
        "links::conflicts::links_without_neighbours_are_neither_asked_nor_waited_for",
        || {
            let dir = folder();
            links();
            shell("ip link set net0 arp off");
            let listener = listen(&dir);
            let office = office(dir.clone());
            profile(&office, "probe-carefully");
            let linnetd = office.linnetd(LINNETD, &[]);
            until("the address is there", || item(&office).0 == "ours");
            let sockets = shell(&format!("cat /proc/{}/net/packet", linnetd.pid()));
            assert_eq!(sockets.lines().count(), 1, "{sockets}");
            assert_eq!(heard(&listener), (0, 0));
        },
    );
}
