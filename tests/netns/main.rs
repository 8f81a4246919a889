//! Do the real programs do what the issue of every user says, among real peers, on real links? One story a test.
//!
//! Each story runs in namespaces of its own with unbound at home and knot behind the VPN (`tests::office`), the built
//! `linnetd` and `linnet`, and dig or the C library as clients.

#![expect(clippy::unwrap_used, reason = "a test may fail at any line")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at files and wait for programs"
)]

mod abuse;
mod bridges;
mod claims;
mod clock;
mod daemon;
mod dhcp4;
mod dnssec;
mod encrypted;
mod failover;
mod guests;
mod halted;
mod hardware;
mod ipv6;
mod kill;
mod kinds;
mod labels;
mod leak;
mod limits;
mod links;
mod listeners;
mod local_data;
mod loops;
mod macsec;
mod made;
mod monitor;
mod names;
mod neighbours;
mod observe;
mod order;
mod portal;
mod resolv_conf;
mod roam;
mod rollover;
mod selection;
mod services;
mod soak;
mod stacked;
mod tamper;
mod upstreams;
mod wireguard;

/// The built daemon.
const LINNETD: &str = env!("CARGO_BIN_EXE_linnetd");
/// The built command.
const LINNET: &str = env!("CARGO_BIN_EXE_linnet");

/// Runs the command with `--json`, and returns its document.
fn json(office: &tests::office::Office, arguments: &[&str]) -> serde_json::Value {
    let mut all = vec!["--json"];
    all.extend(arguments);
    let (_, text) = office.linnet(LINNET, &all);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}
