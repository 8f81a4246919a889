//! Rows: two links with a default route, and which of them has it.

use super::*;

/// A laptop: eth0 and wlan0 with a lease each.
fn laptop() -> Facts {
    let mut facts = with([(Supplier::Dhcp4, lease())]);
    link(&mut facts, 3, "wlan0", "wifi");
    let other = Supply {
        addresses: vec![address("198.51.100.10/24", 3700)],
        routes: vec![route("0.0.0.0/0", "198.51.100.1", 3700)],
        ..Supply::default()
    };
    facts.supplies.insert((id(3), Supplier::Dhcp4), other);
    facts
}

fn both(eth: NetworkSettings, wlan: NetworkSettings) -> Config {
    config([profile("e", "eth*", eth), profile("w", "wlan*", wlan)])
}

#[test]
fn a_lease_of_before_that_nobody_knows_here_hides_no_network_and_keeps_no_fallback_away() {
    let mut facts = with([(Supplier::Dhcp4, lease())]);
    link(&mut facts, 3, "wlan0", "wifi");
    let mut wlan = lease();
    wlan.addresses = vec![address("192.0.2.11/24", 3700)];
    facts.supplies.insert((id(3), Supplier::Dhcp4), wlan);
    let fallback = NetworkSettings {
        ipv4ll: Ipv4llMode::Fallback,
        ..dhcp4()
    };
    let config = both(fallback, dhcp4());
    let metrics = |facts: &Facts| {
        let plan = links(&config, facts);
        let of = |index| {
            plan.links[&id(index)]
                .addresses
                .values()
                .next()
                .unwrap()
                .metric
        };
        (of(2), of(3), plan.links[&id(2)].clients.ipv4ll)
    };
    assert_eq!(metrics(&facts), (100, 600, false));
    let eth = facts.supplies.get_mut(&(id(2), Supplier::Dhcp4));
    eth.unwrap().doubted = true;
    assert_eq!(metrics(&facts), (601, 600, true));
}

/// The default routes' metrics, and why.
fn told(plan: &LinksPlan) -> (Vec<(String, u32)>, String) {
    let uplink = plan.uplinks.v4.as_ref().unwrap();
    let candidates = uplink.candidates.iter();
    let metrics = candidates.map(|candidate| (candidate.name.to_string(), candidate.metric));
    (metrics.collect(), uplink.to_string())
}

#[test]
fn one_order_decides_and_says_why() {
    let priority = |priority| NetworkSettings {
        priority,
        ..dhcp4()
    };
    let metric = |metric| NetworkSettings {
        metric: Some(metric),
        ..dhcp4()
    };
    let reach = |eth, wlan| {
        let mut facts = laptop();
        facts.reach.insert((id(2), Family::Ipv4), eth);
        facts.reach.insert((id(3), Family::Ipv4), wlan);
        facts
    };
    let down = || {
        let mut facts = laptop();
        facts.links.get_mut(&id(2)).unwrap().up = false;
        facts.down_since.insert(id(2), at(99));
        facts
    };
    let doubted = || {
        let mut facts = laptop();
        let eth = facts.supplies.get_mut(&(id(2), Supplier::Dhcp4));
        eth.unwrap().doubted = true;
        facts.reach.insert((id(3), Family::Ipv4), Reach::Portal);
        facts
    };
    let current = |index| {
        let mut facts = laptop();
        facts.uplinks.v4 = Some(id(index));
        facts
    };
    type Row<'a> = (&'a str, Config, Facts, [(&'a str, u32); 2], &'a str);
    let rows: Vec<Row<'_>> = vec![
        (
            "by kind",
            both(dhcp4(), dhcp4()),
            laptop(),
            [("eth0", 100), ("wlan0", 600)],
            "eth0 has the IPv4 default route: its metric is 100, and that of wlan0 is 600",
        ),
        (
            "by the profile's metric",
            both(dhcp4(), metric(50)),
            laptop(),
            [("wlan0", 50), ("eth0", 100)],
            "wlan0 has the IPv4 default route: its metric is 50, and that of eth0 is 100",
        ),
        (
            "by priority before metric",
            both(dhcp4(), priority(1)),
            laptop(),
            [("wlan0", 600), ("eth0", 20_100)],
            "wlan0 has the IPv4 default route: its profile has priority 1, and that of eth0 has 0",
        ),
        (
            "what works before priority",
            both(dhcp4(), priority(1)),
            reach(Reach::Validated, Reach::Portal),
            [("eth0", 100), ("wlan0", 600)],
            "eth0 has the IPv4 default route: it works, and wlan0 leads to a portal",
        ),
        (
            "what works before what is untried",
            both(dhcp4(), dhcp4()),
            reach(Reach::Unknown, Reach::Validated),
            [("wlan0", 600), ("eth0", 20_100)],
            "wlan0 has the IPv4 default route: it works, and eth0 is untried",
        ),
        (
            "during the grace of a cable that was pulled",
            both(dhcp4(), dhcp4()),
            down(),
            [("wlan0", 600), ("eth0", 20_100)],
            "wlan0 has the IPv4 default route: it is up, and eth0 is down",
        ),
        (
            "a lease of before that nobody knows here",
            both(dhcp4(), dhcp4()),
            doubted(),
            [("wlan0", 600), ("eth0", 20_100)],
            "wlan0 has the IPv4 default route: nobody has answered in the network of eth0",
        ),
        (
            "equals: the one that has it",
            both(dhcp4(), metric(100)),
            current(3),
            [("wlan0", 100), ("eth0", 101)],
            "wlan0 has the IPv4 default route: it had it before, and eth0 is no better",
        ),
        (
            "nothing leads anywhere: the one that has it",
            both(dhcp4(), dhcp4()),
            Facts {
                uplinks: current(3).uplinks,
                ..reach(Reach::Nowhere, Reach::Nowhere)
            },
            [("wlan0", 600), ("eth0", 20_100)],
            "wlan0 has the IPv4 default route: it had it before, and eth0 is no better",
        ),
        (
            "equals: the one that was there first",
            both(dhcp4(), metric(100)),
            laptop(),
            [("eth0", 100), ("wlan0", 101)],
            "eth0 has the IPv4 default route: wlan0 is no better, and came later",
        ),
    ];
    for (row, config, facts, metrics, why) in rows {
        let plan = links(&config, &facts);
        let metrics: Vec<(String, u32)> = metrics
            .into_iter()
            .map(|(name, metric)| (name.to_owned(), metric))
            .collect();
        assert_eq!(told(&plan), (metrics, why.to_owned()), "{row}");
        for candidate in &plan.uplinks.v4.as_ref().unwrap().candidates {
            let routes = &plan.links[&candidate.link].routes;
            let mut defaults = routes.keys().filter(|key| key.to.length == 0);
            assert_eq!(defaults.next().unwrap().metric, candidate.metric, "{row}");
        }
        let again = Facts {
            uplinks: plan.uplinks.current(),
            ..facts
        };
        let settled = links(&config, &again);
        assert_eq!(settled.links, plan.links, "{row}: it does not swing");
    }
}

