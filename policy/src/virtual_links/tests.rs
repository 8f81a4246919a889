//! What is made, changed and removed, and in which order? Rows, and a kernel in a map that does what it is told.

use config::Config;
use config::model::Manage;

use crate::facts::{Facts, Told};
use config::layer::{Layer, LayerKind, Origin, Rank, load};

use super::*;

mod foreign;

fn config(profiles: &[&str]) -> Config {
    let layers: Vec<Layer> = profiles
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let path = format!("profiles/p{at}.toml");
            Layer {
                origin: Origin {
                    rank: Rank::Admin,
                    path: path.as_str().into(),
                },
                text: format!("[link]\n{text}"),
                kind: LayerKind::of(&path).unwrap(),
            }
        })
        .collect();
    let loaded = load(&layers);
    assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
    loaded.config
}

/// A kernel that does what it is told, and a journal that writes it down.
#[derive(Default, Clone)]
struct World {
    present: BTreeMap<Arc<str>, PresentLink>,
    ours: OwnLinks,
    indexes: u32,
}

impl World {
    fn with(names: &[&str]) -> Self {
        let mut world = Self::default();
        for name in names {
            world.add(name, PresentLink::default());
        }
        world
    }

    fn add(&mut self, name: &str, link: PresentLink) -> u32 {
        self.indexes += 1;
        let index = self.indexes;
        self.present
            .insert(name.into(), PresentLink { index, ..link });
        index
    }

    fn apply(&mut self, profiles: &[&str]) -> LinkChanges {
        let changes = self.changes(profiles);
        for change in &changes.changes {
            self.perform(change);
        }
        assert_eq!(
            self.ours.owed,
            BTreeMap::new(),
            "somebody else's ports stay"
        );
        assert_eq!(self.ours.owed_up, BTreeSet::new(), "what was up is up");
        changes
    }

    fn changes(&self, profiles: &[&str]) -> LinkChanges {
        changes(
            &wanted(&config(profiles), &Facts::default()),
            &Spared::default(),
            &self.present,
            &self.ours,
        )
    }

    fn link(&mut self, name: &Arc<str>) -> &mut PresentLink {
        self.present
            .get_mut(name)
            .unwrap_or_else(|| panic!("{name} is there"))
    }

    fn perform(&mut self, change: &LinkChange) {
        match change {
            LinkChange::Make(wanted) => {
                let link = &wanted.link;
                assert!(!self.present.contains_key(&link.name), "{}", link.name);
                if let Some(parent) = &link.parent {
                    assert!(self.present.contains_key(parent), "{parent} comes first");
                }
                let made = PresentLink {
                    kind: Some(link.kind),
                    parent: link.parent.clone().or_else(|| link.peer.clone()),
                    attributes: link.attributes.clone(),
                    ..PresentLink::default()
                };
                let index = self.add(&link.name, made);
                self.ours.made.insert(link.name.clone(), index);
                for key in link.attributes.keys() {
                    self.ours.set.insert((link.name.clone(), Scope::Link, key));
                }
                if let Some(peer) = &link.peer {
                    let kind = Some(link.kind);
                    let index = self.add(
                        peer,
                        PresentLink {
                            kind,
                            ..PresentLink::default()
                        },
                    );
                    self.ours.made.insert(peer.clone(), index);
                }
            }
            LinkChange::Remove(name) => {
                let held = self.present.remove(name).unwrap();
                assert_eq!(
                    self.ours.made.remove(name),
                    Some(held.index),
                    "{name} is ours"
                );
                let upper = self
                    .present
                    .values()
                    .find(|link| link.parent.as_ref() == Some(name));
                assert_eq!(upper, None, "nothing stands on {name}");
                for link in self.present.values_mut() {
                    link.port_of = link.port_of.take().filter(|of| of != name);
                }
            }
            LinkChange::SetUp(name, up) => {
                let link = self.link(name);
                link.up = *up;
                let index = link.index;
                self.ours.owed_up.retain(|owed| *owed != index);
                self.ours.owed_up.extend((!up).then_some(index));
            }
            LinkChange::Set {
                name,
                kind,
                attributes,
                ..
            } => {
                let (name, attributes) = (name.clone(), attributes.clone());
                for (key, value) in attributes {
                    let change = kind.attribute(key).unwrap().change;
                    let link = self.link(&name);
                    assert!(change < Change::Anew || link.attributes.get(key) == Some(&value));
                    assert!(change < Change::Down || !link.up, "{key} while up");
                    link.attributes.insert(key, value);
                    self.ours.set.insert((name.clone(), Scope::Link, key));
                }
            }
            LinkChange::Join { port, of } => {
                let downs = self.present[of].kind.is_some_and(|kind| kind.joins_down);
                let link = self.link(port);
                assert!(!downs || !link.up, "{port} joins while it is up");
                link.port_of = Some(of.clone());
                link.port_attributes.clear();
                self.ours.joined.insert((port.clone(), of.clone()));
            }
            LinkChange::Rejoin { port, of } => {
                let of_index = self.link(of).index;
                let link = self.link(port);
                assert_eq!(link.port_of.replace(of.clone()), None, "{port}");
                let port_index = link.index;
                let owed = self.ours.owed.remove(&port_index);
                assert_eq!(owed, Some(of_index), "{port}");
            }
            LinkChange::Leave(port) => {
                let of = self.link(port).port_of.take().unwrap();
                self.link(port).vlans.clear();
                if !self.ours.joined.remove(&(port.clone(), of.clone())) {
                    let indexes = (self.link(port).index, self.link(&of).index);
                    self.ours.owed.extend([indexes]);
                }
            }
            LinkChange::SetPort {
                port, attributes, ..
            } => {
                self.link(port).port_attributes.extend(attributes.clone());
                for key in attributes.keys() {
                    self.ours.set.insert((port.clone(), Scope::Port, key));
                }
            }
            LinkChange::AddVlans(name, vlans) => {
                self.link(name).vlans.extend(vlans.clone());
                self.ours
                    .vlans
                    .extend(vlans.keys().map(|vlan| (name.clone(), *vlan)));
            }
            LinkChange::RemoveVlans(name, vlans) => {
                let link = self.link(name);
                link.vlans.retain(|vlan, _| !vlans.contains(vlan));
            }
        }
    }
}

