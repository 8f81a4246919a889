//! What does linnetd cost the machine? Processor time, memory and descriptors, as /proc tells of the process itself.
//!
//! The names of the families are those that every Prometheus client uses. What /proc does not tell is left out.

use std::fs;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::exposition::Exposition;

/// The fields of `/proc/self/stat` after the program's name that are of use here, counted from 0 (proc(5): 14, 15, 22, 23, 24).
mod field {
    pub(super) const USER_TIME: usize = 11;
    pub(super) const SYSTEM_TIME: usize = 12;
    pub(super) const START_TIME: usize = 19;
    pub(super) const VIRTUAL_SIZE: usize = 20;
    pub(super) const RESIDENT_PAGES: usize = 21;
}

/// Adds what the process costs.
pub(super) fn expose(out: &mut Exposition) {
    if let Some(stat) = read("/proc/self/stat") {
        self::stat(&stat, out);
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself.
        let open = descriptors.count().saturating_sub(1);
        let help = "Open file descriptors.";
        out.amount("process_open_fds", help, &[], wide(open));
    }
    let limit = read("/proc/self/limits").and_then(|limits| {
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    });
    if let Some(limit) = limit {
        let help = "The most file descriptors that may be open.";
        out.amount("process_max_fds", help, &[], limit);
    }
    if let Ok(threads) = fs::read_dir("/proc/self/task") {
        let help = "Threads.";
        out.amount("process_threads", help, &[], wide(threads.count()));
    }
}

fn stat(stat: &str, out: &mut Exposition) {
    // The program's name may hold spaces and parentheses; the last one ends it.
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return;
    };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = constant(SysconfVar::CLK_TCK).unwrap_or(100);
    let seconds = |ticks_count: u64| {
        let nanos = u128::from(ticks_count) * 1_000_000_000 / u128::from(ticks.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    };
    if let (Some(user), Some(system)) = (number(field::USER_TIME), number(field::SYSTEM_TIME)) {
        let help = "Processor time that was spent, in user and kernel mode.";
        out.seconds("process_cpu_seconds", help, &[], seconds(user + system));
    }
    if let Some(pages) = number(field::RESIDENT_PAGES) {
        let page = constant(SysconfVar::PAGE_SIZE).unwrap_or(4096);
        let help = "Resident memory.";
        out.amount("process_resident_memory_bytes", help, &[], pages * page);
    }
    if let Some(size) = number(field::VIRTUAL_SIZE) {
        out.amount("process_virtual_memory_bytes", "Virtual memory.", &[], size);
    }
    let booted = read("/proc/stat").and_then(|stat| {
        let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse::<u64>().ok()
    });
    if let (Some(booted), Some(started)) = (booted, number(field::START_TIME)) {
        let started = Duration::from_secs(booted) + seconds(started);
        let help = "When linnetd started, in seconds since 1970.";
        out.gauge(
            "process_start_time_seconds",
            help,
            &[],
            started.as_secs_f64(),
        );
    }
}

fn constant(name: SysconfVar) -> Option<u64> {
    u64::try_from(sysconf(name).ok()??).ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the daemon reads /proc about itself"
)]
fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exposition::Format;

    #[test]
    fn every_family_of_the_process_has_a_sensible_value() {
        let mut out = Exposition::default();
        expose(&mut out);
        let text = out.render(Format::Text);
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {text}"))
                .trim()
                .parse::<f64>()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_start_time_seconds") > 1.7e9);
    }

    #[test]
    fn a_program_may_be_called_anything() {
        let mut out = Exposition::default();
        let rest = (0..30)
            .map(|at| at.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        stat(&format!("7 (a) b) {rest}"), &mut out);
        let text = out.render(Format::Text);
        assert!(text.contains("process_virtual_memory_bytes 20\n"), "{text}");
    }
}
