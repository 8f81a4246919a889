//! How do people read records? Names of types, classes and codes, and records as zone-file text.
//!
//! What comes from outside never reaches a terminal raw: everything but printable ASCII is escaped. The DNS library prints
//! the types that are laid out in a way of their own; what it does not know is in the form of RFC 3597 §5. Does not read
//! zone files.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use config::name::DomainName;
use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::{BinDecodable as _, BinEncodable as _};

use crate::reader::Reader;
use crate::record::RawRecord;
use crate::wire::class;

/// Types and their mnemonics (IANA, DNS parameters).
const TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (3, "MD"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (24, "SIG"),
    (25, "KEY"),
    (26, "PX"),
    (28, "AAAA"),
    (29, "LOC"),
    (30, "NXT"),
    (33, "SRV"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (39, "DNAME"),
    (41, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (55, "HIP"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (66, "DSYNC"),
    (99, "SPF"),
    (104, "NID"),
    (105, "L32"),
    (106, "L64"),
    (107, "LP"),
    (108, "EUI48"),
    (109, "EUI64"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (253, "MAILB"),
    (254, "MAILA"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
    (258, "AVC"),
    (260, "AMTRELAY"),
    (261, "RESINFO"),
    (32769, "DLV"),
];

/// Codes and their mnemonics (IANA, DNS parameters).
const RCODES: &[(u16, &str)] = &[
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (7, "YXRRSET"),
    (8, "NXRRSET"),
    (9, "NOTAUTH"),
    (10, "NOTZONE"),
    (11, "DSOTYPENI"),
    (16, "BADVERS"),
    (17, "BADKEY"),
    (18, "BADTIME"),
    (19, "BADMODE"),
    (20, "BADNAME"),
    (21, "BADALG"),
    (22, "BADTRUNC"),
    (23, "BADCOOKIE"),
];

/// Returns a type's mnemonic: `AAAA`, `HTTPS`, `TYPE65280`.
pub fn type_name(record_type: u16) -> String {
    let row = TYPES.iter().find(|(number, _)| *number == record_type);
    row.map_or_else(|| format!("TYPE{record_type}"), |row| row.1.to_owned())
}

/// Reads a type: a mnemonic in either case, `TYPE65`, or a number.
pub fn parse_type(text: &str) -> Option<u16> {
    let row = TYPES
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(text));
    if let Some((number, _)) = row {
        return Some(*number);
    }
    let number = match text.split_at_checked(4) {
        Some((head, number)) if head.eq_ignore_ascii_case("TYPE") => number,
        _ => text,
    };
    number
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| number.parse().ok())?
}

/// Returns a class's mnemonic: `IN`, `CLASS65280`.
pub fn class_name(class: u16) -> String {
    match class {
        class::IN => "IN".to_owned(),
        3 => "CH".to_owned(),
        4 => "HS".to_owned(),
        class::ANY => "ANY".to_owned(),
        other => format!("CLASS{other}"),
    }
}

/// Returns a code's mnemonic: `NXDOMAIN`, `RCODE3841`.
pub fn rcode_name(rcode: u16) -> String {
    let row = RCODES.iter().find(|(number, _)| *number == rcode);
    row.map_or_else(|| format!("RCODE{rcode}"), |row| row.1.to_owned())
}

/// Returns a record as a line of a zone file, without line end.
pub fn record_text(record: &RawRecord) -> String {
    let owner = name_text(&record.name).unwrap_or_else(|| ".".to_owned());
    let class = class_name(record.class);
    let kind = type_name(record.record_type);
    let rdata = rdata_text(record);
    format!("{owner} {} {class} {kind} {rdata}", record.ttl)
}

/// Returns a record's rdata as in a zone file.
pub fn rdata_text(record: &RawRecord) -> String {
    let by_parts = parts(record.record_type).and_then(|parts| {
        let mut reader = Reader::new(&record.rdata);
        let texts: Option<Vec<String>> = parts
            .iter()
            .map(|part| part.text(&mut reader))
            .filter(|text| text.as_deref() != Some(""))
            .collect();
        texts
            .filter(|_| reader.is_done())
            .map(|texts| texts.join(" "))
    });
    by_parts
        .or_else(|| library_text(record))
        .unwrap_or_else(|| unknown_text(&record.rdata))
}

/// A part of rdata, in the way people read it.
#[derive(Debug, Clone, Copy)]
enum Part {
    Ipv4,
    Ipv6,
    Name,
    Byte,
    Word,
    Long,
    /// A type's mnemonic.
    Type,
    /// A date of RFC 4034 §3.2.
    Date,
    /// A character-string.
    Text,
    /// Character-strings to the end.
    Texts,
    /// One string to the end (RFC 8659 §4.1).
    Value,
    /// A tag that is a character-string without quotes.
    Tag,
    /// Octets with a length before them, in hexadecimal (RFC 5155 §3.3).
    Salt,
    /// Octets with a length before them, in base 32 (RFC 5155 §3.3).
    Hash,
    /// Octets to the end, in hexadecimal.
    Hex,
    /// Octets to the end, in base 64.
    Base64,
    /// Type bit maps (RFC 4034 §4.1.2).
    Types,
}

/// Returns the parts of a type's rdata; `None` for types that are not just parts.
fn parts(record_type: u16) -> Option<&'static [Part]> {
    use Part::{
        Base64, Byte, Date, Hash, Hex, Ipv4, Ipv6, Long, Name, Salt, Tag, Text, Texts, Type, Types,
        Value, Word,
    };
    Some(match record_type {
        1 => &[Ipv4],
        2..=5 | 7..=9 | 12 | 39 => &[Name],
        6 => &[Name, Name, Long, Long, Long, Long, Long],
        13 => &[Text, Text],
        14 | 17 => &[Name, Name],
        15 | 18 | 21 | 36 | 107 => &[Word, Name],
        16 | 99 | 258 | 261 => &[Texts],
        28 => &[Ipv6],
        33 => &[Word, Word, Word, Name],
        35 => &[Word, Word, Text, Text, Text, Name],
        43 | 59 => &[Word, Byte, Byte, Hex],
        44 => &[Byte, Byte, Hex],
        46 => &[Type, Byte, Byte, Long, Date, Date, Word, Name, Base64],
        47 => &[Name, Types],
        48 | 60 => &[Word, Byte, Byte, Base64],
        49 | 61 => &[Base64],
        50 => &[Byte, Byte, Word, Salt, Hash, Types],
        51 => &[Byte, Byte, Word, Salt],
        52 | 53 => &[Byte, Byte, Byte, Hex],
        62 => &[Long, Word, Types],
        63 => &[Long, Byte, Byte, Hex],
        256 => &[Word, Word, Value],
        257 => &[Byte, Tag, Value],
        _ => return None,
    })
}

impl Part {
    fn text(self, reader: &mut Reader<'_>) -> Option<String> {
        Some(match self {
            Self::Ipv4 => Ipv4Addr::from_bits(reader.long()?).to_string(),
            Self::Ipv6 => {
                let octets: [u8; 16] = reader.take(16)?.try_into().ok()?;
                Ipv6Addr::from(octets).to_string()
            }
            Self::Name => {
                let rest = reader.wire.get(reader.at..)?;
                let name = DomainName::from_wire(rest).ok()?;
                name_text(reader.take(name.as_wire().len())?)?
            }
            Self::Byte => reader.byte()?.to_string(),
            Self::Word => reader.word()?.to_string(),
            Self::Long => reader.long()?.to_string(),
            Self::Type => type_name(reader.word()?),
            Self::Date => date_text(reader.long()?),
            Self::Text => quoted(counted(reader)?),
            Self::Texts => {
                let mut texts = vec![quoted(counted(reader)?)];
                while !reader.is_done() {
                    texts.push(quoted(counted(reader)?));
                }
                texts.join(" ")
            }
            Self::Value => quoted(rest(reader)?),
            Self::Tag => {
                let tag = counted(reader)?;
                if !tag.iter().all(u8::is_ascii_alphanumeric) {
                    return None;
                }
                String::from_utf8_lossy(tag).into_owned()
            }
            Self::Salt => match counted(reader)? {
                [] => "-".to_owned(),
                salt => hex(salt),
            },
            Self::Hash => base_text(counted(reader)?, 5, BASE32_HEX),
            Self::Hex => hex(rest(reader)?),
            Self::Base64 => {
                let octets = rest(reader)?;
                let mut text = base_text(octets, 6, BASE64);
                while !text.len().is_multiple_of(4) {
                    text.push('=');
                }
                text
            }
            Self::Types => types_text(reader)?,
        })
    }
}

fn counted<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.byte()?;
    reader.take(length.into())
}

fn rest<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    reader.take(reader.wire.len().checked_sub(reader.at)?)
}

