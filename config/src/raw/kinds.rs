//! Which keys may stand in `[link]` and `[[ports]]`? Those of the table, and those of the link's kind.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::DeTable;

use super::Walk;
use crate::kind::{Attribute, KINDS, Kind, LinkKind};
use crate::reference::{self, Key, Section};

/// Returns the kind of the link that a profile makes, on which hangs what may be said of it.
pub(super) fn kind_of(document: &DeTable<'_>) -> Option<LinkKind> {
    let link = document.get("link")?.get_ref().as_table()?;
    LinkKind::of(link.get("kind")?.get_ref().as_str()?)
}

fn attributes(kind: &Kind, section: Section) -> &'static [Attribute] {
    if section == Section::Link {
        kind.attributes
    } else if section == Section::Ports {
        kind.ports.unwrap_or_default()
    } else {
        &[]
    }
}

impl Walk<'_, '_> {
    /// Finds a key that may stand in a section.
    pub(super) fn find(&self, section: Section, name: &str) -> Option<&'static Key> {
        let of_kind = || {
            let mut attributes = attributes(&*self.kind?, section).iter();
            let attribute = attributes.find(|attribute| attribute.key.name == name);
            attribute.map(|attribute| &attribute.key)
        };
        reference::find(section, name).or_else(of_kind)
    }

    /// Returns the names of the keys that may stand in a section.
    pub(super) fn known(&self, section: Section) -> Vec<&'static str> {
        let of_kind = self.kind.map_or(&[][..], |kind| attributes(&kind, section));
        let fixed = section.keys().map(|key| key.name);
        fixed
            .chain(of_kind.iter().map(|attribute| attribute.key.name))
            .collect()
    }

    /// Whether a name is a key of links of other kinds alone; reports that when the link's own kind is known.
    pub(super) fn is_of_other_kind(
        &mut self,
        section: Section,
        name: &Spanned<Cow<'_, str>>,
    ) -> bool {
        let said = name.get_ref();
        let has = |kind: &Kind| {
            attributes(kind, section)
                .iter()
                .any(|attribute| attribute.key.name == said)
        };
        let others: Vec<&str> = KINDS
            .iter()
            .filter(|kind| has(kind))
            .map(|kind| kind.name)
            .collect();
        if others.is_empty() {
            return false;
        }
        // Without a kind there is an error of its own.
        if let Some(kind) = self.kind {
            let message = format!("`{said}` is no key of a {kind}");
            let help = format!("it belongs to {}", others.join(", "));
            self.findings.error(Some(name.span()), message, Some(help));
        }
        true
    }
}
