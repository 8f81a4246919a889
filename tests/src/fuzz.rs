//! What must survive any bytes? Every parser of linnet, as a table of targets.
//!
//! `tests/fuzz` runs each target under the fuzzer; the replay test runs each over its corpus, and over damaged copies of it, on
//! stable. A target returns nothing: it must end, and not panic.

mod clients;
mod labels;

use clients::{dhcp6, former, portal, ra};
use config::diagnostic::Colour;
use config::layer::{Layer, LayerKind, Origin, Rank};
use dnssec::{
    FetchFailure, Name, Record, Reply, Settings, Step, TrustAnchors, Validator, WallClock,
};
use labels::llmnr;
use resolver::record::RawRecord;
use resolver::wire::{Question, class, rtype};

/// A target: its name, which is its corpus' folder, and what to do with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 27] = [
    ("query", query),
    ("reply", reply),
    ("hosts", hosts),
    ("mdns", mdns),
    ("llmnr", llmnr),
    ("frame", frame),
    ("socket_table", socket_table),
    ("netlink", netlink),
    ("config", config_file),
    ("resolv_conf", resolv_conf),
    ("call", call),
    ("validator", validator),
    ("carried", carried),
    ("https", https),
    ("stream", stream),
    ("upstream", upstream),
    ("designation", designation),
    ("rdata", rdata),
    ("list_domains", list_domains),
    ("list_hosts", list_hosts),
    ("list_rpz", list_rpz),
    ("ra", ra),
    ("dhcp4", dhcp4),
    ("lldp", lldp),
    ("dhcp6", dhcp6),
    ("portal", portal),
    ("former", former),
];

/// Runs one target by its name.
///
/// # Panics
/// When there is none of this name, or when the target finds a mistake.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect("a target of this name");
    target(bytes);
}

fn query(bytes: &[u8]) {
    if let Ok(query) = resolver::wire::parse_query(bytes) {
        assert!(
            query.question.name.as_wire().len() <= 255,
            "a name is never longer"
        );
    }
}

fn reply(bytes: &[u8]) {
    let id = bytes
        .first_chunk::<2>()
        .map_or(0, |id| u16::from_be_bytes(*id));
    let name = config::name::DomainName::from_wire(bytes.get(12..).unwrap_or_default());
    let name = name.unwrap_or_else(|_| config::name::DomainName::root());
    let question = Question {
        name,
        record_type: rtype::A,
        class: class::IN,
    };
    let Ok(reply) = resolver::record::parse_reply(bytes, id, &question) else {
        return;
    };
    for record in reply
        .answers
        .iter()
        .chain(&reply.authority)
        .chain(&reply.additional)
    {
        let text = resolver::present::record_text(record);
        drop(text);
    }
    let template = resolver::template::Template::build(
        &question,
        reply.rcode,
        &reply.answers,
        &reply.authority,
        &reply.additional,
    );
    assert!(template.heap_size() < 1 << 20, "an answer is bounded");
}

fn hosts(bytes: &[u8]) {
    let hosts = resolver::hosts::Hosts::parse(&String::from_utf8_lossy(bytes));
    assert!(hosts.len() <= bytes.len(), "names come from the text");
}

fn frame(bytes: &[u8]) {
    let _frame = resolver_io::frame::parse(bytes);
}

fn socket_table(bytes: &[u8]) {
    assert!(
        resolver_io::holder::parse(bytes).len() <= bytes.len(),
        "a row a line"
    );
}

fn netlink(bytes: &[u8]) {
    assert!(
        linkmgr_io::message::parse_message(bytes).len() <= bytes.len(),
        "an event takes a message"
    );
}

