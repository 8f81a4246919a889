//! What does a record's text mean in octets? RDATA in zone-file form (RFC 1035 §5.1) to wire form.
//!
//! One row for each type says what its text is made of; any other type is written in the form of RFC 3597 §5,
//! `\# LENGTH HEX`. Every mistake says which part of the text it is in. Reads one record's data: no owners, TTLs,
//! directives or comments. Keeps the spelling of nothing but texts: names come out in lower case, uncompressed.

mod params;
mod words;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::name::{DomainName, NameError};
use words::{Word, Words};

/// The longest RDATA that is taken, in octets: a quarter of a message, so that a set of several still fits one.
pub const MAX_RDATA: usize = 16_384;

/// Types whose text is understood, by their mnemonics (IANA, DNS parameters).
const TYPES: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("KX", 36),
    ("CERT", 37),
    ("DNAME", 39),
    ("DS", 43),
    ("SSHFP", 44),
    ("DNSKEY", 48),
    ("TLSA", 52),
    ("SMIMEA", 53),
    ("OPENPGPKEY", 61),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("SPF", 99),
    ("EUI48", 108),
    ("EUI64", 109),
    ("URI", 256),
    ("CAA", 257),
];

/// A mistake in a record's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct RdataError {
    /// The octets of the text that it is in; empty at the end of the text when something is missing.
    pub part: Range<usize>,
    /// What is wrong.
    pub fault: RdataFault,
}

/// What can be wrong with a record's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RdataFault {
    /// The text ends before this.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// There is more than the type has.
    #[error("there is more here than the type has")]
    Extra,
    /// Not a number of this range.
    #[error("this is not a whole number from 0 to {0}")]
    Number(u64),
    /// Not an IPv4 address.
    #[error("this is not an IPv4 address")]
    Ipv4,
    /// Not an IPv6 address.
    #[error("this is not an IPv6 address")]
    Ipv6,
    /// Not a domain name.
    #[error("this is not a domain name: {0}")]
    Name(NameError),
    /// Not octets in hexadecimal.
    #[error("this is not an even number of hexadecimal digits")]
    Hex,
    /// Not octets in base 64.
    #[error("this is not base 64")]
    Base64,
    /// A character-string above 255 octets.
    #[error("a text is longer than 255 octets; write several")]
    TextTooLong,
    /// A quotation mark without its other.
    #[error("the quotation mark is never closed")]
    Quote,
    /// A backslash that escapes nothing.
    #[error("a backslash must be followed by a character or by three digits up to 255")]
    Escape,
    /// A tag of CAA that is not letters and digits.
    #[error("this is not a tag of letters and digits")]
    Tag,
    /// More octets than [`MAX_RDATA`].
    #[error("the record is longer than {MAX_RDATA} octets")]
    TooLong,
    /// The length of RFC 3597 is not that of the octets.
    #[error("the length is not that of the octets that follow")]
    Length,
    /// A type whose text is not known.
    #[error("the text of this type is not known; write \\# LENGTH HEX (RFC 3597)")]
    UnknownType,
    /// A parameter of SVCB that is not known.
    #[error("this is no service parameter")]
    Param,
    /// A parameter of SVCB twice.
    #[error("this service parameter stands here twice")]
    ParamTwice,
    /// A parameter's value that it cannot have.
    #[error("this is no value for the service parameter")]
    ParamValue,
    /// A parameter that `mandatory` names, and that is not there.
    #[error("`mandatory` names a service parameter that is not here")]
    ParamAbsent,
}

