//! Do all mistakes of all files come out, word for word? Golden files; `LINNET_BLESS=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test may fail at any line")]
#![expect(
    clippy::disallowed_methods,
    reason = "golden files are read and written, and the environment says which"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::diagnostic::Colour;
use config::layer::{Layer, LayerKind, Loaded, Origin, Rank, load};
use config::reference;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with a golden file, or writes it.
fn golden(path: &Path, text: &str) {
    if std::env::var("LINNET_BLESS").is_ok_and(|bless| bless == "1") {
        fs::write(path, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == text,
        "{} differs; LINNET_BLESS=1 writes it anew. It should be:\n{text}",
        path.display()
    );
}

fn tree(name: &str) -> Vec<Layer> {
    let root = here().join("testdata").join(name);
    let mut layers = Vec::new();
    for directory in ["", "conf.d", "profiles"] {
        let mut names: Vec<PathBuf> = fs::read_dir(root.join(directory))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        for path in names {
            let relative = path.strip_prefix(&root).unwrap().to_str().unwrap();
            let Some(kind) = LayerKind::of(relative) else {
                continue;
            };
            layers.push(Layer {
                origin: Origin {
                    rank: Rank::Admin,
                    path: relative.into(),
                },
                text: fs::read_to_string(&path).unwrap(),
                kind,
            });
        }
    }
    layers
}

fn rendered(loaded: &Loaded, layer: &Layer) -> String {
    let of_file = |path: &Arc<str>| *path == layer.origin.path;
    loaded
        .diagnostics
        .iter()
        .filter(|found| of_file(&found.file))
        .map(|found| found.render(&layer.text, Colour::Plain))
        .collect::<Vec<String>>()
        .join("\n")
}

fn expected_path(tree: &str, layer: &Layer) -> PathBuf {
    let path = format!("testdata/{tree}/{}.expected", layer.origin.path);
    here().join(path.replace(".toml.", "."))
}

#[test]
fn every_mistake_of_every_bad_file_is_shown() {
    let layers = tree("bad");
    assert!(layers.len() >= 12);
    let loaded = load(&layers);
    assert!(loaded.has_errors() && loaded.main_broken);
    for layer in &layers {
        let text = rendered(&loaded, layer);
        let errors = text.matches("error: ").count();
        assert!(errors >= 2, "{} has {errors} errors", layer.origin.path);
        assert!(!text.contains("hunter"), "{text}");
        golden(&expected_path("bad", layer), &text);
    }
    let mut kept = String::new();
    for (id, profile) in &loaded.config.profiles {
        let claims: Vec<String> = profile.dns.claims.iter().map(ToString::to_string).collect();
        let dns = &profile.dns;
        assert!(dns.upstreams.is_empty() && dns.search.is_empty(), "{id}");
        kept += &format!(
            "{id}: {} default {:?} when-down {:?} match {}\n",
            claims.join(" "),
            dns.default,
            dns.when_down,
            profile.matches.is_some()
        );
    }
    kept += &format!("unread: {:?}\n", loaded.unread);
    golden(&here().join("testdata/bad/kept.expected"), &kept);
    assert_eq!(loaded.config.resolver, config::Config::default().resolver);
}

#[test]
fn good_files_have_no_errors_and_the_warnings_that_they_deserve() {
    let layers = tree("good");
    let loaded = load(&layers);
    assert!(
        !loaded.has_errors() && !loaded.main_broken,
        "{:#?}",
        loaded.diagnostics
    );
    assert!(loaded.closed.is_empty() && loaded.unread.is_empty());
    for layer in &layers {
        let text = rendered(&loaded, layer);
        if layer.origin.path.contains("warned") {
            golden(&expected_path("good", layer), &text);
        } else {
            assert_eq!(text, "", "{}", layer.origin.path);
        }
    }
    golden(
        &here().join("testdata/good/config.expected"),
        &format!("{:#?}\n", loaded.config),
    );
}

#[test]
fn the_reference_is_what_the_table_says() {
    let docs = here().join("../docs");
    golden(&docs.join("config.md"), &reference::markdown());
    golden(&docs.join("config.schema.json"), &reference::json_schema());
}

/// A small generator of our own: the same changes in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

const SPLINTERS: [&str; 24] = [
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "#",
    "\n",
    "\r\n",
    "\\",
    "\0",
    "\u{202e}",
    "é",
    "claims",
    "99999999999999999999",
    "true",
    "\u{feff}",
];

fn mutate(text: &str, dice: &mut Dice) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(3) {
        let at = dice.below(text.len() + 1);
        let to = (at + dice.below(12)).min(text.len());
        match dice.below(4) {
            0 => drop(text.drain(at..to)),
            1 => drop(text.splice(at..at, SPLINTERS[dice.below(SPLINTERS.len())].chars())),
            2 => text.truncate(at),
            _ => {
                let again: Vec<char> = text[at..to].to_vec();
                let there = dice.below(text.len() + 1);
                drop(text.splice(there..there, again));
            }
        }
    }
    text.into_iter().collect()
}

#[test]
fn no_change_of_a_file_makes_loading_or_showing_panic() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for name in ["good", "bad"] {
        for mut layer in tree(name) {
            let original = layer.text.clone();
            for _ in 0..400 {
                layer.text = mutate(&original, &mut dice);
                let layers = [layer.clone()];
                let loaded = load(&layers);
                for found in &loaded.diagnostics {
                    let shown = found.render(&layer.text, Colour::Plain);
                    assert!(shown.ends_with('\n') && !shown.contains('\0'));
                    assert_eq!(found.span.is_some(), found.line > 0 && found.column > 0);
                }
            }
        }
    }
}

#[test]
fn a_secret_file_that_is_cut_short_shows_nothing() {
    for mut layer in tree("bad") {
        let original = layer.text.clone();
        if !original.contains("hunter2") {
            continue;
        }
        for (cut, _) in original.char_indices() {
            original[..cut].clone_into(&mut layer.text);
            let text = rendered(&load(&[layer.clone()]), &layer);
            assert!(!text.contains("hunter"), "{text}");
        }
    }
}

#[test]
fn one_stray_character_never_frees_a_claim() {
    let office = tree("good")
        .into_iter()
        .find(|layer| layer.origin.path.contains("office"))
        .unwrap();
    let claim = "corp.test".parse().unwrap();
    let edges = office
        .text
        .match_indices('\n')
        .flat_map(|(at, _)| [at, at + 1]);
    for at in edges {
        for stray in [
            "\"", "'", "\"\"\"", "[", "]", "[[", "=", "{", "}", ",", ".", "x", "\\",
        ] {
            let mut layer = office.clone();
            layer.text.insert_str(at, stray);
            let loaded = load(&[layer.clone()]);
            let is_held = loaded
                .config
                .profiles
                .values()
                .any(|profile| profile.dns.claims.contains(&claim));
            assert!(is_held, "{}", layer.text);
        }
    }
    let claimed_from = office.text.find("\"corp.test\"").unwrap() + "\"corp.test\"".len();
    for cut in claimed_from..office.text.len() {
        let mut layer = office.clone();
        layer.text.truncate(cut);
        let loaded = load(&[layer]);
        assert_eq!(loaded.config.profiles.len(), 1, "{cut}");
    }
}
