//! Does the project still have the shape that ARCHITECTURE.md promises? Checks files and dependencies, not behaviour.

#![expect(clippy::unwrap_used, reason = "a test may fail at any line")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::root;

/// Soft limits are for reviewers; this one is hard.
const MAX_LINES: usize = 600;

/// What may lie at the top, and nothing else.
const TOP: [&str; 27] = [
    ".ci",
    ".cargo",
    ".config",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "config",
    "deny.toml",
    "dist",
    "dnssec",
    "docs",
    "linkmgr",
    "policy",
    "resolver",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "src",
    "tests",
    "justfile",
];

/// Which of our crates each of our crates may import.
const EDGES: [(&str, &[&str]); 9] = [
    ("config", &[]),
    ("policy", &["config"]),
    ("dnssec", &[]),
    ("resolver", &["config", "policy", "dnssec"]),
    ("linkmgr", &["config", "policy"]),
    ("resolver-io", &["config", "policy", "resolver"]),
    ("linkmgr-io", &["config", "policy", "linkmgr"]),
    (
        "linnet",
        &[
            "config",
            "policy",
            "dnssec",
            "resolver",
            "resolver-io",
            "linkmgr",
            "linkmgr-io",
        ],
    ),
    (
        "tests",
        &[
            "config",
            "policy",
            "dnssec",
            "resolver",
            "resolver-io",
            "linkmgr",
            "linkmgr-io",
            "linnet",
        ],
    ),
];

/// Who may depend on what touches the outside: the pure crates are missing on purpose.
const SHELL_ONLY: [(&str, &[&str]); 11] = [
    ("zbus", &["linnet"]),
    ("rustls", &["resolver-io"]),
    ("quinn", &["resolver-io"]),
    ("h2", &["resolver-io"]),
    ("h3", &["resolver-io"]),
    ("h3-quinn", &["resolver-io"]),
    ("tokio", &["linnet", "resolver-io", "linkmgr-io", "tests"]),
    ("socket2", &["linnet", "resolver-io", "linkmgr-io", "tests"]),
    ("libc", &["linnet", "resolver-io", "linkmgr-io", "tests"]),
    ("tracing", &["linnet", "resolver-io", "linkmgr-io", "tests"]),
    ("hickory-proto", &["linnet", "resolver", "dnssec", "tests"]),
];

fn tracked() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let listed = listed.expect("git is installed");
    assert!(listed.status.success(), "git ls-files works in the project");
    String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .filter(|path| root().join(path).exists())
        .map(str::to_owned)
        .collect()
}

fn rust_files() -> Vec<(String, String)> {
    tracked()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).unwrap();
            (path, text)
        })
        .collect()
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.contains("/testdata/")
}

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn texts<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn members(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let ids: BTreeSet<&str> = metadata["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut dependencies_by_crate = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        if ids.contains(texts(package, "id")) {
            let dependencies = package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| texts(dependency, "name").to_owned())
                .collect();
            dependencies_by_crate.insert(texts(package, "name").to_owned(), dependencies);
        }
    }
    dependencies_by_crate
}

#[test]
fn the_top_level_holds_nothing_unexpected() {
    let mut strangers = BTreeSet::new();
    for path in tracked() {
        let top = path.split('/').next().unwrap_or_default().to_owned();
        if !TOP.contains(&top.as_str()) {
            strangers.insert(top);
        }
    }
    assert!(strangers.is_empty(), "not on the floor plan: {strangers:?}");
}

