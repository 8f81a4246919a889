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

/// Where networkd and NetworkManager say of each link, by index, whether it is theirs.
const SAID: [(&str, &str, &str, &str); 2] = [
    (
        "systemd-network",
        "systemd/netif/links",
        "ADMIN_STATE=",
        "unmanaged",
    ),
    (
        "NetworkManager",
        "NetworkManager/devices",
        "managed=",
        "false",
    ),
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
    let own = own(links);
    if !own.is_empty() {
        found.extend(managers(&own, &running, Path::new("/run")));
    }
    found
}

/// Says of other managers of links that linnet sets up what `linnet doctor` would, a line for each.
pub(in crate::cmd) fn second_managers(links: &[LinkStatus]) -> Vec<String> {
    let own = own(links);
    if own.is_empty() {
        return Vec::new();
    }
    let found = managers(&own, &running(Path::new("/proc")), Path::new("/run"));
    let found = found
        .into_iter()
        .filter(|found| found.outcome != Outcome::Good);
    found
        .map(|found| format!("{} (linnet doctor)", found.seen))
        .collect()
}

/// Returns the links that linnet sets up itself.
fn own(links: &[LinkStatus]) -> Vec<(u32, &str)> {
    let own = links.iter().filter(|link| !link.items.is_empty());
    own.map(|link| (link.index, link.name.as_str())).collect()
}

/// Tells of other link managers, by name of the links that both have, as far as that can be known.
fn managers(own: &[(u32, &str)], running: &[Process], run: &Path) -> Vec<Finding> {
    const HELP: &str = "let each link have one owner: tell that one to leave it, or linnet to (linnet release LINK); docs/links.md tells how to switch over";
    let mut found = Vec::new();
    for process in running {
        if !LINK_MANAGERS.contains(&process.name.as_str()) {
            continue;
        }
        let shared = match process.links(own, run) {
            // Of a program that has none of ours there is nothing to say.
            Some(shared) if shared.is_empty() => continue,
            Some(shared) => format!(" on {}, which linnet sets up", shared.join(", ")),
            None => String::new(),
        };
        let seen = format!("{} runs{shared}, pid {}", process.name, process.pid);
        found.push(finding(
            "other link managers",
            Outcome::Warning,
            seen,
            Some(HELP),
        ));
    }
    if found.is_empty() {
        let none = "none runs on a link of linnet's";
        found.push(finding("other link managers", Outcome::Good, none, None));
    }
    found
}

/// A process of this network namespace.
#[derive(Debug)]
struct Process {
    pid: u32,
    name: String,
    arguments: Vec<String>,
}

impl Process {
    /// Returns which of these links it has too; `None` when it does not say.
    fn links<'a>(&self, own: &[(u32, &'a str)], run: &Path) -> Option<Vec<&'a str>> {
        let said = SAID.iter().find(|(name, ..)| *name == self.name);
        if let Some((_, folder, key, not)) = said {
            let is_its = |index: u32| {
                let path = run.join(folder).join(index.to_string());
                let text = fs::read_to_string(path).ok()?;
                let value = text.lines().find_map(|line| line.strip_prefix(key))?;
                Some(value.trim() != *not)
            };
            // A file that cannot be read, or reads otherwise, says nothing.
            let said: Vec<(&str, Option<bool>)> = own
                .iter()
                .map(|(index, name)| (*name, is_its(*index)))
                .collect();
            if said.iter().all(|(_, its)| its.is_none()) {
                return None;
            }
            let its = said.into_iter().filter(|(_, its)| *its == Some(true));
            return Some(its.map(|(name, _)| name).collect());
        }
        let named = own.iter().map(|(_, name)| *name);
        let named: Vec<&str> = named
            .filter(|name| self.arguments.iter().any(|argument| argument == name))
            .collect();
        // Without a name on the command line it has whatever it finds.
        (!named.is_empty()).then_some(named)
    }
}

/// Returns the processes of this network namespace.
fn running(proc: &Path) -> Vec<Process> {
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
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments = line.split(|octet| *octet == 0);
            (!elsewhere).then(|| Process {
                pid,
                name: name.trim().to_owned(),
                arguments: arguments
                    .map(|argument| String::from_utf8_lossy(argument).into_owned())
                    .collect(),
            })
        })
        .collect()
}

fn rivals(check: &'static str, names: &[&str], running: &[Process], help: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> = running
        .iter()
        .filter(|process| names.contains(&process.name.as_str()))
        .map(|Process { pid, name, .. }| {
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
        let run = tempfile::tempdir().unwrap();
        let found = managers(&[(2, "eth0")], &running, run.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].outcome, Outcome::Warning);
    }

    #[test]
    fn who_has_a_link_too_is_named_with_the_link_and_who_has_another_is_not() {
        let run = tempfile::tempdir().unwrap();
        let say = |file: &str, text: &str| {
            let path = run.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let process = |pid, name: &str, arguments: &[&str]| Process {
            pid,
            name: name.to_owned(),
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
        };
        let own = [(2, "eth0"), (3, "eth1")];
        let seen = |running: &[Process]| {
            let found = managers(&own, running, run.path());
            let seen = found.into_iter().map(|found| found.seen);
            seen.collect::<Vec<_>>()
        };
        let running = [
            process(7, "systemd-network", &[]),
            process(8, "dhclient", &["dhclient", "-4", "eth1"]),
            process(9, "dhcpcd", &["dhcpcd", "-B"]),
        ];
        let rows = [
            ("systemd-network runs, pid 7", ""),
            (
                "systemd-network runs on eth0, which linnet sets up, pid 7",
                "ADMIN_STATE=configured\n",
            ),
        ];
        for (said, file) in rows {
            say("systemd/netif/links/2", file);
            let others = [
                "dhclient runs on eth1, which linnet sets up, pid 8",
                "dhcpcd runs, pid 9",
            ];
            assert_eq!(seen(&running), [&[said][..], &others].concat());
        }
        say("systemd/netif/links/2", "ADMIN_STATE=unmanaged\n");
        say("NetworkManager/devices/3", "[device]\nmanaged=false\n");
        let running = [
            process(7, "systemd-network", &[]),
            process(9, "NetworkManager", &[]),
        ];
        assert_eq!(seen(&running), ["none runs on a link of linnet's"]);
    }
}
