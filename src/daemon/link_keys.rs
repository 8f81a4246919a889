//! Which files have the keys of the links that profiles make, and what do they say? Read by whoever may ([`crate::helper`]).
//!
//! A key goes from its file to the kernel and is kept nowhere: what held it on its way is overwritten. It is read again when a
//! link is set again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use config::Config;
use config::model::{Secret, SecretSource, VirtualLink};
use zeroize::Zeroize as _;

use crate::doors;
use crate::helper::KeeperError;

/// The longest key file that is read, in bytes: a key has 44, and may have a comment's worth of white space.
const MAX_KEY_FILE: u64 = 4 << 10;

/// A key file that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct LinkKey {
    /// Its path, as the configuration writes it.
    pub(crate) path: String,
    /// What it says, or why it cannot be used, in words.
    pub(crate) text: Result<KeyText, String>,
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
    let read = |path: &&Arc<str>| LinkKey {
        path: path.to_string(),
        text: doors::read(Path::new(&***path), true, MAX_KEY_FILE).map(KeyText),
    };
    paths.iter().map(read).collect()
}

/// The keys of links by their files, on their way to the kernel.
#[derive(Debug, Default)]
pub(crate) struct Keys(BTreeMap<Arc<str>, Result<Secret, Arc<str>>>);

impl Keys {
    /// Takes what was read; when nothing could be, every key that is asked for is missing for that reason.
    pub(crate) fn of(files: Result<Vec<LinkKey>, KeeperError>, wanted: &[VirtualLink]) -> Self {
        let mut keys = BTreeMap::new();
        match files {
            Ok(files) => {
                for LinkKey { path, text } in files {
                    let key = text.map_err(Arc::from).and_then(|text| {
                        Secret::of_base64(&text.0).ok_or_else(|| {
                            format!("{path} has no key: it should have 44 characters, as `wg genkey` writes them").into()
                        })
                    });
                    keys.insert(path.into(), key);
                }
            }
            Err(error) => {
                let why: Arc<str> = error.to_string().into();
                for path in wanted.iter().flat_map(VirtualLink::key_files) {
                    keys.insert(path.clone(), Err(why.clone()));
                }
            }
        }
        Self(keys)
    }

    /// Returns a key.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn find(&self, source: &SecretSource) -> Result<Secret, Arc<str>> {
        match source {
            SecretSource::Said(secret) => Ok(secret.clone()),
            SecretSource::File(path) => match self.0.get(path) {
                Some(key) => key.clone(),
                None => Err(format!("{path} was not read").into()),
            },
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
        };
        assert!(!format!("{key:?}").contains("hunter2"));
        let keys = Keys(BTreeMap::from([("f".into(), Ok(Secret([77; 32])))]));
        assert!(!format!("{keys:?}").contains("77"));
    }
}
