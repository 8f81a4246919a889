//! Does a link get from its servers what RFC 8415 says, and never wait for one? With a stepped clock.

mod server;
mod transitions;

pub(super) use server::{Answer, IAID, duid};

use super::wire::{MessageType, Sort, StatusCode, option};
use super::*;
use server::{Link, OTHER, SERVER};

const ADDRESS: &str = "2001:db8::100";
const NEXT: &str = "2001:db8::200";
const PREFIX: &str = "2001:db8:ff00::";
const NEW_PREFIX: &str = "2001:db8:ee00::";

/// A message that grants an address for 3000 and 4000 s, T1 1000, T2 1600.
fn granted(kind: MessageType) -> Answer {
    Answer::new(kind).addresses((1000, 1600), &[(ADDRESS, 3000, 4000)])
}

fn reply() -> Answer {
    granted(MessageType::Reply)
}

fn with_prefix(kind: MessageType) -> Answer {
    granted(kind).prefixes((1000, 1600), &[(PREFIX, 3000, 4000)])
}

fn delegating() -> Dhcp6Settings {
    Dhcp6Settings {
        delegate: Some(56),
        ..Dhcp6Settings::default()
    }
}

fn bound() -> Link {
    let mut link = Link::soliciting();
    link.answer(&granted(MessageType::Advertise).with(option::PREFERENCE, &[255]));
    link.answer(&reply());
    link.take_sent();
    link
}

fn bound_with_prefix() -> Link {
    let mut link = Link::begin(delegating(), None);
    link.attach();
    link.advertise(true, false);
    link.answer(&with_prefix(MessageType::Advertise).with(option::PREFERENCE, &[255]));
    link.answer(&with_prefix(MessageType::Reply));
    link.take_sent();
    link
}

#[test]
fn nothing_is_sent_without_a_reason_and_an_address() {
    let mut link = Link::begin(Dhcp6Settings::default(), None);
    link.run_until(60);
    assert!(link.sent.is_empty());
    link.attach();
    link.run_until(120);
    assert!(link.sent.is_empty(), "no router says that there is DHCPv6");
    link.advertise(false, true);
    assert_eq!(link.take_sent(), [MessageType::InformationRequest]);
    link.advertise(true, true);
    assert_eq!(link.take_sent(), [MessageType::Solicit]);
}

#[test]
fn a_prefix_is_asked_for_where_routers_say_that_there_are_some() {
    let mut link = Link::begin(Dhcp6Settings::default(), None);
    link.attach();
    link.advertise_prefixes(true);
    let solicit = link.last();
    assert_eq!(solicit.kind, MessageType::Solicit);
    let asked: Vec<Sort> = solicit.associations.iter().map(|it| it.sort).collect();
    assert_eq!(asked, [Sort::Prefixes], "nobody says M");
    let hint = [0, 26, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0];
    let octets = &link.sent[0].octets;
    assert!(octets.windows(hint.len()).any(|window| window == hint));
    let answer = |kind| Answer::new(kind).prefixes((1000, 1600), &[(PREFIX, 3000, 4000)]);
    link.answer(&answer(MessageType::Advertise).with(option::PREFERENCE, &[255]));
    link.answer(&answer(MessageType::Reply));
    assert_eq!(link.supply().delegated.len(), 1);
    link.take_sent();
    // What is held is held on to.
    link.advertise_prefixes(false);
    link.step(1000);
    assert_eq!(link.take_sent(), [MessageType::Renew]);
}

#[test]
fn a_prefix_of_the_links_own_is_remembered_and_one_that_was_handed_on_is_not() {
    let handed_on = Dhcp6Settings {
        delegate: Some(56),
        ..Dhcp6Settings::default()
    };
    for (before, is_kept) in [(Dhcp6Settings::default(), true), (handed_on, false)] {
        let mut link = Link::begin(before, None);
        link.attach();
        link.advertise_prefixes(true);
        let answer = |kind| Answer::new(kind).prefixes((1000, 1600), &[(PREFIX, 3000, 4000)]);
        link.answer(&answer(MessageType::Advertise).with(option::PREFERENCE, &[255]));
        link.answer(&answer(MessageType::Reply));
        let memory = serde_json::to_string(&link.kept.unwrap()).unwrap();
        let remembered = Remembered {
            memory: serde_json::from_str(&memory).unwrap(),
            age: Duration::from_secs(5),
            moved: false,
        };
        // Routers have said nothing yet.
        let mut later = Link::begin(Dhcp6Settings::default(), Some(remembered));
        assert_eq!(later.supply().delegated.len(), usize::from(is_kept));
        later.attach();
        let asked = is_kept.then_some(MessageType::Rebind);
        assert_eq!(later.take_sent(), Vec::from_iter(asked));
    }
}

