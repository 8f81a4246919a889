//! `linnet config check` and `linnet config reload`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use config::diagnostic::{Colour, Severity};
use linnet::anchor_files::{self, understand};
use linnet::api::ReloadReply;
use linnet::config_dirs::{Believe, directories, read};
use linnet::list_files;
use serde::Serialize;

use crate::connection::Connection;
use crate::output::Output;
use crate::{Exit, Failed};

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    files: usize,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<config::diagnostic::Diagnostic>,
    #[serde(skip)]
    shown: String,
}

/// Checks a directory, or the system's own; exit 1 when there is an error.
pub(crate) fn check(dir: Option<&Path>, out: &mut Output<impl Write>) -> Result<Exit, Failed> {
    if let Some(dir) = dir.filter(|dir| !dir.is_dir()) {
        return Err(Failed::NoDirectory(dir.to_owned()));
    }
    let files = read(&directories(dir), Believe::Everything);
    let (mut layers, mut diagnostics) = (Vec::new(), Vec::new());
    let number = files.len();
    for file in files {
        match file.into_layer() {
            (layer, None) => layers.push(layer),
            (_, Some(unreadable)) => diagnostics.push(unreadable),
        }
    }
    let loaded = config::load(&layers);
    diagnostics.extend(loaded.diagnostics);
    if let Some(path) = &loaded.config.resolver.trust_anchors {
        diagnostics.extend(understand(&anchor_files::read(dir, path)).1);
    }
    let colour = if io::stdout().is_terminal() {
        Colour::Ansi
    } else {
        Colour::Plain
    };
    let mut shown = String::new();
    let listed = loaded.config.lists.iter().flat_map(|list| {
        let path = list_files::path(dir, list);
        list_files::findings(&path, &list_files::read(&path, list))
    });
    let listed: Vec<_> = listed.collect();
    for found in &diagnostics {
        let source = layers.iter().find(|layer| layer.origin.path == found.file);
        shown.push_str(&found.render(source.map_or("", |layer| layer.text.as_str()), colour));
        shown.push('\n');
    }
    for (found, line) in &listed {
        shown.push_str(&found.render(line, colour));
        shown.push('\n');
    }
    diagnostics.extend(listed.into_iter().map(|(found, _)| found));
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|found| found.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let report = Report {
        files: number,
        errors,
        warnings,
        diagnostics,
        shown,
    };
    out.show(&report, |report| {
        format!(
            "{}{} files, {} errors, {} warnings\n",
            report.shown, report.files, report.errors, report.warnings
        )
    })?;
    Ok(if errors == 0 {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// Puts the configuration on disk in force; exit 1 when something of it has errors, so that an old form of that stays.
pub(crate) fn reload(
    connection: &mut Connection,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let reply: ReloadReply = connection.call("Reload", serde_json::json!({}))?;
    let has_errors = reply.diagnostics.iter().any(|it| it.severity == "error");
    out.show(&reply, |reply| {
        let mut text = String::new();
        for found in &reply.diagnostics {
            let (severity, message) = (&found.severity, &found.message);
            let _ = writeln!(text, "{severity}: {}: {message}", found.place());
            if let Some(help) = &found.help {
                let _ = writeln!(text, "  help: {help}");
            }
        }
        text.push_str(match (reply.applied, has_errors) {
            (true, false) => "in force\n",
            (true, true) => {
                "in force, but for the files with errors: what they said before stays\n"
            }
            (false, _) => "the old configuration stays in force\n",
        });
        text
    })?;
    Ok(if reply.applied && !has_errors {
        Exit::Success
    } else {
        Exit::Failure
    })
}
