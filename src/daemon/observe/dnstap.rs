//! What is a DNS message to a dnstap collector? [`Tapped`] as protobuf (dnstap.proto, <https://dnstap.info>), by hand.
//!
//! The schema is small and fixed, and only written here; a protobuf library would bring a compiler for it. Waits for nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A message, and how it travelled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tapped<'a> {
    pub(super) kind: Kind,
    pub(super) protocol: Option<Protocol>,
    /// Who asked.
    pub(super) asker: Option<SocketAddr>,
    /// Who was asked.
    pub(super) asked: Option<SocketAddr>,
    /// When the question was, since 1970.
    pub(super) asked_at: Option<Duration>,
    /// When the answer was.
    pub(super) answered_at: Option<Duration>,
    pub(super) wire: &'a [u8],
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ClientQuery,
    ClientResponse,
    ForwarderQuery,
    ForwarderResponse,
    ResolverQuery,
    ResolverResponse,
}

/// How it travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Udp,
    Tcp,
    Tls,
    Https,
    Quic,
}

impl Kind {
    /// `Message.Type`.
    const fn number(self) -> u64 {
        match self {
            Self::ResolverQuery => 3,
            Self::ResolverResponse => 4,
            Self::ClientQuery => 5,
            Self::ClientResponse => 6,
            Self::ForwarderQuery => 7,
            Self::ForwarderResponse => 8,
        }
    }

    const fn is_response(self) -> bool {
        match self {
            Self::ClientQuery | Self::ForwarderQuery | Self::ResolverQuery => false,
            Self::ClientResponse | Self::ForwarderResponse | Self::ResolverResponse => true,
        }
    }
}

impl Protocol {
    /// `SocketProtocol`.
    const fn number(self) -> u64 {
        match self {
            Self::Udp => 1,
            Self::Tcp => 2,
            Self::Tls => 3,
            Self::Https => 4,
            Self::Quic => 7,
        }
    }
}

/// Field numbers of `Dnstap`.
mod outer {
    pub(super) const IDENTITY: u32 = 1;
    pub(super) const VERSION: u32 = 2;
    pub(super) const MESSAGE: u32 = 14;
    pub(super) const TYPE: u32 = 15;
    /// `Dnstap.Type.MESSAGE`.
    pub(super) const TYPE_MESSAGE: u64 = 1;
}

/// Field numbers of `Message`.
mod message {
    pub(super) const TYPE: u32 = 1;
    pub(super) const SOCKET_FAMILY: u32 = 2;
    pub(super) const SOCKET_PROTOCOL: u32 = 3;
    pub(super) const QUERY_ADDRESS: u32 = 4;
    pub(super) const RESPONSE_ADDRESS: u32 = 5;
    pub(super) const QUERY_PORT: u32 = 6;
    pub(super) const RESPONSE_PORT: u32 = 7;
    pub(super) const QUERY_TIME_SEC: u32 = 8;
    pub(super) const QUERY_TIME_NSEC: u32 = 9;
    pub(super) const QUERY_MESSAGE: u32 = 10;
    pub(super) const RESPONSE_TIME_SEC: u32 = 12;
    pub(super) const RESPONSE_TIME_NSEC: u32 = 13;
    pub(super) const RESPONSE_MESSAGE: u32 = 14;
}

/// Encodes a message as the payload of a frame.
pub(super) fn encode(tapped: &Tapped<'_>, identity: &str, version: &str) -> Vec<u8> {
    let inner = message(tapped);
    let mut out = Vec::with_capacity(inner.len() + identity.len() + version.len() + 16);
    bytes(outer::IDENTITY, identity.as_bytes(), &mut out);
    bytes(outer::VERSION, version.as_bytes(), &mut out);
    bytes(outer::MESSAGE, &inner, &mut out);
    number(outer::TYPE, outer::TYPE_MESSAGE, &mut out);
    out
}