/// A name with its final dot, spelling kept; `None` when it is not one.
fn name_text(wire: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut reader = Reader::new(wire);
    loop {
        let label = counted(&mut reader)?;
        if label.is_empty() {
            break;
        }
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    text.extend(['\\', char::from(byte)]);
                }
                other => push_byte(&mut text, other, false),
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    Some(text)
}

/// RFC 1035 §5.1: a quoted string, its octets escaped.
fn quoted(octets: &[u8]) -> String {
    let mut text = String::from('"');
    for &byte in octets {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            other => push_byte(&mut text, other, true),
        }
    }
    text.push('"');
    text
}

fn push_byte(text: &mut String, byte: u8, space: bool) {
    if byte.is_ascii_graphic() || (space && byte == b' ') {
        text.push(char::from(byte));
    } else {
        text.push('\\');
        text.extend([byte / 100, byte / 10 % 10, byte % 10].map(|digit| char::from(b'0' + digit)));
    }
}

fn hex(octets: &[u8]) -> String {
    base_text(octets, 4, b"0123456789abcdef")
}

const BASE32_HEX: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, without padding: `bits` of the octets at a time, by the `digits`.
fn base_text(octets: &[u8], bits: u32, digits: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    let mask = (1u32 << bits) - 1;
    let mut push = |value: u32| {
        let digit = digits.get((value & mask) as usize);
        text.extend(digit.copied().map(char::from));
    };
    let (mut held, mut count) = (0u32, 0u32);
    for &octet in octets {
        held = (held << 8 | u32::from(octet)) & 0xffff;
        count += 8;
        while count >= bits {
            count -= bits;
            push(held >> count);
        }
    }
    if count > 0 {
        push(held << (bits - count));
    }
    text
}

