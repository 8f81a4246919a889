//! Is a message read as RFC 2131 means it, and never believed beyond that? Messages are made here octet by octet, without the
//! library.

use super::*;

pub(crate) const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
pub(crate) const OFFER: u8 = 2;
pub(crate) const ACK: u8 = 5;
pub(crate) const NAK: u8 = 6;

/// Options of an ordinary lease: 1000 seconds in 192.0.2.0/24, behind 192.0.2.1.
pub(crate) fn usual() -> Vec<(u8, Vec<u8>)> {
    vec![
        (code::SERVER_ID, SERVER.octets().to_vec()),
        (code::LEASE_TIME, 1000_u32.to_be_bytes().to_vec()),
        (code::SUBNET_MASK, vec![255, 255, 255, 0]),
        (code::ROUTER, SERVER.octets().to_vec()),
        (code::DOMAIN_NAME_SERVER, vec![192, 0, 2, 53]),
    ]
}

/// Writes a server's message; the options' order is kept.
pub(crate) fn server_message(
    kind: u8,
    xid: u32,
    address: Ipv4Addr,
    options: &[(u8, Vec<u8>)],
) -> Vec<u8> {
    let mut message = vec![2, 1, 6, 0];
    message.extend(xid.to_be_bytes());
    message.extend([0; 8]);
    message.extend(address.octets());
    message.extend([0; 8]);
    message.extend(MAC.0);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, kind]);
    for (code, data) in options {
        for part in data.chunks(255) {
            message.extend([*code, u8::try_from(part.len()).unwrap()]);
            message.extend(part);
        }
        if data.is_empty() {
            message.extend([*code, 0]);
        }
    }
    message.push(255);
    message
}

/// Writes a BOOTP server's message, of which the server says its own address.
pub(crate) fn boot_message(xid: u32, address: Ipv4Addr, options: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut message = server_message(0, xid, address, options);
    message.drain(HEADER..HEADER + 3);
    message[20..24].copy_from_slice(&SERVER.octets());
    message
}

/// What a BOOTP server says beside an address: 192.0.2.0/24, behind 192.0.2.1.
pub(crate) fn usual_of_bootp() -> Vec<(u8, Vec<u8>)> {
    let is_of_dhcp = |code: u8| [code::SERVER_ID, code::LEASE_TIME].contains(&code);
    let usual = usual().into_iter();
    usual.filter(|(code, _)| !is_of_dhcp(*code)).collect()
}

fn ack(options: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut all = usual();
    all.extend_from_slice(options);
    server_message(ACK, 7, ADDRESS, &all)
}

#[test]
fn an_ordinary_lease_is_read() {
    let reply = Reply::parse(&ack(&[
        (code::RENEWAL, 300_u32.to_be_bytes().to_vec()),
        (code::REBINDING, 800_u32.to_be_bytes().to_vec()),
        (code::INTERFACE_MTU, vec![5, 120]),
        (code::NTP_SERVERS, vec![192, 0, 2, 4, 192, 0, 2, 5]),
        (code::CLIENT_ID, vec![1, 2, 0, 0, 0, 0, 1]),
        (code::RAPID_COMMIT, vec![]),
        (code::MESSAGE, b"welcome\x1b[2J\0".to_vec()),
    ]))
    .unwrap();
    assert_eq!(
        (reply.kind, reply.address, reply.server),
        (ReplyKind::Ack, ADDRESS, SERVER)
    );
    assert_eq!(
        (reply.lease_time, reply.renewal, reply.rebinding),
        (Some(1000), Some(300), Some(800))
    );
    assert_eq!((reply.length, reply.mtu), (Some(24), Some(1400)));
    assert_eq!(reply.routers, [SERVER]);
    assert_eq!(reply.resolvers, [Ipv4Addr::new(192, 0, 2, 53)]);
    assert_eq!(reply.time_servers.len(), 2);
    assert_eq!(reply.client_id, Some(vec![1, 2, 0, 0, 0, 0, 1]));
    assert!(reply.rapid_commit);
    let text = reply.options.text(code::MESSAGE);
    assert_eq!(text.as_deref(), Some("welcome[2J"), "no control characters");
}