const BRIDGE: &str =
    "name = \"br0\"\nkind = \"bridge\"\nports = [\"lan1\", \"bond0\"]\nstp = true\n";
const BOND: &str = "name = \"bond0\"\nkind = \"bond\"\nmode = \"active-backup\"\nmii-interval = \"100ms\"\nports = [\"wan1\"]\n";
const VLAN: &str = "name = \"a-vlan\"\nkind = \"vlan\"\nparent = \"br0\"\nid = 5\n";

fn names(changes: &LinkChanges) -> Vec<String> {
    let one = |change: &LinkChange| match change {
        LinkChange::Make(wanted) => format!("make {}", wanted.link.name),
        LinkChange::Remove(name) => format!("remove {name}"),
        LinkChange::SetUp(name, up) => format!("{} {name}", if *up { "up" } else { "down" }),
        LinkChange::Set {
            name, attributes, ..
        } => {
            let keys: Vec<&str> = attributes.keys().copied().collect();
            format!("set {name} {}", keys.join(" "))
        }
        LinkChange::Join { port, of } => format!("join {port} {of}"),
        LinkChange::Rejoin { port, of } => format!("rejoin {port} {of}"),
        LinkChange::Leave(port) => format!("leave {port}"),
        LinkChange::SetPort { port, .. } => format!("set-port {port}"),
        LinkChange::AddVlans(name, _) => format!("vlans {name}"),
        LinkChange::RemoveVlans(name, _) => format!("no-vlans {name}"),
    };
    changes.changes.iter().map(one).collect()
}

#[test]
fn links_are_made_in_the_order_in_which_they_stand_on_each_other() {
    let mut world = World::with(&["lan1", "wan1"]);
    world.link(&"wan1".into()).up = true;
    // The profiles come in another order.
    let profiles = [VLAN, BRIDGE, BOND];
    let done = world.apply(&profiles);
    assert_eq!(
        names(&done),
        [
            "make bond0",
            "make br0",
            "make a-vlan",
            "down wan1",
            "join wan1 bond0",
            "up wan1",
            "join bond0 br0",
            "join lan1 br0",
        ]
    );
    assert_eq!(
        world.changes(&profiles),
        LinkChanges::default(),
        "twice changes nothing"
    );
}

#[test]
fn what_is_wanted_no_more_goes_from_the_top_down() {
    let mut world = World::with(&["lan1", "wan1"]);
    world.apply(&[VLAN, BRIDGE, BOND]);
    let done = world.apply(&[]);
    assert_eq!(
        names(&done),
        ["remove a-vlan", "remove bond0", "remove br0"]
    );
    assert_eq!(world.present.len(), 2);
}

