//! Who else wants to resolve names or to set up links here? Processes of this network namespace: what runs in a container
//! with a network of its own is nobody's rival.

use std::fs;
use std::path::{Path, PathBuf};

use linnet::api::LinkStatus;

use super::{Finding, Outcome, finding};

/// Programs that also want to be the machine's resolver, as the kernel names them (15 octets at most).
const RESOLVERS: [&str; 8] = [
    "systemd-resolve",
    "dnsmasq",
    "unbound",
    "named",
    "kresd",
    "dnscrypt-proxy",
    "stubby",
    "connmand",
];
/// Programs that also set up links.
const LINK_MANAGERS: [&str; 8] = [
    "NetworkManager",
    "systemd-network",
    "dhclient",
    "dhcpcd",
    "udhcpc",
    "connmand",
    "wickedd",
    "netifd",
];

/// Looks for both; for link managers only where linnet sets up a link itself.
pub(super) fn look(links: &[LinkStatus]) -> Vec<Finding> {
    let running = running(Path::new("/proc"));
    let mut found = rivals(
        "other resolvers",
        &RESOLVERS,
        &running,
        "two owners of resolv.conf or port 53 undo each other's work",
    );
    if links.iter().any(|link| !link.items.is_empty()) {
        found.extend(rivals(
            "other link managers",
            &LINK_MANAGERS,
            &running,
            "let each link have one owner: tell that one to leave it, or linnet to (linnet release LINK)",
        ));
    }
    found
}

/// Returns pid and name of the processes of this network namespace.
fn running(proc: &Path) -> Vec<(u32, String)> {
    let network = |process: PathBuf| fs::read_link(process.join("ns/net")).ok();
    let own = network(proc.join("self"));
    let Ok(entries) = fs::read_dir(proc) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            // Somebody else's process does not tell a user where it is: then it counts as here.
            let elsewhere = network(entry.path()).is_some_and(|network| Some(network) != own);
            (!elsewhere).then(|| (pid, name.trim().to_owned()))
        })
        .collect()
}

fn rivals(
    check: &'static str,
    names: &[&str],
    running: &[(u32, String)],
    help: &str,
) -> Vec<Finding> {
    let mut found: Vec<Finding> = running
        .iter()
        .filter(|(_, name)| names.contains(&name.as_str()))
        .map(|(pid, name)| {
            let seen = format!("{name} runs, pid {pid}");
            finding(check, Outcome::Warning, seen, Some(help))
        })
        .collect();
    if found.is_empty() {
        found.push(finding(check, Outcome::Good, "none runs", None));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_runs_in_a_network_of_its_own_is_no_rival() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, name, network) in [
            ("self", "linnet", "net:[1]"),
            ("10", "dnsmasq", "net:[2]"),
            ("11", "unbound", "net:[1]"),
            ("12", "NetworkManager", "net:[1]"),
        ] {
            let process = proc.path().join(pid);
            fs::create_dir_all(process.join("ns")).unwrap();
            fs::write(process.join("comm"), format!("{name}\n")).unwrap();
            symlink(network, process.join("ns/net")).unwrap();
        }
        let running = running(proc.path());
        let found = rivals("other resolvers", &RESOLVERS, &running, "");
        let seen: Vec<&str> = found.iter().map(|found| found.seen.as_str()).collect();
        assert_eq!(seen, ["unbound runs, pid 11"]);
        let found = rivals("other link managers", &LINK_MANAGERS, &running, "");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].outcome, Outcome::Warning);
    }
}
