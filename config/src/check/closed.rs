//! What is kept of a broken profile? Its claims, without upstreams: the names are refused, and do not leak.
//!
//! Guesses in the safe direction only: rather one suffix too many than one too few. An open door is never guessed:
//! `when-down = "release"` holds only in a profile whose match and `when-down` are right, `exclude` only when it is right.

use std::collections::HashSet;

use super::profile::is_good_id;
use super::{Checked, values};
use crate::model::{DefaultUse, DnsSettings, NetworkSettings, Profile, ProfileId, WhenDown};
use crate::name::DomainName;
use crate::raw::{Document, Span};

/// Makes the closed form of a broken profile; `None` when it claims nothing that can be read.
pub(crate) fn close(checked: Checked, document: &Document, source: &str) -> Option<Profile> {
    let Checked {
        profile,
        claims_at,
        is_match_sure,
    } = checked;
    let Profile {
        id,
        matches,
        mut dns,
        ..
    } = profile;
    // Behind a syntax error keys may have been taken for members of the list: those have no quotes.
    let is_quoted = |at: &Span| {
        let written = source.get(at.start..);
        written.is_some_and(|text| text.starts_with(['"', '\'']))
    };
    let mut quoted = claims_at.iter().map(is_quoted);
    dns.claims.retain(|_| quoted.next().unwrap_or(true));
    let mut seen: HashSet<DomainName> = dns.claims.iter().cloned().collect();
    for claim in claims_in(source) {
        if claim.is_root() {
            dns.default = DefaultUse::Exclusive;
        } else if seen.insert(claim.clone()) {
            dns.claims.push(claim);
        }
    }
    if !document.is_toml && without_comments(source).contains("exclusive") {
        dns.default = DefaultUse::Exclusive;
    }
    if dns.claims.is_empty() && dns.default != DefaultUse::Exclusive {
        return None;
    }
    let is_faulty = |name| {
        let said = document.top.table("dns");
        said.is_some_and(|said| said.is_faulty(name))
    };
    let is_down_sure = !is_faulty("when-down");
    if is_faulty("exclude") || !document.is_toml {
        dns.exclude.clear();
    }
    let is_sure = document.is_toml && is_match_sure && is_down_sure;
    Some(Profile {
        id: good_id(&id),
        matches,
        dns: DnsSettings {
            claims: dns.claims,
            exclude: dns.exclude,
            default: match dns.default {
                DefaultUse::Exclusive => DefaultUse::Exclusive,
                DefaultUse::Auto | DefaultUse::Yes | DefaultUse::No => DefaultUse::No,
            },
            when_down: if is_sure {
                dns.when_down
            } else {
                WhenDown::Refuse
            },
            priority: dns.priority,
            ..DnsSettings::default()
        },
        network: NetworkSettings::default(),
        link: None,
        records: Vec::new(),
    })
}

/// Returns an id that scopes can carry: strange characters become `-`.
fn good_id(id: &ProfileId) -> ProfileId {
    if is_good_id(&id.0) {
        return id.clone();
    }
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let text: String =
        id.0.chars()
            .map(|c| if usual(c) { c } else { '-' })
            .collect();
    ProfileId(format!("broken-{text}").into())
}

fn without_comments(source: &str) -> String {
    let lines = source
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    lines.collect::<Vec<&str>>().join("\n")
}

/// Finds what stands after each `claims =`, in a text that need not be TOML.
fn claims_in(source: &str) -> Vec<DomainName> {
    let text = without_comments(source);
    let mut names = Vec::new();
    for (at, key) in text.match_indices("claims") {
        let after = text.get(at + key.len()..).unwrap_or_default();
        let after = after.trim_start_matches(['"', '\'', ' ', '\t']);
        let Some(value) = after.strip_prefix('=') else {
            continue;
        };
        let words = value_text(value)
            .split(|c: char| {
                c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '[' | ']' | '{' | '}')
            })
            .filter(|word| !word.is_empty())
            .map(|word| word.strip_prefix("*.").unwrap_or(word))
            .map(|word| word.trim_start_matches('~'))
            .filter_map(values::plain_domain)
            .filter(|name| !is_number(name));
        names.extend(words);
    }
    names
}

/// Whether the top label begins with a digit, as that of an address does and that of no name.
fn is_number(name: &DomainName) -> bool {
    let top = name.labels().last();
    top.is_some_and(|label| label.first().is_some_and(u8::is_ascii_digit))
}

/// Returns the text up to the `]` that ends a list, or up to the next line that looks like a key or a table.
fn value_text(value: &str) -> &str {
    let mut end = 0;
    for line in value.split_inclusive('\n') {
        let looks_like_key = end > 0 && (line.contains('=') || line.trim_start().starts_with('['));
        if looks_like_key {
            break;
        }
        if let Some(close) = line.find(']') {
            end += close;
            break;
        }
        end += line.len();
    }
    value.get(..end).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_found_in_a_text_that_is_not_toml() {
        for (source, found) in [
            ("claims = [\"a.test\", \"b.test\"", "a.test b.test"),
            (
                "claims = [\"a.test\" \"b.test\"]\nsearch = [\"c.test\"]",
                "a.test b.test",
            ),
            (
                "claims = [\n  \"a.test\",  # office\n  'b.test\n]",
                "a.test b.test",
            ),
            ("claims = [\"a.test\nsearch = [\"c.test\"]", "a.test"),
            ("[dns\nclaims = \"*.a.test\"", "a.test"),
            (
                "\"claims\" = [\"a.test\"]\nclaims = [\"b.test\"]",
                "a.test b.test",
            ),
            ("# claims = [\"a.test\"]", ""),
            ("claims", ""),
        ] {
            let names: Vec<String> = claims_in(source).iter().map(ToString::to_string).collect();
            assert_eq!(names.join(" "), found, "{source}");
        }
    }
}
