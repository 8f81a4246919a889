//! Which files hold, and which of them wins? Layers in, [`Loaded`] out: what is right is in force even when something is wrong.
//!
//! Order of the main settings, later ones override key by key: built-in defaults, `linnet.toml` by rank up to admin, all
//! drop-ins by file name whatever their rank, `linnet.toml` of the runtime directory. A drop-in or profile replaces the
//! one of the same name and lower rank whole, and masks it when it is empty. A file with an error is left out whole.
//! Finds no files: the shell does, and reads a symbolic link to `/dev/null` as an empty one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check::{self, between, closed};
use crate::diagnostic::{Diagnostic, Findings, Severity};
use crate::model::{Config, DefaultUse, Profile, ProfileId};
use crate::raw::{self, Span, Table};
use crate::reference::FileKind;

/// One configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Where it comes from.
    pub origin: Origin,
    /// What it says.
    pub text: String,
    /// What sort of file it is.
    pub kind: LayerKind,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The rank of its directory.
    pub rank: Rank,
    /// Its path, as diagnostics name it.
    pub path: Arc<str>,
}

/// The rank of a directory; a higher one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Compiled in.
    Builtin,
    /// `/usr/lib/linnet`
    Vendor,
    /// `/etc/linnet`
    Admin,
    /// `/run/linnet`
    Runtime,
}

/// What sort of file a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerKind {
    /// `linnet.toml`
    Main,
    /// A file of `conf.d/`, by its name.
    DropIn(Arc<str>),
    /// A file of `profiles/`.
    Profile(ProfileId),
}

impl LayerKind {
    /// Tells the sort of file from its path inside a configuration directory; `None` for files that are not read.
    ///
    /// `linnet.toml`, `conf.d/10-x.toml`, `profiles/office.toml`; hidden files and other endings are not read.
    pub fn of(relative_path: &str) -> Option<Self> {
        if relative_path == "linnet.toml" {
            return Some(Self::Main);
        }
        let (directory, name) = relative_path.split_once('/')?;
        let stem = name.strip_suffix(".toml")?;
        if stem.is_empty() || name.starts_with('.') || name.contains('/') {
            return None;
        }
        match directory {
            "conf.d" => Some(Self::DropIn(name.into())),
            "profiles" => Some(Self::Profile(ProfileId(stem.into()))),
            _ => None,
        }
    }
}

/// What came of loading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// All that is wrong, file by file.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether a `linnet.toml` was left out, so that a reload had better keep the old configuration.
    pub main_broken: bool,
    /// Broken profiles whose claims are kept without upstreams, so that the names are refused.
    pub closed: Vec<ProfileId>,
    /// Broken profiles that may claim names that cannot be read; a reload had better keep their old form.
    pub unread: Vec<ProfileId>,
}

impl Loaded {
    /// Whether any file has an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|found| found.severity == Severity::Error)
    }
}

/// Loads the configuration; any text loads, and the order of `layers` does not matter.
pub fn load(layers: &[Layer]) -> Loaded {
    let mut loading = Loading::default();
    for layer in mains(layers) {
        loading.main_file(layer);
    }
    loading.settle_mains();
    for (id, layer) in profiles(layers) {
        loading.profile(id, layer);
    }
    loading.settle_services();
    between::network::check(
        &loading.networks_at,
        &loading.loaded.config.profiles,
        &mut loading.files,
    );
    between::links::check(
        &loading.links_at,
        &mut loading.loaded.config.profiles,
        &mut loading.files,
    );
    loading.loaded.diagnostics = loading
        .files
        .into_iter()
        .flat_map(Findings::into_sorted)
        .collect();
    loading.loaded
}

/// Returns the files of main settings that hold, the winning one last.
fn mains(layers: &[Layer]) -> Vec<&Layer> {
    let of_kind_main = |layer: &&Layer| layer.kind == LayerKind::Main;
    let mut mains: Vec<&Layer> = layers.iter().filter(of_kind_main).collect();
    mains.sort_by_key(|layer| layer.origin.rank);
    let runtime_at = mains.partition_point(|layer| layer.origin.rank < Rank::Runtime);
    let runtime = mains.split_off(runtime_at);
    let drop_ins = highest(layers, |kind| match kind {
        LayerKind::DropIn(name) => Some(&**name),
        LayerKind::Main | LayerKind::Profile(_) => None,
    });
    mains.extend(drop_ins.into_values());
    mains.extend(runtime);
    mains
}

/// Returns the profiles that hold.
fn profiles(layers: &[Layer]) -> BTreeMap<&ProfileId, &Layer> {
    highest(layers, |kind| match kind {
        LayerKind::Profile(id) => Some(id),
        LayerKind::Main | LayerKind::DropIn(_) => None,
    })
}

/// Returns, for each name, the file of the highest rank, unless that one is empty.
fn highest<'a, K: Ord + ?Sized>(
    layers: &'a [Layer],
    name: impl Fn(&'a LayerKind) -> Option<&'a K>,
) -> BTreeMap<&'a K, &'a Layer> {
    let mut layer_by_name: BTreeMap<&K, &Layer> = BTreeMap::new();
    for layer in layers {
        let Some(name) = name(&layer.kind) else {
            continue;
        };
        let held = layer_by_name.entry(name).or_insert(layer);
        if layer.origin.rank >= held.origin.rank {
            *held = layer;
        }
    }
    layer_by_name.retain(|_, layer| !layer.text.trim().is_empty());
    layer_by_name
}

