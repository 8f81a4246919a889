//! Which files have the keys of the links that profiles make, and what do they say? Read by whoever may ([`crate::helper`]).
//!
//! A key goes from its file to the kernel and is kept nowhere: what held it on its way is overwritten. It is read again when a
//! link is set again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Config;
use config::model::{Secret, SecretSource, VirtualLink};
use linkmgr::kinds::macsec::Key;
use zeroize::Zeroize as _;

use crate::doors;
use crate::helper::KeeperError;
use crate::store;

/// The longest key file that is read, in bytes: a key has 44, and may have a comment's worth of white space.
const MAX_KEY_FILE: u64 = 4 << 10;

/// The longest file of marks that is read, in bytes, and the most marks that are kept in one.
const MAX_MARK_FILE: u64 = 16 << 10;
const MAX_MARKS: usize = 256;

/// A key file that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct LinkKey {
    /// Its path, as the configuration writes it.
    pub(crate) path: String,
    /// What it says, or why it cannot be used, in words.
    pub(crate) text: Result<KeyText, String>,
    /// The ids of the keys that were marked beside it as used, a line each.
    #[serde(default)]
    pub(crate) used: String,
}

/// A text that nobody is shown, and that is overwritten when it is let go of.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct KeyText(pub(crate) String);

impl Drop for KeyText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads the files that the links of a configuration need.
pub(crate) fn read_files(config: &Config) -> Vec<LinkKey> {
    let links = config.profiles.values().filter_map(|it| it.link.as_ref());
    let paths: BTreeSet<&Arc<str>> = links.flat_map(VirtualLink::key_files).collect();
    let senders: BTreeSet<&Arc<str>> = senders(config).collect();
    let read = |path: &&Arc<str>| {
        let text = doors::read(Path::new(&***path), true, MAX_KEY_FILE).map(KeyText);
        let used = match senders.contains(path) {
            true => read_marks(path),
            false => Ok(String::new()),
        };
        let (text, used) = match used {
            Ok(used) => (text, used),
            // What cannot be read may say that it was used.
            Err(why) => (Err(why), String::new()),
        };
        LinkKey {
            path: path.to_string(),
            text,
            used,
        }
    };
    paths.iter().map(read).collect()
}

/// Returns the files with keys that send, and whose packet numbers must not come again.
fn senders(config: &Config) -> impl Iterator<Item = &Arc<str>> {
    let links = config.profiles.values().filter_map(|it| it.link.as_ref());
    let settings = links.filter_map(|link| link.macsec.as_ref());
    settings.filter_map(|settings| Some(&settings.sends.as_ref()?.key_file))
}

/// Returns the file beside a key file that says which keys of it were used. It is no part of the state directory: when that is
/// lost, it tells that a key is not new.
fn mark_file(path: &str) -> PathBuf {
    PathBuf::from(format!("{path}.used"))
}

fn read_marks(path: &str) -> Result<String, String> {
    let file = mark_file(path);
    match file.try_exists() {
        Ok(false) => Ok(String::new()),
        Ok(true) | Err(_) => doors::read(&file, false, MAX_MARK_FILE),
    }
}

/// Marks the keys in these files as used, as far as the configuration has them send.
///
/// # Errors
/// What could not be marked, and why.
pub(crate) fn mark(config: &Config, paths: &[String]) -> Vec<String> {
    let mut troubles = Vec::new();
    for path in senders(config).filter(|path| paths.iter().any(|one| **one == ***path)) {
        if let Err(why) = mark_one(path) {
            troubles.push(format!(
                "the key in {path} cannot be marked as used, and is not: {why}"
            ));
        }
    }
    troubles
}

fn mark_one(path: &str) -> Result<(), String> {
    let text = doors::read(Path::new(path), true, MAX_KEY_FILE).map(KeyText)?;
    let id = Key::of_hex(&text.0).ok_or("it is no key")?.id().to_string();
    let marks = read_marks(path)?;
    let mut lines: Vec<&str> = marks.lines().filter(|line| **line != *id).collect();
    lines.push(&id);
    let beyond = lines.len().saturating_sub(MAX_MARKS);
    let text = lines.split_off(beyond).join("\n") + "\n";
    store::write(&mark_file(path), &text).map_err(|error| error.to_string())
}

