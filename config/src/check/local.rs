//! What do records, lists, DNS64 and rebinding protection mean? Each mistake with the part of the text that it is in.
//!
//! Records and lists of all files add up; what contradicts a record of another file is found here too. List files are not
//! read: whoever loads them tells what is wrong in them.

use super::values;
use crate::diagnostic::Findings;
use crate::model::{Dns64, ListConfig, ListFormat, Mapping, Record, ResolverConfig};
use crate::name::DomainName;
use crate::raw::{Span, Table, Text};
use crate::rdata;

/// TTL of a record that does not say, in seconds.
const TTL: u32 = 60;
/// The most records in all files, so that a mistaken file does not take the memory.
const MAX_RECORDS: usize = 100_000;
/// The most lists; each is a part of the way of every name.
const MAX_LISTS: usize = 64;
/// The longest name of a list, in octets: it stands in answers.
const MAX_LIST_NAME: usize = 64;
/// Type names longer than this get no suggestion: comparing costs the product of the lengths.
const MAX_TYPE_NAME: usize = 16;
/// How alike two type names must be, from 0 to 1, for one to be suggested for the other.
const ALIKE: f64 = 0.8;
/// The most prefixes that one address is embedded in.
const MAX_MAPPINGS: usize = 8;

mod rtype {
    pub(super) const A: u16 = 1;
    pub(super) const CNAME: u16 = 5;
    pub(super) const AAAA: u16 = 28;
    pub(super) const DNAME: u16 = 39;
}

/// Types that mean something else than data (IANA), or that only a signer can make.
const NO_DATA: [(u16, u16); 6] = [(0, 0), (6, 6), (41, 41), (46, 48), (50, 51), (128, 255)];

/// Reads what `[resolver]` says of DNS64 and rebinding.
pub(super) fn resolver(said: &Table, resolver: &mut ResolverConfig, findings: &mut Findings<'_>) {
    if let Some(dns64) = dns64(said, findings) {
        resolver.dns64 = dns64;
    }
    if let Some(protects) = said.boolean("rebinding-protection") {
        resolver.rebinding_protection = protects;
    }
    if let Some(texts) = said.texts("rebinding-exceptions") {
        resolver.rebinding_exceptions = domains(texts, findings);
    }
}

/// Reads `dns64`.
pub(super) fn dns64(said: &Table, findings: &mut Findings<'_>) -> Option<Dns64> {
    let texts = said.texts("dns64")?;
    let words: Vec<&str> = texts.iter().map(|text| text.get_ref().as_str()).collect();
    match words.as_slice() {
        ["off"] => return Some(Dns64::Off),
        ["auto"] => return Some(Dns64::Auto),
        _ => {}
    }
    let mut mappings = Vec::new();
    for text in texts {
        let span = Some(text.span());
        if matches!(text.get_ref().as_str(), "off" | "auto") {
            let message = format!("\"{}\" stands alone", text.get_ref());
            let help = "write the word, or the prefixes".to_owned();
            findings.error(span, message, Some(help));
            continue;
        }
        let Some(prefix) = values::prefix(text, findings) else {
            continue;
        };
        let Some(mapping) = Mapping::new(prefix) else {
            let message = format!("{prefix} cannot take IPv4 addresses");
            let help = "write a prefix of 32, 40, 48, 56, 64 or 96 bits without host bits, as 64:ff9b::/96 (RFC 6052 §2.2)";
            findings.error(span, message, Some(help.to_owned()));
            continue;
        };
        if mappings.contains(&mapping) {
            findings.warn(span, format!("{mapping} is in the list already"), None);
        } else if mappings.len() == MAX_MAPPINGS {
            let message = format!("there are more than {MAX_MAPPINGS} prefixes");
            findings.error(span, message, None);
        } else {
            mappings.push(mapping);
        }
    }
    Some(Dns64::Prefixes(mappings))
}

fn domains(texts: &[Text], findings: &mut Findings<'_>) -> Vec<DomainName> {
    let mut names = Vec::new();
    for text in texts {
        for name in values::domains(text.get_ref(), text.span(), findings) {
            if names.contains(&name) {
                let message = format!("{name} is in the list already");
                findings.warn(Some(text.span()), message, None);
            } else {
                names.push(name);
            }
        }
    }
    names
}

/// Reads `[[records]]`, and adds them to those of other files.
pub(super) fn records(top: &Table, records: &mut Vec<Record>, findings: &mut Findings<'_>) {
    for (span, said) in top.tables("records").unwrap_or_default() {
        if records.len() >= MAX_RECORDS {
            let message = format!("there are more than {MAX_RECORDS} records");
            findings.error(Some(span.clone()), message, None);
            return;
        }
        let Some(record) = record(span, said, findings) else {
            continue;
        };
        let at = said.key("name").or_else(|| Some(span.clone()));
        contradictions(&record, records, at, findings);
        records.push(record);
    }
}

