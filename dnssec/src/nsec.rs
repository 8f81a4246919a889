//! What do NSEC records prove? RFC 4035 §5.4 with RFC 6840 §4. The records are verified, and of one zone.

use crate::name::Name;
use crate::record::{Nsec, rtype};

/// What a delegation looks like from above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoDs {
    /// A zone begins there that is not signed.
    Delegation,
    /// No zone begins there.
    NoCut,
    /// The name does not exist.
    NoName,
}

/// Verified NSEC records of one zone.
#[derive(Debug)]
pub(crate) struct Nsecs<'a> {
    pub(crate) zone: &'a Name,
    pub(crate) records: &'a [Nsec],
}

impl Nsecs<'_> {
    fn at(&self, name: &Name) -> Option<&Nsec> {
        self.records.iter().find(|nsec| nsec.owner == *name)
    }

    /// Returns a record in whose gap a name lies, and which may speak of it.
    fn covering(&self, name: &Name) -> Option<&Nsec> {
        self.records.iter().find(|nsec| {
            // One that leads out of its zone denies nothing.
            let in_zone = nsec.next.is_in(self.zone) && name.is_in(self.zone);
            let last = nsec.next == *self.zone;
            let in_gap = nsec.owner < *name && (last || *name < nsec.next);
            // RFC 6840 §4.1: neither a delegation nor a DNAME says anything of what is below it.
            let above = name.is_below(&nsec.owner)
                && (nsec.types.is_delegation() || nsec.types.has(rtype::DNAME));
            in_zone && in_gap && !above
        })
    }

    /// Returns a record in whose gap a name lies that does not exist even as a way to others.
    fn denying(&self, name: &Name) -> Option<&Nsec> {
        self.covering(name).filter(|nsec| !nsec.next.is_below(name))
    }

    /// Whether a name does not exist, and no wildcard makes it.
    pub(crate) fn prove_no_name(&self, name: &Name) -> bool {
        let Some(nsec) = self.denying(name) else {
            return false;
        };
        let wildcard = closest_encloser(name, nsec).wildcard();
        wildcard.is_some_and(|wildcard| self.denying(&wildcard).is_some())
    }

    /// Whether a name, or the wildcard that makes it, has no records of a type.
    pub(crate) fn prove_no_records(&self, name: &Name, record_type: u16) -> bool {
        if let Some(nsec) = self.at(name) {
            return lacks(nsec, name, record_type);
        }
        let Some(nsec) = self.covering(name) else {
            return false;
        };
        if nsec.next.is_below(name) {
            return true;
        }
        let Some(wildcard) = closest_encloser(name, nsec).wildcard() else {
            return false;
        };
        match self.at(&wildcard) {
            Some(nsec) => lacks(nsec, &wildcard, record_type),
            // Nothing but a way to other names (RFC 4592 §2.2.2).
            None => self
                .covering(&wildcard)
                .is_some_and(|nsec| nsec.next.is_below(&wildcard)),
        }
    }

    /// Tells why there is no DS.
    pub(crate) fn prove_no_ds(&self, name: &Name) -> Option<NoDs> {
        if let Some(nsec) = self.at(name) {
            if nsec.types.has(rtype::DS) || nsec.types.has(rtype::SOA) {
                return None;
            }
            return Some(match nsec.types.has(rtype::NS) {
                true => NoDs::Delegation,
                false => NoDs::NoCut,
            });
        }
        let nsec = self.covering(name)?;
        Some(match nsec.next.is_below(name) {
            true => NoDs::NoCut,
            false => NoDs::NoName,
        })
    }

    /// Whether a record of its own says that an unsigned zone begins at a name.
    pub(crate) fn names_unsigned_cut(&self, name: &Name) -> bool {
        let own = self.at(name);
        own.is_some_and(|nsec| nsec.types.is_delegation() && !nsec.types.has(rtype::DS))
    }

    /// Whether nothing is closer to a name than the wildcard below its last `labels` labels (RFC 4035 §5.3.4).
    pub(crate) fn prove_expansion(&self, name: &Name, labels: usize) -> bool {
        self.denying(name)
            .is_some_and(|nsec| closest_encloser(name, nsec).count() == labels)
    }
}

/// Returns the longest name above a denied one that exists.
pub(crate) fn closest_encloser(name: &Name, nsec: &Nsec) -> Name {
    let (before, after) = (name.common(&nsec.owner), name.common(&nsec.next));
    if before.count() >= after.count() {
        before
    } else {
        after
    }
}

/// Whether the record at a name says that there are no records of a type.
fn lacks(nsec: &Nsec, name: &Name, record_type: u16) -> bool {
    let types = &nsec.types;
    if types.has(record_type) || types.has(rtype::CNAME) {
        return false;
    }
    match record_type {
        rtype::ANY => types.are_none(),
        // The zone above speaks of DS, never the zone itself (RFC 4035 §5.4).
        rtype::DS => !types.has(rtype::SOA) || name.is_root(),
        _ => !types.is_delegation(),
    }
}
