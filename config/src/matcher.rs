//! Which links does a profile govern? [`LinkMatch`], a conjunction of globs and values.
//!
//! Knows nothing of how a link's traits are found.

use std::fmt;
use std::str::{Chars, FromStr};

/// The predicate that binds a profile to links; every part that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkMatch {
    /// Globs on the link's name or alternative names; one must match.
    pub name: Vec<Glob>,
    /// Hardware addresses; one must be equal. A link that may have that of another one has to be meant by its name or kind too.
    pub mac: Vec<Mac>,
    /// Globs on the kind: `ethernet`, `wifi`, `loopback`, or the kernel's `IFLA_INFO_KIND` (`veth`, `wireguard`, `tun`).
    pub kind: Vec<Glob>,
    /// Globs on the driver.
    pub driver: Vec<Glob>,
    /// Globs on the device's path, as `pci-0000:00:1f.6`.
    pub path: Vec<Glob>,
}

/// What a link is, as far as a match can see.
#[derive(Debug, Clone, Copy)]
pub struct LinkTraits<'a> {
    /// The name and the alternative names.
    pub names: &'a [&'a str],
    /// The hardware address that it is known by, when there is one of six octets.
    pub mac: Option<Mac>,
    /// Whether that may be the address of a link that it stands on, or of a port.
    pub borrows_mac: bool,
    /// The kind.
    pub kind: &'a str,
    /// The driver.
    pub driver: Option<&'a str>,
    /// The device's path.
    pub path: Option<&'a str>,
}

impl LinkMatch {
    /// Returns the match of one name.
    pub fn of_name(name: &str) -> Self {
        Self {
            name: vec![Glob::only(name)],
            ..Self::default()
        }
    }

    /// Whether a link with these traits is governed.
    pub fn matches(&self, link: &LinkTraits<'_>) -> bool {
        let any = |globs: &[Glob], value: Option<&str>| {
            globs.is_empty()
                || value.is_some_and(|value| globs.iter().any(|glob| glob.matches(value)))
        };
        let named = self.name.is_empty()
            || self
                .name
                .iter()
                .any(|glob| link.names.iter().any(|name| glob.matches(name)));
        let is_meant = !link.borrows_mac || !self.name.is_empty() || !self.kind.is_empty();
        let mac = self.mac.is_empty() || is_meant && self.has_mac(link.mac);
        named
            && mac
            && any(&self.kind, Some(link.kind))
            && any(&self.driver, link.driver)
            && any(&self.path, link.path)
    }

    /// Whether this hardware address is among those that are given.
    pub fn has_mac(&self, mac: Option<Mac>) -> bool {
        mac.is_some_and(|mac| self.mac.contains(&mac))
    }
}

impl fmt::Display for LinkMatch {
    /// Writes the match as a person would call the links: the globs on names, or what else there is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let globs = [&self.name, &self.kind, &self.driver, &self.path];
        let parts: Vec<String> = globs.into_iter().flatten().map(Glob::to_string).collect();
        if parts.is_empty() {
            return f.write_str("by hardware address");
        }
        f.write_str(&parts.join("|"))
    }
}

/// A hardware address of six octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// Why a text is not a hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hardware address is six pairs of hexadecimal digits, as 00:53:00:a1:b2:c3")]
pub struct MacError;

impl FromStr for Mac {
    type Err = MacError;

    /// Reads six pairs of hexadecimal digits with `:` or `-` between them.
    fn from_str(text: &str) -> Result<Self, MacError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut pairs = text.split(separator);
        let mut octets = [0; 6];
        for octet in &mut octets {
            let pair = pairs.next().ok_or(MacError)?;
            if pair.len() != 2 || !pair.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(MacError);
            }
            *octet = u8::from_str_radix(pair, 16).map_err(|_| MacError)?;
        }
        match pairs.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(MacError),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A shell-like pattern: `*`, `?`, `[a-z]`, `[!a]`; a leading `!` negates the whole.
///
/// `[*]` is a star itself. Matching takes at most the product of the lengths of pattern and text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    text: Box<str>,
    is_negated: bool,
    pieces: Vec<Piece>,
}

/// Why a text is not a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Nothing, or `!` alone: it would fit nothing, or everything.
    #[error("the pattern is empty")]
    Empty,
    /// A `[` without its `]`.
    #[error("the [ has no ]")]
    OpenClass,
    /// A range whose end comes before its start.
    #[error("the range ends before it starts")]
    BackwardRange,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Piece {
    /// `*`
    Any,
    /// `?`
    One,
    Literal(char),
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Piece {
    fn fits(&self, character: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Literal(literal) => *literal == character,
            Self::Class { is_negated, ranges } => {
                let within = ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&character));
                within != *is_negated
            }
        }
    }
}

impl Glob {
    /// Returns the one text that fits, when there is no more than one and the pattern is that text.
    pub fn literal(&self) -> Option<&str> {
        let is_plain = !self.is_negated
            && self
                .pieces
                .iter()
                .all(|piece| matches!(piece, Piece::Literal(_)));
        is_plain.then_some(&*self.text)
    }

    /// Returns the pattern that only this text fits.
    pub fn only(text: &str) -> Self {
        Self {
            text: text.into(),
            is_negated: false,
            pieces: text.chars().map(Piece::Literal).collect(),
        }
    }

    /// Whether the whole of `text` fits the pattern.
    pub fn matches(&self, text: &str) -> bool {
        fits(&self.pieces, text) != self.is_negated
    }
}

/// Goes back to the last star only: an earlier one could not do better, so the work stays within the product of both lengths.
fn fits(pieces: &[Piece], text: &str) -> bool {
    let mut at = 0;
    let mut rest = text.chars();
    let mut star: Option<(usize, Chars<'_>)> = None;
    loop {
        match pieces.get(at) {
            Some(Piece::Any) => {
                at += 1;
                star = Some((at, rest.clone()));
                continue;
            }
            Some(piece) => {
                let mut ahead = rest.clone();
                if ahead.next().is_some_and(|character| piece.fits(character)) {
                    rest = ahead;
                    at += 1;
                    continue;
                }
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after_star, from)) = &mut star else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        at = *after_star;
        rest = from.clone();
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        let pattern = text.strip_prefix('!');
        let is_negated = pattern.is_some();
        let mut rest = pattern.unwrap_or(text).chars();
        let mut pieces = Vec::new();
        while let Some(character) = rest.next() {
            let piece = match character {
                '*' if pieces.last() == Some(&Piece::Any) => continue,
                '*' => Piece::Any,
                '?' => Piece::One,
                '[' => class(&mut rest)?,
                literal => Piece::Literal(literal),
            };
            pieces.push(piece);
        }
        if pieces.is_empty() {
            return Err(GlobError::Empty);
        }
        let text = text.into();
        Ok(Self {
            text,
            is_negated,
            pieces,
        })
    }
}

/// Reads a class after its `[`; a `]` right at the start is a member.
fn class(rest: &mut Chars<'_>) -> Result<Piece, GlobError> {
    let is_negated = rest.as_str().starts_with('!');
    if is_negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let first = rest.next().ok_or(GlobError::OpenClass)?;
        if first == ']' && !ranges.is_empty() {
            return Ok(Piece::Class { is_negated, ranges });
        }
        let mut ahead = rest.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                *rest = ahead;
                last
            }
            _ => first,
        };
        if last < first {
            return Err(GlobError::BackwardRange);
        }
        ranges.push((first, last));
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
