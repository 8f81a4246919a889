//! What does a router advertisement say? [`Advertisement::parse`], and the solicitation that asks for one.
//!
//! Any octets are read without a panic, and to a bounded value. What the whole packet is worth (source, hop limit) is looked at
//! here too; what becomes of it is [`super::Client`]'s.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use config::matcher::Mac;
use config::model::{Mapping, Prefix};
use config::name::DomainName;
use policy::facts::Preference;

use crate::octets::{Lifetime, Reader};
use crate::offered::{self, Designated, Parameters, Portal};

/// ICMPv6 types (RFC 4861 §4.1, §4.2).
pub const ROUTER_SOLICITATION: u8 = 133;
/// ICMPv6 types (RFC 4861 §4.1, §4.2).
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// What no packet has that passed a router (RFC 4861 §6.1.2).
pub const HOP_LIMIT: u8 = 255;

/// Options of one kind that are read from one packet.
const EACH_MAX: usize = 16;
/// The least length of a prefix that counts as on the link: nobody owns more.
const ON_LINK_LENGTH_MIN: u8 = 16;
/// The least MTU of IPv6 (RFC 8200 §5).
const MTU_MIN: u32 = 1280;
/// What `scaled lifetime` of PREF64 counts (RFC 8781 §4), in seconds.
const PREF64_UNIT: u32 = 8;

/// Numbers of options.
mod option {
    pub(super) const SOURCE_ADDRESS: u8 = 1;
    pub(super) const PREFIX: u8 = 3;
    pub(super) const MTU: u8 = 5;
    pub(super) const ROUTE: u8 = 24;
    pub(super) const RDNSS: u8 = 25;
    pub(super) const FLAGS: u8 = 26;
    pub(super) const DNSSL: u8 = 31;
    pub(super) const PORTAL: u8 = 37;
    pub(super) const PREF64: u8 = 38;
    pub(super) const DNR: u8 = 144;
}

/// A router advertisement (RFC 4861 §4.2), as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advertisement {
    /// The hop limit to use; 0 says nothing.
    pub hop_limit: u8,
    /// Addresses are to be had from DHCPv6 (M).
    pub managed: bool,
    /// Other things are to be had from DHCPv6 (O).
    pub other: bool,
    /// How the router recommends itself (RFC 4191 §2.2).
    pub preference: Preference,
    /// How long it is a default router; zero: it is none.
    pub lifetime: Duration,
    /// How long a neighbour counts as reachable; zero says nothing.
    pub reachable: Duration,
    /// How long between two solicitations of a neighbour; zero says nothing.
    pub retransmit: Duration,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// The largest packet, in octets.
    pub mtu: Option<u32>,
    /// Prefixes.
    pub prefixes: Vec<PrefixInformation>,
    /// Routes (RFC 4191 §2.3).
    pub routes: Vec<RouteInformation>,
    /// Resolvers (RFC 8106 §5.1).
    pub resolvers: Vec<(Ipv6Addr, Lifetime)>,
    /// Search suffixes (RFC 8106 §5.2).
    pub search: Vec<(DomainName, Lifetime)>,
    /// Prefixes by which IPv4 is reached (RFC 8781).
    pub pref64: Vec<(Mapping, Lifetime)>,
    /// Encrypted resolvers (RFC 9463 §6).
    pub encrypted: Vec<(Designated, Lifetime)>,
    /// The portal (RFC 8910 §2.3).
    pub(crate) portal: Option<Portal>,
    /// Flags of the extension, the first octet first (RFC 5175); none has a meaning for hosts.
    pub flags: u64,
    /// Options of a known number that were not understood, or too many.
    pub passed_over: u16,
}

/// A prefix (RFC 4861 §4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixInformation {
    /// The prefix, host bits cleared.
    pub prefix: Prefix,
    /// Who is in it is reached without a router (L).
    pub on_link: bool,
    /// Addresses are made of it (A).
    pub autonomous: bool,
    /// Prefixes of one's own are to be had instead (P, RFC 9762).
    pub delegation: bool,
    /// How long it is valid.
    pub valid: Lifetime,
    /// How long new connections may begin with it; never longer than `valid`.
    pub preferred: Lifetime,
}

/// A route (RFC 4191 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteInformation {
    /// Where to, host bits cleared.
    pub to: Prefix,
    /// How the router recommends itself for it.
    pub preference: Preference,
    /// How long.
    pub lifetime: Lifetime,
}

