//! Does what others have made outlive what happens to links of ours?

use super::*;

/// The kernel takes away what stands on a link that goes.
#[test]
fn a_link_on_which_somebody_elses_stands_stays_as_it_is_until_that_goes() {
    let upper = |kind: &str, parent: &str| PresentLink {
        kind: LinkKind::of(kind),
        parent: Some(parent.into()),
        ..PresentLink::default()
    };
    let carries = |name: &str| LinkNote::CarriesForeign {
        name: name.into(),
        upper: "theirs".into(),
    };
    let bridge = "name = \"br0\"\nkind = \"bridge\"\nports = [\"lan1\"]\n";
    let vlan = |id: u8| format!("name = \"v0\"\nkind = \"vlan\"\nparent = \"br0\"\nid = {id}\n");
    // A kind that is not of the table may be anything.
    for kind in [
        "vlan", "macvlan", "macvtap", "ipvlan", "vxlan", "macsec", "hsr",
    ] {
        let mut world = World::with(&["lan1"]);
        world.apply(&[bridge, &vlan(7)]);
        world.add("theirs", upper(kind, "v0"));
        // Removed, made anew, made as something else: nothing of it is done, and the port stays where it is.
        let done = world.apply(&[]);
        assert_eq!(done.changes, [], "{kind}");
        assert_eq!(done.notes, [carries("br0"), carries("v0")].into());
        let done = world.apply(&[bridge, &vlan(8)]);
        assert_eq!((done.changes, done.notes), (vec![], [carries("v0")].into()));
        let bond = bridge.replace("kind = \"bridge\"", "kind = \"bond\"");
        let done = world.apply(&[&bond, &vlan(7)]);
        assert_eq!(
            (done.changes, done.notes),
            (vec![], [carries("br0")].into())
        );
        world.present.remove("theirs");
        assert_eq!(names(&world.apply(&[])), ["remove v0", "remove br0"]);
    }
    // What is bound to a link, or a port of it, is left by the kernel.
    let mut world = World::with(&[]);
    world.apply(&["name = \"br0\"\nkind = \"bridge\"\n"]);
    world.add("theirs", upper("gre", "br0"));
    let port = PresentLink {
        port_of: Some("br0".into()),
        ..PresentLink::default()
    };
    world.add("port", port);
    assert_eq!(names(&world.changes(&[])), ["remove br0"]);
    // Ends of a pair do not stand on each other, but what stands on one goes with the other.
    let mut world = World::with(&[]);
    world.apply(&["name = \"p0\"\nkind = \"veth\"\npeer = \"p1\"\n"]);
    world.link(&"p1".into()).parent = Some("p0".into());
    let renamed = world.present.remove("p1").unwrap();
    world.present.insert("theirs".into(), renamed);
    assert_eq!(names(&world.changes(&[])), ["remove p0"]);
    world.link(&"p0".into()).parent = Some("theirs".into());
    world.add("on-it", upper("macvlan", "theirs"));
    let done = world.changes(&[]);
    assert_eq!(done.changes, []);
    assert!(
        matches!(done.notes.first(), Some(LinkNote::CarriesForeign { upper, .. }) if **upper == *"on-it")
    );
}

#[test]
fn a_port_that_somebody_else_has_put_into_a_bond_is_theirs_when_its_mode_has_changed() {
    let mut world = World::with(&["wan1", "theirs"]);
    world.apply(&[BOND]);
    world.link(&"theirs".into()).port_of = Some("bond0".into());
    let other = BOND.replace("active-backup", "802.3ad");
    let done = world.apply(&[&other]);
    assert_eq!(
        names(&done),
        [
            "leave theirs",
            "leave wan1",
            "set bond0 mode",
            "rejoin theirs bond0",
            "join wan1 bond0"
        ]
    );
    let ours = ("wan1".into(), "bond0".into());
    assert_eq!(world.ours.joined, [ours].into());
    assert_eq!(world.apply(&[&other]), LinkChanges::default());
    // A port that a profile names as well stays that of who made it one.
    let named = other.replace("\"wan1\"", "\"wan1\", \"theirs\"");
    let named = named.replace("802.3ad", "balance-rr");
    world.apply(&[&named]);
    let none = named.replace("\"wan1\", \"theirs\"", "");
    assert_eq!(names(&world.apply(&[&none])), ["leave wan1"]);
}