/// A switch that says anything.
fn lldp(bytes: &[u8]) {
    let now = config::time::Instant::ZERO;
    let mut neighbours = linkmgr::lldp::Neighbours::default();
    let is_new = neighbours.handle_packet(bytes, now);
    assert_eq!(
        is_new,
        neighbours.iter().count() == 1,
        "one frame, one neighbour"
    );
    for neighbour in neighbours.iter() {
        let texts = [&neighbour.chassis, &neighbour.port].into_iter();
        let texts = texts.chain(&neighbour.name).chain(&neighbour.description);
        for text in texts {
            assert!(text.chars().count() <= 128 && !text.chars().any(char::is_control));
        }
    }
}

/// A server that says anything: as OFFER, as ACK of it, and as what was kept of a lease.
fn dhcp4(bytes: &[u8]) {
    use config::matcher::Mac;
    use config::time::Instant;
    use linkmgr::dhcp4::{Age, Candidate, Client, Event, Received, Remembered, Setup, Socket};

    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let setup = Setup {
        settings: std::sync::Arc::default(),
        mac,
        permanent_mac: mac,
        kind: "ethernet".into(),
        duid: std::sync::Arc::new([0, 2]),
        iaid: 1,
        addresses: Vec::new(),
        former_id: None,
        stable: [7; 16],
        wish: None,
        seed: 1,
    };
    let network = policy::NetworkId("ethernet 192.0.2.0/24 by 192.0.2.1".into());
    let kept = Candidate {
        remembered: Remembered {
            network,
            message: bytes.into(),
            witnesses: Vec::new(),
            acquired_at: Instant::ZERO,
        },
        age: Age::Unknown,
    };
    let recalled = Client::new(setup.clone(), vec![kept], Instant::ZERO);
    assert!(
        recalled.poll_timeout().is_none(),
        "nothing is due without carrier"
    );
    let mut client = Client::new(setup, Vec::new(), Instant::ZERO);
    client.handle_packet(bytes, Received::Arp, Instant::ZERO);
    client.handle_carrier(true, Instant::ZERO);
    let mut message = bytes.to_vec();
    for _ in 0..3 {
        let said = std::iter::from_fn(|| client.poll_transmit());
        let asked = said.filter(|it| it.by == Socket::Packet).last();
        if let (Some(asked), true) = (asked, message.len() > 34) {
            message[4..8].copy_from_slice(&asked.octets[32..36]);
            message[28..34].copy_from_slice(&mac.0);
        }
        let from = "192.0.2.1".parse().expect("an address");
        client.handle_packet(&message, Received::Udp(from), Instant::ZERO);
        if let Some(kind) = bytes.iter().position(|byte| *byte == 53)
            && let Some(kind) = message.get_mut(kind + 2)
        {
            *kind = 5;
        }
    }
    for event in std::iter::from_fn(|| client.poll_event()) {
        if let Event::Supplied(supply) = event {
            assert!(supply.routes.len() <= 129 && supply.upstreams.len() <= 72);
            assert!(supply.search.len() <= 64 && supply.time_servers.len() <= 8);
        }
    }
}

fn config_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    for path in ["linnet.toml", "conf.d/10-a.toml", "profiles/office.toml"] {
        let origin = Origin {
            rank: Rank::Admin,
            path: path.into(),
        };
        let kind = LayerKind::of(path).expect("a path that is read");
        let loaded = config::load(&[Layer {
            origin,
            text: text.clone(),
            kind,
        }]);
        for found in &loaded.diagnostics {
            assert!(
                !found.render(&text, Colour::Plain).is_empty(),
                "a finding is shown"
            );
        }
    }
}

