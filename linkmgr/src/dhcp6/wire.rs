//! What does a DHCPv6 message say, and how is one written? [`Message::parse`] and [`Writer`] (RFC 8415 §7, §8, §21).
//!
//! Any octets are read without a panic. Options nest three deep (IA, lease, status) and are read by three functions, each with its
//! own list of what may be in it: nothing here calls itself, however deep a packet nests.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use config::model::Prefix;
use config::name::DomainName;

use crate::octets::{Lifetime, Reader};
use crate::offered::{self, Designated, Parameters, Portal};

/// The longest message that is read: no server needs more, and fragments make any length.
pub const MESSAGE_MAX: usize = 9000;
/// Things of one kind that are read from one message.
const EACH_MAX: usize = 16;
/// Octets of a server's words that are kept.
const TEXT_MAX: usize = 128;
/// Octets of a DUID (RFC 8415 §11.1).
pub(super) const DUID_LENGTHS: std::ops::RangeInclusive<usize> = 3..=130;

/// Numbers of options.
pub(super) mod option {
    pub(in crate::dhcp6) const CLIENT_ID: u16 = 1;
    pub(in crate::dhcp6) const SERVER_ID: u16 = 2;
    pub(in crate::dhcp6) const IA_NA: u16 = 3;
    pub(in crate::dhcp6) const IA_ADDRESS: u16 = 5;
    pub(in crate::dhcp6) const REQUESTED: u16 = 6;
    pub(in crate::dhcp6) const PREFERENCE: u16 = 7;
    pub(in crate::dhcp6) const ELAPSED: u16 = 8;
    pub(in crate::dhcp6) const AUTH: u16 = 11;
    pub(in crate::dhcp6) const STATUS: u16 = 13;
    pub(in crate::dhcp6) const RAPID_COMMIT: u16 = 14;
    pub(in crate::dhcp6) const USER_CLASS: u16 = 15;
    pub(in crate::dhcp6) const RECONFIGURE: u16 = 19;
    pub(in crate::dhcp6) const RECONFIGURE_ACCEPT: u16 = 20;
    pub(in crate::dhcp6) const DNS: u16 = 23;
    pub(in crate::dhcp6) const SEARCH: u16 = 24;
    pub(in crate::dhcp6) const IA_PD: u16 = 25;
    pub(in crate::dhcp6) const IA_PREFIX: u16 = 26;
    pub(in crate::dhcp6) const SNTP: u16 = 31;
    pub(in crate::dhcp6) const REFRESH: u16 = 32;
    pub(in crate::dhcp6) const FQDN: u16 = 39;
    pub(in crate::dhcp6) const NTP: u16 = 56;
    pub(in crate::dhcp6) const PD_EXCLUDE: u16 = 67;
    pub(in crate::dhcp6) const SOL_MAX_RT: u16 = 82;
    pub(in crate::dhcp6) const INF_MAX_RT: u16 = 83;
    pub(in crate::dhcp6) const PORTAL: u16 = 103;
    pub(in crate::dhcp6) const DNR: u16 = 144;
    pub(in crate::dhcp6) const REGISTRATION: u16 = 148;
}

/// What kind of message it is (RFC 8415 §7.3, RFC 9686 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum MessageType {
    /// Who has addresses?
    Solicit,
    /// A server has.
    Advertise,
    /// Give me those.
    Request,
    /// Are these still right here?
    Confirm,
    /// Prolong these, server.
    Renew,
    /// Prolong these, anybody.
    Rebind,
    /// What a server says.
    Reply,
    /// I am done with these.
    Release,
    /// Somebody else has these.
    Decline,
    /// Ask me again.
    Reconfigure,
    /// What else is there?
    InformationRequest,
    /// I made this address.
    AddrRegInform,
    /// It is noted.
    AddrRegReply,
}