#[test]
fn metrics_that_are_not_ours_to_change_stay_and_are_told() {
    let mut facts = laptop();
    facts.links.get_mut(&id(3)).unwrap().default_route4 = Some(DefaultRoute {
        metric: 0,
        gateway: None,
    });
    let alone = config([profile("e", "eth*", dhcp4())]);
    let (metrics, why) = told(&links(&alone, &facts));
    assert_eq!(metrics, [("wlan0".to_owned(), 0), ("eth0".to_owned(), 100)]);
    assert_eq!(
        why,
        "wlan0 has the IPv4 default route: its metric is 0, and that of eth0 is 100"
    );
    facts.reach.insert((id(2), Family::Ipv4), Reach::Validated);
    let (_, why) = told(&links(&alone, &facts));
    assert_eq!(
        why,
        "wlan0 has the IPv4 default route: its metric 0 is below the 100 of eth0; that of wlan0 is not linnet's to change"
    );
    let written = Route {
        metric: Some(7000),
        ..fixed_route("0.0.0.0/0", &["10.8.0.1"])
    };
    let config = both(fixed(&["10.8.0.2/24"], vec![written]), dhcp4());
    let mut facts = laptop();
    facts.reach.insert((id(2), Family::Ipv4), Reach::Validated);
    let (metrics, _) = told(&links(&config, &facts));
    assert_eq!(
        metrics,
        [("eth0".to_owned(), 7000), ("wlan0".to_owned(), 20_600)]
    );
}

#[test]
fn families_are_chosen_apart_and_halves_of_nothing_are_no_candidates() {
    let mut facts = laptop();
    facts.supplies.insert((id(3), Supplier::Ra), advertised());
    let wlan = NetworkSettings {
        dhcp4: Some(Dhcp4Settings::default()),
        ..ra()
    };
    let plan = links(&both(dhcp4(), wlan), &facts);
    assert_eq!(plan.uplinks.current().v4, Some(id(2)));
    assert_eq!(plan.uplinks.current().v6, Some(id(3)));
    let v6 = plan.uplinks.v6.unwrap();
    assert_eq!(
        v6.to_string(),
        "wlan0 has the IPv6 default route: no other link has one"
    );
    assert_eq!(
        links(&config([]), &Facts::default()).uplinks,
        super::super::Uplinks::default()
    );
}

#[test]
fn thirty_equals_have_thirty_metrics() {
    let mut facts = Facts::default();
    for index in 2..32 {
        link(&mut facts, index, &format!("eth{index}"), "ethernet");
        let supply = Supply {
            routes: vec![
                route("0.0.0.0/0", "192.0.2.1", 3700),
                route("::/0", "fe80::1", 3700),
                route("::/0", "fe80::2", 3700),
            ],
            ..Supply::default()
        };
        facts.supplies.insert((id(index), Supplier::Dhcp4), supply);
    }
    let plan = links(&config([profile("a", "eth*", dhcp4())]), &facts);
    let mut metrics: Vec<(bool, u32)> = plan
        .links
        .values()
        .flat_map(|link| link.routes.keys())
        .map(|key| (key.to.address.is_ipv4(), key.metric))
        .collect();
    let count = metrics.len();
    metrics.sort_unstable();
    metrics.dedup();
    assert_eq!((count, metrics.len()), (90, 90));
}
