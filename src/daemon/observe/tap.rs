//! Which messages go to dnstap, and when was their question? Remembers open questions, so that answers carry both times.
//!
//! What is remembered is bounded: where there are more open questions, answers go without the time of theirs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::Transport;
use config::observing::DnstapConfig;
use resolver::{Answer, Channel, ClientId, ExchangeId, Transmit};
use resolver_io::Caller;

use super::dnstap::{Kind, Protocol, Tapped, encode};
use super::outlet::{Outlet, OutletCounts, Target};

/// Open questions that are remembered, of each kind.
const OPEN_MAX: usize = 8192;

/// Where the octet with RD is in a header, and the bit (RFC 1035 §4.1.1).
const RD: (usize, u8) = (2, 0x01);

/// The tap, while it is open.
#[derive(Debug)]
pub(super) struct Tap {
    config: DnstapConfig,
    outlet: Outlet,
    identity: String,
    version: String,
    clients: BTreeMap<ClientId, Open>,
    exchanges: BTreeMap<ExchangeId, (Role, Open)>,
}

/// What we are to whom we ask.
#[derive(Debug, Clone, Copy)]
enum Role {
    /// Upstreams are to resolve for us.
    Forwarder,
    /// Authoritative servers tell what they have.
    Resolver,
}

/// A question without its answer.
#[derive(Debug, Clone, Copy)]
struct Open {
    peer: Option<SocketAddr>,
    /// The address of the stub or listener, for a client's.
    at: Option<SocketAddr>,
    protocol: Protocol,
    asked_at: Duration,
}

impl Tap {
    /// Opens the tap; `None` when none is configured.
    pub(super) fn open(
        config: &DnstapConfig,
        identity: String,
        counts: &Arc<OutletCounts>,
    ) -> Option<Self> {
        let target = target(config)?;
        match Outlet::start(target, Arc::clone(counts)) {
            Ok(outlet) => Some(Self {
                config: config.clone(),
                outlet,
                identity,
                version: concat!("linnet ", env!("CARGO_PKG_VERSION")).to_owned(),
                clients: BTreeMap::new(),
                exchanges: BTreeMap::new(),
            }),
            Err(error) => {
                tracing::error!(%error, "no dnstap: there is no thread for it");
                None
            }
        }
    }

    /// Whether it is what this configuration asks for, and its file has not been moved away.
    pub(super) fn is_as(&self, config: &DnstapConfig) -> bool {
        self.config == *config && target(config).is_some_and(|target| self.outlet.is_at(&target))
    }

    /// Whether it takes the messages of clients.
    pub(super) fn has_clients(&self) -> bool {
        self.config.messages.has_clients()
    }

    /// Ends it, and waits a moment for what is on its way.
    pub(super) fn end(self) {
        self.outlet.end();
    }

    /// Takes a client's question.
    pub(super) fn query(&mut self, client: ClientId, caller: &Caller, wire: &[u8], wall: Duration) {
        let open = Open {
            peer: Some(caller.peer).filter(|_| self.config.client_addresses),
            // All addresses are none.
            at: Some(caller.at).filter(|at| !at.ip().is_unspecified()),
            protocol: protocol(caller.transport, caller.channel),
            asked_at: wall,
        };
        if self.clients.len() < OPEN_MAX {
            self.clients.insert(client, open);
        }
        self.tell(&Tapped {
            kind: Kind::ClientQuery,
            protocol: Some(open.protocol),
            asker: open.peer,
            asked: open.at,
            asked_at: Some(wall),
            answered_at: None,
            wire,
        });
    }

    /// Takes the answer to a client.
    pub(super) fn answer(&mut self, answer: &Answer, wall: Duration) {
        if !self.has_clients() {
            return;
        }
        let open = self.clients.remove(&answer.client);
        self.tell(&Tapped {
            kind: Kind::ClientResponse,
            protocol: open.map(|open| open.protocol),
            asker: open.and_then(|open| open.peer),
            asked: open.and_then(|open| open.at),
            asked_at: open.map(|open| open.asked_at),
            answered_at: Some(wall),
            wire: &answer.wire,
        });
    }