impl MessageType {
    const NUMBERS: [(u8, Self); 13] = [
        (1, Self::Solicit),
        (2, Self::Advertise),
        (3, Self::Request),
        (4, Self::Confirm),
        (5, Self::Renew),
        (6, Self::Rebind),
        (7, Self::Reply),
        (8, Self::Release),
        (9, Self::Decline),
        (10, Self::Reconfigure),
        (11, Self::InformationRequest),
        (36, Self::AddrRegInform),
        (37, Self::AddrRegReply),
    ];

    pub(super) fn from_number(number: u8) -> Option<Self> {
        let mut rows = Self::NUMBERS.iter();
        rows.find(|row| row.0 == number).map(|row| row.1)
    }

    pub(super) fn number(self) -> u8 {
        let mut rows = Self::NUMBERS.iter();
        rows.find(|row| row.1 == self).map_or(0, |row| row.0)
    }
}

/// Why a server cannot help (RFC 8415 §21.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The code.
    pub code: StatusCode,
    /// The server's words, made fit to be shown.
    pub text: Arc<str>,
}

/// Codes of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusCode {
    /// All is well.
    Success,
    /// It does not say.
    UnspecFail,
    /// There are no addresses.
    NoAddrsAvail,
    /// It knows nothing of these leases.
    NoBinding,
    /// They do not fit this link.
    NotOnLink,
    /// Send by multicast.
    UseMulticast,
    /// There are no prefixes.
    NoPrefixAvail,
    /// Another one.
    Other(u16),
}

/// A message, as far as a client understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its kind.
    pub kind: MessageType,
    /// 24 bits that a reply has of its question.
    pub transaction: u32,
    /// Whom it is for.
    pub client: Option<Vec<u8>>,
    /// Whom it is from.
    pub server: Option<Vec<u8>>,
    /// Higher is better.
    pub preference: u8,
    /// How it went as a whole.
    pub status: Option<Status>,
    /// Whether it ends an exchange of two messages.
    pub rapid_commit: bool,
    /// What a Reconfigure asks for.
    pub reconfigure: Option<MessageType>,
    /// IA_NA and IA_PD.
    pub associations: Vec<Association>,
    /// The authentication option, whole.
    pub authentication: Option<Vec<u8>>,
    /// Resolvers.
    pub resolvers: Vec<Ipv6Addr>,
    /// Search suffixes.
    pub search: Vec<DomainName>,
    /// Encrypted resolvers.
    pub encrypted: Vec<Designated>,
    /// Time servers.
    pub time_servers: Vec<Ipv6Addr>,
    pub(crate) portal: Option<Portal>,
    /// When to ask for information again, in seconds.
    pub refresh: Option<u32>,
    /// The longest wait between two Solicits, in seconds.
    pub sol_max_rt: Option<u32>,
    /// The longest wait between two Information-requests, in seconds.
    pub inf_max_rt: Option<u32>,
    /// Whether addresses that hosts make are to be registered.
    pub registration: bool,
    /// The address that a registration is about.
    pub address: Option<Ipv6Addr>,
}

/// What an identity association is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// Addresses (IA_NA).
    Addresses,
    /// Prefixes to hand on (IA_PD).
    Prefixes,
}

/// An identity association (RFC 8415 §21.4, §21.21).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Association {
    /// What it is for.
    pub sort: Sort,
    /// Its number, which is the client's.
    pub iaid: u32,
    /// When to renew; zero leaves it to the client.
    pub t1: Lifetime,
    /// When to rebind; zero leaves it to the client.
    pub t2: Lifetime,
    /// How it went.
    pub status: Option<Status>,
    /// The leases.
    pub leases: Vec<OfferedLease>,
}

/// An address or a prefix in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedLease {
    /// The prefix; an address has the length 128.
    pub prefix: Prefix,
    /// How long new connections may begin with it; never longer than `valid`.
    pub preferred: Lifetime,
    /// How long it may be used; zero takes it back.
    pub valid: Lifetime,
    /// The part that may not be handed on (RFC 6603).
    pub excluded: Option<Prefix>,
}

