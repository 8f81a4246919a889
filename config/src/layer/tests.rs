//! What do layers come to, and is every mistake in them found?

use super::*;
use crate::model::{Manage, ResolvConfMode, StopUse, WhenDown};

const OFFICE: &str =
    "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\n";

fn layer(rank: Rank, path: &str, text: &str) -> Layer {
    let directory = match rank {
        Rank::Builtin => "builtin",
        Rank::Vendor => "/usr/lib/linnet",
        Rank::Admin => "/etc/linnet",
        Rank::Runtime => "/run/linnet",
    };
    Layer {
        origin: Origin {
            rank,
            path: format!("{directory}/{path}").into(),
        },
        text: text.to_owned(),
        kind: LayerKind::of(path).unwrap(),
    }
}

fn cache_size(layers: &[Layer]) -> u64 {
    let loaded = load(layers);
    assert_eq!(loaded.diagnostics, []);
    loaded.config.resolver.cache_size >> 20
}

fn size(mib: u64) -> String {
    format!("[resolver]\ncache-size = \"{mib}MiB\"\n")
}

fn messages(loaded: &Loaded) -> Vec<&str> {
    loaded
        .diagnostics
        .iter()
        .map(|found| found.message.as_str())
        .collect()
}

#[test]
fn later_layers_win_key_by_key_in_whatever_order_they_come() {
    let mut layers = vec![
        layer(Rank::Runtime, "linnet.toml", &size(1)),
        layer(Rank::Admin, "conf.d/20-b.toml", &size(2)),
        layer(Rank::Runtime, "conf.d/10-a.toml", &size(3)),
        layer(Rank::Admin, "linnet.toml", &size(4)),
        layer(Rank::Vendor, "linnet.toml", &size(5)),
        layer(Rank::Builtin, "linnet.toml", &size(6)),
    ];
    for winner in 1..=6 {
        assert_eq!(cache_size(&layers), winner);
        layers.reverse();
        assert_eq!(cache_size(&layers), winner);
        layers.reverse();
        layers.remove(0);
    }
    assert_eq!(cache_size(&layers), 8, "the default");
    let both = [
        layer(
            Rank::Vendor,
            "linnet.toml",
            "[resolver]\nhosts = false\n[links]\nmanage = \"none\"",
        ),
        layer(
            Rank::Admin,
            "linnet.toml",
            "[resolver]\nresolv-conf = \"stub\"",
        ),
    ];
    let config = load(&both).config;
    assert!(!config.resolver.hosts);
    assert_eq!(config.resolver.resolv_conf, ResolvConfMode::Stub);
    assert_eq!(config.links.manage, Manage::None);
}

#[test]
fn a_file_of_the_same_name_replaces_and_an_empty_one_masks() {
    let vendor = layer(Rank::Vendor, "conf.d/10-a.toml", &size(1));
    let masked = layer(Rank::Admin, "conf.d/10-a.toml", " \n");
    assert_eq!(cache_size(&[masked, vendor.clone()]), 8);
    let replaced = layer(
        Rank::Admin,
        "conf.d/10-a.toml",
        "[resolver]\nhosts = true\n",
    );
    assert_eq!(cache_size(&[replaced, vendor]), 8);
    let profiles = |admin: &str| {
        let loaded = load(&[
            layer(Rank::Admin, "profiles/office.toml", admin),
            layer(Rank::Vendor, "profiles/office.toml", OFFICE),
        ]);
        loaded.config.profiles.len()
    };
    assert_eq!(profiles(""), 0);
    assert_eq!(profiles(OFFICE), 1);
    assert_eq!(cache_size(&[layer(Rank::Admin, "linnet.toml", "")]), 8);
}

#[test]
fn a_broken_file_is_left_out_whole_and_the_rest_holds() {
    let loaded = load(&[
        layer(Rank::Admin, "linnet.toml", &size(2)),
        layer(
            Rank::Admin,
            "conf.d/10-a.toml",
            "[resolver]\nhosts = false\nlissen = []\n",
        ),
        layer(Rank::Admin, "profiles/office.toml", OFFICE),
    ]);
    assert!(!loaded.main_broken && loaded.has_errors());
    assert!(loaded.config.resolver.hosts);
    assert_eq!(loaded.config.resolver.cache_size, 2 << 20);
    assert_eq!(loaded.config.profiles.len(), 1);
    assert_eq!(
        messages(&loaded),
        [
            "unknown key `lissen` in [resolver]",
            "the file is left out whole until its errors are mended"
        ]
    );
    assert_eq!(
        loaded.diagnostics[0].help.as_deref(),
        Some("did you mean `listen`?")
    );
    let main = load(&[layer(Rank::Admin, "linnet.toml", "[resolver]\nhosts = 1")]);
    assert!(main.main_broken);
}

