//! Which records belong together? A section as RRsets with their signatures, in the order in which they came.

use std::collections::BTreeMap;

use crate::budget::{SETS_MAX, SIGS_KEPT};
use crate::name::Name;
use crate::record::{Record, Sig, rtype};

/// Records of one name, type and class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: Name,
    pub(crate) record_type: u16,
    pub(crate) class: u16,
    /// The least of its records', in seconds.
    pub(crate) ttl: u32,
    pub(crate) rdatas: Vec<Vec<u8>>,
    pub(crate) sigs: Vec<Sig>,
    /// Where its records and signatures are in the section.
    pub(crate) places: Vec<usize>,
}

/// Groups the records of a section; those whose name cannot be read are left out.
///
/// Stops where there are more sets than anybody looks at: such a section is not judged.
pub(crate) fn sets(section: &[Record]) -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    // By octets, not by name: the order does not matter, and hostile names are long.
    let mut at_by_key: BTreeMap<(Box<[u8]>, u16, u16), usize> = BTreeMap::new();
    let mut sigs = Vec::new();
    for (place, record) in section.iter().enumerate() {
        let Some(name) = Name::from_wire(&record.name) else {
            continue;
        };
        if record.record_type == rtype::RRSIG {
            if let Some(sig) = Sig::read(&record.rdata) {
                sigs.push((name, record.class, place, sig));
            }
            continue;
        }
        let key = (name.as_wire().into(), record.record_type, record.class);
        let at = *at_by_key.entry(key).or_insert(sets.len());
        if at == sets.len() {
            if sets.len() > SETS_MAX {
                break;
            }
            sets.push(Set {
                name,
                record_type: record.record_type,
                class: record.class,
                ttl: record.ttl,
                rdatas: Vec::new(),
                sigs: Vec::new(),
                places: Vec::new(),
            });
        }
        if let Some(set) = sets.get_mut(at) {
            set.ttl = set.ttl.min(record.ttl);
            set.rdatas.push(record.rdata.clone());
            set.places.push(place);
        }
    }
    for (name, class, place, sig) in sigs {
        let key = (name.as_wire().into(), sig.covered, class);
        if let Some(at) = at_by_key.get(&key)
            && let Some(set) = sets.get_mut(*at)
            && set.sigs.len() < SIGS_KEPT
        {
            set.sigs.push(sig);
            set.places.push(place);
        }
    }
    sets
}

/// Returns the set of a name and type.
pub(crate) fn find<'a>(sets: &'a [Set], name: &Name, record_type: u16) -> Option<&'a Set> {
    sets.iter()
        .find(|set| set.record_type == record_type && set.name == *name)
}