fn record(span: &Span, said: &Table, findings: &mut Findings<'_>) -> Option<Record> {
    let name_text = one(span, said, "name", "name = \"nas.home.example\"", findings);
    let owner = name_text.and_then(|text| owner(text, findings));
    let type_text = one(span, said, "type", "type = \"A\"", findings);
    let record_type = type_text.and_then(|text| record_type(text, findings));
    let data_texts = said.texts("data");
    if data_texts.is_none() && !said.is_faulty("data") {
        let help = Some("add data = \"192.0.2.1\"".to_owned());
        findings.error(Some(span.clone()), "the record has no data", help);
    }
    let record_type = record_type?;
    let mut data: Vec<Box<[u8]>> = Vec::new();
    for text in data_texts? {
        match rdata::parse(record_type, text.get_ref(), None) {
            Ok(octets) if data.contains(&octets.clone().into()) => {
                let message = "this stands here already";
                findings.warn(Some(text.span()), message, None);
            }
            Ok(octets) => data.push(octets.into()),
            Err(error) => {
                let place = match error.part.is_empty() {
                    true => text.span(),
                    false => values::part(text, error.part.clone(), findings),
                };
                let help = example(record_type).map(|example| format!("write it as {example}"));
                findings.error(Some(place), error.to_string(), help);
            }
        }
    }
    let (name, wildcard) = owner?;
    let is_alias = matches!(record_type, rtype::CNAME | rtype::DNAME);
    if is_alias && data.len() > 1 {
        let message = "an alias leads to one name only";
        findings.error(said.key("data"), message, None);
    }
    if record_type == rtype::CNAME
        && !wildcard
        && data.first().is_some_and(|data| **data == *name.as_wire())
    {
        findings.error(said.key("data"), "the alias leads to itself", None);
    }
    if record_type == rtype::DNAME && wildcard {
        let message = "a DNAME at a wildcard means nothing (RFC 4592 §4.4)";
        findings.error(said.key("name"), message, None);
    }
    let reverse = said.boolean("reverse").unwrap_or_default();
    if reverse && (wildcard || !matches!(record_type, rtype::A | rtype::AAAA)) {
        let message = "only the addresses of one name point back to it";
        let help = Some("leave `reverse` to A and AAAA records without wildcard".to_owned());
        findings.error(said.key("reverse"), message, help);
    }
    let ttl = said.integer("ttl").and_then(|ttl| u32::try_from(ttl).ok());
    Some(Record {
        name,
        wildcard,
        record_type,
        data,
        ttl: ttl.unwrap_or(TTL),
        pass_on: said.boolean("pass-on").unwrap_or_default(),
        reverse,
    })
}

/// Returns the text of a key that must be there.
pub(super) fn one<'a>(
    span: &Span,
    said: &'a Table,
    key: &str,
    example: &str,
    findings: &mut Findings<'_>,
) -> Option<&'a Text> {
    let text = said.texts(key).and_then(<[_]>::first);
    if text.is_none() && !said.is_faulty(key) {
        let message = format!("`{key}` is missing");
        findings.error(Some(span.clone()), message, Some(format!("add {example}")));
    }
    text
}

/// Reads a name with or without `*.` before it.
fn owner(text: &Text, findings: &mut Findings<'_>) -> Option<(DomainName, bool)> {
    let said = text.get_ref();
    let (bare, wildcard) = match said.strip_prefix("*.") {
        Some(bare) => (bare, true),
        None => (said.as_str(), false),
    };
    let span = Some(text.span());
    let Some(name) = values::plain_domain(bare) else {
        let message = format!("\"{said}\" is not a domain name");
        let help = "write one name, as \"nas.home.example\", or \"*.dev.example\" for all below";
        findings.error(span, message, Some(help.to_owned()));
        return None;
    };
    if name.is_root() {
        let help = Some("write the name that the record is for".to_owned());
        findings.error(span, "the root has no records of ours", help);
        return None;
    }
    if name.labels().last() == Some(b"localhost") {
        let message = "localhost and all below it are always this machine (RFC 6761 §6.3)";
        findings.error(span, message, Some("take another name".to_owned()));
        return None;
    }
    Some((name, wildcard))
}

fn record_type(text: &Text, findings: &mut Findings<'_>) -> Option<u16> {
    let said = text.get_ref();
    let span = Some(text.span());
    let Some(record_type) = rdata::parse_type(said) else {
        let upper = said.to_uppercase();
        let alike = |word: &&str| strsim::jaro_winkler(&upper, word);
        let near = rdata::known_types()
            .filter(|word| upper.len() <= MAX_TYPE_NAME && alike(word) >= ALIKE)
            .max_by(|one, other| alike(one).total_cmp(&alike(other)));
        let help = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write a type, as \"A\", or its number, as \"TYPE65280\"".to_owned(),
        };
        findings.error(span, format!("\"{said}\" is no record type"), Some(help));
        return None;
    };
    let is_none = |(first, last): &(u16, u16)| (*first..=*last).contains(&record_type);
    if NO_DATA.iter().any(is_none) {
        let message = format!("records of type {said} cannot be made here");
        let help = "they belong to a zone with its own server";
        findings.error(span, message, Some(help.to_owned()));
        return None;
    }
    Some(record_type)
}