#[test]
fn no_prefix_is_asked_for_by_those_who_are_nobody_or_where_nobody_says_so() {
    let anonymous = Dhcp6Settings {
        anonymous: true,
        ..Dhcp6Settings::default()
    };
    for (settings, said) in [(anonymous, true), (Dhcp6Settings::default(), false)] {
        let mut link = Link::begin(settings, None);
        link.attach();
        link.advertise_prefixes(said);
        link.run_until(60);
        assert!(link.sent.is_empty(), "{said}");
    }
    let mut link = Link::soliciting();
    assert_eq!(link.last().associations.len(), 1);
    link.advertise_prefixes(true);
    link.advertise_prefixes(false);
    link.take_sent();
    link.run_until(600);
    assert!(
        link.take_sent().is_empty(),
        "they have thought better of it"
    );
}

#[test]
fn four_messages_bring_an_address_and_what_goes_with_it() {
    let mut link = Link::soliciting();
    let solicit = link.last();
    assert_eq!(solicit.client.as_deref(), Some(duid().octets()));
    assert!(solicit.rapid_commit);
    assert_eq!(solicit.associations[0].iaid, IAID);
    link.answer(&granted(MessageType::Advertise));
    assert_eq!(link.state(), "SOLICIT", "others may have something better");
    link.step(2);
    assert_eq!(link.state(), "REQUEST");
    let request = link.last();
    assert_eq!(request.kind, MessageType::Request);
    assert_eq!(request.server.as_deref(), Some(SERVER));
    let mut encrypted = vec![0, 1, 0, 13];
    encrypted.extend(b"\x03dns\x07example\0\0\x10");
    encrypted.extend("2001:db8::853".parse::<Ipv6Addr>().unwrap().octets());
    encrypted.extend(b"\0\x01\0\x04\x03dot");
    let server = |address: &str| address.parse::<Ipv6Addr>().unwrap().octets();
    let mut ntp = vec![0, 1, 0, 16];
    ntp.extend(server("2001:db8::123"));
    link.answer(
        &reply()
            .with(option::DNS, &server("2001:db8::53"))
            .with(option::DNR, &encrypted)
            .with(option::SEARCH, b"\x04corp\x07example\0")
            .with(option::SNTP, &server("2001:db8::124"))
            .with(option::NTP, &ntp)
            .with(option::PORTAL, b"https://portal.example/"),
    );
    let supply = link.supply();
    assert_eq!(link.addresses(), [ADDRESS]);
    assert_eq!(supply.addresses[0].prefix.length, 128);
    assert_eq!(supply.addresses[0].preferred_until, Some(link.at(3000)));
    assert_eq!(supply.addresses[0].valid_until, Some(link.at(4000)));
    let upstreams: Vec<String> = supply.upstreams.iter().map(ToString::to_string).collect();
    assert_eq!(
        upstreams,
        ["tls://[2001:db8::853]#dns.example", "2001:db8::53"]
    );
    assert_eq!(supply.search[0].to_string(), "corp.example");
    assert_eq!(supply.time_servers.len(), 2);
    assert_eq!(supply.portal.as_deref(), Some("https://portal.example/"));
    assert!(!supply.unconfirmed);
    assert!(link.kept.is_some());
}

#[test]
fn two_messages_are_enough_with_rapid_commit() {
    let mut link = Link::soliciting();
    link.answer(&reply());
    assert_eq!(
        link.state(),
        "SOLICIT",
        "without the option it is no answer to a Solicit"
    );
    link.answer(&reply().with(option::RAPID_COMMIT, &[]));
    assert_eq!(link.addresses(), [ADDRESS]);
}

