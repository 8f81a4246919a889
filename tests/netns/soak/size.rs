//! How large is linnetd? Memory and file descriptors of the daemon and its helper, over time.

use std::fs;

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

    /// Returns the most that was there at any time: of memory and of descriptors.
    pub(super) fn greatest(&self) -> Sample {
        let resident = self.samples.iter().map(|sample| sample.resident_kb);
        let descriptors = self.samples.iter().map(|sample| sample.descriptors);
        Sample {
            resident_kb: resident.max().unwrap_or_default(),
            descriptors: descriptors.max().unwrap_or_default(),
        }
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

/// Returns how many datagrams to a port of this thread's namespace the kernel has dropped because a socket there was full.
pub(super) fn dropped_at(port: u16) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/udp").unwrap();
    let local = format!(":{port:04X}");
    let mut dropped = 0;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields[1].ends_with(&local) {
            dropped += fields[12].parse::<u64>().unwrap();
        }
    }
    dropped
}