#[test]
fn what_a_bootp_server_says_is_read_and_has_no_type() {
    let reply = Reply::parse(&boot_message(7, ADDRESS, &usual_of_bootp())).unwrap();
    assert_eq!(
        (reply.kind, reply.address, reply.server, reply.lease_time),
        (ReplyKind::Boot, ADDRESS, SERVER, None)
    );
    assert_eq!((reply.length, reply.routers), (Some(24), vec![SERVER]));
    // RFC 1497: another cookie, another meaning.
    let mut message = boot_message(7, ADDRESS, &usual_of_bootp());
    message[239] = 0;
    assert_eq!(Reply::parse(&message), None);
    // Some say who they are though nobody asks.
    let mut options = usual_of_bootp();
    options.push((code::SERVER_ID, vec![192, 0, 2, 9]));
    let mut reply = Reply::parse(&boot_message(7, ADDRESS, &options)).unwrap();
    reply.came_from(SERVER);
    assert_eq!(reply.server, Ipv4Addr::new(192, 0, 2, 9));
    // A relay is nobody, and neither is who has no address.
    let from = Ipv4Addr::new(192, 0, 2, 3);
    for (relayed, source, expected) in [
        (false, from, from),
        (true, from, SERVER),
        (false, Ipv4Addr::UNSPECIFIED, SERVER),
    ] {
        let mut message = boot_message(7, ADDRESS, &usual_of_bootp());
        message[27] = u8::from(relayed);
        let mut reply = Reply::parse(&message).unwrap();
        reply.came_from(source);
        assert_eq!(reply.server, expected);
    }
}

#[test]
fn what_is_no_reply_to_this_kind_of_client_is_nothing() {
    let good = ack(&[]);
    assert!(Reply::parse(&good).is_some());
    let rows: [(usize, u8, &str); 7] = [
        (0, 1, "a client's message"),
        (1, 32, "InfiniBand"),
        (2, 255, "a hardware address of 255 octets"),
        (2, 0, "none"),
        (236, 98, "another cookie"),
        (242, 9, "another type"),
        (242, 0, "no type"),
    ];
    for (at, octet, what) in rows {
        let mut message = good.clone();
        message[at] = octet;
        assert_eq!(Reply::parse(&message), None, "{what}");
    }
    let without_server: Vec<_> = usual()
        .into_iter()
        .filter(|(code, _)| *code != 54)
        .collect();
    assert_eq!(
        Reply::parse(&server_message(ACK, 7, ADDRESS, &without_server)),
        None
    );
    let mut long = good.clone();
    long.resize(options::MAX_MESSAGE + 1, 0);
    assert_eq!(Reply::parse(&long), None);
    for length in 0..HEADER {
        assert_eq!(Reply::parse(&good[..length]), None);
    }
}

#[test]
fn a_message_whose_options_run_over_is_none_and_one_without_end_is_read() {
    let good = ack(&[]);
    assert!(Reply::parse(&good[..good.len() - 1]).is_some(), "no END");
    for cut in 2..6 {
        assert_eq!(
            Reply::parse(&good[..good.len() - cut]),
            None,
            "{cut} octets cut"
        );
    }
}

#[test]
fn options_of_the_wrong_length_are_left_out_and_the_others_count() {
    let bad: Vec<(u8, Vec<u8>)> = vec![
        (code::SUBNET_MASK, vec![255]),
        (code::ROUTER, vec![192, 0, 2]),
        (code::DOMAIN_NAME_SERVER, vec![]),
        (code::INTERFACE_MTU, vec![5]),
        (code::RENEWAL, vec![1, 2, 3]),
        (code::CLIENT_ID, vec![1]),
        (code::RAPID_COMMIT, vec![1]),
        // Those at which the library has been seen to panic.
        (81, vec![1]),
        (82, vec![1, 200]),
        (94, vec![1]),
        (152, vec![0]),
        (153, vec![0]),
        (154, vec![0]),
        (155, vec![0]),
    ];
    let mut options = usual();
    options.retain(|(code, _)| matches!(*code, code::SERVER_ID | code::LEASE_TIME));
    options.extend(bad);
    let reply = Reply::parse(&server_message(ACK, 7, ADDRESS, &options)).unwrap();
    assert_eq!((reply.length, reply.mtu, reply.renewal), (None, None, None));
    assert_eq!((reply.client_id, reply.rapid_commit), (None, false));
    assert!(reply.routers.is_empty() && reply.resolvers.is_empty());
    assert_eq!(reply.lease_time, Some(1000));
}

