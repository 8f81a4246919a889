//! What do the configuration's files come to? [`understand`]: texts in, a [`Config`] and all diagnostics out.
//!
//! Reads no file: [`linnet::config_dirs`] does. What a broken file must not do is decided here: a broken main file leaves
//! the old configuration in force, and a broken profile its old form, so that no claim is let go by a typing mistake.

use std::collections::{BTreeMap, BTreeSet};

use config::Config;
use config::diagnostic::{Diagnostic, Severity};
use config::layer::{Layer, LayerKind, Loaded};
use config::model::{DnsSettings, NetworkSettings, Profile, ProfileId};
use linnet::config_dirs::ConfigText;
use policy::Facts;

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

/// The files of a configuration, in their order.
#[derive(Debug, Default)]
pub(crate) struct Files {
    layers: Vec<Layer>,
    unreadable: Vec<Diagnostic>,
    main_unreadable: bool,
    unread: BTreeSet<ProfileId>,
}

impl Files {
    /// Takes the files apart.
    pub(crate) fn of(texts: Vec<ConfigText>) -> Self {
        let mut files = Self::default();
        for text in texts {
            match text.into_layer() {
                (layer, None) => files.layers.push(layer),
                (layer, Some(found)) => {
                    match layer.kind {
                        LayerKind::Main => files.main_unreadable = true,
                        LayerKind::Profile(id) => {
                            files.unread.insert(id);
                        }
                        LayerKind::DropIn(_) => {}
                    }
                    files.unreadable.push(found);
                }
            }
        }
        files
    }
}

/// Understands the files; `old` is the configuration in force, if there is one.
pub(crate) fn understand(texts: Vec<ConfigText>, old: Option<&Config>) -> Understood {
    understand_files(&Files::of(texts), old)
}

