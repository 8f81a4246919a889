//! Which addresses of our own making does the network want to know? [`Registrations`] (RFC 9686).

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::time::Instant;
use policy::facts::SuppliedAddress;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::exchange::{Exchange, Manner, Step};
use super::wire::{Message, MessageType, Writer, option};
use super::{Setup, Transmit};
use crate::octets::Lifetime;

/// Addresses that are registered.
const REGISTERED_MAX: usize = 16;
/// When an address that never ends is registered again (`StaticAddrRegRefreshInterval`, RFC 9686 §4.6.1).
const AGAIN: Duration = Duration::from_secs(4 * 3600);
/// When others are, as a part of what is left of them; that many in a hundred, more or less, so that hosts do not all come at
/// once (`AddrRegDesyncMultiplier`).
const AGAIN_PART: u32 = 80;
const DESYNC: RangeInclusive<u32> = 90..=110;
/// Never more often.
const AGAIN_MIN: Duration = Duration::from_secs(60);

/// The addresses that a network is told of.
#[derive(Debug, Clone, Default)]
pub(super) struct Registrations {
    /// Whether the network wants that.
    pub(super) wanted: bool,
    list: Vec<Registration>,
    /// Until when addresses of a prefix may be used.
    lifetimes: Vec<SuppliedAddress>,
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

    /// Takes how long addresses last: those that routers let us make.
    pub(super) fn set_lifetimes(&mut self, lifetimes: &[SuppliedAddress]) {
        self.lifetimes = lifetimes.to_vec();
    }

    /// What is left of an address: preferred and valid.
    fn left(&self, address: Ipv6Addr, now: Instant) -> (Lifetime, Lifetime) {
        let is_its = |it: &&SuppliedAddress| it.prefix.contains(address.into());
        let its = self.lifetimes.iter().find(is_its);
        let left = |until: Option<Instant>| Lifetime::left(until, now);
        (
            left(its.and_then(|its| its.preferred_until)),
            left(its.and_then(|its| its.valid_until)),
        )
    }

    /// Has all of them registered anew, when somebody says again that it is wanted: the place may be another one (RFC 9686 §4.1).
    pub(super) fn begin_anew(&mut self) {
        self.wanted = false;
        for known in &mut self.list {
            (known.exchange, known.again_at, known.done) = (None, None, false);
        }
    }

    /// Takes that a registration is noted.
    pub(super) fn take(&mut self, reply: &Message, rng: &mut StdRng, now: Instant) -> bool {
        let is_its = |known: &&mut Registration| {
            let its = known.exchange.as_ref();
            let is_it = its.is_some_and(|exchange| exchange.transaction == reply.transaction);
            // RFC 9686 §4.3: it names the address that it is about.
            is_it && reply.address == Some(known.address)
        };
        let Some(known) = self.list.iter_mut().find(is_its) else {
            return false;
        };
        known.exchange = None;
        known.done = true;
        let address = known.address;
        let again_at = Some(now + self.again(address, rng, now));
        if let Some(known) = self.list.iter_mut().find(|known| known.address == address) {
            known.again_at = again_at;
        }
        true
    }

    fn again(&self, address: Ipv6Addr, rng: &mut StdRng, now: Instant) -> Duration {
        let (_, valid) = self.left(address, now);
        let usual = match valid == Lifetime::FOREVER {
            true => AGAIN,
            false => Duration::from_secs(valid.0.into()) * AGAIN_PART / 100,
        };
        let spread = usual * rng.random_range(DESYNC) / 100;
        spread.max(AGAIN_MIN)
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
        let mut list = std::mem::take(&mut self.list);
        for known in &mut list {
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
                    octets: inform(
                        setup,
                        exchange.transaction,
                        known.address,
                        self.left(known.address, now),
                    ),
                }),
                Step::Failed => {
                    known.exchange = None;
                    known.again_at = Some(now + self.again(known.address, rng, now));
                }
            }
        }
        self.list = list;
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

/// RFC 9686 §4.2: the client, and the address with what is left of it; it leaves from that address.
fn inform(
    setup: &Setup,
    transaction: u32,
    address: Ipv6Addr,
    (preferred, valid): (Lifetime, Lifetime),
) -> Vec<u8> {
    let mut writer = Writer::new(MessageType::AddrRegInform, transaction);
    writer.put(option::CLIENT_ID, setup.duid.octets());
    let mut value = address.octets().to_vec();
    value.extend(preferred.0.to_be_bytes());
    value.extend(valid.0.to_be_bytes());
    writer.put(option::IA_ADDRESS, &value);
    writer.finish()
}