#[test]
fn a_mask_with_gaps_is_none() {
    for (mask, length) in [
        ([255, 255, 255, 0], Some(24)),
        ([255, 255, 255, 255], Some(32)),
        ([0, 0, 0, 0], Some(0)),
        ([255, 0, 255, 0], None),
        ([0, 0, 0, 255], None),
    ] {
        assert_eq!(mask_length(mask.into()), length);
    }
}

#[test]
fn options_go_on_in_the_fields_of_bootp_when_one_says_so() {
    for (overload, file, sname) in [
        (1, true, false),
        (2, false, true),
        (3, true, true),
        (0, false, false),
    ] {
        let mut message = ack(&[(code::OVERLOAD, vec![overload])]);
        // Half of a name in `file`, its other half in `sname` (RFC 3396 §5).
        message[108..113].copy_from_slice(&[code::DOMAIN_NAME, 2, b'h', b'o', 255]);
        message[44..49].copy_from_slice(&[code::DOMAIN_NAME, 2, b'm', b'e', 255]);
        let reply = Reply::parse(&message).unwrap();
        let name = reply.options.get(code::DOMAIN_NAME).unwrap_or_default();
        let expected = [(file, "ho"), (sname, "me")];
        let expected: String = expected
            .iter()
            .filter(|row| row.0)
            .map(|row| row.1)
            .collect();
        assert_eq!(name, expected.as_bytes(), "overload {overload}");
    }
    let mut message = ack(&[(code::OVERLOAD, vec![1])]);
    message[234..236].copy_from_slice(&[code::DOMAIN_NAME, 40]);
    assert_eq!(Reply::parse(&message), None, "it runs over its field");
}

fn about() -> Dhcp4Settings {
    Dhcp4Settings {
        hostname: Some("host.corp.example".into()),
        vendor_class: Some("linnet".into()),
        ..Dhcp4Settings::default()
    }
}

fn saying(about: Dhcp4Settings) -> Options {
    let request = Request {
        about: Some(Arc::new(about)),
        ..request(RequestKind::Discover)
    };
    Options::find(&request.emit()).unwrap()
}

fn request(kind: RequestKind) -> Request {
    Request {
        kind: Some(kind),
        xid: 0x0102_0304,
        seconds: 9,
        broadcast: true,
        configured: ADDRESS,
        mac: MAC,
        wanted: Some(ADDRESS),
        server: Some(SERVER),
        client_id: Arc::new([1, 2, 0, 0, 0, 0, 1]),
        rapid_commit: true,
        parameters: parameters(&Dhcp4Settings {
            ipv6_only: true,
            ..Dhcp4Settings::default()
        }),
        about: Some(Arc::new(about())),
    }
}

#[test]
fn a_message_of_ours_says_what_it_should() {
    let octets = request(RequestKind::Discover).emit();
    assert!(octets.len() >= LEAST_MESSAGE);
    assert_eq!(octets[..12], [1, 1, 6, 0, 1, 2, 3, 4, 0, 9, 0x80, 0]);
    assert_eq!(octets[12..16], ADDRESS.octets());
    assert_eq!(octets[28..34], MAC.0);
    let options = Options::find(&octets).unwrap();
    assert_eq!(options.get(53), Some(&[1][..]));
    assert_eq!(options.get(50), Some(&ADDRESS.octets()[..]));
    assert_eq!(options.get(54), Some(&SERVER.octets()[..]));
    assert_eq!(options.get(61), Some(&[1, 2, 0, 0, 0, 0, 1][..]));
    assert_eq!(options.get(60), Some(&b"linnet"[..]));
    assert_eq!(options.get(80), Some(&[][..]));
    assert_eq!(options.get(57), Some(&1472_u16.to_be_bytes()[..]));
    let fqdn = b"\x05\0\0\x04host\x04corp\x07example\0";
    assert_eq!(options.get(81), Some(&fqdn[..]));
    assert_eq!(options.get(12), None, "RFC 4702 §3.1");
    let asked = options.get(55).unwrap();
    assert!(
        asked.contains(&108) && !asked.contains(&106),
        "RFC 8925's own number"
    );
    let at = |code: u8| asked.iter().position(|asked| *asked == code).unwrap();
    assert!(at(121) < at(33) && at(121) < at(3), "RFC 3442 §2");
}

