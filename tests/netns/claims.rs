//! Do claims made at run time live as long as their owner, and no longer?

use std::process::{Command, Stdio};

use tests::namespace::isolated;
use tests::office::{Office, dig};
use tests::peer::until;

use crate::{LINNET, LINNETD, json};

#[test]
fn a_claim_ends_with_the_connection_that_made_it() {
    isolated(
        "claims::a_claim_ends_with_the_connection_that_made_it",
        || {
            let office = Office::raise();
            office.configure("linnet.toml", "");
            office.configure("profiles/home.toml", tests::office::HOME);
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(
                !dig("+short git.corp.test").contains("10.8.0.80"),
                "nobody claims it yet"
            );
            let mut vpn = Command::new(LINNET)
                .args([
                    "--runtime-dir",
                    &office.path("run"),
                    "claim",
                    "myvpn",
                    "--link",
                    "vpn0",
                ])
                .args(["--upstream", "10.8.0.1", "--domain", "corp.test"])
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            until("the claim is in force", || {
                dig("+short git.corp.test").contains("10.8.0.80")
            });
            assert_eq!(json(&office, &["status"])["claims"][0]["owner"], "myvpn");
            let explained = json(&office, &["explain", "git.corp.test"]);
            assert!(
                explained["because"]["owner"]
                    .as_str()
                    .unwrap()
                    .contains("myvpn"),
                "{explained}"
            );
            vpn.kill().unwrap();
            vpn.wait().unwrap();
            until("the claim is withdrawn", || {
                json(&office, &["status"])["claims"]
                    .as_array()
                    .unwrap()
                    .is_empty()
            });
        },
    );
}

#[test]
fn a_persistent_claim_survives_a_restart_and_fails_closed() {
    isolated(
        "claims::a_persistent_claim_survives_a_restart_and_fails_closed",
        || {
            let office = Office::raise();
            office.configure("linnet.toml", "");
            office.configure("profiles/home.toml", tests::office::HOME);
            let mut first = office.linnetd(LINNETD, &[]);
            let claim = [
                "claim",
                "myvpn",
                "--link",
                "vpn0",
                "--upstream",
                "10.8.0.1",
                "--domain",
                "corp.test",
                "--persistent",
            ];
            let (code, text) = office.linnet(LINNET, &claim);
            assert_eq!(code, 0, "{text}");
            first.signal(libc::SIGTERM);
            assert_eq!(first.wait(), Some(0));
            drop(first);
            let _second = office.linnetd(LINNETD, &[]);
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            tests::namespace::shell("ip link del vpn0");
            until("it is refused", || dig("git.corp.test").contains("EDE: 15"));
            let (code, _) = office.linnet(LINNET, &["withdraw", "myvpn"]);
            assert_eq!(code, 0);
            assert!(
                !dig("git.corp.test").contains("EDE: 15"),
                "nobody claims it any more"
            );
        },
    );
}

#[test]
fn a_bad_claim_says_what_is_wrong_and_changes_nothing() {
    isolated(
        "claims::a_bad_claim_says_what_is_wrong_and_changes_nothing",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let _linnetd = office.linnetd(LINNETD, &[]);
            let (code, text) = office.linnet(
                LINNET,
                &[
                    "claim",
                    "x",
                    "--upstream",
                    "not an address",
                    "--domain",
                    "a..b",
                    "--persistent",
                ],
            );
            assert_eq!(code, 3, "{text}");
            assert!(
                text.contains("not an address") && text.contains("a..b"),
                "both are named: {text}"
            );
            assert!(
                json(&office, &["status"])["claims"]
                    .as_array()
                    .unwrap()
                    .is_empty()
            );
        },
    );
}
