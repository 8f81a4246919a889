//! How is said what a value is, and where a key belongs?

use toml::de::DeValue;

use crate::reference::{FileKind, Key, Syntax};

/// Says where a key belongs.
pub(super) fn belongs(key: &Key) -> String {
    match (key.syntax, key.section.file()) {
        (Syntax::Table(_) | Syntax::Tables(_), FileKind::Main) => {
            format!("`{}` belongs in linnet.toml or conf.d", key.name)
        }
        (Syntax::Table(_) | Syntax::Tables(_), FileKind::Profile) => {
            format!("`{}` belongs in a profile: profiles/NAME.toml", key.name)
        }
        (
            Syntax::Boolean
            | Syntax::Choice(_)
            | Syntax::Integer { .. }
            | Syntax::Size { .. }
            | Syntax::Time { .. }
            | Syntax::Text(_)
            | Syntax::List(_)
            | Syntax::OneOrMore(_)
            | Syntax::Numbers { .. }
            | Syntax::Numbered { .. }
            | Syntax::Mixed(..),
            FileKind::Main | FileKind::Profile,
        ) => format!("`{}` belongs {}", key.name, key.section.place()),
    }
}

/// Names the type of a value.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
