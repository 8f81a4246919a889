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
/// Upstreams that are made of one encrypted resolver: some of its addresses by each of its transports.
const FORMS_MAX: usize = 8;
/// Names that are taken of one list.
const NAMES_MAX: usize = 16;
/// Octets of the longest URI that is taken: longer ones serve nobody.
const URI_MAX: usize = 512;
/// What says that there is no portal (RFC 8910 §2).
const UNRESTRICTED: &str = "urn:ietf:params:capport:unrestricted";

/// Keys of service parameters (RFC 9460 §14.3.2, RFC 9461 §5).
mod key {
    pub(super) const MANDATORY: u16 = 0;
    pub(super) const ALPN: u16 = 1;
    pub(super) const NO_DEFAULT_ALPN: u16 = 2;
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
    /// How it is asked, as it prefers; one at least.
    pub services: Vec<Service>,
}

/// A way to ask an encrypted resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// By what.
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
        let services = services(parameters)?;
        Some(Self {
            priority,
            name,
            addresses: taken,
            services,
        })
    }

    /// Returns it as upstreams, one for each way to ask at each address.
    pub(crate) fn upstreams(&self, link: &Arc<str>) -> Vec<Upstream> {
        let servers = self.addresses.iter();
        let servers: Vec<_> = servers.map(|address| upstream(*address, link)).collect();
        forms(&servers, &self.name, &self.services)
    }
}

