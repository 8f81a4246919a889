//! What must the clients of the link manager survive? Whole packets of a router or a server, with the clock going on.

/// Plays a router that says these octets, goes silent, and says them again; the first octet chooses which router.
pub(super) fn ra(bytes: &[u8]) {
    let Some((&router, octets)) = bytes.split_first() else {
        return;
    };
    let from = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, router.into());
    let mut now = config::time::Instant::from_nanos(1_000_000_000);
    let setup = linkmgr::ra::Setup {
        settings: config::model::RaSettings::default(),
        link: "eth0".into(),
        mac: None,
        secret: linkmgr::slaac::Secret([1; 32]),
        network: [][..].into(),
        addresses: Vec::new(),
        seed: 1,
        remembered: None,
    };
    let mut client = linkmgr::ra::Client::new(setup, now);
    for round in 0..40 {
        if round % 16 == 0 {
            client.handle_packet(octets, from, 255, now);
        }
        while client.poll_transmit().is_some() {}
        while let Some(event) = client.poll_event() {
            let linkmgr::ra::Event::Supplied(supply) = event else {
                continue;
            };
            assert!(supply.addresses.len() <= 16, "addresses are bounded");
            assert!(supply.upstreams.len() <= 16, "upstreams are bounded");
            let ends = supply.addresses.iter().map(|address| address.valid_until);
            assert!(
                ends.flatten().all(|end| end > now),
                "what is over is not supplied"
            );
        }
        match client.poll_timeout() {
            None => break,
            Some(due) => {
                assert!(due >= now, "no deadline is left behind");
                now = due;
                client.handle_timeout(now);
            }
        }
    }
}

/// Plays a server that answers whatever the client asks with these octets; each answer has the transaction of its question. The
/// first octet chooses what the client wants.
pub(super) fn dhcp6(bytes: &[u8]) {
    let Some((&wants, octets)) = bytes.split_first() else {
        return;
    };
    let from = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    let mut now = config::time::Instant::from_nanos(1_000_000_000);
    let setup = linkmgr::dhcp6::Setup {
        settings: std::sync::Arc::new(config::model::Dhcp6Settings {
            when: config::model::Dhcp6When::Always,
            addresses: wants & 1 == 0,
            delegate: (wants & 2 == 0).then_some(56),
            rapid_commit: wants & 4 == 0,
            ..config::model::Dhcp6Settings::default()
        }),
        link: "eth0".into(),
        duid: linkmgr::dhcp6::Duid::from_machine_id([3; 16]),
        iaid: 7,
        seed: 1,
        remembered: None,
    };
    let mut client = linkmgr::dhcp6::Client::new(setup, now);
    client.handle_link_local(Some(std::net::Ipv6Addr::LOCALHOST), now);
    for round in 0..40_u32 {
        let mut asked = Vec::new();
        while let Some(transmit) = client.poll_transmit() {
            asked.push(transmit.octets);
        }
        for question in asked {
            let mut answer = octets.to_vec();
            if let (Some(place), Some(transaction)) = (answer.get_mut(1..4), question.get(1..4)) {
                place.copy_from_slice(transaction);
            }
            client.handle_packet(&answer, from, now);
        }
        if round == 20 {
            client.handle_reattach(now);
        }
        while let Some(event) = client.poll_event() {
            let linkmgr::dhcp6::Event::Supplied(supply) = event else {
                continue;
            };
            assert!(supply.addresses.len() <= 32, "leases are bounded");
            let ends = supply.addresses.iter().map(|address| address.valid_until);
            assert!(
                ends.flatten().all(|end| end > now),
                "what is over is not supplied"
            );
        }
        match client.poll_timeout() {
            None => break,
            Some(due) => {
                assert!(due >= now, "no deadline is left behind");
                now = due;
                client.handle_timeout(now);
            }
        }
    }
}

pub(super) fn portal(bytes: &[u8]) {
    use resolver::reach::{api, http};
    let whole = |pieces: &mut dyn Iterator<Item = &[u8]>, wants| {
        let mut reader = http::Reader::new(wants);
        for piece in pieces {
            if let Some(reply) = reader.take(piece)? {
                return Ok(reply);
            }
        }
        reader.end()
    };
    for wants in [http::Wants::Portal, http::Wants::Anything] {
        let once: Result<http::Reply, http::ReplyError> = whole(&mut std::iter::once(bytes), wants);
        let piecewise = whole(&mut bytes.chunks(7), wants);
        if let (Ok(once), Ok(piecewise)) = (&once, &piecewise) {
            assert_eq!(once, piecewise, "it comes to the same however it comes in");
        }
        if let Ok(reply) = once {
            assert!(reply.body.len() <= http::BODY_MAX, "a body is bounded");
            let _word = api::PortalWord::read(&reply);
            let here: config::url::Url = "http://192.0.2.1/".parse().expect("an address");
            let there = reply.location.map(|location| here.join(&location));
            if let Some(Ok(there)) = there {
                let again = there.to_string().parse();
                assert_eq!(again, Ok(there), "where it leads reads back");
            }
        }
    }
    if let Ok(url) = String::from_utf8_lossy(bytes).parse::<config::url::Url>() {
        let again = url.to_string().parse();
        assert_eq!(again, Ok(url), "what is written reads back");
    }
}

/// The first octet says whose file it is.
pub(super) fn former(bytes: &[u8]) {
    use linkmgr::former::{Dhcpcd, Former, Leaving};
    let (first, octets) = bytes.split_first().unwrap_or((&0, &[]));
    let kinds = Leaving::ALL;
    let leaving = kinds[usize::from(*first) % kinds.len()];
    let mac = config::matcher::Mac([2, 0, 0, 0, 0, 1]);
    let mut read = leaving.parse(octets, "net0");
    let dhcpcd = Dhcpcd {
        conf: octets,
        duid: octets,
        mac,
        vlan: None,
    };
    dhcpcd.complete(&mut read);
    let dhcp4 = read.dhcp4.iter().map(|it| it.address.into());
    let dhcp6 = read.dhcp6.iter().filter_map(|it| it.address);
    let on_link = dhcp4.chain(dhcp6.map(Into::into));
    let on_link = on_link.map(|address: std::net::IpAddr| config::model::Prefix {
        address,
        length: if address.is_ipv4() { 24 } else { 128 },
    });
    let on_link: Vec<config::model::Prefix> = on_link.collect();
    let mut former = Former::default();
    former.add(read, &on_link);
    if let Some(id) = former.dhcp4.and_then(|it| it.client_id) {
        assert!((2..=255).contains(&id.len()), "it fits into an option");
    }
}
