//! Worlds of a machine that carries others: links that come and go by the dozen, addresses, routes and rules of others at any time;
//! a fixed profile, restarts, reloads of files that are right, changed or broken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use config::model::{AddressAttributes, PolicyRule, Prefix, RouteKind, RouteTuning};
use linkmgr::Item;
use linkmgr::fake::{FakeAddress, FakeRoute};
use linkmgr::kernel::{NextHop, OURS, OwnRoute};
use linnet::config_dirs::{ConfigText, Kind};
use policy::facts::Preference;
use policy::links::RouteKey;

use super::air::Network;
use super::host::Host;
use super::story::{file, main, tell};
use crate::input::Input;

const FIXED: &str =
    "[dns]\nupstreams = [\"192.0.2.53\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";
const MORE: &str = "[[routes]]\nto = \"198.51.100.0/24\"\nvia = \"192.0.2.1\"\nmetric = 7\n[[routes]]\nto = \"203.0.113.0/24\"\nkind = \"blackhole\"\nmetric = 7\n[[rules]]\npriority = 500\nfrom = \"198.18.0.0/15\"\ntable = 77\n";
/// The same with routes that are to be otherwise in their places, the default route first.
const NARROW: &str = "mtu = 1400\n[[routes]]\nto = \"198.51.100.0/24\"\nvia = \"192.0.2.1\"\nmetric = 7\nmtu = 1300\n[[routes]]\nto = \"203.0.113.0/24\"\nkind = \"blackhole\"\nmetric = 7\n[[rules]]\npriority = 500\nfrom = \"198.18.0.0/15\"\ntable = 77\n";
const OFFICE: &str =
    "match = { name = \"vpn0\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.example\"]\n";
const ONE: [&str; 1] = ["192.0.2.10/24"];
const TWO: [&str; 2] = ["192.0.2.11/24", "192.0.2.10/24"];
/// What more there is to say of each of them.
const ASIDES: [[&str; 2]; 5] = [
    ["", ""],
    ["label = \"eth0:web\"", "prefix-route = false"],
    ["metric = 50", "peer = \"192.0.2.99\""],
    ["label = \"eth0:db\", metric = 70", "label = \"eth0:web\""],
    ["metric = 50, conflicts = \"ignore\"", "label = \"eth0:db\""],
];
const ETH: u32 = 2;
const RACK: u8 = 9;
/// The number of BIRD's routes.
const BIRD: u8 = 12;
const DEPRECATED: Prefix = Prefix {
    address: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 0x10)),
    length: 64,
};

/// What the profile wants: one address, or two; routes and a rule beside the default route; or what cannot be read.
fn files(seed: u64, addresses: &[&str], asides: &[&str; 2], more: &str) -> Vec<ConfigText> {
    let told = addresses.iter().map(|address| {
        let aside = asides[usize::from(*address != ONE[0])];
        match aside {
            "" => format!("{address:?}"),
            aside => format!("{{ address = {address:?}, {aside} }}"),
        }
    });
    let told: Vec<String> = told.chain(deprecated(seed)).collect();
    let told = told.join(", ");
    let fixed = format!("match = {{ name = \"eth0\" }}\naddresses = [{told}]\n{FIXED}{more}");
    vec![
        main(seed),
        file(Kind::Profile, "profiles/fixed.toml", &fixed),
        file(Kind::Profile, "profiles/office.toml", OFFICE),
    ]
}

/// In every other world there is an IPv6 address that nothing begins with.
fn deprecated(seed: u64) -> Option<String> {
    let address = DEPRECATED.to_string();
    (seed % 2 == 1).then(|| format!("{{ address = {address:?}, preferred = false }}"))
}

fn machine(seed: u64) -> Host {
    let mut host = Host::new(seed, files(seed, &ONE, &ASIDES[0], ""));
    host.add_network(Network::fixed(RACK, [192, 0, 2], 53));
    host.add_network(Network::new(1));
    host.add_link(ETH, "eth0", "ethernet");
    host.attach(ETH, RACK);
    host.add_link(3, "br0", "bridge");
    host
}

fn prefix(a: u8, b: u8, c: u8, d: u8, length: u8) -> Prefix {
    Prefix {
        address: Ipv4Addr::new(a, b, c, d).into(),
        length,
    }
}

