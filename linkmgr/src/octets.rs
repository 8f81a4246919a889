//! What comes next in a packet? A place in it that only moves forward and never outside, and how long things last on the wire.

use std::net::Ipv6Addr;
use std::time::Duration;

use config::time::Instant;

/// A place in octets; every step says whether it stayed inside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns all that is left.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn word(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn address(&mut self) -> Option<Ipv6Addr> {
        self.array::<16>().map(Ipv6Addr::from)
    }

    /// Takes what a length of 16 bits says.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.word()?;
        self.take(length.into())
    }
}

/// How long something lasts, in seconds; all ones are for ever (RFC 4861 §4.6.2, RFC 8415 §7.7).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Lifetime(pub u32);

impl Lifetime {
    /// For ever.
    pub const FOREVER: Self = Self(u32::MAX);

    /// Whether it is over as it begins.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns how long that is; `None` for ever.
    pub fn duration(self) -> Option<Duration> {
        (self != Self::FOREVER).then(|| Duration::from_secs(self.0.into()))
    }

    /// Returns until when something lasts that begins at `now`; `None` for ever.
    pub fn until(self, now: Instant) -> Option<Instant> {
        self.duration().map(|lasts| now + lasts)
    }

    /// Returns what is left at `now` of what lasts until then.
    pub fn left(until: Option<Instant>, now: Instant) -> Self {
        until.map_or(Self::FOREVER, |until| {
            // The largest number that is not for ever: 136 years less a second.
            Self(u32::try_from(until.since(now).as_secs()).unwrap_or(u32::MAX - 1))
        })
    }

    /// Returns what is left when this long has passed.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        match self.duration() {
            None => self,
            Some(_) => Self(
                self.0
                    .saturating_sub(u32::try_from(age.as_secs()).unwrap_or(u32::MAX)),
            ),
        }
    }
}

/// Whether something that lasts until then (`None` for ever) is over at `now`.
pub(crate) fn is_over(until: Option<Instant>, now: Instant) -> bool {
    until.is_some_and(|until| until <= now)
}

/// Returns the earlier of two ends, of which `None` is for ever.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
