//! What do clients get, and what is sent for it?

use std::time::Duration;

use config::model::MdnsMode::{Resolve, Respond};

use super::hosts::{World, addresses, wanted};
use crate::mdns::Finding;
use crate::mdns::message::{Section, Told, Writer};
use crate::record::RawRecord;
use crate::wire::rtype;

const SETTLE: Duration = Duration::from_secs(4);

fn two() -> World {
    let mut world = World::new();
    world.host("asker", Resolve, &[(0, [192, 0, 2, 1])]);
    world.host("printer", Respond, &[(0, [192, 0, 2, 2])]);
    world.run(SETTLE);
    world
}

#[test]
fn a_neighbour_is_found_by_its_name_at_once() {
    let mut world = two();
    let (finding, ms) = world.find(0, "printer.local", rtype::A);
    assert_eq!(addresses(&finding), ["192.0.2.2 lan0"]);
    assert!(ms <= 5, "{ms}");
    let before = world.sent.len();
    let (again, ms) = world.find(0, "printer.local", rtype::A);
    assert_eq!((addresses(&again), ms), (addresses(&finding), 0));
    assert_eq!(world.sent.len(), before, "from the cache");
}

#[test]
fn a_name_that_nobody_has_is_denied_in_a_bit_more_than_a_second_and_then_at_once() {
    let mut world = two();
    let (finding, ms) = world.find(0, "nobody.local", rtype::A);
    assert_eq!((finding, ms), (Finding::NoName, 1300));
    let asked = world.sent.iter().filter(|(_, host, _)| *host == 0).count();
    assert_eq!(asked, 2, "two questions");
    let mut world = two();
    let _asked = world.ask(0, "nobody.local", rtype::A);
    world.run(Duration::from_millis(1400));
    assert_eq!(
        world.find(0, "nobody.local", rtype::A),
        (Finding::NoName, 0)
    );
}

#[test]
fn a_name_that_comes_up_is_not_denied_from_memory() {
    let mut world = two();
    let _asked = world.ask(0, "late.local", rtype::A);
    world.run(Duration::from_millis(1400));
    world.host("late", Respond, &[(0, [192, 0, 2, 3])]);
    world.run(Duration::from_millis(1500));
    assert_eq!(
        addresses(&world.find(0, "late.local", rtype::A).0),
        ["192.0.2.3 lan0"]
    );
}

#[test]
fn a_type_that_its_owner_denies_is_denied_at_once() {
    let mut world = two();
    let (finding, ms) = world.find(0, "printer.local", rtype::AAAA);
    assert_eq!(
        finding,
        Finding::NoRecords {
            link: "lan0".into()
        }
    );
    assert!(ms <= 5, "{ms}");
}

#[test]
fn a_type_that_an_owner_without_nsec_keeps_silent_of_is_denied_soon() {
    let mut world = World::new();
    world.host("asker", Resolve, &[(0, [192, 0, 2, 1])]);
    let _asked = world.ask(0, "old.local", rtype::A);
    world.run(Duration::from_millis(10));
    let told = Told {
        record: RawRecord::address(&"old.local".parse().unwrap(), [192, 0, 2, 9].into(), 120),
        flush: true,
    };
    let mut writer = Writer::response(0);
    writer.record(Section::Answer, &told);
    world.inject(0, "192.0.2.9:5353", writer.finish());
    world.run(Duration::from_millis(1));
    let (finding, ms) = world.find(0, "old.local", rtype::AAAA);
    assert_eq!(
        finding,
        Finding::NoRecords {
            link: "lan0".into()
        }
    );
    assert_eq!(ms, 400);
}

#[test]
fn a_lost_message_costs_a_second_and_no_answer() {
    let mut world = two();
    // The first question is lost.
    world.loses = |_, from| from == 0;
    let asked = world.ask(0, "printer.local", rtype::A).unwrap();
    world.run(Duration::from_millis(500));
    world.loses = |_, _| false;
    world.run(Duration::from_secs(2));
    let (_, finding) = &world.hosts[0].found[&asked];
    assert_eq!(addresses(finding), ["192.0.2.2 lan0"]);
}

#[test]
fn two_questions_of_one_client_go_in_one_message() {
    let mut world = two();
    let _a = world.ask(0, "printer.local", rtype::A);
    let _aaaa = world.ask(0, "printer.local", rtype::AAAA);
    world.run(Duration::from_secs(5));
    let asked: Vec<usize> = world
        .sent
        .iter()
        .filter(|(_, host, message)| *host == 0 && !message.response)
        .map(|(_, _, message)| message.questions.len())
        .collect();
    assert_eq!(asked, [2]);
}

