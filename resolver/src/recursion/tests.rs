//! Recursion against a simulated Internet: good servers, bad ones, and attackers. Time is virtual.

mod internet;

use rand::RngExt as _;

use super::*;
use crate::event::{Channel, Failure};
use crate::record::RawRecord;
use crate::wire::{rcode, rtype};
use internet::{BOTH, BUDGET, Habit, Internet, Run, encode, name, question, record};

/// `a.test` on 1.1.0.1 and 1.1.0.2, with glue.
fn with_zone() -> Internet {
    let mut net = Internet::new();
    let cut = [
        "a.test NS ns1.a.test",
        "a.test NS ns2.a.test",
        "ns1.a.test A 1.1.0.1",
        "ns2.a.test A 1.1.0.2",
    ];
    net.add("test", &cut);
    net.zone("a.test", &["1.1.0.1", "1.1.0.2"], &cut);
    net.add("a.test", &["www.a.test A 9.9.9.1", "x.y.a.test A 9.9.9.2"]);
    net
}

fn addresses(run: &Run) -> Vec<String> {
    let reply = run.result.as_ref().unwrap();
    let texts = reply.answers.iter().filter_map(roots::address_of);
    texts.map(|address| address.to_string()).collect()
}

fn asked(run: &Run) -> Vec<String> {
    run.asks
        .iter()
        .map(|ask| format!("{} {}", ask.question.name, ask.question.record_type))
        .collect()
}

#[test]
fn a_name_is_found_from_the_root_down_and_each_server_sees_its_part() {
    let run = with_zone().resolve("www.a.test", rtype::AAAA);
    let reply = run.result.as_ref().unwrap();
    assert_eq!((reply.rcode, reply.answers.len()), (rcode::NOERROR, 0));
    assert_eq!(reply.authority[0].record_type, rtype::SOA);
    assert_eq!(asked(&run), [". 2", "test 1", "a.test 1", "www.a.test 28"]);
    let run = with_zone().resolve("www.a.test", rtype::A);
    assert_eq!(addresses(&run), ["9.9.9.1"]);
    let reply = run.result.unwrap();
    assert!(reply.recursion_available && !reply.authentic_data && !reply.authoritative);
    assert!(reply.edns.unwrap().dnssec_ok);
}

#[test]
fn a_second_walk_begins_at_the_delegation_that_the_first_found() {
    let mut net = with_zone();
    let mut recursion = net.recursion();
    let first = question("www.a.test", rtype::A);
    net.resolve_with(&mut recursion, first.clone(), BOTH, Instant::ZERO);
    let again = net.resolve_with(&mut recursion, first.clone(), BOTH, Instant::ZERO);
    assert_eq!(asked(&again), ["www.a.test 1"]);
    let later = Instant::ZERO + Duration::from_secs(301);
    let expired = net.resolve_with(&mut recursion, first, BOTH, later);
    assert_eq!(
        asked(&expired),
        [". 2", "test 1", "a.test 1", "www.a.test 1"]
    );
}

#[test]
fn a_denied_name_is_denied_with_its_soa() {
    let run = with_zone().resolve("no.such.a.test", rtype::A);
    let reply = run.result.unwrap();
    assert_eq!(reply.rcode, rcode::NXDOMAIN);
    assert!(reply.authority[0].is_at(&name("a.test")));
}

#[test]
fn bad_servers_cost_time_but_no_answer() {
    let rows = [
        (Habit::Silent, Habit::Good),
        (Habit::Lame, Habit::Good),
        (Habit::Upward, Habit::Good),
        (Habit::NoEdns, Habit::NoEdns),
        (Habit::Truncates, Habit::Truncates),
        (Habit::Confused, Habit::Confused),
        (Habit::Loses(1), Habit::Loses(1)),
        (Habit::DeniesEmpty, Habit::DeniesEmpty),
    ];
    for (one, two) in rows {
        let mut net = with_zone();
        net.habit("1.1.0.1", one);
        net.habit("1.1.0.2", two);
        let run = net.resolve("x.y.a.test", rtype::A);
        assert_eq!(addresses(&run), ["9.9.9.2"], "{one:?}");
        assert!(run.elapsed < Duration::from_secs(4), "{one:?}");
    }
}

