//! Which questions does a place put, and when (RFC 6762 §5.2)? [`Series`]: each question has its own times.
//!
//! A question is put twice for a client that waits, and again and again, ever more rarely, for one that browses. Never twice
//! within a second, and not at all while somebody else has just put it (RFC 6762 §7.3). Does not write messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use config::time::Instant;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::message::Wanted;

/// The least time between two of the same question (RFC 6762 §5.2).
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The most (RFC 6762 §5.2).
const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// How long the first of a series waits, in milliseconds, so that many who were woken by the same do not speak at once.
const START_MS: std::ops::RangeInclusive<u64> = 20..=120;
/// How often a question is put for a client that waits for its answer.
const SHOTS: u8 = 2;

/// The questions of one place.
#[derive(Debug, Default)]
pub(crate) struct Series {
    question_by_wanted: BTreeMap<Wanted, Question>,
    sent_at: BTreeMap<Wanted, Instant>,
    standing: BTreeSet<Wanted>,
}

#[derive(Debug)]
struct Question {
    next_at: Instant,
    interval: Duration,
    /// How often it is still to be put for those who wait.
    shots: u8,
    /// Whether it was put in this series.
    is_repeated: bool,
}

/// A question without the wish for unicast, as a key.
fn key(wanted: &Wanted) -> Wanted {
    Wanted {
        unicast: false,
        ..wanted.clone()
    }
}

impl Series {
    /// Puts a question for a client that waits: at once, as a person's question has no common cause with others', and again.
    pub(crate) fn ask(&mut self, wanted: &Wanted, now: Instant) {
        let key = key(wanted);
        self.forget(now);
        let at = self.not_before(&key, now);
        let is_repeated = self.sent_at.contains_key(&key);
        let question = self.question_by_wanted.entry(key).or_insert(Question {
            next_at: at,
            interval: INTERVAL_MIN,
            shots: 0,
            is_repeated,
        });
        question.next_at = question.next_at.min(at);
        question.shots = SHOTS;
    }

    /// Puts a question once more, as what it brought is about to end.
    pub(crate) fn ask_again(&mut self, wanted: &Wanted, now: Instant, rng: &mut StdRng) {
        let key = key(wanted);
        let delay = Duration::from_millis(rng.random_range(START_MS));
        let at = self.not_before(&key, now + delay);
        let question = self.question_by_wanted.entry(key).or_insert(Question {
            next_at: at,
            interval: INTERVAL_MIN,
            shots: 1,
            is_repeated: true,
        });
        question.next_at = question.next_at.min(at);
    }

    /// Nobody waits for an answer any more.
    pub(crate) fn leave(&mut self, wanted: &Wanted) {
        let key = key(wanted);
        if let Some(question) = self.question_by_wanted.get_mut(&key) {
            question.shots = 0;
        }
        if !self.standing.contains(&key) {
            self.question_by_wanted.remove(&key);
        }
    }

    /// Begins to put a question again and again.
    pub(crate) fn stand(&mut self, wanted: &Wanted, now: Instant, rng: &mut StdRng) {
        let key = key(wanted);
        if self.standing.insert(key.clone()) {
            self.ask_again(&key, now, rng);
            if let Some(question) = self.question_by_wanted.get_mut(&key) {
                question.shots = 0;
            }
        }
    }

    /// Ends that.
    pub(crate) fn unstand(&mut self, wanted: &Wanted) {
        let key = key(wanted);
        self.standing.remove(&key);
        let shots = self
            .question_by_wanted
            .get(&key)
            .map(|question| question.shots);
        if shots == Some(0) {
            self.question_by_wanted.remove(&key);
        }
    }

    /// Returns the questions that are put again and again.
    pub(crate) fn standing(&self) -> &BTreeSet<Wanted> {
        &self.standing
    }

    /// Takes a question that somebody else put by multicast, knowing no more than we do: ours is put with it.
    pub(crate) fn take_question(&mut self, wanted: &Wanted, now: Instant) {
        let key = key(wanted);
        if wanted.unicast || !self.question_by_wanted.contains_key(&key) {
            return;
        }
        self.sent(&key, now);
    }

    /// Returns the questions to be put now; the first of a series wants its answer by unicast (RFC 6762 §5.4).
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Wanted> {
        self.forget(now);
        let due: Vec<Wanted> = self
            .question_by_wanted
            .iter()
            .filter(|(_, question)| question.next_at <= now)
            .map(|(key, question)| Wanted {
                unicast: !question.is_repeated,
                ..key.clone()
            })
            .collect();
        for wanted in &due {
            self.sent(&key(wanted), now);
        }
        due
    }