/// The keys of links by their files, on their way to the kernel.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_file: BTreeMap<Arc<str>, Result<KeyAndMarks, Arc<str>>>,
    are_unread: bool,
}

/// What a file says, and which keys of it were used.
#[derive(Debug)]
struct KeyAndMarks {
    text: KeyText,
    used: String,
}

impl Keys {
    /// Takes what was read; when nothing could be, every key that is asked for is missing for that reason.
    pub(crate) fn of(files: Result<Vec<LinkKey>, KeeperError>, wanted: &[VirtualLink]) -> Self {
        let mut keys = BTreeMap::new();
        let are_unread = match &files {
            // Nobody reads them any more.
            Ok(_) | Err(KeeperError::Gone) => false,
            Err(_) => true,
        };
        match files {
            Ok(files) => {
                for LinkKey { path, text, used } in files {
                    let key = text.map_err(Arc::from);
                    keys.insert(path.into(), key.map(|text| KeyAndMarks { text, used }));
                }
            }
            Err(error) => {
                let why: Arc<str> = error.to_string().into();
                for path in wanted.iter().flat_map(VirtualLink::key_files) {
                    keys.insert(path.clone(), Err(why.clone()));
                }
            }
        }
        Self {
            by_file: keys,
            are_unread,
        }
    }

    /// Whether whoever reads the files could not do so, and may the next time.
    pub(crate) const fn are_unread(&self) -> bool {
        self.are_unread
    }