    /// Forgets a client that went away.
    pub(super) fn gone(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    /// Takes a message to an upstream or an authoritative server.
    pub(super) fn transmit(&mut self, transmit: &Transmit, wall: Duration) {
        if !self.config.messages.has_upstreams() {
            return;
        }
        let Transmit {
            exchange,
            upstream,
            channel,
            wire,
            ..
        } = transmit;
        let open = Open {
            peer: Some(SocketAddr::new(upstream.address, upstream.port)),
            at: None,
            protocol: protocol(upstream.transport, *channel),
            asked_at: wall,
        };
        let role = Role::of(wire);
        if self.exchanges.len() < OPEN_MAX {
            self.exchanges.insert(*exchange, (role, open));
        }
        self.tell(&Tapped {
            kind: role.query(),
            protocol: Some(open.protocol),
            asker: None,
            asked: open.peer,
            asked_at: Some(wall),
            answered_at: None,
            wire,
        });
    }

    /// Takes what came back, whatever it is worth: the exchange may hear more.
    pub(super) fn reply(&self, exchange: ExchangeId, wire: &[u8], wall: Duration) {
        if !self.config.messages.has_upstreams() {
            return;
        }
        let known = self.exchanges.get(&exchange).copied();
        let open = known.map(|(_, open)| open);
        // Whoever answers copies RD, or should.
        let role = known.map_or_else(|| Role::of(wire), |(role, _)| role);
        self.tell(&Tapped {
            kind: role.response(),
            protocol: open.map(|open| open.protocol),
            asker: None,
            asked: open.and_then(|open| open.peer),
            asked_at: open.map(|open| open.asked_at),
            answered_at: Some(wall),
            wire,
        });
    }

    /// Forgets an exchange that has ended.
    pub(super) fn ended(&mut self, exchange: ExchangeId) {
        self.exchanges.remove(&exchange);
    }

    fn tell(&self, tapped: &Tapped<'_>) {
        let payload = encode(tapped, &self.identity, &self.version);
        self.outlet.put(payload);
    }
}

impl Role {
    /// Tells it by a question: RD is clear in those that our own recursion asks, and in no others.
    fn of(wire: &[u8]) -> Self {
        match wire.get(RD.0) {
            Some(octet) if octet & RD.1 == 0 => Self::Resolver,
            Some(_) | None => Self::Forwarder,
        }
    }

    const fn query(self) -> Kind {
        match self {
            Self::Forwarder => Kind::ForwarderQuery,
            Self::Resolver => Kind::ResolverQuery,
        }
    }

    const fn response(self) -> Kind {
        match self {
            Self::Forwarder => Kind::ForwarderResponse,
            Self::Resolver => Kind::ResolverResponse,
        }
    }
}

fn target(config: &DnstapConfig) -> Option<Target> {
    use config::observing::Place;
    match (&config.socket, &config.file) {
        (Some(Place::Unix(path)), _) => Some(Target::Unix((**path).into())),
        (Some(Place::Address(address)), _) => Some(Target::Tcp(*address)),
        (None, Some(path)) => Some(Target::Frames((**path).into())),
        (None, None) => None,
    }
}

fn protocol(transport: Transport, channel: Channel) -> Protocol {
    match transport {
        Transport::Plain if channel == Channel::Udp => Protocol::Udp,
        Transport::Plain | Transport::Tcp => Protocol::Tcp,
        Transport::Tls => Protocol::Tls,
        // dnstap has one word for both.
        Transport::Https | Transport::H3 => Protocol::Https,
        Transport::Quic => Protocol::Quic,
    }
}

#[cfg(test)]
mod tests {
    use config::model::Upstream;
    use config::observing::TapMessages;
    use resolver::GroupId;

    use super::*;

    /// A header with these flags.
    fn header(flags: u8) -> Vec<u8> {
        let mut wire = vec![0; 12];
        wire[2] = flags;
        wire
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test reads what was written")]
    fn what_our_own_recursion_asks_is_told_from_what_upstreams_are_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tap");
        let config = DnstapConfig {
            file: Some(path.to_str().unwrap().into()),
            messages: TapMessages::Forwarder,
            ..DnstapConfig::default()
        };
        let mut tap = Tap::open(&config, String::new(), &Arc::default()).unwrap();
        for (number, flags) in [(1, 0x01), (2, 0x00)] {
            let transmit = Transmit {
                exchange: ExchangeId(number),
                upstream: Upstream::plain([192, 0, 2, 1].into()),
                channel: Channel::Udp,
                link: None,
                group: GroupId(1),
                mark: 0,
                wire: header(flags),
            };
            tap.transmit(&transmit, Duration::ZERO);
            // A server that sets RD, or clears it, answers what it was asked all the same.
            for answered in [0x80, 0x81] {
                tap.reply(ExchangeId(number), &header(answered), Duration::ZERO);
            }
            tap.ended(ExchangeId(number));
            tap.reply(ExchangeId(number), &header(0x80 | flags), Duration::ZERO);
        }
        tap.end();
        let written = std::fs::read(path).unwrap();
        // `Message.type` is the first field, and the socket's family or the time of the answer follows.
        let kinds: Vec<u8> = written
            .windows(4)
            .filter(|bytes| bytes[0] == 0x72 && bytes[2] == 0x08)
            .map(|bytes| bytes[3])
            .collect();
        assert_eq!(kinds, [7, 8, 8, 8, 3, 4, 4, 4]);
    }

    #[test]
    fn what_is_encrypted_is_told_by_its_transport_and_the_rest_by_its_channel() {
        let rows = [
            (Transport::Plain, Channel::Udp, Protocol::Udp),
            (Transport::Plain, Channel::Tcp, Protocol::Tcp),
            (Transport::Tls, Channel::Tcp, Protocol::Tls),
            (Transport::Https, Channel::Tcp, Protocol::Https),
            (Transport::H3, Channel::Tcp, Protocol::Https),
            (Transport::Quic, Channel::Tcp, Protocol::Quic),
        ];
        for (transport, channel, told) in rows {
            assert_eq!(protocol(transport, channel), told, "{transport:?}");
        }
    }
}