#[test]
fn the_server_that_is_best_is_asked() {
    let mut link = Link::begin(delegating(), None);
    link.attach();
    link.advertise(true, false);
    link.answer(&granted(MessageType::Advertise).with(option::PREFERENCE, &[255]));
    link.answer(
        &Answer::from(MessageType::Advertise, OTHER)
            .addresses((0, 0), &[(NEXT, 300, 400)])
            .prefixes((0, 0), &[(PREFIX, 300, 400)])
            .with(option::PREFERENCE, &[1]),
    );
    assert_eq!(link.state(), "SOLICIT");
    link.step(2);
    assert_eq!(
        link.last().server.as_deref(),
        Some(OTHER),
        "it has all that is wanted"
    );
}

#[test]
fn leases_are_renewed_with_their_server_and_then_with_anybody() {
    let mut link = bound();
    link.run_until(999);
    assert!(link.take_sent().is_empty());
    link.run_until(1000);
    let renew = link.last();
    assert_eq!(renew.kind, MessageType::Renew);
    assert_eq!(renew.server.as_deref(), Some(SERVER));
    assert_eq!(renew.associations[0].leases.len(), 1);
    link.run_until(1599);
    let renews = link.take_sent();
    assert!((5..=7).contains(&renews.len()), "{renews:?}");
    link.run_until(1600);
    assert_eq!(link.last().kind, MessageType::Rebind);
    assert_eq!(link.last().server, None);
    assert_eq!(
        link.addresses(),
        [ADDRESS],
        "a silent server takes nothing away"
    );
    link.answer(
        &Answer::from(MessageType::Reply, OTHER).addresses((1000, 1600), &[(ADDRESS, 3000, 4000)]),
    );
    assert_eq!(link.state(), "bound");
    assert_eq!(link.supply().addresses[0].valid_until, Some(link.at(4000)));
    link.take_sent();
    link.step(1000);
    assert_eq!(link.last().server.as_deref(), Some(OTHER));
}

#[test]
fn leases_end_when_nobody_prolongs_them_and_others_are_asked_for() {
    let mut link = bound();
    link.run_until(3999);
    assert_eq!(link.addresses(), [ADDRESS]);
    link.run_until(4000);
    assert_eq!(link.supplied, None);
    assert_eq!(link.state(), "SOLICIT");
}

#[test]
fn times_that_the_server_leaves_open_are_half_and_four_fifths() {
    let rows = [
        // T1, T2, preferred, valid; then when Renew and Rebind are sent.
        ((0, 0), 1000, 2000, Some((500, 800))),
        ((300, 0), 1000, 2000, Some((300, 800))),
        ((900, 0), 1000, 2000, Some((900, 900))),
        ((0, 0), u32::MAX, u32::MAX, None),
        ((u32::MAX, u32::MAX), 1000, 2000, None),
        // One second is no time.
        ((1, 1), 1000, 2000, Some((10, 10))),
        ((1, 2), 4, 8, Some((4, 4))),
    ];
    for (times, preferred, valid, expected) in rows {
        let mut link = Link::soliciting();
        link.answer(&granted(MessageType::Advertise).with(option::PREFERENCE, &[255]));
        link.answer(
            &Answer::new(MessageType::Reply).addresses(times, &[(ADDRESS, preferred, valid)]),
        );
        let report = link.client.report(link.now);
        assert_eq!(report.renew.zip(report.rebind), expected, "{times:?}");
    }
}

#[test]
fn a_server_that_forgot_us_is_asked_anew_and_then_everybody() {
    let mut link = bound();
    link.run_until(1000);
    link.answer(&Answer::new(MessageType::Reply).refused(Sort::Addresses, 3));
    assert_eq!(link.last().kind, MessageType::Request);
    assert_eq!(
        link.last().associations[0].leases.len(),
        1,
        "what we had, please"
    );
    link.answer(&Answer::new(MessageType::Reply).addresses((1000, 1600), &[(NEXT, 3000, 4000)]));
    assert_eq!(link.addresses(), [NEXT], "the old one is not ours any more");

    let mut link = bound();
    link.run_until(1000);
    link.answer(&Answer::new(MessageType::Reply).refused(Sort::Addresses, 3));
    link.step(400);
    let sent = link.take_sent();
    let requests = sent.iter().filter(|kind| **kind == MessageType::Request);
    assert_eq!(requests.count(), 10);
    assert!(sent.contains(&MessageType::Solicit));
}