/// Why a packet is no valid router advertisement (RFC 4861 §6.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Another ICMPv6 message.
    #[error("not a router advertisement")]
    OtherType,
    /// It may have come from another link.
    #[error("hop limit is not 255")]
    HopLimit,
    /// Routers speak from a link-local address.
    #[error("source is not link-local")]
    Source,
    /// The ICMPv6 code is not 0.
    #[error("code is not 0")]
    Code,
    /// It ends in the middle.
    #[error("cut short")]
    Short,
    /// An option without end.
    #[error("option of length 0")]
    EmptyOption,
}

impl Advertisement {
    /// Reads an ICMPv6 message from its type on.
    ///
    /// # Errors
    /// When RFC 4861 §6.1.2 has it discarded. An option that makes no sense costs only itself.
    pub fn parse(octets: &[u8], from: Ipv6Addr, hop_limit: u8) -> Result<Self, Invalid> {
        if octets.first() != Some(&ROUTER_ADVERTISEMENT) {
            return Err(Invalid::OtherType);
        }
        if hop_limit != HOP_LIMIT {
            return Err(Invalid::HopLimit);
        }
        if !from.is_unicast_link_local() {
            return Err(Invalid::Source);
        }
        let mut reader = Reader::new(octets);
        let mut parsed = Self::header(&mut reader)?;
        while !reader.is_done() {
            let number = reader.byte().ok_or(Invalid::Short)?;
            let length = match reader.byte().ok_or(Invalid::Short)? {
                0 => return Err(Invalid::EmptyOption),
                length => usize::from(length) * 8 - 2,
            };
            let value = reader.take(length).ok_or(Invalid::Short)?;
            if parsed.option(number, value).is_none() {
                parsed.passed_over = parsed.passed_over.saturating_add(1);
            }
        }
        Ok(parsed)
    }

    fn header(reader: &mut Reader<'_>) -> Result<Self, Invalid> {
        let short = Invalid::Short;
        let [_type, code, _, _] = reader.array().ok_or(short)?;
        if code != 0 {
            return Err(Invalid::Code);
        }
        let [hop_limit, flags] = reader.array().ok_or(short)?;
        let lifetime = reader.word().ok_or(short)?;
        let reachable = reader.long().ok_or(short)?;
        let retransmit = reader.long().ok_or(short)?;
        Ok(Self {
            hop_limit,
            managed: flags & 0x80 != 0,
            other: flags & 0x40 != 0,
            // RFC 4191 §2.2: the reserved value is medium; without a lifetime there is nothing to prefer.
            preference: match preference(flags) {
                Some(preference) if lifetime != 0 => preference,
                Some(_) | None => Preference::Medium,
            },
            lifetime: Duration::from_secs(lifetime.into()),
            reachable: Duration::from_millis(reachable.into()),
            retransmit: Duration::from_millis(retransmit.into()),
            ..Self::default()
        })
    }

    /// Reads what is in an option behind its length; `None` when it is not understood. Unknown numbers are well.
    fn option(&mut self, number: u8, value: &[u8]) -> Option<()> {
        match number {
            option::SOURCE_ADDRESS => {
                // Six octets in an option of one unit: Ethernet and the like.
                self.mac = Some(Mac(value.try_into().ok()?));
            }
            option::PREFIX => push(&mut self.prefixes, prefix(value)?)?,
            option::MTU => {
                let [_, _, octets @ ..]: [u8; 6] = value.try_into().ok()?;
                let mtu = u32::from_be_bytes(octets);
                self.mtu = Some(Some(mtu).filter(|mtu| *mtu >= MTU_MIN)?);
            }
            option::ROUTE => push(&mut self.routes, route(value)?)?,
            option::RDNSS => {
                let mut reader = list(value)?;
                let lifetime = Lifetime(reader.long()?);
                while let Some(address) = reader.address() {
                    if offered::is_server(address) {
                        push(&mut self.resolvers, (address, lifetime))?;
                    }
                }
            }
            option::DNSSL => {
                let mut reader = list(value)?;
                let lifetime = Lifetime(reader.long()?);
                for name in offered::names(reader.rest()) {
                    push(&mut self.search, (name, lifetime))?;
                }
            }
            option::PORTAL => self.portal = Some(offered::portal(value)?),
            option::PREF64 => push(&mut self.pref64, pref64(value)?)?,
            option::DNR => {
                let mut reader = Reader::new(value);
                let priority = reader.word()?;
                let lifetime = Lifetime(reader.long()?);
                let read = Designated::parse(priority, reader.rest(), Parameters::Counted)?;
                push(&mut self.encrypted, (read, lifetime))?;
            }
            option::FLAGS => {
                let [a, b, c, d, e, f]: [u8; 6] = *value.first_chunk()?;
                self.flags = u64::from_be_bytes([a, b, c, d, e, f, 0, 0]);
            }
            _ => {}
        }
        Some(())
    }
}

