//! Questions for a tunnel's own sake: its default does not count, its claims and those of others do, by aliases too.

use super::message::asked;
use super::world::{HOME, LAB, OFFICE, Say, World};
use crate::wire::rcode;
use crate::{Below, ClientId, ClientQuery, GroupId};

const TUNNEL: &str = "match = { name = \"vpn0\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\ndefault = \"exclusive\"\n";
const MARK: u32 = 51_820;

fn world() -> World {
    let mut world = World::with("[resolver]\ndnssec = \"off\"\n", &[("office", TUNNEL)]);
    for (server, name) in [
        (HOME, "vpn.example.test"),
        (OFFICE, "vpn.example.test"),
        (OFFICE, "git.corp.test"),
        (LAB, "vpn.lab.test"),
    ] {
        let row = format!("{name} 300 A {server}");
        let question = format!("{name} A");
        world.server(server).answers(&question, &[row.as_str()]);
    }
    let alias = ["gate.example.test 300 CNAME far.example.test"];
    world.server(HOME).answers("gate.example.test A", &alias);
    let far = ["far.example.test 300 A 192.0.2.9"];
    world.server(HOME).answers("far.example.test A", &far);
    let into = ["trap.example.test 300 CNAME git.corp.test"];
    world.server(HOME).answers("trap.example.test A", &into);
    world
}

/// Asks for the sake of vpn0; returns the code, and where it was asked.
fn ask(world: &mut World, text: &str) -> (u16, Vec<String>) {
    let before = world.sent.len();
    let ask = asked(text);
    let client = ClientId(1 << 40 | before as u64);
    let wire = ask.wire();
    let query = ClientQuery {
        client,
        stub: ask.stub,
        channel: ask.channel,
        origin: None,
        wire: &wire,
    };
    let below = Below {
        link: "vpn0".into(),
        mark: MARK,
    };
    world.expect(client, ask);
    world.resolver.handle_query_below(query, below, world.now);
    world.pump();
    world.run();
    let sent = world.sent[before..]
        .iter()
        .map(|sent| sent.scope.to_string());
    (world.answer(client).rcode, sent.collect())
}

#[test]
fn what_a_tunnel_takes_for_others_is_asked_below_it_for_its_own_sake() {
    let mut world = world();
    let seen = world.ask("vpn.example.test A");
    assert_eq!(seen.rcode, rcode::NOERROR);
    assert_eq!(
        &*world.sent[0].scope.0, "office@vpn0",
        "everybody's names take the tunnel"
    );
    let (code, sent) = ask(&mut world, "vpn.example.test A");
    assert_eq!(code, rcode::NOERROR);
    assert_eq!(
        sent,
        ["home@home0"],
        "and what was kept of it there does not count"
    );
    assert_eq!(world.sent.last().unwrap().mark, MARK);
    // Nobody else gets what was asked below.
    world.ask("vpn.example.test A");
    assert_eq!(world.sent.len(), 2);
    // While the tunnel is down its names are refused, and its own way is still found.
    world.switch("vpn0", false);
    assert_eq!(world.ask("www.example.test A").rcode, rcode::REFUSED);
    let (code, sent) = ask(&mut world, "gate.example.test A");
    assert_eq!(code, rcode::NOERROR);
    assert!(sent.iter().all(|scope| scope == "home@home0"), "{sent:?}");
}

#[test]
fn aliases_are_followed_below_too_and_claims_hold_on_the_way() {
    let mut world = world();
    let (code, sent) = ask(&mut world, "gate.example.test A");
    assert_eq!(code, rcode::NOERROR);
    assert_eq!(sent, ["home@home0", "home@home0"]);
    let (_, sent) = ask(&mut world, "trap.example.test A");
    assert_eq!(
        sent,
        ["home@home0", "office@vpn0"],
        "a claimed name is asked where it is claimed"
    );
    let (code, sent) = ask(&mut world, "vpn.lab.test A");
    assert_eq!((code, sent), (rcode::NOERROR, vec!["lab@lab0".to_owned()]));
    world.switch("lab0", false);
    let (code, sent) = ask(&mut world, "other.lab.test A");
    assert_eq!(
        (code, sent.len()),
        (rcode::REFUSED, 0),
        "of another tunnel, and that is down"
    );
}

/// What others' packets meet behind a dead tunnel is nothing that the tunnel's own meet.
#[test]
fn a_failure_of_the_usual_way_is_not_the_tunnels() {
    let mut world = world();
    let right = Say::Answer(vec![format!("vpn.lab.test 300 A {LAB}")]);
    let failed = Say::Code(rcode::SERVFAIL);
    world.server(LAB).says("vpn.lab.test A", failed);
    assert_eq!(world.ask("vpn.lab.test A").rcode, rcode::SERVFAIL);
    world.server(LAB).says("vpn.lab.test A", right);
    let (code, sent) = ask(&mut world, "vpn.lab.test A");
    assert_eq!((code, sent), (rcode::NOERROR, vec!["lab@lab0".to_owned()]));
}

#[test]
fn connections_of_marked_messages_are_their_own_and_end_with_the_scopes() {
    let group = GroupId(7);
    assert_ne!(group.marked(1), group);
    assert_ne!(group.marked(1), group.marked(2));
    assert_eq!(group.marked(0), group);
    let mut world = world();
    ask(&mut world, "vpn.example.test A");
    world.take_hangups();
    world.remove_link("home0");
    world.apply();
    let ended = world.take_hangups();
    assert!(
        ended
            .iter()
            .any(|group| ended.contains(&group.marked(MARK)) && *group == group.unmarked()),
        "{ended:?}"
    );
}
