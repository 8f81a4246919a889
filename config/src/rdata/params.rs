//! How are service parameters written (RFC 9460 §2.1, appendix A)? `alpn=h2,h3 port=8443 ipv4hint=192.0.2.1`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::words::{Word, Words, unescape};
use super::{RdataError, RdataFault, unbase64};

/// The parameters with names (RFC 9460 §14.3.2, RFC 9461 §5, RFC 9540 §4); their numbers are their places.
const NAMES: [&str; 9] = [
    "mandatory",
    "alpn",
    "no-default-alpn",
    "port",
    "ipv4hint",
    "ech",
    "ipv6hint",
    "dohpath",
    "ohttp",
];

/// Reads all words that are left as parameters.
pub(super) fn read(words: &mut Words<'_>, rdata: &mut Vec<u8>) -> Result<(), RdataError> {
    // RFC 9460 §2.2: in the order of their numbers.
    let mut value_by_key: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    let mut mandatory = None;
    while let Some(word) = words.next()? {
        let (name, value) = match word.text.split_once('=') {
            Some((name, value)) => (name, Some(bare(value))),
            None => (word.text, None),
        };
        let key = number(name).ok_or_else(|| word.fault(RdataFault::Param))?;
        let octets = self::value(key, value, &word)?;
        if key == 0 {
            mandatory = Some((word.clone(), octets.clone()));
        }
        if value_by_key.insert(key, octets).is_some() {
            return Err(word.fault(RdataFault::ParamTwice));
        }
    }
    if let Some((word, keys)) = mandatory {
        let present = |key: &[u8; 2]| value_by_key.contains_key(&u16::from_be_bytes(*key));
        if !keys.as_chunks::<2>().0.iter().all(present) {
            return Err(word.fault(RdataFault::ParamAbsent));
        }
    }
    for (key, value) in value_by_key {
        // A text of a file is far shorter than that.
        let length = u16::try_from(value.len()).map_err(|_| words.all(RdataFault::TooLong))?;
        rdata.extend_from_slice(&key.to_be_bytes());
        rdata.extend_from_slice(&length.to_be_bytes());
        rdata.extend_from_slice(&value);
    }
    Ok(())
}

fn bare(value: &str) -> &str {
    let inner = value.strip_prefix('"');
    inner
        .and_then(|inner| inner.strip_suffix('"'))
        .unwrap_or(value)
}

fn number(name: &str) -> Option<u16> {
    let known = NAMES.iter().position(|known| *known == name);
    if let Some(at) = known {
        return u16::try_from(at).ok();
    }
    let digits = name.strip_prefix("key")?;
    let plain = digits == "0" || !digits.starts_with('0');
    let plain = plain && digits.bytes().all(|digit| digit.is_ascii_digit());
    // RFC 9460 §14.3.1: the last one is never used.
    let number = digits.parse().ok().filter(|number| *number < u16::MAX);
    number.filter(|_| plain)
}

fn value(key: u16, text: Option<&str>, word: &Word<'_>) -> Result<Vec<u8>, RdataError> {
    let wrong = || word.fault(RdataFault::ParamValue);
    let given = || text.filter(|text| !text.is_empty()).ok_or_else(wrong);
    match key {
        0 => {
            let mut keys = given()?
                .split(',')
                .map(number)
                .collect::<Option<Vec<u16>>>()
                .ok_or_else(wrong)?;
            keys.sort_unstable();
            let twice = keys.windows(2).any(|pair| pair.first() == pair.last());
            // RFC 9460 §8: neither itself nor the same twice.
            if twice || keys.contains(&0) {
                return Err(wrong());
            }
            Ok(keys.into_iter().flat_map(u16::to_be_bytes).collect())
        }
        1 => {
            let mut octets = Vec::new();
            for id in list(given()?).ok_or_else(wrong)? {
                let length = u8::try_from(id.len()).ok().filter(|length| *length > 0);
                octets.push(length.ok_or_else(wrong)?);
                octets.extend_from_slice(&id);
            }
            Ok(octets)
        }
        2 | 8 => match text {
            None | Some("") => Ok(Vec::new()),
            Some(_) => Err(wrong()),
        },
        3 => {
            let port: u16 = given()?.parse().map_err(|_| wrong())?;
            Ok(port.to_be_bytes().into())
        }
        4 => addresses::<Ipv4Addr>(given()?, |address| address.octets().into()).ok_or_else(wrong),
        5 => unbase64(given()?).ok_or_else(wrong),
        6 => addresses::<Ipv6Addr>(given()?, |address| address.octets().into()).ok_or_else(wrong),
        _ => unescape(text.unwrap_or_default()).ok_or_else(wrong),
    }
}

fn addresses<A: std::str::FromStr>(text: &str, octets: fn(A) -> Vec<u8>) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for address in text.split(',') {
        all.extend(octets(address.parse().ok()?));
    }
    Some(all)
}

/// RFC 9460 appendix A.1: parts at commas, after the escapes of the character-string are resolved.
fn list(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut items = vec![Vec::new()];
    let mut octets = unescape(text)?.into_iter();
    while let Some(octet) = octets.next() {
        match octet {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut()?.push(octets.next()?),
            other => items.last_mut()?.push(other),
        }
    }
    Some(items)
}