/// Adds what there is room for.
fn push<T>(list: &mut Vec<T>, item: T) -> Option<()> {
    (list.len() < EACH_MAX).then(|| list.push(item))
}

/// RFC 4191 §2.1: two bits, of which `10` is reserved.
fn preference(flags: u8) -> Option<Preference> {
    match flags >> 3 & 3 {
        0b01 => Some(Preference::High),
        0b00 => Some(Preference::Medium),
        0b11 => Some(Preference::Low),
        _ => None,
    }
}

/// Passes over the reserved field that lists begin with.
fn list(value: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(value);
    reader.word()?;
    Some(reader)
}

fn network(address: Ipv6Addr, length: u8) -> Prefix {
    let address = IpAddr::V6(address);
    Prefix { address, length }.network()
}

fn prefix(value: &[u8]) -> Option<PrefixInformation> {
    let mut reader = Reader::new(value);
    let [length, flags] = reader.array()?;
    let valid = Lifetime(reader.long()?);
    let preferred = Lifetime(reader.long()?);
    reader.long()?;
    let address = reader.address()?;
    let good = reader.is_done()
        && (ON_LINK_LENGTH_MIN..=128).contains(&length)
        && is_global(address)
        // RFC 4862 §5.5.3 c.
        && preferred <= valid;
    good.then(|| PrefixInformation {
        prefix: network(address, length),
        on_link: flags & 0x80 != 0,
        autonomous: flags & 0x40 != 0,
        delegation: flags & 0x10 != 0,
        valid,
        preferred,
    })
}

/// RFC 4862 §5.5.3 b: a link-local prefix is ignored; neither do others with a meaning of their own belong to a network.
fn is_global(address: Ipv6Addr) -> bool {
    !address.is_unicast_link_local()
        && !address.is_multicast()
        // ::/16 has the unspecified, the loopback and embedded IPv4 addresses.
        && address.segments()[0] != 0
}

fn route(value: &[u8]) -> Option<RouteInformation> {
    let mut reader = Reader::new(value);
    let [length, flags] = reader.array()?;
    let lifetime = Lifetime(reader.long()?);
    let given = reader.rest();
    // RFC 4191 §2.3: 0, 8 or 16 octets, as many as the length needs.
    if given.len() > 16 || usize::from(length) > given.len() * 8 {
        return None;
    }
    let mut octets = [0; 16];
    octets.get_mut(..given.len())?.copy_from_slice(given);
    let address = Ipv6Addr::from(octets);
    let to = network(address, length);
    let IpAddr::V6(cleared) = to.address else {
        return None;
    };
    let good = length == 0 || is_global(cleared);
    good.then_some(())?;
    Some(RouteInformation {
        to,
        // RFC 4191 §2.3: with the reserved value the option is ignored.
        preference: preference(flags)?,
        lifetime,
    })
}

fn pref64(value: &[u8]) -> Option<(Mapping, Lifetime)> {
    let mut reader = Reader::new(value);
    let scaled = reader.word()?;
    // RFC 8781 §4: the code of the length is the place in this row.
    let length = *Mapping::LENGTHS.get(usize::from(scaled & 7))?;
    let mut octets = [0; 16];
    let given = reader.array::<12>()?;
    octets.first_chunk_mut::<12>()?.copy_from_slice(&given);
    let mapping = Mapping::new(network(octets.into(), length))?;
    let lifetime = Lifetime(u32::from(scaled >> 3) * PREF64_UNIT);
    reader.is_done().then_some((mapping, lifetime))
}

/// Returns a router solicitation (RFC 4861 §4.1); the hardware address is left out when there is no source to go with it.
pub fn solicitation(mac: Option<Mac>) -> Vec<u8> {
    let mut octets = vec![ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    if let Some(mac) = mac {
        octets.extend([option::SOURCE_ADDRESS, 1]);
        octets.extend(mac.0);
    }
    octets
}

#[cfg(test)]
mod tests;
