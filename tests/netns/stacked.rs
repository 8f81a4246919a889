//! Does a link that stands on another one get the MTU that the other one has not let it have, when that lets it?

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::until;

use crate::{LINNETD, json};

/// Longer than what has failed is tried again by itself.
const SOON: Duration = Duration::from_secs(4);

#[test]
fn a_macvlan_has_its_mtu_when_its_parent_allows_it() {
    isolated(
        "stacked::a_macvlan_has_its_mtu_when_its_parent_allows_it",
        || mtu_follows("kind = \"macvlan\""),
    );
}

/// Has one link stand on another one whose MTU is too small for it at first.
pub(super) fn mtu_follows(kind: &str) {
    let dir = PathBuf::from("/run/stacked");
    fs::create_dir_all(&dir).unwrap();
    shell(
        "chmod 755 /run/stacked && ip link add low0 mtu 1400 type veth peer name low1 && ip link set low0 up && ip link set low1 up",
    );
    let office = Office::bare(dir);
    office.configure("linnet.toml", "");
    let profile = format!("mtu = 1500\n[link]\nname = \"top0\"\nparent = \"low0\"\n{kind}\n");
    office.configure("profiles/top.toml", &profile);
    let linnetd = office.linnetd(LINNETD, &[]);
    let item = || {
        let status = json(&office, &["status"]);
        let mut links = status["links"].as_array().unwrap().iter();
        let link = links.find(|link| link["name"] == "top0")?;
        let mut items = link["items"].as_array()?.iter();
        items.find(|item| item["item"] == "mtu").cloned()
    };
    let is = |state: &str| item().is_some_and(|item: Value| item["state"] == state);
    until("its MTU is refused", || is("failed"));
    let told = item().unwrap();
    assert!(told["detail"].is_string(), "{told}");
    let mtu = || shell("cat /sys/class/net/top0/mtu");
    assert_eq!(mtu().trim(), "1400", "{}", linnetd.log());
    // What is tried again by itself soon has been.
    thread::sleep(SOON);
    assert!(is("failed"), "{}", item().unwrap());
    shell("ip link set low0 mtu 1500");
    until("it has its MTU", || mtu().trim() == "1500" && is("ours"));
}
