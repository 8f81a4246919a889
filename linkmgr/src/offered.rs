//! How is read what routers and servers say in the same way? Names, encrypted resolvers (RFC 9463), a portal's address (RFC 8910).
//!
//! All of it comes from whoever is on the link: what is not plain text is passed over, and numbers are bounded.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use config::model::{Transport, Upstream};
use config::name::DomainName;
use policy::facts::Supply;

use crate::octets::Reader;

/// Addresses that are taken of one encrypted resolver.
const ADDRESSES_MAX: usize = 4;
/// Names that are taken of one list.
const NAMES_MAX: usize = 16;
/// Octets of the longest URI that is taken: longer ones serve nobody.
const URI_MAX: usize = 512;
/// What says that there is no portal (RFC 8910 §2).
const UNRESTRICTED: &str = "urn:ietf:params:capport:unrestricted";

/// Keys of service parameters (RFC 9460 §14.3.2, RFC 9461 §5).
mod key {
    pub(super) const ALPN: u16 = 1;
    pub(super) const PORT: u16 = 3;
    pub(super) const DOHPATH: u16 = 7;
}

/// Reads names in wire form, one after another (RFC 1035 §3.1, not compressed); reading ends at what is no name, and at padding.
pub(crate) fn names(octets: &[u8]) -> Vec<DomainName> {
    let mut reader = Reader::new(octets);
    let mut names = Vec::new();
    while let Ok(name) = DomainName::from_wire(reader.rest()) {
        if name.is_root() || reader.take(name.as_wire().len()).is_none() {
            break;
        }
        if is_host_like(&name) && !names.contains(&name) && names.len() < NAMES_MAX {
            names.push(name);
        }
    }
    names
}

/// Whether a name has nothing in it that a terminal or a resolv.conf would take for something else.
pub(crate) fn is_host_like(name: &DomainName) -> bool {
    let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    !name.is_root() && name.labels().all(|label| label.iter().all(is_plain))
}

/// What an address of a portal's API says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Portal {
    /// That there is none.
    None,
    /// Where it is.
    At(Arc<str>),
}

/// Reads a portal's address; `None` when it is none that can be shown and asked.
pub(crate) fn portal(octets: &[u8]) -> Option<Portal> {
    let end = octets
        .iter()
        .rposition(|octet| *octet != 0)
        .map_or(0, |last| last + 1);
    let text = std::str::from_utf8(octets.get(..end)?).ok()?;
    if text == UNRESTRICTED {
        return Some(Portal::None);
    }
    // RFC 8908 §4: the API is asked by HTTPS. A URI is visible ASCII; quotes and the like would have been escaped.
    let good = text.len() <= URI_MAX
        && (text.starts_with("https://") || text.starts_with("http://"))
        && text.bytes().all(|octet| octet.is_ascii_graphic())
        && !text.contains(['"', '\'', '<', '>', '\\', '`']);
    good.then(|| Portal::At(text.into()))
}

/// An encrypted resolver that the network offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Designated {
    /// Lower is preferred.
    pub priority: u16,
    /// The name in its certificate.
    pub name: DomainName,
    /// Its addresses.
    pub addresses: Vec<Ipv6Addr>,
    /// How it is asked.
    pub transport: Transport,
    /// At which port.
    pub port: u16,
    /// The path for HTTPS.
    pub path: Option<Arc<str>>,
}