#[test]
fn back_on_a_link_addresses_are_confirmed() {
    let mut link = bound();
    link.step(100);
    link.client.handle_reattach(link.now);
    link.drain();
    assert_eq!(link.last().kind, MessageType::Confirm);
    assert_eq!(link.last().associations[0].leases.len(), 1);
    assert!(link.supply().unconfirmed);
    assert_eq!(link.addresses(), [ADDRESS], "in use meanwhile");
    link.answer(&Answer::new(MessageType::Reply).status(0));
    assert!(!link.supply().unconfirmed);
    assert_eq!(link.state(), "bound");

    link.client.handle_reattach(link.now);
    link.drain();
    link.answer(&Answer::new(MessageType::Reply).status(4));
    assert_eq!(link.supplied, None, "another place");
    assert_eq!(link.last().kind, MessageType::Solicit);
}

#[test]
fn names_are_sent_to_nobody_until_somebody_says_where_the_link_is() {
    let names = |link: &Link| !link.supply().upstreams.is_empty();
    let mut link = Link::soliciting();
    link.answer(&granted(MessageType::Advertise).with(option::PREFERENCE, &[255]));
    link.answer(&reply().with(option::DNS, &[0x20; 16]));
    assert!(names(&link));
    link.client.handle_detach(link.now);
    link.drain();
    assert!(!names(&link));
    assert_eq!(link.addresses(), [ADDRESS]);
    link.client.handle_reattach(link.now);
    link.drain();
    assert!(!names(&link));
    link.answer(&Answer::new(MessageType::Reply).status(0));
    assert!(names(&link));
    // A server that says nothing is no reason to do without names where routers say that it is the same place.
    link.client.handle_detach(link.now);
    link.client.handle_reattach(link.now);
    link.drain();
    link.step(11);
    assert!(!names(&link) && link.supply().unconfirmed);
    link.client.handle_same_place(link.now);
    link.drain();
    assert!(names(&link) && link.supply().unconfirmed);
    // To ask again is no reason to doubt.
    link.take_sent();
    link.client.handle_renew(link.now);
    link.drain();
    assert_eq!(link.take_sent(), [MessageType::Renew]);
    assert!(names(&link));
}

#[test]
fn nobody_confirming_is_no_reason_to_drop_anything() {
    let mut link = bound();
    link.client.handle_reattach(link.now);
    link.drain();
    link.step(11);
    let sent = link.take_sent();
    assert!((4..=5).contains(&sent.len()), "{sent:?}");
    assert_eq!(link.state(), "bound");
    assert!(link.supply().unconfirmed);
    assert_eq!(link.addresses(), [ADDRESS]);
}

#[test]
fn with_prefixes_anybody_is_asked_to_prolong_all() {
    let mut link = bound_with_prefix();
    assert_eq!(
        link.supply().delegated[0].prefix.to_string(),
        "2001:db8:ff00::/56"
    );
    link.client.handle_reattach(link.now);
    link.drain();
    assert_eq!(link.last().kind, MessageType::Rebind);
    assert_eq!(link.last().associations.len(), 2);
}

#[test]
fn a_prefix_is_asked_for_by_its_length_whatever_routers_say() {
    let mut link = Link::begin(delegating(), None);
    link.attach();
    let solicit = link.last();
    assert_eq!(
        solicit.associations[0].leases,
        [],
        "a hint of :: is no lease"
    );
    let octets = &link.sent.last().unwrap().octets;
    let hint = [0, 26, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 56, 0];
    assert!(octets.windows(hint.len()).any(|window| window == hint));
    assert!(
        !octets.windows(4).any(|window| window == [0, 3, 0, 12]),
        "no addresses"
    );
}

#[test]
fn a_new_prefix_deprecates_the_old_one_and_never_cuts_it() {
    let mut link = bound_with_prefix();
    link.run_until(1000);
    link.answer(
        &granted(MessageType::Reply)
            .prefixes((1000, 1600), &[(PREFIX, 0, 0), (NEW_PREFIX, 3000, 4000)]),
    );
    let [old, new] = link.supply().delegated[..] else {
        panic!("both are there: {:?}", link.supply().delegated);
    };
    assert_eq!(old.preferred_until, Some(link.now));
    assert_eq!(
        old.valid_until,
        Some(link.at(3000)),
        "what was left, at most two hours"
    );
    assert_eq!(new.preferred_until, Some(link.at(3000)));
    link.step(1000);
    let asked = &link.last().associations[1].leases;
    assert_eq!(asked.len(), 1, "the old one is not asked for again");
    link.step(2000);
    assert_eq!(link.supply().delegated.len(), 1);
}

