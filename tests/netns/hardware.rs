//! Is a network card set as its profile says, left alone where it is so already, and as it was before when the profile goes?

use std::fs;
use std::path::PathBuf;

use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::{Peer, until};

use crate::{LINNET, LINNETD, json};

fn offload(name: &str) -> String {
    let all = shell("ethtool -k card0");
    let line = all
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_default().to_owned()
}

fn item(office: &Office, name: &str) -> Option<(String, String)> {
    let status = json(office, &["status"]);
    let links = status["links"].as_array()?;
    let card = links.iter().find(|link| link["name"] == "card0")?;
    let items = card["items"].as_array()?;
    let item = items.iter().find(|item| item["item"] == name)?;
    let detail = item["detail"].as_str().unwrap_or_default();
    Some((item["state"].as_str()?.to_owned(), detail.to_owned()))
}

#[test]
fn a_card_is_set_by_its_profile_and_what_it_refuses_is_told() {
    const NAME: &str = "hardware::a_card_is_set_by_its_profile_and_what_it_refuses_is_told";
    isolated(NAME, || {
        let dir = PathBuf::from("/run/story");
        fs::create_dir_all(&dir).unwrap();
        shell(
            "chmod 755 /run/story && ip link add card0 type veth peer name card1 && ip link set card1 up",
        );
        let office = Office::bare(dir.clone());
        office.configure("linnet.toml", "");
        let profile = "match = { name = \"card0\" }\naddresses = [\"192.0.2.7/24\"]\n[hardware]\ntx-tcp-segmentation = false\n\
                       rx-gro = true\ntx-scatter-gather = true\nrx-lro = true\nspeed = 100\nduplex = \"full\"\nwake-on-lan = [\"magic\"]\n";
        office.configure("profiles/card.toml", profile);
        assert_eq!(offload("tx-tcp-segmentation"), "on");
        let gro = offload("generic-receive-offload");
        let linnetd = office.linnetd(LINNETD, &[]);
        until("it is set", || offload("tx-tcp-segmentation") == "off");
        until("the link is up and has its address", || {
            shell("ip -4 -brief address show dev card0 | cat").contains("192.0.2.7")
        });
        assert_eq!(offload("generic-receive-offload"), "on");
        let state = |name| item(&office, name).map(|(state, _)| state);
        until("what is so already stays somebody else's", || {
            state("tx-scatter-gather").as_deref() == Some("adopted")
        });
        assert_eq!(state("tx-tcp-segmentation").as_deref(), Some("ours"));
        for (refused, words) in [
            ("wake-on-lan", ""),
            ("rx-lro", "does not let it be changed"),
        ] {
            until("what is refused is told", || {
                state(refused).as_deref() == Some("failed")
            });
            let (_, detail) = item(&office, refused).unwrap();
            assert!(!detail.is_empty() && detail.contains(words), "{detail}");
        }
        let (_, plan) = office.linnet(LINNET, &["plan"]);
        for line in [
            "tx-tcp-segmentation off",
            "wake-on-lan magic",
            "link-mode 100 Mbit/s full",
        ] {
            assert!(plan.contains(line), "{plan}");
        }
        again(&office, &dir, linnetd, &gro);
    });
}

/// Another linnetd finds everything as it should be, and asks for nothing; without the profile all is as before.
fn again(office: &Office, dir: &std::path::Path, linnetd: Peer, gro: &str) {
    linnetd.signal(libc::SIGTERM);
    let mut ended = linnetd;
    ended.wait();
    assert_eq!(
        offload("tx-tcp-segmentation"),
        "off",
        "a card stays as it is when linnetd ends: it may have to wake the machine"
    );
    let monitor = Peer::start(dir, "monitor", None, &["ethtool", "--monitor", "card0"]);
    let _linnetd = office.linnetd(LINNETD, &[]);
    until("it is found again", || {
        item(office, "tx-tcp-segmentation").is_some_and(|(state, _)| state == "ours")
    });
    assert!(
        !monitor.log().contains("tcp-segmentation"),
        "{}",
        monitor.log()
    );
    fs::remove_file(office.dir().join("etc/profiles/card.toml")).unwrap();
    let (code, text) = office.linnet(LINNET, &["config", "reload"]);
    assert_eq!(code, 0, "{text}");
    until("it is given back", || {
        offload("tx-tcp-segmentation") == "on"
    });
    until("all of it", || offload("generic-receive-offload") == gro);
}
