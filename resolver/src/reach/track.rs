//! How far does one family get through one link, after what was found so far? A small table, and how much it takes to move.
//!
//! | from \ found | proven | unproven | forged | failed |
//! |---|---|---|---|---|
//! | unknown | 1 → validated | stays | 1 → portal | 3 → nowhere |
//! | validated | stays | 3 → unknown | 2 → portal | 3 → nowhere |
//! | portal | 1 → validated | 2 → unknown | stays | 3 → nowhere |
//! | nowhere | rise → validated | rise → unknown | 1 → portal | stays |
//!
//! The numbers are findings of one kind in a row. `rise` is 2 for a link that fell once, and doubles with each further fall within
//! ten minutes, up to 16: a link that comes and goes does not take the default route with it each time. A portal that says so itself,
//! behind TLS, is believed at once. Pure; when the next finding is due is the prober's.

use std::time::Duration;

use config::time::Instant;
use policy::facts::Reach;

/// So many findings in a row take a link from where it is.
const FALL: u8 = 3;
const FORGED: u8 = 2;
const DOUBT: u8 = 3;
const OUT_OF_PORTAL: u8 = 2;
/// So many bring it back after its first fall, and at most.
const RISE: u8 = 2;
const RISE_MAX: u8 = 16;
/// How long a fall is remembered.
const FALL_MEMORY: Duration = Duration::from_secs(600);

/// What was found out by asking once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Finding {
    /// An answer that only the Internet can give: signed, and for a name that nobody has asked for before.
    Proven,
    /// An answer that proves nothing, and is not wrong either.
    Unproven,
    /// An address where there can be none.
    Forged,
    /// No answer, or an error.
    Failed,
}

/// What a portal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Word {
    /// Nothing: there is none, or it cannot be believed.
    #[default]
    None,
    /// That nobody is kept.
    Free,
    /// That a person has to do something first.
    Captive,
}

/// How far one family gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Track {
    pub(crate) reach: Reach,
    pub(crate) since: Instant,
    /// Whether trying has come to anything yet.
    pub(crate) is_tried: bool,
    last: Option<Finding>,
    in_a_row: u8,
    falls: u8,
    fell_at: Instant,
}

impl Track {
    /// Knows nothing.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            reach: Reach::Unknown,
            since: now,
            is_tried: false,
            last: None,
            in_a_row: 0,
            falls: 0,
            fell_at: Instant::ZERO,
        }
    }

    /// What was found last.
    pub(crate) const fn last(&self) -> Option<Finding> {
        self.last
    }

    /// Whether what was found last agrees with what is said.
    pub(crate) fn is_settled(&self) -> bool {
        self.last.is_some_and(|last| leads_to(last) == self.reach)
    }

    /// Takes a finding, and what the portal says beside it; returns whether it leads elsewhere.
    pub(crate) fn take(&mut self, finding: Finding, word: Word, now: Instant) -> bool {
        self.in_a_row = match self.last == Some(finding) {
            true => self.in_a_row.saturating_add(1),
            false => 1,
        };
        self.last = Some(finding);
        if word == Word::Captive {
            return self.go(Reach::Portal, now);
        }
        self.is_tried |= self.is_settled();
        let to = leads_to(finding);
        to != self.reach && self.in_a_row >= self.needed(finding, now) && self.go(to, now)
    }

    /// Takes what the portal says while nothing was asked.
    pub(crate) fn take_word(&mut self, word: Word, now: Instant) -> bool {
        match word {
            Word::Captive => self.go(Reach::Portal, now),
            Word::None | Word::Free => false,
        }
    }

    /// How many findings in a row it takes.
    fn needed(&self, finding: Finding, now: Instant) -> u8 {
        match (self.reach, finding) {
            (Reach::Unknown | Reach::Portal, Finding::Proven)
            | (Reach::Unknown | Reach::Nowhere, Finding::Forged) => 1,
            (Reach::Validated, Finding::Unproven) => DOUBT,
            (Reach::Portal, Finding::Unproven) => OUT_OF_PORTAL,
            (Reach::Validated, Finding::Forged) => FORGED,
            (Reach::Unknown | Reach::Validated | Reach::Portal, Finding::Failed) => FALL,
            (Reach::Nowhere, Finding::Proven | Finding::Unproven) => self.rise(now),
            // It is there already.
            (Reach::Validated, Finding::Proven)
            | (Reach::Unknown, Finding::Unproven)
            | (Reach::Portal, Finding::Forged)
            | (Reach::Nowhere, Finding::Failed) => u8::MAX,
        }
    }

    fn rise(&self, now: Instant) -> u8 {
        let falls = match now.since(self.fell_at) < FALL_MEMORY {
            true => self.falls,
            false => 1,
        };
        let doublings = u32::from(falls.saturating_sub(1)).min(7);
        RISE.checked_shl(doublings)
            .map_or(RISE_MAX, |rise| rise.clamp(RISE, RISE_MAX))
    }

    fn go(&mut self, to: Reach, now: Instant) -> bool {
        if self.reach == to {
            return false;
        }
        if to == Reach::Nowhere {
            let again = self.falls > 0 && now.since(self.fell_at) < FALL_MEMORY;
            self.falls = if again {
                self.falls.saturating_add(1)
            } else {
                1
            };
            self.fell_at = now;
        }
        (self.reach, self.since, self.in_a_row) = (to, now, 0);
        self.is_tried = true;
        true
    }
}

