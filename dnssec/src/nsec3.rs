//! What do NSEC3 records prove? RFC 5155 §8. The records are verified, of one zone, with the same parameters.

use crate::name::Name;
use crate::nsec::NoDs;
use crate::record::{Nsec3, Types, rtype};
use crate::work::{Stop, Work};

/// What a proof is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing.
    None,
    /// It holds.
    Whole,
    /// It holds, but unsigned delegations may be left out where it speaks (RFC 5155 §6).
    OptOut,
}

/// Verified NSEC3 records of one zone that agree in salt and iterations (RFC 5155 §8.2).
#[derive(Debug)]
pub(crate) struct Nsec3s<'a> {
    zone: &'a Name,
    records: Vec<&'a Nsec3>,
    salt: &'a [u8],
    iterations: u16,
    work: &'a mut Work,
}

/// The closest name that exists, and the record that denies the next one.
struct Encloser<'a> {
    name: Name,
    next: &'a Nsec3,
}

impl<'a> Nsec3s<'a> {
    /// Takes the records that agree with `first`.
    pub(crate) fn like(
        first: &'a Nsec3,
        zone: &'a Name,
        all: &'a [Nsec3],
        work: &'a mut Work,
    ) -> Self {
        Self {
            zone,
            records: all
                .iter()
                .filter(|nsec3| nsec3.salt == first.salt && nsec3.iterations == first.iterations)
                .collect(),
            salt: &first.salt,
            iterations: first.iterations,
            work,
        }
    }

    fn hash(&mut self, name: &Name) -> Result<Vec<u8>, Stop> {
        self.work.hash(name, self.salt, self.iterations)
    }

    fn at(&mut self, name: &Name) -> Result<Option<&'a Nsec3>, Stop> {
        let hash = self.hash(name)?;
        Ok(self
            .records
            .iter()
            .copied()
            .find(|nsec3| nsec3.owner == hash))
    }

    fn covering(&mut self, name: &Name) -> Result<Option<&'a Nsec3>, Stop> {
        let hash = self.hash(name)?;
        Ok(self.records.iter().copied().find(|nsec3| {
            let (owner, next) = (&nsec3.owner, &nsec3.next);
            match owner < next {
                true => *owner < hash && hash < *next,
                // The last one; alone, it covers everything but itself.
                false => hash > *owner || hash < *next,
            }
        }))
    }

    /// RFC 5155 §8.3.
    fn encloser(&mut self, name: &Name) -> Result<Option<Encloser<'a>>, Stop> {
        let mut below = name.clone();
        while let Some(above) = below.parent().filter(|above| above.is_in(self.zone)) {
            if let Some(nsec3) = self.at(&above)? {
                if nsec3.types.has(rtype::DNAME) || nsec3.types.is_delegation() {
                    return Ok(None);
                }
                let next = self.covering(&below)?;
                return Ok(next.map(|next| Encloser { name: above, next }));
            }
            below = above;
        }
        Ok(None)
    }

    /// RFC 5155 §8.4.
    pub(crate) fn prove_no_name(&mut self, name: &Name) -> Result<Proof, Stop> {
        let Some(encloser) = self.encloser(name)? else {
            return Ok(Proof::None);
        };
        let Some(wildcard) = encloser.name.wildcard() else {
            return Ok(Proof::None);
        };
        Ok(match self.covering(&wildcard)? {
            Some(_) => worth(encloser.next),
            None => Proof::None,
        })
    }

    /// RFC 5155 §8.5 to §8.7.
    pub(crate) fn prove_no_records(
        &mut self,
        name: &Name,
        record_type: u16,
    ) -> Result<Proof, Stop> {
        if let Some(nsec3) = self.at(name)? {
            return Ok(match lacks(&nsec3.types, name, record_type) {
                true => Proof::Whole,
                false => Proof::None,
            });
        }
        let Some(encloser) = self.encloser(name)? else {
            return Ok(Proof::None);
        };
        if let Some(wildcard) = encloser.name.wildcard()
            && let Some(nsec3) = self.at(&wildcard)?
            && lacks(&nsec3.types, &wildcard, record_type)
        {
            return Ok(worth(encloser.next));
        }
        // RFC 5155 §8.6, and names on the way to unsigned delegations, which have no record of their own; a wildcard beside
        // them does not make them.
        Ok(match encloser.next.opt_out {
            true => Proof::OptOut,
            false => Proof::None,
        })
    }

    /// Tells why there is no DS.
    pub(crate) fn prove_no_ds(&mut self, name: &Name) -> Result<Option<NoDs>, Stop> {
        if let Some(nsec3) = self.at(name)? {
            let types = &nsec3.types;
            if types.has(rtype::DS) || types.has(rtype::SOA) {
                return Ok(None);
            }
            return Ok(Some(match types.has(rtype::NS) {
                true => NoDs::Delegation,
                false => NoDs::NoCut,
            }));
        }
        let encloser = self.encloser(name)?;
        Ok(encloser.map(|encloser| match encloser.next.opt_out {
            true => NoDs::Delegation,
            false => NoDs::NoName,
        }))
    }

    /// Whether a record of its own says that an unsigned zone begins at a name.
    pub(crate) fn names_unsigned_cut(&mut self, name: &Name) -> Result<bool, Stop> {
        let own = self.at(name)?;
        Ok(own.is_some_and(|nsec3| nsec3.types.is_delegation() && !nsec3.types.has(rtype::DS)))
    }

    /// RFC 5155 §8.8.
    pub(crate) fn prove_expansion(&mut self, name: &Name, labels: usize) -> Result<Proof, Stop> {
        let next = name.suffix(labels + 1);
        Ok(self.covering(&next)?.map_or(Proof::None, worth))
    }
}

fn worth(nsec3: &Nsec3) -> Proof {
    if nsec3.opt_out {
        Proof::OptOut
    } else {
        Proof::Whole
    }
}

fn lacks(types: &Types, name: &Name, record_type: u16) -> bool {
    if types.has(record_type) || types.has(rtype::CNAME) {
        return false;
    }
    match record_type {
        rtype::ANY => types.are_none(),
        rtype::DS => !types.has(rtype::SOA) || name.is_root(),
        _ => !types.is_delegation(),
    }
}
