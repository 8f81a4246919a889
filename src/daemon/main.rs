//! linnetd: asks every name where it belongs.
//!
//! Which way in? Arguments, logging, privileges (before there is a thread), then the one event loop in [`run`].

mod autoload;
mod claims;
mod clock;
mod control;
mod convert;
mod date;
mod doors;
mod errands;
mod helper;
mod host;
#[cfg(test)]
#[path = "../../tests/hosts/mod.rs"]
mod hosts;
mod input;
mod kernel_clock;
mod leavings;
mod link_keys;
mod list_loader;
mod machine;
mod making;
mod memory;
mod notify;
mod observe;
mod options;
mod privileges;
mod reload;
mod resolv_conf;
mod run;
mod sleep;
mod store;
mod subscribers;
mod trace_log;
mod trust;
mod world;

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use config::diagnostic::{Colour, Severity};
use config::model::Manage;
use linnet::anchor_files;
use linnet::config_dirs::{self, Believe};
use linnet::list_files;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use leavings::Leavings;
use options::Options;
use privileges::Started;
use resolver_io::Bound;
use run::Given;

// What unwinds a panic, as a part of the program: the library that has it otherwise asks, whenever it is loaded, what processor this is,
// and in a virtual machine each such question goes to the host (docs/decisions.md). It comes with the compiler that links us.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}

/// Descriptors that are more than enough: all questions, all connections and all exchanges at their bounds.
const DESCRIPTORS: u64 = 32_768;

fn main() -> ExitCode {
    memory::begin();
    let options = Options::parse();
    log_to_stderr(&options.log);
    if options.check {
        return check(&options);
    }
    match daemon(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn daemon(options: &Options) -> Result<(), Box<dyn Error>> {
    allow_descriptors();
    let started_by = nix::unistd::getuid().as_raw();
    let directories = config_dirs::directories(options.config_dir.as_deref());
    let (bound, manages_links) = {
        // Profiles say nothing of listeners. The sockets are opened first: whoever holds a port is seen by root only, a second
        // linnetd must not get far enough to touch resolv.conf, and questions wait in them while the rest is made ready.
        let texts = config_dirs::read_mains(&directories, Believe::Only(started_by));
        let config = reload::config_of(texts);
        let bound = Bound::open(&run::listen(&config), config.resolver.threads)?;
        (bound, config.links.manage != Manage::None)
    };
    let leavings = match manages_links {
        true => Leavings::fetch(),
        false => Leavings::default(),
    };
    let options_then = options.privileges(manages_links);
    let started = privileges::start(&options_then, reload::config_of, bound)?;
    tracing::debug!(
        helper = started.helper.map(nix::unistd::Pid::as_raw),
        "privileges are dropped"
    );
    for warning in &started.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let Started {
        keeper,
        texts,
        bound,
        ..
    } = started;
    let given = Given {
        keeper,
        texts,
        bound,
        leavings,
        started_by,
    };
    runtime.block_on(run::run(options, given))?;
    Ok(())
}

/// Takes as many descriptors as the system gives: every exchange and every connection has one, and the usual soft limit is for
/// programs that use `select`.
fn allow_descriptors() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    let raised = limit.and_then(|(soft, hard)| {
        setrlimit(
            Resource::RLIMIT_NOFILE,
            soft.max(hard.min(DESCRIPTORS)),
            hard,
        )
    });
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of descriptors stays");
    }
}

/// Prints what is wrong with the configuration.
fn check(options: &Options) -> ExitCode {
    let directories = config_dirs::directories(options.config_dir.as_deref());
    let texts = config_dirs::read(&directories, Believe::Everything);
    let understood = reload::understand(texts.clone(), None);
    let named = understood.config.resolver.trust_anchors.as_deref();
    let (_, found) = named.map_or_else(Default::default, |path| {
        anchor_files::understand(&anchor_files::read(options.config_dir.as_deref(), path))
    });
    let mut understood = understood;
    understood.diagnostics.extend(found);
    let mut out = std::io::stderr().lock();
    for found in &understood.diagnostics {
        let file = texts
            .iter()
            .find(|text| *text.path.to_string_lossy() == *found.file);
        let source = file
            .and_then(|file| file.text.as_deref().ok())
            .unwrap_or_default();
        // Nobody reads: the exit code still tells.
        let _written = writeln!(out, "{}", found.render(source, Colour::Plain));
    }
    let mut broken = understood.has_errors();
    for list in &understood.config.lists {
        let path = list_files::path(options.config_dir.as_deref(), list);
        for (found, line) in list_files::findings(&path, &list_files::read(&path, list)) {
            broken |= found.severity == Severity::Error;
            let _written = writeln!(out, "{}", found.render(&line, Colour::Plain));
        }
    }
    match broken {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Libraries that warn of what strangers do, as often as they do it.
const QUIET: &str = "h2=error";

/// Logs to stderr; the journal adds the time by itself.
fn log_to_stderr(filter: &str) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::new(format!("{QUIET},{filter}")))
        .with_ansi(!journal && std::io::stderr().is_terminal());
    if journal {
        log.without_time().init();
    } else {
        log.init();
    }
}

/// Writes an error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
