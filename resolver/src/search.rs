//! What does a single label stand for? The names to try, in the order of the plan.
//!
//! Suffixes are tried in the order of the plan: by the rank of the links that want them, then in the order of their lists.
//! The next is tried when one does not exist, has no such records, or cannot be asked. The answer is for the label as it was
//! asked: an alias from the label to the full name comes first, with the least TTL of what follows.
//!
//! A single label that is itself a claimed suffix is asked where it is claimed. Types that only zones have are asked of the
//! label itself, so that `dig NS test.` works. Names of two labels or more, and the root, are never completed.

use config::name::DomainName;
use policy::plan::SearchSuffix;

use crate::record::RawRecord;
use crate::wire::{Question, class, rtype};

/// The most suffixes that are tried for one label, as the C library has it (`MAXDNSRCH`).
const SUFFIXES_MAX: usize = 6;

/// What to do with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Search {
    /// Ask for it as it is.
    AsIs,
    /// Ask for these, in order; when there are none, it does not exist.
    Candidates(Vec<DomainName>),
}

/// Says what to do with a question's name; `claimed` tells whether a scope claims it.
pub(crate) fn search(question: &Question, suffixes: &[SearchSuffix], claimed: bool) -> Search {
    if question.name.label_count() != 1
        || claimed
        || is_zone_type(question.record_type)
        || question.class != class::IN
    {
        return Search::AsIs;
    }
    let mut candidates: Vec<DomainName> = Vec::new();
    for suffix in suffixes.iter().filter(|suffix| !suffix.suffix.is_root()) {
        let Ok(candidate) = question.name.join(&suffix.suffix) else {
            continue;
        };
        if !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    }
    candidates.truncate(SUFFIXES_MAX);
    Search::Candidates(candidates)
}

/// Whether a name without dots may go to an upstream as it is, for this type.
pub(crate) fn may_be_asked(name: &DomainName, record_type: u16) -> bool {
    name.label_count() != 1 || is_zone_type(record_type)
}

/// Returns the alias that leads from a label to the name that was found for it.
pub(crate) fn alias(label: &DomainName, found: &DomainName, answers: &[RawRecord]) -> RawRecord {
    let ttl = answers.iter().map(|record| record.ttl).min();
    RawRecord::alias(label, found, ttl.unwrap_or(0))
}

fn is_zone_type(record_type: u16) -> bool {
    matches!(
        record_type,
        rtype::NS | rtype::SOA | rtype::DS | rtype::DNSKEY
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Owner;

    fn candidates(
        name: &str,
        record_type: u16,
        suffixes: &[&str],
        claimed: bool,
    ) -> Option<Vec<String>> {
        let question = Question {
            name: name.parse().unwrap(),
            record_type,
            class: class::IN,
        };
        let suffixes: Vec<SearchSuffix> = suffixes
            .iter()
            .map(|suffix| SearchSuffix {
                suffix: suffix.parse().unwrap(),
                owner: Owner::Resolver,
            })
            .collect();
        match search(&question, &suffixes, claimed) {
            Search::AsIs => None,
            Search::Candidates(names) => Some(names.iter().map(DomainName::to_string).collect()),
        }
    }

    #[test]
    fn single_labels_are_completed_in_order_and_nothing_else_is() {
        let both = ["corp.test", "home.test"];
        let rows: [(&str, u16, &[&str], bool, Option<&[&str]>); 8] = [
            (
                "git",
                rtype::A,
                &both,
                false,
                Some(&["git.corp.test", "git.home.test"]),
            ),
            (
                "git",
                rtype::A,
                &["corp.test", "corp.test"],
                false,
                Some(&["git.corp.test"]),
            ),
            ("git", rtype::A, &[], false, Some(&[])),
            ("git.x", rtype::A, &both, false, None),
            (".", rtype::NS, &both, false, None),
            (".", rtype::A, &both, false, None),
            ("test", rtype::NS, &both, false, None),
            ("corp", rtype::A, &both, true, None),
        ];
        for (name, record_type, suffixes, claimed, expected) in rows {
            let expected =
                expected.map(|names| names.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(
                candidates(name, record_type, suffixes, claimed),
                expected,
                "{name} {record_type}"
            );
        }
    }

    #[test]
    fn a_suffix_that_makes_the_name_too_long_is_passed_over() {
        let label = "a".repeat(62);
        let long = vec!["b".repeat(63); 3].join(".");
        assert_eq!(
            candidates(&label, rtype::A, &[&long, "c.test"], false),
            Some(vec![format!("{label}.c.test")])
        );
    }
}
