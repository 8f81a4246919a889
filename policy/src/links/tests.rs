//! Rows: what a profile says, what is supplied, what should be on the links.

use std::time::Duration;

use config::Config;
use config::matcher::LinkMatch;
use config::model::{
    CarrierUse, DefaultRouteUse, Dhcp4Settings, Dhcp6Settings, Dhcp6When, DnsSettings, Hop,
    Ipv4llMode, MacUse, Manage, NetworkSettings, PolicyRule, Prefix, Privacy, Profile, ProfileId,
    RaSettings, RaUse, Route, RouteKind, RouteTuning,
};
use config::time::Instant;

use crate::facts::{
    DefaultRoute, Family, Forwarding6, Preference, Reach, SuppliedAddress, SuppliedRoute, Supplier,
    Supply, Told,
};
use crate::links::Switch;
use crate::{Facts, LinkFacts, LinkId, LinksPlan, plan};

mod addresses;
mod changes;
mod delegated;
mod dns;
mod gotos;
mod joint;
mod loopback;
mod macs;
mod model;
mod ports;
mod routers;
mod switches;
mod tunnels;
mod uplinks;

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn id(index: u32) -> LinkId {
    LinkId {
        index,
        birth: index,
    }
}

/// A profile for links of these names.
fn profile(id: &str, links: &str, network: NetworkSettings) -> Profile {
    Profile {
        id: ProfileId(id.into()),
        matches: Some(LinkMatch {
            name: vec![links.parse().unwrap()],
            ..LinkMatch::default()
        }),
        link: None,
        dns: DnsSettings::default(),
        network,
        records: Vec::new(),
    }
}

fn config(profiles: impl IntoIterator<Item = Profile>) -> Config {
    let profiles = profiles.into_iter();
    Config {
        profiles: profiles
            .map(|profile| (profile.id.clone(), profile))
            .collect(),
        ..Config::default()
    }
}

fn link(facts: &mut Facts, index: u32, name: &str, kind: &str) {
    let link = LinkFacts {
        name: name.into(),
        kind: kind.into(),
        up: true,
        ..LinkFacts::default()
    };
    facts.links.insert(id(index), link);
}

/// eth0, up.
fn one_link() -> Facts {
    let mut facts = Facts {
        hostname: Some("host".into()),
        as_of: at(100),
        ..Facts::default()
    };
    link(&mut facts, 2, "eth0", "ethernet");
    facts
}

fn address(text: &str, valid: u64) -> SuppliedAddress {
    SuppliedAddress {
        prefix: prefix(text),
        preferred_until: None,
        valid_until: Some(at(valid)),
        temporaries: true,
    }
}

fn route(to: &str, via: &str, valid: u64) -> SuppliedRoute {
    SuppliedRoute {
        to: prefix(to),
        via: (!via.is_empty()).then(|| via.parse().unwrap()),
        source: None,
        preference: Preference::Medium,
        valid_until: Some(at(valid)),
    }
}

fn fixed_route(to: &str, via: &[&str]) -> Route {
    Route {
        to: prefix(to),
        kind: RouteKind::Unicast,
        via: via
            .iter()
            .map(|via| Hop::through(via.parse().unwrap()))
            .collect(),
        on_link: false,
        metric: None,
        table: None,
        source: None,
        mtu: None,
        from: None,
        tuning: RouteTuning::default(),
    }
}

/// A lease of 192.0.2.10/24 by 192.0.2.1 until 3700.
fn lease() -> Supply {
    Supply {
        addresses: vec![address("192.0.2.10/24", 3700)],
        routes: vec![route("0.0.0.0/0", "192.0.2.1", 3700)],
        ..Supply::default()
    }
}

/// What a router says, until 1900: a prefix and itself.
fn advertised() -> Supply {
    Supply {
        addresses: vec![address("2001:db8::a/64", 1900)],
        routes: vec![
            route("::/0", "fe80::1", 1900),
            route("2001:db8::/64", "", 1900),
        ],
        ..Supply::default()
    }
}

fn dhcp4() -> NetworkSettings {
    NetworkSettings {
        dhcp4: Some(Dhcp4Settings::default()),
        ..NetworkSettings::default()
    }
}

