//! `linnet flush`: forget cached answers.

use std::io::Write;

use linnet::api::{FlushParameters, FlushReply};

use crate::cmd::query::reversed;
use crate::connection::Connection;
use crate::options::Flush;
use crate::output::Output;
use crate::{Exit, Failed};

/// Runs the verb.
pub(crate) fn run(
    connection: &mut Connection,
    flush: Flush,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let parameters = FlushParameters {
        name: flush.name.map(|name| reversed(&name).unwrap_or(name)),
        suffix: flush.suffix,
        scope: flush.scope,
    };
    let reply: FlushReply = connection.call("Flush", parameters)?;
    out.show(&reply, |reply| {
        format!("{} answers forgotten\n", reply.dropped)
    })?;
    Ok(Exit::Success)
}
