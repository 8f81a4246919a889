//! `linnet dnssec`: what is trusted without proof, and where nothing is validated for a while.

use std::io::Write;

use linnet::api::{
    AddNegativeAnchorParameters, AddNegativeAnchorReply, NegativeAnchor,
    RemoveNegativeAnchorParameters, Status, TrustAnchor,
};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::connection::Connection;
use crate::options::{DnssecVerb, NtaVerb};
use crate::output::{Output, columns};
use crate::{Exit, Failed};

/// Runs the verb.
pub(crate) fn run(
    connection: &mut Connection,
    verb: DnssecVerb,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    match verb {
        DnssecVerb::Anchors => anchors(connection, out),
        DnssecVerb::Nta { verb } => match verb {
            NtaVerb::Add {
                name,
                lifetime,
                reason,
            } => add(connection, name, lifetime, reason, out),
            NtaVerb::Remove { name } => remove(connection, name, out),
            NtaVerb::List => list(connection, out),
        },
    }
}

/// Lays out negative anchors, one a line.
pub(crate) fn negative_anchors(anchors: &[NegativeAnchor]) -> String {
    let rows: Vec<Vec<String>> = anchors
        .iter()
        .map(|anchor| {
            let NegativeAnchor {
                name,
                expires_at: _,
                expires,
                reason,
            } = anchor;
            vec![name.clone(), format!("until {expires}"), reason.clone()]
        })
        .collect();
    columns(&rows)
}

fn anchors(connection: &mut Connection, out: &mut Output<impl Write>) -> Result<Exit, Failed> {
    #[derive(Serialize)]
    struct Listed {
        trust_anchors: Vec<TrustAnchor>,
    }
    let Status { trust_anchors, .. } = connection.call("Status", serde_json::json!({}))?;
    out.show(&Listed { trust_anchors }, |listed| {
        let rows: Vec<Vec<String>> = listed
            .trust_anchors
            .iter()
            .map(|anchor| {
                vec![
                    anchor.owner.clone(),
                    format!("key {}", anchor.key_tag),
                    format!("algorithm {}", anchor.algorithm),
                    anchor.state.clone(),
                ]
            })
            .collect();
        columns(&rows)
    })?;
    Ok(Exit::Success)
}

fn add(
    connection: &mut Connection,
    name: String,
    lifetime: u64,
    reason: Option<String>,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let parameters = AddNegativeAnchorParameters {
        name,
        lifetime_seconds: Some(lifetime),
        reason,
    };
    let reply: AddNegativeAnchorReply = connection.call("AddNegativeAnchor", parameters)?;
    out.show(&reply, |AddNegativeAnchorReply { anchor }| {
        let NegativeAnchor { name, expires, .. } = anchor;
        format!("nothing is validated at and below {name} until {expires}\n")
    })?;
    Ok(Exit::Success)
}

fn remove(
    connection: &mut Connection,
    name: String,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let parameters = RemoveNegativeAnchorParameters { name };
    connection.call::<IgnoredAny>("RemoveNegativeAnchor", &parameters)?;
    out.show(&parameters, |parameters| {
        format!("{} is validated again\n", parameters.name)
    })?;
    Ok(Exit::Success)
}

fn list(connection: &mut Connection, out: &mut Output<impl Write>) -> Result<Exit, Failed> {
    #[derive(Serialize)]
    struct Listed {
        negative_anchors: Vec<NegativeAnchor>,
    }
    let status: Status = connection.call("Status", serde_json::json!({}))?;
    let listed = Listed {
        negative_anchors: status.negative_anchors,
    };
    out.show(&listed, |listed| match listed.negative_anchors.as_slice() {
        [] => "there are no negative anchors\n".to_owned(),
        anchors => negative_anchors(anchors),
    })?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_anchors_are_laid_out_with_end_and_reason() {
        let anchor = |name: &str, reason: &str| NegativeAnchor {
            name: name.to_owned(),
            expires_at: 0,
            expires: "1970-01-01T00:00:00Z".to_owned(),
            reason: reason.to_owned(),
        };
        assert_eq!(
            negative_anchors(&[anchor("a.test", "expired"), anchor("longer.test", "")]),
            "  a.test       until 1970-01-01T00:00:00Z  expired\n  longer.test  until 1970-01-01T00:00:00Z\n"
        );
    }
}
