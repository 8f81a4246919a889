//! How is a DHCPv4 message read and written? [`Reply`] and [`Request`]; the only file that knows the DHCP library.
//!
//! The library panics on some fields, reads over the end of short options and has a wrong number for one. So it never sees what
//! came from the network: the message is checked and walked first, and a message made of the sound options alone is given to
//! it. What it does not know, or knows wrong, is read in [`super::options`].

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use config::matcher::Mac;
use config::model::{Dhcp4Settings, DnsUpdate};
use config::name::DomainName;
use dhcproto::v4::{self, DhcpOption, OptionCode, UnknownOption};
use dhcproto::{Decodable as _, Encodable as _};

#[cfg(test)]
use super::options;
use super::options::{END, HEADER, Options, code, is_host};

/// BOOTREPLY.
const REPLY: u8 = 2;
/// Hardware type and length of Ethernet.
const ETHERNET: [u8; 2] = [1, 6];
/// Relays and servers of BOOTP's time drop shorter messages (RFC 1542 §2.1).
const LEAST_MESSAGE: usize = 300;
/// The longest message that is taken (option 57): what fits into an Ethernet frame with its headers.
const MAX_MESSAGE_SIZE: u16 = 1472;
/// Of the 64 octets that BOOTP has for options the cookie, a head and the end take some.
const MAX_PLAIN_NAME: usize = 57;
/// Octets of a list that are given to the library: what fits into one option.
const MAX_LIST: usize = 240;

/// A server's message to this client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// What it is.
    pub(crate) kind: ReplyKind,
    /// `yiaddr`.
    pub(crate) address: Ipv4Addr,
    /// Option 54; of a BOOTP server without one, who has sent it ([`Reply::came_from`]), or else `siaddr`.
    pub(crate) server: Ipv4Addr,
    /// Options 51, 58, 59, in seconds.
    pub(crate) lease_time: Option<u32>,
    /// Option 58.
    pub(crate) renewal: Option<u32>,
    /// Option 59.
    pub(crate) rebinding: Option<u32>,
    /// Option 1, as a length.
    pub(crate) length: Option<u8>,
    /// Option 3.
    pub(crate) routers: Vec<Ipv4Addr>,
    /// Option 6.
    pub(crate) resolvers: Vec<Ipv4Addr>,
    /// Option 42.
    pub(crate) time_servers: Vec<Ipv4Addr>,
    /// Option 26.
    pub(crate) mtu: Option<u16>,
    /// Option 61, which a server repeats (RFC 6842).
    pub(crate) client_id: Option<Vec<u8>>,
    /// Option 80.
    pub(crate) rapid_commit: bool,
    /// `giaddr`: whether it came by a relay.
    pub(crate) is_relayed: bool,
    /// Everything.
    pub(crate) options: Options,
}

/// What a server's message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReplyKind {
    /// DHCPOFFER.
    Offer,
    /// DHCPACK.
    Ack,
    /// DHCPNAK.
    Nak,
    /// BOOTREPLY of a server that does not know DHCP (RFC 1534 §2).
    Boot,
}

/// For whom a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addressee {
    /// The transaction.
    pub(crate) xid: u32,
    /// The hardware address.
    pub(crate) mac: Mac,
}

impl Addressee {
    /// Returns for whom a message is, without reading it; `None` for what is no reply to an Ethernet client.
    pub(crate) fn of(message: &[u8]) -> Option<Self> {
        let header = message.first_chunk::<HEADER>()?;
        if header[0] != REPLY || header[1..3] != ETHERNET {
            return None;
        }
        let xid = header.get(4..)?.first_chunk::<4>()?;
        let mac = header.get(28..)?.first_chunk::<6>()?;
        Some(Self {
            xid: u32::from_be_bytes(*xid),
            mac: Mac(*mac),
        })
    }
}

