//! What options does a message hold? [`Options`] (RFC 2132): found by a walk of our own, read where no codec reads them right.
//!
//! A message whose options run over their field is no message; an option whose content makes no sense is left out, and the
//! others count. Everything that could reach a terminal or a file is plain text.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use config::model::{Prefix, Upstream};
use config::name::DomainName;

use crate::octets::Reader;
use crate::offered;

/// Numbers of options.
pub(crate) mod code {
    pub(crate) const SUBNET_MASK: u8 = 1;
    pub(crate) const ROUTER: u8 = 3;
    pub(crate) const DOMAIN_NAME_SERVER: u8 = 6;
    pub(crate) const DOMAIN_NAME: u8 = 15;
    pub(crate) const INTERFACE_MTU: u8 = 26;
    pub(crate) const STATIC_ROUTES: u8 = 33;
    pub(crate) const NTP_SERVERS: u8 = 42;
    pub(crate) const LEASE_TIME: u8 = 51;
    pub(crate) const OVERLOAD: u8 = 52;
    pub(crate) const MESSAGE_TYPE: u8 = 53;
    pub(crate) const SERVER_ID: u8 = 54;
    pub(crate) const MESSAGE: u8 = 56;
    pub(crate) const RENEWAL: u8 = 58;
    pub(crate) const REBINDING: u8 = 59;
    pub(crate) const CLIENT_ID: u8 = 61;
    pub(crate) const USER_CLASS: u8 = 77;
    pub(crate) const RAPID_COMMIT: u8 = 80;
    pub(crate) const FQDN: u8 = 81;
    /// RFC 8925; some codecs have another number for it.
    pub(crate) const IPV6_ONLY: u8 = 108;
    pub(crate) const CAPTIVE_PORTAL: u8 = 114;
    pub(crate) const DOMAIN_SEARCH: u8 = 119;
    pub(crate) const CLASSLESS_ROUTES: u8 = 121;
    /// RFC 9463.
    pub(crate) const DNR: u8 = 162;
    /// What Microsoft used before RFC 3442, in the same form.
    pub(crate) const CLASSLESS_ROUTES_OLD: u8 = 249;
}

const PAD: u8 = 0;
/// Ends the options of a field.
pub(crate) const END: u8 = 255;

/// Octets before the options: the fields of BOOTP and the cookie (RFC 2131 §3).
pub(crate) const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;

/// A longer message is not read; nobody sends more than a jumbo frame.
pub(crate) const MAX_MESSAGE: usize = 9000;
/// Routes, search suffixes, encrypted resolvers that are taken of one message.
const MAX_ITEMS: usize = 64;
/// Of a text for people.
const MAX_TEXT: usize = 128;
/// Jumps of one compressed name (RFC 3397 §2).
const MAX_JUMPS: usize = 16;

/// A route of option 33, 121 or 249.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    /// Where to, host bits cleared.
    pub(crate) to: Prefix,
    /// Through which neighbour; `None` on the link itself.
    pub(crate) via: Option<Ipv4Addr>,
}

