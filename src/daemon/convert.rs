//! How do the daemon's own types look to a caller? Into the types of the control interface; decides nothing.

mod counts;
mod links;
mod reach;

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::{Selection, Upstream};
use dnssec::Verdict;
use dnssec::anchors::NegativeAnchor;
use hickory_proto::rr::Name;
use linnet::api;
use policy::domains::Target;
use policy::explain::Because;
use policy::facts::{LinkFacts, Trust};
use policy::{DnsPlan, Owner, Route, ScopeId};
use resolver::event::{ExtendedError, Step, Trace};
use resolver::ledger::{ScopeCounts, Trouble};
use resolver::present::{rcode_name, rdata_text, type_name};
use resolver::record::RawRecord;
use resolver::{Channel, ScopeStatus};

use counts::{counted, hit_rate, latency};

pub(crate) use counts::{answers, failures, rcodes};
pub(crate) use links::{cable, item, setting_name, supplies};
pub(crate) use reach::{portal, reach};

use crate::date::rfc3339;
use crate::trust::{PointKey, points};

/// Converts what became of a question.
pub(crate) fn trace(trace: &Trace, plan: &DnsPlan, client: Option<String>) -> api::Trace {
    api::Trace {
        name: trace.name.to_string(),
        record_type: type_name(trace.record_type),
        rcode: rcode_name(trace.rcode),
        extended_error: trace.extended_error.as_ref().map(extended_error),
        elapsed_ms: milliseconds(trace.elapsed),
        client,
        steps: trace
            .steps
            .iter()
            .map(|step| self::step(step, plan))
            .collect(),
    }
}

fn step(step: &Step, plan: &DnsPlan) -> api::Step {
    let what = |what: &str| api::Step {
        what: what.to_owned(),
        ..api::Step::default()
    };
    match step {
        Step::Synthesized(kind) => api::Step {
            detail: Some((*kind).to_owned()),
            ..what("synthesized")
        },
        Step::Searched(name) => api::Step {
            name: Some(name.to_string()),
            ..what("searched")
        },
        Step::Below(link) => api::Step {
            detail: Some(format!("for the sake of {link}, as if that took no names")),
            ..what("below")
        },
        Step::Routed(name, Route { target, because }) => {
            let (verb, detail) = match target {
                Target::Ask(_) => ("routed", because.to_string()),
                Target::Refuse(refusal) => ("refused", plan.refusal_text(refusal, because)),
            };
            api::Step {
                name: Some(name.to_string()),
                scope: target.scope().map(ToString::to_string),
                detail: Some(detail),
                ..what(verb)
            }
        }
        Step::CacheHit(scope) => api::Step {
            scope: Some(scope.to_string()),
            ..what("cache-hit")
        },
        Step::Asked(scope, upstream, channel) => api::Step {
            scope: Some(scope.to_string()),
            upstream: Some(upstream.to_string()),
            channel: Some(channel_name(upstream, *channel).to_owned()),
            ..what("asked")
        },
        Step::Replied {
            upstream,
            channel,
            rtt,
            rcode,
        } => api::Step {
            upstream: Some(upstream.to_string()),
            channel: Some(channel_name(upstream, *channel).to_owned()),
            rtt_ms: Some(milliseconds(*rtt)),
            detail: Some(rcode_name(*rcode)),
            ..what("replied")
        },
        Step::Failed(upstream, channel, failure) => api::Step {
            upstream: Some(upstream.to_string()),
            channel: Some(channel_name(upstream, *channel).to_owned()),
            detail: Some(failure.to_string()),
            ..what("failed")
        },
        Step::Dropped(upstream, why) => api::Step {
            upstream: Some(upstream.to_string()),
            detail: Some((*why).to_owned()),
            ..what("dropped")
        },
        Step::Judged(verdict, links) => api::Step {
            verdict: Some(verdict_name(*verdict).to_owned()),
            detail: verdict_reason(*verdict),
            links: links.clone(),
            ..what("judged")
        },
        Step::Stale(scope, why) => api::Step {
            scope: Some(scope.to_string()),
            detail: Some((*why).to_owned()),
            ..what("stale")
        },
        Step::Walked(how) => api::Step {
            detail: Some(how.to_string()),
            ..what("recursion")
        },
        Step::Neighbours(how) => api::Step {
            detail: Some(how.to_string()),
            ..what("multicast")
        },
        Step::Portal(how) => api::Step {
            detail: Some(how.to_string()),
            ..what("portal")
        },
        Step::Local(kind, by) => api::Step {
            detail: Some(by.to_string()),
            ..what(kind)
        },
        Step::Alias(name) => api::Step {
            name: Some(name.to_string()),
            ..what("alias")
        },
        Step::Withheld(name) => api::Step {
            name: Some(name.to_string()),
            ..what("withheld")
        },
    }
}

