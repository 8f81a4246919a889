//! What do the files of blocked names say? Read by the daemon in the background, and by whoever checks the configuration.
//!
//! A path that is not absolute begins at the administrator's configuration directory. A file is read line by line and never
//! held whole. What its lines mean is `resolver`'s business.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use config::diagnostic::{Diagnostic, Severity};
use config::model::ListConfig;
use resolver::local::list::{Broken, List, ListReader, MAX_LINE};

use crate::config_dirs::ADMIN_DIR;

/// Octets read at once.
const READ_SIZE: usize = 64 << 10;

/// Returns where a list's file is; `config_dir` replaces the system's configuration.
pub fn path(config_dir: Option<&Path>, list: &ListConfig) -> PathBuf {
    let base = config_dir.unwrap_or_else(|| Path::new(ADMIN_DIR));
    base.join(&list.path)
}

/// Reads a list's file.
///
/// # Errors
/// What the kernel says; a line that does not read is no error of this kind.
pub fn read(path: &Path, list: &ListConfig) -> io::Result<List> {
    // A FIFO must not make a thread wait for ever.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut reader = ListReader::new(list);
    lines(BufReader::with_capacity(READ_SIZE, file), |line| {
        reader.line(line);
    })?;
    Ok(reader.finish())
}

/// Hands out lines; of one that is too long, as much as shows that it is.
fn lines(mut from: impl BufRead, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut held: Vec<u8> = Vec::new();
    loop {
        let chunk = from.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let piece = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        let used = piece.len() + usize::from(end.is_some());
        match (end, held.is_empty()) {
            (Some(_), true) => take(piece),
            (Some(_), false) => {
                hold(&mut held, piece);
                take(&held);
                held.clear();
            }
            (None, _) => hold(&mut held, piece),
        }
        from.consume(used);
    }
    if !held.is_empty() {
        take(&held);
    }
    Ok(())
}

fn hold(held: &mut Vec<u8>, piece: &[u8]) {
    let room = (MAX_LINE + 1).saturating_sub(held.len());
    held.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
}

/// Says what is wrong with a list's file, each finding with the line that it is about, for [`Diagnostic::render`].
pub fn findings(path: &Path, read: &io::Result<List>) -> Vec<(Diagnostic, String)> {
    let file = path.to_string_lossy();
    let whole = |severity, message: String, help: Option<&str>| {
        let found = Diagnostic {
            severity,
            file: file.as_ref().into(),
            line: 0,
            column: 0,
            message,
            help: help.map(str::to_owned),
            span: None,
        };
        (found, String::new())
    };
    let list = match read {
        Ok(list) => list,
        Err(error) => {
            let message = format!("the list cannot be read: {error}");
            let help =
                "linnetd reads it as its own user; until it can, the list blocks nothing new";
            return vec![whole(Severity::Error, message, Some(help))];
        }
    };
    let mut found: Vec<(Diagnostic, String)> = list
        .broken()
        .iter()
        .map(|broken| (line_finding(&file, broken), broken.text.clone()))
        .collect();
    let more = list.broken_lines() - u64::try_from(found.len()).unwrap_or(u64::MAX);
    if more > 0 {
        let message = format!("{more} more lines cannot be read");
        found.push(whole(Severity::Warning, message, None));
    }
    if list.is_empty() {
        let help = "is `format` the file's form?";
        let message = "there is no name in the list".to_owned();
        found.push(whole(Severity::Warning, message, Some(help)));
    }
    found
}

fn line_finding(file: &str, broken: &Broken) -> Diagnostic {
    let before = broken.text.get(..broken.part.start).unwrap_or_default();
    Diagnostic {
        severity: Severity::Warning,
        file: file.into(),
        line: usize::try_from(broken.line).unwrap_or(usize::MAX),
        column: before.chars().count() + 1,
        message: broken.why.clone(),
        help: None,
        span: Some(broken.part.clone()),
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the files that are read are made here"
)]
mod tests {
    use config::diagnostic::Colour;
    use config::model::{BlockError, ListFormat};

    use super::*;

    fn config() -> ListConfig {
        ListConfig {
            name: "ads".into(),
            path: "ads.txt".into(),
            format: ListFormat::Domains,
            action: None,
            subdomains: None,
            error: BlockError::Blocked,
            exceptions: Vec::new(),
            scopes: Vec::new(),
        }
    }

    #[test]
    fn a_list_is_read_relative_to_the_configuration_and_its_broken_lines_are_shown() {
        let place = tempfile::tempdir().unwrap();
        let path = path(Some(place.path()), &config());
        let missing = findings(&path, &read(&path, &config()));
        assert_eq!(missing[0].0.severity, Severity::Error);
        let long = "a".repeat(3 * MAX_LINE);
        std::fs::write(
            &path,
            format!("good.example\nno name\n{long}\nlast.example"),
        )
        .unwrap();
        let list = read(&path, &config());
        assert_eq!(list.as_ref().unwrap().len(), 2);
        let found = findings(&path, &list);
        assert_eq!(found.len(), 2);
        let shown = found[0].0.render(&found[0].1, Colour::Plain);
        assert!(shown.contains("ads.txt:2:4"), "{shown}");
        assert!(shown.contains("2 | no name\n  |    ^^^^"), "{shown}");
        assert_eq!(found[1].0.line, 3);
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        assert!(read(place.path(), &config()).is_err());
        assert!(read(Path::new("/dev/zero"), &config()).is_err());
    }

    #[test]
    fn lines_come_whole_whatever_the_pieces() {
        for size in 1..9 {
            let text: &[u8] = b"one\n\ntwo\r\nthree";
            let mut seen = Vec::new();
            lines(BufReader::with_capacity(size, text), |line| {
                seen.push(line.to_vec());
            })
            .unwrap();
            assert_eq!(seen, [&b"one"[..], b"", b"two\r", b"three"], "{size}");
        }
    }
}
