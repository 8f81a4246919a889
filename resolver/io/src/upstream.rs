//! Which exchanges go by stream? The table of connections to upstreams, and what they bring.
//!
//! One connection per exchange, kept until the core cancels it. Datagrams have `ports`.
//! Retries, deadlines and the choice of upstream are the core's.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use config::model::Transport;
use resolver::{Channel, ExchangeId, Failure, Transmit};

use crate::bind;
use crate::poller::{Interest, Poller, Token};
use crate::rounds::Found;
use crate::slots::{Key, Slots};
use crate::upstream_tcp::TcpExchange;

/// Exchanges under way at once.
pub(crate) const EXCHANGES_MAX: usize = 2048;

/// Age at which a forgotten exchange is closed: twice what the core spends on a question.
pub(crate) const EXCHANGE_LIFETIME: Duration = Duration::from_secs(10);

/// The exchanges under way.
#[derive(Debug)]
pub(crate) struct Upstreams {
    exchanges: Slots<Exchange>,
    key_by_exchange: HashMap<ExchangeId, Key>,
}

#[derive(Debug)]
struct Exchange {
    id: ExchangeId,
    carrier: Carrier,
    watched: Interest,
    replied: bool,
    expires_at: Instant,
}

#[derive(Debug)]
enum Carrier {
    Tcp(TcpExchange),
}

impl Upstreams {
    /// Makes an empty table.
    pub(crate) fn new() -> Self {
        Self {
            exchanges: Slots::new(),
            key_by_exchange: HashMap::new(),
        }
    }

    /// Whether no exchange is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// Opens a socket and sends; a message of the same exchange that was sent before is given up.
    ///
    /// # Errors
    /// Why the exchange cannot be.
    pub(crate) fn start(
        &mut self,
        poller: &Poller,
        transmit: &Transmit,
        now: Instant,
    ) -> Result<(), Failure> {
        self.cancel(transmit.exchange);
        if self.exchanges.len() >= EXCHANGES_MAX {
            return Err(Failure::Resources);
        }
        let (carrier, watched) = match (transmit.upstream.transport, transmit.channel) {
            (Transport::Plain, Channel::Tcp) => {
                (Carrier::Tcp(TcpExchange::start(transmit)?), Interest::WRITE)
            }
            // Datagrams have ports of their own, and what asks for encryption is never sent in the clear.
            (Transport::Plain, Channel::Udp)
            | (Transport::Tls | Transport::Https | Transport::Quic, _) => {
                return Err(Failure::Unreachable);
            }
        };
        let key = self.exchanges.insert(Exchange {
            id: transmit.exchange,
            carrier,
            watched,
            replied: false,
            expires_at: now + EXCHANGE_LIFETIME,
        });
        self.key_by_exchange.insert(transmit.exchange, key);
        let watch = self
            .exchanges
            .get(key)
            .map_or(Ok(()), |exchange| exchange.watch(poller, key));
        if let Err(error) = watch {
            self.cancel(transmit.exchange);
            return Err(bind::failure(&error));
        }
        Ok(())
    }

    /// Closes the socket of an exchange, when there is one.
    pub(crate) fn cancel(&mut self, exchange: ExchangeId) {
        if let Some(key) = self.key_by_exchange.remove(&exchange) {
            drop(self.exchanges.remove(key));
        }
    }

    /// Takes what a socket brought.
    pub(crate) fn handle_seen(
        &mut self,
        key: Key,
        poller: &Poller,
        scratch: &mut [u8],
        found: &mut VecDeque<Found>,
    ) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let id = exchange.id;
        let outcome = match &mut exchange.carrier {
            Carrier::Tcp(_) => exchange.advance(key, poller, scratch, found),
        };
        let Err(failure) = outcome else {
            return;
        };
        if !exchange.replied {
            found.push_back(Found::Failed(id, failure));
        }
        self.cancel(id);
    }

    /// Returns the octets of a reply that came by stream; `None` when its exchange is gone.
    pub(crate) fn message(&self, key: Key, range: Range<usize>) -> Option<&[u8]> {
        match &self.exchanges.get(key)?.carrier {
            Carrier::Tcp(stream) => Some(stream.reply(range)),
        }
    }

    /// Closes what the core has forgotten.
    pub(crate) fn expire(&mut self, now: Instant) {
        let expired: Vec<ExchangeId> = self
            .exchanges
            .iter()
            .filter(|(_, exchange)| exchange.expires_at <= now)
            .map(|(_, exchange)| exchange.id)
            .collect();
        for id in expired {
            self.cancel(id);
        }
    }
}

impl Exchange {
    fn watch(&self, poller: &Poller, key: Key) -> io::Result<()> {
        match &self.carrier {
            Carrier::Tcp(stream) => poller.add(stream.as_fd(), Token::Exchange(key), self.watched),
        }
    }

    /// Goes on with a stream.
    fn advance(
        &mut self,
        key: Key,
        poller: &Poller,
        scratch: &mut [u8],
        found: &mut VecDeque<Found>,
    ) -> Result<(), Failure> {
        let Carrier::Tcp(stream) = &mut self.carrier;
        let wanted = stream.advance(scratch)?;
        if wanted != self.watched {
            poller
                .change(stream.as_fd(), Token::Exchange(key), wanted)
                .map_err(|error| bind::failure(&error))?;
            self.watched = wanted;
        }
        while let Some(range) = stream.next_reply()? {
            self.replied = true;
            found.push_back(Found::Message(self.id, key, range));
        }
        Ok(())
    }
}
