//! What is a domain name? A wire-form, lower-case, fully-qualified key: [`DomainName`].
//!
//! Policy compares names byte by byte, so there is one form and no other: labels with their length octets, ASCII letters
//! in lower case (RFC 4343), ending in the root label. Hides the DNS library from `config` and `policy`.
//! Does not keep the spelling of a question (the resolver does), and knows nothing of records.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// The longest name in wire form, in octets (RFC 1035 §3.1).
pub const MAX_NAME: usize = 255;
/// The longest label, in octets (RFC 1035 §3.1).
pub const MAX_LABEL: usize = 63;

/// A fully-qualified domain name in wire form, letters in lower case. Clones share it.
///
/// Ordered label by label from the root, as zones are (RFC 4034 §6.1).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DomainName(Arc<[u8]>);

/// Why a text or a byte string is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or a leading dot.
    #[error("a label is empty")]
    EmptyLabel,
    /// A label above [`MAX_LABEL`] octets.
    #[error("a label is longer than 63 octets")]
    LabelTooLong,
    /// A name above [`MAX_NAME`] octets.
    #[error("the name is longer than 255 octets")]
    NameTooLong,
    /// A backslash not followed by a character or three digits up to 255.
    #[error("a backslash must be followed by a character or by three digits up to 255")]
    BadEscape,
    /// Letters outside ASCII that IDNA (UTS 46) does not map to a name.
    #[error("the name is not a valid international name (IDNA)")]
    BadInternational,
    /// Bytes that end before the root label, or a compression pointer.
    #[error("the wire form is cut short or compressed")]
    BadWire,
}

impl DomainName {
    /// Returns the root, `.`.
    pub fn root() -> Self {
        static ROOT: LazyLock<DomainName> = LazyLock::new(|| DomainName(Arc::new([0])));
        ROOT.clone()
    }

    /// Reads an uncompressed name from the start of `wire`; octets after the root label are not looked at.
    ///
    /// # Errors
    /// [`NameError::BadWire`] when it is compressed or cut short, [`NameError::NameTooLong`] above 255 octets.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut at = 0;
        loop {
            let length = usize::from(*wire.get(at).ok_or(NameError::BadWire)?);
            if length > MAX_LABEL {
                return Err(NameError::BadWire);
            }
            at += length + 1;
            if at > MAX_NAME {
                return Err(NameError::NameTooLong);
            }
            if length == 0 {
                break;
            }
        }
        if at == 1 {
            return Ok(Self::root());
        }
        let mut name = [0; MAX_NAME];
        let name = name.get_mut(..at).ok_or(NameError::BadWire)?;
        name.copy_from_slice(wire.get(..at).ok_or(NameError::BadWire)?);
        name.make_ascii_lowercase();
        Ok(Self((&*name).into()))
    }

    /// Reads a name as nearly all are: letters, digits, `-` and `_`, with no digit first; `None` for any other, which may be a name
    /// all the same. There may be many thousands of them.
    pub fn of_hosts(text: &str) -> Option<Self> {
        let begins_well = !text.as_bytes().first()?.is_ascii_digit();
        let is_usual = |octet: u8| USUAL.get(usize::from(octet)) == Some(&true);
        begins_well.then(|| wire_of(text, is_usual)).flatten()
    }

    /// Makes a name from labels, the leftmost first.
    ///
    /// # Errors
    /// As for any name: empty or long labels, a long name.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(64);
        for label in labels {
            push_label(&mut wire, label)?;
        }
        finish(wire)
    }

    /// Returns the wire form, length octets and root label included.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Returns the labels, the leftmost first, without the root.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (&length, tail) = rest.split_first()?;
            if length == 0 {
                return None;
            }
            let (label, tail) = tail.split_at(usize::from(length));
            rest = tail;
            Some(label)
        })
    }

    /// Returns the number of labels, without the root.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Returns the wire forms of this name and all its parents, this name first, the root last.
    pub fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        wire_suffixes(&self.0)
    }

    /// Returns the name without its leftmost label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        self.suffixes().nth(1).map(|wire| Self(wire.into()))
    }

    /// Whether this name is `suffix` or below it.
    pub fn is_in(&self, suffix: &Self) -> bool {
        self.suffixes().any(|wire| wire == suffix.as_wire())
    }

    /// Returns the part of this name to the left of `suffix`, as a name of its own; `None` when it is not in it.
    pub fn strip_suffix(&self, suffix: &Self) -> Option<Self> {
        if !self.is_in(suffix) {
            return None;
        }
        let mut wire = self.0[..self.0.len() - suffix.0.len()].to_vec();
        wire.push(0);
        Some(Self(wire.into()))
    }

    /// Appends `suffix`: `git` and `corp.test` make `git.corp.test`.
    ///
    /// # Errors
    /// [`NameError::NameTooLong`].
    pub fn join(&self, suffix: &Self) -> Result<Self, NameError> {
        let mut wire = self.0[..self.0.len() - 1].to_vec();
        wire.extend_from_slice(&suffix.0);
        if wire.len() > MAX_NAME {
            return Err(NameError::NameTooLong);
        }
        Ok(Self(wire.into()))
    }

    /// Returns the name under `in-addr.arpa` or `ip6.arpa` (RFC 1035 §3.5, RFC 3596 §2.5) of an address.
    pub fn reverse_of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => reverse4(v4, 4),
            IpAddr::V6(v6) => reverse6(v6, 32),
        }
    }

    /// Returns the reverse zones that make up a prefix; several when it does not end at an octet (v4) or nibble (v6).
    ///
    /// `10.8.0.0/22` gives `0.8.10.in-addr.arpa` to `3.8.10.in-addr.arpa`.
    pub fn reverse_zones(address: IpAddr, prefix_length: u8) -> Vec<Self> {
        match address {
            IpAddr::V4(v4) => {
                let length = u32::from(prefix_length.min(32));
                let octets = length.div_ceil(8);
                let base = v4.to_bits() & mask32(length);
                (0..1u32 << (octets * 8 - length))
                    .map(|step| {
                        let bits = if octets == 0 {
                            0
                        } else {
                            base | step << (32 - octets * 8)
                        };
                        reverse4(Ipv4Addr::from_bits(bits), octets as usize)
                    })
                    .collect()
            }
            IpAddr::V6(v6) => {
                let length = u32::from(prefix_length.min(128));
                let nibbles = length.div_ceil(4);
                let base = v6.to_bits() & mask128(length);
                (0..1u128 << (nibbles * 4 - length))
                    .map(|step| {
                        let bits = if nibbles == 0 {
                            0
                        } else {
                            base | step << (128 - nibbles * 4)
                        };
                        reverse6(Ipv6Addr::from_bits(bits), nibbles as usize)
                    })
                    .collect()
            }
        }
    }
}

