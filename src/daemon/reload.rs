//! What do the configuration's files come to? [`understand`]: texts in, a [`Config`] and all diagnostics out.
//!
//! Reads no file: [`linnet::config_dirs`] does. What a broken file must not do is decided here: a broken main file leaves
//! the old configuration in force, and a broken profile its old form, so that no claim is let go by a typing mistake.

use std::collections::BTreeSet;

use config::Config;
use config::diagnostic::{Diagnostic, Severity};
use config::layer::{LayerKind, Loaded};
use config::model::ProfileId;
use linnet::config_dirs::ConfigText;

/// What came of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Understood {
    /// The configuration to put in force.
    pub(crate) config: Config,
    /// Whether it is the new one; false when the old one had to stay.
    pub(crate) applied: bool,
    /// All that is wrong, file by file.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Understood {
    /// Whether any file has an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|found| found.severity == Severity::Error)
    }
}

/// Understands the files; `old` is the configuration in force, if there is one.
pub(crate) fn understand(texts: &[ConfigText], old: Option<&Config>) -> Understood {
    let mut layers = Vec::with_capacity(texts.len());
    let mut unreadable = Vec::new();
    let mut main_unreadable = false;
    let mut unread = BTreeSet::new();
    for text in texts {
        match text.layer() {
            (layer, None) => layers.push(layer),
            (layer, Some(found)) => {
                match layer.kind {
                    LayerKind::Main => main_unreadable = true,
                    LayerKind::Profile(id) => {
                        unread.insert(id);
                    }
                    LayerKind::DropIn(_) => {}
                }
                unreadable.push(found);
            }
        }
    }
    let Loaded {
        mut config,
        mut diagnostics,
        main_broken,
        closed: _,
        unread: half_read,
    } = config::load(&layers);
    diagnostics.extend(unreadable);
    unread.extend(half_read);
    match old {
        Some(old) if main_broken || main_unreadable => Understood {
            config: old.clone(),
            applied: false,
            diagnostics,
        },
        Some(old) => {
            keep(&unread, old, &mut config);
            Understood {
                config,
                applied: true,
                diagnostics,
            }
        }
        None => Understood {
            config,
            applied: true,
            diagnostics,
        },
    }
}

/// Makes the configuration out of its files for the helper, what is wrong left out.
pub(crate) fn config_of(texts: &[ConfigText]) -> Config {
    understand(texts, None).config
}

fn keep(unread: &BTreeSet<ProfileId>, old: &Config, config: &mut Config) {
    for id in unread {
        if let Some(profile) = old.profiles.get(id) {
            config.profiles.insert(id.clone(), profile.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use linnet::config_dirs::{self, Kind};

    use super::*;

    fn file(kind: Kind, path: &str, text: Result<&str, &str>) -> ConfigText {
        ConfigText {
            rank: config_dirs::Rank::Admin,
            kind,
            path: path.into(),
            text: text.map(str::to_owned).map_err(str::to_owned),
        }
    }

    const OFFICE: &str = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\n";

    fn good() -> Config {
        let main = file(
            Kind::Main,
            "/e/linnet.toml",
            Ok("[resolver]\nsearch = [\"home.test\"]\n"),
        );
        let office = file(Kind::Profile, "/e/profiles/office.toml", Ok(OFFICE));
        let understood = understand(&[main, office], None);
        assert_eq!(understood.diagnostics, []);
        understood.config
    }

    #[test]
    fn a_broken_or_unreadable_main_file_leaves_the_old_configuration_in_force() {
        let old = good();
        for text in [Ok("[resolver\n"), Err("permission denied")] {
            let understood = understand(&[file(Kind::Main, "/e/linnet.toml", text)], Some(&old));
            assert!(!understood.applied && understood.has_errors(), "{text:?}");
            assert_eq!(understood.config, old, "{text:?}");
            assert_eq!(&*understood.diagnostics[0].file, "/e/linnet.toml");
        }
    }

    #[test]
    fn a_profile_that_cannot_be_read_keeps_its_old_form() {
        let old = good();
        for text in [Ok("[dns\n"), Err("permission denied")] {
            let profile = file(Kind::Profile, "/e/profiles/office.toml", text);
            let understood = understand(&[profile], Some(&old));
            assert!(understood.applied && understood.has_errors(), "{text:?}");
            assert_eq!(understood.config.profiles, old.profiles, "{text:?}");
        }
    }

    #[test]
    fn a_profile_that_is_gone_is_gone() {
        assert!(understand(&[], Some(&good())).config.profiles.is_empty());
    }

    #[test]
    fn a_broken_drop_in_leaves_the_rest() {
        let broken = file(
            Kind::DropIn,
            "/e/conf.d/10-x.toml",
            Ok("[resolver]\nlissen = []\n"),
        );
        let office = file(Kind::Profile, "/e/profiles/office.toml", Ok(OFFICE));
        let understood = understand(&[broken, office], None);
        assert!(understood.applied && understood.has_errors());
        assert_eq!(understood.config.profiles.len(), 1);
    }
}
