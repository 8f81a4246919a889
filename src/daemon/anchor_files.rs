//! Which files of trust anchors does the configuration name, and what do they say? Reads; understands nothing.
//!
//! A path that is not absolute begins at the administrator's configuration directory. Of a directory every file counts
//! that is not hidden; what cannot be read is an entry with the reason.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use linnet::config_dirs::{ADMIN_DIR, MAX_CONFIG_FILE, MAX_CONFIG_FILES};

use crate::trust::AnchorText;

/// Reads the file, or the files of the directory, at `path`; `config_dir` replaces the system's configuration.
pub(crate) fn read(config_dir: Option<&Path>, path: &str) -> Vec<AnchorText> {
    let base = config_dir.unwrap_or_else(|| Path::new(ADMIN_DIR));
    let path = base.join(path);
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