#[test]
fn a_broken_profile_keeps_its_claims_closed() {
    for (name, text, claims) in [
        (
            "a wrong key",
            format!("{OFFICE}nonsense = 1\n"),
            "corp.test",
        ),
        (
            "a wrong upstream",
            OFFICE.replace("10.8.0.1", "10.8.0"),
            "corp.test",
        ),
        (
            "a misspelt key",
            OFFICE.replace("claims", "cliams"),
            "corp.test",
        ),
        (
            "a misspelt table",
            OFFICE.replace("[dns]", "[dsn]"),
            "corp.test",
        ),
        ("no table", OFFICE.replace("[dns]\n", ""), "corp.test"),
        (
            "not a list",
            OFFICE.replace("[\"corp.test\"]", "\"corp.test\""),
            "corp.test",
        ),
        (
            "a wildcard",
            OFFICE.replace("corp.test", "*.corp.test"),
            "corp.test",
        ),
        (
            "one bad of two",
            OFFICE.replace("[\"corp", "[7, \"corp"),
            "corp.test",
        ),
        (
            "not toml",
            OFFICE.replace("[\"corp", "[\"corp.test\" \"corp"),
            "corp.test",
        ),
        (
            "a claim twice",
            format!("{OFFICE}claims = [\"lab.test\"]"),
            "corp.test lab.test",
        ),
        (
            "no quote",
            OFFICE.replace("corp.test\"", "corp.test"),
            "corp.test",
        ),
    ] {
        let loaded = load(&[layer(Rank::Admin, "profiles/office.toml", &text)]);
        assert!(loaded.has_errors(), "{name}");
        let id = ProfileId("office".into());
        let profile = loaded
            .config
            .profiles
            .get(&id)
            .unwrap_or_else(|| panic!("{name}"));
        let held: Vec<String> = profile.dns.claims.iter().map(ToString::to_string).collect();
        assert_eq!(held.join(" "), claims, "{name}");
        assert!(profile.dns.upstreams.is_empty(), "{name}");
        assert_eq!(loaded.closed, [id], "{name}");
        assert!(
            messages(&loaded).last().unwrap().contains("corp.test"),
            "{name}"
        );
    }
}

#[test]
fn a_broken_profile_never_opens_a_door_on_a_guess() {
    let down = |more: &str, from: &str, to: &str| {
        let text = format!("{OFFICE}{more}").replace(from, to);
        let loaded = load(&[layer(Rank::Admin, "profiles/office.toml", &text)]);
        assert_eq!(loaded.closed.len(), 1, "{text}");
        let profile = loaded.config.profiles.into_values().next().unwrap();
        (profile.dns.default, profile.dns.when_down)
    };
    let release = "when-down = \"release\"\n";
    for (more, from, to, default, when_down) in [
        (release, "10.8.0.1", "x", DefaultUse::No, WhenDown::Release),
        (
            release,
            "release",
            "relaese",
            DefaultUse::No,
            WhenDown::Refuse,
        ),
        (
            release,
            "when-down",
            "wen-down",
            DefaultUse::No,
            WhenDown::Refuse,
        ),
        (release, "vpn*", "vpn[", DefaultUse::No, WhenDown::Refuse),
        (release, "match", "mtach", DefaultUse::No, WhenDown::Refuse),
        (
            release,
            "\"release\"",
            "\"release",
            DefaultUse::No,
            WhenDown::Refuse,
        ),
        (
            "default = \"exclusiv\"",
            "",
            "",
            DefaultUse::Exclusive,
            WhenDown::Auto,
        ),
        (
            "default = \"exclusive",
            "",
            "",
            DefaultUse::Exclusive,
            WhenDown::Refuse,
        ),
        ("", "corp.test", ".", DefaultUse::Exclusive, WhenDown::Auto),
        (
            "default = \"yes\"\nx = 1",
            "",
            "",
            DefaultUse::No,
            WhenDown::Auto,
        ),
    ] {
        let from = if from.is_empty() {
            "no such text"
        } else {
            from
        };
        assert_eq!(down(more, from, to), (default, when_down), "{more} {to}");
    }
}