/// Where a finding leads in the end.
const fn leads_to(finding: Finding) -> Reach {
    match finding {
        Finding::Proven => Reach::Validated,
        Finding::Unproven => Reach::Unknown,
        Finding::Forged => Reach::Portal,
        Finding::Failed => Reach::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Finding; 4] = [
        Finding::Proven,
        Finding::Unproven,
        Finding::Forged,
        Finding::Failed,
    ];
    const REACHES: [Reach; 4] = [
        Reach::Unknown,
        Reach::Validated,
        Reach::Portal,
        Reach::Nowhere,
    ];

    const fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    /// A track that is there, by the shortest way.
    fn brought_to(reach: Reach) -> Track {
        let mut track = Track::new(at(0));
        match reach {
            Reach::Unknown => {}
            Reach::Validated => assert!(track.take(Finding::Proven, Word::None, at(0))),
            Reach::Portal => assert!(track.take(Finding::Forged, Word::None, at(0))),
            Reach::Nowhere => while !track.take(Finding::Failed, Word::None, at(0)) {},
        }
        assert_eq!(track.reach, reach);
        track
    }

    #[test]
    fn transition_table_is_exhaustive_and_correct() {
        let rows: [(Reach, [Option<(u8, Reach)>; 4]); 4] = [
            (
                Reach::Unknown,
                [
                    Some((1, Reach::Validated)),
                    None,
                    Some((1, Reach::Portal)),
                    Some((3, Reach::Nowhere)),
                ],
            ),
            (
                Reach::Validated,
                [
                    None,
                    Some((3, Reach::Unknown)),
                    Some((2, Reach::Portal)),
                    Some((3, Reach::Nowhere)),
                ],
            ),
            (
                Reach::Portal,
                [
                    Some((1, Reach::Validated)),
                    Some((2, Reach::Unknown)),
                    None,
                    Some((3, Reach::Nowhere)),
                ],
            ),
            (
                Reach::Nowhere,
                [
                    Some((2, Reach::Validated)),
                    Some((2, Reach::Unknown)),
                    Some((1, Reach::Portal)),
                    None,
                ],
            ),
        ];
        assert_eq!(rows.map(|(from, _)| from), REACHES);
        for (from, row) in rows {
            for (finding, expected) in ALL.into_iter().zip(row) {
                for word in [Word::None, Word::Free] {
                    let mut track = brought_to(from);
                    let moved = (1..=200).find(|_| track.take(finding, word, at(1)));
                    let moved = moved.map(|count| (count, track.reach));
                    assert_eq!(moved, expected, "{from:?} by {finding:?}, {word:?}");
                    assert!(track.is_settled());
                }
                // A portal's own word beats all.
                let mut track = brought_to(from);
                let moved = track.take(finding, Word::Captive, at(1));
                assert_eq!((track.reach, moved), (Reach::Portal, from != Reach::Portal));
                // What is found between others counts anew.
                for other in ALL.into_iter().filter(|other| *other != finding) {
                    let mut track = brought_to(from);
                    let Some((count, _)) = expected.filter(|(count, _)| *count > 1) else {
                        continue;
                    };
                    for _ in 1..count {
                        assert!(!track.take(finding, Word::None, at(1)));
                    }
                    let between = track.take(other, Word::None, at(1));
                    assert!(between || !track.take(finding, Word::None, at(1)));
                }
            }
            for word in [Word::None, Word::Free, Word::Captive] {
                let mut track = brought_to(from);
                let moved = track.take_word(word, at(1));
                let expected = word == Word::Captive && from != Reach::Portal;
                assert_eq!(moved, expected);
            }
        }
    }

    #[test]
    fn a_link_that_comes_and_goes_takes_longer_each_time() {
        let mut track = brought_to(Reach::Nowhere);
        let mut took = Vec::new();
        let mut second = 0;
        for _ in 0..6 {
            let mut count = 0;
            while track.reach == Reach::Nowhere {
                second += 1;
                count += 1;
                track.take(Finding::Proven, Word::None, at(second));
            }
            took.push(count);
            while track.reach != Reach::Nowhere {
                second += 1;
                track.take(Finding::Failed, Word::None, at(second));
            }
        }
        assert_eq!(took, [2, 4, 8, 16, 16, 16]);
        // What was long ago is forgotten.
        let later = second + 601;
        assert!(!track.take(Finding::Proven, Word::None, at(later)));
        assert!(track.take(Finding::Proven, Word::None, at(later + 1)));
    }

    #[test]
    fn one_lost_answer_in_two_moves_nothing() {
        let mut track = brought_to(Reach::Validated);
        for second in 0..1000 {
            let finding = ALL[if second % 2 == 0 { 3 } else { 0 }];
            assert!(!track.take(finding, Word::None, at(second)));
        }
        // Two of three lost are not three in a row either.
        for second in 1000..2000 {
            let finding = ALL[if second % 3 == 0 { 0 } else { 3 }];
            assert!(!track.take(finding, Word::None, at(second)));
        }
        let mut track = brought_to(Reach::Nowhere);
        for second in 0..1000 {
            let finding = ALL[if second % 2 == 0 { 3 } else { 0 }];
            assert!(!track.take(finding, Word::None, at(second)));
        }
    }
}
