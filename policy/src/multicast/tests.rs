//! Rows: what the configuration says, which links there are, and what is done on each.

use config::model::{DefaultUse, Profile};

use super::*;
use crate::facts::DefaultRoute;

fn prefix(text: &str, length: u8) -> Prefix {
    Prefix {
        address: text.parse().unwrap(),
        length,
    }
}

fn facts(links: &[(&str, &str, bool)]) -> Facts {
    let mut facts = Facts::default();
    for (at, (name, kind, has_route)) in (1..).zip(links) {
        let link = LinkFacts {
            name: (*name).into(),
            kind: (*kind).into(),
            up: true,
            multicast: true,
            addresses: vec![prefix(&format!("192.0.{at}.1"), 24)],
            default_route4: has_route.then_some(DefaultRoute {
                metric: 100,
                gateway: None,
            }),
            ..LinkFacts::default()
        };
        let id = LinkId {
            index: at,
            birth: at,
        };
        facts.links.insert(id, link);
    }
    facts
}

fn profile(id: &str, link: &str, dns: DnsSettings) -> Profile {
    Profile {
        id: ProfileId(id.into()),
        matches: Some(config::matcher::LinkMatch {
            name: vec![link.parse().unwrap()],
            ..config::matcher::LinkMatch::default()
        }),
        dns,
        network: config::model::NetworkSettings::default(),
        link: None,
        records: Vec::new(),
    }
}

fn config(mdns: MdnsMode, profiles: Vec<Profile>) -> Config {
    let mut config = Config::default();
    config.resolver.mdns = mdns;
    config.profiles = profiles
        .into_iter()
        .map(|profile| (profile.id.clone(), profile))
        .collect();
    config
}

fn told(config: &Config, facts: &Facts) -> Vec<String> {
    let plan = crate::plan(config, facts);
    let links = plan.dns.multicast.links.iter();
    links
        .map(|link| format!("{} {} {}", link.name, link.mdns.as_str(), link.owner))
        .collect()
}

#[test]
fn ordinary_links_do_what_the_resolver_section_says_the_best_first() {
    let facts = facts(&[
        ("eth0", "ethernet", false),
        ("wlan0", "wifi", true),
        ("docker0", "bridge", false),
        ("br0", "bridge", true),
        ("veth1", "veth", true),
        ("tun0", "tun", true),
    ]);
    assert_eq!(
        told(&config(MdnsMode::Resolve, vec![]), &facts),
        [
            "br0 resolve [resolver]",
            "wlan0 resolve [resolver]",
            "eth0 resolve [resolver]"
        ]
    );
    assert_eq!(
        told(&config(MdnsMode::Off, vec![]), &facts),
        Vec::<String>::new()
    );
    assert_eq!(told(&config(MdnsMode::Respond, vec![]), &facts).len(), 3);
}

#[test]
fn a_profile_says_for_its_links_whatever_their_kind() {
    let facts = facts(&[("eth0", "ethernet", true), ("veth1", "veth", false)]);
    let says = |mdns| DnsSettings {
        mdns: Some(mdns),
        ..DnsSettings::default()
    };
    let silent = config(
        MdnsMode::Respond,
        vec![profile("cafe", "eth*", says(MdnsMode::Off))],
    );
    assert_eq!(told(&silent, &facts), Vec::<String>::new());
    let speaking = config(
        MdnsMode::Off,
        vec![profile("lab", "veth*", says(MdnsMode::Respond))],
    );
    assert_eq!(told(&speaking, &facts), ["veth1 respond profile lab"]);
}

#[test]
fn links_that_cannot_do_nothing() {
    for spoil in [
        |link: &mut LinkFacts| link.up = false,
        |link: &mut LinkFacts| link.multicast = false,
        |link: &mut LinkFacts| link.addresses.clear(),
    ] {
        let mut facts = facts(&[("eth0", "ethernet", true)]);
        facts.links.values_mut().for_each(spoil);
        assert_eq!(
            told(&config(MdnsMode::Respond, vec![]), &facts),
            Vec::<String>::new()
        );
    }
}

