//! How are stories told? With seeds, twice where the same has to come of it, and with their end in words when a rule is broken.

use std::any::Any;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use linkmgr::KernelRequest;
use linnet::config_dirs::{ConfigText, Kind, Rank};
use resolver::{Channel, ClientQuery, Stub};

use super::dhcp4;
use super::faults::Coverage;
use super::host::Host;
use super::names;
use crate::input::{Input, Signal};

/// One seed of so many is told twice.
const TWICE: u64 = 100;
/// How long everything may take to be right again: a DHCP client that met a refusal waits for up to a minute, and so does what the
/// kernel has refused.
pub(super) const SETTLING: Duration = Duration::from_secs(420);

/// Octets of a file that a host with a handful of links keeps.
const FILE_MAX: usize = 32 << 10;

const MAIN: &str = "[resolver]\ndnssec = \"off\"\nmdns = \"off\"\nrecursion = \"never\"\n[links]\n";
/// What stays at the end, of one story after the other.
const STOPS: [&str; 5] = ["clean", "release", "clean", "detach", "clean"];
/// What lies behind links is found out with questions of its own, which are most of a story where they are.
const INCURIOUS: &str = "[connectivity]\ncheck = \"never\"\n";

/// The main file in the stories of a seed: one of four finds out what lies behind links, and two of five leave something behind.
pub(super) fn main(seed: u64) -> ConfigText {
    let more = if seed.is_multiple_of(4) {
        ""
    } else {
        INCURIOUS
    };
    let stop = STOPS[(seed % 5) as usize];
    let text = format!("{MAIN}stop = \"{stop}\"\n{more}");
    file(Kind::Main, "linnet.toml", &text)
}

/// A file of the configuration.
pub(super) fn file(kind: Kind, path: &str, text: &str) -> ConfigText {
    ConfigText {
        rank: Rank::Admin,
        kind,
        path: format!("/etc/linnet/{path}").into(),
        text: Ok(text.to_owned()),
    }
}

/// Reads a number from the environment.
#[expect(clippy::disallowed_methods, reason = "whoever tests says how long")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// How many broken stories are told in words; how many there are is told anyway.
const TOLD_MAX: usize = 3;
/// Lines of a broken story that are told.
const TALE_LINES: usize = 120;
/// Occasions of one kind among which every fault has to strike.
const ENOUGH: u64 = 4000;

/// How many seconds of processor time all stories of a world may take where `LINNET_STORY_TIME` is set, as in CI. Together it is three minutes
/// of two processors.
const SECONDS: [(&str, u64); 6] = [
    ("server", 110),
    ("cafe", 85),
    ("office", 85),
    ("train", 50),
    ("told", 15),
    (NAMELESS, 15),
];

/// A world in which nobody asks for names.
pub(super) const NAMELESS: &str = "workshop";

/// What stories have come to.
#[derive(Default)]
struct Sum {
    answered: u64,
    tagged: u64,
    count: u64,
    coverage: Coverage,
    broken: Vec<(u64, String)>,
    /// Of the processor.
    time: Duration,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.tagged += other.tagged;
        self.count += other.count;
        self.coverage.add(&other.coverage);
        self.broken.extend(other.broken);
        self.time += other.time;
    }
}