/// Converts a record.
pub(crate) fn record(record: &RawRecord) -> api::Record {
    api::Record {
        name: record.owner().to_string(),
        ttl: record.ttl,
        record_type: type_name(record.record_type),
        data: rdata_text(record),
    }
}

/// Writes an Extended DNS Error: its code, and its text when there is one.
pub(crate) fn extended_error(error: &ExtendedError) -> String {
    let ExtendedError { code, text } = error;
    if text.is_empty() {
        code.to_string()
    } else {
        format!("{code}: {text}")
    }
}

/// Converts a route with its candidates; what happens before routing is the caller's to add.
pub(crate) fn explanation(explained: &policy::Explanation, plan: &DnsPlan) -> api::Explanation {
    let policy::Explanation {
        name,
        target,
        because,
        candidates,
    } = explained;
    api::Explanation {
        name: name.to_string(),
        target: self::target(target, because, plan),
        because: reason(because),
        candidates: candidates
            .iter()
            .map(|candidate| api::Candidate {
                owner: candidate.owner.to_string(),
                profile: profile(&candidate.owner),
                trust: trust(candidate.trust).to_owned(),
                suffix: candidate.suffix.to_string(),
                priority: candidate.priority,
                scope: candidate.scope.to_string(),
                outcome: candidate.outcome.name().to_owned(),
                detail: candidate.outcome.to_string(),
            })
            .collect(),
        local: None,
        searched: Vec::new(),
        validation: None,
        order: None,
        endpoint: None,
        last: None,
    }
}

fn target(target: &Target, because: &Because, plan: &DnsPlan) -> api::Target {
    let scope = target.scope().and_then(|id| plan.scopes.get(id));
    let refusal = match target {
        Target::Ask(_) => None,
        Target::Refuse(refusal) => Some(plan.refusal_text(refusal, because)),
    };
    api::Target {
        action: if refusal.is_none() { "ask" } else { "refuse" }.to_owned(),
        scope: target.scope().map(ToString::to_string),
        link: scope
            .and_then(|scope| scope.link.as_ref())
            .map(|link| link.name.to_string()),
        upstreams: scope
            .iter()
            .flat_map(|scope| &scope.upstreams)
            .map(ToString::to_string)
            .collect(),
        selection: scope.map(|scope| selection_name(scope.selection).to_owned()),
        first: Vec::new(),
        refusal,
    }
}

fn reason(because: &Because) -> api::Reason {
    api::Reason {
        owner: because.owner.to_string(),
        profile: profile(&because.owner),
        rule: because.rule.name().to_owned(),
        suffix: because.suffix.to_string(),
        text: because.to_string(),
    }
}

fn profile(owner: &Owner) -> Option<String> {
    match owner {
        Owner::Profile(id) => Some(id.to_string()),
        Owner::Resolver
        | Owner::Supply(_)
        | Owner::Claim(_)
        | Owner::Link(_)
        | Owner::ForeignResolvConf
        | Owner::Builtin => None,
    }
}

const fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::Network => "network",
        Trust::Authenticated => "authenticated",
        Trust::Administrator => "administrator",
    }
}

/// Converts a link.
pub(crate) fn link(index: u32, link: &LinkFacts, profile: Option<String>) -> api::LinkStatus {
    let routes = [link.default_route4, link.default_route6];
    api::LinkStatus {
        index,
        name: link.name.to_string(),
        kind: link.kind.to_string(),
        up: link.up,
        addresses: link
            .addresses
            .iter()
            .map(|prefix| format!("{}/{}", prefix.address, prefix.length))
            .collect(),
        profile,
        default_route_metric: routes.iter().flatten().map(|route| route.metric).min(),
        ..api::LinkStatus::default()
    }
}

