//! Records of profiles: when do they hold, and for which names?

use super::world::{HOME, OFFICE, PLAIN, World};
use crate::event::Stub;

/// The office's profile, with records for names that it claims, that nobody claims, and that another claims.
const OFFICE_RECORDS: &str = "match = { name = \"vpn*\" }
[dns]
upstreams = [\"10.8.0.1\"]
claims = [\"corp.test\"]
search = [\"corp.test\"]
[[records]]
name = \"door.corp.test\"
type = \"A\"
data = \"10.8.0.7\"
reverse = true
[[records]]
name = \"door.free.test\"
type = \"A\"
data = \"10.8.0.8\"
[[records]]
name = \"door.lab.test\"
type = \"A\"
data = \"10.8.0.9\"
";

/// The profile of the link at home, which has a record of the same name.
const HOME_RECORDS: &str = "match = { name = \"home*\" }
[dns]
upstreams = [\"192.0.2.53\"]
[[records]]
name = \"door.free.test\"
type = \"A\"
data = \"192.0.2.8\"
";

fn world(main: &str, profiles: &[(&str, &str)]) -> World {
    let mut world = World::with(&format!("{PLAIN}{main}"), profiles);
    world.resolver.apply_records(&world.config);
    world
}

fn address(world: &mut World, name: &str) -> Vec<String> {
    let answers = world.ask(&format!("{name} A")).answers;
    answers
        .iter()
        .filter_map(|row| row.split(' ').next_back().map(str::to_owned))
        .collect()
}

#[test]
fn records_of_a_profile_hold_while_its_link_is_up_and_leave_what_others_claim() {
    let mut world = world("", &[("office", OFFICE_RECORDS)]);
    world
        .server(HOME)
        .answers("door.free.test A", &["door.free.test 300 A 192.0.2.1"]);
    world
        .server(super::world::LAB)
        .answers("door.lab.test A", &["door.lab.test 300 A 10.9.0.1"]);
    world
        .server(OFFICE)
        .answers("www.corp.test A", &["www.corp.test 300 A 10.8.0.80"]);
    assert_eq!(address(&mut world, "door.corp.test"), ["10.8.0.7"]);
    assert_eq!(address(&mut world, "door.free.test"), ["10.8.0.8"]);
    assert_eq!(
        world.ask("7.0.8.10.in-addr.arpa PTR").answers,
        ["7.0.8.10.in-addr.arpa 60 PTR door.corp.test"]
    );
    assert_eq!(world.take_sent(), [""; 0]);
    assert_eq!(address(&mut world, "door.lab.test"), ["10.9.0.1"]);
    assert_eq!(address(&mut world, "www.corp.test"), ["10.8.0.80"]);
    let why = |world: &World, name: &str| {
        let told = world.resolver.why_recorded(&name.parse().unwrap());
        told.map(|reason| reason.text)
    };
    assert_eq!(
        why(&world, "door.free.test").unwrap(),
        "profile office has a record for door.free.test, and one of its links is up"
    );
    assert_eq!(why(&world, "door.lab.test"), None);

    // The link goes: what it claims is refused, what nobody claims is asked; the next question knows.
    world.switch("vpn0", false);
    assert_eq!(world.ask("door.corp.test A").rcode, 5);
    assert_eq!(address(&mut world, "door.free.test"), ["192.0.2.1"]);
    assert_eq!(address(&mut world, "door.free.test"), ["192.0.2.1"]);
    assert_eq!(why(&world, "door.free.test"), None);
    // It comes back: an answer from the cache does not hide the record.
    world.switch("vpn0", true);
    assert_eq!(address(&mut world, "door.free.test"), ["10.8.0.8"]);
    assert_eq!(address(&mut world, "door.corp.test"), ["10.8.0.7"]);
}

#[test]
fn the_machines_own_records_come_first_and_then_the_best_links() {
    let profiles = [("office", OFFICE_RECORDS), ("home", HOME_RECORDS)];
    let mut both = world("", &profiles);
    assert_eq!(
        address(&mut both, "door.free.test"),
        ["192.0.2.8"],
        "the link with the default route"
    );
    both.switch("home0", false);
    assert_eq!(address(&mut both, "door.free.test"), ["10.8.0.8"]);
    let own = "[[records]]\nname = \"door.free.test\"\ntype = \"A\"\ndata = \"192.0.2.99\"\n";
    let mut all = world(own, &profiles);
    assert_eq!(address(&mut all, "door.free.test"), ["192.0.2.99"]);
}

#[test]
fn a_full_tunnel_takes_names_from_the_records_of_other_profiles() {
    let tunnel = OFFICE_RECORDS.replace("claims = [\"corp.test\"]", "default = \"exclusive\"");
    let mut world = world("", &[("office", &tunnel), ("home", HOME_RECORDS)]);
    assert_eq!(address(&mut world, "door.free.test"), ["10.8.0.8"]);
}

#[test]
fn a_profile_without_links_always_has_its_records_and_the_bypass_has_none() {
    let names = "[[records]]\nname = \"door.free.test\"\ntype = \"A\"\ndata = \"192.0.2.77\"\n";
    let mut world = world("", &[("names", names)]);
    assert_eq!(address(&mut world, "door.free.test"), ["192.0.2.77"]);
    world
        .server(HOME)
        .answers("door.free.test A", &["door.free.test 300 A 192.0.2.1"]);
    let ask = super::message::Ask {
        stub: Stub::Bypass,
        ..super::message::asked("door.free.test A")
    };
    assert_eq!(
        world.ask_as(&ask).answers,
        ["door.free.test 300 A 192.0.2.1"]
    );
}