fn ra() -> NetworkSettings {
    NetworkSettings {
        ra: RaUse::Own(RaSettings::default()),
        ..NetworkSettings::default()
    }
}

fn fixed(addresses: &[&str], routes: Vec<Route>) -> NetworkSettings {
    NetworkSettings {
        addresses: addresses.iter().map(|text| prefix(text).into()).collect(),
        routes,
        ..NetworkSettings::default()
    }
}

fn with(supplies: impl IntoIterator<Item = (Supplier, Supply)>) -> Facts {
    let mut facts = one_link();
    for (supplier, supply) in supplies {
        facts.supplies.insert((id(2), supplier), supply);
    }
    facts
}

fn links(config: &Config, facts: &Facts) -> LinksPlan {
    LinksPlan::clone(&plan(config, facts).links)
}

/// The lines of a plan of one link by profile `a`, its head left out, and the switch that goes with every address that ends.
fn lines(network: NetworkSettings, facts: &Facts) -> Vec<String> {
    let plan = links(&config([profile("a", "eth*", network)]), facts);
    let text = plan.to_string();
    let mut lines = text.lines();
    match lines.next() {
        None => return Vec::new(),
        Some(head) => assert!(head.starts_with("link eth0 by profile a: "), "{text}"),
    }
    let item = |line: &str| line.strip_prefix("  ").map(str::to_owned);
    let items = lines.map_while(item);
    items
        .filter(|item| !item.contains("promote_secondaries"))
        .collect()
}

#[track_caller]
fn check(row: &str, network: NetworkSettings, facts: &Facts, expected: &[&str]) {
    assert_eq!(lines(network, facts), expected, "{row}");
}

#[test]
fn a_profile_of_names_alone_touches_nothing() {
    let rows = [
        ("nothing", NetworkSettings::default()),
        (
            "only how",
            NetworkSettings {
                metric: Some(5),
                priority: 3,
                default_route: DefaultRouteUse::Never,
                ..NetworkSettings::default()
            },
        ),
    ];
    for (row, network) in rows {
        let plan = links(&config([profile("a", "eth*", network)]), &one_link());
        assert_eq!(plan, LinksPlan::default(), "{row}");
    }
}

#[test]
fn links_are_written_to_only_where_somebody_wants_it() {
    let manual = || NetworkSettings {
        autoconnect: false,
        ..dhcp4()
    };
    let rows = [
        (
            "by itself",
            dhcp4(),
            None,
            Manage::Matched,
            Some(Some(true)),
        ),
        ("observed", dhcp4(), None, Manage::None, None),
        (
            "observed, told up",
            dhcp4(),
            Some(Told::Up),
            Manage::None,
            None,
        ),
        ("not by itself", manual(), None, Manage::Matched, None),
        (
            "told up",
            manual(),
            Some(Told::Up),
            Manage::Matched,
            Some(Some(true)),
        ),
        (
            "told down",
            dhcp4(),
            Some(Told::Down),
            Manage::Matched,
            Some(Some(false)),
        ),
        (
            "released",
            dhcp4(),
            Some(Told::Release),
            Manage::Matched,
            None,
        ),
    ];
    for (row, network, told, manage, expected) in rows {
        let mut config = config([profile("a", "eth*", network)]);
        config.links.manage = manage;
        let mut facts = with([(Supplier::Dhcp4, lease())]);
        facts.told.extend(told.map(|told| (id(2), told)));
        let plan = links(&config, &facts);
        let link = plan.links.get(&id(2));
        assert_eq!(link.map(|link| link.admin_up), expected, "{row}");
        if let Some(link) = link.filter(|link| link.admin_up == Some(false)) {
            assert!(link.addresses.is_empty() && link.routes.is_empty());
            assert_eq!(link.clients, super::Clients::default());
        }
    }
}