/// The options of a message, by number; what was split is joined (RFC 3396).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    /// Finds the options of a whole message; `None` when it has none in the form of RFC 2131.
    pub(crate) fn find(message: &[u8]) -> Option<Self> {
        if message.len() > MAX_MESSAGE || message.get(236..HEADER)? != COOKIE {
            return None;
        }
        let mut options = Self::default();
        options.walk(message.get(HEADER..)?)?;
        // RFC 2132 §9.3; RFC 3396 §5 has the order.
        let overload = options.0.get(&code::OVERLOAD).and_then(|data| data.first());
        let (file, sname) = match overload {
            Some(1) => (true, false),
            Some(2) => (false, true),
            Some(3) => (true, true),
            _ => (false, false),
        };
        if file {
            options.walk(message.get(FILE)?)?;
        }
        if sname {
            options.walk(message.get(SNAME)?)?;
        }
        Some(options)
    }

    fn walk(&mut self, field: &[u8]) -> Option<()> {
        let mut reader = Reader::new(field);
        while let Some(code) = reader.byte() {
            match code {
                PAD => {}
                END => return Some(()),
                code => {
                    let length = reader.byte()?;
                    let data = reader.take(length.into())?;
                    self.0.entry(code).or_default().extend(data);
                }
            }
        }
        // Without END: some servers fill the last octet, and all has been read.
        Some(())
    }

    /// Returns the octets of an option.
    pub(crate) fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    /// Returns a text for people: printable characters, not too many.
    pub(crate) fn text(&self, code: u8) -> Option<Arc<str>> {
        let octets = self.get(code)?.iter();
        let plain = octets.filter(|octet| octet.is_ascii_graphic() || **octet == b' ');
        let text: String = plain
            .take(MAX_TEXT)
            .map(|octet| char::from(*octet))
            .collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.into())
    }

    /// Returns how long IPv4 is done without, in seconds (RFC 8925 §3.1).
    pub(crate) fn ipv6_only(&self) -> Option<u32> {
        let octets = self.get(code::IPV6_ONLY)?;
        octets.try_into().ok().map(u32::from_be_bytes)
    }

    /// Returns the portal's address; `None` also where the network says that there is none.
    pub(crate) fn portal(&self) -> Option<Arc<str>> {
        match offered::portal(self.get(code::CAPTIVE_PORTAL)?)? {
            offered::Portal::At(uri) => Some(uri),
            offered::Portal::None => None,
        }
    }

    /// Returns the search suffixes: those of RFC 3397, else the domain name, in which many write several.
    pub(crate) fn search(&self) -> Vec<DomainName> {
        let listed = self.get(code::DOMAIN_SEARCH).map(compressed_names);
        let mut names = listed.unwrap_or_default();
        if names.is_empty() {
            let octets = self.get(code::DOMAIN_NAME).unwrap_or_default();
            let end = octets.iter().rposition(|octet| *octet != 0);
            let octets = octets.get(..end.map_or(0, |last| last + 1));
            let text = octets.and_then(|octets| std::str::from_utf8(octets).ok());
            let words = text.unwrap_or_default().split([' ', ',']);
            names = words.filter_map(|word| word.parse().ok()).collect();
        }
        let mut search: Vec<DomainName> = Vec::new();
        for name in names {
            if offered::is_host_like(&name) && !search.contains(&name) && search.len() < MAX_ITEMS {
                search.push(name);
            }
        }
        search
    }

    /// Returns the routes of RFC 3442, by either number; `None` when there are none, so that the older options count.
    pub(crate) fn classless_routes(&self) -> Option<Vec<Route>> {
        let numbers = [code::CLASSLESS_ROUTES, code::CLASSLESS_ROUTES_OLD];
        let mut lists = numbers.iter().filter_map(|code| self.get(*code));
        lists.find_map(classless_routes)
    }

    /// Returns the routes of RFC 2132 §5.8, whose lengths follow from the classes of their addresses.
    pub(crate) fn static_routes(&self) -> Vec<Route> {
        let mut reader = Reader::new(self.get(code::STATIC_ROUTES).unwrap_or_default());
        let mut routes = Vec::new();
        while let (Some(to), Some(via)) = (reader.array::<4>(), reader.array::<4>()) {
            let (to, via) = (Ipv4Addr::from(to), Ipv4Addr::from(via));
            if is_host(to) && is_host(via) && routes.len() < MAX_ITEMS {
                let network = prefix(to, class_length(to)).network();
                let is_network = network.address == IpAddr::V4(to);
                let to = if is_network { network } else { prefix(to, 32) };
                routes.push(Route { to, via: Some(via) });
            }
        }
        routes
    }

    /// Returns the encrypted resolvers of RFC 9463 §5.1, the preferred first.
    pub(crate) fn encrypted(&self) -> Vec<Upstream> {
        let mut reader = Reader::new(self.get(code::DNR).unwrap_or_default());
        let mut found: Vec<(u16, Vec<Upstream>)> = Vec::new();
        while let Some(instance) = reader.counted() {
            if let Some(one) = encrypted_resolver(instance) {
                found.push(one);
            }
        }
        found.sort_by_key(|(priority, _)| *priority);
        let upstreams = found.into_iter().flat_map(|(_, upstreams)| upstreams);
        upstreams.take(MAX_ITEMS).collect()
    }
}

