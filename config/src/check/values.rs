//! Does a text mean what its key wants? One function for each kind of text; each says which part is wrong.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use crate::diagnostic::Findings;
use crate::matcher::{Glob, Mac};
use crate::model::{AddressGeneration, Prefix, ProfileId, Upstream};
use crate::name::DomainName;
use crate::raw::{Span, Text};

/// So many reverse zones fit a help line.
const ZONES_SHOWN: usize = 4;

/// Returns the span of a part of a text; of the whole when the text is written with escapes.
pub(super) fn part(text: &Text, part: Range<usize>, findings: &Findings<'_>) -> Span {
    let span = text.span();
    let start = span.start + 1;
    let written = findings.source.get(start..start + text.get_ref().len());
    if written == Some(text.get_ref()) && !part.is_empty() {
        start + part.start..start + part.end
    } else {
        span
    }
}

pub(super) fn upstream(text: &Text, findings: &mut Findings<'_>) -> Option<Upstream> {
    match text.get_ref().parse::<Upstream>() {
        Ok(upstream) => Some(upstream),
        Err(error) => {
            let span = part(text, error.part.clone(), findings);
            let help = error.fault.help().to_owned();
            findings.error(Some(span), error.to_string(), Some(help));
            None
        }
    }
}

/// Reads a profile's id, which need not be there.
pub(super) fn profile_id(text: &Text, findings: &mut Findings<'_>) -> Option<ProfileId> {
    let said = text.get_ref();
    if !super::profile::is_good_id(said) {
        let message = format!("\"{said}\" is no profile's id");
        let help = "write the name of the profile's file without .toml".to_owned();
        findings.error(Some(text.span()), message, Some(help));
        return None;
    }
    Some(ProfileId(said.as_str().into()))
}

pub(super) fn listens(texts: &[Text], findings: &mut Findings<'_>) -> Vec<SocketAddr> {
    let mut places = Vec::with_capacity(texts.len());
    for text in texts {
        let said = text.get_ref();
        let alone = said
            .parse::<IpAddr>()
            .map(|address| SocketAddr::new(address, crate::DNS_PORT));
        let Ok(place) = alone.or_else(|_| said.parse::<SocketAddr>()) else {
            let message = "this is not an address to listen at";
            let help = "write an address and a port, as 127.0.0.53:53 or [::1]:53".to_owned();
            findings.error(Some(text.span()), message, Some(help));
            continue;
        };
        if place.port() == 0 {
            let help = "write a port from 1 to 65535".to_owned();
            findings.error(Some(text.span()), "nobody finds port 0", Some(help));
        } else if !place.ip().to_canonical().is_loopback() {
            let message = format!("{} is not a loopback address", place.ip());
            let help =
                "`listen` is for this host; for others write [[listeners]] with an access list";
            findings.error(Some(text.span()), message, Some(help.to_owned()));
        } else if places.contains(&place) {
            findings.warn(
                Some(text.span()),
                format!("{place} is in the list already"),
                None,
            );
            continue;
        }
        places.push(place);
    }
    places
}

pub(super) fn search(texts: &[Text], findings: &mut Findings<'_>) -> Vec<DomainName> {
    let mut names: Vec<DomainName> = Vec::with_capacity(texts.len());
    for text in texts {
        for name in domains(text.get_ref(), text.span(), findings) {
            if name.is_root() {
                let help = Some("leave it out: a name is asked as it is, too".to_owned());
                findings.error(Some(text.span()), "the root is no search suffix", help);
            } else if names.contains(&name) {
                findings.warn(
                    Some(text.span()),
                    format!("{name} is in the list already"),
                    None,
                );
            } else {
                names.push(name);
            }
        }
    }
    names
}

