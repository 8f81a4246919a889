//! Does what an administrator tells of links by command outlive linnetd? Each command is followed by SIGKILL and a new start,
//! which writes nothing at all: whoever has taken things over keeps them, whoever has let them go is left alone.

use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::{Peer, until};

use super::words::{NOTHING, Words};
use super::{LINNET, LINNETD, addresses, folder, link_status, office};
use crate::json;

const BY_HAND: &str = "match = { name = \"net0\" }\nautoconnect = false\naddresses = [\"192.0.2.10/24\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";
const BY_ITSELF: &str = "match = { name = \"net1\" }\naddresses = [\"198.51.100.10/24\"]\n[[routes]]\nto = \"10.1.0.0/16\"\nvia = \"198.51.100.1\"\n";
const BRIDGE: &str = "autoconnect = false\naddresses = [\"10.7.0.1/24\"]\n[link]\nname = \"br7\"\nkind = \"bridge\"\n";
const MACVLAN: &str = "autoconnect = false\naddresses = [\"10.8.0.1/24\"]\n[link]\nname = \"mac7\"\nkind = \"macvlan\"\nparent = \"br7\"\n";

/// Kills linnetd and starts another, which has nothing to write; the monitor's log is the kernel's word.
fn begin_anew(office: &Office, linnetd: Peer, after: &str) -> Peer {
    let words = Words::from_now(office, "-4 monitor address route");
    let mut linnetd = linnetd;
    linnetd.signal(libc::SIGKILL);
    linnetd.wait();
    let linnetd = office.linnetd(LINNETD, &[]);
    assert_eq!(words.when_all_is_written(), NOTHING, "after {after}");
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
            let words = Words::from_now(&office, "-4 monitor address route");
            assert_eq!(
                words.when_all_is_written(),
                NOTHING,
                "after another profile"
            );
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
            let words = Words::from_now(&office, "-4 monitor address route");
            linnetd.signal(libc::SIGTERM);
            linnetd.wait();
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert_eq!(words.when_all_is_written(), NOTHING, "after a stop");
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
            // The kernel adds its routes when the links carry.
            let connected = || shell("ip -4 route").matches("proto kernel").count();
            until("both carry", || {
                connected() == 2
                    && all_are(&office, "mac7", "ours")
                    && all_are(&office, "br7", "ours")
            });
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

const OFFICE: &str = "addresses = [\"10.9.0.1/24\"]\n[[routes]]\nto = \"10.10.0.0/16\"\nvia = \"10.9.0.2\"\n\
    [[rules]]\npriority = 900\nfrom = \"10.9.0.0/24\"\ntable = 254\n\
    [link]\nname = \"br8\"\nkind = \"bridge\"\nports = [\"port0\", \"port1\"]\nageing-time = \"100s\"\n";

#[test]
fn a_link_that_linnet_made_is_left_when_it_is_released_and_taken_back_without_a_write() {
    isolated(
        "links::told::a_link_that_linnet_made_is_left_when_it_is_released_and_taken_back_without_a_write",
        || {
            let office = office(folder());
            office.configure(
                "linnet.toml",
                "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n[links]\nstop = \"clean\"\n",
            );
            shell(
                "for n in 0 1; do ip link add port$n type veth peer name far$n && ip link set far$n up; done",
            );
            office.configure("profiles/office.toml", OFFICE);
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("it is made, with all that is on it", || {
                addresses_of("br8") == ["10.9.0.1"] && all_are(&office, "br8", "ours")
            });
            until("its ports are in it, and forward", || {
                ports_of("br8") == "port0 port1"
                    && shell("bridge link show")
                        .matches("state forwarding")
                        .count()
                        == 2
            });
            let as_planned = all_of_it();

            // Others have it as they like, and a new profile changes nothing.
            tell(&office, "release", "br8");
            shell(
                "ip link set br8 type bridge ageing_time 20000 && ip link set port1 nomaster && ip address add 10.9.0.7/24 dev br8",
            );
            let theirs = all_of_it();
            office.configure("profiles/office.toml", &OFFICE.replace("100s", "50s"));
            let words = Words::from_now(&office, "monitor address");
            words.when_all_is_written();
            assert_eq!(all_of_it(), theirs, "after a reload");
            office.configure("profiles/office.toml", OFFICE);
            linnetd = begin_anew(&office, linnetd, "release");
            assert_eq!(all_of_it(), theirs, "after a new start");
            linnetd.signal(libc::SIGTERM);
            linnetd.wait();
            assert_eq!(all_of_it(), theirs, "after a stop that is clean otherwise");
            let mut linnetd = office.linnetd(LINNETD, &[]);
            assert_eq!(link_status(&office, "br8")["told"], "release");

            // As it is planned, it is taken back as it is.
            shell(
                "ip address del 10.9.0.7/24 dev br8 && ip link set br8 type bridge ageing_time 10000 && ip link set port1 master br8",
            );
            until("it is as it was", || all_of_it() == as_planned);
            let words = Words::from_now(&office, "monitor link address route rule");
            tell(&office, "adopt", "br8");
            until("all of it is linnet's again", || {
                all_are(&office, "br8", "ours")
            });
            let mut written = words.when_all_is_written();
            // The kernel finds its own addresses unique meanwhile.
            written.retain(|line| !line.contains("fe80::"));
            assert_eq!(written, NOTHING);
            assert!(link_status(&office, "br8").get("told").is_none());

            linnetd.signal(libc::SIGTERM);
            linnetd.wait();
            assert!(
                !shell("ip -br link | cat").contains("br8"),
                "{}",
                linnetd.log()
            );
            assert!(!shell("ip rule").contains("900:"));
        },
    );
}

/// All that is said of the bridge, its ports, its addresses, routes and rules, but how long ago anything happened.
fn all_of_it() -> String {
    let text = shell(
        "ip -d link show br8; bridge link show; ip -br link show port0; ip -br link show port1; ip -4 address show br8; ip route show dev br8; ip rule",
    );
    let is_clock =
        |word: &&str| !word.contains('.') || word.contains('/') || word.starts_with("10.");
    let lines = text.lines().map(|line| {
        let words = line.split_whitespace().filter(is_clock);
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn ports_of(bridge: &str) -> String {
    let text = shell(&format!("ip -br link show master {bridge} | sort"));
    let names = text
        .lines()
        .filter_map(|line| line.split(['@', ' ']).next());
    names.collect::<Vec<_>>().join(" ")
}

/// Addresses of a link that may not be there.
fn addresses_of(link: &str) -> Vec<String> {
    match shell("ip -br link | cat").contains(link) {
        true => addresses(link),
        false => Vec::new(),
    }
}
