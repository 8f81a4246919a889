//! `linnet config check` and `linnet config reload`.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use linnet::api::{Diagnostic, ReloadReply};

use crate::connection::Connection;
use crate::output::Output;
use crate::{Exit, Failed};

/// Checks a directory, or the system's own; exit 1 when there is an error.
pub(crate) fn check(_dir: Option<&Path>, _out: &mut Output<impl Write>) -> Result<Exit, Failed> {
    Ok(Exit::Failure)
}

/// Puts the configuration on disk in force; exit 1 when it is too broken for that and the old one stays.
pub(crate) fn reload(
    connection: &mut Connection,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let reply: ReloadReply = connection.call("Reload", serde_json::json!({}))?;
    out.show(&reply, |reply| {
        let mut text = String::new();
        for Diagnostic {
            severity,
            file,
            line,
            column,
            message,
            help,
        } in &reply.diagnostics
        {
            let _ = writeln!(text, "{severity}: {file}:{line}:{column}: {message}");
            if let Some(help) = help {
                let _ = writeln!(text, "  help: {help}");
            }
        }
        text.push_str(if reply.applied {
            "in force\n"
        } else {
            "the old configuration stays in force\n"
        });
        text
    })?;
    Ok(if reply.applied {
        Exit::Success
    } else {
        Exit::Failure
    })
}
