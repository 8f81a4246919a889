//! `linnet demo`: linnet at work in a small world of its own, checked as it is shown.
//!
//! The process moves into new user, network and mount namespaces, raises a home link and an office VPN with a name server
//! on each, starts the real linnetd between them, and tells a story in claims. Every claim is looked at, not assumed: by
//! questions over UDP and TCP, by the C library, by a tap on the home link. The machine itself is not touched.

mod ask;
mod server;
mod story;
mod witness;
mod world;

use std::env;
use std::io::Write;

use serde::Serialize;

use crate::output::Output;
use crate::{Exit, Failed};

/// Set for the processes that play the name servers; its value says which.
const SERVER: &str = "LINNET_DEMO_SERVER";

/// What the demo has shown so far.
#[derive(Debug, Default, Serialize)]
struct Shown {
    claims: Vec<Claim>,
}

/// Something shown, and whether it was so.
#[derive(Debug, Serialize)]
struct Claim {
    claim: String,
    holds: bool,
    seen: String,
}

/// Runs the verb; exit 1 when anything shown is not so.
pub(crate) fn run(out: &mut Output<impl Write>) -> Result<Exit, Failed> {
    if let Ok(role) = env::var(SERVER) {
        return server::run(&role)
            .map(|()| Exit::Success)
            .map_err(Failed::Demo);
    }
    let mut shown = Shown::default();
    story::tell(&mut |chapter| tell(chapter, &mut shown, out)).map_err(Failed::Demo)?;
    let failed = shown.claims.iter().filter(|claim| !claim.holds).count();
    out.show(&shown, |shown| match failed {
        0 => format!(
            "\n{} claims checked, all of them hold\n",
            shown.claims.len()
        ),
        _ => format!(
            "\n{} claims checked, {failed} do not hold\n",
            shown.claims.len()
        ),
    })?;
    Ok(if failed == 0 {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// A piece of the story.
#[derive(Debug)]
enum Chapter {
    /// A headline.
    Headline(String),
    /// Something to look at.
    Look(String),
    /// Something claimed, whether it holds, and what was seen.
    Claim(String, bool, String),
}

fn tell(chapter: Chapter, shown: &mut Shown, out: &mut Output<impl Write>) -> Result<(), String> {
    let text = match chapter {
        Chapter::Headline(text) => format!("\n== {text}\n"),
        Chapter::Look(text) => text.lines().map(|line| format!("   | {line}\n")).collect(),
        Chapter::Claim(claim, holds, seen) => {
            let text = match holds {
                true => format!("   ok  {claim}: {seen}\n"),
                false => format!("   NOT SO  {claim}: {seen}\n"),
            };
            shown.claims.push(Claim { claim, holds, seen });
            text
        }
    };
    out.remark(&text)
        .map_err(|error| format!("cannot write the story: {error}"))
}