#[test]
fn a_profile_with_a_bad_id_is_closed_under_a_good_one() {
    for (path, id) in [
        ("profiles/resolver.toml", "broken-resolver"),
        ("profiles/resolv.conf.toml", "broken-resolv.conf"),
        ("profiles/my office@x.toml", "broken-my-office-x"),
        ("profiles/-x.toml", "broken--x"),
    ] {
        let loaded = load(&[layer(Rank::Admin, path, OFFICE)]);
        assert_eq!(loaded.closed, [ProfileId(id.into())], "{path}");
        assert_eq!(loaded.config.profiles.len(), 1);
    }
    let both = load(&[
        layer(Rank::Admin, "profiles/a b.toml", OFFICE),
        layer(Rank::Admin, "profiles/a@b.toml", OFFICE),
    ]);
    assert_eq!(both.config.profiles.len(), 2);
}

#[test]
fn what_cannot_be_read_is_said_to_be_unread() {
    let loaded = load(&[layer(Rank::Admin, "profiles/office.toml", "match = {\n[[[")]);
    assert_eq!(loaded.unread, [ProfileId("office".into())]);
    assert!(loaded.config.profiles.is_empty());
    assert!(messages(&loaded).last().unwrap().contains("cannot be read"));
}

#[test]
fn rival_claims_are_reported_with_both_files() {
    let rivals = |second: &str| {
        let loaded = load(&[
            layer(Rank::Admin, "profiles/a.toml", OFFICE),
            layer(Rank::Vendor, "profiles/b.toml", second),
        ]);
        assert!(!loaded.has_errors());
        loaded.diagnostics
    };
    let found = rivals(OFFICE);
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].file, "/usr/lib/linnet/profiles/b.toml");
    assert!(found[0].message.contains("/etc/linnet/profiles/a.toml"));
    assert_eq!(found[0].line, 4);
    assert_eq!(rivals(&format!("{OFFICE}priority = 1\n")), []);
}

#[test]
fn files_that_make_an_upstream_the_stub_are_found_together() {
    let loaded = load(&[
        layer(
            Rank::Vendor,
            "linnet.toml",
            "[resolver]\nupstreams = [\"127.0.0.1\", \"192.0.2.1\"]",
        ),
        layer(
            Rank::Admin,
            "linnet.toml",
            "[resolver]\nlisten = [\"127.0.0.1\", \"127.0.0.54\"]",
        ),
    ]);
    assert_eq!(loaded.config.resolver.upstreams.len(), 1);
    assert_eq!(loaded.config.resolver.listen_bypass, []);
    assert_eq!(loaded.diagnostics.len(), 2);
    assert!(loaded.main_broken, "what was in force before stays so");
    let own = "[resolver]\nlisten = [\"127.0.0.1:5300\"]\nupstreams = [\"127.0.0.1:5300\"]";
    let usual = "[resolver]\nupstreams = [\"127.0.0.53\"]";
    for text in [own, usual] {
        assert!(load(&[layer(Rank::Admin, "linnet.toml", text)]).main_broken);
    }
}

#[test]
fn an_mtu_that_takes_ipv6_off_a_link_is_told() {
    let rows = [
        ("", Severity::Warning, "whoever would give it some"),
        ("[delegated]\n", Severity::Error, "a part of an IPv6 prefix"),
        (
            "[[routes]]\nto = \"2001:db8::/64\"\nvia = \"fe80::1\"\n",
            Severity::Error,
            "an IPv6 route",
        ),
    ];
    for (more, severity, words) in rows {
        let text = format!("match = {{ name = \"a*\" }}\nmtu = 1200\n{more}");
        let loaded = load(&[layer(Rank::Admin, "profiles/a.toml", &text)]);
        let found = loaded
            .diagnostics
            .iter()
            .find(|it| it.message.contains(words));
        let found = found.unwrap_or_else(|| panic!("{words}: {:?}", loaded.diagnostics));
        assert_eq!((found.severity, found.line), (severity, 2), "{words}");
    }
    let none = "match = { name = \"a*\" }\nmtu = 1200\nra = false\n";
    assert_eq!(
        load(&[layer(Rank::Admin, "profiles/a.toml", none)]).diagnostics,
        []
    );
}

