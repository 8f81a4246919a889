//! Does the cache keep what holds, and let go of what does not?

use super::*;

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(1000 + seconds)
}

fn address(owner: &str, last: u8, ttl: u32) -> Told {
    Told {
        record: RawRecord::address(&name(owner), [192, 0, 2, last].into(), ttl),
        flush: true,
    }
}

fn service(instance: &str, ttl: u32) -> Told {
    Told {
        record: RawRecord::pointer(&name("_ipp._tcp.local"), &name(instance), ttl),
        flush: false,
    }
}

fn wanted(owner: &str, record_type: u16) -> Wanted {
    Wanted {
        name: name(owner),
        record_type,
        class: class::IN,
        unicast: false,
    }
}

fn a(owner: &str) -> Wanted {
    wanted(owner, rtype::A)
}

#[test]
fn a_record_holds_as_long_as_its_ttl_and_shows_what_is_left() {
    let mut cache = Cache::default();
    assert_eq!(
        cache.take(&[address("h.local", 1, 120)], at(0))[0].1,
        Effect::New
    );
    let seen = cache.answers(&a("h.local"), at(50));
    assert_eq!(seen[0].record.ttl, 70);
    assert!(cache.answers(&a("h.local"), at(120)).is_empty());
    assert_eq!(cache.expire(at(119)).len(), 0);
    assert_eq!(cache.expire(at(120)).len(), 1);
    assert_eq!(cache.len(), 0);
    assert_eq!(cache.bytes, 0);
}

#[test]
fn a_goodbye_ends_a_record_in_a_second_and_a_new_word_saves_it() {
    let mut cache = Cache::default();
    cache.take(&[service("a._ipp._tcp.local", 4500)], at(0));
    let gone = cache.take(&[service("A._ipp._tcp.local", 0)], at(10));
    assert_eq!(gone[0].1, Effect::Goodbye);
    let browse = wanted("_ipp._tcp.local", rtype::PTR);
    assert_eq!(cache.answers(&browse, at(10)).len(), 1);
    cache.take(&[service("a._ipp._tcp.local", 4500)], at(10));
    assert_eq!(cache.expire(at(20)).len(), 0);
    cache.take(&[service("a._ipp._tcp.local", 0)], at(20));
    assert_eq!(cache.expire(at(21)).len(), 1);
    assert_eq!(
        cache.take(&[service("b._ipp._tcp.local", 0)], at(30))[0].1,
        Effect::Nothing
    );
}

#[test]
fn a_unique_set_takes_the_place_of_what_was_said_before() {
    let mut cache = Cache::default();
    cache.take(&[address("h.local", 1, 120)], at(0));
    // Two messages of one telling: the second does not flush the first.
    cache.take(&[address("h.local", 2, 120)], at(10));
    cache.take(&[address("h.local", 3, 120)], at(11));
    assert_eq!(cache.expire(at(11)).len(), 1);
    let left: Vec<u8> = cache
        .answers(&a("h.local"), at(12))
        .iter()
        .map(|told| told.record.rdata[3])
        .collect();
    assert_eq!(left, [2, 3]);
}

#[test]
fn what_is_known_goes_along_only_for_half_of_its_life() {
    let mut cache = Cache::default();
    cache.take(&[service("a._ipp._tcp.local", 100)], at(0));
    let browse = wanted("_ipp._tcp.local", rtype::PTR);
    assert_eq!(cache.known_answers(&browse, at(49)).len(), 1);
    assert_eq!(cache.known_answers(&browse, at(51)).len(), 0);
}

#[test]
fn only_what_somebody_uses_is_asked_for_again() {
    let mut cache = Cache::default();
    cache.take(&[address("h.local", 1, 100)], at(0));
    let nobody = BTreeSet::new();
    assert!(cache.due(&nobody, at(99)).is_empty());
    cache.answers(&a("h.local"), at(10));
    assert!(cache.due(&nobody, at(79)).is_empty());
    assert_eq!(cache.due(&nobody, at(80)), [a("h.local")]);
    assert!(
        cache.due(&nobody, at(99)).is_empty(),
        "used once, asked once"
    );

    let standing = BTreeSet::from([a("i.local")]);
    cache.take(&[address("i.local", 1, 100)], at(0));
    let times: Vec<u64> = (0..100)
        .filter(|&second| !cache.due(&standing, at(second)).is_empty())
        .collect();
    assert_eq!(times, [80, 85, 90, 95]);
    assert_eq!(cache.next_at(&standing), Some(at(100)));
}

