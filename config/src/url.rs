//! What does an address on the Web say? [`Url`]: scheme, host, port, and what is asked for there.
//!
//! The part of RFC 3986 that a portal's address or a probe has any use for: no user, no fragment, ASCII only. Read as browsers read
//! it (WHATWG URL), and stricter: what two readers could take for two hosts is refused. Total on any text.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::ParseError;

use crate::name::DomainName;

/// The longest text; a DHCP option has 255 octets, a router advertisement's has 2040.
pub const URL_MAX: usize = 2048;

/// An address on the Web.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    /// Whether it is `https`.
    pub secure: bool,
    /// Who is asked.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// Path and query; begins with a slash.
    pub target: Box<str>,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name.
    Name(DomainName),
    /// An address.
    Address(IpAddr),
}

/// Why a text is no address on the Web.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It begins otherwise.
    #[error("it begins with neither http:// nor https://")]
    Scheme,
    /// It is too long.
    #[error("it is longer than {URL_MAX} octets")]
    TooLong,
    /// It has a space, a control character, or what is not ASCII.
    #[error("it has a character that does not belong there")]
    Character,
    /// It names somebody to log in as.
    #[error("it has a user in it")]
    User,
    /// Its host is neither a name nor an address.
    #[error("its host is neither a name nor an address")]
    Host,
    /// Its port is no number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
}

impl Url {
    /// Returns the host's name; `None` for an address.
    pub const fn name(&self) -> Option<&DomainName> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    /// Returns where a reference leads to that a reply from here has (RFC 3986 §5, RFC 9110 §10.2.2).
    ///
    /// # Errors
    /// What is wrong with the reference, or with what it leads to.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let colon = reference.find([':', '/', '?', '#']);
        let has_scheme = colon.is_some_and(|at| reference.get(at..=at) == Some(":"));
        if has_scheme {
            return reference.parse();
        }
        let scheme = if self.secure { "https" } else { "http" };
        if reference.starts_with("//") {
            return format!("{scheme}:{reference}").parse();
        }
        if reference.len() > URL_MAX {
            return Err(UrlError::TooLong);
        }
        // The library would pass over what others may take for the end of something.
        if !reference
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && octet != b'\\')
        {
            return Err(UrlError::Character);
        }
        let here = url::Url::parse(&self.to_string()).map_err(|_| UrlError::Host)?;
        let there = here.join(reference).map_err(|_| UrlError::Host)?;
        there.as_str().parse()
    }

    /// Returns host and port as a request has them; the port only where it is not the usual one (RFC 9110 §7.2).
    pub fn authority(&self) -> String {
        let host = self.host.to_string();
        match self.port == usual_port(self.secure) {
            true => host,
            false => format!("{host}:{}", self.port),
        }
    }
}

const fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > URL_MAX {
            return Err(UrlError::TooLong);
        }
        // A backslash would be a slash to the library, as it is to browsers.
        if !text
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && octet != b'\\')
        {
            return Err(UrlError::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(UrlError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        // The library would look for a host in what follows, as browsers do.
        if authority.is_empty() {
            return Err(UrlError::Host);
        }
        let url =
            url::Url::parse(text).map_err(|error| match error == ParseError::InvalidPort {
                true => UrlError::Port,
                false => UrlError::Host,
            })?;
        let port = url.port_or_known_default().filter(|port| *port > 0);
        // A fragment is the browser's business (RFC 9110 §7.1).
        let query = url.query().map(|query| format!("?{query}"));
        Ok(Self {
            secure,
            host: host(&url, authority)?,
            port: port.ok_or(UrlError::Port)?,
            target: format!("{}{}", url.path(), query.unwrap_or_default()).into(),
        })
    }
}

fn host(url: &url::Url, authority: &str) -> Result<Host, UrlError> {
    match url.host() {
        Some(url::Host::Domain(text)) => {
            let name: DomainName = text.parse().map_err(|_| UrlError::Host)?;
            match name.is_root() {
                true => Err(UrlError::Host),
                false => Ok(Host::Name(name)),
            }
        }
        // One of an address's older spellings, as 0x7f.1 (WHATWG URL §3.5), is nothing that anybody writes in good faith.
        Some(url::Host::Ipv4(address)) if authority.starts_with(&address.to_string()) => {
            Ok(Host::Address(address.into()))
        }
        Some(url::Host::Ipv6(address)) => Ok(Host::Address(address.into())),
        Some(url::Host::Ipv4(_)) | None => Err(UrlError::Host),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => {
                let text = name.to_string();
                f.write_str(text.trim_end_matches('.'))
            }
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Url {
    /// Writes it so that it reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_from_here_by_rows() {
        let here: Url = "http://192.0.2.1:8080/a/b?c=d".parse().unwrap();
        let rows = [
            ("https://portal.test/in", Ok("https://portal.test/in")),
            ("/login?x=1#y", Ok("http://192.0.2.1:8080/login?x=1")),
            ("login", Ok("http://192.0.2.1:8080/a/login")),
            ("../login", Ok("http://192.0.2.1:8080/login")),
            ("../../../login", Ok("http://192.0.2.1:8080/login")),
            ("?x", Ok("http://192.0.2.1:8080/a/b?x")),
            ("", Ok("http://192.0.2.1:8080/a/b?c=d")),
            (
                "/in?to=http://x.test/",
                Ok("http://192.0.2.1:8080/in?to=http://x.test/"),
            ),
            ("//portal.test/in", Ok("http://portal.test/in")),
            ("///portal.test/in", Err(UrlError::Host)),
            ("//u@portal.test/in", Err(UrlError::User)),
            ("//0x7f.1/in", Err(UrlError::Host)),
            ("https:portal.test", Err(UrlError::Scheme)),
            ("javascript:alert(1)", Err(UrlError::Scheme)),
            ("/\\portal.test/", Err(UrlError::Character)),
            ("/a b", Err(UrlError::Character)),
            ("/\t/portal.test", Err(UrlError::Character)),
            ("/pörtal", Err(UrlError::Character)),
        ];
        for (text, expected) in rows {
            let read = here.join(text).map(|url| url.to_string());
            assert_eq!(read.as_deref(), expected.as_ref().copied(), "{text}");
        }
        let long = format!("/{}", "a".repeat(URL_MAX));
        assert_eq!(here.join(&long), Err(UrlError::TooLong));
    }

    #[test]
    fn addresses_on_the_web_by_rows() {
        let rows = [
            ("https://portal.test/api", Ok("https://portal.test/api")),
            ("HTTPS://Portal.test", Ok("https://portal.test/")),
            (
                "http://192.0.2.1:8080?a=b#c",
                Ok("http://192.0.2.1:8080/?a=b"),
            ),
            ("https://[2001:db8::1]:443/x", Ok("https://[2001:db8::1]/x")),
            ("https://portal.test:/", Ok("https://portal.test/")),
            ("ftp://portal.test/", Err(UrlError::Scheme)),
            ("portal.test", Err(UrlError::Scheme)),
            ("https://u:p@portal.test/", Err(UrlError::User)),
            ("https:///api", Err(UrlError::Host)),
            ("https://a..b/", Err(UrlError::Host)),
            ("https://0x7f.1/", Err(UrlError::Host)),
            ("https://[2001:db8::1/", Err(UrlError::Host)),
            ("https://[2001:db8::1]x/", Err(UrlError::Host)),
            ("https://portal.test/a/../b?", Ok("https://portal.test/b?")),
            ("https://1.2.3/", Err(UrlError::Host)),
            ("https://192.0.2.1:80:80/", Err(UrlError::Port)),
            ("https://./", Err(UrlError::Host)),
            ("https://portal.test\\@evil.test/", Err(UrlError::Character)),
            (
                "https://portal.test#@evil.test/",
                Ok("https://portal.test/"),
            ),
            ("https://portal.test:0/", Err(UrlError::Port)),
            ("https://portal.test:+80/", Err(UrlError::Port)),
            ("https://portal.test:65536/", Err(UrlError::Port)),
            ("https://portal.test/a b", Err(UrlError::Character)),
            ("https://portal.test/\r\nX: y", Err(UrlError::Character)),
            ("https://pörtal.test/", Err(UrlError::Character)),
        ];
        for (text, expected) in rows {
            let read = text.parse::<Url>().map(|url| url.to_string());
            assert_eq!(read.as_deref(), expected.as_ref().copied(), "{text}");
            if let Ok(again) = &read {
                assert_eq!(again.parse::<Url>().unwrap().to_string(), *again);
            }
        }
        let long = format!("https://portal.test/{}", "a".repeat(URL_MAX));
        assert_eq!(long.parse::<Url>(), Err(UrlError::TooLong));
    }
}
