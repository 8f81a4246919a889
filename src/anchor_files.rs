//! Which files of trust anchors does the configuration name, and what do they say? Read by the daemon, and by whoever checks.
//!
//! A path that is not absolute begins at the administrator's configuration directory. Of a directory every file counts
//! that is not hidden; what cannot be read is an entry with the reason.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use config::diagnostic::{Diagnostic, Severity};
use dnssec::TrustAnchors;
use dnssec::anchors::parse_anchors;

use crate::config_dirs::{ADMIN_DIR, MAX_CONFIG_FILE, MAX_CONFIG_FILES};

/// What a bad anchor file comes to.
pub const ANCHORS_STAY: &str = "the anchors in force before stay in force until this is mended";

/// One anchor file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorText {
    /// Its path.
    pub path: PathBuf,
    /// What it says, or why it cannot be read, in words.
    pub text: Result<String, String>,
}

/// Returns where a path of the configuration leads.
pub fn place(config_dir: Option<&Path>, path: &str) -> PathBuf {
    config_dir
        .unwrap_or_else(|| Path::new(ADMIN_DIR))
        .join(path)
}

/// Reads the file, or the files of the directory, at `path`; `config_dir` replaces the system's configuration.
pub fn read(config_dir: Option<&Path>, path: &str) -> Vec<AnchorText> {
    let path = place(config_dir, path);
    let entry = |path: PathBuf, text: io::Result<String>| AnchorText {
        path,
        text: text.map_err(|error| error.to_string()),
    };
    let paths = match list(&path) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => vec![path],
        Err(error) => return vec![entry(path, Err(error))],
    };
    let paths = paths.into_iter();
    paths
        .map(|path| {
            let text = text(&path);
            entry(path, text)
        })
        .collect()
}

/// Makes anchors of files; an error among the findings means that they must not be used.
pub fn understand(texts: &[AnchorText]) -> (TrustAnchors, Vec<Diagnostic>) {
    let mut anchors = TrustAnchors::empty();
    let mut findings = Vec::new();
    for AnchorText { path, text } in texts {
        let mut find = |severity, line, message: String, help: Option<&str>| {
            findings.push(Diagnostic {
                severity,
                file: path.to_string_lossy().into(),
                line,
                column: 0,
                message,
                help: help.map(str::to_owned),
                span: None,
            });
        };
        match text {
            Ok(text) => {
                let parsed = parse_anchors(text);
                for found in parsed.diagnostics {
                    let message = found.problem.to_string();
                    find(Severity::Error, found.line, message, Some(ANCHORS_STAY));
                }
                for (owner, anchor) in parsed.anchors {
                    anchors.add(&owner, anchor);
                }
            }
            Err(why) => {
                let message = format!("cannot be read: {why}");
                find(Severity::Error, 0, message, Some(ANCHORS_STAY));
            }
        }
    }
    let about = texts.first().map_or_else(
        || "trust-anchors".into(),
        |text| text.path.to_string_lossy().into(),
    );
    let (severity, message, help) = if anchors.points().next().is_none() {
        (
            Severity::Error,
            "there is no trust anchor in it",
            ANCHORS_STAY,
        )
    } else if anchors.points().all(|(owner, _)| !owner.is_root()) {
        let message =
            "no trust anchor is for the root: names outside of the anchors are not validated";
        (Severity::Warning, message, "add the root's DS records")
    } else {
        return (anchors, findings);
    };
    if findings.is_empty() {
        findings.push(Diagnostic {
            severity,
            file: about,
            line: 0,
            column: 0,
            message: message.to_owned(),
            help: Some(help.to_owned()),
            span: None,
        });
    }
    (anchors, findings)
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
        if paths.len() > MAX_CONFIG_FILES {
            return Err(io::Error::other("there are too many files"));
        }
    }
    if paths.is_empty() {
        return Err(io::Error::other("the directory is empty"));
    }
    paths.sort();
    Ok(paths)
}

fn text(path: &Path) -> io::Result<String> {
    // A FIFO must not make the daemon wait.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    if file.take(MAX_CONFIG_FILE + 1).read_to_end(&mut bytes)? as u64 > MAX_CONFIG_FILE {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the files that are read are made here"
)]
mod tests {
    use super::*;

    fn names(texts: &[AnchorText]) -> Vec<(String, bool)> {
        let name = |text: &AnchorText| {
            text.path
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        };
        texts
            .iter()
            .map(|text| (name(text), text.text.is_ok()))
            .collect()
    }

    #[test]
    fn a_file_and_all_files_of_a_directory_are_read_relative_to_the_configuration() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("trust-anchors.d");
        fs::create_dir_all(directory.join("below")).unwrap();
        for name in ["b.key", "a.ds", ".hidden"] {
            fs::write(directory.join(name), "x").unwrap();
        }
        fs::write(place.path().join("root.key"), "text").unwrap();
        let base = Some(place.path());
        let row = |name: &str, reads: bool| (name.to_owned(), reads);
        assert_eq!(
            names(&read(base, "trust-anchors.d")),
            [row("a.ds", true), row("b.key", true), row("below", false)]
        );
        assert_eq!(read(base, "root.key")[0].text, Ok("text".to_owned()));
        let whole = directory.join("a.ds");
        assert_eq!(
            names(&read(None, &whole.to_string_lossy())),
            [row("a.ds", true)]
        );
        assert_eq!(names(&read(base, "absent")), [row("absent", false)]);
        assert_eq!(
            names(&read(base, "trust-anchors.d/below")),
            [row("below", false)]
        );
    }
}
