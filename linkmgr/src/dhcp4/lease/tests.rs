//! What does a lease supply? Rows of options and what becomes of them.

use super::*;
use crate::dhcp4::options::code;
use crate::dhcp4::remembered::Remembered;
use crate::dhcp4::wire::tests::{ACK, ADDRESS, SERVER, server_message, usual};
use config::model::Transport;

fn lease_of(address: Ipv4Addr, changes: &[(u8, Vec<u8>)]) -> Option<Lease> {
    let mut options = usual();
    options.retain(|(code, _)| changes.iter().all(|(changed, _)| changed != code));
    options.extend_from_slice(changes);
    let message = server_message(ACK, 7, address, &options);
    let reply = Reply::parse(&message)?;
    let from = Instant::ZERO + Duration::from_secs(100);
    Lease::new(reply, &message, "ethernet", &mut Random::new(3), from)
}

fn lease(changes: &[(u8, Vec<u8>)]) -> Lease {
    lease_of(ADDRESS, changes).unwrap()
}

fn routes(changes: &[(u8, Vec<u8>)]) -> Vec<String> {
    let supply = lease(changes).supply(false);
    let text = supply.routes.iter().map(|route| match route.via {
        Some(via) => format!("{} via {via}", route.to),
        None => route.to.to_string(),
    });
    text.collect()
}

fn seconds(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

#[test]
fn an_ordinary_lease_gives_address_default_route_and_resolver() {
    let supply = lease(&[]).supply(true);
    let [address] = supply.addresses[..] else {
        panic!("{supply:?}");
    };
    assert_eq!(address.prefix.to_string(), "192.0.2.7/24");
    assert_eq!(address.valid_until, Some(seconds(1100)));
    assert_eq!(
        supply.upstreams,
        [Upstream::plain("192.0.2.53".parse().unwrap())]
    );
    assert!(supply.unconfirmed && !supply.ipv6_only);
    assert_eq!(routes(&[]), ["0.0.0.0/0 via 192.0.2.1"]);
    assert_eq!(&*lease(&[]).network.0, "ethernet 192.0.2.0/24 by 192.0.2.1");
}

#[test]
fn routes_without_classes_replace_the_older_options() {
    let old = (
        code::STATIC_ROUTES,
        vec![10, 0, 0, 0, 192, 0, 2, 9, 10, 1, 2, 3, 192, 0, 2, 9],
    );
    assert_eq!(
        routes(std::slice::from_ref(&old)),
        [
            "10.0.0.0/8 via 192.0.2.9",
            "10.1.2.3/32 via 192.0.2.9",
            "0.0.0.0/0 via 192.0.2.1"
        ]
    );
    let new = vec![24, 198, 51, 100, 192, 0, 2, 9];
    for number in [code::CLASSLESS_ROUTES, code::CLASSLESS_ROUTES_OLD] {
        assert_eq!(
            routes(&[old.clone(), (number, new.clone())]),
            ["198.51.100.0/24 via 192.0.2.9"],
            "option {number}: the router is not for it (RFC 3442)"
        );
    }
    let broken = (
        code::CLASSLESS_ROUTES,
        vec![33, 1, 2, 3, 4, 5, 192, 0, 2, 9],
    );
    assert_eq!(
        routes(std::slice::from_ref(&broken)),
        ["0.0.0.0/0 via 192.0.2.1"]
    );
    let other = (code::CLASSLESS_ROUTES_OLD, new);
    assert_eq!(routes(&[broken, other]), ["198.51.100.0/24 via 192.0.2.9"]);
}

#[test]
fn host_bits_are_cleared_and_routes_on_the_link_have_no_neighbour() {
    let option = vec![
        20, 10, 1, 0xff, 192, 0, 2, 9, // host bits
        32, 203, 0, 113, 1, 0, 0, 0, 0, // on the link
        0, 203, 0, 113, 1, // default
        8, 10, 127, 0, 0, 1, // through a loopback address
    ];
    assert_eq!(
        routes(&[(code::CLASSLESS_ROUTES, option)]),
        [
            "10.1.240.0/20 via 192.0.2.9",
            "203.0.113.1/32",
            "0.0.0.0/0 via 203.0.113.1"
        ]
    );
}

#[test]
fn a_router_outside_of_the_prefix_is_reached_by_a_route_of_its_own() {
    assert_eq!(
        routes(&[
            (code::SUBNET_MASK, vec![255; 4]),
            (code::ROUTER, vec![192, 0, 2, 1])
        ]),
        ["192.0.2.1/32", "0.0.0.0/0 via 192.0.2.1"]
    );
    assert_eq!(
        routes(&[(code::ROUTER, vec![10, 0, 0, 1])]),
        ["10.0.0.1/32", "0.0.0.0/0 via 10.0.0.1"]
    );
}

#[test]
fn a_router_that_is_none_is_no_route() {
    for router in [
        ADDRESS.octets(),
        [0; 4],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255; 4],
    ] {
        assert!(
            routes(&[(code::ROUTER, router.to_vec())]).is_empty(),
            "{router:?}"
        );
    }
    let second = [[0; 4], [192, 0, 2, 2]].concat();
    assert_eq!(
        routes(&[(code::ROUTER, second)]),
        ["0.0.0.0/0 via 192.0.2.2"]
    );
}

