//! `linnet explain`: where a name goes, every claim that was weighed, and why.

use std::fmt::Write as _;
use std::io::Write;

use linnet::api::{ExplainParameters, Explanation};

use super::query::{Chain, reversed, steps};
use crate::connection::Connection;
use crate::output::{Output, columns};
use crate::{Exit, Failed};

/// Runs the verb.
pub(crate) fn run(
    connection: &mut Connection,
    name: String,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let name = reversed(&name).unwrap_or(name);
    let explanation: Explanation = connection.call("Explain", ExplainParameters { name })?;
    out.show(&explanation, text)?;
    Ok(Exit::Success)
}

fn text(explanation: &Explanation) -> String {
    let mut text = format!("{}\n", explanation.name);
    let target = &explanation.target;
    match (&explanation.local, target.action.as_str()) {
        (Some(local), _) => {
            let _ = writeln!(text, "  is answered on this machine ({local})");
        }
        (None, "ask") => {
            let _ = write!(
                text,
                "  is asked in scope {}",
                target.scope.as_deref().unwrap_or("-")
            );
            if let Some(link) = &target.link {
                let _ = write!(text, " on link {link}");
            }
            let _ = writeln!(text, ", of {}", target.upstreams.join(", "));
            if let Some(selection) = target
                .selection
                .as_ref()
                .filter(|_| target.upstreams.len() > 1)
            {
                let first = target.first.join(" and ");
                let _ = writeln!(text, "  selection: {selection}; at present {first} first");
            }
        }
        (None, "multicast") => text.push_str("  is asked of the neighbours\n"),
        (None, _) => {
            let _ = writeln!(
                text,
                "  is refused: {}",
                target.refusal.as_deref().unwrap_or("no reason is known")
            );
        }
    }
    let _ = writeln!(
        text,
        "  because {} (rule {})",
        explanation.because.text, explanation.because.rule
    );
    for (what, told) in [
        ("order", &explanation.order),
        ("validation", &explanation.validation),
        ("tunnel", &explanation.endpoint),
    ] {
        if let Some(told) = told {
            let _ = writeln!(text, "  {what}: {told}");
        }
    }
    if !explanation.searched.is_empty() {
        let _ = writeln!(text, "searched as\n  {}", explanation.searched.join(", "));
    }
    if !explanation.candidates.is_empty() {
        text.push_str("claims weighed\n");
        let rows: Vec<Vec<String>> = explanation
            .candidates
            .iter()
            .map(|candidate| {
                vec![
                    candidate.outcome.clone(),
                    candidate.suffix.clone(),
                    candidate.owner.clone(),
                    format!("scope {}", candidate.scope),
                    format!("priority {}", candidate.priority),
                    candidate.detail.clone(),
                ]
            })
            .collect();
        text.push_str(&columns(&rows));
    }
    if let Some(trace) = &explanation.last {
        let _ = writeln!(text, "last asked for {}", trace.record_type);
        text.push_str(&steps(trace, Chain::Shown));
    }
    text
}

#[cfg(test)]
mod tests {
    use linnet::api::{Reason, Target};

    use super::*;

    #[test]
    fn choice_among_several_upstreams_is_told() {
        let explained = |upstreams: &[&str]| {
            let upstreams: Vec<String> = upstreams.iter().map(|&one| one.to_owned()).collect();
            let target = Target {
                action: "ask".to_owned(),
                scope: Some("home@home0".to_owned()),
                first: upstreams.clone(),
                upstreams,
                selection: Some("hedged".to_owned()),
                ..Target::default()
            };
            text(&Explanation {
                name: "a.test".to_owned(),
                target,
                because: Reason::default(),
                candidates: Vec::new(),
                local: None,
                searched: Vec::new(),
                validation: None,
                order: None,
                endpoint: None,
                last: None,
            })
        };
        let several = explained(&["192.0.2.53", "192.0.2.54"]);
        let line = "  selection: hedged; at present 192.0.2.53 and 192.0.2.54 first\n";
        assert!(several.contains(line), "{several}");
        assert!(!explained(&["192.0.2.53"]).contains("selection"));
    }
}
