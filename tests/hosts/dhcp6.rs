//! What does a DHCPv6 server say (RFC 8415)? Addresses, a prefix to hand on, resolvers; written octet by octet.

use std::net::Ipv6Addr;

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const INFORMATION_REQUEST: u8 = 11;

/// A server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) is_silent: bool,
    pub(super) lifetime: u32,
    pub(super) resolver: Ipv6Addr,
    duid: Vec<u8>,
}

impl Server {
    pub(super) fn new(number: u8, resolver: Ipv6Addr) -> Self {
        Self {
            is_silent: false,
            lifetime: 3600,
            resolver,
            duid: vec![0, 3, 0, 1, 2, number, 0, 0, 0, 1],
        }
    }

    /// Answers a client's message; the addresses are of this prefix.
    pub(super) fn answer(&self, message: &[u8], prefix: Ipv6Addr) -> Option<Vec<u8>> {
        if self.is_silent {
            return None;
        }
        let (head, rest) = message.split_at_checked(4)?;
        let options = options(rest);
        let all = |number: u16| options.iter().filter(move |option| option.0 == number);
        if all(2).next().is_some_and(|server| server.1 != self.duid) {
            return None;
        }
        let is_rapid = all(14).next().is_some();
        let kind = match head[0] {
            SOLICIT if !is_rapid => ADVERTISE,
            SOLICIT | REQUEST | CONFIRM | RENEW | REBIND | RELEASE | INFORMATION_REQUEST => REPLY,
            _ => return None,
        };
        let mut reply = vec![kind];
        reply.extend(&head[1..]);
        for client in all(1) {
            put(&mut reply, 1, client.1);
        }
        put(&mut reply, 2, &self.duid);
        match head[0] {
            CONFIRM => {
                let fits = all(3).all(|association| fits(association.1, prefix));
                put(&mut reply, 13, &[0, if fits { 0 } else { 4 }]);
            }
            RELEASE => put(&mut reply, 13, &[0, 0]),
            INFORMATION_REQUEST => {}
            _ => {
                if head[0] == SOLICIT && is_rapid {
                    put(&mut reply, 14, &[]);
                }
                for association in all(3) {
                    put(&mut reply, 3, &self.addresses(association.1, prefix)?);
                }
                for association in all(25) {
                    put(&mut reply, 25, &self.prefixes(association.1, prefix)?);
                }
            }
        }
        if head[0] != CONFIRM {
            put(&mut reply, 23, &self.resolver.octets());
        }
        Some(reply)
    }

    fn times(&self, association: &[u8]) -> Option<Vec<u8>> {
        let mut value = association.get(..4)?.to_vec();
        value.extend((self.lifetime / 2).to_be_bytes());
        value.extend((self.lifetime / 5 * 4).to_be_bytes());
        Some(value)
    }

    fn addresses(&self, association: &[u8], prefix: Ipv6Addr) -> Option<Vec<u8>> {
        let mut value = self.times(association)?;
        let mut octets = prefix.octets();
        octets[14..].copy_from_slice(&[0x0d, 0x66]);
        let mut lease = octets.to_vec();
        lease.extend(self.lifetime.to_be_bytes());
        lease.extend(self.lifetime.to_be_bytes());
        put(&mut value, 5, &lease);
        // RFC 8415 §18.3.4: what the client has of another prefix is taken back.
        for (_, old) in options(association.get(12..)?) {
            if old.get(..16)? != octets {
                let mut gone = old.get(..16)?.to_vec();
                gone.extend([0; 8]);
                put(&mut value, 5, &gone);
            }
        }
        Some(value)
    }

    fn prefixes(&self, association: &[u8], prefix: Ipv6Addr) -> Option<Vec<u8>> {
        let mut value = self.times(association)?;
        let mut lease = self.lifetime.to_be_bytes().to_vec();
        lease.extend(self.lifetime.to_be_bytes());
        lease.push(56);
        let mut octets = prefix.octets();
        octets[6] = 0xd0;
        octets[7] = 0;
        lease.extend(octets);
        put(&mut value, 26, &lease);
        Some(value)
    }
}

fn fits(association: &[u8], prefix: Ipv6Addr) -> bool {
    let leases = options(association.get(12..).unwrap_or_default());
    leases
        .iter()
        .all(|(_, lease)| lease.get(..8) == Some(&prefix.octets()[..8]))
}

fn options(mut octets: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some((head, rest)) = octets.split_at_checked(4) {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some((value, rest)) = rest.split_at_checked(length) else {
            break;
        };
        found.push((u16::from_be_bytes([head[0], head[1]]), value));
        octets = rest;
    }
    found
}

fn put(message: &mut Vec<u8>, number: u16, value: &[u8]) {
    message.extend(number.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    message.extend(value);
}
