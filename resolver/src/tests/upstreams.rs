//! Servers that fail: another one is asked, another way is tried, and nothing that is not a reply is taken for one.

use std::collections::BTreeSet;
use std::time::Duration;

use super::world::{HOME, Say, Sent, World};
use crate::event::{Channel, ExchangeId, Failure, HttpFault, TlsFault};
use crate::wire::rcode;

const SECOND: &str = "192.0.2.54";
const TWO: (&str, &str) = (
    "home",
    "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\", \"192.0.2.54\"]\n",
);

fn answer() -> Say {
    Say::Answer(vec!["a.test 300 A 192.0.2.1".into()])
}

/// A world with two servers at home, of which the second one answers.
fn two(first: Say) -> World {
    let mut world = World::with(super::world::PLAIN, &[TWO]);
    world.server(HOME).says("a.test A", first);
    world.server(SECOND).says("a.test A", answer());
    world
}

#[test]
fn whatever_the_first_server_fails_by_the_second_one_answers() {
    let firsts = [
        Say::Silence,
        Say::Code(rcode::SERVFAIL),
        Say::Code(rcode::REFUSED),
        Say::Fail(Failure::Refused),
        Say::Fail(Failure::Unreachable),
        Say::Fail(Failure::Closed),
        Say::Fail(Failure::TimedOut),
        Say::Fail(Failure::Garbled),
        Say::Fail(Failure::Tls(TlsFault::Expired)),
        Say::Fail(Failure::Http(HttpFault::Status(503))),
    ];
    for first in firsts {
        let mut world = two(first.clone());
        let began = world.now;
        let seen = world.ask("a.test A");
        assert_eq!(seen.answers, ["a.test 300 A 192.0.2.1"], "{first:?}");
        let took = seen.at.since(began);
        assert!(took.as_millis() <= 1000, "{first:?}: {took:?}");
    }
}

#[test]
fn when_all_fail_the_client_is_told_so_once_and_in_time() {
    for say in [Say::Silence, Say::Fail(Failure::Unreachable), Say::Code(2)] {
        let mut world = two(say.clone());
        world.server(SECOND).says("a.test A", say.clone());
        let began = world.now;
        let client = world.put("a.test A");
        assert!(!world.has_answer(client), "{say:?}");
        world.run();
        let seen = world.answer(client);
        assert_eq!(seen.rcode, rcode::SERVFAIL, "{say:?}");
        assert!(seen.error.is_some(), "{say:?}");
        // glibc gives up after five seconds.
        assert!(seen.at.since(began).as_secs() < 5, "{say:?}");
    }
}

#[test]
fn what_is_cut_by_udp_is_asked_for_by_tcp() {
    let mut world = World::new();
    let cut = Say::Truncated(Box::new(answer()));
    world.server(HOME).says("a.test A", cut);
    assert_eq!(world.ask("a.test A").answers, ["a.test 300 A 192.0.2.1"]);
    assert_eq!(
        world.take_sent(),
        ["192.0.2.53 a.test A", "192.0.2.53 a.test A by tcp"]
    );
}

#[test]
fn a_server_that_knows_no_edns_is_asked_without() {
    let mut world = World::new();
    let old = Say::NoEdns(Box::new(answer()));
    world.server(HOME).says("a.test A", old);
    assert_eq!(world.ask("a.test A").answers, ["a.test 300 A 192.0.2.1"]);
    let edns: Vec<bool> = world.sent.iter().map(|sent| sent.asked.edns).collect();
    // First it may have been the cookie.
    assert_eq!(edns, [true, true, false]);
    world.sent.clear();
    world.ask("b.test A");
    assert!(world.sent.iter().all(|sent| !sent.asked.edns));
}

#[test]
fn what_is_not_the_reply_is_not_taken_for_one() {
    let spoils: [(&str, fn(&mut Vec<u8>)); 7] = [
        ("another id", |wire| wire[0] ^= 0x55),
        ("a question", |wire| wire[2] &= 0x7f),
        ("another name", |wire| wire[13] ^= 1),
        ("another type", |wire| wire[21] ^= 0x10),
        ("no question", |wire| {
            wire.drain(12..24);
            wire[5] = 0;
        }),
        ("cut in the middle", |wire| wire.truncate(30)),
        ("two octets", |wire| wire.truncate(2)),
    ];
    for (what, spoil) in spoils {
        let mut world = World::new();
        let forged = Say::Spoiled(spoil, Box::new(answer()));
        world.server(HOME).says("a.test A", forged);
        let seen = world.ask("a.test A");
        assert_eq!(seen.answers, ["a.test 300 A 192.0.2.1"], "{what}");
    }
}

