//! How is it told over the control interface how far a link reaches?

use std::time::Duration;

use config::time::Instant;
use linnet::api::{PortalStatus, ReachStatus};
use policy::facts::{Family, Reach};
use resolver::reach::{FamilyReach, LinkReach, PortalReport};

/// Converts how far each family gets.
pub(crate) fn reach(link: Option<&LinkReach>, now: Instant) -> Vec<ReachStatus> {
    let families = link.into_iter().flat_map(|link| &link.families);
    families.map(|family| of_family(family, now)).collect()
}

fn of_family(told: &FamilyReach, now: Instant) -> ReachStatus {
    ReachStatus {
        family: match told.family {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        }
        .to_owned(),
        reach: match told.reach {
            Reach::Validated => "validated",
            Reach::Unknown => "unknown",
            Reach::Portal => "portal",
            Reach::Nowhere => "nowhere",
        }
        .to_owned(),
        since_ms: millis(now.since(told.since)),
        why: told.why.to_string(),
    }
}

/// Converts a portal.
pub(crate) fn portal(portal: &PortalReport, now: Instant) -> PortalStatus {
    let word = portal.word.as_ref();
    let text = |url: &config::url::Url| url.to_string();
    PortalStatus {
        api: portal
            .api
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        captive: word.map(|word| word.captive),
        url: word
            .and_then(|word| word.user_portal.as_ref())
            .or(portal.door.as_ref())
            .map(text),
        redirects: portal.door.is_some(),
        venue: word.and_then(|word| word.venue.as_ref()).map(text),
        remaining_ms: word
            .and_then(|word| word.remaining)
            .map(|remaining| millis(remaining.saturating_sub(now.since(portal.said_at)))),
        can_extend: word.is_some_and(|word| word.can_extend),
        trouble: portal.trouble.as_ref().map(ToString::to_string),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