#[test]
fn without_a_mask_the_class_decides() {
    for (address, length) in [
        ([10, 1, 2, 3], 8),
        ([172, 16, 0, 9], 16),
        ([192, 0, 2, 7], 24),
    ] {
        for mask in [vec![0; 4], vec![255, 0, 255, 0], vec![1]] {
            let lease = lease_of(address.into(), &[(code::SUBNET_MASK, mask)]).unwrap();
            assert_eq!(lease.prefix().length, length);
        }
    }
}

#[test]
fn an_ack_without_an_address_or_without_time_is_no_lease() {
    for address in [
        [0, 0, 0, 0],
        [127, 0, 0, 1],
        [224, 0, 0, 9],
        [255; 4],
        [240, 0, 0, 1],
        [0, 1, 2, 3],
    ] {
        assert_eq!(lease_of(address.into(), &[]), None);
    }
    assert_eq!(lease_of(ADDRESS, &[(code::LEASE_TIME, vec![0; 4])]), None);
    assert_eq!(lease_of(ADDRESS, &[(code::LEASE_TIME, vec![1])]), None);
}

#[test]
fn times_are_in_order_whatever_the_server_says() {
    let option = |code: u8, seconds: u32| (code, seconds.to_be_bytes().to_vec());
    for (t1, t2) in [
        (0, 0),
        (300, 800),
        (800, 300),
        (2000, 3000),
        (300, 1000),
        (999, 0),
        (500, 500),
        (u32::MAX, u32::MAX),
    ] {
        let lease = lease(&[option(code::RENEWAL, t1), option(code::REBINDING, t2)]);
        let times = lease.times.unwrap();
        assert!(
            times.renew_at <= times.rebind_at && times.rebind_at < times.expires_at,
            "{t1} {t2}"
        );
        assert!(times.renew_at > seconds(100));
        if (t1, t2) == (300, 800) {
            assert_eq!(
                (times.renew_at, times.rebind_at),
                (seconds(400), seconds(900))
            );
        }
    }
    let times = lease(&[]).times.unwrap();
    let t1 = times.renew_at.since(seconds(100)).as_secs_f64();
    assert!((480.0..520.0).contains(&t1), "half, give or take: {t1}");
    let endless = lease(&[option(code::LEASE_TIME, u32::MAX)]);
    assert_eq!(endless.times, None);
    assert_eq!(endless.supply(false).addresses[0].valid_until, None);
}

#[test]
fn search_suffixes_are_listed_or_the_domain_name_and_plain_text_only() {
    let search = |changes: &[(u8, Vec<u8>)]| {
        let supply = lease(changes).supply(false);
        let names = supply.search.iter().map(ToString::to_string);
        names.collect::<Vec<_>>().join(" ")
    };
    let domain = |text: &[u8]| (code::DOMAIN_NAME, text.to_vec());
    let listed = b"\x03eng\x04corp\x04test\0\x05sales\xc0\x04\xc0\x04".to_vec();
    let listed = (code::DOMAIN_SEARCH, listed);
    let first = |text: &str| {
        text.split(' ')
            .next()
            .unwrap_or_default()
            .trim_end_matches('.')
            .to_owned()
    };
    assert_eq!(first(&search(&[domain(b"corp.test\0")])), "corp.test");
    assert_eq!(
        search(&[domain(b"corp.test eng.test")]).split(' ').count(),
        2
    );
    assert_eq!(search(&[domain(b"co\x1brp.test")]), "");
    assert_eq!(search(&[domain(b"")]), "");
    let three = search(&[domain(b"home.test"), listed]);
    assert_eq!(first(&three), "eng.corp.test");
    assert_eq!(three.split(' ').count(), 3, "{three}");
    // A pointer to itself, forwards, or into nothing.
    for bad in [
        &b"\xc0\x00"[..],
        b"\x01a\xc0\x02",
        b"\xc0\x09",
        b"\x03ab",
        b"\x40a",
    ] {
        assert_eq!(
            search(&[(code::DOMAIN_SEARCH, bad.to_vec())]),
            "",
            "{bad:?}"
        );
    }
}

#[test]
fn a_list_of_names_is_bounded() {
    let many = (0..100).flat_map(|n: u8| [2, b'a' + n / 26, b'a' + n % 26, 0]);
    let lease = lease(&[(code::DOMAIN_SEARCH, many.collect())]);
    assert_eq!(lease.supply(false).search.len(), 64);
}