#[test]
fn truncation_leads_to_tcp_and_formerr_to_no_edns() {
    let mut net = with_zone();
    net.habit("1.1.0.1", Habit::Truncates);
    net.habit("1.1.0.2", Habit::Truncates);
    let run = net.resolve("www.a.test", rtype::A);
    assert_eq!(run.asks.last().unwrap().channel, Channel::Tcp);
    net.habit("1.1.0.1", Habit::NoEdns);
    net.habit("1.1.0.2", Habit::NoEdns);
    let run = net.resolve("www.a.test", rtype::A);
    assert_eq!(run.asks.last().unwrap().wire[11], 0);
}

#[test]
fn servers_that_are_all_silent_or_lame_end_the_walk_with_a_reason() {
    for habit in [Habit::Silent, Habit::Lame, Habit::Upward] {
        let mut net = with_zone();
        net.habit("1.1.0.1", habit);
        net.habit("1.1.0.2", habit);
        let run = net.resolve("www.a.test", rtype::A);
        let Err(WalkFailure::NoServer { zone, .. }) = run.result else {
            panic!("{habit:?}: {:?}", run.result);
        };
        assert_eq!(zone, name("a.test"));
    }
}

#[test]
fn a_delegation_whose_servers_moved_is_asked_for_again() {
    let mut net = with_zone();
    let mut recursion = net.recursion();
    let www = question("www.a.test", rtype::A);
    net.resolve_with(&mut recursion, www.clone(), BOTH, Instant::ZERO);
    let mut moved = Internet::new();
    let cut = ["a.test NS ns3.a.test", "ns3.a.test A 1.1.0.3"];
    moved.add("test", &cut);
    moved.zone("a.test", &["1.1.0.3"], &["www.a.test A 9.9.9.3"]);
    let run = moved.resolve_with(&mut recursion, www, BOTH, Instant::ZERO);
    assert_eq!(addresses(&run), ["9.9.9.3"]);
}

#[test]
fn records_outside_the_zone_asked_are_never_believed() {
    let mut net = with_zone();
    net.add(
        "test",
        &["evil.test NS ns.evil.test", "ns.evil.test A 6.0.0.1"],
    );
    net.zone("evil.test", &["6.0.0.1"], &["www.evil.test A 6.6.6.6"]);
    net.zone(
        "victim.example",
        &["6.0.0.1"],
        &["www.victim.example A 6.6.6.6"],
    );
    let poison = ["www.a.test A 6.6.6.6", "ns1.a.test A 6.0.0.1"];
    net.poison
        .insert("6.0.0.1".parse().unwrap(), poison.map(record).into());
    // An alias into a's zone, with a forged record for its target in the same message.
    net.add(
        "evil.test",
        &["go.evil.test CNAME www.a.test", "go.evil.test RRSIG 5"],
    );
    let mut recursion = net.recursion();
    let asked = question("www.evil.test", rtype::A);
    net.resolve_with(&mut recursion, asked, BOTH, Instant::ZERO);
    let asked = question("go.evil.test", rtype::A);
    let run = net.resolve_with(&mut recursion, asked, BOTH, Instant::ZERO);
    assert_eq!(addresses(&run), ["9.9.9.1"]);

    let zone = name("evil.test");
    let asked = question("go.evil.test", rtype::A);
    let forged = ["go.evil.test CNAME www.a.test", "www.a.test A 6.6.6.6"].map(record);
    let sideways = ["a.test NS ns.evil.test"].map(record);
    let reply = |answers: &[RawRecord], authority: &[RawRecord], flags| {
        let wire = encode(&asked, flags, [answers, authority, &[]]);
        let reply = crate::record::parse_reply(&wire, 0, &asked).unwrap();
        sort::sort(&asked, &zone, Addresses::Any, &reply)
    };
    let sort::Sorted::Alias(piece) = reply(&forged, &[], 0x8400) else {
        panic!("the target is outside");
    };
    assert_eq!(piece.answers, forged[..1]);
    assert!(matches!(
        reply(&[], &sideways, 0x8000),
        sort::Sorted::Lame(_)
    ));
    let itself = ["evil.test NS ns.evil.test"].map(record);
    assert!(matches!(reply(&[], &itself, 0x8000), sort::Sorted::Lame(_)));
}

