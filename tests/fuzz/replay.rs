//! Do the fuzz targets hold over their corpus, and over damaged copies of it? Ordinary tests, on stable.

#![expect(clippy::unwrap_used, reason = "a test may fail at any line")]

use std::fs;

use tests::fuzz::TARGETS;
use tests::root;

/// Damaged copies of each seed.
const COPIES: u64 = 300;

/// A small generator, the same in every run: a failure can be had again.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn damage(seed: &[u8], state: &mut u64) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + next(state) % 4 {
        let at = usize::try_from(next(state)).unwrap() % bytes.len().max(1);
        match next(state) % 4 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), next(state).to_be_bytes()[0]),
            2 => bytes.extend_from_within(at.min(bytes.len())..),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = next(state).to_be_bytes()[0];
                }
            }
        }
    }
    bytes
}

#[test]
fn every_target_survives_its_corpus_and_damaged_copies_of_it() {
    for (name, target) in TARGETS {
        let folder = root().join("tests/fuzz/corpus").join(name);
        let seeds: Vec<Vec<u8>> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for seed in &seeds {
            target(seed);
            for _ in 0..COPIES {
                target(&damage(seed, &mut state));
            }
        }
        target(&[]);
    }
}

#[test]
fn every_target_can_be_run_under_the_fuzzer() {
    let manifest = fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is not in tests/fuzz/Cargo.toml"
        );
    }
}
