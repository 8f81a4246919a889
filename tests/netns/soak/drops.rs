//! What was linnetd doing in a second in which the kernel dropped questions? One line for each such second.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use super::size;

/// So many seconds are told; what comes after is counted only.
const TOLD: usize = 20;

/// What a thread has had of a processor, and what it has waited for one, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Turns {
    ran: u64,
    waited: u64,
}

/// Looks once a second.
#[derive(Debug)]
pub(super) struct Drops {
    pid: u32,
    dropped: u64,
    turns: BTreeMap<u64, Turns>,
    seconds: usize,
    lines: String,
}

impl Drops {
    pub(super) fn new(pid: u32) -> Self {
        Self {
            pid,
            dropped: size::dropped_at(53),
            turns: turns(pid),
            seconds: 0,
            lines: String::new(),
        }
    }

    /// Looks what was dropped since the last look; `at` is how far the run is.
    pub(super) fn look(&mut self, at: Duration) {
        let before = std::mem::replace(&mut self.dropped, size::dropped_at(53));
        let turns_before = std::mem::replace(&mut self.turns, turns(self.pid));
        // A socket that was made anew counts from nothing.
        let dropped = self.dropped.saturating_sub(before);
        if dropped == 0 {
            return;
        }
        self.seconds += 1;
        if self.seconds > TOLD {
            return;
        }
        write!(
            self.lines,
            "\ndropped {dropped} until {:.1} s:",
            at.as_secs_f64()
        )
        .unwrap();
        for (thread, now) in &self.turns {
            let before = turns_before.get(thread).copied().unwrap_or_default();
            let (ran, waited) = (now.ran - before.ran, now.waited - before.waited);
            // What neither ran nor waited has slept.
            let ms = |nanoseconds| Duration::from_nanos(nanoseconds).as_millis();
            if ran + waited > 1_000_000 {
                let name = comm(self.pid, *thread);
                write!(
                    self.lines,
                    " {name} {} ms, waited {} ms;",
                    ms(ran),
                    ms(waited)
                )
                .unwrap();
            }
        }
    }

    /// Returns what there is to tell of all seconds.
    pub(super) fn told(&self) -> String {
        format!(
            "questions were dropped in {} seconds{}",
            self.seconds, self.lines
        )
    }
}

fn comm(pid: u32, thread: u64) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm"));
    text.unwrap_or_default().trim().to_owned()
}

fn turns(pid: u32) -> BTreeMap<u64, Turns> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let turns = threads.filter_map(|entry| {
        let thread = entry.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        let mut fields = text.split_whitespace().map(str::parse);
        let (ran, waited) = (fields.next()?.ok()?, fields.next()?.ok()?);
        Some((thread, Turns { ran, waited }))
    });
    turns.collect()
}
