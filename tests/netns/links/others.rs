//! Does all that a routing daemon and a cluster's manager have made stay as it is, on links of their own and on one that linnet manages? With BIRD and
//! keepalived.
//!
//! ```text
//! cafe ── net0: OSPF; a lease of linnet's, an address of keepalived's, routes of BIRD's
//! rack ══ up0, up1: BGP; addresses, routes and a rule of keepalived's, nexthop objects by hand
//! ```

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::{Peer, until};

use super::{ANY_NETWORK, Network, addresses, folder, ip, link_status, office};
use crate::{LINNET, LINNETD};

const NAME: &str =
    "links::others::what_bird_and_keepalived_have_made_stays_as_it_is_to_the_last_octet";

const BIRD: &str = r#"log stderr { error, fatal, bug };
router id 203.0.113.1;
protocol device {}
ipv4 table aside;
protocol kernel { merge paths on; ipv4 { export all; }; }
protocol kernel { ipv6 { export all; }; }
protocol kernel { kernel table 77; ipv4 { table aside; export all; }; }
protocol static {
  ipv4;
  route 10.50.0.0/16 via 203.0.113.2 weight 1 via 198.18.7.2 weight 3;
  route 10.51.0.0/16 unreachable;
  route 10.60.0.0/16 via 192.0.2.1;
}
protocol static { ipv4 { table aside; }; route 0.0.0.0/0 via 203.0.113.2; }
protocol static { ipv6; route 2001:db8:50::/48 via 2001:db8:7::2; }
template bgp rack {
  local as 64512; connect delay time 1;
  ipv4 { import all; export none; };
}
protocol ospf v2 cafe {
  ipv4 { import all; export none; };
  area 0 { interface "net0" { type ptp; hello 1; dead count 4; }; };
}
protocol bgp from rack { neighbor 203.0.113.2 as 64513; ipv6 { import all; export none; }; }
protocol bgp from rack { neighbor 198.18.7.2 as 64513; }
"#;

/// Across the link that linnet has an address on.
const BIRD_OF_THE_CAFE: &str = r#"log stderr { error, fatal, bug };
router id 192.0.2.1;
protocol device {}
protocol static { ipv4; route 10.54.0.0/16 unreachable; }
protocol ospf v2 host {
  ipv4 { import none; export where source = RTS_STATIC; };
  area 0 { interface "r0" { type ptp; hello 1; dead count 4; }; };
}
"#;

const BIRD_OF_THE_RACK: &str = r#"log stderr { error, fatal, bug };
router id 203.0.113.2;
protocol device {}
protocol static { ipv4; route 10.53.0.0/16 unreachable; route 0.0.0.0/0 unreachable; }
protocol static { ipv6; route 2001:db8:53::/48 unreachable; }
template bgp host {
  local as 64513; connect delay time 1;
  ipv4 { import none; export all; };
}
protocol bgp from host { neighbor 203.0.113.1 as 64512; ipv6 { import none; export all; next hop address 2001:db8:7::2; }; }
protocol bgp from host { neighbor 198.18.7.1 as 64512; }
"#;

const KEEPALIVED: &str = "global_defs {
  vrrp_version 3
}
vrrp_instance cluster {
  state MASTER
  interface up0
  virtual_router_id 51
  priority 200
  advert_int 0.1
  virtual_ipaddress {
    203.0.113.100/24 dev up0
    192.0.2.200/24 dev net0
  }
  virtual_ipaddress_excluded {
    2001:db8:7::100/64 dev up0
  }
  virtual_routes {
    10.70.0.0/16 via 203.0.113.9 dev up0 metric 7
    default via 203.0.113.9 dev up0 table 70
  }
  virtual_rules {
    from 203.0.113.100/32 table 70 priority 700
  }
}
";

