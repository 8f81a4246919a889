//! Which services does this machine announce on a link, and under which names (RFC 6763)? Records of the plan's services.
//!
//! Each has a name of its own, which is probed for and defended as the host's is. Where somebody has it, a number comes
//! behind it: `Paper Mill (2)`; the number is the same on all links, and kept while the plan has the service.

use std::collections::{BTreeMap, BTreeSet};

use config::model::Service;
use config::name::{DomainName, MAX_LABEL};
use policy::multicast::MulticastLink;

use super::message::Told;
use super::voice::Claimed;
use crate::record::RawRecord;
use crate::wire::rtype;

/// TTL of records that have a host's name in them, in seconds (RFC 6762 §10).
const HOST_TTL: u32 = 120;
/// TTL of all others, in seconds (RFC 6762 §10).
const OTHER_TTL: u32 = 4500;
/// The most names that are tried.
const NAMES_MAX: u32 = 1000;
/// What all types are found by (RFC 6763 §9).
const TYPES: [&[u8]; 4] = [b"_services", b"_dns-sd", b"_udp", b"local"];

/// A service before its name is numbered: what it is called in lower case, or the host's name is, and its type.
type Base = (Option<Box<str>>, DomainName);

/// The services of the machine.
#[derive(Debug, Default)]
pub(super) struct Services {
    /// Which of its names each service has: the second is called `NAME (2)`.
    number_by_base: BTreeMap<Base, u32>,
    /// The name that each has in force.
    name_by_base: BTreeMap<Base, DomainName>,
}

impl Services {
    /// Forgets the numbers of services that no link announces.
    pub(super) fn keep(&mut self, links: &[MulticastLink]) {
        let services = links.iter().flat_map(|link| &link.services);
        let kept: BTreeSet<Base> = services.filter_map(|service| base(service)).collect();
        self.number_by_base.retain(|base, _| kept.contains(base));
        self.name_by_base.retain(|base, _| kept.contains(base));
    }

    /// The machine is called otherwise: services with its name begin anew.
    pub(super) fn handle_renaming(&mut self) {
        self.number_by_base.retain(|(name, _), _| name.is_some());
        self.name_by_base.retain(|(name, _), _| name.is_some());
    }

    /// Takes names that are somebody else's (RFC 6762 §9): the services that had them take the next.
    pub(super) fn handle_conflicts(&mut self, names: &[DomainName]) {
        for (base, name) in &self.name_by_base {
            if names.contains(name) {
                let number = self.number_by_base.entry(base.clone()).or_insert(1);
                *number = (*number + 1).min(NAMES_MAX);
            }
        }
    }

    /// Returns what is said of the services on a link; `label` is what the machine is called, and `host` where it is found.
    pub(super) fn claims(
        &mut self,
        link: &MulticastLink,
        label: &[u8],
        host: &DomainName,
    ) -> Vec<Claimed> {
        let mut claims: Vec<Claimed> = Vec::with_capacity(link.services.len());
        for service in &link.services {
            let Some(base) = base(service) else {
                continue;
            };
            let text = match &service.name {
                Some(name) => name.as_str().as_bytes(),
                None => label,
            };
            let first = self.number_by_base.get(&base).copied().unwrap_or(1);
            // Two of our own may come to the same name.
            let mut tried = (first..=NAMES_MAX).take(link.services.len());
            let found = tried.find_map(|number| {
                let claimed = claimed(service, &numbered(text, number), host)?;
                let is_free = claims.iter().all(|other| other.name != claimed.name);
                is_free.then_some((number, claimed))
            });
            if let Some((number, claimed)) = found {
                self.number_by_base.insert(base.clone(), number);
                self.name_by_base.insert(base, claimed.name.clone());
                claims.push(claimed);
            }
        }
        claims
    }
}

fn base(service: &Service) -> Option<Base> {
    let name = service.name.as_ref();
    let name = name.map(|name| name.as_str().to_ascii_lowercase().into());
    let labels = [
        service.kind.as_bytes(),
        service.protocol.as_str().as_bytes(),
    ];
    Some((name, DomainName::from_labels(labels).ok()?))
}

