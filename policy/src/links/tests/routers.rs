//! Rows: several routers on one link, who takes packets from where, and what they say of times.

use config::model::Take;

use super::*;
use crate::facts::SuppliedSource;

fn source(text: &str, via: &[&str]) -> SuppliedSource {
    SuppliedSource {
        prefix: prefix(text),
        via: via.iter().map(|via| via.parse().unwrap()).collect(),
    }
}

/// Two routers with a prefix each; the first recommends itself.
fn two() -> Supply {
    let first = SuppliedRoute {
        preference: Preference::High,
        ..route("::/0", "fe80::1", 1900)
    };
    Supply {
        addresses: vec![
            address("2001:db8:a::1/64", 1900),
            address("2001:db8:b::1/64", 1900),
        ],
        routes: vec![route("::/0", "fe80::2", 1900), first],
        sources: vec![
            source("2001:db8:a::/64", &["fe80::1"]),
            source("2001:db8:b::/64", &["fe80::2"]),
        ],
        ..Supply::default()
    }
}

#[test]
fn packets_from_a_prefix_that_the_first_router_does_not_take_have_a_table() {
    let of = |network: NetworkSettings, supply| {
        let facts = with([(Supplier::Ra, supply)]);
        links(&config([profile("a", "eth*", network)]), &facts)
    };
    let plan = of(ra(), two());
    let rules: Vec<_> = plan.rules.iter().collect();
    let [before, table] = rules[..] else {
        panic!("{rules:?}");
    };
    let from = Some(prefix("2001:db8:b::/64"));
    assert_eq!(
        (
            before.from,
            before.priority,
            before.table,
            before.suppress_length
        ),
        (from, 32_764, Some(254), Some(0))
    );
    assert_eq!((table.from, table.priority), (from, 32_765));
    let own = table.table.unwrap();
    let routes = plan.links[&id(2)].routes.iter();
    let routes: Vec<String> = routes
        .filter(|(key, _)| key.table == own)
        .map(|(key, route)| format!("{} via {}", key.to, route.via[0].via.unwrap()))
        .collect();
    assert_eq!(routes, ["::/0 via fe80::2"]);
    // Both are in the main table too, the better one first.
    let routes = plan.links[&id(2)].routes.iter();
    let main: Vec<_> = routes
        .filter(|(key, _)| key.table == 254 && key.to.length == 0)
        .map(|(_, route)| route.via[0].via.unwrap().to_string())
        .collect();
    assert_eq!(main, ["fe80::1", "fe80::2"]);
    // Without difference, or without a default route of ours, there is nothing to decide.
    let alike = Supply {
        sources: Vec::new(),
        ..two()
    };
    assert!(of(ra(), alike).rules.is_empty());
    let never = NetworkSettings {
        default_route: DefaultRouteUse::Never,
        ..ra()
    };
    assert!(of(never, two()).rules.is_empty());
    let apart = NetworkSettings {
        table: Some(7),
        ..ra()
    };
    assert!(of(apart, two()).rules.is_empty());
}

#[test]
fn times_and_limits_of_routers_are_taken_within_bounds() {
    let says = |hop_limit, reachable: u64, retransmit: u64| Supply {
        hop_limit: Some(hop_limit),
        reachable: Some(Duration::from_millis(reachable)),
        retransmit: Some(Duration::from_millis(retransmit)),
        ..advertised()
    };
    let taken = |network: NetworkSettings, supplier, supply| {
        let facts = with([(supplier, supply)]);
        let plan = links(&config([profile("a", "eth*", network)]), &facts);
        let switches = &plan.links[&id(2)].switches;
        [Switch::HopLimit6, Switch::Reachable6, Switch::Retransmit6]
            .map(|switch| switches.get(&switch).copied())
    };
    let rows = [
        (says(64, 30_000, 1000), [Some(64), Some(30_000), Some(1000)]),
        (says(32, 1000, 100), [Some(32), Some(1000), Some(100)]),
        (
            says(255, 3_600_000, 60_000),
            [Some(255), Some(3_600_000), Some(60_000)],
        ),
        (says(31, 999, 99), [None; 3]),
        (says(1, 3_600_001, 60_001), [None; 3]),
        (advertised(), [None; 3]),
    ];
    for (supply, expected) in rows {
        assert_eq!(
            taken(ra(), Supplier::Ra, supply.clone()),
            expected,
            "{supply:?}"
        );
    }
    let without = NetworkSettings {
        take: Take {
            timers: false,
            ..Take::default()
        },
        ..ra()
    };
    assert_eq!(
        taken(without, Supplier::Ra, says(64, 30_000, 1000)),
        [None; 3]
    );
    assert_eq!(Switch::HopLimit6.path("eth0"), "ipv6/conf/eth0/hop_limit");
    assert_eq!(
        Switch::Reachable6.path("eth0"),
        "ipv6/neigh/eth0/base_reachable_time_ms"
    );
}
