//! When was the machine not there during a soak?
//!
//! Two threads, each on a processor of its own, sleep for a moment at a time and note when they wake up late: where both did, the machine
//! stood still. Another reads how long linnetd and the soak's own threads (who ask, and the servers) were ready to run and were given
//! no processor, as the kernel counts it; who is stopped, waits for something or computes is not counted. What the processors did
//! meanwhile tells a machine that is full (they were busy) from one that was halted (they did next to nothing). A full machine seldom
//! keeps those waiting who sleep most of the time: that linnetd waited is known from the kernel alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tests::oracle::now_ms;

/// How long who watches sleeps at a time.
const NAP: Duration = Duration::from_millis(5);
/// Between two looks at what the kernel counts.
const LOOK: Duration = Duration::from_millis(100);
/// From how long on a gap is noted, in milliseconds.
const NOTED_MS: u64 = 250;
/// The same for the soak's own threads: they are many, and a short wait of one of them is not the machine's standstill.
const NOTED_OF_SOAK_MS: u64 = 1000;
/// From how long on a gap may be why something failed, in milliseconds.
const LONG_MS: u64 = 1000;
/// How much earlier or later than the gap that may show, in milliseconds.
const MARGIN_MS: u64 = 200;
/// A run is worth nothing when the machine stood still for more than one of so many milliseconds.
const STILL_PART: u64 = 100;
/// So many gaps are shown, the longest.
const SHOWN: usize = 12;
/// What linnetd calls a thread that answers questions beside its loop, which is its first thread.
const LISTENER: &str = "linnet-listener";
/// What one tick of `/proc/stat` is, in milliseconds (`USER_HZ` is 100 everywhere).
const TICK_MS: u64 = 10;

/// Who was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// Who watches, on the processor of this number.
    Watch(usize),
    /// A thread of linnetd waited for a processor.
    Linnetd,
    /// A thread of the soak waited for one.
    Soak,
}

/// A time in which somebody was not there, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    from: u64,
    until: u64,
}

impl Gap {
    fn length(self) -> u64 {
        self.until.saturating_sub(self.from)
    }

    fn both(self, other: Self) -> Option<Self> {
        let from = self.from.max(other.from);
        let until = self.until.min(other.until);
        (from < until).then_some(Self { from, until })
    }

    fn is_around(self, moment: u64) -> bool {
        self.from.saturating_sub(MARGIN_MS) <= moment && moment <= self.until + MARGIN_MS
    }
}

/// What all processors did, together, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Processors {
    busy: u64,
    idle: u64,
    stolen: u64,
}

impl Processors {
    fn now() -> Self {
        Self::read(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    fn read(stat: &str) -> Self {
        let ticks: Vec<u64> = stat
            .lines()
            .next()
            .into_iter()
            .flat_map(|line| line.split_whitespace().skip(1))
            .map(|field| field.parse().unwrap_or(0) * TICK_MS)
            .collect();
        // user nice system idle iowait irq softirq steal; what guests used is in the first two.
        let of = |fields: &[usize]| fields.iter().filter_map(|at| ticks.get(*at)).sum();
        Self {
            busy: of(&[0, 1, 2, 5, 6]),
            idle: of(&[3, 4]),
            stolen: of(&[7]),
        }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(earlier.busy),
            idle: self.idle.saturating_sub(earlier.idle),
            stolen: self.stolen.saturating_sub(earlier.stolen),
        }
    }
}

/// When nobody, or somebody, was there.
#[derive(Debug, Default)]
pub(super) struct Halts {
    gaps: Mutex<Vec<(Who, Gap, Option<Processors>)>>,
    /// Threads that watch: that one of them waits is told by itself.
    watchers: Mutex<Vec<u64>>,
    /// Whether there is one processor, and so who watches there says it all.
    is_one: AtomicBool,
    over: AtomicBool,
}

impl Halts {
    /// Begins to watch this machine and the process of linnetd, until the end is said.
    pub(super) fn watch(self: &Arc<Self>, linnetd: u32) {
        let processors = processors();
        self.is_one.store(processors.len() < 2, Ordering::Relaxed);
        for (number, processor) in processors.into_iter().take(2).enumerate() {
            let halts = Arc::clone(self);
            thread::spawn(move || {
                stay_on(processor);
                halts.nap(number);
            });
        }
        let halts = Arc::clone(self);
        thread::spawn(move || halts.look(linnetd));
    }