/// Others come and go.
fn others_act(host: &mut Host) {
    let now = host.now;
    let index = 20 + u32::try_from(host.dice.below(12)).unwrap();
    let low = u8::try_from(index).unwrap();
    let is_there = host.kernel.links().contains_key(&index);
    match host.dice.below(10) {
        0 | 1 if !is_there => {
            host.add_link(index, &format!("veth{index}"), "veth");
            let up = linkmgr::KernelRequest::SetUp { index, up: true };
            host.kernel.handle_request(&up, now);
            host.attach(index, 1);
            let address = prefix(172, 17, low, 1, 24);
            host.kernel
                .put_address(index, FakeAddress::foreign(address), now);
        }
        2 if is_there => host.remove_link(index),
        3 => {
            // Also where a profile wants to be, and on our own link.
            let to = host.dice.of(&[
                prefix(10, low, 0, 0, 16),
                prefix(198, 51, 100, 0, 24),
                prefix(203, 0, 113, 0, 24),
                prefix(0, 0, 0, 0, 0),
            ]);
            let metric = host.dice.of(&[0, 7, 100, 900]);
            let key = RouteKey {
                table: host.dice.of(&[254, 254, 77]),
                to,
                metric,
                from: None,
            };
            let protocol = host.protocol(&Item::Route(key), 12);
            if host.kernel.routes().contains_key(&key) {
                return;
            }
            host.kernel.put_foreign_route(&by(key, 77), protocol, now);
            tell!(host, "others: {key:?}");
        }
        4 => {
            let routes = host.kernel.all_routes();
            let routes = routes.filter(|it| {
                let item = Item::Route(it.route.key);
                host.dice.one_in(4) || !host.rules.was_tried(&item)
            });
            let routes: Vec<FakeRoute> = routes.cloned().collect();
            if !routes.is_empty() {
                let number = host.dice.below(routes.len().try_into().unwrap());
                let route = &routes[usize::try_from(number).unwrap()];
                host.kernel.take_this_route(route, now);
                let item = Item::Route(route.route.key);
                if host.rules.is_ours(&item, route.protocol) {
                    host.rules.lost(&item);
                }
                tell!(host, "others take {route:?}");
            }
        }
        5 => {
            let rule = rule();
            let item = Item::Rule(rule.clone());
            let protocol = host.protocol(&item, 3);
            let mut there = host.kernel.rules().iter();
            match there.find(|(it, _)| *it == rule).map(|it| it.1) {
                None => host.kernel.put_foreign_rule(&rule, protocol),
                Some(3) => host.kernel.take_rule(&rule, 3),
                Some(_) => {}
            }
            tell!(host, "others: {item:?} with {protocol}");
        }
        // What crosses a request that replaces ours is taken for ours by the kernel itself.
        9 if host.daemon.is_none() => {
            // At the very place of ours, or of others, before them or behind.
            let keys: Vec<RouteKey> = host.kernel.routes().keys().copied().collect();
            if !keys.is_empty() {
                let key = host.dice.of(&keys);
                let is_first = host.dice.one_in(2);
                let host_number = host.dice.of(&[78, 79]);
                let route = by(key, host_number);
                let is_there = host.kernel.put_beside(&route, BIRD, is_first, now);
                tell!(
                    host,
                    "others: {is_there}, {route:?} beside, first: {is_first}"
                );
            }
        }
        6 => {
            // Ours goes, or becomes theirs.
            let address = prefix(192, 0, 2, 10 + u8::from(host.dice.one_in(2)), 24);
            let mut there = host.kernel.addresses().iter();
            if there.any(|(index, it)| *index == ETH && it.prefix == address) {
                host.kernel.take_address(ETH, &address, now);
                host.rules.lost(&Item::Address(ETH, address));
                let is_theirs = host.dice.one_in(2);
                if is_theirs {
                    let theirs = FakeAddress::foreign(address);
                    host.kernel.put_address(ETH, theirs, now);
                }
                tell!(host, "others take {address}, and have it: {is_theirs}");
            }
        }
        _ => {
            let d = u8::try_from(host.dice.below(4)).unwrap();
            let address = prefix(192, 0, 2, 10 + d, 24);
            let mut there = host.kernel.addresses().iter();
            if !there.any(|(_, it)| it.prefix == address) {
                let theirs = FakeAddress {
                    protocol: host.protocol(&Item::Address(ETH, address), 0),
                    ..FakeAddress::foreign(address)
                };
                host.kernel.put_address(ETH, theirs, now);
                tell!(host, "others: {theirs:?}");
            }
        }
    }
    host.rules.others_acted(now);
    host.follow_kernel();
}

impl Host {
    /// Others have a number of their own, or ours by mistake; that can be told apart where the daemon has never made the same.
    fn protocol(&mut self, item: &Item, other: u8) -> u8 {
        if !self.rules.was_tried(item) && self.dice.one_in(2) {
            return OURS;
        }
        other
    }
}

/// A route of others by a neighbour that ends like this.
fn by(key: RouteKey, number: u8) -> OwnRoute {
    let via = Some(IpAddr::from([192, 0, 2, number]));
    OwnRoute {
        key,
        kind: RouteKind::Unicast,
        hops: vec![NextHop::only(ETH, via)],
        on_link: true,
        source: None,
        mtu: None,
        preference: Preference::Medium,
        tuning: RouteTuning::default(),
        valid: None,
    }
}

/// The rule that the profile wants, too.
fn rule() -> PolicyRule {
    PolicyRule {
        priority: 500,
        is_ipv6: false,
        from: Some(prefix(198, 18, 0, 0, 15)),
        to: None,
        mark: None,
        incoming: None,
        outgoing: None,
        table: Some(77),
        kind: RouteKind::Unicast,
        suppress_length: None,
        invert: false,
        ..PolicyRule::default()
    }
}