impl Designated {
    /// Reads name, addresses and parameters as RFC 9463 §4.1 and §6.1 lay them out. `parameters` says where the parameters end:
    /// at the end of all (DHCPv6), or where their own length says (router advertisements, which pad).
    pub(crate) fn parse(priority: u16, octets: &[u8], parameters: Parameters) -> Option<Self> {
        let mut reader = Reader::new(octets);
        let wire = reader.counted()?;
        let name = DomainName::from_wire(wire).ok()?;
        if name.as_wire().len() != wire.len() || !is_host_like(&name) {
            return None;
        }
        // Without addresses the name would have to be asked for in the clear first.
        let addresses = reader.counted()?;
        if addresses.is_empty() || !addresses.len().is_multiple_of(16) {
            return None;
        }
        let parameters = match parameters {
            Parameters::Counted => reader.counted()?,
            Parameters::Rest => reader.rest(),
        };
        let mut list = Reader::new(addresses);
        let mut taken = Vec::new();
        while let Some(address) = list.address() {
            if is_server(address) && !taken.contains(&address) && taken.len() < ADDRESSES_MAX {
                taken.push(address);
            }
        }
        if taken.is_empty() {
            return None;
        }
        let (transport, port, path) = service(parameters)?;
        Some(Self {
            priority,
            name,
            addresses: taken,
            transport,
            port,
            path,
        })
    }

    /// Returns it as upstreams, one for each address.
    pub(crate) fn upstreams(&self, link: &Arc<str>) -> impl Iterator<Item = Upstream> {
        let name: Arc<str> = self.name.to_string().trim_end_matches('.').into();
        self.addresses.iter().map(move |address| Upstream {
            port: self.port,
            transport: self.transport,
            server_name: Some(name.clone()),
            path: self.path.clone(),
            ..upstream(*address, link)
        })
    }
}

/// Where service parameters end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameters {
    /// Where their length says.
    Counted,
    /// At the end.
    Rest,
}

/// Returns a plain upstream that was heard of on a link.
pub(crate) fn upstream(address: Ipv6Addr, link: &Arc<str>) -> Upstream {
    Upstream {
        zone: address.is_unicast_link_local().then(|| link.clone()),
        ..Upstream::plain(IpAddr::V6(address))
    }
}

/// Whether a server can be at an address. Our own loopback addresses are none of the network's business.
pub(crate) fn is_server(address: Ipv6Addr) -> bool {
    !address.is_multicast()
        && !address.is_unspecified()
        && !address.is_loopback()
        && address.to_ipv4_mapped().is_none()
}

/// Reads service parameters (RFC 9460 §2.2): the first transport that we speak, its port, its path.
pub(crate) fn service(octets: &[u8]) -> Option<(Transport, u16, Option<Arc<str>>)> {
    let mut reader = Reader::new(octets);
    let (mut transports, mut port, mut path) = (Vec::new(), None, None);
    let mut last = None;
    while !reader.is_done() {
        let number = reader.word()?;
        let value = reader.counted()?;
        // Ascending, each once (RFC 9460 §2.2).
        if last.is_some_and(|last| number <= last) {
            return None;
        }
        last = Some(number);
        match number {
            key::ALPN => transports = protocols(value)?,
            key::PORT => {
                port = Some(u16::from_be_bytes(value.try_into().ok()?)).filter(|port| *port != 0);
                port?;
            }
            key::DOHPATH => path = Some(doh_path(value)?),
            _ => {}
        }
    }
    let speakable = |transport: &&Transport| !transport.is_http() || path.is_some();
    // HTTP/3 beside others is left to what is decided for all HTTPS upstreams alike.
    let mut usual = transports.iter().filter(speakable);
    let transport = *usual
        .find(|transport| **transport != Transport::H3)
        .or_else(|| transports.iter().find(speakable))?;
    let path = path.filter(|_| transport.is_http());
    Some((
        transport,
        port.unwrap_or_else(|| transport.default_port()),
        path,
    ))
}

/// Reads `alpn`: the transports that we speak, in the server's order.
fn protocols(value: &[u8]) -> Option<Vec<Transport>> {
    let mut reader = Reader::new(value);
    let mut transports = Vec::new();
    while !reader.is_done() {
        let length = reader.byte()?;
        match reader.take(length.into())? {
            b"dot" => transports.push(Transport::Tls),
            b"h2" => transports.push(Transport::Https),
            b"doq" => transports.push(Transport::Quic),
            b"h3" => transports.push(Transport::H3),
            _ => {}
        }
    }
    Some(transports)
}