/// A part of rdata, in the way people write it.
#[derive(Debug, Clone, Copy)]
enum Part {
    Ipv4,
    Ipv6,
    Name(&'static str),
    Byte(&'static str),
    Number(&'static str),
    Long(&'static str),
    /// A character-string.
    Text(&'static str),
    /// Character-strings to the end, one at least.
    Texts,
    /// A tag of CAA.
    Tag,
    /// One string to the end, without length (RFC 8659 §4.1).
    Value,
    /// Octets to the end, in hexadecimal; spaces are allowed.
    Hex,
    /// Octets to the end, in base 64; spaces are allowed.
    Base64,
    /// So many octets, in hexadecimal with hyphens (RFC 7043 §3.2).
    Eui(usize),
    /// Service parameters (RFC 9460 §2.1).
    Params,
}

fn parts(record_type: u16) -> Option<&'static [Part]> {
    use Part::{
        Base64, Byte, Eui, Hex, Ipv4, Ipv6, Long, Name, Number, Params, Tag, Text, Texts, Value,
    };
    Some(match record_type {
        1 => &[Ipv4],
        2 | 5 | 12 | 39 => &[Name("the name")],
        6 => &[
            Name("the name of the server"),
            Name("the mailbox"),
            Long("the serial"),
            Long("the refresh time"),
            Long("the retry time"),
            Long("the expire time"),
            Long("the minimum"),
        ],
        13 => &[Text("the CPU"), Text("the operating system")],
        15 | 36 => &[Number("the preference"), Name("the exchange")],
        16 | 99 => &[Texts],
        17 => &[Name("the mailbox"), Name("the name of the text")],
        18 => &[Number("the subtype"), Name("the host")],
        28 => &[Ipv6],
        33 => &[
            Number("the priority"),
            Number("the weight"),
            Number("the port"),
            Name("the target"),
        ],
        35 => &[
            Number("the order"),
            Number("the preference"),
            Text("the flags"),
            Text("the service"),
            Text("the regular expression"),
            Name("the replacement"),
        ],
        37 => &[
            Number("the type of certificate"),
            Number("the key tag"),
            Byte("the algorithm"),
            Base64,
        ],
        43 => &[
            Number("the key tag"),
            Byte("the algorithm"),
            Byte("the digest type"),
            Hex,
        ],
        44 => &[Byte("the algorithm"), Byte("the fingerprint type"), Hex],
        48 => &[
            Number("the flags"),
            Byte("the protocol"),
            Byte("the algorithm"),
            Base64,
        ],
        52 | 53 => &[
            Byte("the usage"),
            Byte("the selector"),
            Byte("the matching type"),
            Hex,
        ],
        61 => &[Base64],
        64 | 65 => &[Number("the priority"), Name("the target"), Params],
        108 => &[Eui(6)],
        109 => &[Eui(8)],
        256 => &[Number("the priority"), Number("the weight"), Value],
        257 => &[Byte("the flags"), Tag, Value],
        _ => return None,
    })
}

/// Returns the type that a mnemonic, or `TYPE` and a number (RFC 3597 §5), stands for.
pub fn parse_type(text: &str) -> Option<u16> {
    let known = TYPES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    if let Some((_, number)) = known {
        return Some(*number);
    }
    let digits = text
        .get(..4)
        .filter(|start| start.eq_ignore_ascii_case("TYPE"))
        .and_then(|_| text.get(4..))?;
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Returns the mnemonic of a type, or `TYPE` and its number.
pub fn type_text(record_type: u16) -> String {
    let known = TYPES.iter().find(|(_, number)| *number == record_type);
    known.map_or_else(
        || format!("TYPE{record_type}"),
        |(name, _)| (*name).to_owned(),
    )
}

/// Returns the mnemonics of the types whose text is understood.
pub fn known_types() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _)| *name)
}

/// Reads the data of a record.
///
/// Without `origin` every name is absolute, with or without its final dot; with one, a name without it is below the origin,
/// and `@` is the origin.
///
/// # Errors
/// [`RdataError`], with the part of the text that is wrong.
pub fn parse(
    record_type: u16,
    text: &str,
    origin: Option<&DomainName>,
) -> Result<Vec<u8>, RdataError> {
    let mut words = Words::new(text);
    let mut rdata = Vec::with_capacity(32);
    if let Some(first) = words.peek()?
        && first.is("\\#")
    {
        words.next()?;
        generic(&mut words, &mut rdata)?;
    } else {
        let parts = parts(record_type).ok_or_else(|| words.all(RdataFault::UnknownType))?;
        for part in parts {
            part.read(&mut words, origin, &mut rdata)?;
        }
    }
    if let Some(word) = words.next()? {
        return Err(word.fault(RdataFault::Extra));
    }
    if rdata.len() > MAX_RDATA {
        return Err(words.all(RdataFault::TooLong));
    }
    Ok(rdata)
}

/// RFC 3597 §5: a length, and octets in hexadecimal.
fn generic(words: &mut Words<'_>, rdata: &mut Vec<u8>) -> Result<(), RdataError> {
    let word = words.need("the length")?;
    let length = number(&word, u64::from(u16::MAX))?;
    if length > 0 {
        Part::Hex.read(words, None, rdata)?;
    }
    match u64::try_from(rdata.len()) == Ok(length) {
        true => Ok(()),
        false => Err(word.fault(RdataFault::Length)),
    }
}

impl Part {
    fn read(
        self,
        words: &mut Words<'_>,
        origin: Option<&DomainName>,
        rdata: &mut Vec<u8>,
    ) -> Result<(), RdataError> {
        match self {
            Self::Ipv4 => {
                let word = words.need("the address")?;
                let address: Ipv4Addr = word
                    .text
                    .parse()
                    .map_err(|_| word.fault(RdataFault::Ipv4))?;
                rdata.extend_from_slice(&address.octets());
            }
            Self::Ipv6 => {
                let word = words.need("the address")?;
                let address: Ipv6Addr = word
                    .text
                    .parse()
                    .map_err(|_| word.fault(RdataFault::Ipv6))?;
                rdata.extend_from_slice(&address.octets());
            }
            Self::Name(what) => {
                let name = name(&words.need(what)?, origin)?;
                rdata.extend_from_slice(name.as_wire());
            }
            Self::Byte(what) => {
                let value = number(&words.need(what)?, u64::from(u8::MAX))?;
                rdata.extend(value.to_be_bytes().last());
            }
            Self::Number(what) => {
                let value = number(&words.need(what)?, u64::from(u16::MAX))?;
                rdata.extend_from_slice(value.to_be_bytes().get(6..).unwrap_or_default());
            }
            Self::Long(what) => {
                let value = number(&words.need(what)?, u64::from(u32::MAX))?;
                rdata.extend_from_slice(value.to_be_bytes().get(4..).unwrap_or_default());
            }
            Self::Text(what) => push_text(&words.need(what)?, rdata)?,
            Self::Texts => {
                push_text(&words.need("the text")?, rdata)?;
                while let Some(word) = words.next()? {
                    push_text(&word, rdata)?;
                }
            }
            Self::Tag => {
                let word = words.need("the tag")?;
                let length = u8::try_from(word.text.len()).ok();
                let good = word.text.bytes().all(|byte| byte.is_ascii_alphanumeric());
                let length = length.filter(|&length| good && length > 0);
                rdata.push(length.ok_or_else(|| word.fault(RdataFault::Tag))?);
                rdata.extend_from_slice(word.text.as_bytes());
            }
            Self::Value => rdata.extend_from_slice(&words.need("the value")?.octets()?),
            Self::Hex => {
                let (text, whole) = words.rest("the value in hexadecimal")?;
                let octets = unhex(&text).ok_or_else(|| whole.fault(RdataFault::Hex))?;
                rdata.extend_from_slice(&octets);
            }
            Self::Base64 => {
                let (text, whole) = words.rest("the value in base 64")?;
                let octets = unbase64(&text).ok_or_else(|| whole.fault(RdataFault::Base64))?;
                rdata.extend_from_slice(&octets);
            }
            Self::Eui(length) => {
                let word = words.need("the identifier")?;
                let digits: Vec<&str> = word.text.split('-').collect();
                let good = digits.len() == length && digits.iter().all(|digits| digits.len() == 2);
                let octets = unhex(&digits.concat()).filter(|_| good);
                rdata.extend(octets.ok_or_else(|| word.fault(RdataFault::Hex))?);
            }
            Self::Params => params::read(words, rdata)?,
        }
        Ok(())
    }
}

fn number(word: &Word<'_>, most: u64) -> Result<u64, RdataError> {
    let plain = !word.text.is_empty() && word.text.bytes().all(|digit| digit.is_ascii_digit());
    let value = word
        .text
        .parse()
        .ok()
        .filter(|value| plain && *value <= most);
    value.ok_or_else(|| word.fault(RdataFault::Number(most)))
}

/// Reads a name; see [`parse`] for what `origin` does.
pub fn parse_name(text: &str, origin: Option<&DomainName>) -> Result<DomainName, NameError> {
    match origin {
        Some(origin) if text == "@" => Ok(origin.clone()),
        Some(origin) if !is_absolute(text) => text.parse::<DomainName>()?.join(origin),
        Some(_) | None => text.parse(),
    }
}

fn name(word: &Word<'_>, origin: Option<&DomainName>) -> Result<DomainName, RdataError> {
    parse_name(word.text, origin).map_err(|error| word.fault(RdataFault::Name(error)))
}

/// Whether a name ends in a dot that is not escaped.
fn is_absolute(text: &str) -> bool {
    let Some(before) = text.strip_suffix('.') else {
        return false;
    };
    let escapes = before.bytes().rev().take_while(|byte| *byte == b'\\');
    escapes.count() % 2 == 0
}

/// RFC 1035 §3.3: a length octet and the octets.
fn push_text(word: &Word<'_>, rdata: &mut Vec<u8>) -> Result<(), RdataError> {
    let octets = word.octets()?;
    let length = u8::try_from(octets.len()).map_err(|_| word.fault(RdataFault::TextTooLong))?;
    rdata.push(length);
    rdata.extend_from_slice(&octets);
    Ok(())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        let value = char::from(byte).to_digit(16)?;
        u8::try_from(value).ok()
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

/// RFC 4648 §4, with its padding.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    if bytes.is_empty() || !bytes.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut octets = Vec::with_capacity(bytes.len() / 4 * 3);
    let (mut held, mut count) = (0u32, 0u32);
    for byte in bytes.get(..bytes.len() - padding)? {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((held >> count).to_be_bytes()[3]);
            held &= (1 << count) - 1;
        }
    }
    // What is left over must be the zeros of the padding.
    (held == 0).then_some(octets)
}

#[cfg(test)]
mod tests;
