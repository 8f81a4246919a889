//! By which encrypted transports does a plain upstream say that it can be asked? Its SVCB records (RFC 9460, 9461, 9462).
//!
//! Pure. Only what leads to the address of the upstream itself counts: its certificate must be for that address (RFC 9462
//! §4.2), so that nobody is ever sent to another operator. A record that cannot be read whole, or demands what is not known
//! here, is passed over (RFC 9460 §8).

use std::net::IpAddr;

use config::model::{Transport, Upstream};

use crate::reader::Reader;

/// The name that is asked for (RFC 9462 §4).
pub const NAME: &str = "_dns.resolver.arpa";
/// Designations that are taken from one reply.
const TAKEN_MAX: usize = 4;

/// Keys of service parameters (RFC 9460 §14.3.2, RFC 9461 §5).
mod key {
    pub(super) const MANDATORY: u16 = 0;
    pub(super) const ALPN: u16 = 1;
    pub(super) const NO_DEFAULT_ALPN: u16 = 2;
    pub(super) const PORT: u16 = 3;
    pub(super) const IPV4HINT: u16 = 4;
    pub(super) const IPV6HINT: u16 = 6;
    pub(super) const DOHPATH: u16 = 7;
}

/// Returns the encrypted forms of `upstream`, the one that it prefers first.
pub fn designated<'a>(
    upstream: &Upstream,
    records: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Upstream> {
    let mut found: Vec<(u16, Upstream)> = Vec::new();
    for rdata in records {
        let Some((priority, forms)) = read(upstream, rdata) else {
            continue;
        };
        for form in forms {
            if found.len() < TAKEN_MAX && found.iter().all(|(_, known)| *known != form) {
                found.push((priority, form));
            }
        }
    }
    found.sort_by_key(|(priority, _)| *priority);
    found.into_iter().map(|(_, form)| form).collect()
}

/// Reads one record; `None` when it says nothing for us.
fn read(upstream: &Upstream, rdata: &[u8]) -> Option<(u16, Vec<Upstream>)> {
    let mut reader = Reader::new(rdata);
    let priority = reader.word()?;
    // AliasMode (RFC 9460 §2.4.2) leads elsewhere.
    if priority == 0 {
        return None;
    }
    // The name is not compressed (RFC 9460 §2.2).
    loop {
        let length = reader.byte()?;
        if length > 63 {
            return None;
        }
        reader.take(length.into())?;
        if length == 0 {
            break;
        }
    }
    let (mut transports, mut port, mut path) = (Vec::new(), None, None);
    let (mut demanded, mut present) = (Vec::new(), Vec::new());
    while !reader.is_done() {
        let number = reader.word()?;
        let length = reader.word()?;
        let value = reader.take(length.into())?;
        // Ascending, each once (RFC 9460 §2.2).
        if present.last().is_some_and(|last| number <= *last) {
            return None;
        }
        present.push(number);
        match number {
            key::MANDATORY => demanded = mandatory(value)?,
            key::ALPN => transports = protocols(value)?,
            key::NO_DEFAULT_ALPN => {}
            key::PORT => {
                let number = u16::from_be_bytes(value.try_into().ok()?);
                port = Some(number).filter(|number| *number != 0);
                port?;
            }
            key::IPV4HINT => {
                if let IpAddr::V4(own) = upstream.address
                    && !value.chunks_exact(4).any(|hint| hint == own.octets())
                {
                    return None;
                }
            }
            key::IPV6HINT => {
                if let IpAddr::V6(own) = upstream.address
                    && !value.chunks_exact(16).any(|hint| hint == own.octets())
                {
                    return None;
                }
            }
            key::DOHPATH => path = Some(doh_path(value)?),
            _ => {}
        }
    }
    // One that demands what it does not have is malformed (RFC 9460 §8).
    if demanded.iter().any(|number| !present.contains(number)) {
        return None;
    }
    let form = |transport: Transport| {
        let mut form = Upstream {
            transport,
            port: port.unwrap_or_else(|| transport.default_port()),
            ..upstream.clone()
        };
        if transport.is_http() {
            form.path = Some(path.as_deref()?.into());
        }
        Some(form)
    };
    Some((priority, transports.into_iter().filter_map(form).collect()))
}

/// Reads `mandatory` (RFC 9460 §8): keys in ascending order, not its own; `None` when one of them is not known here.
fn mandatory(value: &[u8]) -> Option<Vec<u16>> {
    let mut keys: Vec<u16> = Vec::new();
    let mut reader = Reader::new(value);
    while !reader.is_done() {
        let number = reader.word()?;
        let is_known = matches!(
            number,
            key::ALPN..=key::IPV4HINT | key::IPV6HINT | key::DOHPATH
        );
        if !is_known || keys.last().is_some_and(|last| number <= *last) {
            return None;
        }
        keys.push(number);
    }
    Some(keys).filter(|keys| !keys.is_empty())
}