fn act(host: &mut Host) {
    host.faults.roll(&mut host.dice);
    host.start();
    for _ in 0..30 {
        match host.dice.below(16) {
            0..=7 => others_act(host),
            8 | 9 => {
                let more = host.dice.of(&[
                    "",
                    MORE,
                    NARROW,
                    NARROW,
                    "broken = [",
                    "addresses = [\"192.0.2.300/24\"]\n",
                ]);
                let addresses = host.dice.of(&[&ONE[..], &TWO[..]]);
                let asides = host.dice.of(&ASIDES);
                host.files = files(host.seed, addresses, &asides, more);
                if host.dice.one_in(6) {
                    host.files[0].text = Ok("[resolver".to_owned());
                }
                host.reload();
            }
            10 => host.spoil_names(RACK),
            11 if host.dice.one_in(2) => host.crash(),
            13 if host.dice.one_in(2) => {
                // While nobody is there to hear.
                host.crash();
                for _ in 0..4 {
                    others_act(host);
                }
            }
            12 if host.dice.one_in(2) => {
                host.faults.spare();
                if host.daemon.is_some() {
                    host.stop();
                    host.rules.lets_go = false;
                }
                host.start();
            }
            _ => host.ask_on(),
        }
        let time = host.dice.of(&[10, 500, 20_000]);
        let time = host.dice.millis(0, time);
        host.run_for(time);
    }
    let is_more = host.dice.one_in(2);
    let asides = host.dice.of(&ASIDES);
    host.files = match is_more {
        true => files(host.seed, &TWO, &asides, MORE),
        false => files(host.seed, &ONE, &asides, ""),
    };
    host.reload();
    host.calm_down();
    // Of routes of others that have left their place nobody tells.
    let listing = host.kernel.listing(host.now);
    host.feed(Input::Kernel(listing));
    host.run_for(Duration::from_secs(5));
    check(host, is_more);
    check_asides(host, &asides);
    assert_eq!(host.network_of("fresh.pub.test"), Some(RACK));
    host.check_rest();
    host.end();
}

/// What the profile says is there, whoever made it, and nothing else is ours.
fn check(host: &Host, is_more: bool) {
    let (first, second) = (prefix(192, 0, 2, 10, 24), prefix(192, 0, 2, 11, 24));
    let has_address = |wanted: Prefix| {
        let mut addresses = host.kernel.addresses().iter();
        addresses.any(|(index, it)| *index == ETH && it.prefix == wanted)
    };
    assert!(has_address(first) && (!is_more || has_address(second)));
    let has = |to: Prefix| host.kernel.routes().keys().any(|key| key.to == to);
    assert!(has(prefix(0, 0, 0, 0, 0)), "there is no default route");
    let mut fixed = vec![DEPRECATED, first];
    fixed.extend(is_more.then_some(second));
    host.check_leavings(&fixed);
    for to in [prefix(198, 51, 100, 0, 24), prefix(203, 0, 113, 0, 24)] {
        let is_ours = host.own_routes().any(|it| it.route.key.to == to);
        assert!(!is_more || has(to), "{to} is not there");
        assert!(is_more || !is_ours, "{to} is left");
    }
    // Ours is as the profile says where it is alone.
    let is_alone = |key: &RouteKey| {
        let all = host.kernel.all_routes();
        all.filter(|it| it.route.key == *key).count() == 1
    };
    for it in host.own_routes().filter(|it| is_alone(&it.route.key)) {
        assert_eq!(it.route.mtu, None, "{it:?}");
    }
    let mut rules = host.kernel.rules().iter();
    assert!(!is_more || rules.any(|(it, _)| *it == rule()), "no rule");
    assert!(
        is_more || host.own_rules().next().is_none(),
        "a rule is left"
    );
}

/// Addresses that are ours are as the profile says, down to what nobody but old programs reads.
fn check_asides(host: &Host, asides: &[&str; 2]) {
    for (index, it) in host.kernel.addresses() {
        if !host
            .rules
            .is_ours(&Item::Address(*index, it.prefix), it.protocol)
        {
            continue;
        }
        let aside = match it.prefix {
            DEPRECATED => "preferred = false",
            address => asides[usize::from(address != prefix(192, 0, 2, 10, 24))],
        };
        let is_said = |what: &str| aside.contains(what);
        let AddressAttributes {
            peer,
            label,
            scope,
            skips_dad: _,
        } = it.attributes;
        let is_over = it.preferred_until.is_some_and(|until| until <= host.now);
        assert_eq!(
            (peer.is_some(), scope.is_some(), it.no_prefix_route, is_over),
            (
                is_said("peer"),
                is_said("scope"),
                is_said("prefix-route"),
                is_said("preferred")
            ),
            "{it:?} beside {aside:?}"
        );
        // One that the profile does not speak of stays.
        let has_label =
            label.is_some_and(|label| is_said(&format!("label = {:?}", label.as_str())));
        assert!(has_label || !is_said("label"), "{it:?} beside {aside:?}");
        for metric in [50, 70] {
            let is_wanted = is_said(&format!("metric = {metric}"));
            assert_eq!(it.metric == metric, is_wanted, "{it:?} beside {aside:?}");
        }
    }
}

#[test]
fn a_server_leaves_alone_what_others_have_made() {
    tell("server", 4700, act, machine);
}