#[test]
fn what_the_journal_does_not_prove_ours_stays() {
    let mut world = World::with(&["lan1", "wan1"]);
    let bridge = PresentLink {
        kind: LinkKind::of("bridge"),
        ..PresentLink::default()
    };
    world.add("br0", bridge.clone());
    let docker = PresentLink {
        port_of: Some("br0".into()),
        ..PresentLink::default()
    };
    world.add("veth-docker", docker);
    let done = world.apply(&[BRIDGE]);
    assert_eq!(
        names(&done),
        ["set br0 stp", "join lan1 br0"],
        "it is taken as it is"
    );
    let done = world.apply(&["name = \"br0\"\nkind = \"bridge\"\n"]);
    assert_eq!(
        names(&done),
        ["set br0 stp", "leave lan1"],
        "what we set and joined goes back"
    );
    assert_eq!(
        world.apply(&[]),
        LinkChanges::default(),
        "it is not ours to remove"
    );
    // A link of the same name that was made after ours was gone.
    world.apply(&[BRIDGE, "name = \"d0\"\nkind = \"dummy\"\n"]);
    world.present.remove("d0");
    world.add(
        "d0",
        PresentLink {
            kind: LinkKind::of("dummy"),
            ..PresentLink::default()
        },
    );
    assert_eq!(names(&world.changes(&[BRIDGE])), Vec::<String>::new());
}

/// At a start there is no older version of a profile that cannot be read.
#[test]
fn a_profile_that_cannot_be_read_costs_none_of_the_links_that_were_made() {
    let mut world = World::with(&["eth0", "eth1"]);
    world.apply(&[BRIDGE]);
    let change = |config: &Config| {
        let spared = Spared::of(config, &Facts::default());
        changes(&[], &spared, &world.present, &world.ours)
    };
    assert_ne!(change(&config(&[])).changes, []);
    let mut broken = config(&[]);
    broken.broken.insert(ProfileId("b".into()), None);
    let LinkChanges { changes, notes } = change(&broken);
    assert_eq!(changes, []);
    assert_eq!(notes, [LinkNote::Spared("br0".into())].into());
    // What is taken down by command goes all the same: its profile can be read.
    let mut told = config(&[BRIDGE]);
    told.broken = broken.broken;
    assert_ne!(change(&told).changes, []);
}

#[test]
fn a_foreign_link_of_another_kind_or_that_needs_making_anew_is_left_and_told_of() {
    let mut world = World::with(&["br0"]);
    let done = world.apply(&[BRIDGE]);
    assert_eq!(names(&done), Vec::<String>::new());
    assert_eq!(done.notes, [LinkNote::Foreign("br0".into())].into());
    let mut world = World::with(&["up0"]);
    let vlan = PresentLink {
        kind: LinkKind::of("vlan"),
        parent: Some("up0".into()),
        attributes: [("id", Value::Number(7))].into(),
        ..PresentLink::default()
    };
    world.add("v0", vlan);
    let wanted = "name = \"v0\"\nkind = \"vlan\"\nparent = \"up0\"\nid = 8\ngvrp = true\n";
    let done = world.apply(&[wanted]);
    assert_eq!(names(&done), ["set v0 gvrp"]);
    assert_eq!(done.notes, [LinkNote::NotAnew("v0".into(), "id")].into());
}

#[test]
fn what_cannot_change_is_made_anew_with_all_that_stands_on_it() {
    let mut world = World::with(&["up0"]);
    let vlan = |id: u8| format!("name = \"v0\"\nkind = \"vlan\"\nparent = \"up0\"\nid = {id}\n");
    let upper = "name = \"v0.9\"\nkind = \"vlan\"\nparent = \"v0\"\nid = 9\n";
    world.apply(&[&vlan(7), upper]);
    let done = world.apply(&[&vlan(8), upper]);
    assert_eq!(
        names(&done),
        ["remove v0.9", "remove v0", "make v0", "make v0.9"]
    );
    let done = world.apply(&[&vlan(8).replace("up0", "v1"), upper]);
    let waits = LinkNote::Waits {
        name: "v0".into(),
        below: "v1".into(),
    };
    assert!(done.notes.contains(&waits), "{done:?}");
}

#[test]
fn a_bond_changes_its_mode_without_its_ports() {
    let mut world = World::with(&["wan1"]);
    world.apply(&[BOND]);
    world.link(&"bond0".into()).up = true;
    world.link(&"wan1".into()).up = true;
    let done = world.apply(&[&BOND.replace("active-backup", "802.3ad")]);
    assert_eq!(
        names(&done),
        [
            "leave wan1",
            "down bond0",
            "set bond0 mode",
            "up bond0",
            "down wan1",
            "join wan1 bond0",
            "up wan1"
        ]
    );
}

