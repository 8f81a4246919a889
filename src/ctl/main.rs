//! `linnet`: the command. Talks to linnetd over its control socket; knows nothing of how linnetd works.

#![expect(
    clippy::disallowed_methods,
    reason = "a command reads files and the environment; it has no core whose time or input could be simulated"
)]

mod cmd;
mod connection;
mod options;
mod output;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use linnet::api::CONTROL_SOCKET;

use connection::{CallError, Connection};
use options::{ConfigVerb, Options, Verb};
use output::Output;

/// How the command ends: 0, or 1 for "looked, and it is not well". Wrong usage is 2, a failure to look is 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Success,
    Failure,
}

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("cannot write the result")]
    Output(#[from] io::Error),
    #[error("{} is not a directory", .0.display())]
    NoDirectory(PathBuf),
    #[error("{0}")]
    Demo(String),
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(options) {
        Ok(Exit::Success) => ExitCode::SUCCESS,
        Ok(Exit::Failure) => ExitCode::from(1),
        Err(Failed::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failed) => {
            let _written = writeln!(io::stderr(), "linnet: {}", chain(&failed));
            ExitCode::from(3)
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn run(options: Options) -> Result<Exit, Failed> {
    let socket = match (options.socket, options.runtime_dir) {
        (Some(path), _) => path,
        (None, Some(dir)) => dir.join("control"),
        (None, None) => PathBuf::from(CONTROL_SOCKET),
    };
    let connect = || Connection::open(&socket);
    let out = &mut Output::new(io::stdout().lock(), options.json);
    match options.verb {
        Verb::Status => cmd::status::run(&mut connect()?, out),
        Verb::Query(query) => cmd::query::run(&mut connect()?, query, out),
        Verb::Explain { name } => cmd::explain::run(&mut connect()?, name, out),
        Verb::Browse(browse) => cmd::browse::run(&mut connect()?, &mut connect()?, browse, out),
        Verb::Monitor(monitor) => cmd::monitor::run(&socket, &monitor, out),
        Verb::Flush(flush) => cmd::flush::run(&mut connect()?, flush, out),
        Verb::Claim(claim) => cmd::claim::run(&mut connect()?, claim, out),
        Verb::Withdraw { owner } => cmd::claim::withdraw(&mut connect()?, owner, out),
        Verb::Plan => cmd::link::plan(&mut connect()?, out),
        Verb::Up { link } => cmd::link::steer(&mut connect()?, "Up", link, "is being set up", out),
        Verb::Down { link } => {
            cmd::link::steer(&mut connect()?, "Down", link, "is taken down", out)
        }
        Verb::Adopt { link } => cmd::link::adopt(&mut connect()?, link, out),
        Verb::Release { link } => {
            let says = "is left to others: what is on it stays, and is nobody's until linnet adopt";
            cmd::link::steer(&mut connect()?, "Release", link, says, out)
        }
        Verb::Renew { link } => cmd::link::steer(
            &mut connect()?,
            "Renew",
            link,
            "asks for its leases anew",
            out,
        ),
        Verb::Config {
            verb: ConfigVerb::Check { dir },
        } => cmd::config::check(dir.as_deref(), out),
        Verb::Config {
            verb: ConfigVerb::Reload,
        } => cmd::config::reload(&mut connect()?, out),
        Verb::Dnssec { verb } => cmd::dnssec::run(&mut connect()?, verb, out),
        Verb::Doctor { resolv_conf } => cmd::doctor::run(&socket, &resolv_conf, out),
        Verb::Demo => cmd::demo::run(out),
    }
}