/// RFC 4034 §3.2: `YYYYMMDDHHmmSS`, here of the seconds since 1970 (the form does not outlive 2106 either).
fn date_text(seconds: u32) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days are counted in eras of 400 years that begin on the first of March, so that leap days come last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era + year_of_era / 100 - year_of_era / 4 - 365 * year_of_era;
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year_of_era + carry;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

fn types_text(reader: &mut Reader<'_>) -> Option<String> {
    let mut names = Vec::new();
    while !reader.is_done() {
        let window = reader.byte()?;
        for (at, octet) in (0u8..32).zip(counted(reader)?) {
            for bit in (0..8u8).filter(|bit| octet & 0x80 >> bit != 0) {
                names.push(type_name(u16::from_be_bytes([window, at * 8 + bit])));
            }
        }
    }
    Some(names.join(" "))
}

/// The library decodes and prints; whatever is not printable ASCII afterwards is not shown that way.
fn library_text(record: &RawRecord) -> Option<String> {
    use hickory_proto::rr::{RData, Record};
    // Without rdata, the library takes a record for one of RFC 2136.
    if record.rdata.is_empty() {
        return None;
    }
    if matches!(
        RecordType::from(record.record_type),
        RecordType::Unknown(_) | RecordType::OPT | RecordType::NULL
    ) {
        return None;
    }
    let mut wire = vec![0];
    wire.extend_from_slice(&record.record_type.to_be_bytes());
    wire.extend_from_slice(&class::IN.to_be_bytes());
    wire.extend_from_slice(&record.ttl.to_be_bytes());
    wire.extend_from_slice(&u16::try_from(record.rdata.len()).ok()?.to_be_bytes());
    wire.extend_from_slice(&record.rdata);
    let decoded = Record::<RData>::from_bytes(&wire).ok()?;
    // What does not come back as it went in would be shown as something it is not.
    if decoded.to_bytes().ok()? != wire || matches!(decoded.data, RData::Unknown { .. }) {
        return None;
    }
    let text = decoded.data.to_string();
    let printable = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    (printable && !text.is_empty()).then_some(text)
}

/// RFC 3597 §5: `\# LENGTH HEX`.
fn unknown_text(rdata: &[u8]) -> String {
    let mut text = format!("\\# {}", rdata.len());
    if !rdata.is_empty() {
        // Writing to a string does not fail.
        write!(text, " {}", hex(rdata)).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests;
