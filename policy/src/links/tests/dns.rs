//! Rows: what a network names, what the profile says, and where names go.

use config::model::{DefaultUse, Dns64, Mapping, Transport, Upstream};
use config::name::DomainName;

use super::*;
use crate::facts::ForeignResolvConf;
use crate::{Owner, Plan, Target};

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn names(server: &str, search: &[&str]) -> Supply {
    Supply {
        upstreams: vec![server.parse().unwrap()],
        search: search.iter().map(|text| name(text)).collect(),
        ..lease()
    }
}

fn goes(plan: &Plan, text: &str) -> String {
    match plan.dns.domains.route(&name(text)).target {
        Target::Ask(scope) => scope.to_string(),
        Target::Refuse(refusal) => format!("!{refusal:?}"),
    }
}

fn asked(plan: &Plan, scope: &str) -> Vec<String> {
    let scope = plan.dns.scopes.iter().find(|(id, _)| &*id.0 == scope);
    let upstreams = scope.map(|(_, scope)| &scope.upstreams);
    upstreams
        .into_iter()
        .flatten()
        .map(Upstream::to_string)
        .collect()
}

fn said(claims: &[&str], upstreams: &[&str], default: DefaultUse) -> Config {
    let mut profile = profile("a", "eth*", dhcp4());
    profile.dns = DnsSettings {
        claims: claims.iter().map(|text| name(text)).collect(),
        upstreams: upstreams.iter().map(|text| text.parse().unwrap()).collect(),
        default,
        ..DnsSettings::default()
    };
    config([profile])
}

#[test]
fn the_networks_servers_are_asked_after_the_profiles() {
    let facts = with([(Supplier::Dhcp4, names("192.0.2.1", &["lan.test"]))]);
    let rows = [
        (
            "no word of names in the profile",
            said(&[], &[], DefaultUse::Auto),
            ("supplied@eth0", "supplied@eth0"),
        ),
        (
            "servers in the profile",
            said(&[], &["192.0.2.53"], DefaultUse::Auto),
            ("a@eth0", "a@eth0"),
        ),
        (
            "claims with servers of their own",
            said(&["corp.test"], &["192.0.2.53"], DefaultUse::Auto),
            ("a@eth0", "supplied@eth0"),
        ),
        (
            "claims without: the network's own servers",
            said(&["corp.test"], &[], DefaultUse::Auto),
            ("a@eth0", "supplied@eth0"),
        ),
        (
            "all names claimed",
            said(&["corp.test"], &[], DefaultUse::Exclusive),
            ("a@eth0", "a@eth0"),
        ),
        (
            "never the default",
            said(&["corp.test"], &[], DefaultUse::No),
            ("a@eth0", "!NoScope"),
        ),
    ];
    for (row, config, (claimed, public)) in rows {
        let plan = plan(&config, &facts);
        assert_eq!(goes(&plan, "git.corp.test"), claimed, "{row}");
        assert_eq!(goes(&plan, "www.example.test"), public, "{row}");
        let search: Vec<String> = plan
            .dns
            .search
            .iter()
            .map(|search| search.suffix.to_string())
            .collect();
        assert_eq!(search, ["lan.test"], "{row}");
    }
    let lent = plan(&said(&["corp.test"], &[], DefaultUse::Auto), &facts);
    assert_eq!(asked(&lent, "a@eth0"), ["192.0.2.1"]);
    let ended = plan(&said(&["corp.test"], &[], DefaultUse::Auto), &one_link());
    assert!(
        goes(&ended, "git.corp.test").contains("NoUpstreams"),
        "claims hold"
    );
    assert_eq!(
        goes(&ended, "www.example.test"),
        "!NoScope",
        "it ends with its supply"
    );
}

#[test]
fn the_suppliers_of_a_link_share_a_scope_with_encrypted_servers_first() {
    let tls = Upstream {
        transport: Transport::Tls,
        port: 853,
        server_name: Some("dns.example".into()),
        ..Upstream::plain("192.0.2.9".parse().unwrap())
    };
    let mut dhcp = names("192.0.2.1", &["a.test"]);
    dhcp.upstreams.push("127.0.0.53".parse().unwrap());
    let mut router = names("fe80::1", &["b.test", "a.test"]);
    router.upstreams.insert(0, tls);
    router.upstreams.push("192.0.2.1".parse().unwrap());
    let mapping = Mapping::new(prefix("64:ff9b::/96")).unwrap();
    router.pref64.push(mapping);
    let facts = with([(Supplier::Dhcp4, dhcp), (Supplier::Ra, router)]);
    let network = || NetworkSettings {
        dhcp4: Some(Dhcp4Settings::default()),
        ..ra()
    };
    let both = plan(&config([profile("a", "eth*", network())]), &facts);
    assert_eq!(
        asked(&both, "supplied@eth0"),
        ["tls://192.0.2.9#dns.example", "192.0.2.1", "fe80::1"],
        "ourselves are not asked, and nobody twice"
    );
    let scope = both.dns.scopes.values().next().unwrap();
    assert_eq!(scope.owner, Owner::Supply("eth0".into()));
    assert_eq!(scope.dns64, Dns64::Prefixes(vec![mapping]));
    let mut none = network();
    none.take.dns = false;
    let none = plan(&config([profile("a", "eth*", none)]), &facts);
    assert_eq!(none.dns.scopes.len(), 0);
    let search: Vec<&Owner> = none.dns.search.iter().map(|search| &search.owner).collect();
    assert_eq!(search.len(), 2, "suffixes are taken all the same");
    let mut quiet = network();
    quiet.take.search = false;
    assert_eq!(
        plan(&config([profile("a", "eth*", quiet)]), &facts)
            .dns
            .search,
        []
    );
}

