//! What do clients of linnetd, unbound and systemd-resolved notice when their only upstream fails in each of six ways?
//!
//! Prints a table, and fails when a client of linnetd waits for more than 4.5 s. Run it by `tests/bench/upstream-faults`; the path
//! of linnetd is in LINNETD, and LINNET_FAULTS_OF may name some of the servers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench may fail at any line, and prints"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use tests::faults::{DEADLINE, Fault, measure, upstream};
use tests::namespace::{isolated, shell};
use tests::office::{HOME, Office, links};
use tests::peer::{Peer, until};

/// How long a fault lasts, unless LINNET_FAULTS_SECONDS says otherwise.
const LASTING: Duration = Duration::from_secs(6);
const RESOLVED: &str = "/lib/systemd/systemd-resolved";

fn main() {
    isolated("upstream_faults", bench);
}

fn unbound(dir: &Path) -> Peer {
    let file = dir.join("unbound.conf");
    let config = "server:\n  interface: 127.0.0.53\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  \
                  use-syslog: no\n  do-ip6: no\n  module-config: \"iterator\"\n  domain-insecure: \"test\"\n  \
                  local-zone: \"test.\" nodefault\nremote-control:\n  control-enable: no\n\
                  forward-zone:\n  name: \".\"\n  forward-addr: 192.0.2.53\n";
    fs::write(&file, config).unwrap();
    Peer::start(
        dir,
        "unbound",
        None,
        &["unbound", "-d", "-c", &file.display().to_string()],
    )
}

/// systemd-resolved looks for its files in fixed places; they are the namespace's own.
fn resolved(dir: &Path) -> Peer {
    let etc = dir.join("resolved");
    fs::create_dir_all(&etc).unwrap();
    let config = "[Resolve]\nDNS=192.0.2.53\nFallbackDNS=\nDomains=~.\nDNSSEC=no\nDNSOverTLS=no\nMulticastDNS=no\nLLMNR=no\n";
    fs::write(etc.join("resolved.conf"), config).unwrap();
    shell(&format!(
        "mkdir -p /etc/systemd /run/systemd/resolve /run/systemd/netif && mount --bind {} /etc/systemd && \
         chown -R systemd-resolve: /run/systemd",
        etc.display()
    ));
    Peer::start(dir, "resolved", None, &[RESOLVED])
}

fn bench() {
    let linnetd = std::env::var("LINNETD").unwrap();
    let office = Office::bare(links());
    let server = upstream();
    office.configure("linnet.toml", "");
    office.configure("profiles/home.toml", HOME);
    println!(
        "| server | fault | p50 ms | p99 ms | worst ms | errors | unanswered in 5 s | asked | right again after ms |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|"
    );
    let mut late = 0;
    let only = std::env::var("LINNET_FAULTS_OF").unwrap_or_default();
    let lasting = std::env::var("LINNET_FAULTS_SECONDS").map_or(LASTING, |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    });
    for name in ["linnet", "unbound", "systemd-resolved"] {
        if !only.is_empty() && !only.split(' ').any(|word| word == name) {
            continue;
        }
        if name == "systemd-resolved" && !Path::new(RESOLVED).exists() {
            println!("| {name} | not installed | | | | | | | |");
            continue;
        }
        for fault in Fault::ALL {
            // Each fault meets a server that has never seen one, and remembers none.
            let _gone = fs::remove_dir_all(office.dir().join("state"));
            let subject = match name {
                "linnet" => office.linnetd(&linnetd, &[]),
                "unbound" => unbound(office.dir()),
                _ => resolved(office.dir()),
            };
            until("the server answers", || {
                tests::office::dig("+short +time=1 h0.pub.test").contains('.')
            });
            let seen = measure(fault, std::slice::from_ref(&server), lasting);
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            let back = seen
                .back
                .map_or_else(|| "never".to_owned(), |back| format!("{:.0}", ms(back)));
            println!(
                "| {name} | {fault} | {:.1} | {:.0} | {:.0} | {} | {} | {} | {back} |",
                ms(seen.p50),
                ms(seen.p99),
                ms(seen.worst),
                seen.failed,
                seen.unanswered,
                seen.asked
            );
            late += usize::from(name == "linnet" && seen.worst > DEADLINE);
            drop(subject);
        }
    }
    assert_eq!(
        late, 0,
        "faults in which a client of linnet waited longer than {DEADLINE:?}"
    );
}