#[test]
fn an_excluded_part_is_told() {
    let mut link = bound_with_prefix();
    link.run_until(1000);
    let mut value = IAID.to_be_bytes().to_vec();
    value.extend([0; 8]);
    value.extend([0, 26, 0, 31]);
    value.extend(3000_u32.to_be_bytes());
    value.extend(4000_u32.to_be_bytes());
    value.push(56);
    value.extend(PREFIX.parse::<Ipv6Addr>().unwrap().octets());
    // RFC 6603: 2001:db8:ff00:ab::/64 of it.
    value.extend([0, 67, 0, 2, 64, 0xab]);
    link.answer(&granted(MessageType::Reply).with(option::IA_PD, &value));
    let excluded = link.supply().delegated[0].excluded.unwrap();
    assert_eq!(excluded.to_string(), "2001:db8:ff00:ab::/64");
}

#[test]
fn an_address_of_somebody_else_is_declined_and_another_asked_for() {
    let mut link = bound();
    link.client
        .handle_dad_failed(ADDRESS.parse().unwrap(), link.now);
    link.drain();
    assert_eq!(link.supplied, None);
    assert_eq!(link.take_sent(), [MessageType::Decline]);
    link.step(2);
    let sent = link.take_sent();
    assert!(sent.contains(&MessageType::Solicit), "{sent:?}");
    link.step(30);
    let declines = link
        .take_sent()
        .iter()
        .filter(|kind| **kind == MessageType::Decline)
        .count();
    assert!(declines <= 3, "four in all");
}

#[test]
fn a_server_whose_addresses_are_all_taken_is_not_asked_without_end() {
    let mut link = Link::soliciting();
    let before = link.now;
    for number in 0..40 {
        let address = format!("2001:db8::{number:x}");
        while link.state() != "bound" {
            link.step(1);
            let answer = Answer::new(MessageType::Reply)
                .addresses((0, 0), &[(&address, 3000, 4000)])
                .with(option::RAPID_COMMIT, &[]);
            let solicits = link.sent.iter();
            let mut solicits = solicits.filter(|transmit| transmit.octets[0] == 1);
            if let Some(last) = solicits.next_back() {
                let transaction = wire::Message::parse(&last.octets).unwrap().transaction;
                link.hear(&answer.octets(transaction));
            }
        }
        link.client
            .handle_dad_failed(address.parse().unwrap(), link.now);
        link.drain();
    }
    assert!(link.now.since(before) > Duration::from_secs(1000));
}

#[test]
fn leases_are_given_back_a_few_times_whether_or_not_anybody_hears() {
    let mut link = bound_with_prefix();
    link.client.handle_release(link.now);
    link.drain();
    assert_eq!(link.supplied, None);
    assert_eq!(link.last().kind, MessageType::Release);
    assert_eq!(link.last().server.as_deref(), Some(SERVER));
    assert_eq!(link.last().associations.len(), 2);
    assert!(!link.released);
    link.step(60);
    assert!(link.released);
    assert_eq!(link.take_sent(), [MessageType::Release; 4]);
    assert_eq!(link.client.poll_timeout(), None);

    let mut link = bound();
    link.client.handle_release(link.now);
    link.drain();
    link.answer(&Answer::new(MessageType::Reply).status(0));
    assert!(link.released);
    let mut link = Link::soliciting();
    link.client.handle_release(link.now);
    link.drain();
    assert!(link.released, "there is nothing to give back");
}

#[test]
fn other_information_is_asked_for_again_when_it_may_have_changed() {
    let server = "2001:db8::53".parse::<Ipv6Addr>().unwrap().octets();
    let rows = [
        (None, 86400),
        (Some(1800_u32), 1800),
        (Some(1), 600),
        (Some(u32::MAX), 86400),
    ];
    for (refresh, expected) in rows {
        let mut link = Link::begin(Dhcp6Settings::default(), None);
        link.attach();
        link.advertise(false, true);
        let mut answer = Answer::new(MessageType::Reply).with(option::DNS, &server);
        if let Some(refresh) = refresh {
            answer = answer.with(option::REFRESH, &refresh.to_be_bytes());
        }
        link.answer(&answer);
        assert_eq!(link.supply().upstreams.len(), 1);
        assert_eq!(link.state(), "informed");
        link.take_sent();
        link.run_until(expected - 1);
        assert!(link.take_sent().is_empty());
        link.run_until(expected);
        assert_eq!(link.take_sent(), [MessageType::InformationRequest]);
        assert_eq!(
            link.supply().upstreams.len(),
            1,
            "until something else is known"
        );
        link.advertise(false, false);
        assert_eq!(link.supplied, None);
    }
}