#[test]
fn static_addresses_and_routes() {
    check(
        "prefix routes are the kernel's, with the kind's metric",
        fixed(&["10.8.0.2/24", "2001:db8::2/64", "10.9.0.1/32"], vec![]),
        &one_link(),
        &[
            "ipv6/conf/eth0/disable_ipv6 = 0",
            "address 10.8.0.2/24 metric 100",
            "address 10.9.0.1/32",
            "address 2001:db8::2/64 metric 100",
        ],
    );
    check(
        "routes of every kind",
        fixed(
            &["10.8.0.2/24"],
            vec![
                fixed_route("0.0.0.0/0", &["10.8.0.1"]),
                fixed_route("10.0.0.0/8", &["10.8.0.1", "10.8.0.3"]),
                Route {
                    metric: Some(7),
                    table: Some(100),
                    source: Some("10.8.0.2".parse().unwrap()),
                    mtu: Some(1400),
                    on_link: true,
                    ..fixed_route("10.1.0.0/16", &["192.0.2.1"])
                },
                Route {
                    kind: RouteKind::Unreachable,
                    metric: Some(0),
                    ..fixed_route("2001:db8::/32", &[])
                },
                fixed_route("10.2.0.0/16", &[]),
            ],
        ),
        &one_link(),
        &[
            "address 10.8.0.2/24 metric 100",
            "route 10.1.0.0/16 via 192.0.2.1 onlink src 10.8.0.2 table 100 metric 7 mtu 1400",
            "route 0.0.0.0/0 via 10.8.0.1 metric 100",
            "route 10.0.0.0/8 via 10.8.0.1 weight 1 via 10.8.0.3 weight 1 metric 100",
            "route 10.2.0.0/16 metric 100",
            "route unreachable 2001:db8::/32 metric 1024",
        ],
    );
    check(
        "another table, another metric: prefix routes are ours there",
        NetworkSettings {
            table: Some(100),
            metric: Some(20),
            ..fixed(
                &["10.8.0.2/24", "2001:db8::2/64"],
                vec![fixed_route("0.0.0.0/0", &["10.8.0.1"])],
            )
        },
        &one_link(),
        &[
            "ipv6/conf/eth0/disable_ipv6 = 0",
            "address 10.8.0.2/24 noprefixroute",
            "address 2001:db8::2/64 noprefixroute",
            "route 0.0.0.0/0 via 10.8.0.1 table 100 metric 20",
            "route 10.8.0.0/24 src 10.8.0.2 table 100 metric 20",
            "route 2001:db8::/64 table 100 metric 20",
        ],
    );
}

#[test]
fn a_lease_becomes_addresses_and_routes() {
    check(
        "asked, no answer yet",
        dhcp4(),
        &one_link(),
        &["clients: DHCPv4"],
    );
    check(
        "a lease",
        dhcp4(),
        &with([(Supplier::Dhcp4, lease())]),
        &[
            "address 192.0.2.10/24 metric 100 valid until boot+3700s (DHCPv4)",
            "route 0.0.0.0/0 via 192.0.2.1 metric 100 until boot+3700s (DHCPv4)",
            "clients: DHCPv4",
        ],
    );
    check(
        "not asked",
        ra(),
        &with([(Supplier::Dhcp4, lease())]),
        &[
            "ipv6/conf/eth0/accept_ra = 0",
            "ipv6/conf/eth0/disable_ipv6 = 0",
            "clients: router advertisements",
        ],
    );
    let mut over = with([(Supplier::Dhcp4, lease())]);
    over.as_of = at(3700);
    check("over", dhcp4(), &over, &["clients: DHCPv4"]);
    let cloud = Supply {
        addresses: vec![address("192.0.2.10/32", 3700)],
        ..lease()
    };
    check(
        "a router outside of the prefix",
        dhcp4(),
        &with([(Supplier::Dhcp4, cloud.clone())]),
        &[
            "address 192.0.2.10/32 valid until boot+3700s (DHCPv4)",
            "route 0.0.0.0/0 via 192.0.2.1 onlink metric 100 until boot+3700s (DHCPv4)",
            "clients: DHCPv4",
        ],
    );
    let routed = Supply {
        routes: vec![
            route("0.0.0.0/0", "192.0.2.1", 3700),
            route("192.0.2.1/32", "", 3700),
            route("0.0.0.0/0", "192.0.2.2", 3700),
        ],
        ..cloud
    };
    check(
        "a route to the router itself (RFC 3442), and a second router",
        dhcp4(),
        &with([(Supplier::Dhcp4, routed)]),
        &[
            "address 192.0.2.10/32 valid until boot+3700s (DHCPv4)",
            "route 0.0.0.0/0 via 192.0.2.1 metric 100 until boot+3700s (DHCPv4)",
            "route 192.0.2.1/32 metric 100 until boot+3700s (DHCPv4)",
            "clients: DHCPv4",
        ],
    );
    check(
        "an address of the profile is not supplied again",
        NetworkSettings {
            addresses: vec![prefix("192.0.2.10/16").into()],
            ..dhcp4()
        },
        &with([(Supplier::Dhcp4, lease())]),
        &[
            "address 192.0.2.10/16 metric 100",
            "route 0.0.0.0/0 via 192.0.2.1 metric 100 until boot+3700s (DHCPv4)",
            "clients: DHCPv4",
        ],
    );
}

