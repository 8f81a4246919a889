//! Rows: a configuration, facts, a name, where it goes.

use std::sync::Arc;

use config::Config;
use config::matcher::LinkMatch;
use config::model::{
    DefaultUse, DnsSettings, NetworkSettings, Prefix, Profile, ProfileId, ResolvConfMode,
    Transport, TransportFloor, Upstream, WhenDown,
};
use config::name::DomainName;

use crate::facts::{DefaultRoute, ForeignResolvConf, RuntimeLayer, Trust};
use crate::{Facts, LinkFacts, LinkId, Outcome, Owner, Plan, Refusal, Rule, Target, plan};

mod model;

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn names(texts: &[&str]) -> Vec<DomainName> {
    texts.iter().map(|text| name(text)).collect()
}

fn upstream(text: &str) -> Upstream {
    Upstream::plain(text.parse().unwrap())
}

/// `[dns]` with one upstream and these claims.
fn dns(server: &str, claims: &[&str]) -> DnsSettings {
    DnsSettings {
        upstreams: vec![upstream(server)],
        claims: names(claims),
        ..DnsSettings::default()
    }
}

fn profile(id: &str, links: &str, dns: DnsSettings) -> Profile {
    let matches = (!links.is_empty()).then(|| LinkMatch {
        name: vec![links.parse().unwrap()],
        ..LinkMatch::default()
    });
    Profile {
        id: ProfileId(id.into()),
        matches,
        dns,
        network: NetworkSettings::default(),
        link: None,
        records: Vec::new(),
    }
}

fn config(profiles: impl IntoIterator<Item = Profile>) -> Config {
    let profiles = profiles
        .into_iter()
        .map(|profile| (profile.id.clone(), profile))
        .collect();
    Config {
        profiles,
        ..Config::default()
    }
}

/// A link that is up; `metric` is that of its default route.
fn link(facts: &mut Facts, index: u32, name: &str, up: bool, metric: Option<u32>) {
    let route = metric.map(|metric| DefaultRoute {
        metric,
        gateway: None,
    });
    let link = LinkFacts {
        name: name.into(),
        kind: "veth".into(),
        up,
        default_route4: route,
        ..LinkFacts::default()
    };
    facts.links.insert(
        LinkId {
            index,
            birth: index,
        },
        link,
    );
}

/// home0 with the default route, and vpn0.
fn both(vpn_up: bool) -> Facts {
    let mut facts = Facts::default();
    link(&mut facts, 2, "home0", true, Some(100));
    link(&mut facts, 3, "vpn0", vpn_up, None);
    facts
}

fn home_only() -> Facts {
    let mut facts = Facts::default();
    link(&mut facts, 2, "home0", true, Some(100));
    facts
}

/// The usual two profiles, the office's as given.
fn usual(office: DnsSettings) -> Config {
    config([
        profile("home", "home*", dns("192.0.2.53", &[])),
        profile("office", "vpn*", office),
    ])
}

/// Where a name goes, as a word: a scope, or `!` and the reason.
fn goes(plan: &Plan, text: &str) -> String {
    match plan.dns.domains.route(&name(text)).target {
        Target::Ask(scope) => scope.to_string(),
        Target::Refuse(Refusal::ScopeNotReady { scope, state }) => format!("!{scope} {state}"),
        Target::Refuse(Refusal::SearchExpansion { inner }) => format!("!expansion of {inner}"),
        Target::Refuse(Refusal::NoScope) => "!nobody".to_owned(),
    }
}

