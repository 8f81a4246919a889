//! Runs the target `llmnr` of `tests::fuzz` under cargo-fuzz.

#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("llmnr", bytes));