/// Understands the files, which are kept for a second look.
pub(crate) fn understand_files(files: &Files, old: Option<&Config>) -> Understood {
    let Files {
        layers,
        unreadable,
        main_unreadable,
        unread,
    } = files;
    let mut unread = unread.clone();
    let Loaded {
        mut config,
        mut diagnostics,
        main_broken,
        closed: _,
        unread: half_read,
    } = config::load(layers);
    diagnostics.extend(unreadable.iter().cloned());
    config
        .broken
        .extend(unread.iter().map(|id| (id.clone(), None)));
    unread.extend(half_read);
    match old {
        Some(old) if main_broken || *main_unreadable => Understood {
            config: old.clone(),
            applied: false,
            diagnostics,
        },
        Some(old) => {
            keep(&unread, old, &mut config);
            keep_links(old, &mut config);
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

/// Refuses profiles that are new, or others than before, whose addresses or routes could be on several of the links that are
/// there: which of them is meant, nobody said. A link that comes later changes nothing.
pub(crate) fn refuse_ambiguous(
    understood: &mut Understood,
    files: &Files,
    old: &Config,
    facts: &Facts,
) {
    if !understood.applied {
        return;
    }
    let config = &understood.config;
    let governed = policy::governed(config, facts);
    let mut names_by_profile: BTreeMap<&ProfileId, Vec<&str>> = BTreeMap::new();
    for (link, id) in &governed {
        if let Some(link) = facts.links.get(link) {
            names_by_profile.entry(id).or_default().push(&link.name);
        }
    }
    let mut refused = Vec::new();
    for (id, profile) in &config.profiles {
        let network = &profile.network;
        let is_fixed = !network.addresses.is_empty() || !network.routes.is_empty();
        let is_as_before = old.profiles.get(id) == Some(profile) && !old.broken.contains_key(id);
        if !is_fixed || is_as_before || config.broken.contains_key(id) {
            continue;
        }
        let names = names_by_profile.get(id).map_or(&[][..], Vec::as_slice);
        if let [first, _, ..] = names {
            let found = ambiguous(id, first, names, &files.layers);
            refused.push((id.clone(), profile.matches.clone(), found));
        }
    }
    for (id, matches, found) in refused {
        understood.config.broken.insert(id, matches);
        understood.diagnostics.push(found);
    }
    let config = &mut understood.config;
    keep_links(old, config);
    for id in config.broken.keys() {
        // What is refused must not be taken for what was there the next time.
        if let Some(profile) = config.profiles.get_mut(id) {
            profile.network = NetworkSettings::default();
            profile.link = None;
        }
    }
}

fn ambiguous(id: &ProfileId, first: &str, names: &[&str], layers: &[Layer]) -> Diagnostic {
    let is_it = |layer: &&Layer| matches!(&layer.kind, LayerKind::Profile(of) if *of == *id);
    let file = layers.iter().rev().find(is_it);
    let said = file.map(|file| &*file.text);
    let says_match = |line: &str| {
        line.trim_start()
            .trim_start_matches('[')
            .starts_with("match")
    };
    let line = said.and_then(|said| said.lines().position(says_match));
    let path = file.map(|file| file.origin.path.clone());
    Diagnostic {
        severity: Severity::Error,
        file: path.unwrap_or_else(|| id.0.clone()),
        line: line.map_or(0, |line| line + 1),
        column: usize::from(line.is_some()),
        message: format!(
            "the profile matches {}, and its addresses and routes can be on one link only",
            names.join(" and ")
        ),
        help: Some(format!(
            "name the link, as match = {{ name = \"{first}\" }}, and give each link a profile of its own"
        )),
        span: None,
    }
}

/// Makes the configuration out of its files for the helper, what is wrong left out.
pub(crate) fn config_of(texts: Vec<ConfigText>) -> Config {
    understand(texts, None).config
}

/// Lets links be as the old form of a broken profile wants them, so that no address goes by a typing mistake. Its names are
/// as the new one has left them.
fn keep_links(old: &Config, config: &mut Config) {
    let broken: Vec<ProfileId> = config.broken.keys().cloned().collect();
    for id in broken {
        let Some(before) = old.profiles.get(&id).filter(|before| before.touches()) else {
            continue;
        };
        let kept = config
            .profiles
            .entry(id.clone())
            .or_insert_with(|| Profile {
                dns: DnsSettings::default(),
                ..before.clone()
            });
        kept.matches.clone_from(&before.matches);
        kept.network.clone_from(&before.network);
        kept.link.clone_from(&before.link);
        config.broken.remove(&id);
    }
}

fn keep(unread: &BTreeSet<ProfileId>, old: &Config, config: &mut Config) {
    for id in unread {
        if let Some(profile) = old.profiles.get(id) {
            config.profiles.insert(id.clone(), profile.clone());
            config.broken.remove(id);
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
        let understood = understand(vec![main, office], None);
        assert_eq!(understood.diagnostics, []);
        understood.config
    }

    #[test]
    fn a_broken_or_unreadable_main_file_leaves_the_old_configuration_in_force() {
        let old = good();
        for text in [Ok("[resolver\n"), Err("permission denied")] {
            let understood = understand(vec![file(Kind::Main, "/e/linnet.toml", text)], Some(&old));
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
            let understood = understand(vec![profile], Some(&old));
            assert!(understood.applied && understood.has_errors(), "{text:?}");
            assert_eq!(understood.config.profiles, old.profiles, "{text:?}");
        }
    }

    #[test]
    fn a_mistake_in_a_profile_takes_nothing_from_its_links() {
        let text = |address: &str| {
            format!(
                "match = {{ name = \"eth0\" }}\naddresses = [{address}]\n[dns]\nupstreams = [\"192.0.2.53\"]\nclaims = [\"corp.test\"]\n"
            )
        };
        let read = |text: &str, old: Option<&Config>| {
            let path = "/e/profiles/server.toml";
            understand(vec![file(Kind::Profile, path, Ok(text))], old)
        };
        let good = read(&text("\"192.0.2.10/24\""), None).config;
        let id = ProfileId("server".into());
        for broken in ["\"192.0.2.10\"", "\"192.0.2.10/24\", 7"] {
            let understood = read(&text(broken), Some(&good));
            assert!(understood.applied && understood.has_errors());
            let kept = &understood.config.profiles[&id];
            assert_eq!(kept.network, good.profiles[&id].network);
            assert!(kept.dns.upstreams.is_empty(), "its names are refused");
            assert!(understood.config.broken.is_empty());
            let again = read(&text(broken), Some(&understood.config)).config;
            assert_eq!(again, understood.config);
            let at_start = read(&text(broken), None).config;
            assert!(at_start.broken[&id].is_some(), "its links stay as they are");
        }
        let mended = read(&text("\"192.0.2.11/24\""), Some(&good)).config;
        assert_ne!(mended.profiles[&id].network, good.profiles[&id].network);
        let denied = file(
            Kind::Profile,
            "/e/profiles/x.toml",
            Err("permission denied"),
        );
        let denied = understand(vec![denied], None).config;
        assert_eq!(denied.broken[&ProfileId("x".into())], None);
    }

    #[test]
    fn a_new_profile_that_fits_several_links_is_refused_until_it_says_which() {
        let links = |names: &[&str]| {
            let mut facts = Facts::default();
            for (index, name) in (1..).zip(names) {
                let link = policy::LinkFacts {
                    name: (*name).into(),
                    ..policy::LinkFacts::default()
                };
                let id = policy::LinkId {
                    index,
                    birth: index,
                };
                facts.links.insert(id, link);
            }
            facts
        };
        let read = |name: &str, last: u8, old: &Config, facts: &Facts| {
            let text = format!(
                "# Ours.\nmatch = {{ name = \"{name}\" }}\naddresses = [\"192.0.2.{last}/24\"]\n"
            );
            let texts = vec![file(Kind::Profile, "/e/profiles/server.toml", Ok(&text))];
            let files = Files::of(texts);
            let mut understood = understand_files(&files, Some(old));
            refuse_ambiguous(&mut understood, &files, old, facts);
            understood
        };
        let id = ProfileId("server".into());
        let two = links(&["eth0", "eth1"]);
        let nothing = Config::default();
        let refused = read("eth*", 1, &nothing, &two);
        let found = &refused.diagnostics[0];
        assert_eq!((&*found.file, found.line), ("/e/profiles/server.toml", 2));
        assert!(found.message.contains("eth0 and eth1"), "{found:?}");
        assert!(!refused.config.profiles[&id].touches());
        // Read again it is no better, and nothing of it is taken for what was there.
        let again = read("eth*", 1, &refused.config, &two);
        assert_eq!(again.config, refused.config);
        assert!(again.has_errors());
        // Over a sound one, that one stays.
        let sound = read("eth0", 1, &nothing, &two);
        assert!(!sound.has_errors() && sound.config.broken.is_empty());
        let refused = read("eth*", 2, &sound.config, &two);
        assert_eq!(
            refused.config.profiles[&id].network,
            sound.config.profiles[&id].network
        );
        assert!(refused.has_errors() && refused.config.broken.is_empty());
        // A link that comes later changes nothing.
        let one = read("eth*", 1, &nothing, &links(&["eth0"]));
        assert!(!one.has_errors());
        assert!(!read("eth*", 1, &one.config, &two).has_errors());
    }

    #[test]
    fn a_profile_that_is_gone_is_gone() {
        assert!(
            understand(Vec::new(), Some(&good()))
                .config
                .profiles
                .is_empty()
        );
    }

    #[test]
    fn a_broken_drop_in_leaves_the_rest() {
        let broken = file(
            Kind::DropIn,
            "/e/conf.d/10-x.toml",
            Ok("[resolver]\nlissen = []\n"),
        );
        let office = file(Kind::Profile, "/e/profiles/office.toml", Ok(OFFICE));
        let understood = understand(vec![broken, office], None);
        assert!(understood.applied && understood.has_errors());
        assert_eq!(understood.config.profiles.len(), 1);
    }
}
