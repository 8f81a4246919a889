//! Does each rule that goes on with another one find it? The rules of all profiles that are in force stand together; those of others are not
//! known here.

use config::Config;
use config::model::ProfileId;

use super::LinksPlan;
use super::make::Draft;
use crate::facts::Owner;
use crate::plan::Note;

/// Returns a note for each rule that goes on where none of the plan stands.
pub(super) fn notes(config: &Config, whole: &LinksPlan, drafts: &[Draft<'_>]) -> Vec<Note> {
    let governs = |id: &ProfileId| drafts.iter().any(|draft| draft.plan.profile == *id);
    let profiles = config.profiles.values();
    let mut notes = Vec::new();
    for profile in profiles.filter(|profile| governs(&profile.id)) {
        for rule in &profile.network.rules {
            let Some(to) = rule.goto.filter(|to| !rule.is_kernels_place(*to)) else {
                continue;
            };
            if whole.rules.iter().any(|other| other.is_target_of(rule)) {
                continue;
            }
            let family = if rule.is_ipv6 { "IPv6" } else { "IPv4" };
            let place = rule.priority;
            notes.push(Note {
                owner: Owner::Profile(profile.id.clone()),
                text: format!(
                    "{family} rule {place} goes on with {to}, and linnet has none there now: unless somebody else has, the kernel passes over rule {place}"
                ),
            });
        }
    }
    notes
}
