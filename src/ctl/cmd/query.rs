//! `linnet query`: ask for a name as a client would, and show what happened on the way.

use std::fmt::Write as _;
use std::io::Write;

use config::name::DomainName;
use linnet::api::{QueryParameters, QueryReply, Step, Trace};

use crate::connection::Connection;
use crate::options::Query;
use crate::output::{Output, columns};
use crate::{Exit, Failed};

/// Runs the verb; exit 1 when the answer is not NOERROR.
pub(crate) fn run(
    connection: &mut Connection,
    query: Query,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let reversed = reversed(&query.name);
    let default_type = if reversed.is_some() { "PTR" } else { "A" };
    let parameters = QueryParameters {
        name: reversed.unwrap_or(query.name),
        record_type: Some(query.record_type.unwrap_or_else(|| default_type.to_owned())),
        dnssec: query.dnssec,
        checking_disabled: query.checking_disabled,
    };
    let reply: QueryReply = connection.call("Query", parameters)?;
    let chain = if query.dnssec {
        Chain::Shown
    } else {
        Chain::LeftOut
    };
    out.show(&reply, |reply| text(reply, chain))?;
    Ok(if reply.rcode == "NOERROR" {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// Returns the name under which an address is looked up; `None` when the text is no address.
pub(crate) fn reversed(text: &str) -> Option<String> {
    let address = text.parse().ok()?;
    Some(DomainName::reverse_of(address).to_string())
}

fn text(reply: &QueryReply, chain: Chain) -> String {
    let mut text = String::new();
    let rows: Vec<Vec<String>> = reply
        .answers
        .iter()
        .map(|record| {
            vec![
                record.name.clone(),
                record.ttl.to_string(),
                record.record_type.clone(),
                record.data.clone(),
            ]
        })
        .collect();
    text.push_str(&columns(&rows));
    if rows.is_empty() && reply.rcode == "NOERROR" {
        text.push_str("  the name has no such record\n");
    }
    let _ = write!(text, "{}", reply.rcode);
    if let Some(error) = &reply.extended_error {
        let _ = write!(text, ": {error}");
    }
    let _ = writeln!(
        text,
        ", {}",
        if reply.authentic {
            "validated"
        } else {
            "not validated"
        }
    );
    text.push_str(&steps(&reply.trace, chain));
    text
}

/// Whether chains of trust are shown link by link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    /// They are.
    Shown,
    /// Only the verdict is.
    LeftOut,
}

/// Lays out what happened to a question, a step a line.
pub(crate) fn steps(trace: &Trace, chain: Chain) -> String {
    let mut text = String::new();
    for step in &trace.steps {
        let _ = writeln!(text, "  - {}", sentence(step));
        if chain == Chain::Shown {
            for link in &step.links {
                let _ = writeln!(text, "      {link}");
            }
        }
    }
    let _ = writeln!(text, "  = {} after {:.1} ms", trace.rcode, trace.elapsed_ms);
    text
}

fn sentence(step: &Step) -> String {
    let mut words = vec![step.what.clone()];
    words.extend(step.name.clone());
    words.extend(step.scope.as_ref().map(|scope| format!("in scope {scope}")));
    words.extend(
        step.upstream
            .as_ref()
            .map(|upstream| format!("upstream {upstream}")),
    );
    words.extend(
        step.channel
            .as_ref()
            .map(|channel| format!("over {channel}")),
    );
    words.extend(step.rtt_ms.map(|rtt| format!("in {rtt:.1} ms")));
    words.extend(step.verdict.clone());
    words.extend(step.detail.as_ref().map(|detail| format!("({detail})")));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_shown_link_by_link_under_its_verdict_when_it_is_asked_for() {
        let judged = Step {
            what: "judged".to_owned(),
            verdict: Some("bogus".to_owned()),
            links: vec![". is secure".to_owned(), "test has no DNSKEY".to_owned()],
            detail: Some("DNSKEY missing".to_owned()),
            ..Step::default()
        };
        let trace = Trace {
            rcode: "SERVFAIL".to_owned(),
            steps: vec![judged],
            ..Trace::default()
        };
        assert_eq!(
            steps(&trace, Chain::Shown),
            "  - judged bogus (DNSKEY missing)\n      . is secure\n      test has no DNSKEY\n  = SERVFAIL after 0.0 ms\n"
        );
        assert_eq!(
            steps(&trace, Chain::LeftOut),
            "  - judged bogus (DNSKEY missing)\n  = SERVFAIL after 0.0 ms\n"
        );
    }
}
