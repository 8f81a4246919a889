//! Are ports drawn and renewed as they should be, and does every datagram come to whom it is for?

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use config::model::Upstream;

use super::*;

struct Rig {
    runtime: tokio::runtime::Runtime,
    poller: Poller,
    ports: Ports,
    server: UdpSocket,
    found: VecDeque<Found>,
    now: Instant,
    last: u64,
}

impl Rig {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let poller = {
            let _guard = runtime.enter();
            Poller::new().unwrap()
        };
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        server
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self {
            runtime,
            poller,
            ports: Ports::new().unwrap(),
            server,
            found: VecDeque::new(),
            now: Instant::now(),
            last: 0,
        }
    }

    fn transmit(&mut self, id: u16) -> Transmit {
        self.last += 1;
        let address = self.server.local_addr().unwrap();
        Transmit {
            exchange: ExchangeId(self.last),
            upstream: Upstream {
                port: address.port(),
                ..Upstream::plain(address.ip())
            },
            channel: Channel::Udp,
            group: resolver::GroupId(1),
            link: None,
            mark: 0,
            wire: [&id.to_be_bytes()[..], &[0; 10]].concat(),
        }
    }

    /// Sends a question; returns its exchange.
    fn ask(&mut self, id: u16) -> ExchangeId {
        let transmit = self.transmit(id);
        self.ports
            .send(&self.poller, &transmit, &mut self.found, self.now)
            .unwrap();
        transmit.exchange
    }

    /// Returns when the port was opened by which a question left.
    fn opened_at(&self, exchange: ExchangeId) -> Instant {
        let key = self.ports.port_by_exchange[&exchange];
        self.ports.ports.get(key).unwrap().opened_at
    }

    /// Takes what came to the server: who asked, with which id.
    fn seen(&self) -> (SocketAddr, u16) {
        let mut wire = [0; 512];
        let (length, peer) = self.server.recv_from(&mut wire).unwrap();
        (peer, message_id(&wire[..length]).unwrap())
    }

    /// Replies with an id to a port, and looks until it was found.
    fn reply(&mut self, port: SocketAddr, id: u16) {
        let wire = [&id.to_be_bytes()[..], &[0x80; 10]].concat();
        self.server.send_to(&wire, port).unwrap();
        self.look();
    }

    /// Looks at the sockets once something is there.
    fn look(&mut self) {
        let Self {
            runtime, poller, ..
        } = self;
        runtime.block_on(async {
            let ready = std::future::poll_fn(|cx| poller.poll_seen(cx));
            tokio::time::timeout(Duration::from_secs(10), ready)
                .await
                .expect("something is seen");
        });
        while let Some(seen) = self.poller.next() {
            if let Token::Port(key) = seen.token {
                self.ports.handle_seen(key, &mut self.found);
            }
        }
    }

    fn take(&mut self) -> Vec<Found> {
        self.found.drain(..).collect()
    }

    fn sockets(&self) -> usize {
        self.ports.ports.len()
    }
}

#[test]
fn questions_that_come_together_leave_by_many_ports_and_none_is_used_long() {
    let mut rig = Rig::new();
    // The kernel may give a number again whose port was closed a moment ago: when it was opened says which port it is.
    let mut questions_by_port: BTreeMap<(u16, Instant), Vec<u32>> = BTreeMap::new();
    // 3 s of 1,000 questions a second, each done with when its reply is there.
    for number in 0..3000u32 {
        rig.now += Duration::from_millis(1);
        let exchange = rig.ask(u16::try_from(number).unwrap());
        let opened_at = rig.opened_at(exchange);
        let (peer, id) = rig.seen();
        assert_eq!(u32::from(id), number);
        questions_by_port
            .entry((peer.port(), opened_at))
            .or_default()
            .push(number);
        rig.ports.cancel(exchange);
        assert!(rig.sockets() <= DRAW, "what is done with is closed");
    }
    let most = questions_by_port.values().map(Vec::len).max().unwrap();
    assert!(most <= QUESTIONS_MAX, "{most} questions left by one port");
    let longest = questions_by_port
        .values()
        .map(|at| at[at.len() - 1] - at[0]);
    assert!(
        longest.max().unwrap() < 1000,
        "a port took questions for too long"
    );
    // 64 questions a port, or a second: 47 at the very least.
    assert!(questions_by_port.len() >= 47, "{}", questions_by_port.len());
    // Neighbours in time do not share a port more often than chance has it: one in sixteen, when all are open.
    let mut order = vec![0; 3000];
    for (port, numbers) in &questions_by_port {
        for number in numbers {
            order[*number as usize] = port.0;
        }
    }
    let same = order.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((60..=340).contains(&same), "{same} of 2999");
}

