//! `linnet browse`: services of the neighbours as they come and go; each is looked up as a client would.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, Instant};

use linnet::api::{BrowseParameters, Notice, QueryParameters, QueryReply, Sight};
use serde::Serialize;

use crate::connection::{CallError, Connection};
use crate::options::Browse;
use crate::output::Output;
use crate::{Exit, Failed};

/// What is printed of a sight: what came or went, and where the service is when it came.
#[derive(Debug, Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    sight: &'a Sight,
    /// Host and port of a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    /// What it says of itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    text: Vec<String>,
}

/// Runs the verb; ends when the daemon does, or when its time is up. `asking` is for looking up what was found.
pub(crate) fn run(
    connection: &mut Connection,
    asking: &mut Connection,
    browse: Browse,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let Browse {
        service,
        link,
        seconds,
    } = browse;
    let is_instance = service.is_some();
    let name = service.map(|service| match service.trim_end_matches('.') {
        whole if whole.ends_with(".local") => whole.to_owned(),
        short => format!("{short}.local"),
    });
    let parameters = BrowseParameters {
        name,
        record_type: None,
        link,
    };
    connection.subscribe("Browse", &parameters)?;
    let begun = Instant::now();
    loop {
        if let Some(seconds) = seconds {
            let left = Duration::from_secs(seconds).saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(Exit::Success);
            }
            connection.wait_at_most(left)?;
        }
        let notice: Notice = match connection.receive() {
            Ok(notice) => notice,
            Err(CallError::Broken(error)) if seconds.is_some() && is_timeout(&error) => {
                return Ok(Exit::Success);
            }
            Err(error) => return Err(error.into()),
        };
        match &notice {
            Notice::Ready => out.remark("browsing; end with Ctrl-C\n")?,
            Notice::Seen { sight } => {
                let found = match sight.present && is_instance && sight.record_type == "PTR" {
                    true => look_up(asking, sight)?,
                    false => bare(sight),
                };
                out.show(&found, |found| text(found))?;
            }
            Notice::Answered { .. }
            | Notice::PlanChanged { .. }
            | Notice::ResolvConf { .. }
            | Notice::Reach { .. }
            | Notice::Lost { .. }
            | Notice::Unknown => {}
        }
    }
}

/// Writes what came or went in a line.
pub(crate) fn line(sight: &Sight) -> String {
    let sign = if sight.present { '+' } else { '-' };
    format!(
        "{sign} {} {} {} {}\n",
        sight.link, sight.name, sight.record_type, sight.data
    )
}

fn text(found: &Found<'_>) -> String {
    let mut text = line(found.sight);
    if let Some(at) = &found.at {
        let _ = writeln!(text, "    at {at} ({})", found.addresses.join(", "));
    }
    for said in &found.text {
        let _ = writeln!(text, "    {said}");
    }
    text
}

fn bare(sight: &Sight) -> Found<'_> {
    Found {
        sight,
        at: None,
        addresses: Vec::new(),
        text: Vec::new(),
    }
}

/// Finds out where a service is (RFC 6763 §5, §6); what cannot be found is left out.
fn look_up<'a>(asking: &mut Connection, sight: &'a Sight) -> Result<Found<'a>, CallError> {
    let mut found = bare(sight);
    let instance = sight.data.trim_end_matches('.');
    let places = query(asking, instance, "SRV")?;
    if let Some(place) = places.first() {
        // Priority, weight, port, host.
        let mut fields = place.split_ascii_whitespace().skip(2);
        if let (Some(port), Some(host)) = (fields.next(), fields.next()) {
            let host = host.trim_end_matches('.');
            found.at = Some(format!("{host}:{port}"));
            for record_type in ["A", "AAAA"] {
                found.addresses.extend(query(asking, host, record_type)?);
            }
        }
    }
    found.text = query(asking, instance, "TXT")?;
    Ok(found)
}

fn query(asking: &mut Connection, name: &str, record_type: &str) -> Result<Vec<String>, CallError> {
    let parameters = QueryParameters {
        name: name.to_owned(),
        record_type: Some(record_type.to_owned()),
        ..QueryParameters::default()
    };
    let reply: QueryReply = asking.call("Query", &parameters)?;
    let answers = reply.answers.into_iter();
    let wanted = answers.filter(|answer| answer.record_type == record_type);
    Ok(wanted.map(|answer| answer.data).collect())
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}
