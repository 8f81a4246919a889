//! Does what we ask of a kernel come to the same as what `ip` asks? Each row is made by both, one after the other, and shown by `ip`;
//! and what `ip` has made is read as what we would make.
//!
//! The test runs itself again in a network namespace.

#![expect(clippy::unwrap_used, reason = "a test may fail at any line")]

mod namespace;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use config::model::{
    AddressAttributes, AddressLabel, AddressScope, PolicyRule, Prefix, ProfileId, RouteKind,
    RouteTuning,
};
use config::time::Instant;
use linkmgr::kernel::{NextHop, OwnRoute};
use linkmgr::request::AddressRequest;
use linkmgr::{Boot, KernelAnswer, KernelEvent, KernelRequest, LinkManager, RequestId};
use linkmgr_io::{Monitor, Performer, boot};
use policy::facts::Preference;
use policy::links::{Clients, HopPlan, RouteKey, RoutePlan};
use policy::{LinkPlan, LinksPlan};

use namespace::in_namespace;

const NOW: Instant = Instant::from_nanos(1_000_000_000_000);

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn rule4() -> PolicyRule {
    PolicyRule {
        priority: 100,
        table: Some(1000),
        ..PolicyRule::default()
    }
}

fn rule6() -> PolicyRule {
    PolicyRule {
        is_ipv6: true,
        ..rule4()
    }
}

/// Rules in the words of `ip rule add`, without priority and protocol.
fn rules() -> Vec<(&'static str, PolicyRule)> {
    vec![
        (
            "ipproto tcp dport 22 lookup 1000",
            PolicyRule {
                protocol: Some(6),
                destination_ports: Some((22, 22)),
                ..rule4()
            },
        ),
        (
            "ipproto udp sport 1000-1999 dport 53-54 lookup 1000",
            PolicyRule {
                protocol: Some(17),
                source_ports: Some((1000, 1999)),
                destination_ports: Some((53, 54)),
                ..rule6()
            },
        ),
        (
            "uidrange 0-999 lookup 1000",
            PolicyRule {
                users: Some((0, 999)),
                ..rule4()
            },
        ),
        (
            "tos 0x10 lookup 1000",
            PolicyRule {
                tos: 0x10,
                ..rule4()
            },
        ),
        (
            "tos 0xb8 lookup 1000",
            PolicyRule {
                tos: 0xb8,
                ..rule6()
            },
        ),
        (
            "l3mdev",
            PolicyRule {
                vrf: true,
                table: None,
                ..rule4()
            },
        ),
        (
            "l3mdev",
            PolicyRule {
                vrf: true,
                table: None,
                ..rule6()
            },
        ),
        (
            "from 192.0.2.0/24 goto 200",
            PolicyRule {
                from: Some(prefix("192.0.2.0/24")),
                goto: Some(200),
                table: None,
                ..rule4()
            },
        ),
        (
            "nop",
            PolicyRule {
                table: None,
                kind: RouteKind::Throw,
                ..rule6()
            },
        ),
        (
            "not from all fwmark 0x7/0xff iif a0 oif b0 lookup 70000 suppress_prefixlength 0",
            PolicyRule {
                mark: Some((7, 255)),
                incoming: Some("a0".into()),
                outgoing: Some("b0".into()),
                table: Some(70_000),
                suppress_length: Some(0),
                invert: true,
                ..rule4()
            },
        ),
    ]
}

/// Addresses in the words of `ip address add`, without the link.
fn addresses(index: u32) -> Vec<(&'static str, AddressRequest)> {
    let none = AddressAttributes::default();
    let peer = |text: &str| text.parse().ok();
    let of = |address: &str, attributes| AddressRequest {
        index,
        address: prefix(address),
        preferred: None,
        valid: None,
        temporaries: false,
        no_prefix_route: false,
        metric: 0,
        attributes,
    };
    vec![
        (
            "10.77.0.1 peer 10.77.0.2/32",
            of(
                "10.77.0.1/32",
                AddressAttributes {
                    peer: peer("10.77.0.2"),
                    ..none
                },
            ),
        ),
        (
            "10.77.0.1 peer 10.78.0.2/24 label a0:web scope link",
            of(
                "10.77.0.1/24",
                AddressAttributes {
                    peer: peer("10.78.0.2"),
                    label: AddressLabel::new("a0:web"),
                    scope: Some(AddressScope::Link),
                    ..none
                },
            ),
        ),
        (
            "10.77.0.1/24 broadcast + noprefixroute scope host",
            AddressRequest {
                no_prefix_route: true,
                ..of(
                    "10.77.0.1/24",
                    AddressAttributes {
                        scope: Some(AddressScope::Host),
                        ..none
                    },
                )
            },
        ),
        (
            "2001:db8:9::1 peer 2001:db8:9::2/128 nodad",
            of(
                "2001:db8:9::1/128",
                AddressAttributes {
                    peer: peer("2001:db8:9::2"),
                    skips_dad: true,
                    ..none
                },
            ),
        ),
        (
            "2001:db8:9::1/64 preferred_lft 0 nodad",
            AddressRequest {
                preferred: Some(0),
                ..of(
                    "2001:db8:9::1/64",
                    AddressAttributes {
                        skips_dad: true,
                        ..none
                    },
                )
            },
        ),
    ]
}