#[test]
fn aliases_are_followed_across_zones_and_dname_is_made_anew() {
    let mut net = with_zone();
    net.add("test", &["b.test NS ns.b.test", "ns.b.test A 1.2.0.1"]);
    net.zone(
        "b.test",
        &["1.2.0.1"],
        &[
            "to.b.test CNAME www.a.test",
            "to.b.test RRSIG 5",
            "tree.b.test DNAME a.test",
            "one.b.test CNAME two.b.test",
            "two.b.test CNAME one.b.test",
        ],
    );
    let run = net.resolve("to.b.test", rtype::A);
    let types: Vec<u16> = run
        .result
        .as_ref()
        .unwrap()
        .answers
        .iter()
        .map(|r| r.record_type)
        .collect();
    assert_eq!(types, [rtype::CNAME, rtype::RRSIG, rtype::A]);
    let run = net.resolve("www.tree.b.test", rtype::A);
    let types: Vec<u16> = run
        .result
        .as_ref()
        .unwrap()
        .answers
        .iter()
        .map(|r| r.record_type)
        .collect();
    assert_eq!(types, [rtype::DNAME, rtype::CNAME, rtype::A]);
    let run = net.resolve("one.b.test", rtype::A);
    assert_eq!(run.result, Err(WalkFailure::Aliases(name("one.b.test"))));
}

#[test]
fn ds_is_answered_by_the_parent_and_dnskey_by_the_child() {
    let mut net = with_zone();
    net.add("test", &["a.test DS 1", "a.test RRSIG 43"]);
    let mut recursion = net.recursion();
    let ds = question("a.test", rtype::DS);
    let run = net.resolve_with(&mut recursion, ds.clone(), BOTH, Instant::ZERO);
    assert_eq!(run.result.unwrap().answers.len(), 2);
    assert_eq!(run.asks.last().unwrap().server.to_string(), "1.0.0.2");
    let key = question("a.test", rtype::DNSKEY);
    let run = net.resolve_with(&mut recursion, key, BOTH, Instant::ZERO);
    assert!(
        run.asks
            .last()
            .unwrap()
            .server
            .to_string()
            .starts_with("1.1.0.")
    );
    // The referral brought DS along.
    let run = net.resolve_with(&mut recursion, ds, BOTH, Instant::ZERO);
    assert_eq!((run.asks.len(), run.result.unwrap().answers.len()), (0, 2));
}

#[test]
fn a_server_without_glue_is_looked_up_on_the_way() {
    let mut net = with_zone();
    net.add("test", &["c.test NS dns.a.test"]);
    net.add("a.test", &["dns.a.test A 1.3.0.1"]);
    net.zone("c.test", &["1.3.0.1"], &["www.c.test A 9.9.9.4"]);
    assert_eq!(addresses(&net.resolve("www.c.test", rtype::A)), ["9.9.9.4"]);
}

#[test]
fn servers_that_wait_for_each_other_are_given_up() {
    let mut net = Internet::new();
    net.add(
        "test",
        &[
            "b.test NS ns.c.test",
            "c.test NS ns.d.test",
            "d.test NS ns.b.test",
            "e.test NS ns.e.test",
        ],
    );
    for asked in ["www.b.test", "www.e.test"] {
        let run = net.resolve(asked, rtype::A);
        assert!(
            matches!(run.result, Err(WalkFailure::NoServer { .. })),
            "{:?}",
            run.result
        );
        assert!(run.asks.len() < 20, "{}", run.asks.len());
    }
}

