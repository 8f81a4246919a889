//! Does the list by which the linker sorts functions still name the functions there are? Is it kept from linkers that do not take it?

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// A linker that takes no list.
const NO_LISTS: &str = "#!/bin/sh
for it; do
    case $it in -T | *.ld) echo \"simple: fatal: $it: no lists here\" >&2; exit 1 ;; esac
done
exec cc \"$@\"
";

/// The build script, where it can write.
struct Script {
    dir: tempfile::TempDir,
}

impl Script {
    /// Compiles it; `None` where there is no compiler.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let source = tests::root().join("src/build.rs");
        let mut rustc = Command::new("rustc");
        rustc.arg("--edition=2024").arg(source);
        rustc.arg("-o").arg(dir.path().join("build"));
        let is_there = rustc.status().ok()?.success();
        assert!(is_there, "the build script compiles");
        let script = Self { dir };
        fs::write(script.path("simple"), NO_LISTS).unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(script.path("simple"), mode).unwrap();
        fs::create_dir(script.path("out")).unwrap();
        Some(script)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns what it tells cargo to do for a release build with these variables, but for when to run it again, and whether it has tried
    /// the linker.
    fn says(&self, variables: &[(&str, &str)], project: &Path) -> (Vec<String>, bool) {
        let out = self.path("out");
        let mut build = Command::new(self.path("build"));
        build.env_remove("LINNET_ORDER").env("OUT_DIR", &out);
        build.env("CARGO_MANIFEST_DIR", project);
        for (name, value) in [
            ("RUSTC", "rustc"),
            ("PROFILE", "release"),
            ("CARGO_CFG_TARGET_OS", "linux"),
            ("TARGET", "this"),
            ("HOST", "this"),
        ] {
            build.env(name, value);
        }
        build.envs(variables.iter().copied());
        let ended = build.output().unwrap();
        assert!(ended.status.success(), "{variables:?}: {ended:?}");
        let text = String::from_utf8(ended.stdout).unwrap();
        let lines = text.lines().map(str::to_owned);
        let lines = lines.filter(|line| !line.contains("rerun-if")).collect();
        let has_tried = fs::read_dir(&out).unwrap().count() > 0;
        fs::remove_dir_all(&out).unwrap();
        fs::create_dir(&out).unwrap();
        (lines, has_tried)
    }
}

#[test]
fn a_linker_that_takes_no_list_gets_none_and_the_build_says_so() {
    let Some(script) = Script::new() else {
        return tests::skip("order", "there is no rustc");
    };
    let root = tests::root();
    let simple = script.path("simple").display().to_string();
    let by_flag = format!("-Crelro-level=partial\u{1f}-Clinker={simple}");
    let absent = "-Clinker=/nonexistent/ld";
    // A reason that is empty: the list is handed over.
    let (list, nothing) = (Some(""), None);
    let fatal = Some("no lists here");
    for (variables, wanted, tries) in [
        (vec![], list, true),
        (vec![("CARGO_ENCODED_RUSTFLAGS", "-Dwarnings")], list, true),
        (vec![("CARGO_ENCODED_RUSTFLAGS", &by_flag)], fatal, true),
        (vec![("RUSTC_LINKER", &simple)], fatal, true),
        (
            vec![("CARGO_ENCODED_RUSTFLAGS", absent)],
            Some("/nonexistent/ld"),
            true,
        ),
        (vec![("RUSTC", "/nonexistent/rustc")], Some("rustc"), true),
        (
            vec![("RUSTC_LINKER", &simple), ("LINNET_ORDER", "no")],
            nothing,
            false,
        ),
        (
            vec![("RUSTC_LINKER", &simple), ("PROFILE", "debug")],
            nothing,
            false,
        ),
    ] {
        let (said, has_tried) = script.says(&variables, &root);
        assert_eq!(has_tried, tries, "{variables:?}");
        match (wanted, said.as_slice()) {
            (None, []) => {}
            (Some(""), [option, list]) => {
                assert_eq!(option, "cargo::rustc-link-arg-bin=linnetd=-T");
                assert!(list.ends_with("dist/linnetd.ld"), "{list}");
            }
            (Some(why), [warning]) => {
                assert!(warning.starts_with("cargo::warning="), "{warning}");
                assert!(warning.contains(why), "{warning}");
                assert!(warning.contains("LINNET_ORDER=no"), "{warning}");
            }
            _ => panic!("{variables:?}: {said:?}"),
        }
    }
    let elsewhere = script.path("out");
    let (said, has_tried) = script.says(&[], &elsewhere);
    assert_eq!((said.len(), has_tried), (0, false), "there is no list");
}
