//! Runs the target `former` of `tests::fuzz` under cargo-fuzz.

#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("former", bytes));
