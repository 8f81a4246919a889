//! Rows: a route over several links, and what becomes of it when they come, go and carry.

use std::num::NonZeroU32;

use super::*;
use crate::links::RouteKey;

/// Two cables, each with an address of its own.
fn cables() -> Facts {
    let mut facts = one_link();
    link(&mut facts, 3, "eth1", "ethernet");
    facts
}

fn hop(via: &str, on: &str, weight: u16) -> Hop {
    Hop {
        via: via.parse().ok(),
        link: (!on.is_empty()).then(|| on.into()),
        weight,
    }
}

fn both(to: &str) -> Route {
    Route {
        via: vec![hop("192.0.2.1", "", 2), hop("198.51.100.1", "eth1", 1)],
        ..fixed_route(to, &[])
    }
}

/// The first profile has the route, the second only an address.
fn profiles(to: &str, metric: Option<u32>) -> Config {
    let first = NetworkSettings {
        addresses: vec![prefix("192.0.2.10/24").into()],
        routes: vec![Route { metric, ..both(to) }],
        ..NetworkSettings::default()
    };
    let second = NetworkSettings {
        addresses: vec![prefix("198.51.100.10/24").into()],
        ..NetworkSettings::default()
    };
    config([profile("a", "eth0", first), profile("b", "eth1", second)])
}

/// The lines about routes and uplinks of a plan.
fn shown(plan: &LinksPlan) -> Vec<String> {
    let text = plan.to_string();
    let lines = text.lines();
    let is_told = |line: &&str| line.contains("  route") || line.contains("default route");
    lines
        .filter(is_told)
        .map(|line| line.trim().to_owned())
        .collect()
}

#[test]
fn a_way_leaves_with_its_link_and_comes_back_with_it() {
    let config = profiles("10.0.0.0/8", Some(50));
    let mut facts = cables();
    let whole = [
        "route 10.0.0.0/8 via 192.0.2.1 dev eth0 weight 2 via 198.51.100.1 dev eth1 weight 1 metric 50",
    ];
    assert_eq!(shown(&links(&config, &facts)), whole);

    let carries = |facts: &mut Facts, index, up| facts.links.get_mut(&id(index)).unwrap().up = up;
    carries(&mut facts, 3, false);
    let first = ["route 10.0.0.0/8 via 192.0.2.1 metric 50"];
    assert_eq!(shown(&links(&config, &facts)), first);
    assert_eq!(
        notes(&config, &facts),
        ["the route to 10.0.0.0/8 goes by fewer ways than it could: eth1 has no carrier"]
    );

    carries(&mut facts, 2, false);
    assert_eq!(
        shown(&links(&config, &facts)),
        whole,
        "as the profile's `fixed` says"
    );

    carries(&mut facts, 3, true);
    let plan = links(&config, &facts);
    assert_eq!(
        shown(&plan),
        ["route 10.0.0.0/8 via 198.51.100.1 metric 50"]
    );
    assert!(plan.links[&id(2)].routes.is_empty() && !plan.links[&id(3)].routes.is_empty());

    // Also when the link of its own profile is gone.
    facts.links.remove(&id(2));
    assert_eq!(
        shown(&links(&config, &facts)),
        ["route 10.0.0.0/8 via 198.51.100.1 metric 50"]
    );
    facts.links.remove(&id(3));
    assert_eq!(shown(&links(&config, &facts)), [""; 0]);
    assert_eq!(
        notes(&config, &facts),
        [
            "there is no route to 10.0.0.0/8: the profile's own link is not there, there is no link eth1"
        ]
    );
}

/// What the route does not say is said by its own profile, on whichever link it is laid.
#[test]
fn table_and_metric_are_those_of_its_own_profile_wherever_it_is_laid() {
    let mut config = profiles("10.0.0.0/8", None);
    let own = config.profiles.get_mut(&ProfileId("a".into())).unwrap();
    (own.network.table, own.network.metric) = (Some(100), Some(70));
    let mut facts = cables();
    let holders = |facts: &Facts| {
        let plan = links(&config, facts);
        let routes = plan.links.iter().flat_map(|(link, plan)| {
            let key = |key: &RouteKey| (link.index, key.table, key.metric);
            let is_it = |key: &&RouteKey| key.to == prefix("10.0.0.0/8");
            plan.routes
                .keys()
                .filter(is_it)
                .map(key)
                .collect::<Vec<_>>()
        });
        routes.collect::<Vec<_>>()
    };
    assert_eq!(holders(&facts), [(2, 100, 70)]);
    facts.links.get_mut(&id(2)).unwrap().up = false;
    assert_eq!(holders(&facts), [(3, 100, 70)]);
}

#[test]
fn ways_by_links_that_are_not_ours_are_left_out_and_told() {
    let config = |second: Option<NetworkSettings>| {
        let mut config = profiles("10.0.0.0/8", Some(50));
        config.profiles.remove(&ProfileId("b".into()));
        let second = second.map(|network| profile("b", "eth1", network));
        config
            .profiles
            .extend(second.map(|profile| (profile.id.clone(), profile)));
        config
    };
    let alone = ["route 10.0.0.0/8 via 192.0.2.1 metric 50"];
    let by_hand = NetworkSettings {
        autoconnect: false,
        ..dhcp4()
    };
    for (second, told, why) in [
        (None, None, "no profile sets eth1 up"),
        (Some(by_hand), None, "no profile sets eth1 up"),
        (
            Some(dhcp4()),
            Some(Told::Down),
            "eth1 was taken down by command",
        ),
        (Some(dhcp4()), Some(Told::Release), "eth1 was released"),
    ] {
        let config = config(second);
        let mut facts = cables();
        facts.told.extend(told.map(|told| (id(3), told)));
        assert_eq!(shown(&links(&config, &facts)), alone, "{why}");
        assert_eq!(
            notes(&config, &facts),
            [format!(
                "the route to 10.0.0.0/8 goes by fewer ways than it could: {why}"
            )]
        );
    }
}

