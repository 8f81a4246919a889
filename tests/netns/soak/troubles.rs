//! What goes wrong during a soak, when, and whom does it excuse?

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tests::namespace::shell;
use tests::office::{Office, carries};
use tests::oracle::{Mode, Server, now_ms};
use tests::peer::{Peer, until, until_within};

use super::fronts::{self, Fronts};
use super::{BLOCKED, Luck, World};
use crate::LINNET;

/// How long a scope may take until it asks again somebody who is back, in milliseconds.
const GRACE_MS: u64 = 1500;
/// How long a claim may take until it counts everywhere: questions under way end, in milliseconds.
const SETTLE_MS: u64 = 500;
/// How many questions are asked while the last crowd of a run gathers: half of them wait, which is a crowd, but not too many.
const CROWD: u64 = 16_000;

/// How long the kernel may take to see a carrier: its worker waits while a full machine does other things.
const CARRIER: Duration = Duration::from_secs(60);

/// Who has nobody to ask, or moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Home's scope.
    Home,
    /// The VPN's scope.
    Vpn,
    /// The claim at run time comes, goes, or may be here or there.
    Claim,
    /// The claim is in force.
    Claimed,
    /// The scope whose servers are encrypted.
    Safe,
    /// Names come onto the list, or leave it.
    Listing,
    /// They are on it.
    Listed,
}

/// A trouble, from when to when in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Window(Trouble, u64, u64);

/// All troubles of a run.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    windows: Mutex<Vec<Window>>,
    told: Mutex<std::collections::BTreeMap<&'static str, u64>>,
    /// What struck, and when in milliseconds.
    struck: Mutex<Vec<(u64, String)>>,
}

impl Troubles {
    /// Whether there was this trouble at any time between two.
    pub(super) fn overlaps(&self, trouble: Trouble, from: u64, until: u64) -> bool {
        let windows = self.windows.lock().unwrap();
        let mut windows = windows.iter().rev();
        windows.any(|window| window.0 == trouble && window.1 <= until && from <= window.2)
    }

    /// Runs something that makes trouble until it ends, and for `more` milliseconds.
    fn during(&self, trouble: Trouble, more: u64, run: impl FnOnce()) {
        let at = {
            let mut windows = self.windows.lock().unwrap();
            windows.push(Window(trouble, now_ms(), u64::MAX));
            windows.len() - 1
        };
        run();
        self.windows.lock().unwrap()[at].2 = now_ms() + more;
    }

    /// Counts a trouble, and tells its moment to whoever looks for the reason of a mistake.
    fn count(&self, what: &'static str) {
        self.strike(what.to_owned());
        *self.told.lock().unwrap().entry(what).or_default() += 1;
    }

    /// Notes what strikes now.
    fn strike(&self, what: String) {
        let now = now_ms();
        tests::say(&format!("{now} ms: {what}"));
        self.struck.lock().unwrap().push((now, what));
    }

    /// Says what struck between two moments, and what had struck last before them.
    pub(super) fn struck(&self, from: u64, until: u64) -> String {
        let struck = self.struck.lock().unwrap();
        let first = struck.partition_point(|(at, _)| *at < from);
        let told = struck.iter().skip(first.saturating_sub(2));
        let told = told.take_while(|(at, _)| *at <= until);
        let told: Vec<String> = told.map(|(at, what)| format!("{at} ms: {what}")).collect();
        told.join(", ")
    }

    /// Says how often each thing happened.
    pub(super) fn told(&self) -> String {
        let told = self.told.lock().unwrap();
        let told: Vec<String> = told
            .iter()
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        told.join(", ")
    }
}

/// Where others listen, and how what they are asked is answered.
const LISTENERS: &str = r#"
[[listeners]]
address = "10.0.0.1"
allow = ["10.0.0.0/24"]
stub = "main"
client-rate = 100000

[[listeners]]
address = "10.0.0.1"
transport = "tls"
allow = ["10.0.0.0/24"]
certificate = "good.pem"
key = "good.key"
stub = "main"
claims = true