#[test]
fn routers_are_taken_in_their_order() {
    check(
        "a prefix route with the address's own end is the kernel's",
        ra(),
        &with([(Supplier::Ra, advertised())]),
        &[
            "ipv6/conf/eth0/accept_ra = 0",
            "ipv6/conf/eth0/disable_ipv6 = 0",
            "address 2001:db8::a/64 metric 100 valid until boot+1900s (router advertisement)",
            "route ::/0 via fe80::1 metric 100 until boot+1900s (router advertisement)",
            "clients: router advertisements",
        ],
    );
    let high = SuppliedRoute {
        preference: Preference::High,
        ..route("::/0", "fe80::2", 600)
    };
    let low = SuppliedRoute {
        preference: Preference::Low,
        ..route("2001:db8:1::/48", "fe80::3", 600)
    };
    let several = Supply {
        routes: vec![
            route("::/0", "fe80::1", 1900),
            high,
            route("2001:db8::/64", "", 9000),
            low,
            route("2001:db8:1::/48", "fe80::1", 600),
        ],
        mtu: Some(1400),
        ..advertised()
    };
    check(
        "several routers, and a prefix that stays longer than the address",
        NetworkSettings {
            ra: RaUse::Own(RaSettings {
                privacy: Privacy::Preferred,
                ..RaSettings::default()
            }),
            ..NetworkSettings::default()
        },
        &with([(Supplier::Ra, several)]),
        &[
            "ipv6/conf/eth0/accept_ra = 0",
            "ipv6/conf/eth0/use_tempaddr = 2",
            "ipv6/conf/eth0/disable_ipv6 = 0",
            "ipv6/conf/eth0/mtu = 1400",
            "address 2001:db8::a/64 noprefixroute mngtmpaddr valid until boot+1900s (router advertisement)",
            "route ::/0 via fe80::2 metric 100 pref high until boot+600s (router advertisement)",
            "route ::/0 via fe80::1 metric 101 until boot+1900s (router advertisement)",
            "route 2001:db8::/64 metric 100 until boot+9000s (router advertisement)",
            "route 2001:db8:1::/48 via fe80::1 metric 100 until boot+600s (router advertisement)",
            "route 2001:db8:1::/48 via fe80::3 metric 101 pref low until boot+600s (router advertisement)",
            "clients: router advertisements",
        ],
    );
    check(
        "nobody listens",
        NetworkSettings {
            ra: RaUse::Off,
            ..NetworkSettings::default()
        },
        &with([(Supplier::Ra, advertised())]),
        &["ipv6/conf/eth0/accept_ra = 0"],
    );
}

