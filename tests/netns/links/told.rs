//! Does what an administrator tells of links by command outlive linnetd? Each command is followed by SIGKILL and a new start,
//! which writes nothing at all: whoever has taken things over keeps them, whoever has let them go is left alone.

use std::thread;
use std::time::Duration;

use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::{Peer, until};

use super::{LINNET, LINNETD, addresses, folder, link_status, office};
use crate::json;

const BY_HAND: &str = "match = { name = \"net0\" }\nautoconnect = false\naddresses = [\"192.0.2.10/24\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";
const BY_ITSELF: &str = "match = { name = \"net1\" }\naddresses = [\"198.51.100.10/24\"]\n[[routes]]\nto = \"10.1.0.0/16\"\nvia = \"198.51.100.1\"\n";
const BRIDGE: &str = "autoconnect = false\naddresses = [\"10.7.0.1/24\"]\n[link]\nname = \"br7\"\nkind = \"bridge\"\n";
const MACVLAN: &str = "autoconnect = false\naddresses = [\"10.8.0.1/24\"]\n[link]\nname = \"mac7\"\nkind = \"macvlan\"\nparent = \"br7\"\n";

/// Kills linnetd and starts another, which has nothing to write; the monitor's log is the kernel's word.
fn begin_anew(office: &Office, linnetd: Peer, after: &str) -> Peer {
    let watch = ["ip", "-4", "monitor", "address", "route"];
    let monitor = Peer::start(office.dir(), "monitor", None, &watch);
    thread::sleep(Duration::from_millis(100));
    let mut linnetd = linnetd;
    linnetd.signal(libc::SIGKILL);
    linnetd.wait();
    let linnetd = office.linnetd(LINNETD, &[]);
    thread::sleep(Duration::from_millis(400));
    assert_eq!(monitor.log(), "", "after {after}");
    linnetd
}

fn tell(office: &Office, verb: &str, link: &str) {
    let (code, text) = office.linnet(LINNET, &[verb, link]);
    assert_eq!(code, 0, "{verb} {link}: {text}");
}

/// Whether everything that is planned for a link is in this state.
fn all_are(office: &Office, link: &str, state: &str) -> bool {
    let status = link_status(office, link);
    let items = status["items"].as_array().unwrap();
    let of_kernel = |item: &&serde_json::Value| {
        let text = item["item"].as_str().unwrap();
        text.starts_with("address") || text.starts_with("route")
    };
    let mut items = items.iter().filter(of_kernel).peekable();
    items.peek().is_some() && items.all(|item| item["state"] == state)
}

