//! Do the commands that the documentation names for a switch-over do what it says, on a machine that systemd runs? They are read from its pages and
//! run as they stand there: linnet is installed, systemd-networkd leaves, and linnetd takes over.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::machine::in_booted_machine;
use tests::namespace::shell;
use tests::peer::{Peer, until};

use super::folder;
use super::former::{
    NETWORKD, addresses_are, connect, defaults, has_address, network, talk, there,
};
use crate::{LINNET, LINNETD};

const NAME: &str = "links::switchover::networkd_gives_way_by_the_commands_of_the_page";
const PROFILE: &str = "match = { name = \"net0\" }\ndhcp4 = true\ndhcp6 = true\nra = true\n";
/// Links that are made by opening a device, which the unit has to let through.
const DEVICES: [&str; 2] = ["tun", "tap"];
const CHECK: &str = "linnet config check";
/// Everything takes its time in a virtual machine, and the look itself does.
const LONG: Duration = Duration::from_secs(60);
const WAITS: &str = "linnet status";

/// The lines of code of a page's section, without what they say of themselves.
fn commands(page: &str, section: &str) -> Vec<String> {
    let page = fs::read_to_string(tests::root().join(page)).unwrap();
    let (_, text) = page.split_once(&format!("## {section}\n")).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.map(|line| line.split(" # ").next().unwrap().trim());
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Installs what was built as the README says, and starts nothing.
fn install() {
    let lines = commands("README.md", "Install as a service");
    let own = |line: &&String| line.contains("install") || line.contains("sysusers");
    let lines: Vec<&String> = lines.iter().filter(own).collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    for line in lines {
        let line = line.replace("sudo ", "");
        let line = line.replace("target/release/linnetd", LINNETD);
        let line = line.replace("target/release/linnet", LINNET);
        shell(&format!("cd {} && {line}", tests::root().display()));
    }
}

fn status() -> Value {
    let text = shell("linnet --json status; true");
    let status: Value = serde_json::from_str(&text).unwrap_or_default();
    let links = status["links"].as_array().cloned().unwrap_or_default();
    let link = links.into_iter().find(|link| link["name"] == "net0");
    link.unwrap_or_default()
}

fn is(unit: &str, what: &str) -> String {
    shell(&format!("systemctl is-{what} {unit}; true"))
        .trim()
        .to_owned()
}

/// Whether two leases and a router's prefix are there, and the default routes.
fn is_set_up() -> bool {
    let there = there();
    let has = |start: &str, end: &str| {
        let mut all = there.iter();
        all.any(|it| it.starts_with(start) && it.ends_with(end))
    };
    has("192.0.2.1", "/24")
        && has("2001:db8:a::1", "/128")
        && has("2001:", "/64")
        && has_address("scope global")
        && [defaults("-4"), defaults("-6")] == [1, 1]
}

/// Whether both kinds of links are there that are made by opening /dev/net/tun.
fn devices_are_there() -> bool {
    let links = shell("ip -details -oneline link");
    DEVICES.iter().all(|kind| {
        let mut lines = links.lines();
        lines.any(|line| {
            line.contains(&format!(": {kind}7:")) && line.contains(&format!("tun type {kind} "))
        })
    })
}

/// Waits until a condition holds; whether it has come to hold.
fn comes(mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        if holds() {
            return true;
        }
    }
    false
}