/// A type's number, and a record's text.
fn rdata(bytes: &[u8]) {
    let Some((number, text)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let record_type = u16::from_be_bytes(*number);
    let text = String::from_utf8_lossy(text);
    let origin = config::name::DomainName::root();
    for origin in [None, Some(&origin)] {
        match config::rdata::parse(record_type, &text, origin) {
            Ok(octets) => {
                assert!(octets.len() <= config::rdata::MAX_RDATA, "data is bounded");
                let name = config::name::DomainName::root();
                let record = RawRecord::new(&name, record_type, 0, octets);
                drop(resolver::present::record_text(&record));
            }
            Err(error) => assert!(text.get(error.part).is_some(), "a mistake is in the text"),
        }
    }
}

fn list_domains(bytes: &[u8]) {
    list(config::model::ListFormat::Domains, bytes);
}

fn list_hosts(bytes: &[u8]) {
    list(config::model::ListFormat::Hosts, bytes);
}

fn list_rpz(bytes: &[u8]) {
    list(config::model::ListFormat::Rpz, bytes);
}

fn list(format: config::model::ListFormat, bytes: &[u8]) {
    use resolver::local::list::ListReader;
    let list = config::model::ListConfig {
        name: "fuzz".into(),
        path: "fuzz".into(),
        format,
        action: None,
        subdomains: None,
        error: config::model::BlockError::Blocked,
        exceptions: Vec::new(),
        scopes: Vec::new(),
    };
    let mut reader = ListReader::new(&list);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        reader.line(line);
    }
    let list = reader.finish();
    assert!(list.len() <= bytes.len(), "names come from the text");
    for broken in list.broken() {
        assert!(
            broken.text.get(broken.part.clone()).is_some(),
            "a mistake is in its line"
        );
    }
}

fn resolv_conf(bytes: &[u8]) {
    let parsed = config::resolv_conf::parse(bytes);
    assert!(
        parsed.nameservers.len() <= bytes.len(),
        "servers come from the text"
    );
}

fn call(bytes: &[u8]) {
    let call: Result<linnet::api::Call, _> = serde_json::from_slice(bytes);
    drop(call);
}

/// A service as the configuration may have it.
fn offered() -> config::model::Service {
    config::model::Service {
        name: config::model::ServiceName::new("Paper Mill"),
        kind: "_ipp".into(),
        protocol: config::model::ServiceProtocol::Tcp,
        port: 631,
        text: vec![b"pages=many".as_slice().into()],
        subtypes: vec!["_universal".into()],
        profiles: Vec::new(),
    }
}

/// Messages with their lengths before them, as one neighbour after the other says them to a host that answers and watches.
fn mdns(bytes: &[u8]) {
    use config::time::Instant;
    use resolver::mdns::message::{Message, Wanted};
    use resolver::mdns::{BrowseId, Family, Heard, Mdns, PlaceId};

    let id = policy::LinkId { index: 1, birth: 1 };
    let own = config::model::Prefix {
        address: std::net::IpAddr::from([192, 0, 2, 1]),
        length: 24,
    };
    let link = policy::multicast::MulticastLink {
        id,
        name: "lan0".into(),
        mdns: config::model::MdnsMode::Respond,
        owner: policy::Owner::Resolver,
        addresses: vec![own],
        services: vec![std::sync::Arc::new(offered())],
    };
    let plan = policy::multicast::MulticastPlan {
        links: vec![link],
        ..policy::multicast::MulticastPlan::default()
    };
    let wanted = |name: &str| Wanted {
        name: name.parse().expect("a name"),
        record_type: rtype::PTR,
        class: class::IN,
        unicast: false,
    };
    let mut now = Instant::ZERO + std::time::Duration::from_secs(1000);
    let mut mdns = Mdns::new([1; 32]);
    mdns.apply_hostname("host".parse().ok().as_ref(), now);
    mdns.apply(&plan, now);
    mdns.begin_browse(BrowseId(1), wanted("_ipp._tcp.local"), None, now);
    let _asked = mdns.inquire(&wanted("_http._tcp.local"), now);
    let mut rest = bytes;
    let mut spoken = 0;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (wire, after) = after.split_at(length.min(after.len()));
        rest = after;
        let heard = Heard {
            place: PlaceId {
                link: id,
                family: Family::V4,
            },
            source: std::net::SocketAddr::from((
                [192, 0, 2, wire.first().copied().unwrap_or(2)],
                5353,
            )),
            to_group: true,
            hop_limit: Some(255),
            from_self: false,
            wire,
        };
        mdns.handle_heard(&heard, now);
        now = now + std::time::Duration::from_millis(200);
        mdns.handle_timeout(now);
        while let Some(message) = mdns.poll_spoken() {
            spoken += 1;
            assert!(
                Message::parse(&message.wire).is_some(),
                "what we write can be read"
            );
        }
        while mdns.poll_sight().is_some() {}
        while mdns.poll_finding().is_some() {}
    }
    assert!(
        spoken <= 40 + bytes.len(),
        "nobody makes us talk without end"
    );
    let known = mdns.status().first().map_or(0, |status| status.records);
    assert!(known <= 2048, "what is kept is bounded");
}