/// Between any two changes linnetd may die, and what it has written down is all that is left of it.
#[test]
fn a_port_that_had_to_leave_comes_back_wherever_linnetd_was_interrupted_and_whatever_is_wanted_by_then()
 {
    let mut world = World::with(&["wan1", "theirs"]);
    world.apply(&[BOND]);
    for name in ["bond0", "theirs", "wan1"] {
        world.link(&name.into()).up = true;
    }
    world.link(&"theirs".into()).port_of = Some("bond0".into());
    let other = BOND.replace("active-backup", "802.3ad");
    let named = other.replace("\"wan1\"", "\"wan1\", \"theirs\"");
    let elsewhere = "name = \"br1\"\nkind = \"bridge\"\nports = [\"theirs\"]\n";
    let changes = world.changes(&[&other]).changes;
    let mut left = 0;
    for done in 0..changes.len() {
        for then in [&[BOND][..], &[&other], &[&named], &[BOND, elsewhere]] {
            let mut world = world.clone();
            changes[..done]
                .iter()
                .for_each(|change| world.perform(change));
            left += world.ours.owed.len();
            let told = world.apply(then);
            let theirs = world.present["theirs"].port_of.as_deref();
            assert_eq!(theirs, Some("bond0"), "{done}: {:?}", names(&told));
            let ours: Vec<_> = world.ours.joined.iter().map(|(port, _)| &**port).collect();
            assert_eq!(ours, ["wan1"], "it stays theirs");
            for name in ["bond0", "theirs", "wan1"] {
                assert!(world.present[name].up, "{done}: {name}");
            }
            assert_eq!(world.changes(then).changes, [], "{done}");
        }
    }
    assert!(left > 8, "{left}");
    // Nobody wants the bond any more, which somebody else has made.
    world.ours.made.clear();
    changes[..1].iter().for_each(|change| world.perform(change));
    assert_eq!(world.ours.owed.len(), 1);
    let mut elsewhere = world.clone();
    elsewhere.link(&"theirs".into()).port_of = Some("wan1".into());
    assert!(
        !names(&elsewhere.changes(&[]))
            .iter()
            .any(|it| it.starts_with("rejoin"))
    );
    assert_eq!(
        names(&world.apply(&[])),
        [
            "down theirs",
            "rejoin theirs bond0",
            "up theirs",
            "leave wan1"
        ]
    );
}

#[test]
fn what_is_owed_to_a_link_that_was_released_is_not_done_and_keeps_no_port_from_others() {
    let mut world = World::with(&["theirs"]);
    let bond = PresentLink {
        kind: LinkKind::of("bond"),
        ..PresentLink::default()
    };
    let bond = world.add("bond0", bond);
    let port = world.link(&"theirs".into()).index;
    world.ours.owed.extend([(port, bond)]);
    world.ours.owed_up.insert(bond);
    let elsewhere = "name = \"br1\"\nkind = \"bridge\"\nports = [\"theirs\"]\n";
    let changes = |profiles: &[&str], names: &[&str]| {
        let (config, facts) = (config(profiles), released(names));
        let spared = Spared::of(&config, &facts);
        let wanted = wanted(&config, &facts);
        changes(&wanted, &spared, &world.present, &world.ours)
    };
    assert_eq!(
        names(&changes(&[], &[])),
        ["rejoin theirs bond0", "up bond0"]
    );
    assert_eq!(names(&changes(&[], &["theirs"])), ["up bond0"]);
    let done = changes(&[], &["bond0"]);
    assert_eq!(done, LinkChanges::default());
    let done = changes(&[elsewhere], &["bond0"]);
    assert_eq!(done.notes, BTreeSet::new());
    assert_eq!(names(&done), ["make br1", "join theirs br1"]);
}

#[test]
fn a_port_that_is_somebody_elses_stays_there_and_ours_moves() {
    let mut world = World::with(&["lan1"]);
    let other = "name = \"br1\"\nkind = \"bridge\"\nports = [\"lan1\"]\n";
    world.apply(&["name = \"br0\"\nkind = \"bridge\"\n", other]);
    let done = world.apply(&[BRIDGE, "name = \"br1\"\nkind = \"bridge\"\n"]);
    assert!(
        names(&done).contains(&"join lan1 br0".to_owned()),
        "{done:?}"
    );
    world.ours.joined.clear();
    let done = world.apply(&["name = \"br0\"\nkind = \"bridge\"\n", other]);
    let taken = LinkNote::PortTaken {
        port: "lan1".into(),
        of: "br0".into(),
    };
    assert_eq!(done.notes, [taken].into());
}
