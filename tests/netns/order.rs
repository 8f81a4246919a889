//! Does the list by which the linker sorts functions still name the functions there are?

use std::collections::BTreeSet;
use std::fs;

use crate::LINNETD;

const CRATES: [&str; 9] = [
    "config",
    "dnssec",
    "linkmgr",
    "linkmgr_io",
    "linnet",
    "linnetd",
    "policy",
    "resolver",
    "resolver_io",
];

/// What stands before the hash of a mangled name.
fn unhashed(symbol: &str) -> Option<&str> {
    let at = symbol.rfind("17h")?;
    symbol.starts_with("_ZN").then(|| &symbol[..at])
}

fn is_ours(name: &str) -> bool {
    CRATES
        .iter()
        .any(|krate| name.starts_with(&format!("_ZN{}{krate}", krate.len())))
}

#[test]
fn the_linkers_list_names_functions_that_there_are() {
    let script = fs::read_to_string(tests::root().join("dist/linnetd.ld")).unwrap();
    assert!(
        script.contains("INSERT BEFORE .text;"),
        "all else of the layout stays the linker's"
    );
    let listed: Vec<&str> = script
        .lines()
        .filter_map(|line| line.trim().strip_prefix("*(.text.")?.strip_suffix("17h*)"))
        .filter(|name| is_ours(name))
        .collect();
    let program = fs::read(LINNETD).unwrap();
    let present: BTreeSet<&str> = program
        .split(|byte| *byte == 0)
        .filter_map(|text| unhashed(std::str::from_utf8(text).ok()?))
        .collect();
    let gone: Vec<&&str> = listed
        .iter()
        .filter(|name| !present.contains(**name))
        .collect();
    assert!(
        listed.len() > 500,
        "{} of our functions are listed",
        listed.len()
    );
    assert!(
        gone.len() * 10 < listed.len(),
        "{} of {} are gone: run tests/bench/order: {gone:?}",
        gone.len(),
        listed.len()
    );
}