impl Message {
    /// Reads a message to a client; `None` when it is none, or is cut short. An option that makes no sense costs only itself.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        if octets.len() > MESSAGE_MAX {
            return None;
        }
        let mut reader = Reader::new(octets);
        let [number, a, b, c] = reader.array()?;
        let mut message = Self {
            kind: MessageType::from_number(number)?,
            transaction: u32::from_be_bytes([0, a, b, c]),
            client: None,
            server: None,
            preference: 0,
            status: None,
            rapid_commit: false,
            reconfigure: None,
            associations: Vec::new(),
            authentication: None,
            resolvers: Vec::new(),
            search: Vec::new(),
            encrypted: Vec::new(),
            time_servers: Vec::new(),
            portal: None,
            refresh: None,
            sol_max_rt: None,
            inf_max_rt: None,
            registration: false,
            address: None,
        };
        while let Some((number, value)) = next_option(&mut reader)? {
            // What is not understood is passed over.
            let _understood: Option<()> = message.option(number, value);
        }
        Some(message)
    }

    fn option(&mut self, number: u16, value: &[u8]) -> Option<()> {
        match number {
            option::CLIENT_ID => first(&mut self.client, duid(value)?),
            option::SERVER_ID => first(&mut self.server, duid(value)?),
            option::PREFERENCE => self.preference = *value.first()?,
            option::STATUS => first(&mut self.status, status(value)?),
            option::RAPID_COMMIT => self.rapid_commit = true,
            option::RECONFIGURE => {
                self.reconfigure = MessageType::from_number(*value.first()?);
            }
            option::IA_NA => push(&mut self.associations, addresses(value)?),
            option::IA_PD => push(&mut self.associations, prefixes(value)?),
            option::AUTH => first(&mut self.authentication, value.to_vec()),
            option::DNS => servers(value, &mut self.resolvers),
            option::SEARCH => offered::names(value)
                .into_iter()
                .for_each(|name| push(&mut self.search, name)),
            option::SNTP => servers(value, &mut self.time_servers),
            option::NTP => time_servers(value, &mut self.time_servers)?,
            option::PORTAL => first(&mut self.portal, offered::portal(value)?),
            option::REFRESH => self.refresh = Some(Reader::new(value).long()?),
            // RFC 8415 §21.24, §21.25: a minute to a day, or not at all.
            option::SOL_MAX_RT => self.sol_max_rt = Some(longest_wait(value)?),
            option::INF_MAX_RT => self.inf_max_rt = Some(longest_wait(value)?),
            option::DNR => {
                let mut reader = Reader::new(value);
                let priority = reader.word()?;
                let read = Designated::parse(priority, reader.rest(), Parameters::Rest)?;
                push(&mut self.encrypted, read);
            }
            option::REGISTRATION => self.registration = true,
            option::IA_ADDRESS => first(&mut self.address, Reader::new(value).address()?),
            _ => {}
        }
        Some(())
    }

    /// Returns the association of this sort and number.
    pub(super) fn association(&self, sort: Sort, iaid: u32) -> Option<&Association> {
        let mut all = self.associations.iter();
        all.find(|one| one.sort == sort && one.iaid == iaid)
    }
}

/// Returns an option of a whole message by its number, as it came; the first, where there are several.
pub(super) fn find(message: &[u8], wanted: u16) -> Option<&[u8]> {
    // Type and transaction come before.
    let mut reader = Reader::new(message.get(4..)?);
    while let Some((number, value)) = next_option(&mut reader)? {
        if number == wanted {
            return Some(value);
        }
    }
    None
}

/// Takes the next option; `Some(None)` at the end, `None` when it is cut short.
fn next_option<'a>(reader: &mut Reader<'a>) -> Option<Option<(u16, &'a [u8])>> {
    if reader.is_done() {
        return Some(None);
    }
    let number = reader.word()?;
    Some(Some((number, reader.counted()?)))
}

/// RFC 8415 §16: of an option that may be there once, the first counts.
fn first<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}

