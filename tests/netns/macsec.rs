//! Does a link of MACsec carry what it should, and does no packet number ever come again? With the kernel's own MACsec on both sides.
//!
//! ```text
//! this machine: e0 ── e1 :far
//!    secure0 10.20.0.1 ══ 10.20.0.2 macsec0, made by `ip macsec`
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tests::machine::in_machine;
use tests::namespace::shell;
use tests::office::Office;
use tests::peer::Peer;
use tests::say;

use crate::{LINNET, LINNETD, json};

/// Everything is many times slower in the machine.
const SOON: u64 = 60;
/// How many numbers are reserved at a time.
const BLOCK: u64 = 1 << 26;

struct World {
    office: Office,
    dir: PathBuf,
}

fn within(seconds: u64, what: &str, check: impl Fn() -> bool) {
    let begun = Instant::now();
    while !check() {
        if begun.elapsed() > Duration::from_secs(seconds) {
            let state = "ip addr; ip macsec show; ip -n far macsec show; ip -n far -s macsec show; cat /run/story/linnetd.log; \
                         cat /run/story/state/macsec*";
            panic!(
                "{what}: not within {seconds} s\n{}",
                shell(&format!("{state}; true"))
            );
        }
        thread::sleep(Duration::from_millis(200));
    }
    say(&format!("{what}: {:.1} s", begun.elapsed().as_secs_f64()));
}

fn passes() -> bool {
    shell("busybox ping -q -c1 -W2 10.20.0.2 >/dev/null 2>&1 && echo yes; true").contains("yes")
}

/// What the kernel says of the association that sends: its next packet number, and whether it is on.
fn sending() -> Option<(u64, bool)> {
    let text = shell("ip macsec show secure0 2>/dev/null; true");
    let line = text
        .lines()
        .skip_while(|line| !line.contains("TXSC"))
        .take_while(|line| !line.contains("RXSC"))
        .find(|line| line.contains("PN "))?;
    let next = line.split("PN ").nth(1)?.split(',').next()?;
    Some((next.trim().parse().ok()?, line.contains("state on")))
}

impl World {
    fn raise() -> Self {
        let dir = PathBuf::from("/run/story");
        fs::create_dir_all(&dir).unwrap();
        let far = "ip netns exec far";
        shell(&format!(
            "chmod 755 /run/story && ip link set lo up && ip netns add far && \
             ip link add e0 address 02:00:00:00:00:01 type veth peer name e1 address 02:00:00:00:00:02 netns far && \
             ip link set e0 up && ip -n far link set e1 up && \
             {far} ip link add link e1 name macsec0 type macsec encrypt on && \
             {far} ip macsec add macsec0 tx sa 0 pn 1 on key 01 {} && \
             {far} ip macsec add macsec0 rx port 1 address 02:00:00:00:00:01 && \
             {far} ip macsec add macsec0 rx port 1 address 02:00:00:00:00:01 sa 0 pn 1 on key 02 {} && \
             ip -n far addr add 10.20.0.2/24 dev macsec0 && ip -n far link set macsec0 up",
            "2b".repeat(16),
            "1a".repeat(16),
        ));
        let office = Office::bare(dir.clone());
        office.configure("linnet.toml", "");
        office.configure(
            "profiles/secure.toml",
            "addresses = [\"10.20.0.1/24\"]\n[link]\nname = \"secure0\"\nkind = \"macsec\"\nparent = \"e0\"\nencrypt = true\n\
             [[associations]]\nkey-file = \"/run/story/here.key\"\n\
             [[associations]]\nfrom = \"02:00:00:00:00:02\"\nkey-file = \"/run/story/there.key\"\n",
        );
        let world = Self { office, dir };
        world.key("here.key", "1a");
        world.key("there.key", "2b");
        world
    }