#[test]
fn every_file_opens_with_its_question() {
    let without: Vec<String> = rust_files()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(without.is_empty(), "no module doc: {without:?}");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = rust_files()
        .into_iter()
        .filter(|(path, text)| !is_test(path) && text.lines().count() > MAX_LINES)
        .map(|(path, text)| format!("{path} has {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:?}");
}

#[test]
fn crates_import_only_what_the_layers_allow() {
    let members = members(&metadata());
    assert_eq!(
        members.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        EDGES.iter().map(|(name, _)| *name).collect()
    );
    for (name, allowed) in EDGES {
        for dependency in &members[name] {
            let ours = EDGES.iter().any(|(name, _)| name == dependency);
            assert!(
                !ours || allowed.contains(&dependency.as_str()),
                "{name} may not import {dependency}"
            );
        }
    }
}

#[test]
fn only_the_shell_depends_on_the_outside() {
    let members = members(&metadata());
    for (dependency, allowed) in SHELL_ONLY {
        for (name, dependencies) in &members {
            assert!(
                !dependencies.contains(dependency) || allowed.contains(&name.as_str()),
                "{name} may not depend on {dependency}"
            );
        }
    }
}

#[test]
fn the_command_reaches_the_daemon_by_message_only() {
    for (path, text) in rust_files() {
        if path.starts_with("src/ctl/") {
            for name in [
                "policy",
                "resolver",
                "resolver_io",
                "linkmgr",
                "linkmgr_io",
                "dnssec",
            ] {
                assert!(
                    !text.contains(&format!("use {name}::"))
                        && !text.contains(&format!("{name}::Resolver")),
                    "{path} imports {name}"
                );
            }
        }
        if path.starts_with("src/api/") {
            for name in ["config", "policy", "resolver", "linkmgr"] {
                assert!(
                    !text.contains(&format!("use {name}::")),
                    "{path} imports {name}"
                );
            }
        }
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for path in tracked()
        .into_iter()
        .filter(|path| path.ends_with("Cargo.toml") && !path.contains("fuzz"))
    {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{path} does not say [lints] workspace = true"
        );
    }
}

#[test]
fn lints_are_expected_with_a_reason_never_allowed() {
    for (path, text) in rust_files() {
        if path == "tests/tidy/main.rs" {
            continue;
        }
        assert!(
            !text.contains("#[allow(") && !text.contains("#![allow("),
            "{path} allows a lint; expect it with a reason"
        );
        assert!(
            !text.contains("#[ignore"),
            "{path} ignores a test; let it say why it cannot run"
        );
    }
}

#[test]
fn every_part_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for part in [
        "config/",
        "policy/",
        "dnssec/",
        "resolver/",
        "resolver/io/",
        "linkmgr/",
        "linkmgr/io/",
        "src/api",
        "src/daemon",
        "src/ctl",
        "tests/",
    ] {
        assert!(
            map.contains(&format!("`{part}`")),
            "ARCHITECTURE.md does not tell of {part}"
        );
    }
}

#[test]
fn licences_are_ones_that_a_distribution_takes() {
    let policy = fs::read_to_string(root().join("deny.toml")).unwrap();
    let line = policy
        .lines()
        .find(|line| line.starts_with("allow = ["))
        .unwrap();
    let allowed: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
    let metadata = metadata();
    for package in metadata["packages"].as_array().unwrap() {
        let licence = texts(package, "license");
        let taken = licence.split(" AND ").all(|part| {
            part.trim_matches(['(', ')'])
                .replace('/', " OR ")
                .split(" OR ")
                .any(|one| allowed.contains(&one.trim_matches(['(', ')', ' '])))
        });
        assert!(
            taken,
            "{} has the licence {licence:?}",
            texts(package, "name")
        );
    }
}

#[test]
fn the_readme_names_its_two_commands_and_they_exist() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains("cargo run --release -- demo") && readme.contains("./tests/run"));
    for path in ["tests/run", "tests/setup", ".ci/run"] {
        assert!(Path::new(&root()).join(path).is_file(), "{path} is missing");
    }
}

#[test]
fn no_text_names_a_machine() {
    for path in tracked() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        if path == "tests/tidy/main.rs" {
            continue;
        }
        for word in ["/work/main", "/work/shared", "/root/", "crates.io-index"] {
            assert!(
                !text.contains(word) || path == "Cargo.lock",
                "{path} contains {word}"
            );
        }
    }
}