#[test]
fn only_reachable_kinds_of_addresses_are_asked() {
    let mut net = Internet::default();
    net.zone(
        ".",
        &["2001:db8::1", "1.0.0.1"],
        &[
            ". NS ns.root",
            "ns.root AAAA 2001:db8::1",
            "test NS ns.test",
            "ns.test AAAA 2001:db8::2",
            "ns.test A 1.0.0.2",
        ],
    );
    net.zone("test", &["2001:db8::2"], &["www.test A 9.9.9.9"]);
    let mut recursion = net.recursion();
    let only_v6 = Reach {
        v4: false,
        v6: true,
    };
    let run = net.resolve_with(
        &mut recursion,
        question("www.test", rtype::A),
        only_v6,
        Instant::ZERO,
    );
    assert_eq!(addresses(&run), ["9.9.9.9"]);
    assert!(run.asks.iter().all(|ask| ask.server.is_ipv6()));
}

#[test]
fn private_addresses_in_public_delegations_are_never_asked() {
    let mut net = Internet::new();
    net.add("test", &["p.test NS ns.p.test", "ns.p.test A 192.168.1.1"]);
    net.zone("p.test", &["192.168.1.1"], &["www.p.test A 9.9.9.9"]);
    let mut recursion = net.recursion_with(Addresses::Public);
    let asked = question("www.p.test", rtype::A);
    let run = net.resolve_with(&mut recursion, asked, BOTH, Instant::ZERO);
    assert!(run.result.is_err());
    assert!(
        run.asks
            .iter()
            .all(|ask| ask.server.to_string() != "192.168.1.1")
    );
    assert_eq!(addresses(&net.resolve("www.p.test", rtype::A)), ["9.9.9.9"]);
}

