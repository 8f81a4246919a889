//! How is an upstream written? Text to [`Upstream`] and back; names the part that is wrong.
//!
//! Says nothing about whether an upstream makes sense for this machine (`check` does), and speaks to none.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use crate::model::{Transport, Upstream};
use crate::name::DomainName;
use crate::pin::Pin;

/// The longest name of a link, alternative names included (`ALTIFNAMSIZ` less its NUL).
const MAX_LINK_NAME: usize = 127;

/// What stands before a pin.
const PIN: &str = "pin=";
/// What stands for pins where any key will do.
const ANY_KEY: &str = "pin=any";
/// What stands before the first pin of all, and before each further one.
const BEFORE_PINS: &str = "?pin=";
const FURTHER_PIN: &str = "&pin=";

/// What is wrong with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamFault {
    /// Nothing at all.
    #[error("the upstream is empty")]
    Empty,
    /// A scheme that is not known.
    #[error("the scheme is not tcp, tls, https, h3 or quic")]
    UnknownScheme,
    /// No IP address where one belongs.
    #[error("this is not an IP address")]
    BadAddress,
    /// An address that nobody answers at: unspecified, multicast or broadcast.
    #[error("nobody answers at this address")]
    DeafAddress,
    /// A port that is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    BadPort,
    /// A zone that cannot be the name of a link.
    #[error("this cannot be the name of a link")]
    BadZone,
    /// A zone on an address that is not link-local.
    #[error("only a link-local address (fe80::/10) has a link behind it")]
    NeedlessZone,
    /// A server name that is not a host name.
    #[error("the server name is not a host name")]
    BadServerName,
    /// A server name where nothing is encrypted.
    #[error("a server name needs an encrypted transport")]
    NeedlessServerName,
    /// An HTTPS upstream without its address.
    #[error("the address of the server is missing")]
    MissingAddress,
    /// An HTTPS upstream without path.
    #[error("the path is missing")]
    MissingPath,
    /// A path with characters that a path has not.
    #[error("the path has a character that must be escaped as %XX")]
    BadPath,
    /// A pin that is none.
    #[error("a pin is sha256/ and the base64 of a key's SHA-256")]
    BadPin,
    /// Pins in the path, where the server would read them and nobody would hold it to them.
    #[error("the pins stand in the path")]
    MisplacedPin,
    /// A port or brackets at the address of an HTTPS upstream, whose port belongs to the name.
    #[error(
        "the port of an HTTPS upstream belongs after its name, and its address has no brackets"
    )]
    MisplacedPort,
    /// Something other than pins after a `?`.
    #[error("only pin= can stand here")]
    UnknownOption,
    /// A user name before the host.
    #[error("an upstream takes no user name and no password")]
    Credentials,
}

impl UpstreamFault {
    /// Returns what to write instead.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Empty | Self::BadAddress => {
                "write an address, as 192.0.2.1, 192.0.2.1:5353, 2001:db8::1 or [2001:db8::1]:53"
            }
            Self::DeafAddress => "write the address of one server",
            Self::UnknownScheme => {
                "write tls://ADDRESS#NAME, https://NAME/PATH@ADDRESS, h3://NAME/PATH@ADDRESS, quic://ADDRESS#NAME, tcp://ADDRESS, or a plain address"
            }
            Self::BadPort => "write the port after the address: 192.0.2.1:5353, [2001:db8::1]:5353",
            Self::BadZone | Self::NeedlessZone => "write fe80::1%LINK, as fe80::1%eth0",
            Self::BadServerName => "write the name in the server's certificate, as dns.example",
            Self::NeedlessServerName => "write tls://ADDRESS#NAME, or leave the name out",
            Self::MissingAddress => {
                "write https://dns.example/dns-query@192.0.2.1, so that no name must be looked up first"
            }
            Self::MissingPath => "write https://dns.example/dns-query@192.0.2.1",
            Self::BadPath => "write the path as in the server's URL, as /dns-query",
            Self::MisplacedPort => {
                "write https://dns.example:8443/dns-query@192.0.2.1, and @2001:db8::1 without brackets"
            }
            Self::BadPin | Self::UnknownOption | Self::MisplacedPin => {
                "write ?pin=sha256/BASE64 after the address, and &pin=sha256/BASE64 for another key"
            }
            Self::Credentials => "leave out what stands before the @",
        }
    }
}