#[test]
fn a_question_that_comes_alone_has_a_port_of_its_own_that_nobody_could_have_guessed() {
    let mut rig = Rig::new();
    let mut ports = Vec::new();
    for number in 0..300 {
        rig.now += LIFETIME;
        let exchange = rig.ask(number);
        ports.push(i32::from(rig.seen().0.port()));
        rig.ports.cancel(exchange);
        rig.ports.expire(rig.now);
    }
    let distinct: BTreeSet<i32> = ports.iter().copied().collect();
    assert!(distinct.len() >= 280, "{} of 300 differ", distinct.len());
    let steps: BTreeSet<i32> = ports.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.len() >= 280, "ports follow one another");
    let high = ports.iter().max().unwrap() - ports.iter().min().unwrap();
    assert!(high > 8000, "ports are from a range of {high}");
}

#[test]
fn a_datagram_comes_to_the_exchange_with_its_id() {
    let mut rig = Rig::new();
    let mut peers = BTreeMap::new();
    for id in 1..=200 {
        let exchange = rig.ask(id);
        let (peer, seen) = rig.seen();
        assert_eq!(seen, id);
        peers.insert(id, (peer, exchange));
    }
    for (id, (peer, exchange)) in &peers {
        rig.reply(*peer, *id);
        let found = rig.take();
        assert!(matches!(found[..], [Found::Datagram(to, 0)] if to == *exchange));
        let wire = rig.ports.datagram(0);
        assert_eq!(message_id(wire), Some(*id));
    }
}

#[test]
fn a_guess_counts_against_all_who_wait_at_the_port_and_a_late_reply_against_nobody() {
    let mut rig = Rig::new();
    let mut waiting: BTreeMap<SocketAddr, Vec<(u16, ExchangeId)>> = BTreeMap::new();
    for id in 1..=200 {
        let exchange = rig.ask(id);
        waiting
            .entry(rig.seen().0)
            .or_default()
            .push((id, exchange));
    }
    let (peer, there) = waiting
        .iter()
        .find(|(_, there)| there.len() >= 3)
        .map(|(peer, there)| (*peer, there.clone()))
        .expect("200 questions do not all leave alone");
    rig.reply(peer, 9999);
    let told: BTreeSet<ExchangeId> = rig
        .take()
        .iter()
        .map(|found| {
            let Found::Datagram(exchange, _) = found else {
                panic!("{found:?}");
            };
            *exchange
        })
        .collect();
    assert_eq!(told, there.iter().map(|(_, exchange)| *exchange).collect());
    let (id, exchange) = there[0];
    rig.ports.cancel(exchange);
    rig.reply(peer, id);
    assert_eq!(rig.take(), []);
}

#[test]
fn ids_on_one_port_differ() {
    let mut rig = Rig::new();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        rig.ask(7);
        assert!(seen.insert(rig.seen().0), "the same id by the same port");
    }
}

#[test]
fn a_refusal_ends_all_who_wait_and_none_who_comes_later() {
    let mut rig = Rig::new();
    // A port that nobody has, at another address than ours: of our own one could be drawn that leads to itself.
    let port = rig.server.local_addr().unwrap().port();
    let upstream = Upstream {
        port,
        ..Upstream::plain(Ipv4Addr::new(127, 0, 0, 9).into())
    };
    let mut failed = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for id in 0..60 {
        let mut transmit = rig.transmit(id);
        transmit.upstream.clone_from(&upstream);
        asked.insert(transmit.exchange);
        let sent = rig
            .ports
            .send(&rig.poller, &transmit, &mut rig.found, rig.now);
        assert_eq!(sent, Ok(()), "an earlier refusal is not this one's");
        for found in rig.take() {
            assert!(
                matches!(found, Found::Failed(exchange, Failure::Refused) if failed.insert(exchange))
            );
        }
    }
    while failed.len() < asked.len() {
        rig.look();
        for found in rig.take() {
            assert!(
                matches!(found, Found::Failed(exchange, Failure::Refused) if failed.insert(exchange))
            );
        }
    }
    assert_eq!(failed, asked);
    assert!(rig.ports.is_empty());
}

#[test]
fn renewed_ports_take_no_question_and_still_hear_their_replies() {
    let mut rig = Rig::new();
    let exchange = rig.ask(1);
    let (peer, _) = rig.seen();
    rig.ports.renew();
    for id in 2..100 {
        rig.ask(id);
        assert_ne!(rig.seen().0, peer);
    }
    rig.reply(peer, 1);
    assert!(matches!(rig.take()[..], [Found::Datagram(to, _)] if to == exchange));
    rig.ports.cancel(exchange);
    rig.now += LIFETIME + QUESTION_LIFETIME;
    rig.ports.expire(rig.now);
    assert!(rig.ports.is_empty(), "what the core forgot is closed");
}
