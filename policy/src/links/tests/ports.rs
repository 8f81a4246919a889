//! What is wanted of a link that is a port of another.

use std::num::NonZeroU32;

use config::layer::{Layer, LayerKind, Origin, Rank, load};

use super::*;

pub(super) fn read(files: &[(&str, &str)]) -> Config {
    let layers = files.iter().map(|(path, text)| Layer {
        origin: Origin {
            rank: Rank::Admin,
            path: (*path).into(),
        },
        kind: LayerKind::of(path).unwrap(),
        text: (*text).to_owned(),
    });
    let loaded = load(&layers.collect::<Vec<_>>());
    assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
    loaded.config
}

const BRIDGE: (&str, &str) = (
    "profiles/br.toml",
    "addresses = [\"192.0.2.1/24\"]\n[link]\nname = \"br0\"\nkind = \"bridge\"\nports = [\"eth0\"]\n",
);
const ETHERNET: (&str, &str) = (
    "profiles/eth.toml",
    "match = { kind = \"ethernet\" }\ndhcp4 = true\nmtu = 1400\n",
);

/// A bridge or VRF, eth0 as its port, eth1 as nobody's.
fn joined(kind: &str) -> Facts {
    let mut facts = one_link();
    link(&mut facts, 3, "eth1", "ethernet");
    link(&mut facts, 9, "br0", kind);
    facts.links.get_mut(&id(2)).unwrap().port_of = NonZeroU32::new(9);
    facts
}

fn text(files: &[(&str, &str)], facts: &Facts) -> String {
    links(&read(files), facts).to_string()
}

#[test]
fn a_port_of_a_made_link_is_up_and_no_more() {
    let plan = text(&[BRIDGE], &joined("bridge"));
    assert!(
        plan.contains("link eth0 by profile br: up\nlink br0"),
        "{plan}"
    );
    assert!(!plan.contains("link eth1"), "{plan}");
    let mut apart = joined("bridge");
    apart.links.get_mut(&id(2)).unwrap().port_of = None;
    let plan = text(&[BRIDGE], &apart);
    assert!(!plan.contains("link eth0"), "not before it is one: {plan}");
    let mut told = joined("bridge");
    told.told.insert(id(2), Told::Release);
    let plan = text(&[BRIDGE], &told);
    assert!(
        !plan.contains("link eth0"),
        "nor when it is released: {plan}"
    );
}

#[test]
fn a_port_has_no_clients_and_somebody_is_told() {
    let facts = joined("bridge");
    let plan = text(&[BRIDGE, ETHERNET], &facts);
    assert!(
        plan.contains("link eth0 by profile eth: up\n  mtu 1400\nlink"),
        "{plan}"
    );
    assert!(
        plan.contains("link eth1 by profile eth: up\n  mtu 1400\n  clients: DHCPv4"),
        "{plan}"
    );
    let notes = &crate::plan(&read(&[BRIDGE, ETHERNET]), &facts).dns.notes;
    let told = notes
        .iter()
        .any(|note| note.text.starts_with("eth0 is a port of br0: "));
    assert!(told, "{notes:?}");
}

#[test]
fn a_port_hears_switches_when_its_own_profile_or_that_of_what_it_is_a_port_of_says_so() {
    let listening = (
        "profiles/eth.toml",
        "match = { name = \"eth0\" }\nlldp = true\n",
    );
    let plan = text(&[listening], &joined("bridge"));
    let expected = "link eth0 by profile eth: up\n  clients: LLDP";
    assert!(plan.contains(expected), "alone is enough: {plan}");
    let bridge = (BRIDGE.0, format!("lldp = true\n{}", BRIDGE.1));
    let plan = text(&[(bridge.0, &bridge.1)], &joined("bridge"));
    let expected = "link eth0 by profile br: up\n  clients: LLDP";
    assert!(plan.contains(expected), "{plan}");
}

#[test]
fn a_port_of_a_vrf_keeps_its_addresses() {
    let plan = text(&[ETHERNET], &joined("vrf"));
    assert!(
        plan.contains("link eth0 by profile eth: up\n  mtu 1400\n  clients: DHCPv4"),
        "{plan}"
    );
}
