//! What do neighbours learn of this machine's services?

use std::time::Duration;

use config::model::MdnsMode::{Off, Resolve, Respond};
use config::model::{Service, ServiceName, ServiceProtocol};

use super::hosts::{World, wanted};
use crate::mdns::message::{Message, Section, Told, Wanted, Writer};
use crate::mdns::{BrowseId, Finding};
use crate::record::RawRecord;
use crate::wire::rtype;

const SETTLE: Duration = Duration::from_secs(4);
const TYPE: &str = "_ipp._tcp.local";
const TYPES: &str = "_services._dns-sd._udp.local";

fn service(name: Option<&str>, kind: &str) -> Service {
    Service {
        name: name.map(|name| ServiceName::new(name).unwrap()),
        kind: kind.into(),
        protocol: ServiceProtocol::Tcp,
        port: 631,
        text: vec![b"pages=many".as_slice().into()],
        subtypes: vec!["_universal".into()],
        profiles: Vec::new(),
    }
}

/// A host that offers these, and one that asks.
fn offers(services: &[Service]) -> World {
    let mut world = World::new();
    world.host("mill", Respond, &[(0, [192, 0, 2, 1])]);
    world.offer(0, services);
    world.host("asker", Resolve, &[(0, [192, 0, 2, 2])]);
    world.run(SETTLE);
    world
}

/// Returns the names that pointers of a type lead to, as they are spelled.
fn found(world: &mut World, name: &str) -> Vec<String> {
    let Finding::Records { records, .. } = world.find(1, name, rtype::PTR).0 else {
        return Vec::new();
    };
    let shown = |record: &RawRecord| String::from_utf8_lossy(&record.rdata[1..]).into_owned();
    let mut names: Vec<String> = records.iter().map(shown).collect();
    names.sort();
    names
}

fn states(world: &World, host: usize) -> Vec<String> {
    world.hosts[host].mdns.status()[0].services.clone()
}

#[test]
fn a_service_is_probed_for_announced_and_found_by_type_subtype_and_name() {
    let mut world = offers(&[service(Some("Paper Mill"), "_ipp")]);
    assert_eq!(states(&world, 0), ["announces Paper Mill (_ipp._tcp)"]);
    let probes: Vec<&Message> = world
        .sent
        .iter()
        .filter(|(_, host, message)| *host == 0 && !message.authority.is_empty())
        .map(|(_, _, message)| message)
        .collect();
    let of_service = |wanted: &Wanted| wanted.name.to_string().contains("_ipp");
    let asked = probes
        .iter()
        .filter(|probe| probe.questions.iter().any(of_service));
    assert_eq!(asked.count(), 3, "three probes (RFC 6762 §8.1)");
    assert!(
        probes.iter().all(|probe| {
            let kinds = probe.authority.iter().map(|told| told.record.record_type);
            kinds.into_iter().all(|kind| kind != rtype::PTR)
        }),
        "what others may say too is not probed for"
    );
    assert_eq!(
        found(&mut world, TYPE),
        ["Paper Mill\u{4}_ipp\u{4}_tcp\u{5}local\0"]
    );
    assert_eq!(
        found(&mut world, "_universal._sub._ipp._tcp.local").len(),
        1
    );
    assert_eq!(found(&mut world, TYPES), ["_ipp\u{4}_tcp\u{5}local\0"]);
    let name = r"Paper\032Mill._ipp._tcp.local";
    let (finding, ms) = world.find(1, name, rtype::SRV);
    let Finding::Records { records, .. } = finding else {
        panic!("{finding:?}");
    };
    assert_eq!(ms, 0, "it came with the pointer (RFC 6763 §12.1)");
    assert_eq!(records[0].rdata[..6], [0, 0, 0, 0, 2, 119]);
    assert!((100..=120).contains(&records[0].ttl), "{}", records[0].ttl);
    assert_eq!(&records[0].rdata[6..], b"\x04mill\x05local\0");
    let (finding, _) = world.find(1, name, rtype::TXT);
    let Finding::Records { records, .. } = finding else {
        panic!("{finding:?}");
    };
    assert_eq!(records[0].rdata, b"\x0apages=many");
    assert!(matches!(
        world.find(1, name, rtype::A).0,
        Finding::NoRecords { .. }
    ));
}

#[test]
fn a_name_that_a_neighbour_has_gets_a_number_on_all_links() {
    let mut world = offers(&[service(Some("Paper Mill"), "_ipp"), service(None, "_ssh")]);
    world.host(
        "second",
        Respond,
        &[(0, [192, 0, 2, 3]), (1, [198, 51, 100, 3])],
    );
    world.offer(
        2,
        &[service(Some("Paper Mill"), "_ipp"), service(None, "_ssh")],
    );
    world.run(Duration::from_secs(10));
    assert_eq!(
        states(&world, 2),
        [
            "announces Paper Mill (2) (_ipp._tcp)",
            "announces second (_ssh._tcp)"
        ]
    );
    assert_eq!(world.hosts[2].mdns.status()[1].services, states(&world, 2));
    let all = found(&mut world, TYPE);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[1].starts_with("Paper Mill (2)\u{4}"), "{all:?}");
    // The first goes; the number stays, as users know the printer by it.
    world.offer(0, &[]);
    world.run(SETTLE);
    assert_eq!(states(&world, 2)[0], "announces Paper Mill (2) (_ipp._tcp)");
}