#[test]
fn only_what_the_profile_takes_is_taken() {
    let routed = || Supply {
        routes: vec![
            route("0.0.0.0/0", "192.0.2.1", 3700),
            route("10.0.0.0/8", "192.0.2.2", 3700),
            route("0.0.0.0/1", "192.0.2.3", 3700),
            route("128.0.0.0/1", "192.0.2.3", 3700),
        ],
        mtu: Some(1400),
        ..lease()
    };
    let facts = with([(Supplier::Dhcp4, routed())]);
    let own = "address 192.0.2.10/24 metric 100 valid until boot+3700s (DHCPv4)";
    let default = "route 0.0.0.0/0 via 192.0.2.1 metric 100 until boot+3700s (DHCPv4)";
    let lower = "route 0.0.0.0/1 via 192.0.2.3 metric 100 until boot+3700s (DHCPv4)";
    let upper = "route 128.0.0.0/1 via 192.0.2.3 metric 100 until boot+3700s (DHCPv4)";
    let inner = "route 10.0.0.0/8 via 192.0.2.2 metric 100 until boot+3700s (DHCPv4)";
    let clients = "clients: DHCPv4";
    check(
        "all",
        dhcp4(),
        &facts,
        &["mtu 1400", own, default, lower, inner, upper, clients],
    );
    let mut network = dhcp4();
    network.take.routes = false;
    check(
        "no routes",
        network,
        &facts,
        &["mtu 1400", own, default, clients],
    );
    let mut network = dhcp4();
    network.default_route = DefaultRouteUse::Never;
    check(
        "no default route, nor halves of one",
        network,
        &facts,
        &["mtu 1400", own, inner, clients],
    );
    let mut network = dhcp4();
    network.take.mtu = false;
    check(
        "no mtu",
        network,
        &facts,
        &[own, default, lower, inner, upper, clients],
    );
    let mut config = config([profile("a", "eth*", dhcp4())]);
    config.links.default_route = false;
    let text = links(&config, &with([(Supplier::Dhcp4, lease())])).to_string();
    assert!(
        text.contains(own) && !text.contains("route 0.0.0.0/0"),
        "{text}"
    );
}

#[test]
fn the_mtu_is_the_profiles_then_the_networks_and_leaves_room_for_ipv6() {
    let offers = |mtu| Supply {
        mtu: Some(mtu),
        ..lease()
    };
    let both = || NetworkSettings {
        dhcp4: Some(Dhcp4Settings::default()),
        ..ra()
    };
    let own = || NetworkSettings {
        mtu: Some(9000),
        ..dhcp4()
    };
    let deaf = || NetworkSettings {
        ra: RaUse::Off,
        ..dhcp4()
    };
    let rows = [
        ("profile", own(), offers(1400), Some(9000)),
        ("network", dhcp4(), offers(1400), Some(1400)),
        ("too small for anything", dhcp4(), offers(68), None),
        (
            "small, IPv6 left to the kernel",
            dhcp4(),
            offers(600),
            Some(1280),
        ),
        ("small", deaf(), offers(600), Some(600)),
        ("small, with IPv6", both(), offers(600), Some(1280)),
        ("nobody says", dhcp4(), lease(), None),
    ];
    for (row, network, supply, expected) in rows {
        let facts = with([(Supplier::Dhcp4, supply)]);
        let plan = links(&config([profile("a", "eth*", network)]), &facts);
        assert_eq!(plan.links[&id(2)].mtu, expected, "{row}");
    }
    // Somebody else has put an IPv6 address there.
    let mut facts = with([(Supplier::Dhcp4, offers(600))]);
    let link = facts.links.get_mut(&id(2)).unwrap();
    link.addresses.push(prefix("2001:db8::1/64"));
    let plan = links(&config([profile("a", "eth*", deaf())]), &facts);
    assert_eq!(plan.links[&id(2)].mtu, Some(1280));
}

#[test]
fn items_stay_without_carrier_as_long_as_their_class_says() {
    let grace = |seconds| CarrierUse::Grace(Duration::from_secs(seconds));
    let own = "address 10.8.0.2/24 metric 100";
    let leased = "address 192.0.2.10/24 metric 100 valid until boot+3700s (DHCPv4)";
    let default = "route 0.0.0.0/0 via 192.0.2.1 metric 100 until boot+3700s (DHCPv4)";
    let clients = "clients: DHCPv4";
    let down_at_98 = (false, Some(98));
    type Row<'a> = (
        &'a str,
        CarrierUse,
        CarrierUse,
        (bool, Option<u64>),
        Vec<&'a str>,
        Option<u64>,
    );
    let rows: Vec<Row<'_>> = vec![
        (
            "carrier",
            grace(0),
            grace(0),
            (true, None),
            vec![own, leased, default, clients],
            None,
        ),
        (
            "ignored",
            CarrierUse::Ignore,
            CarrierUse::Ignore,
            down_at_98,
            vec![own, leased, default, clients],
            None,
        ),
        (
            "grace",
            grace(60),
            grace(3),
            down_at_98,
            vec![own, leased, default, clients],
            Some(101),
        ),
        (
            "grace over",
            grace(60),
            grace(2),
            down_at_98,
            vec![own, clients],
            Some(158),
        ),
        (
            "at once",
            grace(0),
            grace(0),
            down_at_98,
            vec![clients],
            None,
        ),
        (
            "never had it",
            grace(60),
            grace(60),
            (false, None),
            vec![clients],
            None,
        ),
        (
            "never had it, ignored",
            CarrierUse::Ignore,
            grace(60),
            (false, None),
            vec![own, clients],
            None,
        ),
    ];
    for (row, fixed, supplied, (up, since), expected, review) in rows {
        let mut network = dhcp4();
        network.addresses = vec![prefix("10.8.0.2/24").into()];
        network.carrier.fixed = fixed;
        network.carrier.supplied = supplied;
        let mut facts = with([(Supplier::Dhcp4, lease())]);
        facts.links.get_mut(&id(2)).unwrap().up = up;
        facts
            .down_since
            .extend(since.map(|since| (id(2), at(since))));
        check(row, network.clone(), &facts, &expected);
        let plan = links(&config([profile("a", "eth*", network)]), &facts);
        assert_eq!(plan.review_at, review.map(at), "{row}");
    }
}

