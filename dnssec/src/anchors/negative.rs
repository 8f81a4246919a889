//! For which names is validation switched off by hand, until when, and why (RFC 7646)?
//!
//! Knows one negative anchor and its text form, one per line, for the state directory. Which anchor counts for a name is
//! [`TrustAnchors::deepest`](super::TrustAnchors::deepest)'s business.

use std::str::FromStr as _;

use hickory_proto::rr::Name;

/// How long a negative anchor holds when nothing is said, in seconds.
pub const LIFETIME_DEFAULT: u64 = 60 * 60;
/// How long a negative anchor may hold at most, in seconds (RFC 7646 wants a week at most).
pub const LIFETIME_MAX: u64 = 7 * 24 * 60 * 60;

/// A name at and below which nothing is validated for a while (RFC 7646).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegativeAnchor {
    name: Name,
    added_at: u64,
    expires_at: u64,
    reason: String,
}

/// Why a negative anchor cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NegativeError {
    /// The root would switch off everything.
    #[error(
        "a negative anchor at the root would switch off all validation; set dnssec to off instead"
    )]
    Root,
    /// It would end at once.
    #[error("a negative anchor must hold for at least a second")]
    NoLifetime,
    /// It would hold too long.
    #[error("a negative anchor holds for {LIFETIME_MAX} seconds at most")]
    TooLong,
}

impl NegativeAnchor {
    /// Makes an anchor that holds for `lifetime` seconds from `now`, in Unix seconds.
    ///
    /// # Errors
    /// When the name is the root or the lifetime is none or above [`LIFETIME_MAX`].
    pub fn new(name: &Name, lifetime: u64, reason: &str, now: u64) -> Result<Self, NegativeError> {
        if name.is_root() || name.iter().next().is_none() {
            return Err(NegativeError::Root);
        }
        match lifetime {
            0 => return Err(NegativeError::NoLifetime),
            1..=LIFETIME_MAX => {}
            _ => return Err(NegativeError::TooLong),
        }
        let mut name = name.to_lowercase();
        name.set_fqdn(true);
        let words = reason.split(|c: char| c.is_whitespace() || c.is_control());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        Ok(Self {
            name,
            added_at: now,
            expires_at: now.saturating_add(lifetime),
            reason: words.join(" "),
        })
    }

    /// Returns the name, lower-case and absolute.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Returns when it was added, in Unix seconds.
    pub const fn added_at(&self) -> u64 {
        self.added_at
    }

    /// Returns when it ends, in Unix seconds.
    pub const fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// Returns why it was added, on one line.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether it counts at `now`, in Unix seconds.
    ///
    /// One that would have more than the longest lifetime left was made under another clock and does not count, else a
    /// clock that fell back would keep it for years.
    pub const fn holds(&self, now: u64) -> bool {
        now < self.expires_at && self.expires_at - now <= LIFETIME_MAX
    }
}

/// What a state file of negative anchors holds, and which of its lines do not read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedNegatives {
    /// The anchors that read, expired ones too.
    pub anchors: Vec<NegativeAnchor>,
    /// The numbers of the lines that do not, from 1.
    pub bad_lines: Vec<usize>,
}

/// Writes negative anchors, one per line: `NAME ADDED EXPIRES REASON`.
pub fn emit_negatives<'a>(anchors: impl Iterator<Item = &'a NegativeAnchor>) -> String {
    anchors
        .map(|anchor| {
            let NegativeAnchor {
                name,
                added_at,
                expires_at,
                reason,
            } = anchor;
            format!("{} {added_at} {expires_at} {reason}\n", name.to_ascii())
        })
        .collect()
}

/// Reads what [`emit_negatives`] wrote; a line that does not read is left out and told.
pub fn parse_negatives(text: &str) -> ParsedNegatives {
    let mut parsed = ParsedNegatives::default();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with(';') {
            continue;
        }
        match parse_negative(line) {
            Some(anchor) => parsed.anchors.push(anchor),
            None => parsed.bad_lines.push(at + 1),
        }
    }
    parsed
}

fn parse_negative(line: &str) -> Option<NegativeAnchor> {
    let mut words = line.splitn(4, ' ');
    let name = Name::from_ascii(words.next().filter(|name| !name.is_empty())?).ok()?;
    let added_at = u64::from_str(words.next()?).ok()?;
    let expires_at = u64::from_str(words.next()?).ok()?;
    let lifetime = expires_at.checked_sub(added_at)?;
    NegativeAnchor::new(&name, lifetime, words.next().unwrap_or_default(), added_at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn a_negative_anchor_holds_until_its_end_and_no_longer() {
        let anchor = NegativeAnchor::new(&name("Broken.example"), 3600, "x", 1_000_000).unwrap();
        for (now, holds) in [
            (1_000_000, true),
            (1_003_599, true),
            (1_003_600, false),
            (u64::MAX, false),
            // The clock fell back by less than a week, and by more.
            (990_000, true),
            (1_003_600 - LIFETIME_MAX - 1, false),
            (0, false),
        ] {
            assert_eq!(anchor.holds(now), holds, "{now}");
        }
        assert_eq!(anchor.name().to_ascii(), "broken.example.");
    }

    #[test]
    fn a_negative_anchor_has_an_end_within_a_week_and_is_not_the_root() {
        let rows = [
            (".", 60, Some(NegativeError::Root)),
            ("a.test", 0, Some(NegativeError::NoLifetime)),
            ("a.test", LIFETIME_MAX, None),
            ("a.test", LIFETIME_MAX + 1, Some(NegativeError::TooLong)),
            ("a.test", u64::MAX, Some(NegativeError::TooLong)),
        ];
        for (owner, lifetime, error) in rows {
            assert_eq!(
                NegativeAnchor::new(&name(owner), lifetime, "", 5).err(),
                error,
                "{owner} {lifetime}"
            );
        }
    }

    #[test]
    fn negative_anchors_read_back_and_bad_lines_are_told() {
        let made = [
            NegativeAnchor::new(&name("a.test"), 60, "expired\nsignature, \tsee #12", 7).unwrap(),
            NegativeAnchor::new(&name("b\\.c.test"), LIFETIME_MAX, "", 7).unwrap(),
        ];
        assert_eq!(made[0].reason(), "expired signature, see #12");
        let text = emit_negatives(made.iter());
        let parsed = parse_negatives(&text);
        assert_eq!(parsed.anchors, made);
        assert_eq!(parsed.bad_lines, [0_usize; 0]);

        let damaged =
            format!("; by hand\n\na.test 1\n. 1 2 x\nb.test 9 8 x\nc.test 1 99999999 x\n{text}");
        let parsed = parse_negatives(&damaged);
        assert_eq!(parsed.bad_lines, [3, 4, 5, 6]);
        assert_eq!(parsed.anchors, made);
    }
}