    /// Says that the run is over.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Notes a gap, if it is long enough for who was not there.
    fn note(&self, who: Who, from: u64, until: u64, processors: Option<Processors>) {
        let gap = Gap { from, until };
        let noted = match who {
            Who::Watch(_) | Who::Linnetd => NOTED_MS,
            Who::Soak => NOTED_OF_SOAK_MS,
        };
        if gap.length() >= noted {
            self.gaps.lock().unwrap().push((who, gap, processors));
        }
    }

    /// Notes a made-up gap.
    pub(super) fn pretend(&self, who: Who, from: u64, until: u64) {
        self.note(who, from, until, None);
    }

    fn nap(&self, number: usize) {
        self.watchers.lock().unwrap().push(this_thread());
        let mut last = now_ms();
        let mut read = (last, Processors::now());
        while !self.over.load(Ordering::Relaxed) {
            thread::sleep(NAP);
            let now = now_ms();
            if now - read.0 >= NOTED_MS {
                let did = Processors::now();
                self.note(Who::Watch(number), last, now, Some(did.since(read.1)));
                read = (now, did);
            }
            last = now;
        }
    }

    /// Notes how long threads waited: what the kernel adds when one runs again.
    fn look(&self, linnetd: u32) {
        self.watchers.lock().unwrap().push(this_thread());
        let mut waited: BTreeMap<(Who, u64), u64> = BTreeMap::new();
        let mut last = now_ms();
        while !self.over.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
            let now = now_ms();
            let mut seen = BTreeMap::new();
            // Other threads of linnetd are in no hurry, and one is of a lower priority.
            let answers = |thread, name: &str| thread == u64::from(linnetd) || name == LISTENER;
            let of_linnetd = waits(&format!("/proc/{linnetd}/task"), answers);
            let of_soak = waits("/proc/self/task", |_, _| true);
            for (who, waits) in [(Who::Linnetd, of_linnetd), (Who::Soak, of_soak)] {
                for (thread, ms) in waits {
                    let more = ms.saturating_sub(*waited.get(&(who, thread)).unwrap_or(&ms));
                    seen.insert((who, thread), ms);
                    if more >= NOTED_MS && !self.watchers.lock().unwrap().contains(&thread) {
                        // At the last look it waited still, and since then no longer than until now.
                        let sure = more.saturating_sub(now - last);
                        self.note(who, last.saturating_sub(sure), last, None);
                    }
                }
            }
            (waited, last) = (seen, now);
        }
    }

