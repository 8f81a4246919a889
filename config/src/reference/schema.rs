//! How does an editor check a file? `docs/config.schema.json`, from the table; it knows shapes, not meanings.

use serde_json::{Map, Value, json};

use super::{Key, Section, Syntax};

/// Writes the JSON schema of both kinds of file, for editors that know TOML.
pub fn json_schema() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "linnet configuration",
        "anyOf": [{ "$ref": "#/$defs/main" }, { "$ref": "#/$defs/profile" }],
        "$defs": {
            "main": section(Section::Main, "linnet.toml and conf.d/*.toml"),
            "profile": section(Section::Profile, "profiles/*.toml"),
        },
    });
    format!("{schema:#}\n")
}

fn section(section: Section, description: &str) -> Value {
    let mut properties = Map::new();
    for key in section.keys() {
        properties.insert(key.name.to_owned(), property(key));
    }
    super::kinds::properties(section, &mut properties);
    let mut table = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !description.is_empty() {
        table["description"] = json!(description);
    }
    let required: &[&str] = match section {
        Section::Addresses => &["address"],
        Section::Routes => &["to"],
        Section::Rules => &["priority"],
        Section::Listeners => &["address"],
        Section::Records => &["name", "type", "data"],
        Section::Lists => &["path"],
        Section::Services => &["type", "port"],
        Section::Link => &["kind"],
        Section::Ports => &["name"],
        Section::Peers => &["public-key"],
        Section::Associations => &["key-file"],
        Section::Main
        | Section::Resolver
        | Section::Links
        | Section::Connectivity
        | Section::Metrics
        | Section::Dnstap
        | Section::Log
        | Section::Profile
        | Section::Match
        | Section::Dns
        | Section::Dhcp
        | Section::Take
        | Section::Delegated
        | Section::Carrier
        | Section::Hardware => &[],
    };
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

pub(super) fn property(key: &Key) -> Value {
    let text = json!({ "type": "string" });
    let mut value = match key.syntax {
        Syntax::Boolean => json!({ "type": "boolean" }),
        Syntax::Choice(words) => json!({ "enum": words }),
        Syntax::Integer { min, max } => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        Syntax::Size { .. } => {
            json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" })
        }
        Syntax::Time { .. } => {
            json!({ "type": "string", "pattern": "^[0-9]+ *(s|m|h|d)$" })
        }
        Syntax::Text(_) => text,
        Syntax::List(_) => json!({ "type": "array", "items": text }),
        Syntax::OneOrMore(_) => {
            json!({ "anyOf": [text, { "type": "array", "items": text, "minItems": 1 }] })
        }
        Syntax::Numbers { min, max } => json!({
            "type": "array",
            "items": { "type": "integer", "minimum": min, "maximum": max },
        }),
        Syntax::Numbered { .. } => json!({
            "type": "object",
            "additionalProperties": false,
            "patternProperties": { "^[1-9][0-9]{0,4}$": text },
        }),
        Syntax::Mixed(_, inner) => {
            json!({ "type": "array", "items": { "anyOf": [text, section(inner, "")] } })
        }
        Syntax::Table(inner) => section(inner, ""),
        Syntax::Tables(inner) => json!({ "type": "array", "items": section(inner, "") }),
    };
    value["description"] = json!(key.doc);
    if let Some(default) = key.default {
        value["default"] = default_value(default);
    }
    value
}

/// Reads the default as the table writes it; booleans, numbers, texts and flat lists are the same in TOML and JSON.
fn default_value(default: &str) -> Value {
    serde_json::from_str(default).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::KEYS;

    #[test]
    fn every_default_is_a_value_in_the_schema() {
        for key in KEYS {
            if let Some(default) = key.default {
                assert_ne!(default_value(default), Value::Null, "{key:?}");
            }
        }
    }
}
