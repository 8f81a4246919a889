//! Which questions go to the neighbours, and what does a client get?

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use config::model::Prefix;

use crate::event::Stub;
use crate::mdns::message::{Message, Section, Told, Writer};
use crate::mdns::{Family, Heard, MDNS_PORT, PlaceId, Spoken, Whom};
use crate::record::RawRecord;
use crate::tests::message::asked;
use crate::tests::world::{HOME, Say, World};

const MAIN: &str = "[resolver]\ndnssec = \"off\"\n";
const HOME_PROFILE: (&str, &str) = (
    "home",
    "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\nmdns = \"resolve\"\n",
);

fn world(main: &str, profiles: &[(&str, &str)]) -> World {
    let mut world = World::with(main, profiles);
    for link in world.facts.links.values_mut() {
        link.multicast = true;
        link.addresses = vec![Prefix {
            address: IpAddr::from([192, 0, 2, 2]),
            length: 24,
        }];
    }
    // As the root denies it.
    let denial = [Vec::new(), vec![". 60 SOA 60".to_owned()], Vec::new()];
    world.server(HOME).otherwise(Say::Sections(3, denial));
    world.apply();
    world
}

/// Runs, answering as a neighbour does; returns the names that were asked by multicast.
fn run(world: &mut World, answers: &[Told]) -> Vec<String> {
    let mut heard = Vec::new();
    for _ in 0..200 {
        drop(world.resolver.poll_listening());
        let mut spoken: Vec<Spoken> = Vec::new();
        while let Some(one) = world.resolver.poll_spoken() {
            spoken.push(one);
        }
        for Spoken { place, to, wire } in spoken {
            assert_eq!(to, Whom::Group);
            let message = Message::parse(&wire).unwrap();
            let names = message
                .questions
                .iter()
                .map(|wanted| format!("{} {}", wanted.name, wanted.record_type));
            heard.extend(names);
            let mut writer = Writer::response(0);
            for told in answers {
                if message
                    .questions
                    .iter()
                    .any(|wanted| wanted.is_answered_by(&told.record))
                {
                    writer.record(Section::Answer, told);
                }
            }
            if !writer.is_empty() {
                hear(world, place, &writer.finish());
            }
        }
        world.run_for(20);
    }
    heard
}

fn hear(world: &mut World, place: PlaceId, wire: &[u8]) {
    let now = world.now;
    let heard = Heard {
        place,
        source: SocketAddr::new(IpAddr::from([192, 0, 2, 9]), MDNS_PORT),
        to_group: place.family == Family::V4,
        hop_limit: Some(255),
        from_self: false,
        wire,
    };
    world.resolver.handle_heard(&heard, now);
    world.pump();
}

fn told(name: &str, record_type: u16, rdata: &[u8]) -> Told {
    Told {
        record: RawRecord::new(&name.parse().unwrap(), record_type, 120, rdata.to_vec()),
        flush: true,
    }
}

#[test]
fn a_name_in_local_is_asked_of_the_neighbours_and_of_nobody_else() {
    let mut world = world(MAIN, &[HOME_PROFILE]);
    let client = world.put("printer.local A");
    let asked = run(&mut world, &[told("printer.local", 1, &[192, 0, 2, 7])]);
    let answer = world.answer(client);
    assert_eq!(answer.rcode, 0, "{answer:?}");
    assert!(format!("{answer:?}").contains("192.0.2.7"), "{answer:?}");
    assert_eq!(asked, ["printer.local 1"]);
    assert_eq!(
        world.take_sent(),
        ["192.0.2.53 local SOA"],
        "the zone, and never the name"
    );
}

#[test]
fn a_name_that_nobody_has_is_denied_with_the_reason() {
    let mut world = world(MAIN, &[HOME_PROFILE]);
    let client = world.put("nobody.local A");
    run(&mut world, &[]);
    let answer = world.answer(client);
    assert_eq!(answer.rcode, 3);
    assert!(
        format!("{answer:?}").contains("nobody on home0 answered"),
        "{answer:?}"
    );
}

#[test]
fn a_claimed_name_in_local_is_never_asked_by_multicast() {
    let claims = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.local\"]\n";
    let mut world = world(MAIN, &[HOME_PROFILE, ("office", claims)]);
    let client = world.put("dc1.corp.local A");
    assert_eq!(run(&mut world, &[]), Vec::<String>::new());
    assert_eq!(world.answer(client).rcode, 3);
    assert_eq!(world.take_sent(), ["10.8.0.1 dc1.corp.local A"]);
    world.switch("vpn0", false);
    let client = world.put("dc2.corp.local A");
    assert_eq!(run(&mut world, &[]), Vec::<String>::new());
    assert_eq!(world.answer(client).rcode, 5, "it fails closed");
}

#[test]
fn a_claim_that_comes_while_neighbours_are_asked_ends_the_question() {
    let mut world = world(MAIN, &[HOME_PROFILE]);
    let client = world.put("x.corp.local A");
    let claims = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.local\"]\n";
    world.reconfigure(MAIN, &[HOME_PROFILE, ("office", claims)]);
    assert_eq!(world.answer(client).rcode, 2);
    assert_eq!(run(&mut world, &[]), Vec::<String>::new());
}

