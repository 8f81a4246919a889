//! Who has which name, what when two want the same, and what is said when one goes?

use std::time::Duration;

use config::model::MdnsMode::{Off, Resolve, Respond};

use super::hosts::{World, addresses, wanted};
use crate::mdns::Finding;
use crate::mdns::message::{Section, Told, Writer};
use crate::record::RawRecord;
use crate::wire::rtype;

const SETTLE: Duration = Duration::from_secs(4);

fn voice(world: &World, host: usize) -> String {
    world.hosts[host].mdns.status()[0]
        .voice
        .clone()
        .unwrap_or_default()
}

#[test]
fn a_name_is_probed_for_three_times_and_announced_twice() {
    let mut world = World::new();
    let begun = world.now;
    world.host("printer", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(SETTLE);
    let sent: Vec<(u64, bool)> = world
        .sent
        .iter()
        .map(|(at, _, message)| {
            (
                u64::try_from(at.since(begun).as_millis()).unwrap(),
                message.response,
            )
        })
        .collect();
    assert_eq!(
        sent.iter()
            .map(|(_, response)| *response)
            .collect::<Vec<_>>(),
        [false, false, false, true, true]
    );
    assert!(sent[0].0 <= 250);
    let steps: Vec<u64> = sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert_eq!(steps, [250, 250, 250, 1000]);
    let (_, _, probe) = &world.sent[0];
    assert_eq!(
        probe.questions,
        [crate::mdns::message::Wanted {
            unicast: true,
            ..wanted("printer.local", rtype::ANY)
        }]
    );
    assert!(
        probe.authority.iter().all(|told| !told.flush),
        "the flush bit is for responses"
    );
    let (_, _, announced) = &world.sent[3];
    assert!(
        announced
            .answers
            .iter()
            .all(|told| told.flush && told.record.ttl == 120)
    );
    assert_eq!(voice(&world, 0), "answers for printer.local");
}

#[test]
fn who_comes_second_takes_another_name() {
    let mut world = World::new();
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(SETTLE);
    world.host("nas", Respond, &[(0, [192, 0, 2, 3])]);
    world.host("asker", Resolve, &[(0, [192, 0, 2, 9])]);
    world.run(SETTLE);
    assert_eq!(voice(&world, 0), "answers for nas.local");
    assert_eq!(voice(&world, 1), "answers for nas-2.local");
    assert_eq!(
        addresses(&world.find(2, "nas.local", rtype::A).0),
        ["192.0.2.2 lan0"]
    );
    assert_eq!(
        addresses(&world.find(2, "nas-2.local", rtype::A).0),
        ["192.0.2.3 lan0"]
    );
}

#[test]
fn of_two_that_come_at_once_one_wins_and_both_are_found() {
    for hosts in [2, 3] {
        let mut world = World::new();
        for last in 0..hosts {
            world.host("nas", Respond, &[(0, [192, 0, 2, 2 + last])]);
        }
        world.run(Duration::from_secs(20));
        let mut voices: Vec<String> = (0..usize::from(hosts))
            .map(|host| voice(&world, host))
            .collect();
        voices.sort();
        voices.dedup();
        assert_eq!(voices.len(), usize::from(hosts), "{voices:?}");
        assert!(
            voices.contains(&"answers for nas.local".to_owned()),
            "{voices:?}"
        );
    }
}

#[test]
fn networks_that_are_joined_sort_their_names_out() {
    let mut world = World::new();
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.host("nas", Respond, &[(1, [192, 0, 2, 3])]);
    world.run(SETTLE);
    // A cable joins both wires.
    for (wire, _) in &mut world.hosts[1].links {
        *wire = 0;
    }
    world.host("asker", Resolve, &[(0, [192, 0, 2, 9])]);
    world.run(Duration::from_secs(60));
    let _asked = world.ask(2, "nas.local", rtype::A);
    world.run(Duration::from_secs(20));
    let mut voices = [voice(&world, 0), voice(&world, 1)];
    voices.sort();
    assert_eq!(voices, ["answers for nas-2.local", "answers for nas.local"]);
}

#[test]
fn who_goes_says_goodbye() {
    let mut world = World::new();
    world.host("asker", Resolve, &[(0, [192, 0, 2, 1])]);
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(SETTLE);
    assert_eq!(
        addresses(&world.find(0, "nas.local", rtype::A).0),
        ["192.0.2.2 lan0"]
    );
    world.hosts[1].mdns.fall_silent();
    world.drain(1);
    let (_, _, goodbye) = world.sent.last().unwrap();
    assert!(goodbye.answers.iter().all(|told| told.record.ttl == 0));
    world.run(Duration::from_secs(2));
    assert_eq!(world.find(0, "nas.local", rtype::A).0, Finding::NoName);
}

#[test]
fn who_has_another_address_says_so() {
    let mut world = World::new();
    world.host("asker", Resolve, &[(0, [192, 0, 2, 1])]);
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(SETTLE);
    assert_eq!(
        addresses(&world.find(0, "nas.local", rtype::A).0),
        ["192.0.2.2 lan0"]
    );
    world.relink(1, Respond, &[(0, [192, 0, 2, 77])]);
    world.run(Duration::from_millis(2500));
    let (finding, ms) = world.find(0, "nas.local", rtype::A);
    assert_eq!(
        (addresses(&finding), ms),
        (vec!["192.0.2.77 lan0".to_owned()], 0)
    );
    let probes = world
        .sent
        .iter()
        .filter(|(_, host, message)| *host == 1 && !message.authority.is_empty());
    assert_eq!(probes.count(), 3, "what is ours is not probed for again");
}

#[test]
fn who_is_switched_off_says_goodbye_and_nothing_more() {
    let mut world = World::new();
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(SETTLE);
    world.relink(0, Resolve, &[(0, [192, 0, 2, 2])]);
    world.relink(0, Off, &[(0, [192, 0, 2, 2])]);
    world.host("asker", Resolve, &[(0, [192, 0, 2, 1])]);
    world.run(SETTLE);
    assert_eq!(world.find(1, "nas.local", rtype::A).0, Finding::NoName);
    assert_eq!(world.hosts[0].mdns.poll_timeout(), None);
}

/// A response of another program on the same machine.
fn of_this_machine(name: &str, ttl: u32) -> Vec<u8> {
    let told = Told {
        record: RawRecord::address(&name.parse().unwrap(), [192, 0, 2, 2].into(), ttl),
        flush: true,
    };
    let mut writer = Writer::response(0);
    writer.record(Section::Answer, &told);
    writer.finish()
}

#[test]
fn another_responder_of_this_machine_is_given_way_until_it_goes() {
    let mut world = World::new();
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(Duration::from_millis(300));
    world.inject(0, "192.0.2.2:5353", of_this_machine("nas.local", 120));
    world.run(Duration::from_millis(10));
    assert_eq!(
        voice(&world, 0),
        "gives way: another program of this machine answers for nas.local"
    );
    let before = world.sent.len();
    world.run(Duration::from_secs(30));
    assert_eq!(
        world.sent.len(),
        before,
        "not even a goodbye: the names are the other's"
    );
    world.inject(0, "192.0.2.2:5353", of_this_machine("nas.local", 0));
    world.run(SETTLE);
    assert_eq!(voice(&world, 0), "answers for nas.local");
}

#[test]
fn one_machine_on_one_wire_by_two_links_does_not_quarrel_with_itself() {
    let mut world = World::new();
    world.host("nas", Respond, &[(0, [192, 0, 2, 2]), (0, [192, 0, 2, 3])]);
    world.run(Duration::from_secs(10));
    assert_eq!(voice(&world, 0), "answers for nas.local");
}

#[test]
fn answers_are_not_repeated_within_a_second_and_not_given_to_who_knows_them() {
    let mut world = World::new();
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(Duration::from_secs(60));
    let question = |known: Option<u32>| {
        let mut writer = Writer::query();
        writer.question(&wanted("nas.local", rtype::A));
        if let Some(ttl) = known {
            let record =
                RawRecord::address(&"nas.local".parse().unwrap(), [192, 0, 2, 2].into(), ttl);
            writer.record(
                Section::Answer,
                &Told {
                    record,
                    flush: false,
                },
            );
        }
        writer.finish()
    };
    let count = |world: &mut World, wire: Vec<u8>| {
        let before = world.sent.len();
        world.inject(0, "192.0.2.50:5353", wire);
        world.run(Duration::from_millis(300));
        world.sent.len() - before
    };
    assert_eq!(count(&mut world, question(Some(100))), 0, "it is known");
    assert_eq!(
        count(&mut world, question(Some(59))),
        1,
        "it is about to be forgotten"
    );
    assert_eq!(
        count(&mut world, question(None)),
        0,
        "it was said 300 ms ago"
    );
    world.run(Duration::from_secs(1));
    assert_eq!(count(&mut world, question(None)), 1);
}

#[test]
fn a_client_without_multicast_dns_gets_what_it_understands() {
    let mut world = World::new();
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(Duration::from_secs(60));
    let mut writer = Writer::query();
    writer.question(&wanted("nas.local", rtype::A));
    let mut wire = writer.finish();
    wire[0] = 0x12;
    wire[1] = 0x34;
    world.inject(0, "192.0.2.50:40000", wire);
    world.run(Duration::from_millis(10));
    let (_, _, reply) = world.sent.last().unwrap();
    assert_eq!(reply.id, 0x1234);
    assert_eq!(reply.questions, [wanted("nas.local", rtype::A)]);
    assert!(reply.answers[0].record.ttl <= 10 && !reply.answers[0].flush);
}

#[test]
fn what_is_known_may_come_in_pieces() {
    let mut world = World::new();
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(Duration::from_secs(60));
    let mut writer = Writer::query();
    writer.question(&wanted("nas.local", rtype::A));
    writer.truncate();
    let record = RawRecord::address(&"nas.local".parse().unwrap(), [192, 0, 2, 2].into(), 120);
    let mut more = Writer::query();
    more.record(
        Section::Answer,
        &Told {
            record,
            flush: false,
        },
    );
    let before = world.sent.len();
    world.inject(0, "192.0.2.50:5353", writer.finish());
    world.run(Duration::from_millis(100));
    world.inject(0, "192.0.2.50:5353", more.finish());
    world.run(Duration::from_secs(1));
    assert_eq!(world.sent.len(), before);
}

#[test]
fn nobody_elsewhere_is_answered_alone() {
    let mut world = World::new();
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(Duration::from_secs(60));
    let question = |unicast| {
        let mut writer = Writer::query();
        writer.question(&crate::mdns::message::Wanted {
            unicast,
            ..wanted("nas.local", rtype::A)
        });
        writer.finish()
    };
    let before = world.sent.len();
    world.inject(0, "203.0.113.9:40000", question(false));
    world.run(Duration::from_millis(300));
    assert_eq!(world.sent.len(), before, "a reflector is worth nothing");
    // By the group, as any other: all hear it, and not more than once a second.
    for _ in 0..50 {
        world.inject(0, "203.0.113.9:5353", question(true));
        world.run(Duration::from_millis(10));
    }
    assert_eq!(world.sent.len(), before + 1);
    // Who is near may ask a lot, and is not answered without end.
    for _ in 0..1000 {
        world.inject(0, "192.0.2.50:40000", question(false));
        world.run(Duration::from_micros(500));
    }
    assert!(
        world.sent.len() <= before + 1 + 102,
        "{}",
        world.sent.len() - before
    );
}

#[test]
fn a_link_that_responds_beside_one_that_resolves_wakes_nobody_up() {
    let mut world = World::new();
    world.host(
        "nas",
        Respond,
        &[(0, [192, 0, 2, 2]), (1, [198, 51, 100, 2])],
    );
    world.mode(0, 1, Resolve);
    world.run(Duration::from_secs(60));
    assert_eq!(world.hosts[0].mdns.poll_timeout(), None);
    let _found = world.find(0, "x.local", rtype::A);
    world.run(Duration::from_secs(700));
    assert_eq!(world.hosts[0].mdns.poll_timeout(), None);
}
