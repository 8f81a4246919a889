//! What peers are allowed becomes routes and rules, and cuts nobody off.

use std::collections::BTreeMap;

use config::layer::{Layer, LayerKind, Origin, Rank, load};

use super::*;

const KEY: &str = "M7O3sJJdILHWfX96PHoUQ/V35lOeI27CTI7FnxLgABU=";

/// A profile that makes wg0, with these lines at its top and in its peer.
fn tunnel(top: &str, link: &str, peer: &str) -> Config {
    let text = format!(
        "addresses = [\"10.9.0.2/24\"]\n{top}[link]\nname = \"wg0\"\nkind = \"wireguard\"\nprivate-key-file = \"/k\"\n{link}\
         [[peers]]\npublic-key = \"{KEY}\"\n{peer}\n"
    );
    let layer = Layer {
        origin: Origin {
            rank: Rank::Admin,
            path: "profiles/wg0.toml".into(),
        },
        kind: LayerKind::of("profiles/wg0.toml").unwrap(),
        text,
    };
    let loaded = load(&[layer]);
    assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
    loaded.config
}

/// eth0 with a default route and an address of each family, and wg0.
fn facts() -> Facts {
    let mut facts = Facts::default();
    link(&mut facts, 2, "eth0", "ethernet");
    link(&mut facts, 9, "wg0", "wireguard");
    let eth0 = facts.links.get_mut(&id(2)).unwrap();
    eth0.addresses = vec![
        prefix("192.0.2.7/24"),
        prefix("2001:db8::7/64"),
        prefix("fe80::7/64"),
    ];
    let route = DefaultRoute {
        metric: 100,
        gateway: None,
    };
    (eth0.default_route4, eth0.default_route6) = (Some(route), Some(route));
    facts
}

fn planned(config: &Config, facts: &Facts) -> (Vec<String>, Vec<String>) {
    let plan = links(config, facts);
    let text = plan.to_string();
    let of = |word: &str| {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| line.starts_with(word));
        lines.map(ToOwned::to_owned).collect::<Vec<String>>()
    };
    (of("route "), of("rule "))
}

#[test]
fn what_peers_are_allowed_is_routed_to_them() {
    let peer =
        "allowed = [\"10.9.0.0/24\", \"10.9.0.128/25\", \"10.20.0.0/16\", \"2001:db8:9::/48\"]";
    let (routes, rules) = planned(&tunnel("", "", peer), &facts());
    // The tunnel's own address brings what is within its prefix.
    assert_eq!(
        routes,
        [
            "route 10.20.0.0/16 metric 50",
            "route 2001:db8:9::/48 metric 50"
        ]
    );
    assert_eq!(rules, [""; 0]);
    let (routes, _) = planned(
        &tunnel("table = 100\n", "", &format!("{peer}\nmetric = 7")),
        &facts(),
    );
    assert!(
        routes.contains(&"route 10.20.0.0/16 table 100 metric 7".to_owned()),
        "{routes:?}"
    );
    let (routes, _) = planned(
        &tunnel("", "", &format!("{peer}\nroutes = false")),
        &facts(),
    );
    assert_eq!(routes, [""; 0]);
}

#[test]
fn a_full_tunnel_takes_all_but_its_own_packets_and_the_ways_back() {
    let peer = "allowed = [\"0.0.0.0/0\", \"::/0\"]";
    let (routes, rules) = planned(&tunnel("", "", peer), &facts());
    assert_eq!(
        routes,
        [
            "route 0.0.0.0/0 table 51820 metric 50",
            "route ::/0 table 51820 metric 50"
        ]
    );
    let mut expected = vec![
        "rule 32699: IPv4 from 192.0.2.7/32 lookup 254",
        "rule 32699: IPv6 from 2001:db8::7/128 lookup 254",
    ];
    for family in ["IPv4", "IPv6"] {
        expected.push(match family {
            "IPv4" => "rule 32700: IPv4 from all lookup 254 suppress_prefixlength 0",
            _ => "rule 32700: IPv6 from all lookup 254 suppress_prefixlength 0",
        });
    }
    expected.push("rule 32701: IPv4 not from all fwmark 0xca6c/0xffffffff lookup 51820");
    expected.push("rule 32701: IPv6 not from all fwmark 0xca6c/0xffffffff lookup 51820");
    assert_eq!(rules, expected);
    // One family alone, by a mark of its own.
    let (routes, rules) = planned(
        &tunnel("", "mark = 77\n", "allowed = [\"0.0.0.0/0\"]"),
        &facts(),
    );
    assert_eq!(routes, ["route 0.0.0.0/0 table 77 metric 50"]);
    assert_eq!(rules.len(), 3, "{rules:?}");
    assert!(rules.iter().all(|rule| rule.contains("IPv4")), "{rules:?}");
}

#[test]
fn rules_and_routes_of_a_full_tunnel_go_together() {
    let peer = "allowed = [\"0.0.0.0/0\"]";
    let mut config = tunnel("", "", peer);
    config.links.default_route = false;
    assert_eq!(planned(&config, &facts()), (Vec::new(), Vec::new()));
    let config = tunnel("", "", peer);
    let mut gone = facts();
    gone.links.remove(&id(9));
    assert_eq!(planned(&config, &gone), (Vec::new(), Vec::new()));
    let mut down = facts();
    down.told = BTreeMap::from([(id(9), Told::Down)]);
    assert_eq!(planned(&config, &down), (Vec::new(), Vec::new()));
}

#[test]
fn what_a_tunnel_asks_for_its_own_sake_breaks_no_claim() {
    let dns =
        "[dns]\nupstreams = [\"10.9.0.1\"]\nclaims = [\"corp.test\"]\ndefault = \"exclusive\"\n";
    let mut config = tunnel("", "", &format!("allowed = [\"0.0.0.0/0\"]\n{dns}"));
    let home = DnsSettings {
        upstreams: vec![config::model::Upstream::plain([192, 0, 2, 53].into())],
        ..DnsSettings::default()
    };
    let mut eth0 = profile("home", "eth0", NetworkSettings::default());
    eth0.dns = home;
    config.profiles.insert(eth0.id.clone(), eth0);
    // A plan looks for breaches by itself.
    let plan = plan(&config, &facts());
    let asked = |name: &str, below: Option<&str>| {
        let (name, domains) = (name.parse().unwrap(), &plan.dns.domains);
        let route = match below {
            Some(link) => domains.route_below(&name, link),
            None => domains.route(&name),
        };
        route.target.scope().map(ToString::to_string)
    };
    for (name, below, scope) in [
        ("www.example.test", None, "wg0@wg0"),
        ("www.example.test", Some("wg0"), "home@eth0"),
        ("www.example.test", Some("wg1"), "wg0@wg0"),
        ("git.corp.test", None, "wg0@wg0"),
        ("git.corp.test", Some("wg0"), "wg0@wg0"),
    ] {
        assert_eq!(
            asked(name, below).as_deref(),
            Some(scope),
            "{name} {below:?}"
        );
    }
}