#[test]
fn claims_hold_whatever_becomes_of_the_link() {
    let corp = || dns("10.8.0.1", &["corp.test"]);
    let released = || DnsSettings {
        when_down: WhenDown::Release,
        ..corp()
    };
    let silent = || DnsSettings {
        upstreams: Vec::new(),
        ..corp()
    };
    let rows: [(&str, DnsSettings, Facts, &str, &str); 14] = [
        ("up", corp(), both(true), "git.corp.test", "office@vpn0"),
        (
            "the suffix itself",
            corp(),
            both(true),
            "corp.test",
            "office@vpn0",
        ),
        (
            "not a suffix by labels",
            corp(),
            both(true),
            "notcorp.test",
            "home@home0",
        ),
        (
            "public",
            corp(),
            both(true),
            "www.example.test",
            "home@home0",
        ),
        ("the root", corp(), both(true), ".", "home@home0"),
        (
            "down",
            corp(),
            both(false),
            "git.corp.test",
            "!office@vpn0 link-down",
        ),
        (
            "down, public",
            corp(),
            both(false),
            "www.example.test",
            "home@home0",
        ),
        (
            "absent",
            corp(),
            home_only(),
            "git.corp.test",
            "!office@- link-absent",
        ),
        (
            "absent, public",
            corp(),
            home_only(),
            "www.example.test",
            "home@home0",
        ),
        (
            "down, released",
            released(),
            both(false),
            "git.corp.test",
            "home@home0",
        ),
        (
            "absent, released",
            released(),
            home_only(),
            "git.corp.test",
            "home@home0",
        ),
        (
            "up, released",
            released(),
            both(true),
            "git.corp.test",
            "office@vpn0",
        ),
        (
            "no upstream",
            silent(),
            both(true),
            "git.corp.test",
            "!office@vpn0 no-upstreams",
        ),
        (
            "no links at all",
            corp(),
            Facts::default(),
            "www.example.test",
            "!nobody",
        ),
    ];
    for (row, office, facts, name, expected) in rows {
        assert_eq!(goes(&plan(&usual(office), &facts), name), expected, "{row}");
    }
}

#[test]
fn a_full_tunnel_takes_what_nobody_claims() {
    let tunnel = |when_down| DnsSettings {
        default: DefaultUse::Exclusive,
        exclude: names(&["www.example.test"]),
        when_down,
        ..dns("10.8.0.1", &[])
    };
    let rows = [
        ("up", WhenDown::Auto, both(true), "a.test", "office@vpn0"),
        (
            "up, excluded",
            WhenDown::Auto,
            both(true),
            "www.example.test",
            "home@home0",
        ),
        (
            "up, below the excluded",
            WhenDown::Auto,
            both(true),
            "a.www.example.test",
            "home@home0",
        ),
        (
            "down holds",
            WhenDown::Auto,
            both(false),
            "a.test",
            "!office@vpn0 link-down",
        ),
        (
            "down, excluded",
            WhenDown::Auto,
            both(false),
            "www.example.test",
            "home@home0",
        ),
        (
            "absent lets go",
            WhenDown::Auto,
            home_only(),
            "a.test",
            "home@home0",
        ),
        (
            "kill switch, absent",
            WhenDown::Refuse,
            home_only(),
            "a.test",
            "!office@- link-absent",
        ),
        (
            "kill switch, down",
            WhenDown::Refuse,
            both(false),
            "a.test",
            "!office@vpn0 link-down",
        ),
        (
            "released, down",
            WhenDown::Release,
            both(false),
            "a.test",
            "home@home0",
        ),
        (
            "released, absent",
            WhenDown::Release,
            home_only(),
            "a.test",
            "home@home0",
        ),
    ];
    for (row, when_down, facts, name, expected) in rows {
        assert_eq!(
            goes(&plan(&usual(tunnel(when_down)), &facts), name),
            expected,
            "{row}"
        );
    }
}

#[test]
fn exclusions_and_claims_meet_at_the_longest() {
    let office = DnsSettings {
        exclude: names(&["www.corp.test", "corp2.test"]),
        ..dns(
            "10.8.0.1",
            &["corp.test", "deep.www.corp.test", "corp2.test"],
        )
    };
    let plan = plan(&usual(office), &both(true));
    let rows = [
        ("git.corp.test", "office@vpn0"),
        ("www.corp.test", "home@home0"),
        ("a.www.corp.test", "home@home0"),
        ("deep.www.corp.test", "office@vpn0"),
        ("x.deep.www.corp.test", "office@vpn0"),
        ("corp2.test", "home@home0"),
    ];
    for (name, expected) in rows {
        assert_eq!(goes(&plan, name), expected, "{name}");
    }
}