/// The keys that can contradict each other from one file to another.
const ENTANGLED: [&str; 3] = ["upstreams", "listen", "listen-bypass"];

#[derive(Default)]
struct Loading<'a> {
    loaded: Loaded,
    files: Vec<Findings<'a>>,
    /// Which of the files said one of [`ENTANGLED`] last, and where.
    entangled_at: Option<(usize, Span)>,
    claimants: between::Claimants<'a>,
    /// Which of the files names services first, and where.
    services_at: Option<(usize, Span)>,
    /// Which profiles make links, and where they say so.
    links_at: Vec<between::links::Said>,
    /// Which profiles want something of links, and where they say so.
    networks_at: Vec<between::network::Said>,
}

impl<'a> Loading<'a> {
    fn main_file(&mut self, layer: &'a Layer) {
        let mut findings = Findings::new(&layer.origin.path, &layer.text);
        let document = raw::read(FileKind::Main, &mut findings);
        let mut config = self.loaded.config.clone();
        let services = check::main_file(&document.top, &mut config, &mut findings);
        if findings.broken {
            let message = "the file is left out whole until its errors are mended";
            findings.warn(None, message, None);
            self.loaded.main_broken |= layer.kind == LayerKind::Main;
        } else {
            self.loaded.config = config;
            let at = services.map(|span| (self.files.len(), span));
            self.services_at = self.services_at.take().or(at);
            if let Some(span) = entangled(&document.top) {
                self.entangled_at = Some((self.files.len(), span));
            }
        }
        self.files.push(findings);
    }

    fn settle_mains(&mut self) {
        let Some((file, span)) = self.entangled_at.take() else {
            return;
        };
        if let Some(findings) = self.files.get_mut(file) {
            between::resolver(&mut self.loaded.config.resolver, Some(span), findings);
            self.loaded.main_broken |= findings.broken;
        }
    }

    fn settle_services(&mut self) {
        if let Some((file, span)) = self.services_at.take()
            && let Some(findings) = self.files.get_mut(file)
        {
            check::services::unheard(&self.loaded.config, span, findings);
        }
    }

    fn profile(&mut self, id: &ProfileId, layer: &'a Layer) {
        let mut findings = Findings::new(&layer.origin.path, &layer.text);
        let document = raw::read(FileKind::Profile, &mut findings);
        let config = &self.loaded.config;
        let checked = check::profile(id, &document.top, config, &mut findings);
        if findings.broken {
            let is_sure = document.is_toml && checked.is_match_sure;
            let matches = checked.profile.matches.clone();
            if !is_sure || matches.is_some() {
                let broken = &mut self.loaded.config.broken;
                broken.insert(id.clone(), matches.filter(|_| is_sure));
            }
            let closed = closed::close(checked, &document, &layer.text);
            self.close(id, closed, document.is_toml, &mut findings);
        } else {
            let file = &layer.origin.path;
            let others = &self.loaded.config.profiles;
            let (profile, at) = (&checked.profile, &checked.claims_at);
            self.claimants.add(profile, at, file, others, &mut findings);
            let makes_link = checked.profile.link.is_some();
            let file = self.files.len();
            self.networks_at.extend(between::network::Said::of(
                &checked.profile,
                file,
                &document.top,
            ));
            let id = self.put(checked.profile);
            if makes_link {
                self.links_at.push(between::links::Said {
                    profile: id,
                    file: self.files.len(),
                    at: document.top.key("link"),
                });
            }
        }
        self.files.push(findings);
    }

    fn close(
        &mut self,
        id: &ProfileId,
        closed: Option<Profile>,
        is_toml: bool,
        findings: &mut Findings<'_>,
    ) {
        let Some(profile) = closed else {
            let message = if is_toml {
                "the profile is left out whole until its errors are mended"
            } else {
                self.loaded.unread.push(id.clone());
                "the profile is left out whole; what it may claim cannot be read, and goes where it would go without it"
            };
            findings.warn(None, message, None);
            return;
        };
        let names = if profile.dns.default == DefaultUse::Exclusive {
            "all names, as by an exclusive default".to_owned()
        } else {
            let claims: Vec<String> = profile.dns.claims.iter().map(ToString::to_string).collect();
            claims.join(", ")
        };
        let message = format!(
            "the profile is left out until its errors are mended, but what it claims is refused until then: {names}"
        );
        findings.warn(None, message, None);
        let id = self.put(profile);
        self.loaded.closed.push(id);
    }

    /// Puts a profile in force; a strange id that was made good may be taken already.
    fn put(&mut self, mut profile: Profile) -> ProfileId {
        while self.loaded.config.profiles.contains_key(&profile.id) {
            profile.id = ProfileId(format!("{}-", profile.id).into());
        }
        let id = profile.id.clone();
        self.loaded.config.profiles.insert(id.clone(), profile);
        id
    }
}

fn entangled(top: &Table) -> Option<Span> {
    let resolver = top.table("resolver")?;
    ENTANGLED.iter().find_map(|key| resolver.key(key))
}

#[cfg(test)]
mod tests;