#[test]
fn the_default_scope_moves_with_the_default_route_in_one_plan() {
    let mut facts = with([(Supplier::Dhcp4, names("192.0.2.1", &[]))]);
    link(&mut facts, 3, "wlan0", "wifi");
    let wlan = Supply {
        routes: vec![route("0.0.0.0/0", "198.51.100.1", 3700)],
        ..names("198.51.100.1", &[])
    };
    facts.supplies.insert((id(3), Supplier::Dhcp4), wlan);
    facts.foreign_resolv_conf = Some(ForeignResolvConf {
        upstreams: vec!["203.0.113.1".parse().unwrap()],
        search: Vec::new(),
    });
    let config = config([profile("a", "*", dhcp4())]);
    let where_to = |facts: &Facts| {
        let plan = plan(&config, facts);
        let uplink = plan.links.uplinks.v4.as_ref().map(|uplink| uplink.link);
        (uplink, goes(&plan, "www.example.test"))
    };
    assert_eq!(where_to(&facts), (Some(id(2)), "supplied@eth0".to_owned()));
    facts.reach.insert((id(2), Family::Ipv4), Reach::Nowhere);
    assert_eq!(where_to(&facts), (Some(id(3)), "supplied@wlan0".to_owned()));
    facts.reach.insert((id(2), Family::Ipv4), Reach::Unknown);
    facts.links.get_mut(&id(2)).unwrap().up = false;
    facts.down_since.insert(id(2), at(99));
    assert_eq!(where_to(&facts), (Some(id(3)), "supplied@wlan0".to_owned()));
    facts.supplies.clear();
    assert_eq!(where_to(&facts), (None, "resolv.conf".to_owned()));
}

#[test]
fn the_network_claims_nothing_and_takes_no_claimed_name() {
    let mut office = profile("office", "vpn*", NetworkSettings::default());
    office.dns.claims = vec![name("corp.test")];
    office.dns.upstreams = vec!["10.8.0.1".parse().unwrap()];
    let config = config([profile("a", "eth*", dhcp4()), office]);
    let facts = with([(Supplier::Dhcp4, names("192.0.2.1", &["corp.test", "test"]))]);
    let plan = plan(&config, &facts);
    assert!(goes(&plan, "git.corp.test").contains("LinkAbsent"));
    assert!(goes(&plan, "git.corp.test.test").contains("SearchExpansion"));
    assert_eq!(goes(&plan, "www.example.test"), "supplied@eth0");
    assert_eq!(crate::leak::first_breach(&config, &plan), None);
}

/// The routers of a link tell how it translates; a scope without a link goes by the link that its packets leave by.
#[test]
fn a_scope_without_a_link_translates_as_the_network_of_the_default_route() {
    let mapping = |text| Mapping::new(prefix(text)).unwrap();
    let (eth, wlan) = (mapping("2001:db8:64::/96"), mapping("64:ff9b::/96"));
    let told = |mapping| Supply {
        pref64: vec![mapping],
        ..advertised()
    };
    let mut facts = with([(Supplier::Ra, told(eth))]);
    link(&mut facts, 3, "wlan0", "wifi");
    facts.supplies.insert((id(3), Supplier::Ra), told(wlan));
    facts.foreign_resolv_conf = Some(ForeignResolvConf {
        upstreams: vec!["203.0.113.1".parse().unwrap()],
        search: Vec::new(),
    });
    let mut config = config([
        profile("a", "*", ra()),
        Profile {
            matches: None,
            ..profile("free", "*", NetworkSettings::default())
        },
    ]);
    config.resolver.upstreams = vec!["203.0.113.2".parse().unwrap()];
    let free = |change: fn(&mut DnsSettings)| {
        let mut config = config.clone();
        let dns = &mut config.profiles.values_mut().last().unwrap().dns;
        dns.upstreams = vec!["203.0.113.3".parse().unwrap()];
        change(dns);
        config
    };
    let taken = free(|_| {});
    let dns64 = |config: &Config, facts: &Facts, scope: &str| {
        let plan = plan(config, facts);
        let mut scopes = plan.dns.scopes.iter();
        let found = scopes.find(|(id, _)| &*id.0 == scope);
        found.map(|(_, scope)| scope.dns64.clone())
    };
    let by = |mapping| Some(Dns64::Prefixes(vec![mapping]));
    for scope in ["resolver", "free"] {
        assert_eq!(dns64(&taken, &facts, scope), by(eth), "{scope}");
    }
    let mut alone = taken.clone();
    alone.resolver.upstreams.clear();
    assert_eq!(dns64(&alone, &facts, "resolv.conf"), by(eth));
    let claiming = free(|dns| {
        dns.claims = vec![name("corp.test")];
        dns.dns64 = Some(Dns64::Auto);
    });
    assert_eq!(
        dns64(&claiming, &facts, "free"),
        Some(Dns64::Auto),
        "what is claimed may be elsewhere"
    );
    let mut off = taken.clone();
    off.resolver.dns64 = Dns64::Off;
    assert_eq!(dns64(&off, &facts, "resolver"), Some(Dns64::Off));
    facts.reach.insert((id(2), Family::Ipv6), Reach::Nowhere);
    assert_eq!(dns64(&taken, &facts, "resolver"), by(wlan));
    // IPv4 goes another way than what is translated.
    facts.supplies.insert((id(2), Supplier::Dhcp4), lease());
    assert_eq!(dns64(&taken, &facts, "resolver"), by(wlan));
    for link in facts.links.values_mut() {
        link.up = false;
    }
    assert_eq!(dns64(&taken, &facts, "resolver"), Some(Dns64::Auto));
}