#[test]
fn ties_are_settled_by_priority_then_link_then_name() {
    let with = |server: &str, priority| DnsSettings {
        priority,
        ..dns(server, &["corp.test"])
    };
    let three = |a, b| {
        config([
            profile("b", "home*", with("192.0.2.53", b)),
            profile("a", "vpn*", with("10.8.0.1", a)),
            profile("z", "x", dns("192.0.2.1", &[])),
        ])
    };
    let rule = |plan: &Plan| plan.dns.domains.route(&name("corp.test")).because.rule;
    let higher = plan(&three(5, 1), &both(true));
    assert_eq!(
        (goes(&higher, "corp.test").as_str(), rule(&higher)),
        ("a@vpn0", Rule::Priority)
    );
    let ranked = plan(&three(1, 1), &both(true));
    assert_eq!(
        (goes(&ranked, "corp.test").as_str(), rule(&ranked)),
        ("b@home0", Rule::LinkRank)
    );
    let mut even = Facts::default();
    link(&mut even, 2, "home0", true, None);
    link(&mut even, 3, "vpn0", true, None);
    let named = plan(&three(1, 1), &even);
    assert_eq!(rule(&named), Rule::OwnerName);
    let held = plan(&three(5, 1), &both(false));
    assert_eq!(
        goes(&held, "corp.test"),
        "!a@vpn0 link-down",
        "a higher priority that is down still holds"
    );
}

#[test]
fn the_default_scope_comes_in_one_order() {
    let foreign = || {
        Some(ForeignResolvConf {
            upstreams: vec![upstream("198.51.100.1")],
            search: names(&["foreign.test"]),
        })
    };
    let layer = |default| RuntimeLayer {
        link: Some("vpn0".into()),
        dns: DnsSettings {
            default,
            ..dns("10.8.0.1", &[])
        },
        trust: Trust::Administrator,
    };
    let with = |facts: &Facts, default| {
        let mut facts = facts.clone();
        facts.foreign_resolv_conf = foreign();
        if let Some(default) = default {
            facts
                .layers
                .insert(Owner::Claim("v".into()), layer(default));
        }
        facts
    };
    let at_home = config([profile("home", "home*", dns("192.0.2.53", &[]))]);
    let nothing = config([]);
    let mut global = at_home.clone();
    global.resolver.upstreams = vec![upstream("192.0.2.99")];
    let rows = [
        (
            "[resolver] before all but a tunnel",
            &global,
            with(&both(true), Some(DefaultUse::Yes)),
            "resolver",
        ),
        (
            "a tunnel before all",
            &global,
            with(&both(true), Some(DefaultUse::Exclusive)),
            "claim:v@vpn0",
        ),
        (
            "profiles before claims",
            &at_home,
            with(&both(true), Some(DefaultUse::Yes)),
            "home@home0",
        ),
        (
            "claims before a foreign resolv.conf",
            &nothing,
            with(&both(true), Some(DefaultUse::Auto)),
            "claim:v@vpn0",
        ),
        (
            "a claim whose link is down",
            &nothing,
            with(&both(false), Some(DefaultUse::Yes)),
            "resolv.conf",
        ),
        (
            "a foreign resolv.conf last",
            &nothing,
            with(&both(true), None),
            "resolv.conf",
        ),
        ("nobody", &nothing, both(true), "!nobody"),
    ];
    for (row, config, facts, expected) in rows {
        assert_eq!(
            goes(&plan(config, &facts), "www.example.test"),
            expected,
            "{row}"
        );
    }
}

#[test]
fn the_link_with_the_best_default_route_has_the_default_scope() {
    let config = config([
        profile("lan", "eth*", dns("192.0.2.1", &[])),
        profile("wifi", "wlan*", dns("192.0.2.2", &[])),
    ]);
    let rows = [
        (Some(100), Some(600), "lan@eth0"),
        (Some(700), Some(600), "wifi@wlan0"),
        (None, Some(600), "wifi@wlan0"),
        (None, None, "lan@eth0"),
    ];
    for (lan, wifi, expected) in rows {
        let mut facts = Facts::default();
        link(&mut facts, 2, "wlan0", true, wifi);
        link(&mut facts, 3, "eth0", true, lan);
        assert_eq!(
            goes(&plan(&config, &facts), "a.test"),
            expected,
            "{lan:?} {wifi:?}"
        );
    }
}