#[test]
fn networkd_gives_way_by_the_commands_of_the_page() {
    in_booted_machine(NAME, &["veth"], || {
        let dir = folder();
        let network = network(&dir);
        fs::create_dir_all("/etc/systemd/network").unwrap();
        fs::write("/etc/systemd/network/10-net0.network", NETWORKD).unwrap();
        shell(
            "systemctl unmask systemd-networkd 2>&1; systemctl enable --now systemd-networkd 2>&1",
        );
        until("networkd has set up the link", is_set_up);
        let mut talks = [connect("192.0.2.1:7"), connect("[2001:db8:a::1]:7")];
        let before = there();

        install();
        fs::create_dir_all("/etc/linnet/profiles").unwrap();
        fs::write("/etc/linnet/profiles/net0.toml", PROFILE).unwrap();
        for kind in DEVICES {
            let path = format!("/etc/linnet/profiles/{kind}.toml");
            let text = format!("[link]\nname = \"{kind}7\"\nkind = \"{kind}\"\n");
            fs::write(path, text).unwrap();
        }
        shell(CHECK);
        let monitor = ["ip", "-o", "monitor", "address", "route"];
        let monitor = Peer::start(&dir, "monitor", None, &monitor);
        let page = commands("docs/links.md", "Switching over");
        // Those that look for what is left are for whoever looks.
        let page: Vec<String> = page
            .iter()
            .filter(|line| !line.starts_with("ip "))
            .map(|line| line.replace("LINK", "net0"))
            .collect();
        assert!(
            page.iter()
                .any(|line| line.contains("disable --now systemd-networkd")),
            "{page:?}"
        );
        assert!(page.iter().any(|line| line == WAITS), "{page:?}");
        let mut doctor = String::new();
        for line in &page {
            tests::say(line);
            match line.as_str() {
                WAITS => until("everything of the link is there", || {
                    addresses_are(&status(), &["ours", "adopted"])
                }),
                "linnet doctor" => doctor = shell(&format!("{line} 2>&1; true")),
                line => {
                    shell(&format!("{line} 2>&1"));
                }
            }
            talks.iter_mut().for_each(talk);
        }
        let mut told = String::new();
        let is_linnets = || {
            let there = shell("ip route; ip -6 route; ip address show net0");
            told = format!("{there}{}", status());
            let ours = shell("ip route show default proto 112; ip -6 route show default proto 112");
            ours.lines().count() == 2
                && [defaults("-4"), defaults("-6")] == [1, 1]
                && addresses_are(&status(), &["ours"])
        };
        let all = comes(is_linnets);
        assert!(all, "not all is linnet's: {told}");
        assert!(
            !doctor.is_empty() && !doctor.contains("networkd"),
            "{doctor}"
        );
        assert_eq!(there(), before);
        let log = monitor.log();
        let mut gone = log.lines().filter(|line| line.starts_with("Deleted"));
        assert!(!gone.any(|line| line.contains(" inet")), "{log}");
        let log = network[0].log();
        assert!(!log.contains("DHCPRELEASE"), "{log}");
        for (unit, active, enabled) in [
            ("systemd-networkd", false, "disabled"),
            ("systemd-networkd.socket", false, "disabled"),
            ("linnetd", true, "enabled"),
        ] {
            assert_eq!(is(unit, "active") == "active", active, "{unit}");
            assert_eq!(is(unit, "enabled"), enabled, "{unit}");
        }

        // linnetd opens one device; the others of the machine are not even there.
        let made = comes(devices_are_there);
        assert!(
            made,
            "{}",
            shell("journalctl --unit linnetd; ls -l /dev/net")
        );
        let main = shell("systemctl show --property MainPID --value linnetd");
        let devices = shell(&format!("nsenter --target {} --mount ls /dev", main.trim()));
        assert!(!devices.contains("ttyS"), "{devices}");

        // systemd waits until linnetd serves, and has it read its files.
        let kind = shell("systemctl show --property Type --value linnetd");
        assert!(kind.starts_with("notify"), "{kind}");
        shell("systemctl restart linnetd && linnet status");
        until("it is all taken up again", || {
            addresses_are(&status(), &["ours"])
        });
        talks.iter_mut().for_each(talk);
        assert_eq!(there(), before);
        let more = "[[routes]]\nto = \"10.1.0.0/16\"\nvia = \"192.0.2.1\"\n";
        fs::write("/etc/linnet/profiles/net0.toml", format!("{PROFILE}{more}")).unwrap();
        shell("systemctl reload linnetd 2>&1");
        until("what was read is in force", || {
            shell("ip route").contains("10.1.0.0/16")
        });
    });
}