/// Why a text is not an upstream, and which part of it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct UpstreamError {
    /// What is wrong.
    pub fault: UpstreamFault,
    /// The octets of the text that are wrong.
    pub part: Range<usize>,
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let whole = Part { text, start: 0 };
        if text.is_empty() {
            return whole.wrong(UpstreamFault::Empty);
        }
        let Some(scheme_end) = text.find("://") else {
            return plain(whole);
        };
        let (scheme, rest) = (whole.to(scheme_end), whole.from(scheme_end + 3));
        match scheme.text {
            "tcp" => plain_stream(rest),
            "tls" => over_stream(rest, Transport::Tls),
            "quic" => over_stream(rest, Transport::Quic),
            "https" => by_http(rest, Transport::Https),
            "h3" => by_http(rest, Transport::H3),
            _ => scheme.wrong(UpstreamFault::UnknownScheme),
        }
    }
}

/// A part of the text, and where it starts.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Part<'a> {
    fn to(self, at: usize) -> Self {
        let text = self.text.get(..at).unwrap_or_default();
        Self { text, ..self }
    }

    fn from(self, at: usize) -> Self {
        let text = self.text.get(at..).unwrap_or_default();
        let start = self.start + at;
        Self { text, start }
    }

    fn split(self, separator: char) -> (Self, Option<Self>) {
        match self.text.find(separator) {
            Some(at) => (self.to(at), Some(self.from(at + separator.len_utf8()))),
            None => (self, None),
        }
    }

    fn wrong<T>(self, fault: UpstreamFault) -> Result<T, UpstreamError> {
        let part = self.start..self.start + self.text.len();
        Err(UpstreamError { fault, part })
    }
}

fn plain(text: Part<'_>) -> Result<Upstream, UpstreamError> {
    if let (_, Some(name)) = text.split('#') {
        return name.wrong(UpstreamFault::NeedlessServerName);
    }
    let (address, zone, port) = socket(text)?;
    let mut upstream = Upstream::plain(address);
    upstream.zone = zone;
    upstream.port = port.unwrap_or(upstream.port);
    Ok(upstream)
}

/// Reads what follows `tcp://`.
fn plain_stream(text: Part<'_>) -> Result<Upstream, UpstreamError> {
    let upstream = plain(text)?;
    Ok(Upstream {
        transport: Transport::Tcp,
        ..upstream
    })
}

fn over_stream(text: Part<'_>, transport: Transport) -> Result<Upstream, UpstreamError> {
    let (place, name) = text.split('#');
    if let Some(at) = place.text.rfind('@') {
        return place.to(at).wrong(UpstreamFault::Credentials);
    }
    let (place, options) = place.split('?');
    let (address, zone, port) = socket(place)?;
    let server_name = name.map(server_name).transpose()?;
    Ok(Upstream {
        address,
        port: port.unwrap_or_else(|| transport.default_port()),
        zone,
        transport,
        server_name,
        path: None,
        pins: options.map(pins).transpose()?,
    })
}

