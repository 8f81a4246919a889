//! What is this machine called in `.local`, and what is said of it on a link? The name, and another when somebody has it.

use std::net::IpAddr;

use config::name::{DomainName, MAX_LABEL};
use policy::multicast::MulticastLink;

use super::message::Told;
use super::voice::Claimed;
use crate::record::RawRecord;

/// TTL of records that hang on a host's name, in seconds (RFC 6762 §10).
const HOST_TTL: u32 = 120;
/// The most names that are tried.
const NAMES_MAX: u32 = 1000;

/// The host's name.
#[derive(Debug, Default)]
pub(super) struct SelfName {
    label: Option<Box<[u8]>>,
    /// Which of the names it is: the second is called `host-2`.
    number: u32,
}

impl SelfName {
    /// Takes what the host is called; returns whether that is new.
    pub(super) fn apply(&mut self, hostname: Option<&DomainName>) -> bool {
        let label = hostname.and_then(|name| name.labels().next().map(Box::from));
        if label == self.label {
            return false;
        }
        self.label = label;
        self.number = 1;
        true
    }

    /// Takes names that are somebody else's; ours is another one then (RFC 6762 §9).
    pub(super) fn handle_conflicts(&mut self, names: &[DomainName]) {
        if self.name().is_some_and(|name| names.contains(&name)) && self.number < NAMES_MAX {
            self.number += 1;
        }
    }

    /// Returns the name.
    pub(super) fn name(&self) -> Option<DomainName> {
        let label = self.label.as_deref()?;
        let suffix = match self.number {
            0 | 1 => String::new(),
            number => format!("-{number}"),
        };
        let room = MAX_LABEL - suffix.len();
        let mut full = label.get(..room).unwrap_or(label).to_vec();
        full.extend_from_slice(suffix.as_bytes());
        DomainName::from_labels([&full[..], b"local"]).ok()
    }

    /// Returns what the machine is called, without a number, and its name in force.
    pub(super) fn called(&self) -> Option<(&[u8], DomainName)> {
        Some((self.label.as_deref()?, self.name()?))
    }

    /// Returns what is said on a link: the name's addresses there and the way back from them.
    pub(super) fn claims(&self, link: &MulticastLink) -> Vec<Claimed> {
        let Some(name) = self.name() else {
            return Vec::new();
        };
        let unique = |record| Told {
            record,
            flush: true,
        };
        let mut addresses: Vec<IpAddr> =
            link.addresses.iter().map(|prefix| prefix.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let forth = addresses
            .iter()
            .map(|&address| unique(RawRecord::address(&name, address, HOST_TTL)));
        let back = addresses.iter().map(|&address| {
            unique(RawRecord::pointer(
                &DomainName::reverse_of(address),
                &name,
                HOST_TTL,
            ))
        });
        let records: Vec<Told> = forth.chain(back).collect();
        if records.is_empty() {
            return Vec::new();
        }
        vec![Claimed { name, records }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_followed_by_a_number() {
        let mut own = SelfName::default();
        assert!(own.apply(Some(&"host.example.test".parse().unwrap())));
        assert!(!own.apply(Some(&"host.elsewhere.test".parse().unwrap())));
        let first = own.name().unwrap();
        assert_eq!(first.to_string(), "host.local");
        own.handle_conflicts(&["other.local".parse().unwrap()]);
        assert_eq!(own.name().unwrap(), first);
        own.handle_conflicts(&[first]);
        assert_eq!(own.name().unwrap().to_string(), "host-2.local");
        let long: DomainName = "a".repeat(63).parse().unwrap();
        own.apply(Some(&long));
        own.handle_conflicts(&[own.name().unwrap()]);
        assert_eq!(
            own.name().unwrap().to_string(),
            format!("{}-2.local", "a".repeat(61))
        );
    }
}