#[test]
fn a_tunnel_changes_as_a_whole() {
    let mut world = World::with(&["up0"]);
    let gre = "name = \"g0\"\nkind = \"gre\"\nparent = \"up0\"\nremote = \"192.0.2.2\"\nkey = 5\n";
    world.apply(&[gre]);
    let done = world.apply(&[&format!("{gre}tos = 4\n")]);
    assert_eq!(names(&done), ["set g0 key remote tos"]);
    let LinkChange::Set { parent, .. } = &done.changes[0] else {
        panic!("{done:?}");
    };
    assert_eq!(
        parent.as_deref(),
        Some("up0"),
        "or the kernel would forget it"
    );
    let done = world.apply(&[&gre.replace(".2\"", ".3\"")]);
    assert_eq!(names(&done), ["remove g0", "make g0"]);
}

#[test]
fn ports_join_when_they_come_and_vlans_go_when_they_are_ours() {
    let mut world = World::with(&[]);
    let text = "name = \"br0\"\nkind = \"bridge\"\nvlan-filtering = true\n[[ports]]\nname = \"lan1\"\ncost = 7\nvlans = [\"10-12\"]\n";
    assert_eq!(names(&world.apply(&[text])), ["make br0"]);
    world.add("lan1", PresentLink::default());
    assert_eq!(
        names(&world.apply(&[text])),
        ["join lan1 br0", "set-port lan1", "vlans lan1"]
    );
    // The bridge's own default, and one that somebody added by hand.
    world
        .link(&"lan1".into())
        .vlans
        .extend([(1, VlanUse::default()), (99, VlanUse::default())]);
    assert_eq!(world.apply(&[text]), LinkChanges::default());
    let done = world.apply(&[&text.replace("10-12", "10")]);
    assert_eq!(names(&done), ["no-vlans lan1"]);
    let left: Vec<u16> = world.present["lan1"].vlans.keys().copied().collect();
    assert_eq!(left, [1, 10, 99]);
}

#[test]
fn a_primary_is_named_when_it_is_there() {
    let mut world = World::with(&[]);
    let bond = format!("{BOND}primary = \"wan1\"\n");
    assert_eq!(names(&world.apply(&[&bond])), ["make bond0"]);
    assert!(!world.present["bond0"].attributes.contains_key("primary"));
    world.add("wan1", PresentLink::default());
    assert_eq!(
        names(&world.apply(&[&bond])),
        ["set bond0 primary", "join wan1 bond0"]
    );
}

#[test]
fn pairs_are_made_and_removed_once_and_nothing_is_done_when_links_are_not_managed() {
    let mut world = World::with(&[]);
    let pair = "name = \"p0\"\nkind = \"veth\"\npeer = \"p1\"\n";
    assert_eq!(names(&world.apply(&[pair])), ["make p0"]);
    assert_eq!(world.changes(&[pair]), LinkChanges::default());
    let mut config = config(&[pair]);
    config.links.manage = Manage::None;
    assert_eq!(wanted(&config, &Facts::default()), []);
}

#[test]
fn links_are_wanted_by_themselves_or_when_somebody_says_so() {
    let by_hand = config(&["name = \"br0\"\nkind = \"bridge\""]);
    let mut by_hand = by_hand;
    for profile in by_hand.profiles.values_mut() {
        profile.network.autoconnect = false;
    }
    let by_itself = config(&["name = \"br0\"\nkind = \"bridge\""]);
    let id = crate::LinkId { index: 7, birth: 1 };
    let br0 = crate::LinkFacts {
        name: "br0".into(),
        ..crate::LinkFacts::default()
    };
    // What was told, whether it is there; whether it is wanted by hand, and by itself.
    for (told, is_there, expected) in [
        (None, false, (false, true)),
        (None, true, (false, true)),
        (Some(Told::Up), false, (true, true)),
        (Some(Told::Up), true, (true, true)),
        (Some(Told::Down), false, (false, false)),
        (Some(Told::Down), true, (false, false)),
        (Some(Told::Release), false, (false, false)),
        (Some(Told::Release), true, (false, false)),
    ] {
        let mut facts = Facts::default();
        if is_there {
            facts.links.insert(id, br0.clone());
            facts.told.extend(told.map(|told| (id, told)));
        } else {
            facts
                .told_absent
                .extend(told.map(|told| ("br0".into(), told)));
        }
        let found = (
            !wanted(&by_hand, &facts).is_empty(),
            !wanted(&by_itself, &facts).is_empty(),
        );
        assert_eq!(found, expected, "{told:?}, there: {is_there}");
    }
}