#[test]
fn encrypted_resolvers_come_first_by_their_priority() {
    let instance = |priority: u8, name: &[u8], address: [u8; 4], parameters: &[u8]| {
        let mut data = vec![0, priority, u8::try_from(name.len()).unwrap()];
        data.extend(name);
        data.push(4);
        data.extend(address);
        data.extend(parameters);
        let mut all = u16::try_from(data.len()).unwrap().to_be_bytes().to_vec();
        all.extend(data);
        all
    };
    let dot: &[u8] = b"\0\x01\0\x04\x03dot";
    let doh: &[u8] = b"\0\x01\0\x03\x02h2\0\x07\0\x10/dns-query{?dns}";
    let dnr = [
        instance(2, b"\x03dns\x04test\0", [192, 0, 2, 54], doh),
        instance(1, b"\x03dot\x04test\0", [192, 0, 2, 55], dot),
        instance(1, b"\x03bad\x04te\x1bt\0", [192, 0, 2, 56], dot),
        instance(1, b"\x03lo\x04test\0", [127, 0, 0, 1], dot),
        // By its name alone (RFC 9463 §3.1.6): nobody could ask for it in private.
        b"\0\x0c\0\x01\x09\x03dns\x03com\0".to_vec(),
    ];
    let upstreams = lease(&[(code::DNR, dnr.concat())]).supply(false).upstreams;
    let text: Vec<_> = upstreams
        .iter()
        .map(|it| (it.address.to_string(), it.transport, it.port))
        .collect();
    assert_eq!(
        text,
        [
            ("192.0.2.55".to_owned(), Transport::Tls, 853),
            ("192.0.2.54".to_owned(), Transport::Https, 443),
            ("192.0.2.53".to_owned(), Transport::Plain, 53),
        ]
    );
    assert_eq!(upstreams[0].server_name.as_deref(), Some("dot.test"));
    assert_eq!(upstreams[1].path.as_deref(), Some("/dns-query"));
}

#[test]
fn servers_that_cannot_be_there_are_left_out_and_the_rest_is_bounded() {
    let mut servers: Vec<u8> =
        [[127, 0, 0, 53], [0; 4], [224, 0, 0, 251], [192, 0, 2, 53]].concat();
    servers.extend((0..30_u8).flat_map(|n| [198, 51, 100, n]));
    let supply = lease(&[
        (code::DOMAIN_NAME_SERVER, servers.clone()),
        (code::NTP_SERVERS, servers),
    ])
    .supply(false);
    assert_eq!(supply.upstreams.len(), 8);
    assert_eq!(supply.upstreams[0].address.to_string(), "192.0.2.53");
    assert_eq!(supply.time_servers.len(), 8);
}

#[test]
fn portal_and_mtu_are_taken_when_they_make_sense() {
    let supply = |changes: &[(u8, Vec<u8>)]| lease(changes).supply(false);
    let uri = |text: &str| vec![(code::CAPTIVE_PORTAL, text.as_bytes().to_vec())];
    assert_eq!(
        supply(&uri("https://portal.test/api")).portal.as_deref(),
        Some("https://portal.test/api")
    );
    assert_eq!(
        supply(&uri("urn:ietf:params:capport:unrestricted")).portal,
        None
    );
    assert_eq!(supply(&uri("javascript:alert(1)")).portal, None);
    for (mtu, expected) in [
        (1400_u16, Some(1400)),
        (576, Some(576)),
        (68, None),
        (0, None),
    ] {
        assert_eq!(
            supply(&[(code::INTERFACE_MTU, mtu.to_be_bytes().to_vec())]).mtu,
            expected
        );
    }
}

#[test]
fn a_remembered_lease_is_as_old_as_it_is() {
    let given = lease(&[]);
    let remembered = Remembered {
        network: given.network.clone(),
        message: Arc::clone(&given.message),
        witnesses: Vec::new(),
        acquired_at: given.acquired_at,
    };
    let recall = |age: Age| {
        let candidate = Candidate {
            remembered: remembered.clone(),
            age,
        };
        let now = seconds(5000);
        Lease::recall(&candidate, "ethernet", &mut Random::new(3), now)
    };
    let left = |lease: &Lease| {
        lease
            .times
            .unwrap()
            .expires_at
            .since(seconds(5000))
            .as_secs()
    };
    assert_eq!(
        left(&recall(Age::Known(Duration::from_secs(400))).unwrap()),
        600
    );
    let old = recall(Age::Dated(Duration::from_secs(990))).unwrap();
    assert_eq!(
        (left(&old), old.times.unwrap().renew_at),
        (10, seconds(5000))
    );
    assert_eq!(recall(Age::Known(Duration::from_secs(1000))), None);
    assert_eq!(recall(Age::Dated(Duration::MAX)), None);
    assert_eq!(left(&recall(Age::Unknown).unwrap()), 1000);
    assert_eq!(old.server, SERVER);
}
