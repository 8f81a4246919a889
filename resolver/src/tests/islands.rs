//! Does a private zone under a signed public name resolve, and does it validate where it can?

use super::message::{Ask, asked};
use super::signed::{Zone, world_with};
use super::world::{HOME, OFFICE};
use crate::wire::rcode;

const AD: u16 = 0x20;
const FULL: &str = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\ndefault = \"exclusive\"\nclaims = [\"corp.test\"]\n";

fn signed(question: &str) -> Ask {
    Ask {
        dnssec_ok: true,
        ..asked(question)
    }
}

#[test]
fn an_island_validates_where_its_public_parent_may_be_asked_and_is_unsigned_otherwise() {
    for mode in ["enforce", "auto"] {
        let zones = [Zone::new("test")];
        // The same server, so that what the parent signs can be told from what it does not.
        let mut world = world_with(mode, &[("office", FULL)], &zones);
        zones[0].serve(&mut world, "www.corp.test", true);
        zones[0].serve(&mut world, "www.test", true);
        let rows = ["git.corp.test. 60 A 10.8.0.80"];
        world.server(HOME).answers("git.corp.test A", &rows);
        let seen = world.ask_as(&signed("www.corp.test A"));
        assert_eq!(
            (seen.rcode, seen.flags & AD),
            (rcode::NOERROR, AD),
            "{mode}"
        );
        let seen = world.ask_as(&signed("git.corp.test A"));
        assert_eq!(
            seen.codes(),
            (rcode::NOERROR, None),
            "{mode}: {}",
            seen.why()
        );
        assert_eq!((seen.flags & AD, seen.answers.len()), (0, 1));
        let seen = world.ask_as(&signed("nothing.corp.test A"));
        assert_eq!(
            seen.codes(),
            (rcode::NXDOMAIN, None),
            "{mode}: {}",
            seen.why()
        );
    }
}

#[test]
fn an_island_in_a_scope_of_its_own_is_unsigned_and_asks_nothing_of_its_parent() {
    let zones = [Zone::new("test")];
    let mut world = world_with("enforce", &[], &zones);
    let rows = ["git.corp.test. 60 A 10.8.0.80"];
    world.server(OFFICE).answers("git.corp.test A", &rows);
    world.take_sent();
    let seen = world.ask_as(&signed("git.corp.test A"));
    assert_eq!(seen.codes(), (rcode::NOERROR, None), "{}", seen.why());
    assert_eq!(world.take_sent(), ["10.8.0.1 git.corp.test A"]);
}
