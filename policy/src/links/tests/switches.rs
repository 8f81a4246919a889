//! Every switch, on and off, as an administrator writes it.

use config::layer::{Layer, LayerKind, Origin, Rank};

use super::*;

const WIRED: &str = include_str!("../../../../dist/profiles/zz-wired.toml");
const PAGE: &str = include_str!("../../../../docs/links.md");

fn file(rank: Rank, path: &str, text: &str) -> Layer {
    Layer {
        origin: Origin {
            rank,
            path: path.into(),
        },
        text: text.to_owned(),
        kind: LayerKind::of(path).unwrap(),
    }
}

/// Main settings and one profile of the administrator beside what the package has; no mistakes.
fn written(main: &str, profile: &str) -> Config {
    let loaded = config::load(&[
        file(Rank::Vendor, "profiles/zz-wired.toml", WIRED),
        file(Rank::Admin, "linnet.toml", main),
        file(Rank::Admin, "profiles/server.toml", profile),
    ]);
    assert_eq!(loaded.diagnostics, []);
    loaded.config
}

const SERVER: &str = "match = { name = \"eth0\" }\naddresses = [\"192.0.2.10/24\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";

fn text(config: &Config, facts: &Facts) -> String {
    plan(config, facts).links.to_string()
}

#[test]
fn profiles_of_the_package_are_files_that_can_be_taken_away() {
    let facts = one_link();
    let on = config::load(&[file(Rank::Vendor, "profiles/zz-wired.toml", WIRED)]);
    assert_eq!(on.diagnostics, []);
    let plan = links(&on.config, &facts);
    let clients = &plan.links[&id(2)].clients;
    assert!(clients.dhcp4.is_some() && clients.dhcp6.is_some() && clients.ra.is_some());
    let off = config::load(&[
        file(Rank::Vendor, "profiles/zz-wired.toml", WIRED),
        file(Rank::Admin, "profiles/zz-wired.toml", ""),
    ]);
    assert_eq!(off.diagnostics, []);
    assert_eq!(links(&off.config, &facts), LinksPlan::default());
    let own = links(&written("", SERVER), &facts);
    assert_eq!(
        own.links[&id(2)].profile.to_string(),
        "server",
        "one's own comes first"
    );
}

#[test]
fn default_routes_can_be_left_to_others() {
    let facts = one_link();
    assert!(text(&written("", SERVER), &facts).contains("route 0.0.0.0/0"));
    let off = text(&written("[links]\ndefault-route = false\n", SERVER), &facts);
    assert!(
        off.contains("192.0.2.10/24") && !off.contains("route 0.0.0.0/0"),
        "{off}"
    );
    let leased = with([(Supplier::Dhcp4, lease())]);
    let never = "match = { name = \"eth0\" }\ndhcp4 = true\ndefault-route = \"never\"\n";
    let never = text(&written("", never), &leased);
    assert!(
        never.contains("192.0.2.10/24") && !never.contains("route 0.0.0.0/0"),
        "{never}"
    );
}

#[test]
fn the_carrier_can_be_ignored() {
    let mut facts = with([(Supplier::Dhcp4, lease())]);
    facts.links.get_mut(&id(2)).unwrap().up = false;
    facts.down_since.insert(id(2), at(1));
    let leased = "match = { name = \"eth0\" }\ndhcp4 = true\n";
    let on = text(&written("", leased), &facts);
    assert!(!on.contains("192.0.2.10/24"), "{on}");
    let off = text(&written("[links]\ncarrier = false\n", leased), &facts);
    assert!(off.contains("192.0.2.10/24"), "{off}");
    let own = format!("{leased}[carrier]\nsupplied = \"0s\"\n");
    let own = text(&written("[links]\ncarrier = false\n", &own), &facts);
    assert!(
        !own.contains("192.0.2.10/24"),
        "the profile's word counts: {own}"
    );
}

#[test]
fn links_can_be_observed_only_and_set_up_by_hand() {
    let facts = one_link();
    let none = written("[links]\nmanage = \"none\"\n", SERVER);
    assert_eq!(links(&none, &facts).links.len(), 0);
    let manual = written("", &format!("autoconnect = false\n{SERVER}"));
    assert_eq!(links(&manual, &facts).links.len(), 0);
    let mut told = facts;
    told.told.insert(id(2), Told::Up);
    assert_eq!(links(&manual, &told).links.len(), 1);
}

#[test]
fn resolv_conf_is_nobodys_unless_somebody_says_so() {
    let facts = one_link();
    assert_eq!(plan(&written("", SERVER), &facts).resolv_conf, None);
    let stub = written("[resolver]\nresolv-conf = \"stub\"\n", SERVER);
    assert!(plan(&stub, &facts).resolv_conf.is_some());
}

#[test]
fn the_page_shows_the_metrics_that_hold() {
    let lines = PAGE.lines().filter_map(|line| {
        let (kinds, metric) = line
            .strip_prefix("| ")?
            .strip_suffix(" |")?
            .split_once(" | ")?;
        Some((kinds, metric.parse::<u32>().ok()?))
    });
    let mut shown = 0;
    for (kinds, metric) in lines {
        for kind in kinds.split(", ") {
            shown += 1;
            assert_eq!(super::super::usual_metric(kind), metric, "{kind}");
        }
    }
    assert!(shown > 25, "{shown}");
}