#[test]
fn expansions_of_claimed_names_are_refused() {
    let office = DnsSettings {
        search: names(&["corp.test"]),
        ..dns("10.8.0.1", &["corp.test"])
    };
    let mut config = usual(office);
    config.resolver.search = names(&["home.test"]);
    let mut facts = both(true);
    facts.host_domain = Some(name("lan"));
    facts.foreign_resolv_conf = Some(ForeignResolvConf {
        upstreams: Vec::new(),
        search: names(&["isp.test"]),
    });
    for facts in [
        facts.clone(),
        Facts {
            links: home_only().links,
            ..facts
        },
    ] {
        let plan = plan(&config, &facts);
        for suffix in ["home.test", "lan", "isp.test"] {
            let expanded = format!("git.corp.test.{suffix}");
            assert_eq!(
                goes(&plan, &expanded),
                "!expansion of git.corp.test",
                "{suffix}"
            );
            assert_eq!(
                goes(&plan, &format!("www.{suffix}")),
                "home@home0",
                "{suffix}"
            );
        }
        assert_eq!(
            goes(&plan, "git.corp.test.other.test"),
            "home@home0",
            "nobody appends that"
        );
    }
    let up = plan(&config, &both(true));
    assert_eq!(
        goes(&up, "git.corp.test.corp.test"),
        "office@vpn0",
        "an expansion may go where its name goes"
    );
}

#[test]
fn the_network_may_offer_but_not_claim() {
    let mut facts = both(true);
    let layer = RuntimeLayer {
        link: Some("vpn0".into()),
        dns: dns("10.8.0.1", &["bank.test"]),
        trust: Trust::Network,
    };
    facts.layers.insert(Owner::Claim("lease".into()), layer);
    let plan = plan(&usual(dns("10.8.0.1", &["corp.test"])), &facts);
    assert_eq!(goes(&plan, "www.bank.test"), "home@home0");
    let explained = plan.dns.domains.explain(&name("www.bank.test"));
    assert!(
        explained
            .candidates
            .iter()
            .any(|candidate| candidate.outcome == Outcome::NotTrusted)
    );
}