/// What is there when all of theirs is.
const THEIRS: [&str; 16] = [
    "\"10.50.0.0/16\"",
    "\"10.51.0.0/16\"",
    "\"10.53.0.0/16\"",
    "\"10.54.0.0/16\"",
    "\"10.60.0.0/16\"",
    "\"10.70.0.0/16\"",
    "\"10.80.0.0/16\"",
    "\"2001:db8:50::/48\"",
    "\"2001:db8:53::/48\"",
    "\"table\":\"77\"",
    "\"table\":\"70\"",
    "\"203.0.113.100\"",
    "\"192.0.2.200\"",
    "\"2001:db8:7::100\"",
    "\"priority\":700",
    "\"group\":",
];

/// linnet's number, as `ip` shows it.
const OURS: &str = "112";

fn bird(dir: &Path, name: &str, namespace: Option<&str>, config: &str) -> Peer {
    let path = |kind: &str| dir.join(format!("{name}.{kind}")).display().to_string();
    let (conf, socket, pid) = (path("conf"), path("socket"), path("pid"));
    fs::write(&conf, config).unwrap();
    let command = ["bird", "-f", "-c", &conf, "-s", &socket, "-P", &pid];
    Peer::start(dir, name, namespace, &command)
}

fn keepalived(dir: &Path) -> Peer {
    let path = |kind: &str| dir.join(format!("keepalived.{kind}")).display().to_string();
    let conf = path("conf");
    fs::write(&conf, KEEPALIVED).unwrap();
    let command = [
        "keepalived",
        "--dont-fork",
        "--log-console",
        "--vrrp",
        "--use-file",
        &conf,
        "--pid",
        &path("pid"),
        "--vrrp_pid",
        &path("vrrp"),
    ];
    Peer::start(dir, "keepalived", None, &command)
}

/// The links to the rack, and what somebody types.
fn rack() {
    shell(
        "ip netns add rack && ip -n rack link set lo up && for n in 0 1; do ip link add up$n type veth peer name r$n netns rack && \
         ip link set up$n up && ip -n rack link set r$n up; done && \
         ip addr add 203.0.113.1/24 dev up0 && ip addr add 198.18.7.1/24 dev up1 && ip -6 addr add 2001:db8:7::1/64 dev up0 nodad && \
         ip -n rack addr add 203.0.113.2/24 dev r0 && ip -n rack addr add 198.18.7.2/24 dev r1 && ip -n rack -6 addr add 2001:db8:7::2/64 dev r0 nodad && \
         ip nexthop add id 7 via 203.0.113.2 dev up0 && ip nexthop add id 8 via 198.18.7.2 dev up1 && ip nexthop add id 9 group 7,1/8,3 && \
         ip route add 10.80.0.0/16 nhid 9 && ip link set net0 up",
    );
}

/// All that is in the kernel and not linnet's, as `ip -j` tells it.
fn theirs() -> Vec<String> {
    let mut lines = Vec::new();
    let listings = [
        "-d -4 route show table all",
        "-d -6 route show table all",
        "-d -4 rule",
        "-d -6 rule",
        "-d nexthop",
    ];
    for listing in listings {
        let all = ip(listing);
        let all = all.as_array().unwrap().iter();
        let kept = all.filter(|it| it["protocol"] != OURS && !is_kernels(it));
        lines.extend(kept.map(Value::to_string));
    }
    let links = ip("addr");
    for link in links.as_array().unwrap() {
        for address in link["addr_info"].as_array().unwrap() {
            // A lease is linnet's, and so is none that has no end.
            if address["scope"] == "global" && address["dynamic"] != true {
                lines.push(format!("{} {address}", link["ifname"]));
            }
        }
    }
    lines
}

/// What the kernel makes of addresses comes and goes with them.
fn is_kernels(route: &Value) -> bool {
    route["protocol"] == "kernel" || route["protocol"] == "ra"
}

fn are_whole(lines: &[String]) -> bool {
    let has = |part: &&str| lines.iter().any(|line| line.contains(part));
    THEIRS.iter().all(has)
}

fn has_lease() -> bool {
    let own = addresses("net0");
    own.iter()
        .any(|address| address.starts_with("192.0.2.1") && address != "192.0.2.200")
}

