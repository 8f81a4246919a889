//! Does linnetd stay right, and its size, while links, servers, claims and files come and go under load?
//!
//! Three networks of two servers each answer by rule (`tests::oracle`), so that every answer tells where it is from and how old it is;
//! the servers of one are unbound by TLS and by HTTPS before the rule. Clients ask at the stub, at a listener for guests and, by TLS, at
//! one for those who may know all; a list blocks thousands of names.
//! One thing after another goes wrong; an error is taken only from a scope that has nobody to ask just then, and only with a
//! reason (EDE). What fails while the machine is not there is told, not held against linnetd; and where that is much of the time, the
//! run says nothing. `LINNET_SOAK_SECONDS`, `LINNET_SOAK_RATE` (questions a second) and `LINNET_SOAK_SEED` change the run;
//! `tests/bench/soak` runs it for an hour.

use std::env;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::namespace::{inside, isolated, shell};
use tests::office::{Office, links};
use tests::oracle::{Network, Server, now_ms};
use tests::peer::until;

use crate::guests::{self, LAN};
use crate::{LINNETD, encrypted};

mod answer;
mod clients;
mod drops;
mod failed;
mod fronts;
mod halts;
mod judged;
mod room;
mod size;
mod slowest;
mod troubles;

use clients::{Place, Tally};
use drops::Drops;
use fronts::Fronts;
use halts::Halts;
use size::Size;
use troubles::{Stage, Troubles};

const SECONDS: u64 = 120;
const RATE: u64 = 2000;
const SEED: u64 = 0x2545_f491_4f6c_dd1d;
/// Threads that ask at the stub.
const CLIENTS: u64 = 4;
/// Which part of the questions guests ask.
const GUESTS_PART: u64 = 20;
/// Names on the list, always; and so many more at times.
const BLOCKED: u64 = 8000;
/// The marks of the networks in addresses.
const HOME: u8 = 1;
const VPN: u8 = 2;
const SAFE: u8 = 3;
const TRAP: u8 = 4;
/// Which part of the run is left to caches and tables to fill.
const WARM_UP: f64 = 0.3;
/// From how many seconds on a fifth of the run is so long that no single outage is in its median.
const LONG: u64 = 600;
/// What a crowd that has waited through an outage leaves for a while, in KiB: its memory is given back ten seconds after it.
const CROWD_KB: u64 = 8 << 10;
/// Ports that are open for a while after a question was sent from them: more in one second than in another.
const PORTS_OPEN: usize = 64;
const MINUTE: Duration = Duration::from_secs(60);
/// After the last question: exchanges end, idle connections are closed, and what a crowd took is given back.
const QUIET: Duration = Duration::from_secs(20);
/// What may differ between a busy linnetd and one in the quiet after a crowd, in KiB.
const QUIET_KB: u64 = 2 << 10;

/// Where this host's own programs ask.
const STUB: Place = Place {
    address: "127.0.0.53:53",
    by: "UDP at the stub",
    is_for_guests: false,
};
/// The same by TCP.
const STUB_BY_TCP: Place = Place {
    by: "TCP at the stub",
    ..STUB
};
/// Where guests ask.
const GUESTS: Place = Place {
    address: "10.0.0.1:53",
    by: "UDP of guests",
    is_for_guests: true,
};
/// Where those ask by TLS who see what the host sees.
const BY_TLS: Place = Place {
    address: "10.0.0.1:853",
    by: "TLS",
    is_for_guests: false,
};

/// What all threads share.
#[derive(Debug)]
struct World {
    home: Arc<Network>,
    vpn: Arc<Network>,
    troubles: Troubles,
    tally: Tally,
    halts: Arc<Halts>,
    over: AtomicBool,
}

