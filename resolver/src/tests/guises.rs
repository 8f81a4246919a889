//! Cookies and spelling: forged replies are not believed, odd servers are served all the same.

use config::model::Prefix;

use super::message::asked;
use super::world::{HOME, Say, World};
use crate::event::{Channel, ClientId, ClientQuery, Stub, UpstreamStatus};
use crate::wire::rcode;

fn world() -> World {
    let mut world = World::new();
    world.server(HOME).otherwise(Say::Answer(vec![]));
    for name in ["a", "b", "c", "d"] {
        let row = format!("{name}.test 300 A 192.0.2.1");
        world
            .server(HOME)
            .answers(&format!("{name}.test A"), &[&row]);
    }
    world
}

fn home(world: &World) -> UpstreamStatus {
    let scopes = world.resolver.status(world.now);
    let mut upstreams = scopes.into_iter().flat_map(|scope| scope.upstreams);
    upstreams
        .find(|status| status.upstream.address.to_string() == HOME)
        .unwrap()
}

/// How many messages went by stream.
fn by_stream(world: &World) -> usize {
    let sent = world.sent.iter();
    sent.filter(|sent| sent.channel == Channel::Tcp).count()
}

#[test]
fn questions_are_spelled_at_random_and_nobody_sees_it() {
    let mut world = world();
    for name in ["a", "b", "c", "d"] {
        let seen = world.ask(&format!("{name}.test A"));
        assert_eq!(seen.answers, [format!("{name}.test 300 A 192.0.2.1")]);
        // The rows are read in lower case: the octets must be so.
        assert!(!seen.wire[12..].iter().any(u8::is_ascii_uppercase));
    }
    let spelled = |sent: &super::world::Sent| sent.wire[12..18].iter().any(u8::is_ascii_uppercase);
    assert!(world.sent.iter().any(spelled));
    assert_eq!(by_stream(&world), 0);
}

#[test]
fn a_server_that_respells_is_asked_by_stream_once_and_then_not_spelled_to() {
    let mut world = world();
    world.server(HOME).respells = true;
    // A name with many letters, so that chance does not spell it in lower case.
    world.server(HOME).answers(
        "abcdefghijklmnop.test A",
        &["abcdefghijklmnop.test 300 A 192.0.2.1"],
    );
    let seen = world.ask("abcdefghijklmnop.test A");
    assert_eq!(seen.answers.len(), 1);
    assert_eq!(by_stream(&world), 1);
    assert_eq!(home(&world).manners, ["respells"]);
    assert_eq!(home(&world).forged, 1);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(world.ask(&format!("{name}.test A")).answers.len(), 1);
    }
    assert_eq!(by_stream(&world), 1);
    assert_eq!(home(&world).forged, 1);
}

#[test]
fn a_server_that_respells_and_speaks_no_tcp_is_served_all_the_same() {
    let mut world = world();
    let answer = Say::Answer(vec!["abcdefghijklmnop.test 300 A 192.0.2.1".into()]);
    world.server(HOME).respells = true;
    world.server(HOME).says(
        "abcdefghijklmnop.test A",
        Say::ByStream(
            Box::new(answer),
            Box::new(Say::Fail(crate::event::Failure::Refused)),
        ),
    );
    let began = world.now;
    let seen = world.ask("abcdefghijklmnop.test A");
    assert_eq!(seen.answers.len(), 1, "{seen:?}");
    assert!(seen.at.since(began).as_millis() < 500);
}

#[test]
fn an_upstream_of_tcp_alone_gets_no_datagram_whatever_happens() {
    let main = format!("[resolver]\ndnssec = \"off\"\nupstreams = [\"tcp://{HOME}\"]\n");
    let mut world = World::with(&main, &[]);
    let row = "a.test 300 A 192.0.2.1";
    world.server(HOME).answers("a.test A", &[row]);
    assert_eq!(world.ask("a.test A").answers, [row]);
    for say in [
        Say::Code(rcode::REFUSED),
        Say::Code(rcode::FORMERR),
        Say::Fail(crate::event::Failure::Refused),
        Say::Silence,
    ] {
        world.server(HOME).otherwise(say.clone());
        for name in ["b", "c"] {
            let seen = world.ask(&format!("{name}.test A"));
            assert!(
                seen.rcode > 0 && seen.answers.is_empty(),
                "{say:?}: {seen:?}"
            );
        }
        world.sleep(10);
    }
    assert!(world.sent.len() > 9);
    assert_eq!(by_stream(&world), world.sent.len());
}

#[test]
fn a_cookie_is_sent_and_the_servers_own_comes_back_with_it() {
    let mut world = world();
    world.server(HOME).cookie = Some([5; 8]);
    world.ask("a.test A");
    assert_eq!(home(&world).manners, ["cookies"]);
    world.ask("b.test A");
    let cookies: Vec<usize> = world
        .sent
        .iter()
        .map(|sent| sent.cookie().map_or(0, |(_, server)| server.len()))
        .collect();
    assert_eq!(cookies, [0, 8]);
    assert_eq!(by_stream(&world), 0);
    // With cookies there is nothing to spell.
    assert!(
        !world.sent[1].wire[12..18]
            .iter()
            .any(u8::is_ascii_uppercase)
    );
}