fn by_http(text: Part<'_>, transport: Transport) -> Result<Upstream, UpstreamError> {
    let path_start = text.text.find('/').unwrap_or(text.text.len());
    let (authority, rest) = (text.to(path_start), text.from(path_start));
    if let Some(at) = authority.text.rfind('@') {
        let is_address = authority
            .text
            .get(at + 1..)
            .is_some_and(|after| after.parse::<IpAddr>().is_ok());
        return if is_address && rest.text.is_empty() {
            authority.from(at).wrong(UpstreamFault::MissingPath)
        } else {
            authority.to(at).wrong(UpstreamFault::Credentials)
        };
    }
    let (path, address) = match rest.text.rfind('@') {
        Some(at) => (rest.to(at), Some(rest.from(at + 1))),
        None => (rest, None),
    };
    // Without an address after the path the host must be one: the pins follow the path then.
    let (path, keys) = match (address, path.text.find(BEFORE_PINS)) {
        (None, Some(at)) => (path.to(at), Some(path.from(at + 1))),
        (_, Some(at)) => return path.from(at + 1).wrong(UpstreamFault::MisplacedPin),
        (_, None) => (path, None),
    };
    if path.text.is_empty() {
        return authority.wrong(UpstreamFault::MissingPath);
    }
    if let Some(at) = path.text.find(FURTHER_PIN) {
        return path.from(at + 1).wrong(UpstreamFault::MisplacedPin);
    }
    let in_path = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(
                byte,
                b'"' | b'<' | b'>' | b'#' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
            )
    };
    if !path.text.bytes().all(in_path) {
        return path.wrong(UpstreamFault::BadPath);
    }
    let path = Some(Arc::from(path.text));
    let Some(address) = address else {
        let Ok((address, zone, port)) = socket(authority) else {
            return authority.wrong(UpstreamFault::MissingAddress);
        };
        return Ok(Upstream {
            address,
            port: port.unwrap_or_else(|| transport.default_port()),
            zone,
            transport,
            // Its certificate names the address, or has one of the keys.
            server_name: None,
            path,
            pins: keys.map(pins).transpose()?,
        });
    };
    let (host, port) = authority.split(':');
    let port = port.map(self::port).transpose()?;
    let server_name = Some(server_name(host)?);
    let (address, options) = address.split('?');
    let (address, zone) = match zoned(address) {
        Err(_) if matches!(socket(address), Ok((_, _, port)) if port.is_some() || address.text.starts_with('[')) =>
        {
            return address.wrong(UpstreamFault::MisplacedPort);
        }
        other => other?,
    };
    Ok(Upstream {
        address,
        port: port.unwrap_or_else(|| transport.default_port()),
        zone,
        transport,
        server_name,
        path,
        pins: options.map(pins).transpose()?,
    })
}

/// Reads `pin=…&pin=…`, or `pin=any`.
fn pins(text: Part<'_>) -> Result<Arc<[Pin]>, UpstreamError> {
    let mut pins = Vec::new();
    if text.text == ANY_KEY {
        return Ok(pins.into());
    }
    let mut rest = Some(text);
    while let Some(options) = rest {
        let (option, others) = options.split('&');
        rest = others;
        if !option.text.starts_with(PIN) {
            return option.wrong(UpstreamFault::UnknownOption);
        }
        let value = option.from(PIN.len());
        let Ok(pin) = value.text.parse() else {
            return value.wrong(UpstreamFault::BadPin);
        };
        if !pins.contains(&pin) {
            pins.push(pin);
        }
    }
    Ok(pins.into())
}

type Socket = (IpAddr, Option<Arc<str>>, Option<u16>);

/// Reads `A`, `A:PORT`, `[A]`, `[A]:PORT`; a bare IPv6 address has no port.
fn socket(text: Part<'_>) -> Result<Socket, UpstreamError> {
    if let Some(inner) = text.text.strip_prefix('[') {
        let Some(end) = inner.find(']') else {
            return text.wrong(UpstreamFault::BadAddress);
        };
        let (address, zone) = zoned(text.from(1).to(end))?;
        let after = text.from(end + 2);
        if after.text.is_empty() {
            return Ok((address, zone, None));
        }
        if !after.text.starts_with(':') {
            return after.wrong(UpstreamFault::BadPort);
        }
        return Ok((address, zone, Some(port(after.from(1))?)));
    }
    if text.text.matches(':').count() == 1 {
        let (address, after) = text.split(':');
        let (address, zone) = zoned(address)?;
        return Ok((address, zone, after.map(port).transpose()?));
    }
    let (address, zone) = zoned(text)?;
    Ok((address, zone, None))
}