fn is_taken_up(office: &Office) -> bool {
    let status = link_status(office, "net0");
    let items = status["items"].as_array().cloned().unwrap_or_default();
    let is_ours = |item: &Value| item["state"] == "ours";
    status["profile"] == "any" && items.iter().filter(|item| is_ours(item)).count() > 1
}

#[test]
fn what_bird_and_keepalived_have_made_stays_as_it_is_to_the_last_octet() {
    isolated(NAME, || {
        let dir = folder();
        let cafe = Network::cafe(&dir, "net0");
        rack();
        let _peers = [
            bird(&dir, "bird", None, BIRD),
            bird(&dir, "bird-rack", Some("rack"), BIRD_OF_THE_RACK),
            bird(&dir, "bird-cafe", Some("cafe"), BIRD_OF_THE_CAFE),
            keepalived(&dir),
        ];
        cafe.plug("up");
        until("some of theirs is there before linnetd", || {
            shell("ip route; ip addr").contains("10.51.0.0/16")
        });
        let office = office(dir.clone());
        office.configure("profiles/any.toml", ANY_NETWORK);
        let mut linnetd = office.linnetd(LINNETD, &[]);
        until("there is a lease, and all of theirs", || {
            let lines = theirs();
            let is_by_both =
                |line: &String| line.contains("10.53.0.0/16") && line.contains("nexthops");
            has_lease() && are_whole(&lines) && lines.iter().any(is_by_both)
        });
        let before = theirs();
        let monitor = Peer::start(&dir, "monitor", None, &["ip", "-o", "monitor", "all"]);
        // What it tells lies between two words of this.
        let marker = |verb: &str| {
            shell(&format!(
                "ip address {verb} 192.0.2.255/32 dev lo scope host"
            ));
        };
        let told_of_marker = |verb: &str| {
            let log = monitor.log();
            let mut lines = log.lines().filter(|line| line.contains("[ADDR]"));
            lines.any(|line| {
                line.contains("192.0.2.255/32") && line.contains("Deleted") == (verb == "del")
            })
        };
        until("the monitor listens", || {
            marker("replace");
            told_of_marker("replace")
        });
        let unchanged = |what: &str| assert_eq!(theirs(), before, "{what}");

        office.configure("profiles/any.toml", &format!("{ANY_NETWORK}metric = 90\n"));
        for command in [
            &["config", "reload"][..],
            &["renew", "net0"],
            &["adopt", "net0"],
        ] {
            let (code, text) = office.linnet(LINNET, command);
            assert_eq!(code, 0, "{text}");
            unchanged(command[0]);
        }
        until("the new metric is in force", || {
            shell("ip route show default").contains("metric 90")
        });
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGKILL] {
            linnetd.signal(signal);
            linnetd.wait();
            unchanged("linnetd has ended");
            linnetd = office.linnetd(LINNETD, &[]);
            until("what is linnet's is taken up", || is_taken_up(&office));
            unchanged("linnetd is there again");
        }
        // Not even to say the same again: the kernel would have told that too.
        marker("del");
        until("the monitor has told all", || told_of_marker("del"));
        let log = monitor.log();
        let about_theirs = |line: &&str| {
            let parts = [
                "10.5",
                "10.6",
                "10.7",
                "10.8",
                "203.0.113.",
                "192.0.2.200",
                "2001:db8:5",
                "2001:db8:7:",
                "table 7",
            ];
            !line.starts_with("[NEIGH]") && parts.iter().any(|part| line.contains(part))
        };
        let told: Vec<&str> = log.lines().filter(about_theirs).collect();
        assert!(told.is_empty(), "{told:#?}");
        assert!(log.contains("metric 90"), "the monitor tells: {log}");

        // All that is linnet's goes, the first address of keepalived's prefix with it.
        let main =
            "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n[links]\nstop = \"clean\"\n";
        office.configure("linnet.toml", main);
        let (code, text) = office.linnet(LINNET, &["config", "reload"]);
        assert_eq!(code, 0, "{text}");
        linnetd.signal(libc::SIGTERM);
        linnetd.wait();
        assert!(!has_lease());
        let promoted = |line: &String| match line.starts_with("\"net0\"") {
            true => line.replace("\"secondary\":true,", ""),
            false => line.clone(),
        };
        // With the address went the neighbour that OSPF had found from it.
        let is_kept = |line: &&String| !line.contains("10.54.0.0/16");
        let before: Vec<String> = before.iter().filter(is_kept).map(promoted).collect();
        let now = theirs();
        let now: Vec<String> = now.iter().filter(is_kept).cloned().collect();
        assert_eq!(now, before, "linnetd has taken what is its own");
    });
}