/// Reads a message as a reply to the question in itself.
fn reply_in(message: &[u8]) -> Option<(dnssec::Question, Reply)> {
    let id = u16::from_be_bytes(*message.first_chunk::<2>()?);
    let (name, length) = Name::read(message.get(12..)?)?;
    let record_type = message.get(12 + length..)?.first_chunk::<2>()?;
    let record_type = u16::from_be_bytes(*record_type);
    let question = Question {
        name: config::name::DomainName::from_wire(name.as_wire()).ok()?,
        record_type,
        class: class::IN,
    };
    let reply = resolver::record::parse_reply(message, id, &question).ok()?;
    let records = |records: &[RawRecord]| {
        let records = records.iter().map(|record| Record {
            name: record.name.clone(),
            record_type: record.record_type,
            class: record.class,
            ttl: record.ttl,
            rdata: record.rdata.clone(),
        });
        records.collect()
    };
    let reply = Reply {
        rcode: reply.rcode,
        answers: records(&reply.answers),
        authority: records(&reply.authority),
    };
    Some((dnssec::Question { name, record_type }, reply))
}

/// Messages with their lengths before them: a reply, and what is fetched; the clock is between the dates of the seeds.
fn validator(bytes: &[u8]) {
    const STEPS_MAX: usize = 300;
    let mut rest = bytes;
    let mut replies = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (message, after) = after.split_at(length.min(after.len()));
        replies.extend(reply_in(message));
        rest = after;
    }
    let Some((question, reply)) = replies.first() else {
        return;
    };
    let mut anchors = TrustAnchors::built_in();
    // Keys that come along are trusted, so that chains begin somewhere.
    for (_, fetched) in &replies {
        let keys = fetched
            .answers
            .iter()
            .filter(|record| record.record_type == 48);
        for key in keys {
            let name = Name::from_wire(&key.name);
            let owner =
                name.and_then(|name| hickory_proto::rr::Name::from_labels(name.labels()).ok());
            let [high, low, 3, algorithm, public @ ..] = &*key.rdata else {
                continue;
            };
            if let Some(owner) = owner {
                let public = hickory_proto::dnssec::PublicKeyBuf::new(
                    public.to_vec(),
                    hickory_proto::dnssec::Algorithm::from_u8(*algorithm),
                );
                let flags = u16::from_be_bytes([*high, *low]);
                let key = hickory_proto::dnssec::rdata::DNSKEY::with_flags(flags, public);
                anchors.add(&owner, dnssec::anchors::Anchor::Key(key));
            }
        }
    }
    let mut validator = Validator::new(Settings::default(), &anchors);
    let mut validation = validator.begin(question.clone(), reply);
    let now = WallClock {
        seconds: 1_200_000_000,
        dates_count: bytes.len().is_multiple_of(2),
    };
    for _ in 0..STEPS_MAX {
        let fetches = match validation.step(&mut validator, now) {
            Step::Fetch(fetches) => fetches,
            Step::Paused => continue,
            Step::Done(outcome) => {
                assert_eq!(
                    outcome.answers.len(),
                    reply.answers.len(),
                    "a mark for each"
                );
                assert_eq!(
                    outcome.authority.len(),
                    reply.authority.len(),
                    "a mark for each"
                );
                return;
            }
        };
        assert!(!fetches.is_empty(), "it waits for nothing");
        for fetch in fetches {
            let found = replies.iter().find(|(question, _)| *question == fetch);
            let brought = found.map(|(_, reply)| reply).ok_or(FetchFailure::NoReply);
            validation.handle_fetch(&fetch, brought);
        }
    }
    panic!("judging takes more than {STEPS_MAX} steps");
}

