//! Which numbers has the world for Prometheus? Those of the resolver, scope by scope, and how things stand.
//!
//! Labels are scopes, upstreams and words of our own: as many as the configuration and claims have, whatever is asked. Never
//! the name of a question, never a client.

use config::time::Instant;
use linnet::api::ListenerStatus;
use policy::ScopeState;
use resolver::event::UpstreamStatus;
use resolver::ledger::{ScopeCounts, Trouble};
use resolver::{Counters, ScopeStatus};

use super::World;
use crate::convert::{answers, failures, rcodes};
use crate::observe::Exposition;

/// What counters of the resolver mean, by their names in `status`; `None` for those that are told scope by scope.
const COUNTERS: [(&str, Option<&str>); 19] = [
    ("queries", Some("Questions received from clients.")),
    ("cache_hits", None),
    (
        "denied_again",
        Some("Questions denied by what was proven for others (RFC 8198)."),
    ),
    (
        "synthesized",
        Some("Questions answered without a scope: hosts, localhost, special-use names."),
    ),
    (
        "refused",
        Some("Questions refused, because their scope is not ready or there is none."),
    ),
    (
        "displaced",
        Some("Questions that had waited longest and gave their place to later ones."),
    ),
    (
        "unread",
        Some("Datagrams of clients that came faster than they were taken, and were dropped."),
    ),
    ("exchanges", Some("Messages sent to upstreams.")),
    ("hedges", Some("Second messages, sent beside a slow first.")),
    ("lost", Some("Exchanges without reply.")),
    (
        "dropped",
        Some("Replies dropped: wrong id, wrong question, malformed."),
    ),
    ("looped", Some("Our own questions, sent back to us.")),
    (
        "timed_out",
        Some("Questions that got no answer within their budget."),
    ),
    ("secure", None),
    ("insecure", None),
    ("bogus", None),
    ("indeterminate", None),
    (
        "curbed",
        Some(
            "Replies judged for no more than an ordinary zone costs, because their zone had cost too much.",
        ),
    ),
    (
        "leaks_prevented",
        Some("Expansions of claimed names by a search suffix that were kept at home."),
    ),
];