/// A route of ours for each family, and one more that tells that a profile is in force.
fn two_routes(more: &str, last: &str) -> String {
    format!(
        "match = {{ name = \"net0\" }}\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n\
         [[routes]]\nto = \"10.1.0.0/16\"\nvia = \"192.0.2.1\"\nmetric = 50\n{more}\
         [[routes]]\nto = \"2001:db8:1::/48\"\nvia = \"2001:db8::1\"\nmetric = 50\n{more}\
         [[routes]]\nto = \"2001:db8:{last}::/48\"\nvia = \"2001:db8::1\"\nmetric = 50\n"
    )
}

#[test]
fn routes_that_others_put_beside_ours_stay_when_ours_change() {
    isolated(
        "links::others::routes_that_others_put_beside_ours_stay_when_ours_change",
        || {
            shell(
                "ip link set lo up && ip link add net0 type veth peer name p0 && ip link set p0 up && ip link set net0 up",
            );
            let office = office(folder());
            office.configure("profiles/net.toml", &two_routes("", "2"));
            let _linnetd = office.linnetd(LINNETD, &[]);
            let theirs = || shell("ip route show proto bird; ip -6 route show | grep -A3 db8:1:");
            let has_theirs = |hosts: [u8; 2]| {
                let told = theirs();
                let [first, second] = hosts;
                told.contains(&format!("via 192.0.2.{first}"))
                    && told.contains(&format!("via 2001:db8::{second}"))
            };
            let is_there = |what: &str| {
                let what = what.to_owned();
                move || shell("ip route; ip -6 route").contains(&what)
            };
            until("all of ours is there", is_there("2001:db8:2::/48"));
            for (round, verb) in ["prepend", "append"].into_iter().enumerate() {
                shell(&format!(
                    "ip route {verb} 10.1.0.0/16 via 192.0.2.2 metric 50 proto bird && \
                     ip -6 route {verb} 2001:db8:1::/48 via 2001:db8::2 metric 50 proto bird"
                ));
                let reload = || {
                    let (code, text) = office.linnet(LINNET, &["config", "reload"]);
                    assert_eq!(code, 0, "{text}");
                };
                // What the kernel has told is read by then.
                reload();
                let (mtu, last) = (1300 + round, 3 + round);
                let changed = two_routes(&format!("mtu = {mtu}\n"), &last.to_string());
                office.configure("profiles/net.toml", &changed);
                reload();
                until(
                    "the profile is in force",
                    is_there(&format!("2001:db8:{last}::/48")),
                );
                assert!(has_theirs([2, 2]), "after {verb}: {}", theirs());
                let told = look_at_foreign(&office);
                let both = ["via 192.0.2.2 ", "via 2001:db8::2 "];
                assert!(both.iter().all(|way| told.contains(way)), "{told}");
                shell(
                    "ip route flush proto bird && ip -6 route del 2001:db8:1::/48 via 2001:db8::2 proto bird",
                );
                until("ours is as wanted when they are alone", || {
                    let told = shell("ip route show 10.1.0.0/16; ip -6 route show 2001:db8:1::/48");
                    told.matches(&format!("mtu {mtu}")).count() == 2 && told.lines().count() == 2
                });
            }
        },
    );
}

/// What the commands print that status names for whoever wants to see who has the place of a route.
fn look_at_foreign(office: &Office) -> String {
    let status = link_status(office, "net0");
    let items = status["items"].as_array().into_iter().flatten();
    let foreign = items.filter(|item| item["state"] == "foreign");
    let details = foreign.filter_map(|item| item["detail"].as_str());
    let commands = details.filter_map(|detail| detail.split_once(": "));
    commands.map(|(_, command)| shell(command)).collect()
}