/// Returns how a resolver with this name is asked at these servers: at all of them in the way that it prefers, then in the next, so
/// that a network that stops one way leaves another.
pub(crate) fn forms(
    servers: &[Upstream],
    name: &DomainName,
    services: &[Service],
) -> Vec<Upstream> {
    let name: Arc<str> = name.to_string().trim_end_matches('.').into();
    let form = |service: &Service, server: &Upstream| Upstream {
        port: service.port,
        transport: service.transport,
        server_name: Some(name.clone()),
        path: service.path.clone(),
        ..server.clone()
    };
    let all = services
        .iter()
        .flat_map(|service| servers.iter().map(move |server| (service, server)));
    all.take(FORMS_MAX)
        .map(|(service, server)| form(service, server))
        .collect()
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

/// Reads service parameters (RFC 9460 §2.2): the transports that we speak, with port and path; `None` when there are none, or when more is
/// demanded than is known here.
pub(crate) fn services(octets: &[u8]) -> Option<Vec<Service>> {
    let mut reader = Reader::new(octets);
    let (mut transports, mut port, mut path) = (Vec::new(), None, None);
    let (mut numbers, mut demanded) = (Vec::new(), Vec::new());
    while !reader.is_done() {
        let number = reader.word()?;
        let value = reader.counted()?;
        // Ascending, each once (RFC 9460 §2.2).
        if numbers.last().is_some_and(|last| number <= *last) {
            return None;
        }
        numbers.push(number);
        match number {
            key::MANDATORY => demanded = mandatory(value)?,
            key::ALPN => transports = protocols(value)?,
            key::PORT => {
                port = Some(u16::from_be_bytes(value.try_into().ok()?)).filter(|port| *port != 0);
                port?;
            }
            key::DOHPATH => path = Some(doh_path(value)?),
            _ => {}
        }
    }
    // What is demanded must be there (RFC 9460 §8).
    if !demanded.iter().all(|number| numbers.contains(number)) {
        return None;
    }
    let service = |transport: Transport| {
        let path = match transport.is_http() {
            true => Some(path.clone()?),
            false => None,
        };
        let port = port.unwrap_or_else(|| transport.default_port());
        Some(Service {
            transport,
            port,
            path,
        })
    };
    let services: Vec<_> = transports.into_iter().filter_map(service).collect();
    (!services.is_empty()).then_some(services)
}

/// Reads `mandatory` (RFC 9460 §8): keys in ascending order, not its own; `None` when one of them is not known here.
fn mandatory(value: &[u8]) -> Option<Vec<u16>> {
    let mut reader = Reader::new(value);
    let mut numbers: Vec<u16> = Vec::new();
    while !reader.is_done() {
        let number = reader.word()?;
        let is_known = matches!(
            number,
            key::ALPN | key::NO_DEFAULT_ALPN | key::PORT | key::DOHPATH
        );
        if !is_known || numbers.last().is_some_and(|last| number <= *last) {
            return None;
        }
        numbers.push(number);
    }
    (!numbers.is_empty()).then_some(numbers)
}

/// Reads `alpn`: the transports that we speak, in the server's order, each once. HTTP/3 beside HTTP/2 is no way of its own: whether HTTPS goes
/// by it is decided for all such upstreams alike.
fn protocols(value: &[u8]) -> Option<Vec<Transport>> {
    let mut reader = Reader::new(value);
    let mut transports = Vec::new();
    while !reader.is_done() {
        let length = reader.byte()?;
        let transport = match reader.take(length.into())? {
            b"dot" => Transport::Tls,
            b"h2" => Transport::Https,
            b"doq" => Transport::Quic,
            b"h3" => Transport::H3,
            _ => continue,
        };
        if !transports.contains(&transport) {
            transports.push(transport);
        }
    }
    if transports.contains(&Transport::Https) {
        transports.retain(|transport| *transport != Transport::H3);
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
    fn an_encrypted_resolver_is_asked_by_all_that_can_be_spoken_in_its_order() {
        const PATH: &[u8] = b"\0\x07\0\x0e/dns-query{?a}";
        let (tls, quic) = ("Tls 853 -", "Quic 853 -");
        let (https, h3) = ("Https 443 /dns-query", "H3 443 /dns-query");
        let with_path = |head: &[u8]| [head, PATH].concat();
        let rows: [(Vec<u8>, &[&str]); 15] = [
            (b"\0\x01\0\x04\x03dot".to_vec(), &[tls]),
            (
                b"\0\x01\0\x04\x03doq\0\x03\0\x02\x03\x56".to_vec(),
                &["Quic 854 -"],
            ),
            (with_path(b"\0\x01\0\x03\x02h2"), &[https]),
            (with_path(b"\0\x01\0\x06\x02h3\x02h2"), &[https]),
            (with_path(b"\0\x01\0\x03\x02h3"), &[h3]),
            (
                with_path(b"\0\x01\0\x0f\x02h2\x03dot\x03dot\x03doq"),
                &[https, tls, quic],
            ),
            // HTTPS without a path.
            (b"\0\x01\0\x07\x02h2\x03dot".to_vec(), &[tls]),
            (b"\0\x01\0\x03\x02h3".to_vec(), &[]),
            // Out of order.
            (b"\0\x03\0\x02\x03\x56\0\x01\0\x04\x03dot".to_vec(), &[]),
            // What is demanded is known, and there.
            (
                b"\0\0\0\x04\0\x01\0\x03\0\x01\0\x04\x03dot\0\x03\0\x02\x03\x55".to_vec(),
                &[tls],
            ),
            // It is not there, not known, or itself.
            (b"\0\0\0\x02\0\x03\0\x01\0\x04\x03dot".to_vec(), &[]),
            (
                b"\0\0\0\x02\0\x63\0\x01\0\x04\x03dot\0\x63\0\0".to_vec(),
                &[],
            ),
            (b"\0\0\0\x02\0\0\0\x01\0\x04\x03dot".to_vec(), &[]),
            (b"\0\0\0\0\0\x01\0\x04\x03dot".to_vec(), &[]),
            (Vec::new(), &[]),
        ];
        for (parameters, expected) in rows {
            let read = Designated::parse(1, &encrypted(&parameters), Parameters::Rest);
            let upstreams = read.map(|read| read.upstreams(&"eth0".into()));
            let told = upstreams.unwrap_or_default().into_iter().map(|upstream| {
                assert_eq!(upstream.server_name.as_deref(), Some("dns.example"));
                let path = upstream.path.as_deref().unwrap_or("-");
                format!("{:?} {} {path}", upstream.transport, upstream.port)
            });
            assert_eq!(told.collect::<Vec<_>>(), expected, "{parameters:?}");
        }
    }

    #[test]
    fn all_addresses_are_asked_in_one_way_before_any_is_in_another() {
        let at = |number: u16| {
            upstream(
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number),
                &"l".into(),
            )
        };
        let servers: Vec<_> = (1..=4).map(at).collect();
        let name = "dns.example".parse().unwrap();
        let service = |transport: Transport| Service {
            transport,
            port: transport.default_port(),
            path: None,
        };
        let services = [Transport::Quic, Transport::Tls, Transport::Https].map(service);
        let forms = forms(&servers, &name, &services);
        let transports: Vec<_> = forms.iter().map(|form| form.transport).collect();
        assert_eq!(transports[..4], [Transport::Quic; 4]);
        assert_eq!(transports[4..], [Transport::Tls; 4]);
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
