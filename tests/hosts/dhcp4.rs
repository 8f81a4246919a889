//! What does a DHCPv4 server say (RFC 2131)? Written octet by octet, without the project's own codec.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use config::time::Instant;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;
const RELEASE: u8 = 7;

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As it should.
    Usual,
    /// It says nothing.
    Silent,
    /// It refuses every request.
    Refusing,
    /// It takes seconds.
    Slow,
    /// The first address that it offers is somebody else's.
    Taken,
}

/// A server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) manner: Manner,
    pub(super) lease_time: u32,
    /// The first three octets of its network; it has .1 itself.
    pub(super) net: [u8; 3],
    pub(super) resolvers: Vec<Ipv4Addr>,
    pub(super) domain: Option<&'static str>,
    /// Which address each client has, and until when.
    lease_by_client: BTreeMap<[u8; 6], (u8, Instant)>,
    declined: BTreeSet<u8>,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) octets: Vec<u8>,
    pub(super) to: Ipv4Addr,
    /// Until when the address may be used, when this is a lease.
    pub(super) leased_until: Option<Instant>,
    pub(super) is_refusal: bool,
}

impl Server {
    pub(super) fn new(net: [u8; 3], resolvers: &[Ipv4Addr]) -> Self {
        Self {
            manner: Manner::Usual,
            lease_time: 3600,
            net,
            resolvers: resolvers.to_vec(),
            domain: None,
            lease_by_client: BTreeMap::new(),
            declined: BTreeSet::new(),
        }
    }

    pub(super) fn address(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.net;
        Ipv4Addr::new(a, b, c, host)
    }

    /// The address that somebody else has where the manner is [`Manner::Taken`].
    pub(super) fn taken(&self) -> Option<Ipv4Addr> {
        (self.manner == Manner::Taken).then(|| self.address(100))
    }

    /// Forgets all leases, as a server does that lost its disk.
    pub(super) fn forget(&mut self) {
        self.lease_by_client.clear();
    }

    /// Answers a client's message.
    pub(super) fn answer(&mut self, message: &[u8], now: Instant) -> Option<Reply> {
        let mac: [u8; 6] = message.get(28..34)?.try_into().ok()?;
        let kind = *option(message, 53)?.first()?;
        let named = |octets: &[u8]| Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?));
        let asked = option(message, 50).and_then(named);
        let current = named(message.get(12..16)?)?;
        let server = option(message, 54).and_then(named);
        if self.manner == Manner::Silent || server.is_some_and(|server| server != self.address(1)) {
            return None;
        }
        match kind {
            DISCOVER => {
                let host = self.choose(mac);
                Some(self.write(message, OFFER, host, now))
            }
            REQUEST => {
                let wanted = asked.unwrap_or(current);
                let [a, b, c, host] = wanted.octets();
                let is_ours = [a, b, c] == self.net && (100..200).contains(&host);
                let is_known = self.lease_by_client.get(&mac);
                let is_right = is_ours
                    && !self.declined.contains(&host)
                    && is_known.is_none_or(|(known, _)| *known == host);
                if self.manner == Manner::Refusing || !is_right {
                    // RFC 2131 §4.3.2: of what it knows nothing it says nothing, but this one is the only server here.
                    return Some(self.refuse(message));
                }
                let until = now + Duration::from_secs(self.lease_time.into());
                self.lease_by_client.insert(mac, (host, until));
                Some(self.write(message, ACK, host, now))
            }
            DECLINE => {
                let host = asked.unwrap_or(current).octets()[3];
                self.declined.insert(host);
                self.lease_by_client.remove(&mac);
                None
            }
            RELEASE => {
                self.lease_by_client.remove(&mac);
                None
            }
            _ => None,
        }
    }

    fn choose(&mut self, mac: [u8; 6]) -> u8 {
        if let Some((host, _)) = self.lease_by_client.get(&mac)
            && !self.declined.contains(host)
        {
            return *host;
        }
        if self.declined.len() > 50 {
            self.declined.clear();
        }
        let first = match self.manner {
            Manner::Taken => 100,
            Manner::Usual | Manner::Silent | Manner::Refusing | Manner::Slow => 101,
        };
        let mut hosts = first..200;
        let free = hosts.find(|host| !self.declined.contains(host));
        free.unwrap_or(101)
    }

    fn refuse(&self, message: &[u8]) -> Reply {
        let options = [(54, self.address(1).octets().to_vec())];
        Reply {
            octets: write(message, NAK, Ipv4Addr::UNSPECIFIED, &options),
            to: Ipv4Addr::BROADCAST,
            leased_until: None,
            is_refusal: true,
        }
    }

    fn write(&self, message: &[u8], kind: u8, host: u8, now: Instant) -> Reply {
        let address = self.address(host);
        let resolvers = self.resolvers.iter().flat_map(Ipv4Addr::octets).collect();
        let mut options = vec![
            (54, self.address(1).octets().to_vec()),
            (51, self.lease_time.to_be_bytes().to_vec()),
            (1, vec![255, 255, 255, 0]),
            (3, self.address(1).octets().to_vec()),
            (6, resolvers),
        ];
        options.extend(self.domain.map(|domain| (15, domain.as_bytes().to_vec())));
        let until = now + Duration::from_secs(self.lease_time.into());
        Reply {
            octets: write(message, kind, address, &options),
            to: address,
            leased_until: (kind == ACK).then_some(until),
            is_refusal: false,
        }
    }
}

/// Finds an option of a message (RFC 2132 §2).
fn option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = message.get(240..)?;
    while let [code, tail @ ..] = rest {
        match code {
            0 => rest = tail,
            255 => return None,
            _ => {
                let (length, tail) = tail.split_first()?;
                let (value, tail) = tail.split_at_checked(usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                rest = tail;
            }
        }
    }
    None
}

fn write(question: &[u8], kind: u8, address: Ipv4Addr, options: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut message = vec![2, 1, 6, 0];
    message.extend(&question[4..8]);
    message.extend([0, 0]);
    message.extend(&question[10..16]);
    message.extend(address.octets());
    message.extend([0; 8]);
    message.extend(&question[28..44]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, kind]);
    for (code, value) in options {
        message.extend([*code, u8::try_from(value.len()).unwrap()]);
        message.extend(value);
    }
    message.push(255);
    message
}

/// Puts a message into an IPv4 packet from the server (RFC 791, RFC 768), as a client without an address hears it.
pub(super) fn packet(from: Ipv4Addr, to: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let total = u16::try_from(28 + message.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    let mut sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).unwrap();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend([0, 67, 0, 68]);
    packet.extend((total - 20).to_be_bytes());
    // RFC 768: nobody has computed a checksum.
    packet.extend([0, 0]);
    packet.extend(message);
    packet
}
