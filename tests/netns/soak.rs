//! Does linnetd stay right, and its size, while links, servers, claims and files come and go under load?
//!
//! Two networks of two servers each answer by rule (`tests::oracle`), so that every answer tells where it is from and how old it is.
//! One thing after another goes wrong; an error is taken only from a scope that has nobody to ask just then, and only with a
//! reason (EDE). `LINNET_SOAK_SECONDS`, `LINNET_SOAK_RATE` (questions a second) and `LINNET_SOAK_SEED` change the run;
//! `tests/bench/soak` runs it for an hour.

use std::env;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::namespace::{isolated, shell};
use tests::office::{Office, links};
use tests::oracle::{Network, Server, now_ms};
use tests::peer::until;

use crate::LINNETD;

mod clients;
mod size;
mod troubles;

use clients::Tally;
use size::Size;
use troubles::Troubles;

const SECONDS: u64 = 60;
const RATE: u64 = 2000;
const SEED: u64 = 0x2545_f491_4f6c_dd1d;
/// Threads that ask.
const CLIENTS: u64 = 4;
/// The marks of the networks in addresses.
const HOME: u8 = 1;
const VPN: u8 = 2;
/// Which part of the run is left to caches and tables to fill.
const WARM_UP: f64 = 0.3;
/// Ports that are open for a while after a question was sent from them: more in one second than in another.
const PORTS_OPEN: usize = 64;
const MINUTE: Duration = Duration::from_secs(60);
/// After the last question: exchanges end, and idle connections are closed.
const QUIET: Duration = Duration::from_secs(6);

/// What all threads share.
#[derive(Debug)]
struct World {
    home: Arc<Network>,
    vpn: Arc<Network>,
    troubles: Troubles,
    tally: Tally,
    over: AtomicBool,
}

/// Ends the run when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A little luck, the same for the same seed.
#[derive(Debug)]
struct Luck(u64);

impl Luck {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % limit
    }
}

#[test]
fn nothing_is_wrong_lost_or_left_behind_while_everything_flaps() {
    isolated(
        "soak::nothing_is_wrong_lost_or_left_behind_while_everything_flaps",
        soak,
    );
}

fn soak() {
    let seconds = setting("LINNET_SOAK_SECONDS", SECONDS);
    let rate = setting("LINNET_SOAK_RATE", RATE);
    let seed = setting("LINNET_SOAK_SEED", SEED);
    let office = Office::bare(links());
    shell("ip -n home addr add 192.0.2.54/24 dev p0 && ip -n vpn addr add 10.8.0.3/24 dev p0");
    // Whether the claim at run time is in force, as far as that is certain: milliseconds since when, or 0.
    let (claimed, unclaimed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(1)));
    let is_below = |name: &str, zone: &str| name.to_ascii_lowercase().ends_with(zone);
    let certain = Arc::clone(&claimed);
    let home = Network::new(HOME, "corp.test", move |name| {
        is_below(name, "corp.test")
            || is_below(name, "dyn.test") && certain.load(Ordering::Relaxed) > 0
    });
    let certain = Arc::clone(&unclaimed);
    let vpn = Network::new(VPN, "", move |name| {
        is_below(name, "pub.test")
            || is_below(name, "dyn.test") && certain.load(Ordering::Relaxed) > 0
    });
    let at = |text: &str| text.parse().unwrap();
    let servers = [
        Server::start("home", at("192.0.2.53"), &home),
        Server::start("home", at("192.0.2.54"), &home),
        Server::start("vpn", at("10.8.0.1"), &vpn),
        Server::start("vpn", at("10.8.0.3"), &vpn),
    ];
    troubles::configure(&office, "\"192.0.2.53\", \"192.0.2.54\"");
    let linnetd = office.linnetd(LINNETD, &[]);
    for name in ["h1.pub.test", "h1.corp.test"] {
        until("both scopes answer", || {
            tests::office::dig(&format!("+short {name}")).contains('.')
        });
    }
    let mut size = Size::new(linnetd.pid());
    let before = size.now();
    let dropped = size::dropped();
    let world = Arc::new(World {
        home,
        vpn,
        troubles: Troubles::default(),
        tally: Tally::default(),
        over: AtomicBool::new(false),
    });
    let begun = Instant::now();
    let asking: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let world = Arc::clone(&world);
            thread::spawn(move || clients::ask(&world, seed ^ ((client + 1) * 77), rate / CLIENTS))
        })
        .chain([{
            let world = Arc::clone(&world);
            thread::spawn(move || clients::ask_by_tcp(&world, seed ^ 5))
        }])
        .collect();
    let end = Duration::from_secs(seconds);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Whatever becomes of this thread: the others end.
            let _over = Over(&world.over);
            let mut luck = Luck(seed);
            while begun.elapsed() < end {
                troubles::strike(
                    &world,
                    &office,
                    &linnetd,
                    &servers,
                    (&claimed, &unclaimed),
                    &mut luck,
                );
            }
        });
        let mut told = Instant::now();
        while !world.over.load(Ordering::Relaxed) {
            size.sample();
            // A run that breaks off has told how it went until then.
            if told.elapsed() > MINUTE {
                told = Instant::now();
                tests::say(&world.tally.report(begun.elapsed()));
            }
            thread::sleep(Duration::from_secs(1));
        }
    });
    let took = begun.elapsed();
    for thread in asking {
        thread.join().unwrap();
    }
    thread::sleep(QUIET);
    let after = size.now();
    let dropped = size::dropped() - dropped;
    let (early, late) = size.after_warm_up(WARM_UP);
    let mut report = world.tally.report(took);
    writeln!(
        report,
        "troubles: {}\nsize: {before:?} at the start, {early:?} warm, {late:?} at the end, {after:?} in the quiet; \
         {dropped} datagrams dropped by the kernel; {} questions at home, {} by VPN",
        world.troubles.told(),
        world.home.asked(),
        world.vpn.asked()
    )
    .unwrap();
    tests::say(&report);
    assert_eq!(world.home.leaked(), [""; 0], "heard at home; seed {seed}");
    assert_eq!(
        world.vpn.leaked(),
        [""; 0],
        "heard behind the VPN; seed {seed}"
    );
    world.tally.check(dropped);
    assert!(
        late.resident_kb <= early.resident_kb + early.resident_kb / 10 + 1024,
        "memory grows: {early:?} to {late:?}"
    );
    assert!(
        late.descriptors <= early.descriptors + PORTS_OPEN,
        "descriptors grow: {early:?} to {late:?}"
    );
    assert!(
        after.descriptors <= before.descriptors + 8,
        "descriptors stay open: {before:?} to {after:?}"
    );
    assert!(now_ms() > seconds * 1000, "the clock of the oracle runs");
}
