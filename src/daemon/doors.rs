//! Which listeners are to be open, with which certificates? From the configuration and the files that it names.
//!
//! The files are read by whoever may ([`crate::helper`]), every time the configuration is; what is wrong with one costs its
//! listener the certificate, and nobody else anything.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use config::Config;
use config::model::ListenerConfig;
use linnet::api::ListenerStatus;
use linnet::config_dirs::ADMIN_DIR;
use resolver_io::listeners::{Board, KeyTexts, KeysError, Listener, Tls, server_config};

use crate::helper::KeeperError;

/// The longest certificate or key file that is read, in bytes.
const MAX_KEY_FILE: u64 = 256 << 10;
/// What others may do with a file.
const OTHERS: u32 = 0o007;

/// A certificate or key file that the configuration names.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct KeyFile {
    /// Its path, as the configuration writes it.
    pub(crate) path: String,
    /// What it says, or why it cannot be used, in words.
    pub(crate) text: Result<String, String>,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text.as_ref().map(|_| "***");
        f.debug_struct("KeyFile")
            .field("path", &self.path)
            .field("text", &text)
            .finish()
    }
}

/// Whether a configuration needs files for its listeners.
pub(crate) fn needs_files(config: &Config) -> bool {
    listeners(config).any(|listener| listener.transport.is_encrypted())
}

/// Reads the files that the listeners need; a path that is not absolute begins at the administrator's configuration.
pub(crate) fn read_files(config: &Config, config_dir: Option<&Path>) -> Vec<KeyFile> {
    let base = config_dir.unwrap_or_else(|| Path::new(ADMIN_DIR));
    let mut files: BTreeMap<&str, Result<String, String>> = BTreeMap::new();
    for listener in listeners(config) {
        let parts = [(&listener.certificate, false), (&listener.key, true)];
        for (path, is_secret) in parts {
            if let Some(path) = path {
                let text = read(&base.join(&**path), is_secret, MAX_KEY_FILE);
                // A file that is both must be a secret.
                if is_secret || !files.contains_key(&**path) {
                    files.insert(path, text);
                }
            }
        }
    }
    files
        .into_iter()
        .map(|(path, text)| KeyFile {
            path: path.to_owned(),
            text,
        })
        .collect()
}

/// Makes the listeners of a configuration; `files` are those that they need.
pub(crate) fn wanted(config: &Config, files: &Result<Vec<KeyFile>, KeeperError>) -> Vec<Listener> {
    listeners(config)
        .map(|listener| Listener {
            config: listener.clone(),
            tls: listener
                .transport
                .is_encrypted()
                .then(|| tls(listener, files)),
        })
        .collect()
}

/// Tells how the listeners are doing.
pub(crate) fn status(board: &Board) -> Vec<ListenerStatus> {
    let status = board.status().into_iter();
    status
        .map(|one| ListenerStatus {
            place: one.place,
            stub: one.stub.to_owned(),
            state: one.state,
            queries: one.queries,
            strangers: one.strangers,
            limited: one.limited,
            refused: one.refused,
            malformed: one.malformed,
            reflective: one.reflective,
            connections: one.connections,
        })
        .collect()
}

fn listeners(config: &Config) -> impl Iterator<Item = &ListenerConfig> {
    let all = config.listeners.iter();
    all.filter(|_| config.resolver.enabled)
}

fn tls(
    listener: &ListenerConfig,
    files: &Result<Vec<KeyFile>, KeeperError>,
) -> Result<Tls, KeysError> {
    let files = match files {
        Ok(files) => files,
        Err(error) => return Err(KeysError::Unread(error.to_string().into())),
    };
    let find = |path: &Option<Arc<str>>| {
        let path = path.as_deref().unwrap_or_default();
        let found = files.iter().find(|file| file.path == path);
        match found.map(|file| &file.text) {
            Some(Ok(text)) => Ok(text.as_str()),
            Some(Err(why)) => Err(KeysError::Unread(why.as_str().into())),
            None => Err(KeysError::Unread(format!("{path} was not read").into())),
        }
    };
    let texts = KeyTexts {
        certificate: (
            listener.certificate.as_deref().unwrap_or_default(),
            find(&listener.certificate)?,
        ),
        key: (
            listener.key.as_deref().unwrap_or_default(),
            find(&listener.key)?,
        ),
    };
    server_config(texts, listener.transport)
}

/// Reads a file of at most `longest` octets; one that is secret must not be open to everybody.
pub(crate) fn read(path: &Path, is_secret: bool, longest: u64) -> Result<String, String> {
    use std::io::Read as _;

    let shown = path.display();
    let failed = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    // A FIFO must not make anybody wait.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = std::fs::File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    if is_secret && metadata.mode() & OTHERS != 0 {
        return Err(format!(
            "the private key {shown} is open to everybody and is not used: chmod o= {shown}, and have a new key made if others could read it"
        ));
    }
    // With room for all of it, so that no part is left behind where it stood first.
    let room = usize::try_from(metadata.len().min(longest) + 1).unwrap_or(0);
    let mut text = String::with_capacity(room);
    file.take(longest + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > longest {
        return Err(format!("{shown} is longer than {} KiB", longest >> 10));
    }
    Ok(text)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the files that are read are made here"
)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_not_used_and_the_message_says_what_to_do() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key.pem");
        std::fs::write(&path, "text").unwrap();
        for (mode, is_secret, good) in [
            (0o600, true, true),
            (0o640, true, true),
            (0o644, true, false),
            (0o601, true, false),
            (0o644, false, true),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let text = read(&path, is_secret, MAX_KEY_FILE);
            assert_eq!(text.is_ok(), good, "{mode:o}");
            if let Err(why) = text {
                assert!(
                    why.contains("chmod o= ") && why.contains("key.pem"),
                    "{why}"
                );
            }
        }
        assert!(read(place.path(), false, MAX_KEY_FILE).is_err());
        assert!(read(&place.path().join("absent"), true, MAX_KEY_FILE).is_err());
    }

    #[test]
    fn files_are_never_shown() {
        let file = KeyFile {
            path: "key.pem".to_owned(),
            text: Ok("hunter2".to_owned()),
        };
        assert!(!format!("{file:?}").contains("hunter2"));
    }
}
