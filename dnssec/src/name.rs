//! What is a name to a validator? Labels in lower case, in the canonical order of RFC 4034 §6.1.
//!
//! Spelling is lost here on purpose: nothing in DNSSEC depends on it.

use std::cmp::Ordering;
use std::fmt;

/// The longest name in wire form, in octets (RFC 1035 §3.1).
const NAME_MAX: usize = 255;
/// The longest label, in octets.
const LABEL_MAX: usize = 63;

/// A name in wire form, in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Returns the root.
    pub fn root() -> Self {
        Self([0].into())
    }

    /// Reads a name that takes all of `wire`; `None` when it is none.
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        let (name, length) = Self::read(wire)?;
        (length == wire.len()).then_some(name)
    }

    /// Reads an uncompressed name at the beginning of `bytes`; returns its length in octets too.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut at = 0;
        loop {
            let length = usize::from(*bytes.get(at)?);
            if length > LABEL_MAX || at + 1 + length > NAME_MAX {
                return None;
            }
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
        let wire = bytes.get(..at)?;
        Some((Self(wire.to_ascii_lowercase().into()), at))
    }

    /// Returns it in wire form.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Returns its labels from the left, without the root's.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            (!label.is_empty()).then_some(label)
        })
    }

    /// Returns the number of labels, the root's not counted.
    pub fn count(&self) -> usize {
        self.labels().count()
    }

    /// Returns the number of labels as RRSIG counts them: a leading `*` not counted (RFC 4034 §3.1.3).
    pub fn signed_count(&self) -> usize {
        self.count() - usize::from(self.is_wildcard())
    }

    /// Whether its first label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.labels().next() == Some(b"*")
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Returns the name above; `None` above the root.
    pub fn parent(&self) -> Option<Self> {
        let length = usize::from(*self.0.first()?);
        (length > 0).then(|| Self(self.0.get(1 + length..).unwrap_or(&[0]).into()))
    }

    /// Returns its last `count` labels; all of it when there are no more.
    pub fn suffix(&self, count: usize) -> Self {
        let mut rest = &*self.0;
        for _ in count..self.count() {
            let length = rest.first().map_or(0, |length| usize::from(*length));
            rest = rest.get(1 + length..).unwrap_or(&[0]);
        }
        Self(rest.into())
    }

    /// Whether it is `above` or below it.
    pub fn is_in(&self, above: &Self) -> bool {
        let mut rest = &*self.0;
        while rest.len() > above.0.len() {
            let length = rest.first().map_or(0, |length| usize::from(*length));
            rest = rest.get(1 + length..).unwrap_or_default();
        }
        *rest == *above.0
    }

    /// Whether it is below `above`.
    pub fn is_below(&self, above: &Self) -> bool {
        self != above && self.is_in(above)
    }

    /// Returns `*` below it; `None` when that is too long.
    pub fn wildcard(&self) -> Option<Self> {
        let mut wire = vec![1, b'*'];
        wire.extend_from_slice(&self.0);
        Self::from_wire(&wire)
    }

    /// Returns the longest name that it and `other` are both in.
    pub fn common(&self, other: &Self) -> Self {
        let (own, others) = (Offsets::of(self), Offsets::of(other));
        let pairs = own.labels().zip(others.labels());
        self.suffix(pairs.take_while(|(own, other)| own == other).count())
    }

    /// Returns it with `from` at its end replaced by `to`; `None` when it is not below `from`, or the result is too long.
    pub fn renamed(&self, from: &Self, to: &Self) -> Option<Self> {
        if !self.is_below(from) {
            return None;
        }
        let kept = self.0.len().checked_sub(from.0.len())?;
        let mut wire = self.0.get(..kept)?.to_vec();
        wire.extend_from_slice(&to.0);
        Self::from_wire(&wire)
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = (Offsets::of(self), Offsets::of(other));
        own.labels().cmp(others.labels())
    }
}

/// Where the labels of a name begin: names are compared from the right, and often.
struct Offsets<'a> {
    wire: &'a [u8],
    at: [u8; NAME_MAX / 2 + 1],
    count: usize,
}

impl<'a> Offsets<'a> {
    fn of(name: &'a Name) -> Self {
        let wire = &*name.0;
        let mut offsets = Self {
            wire,
            at: [0; NAME_MAX / 2 + 1],
            count: 0,
        };
        let mut at = 0;
        while let Some(length) = wire.get(at).filter(|length| **length > 0) {
            if let (Some(place), Ok(offset)) = (offsets.at.get_mut(offsets.count), u8::try_from(at))
            {
                *place = offset;
                offsets.count += 1;
            }
            at += 1 + usize::from(*length);
        }
        offsets
    }

    /// Returns the labels from the right.
    fn labels(&self) -> impl Iterator<Item = &'a [u8]> {
        let at = self.at.get(..self.count).unwrap_or_default();
        at.iter().rev().filter_map(|at| {
            let (length, rest) = self.wire.get(usize::from(*at)..)?.split_first()?;
            rest.get(..usize::from(*length))
        })
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (at, label) in self.labels().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            write!(f, "{}", label.escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        let mut wire = Vec::new();
        for label in text.split('.').filter(|label| !label.is_empty()) {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend(label.bytes());
        }
        wire.push(0);
        Name::from_wire(&wire).unwrap()
    }

    #[test]
    fn names_sort_as_rfc_4034_6_1_shows() {
        let sorted = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            "\u{1}.z.example",
            "*.z.example",
        ];
        for pair in sorted.windows(2) {
            assert!(name(pair[0]) < name(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn relations_by_rows() {
        assert!(
            name("a.b").is_in(&name("b"))
                && name("b").is_in(&name("b"))
                && !name("ab").is_in(&name("b"))
        );
        assert!(name("a.b").is_below(&Name::root()) && !name("b").is_below(&name("b")));
        assert_eq!(name("x.y.b").common(&name("z.y.b")), name("y.b"));
        assert_eq!(
            name("x.old.b").renamed(&name("old.b"), &name("new.c")),
            Some(name("x.new.c"))
        );
        assert_eq!(name("old.b").renamed(&name("old.b"), &name("new.c")), None);
        assert_eq!(name("a.b.c").suffix(2), name("b.c"));
        assert_eq!(name("b").wildcard().unwrap().to_string(), "*.b");
        assert_eq!(Name::from_wire(b"\x40"), None);
    }
}
