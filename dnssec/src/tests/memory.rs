//! Does the memory stay within its bounds, and does it forget in time?

use std::sync::Arc;

use super::zone::name;
use crate::memory::{Memory, Until, Zone};

/// The same in every run.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 16).unwrap()
}

#[test]
fn whatever_is_kept_the_memory_stays_within_its_capacity() {
    for capacity in [0, 100, 4096, 100_000] {
        let mut memory = Memory::new(capacity);
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..3000 {
            let zone = name(&format!("z{}.test", next(&mut state) % 50));
            let length = next(&mut state) % 600;
            match next(&mut state) % 2 {
                0 => {
                    let why: Arc<str> = "x".repeat(length).into();
                    memory.keep_zone(&zone, &Zone::Insecure(why), Until::unsigned(10));
                }
                _ => {
                    let mut content = vec![0; length];
                    content.extend((next(&mut state) % 300).to_be_bytes());
                    memory.keep_checked(content, 10);
                }
            }
            assert!(
                memory.bytes() <= capacity,
                "{} of {capacity}",
                memory.bytes()
            );
        }
    }
}

#[test]
fn an_emptied_memory_counts_nothing() {
    let mut memory = Memory::new(1000);
    memory.keep_checked(vec![1], 10);
    assert!(memory.bytes() > 0);
    memory.clear();
    assert_eq!((memory.bytes(), memory.checked(&[1], 1)), (0, None));
}

#[test]
fn what_is_remembered_ends_at_its_second() {
    let mut memory = Memory::new(10_000);
    let zone = name("test");
    memory.keep_zone(&zone, &Zone::Insecure("why".into()), Until::unsigned(10));
    memory.keep_checked(vec![1], 10);
    for (now, is_known) in [(0, true), (9, true), (10, false), (11, false)] {
        assert_eq!(memory.zone(&zone, now).is_some(), is_known, "{now}");
        assert_eq!(memory.checked(&[1], now).is_some(), is_known, "{now}");
    }
}

#[test]
fn the_oldest_entry_goes_first() {
    let mut memory = Memory::new(3 * 200);
    for first in 0..5_u8 {
        memory.keep_checked(vec![first; 60], 10);
    }
    let known = [0, 1, 2, 3, 4].map(|first| memory.checked(&[first; 60], 1).is_some());
    assert_eq!(known, [false, false, true, true, true]);
}

#[test]
fn zones_that_are_meant_are_forgotten_and_leave_nothing_behind() {
    let mut memory = Memory::new(10_000);
    let zones = ["test", "corp.test", "a.corp.test", "xcorp.test"].map(name);
    let insecure = Zone::Insecure("why".into());
    for zone in &zones {
        memory.keep_zone(zone, &insecure, Until::unsigned(10));
    }
    memory.keep_checked(vec![1], 10);
    let before = memory.bytes();
    for _ in 0..50 {
        memory.forget_where(|zone| zone.is_in(&zones[1]));
        let known = zones.each_ref().map(|zone| memory.zone(zone, 1).is_some());
        assert_eq!(known, [true, false, false, true]);
        assert!(memory.bytes() < before);
        for zone in &zones {
            memory.keep_zone(zone, &insecure, Until::unsigned(10));
        }
        assert_eq!(memory.bytes(), before);
    }
    memory.forget_where(|_| true);
    assert!(memory.checked(&[1], 1).is_some(), "a signature still fits");
}
