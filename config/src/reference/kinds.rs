//! How do the kinds of links read in the reference? From [`crate::kind::KINDS`], one table for each.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Section, describe};
use crate::kind::{Attribute, Change, KINDS, Kind, Maker, Parent};

/// Adds the chapter on kinds.
pub(super) fn markdown(text: &mut String) {
    let _ = write!(
        text,
        "\n## Kinds of links\n\nWhat can be said in `[link]`, and in `[[ports]]`, of each kind. *Changes* says what it costs to change it: `live`\n\
         nothing, `down` that the link goes down for a moment, `empty` that its ports leave it for a moment, `anew` that the link is made anew. Links\n\
         that linnet did not make are never made anew.\n"
    );
    for kind in &KINDS {
        let _ = write!(
            text,
            "\n### `{}`\n\n{} {}\n",
            kind.name,
            kind.doc,
            needs(kind)
        );
        table(text, "key of `[link]`", kind.attributes);
        table(text, "key of `[[ports]]`", kind.ports.unwrap_or_default());
    }
}

fn needs(kind: &Kind) -> String {
    let parent = match kind.parent {
        Parent::None => None,
        Parent::Link => Some("Needs `parent`."),
        Parent::Attribute(_) => Some("May have `parent`."),
    };
    let needs = [
        parent,
        kind.has_peer.then_some("Needs `peer`."),
        kind.ports.map(|_| "Has `ports`."),
        (kind.maker == Maker::Tun).then_some("Stays when the program that opened it ends."),
    ];
    needs.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn table(text: &mut String, title: &str, attributes: &[Attribute]) {
    if attributes.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "\n| {title} | value | default | meaning | changes |\n|---|---|---|---|---|\n"
    );
    for attribute in attributes {
        let key = &attribute.key;
        let default = match key.default {
            Some(default) => format!("`{default}`"),
            None if attribute.required => "needed".to_owned(),
            None => "–".to_owned(),
        };
        let secret = if key.secret { " Never shown." } else { "" };
        let change = match attribute.change {
            Change::Live => "live",
            Change::Down => "down",
            Change::Empty => "empty",
            Change::Anew => "anew",
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {default} | {}{secret} | {change} |",
            key.name,
            describe(key.syntax),
            key.doc
        );
    }
}

/// Adds what the kinds say of a section; where they differ, any of it will do.
pub(super) fn properties(section: Section, properties: &mut Map<String, Value>) {
    for kind in &KINDS {
        for attribute in kind.attributes.iter().chain(kind.ports.unwrap_or_default()) {
            if attribute.key.section != section {
                continue;
            }
            let shape = super::schema::property(&attribute.key);
            let held = properties
                .entry(attribute.key.name.to_owned())
                .or_insert_with(|| json!({ "anyOf": [] }));
            if let Some(shapes) = held.get_mut("anyOf").and_then(Value::as_array_mut)
                && !shapes.contains(&shape)
            {
                shapes.push(shape);
            }
        }
    }
}