#[test]
fn a_server_without_addresses_is_asked_for_the_rest() {
    let server = "2001:db8::53".parse::<Ipv6Addr>().unwrap().octets();
    let mut link = Link::soliciting();
    link.answer(&Answer::new(MessageType::Advertise).refused(Sort::Addresses, 2));
    assert_eq!(link.last().kind, MessageType::InformationRequest);
    link.answer(&Answer::new(MessageType::Reply).with(option::DNS, &server));
    assert_eq!(link.supply().upstreams.len(), 1);
    assert_eq!(link.state(), "SOLICIT", "and addresses may come later");

    let mut silent = Link::soliciting();
    silent.step(30);
    assert!(
        silent
            .take_sent()
            .contains(&MessageType::InformationRequest)
    );
}

#[test]
fn a_network_may_have_us_ask_more_rarely() {
    let mut link = Link::soliciting();
    let answer =
        Answer::new(MessageType::Advertise).with(option::SOL_MAX_RT, &60_u32.to_be_bytes());
    link.answer(&answer.refused(Sort::Addresses, 2));
    link.run_until(1000);
    link.take_sent();
    link.run_until(1600);
    let solicits = link
        .take_sent()
        .iter()
        .filter(|kind| **kind == MessageType::Solicit)
        .count();
    assert!((9..=11).contains(&solicits), "{solicits}");
}

#[test]
fn only_a_server_that_gave_its_key_may_reconfigure() {
    let mut auth = vec![3, 1, 0];
    auth.extend(1_u64.to_be_bytes());
    auth.push(1);
    auth.extend([5; 16]);
    let mut link = Link::soliciting();
    link.answer(
        &reply()
            .with(option::RAPID_COMMIT, &[])
            .with(option::AUTH, &auth),
    );
    link.take_sent();
    let message = Answer::new(MessageType::Reconfigure)
        .with(option::RECONFIGURE, &[5])
        .octets(0);
    link.hear(&auth::reconfigure([6; 16], 2, message.clone()));
    assert_eq!(link.state(), "bound");
    // RFC 8415 §18.3.11: from wherever its server is.
    let octets = auth::reconfigure([5; 16], 2, message);
    let from = "2001:db8::547".parse().unwrap();
    link.client.handle_packet(&octets, from, link.now);
    link.drain();
    assert_eq!(link.take_sent(), [MessageType::Renew]);
}

#[test]
fn what_is_remembered_is_used_at_once_and_confirmed() {
    let link = bound();
    let memory = link.kept.clone().unwrap();
    let age = Duration::from_secs(500);
    let remembered = Remembered {
        memory: memory.clone(),
        age,
        moved: true,
    };
    let mut later = Link::begin(Dhcp6Settings::default(), Some(remembered));
    assert_eq!(later.addresses(), [ADDRESS]);
    assert!(later.supply().unconfirmed);
    assert_eq!(
        later.supply().addresses[0].valid_until,
        Some(later.at(3500))
    );
    later.attach();
    assert_eq!(later.take_sent(), [MessageType::Confirm]);
    let age = Duration::from_secs(5000);
    let over = Link::begin(
        Dhcp6Settings::default(),
        Some(Remembered {
            memory,
            age,
            moved: false,
        }),
    );
    assert_eq!(over.supplied, None);
}