#[test]
fn where_a_stub_usually_is_may_be_somebody_elses() {
    let elsewhere = "[resolver]\nlisten = [\"127.0.0.63:53\"]\nlisten-bypass = []\nupstreams = [\"127.0.0.53\"]";
    let profile =
        "match = { name = \"vpn0\" }\n[dns]\nupstreams = [\"127.0.0.54\"]\nclaims = [\"a.test\"]";
    let loaded = load(&[
        layer(Rank::Admin, "linnet.toml", elsewhere),
        layer(Rank::Admin, "profiles/vpn.toml", profile),
    ]);
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.config.resolver.upstreams.len(), 1);
    // Where it is may stand in a file that is read later.
    let upstreams = layer(
        Rank::Admin,
        "linnet.toml",
        "[resolver]\nupstreams = [\"127.0.0.53\"]",
    );
    let listen = "[resolver]\nlisten = [\"127.0.0.63:53\"]\nlisten-bypass = []";
    let later = layer(Rank::Admin, "conf.d/10-listen.toml", listen);
    let loaded = load(&[upstreams.clone(), later]);
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.config.resolver.upstreams.len(), 1);
    let alone = load(&[upstreams]);
    assert_eq!(alone.config.resolver.upstreams, []);
    assert_eq!(alone.diagnostics.len(), 1);
}

#[test]
fn the_mtu_below_is_that_of_the_first_profile_that_has_the_link() {
    let vlan = "mtu = 1500\n[link]\nname = \"low0.7\"\nkind = \"vlan\"\nparent = \"low0\"\nid = 7";
    let warned = |others: &[(&'static str, &'static str)]| {
        let mut layers = vec![layer(Rank::Admin, "profiles/vlan.toml", vlan)];
        layers.extend(
            others
                .iter()
                .map(|(path, text)| layer(Rank::Admin, path, text)),
        );
        let loaded = load(&layers);
        let told = loaded.diagnostics.iter().map(|it| it.message.clone());
        let told: Vec<String> = told.filter(|it| it.contains("MTU")).collect();
        told.len()
    };
    let any = (
        "profiles/90-any.toml",
        "match = { name = \"*\" }\nmtu = 1400",
    );
    assert_eq!(warned(&[any]), 1);
    // Whoever comes first has it, and says nothing of its MTU, or has it by more than its name.
    let rows = [
        "match = { name = \"low0\" }\ndhcp4 = true",
        "match = { kind = \"!wifi\" }\ndhcp4 = true",
        "match = { name = \"low0\", driver = \"e1000e\" }\nmtu = 9000",
    ];
    for row in rows {
        assert_eq!(warned(&[("profiles/10-low.toml", row), any]), 0, "{row}");
    }
}

#[test]
fn the_sort_of_a_file_shows_in_its_path() {
    for (path, kind) in [
        ("linnet.toml", Some(LayerKind::Main)),
        (
            "conf.d/10-a.toml",
            Some(LayerKind::DropIn("10-a.toml".into())),
        ),
        (
            "profiles/office.toml",
            Some(LayerKind::Profile(ProfileId("office".into()))),
        ),
        ("conf.d/10-a.toml~", None),
        ("conf.d/.10-a.toml", None),
        ("conf.d/.toml", None),
        ("conf.d/a/b.toml", None),
        ("other/a.toml", None),
        ("office.toml", None),
    ] {
        assert_eq!(LayerKind::of(path), kind, "{path}");
    }
}

#[test]
fn defaults_of_the_reference_are_those_of_the_model() {
    use crate::reference::{KEYS, Section};

    let mut main = String::from("[resolver]\n");
    let mut links = String::from("[links]\n");
    let mut dnstap = String::from("[dnstap]\n");
    let mut connectivity = String::from("[connectivity]\n");
    let mut log = String::from("[log]\n");
    let mut dns = String::from("[dns]\n");
    let mut dhcp = String::from("[dhcp]\n");
    let mut take = String::from("[take]\n");
    let mut carrier = String::from("[carrier]\n");
    let mut profile = String::new();
    for key in KEYS {
        let Some(default) = key.default else {
            continue;
        };
        let text = match key.section {
            // What a listener says must fit together; its good file says it all.
            Section::Main
            | Section::Match
            | Section::Addresses
            | Section::Routes
            | Section::Rules
            | Section::Delegated
            | Section::Listeners
            | Section::Metrics
            | Section::Records
            | Section::Lists
            | Section::Services
            | Section::Link
            | Section::Hardware
            | Section::Ports
            | Section::Peers
            | Section::Associations => continue,
            Section::Resolver => &mut main,
            Section::Links => &mut links,
            Section::Dnstap => &mut dnstap,
            Section::Connectivity => &mut connectivity,
            Section::Log => &mut log,
            Section::Profile => &mut profile,
            Section::Dns => &mut dns,
            Section::Dhcp => &mut dhcp,
            Section::Take => &mut take,
            Section::Carrier => &mut carrier,
        };
        *text += &format!("{} = {default}\n", key.name);
    }
    let matched = "match = { name = \"*\" }\n";
    let loaded = load(&[
        layer(
            Rank::Admin,
            "linnet.toml",
            &(main + &links + &connectivity + &dnstap + &log),
        ),
        layer(
            Rank::Admin,
            "profiles/said.toml",
            // The defaults of [dhcp] hold whether anybody is asked or not; so that it is no mistake, somebody is.
            &(matched.to_owned()
                + &profile.replace("dhcp4 = false", "dhcp4 = true")
                + &dns
                + &dhcp
                + &take
                + &carrier),
        ),
        layer(
            Rank::Admin,
            "profiles/unsaid.toml",
            &(matched.to_owned() + "dhcp4 = true\n"),
        ),
    ]);
    assert_eq!(loaded.diagnostics, []);
    let default = Config::default();
    assert_eq!(loaded.config.resolver, default.resolver);
    assert_eq!(loaded.config.links, default.links);
    assert_eq!(loaded.config.connectivity, default.connectivity);
    assert_eq!(loaded.config.observing, default.observing);
    let mut profiles = loaded.config.profiles.into_values();
    let (said, unsaid) = (profiles.next().unwrap(), profiles.next().unwrap());
    assert_eq!((said.dns, said.network), (unsaid.dns, unsaid.network));
}

