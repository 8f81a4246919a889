//! May a public name have this address? Rebinding: a stranger's name that leads into the private network of whoever asks.
//!
//! A name is a stranger's when nobody claims it: a profile, a VPN, or a link for its own prefixes. The name that was first
//! asked for in a scope counts, so that a stranger's alias to a claimed name is no way round; so does the scope's own answer
//! for an alias that leads out of it, when the first name is a stranger's. An answer with such an address is dropped whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::name::DomainName;

use super::rewrite::Rewritten;
use crate::Resolver;
use crate::chain::{Hop, is_claimed};
use crate::event::{ExtendedError, Step};
use crate::progress::{Found, Outcome, Query};
use crate::reader::Reader;
use crate::record::RawRecord;
use crate::synthesize::soa;
use crate::wire::{rcode, rtype};

/// Filtered (RFC 8914 §4.18).
const FILTERED: u16 = 17;
/// HTTPS (RFC 9460 §9).
const HTTPS: u16 = 65;
/// `ipv4hint` and `ipv6hint` (RFC 9460 §7.3).
const IPV4HINT: u16 = 4;
const IPV6HINT: u16 = 6;

impl Resolver {
    /// Drops a reply in which a stranger's name has a private address.
    pub(super) fn protect(&mut self, query: &mut Query, hop: &Hop) -> Rewritten {
        let private = self.first_private(query, &hop.answers);
        if let Some((owner, address)) = private {
            self.counters.rebinding += 1;
            let text = format!("{owner} has {address}, an address of a private network");
            query
                .steps
                .push(Step::Local("rebinding", text.as_str().into()));
            let chain = &mut query.chain;
            chain.answers.clear();
            chain.authentic = false;
            chain.decided = true;
            return Rewritten::End(Outcome::Found(Found {
                rcode: rcode::NOERROR,
                authority: vec![soa(&chain.name, super::DENIAL_TTL)],
                extended_error: Some(ExtendedError {
                    code: FILTERED,
                    text: format!("rebinding protection: {text}"),
                }),
                ..Found::default()
            }));
        }
        Rewritten::Not
    }

    /// Returns the first private address of a stranger's name, and whose it is.
    fn first_private(&self, query: &Query, records: &[RawRecord]) -> Option<(DomainName, IpAddr)> {
        let exceptions = self.local.rebinding.as_ref()?;
        let first = &query.chain.visits.first()?.name;
        let (owner, address) = records.iter().find_map(|record| {
            let address = addresses(record).into_iter().find(is_private)?;
            Some((record.owner(), address))
        })?;
        let asked = &query.chain.start;
        let is_excepted = exceptions.iter().any(|exception| {
            // Whoever owns the address does not count: a stranger's alias may lead there.
            [first, asked].iter().any(|name| name.is_in(exception))
        });
        let is_strange = !is_claimed(&self.plan.domains.route(first));
        (is_strange && !is_excepted).then_some((owner, address))
    }
}

/// Returns the addresses in a record: those of A, AAAA, and the hints of SVCB and HTTPS.
fn addresses(record: &RawRecord) -> Vec<IpAddr> {
    match record.record_type {
        rtype::A => v4(&record.rdata).into_iter().collect(),
        rtype::AAAA => v6(&record.rdata).into_iter().collect(),
        rtype::SVCB | HTTPS => hints(&record.rdata).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn v4(octets: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 4] = octets.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

fn v6(octets: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = octets.try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}

/// RFC 9460 §2.2: a priority, a name, and parameters, each with its length.
fn hints(rdata: &[u8]) -> Option<Vec<IpAddr>> {
    let mut reader = Reader::new(rdata);
    reader.word()?;
    loop {
        match reader.byte()? {
            0 => break,
            length => reader.take(length.into())?,
        };
    }
    let mut found = Vec::new();
    while !reader.is_done() {
        let key = reader.word()?;
        let length = reader.word()?;
        let value = reader.take(length.into())?;
        match key {
            IPV4HINT => found.extend(value.chunks(4).filter_map(v4)),
            IPV6HINT => found.extend(value.chunks(16).filter_map(v6)),
            _ => {}
        }
    }
    Some(found)
}

/// Whether an address is of a private network, of the link or of this machine, or leads to one.
fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private4(*address),
        IpAddr::V6(address) => is_private6(*address),
    }
}

/// This network, private, shared (RFC 6598), loopback, link-local, broadcast.
pub(super) fn is_private4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 0
        || address.is_private()
        || (first == 100 && (64..128).contains(&second))
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
}

/// Unspecified, loopback, link-local, site-local, unique local, mapped from IPv4; and those through which an IPv4 address
/// is reached: translated by a well-known prefix (RFC 6052, RFC 8215) or 6to4.
fn is_private6(address: Ipv6Addr) -> bool {
    let octets = address.octets();
    let embedded = |at: usize| {
        let v4 = octets.get(at..at + 4).and_then(v4);
        v4.is_some_and(|v4| matches!(v4, IpAddr::V4(v4) if is_private4(v4)))
    };
    match address.segments() {
        // ::/96 has the unspecified address, loopback, and what is left of IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] => true,
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => embedded(12),
        [0x64, 0xff9b, 1, ..] => true,
        [0x2002, ..] => embedded(2),
        // fe80::/10 and fec0::/10, fc00::/7
        [first, ..] => {
            first & 0xffc0 == 0xfe80 || first & 0xffc0 == 0xfec0 || first & 0xfe00 == 0xfc00
        }
    }
}

#[cfg(test)]
mod tests;