#[test]
fn the_grace_of_routes_alone_ends_too() {
    let mut network = fixed(&[], vec![fixed_route("0.0.0.0/0", &["192.0.2.1"])]);
    network.carrier.fixed = CarrierUse::Grace(Duration::from_secs(10));
    network.carrier.supplied = CarrierUse::Ignore;
    let mut facts = one_link();
    facts.links.get_mut(&id(2)).unwrap().up = false;
    facts.down_since.insert(id(2), at(98));
    let config = config([profile("a", "eth*", network)]);
    let plan = links(&config, &facts);
    assert_eq!(plan.links[&id(2)].routes.len(), 1);
    let end = plan
        .review_at
        .expect("somebody looks when the grace is over");
    facts.as_of = end;
    let plan = links(&config, &facts);
    assert_eq!((plan.links[&id(2)].routes.len(), plan.review_at), (0, None));
}

#[test]
fn since_when_a_link_is_down_is_kept_from_fact_to_fact() {
    let mut facts = with([(Supplier::Dhcp4, lease())]);
    link(&mut facts, 3, "eth1", "ethernet");
    facts.links.get_mut(&id(3)).unwrap().up = false;
    facts.reach.insert((id(2), Family::Ipv4), Reach::Validated);
    facts.told.insert(id(2), Told::Up);
    let both_up = with([]).links;
    let mut down = facts.links.clone();
    down.get_mut(&id(2)).unwrap().up = false;
    facts.take_links(&facts.links.clone(), at(1));
    assert_eq!(facts.down_since.len(), 0, "eth1 never was up");
    assert_eq!(facts.reach.len(), 1);
    facts.take_links(&down, at(2));
    facts.take_links(&down, at(3));
    let since: Vec<_> = facts.down_since.clone().into_iter().collect();
    assert_eq!(since, [(id(2), at(2))], "not since the last look");
    assert_eq!(
        facts.reach.len(),
        0,
        "what was tried before counts for nothing"
    );
    assert_eq!((facts.told.len(), facts.supplies.len()), (1, 1));
    facts.take_links(&both_up, at(4));
    assert_eq!(facts.down_since.len(), 0);
    facts.take_links(&Default::default(), at(5));
    assert_eq!((facts.told.len(), facts.supplies.len()), (0, 0));
    assert_eq!(facts.down_since.len(), 0, "it is gone");
}

#[test]
fn clients_run_as_the_profile_says() {
    let v6 = |ra| NetworkSettings {
        dhcp6: Some(Dhcp6Settings::default()),
        ra,
        ..NetworkSettings::default()
    };
    let own = RaUse::Own(RaSettings::default());
    for (ra, when) in [
        (own, Dhcp6When::Advertised),
        (RaUse::Kernel, Dhcp6When::Always),
        (RaUse::Off, Dhcp6When::Always),
    ] {
        let plan = links(&config([profile("a", "eth*", v6(ra))]), &one_link());
        let dhcp6 = plan.links[&id(2)].clients.dhcp6.clone().unwrap();
        assert_eq!(dhcp6.when, when, "{ra:?}");
    }
    use config::model::HostnameUse;
    for (hostname, anonymous, expected) in [
        (HostnameUse::Host, false, Some("host")),
        (HostnameUse::Name("other".into()), false, Some("other")),
        (HostnameUse::Nothing, false, None),
        (HostnameUse::Host, true, None),
    ] {
        let network = NetworkSettings {
            hostname,
            dhcp4: Some(Dhcp4Settings {
                anonymous,
                ..Dhcp4Settings::default()
            }),
            ..NetworkSettings::default()
        };
        let plan = links(&config([profile("a", "eth*", network)]), &one_link());
        let dhcp4 = plan.links[&id(2)].clients.dhcp4.clone().unwrap();
        assert_eq!(dhcp4.hostname.as_deref(), expected);
    }
}

