//! Runs the target `list_domains` of `tests::fuzz` under cargo-fuzz.

#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("list_domains", bytes));