#[test]
fn addresses_of_our_own_making_are_registered_where_that_is_wanted() {
    let mut link = Link::begin(Dhcp6Settings::default(), None);
    link.attach();
    let own = ["2001:db8::1".parse().unwrap(), "fe80::1".parse().unwrap()];
    link.client.handle_addresses(&own, link.now);
    link.advertise(false, true);
    let answer = Answer::new(MessageType::Reply).with(option::REGISTRATION, &[]);
    link.take_sent();
    link.client.handle_reattach(link.now);
    link.drain();
    link.answer(&answer);
    let inform = link.sent.last().unwrap().clone();
    assert_eq!(link.last().kind, MessageType::AddrRegInform);
    assert_eq!(
        inform.from,
        Some(own[0]),
        "it leaves from the address that it is about"
    );
    assert_eq!(
        inform.octets[inform.octets.len() - 8..],
        [0xff; 8],
        "it has no end"
    );
    let transaction = link.last().transaction;
    let noted = |address: &str| {
        let address: Ipv6Addr = address.parse().unwrap();
        let mut value = address.octets().to_vec();
        value.extend([0; 8]);
        Answer::new(MessageType::AddrRegReply)
            .with(option::IA_ADDRESS, &value)
            .octets(transaction)
    };
    link.hear(&noted("2001:db8::2"));
    assert!(
        link.client.report(link.now).registered.is_empty(),
        "another's"
    );
    link.hear(&noted("2001:db8::1"));
    assert_eq!(link.client.report(link.now).registered, [own[0]]);
    link.take_sent();
    link.step(3 * 3600);
    assert!(link.take_sent().is_empty());
    link.step(2 * 3600);
    assert!(
        link.take_sent().contains(&MessageType::AddrRegInform),
        "again before it is forgotten"
    );
    // A Reply that says nothing of it takes nothing back.
    link.client.handle_renew(link.now);
    link.drain();
    link.answer(&Answer::new(MessageType::Reply));
    link.take_sent();
    link.step(5 * 3600);
    assert!(link.take_sent().contains(&MessageType::AddrRegInform));
    // But in another place it has to be said again.
    link.client.handle_reattach(link.now);
    link.drain();
    link.answer(&Answer::new(MessageType::Reply));
    link.take_sent();
    link.step(10 * 3600);
    assert!(!link.take_sent().contains(&MessageType::AddrRegInform));
}

#[test]
fn an_address_is_registered_for_as_long_as_it_lasts_and_by_whom_it_is_to_be() {
    let own: [Ipv6Addr; 1] = ["2001:db8::1".parse().unwrap()];
    let informed = |settings: Dhcp6Settings, other: bool| {
        let mut link = Link::begin(settings, None);
        link.attach();
        let lasts = policy::facts::SuppliedAddress {
            prefix: config::model::Prefix {
                address: "2001:db8::1".parse().unwrap(),
                length: 64,
            },
            preferred_until: Some(link.at(1000)),
            valid_until: Some(link.at(2000)),
            temporaries: true,
        };
        link.client.handle_lifetimes(&[lasts]);
        link.client.handle_addresses(&own, link.now);
        link.advertise(false, other);
        if link.sent.is_empty() {
            return (link, Vec::new());
        }
        link.answer(&Answer::new(MessageType::Reply).with(option::REGISTRATION, &[]));
        let informs = |it: &&Transmit| it.from == Some(own[0]);
        let sent = link
            .sent
            .iter()
            .filter(informs)
            .map(|it| it.octets.clone())
            .collect();
        (link, sent)
    };
    let (mut link, sent): (Link, Vec<Vec<u8>>) = informed(Dhcp6Settings::default(), true);
    let lifetimes = [1000_u32.to_be_bytes(), 2000_u32.to_be_bytes()].concat();
    assert!(sent[0].ends_with(&lifetimes), "{sent:?}");
    let mut value = own[0].octets().to_vec();
    value.extend([0; 8]);
    link.answer(&Answer::new(MessageType::AddrRegReply).with(option::IA_ADDRESS, &value));
    link.take_sent();
    link.step(1400);
    assert!(link.take_sent().is_empty());
    link.step(400);
    assert_eq!(
        link.take_sent()[0],
        MessageType::AddrRegInform,
        "80 % of it, more or less"
    );
    let always = Dhcp6Settings {
        when: config::model::Dhcp6When::Always,
        addresses: false,
        ..Dhcp6Settings::default()
    };
    let silent = Dhcp6Settings {
        register: false,
        ..Dhcp6Settings::default()
    };
    let anonymous = Dhcp6Settings {
        anonymous: true,
        ..Dhcp6Settings::default()
    };
    for (settings, other) in [(always, false), (silent, true), (anonymous, true)] {
        let (link, sent) = informed(settings.clone(), other);
        assert!(!link.sent.is_empty() && sent.is_empty(), "{settings:?}");
    }
}