#[test]
fn a_record_that_others_ask_for_in_vain_is_held_for_dead() {
    let mut cache = Cache::default();
    cache.take(&[service("a._ipp._tcp.local", 4500)], at(0));
    let browse = wanted("_ipp._tcp.local", rtype::PTR);
    cache.take_question(&browse, &[], at(100));
    assert_eq!(cache.expire(at(200)).len(), 0, "one question says nothing");
    let known = [service("a._ipp._tcp.local", 4000)];
    cache.take_question(&browse, &known, at(201));
    assert_eq!(cache.expire(at(300)).len(), 0, "they know it themselves");
    cache.take_question(&browse, &[], at(301));
    assert_eq!(cache.expire(at(301)).len(), 1);

    cache.take(&[service("a._ipp._tcp.local", 4500)], at(400));
    cache.take_question(&browse, &[], at(401));
    cache.take_question(&browse, &[], at(402));
    cache.take(&[service("a._ipp._tcp.local", 4500)], at(403));
    assert_eq!(cache.expire(at(500)).len(), 0, "somebody answered");
}

#[test]
fn what_says_the_same_is_found_as_the_same() {
    let with = |record_type, rdata: &[u8]| {
        RawRecord::new(&name("h.local"), record_type, 120, rdata.to_vec())
    };
    let mut shouted = with(rtype::A, b"aaaa");
    shouted.name.make_ascii_uppercase();
    shouted.ttl = 7;
    let records = [
        with(rtype::A, b"aaaa"),
        with(rtype::A, b"AAAA"),
        shouted,
        with(rtype::AAAA, b"aaaa"),
        with(rtype::PTR, b"\x01a\0"),
        with(rtype::PTR, b"\x01A\0"),
        with(rtype::CNAME, b"\x01A\0"),
        RawRecord::new(&name("i.local"), rtype::A, 120, b"aaaa".to_vec()),
    ];
    let pairs = || {
        records
            .iter()
            .flat_map(|one| records.iter().map(move |other| (one, other)))
    };
    for (one, other) in pairs() {
        let found = Said::by(one) == Said::by(other);
        assert_eq!(found, is_same(one, other), "{one:?} {other:?}");
    }
    let same = pairs().filter(|(one, other)| is_same(one, other)).count();
    assert_eq!(same, records.len() + 4, "two pairs, seen from both");
}

#[test]
fn the_owner_of_a_name_says_which_types_it_has() {
    let mut cache = Cache::default();
    let owner = name("h.local");
    // Block 0, four octets: A (1) and AAAA (28).
    let mut rdata = owner.as_wire().to_vec();
    rdata.extend_from_slice(&[0, 4, 0x40, 0, 0, 0x08]);
    let record = RawRecord::new(&owner, rtype::NSEC, 120, rdata);
    cache.take(
        &[Told {
            record,
            flush: true,
        }],
        at(0),
    );
    for (record_type, denied) in [
        (rtype::A, false),
        (rtype::AAAA, false),
        (rtype::SRV, true),
        (257, true),
        (rtype::ANY, false),
    ] {
        let wanted = wanted("h.local", record_type);
        assert_eq!(cache.denies(&wanted, at(1)), denied, "{record_type}");
    }
    assert!(!cache.denies(&a("other.local"), at(1)));
}

#[test]
fn a_talkative_neighbour_fills_no_more_than_the_room_there_is() {
    let mut cache = Cache::default();
    let mut evicted = 0;
    for number in 0..5000_u32 {
        let told = Told {
            record: RawRecord::new(
                &name(&format!("h{number}.local")),
                16,
                10 + number,
                vec![0; 400],
            ),
            flush: true,
        };
        let effects = cache.take(&[told], at(0));
        let (last, before) = effects.split_last().unwrap();
        assert_eq!(last.1, Effect::New);
        for (record, effect) in before {
            assert_eq!(*effect, Effect::Evicted);
            assert!(!cache.has(record));
        }
        evicted += before.len();
        assert_eq!(
            cache.len() + evicted,
            number as usize + 1,
            "who goes is told"
        );
    }
    assert!(cache.len() <= RECORDS_MAX && cache.bytes <= BYTES_MAX);
    let last = wanted("h4999.local", 16);
    assert_eq!(cache.answers(&last, at(1)).len(), 1, "the newest is there");
    cache.clear();
    assert_eq!((cache.len(), cache.bytes), (0, 0));
}