    /// When the machine stood still, then when linnetd waited for it, then the soak.
    fn all(&self) -> [(&'static str, Vec<(Gap, Option<Processors>)>); 3] {
        let gaps = self.gaps.lock().unwrap();
        let of = |wanted: Who| {
            let gaps = gaps.iter().filter(move |(who, ..)| *who == wanted);
            gaps.map(|(_, gap, did)| (*gap, *did))
        };
        let is_one = self.is_one.load(Ordering::Relaxed);
        let still = of(Who::Watch(0)).flat_map(|(gap, did)| {
            let others: Vec<Gap> = if is_one {
                vec![gap]
            } else {
                of(Who::Watch(1)).map(|(gap, _)| gap).collect()
            };
            others
                .into_iter()
                .filter_map(move |other| Some((gap.both(other)?, did)))
        });
        let still = still.filter(|(gap, _)| gap.length() >= NOTED_MS);
        [
            ("the machine stood still", still.collect()),
            ("linnetd waited for a processor", of(Who::Linnetd).collect()),
            (
                "who asks, or a server, waited for a processor",
                of(Who::Soak).collect(),
            ),
        ]
    }

    /// Returns what may be why something failed.
    pub(super) fn long(&self) -> Long {
        let all = self.all().into_iter().flat_map(|(_, gaps)| gaps);
        let long = all.map(|(gap, _)| gap);
        Long(long.filter(|gap| gap.length() >= LONG_MS).collect())
    }

    /// How long all of it was, in milliseconds: what overlaps counts once.
    fn still_ms(&self) -> u64 {
        let all = self.all().into_iter().flat_map(|(_, gaps)| gaps);
        let merged = merge(all.collect());
        merged.iter().map(|(gap, _)| gap.length()).sum()
    }

    /// Says when the machine was not there, the longest times of each sort.
    pub(super) fn told(&self) -> String {
        let mut text = String::new();
        for (what, gaps) in self.all() {
            if gaps.is_empty() {
                continue;
            }
            let mut gaps = merge(gaps);
            let (count, sum) = (gaps.len(), gaps.iter().map(|(gap, _)| gap.length()).sum());
            gaps.sort_by_key(|(gap, _)| std::cmp::Reverse(gap.length()));
            gaps.truncate(SHOWN);
            gaps.sort_by_key(|(gap, _)| gap.from);
            let shown = gaps.iter().map(|(gap, did)| {
                let did = did.map_or_else(String::new, |did| {
                    format!(
                        " (processors: {} busy, {} idle, {} stolen)",
                        seconds(did.busy),
                        seconds(did.idle),
                        seconds(did.stolen)
                    )
                });
                format!("{} for {}{did}", seconds(gap.from), seconds(gap.length()))
            });
            let shown: Vec<String> = shown.collect();
            writeln!(
                text,
                "{what} {count} times, {} in all: {}",
                seconds(sum),
                shown.join(", ")
            )
            .unwrap();
        }
        text
    }

    /// Why a run says nothing, if the machine stood still for too much of it.
    pub(super) fn worthless(&self, took: Duration) -> Option<String> {
        let still = self.still_ms();
        let took = u64::try_from(took.as_millis()).unwrap();
        (still * STILL_PART > took).then(|| {
            format!(
                "this run says nothing: the machine was not there for {} of {}\n{}",
                seconds(still),
                seconds(took),
                self.told()
            )
        })
    }
}

/// The long gaps until now.
#[derive(Debug)]
pub(super) struct Long(Vec<Gap>);

impl Long {
    /// Whether a question was asked, or answered or given up, in one of them, or nearly.
    pub(super) fn excuses(&self, asked: u64, ended: u64) -> bool {
        let mut gaps = self.0.iter();
        gaps.any(|gap| gap.is_around(asked) || gap.is_around(ended))
    }
}

/// Makes one of those that overlap.
fn merge(mut gaps: Vec<(Gap, Option<Processors>)>) -> Vec<(Gap, Option<Processors>)> {
    gaps.sort_by_key(|(gap, _)| gap.from);
    let mut merged: Vec<(Gap, Option<Processors>)> = Vec::new();
    for (gap, did) in gaps {
        match merged.last_mut() {
            Some((last, _)) if gap.from <= last.until => last.until = last.until.max(gap.until),
            Some(_) | None => merged.push((gap, did)),
        }
    }
    merged
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// How long each thread has waited for a processor, in milliseconds, since it began.
fn waits(tasks: &str, counts: impl Fn(u64, &str) -> bool) -> Vec<(u64, u64)> {
    // Who ends meanwhile is not looked at.
    let Ok(threads) = fs::read_dir(tasks) else {
        return Vec::new();
    };
    let waits = threads.flatten().filter_map(|thread| {
        let number = thread.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        if !counts(number, name.trim_end()) {
            return None;
        }
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((number, waited(&text)?))
    });
    waits.collect()
}

/// Reads the second number of a `schedstat`: nanoseconds in which the thread was ready and did not run.
fn waited(schedstat: &str) -> Option<u64> {
    let text = schedstat.split_whitespace().nth(1)?;
    Some(text.parse::<u64>().ok()? / 1_000_000)
}

fn this_thread() -> u64 {
    // SAFETY: gettid has no preconditions and cannot fail.
    u64::try_from(unsafe { libc::gettid() }).unwrap()
}

/// The processors that this process may use.
fn processors() -> Vec<usize> {
    // SAFETY: all zeros is a set without a processor.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes no more than the size that it is told.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    assert_eq!(result, 0, "the processors are known");
    let most = usize::try_from(libc::CPU_SETSIZE).unwrap();
    // SAFETY: the number is below the size of the set.
    (0..most)
        .filter(|at| unsafe { libc::CPU_ISSET(*at, &set) })
        .collect()
}

/// Binds this thread to one of them.
fn stay_on(processor: usize) {
    // SAFETY: all zeros is a set without a processor.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is one that the kernel gave, and so below the size of the set.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the kernel reads the set, of the size that it is told.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(result, 0, "a thread may stay where it may run");
}

#[test]
fn the_machine_stands_still_where_who_watches_wakes_up_late_on_every_processor() {
    let halts = Halts::default();
    halts.pretend(Who::Watch(0), 10_000, 14_000);
    assert_eq!(halts.told(), "", "one processor is another's");
    assert!(!halts.long().excuses(12_000, 12_000));
    halts.pretend(Who::Watch(1), 11_000, 15_000);
    halts.pretend(Who::Watch(1), 20_000, 30_000);
    let told = halts.told();
    assert!(
        told.starts_with("the machine stood still 1 times, 3.0 s in all: 11.0 s for 3.0 s\n"),
        "{told}"
    );
    let long = halts.long();
    for (asked, ended, excuses) in [
        (10_000, 10_799, false),
        (10_000, 10_800, true),
        (10_801, 16_000, true),
        (14_200, 18_000, true),
        (14_201, 18_000, false),
        // It went on for long before and after.
        (10_000, 16_000, false),
        (25_000, 25_000, false),
    ] {
        assert_eq!(long.excuses(asked, ended), excuses, "{asked} to {ended}");
    }
}

#[test]
fn short_gaps_excuse_nothing_and_count_once() {
    let halts = Halts::default();
    for processor in [0, 1] {
        halts.pretend(Who::Watch(processor), 1000, 1900);
        halts.pretend(Who::Watch(processor), 3000, 3249);
    }
    halts.pretend(Who::Linnetd, 1500, 2000);
    halts.pretend(Who::Linnetd, 1600, 1900);
    halts.pretend(Who::Soak, 5000, 5900);
    assert!(!halts.long().excuses(1500, 1500));
    let told = halts.told();
    assert!(told.contains("stood still 1 times, 0.9 s"), "{told}");
    assert!(
        told.contains("linnetd waited for a processor 1 times, 0.5 s in all: 1.5 s for 0.5 s\n"),
        "{told}"
    );
    assert!(!told.contains("who asks"), "{told}");
    assert_eq!(halts.still_ms(), 1000);
    assert_eq!(halts.worthless(Duration::from_secs(100)), None);
    let why = halts.worthless(Duration::from_millis(99_999)).unwrap();
    assert!(
        why.starts_with("this run says nothing: the machine was not there for 1.0 s of 99.9 s\n"),
        "{why}"
    );
}

#[test]
fn who_was_given_no_processor_is_excused_and_who_was_stopped_is_not() {
    let halts = Halts::default();
    halts.pretend(Who::Linnetd, 1000, 3000);
    halts.pretend(Who::Soak, 6000, 8000);
    let long = halts.long();
    assert!(long.excuses(2000, 4500) && long.excuses(5000, 7000));
    assert!(!long.excuses(4000, 5000));
    assert_eq!(waited("1000000 2999999 7\n"), Some(2));
    assert_eq!(waited(""), None);
    // One that sleeps for as long as it likes waits for no processor.
    let halts = Arc::new(Halts::default());
    let mut sleeper = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    halts.watch(sleeper.id());
    thread::sleep(Duration::from_secs(1));
    halts.end();
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let told = halts.told();
    assert!(!told.contains("linnetd"), "{told}");
}

#[test]
fn what_processors_did_is_read() {
    let did = Processors::read("cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 9 9\n");
    let wanted = Processors {
        busy: 190,
        idle: 90,
        stolen: 80,
    };
    assert_eq!(did, wanted);
    let none = Processors::default();
    assert_eq!((did.since(none), none.since(did)), (wanted, none));
}