fn example(record_type: u16) -> Option<&'static str> {
    Some(match record_type {
        1 => "192.0.2.1",
        2 | 5 | 12 | 39 => "host.example",
        15 => "10 mx.example",
        16 => "\\\"some text\\\"",
        28 => "2001:db8::1",
        33 => "0 5 5060 sip.example (priority, weight, port, target)",
        35 => "100 10 \\\"S\\\" \\\"SIP+D2U\\\" \\\"\\\" _sip._udp.example",
        44 => "4 2 123456789abcdef… (algorithm, type, fingerprint)",
        52 => "3 1 1 123456789abcdef… (usage, selector, matching type, octets)",
        64 | 65 => "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1",
        257 => "0 issue \\\"ca.example\\\"",
        _ => return None,
    })
}

/// RFC 1034 §3.6.2: where there is an alias, there is nothing else.
fn contradictions(
    record: &Record,
    others: &[Record],
    span: Option<Span>,
    findings: &mut Findings<'_>,
) {
    let same = |other: &&Record| other.name == record.name && other.wildcard == record.wildcard;
    for other in others.iter().filter(same) {
        let alias = |one: &Record| one.record_type == rtype::CNAME;
        if alias(record) || alias(other) {
            let star = if record.wildcard { "*." } else { "" };
            let message = format!(
                "{star}{} has {} already, and an alias stands alone",
                record.name,
                rdata::type_text(other.record_type)
            );
            findings.error(span, message, Some("leave out one of the two".to_owned()));
            return;
        }
        if record.record_type == other.record_type
            && record.data.iter().any(|data| other.data.contains(data))
        {
            let message = format!("{} has this record already", record.name);
            findings.warn(span, message, None);
            return;
        }
    }
}

/// Reads `[[lists]]`, and adds them to those of other files.
pub(super) fn lists(top: &Table, lists: &mut Vec<ListConfig>, findings: &mut Findings<'_>) {
    for (span, said) in top.tables("lists").unwrap_or_default() {
        if lists.len() >= MAX_LISTS {
            let message = format!("there are more than {MAX_LISTS} lists");
            findings.error(Some(span.clone()), message, None);
            return;
        }
        let Some(list) = list(span, said, findings) else {
            continue;
        };
        if lists.iter().any(|other| other.name == list.name) {
            let message = format!("there is a list {} already", list.name);
            let help = Some("give it a name of its own: name = \"…\"".to_owned());
            let at = said.key("name").or_else(|| said.key("path"));
            findings.error(at, message, help);
        }
        lists.push(list);
    }
}

fn list(span: &Span, said: &Table, findings: &mut Findings<'_>) -> Option<ListConfig> {
    let path = one(span, said, "path", "path = \"lists/ads.txt\"", findings)?;
    if path.get_ref().is_empty() {
        findings.error(Some(path.span()), "the path is empty", None);
        return None;
    }
    let format: ListFormat = said.word("format").unwrap_or_default();
    let name = list_name(path, said, findings)?;
    if let (ListFormat::Rpz, Some(at)) = (format, said.key("subdomains")) {
        let message = "an RPZ file says itself which names below are meant; this does nothing";
        findings.warn(Some(at), message, None);
    }
    let mut scopes: Vec<String> = Vec::new();
    for text in said.texts("scopes").unwrap_or_default() {
        let scope = text.get_ref();
        if scope != "default" && !super::profile::is_good_id(scope) {
            let message = format!("\"{scope}\" is no profile's id");
            let help = Some("write the name of the profile's file without .toml".to_owned());
            findings.error(Some(text.span()), message, help);
        } else if scopes.contains(scope) {
            let message = format!("{scope} is in the list already");
            findings.warn(Some(text.span()), message, None);
        } else {
            scopes.push(scope.clone());
        }
    }
    Some(ListConfig {
        name,
        path: path.get_ref().clone(),
        format,
        action: said.word("action"),
        subdomains: said.boolean("subdomains"),
        error: said.word("error").unwrap_or_default(),
        exceptions: domains(said.texts("exceptions").unwrap_or_default(), findings),
        scopes,
    })
}

/// Returns what a list is called: what is said, or its file's name without ending.
fn list_name(path: &Text, said: &Table, findings: &mut Findings<'_>) -> Option<String> {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let (name, at) = match said.texts("name").and_then(<[_]>::first) {
        Some(text) => (text.get_ref().as_str(), text.span()),
        None => {
            let file = path.get_ref().rsplit('/').next().unwrap_or_default();
            let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
            (stem, path.span())
        }
    };
    if name.is_empty() || name.len() > MAX_LIST_NAME || !name.bytes().all(usual) {
        let message = format!("\"{name}\" cannot be the name of a list");
        let help = format!(
            "give it one: name = \"…\", of letters, digits, '.', '_' and '-', at most {MAX_LIST_NAME}"
        );
        findings.error(Some(at), message, Some(help));
        return None;
    }
    Some(name.to_owned())
}