/// Makes a prefix of an address.
pub(crate) fn prefix(address: Ipv4Addr, length: u8) -> Prefix {
    Prefix {
        address: IpAddr::V4(address),
        length,
    }
}

/// Returns the length that an address had before there were masks (RFC 791 §2.3).
pub(crate) fn class_length(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

/// Whether a machine in a network can have this address; our own loopback is none of the network's business.
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    address.octets()[0] != 0
        && !address.is_loopback()
        && !address.is_multicast()
        && address.octets()[0] < 240
}

/// RFC 3442: a length, as many octets of the destination as it needs, a neighbour. `None` when the list is broken.
fn classless_routes(octets: &[u8]) -> Option<Vec<Route>> {
    let mut reader = Reader::new(octets);
    let mut routes = Vec::new();
    while let Some(length) = reader.byte() {
        if length > 32 {
            return None;
        }
        let significant = reader.take(usize::from(length).div_ceil(8))?;
        let mut to = [0; 4];
        for (to, octet) in to.iter_mut().zip(significant) {
            *to = *octet;
        }
        let via = Ipv4Addr::from(reader.array::<4>()?);
        let via = (!via.is_unspecified()).then_some(via);
        let is_sound = via.is_none_or(is_host) && !Ipv4Addr::from(to).is_multicast();
        if is_sound && routes.len() < MAX_ITEMS {
            routes.push(Route {
                to: prefix(to.into(), length).network(),
                via,
            });
        }
    }
    (!routes.is_empty()).then_some(routes)
}

/// RFC 9463 §5.1: priority, name, addresses, parameters. Without addresses the name would have to be asked for in the clear.
fn encrypted_resolver(instance: &[u8]) -> Option<(u16, Vec<Upstream>)> {
    let mut reader = Reader::new(instance);
    let priority = reader.word()?;
    let length = reader.byte()?;
    let wire = reader.take(length.into())?;
    let name = DomainName::from_wire(wire).ok()?;
    if name.as_wire().len() != wire.len() || !offered::is_host_like(&name) {
        return None;
    }
    let length = reader.byte()?;
    let mut addresses = Reader::new(reader.take(length.into())?);
    if !length.is_multiple_of(4) {
        return None;
    }
    let services = offered::services(reader.rest())?;
    let mut servers = Vec::new();
    while let Some(address) = addresses.array::<4>().map(Ipv4Addr::from) {
        if is_host(address) && servers.len() < 4 {
            servers.push(Upstream::plain(IpAddr::V4(address)));
        }
    }
    let upstreams = offered::forms(&servers, &name, &services);
    (!upstreams.is_empty()).then_some((priority, upstreams))
}

/// RFC 3397 §2: names one after another, compressed against the whole option. Ends at what is no name.
fn compressed_names(option: &[u8]) -> Vec<DomainName> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < option.len() && names.len() < MAX_ITEMS {
        let Some((name, next)) = compressed_name(option, at) else {
            break;
        };
        at = next;
        names.extend(name);
    }
    names
}

/// Reads the name at an offset; returns it, unless it is none, and what comes after it.
fn compressed_name(option: &[u8], start: usize) -> Option<(Option<DomainName>, usize)> {
    let mut labels: Vec<&[u8]> = Vec::new();
    let (mut at, mut after, mut jumps) = (start, None, 0);
    loop {
        let length = *option.get(at)?;
        match length {
            0 => {
                let name = DomainName::from_labels(labels).ok();
                return Some((name, after.unwrap_or(at + 1)));
            }
            1..64 => {
                let end = at + 1 + usize::from(length);
                labels.push(option.get(at + 1..end)?);
                at = end;
            }
            0xc0.. => {
                let low = *option.get(at + 1)?;
                after = after.or(Some(at + 2));
                jumps += 1;
                let to = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                // Backwards only (RFC 1035 §4.1.4: "prior occurrence"), and bounded: no loop.
                if jumps > MAX_JUMPS || to >= at {
                    return None;
                }
                at = to;
            }
            64..0xc0 => return None,
        }
        if labels.len() > 128 {
            return None;
        }
    }
}
