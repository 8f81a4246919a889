//! Which services does this machine announce? Each of `[[services]]` to a [`Service`], and where nobody would hear of it.

use super::values;
use crate::diagnostic::Findings;
use crate::model::{Config, MdnsMode, ProfileId, Service, ServiceName, ServiceProtocol};
use crate::name::MAX_LABEL;
use crate::raw::{Span, Table, Text};

/// The most services: each is probed for and announced on every link.
const MAX_SERVICES: usize = 64;
/// The longest name of a type without its underscore (RFC 6763 §7.2).
const MAX_TYPE: usize = 15;
/// The longest string of a TXT record, in octets (RFC 6763 §6.1).
const MAX_STRING: usize = 255;
/// The longest TXT record, in octets, so that an answer fits a frame (RFC 6763 §6.2).
const MAX_TEXT: usize = 1300;

/// Reads `[[services]]`, and adds them to those of other files; returns where the first stands.
pub(super) fn services(
    top: &Table,
    services: &mut Vec<Service>,
    findings: &mut Findings<'_>,
) -> Option<Span> {
    let said = top.tables("services").unwrap_or_default();
    for (span, said) in said {
        if services.len() >= MAX_SERVICES {
            let message = format!("there are more than {MAX_SERVICES} services");
            findings.error(Some(span.clone()), message, None);
            break;
        }
        let Some(service) = service(span, said, findings) else {
            continue;
        };
        if let Some(other) = services.iter().find(|other| is_same(other, &service)) {
            let message = match &other.name {
                Some(name) => format!(
                    "there is a service \"{}\" of this type already",
                    name.as_str()
                ),
                None => {
                    "there is a service of this type with the machine's name already".to_owned()
                }
            };
            let help = Some("give one of them another name: name = \"…\"".to_owned());
            let at = said.key("name").or_else(|| said.key("type"));
            findings.error(at, message, help);
        }
        services.push(service);
    }
    said.first().map(|(span, _)| span.clone())
}

/// Says that services are announced nowhere, once all files are read.
pub(crate) fn unheard(config: &Config, span: Span, findings: &mut Findings<'_>) {
    let profiles = config.profiles.values();
    let is_heard = config.resolver.mdns == MdnsMode::Respond
        || profiles
            .into_iter()
            .any(|profile| profile.dns.mdns == Some(MdnsMode::Respond));
    if !is_heard {
        let message = "no link answers for this machine, so that nobody hears of its services";
        let help = "write mdns = \"respond\" into [resolver], or into [dns] of a profile";
        findings.warn(Some(span), message, Some(help.to_owned()));
    }
}

/// Whether two services would have the same name on the same link.
fn is_same(one: &Service, other: &Service) -> bool {
    let lower = |name: &Option<ServiceName>| name.as_ref().map(|name| name.as_str().to_lowercase());
    let overlap = |a: &Service, b: &Service| {
        a.profiles.is_empty() || a.profiles.iter().any(|id| b.is_for(Some(id)))
    };
    lower(&one.name) == lower(&other.name)
        && one.kind.eq_ignore_ascii_case(&other.kind)
        && one.protocol == other.protocol
        && (overlap(one, other) || overlap(other, one))
}

fn service(span: &Span, said: &Table, findings: &mut Findings<'_>) -> Option<Service> {
    let name_text = said.texts("name").and_then(<[_]>::first);
    let name = name_text.map(|text| name(text, findings));
    let example = "type = \"_ipp._tcp\"";
    let type_text = super::local::one(span, said, "type", example, findings);
    let type_said = type_text.and_then(|text| service_type(text, findings));
    let port = said
        .integer("port")
        .and_then(|port| u16::try_from(port).ok());
    if port.is_none() && !said.is_faulty("port") {
        let help = Some("add port = 631".to_owned());
        findings.error(Some(span.clone()), "`port` is missing", help);
    }
    let text = strings(said, findings);
    let subtypes = subtypes(said, findings);
    let profiles = profiles(said, findings);
    let (kind, protocol) = type_said?;
    let name = match name {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Service {
        name,
        kind,
        protocol,
        port: port?,
        text,
        subtypes,
        profiles,
    })
}

fn name(text: &Text, findings: &mut Findings<'_>) -> Option<ServiceName> {
    let name = ServiceName::new(text.get_ref());
    if name.is_none() {
        let message =
            format!("this cannot be shown as a name, or is not of 1 to {MAX_LABEL} octets");
        let help = "write what users shall see, as \"Paper Mill\", without line breaks";
        findings.error(Some(text.span()), message, Some(help.to_owned()));
    }
    name
}

