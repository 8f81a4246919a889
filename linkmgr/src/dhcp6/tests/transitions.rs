//! Does every event lead from every state to the state that RFC 8415 has for it? The whole table.

use super::super::wire::{MessageType, Sort, option};
use super::super::*;
use super::server::{Answer, IAID, Link};
use super::{ADDRESS, granted, reply};

/// Those of RFC 8415 §18.2, and the two of who asks for information alone (§18.2.6).
const STATES: [&str; 10] = [
    "idle",
    "SOLICIT",
    "REQUEST",
    "CONFIRM",
    "bound",
    "RENEW",
    "REBIND",
    "released",
    "INFORMATION-REQUEST",
    "informed",
];

/// Event; the state after it, in the order of [`STATES`]; `.` leaves it as it is.
const TABLE: [(&str, [&str; 10]); 28] = [
    (
        "advertise, best",
        [".", "REQUEST", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "advertise, nothing",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "reply, granted",
        [
            ".", ".", "bound", "bound", ".", "bound", "bound", ".", "informed", ".",
        ],
    ),
    (
        "reply, rapid commit",
        [
            ".", "bound", "bound", "bound", ".", "bound", "bound", ".", "informed", ".",
        ],
    ),
    (
        "reply, nothing",
        [
            ".", ".", "SOLICIT", "bound", ".", ".", ".", ".", "informed", ".",
        ],
    ),
    (
        "reply, UnspecFail",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "reply, NoBinding",
        [
            ".", ".", "SOLICIT", "bound", ".", "REQUEST", "REQUEST", ".", "informed", ".",
        ],
    ),
    (
        "reply, NotOnLink",
        [
            ".", ".", "SOLICIT", "SOLICIT", ".", "SOLICIT", "SOLICIT", ".", ".", ".",
        ],
    ),
    (
        "reply, taken back",
        [
            ".", ".", "SOLICIT", "bound", ".", "SOLICIT", "SOLICIT", ".", "informed", ".",
        ],
    ),
    (
        "reply to another message",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "reply to another client",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "reconfigure, unknown",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "half a message",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "T1",
        [
            ".", ".", "SOLICIT", "RENEW", "RENEW", ".", ".", ".", ".", ".",
        ],
    ),
    (
        "T2",
        [
            ".", ".", "SOLICIT", "REBIND", "REBIND", "REBIND", ".", ".", ".", ".",
        ],
    ),
    (
        "leases are over",
        [
            ".", ".", "SOLICIT", "SOLICIT", "SOLICIT", "SOLICIT", "SOLICIT", ".", ".", ".",
        ],
    ),
    (
        "a day later",
        [
            ".",
            ".",
            "SOLICIT",
            "SOLICIT",
            "SOLICIT",
            "SOLICIT",
            "SOLICIT",
            ".",
            ".",
            "INFORMATION-REQUEST",
        ],
    ),
    (
        "carrier is back",
        [
            ".",
            ".",
            "SOLICIT",
            ".",
            "CONFIRM",
            "CONFIRM",
            "CONFIRM",
            ".",
            ".",
            "INFORMATION-REQUEST",
        ],
    ),
    (
        "link-local gone",
        [
            ".", "idle", "idle", "bound", ".", "bound", "bound", ".", "idle", "idle",
        ],
    ),
    (
        "address taken",
        [
            ".", ".", ".", "SOLICIT", "SOLICIT", "SOLICIT", "SOLICIT", ".", ".", ".",
        ],
    ),
    (
        "renew by command",
        [
            ".",
            ".",
            "SOLICIT",
            ".",
            "RENEW",
            ".",
            ".",
            ".",
            ".",
            "INFORMATION-REQUEST",
        ],
    ),
    (
        "release",
        [
            "released", "released", "released", "released", "released", "released", "released",
            ".", "released", "released",
        ],
    ),
    (
        "carrier is gone",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "routers say M",
        [".", ".", ".", ".", ".", ".", ".", ".", "SOLICIT", "SOLICIT"],
    ),
    // What is held is held on to.
    (
        "routers say nothing",
        [".", "idle", ".", ".", ".", ".", ".", ".", "idle", "idle"],
    ),
    // Who has no key of it believes no server.
    (
        "reconfigure, renew",
        [".", ".", ".", ".", "RENEW", ".", ".", ".", ".", "."],
    ),
    (
        "reconfigure, rebind",
        [".", ".", ".", ".", "REBIND", ".", ".", ".", ".", "."],
    ),
    (
        "reconfigure, information-request",
        [
            ".",
            ".",
            ".",
            ".",
            ".",
            ".",
            ".",
            ".",
            ".",
            "INFORMATION-REQUEST",
        ],
    ),
];

/// What a server gave that may reconfigure (RFC 8415 §20.4).
const KEY: [u8; 16] = [5; 16];

/// What grants leases, with the key.
fn reply_with_key() -> Answer {
    with_key(reply())
}

fn with_key(answer: Answer) -> Answer {
    let head = [[3, 1, 0].as_slice(), &1_u64.to_be_bytes(), &[1], &KEY];
    answer.with(option::AUTH, &head.concat())
}

fn in_state(state: &str) -> Link {
    let mut link = match state {
        "idle" => Link::begin(Dhcp6Settings::default(), None),
        "INFORMATION-REQUEST" | "informed" => asking_for_information(),
        _ => Link::soliciting(),
    };
    if matches!(state, "idle" | "SOLICIT" | "INFORMATION-REQUEST") {
        return link;
    }
    if state == "informed" {
        let answer = Answer::new(MessageType::Reply).with(option::DNS, &dns(0x53));
        link.answer(&with_key(answer));
        return link;
    }
    link.answer(&granted(MessageType::Advertise).with(option::PREFERENCE, &[255]));
    if state == "REQUEST" {
        return link;
    }
    link.answer(&reply_with_key());
    match state {
        "CONFIRM" => link.client.handle_reattach(link.now),
        "RENEW" => link.step(1000),
        "REBIND" => link.step(1601),
        "released" => link.client.handle_release(link.now),
        _ => {}
    }
    link.drain();
    link
}

/// A link whose router says O, with its first Information-request sent.
fn asking_for_information() -> Link {
    let mut link = Link::begin(Dhcp6Settings::default(), None);
    link.attach();
    link.advertise(false, true);
    link
}

fn happen(link: &mut Link, event: &str) {
    let transaction = link.sent.last().map_or(0, |_| link.last().transaction);
    let say = |link: &mut Link, answer: Answer| link.hear(&answer.octets(transaction));
    match event {
        "advertise, best" => say(
            link,
            granted(MessageType::Advertise).with(option::PREFERENCE, &[255]),
        ),
        "advertise, nothing" => say(
            link,
            Answer::new(MessageType::Advertise).refused(Sort::Addresses, 2),
        ),
        "reply, granted" => say(link, reply()),
        "reply, rapid commit" => say(link, reply().with(option::RAPID_COMMIT, &[])),
        "reply, nothing" => say(link, Answer::new(MessageType::Reply)),
        "reply, UnspecFail" => say(link, reply().status(1)),
        "reply, NoBinding" => say(
            link,
            Answer::new(MessageType::Reply).refused(Sort::Addresses, 3),
        ),
        "reply, NotOnLink" => say(link, Answer::new(MessageType::Reply).status(4)),
        "reply, taken back" => say(
            link,
            Answer::new(MessageType::Reply).addresses((0, 0), &[(ADDRESS, 0, 0)]),
        ),
        "reply to another message" => link.hear(&reply().octets(transaction ^ 1)),
        "reply to another client" => {
            let other = reply()
                .without(option::CLIENT_ID)
                .with(option::CLIENT_ID, &[0, 4, 1, 2]);
            say(link, other);
        }
        "reconfigure, unknown" => {
            let reconfigure = Answer::new(MessageType::Reconfigure);
            say(link, reconfigure.with(option::RECONFIGURE, &[5]));
        }
        "half a message" => {
            let octets = reply().octets(transaction);
            link.hear(&octets[..octets.len() - 3]);
        }
        "T1" => link.run_until(1005),
        "T2" => link.run_until(1605),
        "leases are over" => link.run_until(4005),
        "a day later" => link.run_until(86_405),
        "carrier is back" => link.client.handle_reattach(link.now),
        "link-local gone" => link.client.handle_link_local(None, link.now),
        "address taken" => link
            .client
            .handle_dad_failed(ADDRESS.parse().unwrap(), link.now),
        "renew by command" => link.client.handle_renew(link.now),
        "release" => link.client.handle_release(link.now),
        "carrier is gone" => link.client.handle_detach(link.now),
        "routers say M" => link.advertise(true, false),
        "routers say nothing" => link.advertise(false, false),
        "reconfigure, renew" => reconfigure(link, 5),
        "reconfigure, rebind" => reconfigure(link, 6),
        "reconfigure, information-request" => reconfigure(link, 11),
        other => panic!("no event is called {other}"),
    }
    link.drain();
}

/// The server with the key says which message is to be sent.
fn reconfigure(link: &mut Link, kind: u8) {
    let message = Answer::new(MessageType::Reconfigure).with(option::RECONFIGURE, &[kind]);
    link.hear(&auth::reconfigure(KEY, 2, message.octets(0)));
}

#[test]
fn whoever_wants_to_renew_has_what_is_asked_for_asked_anew_at_once() {
    for (state, expected) in [
        ("idle", None),
        ("SOLICIT", Some(MessageType::Solicit)),
        ("REQUEST", Some(MessageType::Solicit)),
        ("CONFIRM", Some(MessageType::Confirm)),
        ("bound", Some(MessageType::Renew)),
        ("RENEW", Some(MessageType::Renew)),
        ("REBIND", Some(MessageType::Rebind)),
        ("released", None),
        ("INFORMATION-REQUEST", Some(MessageType::InformationRequest)),
        ("informed", Some(MessageType::InformationRequest)),
    ] {
        let mut link = in_state(state);
        link.take_sent();
        link.client.handle_renew(link.now);
        link.drain();
        assert_eq!(link.take_sent(), Vec::from_iter(expected), "{state}");
    }
}

#[test]
fn a_server_that_was_mended_is_asked_soon_by_those_who_want_to_renew() {
    // Where routers say M for addresses, where they say O for the rest.
    for (is_managed, kind) in [
        (true, MessageType::Solicit),
        (false, MessageType::InformationRequest),
    ] {
        let mut link = Link::begin(Dhcp6Settings::default(), None);
        link.attach();
        link.advertise(is_managed, !is_managed);
        link.run_until(20_000);
        link.take_sent();
        link.step(60);
        assert_eq!(link.take_sent(), [], "the next is an hour away");
        link.client.handle_renew(link.now);
        link.drain();
        assert!(link.take_sent().contains(&kind));
        // Nor is it an hour until the next, when that one is lost.
        link.step(10);
        let again = link.take_sent();
        assert!(
            again.iter().filter(|it| **it == kind).count() >= 2,
            "{again:?}"
        );
    }
}

#[test]
fn who_is_anonymous_tells_nothing_of_the_place_before_once_the_link_was_down_or_the_machine_slept()
{
    let anonymous = || {
        let settings = Dhcp6Settings {
            anonymous: true,
            ..Dhcp6Settings::default()
        };
        let mut link = Link::begin(settings, None);
        link.attach();
        link.advertise(true, false);
        link.answer(&granted(MessageType::Advertise).with(option::PREFERENCE, &[255]));
        link.answer(&reply());
        assert_eq!(link.addresses(), [ADDRESS]);
        link.take_sent();
        link
    };
    for sleeps in [false, true] {
        let mut link = anonymous();
        if !sleeps {
            link.client.handle_detach(link.now);
            link.drain();
            assert_eq!(link.supplied, None, "its address is on the link no more");
        }
        link.client.handle_reattach(link.now);
        link.drain();
        assert!(link.last().associations[0].leases.is_empty());
        assert_eq!((link.supplied.as_ref(), link.state()), (None, "SOLICIT"));
        link.step(60);
        let asks_anew = |kind: &MessageType| {
            matches!(kind, MessageType::Solicit | MessageType::InformationRequest)
        };
        let sent = link.take_sent();
        assert!(sent.iter().all(asks_anew), "{sent:?}");
    }
    // Nor does it go on giving back there what it had here.
    let mut link = anonymous();
    link.client.handle_release(link.now);
    link.drain();
    assert_eq!(link.take_sent(), [MessageType::Release]);
    link.client.handle_detach(link.now);
    link.client.handle_reattach(link.now);
    link.drain();
    assert!(link.released);
    link.step(60);
    assert_eq!(link.take_sent(), []);
}

#[test]
fn every_event_leads_where_it_should_from_every_state() {
    assert_eq!(IAID, 7);
    let mut wrong = Vec::new();
    for (event, row) in TABLE {
        for (state, expected) in STATES.into_iter().zip(row) {
            let mut link = in_state(state);
            assert_eq!(link.state(), state);
            happen(&mut link, event);
            let expected = if expected == "." { state } else { expected };
            if link.state() != expected {
                wrong.push(format!(
                    "{state} -- {event} --> {}, not {expected}",
                    link.state()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn options_by_number_are_sent_while_something_is_asked_for_and_what_comes_is_shown() {
    let own = config::model::OwnOptions {
        send: [(16, Arc::from([0, 0, 0, 9])), (65_000, Arc::from([1]))].into(),
        request: [17, 23, 65_001].into(),
    };
    let settings = Dhcp6Settings {
        own,
        user_class: vec!["lab".into(), "guest".into()],
        hostname: Some("host".into()),
        dns_update: config::model::DnsUpdate::Nobody,
        ..Dhcp6Settings::default()
    };
    let asked = |settings: &Dhcp6Settings| {
        let mut link = Link::begin(settings.clone(), None);
        link.attach();
        link.advertise(true, false);
        link
    };
    let has = |octets: &[u8], part: &[u8]| octets.windows(part.len()).any(|it| it == part);
    let mut link = asked(&settings);
    let said = link.sent[0].octets.clone();
    let parts: [&[u8]; 5] = [
        &[0, 16, 0, 4, 0, 0, 0, 9],
        &[0xfd, 0xe8, 0, 1, 1],
        b"\x00\x0f\x00\x0c\x00\x03lab\x00\x05guest",
        // RFC 4704 §4.1: N.
        b"\x00\x27\x00\x06\x04\x04host",
        &[0, 17, 0xfd, 0xe9],
    ];
    for part in parts {
        assert!(has(&said, part), "{part:x?} in {said:x?}");
    }
    let anonymous = Dhcp6Settings {
        anonymous: true,
        hostname: None,
        ..settings
    };
    let said = &asked(&anonymous).sent[0].octets;
    for part in parts {
        assert!(!has(said, part), "{part:x?} in {said:x?}");
    }
    let reply = Answer::new(MessageType::Reply)
        .with(option::RAPID_COMMIT, &[])
        .addresses((1000, 1600), &[("2001:db8::7", 2000, 3000)])
        .with(17, b"\x00\x00\x00\x09")
        .with(65_001, b"lab");
    link.answer(&reply);
    let expected: [(u16, Arc<[u8]>); 2] = [(17, [0, 0, 0, 9].into()), (65_001, b"lab"[..].into())];
    assert_eq!(link.client.report(link.now).options, expected);
}

/// The octets of a name server's address.
fn dns(last: u16) -> [u8; 16] {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).octets()
}

/// Holds leases and a name server of a server that may reconfigure, and hears that it should ask for the rest.
fn told_to_ask() -> Link {
    let mut link = Link::soliciting();
    let first = reply_with_key().with(option::RAPID_COMMIT, &[]);
    link.answer(&first.with(option::DNS, &dns(0x53)));
    link.take_sent();
    reconfigure(&mut link, 11);
    assert_eq!(link.sent.len(), 1);
    let asked = link.last();
    assert_eq!(asked.kind, MessageType::InformationRequest);
    // RFC 8415 §18.2.6.
    assert_eq!(asked.server.as_deref(), Some(super::server::SERVER));
    link
}

#[test]
fn who_is_told_to_ask_for_the_rest_has_it_and_leaves_the_leases_as_they_are() {
    let mut link = told_to_ask();
    let upstreams = |link: &Link| {
        let supply = link.supply();
        let upstreams = supply.upstreams.iter();
        upstreams
            .map(|upstream| upstream.address.to_string())
            .collect::<Vec<_>>()
    };
    let before = link.supply().addresses;
    let renew = link.client.report(link.now).renew;
    let rest = |server: &[u8], last| {
        Answer::from(MessageType::Reply, server).with(option::DNS, &dns(last))
    };
    link.answer(&rest(super::server::OTHER, 0x66));
    link.answer(&rest(super::server::SERVER, 0x67).status(1));
    assert_eq!(upstreams(&link), ["2001:db8::53"]);
    let report = link.client.report(link.now);
    assert_eq!(report.complaint.as_deref(), Some("said so"));
    link.answer(&rest(super::server::SERVER, 0x54));
    assert_eq!(upstreams(&link), ["2001:db8::54"]);
    assert_eq!(link.supply().addresses, before);
    let report = link.client.report(link.now);
    assert_eq!(report.complaint, None);
    assert_eq!((report.state, report.renew), ("bound", renew));
    link.take_sent();
    link.run_until(900);
    assert_eq!(link.take_sent(), [], "asked once");

    // It outlives a restart, and ends with the next that comes with leases.
    let remembered = Remembered {
        memory: link.kept.clone().unwrap(),
        age: Duration::from_secs(900),
        moved: false,
    };
    let later = Link::begin(Dhcp6Settings::default(), Some(remembered));
    assert_eq!(upstreams(&later), ["2001:db8::54"]);
    link.run_until(1005);
    assert_eq!(link.state(), "RENEW");
    link.answer(&reply().with(option::DNS, &dns(0x55)));
    assert_eq!(upstreams(&link), ["2001:db8::55"]);
}

#[test]
fn who_told_to_ask_and_does_not_answer_is_left_alone_after_a_while() {
    let mut link = told_to_ask();
    let supply = link.supply();
    link.run_until(900);
    // It is too late for this one.
    link.answer(&Answer::new(MessageType::Reply).with(option::DNS, &dns(0x54)));
    let asked = link.take_sent();
    assert!((8..12).contains(&asked.len()), "{asked:?}");
    let is_it = |kind: &MessageType| *kind == MessageType::InformationRequest;
    assert!(asked.iter().all(is_it), "{asked:?}");
    assert_eq!((link.supply(), link.state()), (supply, "bound"));
    let due = link.client.poll_timeout().unwrap();
    assert!(due >= link.at(90), "the next is the renewal");
}

#[test]
fn a_server_that_could_not_answer_is_asked_again_and_what_is_known_stays() {
    let mut link = in_state("informed");
    let supply = link.supply();
    assert_eq!(supply.upstreams.len(), 1);
    link.client.handle_renew(link.now);
    link.drain();
    let sent = link.sent.len();
    link.answer(&Answer::new(MessageType::Reply).status(1));
    assert_eq!(link.state(), "INFORMATION-REQUEST");
    assert_eq!(link.supply(), supply);
    let complaint = |link: &Link| link.client.report(link.now).complaint;
    assert_eq!(complaint(&link).as_deref(), Some("said so"));
    link.step(10);
    assert!(link.sent.len() > sent, "it is asked again");
    link.answer(&Answer::new(MessageType::Reply).with(option::DNS, &dns(0x54)));
    assert_eq!((link.state(), complaint(&link)), ("informed", None));
    assert_ne!(link.supply(), supply);
}

#[test]
fn what_nobody_speaks_of_any_more_goes_when_who_told_to_ask_does_not_answer() {
    let mut link = in_state("informed");
    assert_eq!(link.state(), "informed");
    reconfigure(&mut link, 11);
    assert_eq!(link.state(), "INFORMATION-REQUEST");
    link.advertise(false, false);
    assert_eq!(link.supply().upstreams.len(), 1, "it may answer yet");
    link.run_until(900);
    assert_eq!((link.state(), &link.supplied), ("idle", &None));
}