/// Adds what there is room for.
fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < EACH_MAX && !list.contains(&item) {
        list.push(item);
    }
}

fn duid(value: &[u8]) -> Option<Vec<u8>> {
    DUID_LENGTHS.contains(&value.len()).then(|| value.to_vec())
}

fn longest_wait(value: &[u8]) -> Option<u32> {
    let seconds = Reader::new(value).long()?;
    (60..=86400).contains(&seconds).then_some(seconds)
}

fn servers(value: &[u8], list: &mut Vec<Ipv6Addr>) {
    let mut reader = Reader::new(value);
    while let Some(address) = reader.address() {
        if offered::is_server(address) {
            push(list, address);
        }
    }
}

/// RFC 5908 §4: addresses are suboption 1; multicast and names are left out.
fn time_servers(value: &[u8], list: &mut Vec<Ipv6Addr>) -> Option<()> {
    let mut reader = Reader::new(value);
    while let Some((number, value)) = next_option(&mut reader)? {
        if number == 1 {
            servers(value, list);
        }
    }
    Some(())
}

fn status(value: &[u8]) -> Option<Status> {
    let mut reader = Reader::new(value);
    let code = match reader.word()? {
        0 => StatusCode::Success,
        1 => StatusCode::UnspecFail,
        2 => StatusCode::NoAddrsAvail,
        3 => StatusCode::NoBinding,
        4 => StatusCode::NotOnLink,
        5 => StatusCode::UseMulticast,
        6 => StatusCode::NoPrefixAvail,
        other => StatusCode::Other(other),
    };
    let text = String::from_utf8_lossy(reader.rest());
    let text: String = text
        .chars()
        .filter(|one| !one.is_control())
        .take(TEXT_MAX)
        .collect();
    Some(Status {
        code,
        text: text.into(),
    })
}

fn addresses(value: &[u8]) -> Option<Association> {
    association(Sort::Addresses, value, |number, value| {
        (number == option::IA_ADDRESS).then(|| address(value))?
    })
}

fn prefixes(value: &[u8]) -> Option<Association> {
    association(Sort::Prefixes, value, |number, value| {
        (number == option::IA_PREFIX).then(|| prefix(value))?
    })
}

fn association(
    sort: Sort,
    value: &[u8],
    lease: fn(u16, &[u8]) -> Option<OfferedLease>,
) -> Option<Association> {
    let mut reader = Reader::new(value);
    let mut read = Association {
        sort,
        iaid: reader.long()?,
        t1: Lifetime(reader.long()?),
        t2: Lifetime(reader.long()?),
        status: None,
        leases: Vec::new(),
    };
    // RFC 8415 §21.4: with T1 beyond T2 the whole association is to be ignored.
    if !read.t2.is_zero() && read.t1 > read.t2 {
        return None;
    }
    while let Some((number, value)) = next_option(&mut reader)? {
        if number == option::STATUS {
            first(&mut read.status, status(value)?);
        } else if let Some(lease) = lease(number, value) {
            push(&mut read.leases, lease);
        }
    }
    Some(read)
}

fn address(value: &[u8]) -> Option<OfferedLease> {
    let mut reader = Reader::new(value);
    let address = reader.address()?;
    let (preferred, valid) = lifetimes(&mut reader)?;
    let good = offered::is_server(address) && !address.is_unicast_link_local();
    (good && is_granted(&mut reader)?).then_some(OfferedLease {
        prefix: Prefix {
            address: IpAddr::V6(address),
            length: 128,
        },
        preferred,
        valid,
        excluded: None,
    })
}