#[test]
fn a_full_tunnel_silences_the_others_unless_a_profile_says_otherwise() {
    let facts = facts(&[("eth0", "ethernet", true), ("vpn0", "tun", false)]);
    let tunnel = DnsSettings {
        upstreams: vec![config::model::Upstream::plain([10, 8, 0, 1].into())],
        default: DefaultUse::Exclusive,
        ..DnsSettings::default()
    };
    let silent = config(
        MdnsMode::Resolve,
        vec![profile("vpn", "vpn*", tunnel.clone())],
    );
    assert_eq!(told(&silent, &facts), Vec::<String>::new());
    let home = DnsSettings {
        mdns: Some(MdnsMode::Resolve),
        ..DnsSettings::default()
    };
    let profiles = vec![
        profile("vpn", "vpn*", tunnel),
        profile("home", "eth*", home),
    ];
    assert_eq!(
        told(&config(MdnsMode::Resolve, profiles), &facts),
        ["eth0 resolve profile home"]
    );
}

#[test]
fn names_of_neighbours_are_told_from_others() {
    let facts = facts(&[("eth0", "ethernet", true)]);
    let mut config = config(MdnsMode::Resolve, vec![]);
    config.resolver.search = vec!["corp.local".parse().unwrap(), "home.test".parse().unwrap()];
    let plan = crate::plan(&config, &facts).dns;
    for (name, covered) in [
        ("printer.local", true),
        ("_ipp._tcp.local", true),
        ("local", false),
        ("corp.local", false),
        ("dc1.corp.local", false),
        ("1.2.254.169.in-addr.arpa", true),
        ("1.2.0.192.in-addr.arpa", false),
        ("1.0.8.e.f.ip6.arpa", true),
        ("1.0.c.f.ip6.arpa", false),
        ("local.example", false),
    ] {
        assert_eq!(
            plan.multicast.covers(&name.parse().unwrap()),
            covered,
            "{name}"
        );
    }
    let silent = Config::default();
    assert!(
        !crate::plan(&silent, &Facts::default())
            .dns
            .multicast
            .covers(&"a.local".parse().unwrap())
    );
}

#[test]
fn llmnr_is_off_and_follows_the_same_rules_once_somebody_wants_it() {
    let facts = facts(&[
        ("wlan0", "wifi", true),
        ("docker0", "bridge", false),
        ("lab0", "veth", false),
    ]);
    let told = |config: &Config| -> Vec<String> {
        let plan = crate::plan(config, &facts);
        let links = plan.dns.multicast.llmnr.iter();
        links
            .map(|link| format!("{} {}", link.name, link.owner))
            .collect()
    };
    let dns = |llmnr| DnsSettings {
        llmnr: Some(llmnr),
        ..DnsSettings::default()
    };
    let mut wanted = config(MdnsMode::Off, Vec::new());
    assert_eq!(told(&wanted), [""; 0], "nobody said so");
    wanted.resolver.llmnr = LlmnrMode::Resolve;
    assert_eq!(told(&wanted), ["wlan0 [resolver]"]);
    let lab = profile("lab", "lab0", dns(LlmnrMode::Resolve));
    assert_eq!(
        told(&config(MdnsMode::Off, vec![lab])),
        ["lab0 profile lab"]
    );
    let mut silent = config(
        MdnsMode::Off,
        vec![profile("cafe", "wlan0", dns(LlmnrMode::Off))],
    );
    silent.resolver.llmnr = LlmnrMode::Resolve;
    assert_eq!(told(&silent), [""; 0], "the profile has the last word");
    let mut tunnel = config(
        MdnsMode::Off,
        vec![profile(
            "vpn",
            "lab0",
            DnsSettings {
                default: DefaultUse::Exclusive,
                upstreams: vec![config::model::Upstream::plain([10, 8, 0, 1].into())],
                ..DnsSettings::default()
            },
        )],
    );
    tunnel.resolver.llmnr = LlmnrMode::Resolve;
    assert_eq!(
        told(&tunnel),
        [""; 0],
        "a full tunnel keeps other links silent"
    );
}
