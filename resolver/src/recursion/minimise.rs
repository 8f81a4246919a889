//! How much of a name does a server get to see? Label by label, as RFC 9156 says, in its relaxed mode.
//!
//! Decides the next question only; what a reply to it means is decided in `descend`.

use config::name::DomainName;

use crate::wire::{Question, class, rtype};

/// MAX_MINIMISE_COUNT (RFC 9156 §2.3): the most questions that hide something, for one name.
const MAX_MINIMISE_COUNT: u8 = 10;
/// MINIMISE_ONE_LAB (RFC 9156 §2.3): how many of them add only one label.
const MINIMISE_ONE_LAB: u8 = 4;

/// How far a name was shown.
#[derive(Debug, Clone)]
pub(crate) struct Minimiser {
    shown: usize,
    steps: u8,
    on: bool,
}

/// The next question to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) question: Question,
    /// Whether it is the whole question.
    pub(crate) is_whole: bool,
}

impl Minimiser {
    /// Begins at a zone of so many labels.
    pub(crate) fn new(shown: usize) -> Self {
        Self {
            shown,
            steps: 0,
            on: true,
        }
    }

    /// Shows the whole name from here on (RFC 9156 §2.3: an error to a minimised question may be the server's).
    pub(crate) fn give_up(&mut self) {
        self.on = false;
    }

    /// Notes that a name of so many labels exists, as a zone or inside one.
    pub(crate) fn note_shown(&mut self, labels: usize) {
        self.shown = labels;
    }

    /// Returns the next question on the way to `name`.
    pub(crate) fn next(&mut self, name: &DomainName, record_type: u16) -> Step {
        let total = name.label_count();
        let mut labels = if self.on && self.steps < MAX_MINIMISE_COUNT {
            let rest = total.saturating_sub(self.shown);
            let add = if self.steps < MINIMISE_ONE_LAB {
                1
            } else {
                rest.div_ceil(usize::from(MAX_MINIMISE_COUNT - self.steps))
            };
            self.shown + add.max(1)
        } else {
            total
        };
        // No zone begins at an underscored label as a rule (RFC 8552), and some servers deny empty ones.
        while labels < total && is_underscored(suffix(name, total, labels)) {
            labels += 1;
        }
        if labels >= total {
            return Step {
                question: question(name.clone(), record_type),
                is_whole: true,
            };
        }
        self.steps += 1;
        let shown = DomainName::from_wire(suffix(name, total, labels));
        Step {
            // RFC 9156 §2.1: A hides what is really asked and is what servers know best.
            question: question(shown.unwrap_or_else(|_| name.clone()), rtype::A),
            is_whole: false,
        }
    }
}

fn question(name: DomainName, record_type: u16) -> Question {
    Question {
        name,
        record_type,
        class: class::IN,
    }
}

fn suffix(name: &DomainName, total: usize, labels: usize) -> &[u8] {
    name.suffixes().nth(total - labels).unwrap_or_default()
}

fn is_underscored(wire: &[u8]) -> bool {
    wire.get(1) == Some(&b'_') && wire.first() != Some(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, from: usize) -> Vec<String> {
        let name: DomainName = name.parse().unwrap();
        let mut minimiser = Minimiser::new(from);
        let mut names = Vec::new();
        loop {
            let step = minimiser.next(&name, rtype::MX);
            names.push(step.question.name.to_string());
            if step.is_whole {
                assert_eq!(step.question.record_type, rtype::MX);
                return names;
            }
            assert_eq!(step.question.record_type, rtype::A);
            minimiser.note_shown(step.question.name.label_count());
        }
    }

    #[test]
    fn a_name_is_shown_label_by_label() {
        assert_eq!(
            shown("www.example.com", 0),
            ["com", "example.com", "www.example.com"]
        );
        assert_eq!(shown("www.example.com", 2), ["www.example.com"]);
        assert_eq!(shown(".", 0), ["."]);
    }

    #[test]
    fn a_long_name_takes_a_bounded_number_of_questions() {
        let name = vec!["a"; 100].join(".");
        let names = shown(&name, 0);
        assert!(names.len() <= usize::from(MAX_MINIMISE_COUNT) + 1);
        assert_eq!(&names[..4], ["a", "a.a", "a.a.a", "a.a.a.a"]);
    }

    #[test]
    fn underscored_labels_are_no_stops() {
        assert_eq!(
            shown("_443._tcp.www.test", 1),
            ["www.test", "_443._tcp.www.test"]
        );
    }

    #[test]
    fn after_an_error_the_whole_name_is_shown() {
        let name = "a.b.c.test".parse().unwrap();
        let mut minimiser = Minimiser::new(0);
        minimiser.give_up();
        assert!(minimiser.next(&name, rtype::A).is_whole);
    }
}