fn message(tapped: &Tapped<'_>) -> Vec<u8> {
    let Tapped {
        kind,
        protocol,
        asker,
        asked,
        asked_at,
        answered_at,
        wire,
    } = *tapped;
    let mut out = Vec::with_capacity(wire.len() + 96);
    number(message::TYPE, kind.number(), &mut out);
    if let Some(either) = asked.or(asker) {
        // `SocketFamily`.
        let family = if either.is_ipv4() { 1 } else { 2 };
        number(message::SOCKET_FAMILY, family, &mut out);
    }
    if let Some(protocol) = protocol {
        number(message::SOCKET_PROTOCOL, protocol.number(), &mut out);
    }
    if let Some(asker) = asker {
        address(message::QUERY_ADDRESS, asker.ip(), &mut out);
        number(message::QUERY_PORT, asker.port().into(), &mut out);
    }
    if let Some(asked) = asked {
        address(message::RESPONSE_ADDRESS, asked.ip(), &mut out);
        number(message::RESPONSE_PORT, asked.port().into(), &mut out);
    }
    if let Some(at) = asked_at {
        number(message::QUERY_TIME_SEC, at.as_secs(), &mut out);
        fixed(message::QUERY_TIME_NSEC, at.subsec_nanos(), &mut out);
    }
    if let Some(at) = answered_at {
        number(message::RESPONSE_TIME_SEC, at.as_secs(), &mut out);
        fixed(message::RESPONSE_TIME_NSEC, at.subsec_nanos(), &mut out);
    }
    let field = if kind.is_response() {
        message::RESPONSE_MESSAGE
    } else {
        message::QUERY_MESSAGE
    };
    bytes(field, wire, &mut out);
    out
}

fn address(field: u32, address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => bytes(field, &address.octets(), out),
        IpAddr::V6(address) => bytes(field, &address.octets(), out),
    }
}

/// Writes a field of wire type 0.
fn number(field: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(field) << 3, out);
    varint(value, out);
}

/// Writes a field of wire type 2.
fn bytes(field: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(field) << 3 | 2, out);
    varint(u64::try_from(value.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(value);
}

/// Writes a field of wire type 5.
fn fixed(field: u32, value: u32, out: &mut Vec<u8>) {
    varint(u64::from(field) << 3 | 5, out);
    out.extend_from_slice(&value.to_le_bytes());
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_of_a_client_is_the_protobuf_that_the_schema_says() {
        let tapped = Tapped {
            kind: Kind::ClientQuery,
            protocol: Some(Protocol::Udp),
            asker: Some(SocketAddr::from(([127, 0, 0, 1], 40_312))),
            asked: Some(SocketAddr::from(([127, 0, 0, 53], 53))),
            asked_at: Some(Duration::new(1_793_491_200, 5)),
            answered_at: None,
            wire: b"query",
        };
        let mut expected = b"\x0a\x04host\x12\x08linnet 1".to_vec();
        let inner = [
            &b"\x08\x05\x10\x01\x18\x01"[..],
            b"\x22\x04\x7f\x00\x00\x01\x30\xf8\xba\x02",
            b"\x2a\x04\x7f\x00\x00\x35\x38\x35",
            b"\x40\x80\x82\x9a\xd7\x06\x4d\x05\x00\x00\x00",
            b"\x52\x05query",
        ]
        .concat();
        expected.extend_from_slice(&[0x72, u8::try_from(inner.len()).unwrap()]);
        expected.extend_from_slice(&inner);
        expected.extend_from_slice(b"\x78\x01");
        assert_eq!(encode(&tapped, "host", "linnet 1"), expected);
    }

    #[test]
    fn a_response_without_addresses_has_its_times_and_nothing_else() {
        let tapped = Tapped {
            kind: Kind::ForwarderResponse,
            protocol: Some(Protocol::Quic),
            asker: None,
            asked: Some("[2001:db8::1]:853".parse().unwrap()),
            asked_at: Some(Duration::from_secs(1)),
            answered_at: Some(Duration::from_nanos(2_000_000_003)),
            wire: &[0; 200],
        };
        let inner = message(&tapped);
        assert_eq!(&inner[..6], b"\x08\x08\x10\x02\x18\x07");
        assert_eq!(&inner[6..8], b"\x2a\x10", "no query address");
        let tail = &inner[inner.len() - 203..];
        assert_eq!(&tail[..3], b"\x72\xc8\x01", "a length of two octets");
    }

    #[test]
    fn numbers_take_as_many_octets_as_they_need() {
        for (value, expected) in [
            (0, &b"\x00"[..]),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (300, b"\xac\x02"),
            (u64::MAX, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ] {
            let mut out = Vec::new();
            varint(value, &mut out);
            assert_eq!(out, expected);
        }
    }
}