impl Reply {
    /// Reads a message; `None` when it is no OFFER, ACK or NAK in the form of RFC 2131, and no BOOTREPLY in that of RFC 1497. Whom it is for is
    /// another question
    /// ([`Addressee::of`]).
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let Addressee { .. } = Addressee::of(message)?;
        let options = Options::find(message)?;
        let typed = decode(message, &options)?;
        let found = typed.opts();
        let is_a = |kind| found.has_msg_type(kind);
        let kind = if options.get(code::MESSAGE_TYPE).is_none() {
            ReplyKind::Boot
        } else if is_a(v4::MessageType::Offer) {
            ReplyKind::Offer
        } else if is_a(v4::MessageType::Ack) {
            ReplyKind::Ack
        } else if is_a(v4::MessageType::Nak) {
            ReplyKind::Nak
        } else {
            return None;
        };
        let server = match found.get(OptionCode::ServerIdentifier) {
            Some(DhcpOption::ServerIdentifier(server)) => *server,
            _ if kind == ReplyKind::Boot => typed.siaddr(),
            // RFC 2131 table 3: a server's message names its server.
            _ => return None,
        };
        let seconds = |code| {
            if let Some(
                DhcpOption::AddressLeaseTime(value)
                | DhcpOption::Renewal(value)
                | DhcpOption::Rebinding(value),
            ) = found.get(code)
            {
                Some(*value)
            } else {
                None
            }
        };
        let addresses = |code| {
            if let Some(
                DhcpOption::Router(list)
                | DhcpOption::DomainNameServer(list)
                | DhcpOption::NtpServers(list),
            ) = found.get(code)
            {
                list.clone()
            } else {
                Vec::new()
            }
        };
        Some(Self {
            kind,
            address: typed.yiaddr(),
            server,
            lease_time: seconds(OptionCode::AddressLeaseTime),
            renewal: seconds(OptionCode::Renewal),
            rebinding: seconds(OptionCode::Rebinding),
            length: match found.get(OptionCode::SubnetMask) {
                Some(DhcpOption::SubnetMask(mask)) => mask_length(*mask),
                _ => None,
            },
            routers: addresses(OptionCode::Router),
            resolvers: addresses(OptionCode::DomainNameServer),
            time_servers: addresses(OptionCode::NtpServers),
            mtu: match found.get(OptionCode::InterfaceMtu) {
                Some(DhcpOption::InterfaceMtu(mtu)) => Some(*mtu),
                _ => None,
            },
            client_id: match found.get(OptionCode::ClientIdentifier) {
                Some(DhcpOption::ClientIdentifier(id)) => Some(id.clone()),
                _ => None,
            },
            rapid_commit: found.contains(OptionCode::RapidCommit),
            is_relayed: !typed.giaddr().is_unspecified(),
            options,
        })
    }
}

impl Reply {
    /// Takes who has sent it: a BOOTP server need not say who it is, and `siaddr` may be that of the files to boot from. A relay is none.
    pub(crate) fn came_from(&mut self, source: Ipv4Addr) {
        if self.options.get(code::SERVER_ID).is_none() && !self.is_relayed && is_host(source) {
            self.server = source;
        }
    }
}

/// Whether the library may see an option, by its length.
fn is_sound(number: u8, length: usize) -> bool {
    match number {
        code::SUBNET_MASK
        | code::LEASE_TIME
        | code::SERVER_ID
        | code::RENEWAL
        | code::REBINDING => length == 4,
        code::ROUTER | code::DOMAIN_NAME_SERVER | code::NTP_SERVERS => {
            length != 0 && length.is_multiple_of(4)
        }
        code::INTERFACE_MTU => length == 2,
        code::MESSAGE_TYPE => length == 1,
        code::RAPID_COMMIT => length == 0,
        // RFC 2132 §9.14.
        code::CLIENT_ID => (2..=255).contains(&length),
        _ => false,
    }
}

/// Gives the library a message made of the header's fixed fields and the sound options.
fn decode(message: &[u8], options: &Options) -> Option<v4::Message> {
    let mut made = message.get(..HEADER)?.to_vec();
    // `sname` and `file` are of no use to us, and were read where they held options.
    made.get_mut(44..236)?.fill(0);
    for number in [
        code::SUBNET_MASK,
        code::ROUTER,
        code::DOMAIN_NAME_SERVER,
        code::INTERFACE_MTU,
        code::NTP_SERVERS,
        code::LEASE_TIME,
        code::MESSAGE_TYPE,
        code::SERVER_ID,
        code::RENEWAL,
        code::REBINDING,
        code::CLIENT_ID,
        code::RAPID_COMMIT,
    ] {
        let Some(data) = options.get(number) else {
            continue;
        };
        if !is_sound(number, data.len()) {
            continue;
        }
        let data = match number {
            code::CLIENT_ID => data,
            _ => data.get(..MAX_LIST).unwrap_or(data),
        };
        made.extend([number, u8::try_from(data.len()).ok()?]);
        made.extend(data);
    }
    made.push(255);
    // The library has been seen to panic on other input; a lease is not worth the daemon.
    catch_unwind(AssertUnwindSafe(|| v4::Message::from_bytes(&made).ok()))
        .ok()
        .flatten()
}