/// Reads a domain name; when it is wrong, reports that and returns what it most likely means.
pub(super) fn domains(said: &str, span: Span, findings: &mut Findings<'_>) -> Names {
    if let Some(name) = DomainName::of_hosts(said) {
        return names(Some(name), Vec::new());
    }
    let span = Some(span);
    if let Some(bare) = ["*.", "~", "."]
        .into_iter()
        .find_map(|start| said.strip_prefix(start))
        .filter(|bare| !bare.is_empty())
    {
        let message = format!("\"{said}\" is not a domain name");
        let help = format!("write \"{bare}\": all names below it are meant too");
        findings.error(span, message, Some(help));
        return names(plain_domain(bare), Vec::new());
    }
    if let Some((address, length)) = network(said) {
        let message = format!("\"{said}\" is an address, not a domain name");
        let zones = DomainName::reverse_zones(address, length);
        let shown: Vec<String> = zones
            .iter()
            .take(ZONES_SHOWN)
            .map(|zone| format!("\"{zone}\""))
            .collect();
        let more = if zones.len() > ZONES_SHOWN {
            ", …"
        } else {
            ""
        };
        let help = format!("for its reverse zone write {}{more}", shown.join(", "));
        findings.error(span, message, Some(help));
        return names(None, zones);
    }
    let name = match said.parse::<DomainName>() {
        Ok(name) if is_usual(said) => Some(name),
        Ok(_) => {
            let message = format!("\"{said}\" has a character that no domain name has");
            let help = Some("write one name for each text, as \"corp.example\"".to_owned());
            findings.error(span, message, help);
            None
        }
        Err(error) => {
            let help = Some("write a name as \"corp.example\"".to_owned());
            findings.error(span, error.to_string(), help);
            None
        }
    };
    names(name, Vec::new())
}

/// Names that a text means: hardly ever more than one.
type Names = std::iter::Chain<std::option::IntoIter<DomainName>, std::vec::IntoIter<DomainName>>;

fn names(one: Option<DomainName>, more: Vec<DomainName>) -> Names {
    one.into_iter().chain(more)
}

/// Reads a domain name of letters, digits, `-`, `_`, `/` (RFC 2317 §4), escapes and other scripts; no wildcard.
pub(super) fn plain_domain(text: &str) -> Option<DomainName> {
    is_usual(text).then(|| text.parse().ok()).flatten()
}

/// Whether a text has such characters only.
fn is_usual(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_ascii_alphanumeric()
            || matches!(c, '-' | '_' | '/' | '\\' | '.')
            || (!c.is_ascii() && !c.is_whitespace() && !c.is_control())
    })
}

/// Reads an address, or an address and length.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(':') {
        return None;
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, width(address)));
    }
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= width(address)).then_some((address, length))
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Reads an address with length, host bits kept.
pub(super) fn prefix(text: &Text, findings: &mut Findings<'_>) -> Option<Prefix> {
    let said = text.get_ref();
    let Some((address, length)) = said.split_once('/') else {
        let help = match said.parse::<IpAddr>() {
            Ok(address) => format!(
                "add the length of its network, as {address}/{}",
                usual(address)
            ),
            Err(_) if said == "default" => "write 0.0.0.0/0 or ::/0".to_owned(),
            Err(_) => "write an address and length, as 10.8.0.2/24".to_owned(),
        };
        let message = match said.parse::<IpAddr>() {
            Ok(_) => "the length of the network is missing",
            Err(_) => "this is not an IP address with a length",
        };
        findings.error(Some(text.span()), message, Some(help));
        return None;
    };
    let Ok(parsed) = address.parse::<IpAddr>() else {
        let span = part(text, 0..address.len(), findings);
        let help = Some("write an address and length, as 10.8.0.2/24".to_owned());
        findings.error(Some(span), "this is not an IP address", help);
        return None;
    };
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    let length_number = length.parse::<u8>().ok().filter(|_| digits);
    let Some(number) = length_number.filter(|length| *length <= width(parsed)) else {
        let start = address.len() + 1;
        let span = part(text, start..start + length.len(), findings);
        let message = format!("the length is not a number from 0 to {}", width(parsed));
        let help = Some(format!("write {parsed}/{}", usual(parsed)));
        findings.error(Some(span), message, help);
        return None;
    };
    Some(Prefix {
        address: parsed,
        length: number,
    })
}