#[test]
fn the_bypass_stub_and_aliases_do_not_lead_to_the_neighbours() {
    let mut world = world(MAIN, &[HOME_PROFILE]);
    let mut ask = asked("printer.local A");
    ask.stub = Stub::Bypass;
    assert_eq!(world.ask_as(&ask).rcode, 3);
    world.server(HOME).says(
        "lure.example.test A",
        Say::Answer(vec!["lure.example.test. 60 CNAME victim.local.".to_owned()]),
    );
    let answer = world.ask("lure.example.test A");
    assert_ne!(answer.rcode, 2, "{answer:?}");
    assert_eq!(run(&mut world, &[]), Vec::<String>::new());
}

#[test]
fn a_link_without_the_switch_is_not_spoken_to() {
    let mut world = world(MAIN, &[]);
    let client = world.put("printer.local A");
    assert_eq!(world.answer(client).rcode, 3, "at once");
    assert_eq!(run(&mut world, &[]), Vec::<String>::new());
    assert_eq!(world.resolver.poll_timeout(), None);
    assert_eq!(world.take_sent(), Vec::<String>::new());
}

#[test]
fn a_network_that_serves_local_itself_is_asked_there() {
    let mut world = world(MAIN, &[HOME_PROFILE]);
    let soa = Say::Answer(vec!["corp.local. 60 SOA 60".to_owned()]);
    world.server(HOME).says("corp.local SOA", soa);
    world.server(HOME).says(
        "dc1.corp.local A",
        Say::Answer(vec!["dc1.corp.local. 60 A 192.0.2.11".to_owned()]),
    );
    let client = world.put("dc1.corp.local A");
    run(&mut world, &[]);
    let answer = world.answer(client);
    assert!(format!("{answer:?}").contains("192.0.2.11"), "{answer:?}");
    assert_eq!(
        world.resolver.unicast_locals(),
        ["corp.local".parse().unwrap()]
    );
    // Known from then on: nobody is asked by multicast.
    let client = world.put("dc2.corp.local A");
    assert_eq!(run(&mut world, &[]), Vec::<String>::new());
    assert_eq!(world.answer(client).rcode, 3);
}

#[test]
fn in_a_network_that_serves_local_the_neighbours_come_first_for_two_labels() {
    let mut world = world(MAIN, &[HOME_PROFILE]);
    world.server(HOME).says(
        "local SOA",
        Say::Answer(vec!["local. 60 SOA 60".to_owned()]),
    );
    world.server(HOME).says(
        "nas.local A",
        Say::Answer(vec!["nas.local. 60 A 192.0.2.12".to_owned()]),
    );
    let printer = world.put("printer.local A");
    let nas = world.put("nas.local A");
    run(&mut world, &[told("printer.local", 1, &[192, 0, 2, 7])]);
    assert!(format!("{:?}", world.answer(printer)).contains("192.0.2.7"));
    assert!(format!("{:?}", world.answer(nas)).contains("192.0.2.12"));
}

#[test]
fn a_suffix_that_is_searched_in_is_the_networks_own() {
    let main = "[resolver]\ndnssec = \"off\"\nsearch = [\"corp.local\"]\n";
    let mut world = world(main, &[HOME_PROFILE]);
    let client = world.put("dc1.corp.local A");
    assert_eq!(run(&mut world, &[]), Vec::<String>::new());
    assert_eq!(world.answer(client).rcode, 3);
    assert_eq!(world.take_sent(), ["192.0.2.53 dc1.corp.local A"]);
}

#[test]
fn an_upstream_that_keeps_silent_delays_no_neighbour() {
    let mut world = world(MAIN, &[HOME_PROFILE]);
    world.server(HOME).silent = true;
    let begun = world.now;
    let client = world.put("a.printer.local A");
    run(&mut world, &[told("a.printer.local", 1, &[192, 0, 2, 7])]);
    let answer = world.answer(client);
    assert!(format!("{answer:?}").contains("192.0.2.7"), "{answer:?}");
    assert!(answer.at.since(begun) < Duration::from_millis(1700));
}

#[test]
fn addresses_that_need_their_link_are_given_only_when_there_are_no_others() {
    let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let global = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut world = world(MAIN, &[HOME_PROFILE]);
    let both = [
        told("nas.local", 28, &link_local),
        told("nas.local", 28, &global),
    ];
    let client = world.put("nas.local AAAA");
    run(&mut world, &both);
    let has = |wire: &[u8], address: &[u8]| wire.windows(16).any(|octets| octets == address);
    let wire = world.answer(client).wire;
    assert!(has(&wire, &global) && !has(&wire, &link_local));
    let client = world.put("toy.local AAAA");
    run(&mut world, &[told("toy.local", 28, &link_local)]);
    assert!(has(&world.answer(client).wire, &link_local));
}