#[test]
fn of_two_that_come_at_once_with_the_same_name_one_takes_a_number() {
    let mut world = World::new();
    for host in 0..2 {
        world.host(
            &format!("host{host}"),
            Respond,
            &[(0, [192, 0, 2, 1 + host])],
        );
        world.offer(usize::from(host), &[service(Some("Paper Mill"), "_ipp")]);
    }
    world.run(Duration::from_secs(20));
    let mut both = [states(&world, 0), states(&world, 1)].concat();
    both.sort();
    assert_eq!(
        both,
        [
            "announces Paper Mill (2) (_ipp._tcp)",
            "announces Paper Mill (_ipp._tcp)"
        ]
    );
}

#[test]
fn what_is_withdrawn_is_taken_back_and_what_another_still_says_is_not() {
    let two = [service(Some("One"), "_ipp"), service(Some("Two"), "_ipp")];
    let mut world = offers(&two);
    assert_eq!(found(&mut world, TYPE).len(), 2);
    let before = world.sent.len();
    world.offer(0, &two[..1]);
    world.run(SETTLE);
    let over: Vec<&Told> = world.sent[before..]
        .iter()
        .flat_map(|(_, _, message)| &message.answers)
        .filter(|told| told.record.ttl == 0)
        .collect();
    // SRV, TXT, the pointer and that of the subtype; the type itself is still there.
    assert_eq!(over.len(), 4, "{over:?}");
    assert!(
        over.iter()
            .all(|told| !told.record.is_at(&TYPES.parse().unwrap()))
    );
    assert_eq!(found(&mut world, TYPE).len(), 1);
    assert_eq!(found(&mut world, TYPES).len(), 1);

    // A link that is silent from now on takes all back; so does the end.
    world.mode(0, 0, Off);
    world.run(SETTLE);
    assert_eq!(found(&mut world, TYPES), [""; 0]);
}

#[test]
fn the_end_says_goodbye_once_for_each_record() {
    let two = [service(Some("One"), "_ipp"), service(Some("Two"), "_ipp")];
    let mut world = offers(&two);
    let before = world.sent.len();
    world.hosts[0].mdns.fall_silent();
    world.drain(0);
    let over: Vec<&Told> = world.sent[before..]
        .iter()
        .flat_map(|(_, _, message)| &message.answers)
        .collect();
    assert!(over.iter().all(|told| told.record.ttl == 0), "{over:?}");
    // The host's address and the way back, the type, and four records of each service.
    assert_eq!(over.len(), 2 + 1 + 4 * 2, "{over:?}");
}

#[test]
fn an_answer_that_is_known_is_not_given_again() {
    let mut world = offers(&[service(Some("Paper Mill"), "_ipp")]);
    let ask = |known: bool| {
        let mut writer = Writer::query();
        writer.question(&wanted(TYPE, rtype::PTR));
        if known {
            let instance = r"paper\032mill._ipp._tcp.local".parse().unwrap();
            let told = Told {
                record: RawRecord::pointer(&TYPE.parse().unwrap(), &instance, 4500),
                flush: false,
            };
            writer.record(Section::Answer, &told);
        }
        writer.finish()
    };
    for (known, answered) in [(true, false), (false, true)] {
        world.run(Duration::from_secs(2));
        let before = world.sent.len();
        world.inject(0, "192.0.2.9:5353", ask(known));
        world.run(Duration::from_secs(1));
        let told = world.sent[before..]
            .iter()
            .filter(|(_, host, _)| *host == 0);
        let told: Vec<&Message> = told.map(|(_, _, message)| message).collect();
        assert_eq!(!told.is_empty(), answered, "{told:?}");
        let Some(message) = told.first() else {
            continue;
        };
        // RFC 6763 §12.1: what will be asked next comes along; nothing is denied of a name that others have too.
        let mut kinds: Vec<u16> = message
            .additional
            .iter()
            .map(|told| told.record.record_type)
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, [rtype::A, rtype::TXT, rtype::SRV, rtype::NSEC]);
        let of_type = |told: &&Told| told.record.is_at(&TYPE.parse().unwrap());
        assert_eq!(message.additional.iter().find(of_type), None);
    }
}

#[test]
fn who_watches_on_this_machine_sees_its_services_come_and_go() {
    let mut world = World::new();
    world.host("mill", Respond, &[(0, [192, 0, 2, 1])]);
    let now = world.now;
    let browse = wanted(TYPE, rtype::PTR);
    assert!(
        world.hosts[0]
            .mdns
            .begin_browse(BrowseId(1), browse, None, now)
    );
    world.run(SETTLE);
    world.offer(0, &[service(Some("Paper Mill"), "_ipp")]);
    world.run(SETTLE);
    world.offer(0, &[]);
    world.run(SETTLE);
    let seen: Vec<bool> = world.hosts[0]
        .sights
        .iter()
        .map(|(_, sight)| sight.is_there)
        .collect();
    assert_eq!(seen, [true, false]);
}

#[test]
fn as_many_as_there_may_be_are_announced_in_few_messages() {
    let many: Vec<Service> = (0..64)
        .map(|number| service(Some(&format!("Service number {number}")), "_ipp"))
        .collect();
    let mut world = offers(&many);
    assert_eq!(found(&mut world, TYPE).len(), 64);
    assert!(
        states(&world, 0)
            .iter()
            .all(|state| state.starts_with("announces")),
        "our own words are known when they come back"
    );
    let probes = world
        .sent
        .iter()
        .filter(|(_, _, message)| !message.authority.is_empty());
    let probes = probes.count();
    assert!(probes <= 3 * 12, "{probes} probes");
}

#[test]
fn two_of_our_own_never_have_the_same_name() {
    let world = offers(&[service(Some("mill"), "_ssh"), service(None, "_ssh")]);
    assert_eq!(
        states(&world, 0),
        [
            "announces mill (_ssh._tcp)",
            "announces mill (2) (_ssh._tcp)"
        ]
    );
}