/// Tells a world's stories, on as many threads as there are processors.
#[expect(clippy::print_stderr, reason = "the tale is for who has to mend it")]
pub(super) fn tell(
    world: &str,
    seeds: u64,
    act: impl Fn(&mut Host) + Sync,
    make: impl Fn(u64) -> Host + Sync,
) {
    let chosen = number("LINNET_SEED");
    let times = number("LINNET_TIMES").unwrap_or(1);
    let last = number("LINNET_STORIES").unwrap_or(seeds * times);
    let is_whole = chosen.is_none() && last >= seeds;
    let is_timed = is_whole && last == seeds && number("LINNET_STORY_TIME").is_some();
    let seeds = chosen.map_or(0..last, |seed| seed..seed + 1);
    // A line that is kept is put into words, and what is in words is what is compared.
    let told = |seed: u64, length: usize| {
        let mut host = make(seed);
        host.tale.length = length;
        let end = catch_unwind(AssertUnwindSafe(|| act(&mut host)));
        (host, end.map_err(|breach| words(&*breach)))
    };
    let next = AtomicU64::new(seeds.start);
    let tell_some = || {
        step_back();
        let mut sum = Sum::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                sum.time = processor_time();
                return sum;
            }
            let is_twice = seed.is_multiple_of(TWICE);
            let (host, end) = told(seed, usize::from(is_twice));
            if is_twice && told(seed, 1).0.tale.hash != host.tale.hash {
                let differs = "it differs when it is told again".to_owned();
                sum.broken.push((seed, differs));
            }
            sum.broken.extend(end.err().map(|breach| (seed, breach)));
            sum.answered += host.rules.answered;
            sum.tagged += host.rules.tagged;
            sum.count += host.tale.count;
            sum.coverage.add(&host.faults.coverage);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sum = Sum::default();
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..threads).map(|_| scope.spawn(tell_some)).collect();
        for other in others {
            sum.add(other.join().unwrap());
        }
    });
    sum.broken.sort();
    let broken = sum.broken.iter().map(|(seed, _)| *seed);
    let worth: Vec<u64> = chosen.into_iter().chain(broken).take(TOLD_MAX).collect();
    for seed in worth {
        let length = if chosen.is_some() {
            usize::MAX
        } else {
            TALE_LINES
        };
        let (host, end) = told(seed, length);
        for line in &host.tale.lines {
            eprintln!("{line}");
        }
        eprintln!("{world}, seed {seed}: LINNET_SEED={seed} tells all of it: {end:?}\n");
    }
    tests::say(&format!(
        "{world}: {} stories in {:.0?} of processor time, {} happenings, {} answers, {} addresses in them; {}",
        seeds.end - seeds.start,
        sum.time,
        sum.count,
        sum.answered,
        sum.tagged,
        sum.coverage.summary(),
    ));
    for (seed, breach) in sum.broken.iter().take(50) {
        eprintln!("{world} {seed}: {breach}");
    }
    assert!(
        sum.broken.is_empty(),
        "{} of {last} stories of {world} end badly",
        sum.broken.len()
    );
    if is_whole {
        let is_told = sum.tagged > sum.answered / 20;
        assert!(is_told || world == NAMELESS, "nothing is told");
        let gaps = sum.coverage.gaps(ENOUGH);
        assert!(gaps.is_empty(), "some faults struck nobody: {gaps:?}");
        let allowed = SECONDS.iter().find(|(name, _)| *name == world);
        let allowed = Duration::from_secs(allowed.expect("it has its part").1);
        let took = sum.time;
        assert!(
            took <= allowed || !is_timed,
            "{took:.1?} of processor time for all stories of {world}, and {allowed:?} is its part of three minutes"
        );
    }
}

/// Returns how much of a processor this thread has had.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes to the place that it is given.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(status, 0, "every kernel has this clock");
    let seconds = u64::try_from(time.tv_sec).unwrap();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap())
}

/// Whoever measures time beside these stories goes first.
fn step_back() {
    // SAFETY: it changes nothing but the priority of this thread.
    let _priority = unsafe { libc::nice(10) };
}

