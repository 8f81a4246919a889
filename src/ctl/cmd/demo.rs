//! `linnet demo`: linnet at work in a small world of its own.

use std::io::Write;

use crate::output::Output;
use crate::{Exit, Failed};

/// Runs the verb.
pub(crate) fn run(_out: &mut Output<impl Write>) -> Result<Exit, Failed> {
    Err(Failed::Demo("not built yet".to_owned()))
}