#[test]
fn what_was_told_of_links_outlives_linnetd() {
    isolated(
        "links::told::what_was_told_of_links_outlives_linnetd",
        || {
            let office = office(folder());
            shell(
                "ip link add net0 type veth peer name far0 && ip link set far0 up && ip link add net1 type veth peer name far1 && ip link set far1 up",
            );
            office.configure("profiles/by-hand.toml", BY_HAND);
            office.configure("profiles/by-itself.toml", BY_ITSELF);
            let linnetd = office.linnetd(LINNETD, &[]);
            until("one link is set up by itself", || {
                addresses("net1") == ["198.51.100.10"]
            });
            assert!(addresses("net0").is_empty());

            tell(&office, "up", "net0");
            until("the other by command", || all_are(&office, "net0", "ours"));
            let linnetd = begin_anew(&office, linnetd, "up");
            assert_eq!(addresses("net0"), ["192.0.2.10"]);
            assert_eq!(link_status(&office, "net0")["told"], "up");
            assert!(all_are(&office, "net0", "ours"));

            tell(&office, "down", "net1");
            until("it is down", || {
                !shell("ip -o link show net1").contains(",UP")
            });
            let linnetd = begin_anew(&office, linnetd, "down");
            assert!(addresses("net1").is_empty());
            assert_eq!(link_status(&office, "net1")["told"], "down");
            tell(&office, "up", "net1");
            until("it is up again", || all_are(&office, "net1", "ours"));

            tell(&office, "release", "net1");
            let linnetd = begin_anew(&office, linnetd, "release");
            assert_eq!(addresses("net1"), ["198.51.100.10"]);
            assert_eq!(link_status(&office, "net1")["told"], "release");
            assert_eq!(link_status(&office, "net1")["items"].to_string(), "[]");
            // Whatever its profile says by now.
            office.configure(
                "profiles/by-itself.toml",
                &BY_ITSELF.replace("100.10/", "100.11/"),
            );
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            thread::sleep(Duration::from_millis(200));
            assert_eq!(addresses("net1"), ["198.51.100.10"]);
            office.configure("profiles/by-itself.toml", BY_ITSELF);
            office.linnet(LINNET, &["config", "reload"]);

            tell(&office, "adopt", "net1");
            until("all of it is linnet's again", || {
                all_are(&office, "net1", "ours")
            });
            assert!(link_status(&office, "net1").get("told").is_none());
            let mut linnetd = begin_anew(&office, linnetd, "adopt");
            assert!(all_are(&office, "net1", "ours"));
            // A stop and a start are no other, as of a package that is upgraded.
            linnetd.signal(libc::SIGTERM);
            linnetd.wait();
            let _linnetd = office.linnetd(LINNETD, &[]);
            thread::sleep(Duration::from_millis(300));
            assert_eq!(addresses("net0"), ["192.0.2.10"]);
            assert_eq!(addresses("net1"), ["198.51.100.10"]);
        },
    );
}

#[test]
fn links_that_profiles_make_come_and_go_by_command() {
    isolated(
        "links::told::links_that_profiles_make_come_and_go_by_command",
        || {
            let office = office(folder());
            office.configure("profiles/bridge.toml", BRIDGE);
            office.configure("profiles/macvlan.toml", MACVLAN);
            let linnetd = office.linnetd(LINNETD, &[]);
            let links = || shell("ip -br link | cat");
            let unmade = || json(&office, &["status"])["unmade"].to_string();
            assert!(!links().contains("br7"), "not by itself");
            let (_, text) = office.linnet(LINNET, &["status"]);
            assert!(text.contains("made by: linnet up br7"), "{text}");
            let (code, text) = office.linnet(LINNET, &["up", "bridge"]);
            assert!(
                code != 0 && text.contains("profile bridge makes br7"),
                "{text}"
            );

            // With what it stands on.
            tell(&office, "up", "mac7");
            until("both are there", || {
                addresses_of("mac7") == ["10.8.0.1"]
                    && shell("ip -br link show br7 | cat").contains("br7")
            });
            until("the bridge has its address", || {
                addresses_of("br7") == ["10.7.0.1"]
            });
            thread::sleep(Duration::from_millis(300));
            let linnetd = begin_anew(&office, linnetd, "up");
            assert_eq!(unmade(), "null");

            tell(&office, "down", "mac7");
            until("it is gone, and nothing else", || !links().contains("mac7"));
            assert_eq!(addresses_of("br7"), ["10.7.0.1"]);
            let linnetd = begin_anew(&office, linnetd, "down");
            assert!(!links().contains("mac7"));
            assert!(unmade().contains("\"told\":\"down\""), "{}", unmade());
            // Somebody removes one that is to be there.
            shell("ip link del br7");
            until("it is made again", || addresses_of("br7") == ["10.7.0.1"]);
            tell(&office, "up", "mac7");
            until("so is the other", || addresses_of("mac7") == ["10.8.0.1"]);
            drop(linnetd);
        },
    );
}

/// Addresses of a link that may not be there.
fn addresses_of(link: &str) -> Vec<String> {
    match shell("ip -br link | cat").contains(link) {
        true => addresses(link),
        false => Vec::new(),
    }
}
