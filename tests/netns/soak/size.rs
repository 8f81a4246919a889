//! How large is linnetd? Memory and file descriptors of the daemon and its helper, over time.

use std::fs;

use tests::namespace::inside;

use crate::guests::LAN;

/// A size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) resident_kb: u64,
    pub(super) descriptors: usize,
}

/// The sizes of a run.
#[derive(Debug)]
pub(super) struct Size {
    pid: u32,
    samples: Vec<Sample>,
}

impl Size {
    pub(super) fn new(pid: u32) -> Self {
        Self {
            pid,
            samples: Vec::new(),
        }
    }

    /// Measures now.
    pub(super) fn now(&self) -> Sample {
        let pid = self.pid;
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let helpers = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        let mut all = Sample {
            resident_kb: 0,
            descriptors: 0,
        };
        for pid in helpers.chain([pid]) {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            all.resident_kb += resident
                .and_then(|text| text.trim().strip_suffix(" kB"))
                .map_or(0, |text| text.parse::<u64>().unwrap());
            all.descriptors += fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        }
        assert!(all.resident_kb > 0, "linnetd has ended");
        all
    }

    /// Measures, and keeps it.
    pub(super) fn sample(&mut self) {
        self.samples.push(self.now());
    }

    /// Returns the typical size right after the warm-up, and at the end: each the median of a fifth of the run.
    pub(super) fn after_warm_up(&self, warm_up: f64) -> (Sample, Sample) {
        let length = self.samples.len();
        let fifth = (length / 5).max(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a length"
        )]
        let begin = (length as f64 * warm_up) as usize;
        let median = |samples: &[Sample]| {
            let middle = |mut values: Vec<u64>| {
                values.sort_unstable();
                values[values.len() / 2]
            };
            Sample {
                resident_kb: middle(samples.iter().map(|sample| sample.resident_kb).collect()),
                // Exchanges under way have descriptors: the least is what stays.
                descriptors: samples
                    .iter()
                    .map(|sample| sample.descriptors)
                    .min()
                    .unwrap(),
            }
        };
        (
            median(&self.samples[begin..begin + fifth]),
            median(&self.samples[length - fifth..]),
        )
    }
}

/// Returns how many datagrams the kernel has dropped in the namespaces of clients because a socket was full.
pub(super) fn dropped() -> u64 {
    dropped_here() + inside(LAN, dropped_here).join().unwrap()
}

fn dropped_here() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let counters = names.split_whitespace().zip(values.split_whitespace());
    counters
        .filter(|(name, _)| ["RcvbufErrors", "SndbufErrors"].contains(name))
        .map(|(_, value)| value.parse::<u64>().unwrap())
        .sum()
}