#[test]
fn every_choice_of_the_table_is_a_value_of_the_model() {
    use crate::model::{
        AddressScope, BlockAction, BlockError, BootpUse, CheckUse, ConflictUse, DefaultRouteUse,
        Dhcp6When, DnsUpdate, DnssecMode, Ipv4llMode, ListFormat, ListenerStub, LlmnrMode,
        MdnsMode, Privacy, RecursionMode, RouteKind, Selection, Transport, TransportFloor,
    };
    use crate::observing::{LoggedQueries, TapMessages};
    use crate::raw::from_word;
    use crate::reference::{KEYS, Section, Syntax};

    for key in KEYS {
        let Syntax::Choice(words) = key.syntax else {
            continue;
        };
        for word in words {
            let is_read = match key.name {
                "check" => from_word::<CheckUse>(word).is_some(),
                "resolv-conf" => from_word::<ResolvConfMode>(word).is_some(),
                "selection" => from_word::<Selection>(word).is_some(),
                "dnssec" => from_word::<DnssecMode>(word).is_some(),
                "recursion" => from_word::<RecursionMode>(word).is_some(),
                "mdns" => from_word::<MdnsMode>(word).is_some(),
                "llmnr" => from_word::<LlmnrMode>(word).is_some(),
                "transport" if key.section == Section::Listeners => {
                    from_word::<Transport>(word).is_some()
                }
                "stub" => from_word::<ListenerStub>(word).is_some(),
                "transport" => from_word::<TransportFloor>(word).is_some(),
                "manage" => from_word::<Manage>(word).is_some(),
                "stop" => from_word::<StopUse>(word).is_some(),
                "default" => from_word::<DefaultUse>(word).is_some(),
                "when-down" => from_word::<WhenDown>(word).is_some(),
                "messages" => from_word::<TapMessages>(word).is_some(),
                "queries" => from_word::<LoggedQueries>(word).is_some(),
                "format" => from_word::<ListFormat>(word).is_some(),
                "action" => from_word::<BlockAction>(word).is_some(),
                "error" => from_word::<BlockError>(word).is_some(),
                "kind" if key.section == Section::Routes => from_word::<RouteKind>(word).is_some(),
                "kind" if key.section == Section::Rules => {
                    ["table", "nothing"].contains(word) || from_word::<RouteKind>(word).is_some()
                }
                "conflicts" => from_word::<ConflictUse>(word).is_some(),
                "scope" => from_word::<AddressScope>(word).is_some(),
                "family" => ["both", "ipv4", "ipv6"].contains(word),
                "privacy" => from_word::<Privacy>(word).is_some(),
                "ipv4ll" => from_word::<Ipv4llMode>(word).is_some(),
                "default-route" => from_word::<DefaultRouteUse>(word).is_some(),
                "when" => from_word::<Dhcp6When>(word).is_some(),
                "bootp" => from_word::<BootpUse>(word).is_some(),
                "dns-update" => from_word::<DnsUpdate>(word).is_some(),
                "duplex" => ["half", "full"].contains(word),
                "kind" => crate::kind::LinkKind::of(word).is_some(),
                other => panic!("{other} is a choice that nothing reads"),
            };
            assert!(is_read, "{} = {word}", key.name);
        }
    }
}
