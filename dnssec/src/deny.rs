//! Is there nothing at a name? The denials of a reply, judged for the last name that its aliases lead to.
//!
//! What NSEC and NSEC3 prove is said in `nsec` and `nsec3`; here is whose word counts. Nothing is fetched for its own sake.

use std::sync::Arc;

use crate::chain::{Pass, Proofs, bogus};
use crate::check::{speaker_of, type_name};
use crate::judge::{Findings, NOERROR, NXDOMAIN};
use crate::memory::Zone;
use crate::name::Name;
use crate::nsec::Nsecs;
use crate::nsec3::{Nsec3s, Proof};
use crate::record::{Key, rtype};
use crate::rrset::find;
use crate::trust::Trust;
use crate::validator::{Halt, Sections};
use crate::verdict::{BogusReason, Verdict};
use crate::work::Stop;

/// What a proof by NSEC3 is worth.
pub(crate) enum Worth {
    Whole,
    Less(String),
    Nothing,
}

impl Pass<'_> {
    /// Judges that there is nothing at a name.
    pub(crate) fn take_denial(
        &mut self,
        reply: &Sections,
        name: &Name,
        after_alias: bool,
        findings: &mut Findings,
    ) -> Result<(), Halt> {
        let record_type = self.validation.question.record_type;
        let of_parent = record_type == rtype::DS && !name.is_root();
        let mut failed = None;
        for (zone, is_within) in self.deniers(reply, name, of_parent) {
            match self.zone(&zone) {
                Ok((Zone::Insecure(why), _)) if is_within => {
                    findings.note_insecure(&why);
                    return Ok(());
                }
                Ok((Zone::Secure(keys), until)) => {
                    let is_denied = match is_within {
                        true => self.deny(reply, name, &zone, &keys, findings)?,
                        false => self.deny_point(reply, name, &zone, &keys, findings)?,
                    };
                    if is_denied {
                        findings.until = findings.until.min(until);
                        return Ok(());
                    }
                }
                Ok((Zone::Insecure(_), _)) => {}
                Err(Halt::Fail(..)) if !is_within => {}
                // Somebody's word that does not count hurts no other's.
                Err(halt @ Halt::Fail(Verdict::Bogus(_), _)) => {
                    failed.get_or_insert(halt);
                }
                Err(halt) => return Err(halt),
            }
        }
        let place = speaker_of(name, of_parent);
        if after_alias && self.validator.trust(&place, self.now.seconds) == Trust::None {
            findings.leads_to = Some(name.clone());
            return Ok(());
        }
        match self.enclosing(&place)? {
            (_, Zone::Insecure(why)) => {
                findings.note_insecure(&why);
                Ok(())
            }
            (_, Zone::Secure(_)) if after_alias => {
                findings.leads_to = Some(name.clone());
                Ok(())
            }
            (zone, Zone::Secure(_)) => failed.map_or_else(
                || {
                    bogus(
                        findings.failed.unwrap_or(BogusReason::NsecMissing),
                        match reply.rcode {
                            NXDOMAIN => format!("{zone} does not prove that {name} does not exist"),
                            _ => format!(
                                "{zone} does not prove that {name} has no {}",
                                type_name(record_type)
                            ),
                        },
                    )
                },
                Err,
            ),
        }
    }

    /// Whether a secure zone proves that there is nothing at a name.
    fn deny(
        &mut self,
        reply: &Sections,
        name: &Name,
        zone: &Name,
        keys: &[Key],
        findings: &mut Findings,
    ) -> Result<bool, Halt> {
        let record_type = self.validation.question.record_type;
        let proofs = self.proofs(reply, zone, keys)?;
        findings.failed = findings.failed.or(proofs.failed);
        let nsecs = Nsecs {
            zone,
            records: &proofs.nsecs,
        };
        let mut no_name = reply.rcode == NXDOMAIN;
        let mut worth = Worth::Nothing;
        if no_name {
            worth = match nsecs.prove_no_name(name) {
                true => Worth::Whole,
                false => self.by_nsec3(zone, &proofs, |nsec3s| nsec3s.prove_no_name(name))?,
            };
        }
        if matches!(worth, Worth::Nothing) {
            // Names on the way to others exist; some servers say of them that they do not.
            worth = match nsecs.prove_no_records(name, record_type) {
                true => Worth::Whole,
                false => self.by_nsec3(zone, &proofs, |nsec3s| {
                    nsec3s.prove_no_records(name, record_type)
                })?,
            };
            match worth {
                Worth::Whole if no_name => no_name = false,
                // An opt-out says nothing of what is there.
                Worth::Less(_) if no_name => worth = Worth::Nothing,
                Worth::Whole | Worth::Less(_) | Worth::Nothing => {}
            }
        }
        match worth {
            Worth::Whole => {}
            Worth::Less(why) => findings.note_insecure(&why),
            Worth::Nothing => return self.is_below_cut(name, zone, &proofs, findings),
        }
        findings.rcode = if no_name { NXDOMAIN } else { NOERROR };
        self.validation.note(match no_name {
            true => format!("{name}: {zone} proves that it does not exist"),
            false => format!(
                "{name}: {zone} proves that it has no {}",
                type_name(record_type)
            ),
        });
        self.keep_denial(reply, zone, &proofs, findings)?;
        Ok(true)
    }

    /// Whether a secure zone above the anchor proves that not even the anchor's name exists; else it has no say below it.
    fn deny_point(
        &mut self,
        reply: &Sections,
        name: &Name,
        zone: &Name,
        keys: &[Key],
        findings: &mut Findings,
    ) -> Result<bool, Halt> {
        if reply.rcode != NXDOMAIN {
            return Ok(false);
        }
        let proofs = self.proofs(reply, zone, keys)?;
        findings.failed = findings.failed.or(proofs.failed);
        let nsecs = Nsecs {
            zone,
            records: &proofs.nsecs,
        };
        let is_proven = nsecs.prove_no_name(name)
            || matches!(
                self.by_nsec3(zone, &proofs, |nsec3s| nsec3s.prove_no_name(name))?,
                Worth::Whole
            );
        if is_proven {
            findings.rcode = NXDOMAIN;
            self.validation.note(format!(
                "{name}: {zone}, above the anchor, proves that it does not exist"
            ));
            self.keep_denial(reply, zone, &proofs, findings)?;
        }
        Ok(is_proven)
    }

    fn keep_denial(
        &mut self,
        reply: &Sections,
        zone: &Name,
        proofs: &Proofs,
        findings: &mut Findings,
    ) -> Result<(), Halt> {
        self.keep(reply, proofs, findings);
        if let Some(soa) = find(&reply.authority, zone, rtype::SOA) {
            let checked = self.check(soa)?;
            findings.take(&checked);
            findings.authority.extend(&soa.places);
        }
        Ok(())
    }

    /// Whether the proofs say that a name is at or below a delegation that is not signed.
    fn is_below_cut(
        &mut self,
        name: &Name,
        zone: &Name,
        proofs: &Proofs,
        findings: &mut Findings,
    ) -> Result<bool, Halt> {
        let nsecs = Nsecs {
            zone,
            records: &proofs.nsecs,
        };
        for count in zone.count() + 1..=name.count() {
            let cut = name.suffix(count);
            let mut found = nsecs.names_unsigned_cut(&cut);
            if let Some(first) = proofs.nsec3s.first().filter(|_| !found) {
                let work = &mut self.validation.work;
                found = Nsec3s::like(first, zone, &proofs.nsec3s, work).names_unsigned_cut(&cut)?;
            }
            if found {
                findings.note_insecure(&format!("{zone} proves that {cut} has no DS"));
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn by_nsec3(
        &mut self,
        zone: &Name,
        proofs: &Proofs,
        prove: impl Fn(&mut Nsec3s<'_>) -> Result<Proof, Stop>,
    ) -> Result<Worth, Halt> {
        for first in proofs.ways() {
            if first.iterations > self.validator.settings.iterations_max {
                return Ok(Worth::Less(format!(
                    "{zone} uses more NSEC3 iterations than count here"
                )));
            }
            let work = &mut self.validation.work;
            match prove(&mut Nsec3s::like(first, zone, &proofs.nsec3s, work))? {
                Proof::Whole => return Ok(Worth::Whole),
                Proof::OptOut => {
                    return Ok(Worth::Less(format!(
                        "{zone} leaves out unsigned delegations there (opt-out)"
                    )));
                }
                Proof::None => {}
            }
        }
        Ok(Worth::Nothing)
    }

    pub(crate) fn keep(&self, reply: &Sections, proofs: &Proofs, findings: &mut Findings) {
        findings.until = findings.until.min(proofs.until);
        for at in &proofs.sets {
            if let Some(set) = reply.authority.get(*at) {
                findings.authority.extend(&set.places);
            }
        }
    }

    pub(crate) fn keys_of(&mut self, zone: &Name) -> Result<Arc<[Key]>, Halt> {
        Ok(match self.zone(zone)?.0 {
            Zone::Secure(keys) => keys,
            Zone::Insecure(_) => Arc::default(),
        })
    }
}
