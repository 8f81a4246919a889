//! Which links get a hardware address that is made up, and which one.

use std::num::NonZeroU32;

use config::matcher::Mac;

use super::*;
use crate::facts::MadeMacs;

const FOUND: Mac = Mac([0, 0x53, 0, 0, 0, 1]);

fn mac(of: u8, index: u8) -> Mac {
    Mac([2, 0, 0, 0, of, index])
}

/// eth0 and eth1 with hardware addresses, wg0 without, and what this machine makes up for them.
fn facts() -> Facts {
    let mut facts = one_link();
    link(&mut facts, 3, "eth1", "ethernet");
    link(&mut facts, 4, "wg0", "wireguard");
    for (index, link) in (0..).zip(facts.links.values_mut()) {
        link.mac = (link.name.starts_with("eth")).then_some(FOUND);
        let macs = MadeMacs {
            stable: mac(1, index),
            random: mac(2, index),
        };
        facts.made_macs.insert(link.name.clone(), macs);
    }
    facts
}

fn macs(wanted: Option<MacUse>, facts: &Facts) -> [Option<Mac>; 3] {
    let network = NetworkSettings {
        mac: wanted,
        forwarding: Some(false),
        ..NetworkSettings::default()
    };
    let plan = links(&config([profile("a", "*", network)]), facts);
    [2, 3, 4].map(|index| plan.links[&id(index)].mac)
}

#[test]
fn each_link_of_a_profile_gets_the_address_that_is_made_up_for_its_name() {
    let given = mac(9, 9);
    let rows = [
        (None, [None; 3]),
        (Some(MacUse::Given(given)), [Some(given); 3]),
        (
            Some(MacUse::Stable),
            [Some(mac(1, 0)), Some(mac(1, 1)), None],
        ),
        (
            Some(MacUse::Random),
            [Some(mac(2, 0)), Some(mac(2, 1)), None],
        ),
    ];
    for (wanted, expected) in rows {
        assert_eq!(macs(wanted, &facts()), expected, "{wanted:?}");
    }
    let mut renamed = facts();
    renamed.links.get_mut(&id(2)).unwrap().name = "eth1".into();
    let [first, _, _] = macs(Some(MacUse::Stable), &renamed);
    assert_eq!(first, Some(mac(1, 1)), "the name decides");
}

#[test]
fn a_port_of_a_bond_keeps_what_the_bond_gives_it_and_one_of_a_bridge_has_its_own() {
    let given = mac(9, 9);
    for (kind, wanted, expected) in [
        ("bond", MacUse::Random, Some(FOUND)),
        ("team", MacUse::Stable, Some(FOUND)),
        ("bond", MacUse::Given(given), Some(given)),
        ("bridge", MacUse::Random, Some(mac(2, 0))),
        ("vrf", MacUse::Random, Some(mac(2, 0))),
    ] {
        let mut facts = facts();
        link(&mut facts, 9, "master0", kind);
        facts.links.get_mut(&id(2)).unwrap().port_of = NonZeroU32::new(9);
        let [port, other, _] = macs(Some(wanted), &facts);
        assert_eq!(port, expected, "{kind}, {wanted:?}");
        assert_ne!(other, Some(FOUND), "{kind}, {wanted:?}");
    }
}

#[test]
fn a_link_is_made_with_the_address_that_is_made_up_for_it() {
    let text = "match = { name = \"pair0\" }\nmac = \"stable\"\n[link]\nkind = \"veth\"\npeer = \"pair1\"\n";
    let config = ports::read(&[("profiles/pair.toml", text)]);
    let mut facts = facts();
    let made = |facts: &Facts| links(&config, facts).made[0].mac;
    assert_eq!(made(&facts), None, "nobody has made any up");
    let macs = MadeMacs {
        stable: mac(1, 7),
        random: mac(2, 7),
    };
    facts.made_macs.insert("pair0".into(), macs);
    assert_eq!(made(&facts), Some(mac(1, 7)));
}

#[test]
fn a_bridge_is_made_with_the_address_that_its_first_port_has_or_is_to_have() {
    let text = |kind: &str, head: &str| {
        format!(
            "{head}[link]\nname = \"br0\"\nkind = \"{kind}\"\nports = [\"eth0\", \"eth1\", \"wg0\"]\n"
        )
    };
    let made_with = |text: &str, port: &str, leaves: &[u32]| {
        let mut files = vec![("profiles/br0.toml", text)];
        if !port.is_empty() {
            files.push(("profiles/port.toml", port));
        }
        let mut facts = facts();
        facts.links.retain(|id, _| !leaves.contains(&id.index));
        for (last, link) in (1..).zip(facts.links.values_mut()) {
            link.mac = link.mac.map(|_| mac(3, last));
        }
        // A container's, which is less than all others.
        link(&mut facts, 9, "veth7", "veth");
        facts.links.get_mut(&id(9)).unwrap().mac = Some(Mac([2, 0, 0, 0, 0, 0]));
        links(&ports::read(&files), &facts).made[0].mac
    };
    let bridge = text("bridge", "");
    assert_eq!(made_with(&bridge, "", &[]), Some(mac(3, 1)));
    assert_eq!(made_with(&bridge, "", &[2]), Some(mac(3, 1)), "eth1");
    assert_eq!(made_with(&bridge, "", &[2, 3]), None);
    let hidden = "match = { name = \"eth0\" }\nmac = \"random\"\n";
    assert_eq!(made_with(&bridge, hidden, &[]), Some(mac(2, 0)));
    let said = text("bridge", "mac = \"02:00:00:00:00:77\"\n");
    let expected = Some(Mac([2, 0, 0, 0, 0, 0x77]));
    assert_eq!(made_with(&said, hidden, &[]), expected);
    assert_eq!(made_with(&text("bond", ""), hidden, &[]), None);
}

#[test]
fn what_a_bond_is_about_to_take_is_left_as_it_is() {
    let bond = "[link]\nname = \"bond0\"\nkind = \"bond\"\nports = [\"eth0\"]\n";
    let any = "match = { name = \"eth*\" }\nmac = \"random\"\n";
    let config = ports::read(&[("profiles/bond.toml", bond), ("profiles/eth.toml", any)]);
    let plan = links(&config, &facts());
    assert_eq!(plan.links[&id(2)].mac, Some(FOUND));
    assert_eq!(plan.links[&id(3)].mac, Some(mac(2, 1)));
}

#[test]
fn a_tunnel_is_made_without_an_address_that_is_made_up() {
    for (kind, more, expected) in [("dummy", "", true), ("xfrm", "id = 7\n", false)] {
        let text = format!("mac = \"stable\"\n[link]\nname = \"pair0\"\nkind = \"{kind}\"\n{more}");
        let mut facts = facts();
        let macs = MadeMacs {
            stable: mac(1, 7),
            random: mac(2, 7),
        };
        facts.made_macs.insert("pair0".into(), macs);
        let made = links(&ports::read(&[("profiles/made.toml", &text)]), &facts).made;
        assert_eq!(made[0].mac.is_some(), expected, "{kind}");
    }
}
