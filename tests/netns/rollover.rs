//! Does trust follow a root that changes its key, and nothing else? RFC 5011 against a real signer, over a pretended month.

use std::fs;
use std::path::Path;

use tests::lab::{Lab, UPSTREAM};
use tests::namespace::{isolated, shell};
use tests::office::{HOME, Office, links};
use tests::peer::{Peer, until};

use crate::{LINNET, LINNETD};

const DAY: u64 = 24 * 60 * 60;

/// Signs the root anew by `signing` keys, with all of `published` in it, and has the servers read it.
fn sign(lab: &Lab, published: &[&str], signing: &[&str], at: u64) {
    let zones = lab.anchor.parent().unwrap().display();
    let published: String = published.iter().map(|key| format!(" {key}.key")).collect();
    let (start, end) = (date(at - 3600), date(at + 10 * DAY));
    shell(&format!(
        "cd {zones} && cat root.raw{published} > root.in && \
         dnssec-signzone -q -P -z -x -O full -s {start} -e {end} -o . -f root.zone root.in {} >/dev/null",
        signing.join(" ")
    ));
    // What is written anew within the same second is not read anew.
    shell(&format!("touch -d @{at} {zones}/root.zone"));
    lab.authority.signal(libc::SIGHUP);
    lab.upstream.signal(libc::SIGHUP);
}

fn date(seconds: u64) -> String {
    shell(&format!("date -u -d @{seconds} +%Y%m%d%H%M%S"))
        .trim()
        .to_owned()
}

fn signs_by(server: &str, key: &str) -> bool {
    let tag: u32 = key.rsplit('+').next().unwrap().parse().unwrap();
    let text = shell(&format!(
        "dig @{server} +dnssec +time=1 +tries=1 . SOA; true"
    ));
    text.contains(&format!(" {tag} . "))
}

fn state(office: &Office) -> String {
    office.linnet(LINNET, &["dnssec", "anchors"]).1
}

fn restart(office: &Office, linnetd: &mut Peer, at: u64) {
    linnetd.signal(libc::SIGTERM);
    assert_eq!(linnetd.wait(), Some(0), "{}", linnetd.log());
    *linnetd = office.linnetd(LINNETD, &["--clock", &at.to_string()]);
}

fn is_validated() -> bool {
    shell("dig @127.0.0.53 +dnssec +time=5 +tries=1 . SOA; true").contains(" ad;")
}

fn key_named(zones: &Path) -> String {
    let names = fs::read_dir(zones).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let found = names.into_iter().find_map(|name| {
        let key = name.strip_suffix(".key")?;
        key.starts_with("K.+").then(|| key.to_owned())
    });
    found.expect("the root has a key")
}

#[test]
fn a_new_root_key_is_trusted_after_a_month_and_the_revoked_one_never_again() {
    isolated(
        "rollover::a_new_root_key_is_trusted_after_a_month_and_the_revoked_one_never_again",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let zones = lab.anchor.parent().unwrap();
            let old = key_named(zones);
            let new = shell(&format!(
                "cd {} && dnssec-keygen -q -a RSASHA256 -b 2048 -f KSK .",
                zones.display()
            ));
            let new = new.trim();
            let tag = |key: &str| {
                key.rsplit('+')
                    .next()
                    .unwrap()
                    .trim_start_matches('0')
                    .to_owned()
            };
            let now: u64 = shell("date +%s").trim().parse().unwrap();
            let office = Office::bare(dir.clone());
            office.configure(
                "linnet.toml",
                &format!(
                    "[resolver]\ndnssec = \"enforce\"\nrecursion = \"never\"\ntrust-anchors = \"{}\"\n",
                    lab.anchor.display()
                ),
            );
            office.configure("profiles/home.toml", HOME);

            sign(&lab, &[&old, new], &[&old], now);
            until("the root is signed anew", || signs_by(UPSTREAM, &old));
            let mut linnetd = office.linnetd(LINNETD, &["--clock", &now.to_string()]);
            let waits = format!("key {}", tag(new));
            until("the new key is seen", || state(&office).contains(&waits));
            assert!(
                state(&office).contains("is new, and trusted from"),
                "{}",
                state(&office)
            );
            assert!(is_validated());

            // Whoever has the new key alone is nobody yet.
            sign(&lab, &[new], &[new], now + 29 * DAY);
            until("the new key signs alone", || signs_by(UPSTREAM, new));
            restart(&office, &mut linnetd, now + 29 * DAY);
            assert!(!is_validated(), "a key was trusted before its time");

            sign(&lab, &[&old, new], &[&old], now + 31 * DAY);
            until("the old key signs again", || signs_by(UPSTREAM, &old));
            restart(&office, &mut linnetd, now + 31 * DAY);
            until("the new key is trusted", || {
                let state = state(&office);
                state.matches("is trusted").count() == 2
            });

            let revoked = shell(&format!("cd {} && dnssec-revoke {old}", zones.display()));
            let revoked = revoked.trim().rsplit('/').next().unwrap().to_owned();
            sign(&lab, &[&revoked, new], &[&revoked, new], now + 32 * DAY);
            until("the old key is revoked", || signs_by(UPSTREAM, new));
            restart(&office, &mut linnetd, now + 32 * DAY);
            assert!(is_validated(), "the new key is trusted without the old one");
            until("the revocation is seen", || {
                state(&office).contains("is revoked since")
            });
            assert!(is_validated());

            sign(&lab, &[&old], &[&old], now + 33 * DAY);
            until("the revoked key signs again", || signs_by(UPSTREAM, &old));
            restart(&office, &mut linnetd, now + 33 * DAY);
            assert!(!is_validated(), "a revoked key came back");
        },
    );
}