/// Routes in the words of `ip route add`, without table, metric and protocol; `A` and `B` are links' indexes.
fn routes(a: u32, b: u32) -> Vec<(&'static str, OwnRoute)> {
    let hop = |index, via: &str, weight| NextHop {
        index,
        via: via.parse().ok(),
        weight,
    };
    let route = |to: &str, hops: &[NextHop]| OwnRoute {
        key: RouteKey {
            table: 1000,
            to: prefix(to),
            metric: 50,
            from: None,
        },
        kind: RouteKind::Unicast,
        hops: hops
            .iter()
            .copied()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect(),
        on_link: false,
        source: None,
        mtu: None,
        preference: Preference::Medium,
        tuning: RouteTuning::default(),
        valid: None,
    };
    let first = hop(a, "192.0.2.1", 1);
    let sixth = hop(a, "2001:db8::1", 1);
    let tuning = RouteTuning {
        mtu_lock: true,
        advmss: Some(1200),
        cwnd: Some(40),
        initcwnd: Some(20),
        initrwnd: Some(30),
        quickack: true,
        congestion: Some("reno".into()),
    };
    let tuned = |to: &str, hop| OwnRoute {
        mtu: Some(1300),
        tuning: tuning.clone(),
        ..route(to, &[hop])
    };
    let mut sourced = route("2001:db8:5::/48", &[sixth]);
    sourced.key.from = Some(prefix("2001:db8:77::/64"));
    vec![
        (
            "10.1.0.0/16 via 192.0.2.1 dev a0 mtu lock 1300 advmss 1200 cwnd lock 40 initcwnd 20 initrwnd 30 quickack 1 congctl reno",
            tuned("10.1.0.0/16", first),
        ),
        (
            "2001:db8:1::/48 via 2001:db8::1 dev a0 mtu lock 1300 advmss 1200 cwnd lock 40 initcwnd 20 initrwnd 30 quickack 1 congctl reno",
            tuned("2001:db8:1::/48", sixth),
        ),
        (
            "local 10.2.0.0/16 dev a0",
            OwnRoute {
                kind: RouteKind::Local,
                ..route("10.2.0.0/16", &[hop(a, "", 1)])
            },
        ),
        (
            "local 2001:db8:2::/48 dev a0",
            OwnRoute {
                kind: RouteKind::Local,
                ..route("2001:db8:2::/48", &[hop(a, "", 1)])
            },
        ),
        (
            "broadcast 10.9.255.255 dev a0",
            OwnRoute {
                kind: RouteKind::Broadcast,
                ..route("10.9.255.255/32", &[hop(a, "", 1)])
            },
        ),
        (
            "anycast 10.9.0.7 dev a0",
            OwnRoute {
                kind: RouteKind::Anycast,
                ..route("10.9.0.7/32", &[hop(a, "", 1)])
            },
        ),
        (
            "multicast 239.7.0.0/16 dev a0",
            OwnRoute {
                kind: RouteKind::Multicast,
                ..route("239.7.0.0/16", &[hop(a, "", 1)])
            },
        ),
        (
            "anycast 2001:db8:9::7 dev a0",
            OwnRoute {
                kind: RouteKind::Anycast,
                ..route("2001:db8:9::7/128", &[hop(a, "", 1)])
            },
        ),
        (
            "multicast ff05::/16 dev a0",
            OwnRoute {
                kind: RouteKind::Multicast,
                ..route("ff05::/16", &[hop(a, "", 1)])
            },
        ),
        (
            "10.3.0.0/16 via inet6 fe80::1 dev a0",
            route("10.3.0.0/16", &[hop(a, "fe80::1", 1)]),
        ),
        (
            "10.4.0.0/16 nexthop via 192.0.2.1 dev a0 weight 2 nexthop via inet6 fe80::1 dev b0 nexthop dev b0 weight 256",
            route(
                "10.4.0.0/16",
                &[
                    hop(a, "192.0.2.1", 2),
                    hop(b, "", 256),
                    hop(b, "fe80::1", 1),
                ],
            ),
        ),
        (
            "2001:db8:4::/48 nexthop via 2001:db8::1 dev a0 weight 3 nexthop via fe80::1 dev b0",
            route(
                "2001:db8:4::/48",
                &[hop(a, "2001:db8::1", 3), hop(b, "fe80::1", 1)],
            ),
        ),
        (
            "2001:db8:5::/48 from 2001:db8:77::/64 via 2001:db8::1 dev a0",
            sourced,
        ),
    ]
}