/// Returns the length of a mask; `None` when its bits have gaps.
fn mask_length(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let length = bits.leading_ones();
    (bits.count_ones() == length)
        .then(|| u8::try_from(length).ok())
        .flatten()
}

/// A client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// What it is; `None` for a BOOTREQUEST, which says nothing that is DHCP's alone.
    pub(crate) kind: Option<RequestKind>,
    /// The transaction.
    pub(crate) xid: u32,
    /// Seconds since the client began to ask.
    pub(crate) seconds: u16,
    /// Whether replies must be broadcast.
    pub(crate) broadcast: bool,
    /// `ciaddr`: the address that is configured already.
    pub(crate) configured: Ipv4Addr,
    /// The hardware address.
    pub(crate) mac: Mac,
    /// Option 50.
    pub(crate) wanted: Option<Ipv4Addr>,
    /// Option 54.
    pub(crate) server: Option<Ipv4Addr>,
    /// Option 61.
    pub(crate) client_id: Arc<[u8]>,
    /// Whether two messages are enough (RFC 4039).
    pub(crate) rapid_commit: bool,
    /// Option 55; nothing in messages that ask for nothing.
    pub(crate) parameters: Vec<u8>,
    /// What is told of ourselves: options 12 or 81, 60, 77, and those by number.
    pub(crate) about: Option<Arc<Dhcp4Settings>>,
}

/// What a client's message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RequestKind {
    /// DHCPDISCOVER.
    Discover,
    /// DHCPREQUEST.
    Request,
    /// DHCPDECLINE.
    Decline,
    /// DHCPRELEASE.
    Release,
}

impl Request {
    /// Writes the message.
    pub(crate) fn emit(&self) -> Vec<u8> {
        let none = Ipv4Addr::UNSPECIFIED;
        let mac = &self.mac.0;
        let mut message =
            v4::Message::new_with_id(self.xid, self.configured, none, none, none, mac);
        message.set_secs(self.seconds);
        if self.broadcast {
            message.set_flags(v4::Flags::default().set_broadcast());
        }
        let options = message.opts_mut();
        if let Some(kind) = self.kind {
            self.ask_by_dhcp(kind, options);
        }
        if let Some(about) = &self.about {
            introduce(about, self.kind.is_some(), options);
        }
        // Writing into memory fails for options above 255 octets only, of which there are none.
        let mut octets = message.to_vec().unwrap_or_default();
        if let Some(about) = &self.about {
            add_own(about, &mut octets);
        }
        // Where there are no options the library ends none.
        if octets.len() == HEADER {
            octets.push(END);
        }
        octets.resize(octets.len().max(LEAST_MESSAGE), 0);
        octets
    }

    fn ask_by_dhcp(&self, kind: RequestKind, options: &mut v4::DhcpOptions) {
        options.insert(DhcpOption::MessageType(match kind {
            RequestKind::Discover => v4::MessageType::Discover,
            RequestKind::Request => v4::MessageType::Request,
            RequestKind::Decline => v4::MessageType::Decline,
            RequestKind::Release => v4::MessageType::Release,
        }));
        options.insert(DhcpOption::ClientIdentifier(self.client_id.to_vec()));
        if let Some(wanted) = self.wanted {
            options.insert(DhcpOption::RequestedIpAddress(wanted));
        }
        if let Some(server) = self.server {
            options.insert(DhcpOption::ServerIdentifier(server));
        }
        if self.rapid_commit {
            options.insert(DhcpOption::RapidCommit);
        }
        if !self.parameters.is_empty() {
            let codes = self.parameters.iter().copied().map(OptionCode::from);
            options.insert(DhcpOption::ParameterRequestList(codes.collect()));
            options.insert(DhcpOption::MaxMessageSize(MAX_MESSAGE_SIZE));
        }
    }
}

