//! What can one ask on the command line?

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Shows and steers linnetd, the split-DNS connectivity manager.
#[derive(Debug, Parser)]
#[command(name = "linnet", version, disable_help_subcommand = true)]
pub(crate) struct Options {
    /// Print JSON, one document (monitor: one a line)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// The daemon's runtime directory; the socket is DIR/control
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "socket")]
    pub(crate) runtime_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show links, scopes, upstreams, claims and what is wrong
    Status,
    /// Ask for a name as a client would, and show what happened on the way
    Query(Query),
    /// Show where a name goes, every claim that was weighed, and why
    Explain {
        /// The name
        name: String,
    },
    /// Watch which services neighbours have, by multicast DNS
    Browse(Browse),
    /// Watch what happens: a live view on a terminal, else a line for each question, plan and change of resolv.conf
    Monitor(Monitor),
    /// Forget cached answers
    Flush(Flush),
    /// Claim names for a link until the command ends, or for good
    Claim(Claim),
    /// Withdraw a claim
    Withdraw {
        /// The claim's name
        owner: String,
    },
    /// Show what should be in the kernel: addresses, routes, rules, settings, clients
    Plan,
    /// Set a link up, and have what was undone by hand there again
    Up {
        /// The link's name
        link: String,
    },
    /// Take a link down, with all that is linnet's
    Down {
        /// The link's name
        link: String,
    },
    /// Have what is on a link already, as its profile wants it, be linnet's
    Adopt {
        /// The link's name
        link: String,
    },
    /// Leave a link to others, as it is
    Release {
        /// The link's name
        link: String,
    },
    /// Ask for a link's leases anew
    Renew {
        /// The link's name
        link: String,
    },
    /// Check or reload the configuration
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Show the trust anchors, or switch validation off for a name for a while
    Dnssec {
        #[command(subcommand)]
        verb: DnssecVerb,
    },
    /// Look for what keeps names from resolving on this machine
    Doctor {
        /// The file to look at
        #[arg(long, value_name = "PATH", default_value = "/etc/resolv.conf")]
        resolv_conf: PathBuf,
    },
    /// Show linnet at work in a small world of its own, without touching this machine
    Demo,
}

/// `monitor`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Monitor {
    /// A line for everything that happens, on a terminal too
    #[arg(long)]
    pub(crate) lines: bool,
}

/// `query`.
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The name, or an address to find its name
    pub(crate) name: String,
    /// The record type; without it A, or PTR for an address
    #[arg(value_name = "TYPE")]
    pub(crate) record_type: Option<String>,
    /// Ask for signatures, and show the chain of trust
    #[arg(long)]
    pub(crate) dnssec: bool,
    /// Switch validation off for this question
    #[arg(long)]
    pub(crate) checking_disabled: bool,
}

/// `browse`.
#[derive(Debug, Args)]
pub(crate) struct Browse {
    /// The type, as _ipp._tcp; without it all types that there are
    pub(crate) service: Option<String>,
    /// On this link only
    #[arg(long)]
    pub(crate) link: Option<String>,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

/// `flush`.
#[derive(Debug, Args)]
pub(crate) struct Flush {
    /// This name only, or the name of an address: all types, and aliases that lead there; everything when absent
    #[arg(conflicts_with = "suffix")]
    pub(crate) name: Option<String>,
    /// This name and all below it
    #[arg(long, value_name = "NAME")]
    pub(crate) suffix: Option<String>,
    /// In this scope only
    #[arg(long)]
    pub(crate) scope: Option<String>,
}

/// `claim`.
#[derive(Debug, Args)]
pub(crate) struct Claim {
    /// The claim's name; claiming again under it replaces it
    pub(crate) owner: String,
    /// The link; the claim outlives it
    #[arg(long)]
    pub(crate) link: Option<String>,
    /// An upstream, as in the configuration; may be given again
    #[arg(long = "upstream", value_name = "UPSTREAM")]
    pub(crate) upstreams: Vec<String>,
    /// A suffix that is asked there and nowhere else; may be given again
    #[arg(long = "domain", value_name = "SUFFIX")]
    pub(crate) claims: Vec<String>,
    /// A search suffix; may be given again
    #[arg(long, value_name = "SUFFIX")]
    pub(crate) search: Vec<String>,
    /// A suffix that goes where it would go without the claim; may be given again
    #[arg(long, value_name = "SUFFIX")]
    pub(crate) exclude: Vec<String>,
    /// Names that nobody claims
    #[arg(long, value_parser = ["auto", "yes", "no", "exclusive"])]
    pub(crate) default: Option<String>,
    /// What happens to the claims while the link is down or absent
    #[arg(long, value_parser = ["auto", "refuse", "release"])]
    pub(crate) when_down: Option<String>,
    /// Higher wins among equal suffixes
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// Keep it when the command ends, and over a restart of the daemon
    #[arg(long)]
    pub(crate) persistent: bool,
}

/// `dnssec`.
#[derive(Debug, Subcommand)]
pub(crate) enum DnssecVerb {
    /// Print the keys that are trusted without proof
    Anchors,
    /// Negative anchors: names at and below which nothing is validated for a while
    Nta {
        #[command(subcommand)]
        verb: NtaVerb,
    },
}

/// `dnssec nta`.
#[derive(Debug, Subcommand)]
pub(crate) enum NtaVerb {
    /// Validate nothing at and below a name for a while
    Add {
        /// The name
        name: String,
        /// How long: a number with s, m, h, d or w behind it; at most 1w
        #[arg(long = "for", value_name = "TIME", value_parser = lifetime, default_value = "1h")]
        lifetime: u64,
        /// Why, for those who find it in the status
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Validate at and below a name again
    Remove {
        /// The name
        name: String,
    },
    /// Print the negative anchors
    List,
}

/// Reads a time as `90s`, `30m`, `1h`, `2d`, `1w` into seconds.
fn lifetime(text: &str) -> Result<u64, String> {
    const MISTAKE: &str = "give a number with s, m, h, d or w behind it, as 90s, 30m or 1h";
    let (number, unit) = text
        .char_indices()
        .next_back()
        .and_then(|(at, _)| text.split_at_checked(at))
        .ok_or(MISTAKE)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(MISTAKE.to_owned()),
    };
    let digits = number.bytes().all(|c| c.is_ascii_digit());
    let number: u64 = number.parse().map_err(|_| MISTAKE)?;
    let whole = number.checked_mul(seconds).ok_or(MISTAKE)?;
    digits.then_some(whole).ok_or_else(|| MISTAKE.to_owned())
}

/// `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print every mistake of every file; exit 1 when there is an error
    Check {
        /// A directory with linnet.toml, conf.d and profiles; the system's own when absent
        dir: Option<PathBuf>,
    },
    /// Put the configuration on disk in force
    Reload,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_numbers_with_a_unit() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("30m", Some(1800)),
            ("1h", Some(3600)),
            ("2d", Some(172_800)),
            ("1w", Some(604_800)),
            ("", None),
            ("h", None),
            ("10", None),
            ("+1h", None),
            ("-1h", None),
            ("1 h", None),
            ("1ü", None),
            ("18446744073709551615w", None),
        ] {
            assert_eq!(lifetime(text).ok(), seconds, "{text}");
        }
    }
}