[[lists]]
path = "ads.txt"
"#;

/// Writes linnet's configuration with these upstreams at home.
pub(super) fn configure(office: &Office, upstreams: &str) {
    let roots = office.path("authority.pem");
    let resolver = format!("[resolver]\ncache-size = \"1MiB\"\ntls-roots = \"{roots}\"\n");
    office.configure("linnet.toml", &(resolver + LISTENERS));
    let upstreams_of_safe = fronts::UPSTREAMS;
    office.configure(
        "profiles/safe.toml",
        &format!("match = {{ name = \"safe0\" }}\n[dns]\nupstreams = [{upstreams_of_safe}]\nclaims = [\"safe.test\"]\n"),
    );
    office.configure(
        "profiles/home.toml",
        &format!("match = {{ name = \"home0\" }}\n[dns]\nupstreams = [{upstreams}]\n"),
    );
    office.configure(
        "profiles/office.toml",
        "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\", \"10.8.0.3\"]\nclaims = [\"corp.test\"]\n",
    );
}

/// Writes the list: names that are always on it, and those that are at times; as whoever downloads one does.
pub(super) fn write_list(office: &Office, with_more: bool) {
    let mut text: String = (0..BLOCKED).map(|at| format!("b{at}.ads.test\n")).collect();
    if with_more {
        text.extend((0..BLOCKED).map(|at| format!("c{at}.ads.test\n")));
    }
    office.configure("ads.new", &text);
    let etc = office.dir().join("etc");
    fs::rename(etc.join("ads.new"), etc.join("ads.txt")).unwrap();
}

/// How many names are on the list in force.
pub(super) fn listed(office: &Office) -> Option<u64> {
    crate::json(office, &["status"])["lists"][0]["names"].as_u64()
}

fn pause(luck: &mut Luck, from: u64, to: u64) {
    thread::sleep(Duration::from_millis(from + luck.below(to - from)));
}

/// Whatever trouble strikes.
pub(super) struct Stage<'a> {
    pub(super) world: &'a World,
    pub(super) office: &'a Office,
    pub(super) linnetd: &'a Peer,
    /// Two at home, two behind the VPN.
    pub(super) servers: &'a [Server; 4],
    pub(super) fronts: &'a mut Fronts,
    /// Since when the claim at run time is certainly in force, or certainly not, in milliseconds; or 0.
    pub(super) claimed: (&'a AtomicU64, &'a AtomicU64),
    pub(super) luck: Luck,
    /// What is still to come before anything comes again.
    pub(super) deck: Vec<Strike>,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Strike {
    OneServer,
    BothServers,
    VpnFlaps,
    VpnIsAnother,
    HomeFlaps,
    OtherUpstreams,
    BrokenFile,
    Claim,
    OneFront,
    BothFronts,
    SafeFlaps,
    List,
}

/// How often each comes in a round.
const ROUND: [Strike; 15] = [
    Strike::OneServer,
    Strike::OneServer,
    Strike::BothServers,
    Strike::VpnFlaps,
    Strike::VpnFlaps,
    Strike::VpnIsAnother,
    Strike::HomeFlaps,
    Strike::OtherUpstreams,
    Strike::BrokenFile,
    Strike::Claim,
    Strike::OneFront,
    Strike::OneFront,
    Strike::BothFronts,
    Strike::SafeFlaps,
    Strike::List,
];

