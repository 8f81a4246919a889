//! What may a profile want of the kernel's own link? Addresses, routes and rules of its own, when it says that it means that link.

use super::*;

fn lo() -> Facts {
    let mut facts = one_link();
    link(&mut facts, 1, "lo", "loopback");
    facts.links.get_mut(&id(1)).unwrap().loopback = true;
    facts
}

fn anycast() -> NetworkSettings {
    NetworkSettings {
        addresses: [
            "10.255.0.1/32",
            "2001:db8:ffff::1/128",
            "127.0.0.1/8",
            "::1/128",
        ]
        .map(|it| config::model::StaticAddress::from(prefix(it)))
        .into(),
        routes: vec![
            fixed_route("192.0.2.0/24", &[]),
            fixed_route("0.0.0.0/0", &["192.0.2.1"]),
        ],
        dhcp4: Some(Dhcp4Settings::default()),
        ra: RaUse::Own(RaSettings::default()),
        ipv4ll: Ipv4llMode::Always,
        ..NetworkSettings::default()
    }
}

#[test]
fn a_profile_that_means_the_loopback_link_gives_it_addresses_and_routes_and_nothing_else() {
    let by_kind = LinkMatch {
        kind: vec!["loopback".parse().unwrap()],
        ..LinkMatch::default()
    };
    let mut kind = profile("anycast", "lo", anycast());
    kind.matches = Some(by_kind);
    for profile in [profile("anycast", "lo", anycast()), kind] {
        let config = config([profile]);
        let mut facts = lo();
        for told in [None, Some(Told::Up)] {
            facts.told.extend(told.map(|told| (id(1), told)));
            let plan = plan(&config, &facts);
            let link = &plan.links.links[&id(1)];
            let addresses: Vec<String> = link.addresses.keys().map(Prefix::to_string).collect();
            assert_eq!(addresses, ["10.255.0.1/32", "2001:db8:ffff::1/128"]);
            let routes: Vec<String> = link.routes.keys().map(|it| it.to.to_string()).collect();
            assert_eq!(routes, ["192.0.2.0/24"]);
            assert!(link.clients == crate::links::Clients::default() && link.switches.is_empty());
            assert_eq!((link.admin_up, link.mtu), (None, None));
            assert_eq!(plan.links.uplinks.v4, None);
        }
        facts.told.insert(id(1), Told::Down);
        let down = plan(&config, &facts).links.links[&id(1)].clone();
        assert!(down.admin_up.is_none() && down.addresses.is_empty() && down.routes.is_empty());
    }
}

#[test]
fn nobody_means_the_loopback_link_by_chance() {
    let mut facts = lo();
    let alt_name: std::sync::Arc<str> = "inside".into();
    facts.links.get_mut(&id(1)).unwrap().alt_names = vec![alt_name];
    let governs = |links: &str| {
        let config = config([profile("any", links, anycast())]);
        plan(&config, &facts).profiles_by_link.contains_key(&id(1))
    };
    for links in ["*", "l*", "l?", "!eth0"] {
        assert!(!governs(links), "{links}");
    }
    assert!(governs("lo") && governs("inside"));
}
