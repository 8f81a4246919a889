//! What can one say on linnetd's command line?

use std::path::PathBuf;

use clap::Parser;

use crate::helper::Paths;
use crate::kernel_clock::Pretence;
use crate::privileges;
use crate::world::Kept;

/// Asks every name where it belongs: the daemon of the split-DNS connectivity manager.
#[derive(Debug, Clone, Parser)]
#[command(name = "linnetd", version)]
pub(crate) struct Options {
    /// The one directory of the configuration, instead of the system's three
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Where the control socket is made
    #[arg(long, value_name = "DIR", default_value = "/run/linnet")]
    pub(crate) runtime_dir: PathBuf,
    /// Where the journal, persistent claims, negative anchors, networks and the time are kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/linnet")]
    pub(crate) state_dir: PathBuf,
    /// The file that tells programs whom to ask
    #[arg(long, value_name = "PATH", default_value = "/etc/resolv.conf")]
    pub(crate) resolv_conf: PathBuf,
    /// The hosts table
    #[arg(long, value_name = "PATH", default_value = "/etc/hosts")]
    pub(crate) hosts: PathBuf,
    /// The socket of the system bus, at which logind tells when the machine sleeps
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/dbus/system_bus_socket"
    )]
    pub(crate) system_bus: PathBuf,
    /// The user to become, when started as root; linnet when absent
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// What to log: error, warn, info, debug, trace, or target=level pairs
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,
    /// Check the configuration and end: 1 when it has errors
    #[arg(long)]
    pub(crate) check: bool,
    /// Take this for the time; for tests
    #[arg(long, value_name = "UNIX|FILE", hide = true)]
    pub(crate) clock: Option<Pretence>,
}

impl Options {
    /// Returns what the start as root needs.
    pub(crate) fn privileges(&self, manages_links: bool) -> privileges::Options {
        privileges::Options {
            user: self.user.clone(),
            runtime_dir: self.runtime_dir.clone(),
            paths: Paths {
                config_dir: self.config_dir.clone(),
                state_dir: self.state_dir.clone(),
                resolv_conf: self.resolv_conf.clone(),
            },
            manages_links,
        }
    }

    /// Returns the path of the control socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.runtime_dir.join("control")
    }

    /// Returns the file in which something is kept.
    pub(crate) fn kept_file(&self, kept: Kept) -> PathBuf {
        self.state_dir.join(match kept {
            Kept::Claims => "claims.json",
            Kept::NegativeAnchors => "negative-anchors",
            Kept::Time => "clock",
            Kept::TrustPoints => "trust-points",
            Kept::Networks => "networks.json",
            Kept::Leases => "leases.json",
            Kept::LinkJournal => "links.journal",
            Kept::MadeLinks => "made-links.json",
            Kept::Told => "told-links.json",
            Kept::Secret => "secret",
        })
    }
}
