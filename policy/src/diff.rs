//! What changed between two plans, in words?

mod links;

pub use links::changes as link_changes;

use crate::domains::Target;
use crate::plan::{DnsPlan, Plan, ScopeId, ScopePlan};

/// So many claims of a scope are told by name.
const CLAIMS_TOLD: usize = 8;

/// Returns what changed of names, a sentence each; empty when nothing that matters did. [`link_changes`] tells of links.
pub fn changes(old: &Plan, new: &Plan) -> Vec<String> {
    let mut changes = Vec::new();
    for (id, scope) in &new.dns.scopes {
        match old.dns.scopes.get(id) {
            None => changes.push(format!("scope {id} is new: {}", told(&new.dns, id, scope))),
            Some(before) if before.state != scope.state => {
                changes.push(format!(
                    "scope {id} is {} now: {}",
                    scope.state,
                    told(&new.dns, id, scope)
                ));
            }
            Some(before) if before.link != scope.link => {
                changes.push(format!("scope {id} has another link"));
            }
            Some(before) if before.upstreams != scope.upstreams => {
                changes.push(format!("scope {id} asks {}", upstreams(scope)));
            }
            Some(_) => {}
        }
    }
    changes.extend(
        old.dns
            .scopes
            .keys()
            .filter(|id| !new.dns.scopes.contains_key(*id))
            .map(|id| format!("scope {id} is gone")),
    );
    let (before, after) = (
        old.dns.domains.default_target(),
        new.dns.domains.default_target(),
    );
    if before != after {
        changes.push(match after {
            Target::Ask(scope) => format!("names that nobody claims go to {scope}"),
            Target::Refuse(_) => "names that nobody claims are refused".to_owned(),
        });
    }
    if old.dns.search != new.dns.search {
        let list: Vec<String> = new
            .dns
            .search
            .iter()
            .map(|search| search.suffix.to_string())
            .collect();
        changes.push(format!(
            "search list: {}",
            if list.is_empty() {
                "empty".to_owned()
            } else {
                list.join(" ")
            }
        ));
    }
    if old.resolv_conf != new.resolv_conf {
        changes.push("resolv.conf should say something else".to_owned());
    }
    if changes.is_empty() && old.dns.domains != new.dns.domains {
        changes.push("claims have changed".to_owned());
    }
    changes
}

fn told(plan: &DnsPlan, id: &ScopeId, scope: &ScopePlan) -> String {
    let (some, count) = plan.domains.some_claims_of(id, CLAIMS_TOLD);
    let mut claims: Vec<String> = some.iter().map(ToString::to_string).collect();
    let left = count.saturating_sub(claims.len());
    if left > 0 {
        claims.push(format!("and {left} more"));
    }
    match (claims.is_empty(), scope.state == crate::ScopeState::Ready) {
        (true, _) => format!("upstreams {}", upstreams(scope)),
        (false, true) => format!("{} is asked of {}", claims.join(", "), upstreams(scope)),
        (false, false) => format!("{} is not asked", claims.join(", ")),
    }
}

fn upstreams(scope: &ScopePlan) -> String {
    let list: Vec<String> = scope
        .upstreams
        .iter()
        .map(|upstream| upstream.to_string())
        .collect();
    if list.is_empty() {
        "nobody".to_owned()
    } else {
        list.join(", ")
    }
}
