//! Does it make no difference who reads a list?

#![expect(clippy::disallowed_methods, reason = "the examples are files")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;

fn read_both(kind: FileKind, source: &str) {
    let file: Arc<str> = "file".into();
    let read = |long| {
        let mut findings = Findings::new(&file, source);
        let mut document = read_from(kind, long, &mut findings);
        spell_out(&mut document.top, source);
        let said = format!("{:?} {}", document.top, document.is_toml);
        (said, findings.list)
    };
    assert_eq!(read(1), read(usize::MAX), "{source}");
}

/// Puts texts in the place of places.
fn spell_out(table: &mut Table, source: &str) {
    for said in table.said.values_mut() {
        if let Value::Long(long) = &said.value {
            said.value = Value::Texts(long.iter().map(|at| long::text_at(source, at)).collect());
        } else if let Value::Table(table) = &mut said.value {
            spell_out(table, source);
        } else if let Value::Tables(tables) = &mut said.value {
            for (_, table) in tables {
                spell_out(table, source);
            }
        }
    }
}

#[test]
fn every_file_says_the_same_whoever_reads_its_lists() {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                files += 1;
                read_both(FileKind::Main, &text);
                read_both(FileKind::Profile, &text);
            }
        }
    }
    assert!(files > 20, "{files} files");
}

#[test]
fn lists_in_strange_places_say_the_same() {
    let list = "claims = [\"a.test\", \"b.test\",\n\"c.test\"]\n";
    for (before, after) in [
        ("", ""),
        ("[dns]\n", "default = \"no\"\n"),
        ("[dns]\n", list),
        ("[dns]\ndefault = \"no\n", ""),
        ("[dns]\nupstreams = [\n", ""),
        ("[dns]\nupstreams = [\"10.0.0.1\",\n", "]\n"),
        ("[dns\n", ""),
        ("[resolver]\n", ""),
        ("[match]\n", ""),
        ("[[routes]]\n", ""),
        ("match = {\n", "}\n"),
        ("[dns]\nexclude = {\n", "}\n"),
        ("[dns]\n", "]\n"),
        ("[claims]\n", ""),
        ("[[claims]]\n", "[[claims]]\n"),
        ("[dns]\nclaim", "\n"),
        ("[dns]\nclaims.", "\n"),
        ("[dns]\nclaims = [] ", "\n"),
        ("[dns]\nsearch = \"", "\"\n"),
        ("[dns]\nsearch = '''", "'''\n"),
        ("[dns]\n# ", "\n"),
    ] {
        let source = format!("{before}{list}{after}");
        read_both(FileKind::Profile, &source);
        read_both(FileKind::Main, &source);
    }
}