#[test]
fn a_link_s_own_prefixes_are_asked_on_that_link() {
    let mut facts = both(true);
    let id = LinkId { index: 3, birth: 3 };
    let prefix = |text: &str, length| Prefix {
        address: text.parse().unwrap(),
        length,
    };
    facts.links.get_mut(&id).unwrap().addresses = vec![
        prefix("10.8.3.2", 22),
        prefix("2001:db8::2", 64),
        prefix("fe80::1", 64),
        prefix("10.9.0.1", 32),
    ];
    let plan = plan(&usual(dns("10.8.0.1", &["corp.test"])), &facts);
    let rows = [
        ("9.0.8.10.in-addr.arpa", "office@vpn0"),
        ("9.3.8.10.in-addr.arpa", "office@vpn0"),
        ("9.4.8.10.in-addr.arpa", "home@home0"),
        ("1.0.9.10.in-addr.arpa", "home@home0"),
        ("1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "home@home0"),
        ("1.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "office@vpn0"),
    ];
    for (name, expected) in rows {
        assert_eq!(goes(&plan, name), expected, "{name}");
    }
    assert!(!plan.dns.domains.is_claimed(name("example.test").as_wire()));
    assert!(plan.dns.domains.is_claimed(name("a.corp.test").as_wire()));
}

#[test]
fn explain_tells_every_claim_and_one_winner() {
    let office = DnsSettings {
        exclude: names(&["www.corp.test"]),
        ..dns("10.8.0.1", &["corp.test", "test"])
    };
    let plan = plan(&usual(office), &both(true));
    let outcomes = |text: &str| -> Vec<(String, &'static str)> {
        let explained = plan.dns.domains.explain(&name(text));
        explained
            .candidates
            .iter()
            .map(|candidate| (candidate.suffix.to_string(), candidate.outcome.name()))
            .collect()
    };
    let row = |suffix: &str, outcome| (suffix.to_owned(), outcome);
    assert_eq!(
        outcomes("git.corp.test"),
        [
            row("corp.test", "won"),
            row("test", "lost"),
            row(".", "lost")
        ]
    );
    assert_eq!(
        outcomes("www.corp.test"),
        [
            row("corp.test", "excluded"),
            row("test", "excluded"),
            row(".", "won")
        ]
    );
    let because = plan.dns.domains.explain(&name("git.corp.test")).because;
    assert_eq!(
        because.to_string(),
        "profile office claims corp.test, the longest suffix that covers it"
    );
    assert_eq!(because.owner, Owner::Profile(ProfileId("office".into())));
}

#[test]
fn a_refusal_is_told_with_owner_link_and_state() {
    let config = usual(dns("10.8.0.1", &["corp.test"]));
    let text = |facts: &Facts| {
        let plan = plan(&config, facts);
        let route = plan.dns.domains.route(&name("git.corp.test"));
        let Target::Refuse(refusal) = &route.target else {
            panic!("it is refused")
        };
        plan.dns.refusal_text(refusal, &route.because)
    };
    assert_eq!(
        text(&both(false)),
        "corp.test is claimed by profile office, and its link vpn0 is down"
    );
    assert_eq!(
        text(&home_only()),
        "corp.test is claimed by profile office, and its link vpn* is absent"
    );
}

#[test]
fn plain_upstreams_below_the_floor_are_left_out_and_never_replaced() {
    let tls = Upstream {
        transport: Transport::Tls,
        port: 853,
        ..upstream("192.0.2.53")
    };
    let mut office = dns("10.8.0.1", &["corp.test"]);
    for floor in [TransportFloor::Any, TransportFloor::Encrypted] {
        office.upstreams = vec![tls.clone()];
        office.transport = Some(floor);
        let one = plan(&usual(office.clone()), &both(true));
        assert_eq!(goes(&one, "git.corp.test"), "office@vpn0");
        assert_eq!(one.dns.notes, []);
    }
    office.upstreams = vec![upstream("10.8.0.1")];
    let two = plan(&usual(office), &both(true));
    assert_eq!(goes(&two, "git.corp.test"), "!office@vpn0 no-upstreams");
    assert!(
        two.dns.notes[0].text.contains("not encrypted"),
        "{:?}",
        two.dns.notes
    );
}

#[test]
fn opportunistic_scope_asks_each_plain_upstream_by_tls_first() {
    let mut office = dns("10.8.0.1", &["corp.test"]);
    office.upstreams = vec![
        "10.8.0.1".parse().unwrap(),
        "10.8.0.2:5353".parse().unwrap(),
        "tls://10.8.0.3".parse().unwrap(),
    ];
    office.transport = Some(TransportFloor::Opportunistic);
    let plan = plan(&usual(office), &both(true));
    let scope = plan
        .dns
        .scopes
        .values()
        .find(|scope| scope.upstreams.len() > 1);
    let texts: Vec<String> = scope
        .unwrap()
        .upstreams
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        texts,
        [
            "tls://10.8.0.1?pin=any",
            "10.8.0.1",
            "10.8.0.2:5353",
            "tls://10.8.0.3"
        ]
    );
}

#[test]
fn search_suffixes_come_by_rank_and_once() {
    let office = DnsSettings {
        search: names(&["corp.test", "b.test"]),
        ..dns("10.8.0.1", &["corp.test"])
    };
    let home = DnsSettings {
        search: names(&["home.test", "b.test"]),
        ..dns("192.0.2.53", &[])
    };
    let mut config = config([
        profile("home", "home*", home),
        profile("office", "vpn*", office),
    ]);
    config.resolver.search = names(&["last.test", "."]);
    let list = |facts: &Facts| -> Vec<String> {
        plan(&config, facts)
            .dns
            .search
            .iter()
            .map(|search| search.suffix.to_string())
            .collect()
    };
    assert_eq!(
        list(&both(true)),
        ["home.test", "b.test", "corp.test", "last.test"]
    );
    assert_eq!(
        list(&both(false)),
        ["home.test", "b.test", "last.test"],
        "a scope that is down adds none"
    );
}

#[test]
fn resolv_conf_is_planned_only_when_asked_for_and_possible() {
    let mut config = usual(dns("10.8.0.1", &["corp.test"]));
    assert_eq!(plan(&config, &both(true)).resolv_conf, None);
    config.resolver.resolv_conf = ResolvConfMode::Stub;
    let stub = plan(&config, &both(true)).resolv_conf.unwrap();
    assert_eq!(
        stub.nameservers,
        ["127.0.0.53".parse::<std::net::IpAddr>().unwrap()]
    );
    config.resolver.resolv_conf = ResolvConfMode::Uplink;
    let uplink = plan(&config, &both(true)).resolv_conf.unwrap();
    assert_eq!(
        uplink.nameservers,
        ["192.0.2.53".parse::<std::net::IpAddr>().unwrap()],
        "not the VPN's"
    );
    config.resolver.resolv_conf = ResolvConfMode::Stub;
    config.resolver.listen = vec!["127.0.0.1:5353".parse().unwrap()];
    let none = plan(&config, &both(true));
    assert_eq!(none.resolv_conf, None);
    assert!(
        none.dns
            .notes
            .iter()
            .any(|note| note.text.contains("another port"))
    );
    config.resolver.enabled = false;
    assert_eq!(plan(&config, &both(true)).resolv_conf, None);
}

#[test]
fn a_link_is_governed_by_the_first_profile_and_the_other_is_told() {
    let config = config([
        profile("a", "vpn*", dns("10.8.0.1", &["a.test"])),
        profile("b", "vpn0", dns("10.8.0.2", &["b.test"])),
    ]);
    let plan = plan(&config, &both(true));
    assert_eq!(goes(&plan, "x.a.test"), "a@vpn0");
    assert_eq!(
        goes(&plan, "x.b.test"),
        "!b@- link-absent",
        "its claims hold"
    );
    assert!(
        plan.dns
            .notes
            .iter()
            .any(|note| note.text.contains("governed by profile a")),
        "{:?}",
        plan.dns.notes
    );
}

#[test]
fn a_claim_on_several_links_is_served_by_the_best_that_is_up() {
    let config = config([profile("office", "vpn*", dns("10.8.0.1", &["corp.test"]))]);
    for (first, second, expected) in [
        (true, true, "office@vpn0"),
        (false, true, "office@vpn1"),
        (true, false, "office@vpn0"),
        (false, false, "!office@vpn0 link-down"),
    ] {
        let mut facts = Facts::default();
        link(&mut facts, 2, "vpn0", first, None);
        link(&mut facts, 3, "vpn1", second, None);
        assert_eq!(goes(&plan(&config, &facts), "git.corp.test"), expected);
    }
}

#[test]
fn a_profile_without_links_needs_none() {
    let config = config([profile("lab", "", dns("192.0.2.7", &["lab.test"]))]);
    let plan = plan(&config, &Facts::default());
    assert_eq!(goes(&plan, "x.lab.test"), "lab");
    assert_eq!(plan.dns.scopes.len(), 1);
}

#[test]
fn an_unchanged_world_has_an_equal_plan_and_a_changed_one_says_what() {
    let config = usual(dns("10.8.0.1", &["corp.test"]));
    let (up, down) = (plan(&config, &both(true)), plan(&config, &both(false)));
    assert_eq!(up, plan(&config, &both(true)));
    assert!(crate::diff::changes(&up, &up).is_empty());
    let changes = crate::diff::changes(&up, &down);
    assert_eq!(
        changes,
        ["scope office@vpn0 is link-down now: corp.test is not asked"]
    );
    let _shared: Arc<crate::DnsPlan> = up.dns;
}
