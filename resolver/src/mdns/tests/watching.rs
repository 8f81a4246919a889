//! What does somebody see who watches?

use std::collections::BTreeSet;
use std::time::Duration;

use config::model::MdnsMode::Resolve;

use super::hosts::{World, wanted};
use crate::mdns::message::{Section, Told, Writer};
use crate::mdns::{BrowseId, Finding};
use crate::record::RawRecord;
use crate::wire::rtype;

const TYPE: &str = "_ipp._tcp.local";

fn service(instance: &str, ttl: u32) -> Vec<u8> {
    let told = Told {
        record: RawRecord::pointer(&TYPE.parse().unwrap(), &instance.parse().unwrap(), ttl),
        flush: false,
    };
    let mut writer = Writer::response(0);
    writer.record(Section::Answer, &told);
    writer.finish()
}

fn seen(world: &World) -> Vec<(bool, String)> {
    let sights = world.hosts[0].sights.iter();
    sights
        .map(|(_, sight)| {
            let target = config::name::DomainName::from_wire(&sight.record.rdata).unwrap();
            (sight.is_there, target.to_string())
        })
        .collect()
}

fn watcher() -> World {
    let mut world = World::new();
    world.host("asker", Resolve, &[(0, [192, 0, 2, 1])]);
    let now = world.now;
    assert!(
        world.hosts[0]
            .mdns
            .begin_browse(BrowseId(1), wanted(TYPE, rtype::PTR), None, now)
    );
    world.drain(0);
    world
}

#[test]
fn what_comes_and_goes_is_seen_once() {
    let mut world = watcher();
    world.run(Duration::from_secs(1));
    world.inject(0, "192.0.2.7:5353", service("one._ipp._tcp.local", 4500));
    world.run(Duration::from_secs(1));
    world.inject(0, "192.0.2.7:5353", service("one._ipp._tcp.local", 4500));
    world.inject(0, "192.0.2.8:5353", service("two._ipp._tcp.local", 120));
    world.run(Duration::from_secs(1));
    world.inject(0, "192.0.2.7:5353", service("one._ipp._tcp.local", 0));
    world.run(Duration::from_secs(2));
    let one = "one._ipp._tcp.local".to_owned();
    let two = "two._ipp._tcp.local".to_owned();
    assert_eq!(
        seen(&world),
        [(true, one.clone()), (true, two.clone()), (false, one)]
    );
    // Nobody answers for the second any more.
    world.run(Duration::from_secs(120));
    assert_eq!(seen(&world).last(), Some(&(false, two)));
}

#[test]
fn a_talkative_neighbour_is_told_as_far_as_it_is_remembered_and_what_makes_room_is_told_as_gone() {
    let mut world = watcher();
    world.run(Duration::from_secs(10));
    let mut most = 0;
    for message in 0..300_u32 {
        let mut writer = Writer::response(0);
        for number in 0..15 {
            // What comes first ends first, but for one in ten, which is of the last to end.
            let instance = format!("printer{message}x{number}._ipp._tcp.local");
            let ttl = if number % 10 == 0 { 4500 } else { 1000 };
            let record =
                RawRecord::pointer(&TYPE.parse().unwrap(), &instance.parse().unwrap(), ttl);
            let flush = false;
            assert!(writer.record(Section::Answer, &Told { record, flush }));
        }
        world.inject(0, "192.0.2.7:5353", writer.finish());
        world.run(Duration::from_millis(100));
        if message % 20 != 19 {
            continue;
        }
        let mut there = BTreeSet::new();
        for (is_there, instance) in seen(&world) {
            let is_news = match is_there {
                true => there.insert(instance.clone()),
                false => there.remove(&instance),
            };
            assert!(is_news, "{is_there} {instance}");
        }
        let known = world.hosts[0].mdns.status()[0].records;
        assert_eq!(there.len(), known, "after {message} messages");
        most = most.max(known);
    }
    assert!(most > 2000, "it was full: {most}");
}

#[test]
fn what_is_about_to_end_is_asked_for_and_what_is_known_goes_along() {
    let mut world = watcher();
    world.run(Duration::from_secs(10));
    world.inject(0, "192.0.2.7:5353", service("one._ipp._tcp.local", 100));
    world.run(Duration::from_secs(1));
    let from = world.sent.len();
    let begun = world.now;
    world.run(Duration::from_secs(98));
    let times: Vec<u64> = world.sent[from..]
        .iter()
        .map(|(at, ..)| at.since(begun).as_secs())
        .collect();
    for at in [79, 84, 89, 94] {
        assert!(times.contains(&at), "{at}: {times:?}");
    }
    let early = world.sent[from..]
        .iter()
        .filter(|(at, ..)| at.since(begun).as_secs() < 48);
    assert!(early.clone().count() > 0);
    assert!(
        early
            .into_iter()
            .all(|(_, _, message)| message.answers.len() == 1),
        "it is known"
    );
}

#[test]
fn a_client_gets_at_once_what_a_watcher_knows() {
    let mut world = watcher();
    world.inject(0, "192.0.2.7:5353", service("one._ipp._tcp.local", 4500));
    world.run(Duration::from_secs(1));
    let (finding, ms) = world.find(0, TYPE, rtype::PTR);
    assert!(matches!(finding, Finding::Records { records, .. } if records.len() == 1));
    assert_eq!(ms, 0);
}

#[test]
fn a_client_alone_collects_for_a_while() {
    let mut world = World::new();
    world.host(
        "asker",
        Resolve,
        &[(0, [192, 0, 2, 1]), (1, [198, 51, 100, 1])],
    );
    let asked = world.ask(0, TYPE, rtype::PTR).unwrap();
    world.run(Duration::from_millis(100));
    world.inject(0, "192.0.2.7:5353", service("one._ipp._tcp.local", 4500));
    world.run(Duration::from_millis(800));
    world.inject(1, "198.51.100.7:5353", service("two._ipp._tcp.local", 4500));
    world.run(Duration::from_secs(1));
    let (_, finding) = &world.hosts[0].found[&asked];
    let Finding::Records { links, records } = finding else {
        panic!("{finding:?}");
    };
    assert_eq!((links.len(), records.len()), (2, 2));
    assert_eq!(
        world.find(0, TYPE, rtype::PTR).1,
        0,
        "collected a moment ago"
    );
}

#[test]
fn who_stops_watching_is_not_told_and_asks_no_more() {
    let mut world = watcher();
    world.run(Duration::from_secs(1));
    let now = world.now;
    world.hosts[0].mdns.end_browse(BrowseId(1), now);
    let before = world.sent.len();
    world.inject(0, "192.0.2.7:5353", service("one._ipp._tcp.local", 4500));
    world.run(Duration::from_secs(700));
    assert_eq!(seen(&world), []);
    assert_eq!(world.sent.len(), before);
    assert_eq!(world.hosts[0].mdns.poll_timeout(), None);
}
