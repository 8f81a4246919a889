//! Is an upstream that forwards to us found out, however it spells, and nobody else taken for one?

use std::time::Duration;

use super::message::Ask;
use super::world::{HOME, Say, World};
use crate::event::{ClientId, Failure};

const MAIN: &str = "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n";

/// The flag CD (RFC 4035 §3.2.2).
const CHECKING_DISABLED: u16 = 0x0010;

/// Whether a question is a mark: of a type for private use (RFC 6895 §3.1).
fn is_mark(ask: &Ask) -> bool {
    ask.record_type >= 65_280
}

/// Sends back what HOME was sent, with an id and a spelling of its own; returns the clients that it is.
fn send_back(world: &mut World) -> Vec<ClientId> {
    send_back_as(world, |_| {})
}

/// As [`send_back`], with what the forwarder changes besides.
fn send_back_as(world: &mut World, change: impl Fn(&mut Ask)) -> Vec<ClientId> {
    let sent: Vec<Ask> = world.sent.drain(..).map(|sent| sent.asked).collect();
    let copies = sent.into_iter().map(|mut ask| {
        ask.id ^= 1;
        ask.name.make_ascii_lowercase();
        change(&mut ask);
        ask
    });
    let copies: Vec<Ask> = copies.collect();
    copies.iter().map(|ask| world.put_as(ask)).collect()
}

/// Does something as who asks from where HOME is.
fn from_home<T>(world: &mut World, act: impl FnOnce(&mut World) -> T) -> T {
    let origin = std::mem::replace(&mut world.origin, HOME.parse().unwrap());
    let done = act(world);
    world.origin = origin;
    done
}

/// Sends back from HOME what that was sent, and what comes of it, for as long as no time passes.
fn send_all_back(world: &mut World, change: impl Fn(&mut Ask)) {
    for _ in 0..100 {
        if world.sent.is_empty() {
            return;
        }
        from_home(world, |world| send_back_as(world, &change));
    }
    panic!("there is no end to it");
}

/// Runs until a mark is sent.
fn until_marked(world: &mut World) {
    while !world.sent.iter().any(|sent| is_mark(&sent.asked)) {
        assert!(
            world.resolver.poll_timeout().is_some(),
            "nothing is to come"
        );
        world.step_on();
    }
}

fn marks(world: &World) -> usize {
    let marks = world.sent.iter().filter(|sent| is_mark(&sent.asked));
    marks.count()
}

fn is_told(world: &World, client: ClientId) -> bool {
    let error = world.answer(client).error;
    error.is_some_and(|(_, text)| text.contains("sends our own questions back to us"))
}

/// Has a name come back, and what asks for it marked.
fn comes_back(world: &mut World, name: &str) {
    world.put(&format!("{name} A"));
    send_back(world);
    until_marked(world);
    send_back(world);
    world.sent.clear();
}

/// A world in which it is known that HOME forwards to us, whatever it is asked.
fn known() -> World {
    let mut world = World::with(MAIN, &[]);
    world.server(HOME).silent = true;
    for name in ["n0.test", "n0.example", "n0.home.arpa"] {
        from_home(&mut world, |world| comes_back(world, name));
    }
    world.run();
    world.sent.clear();
    world.server(HOME).silent = false;
    world
}

#[test]
fn forwarder_that_spells_by_itself_is_found_out_when_it_is_asked_again() {
    let mut world = World::with(MAIN, &[]);
    world.server(HOME).silent = true;
    let begun = world.now;
    let client = world.put("n0.test A");
    let copy = send_back(&mut world)[0];
    assert!(!world.has_answer(client) && !world.has_answer(copy));
    until_marked(&mut world);
    send_back(&mut world);
    assert!(is_told(&world, client) && is_told(&world, copy));
    assert!(world.now.since(begun) <= Duration::from_secs(1));
}