/// Reads `alpn`: the transports that we speak, in the server's order. HTTP/3 beside HTTP/2 is no form of its own: whether the one
/// that is goes by it, is decided for all HTTPS upstreams alike.
fn protocols(value: &[u8]) -> Option<Vec<Transport>> {
    let mut transports = Vec::new();
    let mut reader = Reader::new(value);
    while !reader.is_done() {
        let length = reader.byte()?;
        let transport = match reader.take(length.into())? {
            b"dot" => Transport::Tls,
            b"h2" => Transport::Https,
            b"doq" => Transport::Quic,
            b"h3" => Transport::H3,
            _ => continue,
        };
        transports.push(transport);
    }
    if transports.contains(&Transport::Https) {
        transports.retain(|transport| *transport != Transport::H3);
    }
    Some(transports)
}

/// Reads `dohpath`: a relative URI template (RFC 9461 §5), of which a POST takes the path.
fn doh_path(value: &[u8]) -> Option<String> {
    let template = std::str::from_utf8(value).ok()?;
    let path = template.split('{').next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    let well = path.starts_with('/') && !path.contains('@') && path.bytes().all(plain);
    (well && template.contains("dns")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, parameters: &[(u16, &[u8])]) -> Vec<u8> {
        let mut rdata = priority.to_be_bytes().to_vec();
        rdata.extend_from_slice(b"\x03dns\x07example\0");
        for (number, value) in parameters {
            rdata.extend_from_slice(&number.to_be_bytes());
            rdata.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            rdata.extend_from_slice(value);
        }
        rdata
    }

    fn forms(records: &[Vec<u8>]) -> Vec<String> {
        let upstream = "192.0.2.1".parse().unwrap();
        let records = records.iter().map(Vec::as_slice);
        let forms = designated(&upstream, records);
        forms.iter().map(ToString::to_string).collect()
    }

    const DOT: (u16, &[u8]) = (key::ALPN, b"\x03dot");

    #[test]
    fn forms_come_in_the_order_of_preference_and_at_the_same_address() {
        let records = [
            record(
                2,
                &[
                    (key::ALPN, b"\x02h2\x02h3"),
                    (key::DOHPATH, b"/dns-query{?dns}"),
                ],
            ),
            record(1, &[DOT, (key::PORT, &[0x22, 0x95])]),
            record(
                3,
                &[
                    (key::ALPN, b"\x03doq"),
                    (key::IPV4HINT, &[9, 9, 9, 9, 192, 0, 2, 1]),
                ],
            ),
            // By HTTP/3 alone.
            record(
                4,
                &[
                    (key::ALPN, b"\x02h3"),
                    (key::PORT, &[0x20, 0xfb]),
                    (key::DOHPATH, b"/q{?dns}"),
                ],
            ),
        ];
        assert_eq!(
            forms(&records),
            [
                "tls://192.0.2.1:8853",
                "https://192.0.2.1/dns-query",
                "quic://192.0.2.1",
                "h3://192.0.2.1:8443/q"
            ]
        );
    }

    #[test]
    fn what_leads_elsewhere_or_demands_more_is_passed_over() {
        let rows = [
            record(0, &[DOT]),
            record(1, &[DOT, (key::IPV4HINT, &[198, 51, 100, 1])]),
            record(1, &[(key::MANDATORY, &[0, 99]), DOT]),
            // A key that is not there, or not where it belongs, no key, half a key, and its own.
            record(1, &[(key::MANDATORY, &[0, 1, 0, 3]), DOT]),
            record(
                1,
                &[(key::MANDATORY, &[0, 3, 0, 1]), DOT, (key::PORT, &[3, 85])],
            ),
            record(1, &[(key::MANDATORY, &[0, 1, 0, 1]), DOT]),
            record(1, &[(key::MANDATORY, &[]), DOT]),
            record(1, &[(key::MANDATORY, &[0]), DOT]),
            record(1, &[(key::MANDATORY, &[0, 0]), DOT]),
            record(1, &[DOT, (key::PORT, &[0, 0])]),
            record(1, &[DOT, (key::PORT, &[1])]),
            record(1, &[DOT, DOT]),
            record(1, &[(key::ALPN, b"\x09dot")]),
            record(1, &[(key::ALPN, b"\x02h2")]),
            record(1, &[(key::ALPN, b"\x02h3")]),
            record(
                1,
                &[
                    (key::ALPN, b"\x02h2"),
                    (key::DOHPATH, b"https://evil.example/{?dns}"),
                ],
            ),
            record(1, &[(key::ALPN, b"\x02h2"), (key::DOHPATH, b"/a@b{?dns}")]),
            Vec::new(),
            vec![0, 1, 200],
        ];
        for row in rows {
            assert_eq!(forms(std::slice::from_ref(&row)), [""; 0], "{row:?}");
        }
        let mandatory = record(1, &[(key::MANDATORY, &[0, 1]), DOT]);
        assert_eq!(forms(&[mandatory]), ["tls://192.0.2.1"]);
        let both = record(
            1,
            &[(key::MANDATORY, &[0, 1, 0, 3]), DOT, (key::PORT, &[3, 85])],
        );
        assert_eq!(forms(&[both]), ["tls://192.0.2.1"]);
    }
}