#[test]
fn ports_and_vlans_are_let_go_where_the_bridge_stays() {
    let mut world = World::with(&["eth1", "eth2"]);
    let bridge = PresentLink {
        kind: LinkKind::of("bridge"),
        ..PresentLink::default()
    };
    world.add("br0", bridge);
    world.link(&"eth2".into()).port_of = Some("br0".into());
    let profile = "name = \"br0\"\nkind = \"bridge\"\nvlan-filtering = true\nvlans = [\"5\"]\n[[ports]]\nname = \"eth1\"\nvlans = [\"20\"]\n";
    world.apply(&[profile]);
    assert_eq!(world.link(&"eth1".into()).port_of, Some("br0".into()));
    let changes = world.apply(&[]).changes;
    let expected = [
        LinkChange::Leave("eth1".into()),
        LinkChange::RemoveVlans("br0".into(), vec![5]),
    ];
    assert_eq!(changes, expected, "one that somebody else joined stays");
    assert_eq!(world.changes(&[]).changes, []);
}

/// Returns what was told of these links, which are there.
fn released(names: &[&str]) -> Facts {
    let mut facts = Facts::default();
    for (index, name) in (1..).zip(names) {
        let id = crate::LinkId { index, birth: 1 };
        let link = crate::LinkFacts {
            name: (*name).into(),
            ..crate::LinkFacts::default()
        };
        facts.links.insert(id, link);
        facts.told.insert(id, Told::Release);
    }
    facts
}

#[test]
fn a_link_that_was_released_is_left_with_its_ports_and_what_it_stands_on() {
    let mut world = World::with(&["lan1", "wan1"]);
    world.apply(&[VLAN, BRIDGE, BOND]);
    let changes = |profiles: &[&str], facts: &Facts| {
        let config = config(profiles);
        let spared = Spared::of(&config, facts);
        changes(
            &wanted(&config, facts),
            &spared,
            &world.present,
            &world.ours,
        )
    };
    // Its attributes are somebody else's by now, and its profile wants others and no ports.
    let other = "name = \"br0\"\nkind = \"bridge\"\nstp = false\n";
    let done = changes(&[VLAN, other, BOND], &released(&["br0"]));
    assert_eq!(done, LinkChanges::default());
    // What carries one that was released stays, wanted or not.
    let done = changes(&[BOND], &released(&["a-vlan"]));
    assert_eq!(names(&done), Vec::<String>::new());
    let carries = LinkNote::Carries {
        name: "br0".into(),
        upper: "a-vlan".into(),
    };
    assert_eq!(done.notes, [carries].into());
    // A port stays where it is.
    let done = changes(&[VLAN, other, BOND], &released(&["lan1"]));
    assert_eq!(names(&done), ["set br0 stp", "leave bond0"]);
    // Both ends of a pair.
    let pair = "name = \"p0\"\nkind = \"veth\"\npeer = \"p1\"\n";
    let spared = Spared::of(&config(&[pair]), &released(&["p1"]));
    assert_eq!(spared.released().len(), 2);
}

/// The kernel takes away what stands on a link that goes.
#[test]
fn a_link_is_not_made_anew_below_one_whose_profile_cannot_be_read() {
    let mut world = World::with(&["up0"]);
    let vlan = |id: u8| format!("name = \"v0\"\nkind = \"vlan\"\nparent = \"up0\"\nid = {id}\n");
    let upper = "name = \"v0.9\"\nkind = \"vlan\"\nparent = \"v0\"\nid = 9\n";
    world.apply(&[&vlan(7), upper]);
    let mut broken = config(&[&vlan(8)]);
    broken.broken.insert(ProfileId("upper".into()), None);
    let facts = Facts::default();
    let spared = Spared::of(&broken, &facts);
    let wanted = wanted(&broken, &facts);
    let done = changes(&wanted, &spared, &world.present, &world.ours);
    assert_eq!(names(&done), Vec::<String>::new());
    assert_eq!(done.notes.len(), 2, "{done:?}");
}

#[test]
fn a_port_that_is_not_there_is_told_until_it_comes() {
    let mut world = World::with(&[]);
    let bridge = "name = \"br0\"\nkind = \"bridge\"\nports = [\"lan1\"]\n";
    let absent = LinkNote::PortAbsent {
        port: "lan1".into(),
        of: "br0".into(),
    };
    assert_eq!(world.apply(&[bridge]).notes, [absent].into());
    world.add("lan1", PresentLink::default());
    assert!(world.apply(&[bridge]).notes.is_empty());
}