/// Says who we are, as far as somebody wants that. BOOTP has 64 octets for it (RFC 951), and knows plain names alone.
fn introduce(about: &Dhcp4Settings, by_dhcp: bool, options: &mut v4::DhcpOptions) {
    if let Some(class) = &about.vendor_class {
        options.insert(DhcpOption::ClassIdentifier(class.as_bytes().to_vec()));
    }
    let hostname = about.hostname.as_deref();
    if !by_dhcp {
        let name = hostname.map(|name| name.trim_end_matches('.'));
        if let Some(name) = name.filter(|name| (1..=MAX_PLAIN_NAME).contains(&name.len())) {
            options.insert(DhcpOption::Hostname(name.to_owned()));
        }
        return;
    }
    if let Some(option) = hostname.and_then(|name| name_option(name, about.dns_update)) {
        options.insert(option);
    }
    // RFC 3004 §4.
    let classes = about.user_class.iter().filter_map(|class| {
        let length = u8::try_from(class.len()).ok()?;
        Some(std::iter::once(length).chain(class.bytes()))
    });
    let classes: Vec<u8> = classes.flatten().collect();
    if (1..=255).contains(&classes.len()) {
        options.insert(by_number(code::USER_CLASS, classes));
    }
}

/// Adds options by number before the end of a message. The library leaves out those without octets.
fn add_own(about: &Dhcp4Settings, message: &mut Vec<u8>) {
    message.pop_if(|last| *last == END);
    for (number, octets) in &about.own.send {
        if let (Ok(number), Ok(length)) = (u8::try_from(*number), u8::try_from(octets.len())) {
            message.extend([number, length]);
            message.extend(&octets[..]);
        }
    }
    message.push(END);
}

fn by_number(number: u8, octets: Vec<u8>) -> DhcpOption {
    DhcpOption::Unknown(UnknownOption::new(number.into(), octets))
}

/// Returns the flags that say who writes a name into DNS: the lowest bits of options 81 and 39, which have different ones (`n`) for that
/// nobody does (RFC 4702 §2.1, RFC 4704 §4.1).
pub(crate) const fn update_flags(update: DnsUpdate, n: u8) -> u8 {
    match update {
        DnsUpdate::Server => 1,
        DnsUpdate::Client => 0,
        DnsUpdate::Nobody => n,
    }
}

/// Option 81 (RFC 4702) for a name with a domain, which the server puts into DNS, or where somebody says who does; otherwise
/// option 12 for a single label. Never both: a server that has both ignores the latter (RFC 4702 §3.1).
fn name_option(name: &str, update: DnsUpdate) -> Option<DhcpOption> {
    /// The name is in wire form, and nobody updates anything (RFC 4702 §2.1).
    const E: u8 = 0b0100;
    const N: u8 = 0b1000;
    let domain: DomainName = name
        .parse()
        .ok()
        .filter(|name: &DomainName| !name.is_root())?;
    if domain.label_count() == 1 && update == DnsUpdate::Server {
        return Some(DhcpOption::Hostname(name.trim_end_matches('.').to_owned()));
    }
    let mut data = vec![E | update_flags(update, N), 0, 0];
    let wire = domain.as_wire();
    // RFC 4702 §2.3.1: a name without its domain is not ended by a root label.
    let end = wire.len() - usize::from(domain.label_count() == 1);
    data.extend(wire.get(..end)?);
    (data.len() <= 255).then(|| by_number(code::FQDN, data))
}

/// What is asked for, in the order of RFC 3442 §2: classless routes before those that they replace.
pub(crate) fn parameters(settings: &Dhcp4Settings) -> Vec<u8> {
    let ipv6_only = settings.ipv6_only;
    if settings.anonymous {
        // RFC 7844 §3.6: what is needed, in an order that tells nothing.
        let least = [
            code::SUBNET_MASK,
            code::ROUTER,
            code::DOMAIN_NAME_SERVER,
            code::DOMAIN_NAME,
            code::CLASSLESS_ROUTES,
        ];
        let ipv6_only = ipv6_only.then_some(code::IPV6_ONLY);
        let mut all: Vec<u8> = least.into_iter().chain(ipv6_only).collect();
        all.sort_unstable();
        return all;
    }
    let mut all = vec![
        code::SUBNET_MASK,
        code::CLASSLESS_ROUTES,
        code::CLASSLESS_ROUTES_OLD,
        code::STATIC_ROUTES,
        code::ROUTER,
        code::DOMAIN_NAME_SERVER,
        code::DNR,
        code::DOMAIN_NAME,
        code::DOMAIN_SEARCH,
        code::INTERFACE_MTU,
        code::NTP_SERVERS,
        code::CAPTIVE_PORTAL,
        code::LEASE_TIME,
        code::RENEWAL,
        code::REBINDING,
    ];
    if ipv6_only {
        all.push(code::IPV6_ONLY);
    }
    for number in &settings.own.request {
        if let Ok(number) = u8::try_from(*number)
            && !all.contains(&number)
        {
            all.push(number);
        }
    }
    all
}

#[cfg(test)]
pub(crate) mod tests;