    /// Returns a key.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn find(&self, source: &SecretSource) -> Result<Secret, Arc<str>> {
        match source {
            SecretSource::Said(secret) => Ok(secret.clone()),
            SecretSource::File(path) => Secret::of_base64(&self.text(path)?.text.0).ok_or_else(|| {
                format!("{path} has no key: it should have 44 characters, as `wg genkey` writes them").into()
            }),
        }
    }

    /// Returns the key of an association, and whether it is marked as used.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn find_association(&self, path: &Arc<str>) -> Result<(Key, bool), Arc<str>> {
        let KeyAndMarks { text, used } = self.text(path)?;
        let key = Key::of_hex(&text.0).ok_or_else(|| {
            Arc::from(format!("{path} has no key: it should have 32 or 64 hexadecimal digits, as `openssl rand -hex 16` or `-hex 32` writes them"))
        })?;
        let id = key.id().to_string();
        let is_marked = used.lines().any(|line| line == id);
        Ok((key, is_marked))
    }

    fn text(&self, path: &Arc<str>) -> Result<&KeyAndMarks, Arc<str>> {
        match self.by_file.get(path) {
            Some(Ok(key)) => Ok(key),
            Some(Err(why)) => Err(Arc::clone(why)),
            None => Err(format!("{path} was not read").into()),
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the files that are read are made here"
)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use linnet::config_dirs::{ConfigText, Kind, Rank};

    use super::*;
    use crate::reload;

    const KEY: &str = "rn0Q/v8ArM2bP17o/5NVl1d13GjF00Oq5a1fUqJdCkA=";

    fn config(key: &Path, preshared: &Path) -> Config {
        let text = format!(
            "[link]\nname = \"wg0\"\nkind = \"wireguard\"\nprivate-key-file = \"{}\"\n[[peers]]\n\
             public-key = \"M7O3sJJdILHWfX96PHoUQ/V35lOeI27CTI7FnxLgABU=\"\npreshared-key-file = \"{}\"\n",
            key.display(),
            preshared.display()
        );
        let text = ConfigText {
            rank: Rank::Admin,
            kind: Kind::Profile,
            path: "/e/profiles/wg0.toml".into(),
            text: Ok(text),
        };
        reload::config_of(vec![text])
    }

    #[test]
    fn keys_are_read_where_nobody_else_may_and_told_by_what_is_wrong_otherwise() {
        let place = tempfile::tempdir().unwrap();
        let (good, open) = (place.path().join("good"), place.path().join("open"));
        for (path, mode) in [(&good, 0o600), (&open, 0o644)] {
            std::fs::write(path, format!("{KEY}\n")).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let config = config(&good, &open);
        let keys = Keys::of(Ok(read_files(&config)), &[]);
        let source = |path: &Path| SecretSource::File(path.display().to_string().into());
        assert_eq!(
            keys.find(&source(&good)),
            Ok(Secret::of_base64(KEY).unwrap())
        );
        let why = keys.find(&source(&open)).unwrap_err();
        assert!(
            why.contains("open to everybody") && why.contains("chmod"),
            "{why}"
        );
        assert!(keys.find(&source(&place.path().join("other"))).is_err());
        std::fs::write(&good, "hunter2").unwrap();
        let keys = Keys::of(Ok(read_files(&config)), &[]);
        let why = keys.find(&source(&good)).unwrap_err();
        assert!(
            why.contains("wg genkey") && !why.contains("hunter2"),
            "{why}"
        );
        let links: Vec<VirtualLink> = config
            .profiles
            .values()
            .filter_map(|it| it.link.clone())
            .collect();
        let keys = Keys::of(Err(KeeperError::Gone), &links);
        assert!(keys.find(&source(&good)).unwrap_err().contains("helper"));
    }

    #[test]
    fn keys_are_never_shown() {
        let key = LinkKey {
            path: "wg0.key".to_owned(),
            text: Ok(KeyText("hunter2".to_owned())),
            used: String::new(),
        };
        assert!(!format!("{key:?}").contains("hunter2"));
        let keys = Keys::of(Ok(vec![key]), &[]);
        assert!(!format!("{keys:?}").contains("hunter2"));
    }

    #[test]
    fn a_key_that_sends_is_marked_beside_its_file_and_one_that_takes_its_place_is_not() {
        let place = tempfile::tempdir().unwrap();
        let (own, other) = (place.path().join("own"), place.path().join("other"));
        let write = |path: &Path, digit: &str| {
            std::fs::write(path, digit.repeat(32)).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        write(&own, "1");
        write(&other, "2");
        let text = format!(
            "[link]\nname = \"secure0\"\nkind = \"macsec\"\nparent = \"eth0\"\n[[associations]]\nkey-file = \"{}\"\n\
             [[associations]]\nfrom = \"02:00:00:00:00:02\"\nkey-file = \"{}\"\n",
            own.display(),
            other.display()
        );
        let config = reload::config_of(vec![ConfigText {
            rank: Rank::Admin,
            kind: Kind::Profile,
            path: "/e/profiles/secure0.toml".into(),
            text: Ok(text),
        }]);
        let path: Arc<str> = own.display().to_string().into();
        let is_marked = || {
            let keys = Keys::of(Ok(read_files(&config)), &[]);
            keys.find_association(&path).unwrap().1
        };
        assert!(!is_marked());
        let all = [&own, &other].map(|path| path.display().to_string());
        assert_eq!(mark(&config, &all), Vec::<String>::new());
        assert!(is_marked());
        assert!(
            !place.path().join("other.used").exists(),
            "it sends nothing"
        );
        write(&own, "3");
        assert!(!is_marked());
        mark(&config, &all);
        write(&own, "1");
        assert!(is_marked(), "what was used once is never new again");
        let stranger = place.path().join("stranger").display().to_string();
        assert_eq!(mark(&config, &[stranger]), Vec::<String>::new());
        write(&own, "x");
        assert!(mark(&config, &all)[0].contains("no key"));
        let keys = Keys::of(Ok(read_files(&config)), &[]);
        let why = keys.find_association(&path).unwrap_err();
        assert!(why.contains("openssl") && !why.contains("xx"), "{why}");
    }
}