fn ip(line: &str) -> String {
    let output = Command::new("ip")
        .args(line.split_whitespace())
        .output()
        .unwrap();
    let fault = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ip {line}: {fault}");
    String::from_utf8(output.stdout).unwrap()
}

/// The ways of a route have no order, and ours follow the numbers of the links.
fn in_one_order(shown: &str) -> Vec<String> {
    let lines = shown.lines().map(|line| line.trim_end().to_owned());
    let mut lines: Vec<String> = lines.collect();
    lines.sort_unstable();
    lines
}

async fn listing() -> Vec<KernelEvent> {
    let mut monitor = Monitor::open().unwrap();
    let mut events = Vec::new();
    while events.last() != Some(&KernelEvent::ListingEnds) {
        events.extend(monitor.next().await.unwrap());
    }
    events
}

struct Sides {
    performer: Performer,
}

impl Sides {
    fn ask(&mut self, request: KernelRequest) {
        let answers = self.performer.perform(&[(RequestId(1), request.clone())]);
        assert_eq!(answers[0].1, KernelAnswer::Done, "{request:?}");
    }

    async fn compare_rules(&mut self) {
        for (words, wanted) in rules() {
            let family = if wanted.is_ipv6 { "-6" } else { "-4" };
            let show = format!("{family} -d rule show priority 100");
            ip(&format!(
                "{family} rule add {words} priority 100 protocol 112"
            ));
            let theirs = ip(&show);
            let read: Vec<KernelEvent> = listing()
                .await
                .into_iter()
                .filter(|event| matches!(event, KernelEvent::Rule(_)))
                .collect();
            assert_eq!(read, [KernelEvent::Rule(wanted.clone())], "{words}");
            self.ask(KernelRequest::DeleteRule(wanted.clone()));
            assert_eq!(ip(&show), "", "{words}");
            self.ask(KernelRequest::AddRule(wanted.clone()));
            assert_eq!(ip(&show), theirs, "{words}");
            self.ask(KernelRequest::DeleteRule(wanted));
        }
    }

    /// Addresses that `ip` has made are read as what we would make, and shown alike.
    async fn compare_addresses(&mut self, index: u32) {
        let before = ip("-d address show dev a0");
        for (words, wanted) in addresses(index) {
            ip(&format!("address add {words} dev a0"));
            let theirs = ip("-d address show dev a0");
            let mut read: Vec<AddressAttributes> = Vec::new();
            for event in listing().await {
                if let KernelEvent::Address(it) = event
                    && it.address == wanted.address
                {
                    read.push(it.attributes);
                }
            }
            let [AddressAttributes { label, .. }] = read.as_slice() else {
                panic!("{words}: {read:?}");
            };
            let usual = label.filter(|label| label.as_str() == "a0");
            let expected = AddressAttributes {
                label: wanted.attributes.label.or(usual),
                ..wanted.attributes
            };
            assert_eq!(read, [expected], "{words}");
            let gone = KernelRequest::DeleteAddress {
                index,
                address: wanted.address,
                peer: wanted.attributes.peer,
            };
            self.ask(gone.clone());
            assert_eq!(ip("-d address show dev a0"), before, "{words}");
            self.ask(KernelRequest::AddAddress(wanted));
            let ours = ip("-d address show dev a0").replace(" proto 112", "");
            assert_eq!(ours, theirs, "{words}");
            self.ask(gone);
        }
    }

    async fn compare_routes(&mut self, a: u32, b: u32) {
        for (words, wanted) in routes(a, b) {
            let family = if wanted.key.to.address.is_ipv6() {
                "-6"
            } else {
                "-4"
            };
            let show = format!("{family} -d route show table 1000");
            // What is of the whole route comes before its ways.
            let kinds = ["local ", "broadcast ", "anycast ", "multicast "];
            let kind = kinds.iter().find_map(|kind| words.strip_prefix(kind));
            let bare = kind.unwrap_or(words);
            let place = words.len() - bare.len() + bare.find(' ').unwrap();
            let (to, how) = words.split_at(place);
            ip(&format!(
                "{family} route add {to} table 1000 metric 50 protocol 112 {how}"
            ));
            let theirs = in_one_order(&ip(&show));
            let read: Vec<KernelEvent> = listing()
                .await
                .into_iter()
                .filter(|event| matches!(event, KernelEvent::OwnRoute(_)))
                .collect();
            assert_eq!(read, [KernelEvent::OwnRoute(wanted.clone())], "{words}");
            self.ask(KernelRequest::DeleteRoute(wanted.clone()));
            assert_eq!(ip(&show), "", "{words}");
            self.ask(KernelRequest::AddRoute(wanted.clone()));
            assert_eq!(in_one_order(&ip(&show)), theirs, "{words}");
            self.ask(KernelRequest::ReplaceRoute(wanted.clone()));
            assert_eq!(in_one_order(&ip(&show)), theirs, "{words}");
            self.ask(KernelRequest::DeleteRoute(wanted));
        }
    }
}