#[test]
fn a_reply_without_the_cookie_that_was_there_before_is_asked_for_by_stream() {
    let mut world = world();
    world.server(HOME).cookie = Some([5; 8]);
    world.ask("a.test A");
    // A forger who has the id and the port, and says something else than the server does.
    world.server(HOME).delay = std::time::Duration::from_millis(50);
    let client = world.put("b.test A");
    let sent = world.sent.last().unwrap();
    let exchange = sent.exchange;
    let rows = ["b.test 300 A 203.0.113.66".to_owned()];
    let records = super::message::Records::answers(&rows);
    let mut forged = super::message::reply(&sent.wire, 0, &records);
    super::message::drop_options(&mut forged);
    world.inject(exchange, &forged);
    world.run();
    let seen = world.answer(client);
    assert_eq!(seen.answers, ["b.test 300 A 192.0.2.1"]);
    assert_eq!(home(&world).forged, 1);
    assert_eq!(home(&world).manners, ["cookies"]);
}

#[test]
fn a_server_that_forgets_cookies_is_believed_after_its_stream_says_the_same() {
    let mut world = world();
    world.server(HOME).cookie = Some([5; 8]);
    world.ask("a.test A");
    world.server(HOME).cookie = None;
    assert_eq!(world.ask("b.test A").answers.len(), 1);
    assert_eq!(by_stream(&world), 1);
    assert_eq!(world.ask("c.test A").answers.len(), 1);
    assert_eq!(by_stream(&world), 1);
    assert!(home(&world).manners.is_empty());
}

#[test]
fn a_cookie_that_is_called_wrong_is_replaced_by_the_one_that_came() {
    let mut world = world();
    world.server(HOME).cookie = Some([5; 8]);
    world.server(HOME).demands_cookie = true;
    let seen = world.ask("a.test A");
    assert_eq!(seen.rcode, rcode::NOERROR, "{seen:?}");
    assert_eq!(world.sent.len(), 2);
    // The server has another secret.
    world.server(HOME).cookie = Some([6; 8]);
    assert_eq!(world.ask("b.test A").answers.len(), 1);
    assert_eq!(world.sent.len(), 4);
    assert_eq!(by_stream(&world), 0);
}

#[test]
fn a_path_that_swallows_cookies_is_found_out() {
    let mut world = world();
    world.server(HOME).swallows_cookies = true;
    for name in ["a", "b", "c"] {
        assert_eq!(world.ask(&format!("{name}.test A")).answers.len(), 1);
    }
    assert_eq!(home(&world).manners, ["no cookies"]);
    world.sent.clear();
    let began = world.now;
    let seen = world.ask("d.test A");
    assert_eq!(seen.at.since(began).as_millis(), 10);
}

/// After a roam the link is there before it is known which network this is.
#[test]
fn what_is_known_of_a_server_is_known_again_once_the_network_is() {
    let mut world = world();
    let place = |world: &mut World, is_known: bool| {
        let prefix = Prefix {
            address: [192, 0, 2, 9].into(),
            length: 24,
        };
        let links = world.facts.links.values_mut();
        for link in links.filter(|link| &*link.name == "home0") {
            link.addresses = is_known.then_some(prefix).into_iter().collect();
        }
        world.apply();
    };
    place(&mut world, true);
    world.server(HOME).respells = true;
    let name = "abcdefghijklmnop.test A";
    let row = ["abcdefghijklmnop.test 0 A 192.0.2.1"];
    world.server(HOME).answers(name, &row);
    world.ask(name);
    assert_eq!(home(&world).manners, ["respells"]);
    world.switch("home0", false);
    place(&mut world, false);
    world.server(HOME).silent = true;
    world.switch("home0", true);
    assert!(home(&world).manners.is_empty());
    place(&mut world, true);
    assert_eq!(home(&world).manners, ["respells"]);
    // What it has shown itself meanwhile counts more.
    world.switch("home0", false);
    place(&mut world, false);
    world.server(HOME).silent = false;
    world.server(HOME).respells = false;
    world.switch("home0", true);
    world.ask(name);
    place(&mut world, true);
    assert!(
        home(&world).manners.is_empty(),
        "{:?}",
        home(&world).manners
    );
}

/// Where a client is, and what else it says of itself, is its own.
#[test]
fn no_option_of_a_client_leaves() {
    let mut world = world();
    let ask = asked("a.test A");
    let mut wire = ask.wire();
    // ECS (RFC 7871 §6) of 192.0.2.0/24, a cookie, keepalive, padding, and one that nobody knows.
    let options: [&[u8]; 5] = [
        &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2],
        &[0, 10, 0, 8, 9, 9, 9, 9, 9, 9, 9, 9],
        &[0, 11, 0, 0],
        &[0, 12, 0, 2, 0, 0],
        &[0xfd, 0xe9, 0, 1, 9],
    ];
    let options = options.concat();
    *wire.last_mut().unwrap() = u8::try_from(options.len()).unwrap();
    wire.extend_from_slice(&options);
    let client = ClientId(1000);
    world.expect(client, ask);
    let query = ClientQuery {
        client,
        stub: Stub::Main,
        channel: Channel::Udp,
        origin: Some(world.origin),
        wire: &wire,
    };
    world.resolver.handle_query(query, world.now);
    world.pump();
    world.run();
    assert_eq!(world.answer(client).answers, ["a.test 300 A 192.0.2.1"]);
    assert!(!world.sent.is_empty());
    for sent in &world.sent {
        // Our own cookie, and nothing else.
        let at = 12 + sent.asked.name.len() + 2 + 4 + 11;
        assert_eq!(sent.wire.len(), at + 12, "{:?}", sent.wire);
        assert_eq!(sent.wire[at..at + 4], [0, 10, 0, 8]);
        assert_ne!(sent.wire[at + 4..], [9; 8]);
    }
}
