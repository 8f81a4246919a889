//! What is wrong? Each trouble in one line, the worst first, in words that say what to do about it.

use linnet::api::{Diagnostic, ScopeStatus, Status};

use super::counts;

/// Suffixes of a scope that are named; the rest is counted.
const CLAIMS_NAMED: usize = 3;
/// From how many answers on it is worth telling that half of them were errors.
const RECENT_MIN: u64 = 8;

/// Returns everything that is wrong, a line each.
pub(crate) fn troubles(status: &Status) -> Vec<String> {
    let mut found = Vec::new();
    for scope in &status.scopes {
        found.extend(not_ready(scope));
        found.extend(failing(scope));
        found.extend(errors(scope));
    }
    if status.default_scope.is_none() {
        found.push("there is no default scope: names that nobody claims are refused".to_owned());
    }
    for link in &status.links {
        let portal = link.portal.as_ref();
        let login = portal.filter(|portal| portal.captive == Some(true));
        if let Some(url) = login.and_then(|portal| portal.url.as_ref()) {
            found.push(format!("{} leads to a portal: log in at {url}", link.name));
        } else if link.reach.iter().any(|reach| reach.reach == "portal") {
            found.push(format!("{} leads to a portal", link.name));
        }
    }
    let keeper = &status.resolv_conf;
    if matches!(keeper.state.as_str(), "overwritten" | "failed") {
        let detail = keeper.detail.as_deref().unwrap_or("not as configured");
        found.push(format!("resolv.conf is {}: {detail}", keeper.state));
    }
    // Where nothing is validated no date counts.
    let validates = status.scopes.iter().any(|scope| scope.dnssec != "off");
    if validates && !status.clock.dates_count {
        found.push(format!(
            "clock not believed: {}; signatures count whatever their dates",
            status.clock.because
        ));
    }
    for observer in status.observers.iter().filter(|observer| !observer.works) {
        let why = observer.trouble.as_deref().unwrap_or("not open");
        found.push(format!("{} at {}: {why}", observer.what, observer.place));
    }
    let journal = status.journal_trouble.iter();
    found.extend(journal.map(|trouble| format!("journal of links: {trouble}")));
    found.extend(status.diagnostics.iter().map(diagnostic));
    found.extend(status.notes.iter().map(|note| format!("note: {note}")));
    found
}

fn not_ready(scope: &ScopeStatus) -> Option<String> {
    if scope.state == "ready" {
        return None;
    }
    let named: Vec<&str> = scope
        .claims
        .iter()
        .take(CLAIMS_NAMED)
        .map(String::as_str)
        .collect();
    let more = scope.claims.len().saturating_sub(CLAIMS_NAMED);
    Some(match (named.is_empty(), more) {
        (true, _) => format!("scope {} is {}", scope.id, scope.state),
        (false, 0) => format!(
            "scope {} is {}: {} refused",
            scope.id,
            scope.state,
            named.join(" ")
        ),
        (false, more) => format!(
            "scope {} is {}: {} and {more} more refused",
            scope.id,
            scope.state,
            named.join(" ")
        ),
    })
}

/// One line for all failing upstreams of a scope: whether any is left matters most.
fn failing(scope: &ScopeStatus) -> Option<String> {
    let failing: Vec<String> = scope
        .upstreams
        .iter()
        .filter_map(|upstream| {
            let why = upstream.failing.as_ref()?;
            Some(format!("{} ({why})", upstream.upstream))
        })
        .collect();
    if failing.is_empty() {
        return None;
    }
    let whole = if failing.len() == scope.upstreams.len() {
        "every upstream of"
    } else {
        "an upstream of"
    };
    Some(format!(
        "{whole} {} fails: {}",
        scope.id,
        failing.join(", ")
    ))
}

/// Says that many of the last answers of a scope were errors, whatever its upstreams seem to be.
pub(crate) fn errors(scope: &ScopeStatus) -> Option<String> {
    let (errors, of) = (scope.recent_errors, scope.recent);
    (of >= RECENT_MIN && errors * 2 >= of).then(|| {
        format!(
            "{errors} of the last {of} answers of {} were errors; so far: {}",
            scope.id,
            counts(scope)
        )
    })
}

fn diagnostic(found: &Diagnostic) -> String {
    let help = found
        .help
        .as_ref()
        .map_or_else(String::new, |help| format!("\n    help: {help}"));
    format!(
        "{}: {}: {}{help}",
        found.severity,
        found.place(),
        found.message
    )
}