/// Routes of ours by one neighbour, of each family, to everywhere, in the main table and in another one; the last one tells that the profile is
/// in force.
fn by_neighbour(number: u8) -> String {
    let route = |to: &str, net: &str, more: &str| {
        format!("[[routes]]\nto = \"{to}\"\nvia = \"{net}{number}\"\n{more}")
    };
    let places = PLACES.map(|(to, net, metric, table)| {
        let table = format!("table = {table}\nmetric = {metric}\n");
        route(to, net, &table)
    });
    let last = route(&format!("10.9.{number}.0/24"), "192.0.2.", "");
    let routes = places.concat() + &last;
    format!(
        "match = {{ name = \"net0\" }}\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n{routes}"
    )
}

/// Destination, net of the neighbours, metric and table.
const PLACES: [(&str, &str, u32, u32); 6] = [
    ("0.0.0.0/0", "192.0.2.", 100, 254),
    ("::/0", "2001:db8::", 100, 254),
    ("10.1.0.0/16", "192.0.2.", 50, 254),
    ("2001:db8:1::/48", "2001:db8::", 50, 254),
    ("10.2.0.0/16", "192.0.2.", 50, 1001),
    ("2001:db8:2::/48", "2001:db8::", 50, 1001),
];

/// At how many of the places a neighbour is led by.
fn led_by(number: u8) -> usize {
    let places = PLACES.into_iter();
    let has_it = |(to, net, metric, table): &(&str, &str, u32, u32)| {
        let family = if net.contains(':') { "-6" } else { "-4" };
        let there = shell(&format!(
            "ip {family} route show table {table} metric {metric} {to} 2>/dev/null || true"
        ));
        let via = format!("via {net}{number}");
        there
            .split("dev")
            .any(|part| part.trim_end().ends_with(&via))
    };
    places.filter(has_it).count()
}

#[test]
fn routes_that_others_put_beside_ours_while_linnetd_is_away_stay_when_ours_are_to_change() {
    isolated(
        "links::others::routes_that_others_put_beside_ours_while_linnetd_is_away_stay_when_ours_are_to_change",
        || {
            shell(
                "ip link set lo up && ip link add net0 type veth peer name p0 && ip link set p0 up && ip link set net0 up",
            );
            let office = office(folder());
            office.configure("profiles/net.toml", &by_neighbour(1));
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("all of ours is there", || led_by(1) == PLACES.len());
            let others = |verb: &str| {
                for (to, net, metric, table) in PLACES {
                    let family = if net.contains(':') { "-6" } else { "-4" };
                    shell(&format!(
                        "ip {family} route {verb} {to} table {table} metric {metric} via {net}77 dev net0 proto bird"
                    ));
                }
            };
            let rounds = [
                (libc::SIGKILL, "prepend"),
                (libc::SIGKILL, "append"),
                (libc::SIGTERM, "prepend"),
                (libc::SIGTERM, "append"),
            ];
            for (now, (signal, verb)) in (1..).zip(rounds) {
                linnetd.signal(signal);
                linnetd.wait();
                others(verb);
                let next = now + 1;
                office.configure("profiles/net.toml", &by_neighbour(next));
                linnetd = office.linnetd(LINNETD, &[]);
                let last = format!("10.9.{next}.0/24");
                until("the profile is in force", || {
                    shell("ip route").contains(&last)
                });
                // What was asked for together is done by then.
                let (code, text) = office.linnet(LINNET, &["config", "reload"]);
                assert_eq!(code, 0, "{text}");
                let counts = [77, now, next].map(led_by);
                let told = || shell("ip route show table all; ip -6 route show table all");
                assert_eq!(counts, [6, 6, 0], "after {verb}: {}", told());
                others("del");
                until("ours is as wanted when it is alone", || {
                    [77, now, next].map(led_by) == [0, 0, 6]
                });
            }
        },
    );
}