#[test]
fn link_local_addresses_are_a_fallback_only_where_dhcp_brings_nothing() {
    let network = |ipv4ll, dhcp: bool| NetworkSettings {
        ipv4ll,
        dhcp4: dhcp.then(Dhcp4Settings::default),
        forwarding: Some(false),
        ..NetworkSettings::default()
    };
    let ipv6_only = Supply {
        ipv6_only: true,
        ..Supply::default()
    };
    use Ipv4llMode::{Always, Fallback, Off};
    let rows = [
        ("off", Off, true, Some(Supply::default()), false),
        ("always", Always, true, Some(lease()), true),
        ("not known yet", Fallback, true, None, false),
        (
            "asked in vain",
            Fallback,
            true,
            Some(Supply::default()),
            true,
        ),
        ("a lease", Fallback, true, Some(lease()), false),
        ("no IPv4 wanted", Fallback, true, Some(ipv6_only), false),
        ("no DHCP", Fallback, false, None, true),
    ];
    for (row, mode, dhcp, supply, expected) in rows {
        let own = Supply {
            addresses: vec![address("169.254.7.9/16", 9999)],
            ..Supply::default()
        };
        let mut facts = with([(Supplier::Ipv4ll, own)]);
        facts
            .supplies
            .extend(supply.map(|supply| ((id(2), Supplier::Dhcp4), supply)));
        let plan = links(&config([profile("a", "eth*", network(mode, dhcp))]), &facts);
        let plan = &plan.links[&id(2)];
        assert_eq!(plan.clients.ipv4ll, expected, "{row}");
        let has = plan.addresses.contains_key(&prefix("169.254.7.9/16"));
        assert_eq!(has, expected, "{row}");
    }
}

#[test]
fn static_addresses_are_on_one_link_of_several_and_the_others_are_told() {
    let mut facts = one_link();
    link(&mut facts, 3, "eth1", "ethernet");
    let config = config([profile("a", "eth*", fixed(&["10.8.0.2/24"], vec![]))]);
    let plan = plan(&config, &facts);
    assert_eq!(plan.links.links[&id(2)].addresses.len(), 1);
    assert_eq!(plan.links.links[&id(3)].addresses.len(), 0);
    let notes = &plan.dns.notes;
    assert!(
        notes.iter().any(|note| note.text.contains("on eth0 alone")),
        "{notes:?}"
    );
}

#[test]
fn one_prefix_on_two_links_has_two_metrics() {
    let mut facts = with([(Supplier::Dhcp4, lease())]);
    link(&mut facts, 3, "eth1", "ethernet");
    let other = Supply {
        addresses: vec![address("192.0.2.11/24", 3700)],
        ..lease()
    };
    facts.supplies.insert((id(3), Supplier::Dhcp4), other);
    let plan = links(&config([profile("a", "eth*", dhcp4())]), &facts);
    let metric = |index, address| plan.links[&id(index)].addresses[&prefix(address)].metric;
    assert_eq!(metric(2, "192.0.2.10/24"), 100);
    assert_eq!(metric(3, "192.0.2.11/24"), 101);
}

