//! How is said what a value is, and where a key belongs?

use toml::de::DeValue;

use crate::reference::{FileKind, Key, Section, Syntax};

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

/// Says how a table is written, to whoever wrote something else.
pub(super) fn whole_table(key: &Key, section: Section) -> String {
    if section == Section::Match {
        "write match = { name = \"…\" }".to_owned()
    } else if section == Section::Dns {
        "write [dns], and below it upstreams = [\"192.0.2.1\"], claims = [\"corp.example\"]"
            .to_owned()
    } else if section == Section::Dhcp {
        "write dhcp4 = true and dhcp6 = true; the table [dhcp] says how it is done".to_owned()
    } else {
        format!("write [{}], and its keys below it", key.name)
    }
}

/// Says what other programs' words for a link's settings are here.
pub(super) fn usual_elsewhere(section: Section, said: &str) -> Option<&'static str> {
    if section != Section::Profile {
        return None;
    }
    match said.to_lowercase().replace('_', "-").as_str() {
        "gateway" | "gateway4" | "gateway6" | "router" | "routers" => Some(
            "write [[routes]], and below it to = \"0.0.0.0/0\" (\"::/0\" for IPv6) and via = \"192.0.2.1\"",
        ),
        "nameserver" | "nameservers" | "dns-server" | "dns-servers" | "dns-nameservers" => {
            Some("write [dns], and below it upstreams = [\"192.0.2.1\"]")
        }
        "domains" | "dns-search" | "search-domains" => Some(
            "write [dns], and below it search = [\"corp.example\"] or claims = [\"corp.example\"]",
        ),
        "netmask" | "prefix" | "prefix-length" => {
            Some("write the length behind the address: addresses = [\"192.0.2.10/24\"]")
        }
        _ => None,
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
