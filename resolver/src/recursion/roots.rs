//! Who serves the root? Built-in hints (RFC 9609 §2), and what the root servers say of themselves when primed.
//!
//! The hints are good for priming and, when priming fails, for a while of ordinary use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;

use super::address::Addresses;
use super::delegations::{Delegation, NameServer};
use crate::record::{ParsedReply, RawRecord};
use crate::wire::rtype;

/// How long the hints are used after priming failed.
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// The longest that the root's own data is kept; its TTL is six days.
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);
/// The shortest.
const LIFETIME_MIN: Duration = Duration::from_secs(300);
/// The most servers that are taken over from a priming reply.
const SERVERS_MAX: usize = 26;

/// The root servers, as IANA's `named.root` lists them.
pub const ROOT_HINTS: [(&str, Ipv4Addr, Ipv6Addr); 13] = [
    hint(
        "a",
        [198, 41, 0, 4],
        [0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30],
    ),
    hint(
        "b",
        [170, 247, 170, 2],
        [0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb],
    ),
    hint("c", [192, 33, 4, 12], [0x2001, 0x500, 2, 0, 0, 0, 0, 0xc]),
    hint(
        "d",
        [199, 7, 91, 13],
        [0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd],
    ),
    hint(
        "e",
        [192, 203, 230, 10],
        [0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe],
    ),
    hint(
        "f",
        [192, 5, 5, 241],
        [0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf],
    ),
    hint(
        "g",
        [192, 112, 36, 4],
        [0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d],
    ),
    hint(
        "h",
        [198, 97, 190, 53],
        [0x2001, 0x500, 1, 0, 0, 0, 0, 0x53],
    ),
    hint(
        "i",
        [192, 36, 148, 17],
        [0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53],
    ),
    hint(
        "j",
        [192, 58, 128, 30],
        [0x2001, 0x503, 0xc27, 0, 0, 0, 2, 0x30],
    ),
    hint("k", [193, 0, 14, 129], [0x2001, 0x7fd, 0, 0, 0, 0, 0, 1]),
    hint(
        "l",
        [199, 7, 83, 42],
        [0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42],
    ),
    hint("m", [202, 12, 27, 33], [0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35]),
];

const fn hint(
    letter: &'static str,
    v4: [u8; 4],
    v6: [u16; 8],
) -> (&'static str, Ipv4Addr, Ipv6Addr) {
    let [a, b, c, d] = v4;
    let [e, f, g, h, i, j, k, l] = v6;
    (
        letter,
        Ipv4Addr::new(a, b, c, d),
        Ipv6Addr::new(e, f, g, h, i, j, k, l),
    )
}

/// Returns the built-in hints as names and addresses.
pub fn built_in_hints() -> Vec<(DomainName, Vec<IpAddr>)> {
    let name = |letter: &str| {
        DomainName::from_labels([letter.as_bytes(), b"root-servers", b"net"])
            .expect("the labels are short")
    };
    ROOT_HINTS
        .iter()
        .map(|&(letter, v4, v6)| (name(letter), vec![v4.into(), v6.into()]))
        .collect()
}

/// What is known of the root's servers.
#[derive(Debug)]
pub(crate) struct Roots {
    hints: Arc<Delegation>,
    primed: Option<(Arc<Delegation>, Instant)>,
    retry_at: Instant,
}

impl Roots {
    pub(crate) fn new(hints: Vec<(DomainName, Vec<IpAddr>)>) -> Self {
        let servers = hints
            .into_iter()
            .map(|(name, addresses)| NameServer { name, addresses })
            .collect();
        Self {
            hints: root(servers, 0),
            primed: None,
            retry_at: Instant::ZERO,
        }
    }

    /// Whether the root must be primed before use.
    pub(crate) fn wants_priming(&self, now: Instant) -> bool {
        let primed = self.primed.as_ref().is_some_and(|&(_, until)| until > now);
        !primed && self.retry_at <= now
    }

    /// Returns the servers to ask.
    pub(crate) fn current(&self, now: Instant) -> Arc<Delegation> {
        match &self.primed {
            Some((primed, until)) if *until > now => Arc::clone(primed),
            Some(_) | None => Arc::clone(&self.hints),
        }
    }

    pub(crate) fn hints(&self) -> Arc<Delegation> {
        Arc::clone(&self.hints)
    }

    /// Takes a priming reply over (RFC 9609 §4); a server that came without address keeps that of the hints.
    pub(crate) fn prime(&mut self, reply: &ParsedReply, addresses: Addresses, now: Instant) {
        let names = reply
            .answers
            .iter()
            .filter(|record| record.record_type == rtype::NS && record.is_at(&DomainName::root()));
        let servers: Vec<NameServer> = names
            .clone()
            .filter_map(|record| DomainName::from_wire(&record.rdata).ok())
            .take(SERVERS_MAX)
            .map(|name| {
                let mut found: Vec<IpAddr> = reply
                    .additional
                    .iter()
                    .filter(|record| record.is_at(&name))
                    .filter_map(address_of)
                    .filter(|&address| addresses.permits(address))
                    .take(SERVERS_MAX)
                    .collect();
                let hinted = self.hints.servers.iter().find(|hint| hint.name == name);
                for &hint in hinted
                    .map(|hint| hint.addresses.as_slice())
                    .unwrap_or_default()
                {
                    // RFC 9609 §4.2: the reply may be short of addresses.
                    if !found.iter().any(|known| known.is_ipv4() == hint.is_ipv4()) {
                        found.push(hint);
                    }
                }
                NameServer {
                    name,
                    addresses: found,
                }
            })
            .filter(|server| !server.addresses.is_empty())
            .collect();
        if servers.is_empty() {
            self.note_failure(now);
            return;
        }
        let ttl = names.map(|record| record.ttl).min().unwrap_or(0);
        let lifetime = Duration::from_secs(ttl.into()).clamp(LIFETIME_MIN, LIFETIME_MAX);
        self.primed = Some((root(servers, ttl), now + lifetime));
    }

    pub(crate) fn note_failure(&mut self, now: Instant) {
        self.retry_at = now + RETRY_DELAY;
    }
}

/// Returns the address of an A or AAAA record.
pub(crate) fn address_of(record: &RawRecord) -> Option<IpAddr> {
    match record.record_type {
        rtype::A => Some(IpAddr::from(<[u8; 4]>::try_from(&*record.rdata).ok()?)),
        rtype::AAAA => Some(IpAddr::from(<[u8; 16]>::try_from(&*record.rdata).ok()?)),
        _ => None,
    }
}

fn root(servers: Vec<NameServer>, ttl: u32) -> Arc<Delegation> {
    Arc::new(Delegation {
        zone: DomainName::root(),
        servers,
        proof: Vec::new(),
        ttl,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_public_hints_are_built_in() {
        let hints = built_in_hints();
        assert_eq!(hints.len(), 13);
        for (name, addresses) in hints {
            assert_eq!(addresses.len(), 2, "{name}");
            assert!(addresses.iter().all(|&a| Addresses::Public.permits(a)));
        }
    }
}