/// Makes one trouble, waits until it is over, and rests.
pub(super) fn strike(stage: &mut Stage<'_>) {
    if stage.deck.is_empty() {
        stage.deck = ROUND.to_vec();
    }
    let left = u64::try_from(stage.deck.len()).unwrap();
    let drawn = usize::try_from(stage.luck.below(left)).unwrap();
    let strike = stage.deck.swap_remove(drawn);
    let Stage {
        world,
        office,
        linnetd,
        servers,
        fronts,
        claimed,
        luck,
        deck: _,
    } = stage;
    let troubles = &world.troubles;
    let modes = [
        Mode::Silent,
        Mode::Closed,
        Mode::ServFail,
        Mode::Refused,
        Mode::Truncates,
        Mode::Late(Duration::from_millis(300)),
    ];
    match strike {
        Strike::OneServer => {
            // One of two: nobody is excused.
            let at = usize::try_from(luck.below(4)).unwrap();
            let server = &servers[at];
            let mode = modes[usize::try_from(luck.below(6)).unwrap()];
            troubles.count("one server fails");
            troubles.strike(format!("server {at}: {mode:?}"));
            server.set(mode);
            pause(luck, 500, 3000);
            server.set(Mode::Right);
        }
        Strike::BothServers => {
            troubles.count("both servers fail");
            let (pair, trouble) = match luck.below(2) {
                0 => (&servers[..2], Trouble::Home),
                _ => (&servers[2..], Trouble::Vpn),
            };
            let mode = modes[usize::try_from(luck.below(4)).unwrap()];
            troubles.strike(format!("{trouble:?}: {mode:?}"));
            troubles.during(trouble, GRACE_MS, || {
                pair.iter().for_each(|server| server.set(mode));
                pause(luck, 300, 2000);
                pair.iter().for_each(|server| server.set(Mode::Right));
            });
        }
        Strike::VpnFlaps => {
            troubles.count("the VPN flaps");
            troubles.during(Trouble::Vpn, GRACE_MS, || {
                for _ in 0..=luck.below(3) {
                    shell("ip link set vpn0 down");
                    pause(luck, 30, 700);
                    shell("ip link set vpn0 up");
                    pause(luck, 30, 200);
                }
                until_within(CARRIER, "vpn0 carries", || carries("vpn0"));
            });
        }
        Strike::VpnIsAnother => {
            troubles.count("the VPN is another");
            troubles.during(Trouble::Vpn, GRACE_MS, || {
                shell("ip link del vpn0");
                pause(luck, 50, 1000);
                world.vpn.rebirth();
                shell(
                    "ip link add vpn0 type veth peer name p0 netns vpn && ip -n vpn addr add 10.8.0.1/24 dev p0 && \
                     ip -n vpn addr add 10.8.0.3/24 dev p0 && ip -n vpn link set p0 up && ip addr add 10.8.0.2/24 dev vpn0 && \
                     ip link set vpn0 up",
                );
                until_within(CARRIER, "vpn0 carries", || carries("vpn0"));
            });
        }
        Strike::HomeFlaps => {
            troubles.count("home flaps");
            troubles.during(Trouble::Home, GRACE_MS, || {
                shell("ip link set home0 down");
                pause(luck, 30, 700);
                shell("ip link set home0 up && ip route replace default via 192.0.2.53");
                until_within(CARRIER, "home0 carries", || carries("home0"));
            });
        }
        Strike::OtherUpstreams => {
            troubles.count("other upstreams");
            let sets = [
                "\"192.0.2.54\", \"192.0.2.53\"",
                "\"192.0.2.53\"",
                "\"192.0.2.54\"",
                "\"192.0.2.53\", \"192.0.2.54\"",
            ];
            configure(office, sets[usize::try_from(luck.below(4)).unwrap()]);
            linnetd.signal(libc::SIGHUP);
            pause(luck, 300, 1500);
            configure(office, sets[3]);
            linnetd.signal(libc::SIGHUP);
        }
        Strike::BrokenFile => {
            troubles.count("a broken file, a flush");
            office.configure("linnet.toml", "[resolver\n");
            linnetd.signal(libc::SIGHUP);
            pause(luck, 100, 500);
            configure(office, "\"192.0.2.53\", \"192.0.2.54\"");
            linnetd.signal(libc::SIGHUP);
            let (code, text) = office.linnet(LINNET, &["flush", "--suffix", "pub.test"]);
            assert_eq!(code, 0, "{text}");
        }
        Strike::Claim => {
            troubles.count("a claim at run time");
            claim(world, office, *claimed, luck);
        }
        Strike::OneFront => {
            // One of two: nobody is excused.
            let front = usize::try_from(luck.below(2)).unwrap();
            if luck.below(2) == 0 {
                troubles.count("one encrypted server is killed");
                fronts.kill(front);
                pause(luck, 100, 2500);
                fronts.start(office, front);
            } else {
                troubles.count("one encrypted server hangs");
                fronts.signal(front, libc::SIGSTOP);
                pause(luck, 100, 2500);
                fronts.signal(front, libc::SIGCONT);
            }
        }
        Strike::BothFronts => {
            troubles.count("both encrypted servers are killed");
            troubles.during(Trouble::Safe, GRACE_MS, || {
                fronts.kill(0);
                fronts.kill(1);
                pause(luck, 100, 1500);
                fronts.start(office, 0);
                fronts.start(office, 1);
            });
        }
        Strike::SafeFlaps => {
            troubles.count("the link of the encrypted servers flaps");
            troubles.during(Trouble::Safe, GRACE_MS, || {
                shell("ip link set safe0 down");
                pause(luck, 30, 700);
                shell("ip link set safe0 up");
                until_within(CARRIER, "safe0 carries", || carries("safe0"));
            });
        }
        Strike::List => {
            troubles.count("a list grows and shrinks");
            for (more, trouble) in [(true, Some(Trouble::Listed)), (false, None)] {
                troubles.during(Trouble::Listing, SETTLE_MS, || {
                    write_list(office, more);
                    let names = if more { 2 * BLOCKED } else { BLOCKED };
                    until("the list is read", || listed(office) == Some(names));
                });
                if let Some(trouble) = trouble {
                    troubles.during(trouble, 0, || pause(luck, 1000, 2500));
                }
            }
        }
    }
    pause(luck, 500, 2500);
}