/// Says what a service is called and of which type it is, as users see it.
pub(super) fn shown(claimed: &Claimed) -> String {
    let own = claimed.records.first().map(|told| &told.record.name);
    let mut rest = own.map_or(&[][..], |name| &name[..]);
    let mut labels = std::iter::from_fn(|| {
        let (&length, tail) = rest.split_first()?;
        let (label, tail) = tail.split_at_checked(usize::from(length))?;
        rest = tail;
        (length > 0).then(|| String::from_utf8_lossy(label))
    });
    let [name, kind, protocol] = [(); 3].map(|()| labels.next().unwrap_or_default());
    format!("{name} ({kind}.{protocol})")
}

/// Returns a name with its number behind it (RFC 6763 appendix D), cut between characters where it would be too long.
fn numbered(text: &[u8], number: u32) -> Vec<u8> {
    let suffix = match number {
        0 | 1 => String::new(),
        number => format!(" ({number})"),
    };
    let room = MAX_LABEL - suffix.len();
    let mut end = text.len().min(room);
    // RFC 3629 §3: octets 10xxxxxx go on a character.
    while end < text.len() && end > 0 && text.get(end).is_some_and(|octet| octet & 0xc0 == 0x80) {
        end -= 1;
    }
    let mut full = text.get(..end).unwrap_or(text).to_vec();
    full.extend_from_slice(suffix.as_bytes());
    full
}

/// Returns the records of a service (RFC 6763 §4, §6, §7.1, §9); names keep their spelling, as users see it.
fn claimed(service: &Service, label: &[u8], host: &DomainName) -> Option<Claimed> {
    let kind = service.kind.as_bytes();
    let protocol = service.protocol.as_str().as_bytes();
    let name = DomainName::from_labels([label, kind, protocol, b"local"]).ok()?;
    let instance = wire(&[label, kind, protocol, b"local"]);
    let of_type = wire(&[kind, protocol, b"local"]);
    let record = |name: &[u8], record_type, ttl, rdata: Vec<u8>| RawRecord {
        name: name.into(),
        ..RawRecord::new(host, record_type, ttl, rdata)
    };
    let unique = |record| Told {
        record,
        flush: true,
    };
    let shared = |record| Told {
        record,
        flush: false,
    };
    let mut place = vec![0, 0, 0, 0];
    place.extend_from_slice(&service.port.to_be_bytes());
    place.extend_from_slice(host.as_wire());
    let mut text = Vec::new();
    for string in &service.text {
        text.push(u8::try_from(string.len()).ok()?);
        text.extend_from_slice(string);
    }
    if text.is_empty() {
        // RFC 6763 §6.1: a record with one empty string.
        text.push(0);
    }
    let mut records = vec![
        unique(record(&instance, rtype::SRV, HOST_TTL, place)),
        unique(record(&instance, rtype::TXT, OTHER_TTL, text)),
        shared(record(&of_type, rtype::PTR, OTHER_TTL, instance.clone())),
    ];
    for subtype in &service.subtypes {
        let narrower = [subtype.as_bytes(), b"_sub", kind, protocol, b"local"];
        DomainName::from_labels(narrower).ok()?;
        let narrower = wire(&narrower);
        records.push(shared(record(
            &narrower,
            rtype::PTR,
            OTHER_TTL,
            instance.clone(),
        )));
    }
    records.push(shared(record(
        &wire(&TYPES),
        rtype::PTR,
        OTHER_TTL,
        of_type,
    )));
    Some(Claimed { name, records })
}

/// Writes labels that fit a name.
fn wire(labels: &[&[u8]]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(64);
    for label in labels {
        wire.push(u8::try_from(label.len()).unwrap_or_default());
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_behind_a_name_and_cuts_no_character() {
        let text = |text: &str, number| String::from_utf8(numbered(text.as_bytes(), number));
        assert_eq!(text("Paper Mill", 1).unwrap(), "Paper Mill");
        assert_eq!(text("Paper Mill", 2).unwrap(), "Paper Mill (2)");
        let long = "é".repeat(31) + "x";
        assert_eq!(text(&long, 1).unwrap(), long);
        assert_eq!(text(&long, 12).unwrap(), "é".repeat(29) + " (12)");
        assert_eq!(text("", 2).unwrap(), " (2)");
    }
}