#[test]
fn a_reply_that_comes_when_nobody_waits_changes_nothing() {
    let mut world = World::new();
    world.server(HOME).says("a.test A", answer());
    let before = world.ask("a.test A");
    let exchange = world.sent[0].exchange;
    let mut forged = before.wire.clone();
    let last = forged.len() - 12;
    forged[last] ^= 0xff;
    world.inject(exchange, &forged);
    assert_eq!(world.ask("a.test A").answers, before.answers);
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn no_server_is_asked_again_before_it_had_time_to_answer() {
    let mut world = two(Say::Silence);
    world.server(SECOND).silent = true;
    world.ask("a.test A");
    for pair in world.sent.windows(2) {
        if pair[0].server == pair[1].server {
            let between = pair[1].at.since(pair[0].at);
            assert!(between.as_millis() >= 100, "{between:?}");
        }
    }
    assert!(world.sent.len() <= 12, "{}", world.sent.len());
}

#[test]
fn encrypted_upstream_that_is_not_believed_is_told_by_its_reason_and_never_asked_in_the_clear() {
    let upstream = "tls://192.0.2.53#dns.example";
    let profile = format!("match = {{ name = \"home*\" }}\n[dns]\nupstreams = [\"{upstream}\"]\n");
    let mut world = World::with(super::world::PLAIN, &[("home", &profile)]);
    let say = Say::Fail(Failure::Tls(TlsFault::WrongName));
    world.server(HOME).says("a.test A", say);
    let seen = world.ask("a.test A");
    assert_eq!(seen.rcode, rcode::SERVFAIL);
    let (code, text) = seen.error.unwrap();
    assert_eq!(code, 23);
    assert!(
        text.contains(
            "tls://192.0.2.53#dns.example is not asked: its certificate is for another name"
        ),
        "{text}"
    );
    let sent = world.take_sent();
    assert!(sent.len() >= 2, "{sent:?}");
    assert!(sent.iter().all(|sent| sent.ends_with("by tcp")), "{sent:?}");
    let status = world.resolver.status(world.now);
    let home = status.iter().flat_map(|scope| &scope.upstreams);
    let failing: Vec<_> = home.filter_map(|state| state.failing.clone()).collect();
    assert_eq!(failing, ["its certificate is for another name".into()]);
}

#[test]
fn nobody_is_asked_in_the_clear_in_place_of_upstreams_that_are_all_encrypted() {
    const ROOT: &str = "192.0.2.99";
    let (tls, plain) = ("\"tls://192.0.2.53#dns.example\"", "\"192.0.2.53\"");
    let both = format!("{tls}, {plain}");
    for (upstreams, recursion, transport, in_the_clear) in [
        (tls, "auto", "any", false),
        (tls, "never", "any", false),
        (plain, "auto", "any", true),
        (&both, "auto", "any", true),
        (&both, "auto", "encrypted", false),
        // Who says so has said so.
        (tls, "always", "any", true),
    ] {
        let what = format!("{upstreams}, {recursion}, {transport}");
        let main = format!(
            "[resolver]\ndnssec = \"off\"\nrecursion = \"{recursion}\"\ntransport = \"{transport}\"\n"
        );
        let profile = format!("match = {{ name = \"home*\" }}\n[dns]\nupstreams = [{upstreams}]\n");
        let mut world = World::with(&main, &[("home", &profile)]);
        world
            .resolver
            .apply_root_servers(&[ROOT.parse().expect("an address")]);
        let say = Say::Fail(Failure::Tls(TlsFault::WrongName));
        world.server(HOME).says("a.test A", say);
        world
            .server(ROOT)
            .answers(". NS", &[". 300 NS root-server.invalid"]);
        let name = "a.test".parse().expect("a name");
        let scope = policy::ScopeId("home@home0".into());
        let told = world.resolver.prospects(&name, &scope, world.now);
        let _seen = world.ask("a.test A");
        let sent = world.take_sent();
        let to_root = sent.iter().any(|sent| sent.starts_with(ROOT));
        assert_eq!(to_root, in_the_clear, "{what}: {sent:?}");
        let order = told.expect("there is such a scope").order;
        let is_said = order.starts_with("the upstreams alone");
        assert_eq!(is_said, !in_the_clear, "{what}: {order}");
    }
}

#[test]
fn opportunistic_tls_is_tried_beside_the_first_question_and_used_when_it_works() {
    for selection in ["ordered", "fastest", "hedged"] {
        let main = format!(
            "[resolver]\ndnssec = \"off\"\ntransport = \"opportunistic\"\nselection = \"{selection}\"\n"
        );
        let mut world = World::with(&main, &[]);
        world.server(HOME).says("a.test A", answer());
        world.server(HOME).says("b.test A", answer());
        world.ask("a.test A");
        world.run();
        let sent = world.take_sent();
        assert_eq!(sent[0], "192.0.2.53 a.test A by tcp");
        assert_eq!(
            sent[1], "192.0.2.53 a.test A",
            "the question itself does not wait"
        );
        assert!(
            sent[2..].iter().all(|sent| sent.ends_with("by tcp")),
            "{sent:?}"
        );
        world.ask("b.test A");
        assert_eq!(
            world.take_sent(),
            ["192.0.2.53 b.test A by tcp"],
            "{selection}"
        );
    }
}

#[test]
fn encrypted_upstreams_have_a_connection_before_the_first_question_in_every_mode() {
    let home = "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\", \"tls://192.0.2.53#dns.example\", \"https://dns.example/q@192.0.2.54\"]\n";
    let office = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"tls://10.8.0.1#corp.test\"]\nclaims = [\"corp.test\"]\n";
    let opened = ["192.0.2.53 . NS by tcp", "192.0.2.54 . NS by tcp"];
    for mode in ["off", "observe", "enforce"] {
        let main = format!("[resolver]\ndnssec = \"{mode}\"\n");
        let mut world = World::with(&main, &[("home", home), ("office", office)]);
        assert_eq!(world.take_sent(), opened, "{mode}");
        // A plan that changes nothing opens nothing; another network does.
        world.run();
        world.apply();
        assert_eq!(world.take_sent(), [""; 0], "{mode}");
        world.switch("home0", false);
        assert_eq!(world.take_sent(), [""; 0], "{mode}");
        world.switch("home0", true);
        assert_eq!(world.take_sent(), opened, "{mode}");
    }
    // Where something is to be proven, the questions of the proof are the first.
    let auto = "[resolver]\ndnssec = \"auto\"\n";
    let mut world = World::with(auto, &[("home", home), ("office", office)]);
    let sent = world.take_sent();
    assert!(
        !sent.is_empty() && sent.iter().all(|line| !line.contains(" . NS ")),
        "{sent:?}"
    );
    // A full tunnel has all names, and the first message.
    let all = office.replace("claims = [\"corp.test\"]", "default = \"exclusive\"");
    let mut world = World::with(super::world::PLAIN, &[("home", home), ("office", &all)]);
    assert_eq!(world.take_sent(), ["10.8.0.1 . NS by tcp"]);
}

#[test]
fn encrypted_forms_are_asked_for_by_switch_tried_and_used_when_they_work() {
    let main = "[resolver]\ndnssec = \"off\"\ndiscover-encrypted = true\n";
    let mut world = World::with(main, &[]);
    let svcb = "_dns.resolver.arpa SVCB";
    // Priority 1, the root for "the same", alpn=dot,doq.
    let row = "_dns.resolver.arpa 300 SVCB 00010000010008_03646f74_03646f71";
    world.server(HOME).says(svcb, Say::Answer(vec![row.into()]));
    world.server(HOME).says("a.test A", answer());
    world.server(HOME).says("b.test A", answer());
    world.server(HOME).says("c.test A", answer());
    for name in ["a.test A", "b.test A"] {
        world.ask(name);
        world.run();
    }
    let sent = world.take_sent();
    // Neither waits for the other.
    for first in [format!("192.0.2.53 {svcb}"), "192.0.2.53 a.test A".into()] {
        assert!(sent[..2].contains(&first), "{sent:?}");
    }
    world.ask("c.test A");
    assert_eq!(world.take_sent(), ["192.0.2.53 c.test A by tcp"]);
    let status = world.resolver.status(world.now);
    let home = status
        .iter()
        .find(|scope| scope.id.to_string() == "home@home0");
    let shown: Vec<String> = home
        .unwrap()
        .upstreams
        .iter()
        .map(|state| state.upstream.to_string())
        .collect();
    assert_eq!(
        shown,
        ["tls://192.0.2.53", "quic://192.0.2.53", "192.0.2.53"]
    );
}

/// Messages that nobody replies to stay open until their questions end.
#[test]
fn a_silent_server_does_not_take_the_places_of_all_datagrams() {
    let mut world = World::new();
    world.server(super::world::OFFICE).silent = true;
    let mut clients = Vec::new();
    let mut most = 0;
    // More than a scope may ask at once, each of them again and again.
    for turn in 0..4_000 {
        clients.push(world.put(&format!("n{turn}.corp.test A")));
        world.run_for(1);
        if turn % 50 == 0 {
            let gone: BTreeSet<ExchangeId> = world.cancelled.iter().copied().collect();
            let is_open =
                |sent: &&Sent| sent.channel == Channel::Udp && !gone.contains(&sent.exchange);
            most = most.max(world.sent.iter().filter(is_open).count());
        }
    }
    assert!(most > 1_500, "{most}");
    assert!(most <= crate::DATAGRAMS_MAX / 2 + 1, "{most}");
    // Nobody else notices.
    let elsewhere = world.put("elsewhere.test A");
    world.run_for(50);
    assert_eq!(world.answer(elsewhere).rcode, rcode::NXDOMAIN);
    world.run();
    for client in clients {
        let seen = world.answer(client);
        assert_eq!(seen.rcode, rcode::SERVFAIL);
        assert!(seen.error.is_some(), "{seen:?}");
    }
}

/// An outage under load: whoever asks when it is over does not wait for those that asked during it.
#[test]
fn those_that_have_waited_longest_give_way_to_whoever_asks_when_the_server_is_back() {
    let mut world = World::new();
    world.server(super::world::OFFICE).silent = true;
    let ask = |world: &mut World, from: u32, to: u32| -> Vec<_> {
        let names = from..to;
        names
            .map(|number| world.put(&format!("n{number}.corp.test A")))
            .collect()
    };
    let first = ask(&mut world, 0, 4_096);
    let beyond = ask(&mut world, 4_096, 4_200);
    world.run_for(10);
    for client in &beyond {
        let seen = world.answer(*client);
        let told = (rcode::REFUSED, Some(0));
        assert_eq!(seen.codes(), told, "nobody has had a chance yet");
        assert!(seen.error.unwrap().1.contains("too many questions"));
    }
    world.run_for(600);
    world.server(super::world::OFFICE).silent = false;
    let later = ask(&mut world, 5_000, 5_100);
    world.run_for(50);
    for client in &later {
        assert_eq!(world.answer(*client).rcode, rcode::NXDOMAIN);
    }
    // As many of the first, in their order, have given their places.
    for client in &first[..100] {
        let seen = world.answer(*client);
        assert_eq!(seen.rcode, rcode::SERVFAIL);
        let (_, why) = seen.error.unwrap();
        assert!(why.contains("and this one longest"), "{why}");
    }
    assert_eq!(world.resolver.counters().displaced, 100);
    world.run();
    for client in &first[100..] {
        assert_eq!(world.answer(*client).rcode, rcode::NXDOMAIN);
    }
}

#[test]
fn one_question_more_than_wait_at_once_is_refused_with_the_reason() {
    let mut world = World::new();
    world.server(HOME).silent = true;
    for _ in 0..crate::QUERIES_MAX {
        world.put("a.test A");
    }
    let beyond = world.put("b.test A");
    let seen = world.answer(beyond);
    assert_eq!(seen.codes(), (rcode::REFUSED, Some(0)));
    assert_eq!(seen.why(), "too many questions at once");
}

#[test]
fn connections_end_with_a_sleep_and_those_that_all_names_need_are_there_again_when_it_is_over() {
    let home =
        "match = { name = \"home*\" }\n[dns]\nupstreams = [\"tls://192.0.2.53#dns.example\"]\n";
    let office = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"tls://10.8.0.1#corp.test\"]\nclaims = [\"corp.test\"]\n";
    let profiles = [("home", home), ("office", office)];
    let mut world = World::with(super::world::PLAIN, &profiles);
    for name in ["a.test A", "git.corp.test A"] {
        world.ask(name);
    }
    world.run();
    world.take_sent();
    assert!(world.take_hangups().is_empty());
    world.resolver.hang_up();
    world.pump();
    let groups: BTreeSet<_> = world.take_hangups().into_iter().collect();
    assert_eq!(groups.len(), world.plan.dns.scopes.len(), "{groups:?}");
    assert_eq!(world.take_sent(), [""; 0], "nothing is made before a sleep");
    // Not every end hears of it: what came to be in between is closed too.
    world.now = world.now + Duration::from_secs(3600);
    world.resolver.handle_resume(world.now);
    world.pump();
    assert_eq!(world.take_sent(), ["192.0.2.53 . NS by tcp"]);
    let again: BTreeSet<_> = world.take_hangups().into_iter().collect();
    assert_eq!(again, groups);
    world.run();
    world.take_sent();
    world.ask("git.corp.test A");
    assert_eq!(world.take_sent(), ["10.8.0.1 git.corp.test A by tcp"]);
}