#[test]
fn a_delegation_to_many_servers_without_glue_costs_its_victim_little() {
    let mut net = with_zone();
    let many: Vec<String> = (0..50)
        .map(|at| format!("nx.test NS no{at}.victim.test"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    net.add("test", &many);
    net.add(
        "test",
        &["victim.test NS ns.victim.test", "ns.victim.test A 1.4.0.1"],
    );
    net.zone("victim.test", &["1.4.0.1"], &["www.victim.test A 9.9.9.5"]);
    let run = net.resolve("www.nx.test", rtype::A);
    assert!(run.result.is_err());
    let hits = run
        .asks
        .iter()
        .filter(|ask| ask.server.to_string() == "1.4.0.1")
        .count();
    assert!((1..=6).contains(&hits), "{hits}");
}

#[test]
fn the_budget_ends_a_walk() {
    let mut net = with_zone();
    net.habit("1.0.0.1", Habit::Silent);
    let mut recursion = net.recursion();
    let budget = Duration::from_millis(700);
    let mut walk = recursion.begin(question("a.test", 1), true, BOTH, budget, Instant::ZERO);
    while let Some(due) = walk.poll_timeout() {
        walk.handle_timeout(&mut recursion, due);
    }
    assert_eq!(walk.poll_done(), Some(Err(WalkFailure::TimeSpent)));
    assert_eq!(walk.poll_done(), None);
}

#[test]
fn what_is_late_or_lost_because_nobody_was_there_is_held_against_no_server() {
    let mut recursion = Internet::new().recursion();
    let (asked, budget) = (question("a.test", rtype::A), Duration::from_secs(60));
    let mut walk = recursion.begin(asked, true, BOTH, budget, Instant::ZERO);
    let ask = walk.poll_transmit().unwrap();
    let patience = recursion.servers.patience(ask.server, Channel::Udp);
    let back_at = Instant::ZERO + Duration::from_secs(5);
    recursion.handle_absence(back_at);
    walk.handle_timeout(&mut recursion, back_at);
    assert_eq!(recursion.servers.len(), 0);
    let reply = encode(&ask.question, 0x8002, [&[], &[], &[]]);
    walk.handle_reply(ask.id, &reply, &mut recursion, back_at);
    let after = recursion.servers.patience(ask.server, Channel::Udp);
    assert_eq!((recursion.servers.len(), after), (1, patience));
}

/// Replies put together at random from what matters here, some bytes broken.
fn random_reply(asked: &Question, rng: &mut StdRng) -> Vec<u8> {
    let names = [
        "test",
        "a.test",
        "b.test",
        "ns.a.test",
        "ns.b.test",
        "x.a.test",
        "y.x.a.test",
        ".",
    ];
    let mut section = |most: usize| -> Vec<RawRecord> {
        (0..rng.random_range(0..=most))
            .map(|_| {
                let mut pick = || names[rng.random_range(0..names.len())];
                let (owner, target) = (pick(), pick());
                let owner = if rng.random_range(0..3) == 0 {
                    asked.name.clone()
                } else {
                    name(owner)
                };
                let kinds = ["NS", "NS", "NS", "CNAME", "DNAME", "SOA", "A", "DS"];
                let kind = kinds[rng.random_range(0..kinds.len())];
                let value = if kind == "A" { "1.2.3.4" } else { target };
                record(&format!("{owner} {kind} {value}"))
            })
            .collect()
    };
    let sections = [section(3), section(4), section(4)];
    let flags = [0x8000, 0x8400, 0x8403, 0x8600, 0x8005, 0x8001, 0x8002][rng.random_range(0..7)];
    let mut wire = encode(asked, flags, [&sections[0], &sections[1], &sections[2]]);
    if rng.random_range(0..8) == 0 {
        let at = rng.random_range(0..wire.len());
        wire[at] = rng.random();
    }
    wire
}

#[test]
fn no_replies_whatever_make_a_walk_panic_or_ask_too_much() {
    let mut most = 0;
    for seed in 0..300u16 {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&seed.to_be_bytes());
        let mut rng = StdRng::from_seed(bytes);
        let mut recursion = Internet::new().recursion();
        let types = [rtype::A, rtype::DS, rtype::ANY, rtype::NS];
        let asked = question("y.x.a.test", types[rng.random_range(0..4)]);
        let mut now = Instant::ZERO;
        let mut walk = recursion.begin(asked, seed % 2 == 0, BOTH, BUDGET, now);
        let mut ended = false;
        let mut open = Vec::new();
        for _ in 0..2000 {
            while let Some(ask) = walk.poll_transmit() {
                open.push(ask);
            }
            if walk.poll_done().is_some() {
                ended = true;
                break;
            }
            now = now + Duration::from_millis(1);
            match (open.pop(), rng.random_range(0..10)) {
                (Some(ask), 0) => walk.handle_failure(ask.id, Failure::Closed, &mut recursion, now),
                (Some(ask), 1..) => {
                    let wire = random_reply(&ask.question, &mut rng);
                    walk.handle_reply(ask.id, &wire, &mut recursion, now);
                }
                (None, _) | (Some(_), _) => {
                    now = walk.poll_timeout().unwrap();
                    walk.handle_timeout(&mut recursion, now);
                }
            }
        }
        assert!(ended, "seed {seed}");
        assert!(walk.asks() <= ASKS_MAX, "seed {seed}");
        most = most.max(walk.asks());
    }
    assert!(most > 10, "the replies are too dull: {most}");
}

#[test]
fn signatures_are_for_those_who_ask_for_them() {
    let mut net = with_zone();
    net.add("a.test", &["www.a.test RRSIG 1"]);
    assert_eq!(
        net.resolve("www.a.test", rtype::A)
            .result
            .unwrap()
            .answers
            .len(),
        2
    );
    let mut recursion = net.recursion();
    let asked = question("www.a.test", rtype::A);
    let mut walk = recursion.begin(asked.clone(), false, BOTH, BUDGET, Instant::ZERO);
    walk.answer(
        0,
        &[record("www.a.test A 9.9.9.1"), record("www.a.test RRSIG 1")],
        &[],
    );
    let wire = walk.poll_done().unwrap().unwrap();
    let reply = crate::record::parse_reply(&wire, 0, &asked).unwrap();
    assert_eq!(reply.answers.len(), 1);
}

#[test]
fn referrals_without_end_are_cut_by_the_number_of_messages() {
    let mut recursion = Internet::new().recursion();
    let deep = question(&vec!["a"; 120].join("."), rtype::A);
    let mut now = Instant::ZERO;
    let mut walk = recursion.begin(deep.clone(), true, BOTH, BUDGET, now);
    let mut depth = 0;
    while let Some(ask) = walk.poll_transmit() {
        now = now + Duration::from_millis(1);
        let referral = if ask.question.record_type == rtype::NS {
            encode(&ask.question, 0x8002, [&[], &[], &[]])
        } else {
            depth += 1;
            let cut = vec!["a"; depth].join(".");
            let down = [record(&format!("{cut} NS ns.{cut}"))];
            let glue = [record(&format!("ns.{cut} A 1.2.3.4"))];
            encode(&ask.question, 0x8000, [&[], &down, &glue])
        };
        walk.handle_reply(ask.id, &referral, &mut recursion, now);
    }
    assert_eq!(walk.poll_done(), Some(Err(WalkFailure::AsksSpent)));
    assert_eq!(walk.asks(), ASKS_MAX);
}

#[test]
fn failed_priming_falls_back_to_the_hints() {
    let mut recursion = with_zone().recursion();
    let asked = question("www.test", rtype::A);
    let mut walk = recursion.begin(asked.clone(), true, BOTH, BUDGET, Instant::ZERO);
    let prime = walk.poll_transmit().unwrap();
    assert_eq!(prime.question.record_type, rtype::NS);
    walk.handle_failure(prime.id, Failure::Refused, &mut recursion, Instant::ZERO);
    let next = walk.poll_transmit().unwrap();
    assert_eq!(next.question.name, name("test"));
    assert_eq!(next.server, prime.server);
}

#[test]
fn a_host_that_was_not_found_in_one_walk_is_looked_up_in_the_next() {
    let mut net = with_zone();
    net.add("test", &["c.test NS dns.a.test"]);
    net.add("a.test", &["dns.a.test A 1.3.0.1"]);
    net.zone("c.test", &["1.3.0.1"], &["www.c.test A 9.9.9.4"]);
    net.habit("1.1.0.1", Habit::Silent);
    net.habit("1.1.0.2", Habit::Silent);
    let mut recursion = net.recursion();
    let asked = question("www.c.test", rtype::A);
    let run = net.resolve_with(&mut recursion, asked.clone(), BOTH, Instant::ZERO);
    assert!(run.result.is_err());
    net.habit("1.1.0.1", Habit::Good);
    net.habit("1.1.0.2", Habit::Good);
    let run = net.resolve_with(&mut recursion, asked, BOTH, Instant::ZERO);
    assert_eq!(addresses(&run), ["9.9.9.4"]);
}

#[test]
fn glue_counts_only_when_the_referring_zone_may_speak_for_the_server() {
    let mut net = with_zone();
    net.add(
        "test",
        &["evil.test NS ns.evil.test", "ns.evil.test A 6.0.0.1"],
    );
    net.zone(
        "evil.test",
        &["6.0.0.1"],
        &["s.evil.test NS dns.a.test", "dns.a.test A 6.0.0.9"],
    );
    net.add("a.test", &["dns.a.test A 1.3.0.1"]);
    net.zone(
        "s.evil.test",
        &["1.3.0.1", "6.0.0.9"],
        &["www.s.evil.test A 9.9.9.6"],
    );
    let run = net.resolve("www.s.evil.test", rtype::A);
    assert_eq!(addresses(&run), ["9.9.9.6"]);
    assert!(
        run.asks
            .iter()
            .all(|ask| ask.server.to_string() != "6.0.0.9")
    );
}

#[test]
fn replies_are_sorted_by_what_the_server_may_say() {
    #[derive(Debug, PartialEq)]
    enum Is {
        Answer,
        Alias,
        Referral,
        Lame,
        Broken,
    }
    let (aa, none) = (0x8400, 0x8000);
    // Flags, answers, authority, what it is; `www.a.test` A is asked of a server of `a.test`.
    let rows: Vec<(u16, &[&str], &[&str], Is)> = vec![
        (aa, &["www.a.test A 9.9.9.1"], &[], Is::Answer),
        (none, &["www.a.test A 9.9.9.1"], &[], Is::Answer),
        (none | 0x80, &["www.a.test A 9.9.9.1"], &[], Is::Lame),
        (aa, &["b.test A 9.9.9.1"], &[], Is::Answer),
        (none, &["b.test A 9.9.9.1"], &[], Is::Lame),
        (
            aa,
            &["www.a.test CNAME w.a.test", "w.a.test A 9.9.9.1"],
            &[],
            Is::Answer,
        ),
        (aa, &["www.a.test CNAME w.a.test"], &[], Is::Alias),
        (
            aa,
            &["www.a.test CNAME w.a.test"],
            &["a.test SOA a.test"],
            Is::Answer,
        ),
        (
            aa,
            &["www.a.test CNAME b.test", "b.test A 9.9.9.1"],
            &[],
            Is::Alias,
        ),
        (aa, &["a.test DNAME b.test"], &[], Is::Alias),
        (aa, &["test DNAME b.example"], &[], Is::Answer),
        (aa, &[], &["a.test SOA a.test"], Is::Answer),
        (aa, &[], &["test SOA test"], Is::Lame),
        (aa | 3, &[], &[". SOA ."], Is::Lame),
        (none, &[], &["www.a.test NS ns.b.test"], Is::Referral),
        (aa, &[], &["www.a.test NS ns.b.test"], Is::Referral),
        (none, &[], &["a.test NS ns.b.test"], Is::Lame),
        (none, &[], &["test NS ns.b.test"], Is::Lame),
        (none, &[], &["w.a.test NS ns.b.test"], Is::Lame),
        (none, &[], &["x.www.a.test NS ns.b.test"], Is::Lame),
        (none, &[], &[], Is::Lame),
        (aa, &[], &[], Is::Answer),
        (none | 5, &[], &[], Is::Lame),
        (none | 2, &[], &[], Is::Broken),
    ];
    let asked = question("www.a.test", rtype::A);
    for (flags, answers, authority, expected) in rows {
        let records =
            |texts: &[&str]| -> Vec<RawRecord> { texts.iter().map(|text| record(text)).collect() };
        let wire = encode(&asked, flags, [&records(answers), &records(authority), &[]]);
        let reply = crate::record::parse_reply(&wire, 0, &asked).unwrap();
        let found = match sort::sort(&asked, &name("a.test"), Addresses::Any, &reply) {
            sort::Sorted::Answer(_) => Is::Answer,
            sort::Sorted::Alias(_) => Is::Alias,
            sort::Sorted::Referral(_) => Is::Referral,
            sort::Sorted::Lame(_) => Is::Lame,
            sort::Sorted::Broken(_) => Is::Broken,
        };
        assert_eq!(found, expected, "{flags:x} {answers:?} {authority:?}");
    }
}

#[test]
fn a_referral_to_the_zone_whose_ds_is_asked_for_is_the_answer() {
    let asked = question("c.a.test", rtype::DS);
    let authority = [
        "c.a.test NS ns.b.test",
        "c.a.test DS 1",
        "c.a.test RRSIG 43",
    ]
    .map(record);
    let wire = encode(&asked, 0x8000, [&[], &authority, &[]]);
    let reply = crate::record::parse_reply(&wire, 0, &asked).unwrap();
    let sorted = sort::sort(&asked, &name("a.test"), Addresses::Any, &reply);
    let sort::Sorted::Answer(piece) = sorted else {
        panic!("{sorted:?}");
    };
    assert_eq!(piece.answers, authority[1..]);
}