/// Returns the wire forms of a name and of all its parents; `wire` must be a whole uncompressed name.
pub fn wire_suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(wire);
    std::iter::from_fn(move || {
        let here = rest?;
        let length = usize::from(*here.first()?);
        rest = if length == 0 {
            None
        } else {
            here.get(length + 1..)
        };
        Some(here)
    })
}

fn mask32(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

fn mask128(length: u32) -> u128 {
    u128::MAX.checked_shl(128 - length).unwrap_or(0)
}

fn reverse4(address: Ipv4Addr, octets: usize) -> DomainName {
    let texts: Vec<String> = address.octets()[..octets]
        .iter()
        .rev()
        .map(u8::to_string)
        .collect();
    let labels = texts
        .iter()
        .map(String::as_bytes)
        .chain([b"in-addr".as_slice(), b"arpa"]);
    DomainName::from_labels(labels).expect("an address makes short labels")
}

fn reverse6(address: Ipv6Addr, nibbles: usize) -> DomainName {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let octets = address.octets();
    let digits: Vec<&[u8]> = (0..nibbles)
        .rev()
        .map(|at| {
            let octet = octets[at / 2];
            let value = usize::from(if at % 2 == 0 { octet >> 4 } else { octet & 15 });
            &DIGITS[value..=value]
        })
        .collect();
    DomainName::from_labels(digits.into_iter().chain([b"ip6".as_slice(), b"arpa"]))
        .expect("an address makes short labels")
}

fn push_label(wire: &mut Vec<u8>, label: &[u8]) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    let length = u8::try_from(label.len())
        .ok()
        .filter(|&length| usize::from(length) <= MAX_LABEL);
    wire.push(length.ok_or(NameError::LabelTooLong)?);
    wire.extend(label.iter().map(u8::to_ascii_lowercase));
    Ok(())
}

fn finish(mut wire: Vec<u8>) -> Result<DomainName, NameError> {
    wire.push(0);
    if wire.len() > MAX_NAME {
        return Err(NameError::NameTooLong);
    }
    Ok(DomainName(wire.into()))
}

/// Reads a name without escapes and mistakes.
fn plain(text: &str) -> Option<DomainName> {
    wire_of(text, |octet| octet != b'\\')
}

/// The octets that are usual in names of hosts.
const USUAL: [bool; 256] = {
    let mut usual = [false; 256];
    let mut octet = 0u8;
    while octet < 128 {
        usual[octet as usize] =
            octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
        octet += 1;
    }
    usual
};