/// The length that networks of hosts usually have.
fn usual(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 64,
    }
}

/// Reads a static address.
pub(super) fn own_address(text: &Text, findings: &mut Findings<'_>) -> Option<Prefix> {
    let prefix = prefix(text, findings)?;
    if prefix.address.is_unspecified() || prefix.address.is_multicast() {
        let message = format!("{} cannot be a link's address", prefix.address);
        let help = Some("write an address of one host".to_owned());
        findings.error(Some(text.span()), message, help);
        return None;
    }
    Some(prefix)
}

/// Reads the network of a route: a prefix without host bits.
pub(super) fn route_network(text: &Text, findings: &mut Findings<'_>) -> Option<Prefix> {
    let prefix = prefix(text, findings)?;
    let network = prefix.network();
    if network != prefix {
        let message = format!("{prefix} has host bits");
        let help = Some(format!("write {network}"));
        findings.error(Some(text.span()), message, help);
        return None;
    }
    Some(prefix)
}

pub(super) fn address(text: &Text, findings: &mut Findings<'_>) -> Option<IpAddr> {
    let read = text.get_ref().parse::<IpAddr>();
    let Some(address) = read.ok().filter(|address| !address.is_unspecified()) else {
        let help = Some("write an address, as 10.8.0.1".to_owned());
        findings.error(Some(text.span()), "this is not an IP address", help);
        return None;
    };
    Some(address)
}

/// Reads the lower half of an address, as `::1`.
pub(super) fn lower_half(text: &Text, findings: &mut Findings<'_>) -> Option<u64> {
    let read = half(text);
    if read.is_none() {
        let help = Some("write the lower half of an address, as \"::1\"".to_owned());
        findings.error(
            Some(text.span()),
            "this is no lower half of an address",
            help,
        );
    }
    read
}

fn half(text: &Text) -> Option<u64> {
    let address = text.get_ref().parse::<Ipv6Addr>().ok()?;
    let half = u64::try_from(address.to_bits()).ok()?;
    Some(half).filter(|half| *half != 0)
}

/// Reads how the lower half of an address is made.
pub(super) fn generation(text: &Text, findings: &mut Findings<'_>) -> Option<AddressGeneration> {
    match text.get_ref().as_str() {
        "stable" => return Some(AddressGeneration::Stable),
        "eui64" => return Some(AddressGeneration::Eui64),
        _ => {}
    }
    let token = half(text);
    if token.is_none() {
        let message = "this is no way to make addresses";
        let help = "write \"stable\", \"eui64\", or the lower half of an address, as \"::1\"";
        findings.error(Some(text.span()), message, Some(help.to_owned()));
    }
    token.map(AddressGeneration::Token)
}

pub(super) fn globs(texts: Option<&[Text]>, findings: &mut Findings<'_>) -> Vec<Glob> {
    let help = "globs know *, ?, [a-z] and [!a]; write [[] for a [ itself";
    parsed(texts, help, findings)
}

pub(super) fn macs(texts: Option<&[Text]>, findings: &mut Findings<'_>) -> Vec<Mac> {
    let help = "as `linnet status` and `ip link` show it";
    parsed(texts, help, findings)
}

fn parsed<T>(texts: Option<&[Text]>, help: &str, findings: &mut Findings<'_>) -> Vec<T>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    let mut values = Vec::new();
    for text in texts.unwrap_or_default() {
        match text.get_ref().parse::<T>() {
            Ok(value) => values.push(value),
            Err(error) => {
                findings.error(Some(text.span()), error.to_string(), Some(help.to_owned()));
            }
        }
    }
    values
}