fn prefix(value: &[u8]) -> Option<OfferedLease> {
    let mut reader = Reader::new(value);
    let (preferred, valid) = lifetimes(&mut reader)?;
    let length = reader.byte()?;
    let address = reader.address()?;
    // What is handed on are prefixes of 64 bits, and more than a /16 is nobody's to delegate.
    let good = (16..=64).contains(&length)
        && offered::is_server(address)
        && !address.is_unicast_link_local();
    if !good {
        return None;
    }
    let prefix = Prefix {
        address: IpAddr::V6(address),
        length,
    }
    .network();
    let mut excluded = None;
    let mut granted = true;
    while let Some((number, value)) = next_option(&mut reader)? {
        match number {
            option::STATUS => granted &= status(value)?.code == StatusCode::Success,
            option::PD_EXCLUDE => first(&mut excluded, exclude(prefix, value)?),
            _ => {}
        }
    }
    granted.then_some(OfferedLease {
        prefix,
        preferred,
        valid,
        excluded,
    })
}

fn lifetimes(reader: &mut Reader<'_>) -> Option<(Lifetime, Lifetime)> {
    let (preferred, valid) = (Lifetime(reader.long()?), Lifetime(reader.long()?));
    // RFC 8415 §21.6, §21.22.
    (preferred <= valid).then_some((preferred, valid))
}

/// Whether no status among these options denies the lease.
fn is_granted(reader: &mut Reader<'_>) -> Option<bool> {
    let mut granted = true;
    while let Some((number, value)) = next_option(reader)? {
        if number == option::STATUS {
            granted &= status(value)?.code == StatusCode::Success;
        }
    }
    Some(granted)
}

/// RFC 6603 §4.2: the bits between the two lengths, from the left.
fn exclude(within: Prefix, value: &[u8]) -> Option<Prefix> {
    let (&length, bits) = value.split_first()?;
    let IpAddr::V6(address) = within.address else {
        return None;
    };
    let count = u32::from(
        length
            .checked_sub(within.length)
            .filter(|count| *count > 0)?,
    );
    if length > 128 || u32::try_from(bits.len()).ok()? != count.div_ceil(8) {
        return None;
    }
    let mut octets = [0; 16];
    octets.get_mut(..bits.len())?.copy_from_slice(bits);
    let subnet = u128::from_be_bytes(octets) >> within.length;
    let address = Ipv6Addr::from_bits(address.to_bits() | subnet);
    Some(
        Prefix {
            address: address.into(),
            length,
        }
        .network(),
    )
}

/// A message that is being written.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Begins a message.
    pub fn new(kind: MessageType, transaction: u32) -> Self {
        let [_, a, b, c] = transaction.to_be_bytes();
        Self(vec![kind.number(), a, b, c])
    }

    /// Writes an option.
    pub fn put(&mut self, number: u16, value: &[u8]) {
        // Nothing that a client says is as long as that.
        let length = u16::try_from(value.len()).unwrap_or(0);
        self.0.extend(number.to_be_bytes());
        self.0.extend(length.to_be_bytes());
        self.0.extend(value.iter().take(length.into()));
    }

    /// Writes an identity association with leases, each with these lifetimes.
    pub fn put_association<'a>(
        &mut self,
        sort: Sort,
        iaid: u32,
        leases: impl IntoIterator<Item = &'a Prefix>,
    ) {
        let mut value = iaid.to_be_bytes().to_vec();
        // RFC 8415 §18.2: T1, T2 and lifetimes of a client's message are 0.
        value.extend([0; 8]);
        for lease in leases {
            let IpAddr::V6(address) = lease.address else {
                continue;
            };
            let (number, octets) = match sort {
                Sort::Addresses => {
                    let mut octets = address.octets().to_vec();
                    octets.extend([0; 8]);
                    (option::IA_ADDRESS, octets)
                }
                Sort::Prefixes => {
                    let mut octets = vec![0; 8];
                    octets.push(lease.length);
                    octets.extend(address.octets());
                    (option::IA_PREFIX, octets)
                }
            };
            value.extend(number.to_be_bytes());
            value.extend(u16::try_from(octets.len()).unwrap_or(0).to_be_bytes());
            value.extend(octets);
        }
        let number = match sort {
            Sort::Addresses => option::IA_NA,
            Sort::Prefixes => option::IA_PD,
        };
        self.put(number, &value);
    }

    /// Returns the message.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests;