/// Lets both servers at home be silent until a crowd waits for them; `rate` is in questions a second.
pub(super) fn gather_crowd(stage: &Stage<'_>, rate: u64) {
    let troubles = &stage.world.troubles;
    troubles.count("a crowd waits");
    troubles.during(Trouble::Home, GRACE_MS, || {
        let servers = &stage.servers[..2];
        servers.iter().for_each(|server| server.set(Mode::Silent));
        // Nobody waits longer than 4.5 s.
        thread::sleep(Duration::from_millis(
            (CROWD * 1000 / rate).clamp(100, 3000),
        ));
        servers.iter().for_each(|server| server.set(Mode::Right));
    });
}

/// Claims `dyn.test` for the VPN while a program runs, and lets it go.
fn claim(
    world: &World,
    office: &Office,
    (claimed, unclaimed): (&AtomicU64, &AtomicU64),
    luck: &mut Luck,
) {
    let owner = || {
        let (_, text) = office.linnet(LINNET, &["--json", "explain", "h1.dyn.test"]);
        text.contains("claim soak")
    };
    let troubles = &world.troubles;
    let mut vpn = None;
    unclaimed.store(0, Ordering::Relaxed);
    troubles.during(Trouble::Claim, SETTLE_MS, || {
        let run = office.path("run");
        let child = Command::new(LINNET)
            .args(["--runtime-dir", &run, "claim", "soak", "--link", "vpn0"])
            .args(["--upstream", "10.8.0.1", "--upstream", "10.8.0.3"])
            .args(["--domain", "dyn.test"])
            .stdout(Stdio::null())
            .spawn();
        vpn = Some(child.unwrap());
        until("the claim is in force", owner);
    });
    troubles.during(Trouble::Claimed, 0, || {
        thread::sleep(Duration::from_millis(SETTLE_MS));
        claimed.store(now_ms(), Ordering::Relaxed);
        pause(luck, 500, 2500);
        claimed.store(0, Ordering::Relaxed);
    });
    troubles.during(Trouble::Claim, SETTLE_MS, || {
        let mut vpn = vpn.unwrap();
        vpn.kill().unwrap();
        vpn.wait().unwrap();
        until("the claim is withdrawn", || !owner());
    });
    thread::sleep(Duration::from_millis(SETTLE_MS));
    unclaimed.store(now_ms(), Ordering::Relaxed);
}