#[test]
fn forwarder_is_found_out_in_no_time_when_it_asks_what_it_is_asked() {
    let mut world = World::with(MAIN, &[]);
    world.server(HOME).silent = true;
    let begun = world.now;
    // The second is of those that no client may ask any other type of.
    let clients = ["n0.test A", "com DS"].map(|text| {
        let client = world.put(text);
        send_all_back(&mut world, |_| {});
        client
    });
    assert!(clients.iter().all(|client| is_told(&world, *client)));
    assert_eq!(world.now, begun);
}

#[test]
fn questions_that_wait_for_the_proof_of_a_forwarder_are_told_in_no_time() {
    // Flags as they were, and without CD and DO, so that its copies wait for the proof themselves.
    for keeps_flags in [true, false] {
        let mut world = World::with("[resolver]\nrecursion = \"never\"\n", &[]);
        world.server(HOME).silent = true;
        let begun = world.now;
        // The questions of the proof are on their way already.
        assert!(!world.sent.is_empty());
        let client = world.put("n0.test A");
        assert!(!world.sent.iter().any(|sent| sent.asked.name == "n0.test"));
        send_all_back(&mut world, |ask| {
            if !keeps_flags {
                ask.flags &= !CHECKING_DISABLED;
                ask.dnssec_ok = false;
            }
        });
        assert!(is_told(&world, client), "{keeps_flags}");
        assert_eq!(world.now, begun);
    }
}

#[test]
fn mark_that_comes_back_says_what_it_is() {
    let mut world = World::with(MAIN, &[]);
    world.server(HOME).silent = true;
    world.put("n0.test A");
    from_home(&mut world, send_back);
    let mark = send_back(&mut world)[0];
    let (_, text) = world.answer(mark).error.unwrap();
    assert!(text.starts_with("made up by linnet"), "{text}");
}

#[test]
fn forwarder_that_passes_nothing_on_after_it_was_refused_is_named_for_its_error() {
    let mut world = known();
    world.server(HOME).says("n1.test A", Say::Code(2));
    let client = world.put("n1.test A");
    world.run();
    assert!(is_told(&world, client));
    // Of one that is not known to, nothing of the kind is said.
    world.sleep(31);
    world.server(HOME).says("n2.test A", Say::Code(2));
    let client = world.put("n2.test A");
    world.run();
    assert!(!is_told(&world, client));
}

#[test]
fn forwarder_that_says_why_a_name_fails_is_believed() {
    let mut world = known();
    for (name, code) in [("n1", 6), ("n2", 9), ("n3", 15), ("n4", 17)] {
        let question = format!("{name}.test A");
        let say = Say::Error(2, code, "says the forwarder");
        world.server(HOME).says(&question, say);
        let seen = world.ask(&question);
        assert_eq!(seen.rcode, 2, "{seen:?}");
        let (_, why) = seen.error.expect("a reason");
        assert!(why.contains("says the forwarder"), "{why}");
    }
}

/// Who owns a domain sees what is asked for in it, and may send that back to us in an upstream's stead; some upstreams forward a few domains
/// to us and no more. Either is known of these names, and nothing else that the upstream says is taken for its circle.
#[test]
fn loop_of_some_names_is_told_of_no_others() {
    let of_one = ["a.one.test", "b.one.test", "c.one.test", "d.two.test"];
    let of_three = ["a.one.test", "a.one.example", "a.home.arpa"];
    for (from_there, names) in [(true, &of_one[..]), (false, &of_three[..])] {
        let mut world = World::with(MAIN, &[]);
        world.server(HOME).silent = true;
        for name in names {
            match from_there {
                true => from_home(&mut world, |world| comes_back(world, name)),
                false => comes_back(&mut world, name),
            }
        }
        world.server(HOME).silent = false;
        world.server(HOME).otherwise(Say::Code(2));
        for (name, told) in [
            ("b.other", false),
            ("one.test", false),
            ("x.a.one.test", true),
        ] {
            let client = world.put(&format!("{name} A"));
            world.run();
            assert_eq!(is_told(&world, client), told, "{from_there} {name}");
        }
    }
}