fn zoned(text: Part<'_>) -> Result<(IpAddr, Option<Arc<str>>), UpstreamError> {
    let (address, zone) = text.split('%');
    let Ok(parsed) = address.text.parse::<IpAddr>() else {
        return address.wrong(UpstreamFault::BadAddress);
    };
    let parsed = parsed.to_canonical();
    let is_broadcast = matches!(parsed, IpAddr::V4(v4) if v4.is_broadcast());
    if parsed.is_unspecified() || parsed.is_multicast() || is_broadcast {
        return address.wrong(UpstreamFault::DeafAddress);
    }
    let Some(zone) = zone else {
        return Ok((parsed, None));
    };
    if !matches!(parsed, IpAddr::V6(v6) if is_link_local(v6)) {
        return zone.wrong(UpstreamFault::NeedlessZone);
    }
    let in_name = |c: char| {
        !c.is_whitespace()
            && !c.is_control()
            && !matches!(c, '/' | ':' | '%' | ']' | '[' | '#' | '@')
    };
    if zone.text.is_empty() || zone.text.len() > MAX_LINK_NAME || !zone.text.chars().all(in_name) {
        return zone.wrong(UpstreamFault::BadZone);
    }
    Ok((parsed, Some(Arc::from(zone.text))))
}

/// Whether an address is of fe80::/10 (RFC 4291 §2.5.6).
pub(crate) fn is_link_local(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local()
}

fn port(text: Part<'_>) -> Result<u16, UpstreamError> {
    let digits = text.text.bytes().all(|byte| byte.is_ascii_digit());
    match text.text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        Ok(_) | Err(_) => text.wrong(UpstreamFault::BadPort),
    }
}

fn server_name(text: Part<'_>) -> Result<Arc<str>, UpstreamError> {
    let in_label = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match text.text.parse::<DomainName>() {
        Ok(name)
            if !name.is_root()
                && !text.text.contains('\\')
                && name.labels().all(|label| label.iter().all(in_label)) =>
        {
            Ok(Arc::from(name.to_string()))
        }
        Ok(_) | Err(_) => text.wrong(UpstreamFault::BadServerName),
    }
}

impl fmt::Display for Upstream {
    /// Writes the form that reads back as the same upstream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.zone.as_deref();
        let address = Zoned {
            address: self.address,
            zone,
        };
        let port = (self.port != self.transport.default_port()).then_some(self.port);
        let bracketed = |f: &mut fmt::Formatter<'_>| {
            match self.address {
                IpAddr::V4(_) => write!(f, "{address}")?,
                IpAddr::V6(_) => write!(f, "[{address}]")?,
            }
            port.map_or(Ok(()), |port| write!(f, ":{port}"))
        };
        let scheme = match self.transport {
            Transport::Plain => {
                return if port.is_some() {
                    bracketed(f)
                } else {
                    write!(f, "{address}")
                };
            }
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Quic => "quic",
            Transport::Https | Transport::H3 => {
                write!(f, "{}://", self.transport.as_str())?;
                let path = self.path.as_deref().unwrap_or("/");
                let Some(name) = &self.server_name else {
                    bracketed(f)?;
                    f.write_str(path)?;
                    return self.write_pins(f);
                };
                f.write_str(name)?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                write!(f, "{path}@{address}")?;
                return self.write_pins(f);
            }
        };
        write!(f, "{scheme}://")?;
        bracketed(f)?;
        self.write_pins(f)?;
        match &self.server_name {
            Some(name) => write!(f, "#{name}"),
            None => Ok(()),
        }
    }
}

impl Upstream {
    fn write_pins(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = '?';
        if self.pins.as_ref().is_some_and(|pins| pins.is_empty()) {
            return write!(f, "{before}{ANY_KEY}");
        }
        for pin in self.pins.iter().flat_map(|pins| pins.iter()) {
            write!(f, "{before}{PIN}{pin}")?;
            before = '&';
        }
        Ok(())
    }
}

struct Zoned<'a> {
    address: IpAddr,
    zone: Option<&'a str>,
}

impl fmt::Display for Zoned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

impl serde::Serialize for Upstream {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Upstream {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