#[test]
fn a_question_of_bootp_says_nothing_of_dhcp_and_is_as_long_as_one() {
    let octets = Request {
        kind: None,
        ..request(RequestKind::Discover)
    }
    .emit();
    assert_eq!(octets.len(), 300, "RFC 951");
    let options = Options::find(&octets).unwrap();
    let said: Vec<u8> = (1..=254)
        .filter(|code| options.get(*code).is_some())
        .collect();
    assert_eq!(said, [12, 60], "what the profile says of the host");
    let silent = Request {
        kind: None,
        about: None,
        ..request(RequestKind::Discover)
    };
    assert_eq!(silent.emit()[HEADER..HEADER + 2], [END, 0]);
}

#[test]
fn a_host_name_of_one_label_is_said_plainly_and_none_when_it_is_no_name() {
    for (name, expected) in [
        ("host", Some(&b"host"[..])),
        ("host.", Some(b"host")),
        ("", None),
        ("a..b", None),
    ] {
        let options = saying(Dhcp4Settings {
            hostname: Some(name.into()),
            ..about()
        });
        assert_eq!(options.get(12), expected, "{name}");
        assert_eq!(options.get(81), None);
    }
}

#[test]
fn every_type_of_message_has_its_number() {
    for (kind, number) in [
        (RequestKind::Discover, 1),
        (RequestKind::Request, 3),
        (RequestKind::Decline, 4),
        (RequestKind::Release, 7),
    ] {
        let options = Options::find(&request(kind).emit()).unwrap();
        assert_eq!(options.get(53), Some(&[number][..]));
    }
}

#[test]
fn who_is_anonymous_asks_for_little_in_an_order_that_tells_nothing() {
    let mut settings = Dhcp4Settings {
        anonymous: true,
        ..Dhcp4Settings::default()
    };
    settings.own.request.insert(43);
    let asked = parameters(&settings);
    assert!(asked.is_sorted() && asked.len() == 5);
    settings.ipv6_only = true;
    assert!(parameters(&settings).is_sorted());
}

#[test]
fn who_writes_the_name_into_dns_is_said_with_it() {
    for (update, name, expected) in [
        (
            DnsUpdate::Server,
            "host.test",
            Some(&b"\x05\0\0\x04host\x04test\0"[..]),
        ),
        (
            DnsUpdate::Client,
            "host.test",
            Some(b"\x04\0\0\x04host\x04test\0"),
        ),
        (
            DnsUpdate::Nobody,
            "host.test",
            Some(b"\x0c\0\0\x04host\x04test\0"),
        ),
        (DnsUpdate::Server, "host", None),
        // A name without its domain is not ended (RFC 4702 §2.3.1).
        (DnsUpdate::Nobody, "host", Some(b"\x0c\0\0\x04host")),
    ] {
        let options = saying(Dhcp4Settings {
            hostname: Some(name.into()),
            dns_update: update,
            ..about()
        });
        assert_eq!(options.get(81), expected, "{update:?} {name}");
        assert_eq!(options.get(12).is_some(), expected.is_none());
    }
}

#[test]
fn user_classes_are_counted_and_every_number_goes_out_as_it_was_written() {
    let options = saying(Dhcp4Settings {
        user_class: vec!["lab".into(), "guest".into()],
        ..about()
    });
    assert_eq!(options.get(77), Some(&b"\x03lab\x05guest"[..]));
    // What the message has by itself, the key table does not let through.
    let own = [12, 50, 52, 53, 54, 55, 57, 60, 61, 80, 81, 82, 90];
    for number in (1..=254).filter(|number| !own.contains(number)) {
        for octets in [&b""[..], b"\x01", b"\x01\x02\x03\x04\x05", &[7; 255]] {
            let mut about = about();
            about.own.send.insert(number, octets.into());
            let options = saying(about);
            let number = u8::try_from(number).unwrap();
            assert_eq!(options.get(number), Some(octets), "option {number}");
            assert_eq!(options.get(53), Some(&[1][..]));
        }
    }
}

#[test]
fn what_is_asked_for_by_number_is_asked_for_once() {
    let mut settings = Dhcp4Settings::default();
    settings.own.request.extend([3, 43, 125, 300]);
    let asked = parameters(&settings);
    for (number, times) in [(3, 1), (43, 1), (125, 1), (44, 0)] {
        assert_eq!(asked.iter().filter(|it| **it == number).count(), times);
    }
}
