//! `linnet up`, `down`, `adopt`, `release`, `renew` and `plan`: links, by command.

use std::io::Write;

use linnet::api::{LinkParameters, PlanReply};
use serde::de::IgnoredAny;

use crate::connection::Connection;
use crate::output::Output;
use crate::{Exit, Failed};

/// Tells the daemon something of a link; `says` is what became of it, after the link's name.
pub(crate) fn steer(
    connection: &mut Connection,
    method: &str,
    link: String,
    says: &str,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let parameters = LinkParameters { link };
    connection.call::<IgnoredAny>(method, &parameters)?;
    out.show(&parameters, |parameters| {
        format!("{} {says}\n", parameters.link)
    })?;
    Ok(Exit::Success)
}

/// Runs `plan`.
pub(crate) fn plan(
    connection: &mut Connection,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let reply: PlanReply = connection.call("Plan", serde_json::json!({}))?;
    out.show(&reply, |reply| match reply.lines.as_slice() {
        [] => "nothing is planned: no profile says anything of a link that is there\n".to_owned(),
        lines => lines.join("\n") + "\n",
    })?;
    Ok(Exit::Success)
}