/// Converts a scope: what is intended, and what is going on there.
pub(crate) fn scope(
    id: &ScopeId,
    plan: &DnsPlan,
    status: Option<&ScopeStatus>,
    parameters: api::StatusParameters,
) -> Option<api::ScopeStatus> {
    let planned = plan.scopes.get(id)?;
    let upstreams = match status {
        Some(status) => status.upstreams.iter().map(upstream).collect(),
        None => Vec::new(),
    };
    let number = |pick: fn(&ScopeStatus) -> u64| status.map_or(0, pick);
    Some(api::ScopeStatus {
        id: id.to_string(),
        owner: planned.owner.to_string(),
        link: planned.link.as_ref().map(|link| link.name.to_string()),
        state: planned.state.to_string(),
        claims: if parameters.brief {
            Vec::new()
        } else {
            let claims = plan.domains.claims_of(id);
            claims.iter().map(ToString::to_string).collect()
        },
        selection: selection_name(planned.selection).to_owned(),
        network: planned
            .network
            .as_ref()
            .map(|network| network.0.to_string()),
        dnssec: status.map_or_else(String::new, |status| status.dnssec.clone()),
        upstreams,
        cache_entries: number(|status| wide(status.cache_entries)),
        cache_bytes: number(|status| wide(status.cache_bytes)),
        cache_hits: number(|status| status.cache_hits),
        cache_misses: number(|status| status.cache_misses),
        answers: number(answers),
        hit_rate: status.and_then(hit_rate),
        latency: status.map_or_else(api::Latency::default, |status| {
            latency(&status.counts.answers)
        }),
        rcodes: status.map_or_else(BTreeMap::new, |status| rcodes(&status.counts)),
        troubles: status.map_or_else(BTreeMap::new, |status| {
            let words = Trouble::ALL.map(Trouble::as_str);
            counted(words, &status.counts.troubles)
        }),
        recent: number(|status| status.counts.recent.into()),
        recent_errors: number(|status| status.counts.recent_failed.into()),
        verdicts: status.map_or_else(BTreeMap::new, |status| {
            counted(ScopeCounts::VERDICTS, &status.counts.verdicts)
        }),
    })
}

fn upstream(status: &resolver::event::UpstreamStatus) -> api::UpstreamStatus {
    api::UpstreamStatus {
        upstream: status.upstream.to_string(),
        current: status.current,
        srtt_ms: status.srtt.map(milliseconds),
        sent: status.sent,
        lost: status.lost,
        failing: status.failing.as_ref().map(ToString::to_string),
        next_try_ms: status.next_try.map(milliseconds),
        loss_percent: status.loss_percent,
        manners: status.manners.iter().map(ToString::to_string).collect(),
        forged: status.forged,
        proof: status.proof.clone(),
        latency: latency(&status.counts.replies),
        failures: failures(&status.counts),
    }
}

/// Converts a key of a trust point.
pub(crate) fn trust_anchor(key: &PointKey) -> api::TrustAnchor {
    let PointKey {
        owner,
        key_tag,
        algorithm,
        state,
    } = key;
    api::TrustAnchor {
        owner: name_text(owner),
        key_tag: *key_tag,
        algorithm: *algorithm,
        state: points::describe(*state),
    }
}

/// Converts a negative anchor.
pub(crate) fn negative_anchor(anchor: &NegativeAnchor) -> api::NegativeAnchor {
    api::NegativeAnchor {
        name: name_text(anchor.name()),
        expires_at: anchor.expires_at(),
        expires: rfc3339(anchor.expires_at()),
        reason: anchor.reason().to_owned(),
    }
}

/// Writes a name as all others are written: without the final dot.
fn name_text(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some("") | None => text,
        Some(relative) => relative.to_owned(),
    }
}

/// Returns the word for a verdict.
pub(crate) const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Secure => "secure",
        Verdict::Insecure => "insecure",
        Verdict::Bogus(_) => "bogus",
        Verdict::Indeterminate(_) => "indeterminate",
    }
}

fn verdict_reason(verdict: Verdict) -> Option<String> {
    match verdict {
        Verdict::Secure | Verdict::Insecure => None,
        Verdict::Bogus(reason) => Some(reason.to_string()),
        Verdict::Indeterminate(reason) => Some(reason.to_string()),
    }
}

/// Converts a finding about the configuration.
pub(crate) fn diagnostic(found: &config::diagnostic::Diagnostic) -> api::Diagnostic {
    api::Diagnostic {
        severity: found.severity.as_str().to_owned(),
        file: found.file.to_string(),
        line: wide(found.line),
        column: wide(found.column),
        message: found.message.clone(),
        help: found.help.clone(),
    }
}

/// Returns the word for how an upstream is chosen, as it is configured.
const fn selection_name(selection: Selection) -> &'static str {
    match selection {
        Selection::Ordered => "ordered",
        Selection::Fastest => "fastest",
        Selection::Hedged => "hedged",
    }
}

/// Returns the word for how an upstream is asked.
pub(crate) const fn channel_name(upstream: &Upstream, channel: Channel) -> &'static str {
    if upstream.transport.is_encrypted() {
        return upstream.transport.as_str();
    }
    match channel {
        Channel::Udp => "udp",
        Channel::Tcp => "tcp",
    }
}

/// Returns a duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