/// RFC 6335 §5.1: letters, digits and single hyphens, at least one letter; RFC 6763 §7: an underscore before.
fn service_type(text: &Text, findings: &mut Findings<'_>) -> Option<(Box<str>, ServiceProtocol)> {
    let said = text.get_ref().strip_suffix('.').unwrap_or(text.get_ref());
    let said = said.strip_suffix(".local").unwrap_or(said);
    let help = "write the type that is registered for it and what it speaks, as \"_ipp._tcp\" or \"_ntp._udp\"";
    let mut fail = |message: String| {
        findings.error(Some(text.span()), message, Some(help.to_owned()));
        None
    };
    let Some((kind, protocol)) = said.rsplit_once('.') else {
        return fail(format!("\"{said}\" is not a type of service"));
    };
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "_tcp" => ServiceProtocol::Tcp,
        "_udp" => ServiceProtocol::Udp,
        _ => {
            return fail(format!(
                "a type ends with _tcp or _udp, not with {protocol}"
            ));
        }
    };
    if let Some((subtype, _)) = kind.split_once("._sub.") {
        let kind = kind.rsplit('.').next().unwrap_or(kind);
        return fail(format!(
            "a subtype stands in `subtypes`: subtypes = [\"{subtype}\"] beside type = \"{kind}.{}\"",
            protocol.as_str()
        ));
    }
    let Some(bare) = kind.strip_prefix('_') else {
        return fail(format!("\"{kind}\" has no underscore before it"));
    };
    let is_good = (1..=MAX_TYPE).contains(&bare.len())
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && bare.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !bare.starts_with('-')
        && !bare.ends_with('-')
        && !bare.contains("--");
    if !is_good {
        return fail(format!(
            "\"{kind}\" is not a type: letters, digits and single hyphens, one letter at least, {MAX_TYPE} at most after the underscore"
        ));
    }
    Some((kind.into(), protocol))
}

/// Reads the strings of the TXT record (RFC 6763 §6.3, §6.4).
fn strings(said: &Table, findings: &mut Findings<'_>) -> Vec<Box<[u8]>> {
    let texts = said.texts("text").unwrap_or_default();
    let mut strings: Vec<Box<[u8]>> = Vec::with_capacity(texts.len());
    let mut keys: Vec<String> = Vec::new();
    let mut length = 0;
    for text in texts {
        let string = text.get_ref();
        let span = Some(text.span());
        let key = string.split('=').next().unwrap_or_default();
        let is_key = !key.is_empty() && key.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        length += string.len() + 1;
        if string.len() > MAX_STRING {
            let message = format!("the text has more than {MAX_STRING} octets");
            findings.error(span, message, None);
        } else if !is_key {
            let message = "what stands before `=` is no key, and would be ignored (RFC 6763 §6.4)";
            let help = "write KEY=VALUE or KEY, the key of ASCII characters".to_owned();
            findings.error(span, message, Some(help));
        } else if keys.contains(&key.to_ascii_lowercase()) {
            let message = format!("there is a `{key}` already, and only the first counts");
            findings.error(span, message, Some("leave one of them out".to_owned()));
        }
        keys.push(key.to_ascii_lowercase());
        strings.push(string.as_bytes().into());
    }
    if length > MAX_TEXT {
        let message = format!("all texts together have more than {MAX_TEXT} octets");
        let help = Some("leave out what nobody needs to find the service".to_owned());
        findings.error(said.key("text"), message, help);
    }
    strings
}

fn subtypes(said: &Table, findings: &mut Findings<'_>) -> Vec<Box<str>> {
    let mut subtypes: Vec<Box<str>> = Vec::new();
    for text in said.texts("subtypes").unwrap_or_default() {
        let subtype = text.get_ref();
        let mut known = subtypes.iter();
        if ServiceName::new(subtype).is_none() || subtype.contains('.') {
            let message = format!("\"{subtype}\" is not one label of 1 to {MAX_LABEL} octets");
            let help = "write the subtype alone, as \"_universal\"".to_owned();
            findings.error(Some(text.span()), message, Some(help));
        } else if known.any(|other| other.eq_ignore_ascii_case(subtype)) {
            let message = format!("{subtype} is in the list already");
            findings.warn(Some(text.span()), message, None);
        } else {
            subtypes.push(subtype.as_str().into());
        }
    }
    subtypes
}

fn profiles(said: &Table, findings: &mut Findings<'_>) -> Vec<ProfileId> {
    let mut profiles: Vec<ProfileId> = Vec::new();
    for text in said.texts("profiles").unwrap_or_default() {
        if let Some(id) = values::profile_id(text, findings) {
            if profiles.contains(&id) {
                let message = format!("{id} is in the list already");
                findings.warn(Some(text.span()), message, None);
            } else {
                profiles.push(id);
            }
        }
    }
    profiles
}