#[test]
fn forwarder_that_sends_the_root_back_sends_back_all() {
    let mut world = World::with(MAIN, &[]);
    world.server(HOME).silent = true;
    world.put(". NS");
    send_back(&mut world);
    until_marked(&mut world);
    send_back(&mut world);
    // What comes back after it does not make it forgotten.
    for name in 0..20 {
        comes_back(&mut world, &format!("n{name}.t{name}"));
    }
    world.server(HOME).silent = false;
    world.server(HOME).otherwise(Say::Code(2));
    let client = world.put("a.other A");
    world.run();
    assert!(is_told(&world, client));
}

#[test]
fn forwarder_that_waits_for_us_already_is_marked_when_it_is_asked_again() {
    let mut world = known();
    world.server(HOME).silent = true;
    let begun = world.now;
    let client = world.put("n1.test A");
    until_marked(&mut world);
    world.sent.retain(|sent| is_mark(&sent.asked));
    send_back(&mut world);
    assert!(is_told(&world, client));
    assert!(world.now.since(begun) <= Duration::from_millis(400));
}

#[test]
fn error_of_a_forwarder_ends_what_else_it_was_asked() {
    let mut world = known();
    let say = Say::ByStream(Box::new(Say::Silence), Box::new(Say::Code(2)));
    world.server(HOME).says("n1.test A", say);
    let begun = world.now;
    let client = world.put("n1.test A");
    while !world.has_answer(client) {
        world.step_on();
    }
    assert!(is_told(&world, client));
    let took = world.now.since(begun);
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn upstream_that_keeps_a_mark_gets_none_for_a_while() {
    let mut world = World::with(MAIN, &[]);
    let put_twice = |world: &mut World, name: &str| {
        world.sent.clear();
        world.put(name);
        from_home(world, |world| world.put(name));
        let at_once = marks(world);
        world.run();
        at_once
    };
    assert_eq!(put_twice(&mut world, "a.test A"), 1);
    assert_eq!(put_twice(&mut world, "b.test A"), 0);
    world.sleep(601);
    assert_eq!(put_twice(&mut world, "c.test A"), 1);
    world.sleep(601);
    // Silence is no return either.
    world.server(HOME).silent = true;
    assert_eq!(put_twice(&mut world, "d.test A"), 1);
    world.server(HOME).silent = false;
    assert_eq!(put_twice(&mut world, "e.test A"), 0);
}

/// Some end a stream for a type that they do not know: that is the mark kept, and no failure of theirs.
#[test]
fn mark_that_ends_a_stream_is_kept_and_no_failure() {
    let home = format!("match = {{ name = \"home*\" }}\n[dns]\nupstreams = [\"tcp://{HOME}\"]\n");
    let mut world = World::with(MAIN, &[("home", &home)]);
    world.server(HOME).otherwise(Say::Fail(Failure::Closed));
    for (name, expected) in [("a.test A", 1), ("b.test A", 0)] {
        let row = format!("{} 60 A 192.0.2.1", name.trim_end_matches(" A"));
        world.server(HOME).answers(name, &[&row]);
        world.sent.clear();
        let first = world.put(name);
        let second = from_home(&mut world, |world| world.put(name));
        assert_eq!(marks(&world), expected, "{name}");
        world.run();
        for client in [first, second] {
            assert_eq!(world.answer(client).answers.first(), Some(&row));
        }
    }
    let upstream = &world.status("home@home0").upstreams[0];
    assert_eq!((upstream.failing.clone(), upstream.lost), (None, 0));
}

/// What one upstream was asked alone, to prove it, came back: others may still know the answer.
#[test]
fn loop_of_a_question_to_one_upstream_alone_is_not_kept_for_all() {
    let mut world = World::with("[resolver]\nrecursion = \"never\"\n", &[]);
    world.server(HOME).silent = true;
    let proof = world
        .sent
        .iter()
        .find(|sent| sent.server.to_string() == HOME);
    let proof = proof.expect("a proof has begun").asked.clone();
    assert!(proof.dnssec_ok && proof.flags & CHECKING_DISABLED != 0);
    // The forwarder's own copies wait for the proof themselves.
    from_home(&mut world, |world| {
        send_back_as(world, |ask| {
            ask.flags &= !CHECKING_DISABLED;
            ask.dnssec_ok = false;
        })
    });
    world.sent.retain(|sent| is_mark(&sent.asked));
    assert!(!world.sent.is_empty());
    from_home(&mut world, send_back);
    let client = world.put_as(&Ask {
        id: proof.id ^ 1,
        name: proof.name.to_ascii_lowercase(),
        ..proof
    });
    assert!(!world.has_answer(client), "{:?}", world.answer(client));
}

#[test]
fn forwarder_that_was_found_out_is_marked_as_soon_as_somebody_else_asks() {
    let mut world = known();
    world.server(HOME).silent = true;
    let begun = world.now;
    let client = world.put("n1.test A");
    assert!(!world.sent.iter().any(|sent| is_mark(&sent.asked)));
    let copy = send_back(&mut world)[0];
    assert!(world.sent.iter().any(|sent| is_mark(&sent.asked)));
    send_back(&mut world);
    assert!(is_told(&world, client) && is_told(&world, copy));
    assert_eq!(world.now, begun);
}

#[test]
fn name_that_a_forwarder_knows_itself_is_answered_though_the_mark_comes_back() {
    let mut world = known();
    let row = "own.test 60 A 192.0.2.90";
    world.server(HOME).answers("own.test A", &[row]);
    let clients = [world.put("own.test A"), world.put("own.test A")];
    assert!(world.sent.iter().any(|sent| is_mark(&sent.asked)));
    // The reply goes before the mark.
    world.step_on();
    send_back(&mut world);
    for client in clients {
        assert_eq!(world.answer(client).answers, [row]);
    }
}

#[test]
fn slow_upstream_that_two_wait_for_is_no_forwarder() {
    let mut world = World::with(MAIN, &[]);
    let row = "a.test 60 A 192.0.2.1";
    world.server(HOME).delay = Duration::from_secs(2);
    world.server(HOME).answers("a.test A", &[row]);
    let clients = [world.put("a.test A"), world.put("a.test A")];
    world.run();
    for client in clients {
        assert_eq!(world.answer(client).answers, [row]);
    }
    let marks = world.sent.iter().filter(|sent| is_mark(&sent.asked));
    assert_eq!(marks.count(), 1);
}

#[test]
fn mark_is_guessed_once_at_most() {
    let mut world = World::with(MAIN, &[]);
    world.server(HOME).silent = true;
    let clients = [world.put("n0.test A"), world.put("n0.test A")];
    until_marked(&mut world);
    let mark = world.sent.iter().find(|sent| is_mark(&sent.asked));
    let mark = mark.unwrap().asked.clone();
    let guess = Ask {
        record_type: 65_280 + (mark.record_type + 1 - 65_280) % 255,
        ..mark.clone()
    };
    world.put_as(&guess);
    world.put_as(&mark);
    assert!(clients.iter().all(|client| !world.has_answer(*client)));
}

#[test]
fn mark_that_got_a_reply_is_an_ordinary_question_from_then_on() {
    let mut world = known();
    let row = "own.test 60 A 192.0.2.90";
    world.server(HOME).answers("own.test A", &[row]);
    world.put("own.test A");
    world.put("own.test A");
    let mark = world.sent.iter().find(|sent| is_mark(&sent.asked));
    let mark = mark.unwrap().asked.clone();
    world.run();
    let late = world.put_as(&mark);
    world.run();
    assert!(!is_told(&world, late));
}