    fn key(&self, file: &str, pair: &str) {
        let path = self.dir.join(file);
        fs::write(&path, pair.repeat(16) + "\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn linnetd(&self) -> Peer {
        self.office.linnetd(LINNETD, &[])
    }

    fn status(&self) -> String {
        json(&self.office, &["status"]).to_string()
    }
}

fn kill(linnetd: Peer, signal: i32) {
    linnetd.signal(signal);
    let mut ended = linnetd;
    ended.wait();
}

#[test]
fn no_packet_number_comes_again_whatever_becomes_of_linnetd() {
    const NAME: &str = "macsec::no_packet_number_comes_again_whatever_becomes_of_linnetd";
    in_machine(NAME, &["macsec", "veth"], || {
        let world = World::raise();
        let linnetd = world.linnetd();
        within(SOON, "packets pass", passes);
        nothing_secret_is_told(&world);
        let linnetd = killed_and_back(&world, linnetd);
        let linnetd = stopped_and_back(&world, linnetd);
        let linnetd = dark_and_back(&world, linnetd);
        let linnetd = forgotten(&world, linnetd);
        fs::remove_file(world.office.dir().join("etc/profiles/secure.toml")).unwrap();
        let (code, text) = world.office.linnet(LINNET, &["config", "reload"]);
        assert_eq!(code, 0, "{text}");
        within(SOON, "the link goes with its profile", || {
            sending().is_none()
        });
        drop(linnetd);
    });
}

fn nothing_secret_is_told(world: &World) {
    let status = world.status();
    assert!(status.contains("sends; 1 %"), "{status}");
    assert!(status.contains("02:00:00:00:00:02 port 1"), "{status}");
    let (_, plan) = world.office.linnet(LINNET, &["plan"]);
    assert!(
        plan.contains("association 0 sends, key in /run/story/here.key"),
        "{plan}"
    );
    let log = fs::read_to_string(world.office.path("linnetd.log")).unwrap();
    let ledger = fs::read_to_string(world.dir.join("state/macsec-numbers")).unwrap();
    for text in [status, plan, log, ledger] {
        assert!(
            !text.contains("1a1a1a1a") && !text.contains("2b2b2b2b"),
            "{text}"
        );
    }
    let mark = world.dir.join("here.key.used");
    assert!(mark.exists(), "what outlives the ledger");
    assert!(!world.dir.join("there.key.used").exists());
}

/// Killed by itself, with its helper there to say so: nothing is cut, and the kernel goes on counting.
fn killed_and_back(world: &World, linnetd: Peer) -> Peer {
    let (before, _) = sending().unwrap();
    kill(linnetd, libc::SIGKILL);
    within(SOON, "the helper says that nobody watches", || {
        Path::new("/run/story/state/macsec-left").exists()
    });
    assert!(passes(), "nothing is cut");
    let linnetd = world.linnetd();
    within(SOON, "it is taken over", || {
        world.status().contains("sends; 1 %")
    });
    let (after, is_on) = sending().unwrap();
    assert!(is_on && after > before && after < before + 1000, "{after}");
    assert!(passes());
    linnetd
}

/// Stopped, it stops what sends, as nobody would count it; and goes on after it.
fn stopped_and_back(world: &World, linnetd: Peer) -> Peer {
    let (before, _) = sending().unwrap();
    kill(linnetd, libc::SIGTERM);
    let (stopped, is_on) = sending().unwrap();
    assert!(!is_on && stopped >= before, "{stopped}");
    assert!(!passes(), "nothing goes out uncounted");
    let linnetd = world.linnetd();
    within(SOON, "packets pass again", passes);
    let (after, _) = sending().unwrap();
    assert!(after > stopped && after < BLOCK, "{after} after {stopped}");
    linnetd
}

/// All of it dies at once, and the link with it: as when the power goes.
fn dark_and_back(world: &World, linnetd: Peer) -> Peer {
    let (before, _) = sending().unwrap();
    let helper = shell("pgrep -x linnetd-helper; true");
    assert!(!helper.trim().is_empty(), "there is a helper");
    shell(&format!("kill -STOP {}", helper.trim()));
    kill(linnetd, libc::SIGKILL);
    shell(&format!(
        "kill -KILL {}; ip link delete secure0",
        helper.trim()
    ));
    let linnetd = world.linnetd();
    within(SOON, "packets pass once more", passes);
    let (after, _) = sending().unwrap();
    assert!(
        after > before && after > BLOCK,
        "{after} after {before}: what was reserved is gone"
    );
    linnetd
}

/// The state directory is lost: what is not known any more is not used; a new key begins anew.
fn forgotten(world: &World, linnetd: Peer) -> Peer {
    kill(linnetd, libc::SIGTERM);
    shell("ip link delete secure0; rm /run/story/state/macsec-*");
    let linnetd = world.linnetd();
    within(SOON, "a key of before is refused", || {
        world.status().contains("its key was used before")
    });
    assert!(sending().is_none(), "nothing sends");
    world.key("here.key", "3c");
    let far = "ip netns exec far ip macsec";
    let receive = "macsec0 rx port 1 address 02:00:00:00:00:01";
    shell(&format!(
        "{far} set {receive} sa 0 off && {far} del {receive} sa 0 && {far} add {receive} sa 0 pn 1 on key 03 {}",
        "3c".repeat(16)
    ));
    let (code, text) = world.office.linnet(LINNET, &["config", "reload"]);
    assert_eq!(code, 0, "{text}");
    within(SOON, "a new key sends", passes);
    let (after, _) = sending().unwrap();
    assert!(after < 1000, "{after}");
    linnetd
}