#[test]
fn rules_and_switches_are_planned_and_read_well() {
    let rule = PolicyRule {
        priority: 1000,
        is_ipv6: false,
        from: Some(prefix("10.8.0.0/24")),
        to: None,
        mark: Some((1, 255)),
        incoming: None,
        outgoing: Some("eth0".into()),
        table: Some(100),
        kind: RouteKind::Unicast,
        suppress_length: Some(0),
        invert: true,
        ..PolicyRule::default()
    };
    let network = NetworkSettings {
        rules: vec![rule],
        forwarding: Some(true),
        mac: Some(MacUse::Given("00:53:00:a1:b2:c3".parse().unwrap())),
        ..NetworkSettings::default()
    };
    let plan = links(&config([profile("a", "eth*", network)]), &one_link());
    assert_eq!(
        plan.to_string(),
        "link eth0 by profile a: up\n  hardware address 00:53:00:a1:b2:c3\n  ipv6/conf/eth0/forwarding = 1\n  \
         ipv6/conf/eth0/force_forwarding = 1\n  ipv4/conf/eth0/forwarding = 1\nrule 1000: IPv4 not from 10.8.0.0/24 fwmark 0x1/0xff oif eth0 lookup 100 \
         suppress_prefixlength 0\n"
    );
}

#[test]
fn where_an_address_ends_by_itself_others_of_its_prefix_are_to_stay() {
    let fixed = NetworkSettings {
        addresses: vec![prefix("192.0.2.10/24").into()],
        ..NetworkSettings::default()
    };
    let mut endless = lease();
    endless.addresses[0].valid_until = None;
    let rows = [
        (fixed, one_link(), None),
        (dhcp4(), with([(Supplier::Dhcp4, endless)]), None),
        (dhcp4(), with([(Supplier::Dhcp4, lease())]), Some(&1)),
    ];
    for (network, facts, expected) in rows {
        let plan = links(&config([profile("a", "eth*", network)]), &facts);
        let switches = &plan.links[&id(2)].switches;
        assert_eq!(switches.get(&Switch::Promote4), expected);
    }
}

#[test]
fn where_ipv6_is_forwarded_for_all_links_or_for_none_it_is_told() {
    let network = NetworkSettings {
        forwarding: Some(true),
        ..NetworkSettings::default()
    };
    let config = config([profile("a", "eth*", network)]);
    let rows = [
        (Forwarding6::ByLink, true, 0),
        (Forwarding6::All, false, 0),
        (Forwarding6::None, false, 1),
    ];
    for (forwarding6, is_forced, notes) in rows {
        let facts = Facts {
            forwarding6,
            ..one_link()
        };
        let plan = plan(&config, &facts);
        let switches = &plan.links.links[&id(2)].switches;
        assert_eq!(switches.contains_key(&Switch::ForceForwarding6), is_forced);
        assert_eq!(switches.get(&Switch::Forwarding6), Some(&1));
        let told = plan.dns.notes.iter();
        let told = told.filter(|note| note.text.contains("net.ipv6.conf.all.forwarding"));
        assert_eq!(told.count(), notes, "{forwarding6:?}");
    }
}

#[test]
fn links_of_a_broken_profile_stay_as_they_are() {
    let mut facts = with([(Supplier::Dhcp4, lease())]);
    link(&mut facts, 3, "wlan0", "wifi");
    link(&mut facts, 4, "lo", "loopback");
    facts.links.get_mut(&id(4)).unwrap().loopback = true;
    let eth = || {
        Some(LinkMatch {
            name: vec!["eth*".parse().unwrap()],
            ..LinkMatch::default()
        })
    };
    type Broken = Option<(&'static str, Option<LinkMatch>)>;
    let rows: [(&str, Broken, &[u32], &[u32]); 5] = [
        ("none", None, &[], &[2, 3]),
        ("its match is known", Some(("a", eth())), &[2], &[3]),
        ("another comes first", Some(("z", eth())), &[], &[2, 3]),
        // The loopback link may be meant by its name.
        ("its match is not known", Some(("a", None)), &[2, 3, 4], &[]),
        (
            "unknown, another comes first",
            Some(("z", None)),
            &[4],
            &[2, 3],
        ),
    ];
    for (row, broken, held, planned) in rows {
        let mut config = config([profile("m", "*", dhcp4())]);
        let broken = broken.map(|(id, matches)| (ProfileId(id.into()), matches));
        config.broken.extend(broken);
        let plan = links(&config, &facts);
        let indexes = |ids: Vec<&LinkId>| ids.iter().map(|id| id.index).collect::<Vec<u32>>();
        assert_eq!(indexes(plan.held.iter().collect()), held, "{row}");
        assert_eq!(indexes(plan.links.keys().collect()), planned, "{row}");
    }
}