    /// Returns when the next question is to be put.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let questions = self.question_by_wanted.values();
        questions.map(|question| question.next_at).min()
    }

    /// Forgets when what was put long enough ago.
    fn forget(&mut self, now: Instant) {
        self.sent_at.retain(|_, at| now.since(*at) < INTERVAL_MIN);
    }

    fn sent(&mut self, key: &Wanted, now: Instant) {
        self.sent_at.insert(key.clone(), now);
        let is_standing = self.standing.contains(key);
        let Some(question) = self.question_by_wanted.get_mut(key) else {
            return;
        };
        question.shots = question.shots.saturating_sub(1);
        question.is_repeated = true;
        question.next_at = now + question.interval;
        if is_standing {
            question.interval = (question.interval * 2).min(INTERVAL_MAX);
        } else if question.shots == 0 {
            self.question_by_wanted.remove(key);
        }
    }

    /// RFC 6762 §5.2: at least one second after the last time.
    fn not_before(&self, key: &Wanted, at: Instant) -> Instant {
        let sent_at = self.sent_at.get(key);
        sent_at.map_or(at, |&sent_at| at.max(sent_at + INTERVAL_MIN))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::wire::{class, rtype};

    fn wanted(name: &str) -> Wanted {
        Wanted {
            name: name.parse().unwrap(),
            record_type: rtype::A,
            class: class::IN,
            unicast: false,
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(1_000_000 + ms)
    }

    /// Runs a series until `end` milliseconds; returns when something was put, and whether by unicast.
    fn run(series: &mut Series, end: u64) -> Vec<(u64, bool)> {
        let mut put = Vec::new();
        while let Some(next) = series.next_at().filter(|next| *next <= at(end)) {
            for wanted in series.due(next) {
                let ms = next.since(at(0)).as_millis();
                put.push((u64::try_from(ms).unwrap(), wanted.unicast));
            }
        }
        put
    }

    #[test]
    fn a_client_that_waits_has_its_question_put_twice() {
        let mut series = Series::default();
        series.ask(&wanted("a.local"), at(0));
        assert_eq!(run(&mut series, 60_000), [(0, true), (1000, false)]);
    }

    #[test]
    fn nothing_is_put_twice_within_a_second() {
        let mut series = Series::default();
        series.ask(&wanted("a.local"), at(0));
        assert_eq!(run(&mut series, 0), [(0, true)]);
        series.leave(&wanted("a.local"));
        series.ask(&wanted("a.local"), at(300));
        assert_eq!(run(&mut series, 5000), [(1000, false), (2000, false)]);
    }

    #[test]
    fn who_browses_asks_ever_more_rarely() {
        let mut series = Series::default();
        let mut rng = StdRng::from_seed([1; 32]);
        series.stand(&wanted("a.local"), at(0), &mut rng);
        let put: Vec<u64> = run(&mut series, 8 * 3_600_000)
            .iter()
            .map(|(ms, _)| *ms)
            .collect();
        assert!((20..=120).contains(&put[0]), "{put:?}");
        let steps: Vec<u64> = put
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) / 1000)
            .collect();
        assert_eq!(
            steps[..12],
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
        );
        assert!(steps[12..].iter().all(|&step| step == 3600), "{steps:?}");
        series.unstand(&wanted("a.local"));
        assert_eq!(series.next_at(), None);
    }

    #[test]
    fn what_somebody_else_asks_is_not_asked_again() {
        let mut series = Series::default();
        let mut rng = StdRng::from_seed([1; 32]);
        series.stand(&wanted("a.local"), at(0), &mut rng);
        series.take_question(&wanted("a.local"), at(10));
        assert_eq!(run(&mut series, 1500), [(1010, false)]);
        let unicast = Wanted {
            unicast: true,
            ..wanted("a.local")
        };
        series.take_question(&unicast, at(1500));
        assert_eq!(
            run(&mut series, 4000),
            [(3010, false)],
            "others do not hear that answer"
        );
    }

    #[test]
    fn a_client_among_browsers_leaves_no_trace() {
        let mut series = Series::default();
        let mut rng = StdRng::from_seed([1; 32]);
        series.stand(&wanted("a.local"), at(0), &mut rng);
        series.ask(&wanted("a.local"), at(0));
        series.leave(&wanted("a.local"));
        assert!(series.next_at().is_some());
        series.ask(&wanted("a.local"), at(0));
        series.unstand(&wanted("a.local"));
        assert!(series.next_at().is_some());
        series.leave(&wanted("a.local"));
        assert_eq!(series.next_at(), None);
    }
}
