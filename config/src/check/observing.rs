//! Do `[metrics]`, `[dnstap]` and `[log]` make sense? Places that can be reached, paths that begin at the root.

use std::sync::Arc;

use super::lay;
use crate::diagnostic::Findings;
use crate::observing::{DnstapConfig, LogConfig, MetricsConfig, Place, PlaceError};
use crate::raw::{Table, Text};

pub(super) fn metrics(said: &Table, metrics: &mut MetricsConfig, findings: &mut Findings<'_>) {
    if let Some([text]) = said.texts("listen") {
        metrics.listen = place(text, "unix:/run/linnet/metrics or 127.0.0.1:9153", findings);
        if let Some(Place::Address(address)) = metrics.listen
            && !address.ip().to_canonical().is_loopback()
        {
            let message = "whoever reaches this address reads the numbers, which name scopes, upstreams and listeners: there is no password";
            let help = "write unix:/run/linnet/metrics or 127.0.0.1:9153, or see that only the network of your collector gets there";
            findings.warn(Some(text.span()), message, Some(help.to_owned()));
        }
    }
}

pub(super) fn dnstap(said: &Table, dnstap: &mut DnstapConfig, findings: &mut Findings<'_>) {
    if let Some([text]) = said.texts("socket") {
        dnstap.socket = place(text, "unix:/run/dnstap.sock or 192.0.2.7:6000", findings);
        dnstap.file = None;
    }
    if let Some([text]) = said.texts("file") {
        if said.key("socket").is_some() {
            let help = Some("leave out `socket` or `file`".to_owned());
            let message = "dnstap goes to a socket already";
            findings.error(Some(text.span()), message, help);
        }
        dnstap.file = path(text, findings);
        dnstap.socket = None;
    }
    lay(said.word("messages"), &mut dnstap.messages);
    lay(
        said.boolean("client-addresses"),
        &mut dnstap.client_addresses,
    );
}

pub(super) fn log(said: &Table, log: &mut LogConfig, findings: &mut Findings<'_>) {
    lay(said.word("queries"), &mut log.queries);
    lay(said.boolean("names"), &mut log.names);
    let lines = said.integer("lines-per-second");
    lay(
        lines.and_then(|lines| u32::try_from(lines).ok()),
        &mut log.lines_per_second,
    );
    if let Some([text]) = said.texts("file") {
        log.file = path(text, findings);
    }
}

fn place(text: &Text, example: &str, findings: &mut Findings<'_>) -> Option<Place> {
    match text.get_ref().parse::<Place>() {
        Ok(place) => Some(place),
        Err(error) => {
            let help = match error {
                PlaceError::Neither => format!("write {example}"),
                PlaceError::RelativePath => "write the path from the root on".to_owned(),
                PlaceError::BadPath => "choose a shorter path".to_owned(),
                PlaceError::NoPort => "write a port from 1 to 65535".to_owned(),
            };
            findings.error(Some(text.span()), error.to_string(), Some(help));
            None
        }
    }
}

fn path(text: &Text, findings: &mut Findings<'_>) -> Option<Arc<str>> {
    let path = text.get_ref().as_str();
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        let help = Some("write the path of a file from the root on".to_owned());
        findings.error(Some(text.span()), "this is no absolute path", help);
        return None;
    }
    Some(path.into())
}