#[test]
fn one_default_route_over_two_links_is_ranked_once_and_stays_where_it_is() {
    let config = profiles("0.0.0.0/0", None);
    let mut facts = cables();
    let expected = [
        "route 0.0.0.0/0 via 192.0.2.1 dev eth0 weight 2 via 198.51.100.1 dev eth1 weight 1 metric 100",
        "eth0 has the IPv4 default route: it shares it with eth1",
    ];
    let plan = links(&config, &facts);
    assert_eq!(shown(&plan), expected);
    // The kernel tells it of both links.
    for index in [2, 3] {
        let link = facts.links.get_mut(&id(index)).unwrap();
        link.default_route4 = Some(DefaultRoute {
            metric: 100,
            gateway: None,
        });
    }
    facts.uplinks = plan.uplinks.current();
    let again = links(&config, &facts);
    assert_eq!((&again.links, shown(&again)), (&plan.links, shown(&plan)));
    let metrics = again.uplinks.metrics();
    assert_eq!(metrics, [(id(2), 100), (id(3), 100)].into());

    // One that is somebody else's still ranks, and so does a link's own.
    link(&mut facts, 4, "ppp0", "ppp");
    facts.links.get_mut(&id(4)).unwrap().default_route4 = Some(DefaultRoute {
        metric: 50,
        gateway: None,
    });
    let plan = links(&config, &facts);
    let names: Vec<&str> = plan
        .uplinks
        .v4
        .as_ref()
        .unwrap()
        .candidates
        .iter()
        .map(|it| &*it.name)
        .collect();
    assert_eq!(names, ["ppp0", "eth0", "eth1"]);
}

#[test]
fn a_link_of_several_may_be_the_only_one_of_a_route_to_itself() {
    let mut config = profiles("10.0.0.0/8", Some(50));
    let first = config.profiles.get_mut(&ProfileId("a".into())).unwrap();
    first.network.routes[0].via = vec![hop("", "eth0", 1), hop("", "eth1", 3)];
    let mut facts = cables();
    assert_eq!(
        shown(&links(&config, &facts)),
        ["route 10.0.0.0/8 dev eth0 weight 1 dev eth1 weight 3 metric 50"]
    );
    facts.links.remove(&id(3));
    assert_eq!(
        shown(&links(&config, &facts)),
        ["route 10.0.0.0/8 metric 50"]
    );
}

#[test]
fn a_profile_that_another_one_comes_before_lays_no_route() {
    let mut config = profiles("10.0.0.0/8", Some(50));
    let (first, others) = (ProfileId("0".into()), ["eth0", "eth*"]);
    for named in others {
        let before = profile("0", named, dhcp4());
        config.profiles.insert(first.clone(), before);
        let mut facts = cables();
        let told = "its routes over several links are not laid, as it is for no link: eth0 has the profile 0, which comes first";
        let is_told = |facts: &Facts| notes(&config, facts).iter().any(|note| note == told);
        assert_eq!(shown(&links(&config, &facts)), [""; 0]);
        assert!(is_told(&facts));
        // It would not have it either when it comes.
        facts.links.remove(&id(2));
        assert_eq!(shown(&links(&config, &facts)), [""; 0]);
        assert!(is_told(&facts));
    }
    // One of a link that is not there, and that nobody else names.
    config.profiles.get_mut(&first).unwrap().matches = None;
    let mut facts = cables();
    facts.links.remove(&id(2));
    assert_eq!(
        shown(&links(&config, &facts)),
        ["route 10.0.0.0/8 via 198.51.100.1 metric 50"]
    );
}

#[test]
fn what_became_of_the_profiles_own_link_is_told() {
    let config = profiles("10.0.0.0/8", Some(50));
    for (told, why) in [
        (Told::Down, "eth0 was taken down by command"),
        (Told::Release, "eth0 was released"),
    ] {
        let mut facts = cables();
        facts.told.insert(id(2), told);
        assert_eq!(
            shown(&links(&config, &facts)),
            ["route 10.0.0.0/8 via 198.51.100.1 metric 50"]
        );
        assert_eq!(
            notes(&config, &facts),
            [format!(
                "the route to 10.0.0.0/8 goes by fewer ways than it could: {why}"
            )]
        );
    }
    let mut facts = cables();
    link(&mut facts, 9, "br0", "bridge");
    facts.links.get_mut(&id(2)).unwrap().port_of = NonZeroU32::new(9);
    let told = notes(&config, &facts);
    assert!(
        told.iter().any(|note| note.ends_with("eth0 is a port")),
        "{told:?}"
    );
}

fn notes(config: &Config, facts: &Facts) -> Vec<String> {
    let plan = plan(config, facts);
    plan.dns
        .notes
        .iter()
        .map(|note| note.text.clone())
        .collect()
}