impl World {
    /// Returns all numbers.
    pub(crate) fn expose(&self, now: Instant) -> Exposition {
        let mut out = Exposition::default();
        let version = env!("CARGO_PKG_VERSION");
        out.info(
            "linnet_build",
            "The version that runs.",
            &[("version", version)],
        );
        counters(self.resolver.counters(), &mut out);
        let help = "Times that a listener thread panicked and began anew.";
        out.counter("linnet_panics", help, &[], resolver_io::panics());
        let plan = &self.plan.dns;
        for scope in &self.resolver.status(now) {
            let Some(planned) = plan.scopes.get(&scope.id) else {
                continue;
            };
            let ready = planned.state == ScopeState::Ready;
            self::scope(scope, ready, &mut out);
            for upstream in &scope.upstreams {
                self::upstream(&scope.id.0, upstream, &mut out);
            }
        }
        for listener in &crate::doors::status(&self.listeners) {
            self::listener(listener, &mut out);
        }
        let help = "The bytes that all caches together may take.";
        let size = self.config.resolver.cache_size;
        out.amount("linnet_cache_capacity_bytes", help, &[], size);
        let help = "Whether names that nobody claims have a scope.";
        let default = u64::from(plan.default_scope().is_some());
        out.amount("linnet_default_scope", help, &[], default);
        let help = "The number of the plan in force.";
        out.amount("linnet_plan_generation", help, &[], self.generation);
        let help = "Whether the clock is believed, so that dates of signatures count.";
        let believed = u64::from(self.trust.dates_count());
        out.amount("linnet_clock_believed", help, &[], believed);
        let errors = self.findings();
        let errors = errors.iter().filter(|found| found.severity == "error");
        let errors = u64::try_from(errors.count()).unwrap_or(u64::MAX);
        let help = "Errors in the configuration and the trust anchors; an older one, or the rest, is in force.";
        out.amount("linnet_config_errors", help, &[], errors);
        let keeper = self.keeping.status(self.mode());
        let help = "Whose resolv.conf is: untouched, ours, overwritten or failed.";
        let labels: [(&'static str, &str); 2] = [("mode", &keeper.mode), ("state", &keeper.state)];
        out.info("linnet_resolv_conf", help, &labels);
        out
    }
}

fn counters(counters: Counters, out: &mut Exposition) {
    let Ok(serde_json::Value::Object(counters)) = serde_json::to_value(counters) else {
        return;
    };
    for (name, value) in &counters {
        let known = COUNTERS.iter().find(|(known, _)| known == name);
        let help = match known {
            Some((_, None)) => continue,
            Some((_, Some(help))) => *help,
            None => "A counter of the resolver; see linnet status --json.",
        };
        if let Some(value) = value.as_u64() {
            out.counter(&format!("linnet_{name}"), help, &[], value);
        }
    }
}

fn scope(status: &ScopeStatus, ready: bool, out: &mut Exposition) {
    let scope: (&'static str, &str) = ("scope", &status.id.0);
    let only = [scope];
    let counts = &status.counts;
    let help = "Whether names of the scope can be asked.";
    out.amount("linnet_scope_ready", help, &only, u64::from(ready));
    let help = "Answers, from the cache or not.";
    out.counter("linnet_scope_answers", help, &only, answers(status));
    let help = "Answers that came straight from the cache.";
    out.counter("linnet_cache_hits", help, &only, status.cache_hits);
    let help = "Questions, those of validation included, that the cache did not know.";
    out.counter("linnet_cache_misses", help, &only, status.cache_misses);
    let help = "Answers that made room for others before their time.";
    out.counter("linnet_cache_evicted", help, &only, status.cache_evicted);
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let help = "Answers in the cache.";
    out.amount(
        "linnet_cache_entries",
        help,
        &only,
        wide(status.cache_entries),
    );
    let help = "Bytes of the cache.";
    out.amount("linnet_cache_bytes", help, &only, wide(status.cache_bytes));
    let help = "How long answers took that did not come straight from the cache, errors included.";
    out.histogram("linnet_answer_seconds", help, &only, &counts.answers);
    let help = "Answers that did not come straight from the cache, by their code.";
    for (rcode, count) in rcodes(counts) {
        out.counter("linnet_answers", help, &[scope, ("rcode", &rcode)], count);
    }
    let help = "Answers that were errors, by what was wrong.";
    for (trouble, count) in Trouble::ALL.iter().zip(counts.troubles) {
        let labels = [scope, ("trouble", trouble.as_str())];
        out.counter("linnet_troubles", help, &labels, count);
    }
    let help = "Answers that were validated, by verdict (RFC 4035 §4.3).";
    for (verdict, count) in ScopeCounts::VERDICTS.iter().zip(counts.verdicts) {
        out.counter(
            "linnet_verdicts",
            help,
            &[scope, ("verdict", verdict)],
            count,
        );
    }
}

fn listener(status: &ListenerStatus, out: &mut Exposition) {
    let labels: [(&'static str, &str); 1] = [("listener", &status.place)];
    let help = "Whether the listener is open.";
    let open = u64::from(status.state == "open");
    out.amount("linnet_listener_open", help, &labels, open);
    let help = "Connections of clients that are open.";
    out.amount(
        "linnet_listener_connections",
        help,
        &labels,
        status.connections,
    );
    let help = "Questions taken by the listener.";
    out.counter("linnet_listener_queries", help, &labels, status.queries);
    let help = "What the listener turned away, by reason.";
    for (reason, count) in [
        ("stranger", status.strangers),
        ("limited", status.limited),
        ("refused", status.refused),
        ("malformed", status.malformed),
        ("reflective", status.reflective),
    ] {
        let [listener] = labels;
        let labels = [listener, ("reason", reason)];
        out.counter("linnet_listener_turned_away", help, &labels, count);
    }
}

fn upstream(scope: &str, status: &UpstreamStatus, out: &mut Exposition) {
    let name = status.upstream.to_string();
    let transport = status.upstream.transport.as_str();
    let labels = [
        ("scope", scope),
        ("upstream", name.as_str()),
        ("transport", transport),
    ];
    let help = "Whether the upstream works, as far as is known.";
    let works = u64::from(status.failing.is_none());
    out.amount("linnet_upstream_works", help, &labels, works);
    let help = "Whether questions go to the upstream now.";
    out.amount(
        "linnet_upstream_current",
        help,
        &labels,
        u64::from(status.current),
    );
    let help = "Messages sent to the upstream.";
    out.counter("linnet_upstream_sent", help, &labels, status.sent);
    let help = "Exchanges with the upstream that brought no reply.";
    out.counter("linnet_upstream_lost", help, &labels, status.lost);
    let help =
        "Replies in the upstream's name that were not taken for its own; somebody may be guessing.";
    out.counter("linnet_upstream_forged", help, &labels, status.forged);
    let help = "Exchanges with the upstream that failed by something that was heard, by what.";
    for (failure, count) in failures(&status.counts) {
        let [scope, upstream, transport] = labels;
        let labels = [scope, upstream, transport, ("failure", failure.as_str())];
        out.counter("linnet_upstream_failures", help, &labels, count);
    }
    if let Some(srtt) = status.srtt {
        let help = "Smoothed round-trip time.";
        let srtt = srtt.as_secs_f64();
        out.gauge("linnet_upstream_srtt_seconds", help, &labels, srtt);
    }
    let help = "How long replies of the upstream took.";
    let replies = &status.counts.replies;
    out.histogram("linnet_upstream_reply_seconds", help, &labels, replies);
}