/// What a listener reads off a question, and puts onto an answer: here both are the same bytes.
fn carried(bytes: &[u8]) {
    use resolver::carried::{
        Carried, Cookie, pad, put_cookie, put_keepalive, shortest_ttl, truncate, turn_away,
    };

    let mut out = Vec::new();
    if truncate(bytes, &mut out) {
        assert!(
            out.len() <= bytes.len().max(12),
            "no amplification: {out:?}"
        );
    }
    let error = resolver::event::ExtendedError {
        code: 18,
        text: String::new(),
    };
    if turn_away(bytes, resolver::Channel::Udp, 5, &error, &mut out) {
        assert!(
            out.len() <= bytes.len().max(12) + 6,
            "no amplification: {out:?}"
        );
    }
    let _ttl = shortest_ttl(bytes);
    let mut limited = bytes.to_vec();
    let most = Carried::parse(bytes).size().limit(&mut limited, 512);
    assert_eq!(most, 512, "every client takes as much");
    assert_eq!(limited.len(), bytes.len(), "only the size changes");
    let mut short = bytes.to_vec();
    match put_cookie(&mut short, b"01234567", &[7; 16], most) {
        true => assert!(short.len() <= bytes.len() + 28, "what has no room goes"),
        false => assert_eq!(short, bytes, "all or nothing"),
    }
    let mut answer = bytes.to_vec();
    let before = Carried::parse(bytes).cookie.is_some();
    if put_cookie(&mut answer, b"01234567", &[7; 16], u16::MAX) {
        let cookie = Carried::parse(&answer).cookie;
        let ours = cookie == Some(Cookie::Good(b"01234567", &[7; 16]));
        // Options that cannot be read come first and hide it.
        assert!(before || ours || cookie.is_none(), "{cookie:?}");
    }
    put_keepalive(&mut answer, 300);
    if pad(&mut answer) {
        assert_eq!(answer.len() % 468, 0, "whole blocks");
    } else {
        let longest = usize::from(u16::MAX);
        assert!(
            answer.len() == bytes.len() || answer.len() + 468 > longest,
            "all or nothing"
        );
    }
}

/// The question of an HTTPS request.
fn https(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some(wire) = resolver_io::listeners::decode_question(text) {
        assert!(wire.len() <= text.len(), "four characters are three octets");
    }
}

/// What is added to messages that go by stream, and what is read from those that come.
fn stream(bytes: &[u8]) {
    let _time = resolver_io::edns::keepalive(bytes);
    for keepalive in [false, true] {
        let additions = resolver_io::edns::Additions {
            keepalive,
            padding: true,
        };
        let mut out = Vec::new();
        resolver_io::edns::emit(bytes, 7, additions, &mut out);
        assert!(
            out.len() == bytes.len() || out.len().is_multiple_of(128),
            "a message is padded to whole blocks, or not at all"
        );
    }
}

fn upstream(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(upstream) = text.parse::<config::model::Upstream>() {
        assert_eq!(
            upstream.to_string().parse(),
            Ok(upstream),
            "what is written reads back"
        );
    }
}

fn designation(bytes: &[u8]) {
    let plain = config::model::Upstream::plain([192, 0, 2, 1].into());
    for form in resolver::designation::designated(&plain, [bytes]) {
        assert!(form.transport.is_encrypted(), "never in the clear");
        assert_eq!(form.address, plain.address, "never elsewhere");
        assert_eq!(
            form.to_string().parse(),
            Ok(form),
            "what is written reads back"
        );
    }
}
