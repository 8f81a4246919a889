//! Runs the target `portal` of `tests::fuzz` under cargo-fuzz.

#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("portal", bytes));