/// Ends the run when it is dropped; one that breaks off tells how it went until then.
struct Over<'a>(&'a World, Instant);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            tests::say(&self.0.tally.report(self.1.elapsed(), &self.0.halts));
        }
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Returns how many datagrams linnetd has dropped because they came too fast.
fn unread(office: &Office) -> u64 {
    let status = crate::json(office, &["status"]);
    status["counters"]["unread"].as_u64().expect("a counter")
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
    guests::raise(LAN);
    guests::certificate(&office, "good");
    encrypted::certify(office.dir());
    // Whether the claim at run time is in force, as far as that is certain: milliseconds since when, or 0.
    let (claimed, unclaimed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(1)));
    let is_below = |name: &str, zone: &str| name.to_ascii_lowercase().ends_with(zone);
    let is_blocked = move |name: &str| is_below(name, "ads.test") && name.starts_with(['b', 'B']);
    let certain = Arc::clone(&claimed);
    let home = Network::new(HOME, "corp.test", move |name| {
        ["corp.test", "safe.test"]
            .iter()
            .any(|zone| is_below(name, zone))
            || is_blocked(name)
            || is_below(name, "dyn.test") && certain.load(Ordering::Relaxed) > 0
    });
    let certain = Arc::clone(&unclaimed);
    let vpn = Network::new(VPN, "", move |name| {
        ["pub.test", "safe.test", "ads.test"]
            .iter()
            .any(|zone| is_below(name, zone))
            || is_below(name, "dyn.test") && certain.load(Ordering::Relaxed) > 0
    });
    let safe = Network::new(SAFE, "", move |name| !is_below(name, "safe.test"));
    let trap = Network::new(TRAP, "", |_| true);
    let mut fronts = Fronts::raise(&office, &safe, &trap);
    let at = |text: &str| text.parse().unwrap();
    let servers = [
        Server::start("home", at("192.0.2.53"), &home),
        Server::start("home", at("192.0.2.54"), &home),
        Server::start("vpn", at("10.8.0.1"), &vpn),
        Server::start("vpn", at("10.8.0.3"), &vpn),
    ];
    troubles::configure(&office, "\"192.0.2.53\", \"192.0.2.54\"");
    troubles::write_list(&office, false);
    let linnetd = office.linnetd(LINNETD, &[]);
    until("the list is read", || {
        troubles::listed(&office) == Some(BLOCKED)
    });
    for name in ["h1.pub.test", "h1.corp.test", "h1.safe.test"] {
        until("all scopes answer", || {
            tests::office::dig(&format!("+short {name}")).contains('.')
        });
    }
    for option in ["", "+tls"] {
        until("both listeners answer", || {
            let line = format!("kdig +time=1 +retry=0 @10.0.0.1 {option} +short h1.pub.test");
            guests::at(LAN, &line).contains('.')
        });
    }
    let mut size = Size::new(linnetd.pid());
    let before = size.now();
    let world = Arc::new(World {
        home,
        vpn,
        troubles: Troubles::default(),
        tally: Tally::default(),
        halts: Arc::default(),
        over: AtomicBool::new(false),
    });
    world.halts.watch(linnetd.pid());
    let begun = Instant::now();
    let of_guests = rate / GUESTS_PART;
    let mut asking: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let world = Arc::clone(&world);
            let (seed, rate) = (seed ^ ((client + 1) * 77), (rate - of_guests) / CLIENTS);
            thread::spawn(move || clients::ask(&world, STUB, seed, rate))
        })
        .collect();
    let shared = Arc::clone(&world);
    asking.push(thread::spawn(move || {
        clients::ask_by_tcp(&shared, STUB_BY_TCP, seed ^ 5);
    }));
    let shared = Arc::clone(&world);
    asking.push(inside(LAN, move || {
        clients::ask(&shared, GUESTS, seed ^ 6, of_guests);
    }));
    let (shared, authority) = (Arc::clone(&world), office.path("etc/ca.pem"));
    asking.push(inside(LAN, move || {
        clients::ask_by_tls(&shared, BY_TLS, &authority, "dns.test", seed ^ 7);
    }));
    let end = Duration::from_secs(seconds);
    let mut drops = Drops::new(linnetd.pid());
    thread::scope(|scope| {
        scope.spawn(|| {
            // Whatever becomes of this thread: the others end.
            let _over = Over(&world, begun);
            let mut stage = Stage {
                world: &world,
                office: &office,
                linnetd: &linnetd,
                servers: &servers,
                fronts: &mut fronts,
                claimed: (&claimed, &unclaimed),
                luck: Luck(seed),
                deck: Vec::new(),
            };
            while begun.elapsed() < end {
                troubles::strike(&mut stage);
            }
            // The quiet begins with a crowd that has waited: what it took has to be given back.
            troubles::gather_crowd(&stage, rate);
        });
        let mut told = Instant::now();
        while !world.over.load(Ordering::Relaxed) {
            size.sample();
            drops.look(begun.elapsed());
            if told.elapsed() > MINUTE {
                told = Instant::now();
                tests::say(&world.tally.report(begun.elapsed(), &world.halts));
            }
            thread::sleep(Duration::from_secs(1));
        }
    });
    let took = begun.elapsed();
    for thread in asking {
        thread.join().unwrap();
    }
    thread::sleep(QUIET);
    world.halts.end();
    let (after, greatest) = (size.now(), size.greatest());
    // Of the stub and of the listener for guests; here nobody else has this port.
    let dropped = size::dropped_at(53);
    let unread = unread(&office);
    let (early, late) = size.after_warm_up(WARM_UP);
    let mut report = world.tally.report(took, &world.halts);
    writeln!(
        report,
        "troubles: {}\nsize: {before:?} at the start, {early:?} warm, {late:?} at the end, {greatest:?} at most, {after:?} in the quiet; \
         {dropped} datagrams dropped before linnetd read them ({unread} as it knows), {} before who asked did; {} questions at home, {} by VPN, {} of encrypted servers\n{}",
        world.troubles.told(),
        world.tally.dropped(),
        world.home.asked(),
        world.vpn.asked(),
        safe.asked(),
        drops.told()
    )
    .unwrap();
    tests::say(&report);
    // A socket that was made anew has lost its count.
    world.tally.check(dropped.max(unread), took, &world.halts);
    for (network, place) in [
        (&world.home, "at home"),
        (&world.vpn, "behind the VPN"),
        (&safe, "by encrypted servers"),
        (&trap, "in the clear by encrypted servers"),
    ] {
        assert_eq!(network.leaked(), [""; 0], "heard {place}; seed {seed}");
    }
    let slack = if seconds < LONG { CROWD_KB } else { 1024 };
    assert!(
        late.resident_kb <= early.resident_kb + early.resident_kb / 10 + slack,
        "memory grows: {early:?} to {late:?}"
    );
    assert!(
        after.resident_kb <= early.resident_kb.max(late.resident_kb) + QUIET_KB,
        "what a crowd took is not given back: {late:?}, {after:?} in the quiet"
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