/// The options of a message that was sent.
fn options(octets: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let (mut rest, mut found) = (&octets[4..], Vec::new());
    while let [a, b, c, d, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        found.push((u16::from_be_bytes([*a, *b]), after[..length].to_vec()));
        rest = &after[length..];
    }
    found
}

#[test]
fn the_host_is_named_as_its_profile_says_and_who_is_anonymous_tells_nothing() {
    let first = |settings: Dhcp6Settings| {
        let mut link = Link::begin(settings, None);
        link.attach();
        link.advertise(true, false);
        options(&link.sent[0].octets)
    };
    let named = Dhcp6Settings {
        hostname: Some("laptop".into()),
        ..Dhcp6Settings::default()
    };
    let sent = first(named.clone());
    // RFC 4704 §4: S, and a name without its domain.
    assert!(
        sent.contains(&(option::FQDN, b"\x01\x06laptop".to_vec())),
        "{sent:?}"
    );
    let numbers = |sent: &[(u16, Vec<u8>)]| sent.iter().map(|it| it.0).collect::<Vec<_>>();
    assert!(!numbers(&first(Dhcp6Settings::default())).contains(&option::FQDN));
    let anonymous = Dhcp6Settings {
        anonymous: true,
        hostname: None,
        ..named
    };
    let sent = first(anonymous.clone());
    assert_eq!(
        numbers(&sent),
        [
            option::CLIENT_ID,
            option::ELAPSED,
            option::IA_NA,
            option::REQUESTED
        ]
    );
    let requested = &sent.last().unwrap().1;
    assert_eq!(requested[..], [0, 23, 0, 24], "RFC 7844 §4.6");
    // Nothing of before is confirmed.
    let memory = bound().kept.unwrap();
    let remembered = Remembered {
        memory,
        age: Duration::ZERO,
        moved: false,
    };
    let mut link = Link::begin(anonymous, Some(remembered));
    link.attach();
    link.advertise(true, false);
    assert_eq!(link.last().kind, MessageType::Solicit);
    assert!(link.last().associations[0].leases.is_empty());
}

#[test]
fn how_rarely_servers_are_asked_at_last_any_reply_may_say() {
    let mut link = Link::begin(Dhcp6Settings::default(), None);
    link.attach();
    link.advertise(false, true);
    let told = Answer::new(MessageType::Reply).with(option::SOL_MAX_RT, &60_u32.to_be_bytes());
    link.answer(&told);
    link.advertise(true, true);
    link.take_sent();
    link.step(2000);
    let solicits = link.take_sent();
    assert!(solicits.len() > 25, "once a minute: {}", solicits.len());
}

#[test]
fn from_beyond_the_link_nobody_is_heard() {
    let mut link = Link::soliciting();
    let octets = reply()
        .with(option::RAPID_COMMIT, &[])
        .octets(link.last().transaction);
    link.client
        .handle_packet(&octets, "2001:db8::bad".parse().unwrap(), link.now);
    link.drain();
    assert_eq!(link.supplied, None);
    assert_eq!(link.client.report(link.now).passed_over, 1);
}

#[test]
fn a_complaint_is_told() {
    let mut link = Link::soliciting();
    link.answer(&Answer::new(MessageType::Advertise).status(2));
    let report = link.client.report(link.now);
    assert_eq!(report.complaint.as_deref(), Some("said so"));
    assert_ne!(StatusCode::NoAddrsAvail, StatusCode::Success);
}

#[test]
fn a_server_that_promises_and_does_not_give_costs_little_for_hours() {
    let server = "2001:db8::53".parse::<Ipv6Addr>().unwrap().octets();
    let mut link = Link::soliciting();
    link.answer(&Answer::new(MessageType::Advertise).refused(Sort::Addresses, 2));
    link.answer(&Answer::new(MessageType::Reply).with(option::DNS, &server));
    let mut sent = 0;
    for _ in 0..3600 {
        link.step(1);
        if link.sent.is_empty() {
            continue;
        }
        if link.last().kind == MessageType::Solicit {
            link.answer(&granted(MessageType::Advertise).with(option::PREFERENCE, &[255]));
        }
        if link.last().kind == MessageType::Request {
            link.answer(&Answer::new(MessageType::Reply));
        }
        sent += link.take_sent().len();
    }
    assert!(sent < 200, "{sent} messages in an hour");
    assert_eq!(link.supply().upstreams.len(), 1);
}