/// Makes a name of a text that has nothing but labels, dots and such octets, in one walk: there may be many thousands of them.
#[inline]
fn wire_of(text: &str, is_good: impl Fn(u8) -> bool) -> Option<DomainName> {
    let text = text.strip_suffix('.').unwrap_or(text).as_bytes();
    if text.len() + 2 > MAX_NAME {
        return None;
    }
    // An octet finds its place in it without a look at its length.
    let mut wire = [0u8; 1 << u8::BITS];
    let mut is_name = true;
    // A length stands in place of each dot and before the name, the root after it.
    let mut length_at = 0u8;
    let mut at = 0u8;
    for &octet in text {
        at += 1;
        is_name &= is_good(octet);
        wire[usize::from(at)] = octet.to_ascii_lowercase();
        if octet == b'.' {
            let label = at - length_at - 1;
            is_name &= is_label(label);
            wire[usize::from(length_at)] = label;
            length_at = at;
        }
    }
    let label = at - length_at;
    is_name &= is_label(label);
    wire[usize::from(length_at)] = label;
    let name = wire.get(..usize::from(at) + 2)?;
    is_name.then(|| DomainName(name.into()))
}

/// Whether a label may be so long.
const fn is_label(length: u8) -> bool {
    length != 0 && length as usize <= MAX_LABEL
}

impl FromStr for DomainName {
    type Err = NameError;

    /// Reads presentation form: dots, `\.` and `\DDD` escapes, an optional final dot; other scripts by IDNA (UTS 46).
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        let mapped;
        let ascii = if text.is_ascii() {
            text
        } else {
            mapped = idna::domain_to_ascii(text).map_err(|_| NameError::BadInternational)?;
            &mapped
        };
        plain(ascii).map_or_else(|| escaped(ascii), Ok)
    }
}

/// Reads any name of ASCII characters.
fn escaped(ascii: &str) -> Result<DomainName, NameError> {
    let mut wire = Vec::with_capacity(ascii.len() + 2);
    let mut label = Vec::with_capacity(MAX_LABEL);
    let mut bytes = ascii.bytes().peekable();
    let mut ended = false;
    if ascii.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    while let Some(byte) = bytes.next() {
        ended = false;
        match byte {
            b'.' => {
                push_label(&mut wire, &label)?;
                label.clear();
                ended = true;
            }
            b'\\' => {
                let next = bytes.next().ok_or(NameError::BadEscape)?;
                if next.is_ascii_digit() {
                    let mut value = u16::from(next - b'0');
                    for _ in 0..2 {
                        let digit = bytes.next().filter(u8::is_ascii_digit);
                        value = value * 10 + u16::from(digit.ok_or(NameError::BadEscape)? - b'0');
                    }
                    label.push(u8::try_from(value).map_err(|_| NameError::BadEscape)?);
                } else {
                    label.push(next);
                }
            }
            other => label.push(other),
        }
    }
    if !ended {
        push_label(&mut wire, &label)?;
    }
    finish(wire)
}

impl fmt::Display for DomainName {
    /// Writes presentation form without the final dot (`.` for the root); dots and unprintable octets are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (at, label) in self.labels().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            for &byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                    0x21..=0x7e => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Ord for DomainName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (mine, theirs) = (Labels::of(&self.0), Labels::of(&other.0));
        mine.upside_down().cmp(theirs.upside_down())
    }
}

/// Where the labels of a name begin.
struct Labels<'a> {
    wire: &'a [u8],
    /// A name of [`MAX_NAME`] octets has no more than this many.
    starts: [u8; MAX_NAME / 2 + 1],
    count: usize,
}

impl<'a> Labels<'a> {
    fn of(wire: &'a [u8]) -> Self {
        let mut labels = Self {
            wire,
            starts: [0; MAX_NAME / 2 + 1],
            count: 0,
        };
        let mut at = 0u8;
        while let Some(&length) = wire.get(usize::from(at)).filter(|&&length| length > 0) {
            let Some(start) = labels.starts.get_mut(labels.count) else {
                break;
            };
            *start = at;
            labels.count += 1;
            at = at.saturating_add(length + 1);
        }
        labels
    }

    /// Returns the labels, the rightmost first.
    fn upside_down(&self) -> impl Iterator<Item = &'a [u8]> {
        let starts = self.starts.get(..self.count).unwrap_or_default();
        starts.iter().rev().map(|&start| {
            let rest = self.wire.get(usize::from(start)..).unwrap_or_default();
            let (length, rest) = rest.split_first().unwrap_or((&0, &[]));
            rest.get(..usize::from(*length)).unwrap_or_default()
        })
    }
}

impl PartialOrd for DomainName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl serde::Serialize for DomainName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for DomainName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
