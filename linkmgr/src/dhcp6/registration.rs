//! Which addresses of our own making does the network want to know? [`Registrations`] (RFC 9686).

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::time::Duration;

use config::time::Instant;
use rand::rngs::StdRng;

use super::exchange::{Exchange, Manner, Step};
use super::wire::{Message, MessageType, Writer, option};
use super::{Setup, Transmit};

/// Addresses that are registered.
const REGISTERED_MAX: usize = 16;
/// For how long an address is registered, in seconds: it is registered again well before, for as long as it is there.
const LIFETIME: u32 = 4 * 3600;
/// When it is registered again.
const AGAIN: Duration = Duration::from_secs(LIFETIME as u64 * 8 / 10);

/// The addresses that a network is told of.
#[derive(Debug, Clone, Default)]
pub(super) struct Registrations {
    /// Whether the network wants that.
    pub(super) wanted: bool,
    list: Vec<Registration>,
}

#[derive(Debug, Clone)]
struct Registration {
    address: Ipv6Addr,
    exchange: Option<Exchange>,
    again_at: Option<Instant>,
    done: bool,
}

impl Registrations {
    /// Takes the addresses that there are.
    pub(super) fn set(&mut self, addresses: &[Ipv6Addr]) {
        let is_global = |address: &&Ipv6Addr| {
            !address.is_unicast_link_local() && !address.is_loopback() && !address.is_multicast()
        };
        let addresses: Vec<Ipv6Addr> = addresses
            .iter()
            .filter(is_global)
            .take(REGISTERED_MAX)
            .copied()
            .collect();
        self.list.retain(|known| addresses.contains(&known.address));
        for address in addresses {
            if self.list.iter().all(|known| known.address != address) {
                self.list.push(Registration {
                    address,
                    exchange: None,
                    again_at: None,
                    done: false,
                });
            }
        }
    }

    /// Has all of them registered anew: the place may be another one.
    pub(super) fn begin_anew(&mut self) {
        for known in &mut self.list {
            (known.exchange, known.again_at, known.done) = (None, None, false);
        }
    }

    /// Takes that a registration is noted.
    pub(super) fn take(&mut self, reply: &Message, now: Instant) {
        for known in &mut self.list {
            let is_it = |exchange: &Exchange| exchange.transaction == reply.transaction;
            if known.exchange.as_ref().is_some_and(is_it) {
                known.exchange = None;
                known.again_at = Some(now + AGAIN);
                known.done = true;
            }
        }
    }

    /// Sends what is due.
    pub(super) fn drive(
        &mut self,
        setup: &Setup,
        rng: &mut StdRng,
        transmits: &mut VecDeque<Transmit>,
        now: Instant,
    ) {
        if !self.wanted {
            return;
        }
        for known in &mut self.list {
            let is_due = known.again_at.is_none_or(|at| at <= now);
            if known.exchange.is_none() && is_due {
                let kind = MessageType::AddrRegInform;
                known.exchange = Some(Exchange::new(kind, Manner::of(kind), rng, now));
                known.done = false;
            }
            let Some(exchange) = &mut known.exchange else {
                continue;
            };
            match exchange.step(rng, now) {
                Step::Wait => {}
                Step::Send => transmits.push_back(Transmit {
                    to: super::ALL_SERVERS,
                    from: Some(known.address),
                    octets: inform(setup, exchange.transaction, known.address),
                }),
                Step::Failed => {
                    known.exchange = None;
                    known.again_at = Some(now + AGAIN);
                }
            }
        }
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        if !self.wanted {
            return None;
        }
        let list = self.list.iter();
        list.filter_map(|known| match &known.exchange {
            Some(exchange) => Some(exchange.due_at()),
            None => known.again_at,
        })
        .min()
    }

    /// Returns the addresses that are noted.
    pub(super) fn done(&self) -> impl Iterator<Item = Ipv6Addr> {
        let list = self.list.iter();
        list.filter(|known| known.done).map(|known| known.address)
    }
}

/// RFC 9686 §4.2: the client, and the address; it leaves from that address.
fn inform(setup: &Setup, transaction: u32, address: Ipv6Addr) -> Vec<u8> {
    let mut writer = Writer::new(MessageType::AddrRegInform, transaction);
    writer.put(option::CLIENT_ID, setup.duid.octets());
    let mut value = address.octets().to_vec();
    value.extend(LIFETIME.to_be_bytes());
    value.extend(LIFETIME.to_be_bytes());
    writer.put(option::IA_ADDRESS, &value);
    writer.finish()
}