#[test]
fn names_of_two_networks_are_never_mixed() {
    let mut world = World::new();
    world.host(
        "asker",
        Resolve,
        &[(0, [192, 0, 2, 1]), (1, [198, 51, 100, 1])],
    );
    world.host("nas", Respond, &[(0, [192, 0, 2, 2])]);
    world.host("nas", Respond, &[(1, [198, 51, 100, 2])]);
    world.host("only", Respond, &[(1, [198, 51, 100, 3])]);
    world.run(SETTLE);
    let (finding, _) = world.find(0, "nas.local", rtype::A);
    assert_eq!(addresses(&finding), ["192.0.2.2 lan0"], "the better link's");
    let (finding, ms) = world.find(0, "only.local", rtype::A);
    assert_eq!(addresses(&finding), ["198.51.100.3 lan1"]);
    assert!(
        (100..=110).contains(&ms),
        "the better link had its moment: {ms}"
    );
    // The first network goes: so does what it said.
    world.relink(0, Resolve, &[(1, [198, 51, 100, 1])]);
    let (finding, _) = world.find(0, "nas.local", rtype::A);
    assert_eq!(addresses(&finding), ["198.51.100.2 lan0"]);
}

#[test]
fn who_resolves_only_is_silent_until_somebody_asks_and_falls_silent_again() {
    let mut world = two();
    assert_eq!(world.hosts[0].mdns.poll_timeout(), None);
    assert!(world.sent.iter().all(|(_, host, _)| *host != 0));
    assert!(world.hosts[0].mdns.listening.is_empty());
    let _found = world.find(0, "printer.local", rtype::A);
    assert!(!world.hosts[0].mdns.listening.is_empty());
    world.run(Duration::from_secs(700));
    assert!(world.hosts[0].mdns.listening.is_empty());
    assert_eq!(world.hosts[0].mdns.poll_timeout(), None);
    assert_eq!(
        addresses(&world.find(0, "printer.local", rtype::A).0),
        ["192.0.2.2 lan0"]
    );
}

#[test]
fn a_response_from_another_port_or_from_elsewhere_is_not_heard() {
    let mut world = two();
    let _asked = world.ask(0, "forged.local", rtype::A);
    world.run(Duration::from_millis(10));
    let told = Told {
        record: RawRecord::address(
            &"forged.local".parse().unwrap(),
            [203, 0, 113, 9].into(),
            120,
        ),
        flush: true,
    };
    let mut writer = Writer::response(0);
    writer.record(Section::Answer, &told);
    let wire = writer.finish();
    world.inject(0, "192.0.2.9:53", wire.clone());
    world.run(Duration::from_millis(10));
    let place = *world.hosts[0].mdns.listening.first().unwrap();
    for (source, hop_limit) in [("203.0.113.9:5353", 255), ("192.0.2.9:5353", 64)] {
        let heard = crate::mdns::Heard {
            place,
            source: source.parse().unwrap(),
            to_group: false,
            hop_limit: Some(hop_limit),
            from_self: false,
            wire: &wire,
        };
        let now = world.now;
        world.hosts[0].mdns.handle_heard(&heard, now);
    }
    world.run(Duration::from_secs(3));
    let finding = world.hosts[0]
        .found
        .values()
        .next()
        .map(|(_, finding)| finding.clone());
    assert_eq!(finding, Some(Finding::NoName));
    assert!(world.hosts[0].mdns.status()[0].ignored >= 3);
}

#[test]
fn the_way_back_from_an_address_is_found() {
    let mut world = two();
    let (finding, ms) = world.find(0, "2.2.0.192.in-addr.arpa", rtype::PTR);
    let Finding::Records { records, .. } = finding else {
        panic!("{finding:?}");
    };
    assert_eq!(records[0].rdata, b"\x07printer\x05local\0");
    assert!(ms <= 5);
}

#[test]
fn a_responder_answers_its_own_programs_too() {
    let mut world = two();
    let (finding, ms) = world.find(1, "printer.local", rtype::A);
    assert_eq!(
        (addresses(&finding), ms),
        (vec!["192.0.2.2 lan0".to_owned()], 0)
    );
    assert_eq!(world.find(1, "printer.local", rtype::AAAA).1, 0);
    drop(wanted("x.local", 1));
}
