//! Of what parts is a round made, and what do their answers come to for one family?

use std::sync::Arc;

use policy::facts::Family;

use super::track::Finding;

/// A part of a round, which somebody is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// A name that cannot exist, as the upstream answers it.
    Raw(Family),
    /// Another one, with proof.
    Proof(Family),
    /// The portal's API.
    Portal,
    /// The administrator's own page.
    Page(Family),
    /// Where a network that forges leads to; beside the rounds.
    Door,
}

/// What one part came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Proven.
    Secure,
    /// Addresses, unproven.
    Addresses,
    /// An answer that says nothing.
    Answered,
    /// None, or an error; why.
    Failed(Arc<str>),
}

pub(crate) const fn family_of(part: Part) -> Option<Family> {
    match part {
        Part::Raw(family) | Part::Proof(family) | Part::Page(family) => Some(family),
        Part::Portal | Part::Door => None,
    }
}

/// What the parts of a round come to for one family, and why.
pub(crate) fn findings(seen: &[(Part, Seen)], family: Family) -> (Finding, Arc<str>) {
    let its = || {
        seen.iter()
            .filter(move |(part, _)| family_of(*part) == Some(family))
    };
    let (mut failed, mut answered) = (None, false);
    for (part, seen) in its() {
        match (part, seen) {
            (Part::Page(_), Seen::Secure) => {
                return (
                    Finding::Proven,
                    "the page that is configured is there".into(),
                );
            }
            (_, Seen::Secure) => {
                let why = "an answer that nobody could have had ready was signed, and good";
                return (Finding::Proven, why.into());
            }
            (_, Seen::Failed(why)) => failed = Some(Arc::clone(why)),
            (_, Seen::Addresses | Seen::Answered) => answered = true,
        }
    }
    let forged = its().find_map(|(part, seen)| match (part, seen) {
        (Part::Page(_), Seen::Addresses) => Some("the page that is configured leads elsewhere"),
        (Part::Raw(_) | Part::Proof(_), Seen::Addresses) => {
            Some("names that do not exist have addresses there")
        }
        _ => None,
    });
    if let Some(why) = forged {
        return (Finding::Forged, why.into());
    }
    if answered {
        let why = "answers come, but none that is signed";
        return (Finding::Unproven, why.into());
    }
    let why = failed.unwrap_or_else(|| "no answer in time".into());
    (Finding::Failed, why)
}
