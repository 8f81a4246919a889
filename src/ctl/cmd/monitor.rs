//! `linnet monitor`: what happens, live on a terminal, or a line each when nobody looks at one.

mod lines;
mod live;
mod rates;
mod terminal;
mod view;

use std::io::{IsTerminal as _, Write};
use std::path::Path;

use crate::connection::Connection;
use crate::options::Monitor;
use crate::output::Output;
use crate::{Exit, Failed};

/// Runs the verb; the live view ends with a key, the lines with the daemon.
pub(crate) fn run(
    socket: &Path,
    options: &Monitor,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let is_seen = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if is_seen && !options.lines && !out.is_json() {
        return live::run(socket);
    }
    lines::run(&mut Connection::open(socket)?, out)
}