/// All rows together, as a plan: once asked for, nothing is asked for again, and in the end nothing is left.
async fn apply(performer: &mut Performer, boot: &Boot, a: u32, b: u32) {
    let mut journal: Option<String> = None;
    let mut asked = Vec::new();
    for is_ending in [false, false, true] {
        let mut links = LinkManager::default();
        links.load_journal(journal.as_deref(), boot);
        for event in listing().await {
            links.handle_event(event, NOW);
        }
        if is_ending {
            links.stop(linkmgr::StopLevel::Clean, NOW);
        } else {
            links.apply_plan(Arc::new(whole(&links, a, b)), NOW);
        }
        let mut count = 0;
        for _ in 0..100 {
            if let Some(text) = links.poll_journal() {
                journal = Some(text.text);
                links.handle_journal(text.version, true, NOW);
            }
            while let Some((id, request)) = links.poll_request(NOW) {
                let answers = performer.perform(&[(id, request.clone())]);
                assert_eq!(answers[0].1, KernelAnswer::Done, "{request:?}");
                links.handle_answer(id, answers[0].1.clone(), NOW);
                count += 1;
            }
        }
        asked.push(count);
    }
    let all = rules().len() + routes(a, b).len();
    assert_eq!(asked, [all, 0, all]);
    assert_eq!(
        ip("-4 route show table 1000") + &ip("-6 route show table 1000"),
        ""
    );
}

fn whole(links: &LinkManager, a: u32, b: u32) -> LinksPlan {
    let id = |index| *links.facts().keys().find(|id| id.index == index).unwrap();
    let plan = |route: OwnRoute| {
        let via = route.hops.iter().map(|hop| HopPlan {
            via: hop.via,
            link: Some(id(hop.index)),
            weight: hop.weight,
        });
        RoutePlan {
            supplier: None,
            kind: route.kind,
            via: via.collect(),
            on_link: false,
            source: None,
            mtu: route.mtu,
            preference: Preference::Medium,
            tuning: route.tuning,
            valid_until: None,
        }
    };
    let routes = routes(a, b).into_iter();
    let link = LinkPlan {
        name: "a0".into(),
        profile: ProfileId("a".into()),
        admin_up: None,
        mtu: None,
        mac: None,
        addresses: BTreeMap::new(),
        routes: routes.map(|(_, route)| (route.key, plan(route))).collect(),
        switches: BTreeMap::new(),
        clients: Clients::default(),
    };
    // One has no place beside another that is the same.
    let rules = rules().into_iter().map(|(_, rule)| rule);
    LinksPlan {
        links: [(id(a), link)].into(),
        rules: rules.collect(),
        ..LinksPlan::default()
    }
}

async fn compare() {
    for line in [
        "link set lo up",
        "link add a0 type veth peer name b0",
        "link set a0 addrgenmode none",
        "link set b0 addrgenmode none",
        "link set a0 up",
        "link set b0 up",
        "address add 192.0.2.10/24 dev a0",
        "address add 198.51.100.10/24 dev b0",
        "address add 2001:db8::10/64 dev a0 nodad",
        "address add 2001:db8:77::10/64 dev b0 nodad",
    ] {
        ip(line);
    }
    let index = |name: &str| {
        let shown = ip(&format!("-o link show {name}"));
        shown
            .split(':')
            .next()
            .unwrap()
            .trim()
            .parse::<u32>()
            .unwrap()
    };
    let (a, b) = (index("a0"), index("b0"));
    let mut sides = Sides {
        performer: Performer::open().unwrap(),
    };
    sides.compare_rules().await;
    sides.compare_addresses(a).await;
    sides.compare_routes(a, b).await;
    apply(&mut sides.performer, &boot().unwrap(), a, b).await;
}

#[test]
fn what_ip_makes_and_what_we_make_are_the_same() {
    in_namespace("what_ip_makes_and_what_we_make_are_the_same", compare);
}
