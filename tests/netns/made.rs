//! Are links that profiles make known again when linnetd is killed after the kernel has made them, and before it has heard of that? And what
//! becomes of those of others that stand on them?

use std::fs;
use std::path::{Path, PathBuf};

use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::until;
use tests::skip;

use crate::{LINNET, LINNETD};

const NAME: &str = "made::whoever_is_killed_before_the_answer_has_made_its_links_all_the_same";
const PROFILES: [(&str, &str); 3] = [
    (
        "profiles/bridge.toml",
        "[link]\nname = \"br7\"\nkind = \"bridge\"\nports = [\"port0\"]\n",
    ),
    (
        "profiles/pair.toml",
        "[link]\nname = \"pair0\"\nkind = \"veth\"\npeer = \"pair1\"\n",
    ),
    (
        "profiles/tun.toml",
        "[link]\nname = \"tun7\"\nkind = \"tun\"\n",
    ),
];

#[test]
fn whoever_is_killed_before_the_answer_has_made_its_links_all_the_same() {
    isolated(NAME, || {
        if !Path::new("/dev/net/tun").exists() {
            return skip(NAME, "there is no /dev/net/tun");
        }
        let dir = PathBuf::from("/run/story");
        fs::create_dir_all(&dir).unwrap();
        shell("chmod 755 /run/story && ip link add port0 type veth peer name port1");
        let office = Office::bare(dir);
        office.configure("linnet.toml", "");
        for (file, text) in PROFILES {
            office.configure(file, text);
        }
        // The tun is made last. Whoever makes it closes the device when it is there to stay: it is killed as it comes to that.
        let trace = office.path("strace");
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            &trace,
            "-P",
            "/dev/net/tun",
            "-e",
            "trace=close",
            "-e",
            "inject=close:signal=SIGKILL:when=1",
            LINNETD,
        ];
        let mut killed = office.start(&strace, &[]);
        killed.wait();
        let links = || shell("ip -brief link");
        let text = links();
        for name in ["br7", "pair0@pair1", "pair1@pair0", "tun7"] {
            assert!(text.contains(name), "{text}{}", killed.log());
        }
        // Somebody else has the bridge now.
        shell("ip link del br7 && ip link add br7 type bridge");
        let theirs = shell("ip -oneline link show br7");
        for (file, _) in PROFILES {
            fs::remove_file(office.path(&format!("etc/{file}"))).unwrap();
        }
        let linnetd = office.linnetd(LINNETD, &[]);
        until("what was made is gone", || {
            let text = links();
            !text.contains("pair0") && !text.contains("tun7")
        });
        let index = theirs.split(':').next().unwrap();
        let now = shell("ip -oneline link show br7");
        assert_eq!(now.split(':').next(), Some(index), "{}", links());
        assert!(links().contains("port0@port1"), "{}", linnetd.log());
        drop(linnetd);
    });
}

#[test]
fn a_link_on_which_somebody_elses_stands_goes_when_that_does() {
    isolated(
        "made::a_link_on_which_somebody_elses_stands_goes_when_that_does",
        || {
            let dir = PathBuf::from("/run/story");
            fs::create_dir_all(&dir).unwrap();
            shell("chmod 755 /run/story && ip link add port0 type veth peer name port1");
            let office = Office::bare(dir);
            office.configure("linnet.toml", "[links]\nstop = \"clean\"\n");
            let (file, bridge) = PROFILES[0];
            office.configure(file, bridge);
            let mut linnetd = office.linnetd(LINNETD, &[]);
            let link = |name: &str| shell(&format!("ip -oneline link show {name} 2>&1 || true"));
            until("the bridge is up", || link("br7").contains(",UP"));
            let is_bridge_of = |index: &str| link("br7").split(':').next() == Some(index);
            let ours = link("br7");
            let ours = ours.split(':').next().unwrap();
            let stand =
                || shell("ip link add theirs link br7 type macvlan && ip link set theirs up");

            stand();
            let (code, text) = office.linnet(LINNET, &["down", "br7"]);
            assert_eq!(code, 0, "{text}");
            until("it is down, not gone", || {
                is_bridge_of(ours) && !link("br7").contains(",UP")
            });
            let note = "br7 stays as it is: theirs would go with it";
            until("that is told", || {
                office.linnet(LINNET, &["status"]).1.contains(note)
            });
            shell("ip link del theirs");
            until("it is gone", || link("br7").contains("does not exist"));

            office.linnet(LINNET, &["up", "br7"]);
            until("it is there again", || link("br7").contains(",UP"));
            let ours = link("br7");
            let ours = ours.split(':').next().unwrap();
            stand();
            fs::remove_file(office.path(&format!("etc/{file}"))).unwrap();
            office.linnet(LINNET, &["config", "reload"]);
            until("that is told", || {
                office.linnet(LINNET, &["status"]).1.contains(note)
            });
            assert!(is_bridge_of(ours), "{}", linnetd.log());
            assert!(!link("theirs").contains("does not exist"));
            assert!(link("port0").contains("master br7"), "{}", link("port0"));
            shell("ip link del theirs");
            until("it is gone", || link("br7").contains("does not exist"));

            // At the end too.
            office.configure(file, bridge);
            office.linnet(LINNET, &["config", "reload"]);
            until("it is there again", || link("br7").contains(",UP"));
            stand();
            linnetd.signal(libc::SIGTERM);
            linnetd.wait();
            assert!(
                !link("theirs").contains("does not exist"),
                "{}",
                linnetd.log()
            );
            assert!(link("port0").contains("master br7"), "{}", link("port0"));
        },
    );
}