fn words(breach: &(dyn Any + Send)) -> String {
    let text = breach.downcast_ref::<String>().cloned();
    let text = text.or_else(|| breach.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_default()
}

impl Host {
    /// A client asks.
    pub(super) fn ask(&mut self, name: &str) {
        if self.daemon.is_none() {
            return;
        }
        tell!(self, "asks for {name}");
        let client = self.rules.opened(name, self.now);
        let id = u16::try_from(self.dice.below(65536)).unwrap();
        let wire = names::question(id, name);
        let now = self.now;
        if let Some(world) = &mut self.daemon {
            let query = ClientQuery {
                client,
                stub: Stub::Main,
                channel: Channel::Udp,
                origin: Some(std::net::Ipv4Addr::LOCALHOST.into()),
                wire: &wire,
            };
            world.resolver.handle_query(query, now);
        }
        self.drain();
    }

    /// A client asks for something.
    pub(super) fn ask_something(&mut self) {
        let name = self.dice.of(&[
            "www.pub.test",
            "www.pub.test",
            "shop.pub.test",
            "none.pub.test",
            "git.corp.example",
            "wiki.corp.example",
            "intruder.pub.test",
            "out.corp.example",
            "printer",
        ]);
        self.ask(name);
    }

    /// A name is asked for here whose answer may still be known elsewhere.
    pub(super) fn ask_before_leaving(&mut self) {
        if self.dice.one_in(2) {
            self.ask("www.pub.test");
            self.run_for(Duration::from_millis(400));
        }
    }

    /// It is asked for once more when the host has had the time to notice that it is elsewhere.
    pub(super) fn ask_after_coming(&mut self) {
        if self.dice.one_in(2) {
            let time = self.dice.millis(1600, 6000);
            self.run_for(time);
            self.ask("www.pub.test");
        }
    }

    /// Questions one after another.
    pub(super) fn ask_on(&mut self) {
        for _ in 0..3 {
            self.ask_something();
            let pause = self.dice.millis(0, 700);
            self.run_for(pause);
        }
    }

    /// Lets some time pass, short or long.
    pub(super) fn wait(&mut self) {
        let time = self.dice.of(&[10, 500, 4000, 40_000]);
        let time = self.dice.millis(0, time);
        self.run_for(time);
    }

    /// DNS servers of a network behave otherwise.
    pub(super) fn spoil_names(&mut self, network: u8) {
        let manner = self.dice.of(&[
            names::Manner::Usual,
            names::Manner::Silent,
            names::Manner::Late,
            names::Manner::Refusing,
            names::Manner::Failing,
            names::Manner::Portal,
            names::Manner::Forging,
        ]);
        tell!(self, "names of {network}: {manner:?}");
        self.network(network).names = manner;
    }

    /// A network's DHCPv4 server behaves otherwise.
    pub(super) fn spoil_leases(&mut self, network: u8) {
        let manner = self.dice.of(&[
            dhcp4::Manner::Usual,
            dhcp4::Manner::Silent,
            dhcp4::Manner::Refusing,
            dhcp4::Manner::Slow,
            dhcp4::Manner::Taken,
        ]);
        let lease_time = self.dice.of(&[30, 60, 600, 3600]);
        tell!(self, "leases of {network}: {manner:?}, {lease_time} s");
        let forgets = self.dice.one_in(4);
        let server = &mut self.network(network).dhcp4;
        (server.manner, server.lease_time) = (manner, lease_time);
        if forgets {
            server.forget();
        }
    }

    /// A network's routers and DHCPv6 servers behave otherwise.
    pub(super) fn spoil_routers(&mut self, network: u8) {
        let (silent, lifetime) = (self.dice.one_in(3), self.dice.of(&[0, 30, 1800]));
        let (renumbers, says_so, mute) = (
            self.dice.one_in(2),
            self.dice.one_in(2),
            self.dice.one_in(2),
        );
        let preference = self.dice.of(&[0, 1, 3]);
        tell!(
            self,
            "routers of {network}: {silent} {lifetime} {renumbers}"
        );
        let here = self.network(network);
        if let Some(router) = &mut here.router {
            (router.is_silent, router.lifetime) = (silent, lifetime);
            (router.says_farewell, router.preference) = (says_so, preference);
            router.generation += u8::from(renumbers);
        }
        if let Some(dhcp6) = &mut here.dhcp6 {
            dhcp6.is_silent = mute;
        }
    }

    /// Names and the default route are where this link leads.
    pub(super) fn check_uplink(&mut self, index: u32, network: u8) {
        let net = self.network(network).dhcp4.net;
        let mut addresses = self.kernel.addresses().iter();
        assert!(
            addresses.any(|(of, it)| *of == index
                && matches!(it.prefix.address, IpAddr::V4(v4) if v4.octets()[..3] == net)),
            "there is no address of network {network}"
        );
        assert_eq!(
            self.default_link(),
            Some(index),
            "the default route is elsewhere"
        );
        let answered = self.network_of("fresh.pub.test");
        assert_eq!(answered, Some(network), "names are asked elsewhere");
    }

    /// Has everything work again, and gives it the time to be right.
    pub(super) fn calm_down(&mut self) {
        self.faults.end();
        for network in self.networks.values_mut() {
            network.mend();
        }
        tell!(self, "calms down");
        self.run_for(Duration::from_secs(6));
        self.start();
        self.run_for(SETTLING);
    }

    /// What the daemon is told once more changes nothing, and then it sleeps. What is right but for the rounding of lifetimes may be
    /// written once.
    pub(super) fn check_rest(&mut self) {
        self.is_resting = true;
        let listing = self.kernel.listing(self.now);
        self.feed(Input::Kernel(listing));
        self.run_for(Duration::from_secs(5));
        let (before, packets) = (self.rules.done.len(), self.rules.packets);
        let listing = self.kernel.listing(self.now);
        self.feed(Input::Kernel(listing));
        let count = self.tale.count;
        self.run_for(Duration::from_secs(30));
        // What ends by itself may end meanwhile.
        let again = self.rules.done[before..].iter();
        let again: Vec<_> = again.filter(|request| !request.is_deletion()).collect();
        // A lease may have been renewed.
        let is_quiet = self.rules.packets == packets;
        assert!(
            again.is_empty() || !is_quiet,
            "what is right is written again: {again:?}"
        );
        let happened = self.tale.count - count;
        assert!(
            happened < 60,
            "{happened} happenings in half a minute of rest"
        );
        assert!(self.disk.longest() < FILE_MAX, "a file grows");
    }

    /// Asks, and returns the network that answers.
    pub(super) fn network_of(&mut self, name: &str) -> Option<u8> {
        self.rules.heard = None;
        self.ask(name);
        self.run_for(Duration::from_secs(5));
        self.rules.heard.map(|address| address.octets()[1])
    }

    /// SIGTERM, and the end.
    pub(super) fn stop(&mut self) {
        tell!(self, "is told to stop");
        self.rules.lets_go = true;
        self.feed(Input::Signal(Signal::Terminate));
        self.run_for(Duration::from_secs(4));
        assert!(self.daemon.is_none(), "it does not stop");
    }

    /// Whether the configuration has everything of ours taken away at the end.
    pub(super) fn is_clean(&self) -> bool {
        self.stops_with("clean")
    }

    fn stops_with(&self, level: &str) -> bool {
        let main = self.files[0].text.as_ref();
        main.is_ok_and(|text| text.contains(&format!("stop = \"{level}\"")))
    }

    /// The end: nothing is left, or everything but the kernel's settings, or everything, as the configuration says.
    pub(super) fn end(&mut self) {
        let before = self.rules.done.len();
        self.stop();
        if self.is_clean() {
            assert_eq!(self.ours(), Vec::<String>::new(), "something is left");
            return;
        }
        let is_detached = self.stops_with("detach");
        let mut done = self.rules.done[before..].iter();
        let may_be =
            |request: &KernelRequest| request.is_read() || is_detached && is_setting(request);
        let touched = done.find(|request| !may_be(request));
        assert_eq!(touched, None, "it was to stay");
    }

    /// Somebody sets the clock.
    pub(super) fn set_clock(&mut self) {
        tell!(self, "the clock is {} s off", self.wall_shift);
        let reading = self.reading();
        self.feed(Input::Clock(reading));
    }

    /// SIGHUP.
    pub(super) fn reload(&mut self) {
        tell!(self, "is told to reload");
        self.feed(Input::Signal(Signal::Hangup));
    }
}

/// Whether a request is about what the kernel has of a link, whoever configures it.
fn is_setting(request: &KernelRequest) -> bool {
    matches!(
        request,
        KernelRequest::SetUp { .. }
            | KernelRequest::SetMtu { .. }
            | KernelRequest::SetMac { .. }
            | KernelRequest::SetSwitch { .. }
    )
}
