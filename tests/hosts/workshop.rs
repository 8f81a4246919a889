//! Worlds of a machine whose profiles make links: a bridge with a port, a pair, a link on it. Others take their names, or take them away, and
//! linnetd dies meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use linnet::config_dirs::{ConfigText, Kind};

use super::host::Host;
use super::story::{NAMELESS, file, main, tell};

const BRIDGE: &str = "addresses = [\"10.20.0.1/24\"]\n[link]\nname = \"br0\"\nkind = \"bridge\"\nports = [\"eth1\", \"inner0\"]\n";
const PAIR: &str = "[link]\nname = \"inner0\"\nkind = \"veth\"\npeer = \"outer0\"\n";
const UPPER: &str = "addresses = [\"10.21.0.1/24\"]\n[link]\nname = \"lan0\"\nkind = \"macvlan\"\nparent = \"outer0\"\n";
const OTHER: &str = "[link]\nname = \"br0\"\nkind = \"dummy\"\n";
/// Names that somebody else may want too.
const NAMES: [&str; 4] = ["br0", "inner0", "outer0", "lan0"];

/// Which profiles there are.
fn files(seed: u64, which: u64) -> Vec<ConfigText> {
    let texts: &[&str] = match which {
        0 => &[],
        1 => &[OTHER, PAIR],
        2 => &[PAIR, UPPER],
        _ => &[BRIDGE, PAIR, UPPER],
    };
    let mut files = vec![main(seed)];
    for (at, text) in texts.iter().enumerate() {
        files.push(file(Kind::Profile, &format!("profiles/p{at}.toml"), text));
    }
    files
}

fn machine(seed: u64) -> Host {
    let mut host = Host::new(seed, files(seed, 3));
    host.add_link(2, "eth1", "ethernet");
    host
}

/// Somebody else makes a link of a name that profiles want, unless it is there.
fn take_name(host: &mut Host, foreign: &mut BTreeMap<u32, String>) {
    let name = host.dice.of(&NAMES);
    let kind = host.dice.of(&["bridge", "veth", "macvlan"]);
    if host.index_of(name).is_none() {
        // As the kernel counts.
        let index = 10 + u32::try_from(foreign.len()).unwrap();
        host.add_link(index, name, kind);
        foreign.insert(index, name.to_owned());
    }
}

/// Somebody else takes a link away that a profile has made.
fn take_link(host: &mut Host) {
    let made: Vec<u32> = host.making.glass.made.iter().copied().collect();
    let there: Vec<u32> = made
        .into_iter()
        .filter(|index| host.kernel.links().contains_key(index))
        .collect();
    if !there.is_empty() {
        let index = host.dice.of(&there);
        host.remove_link(index);
    }
}

fn act(host: &mut Host) {
    let mut foreign = BTreeMap::new();
    let mut which = 3;
    host.faults.roll(&mut host.dice);
    host.start();
    for _ in 0..8 {
        match host.dice.below(8) {
            0..=3 => {
                which = host.dice.below(4);
                host.files = files(host.seed, which);
                host.reload();
            }
            4 => take_name(host, &mut foreign),
            5 => take_link(host),
            6 => {
                host.crash();
                let time = host.dice.millis(0, 15);
                host.run_for(time);
                take_name(host, &mut foreign);
            }
            _ => host.start(),
        }
        let time = host.dice.of(&[5, 20, 100, 5000]);
        let time = host.dice.millis(0, time);
        host.run_for(time);
    }
    host.calm_down();
    // Whoever died in the middle of a reload has read the new files.
    host.reload();
    host.run_for(Duration::from_secs(5));
    let wanted: &[&str] = match which {
        0 => &[],
        1 => &["br0", "inner0"],
        2 => &["inner0", "lan0"],
        _ => &["br0", "inner0", "lan0"],
    };
    for name in wanted {
        assert!(is_there(host, name), "{name} is not there");
    }
    let made = host.making.glass.made.clone();
    for name in NAMES {
        let index = host.index_of(name);
        let is_made = index.is_some_and(|index| made.contains(&index));
        let is_peer = name == "outer0" && which > 0;
        assert!(
            !is_made || is_peer || wanted.contains(&name),
            "{name} stays"
        );
    }
    host.end();
    match host.is_clean() {
        true => assert_eq!(host.making.glass.made, [].into(), "something is left"),
        false => assert_eq!(host.making.glass.made, made, "it was to stay"),
    }
    for (index, name) in &foreign {
        let there = host.kernel.links().get(index);
        assert_eq!(there.map(|link| link.name.to_string()), Some(name.clone()));
    }
    assert_eq!(host.index_of("eth1"), Some(2));
    let port = host.making.glass.links.get("eth1");
    let is_port = port.is_some_and(|port| port.port_of.is_some());
    assert!(!is_port || !host.is_clean(), "{port:?}");
}

/// Whether a link is there, or waits for one that somebody else's link keeps away.
fn is_there(host: &Host, name: &str) -> bool {
    let is_foreign = |name: &str| {
        let index = host.index_of(name);
        index.is_some_and(|index| !host.making.glass.made.contains(&index))
    };
    host.index_of(name).is_some()
        || ["inner0", "outer0"]
            .into_iter()
            .any(|end| is_foreign(end) || host.index_of(end).is_none())
}

#[test]
fn links_that_profiles_make_are_known_again() {
    tell(NAMELESS, 1000, act, machine);
}