/// Reads `dohpath`: a relative URI template (RFC 9461 §5), of which a POST takes the path.
fn doh_path(value: &[u8]) -> Option<Arc<str>> {
    let template = std::str::from_utf8(value).ok()?;
    let path = template.split('{').next()?;
    let good = path.starts_with('/')
        && path.len() <= URI_MAX
        && path
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'?' | b'#' | b'@'));
    good.then(|| path.into())
}

/// Returns what is left of a supply while nobody knows in which network the link is: nothing that a name could be sent to.
pub(crate) fn without_names(supply: Supply) -> Supply {
    Supply {
        upstreams: Vec::new(),
        search: Vec::new(),
        pref64: Vec::new(),
        portal: None,
        time_servers: Vec::new(),
        ..supply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(parameters: &[u8]) -> Vec<u8> {
        let mut octets = vec![0, 13];
        octets.extend(b"\x03dns\x07example\x00");
        octets.extend([0, 16]);
        octets.extend("2001:db8::53".parse::<Ipv6Addr>().unwrap().octets());
        octets.extend(parameters);
        octets
    }

    #[test]
    fn an_encrypted_resolver_has_the_first_transport_that_can_be_spoken() {
        let rows: [(&[u8], Option<&str>); 9] = [
            (
                b"\0\x01\0\x04\x03dot",
                Some("tls://[2001:db8::53]:853#dns.example"),
            ),
            (
                b"\0\x01\0\x04\x03doq\0\x03\0\x02\x03\x56",
                Some("quic://[2001:db8::53]:854#dns.example"),
            ),
            (
                b"\0\x01\0\x03\x02h2\0\x07\0\x0e/dns-query{?a}",
                Some("https://dns.example/dns-query"),
            ),
            (
                b"\0\x01\0\x06\x02h3\x02h2\0\x07\0\x0e/dns-query{?a}",
                Some("https://dns.example/dns-query"),
            ),
            (
                b"\0\x01\0\x03\x02h3\0\x07\0\x0e/dns-query{?a}",
                Some("h3://dns.example/dns-query"),
            ),
            // HTTPS without a path.
            (b"\0\x01\0\x03\x02h2", None),
            (b"\0\x01\0\x03\x02h3", None),
            // Out of order.
            (b"\0\x03\0\x02\x03\x56\0\x01\0\x04\x03dot", None),
            (b"", None),
        ];
        for (parameters, expected) in rows {
            let read = Designated::parse(1, &encrypted(parameters), Parameters::Rest);
            let text = read.map(|read| {
                let upstream = read.upstreams(&"eth0".into()).next().unwrap();
                assert_eq!(upstream.server_name.as_deref(), Some("dns.example"));
                (upstream.transport, upstream.port, upstream.path)
            });
            let wanted = expected.map(|text| match text {
                text if text.starts_with("tls") => (Transport::Tls, 853, None),
                text if text.starts_with("quic") => (Transport::Quic, 854, None),
                text if text.starts_with("h3") => (Transport::H3, 443, Some("/dns-query".into())),
                _ => (Transport::Https, 443, Some("/dns-query".into())),
            });
            assert_eq!(text, wanted, "{parameters:?}");
        }
    }

    #[test]
    fn names_end_at_padding_and_what_is_no_host_name_is_passed_over() {
        let read = names(b"\x04corp\x07example\0\x03a\x1bb\0\x04home\0\0\0\0");
        let read: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(read.len(), 2, "{read:?}");
        assert!(read[0].starts_with("corp.example"));
        assert!(names(b"\xc0\x00").is_empty(), "a pointer is no name here");
    }

    #[test]
    fn a_portal_is_a_plain_uri_or_none() {
        assert_eq!(portal(UNRESTRICTED.as_bytes()), Some(Portal::None));
        assert_eq!(
            portal(b"https://portal.example/api\0\0"),
            Some(Portal::At("https://portal.example/api".into()))
        );
        for bad in [
            &b"ftp://a"[..],
            b"https://a\x1b[2J",
            b"https://a\"b",
            b"",
            b"\xff",
        ] {
            assert_eq!(portal(bad), None);
        }
    }
}
