//! What is a whole reply worth? Its aliases one after another, then the records or their denial at the last name.
//!
//! ```text
//! name ─ records? ─► checked, done
//!   │ DNAME above, CNAME here ─► checked, on to the target
//!   └ nothing ─► denial proven for this name, in the zone that speaks of it · nothing said: the target is to be asked for
//! ```
//!
//! The weakest part decides. Records that are on no such way are dropped, whatever they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::chain::{Pass, Proofs, bogus};
use crate::check::{Checked, type_name};
use crate::memory::Zone;
use crate::name::Name;
use crate::nsec::{NoDs, Nsecs};
use crate::nsec3::{Nsec3s, Proof};
use crate::record::{Key, rtype};
use crate::rrset::{Set, find};
use crate::validator::{
    Halt, MEMORY_MAX, Outcome, Sections, Trust, Validation, Validator, WallClock,
};
use crate::verdict::{BogusReason, IndeterminateReason, Verdict};

/// The most aliases that are followed.
const ALIASES_MAX: usize = 12;
const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;

/// What was found out so far.
struct Findings {
    insecure: Option<String>,
    until: u64,
    answers: BTreeSet<usize>,
    authority: BTreeSet<usize>,
    leads_to: Option<Name>,
    rcode: u16,
}

/// Judges as far as what was fetched allows.
pub(crate) fn run(
    validation: &mut Validation,
    validator: &mut Validator,
    now: WallClock,
) -> Result<Outcome, Halt> {
    let reply = Arc::clone(&validation.reply);
    let mut pass = Pass {
        validation,
        validator,
        now,
    };
    let findings = pass.judge(&reply)?;
    let everything = findings.insecure.is_some();
    if let Some(why) = &findings.insecure {
        pass.validation.note(format!("insecure: {why}"));
    }
    let mark = |count: usize, kept: &BTreeSet<usize>| {
        (0..count)
            .map(|place| everything || kept.contains(&place))
            .collect()
    };
    let left = findings.until.saturating_sub(now.seconds);
    Ok(Outcome {
        verdict: match findings.insecure {
            Some(_) => Verdict::Insecure,
            None => Verdict::Secure,
        },
        rcode: findings.rcode,
        answers: mark(reply.answer_count, &findings.answers),
        authority: mark(reply.authority_count, &findings.authority),
        why: findings
            .insecure
            .unwrap_or_else(|| "signed from the trust anchor down".to_owned()),
        links: std::mem::take(&mut pass.validation.links),
        evidence: std::mem::take(&mut pass.validation.evidence),
        ttl: u32::try_from(left).unwrap_or(u32::MAX),
        leads_to: findings.leads_to,
    })
}

impl Findings {
    fn take(&mut self, checked: &Checked) {
        match checked {
            Checked::Secure { until, .. } => self.until = self.until.min(*until),
            Checked::Insecure(why) => self.note_insecure(why),
        }
    }

    fn note_insecure(&mut self, why: &str) {
        self.insecure.get_or_insert_with(|| why.to_owned());
    }
}

impl Pass<'_> {
    fn judge(&mut self, reply: &Sections) -> Result<Findings, Halt> {
        let question = self.validation.question.clone();
        let mut findings = Findings {
            insecure: None,
            until: self.now.seconds + MEMORY_MAX,
            answers: BTreeSet::new(),
            authority: BTreeSet::new(),
            leads_to: None,
            rcode: reply.rcode,
        };
        match self.validator.trust(&question.name, self.now.seconds) {
            Trust::None => {
                return Err(Halt::Fail(
                    Verdict::Indeterminate(IndeterminateReason::NoAnchor),
                    format!("no trust anchor covers {}", question.name),
                ));
            }
            Trust::Off(at) => {
                findings.note_insecure(&format!(
                    "a negative anchor switches validation off at {at}"
                ));
                return Ok(findings);
            }
            Trust::Point(..) => {}
        }
        if question.record_type == rtype::RRSIG {
            findings.note_insecure("signatures themselves are not signed");
            return Ok(findings);
        }
        let mut name = question.name;
        let mut seen = vec![name.clone()];
        loop {
            let asked = question.record_type;
            let target = match self.take_dname(reply, &name, asked, &mut findings)? {
                Some(target) => target,
                None if self.take_records(reply, &name, asked, &mut findings)? => {
                    return Ok(findings);
                }
                None => match self.take_cname(reply, &name, asked, &mut findings)? {
                    Some(target) => target,
                    None => break,
                },
            };
            let Some(target) = target else {
                return Ok(findings);
            };
            if seen.contains(&target) || seen.len() > ALIASES_MAX {
                findings.rcode = NOERROR;
                return Ok(findings);
            }
            seen.push(target.clone());
            name = target;
        }
        self.take_denial(reply, &name, seen.len() > 1, &mut findings)?;
        Ok(findings)
    }

    /// Checks the records that answer at a name; returns whether there are any.
    fn take_records(
        &mut self,
        reply: &Sections,
        name: &Name,
        record_type: u16,
        findings: &mut Findings,
    ) -> Result<bool, Halt> {
        let sets: Vec<&Set> = reply
            .answers
            .iter()
            .filter(|set| set.name == *name)
            .filter(|set| record_type == rtype::ANY || set.record_type == record_type)
            .collect();
        for set in &sets {
            self.take_set(reply, set, findings)?;
            // No signature covers the header: what is there proves what it must say.
            findings.rcode = NOERROR;
        }
        Ok(!sets.is_empty())
    }

    /// Checks one RRset of the answer, with the proof that a wildcard may make it.
    fn take_set(
        &mut self,
        reply: &Sections,
        set: &Set,
        findings: &mut Findings,
    ) -> Result<(), Halt> {
        // An alias in the place of a DS is of the zone above, as the DS is.
        let of_parent = self.validation.question.record_type == rtype::DS
            && set.record_type == rtype::CNAME
            && !set.name.is_root();
        let checked = match of_parent {
            true => self.check_of(set, true)?,
            false => self.check(set)?,
        };
        findings.take(&checked);
        findings.answers.extend(&set.places);
        if let Checked::Secure { zone, expanded, .. } = checked {
            self.validation.note(format!(
                "{} {}: signed by {zone}",
                set.name,
                type_name(set.record_type)
            ));
            if let Some(labels) = expanded {
                self.take_expansion(reply, set, &zone, labels, findings)?;
            }
        }
        Ok(())
    }

    /// Follows the DNAME above a name: outer `None` when there is none, inner when nothing is asked of what it makes.
    fn take_dname(
        &mut self,
        reply: &Sections,
        name: &Name,
        record_type: u16,
        findings: &mut Findings,
    ) -> Result<Option<Option<Name>>, Halt> {
        let Some(set) = self.dname_above(reply, name) else {
            return Ok(None);
        };
        let owner = &set.name;
        if let Checked::Secure {
            expanded: Some(_), ..
        } = self.check(set)?
        {
            // RFC 4592 §4.4 leaves open what that would mean.
            return bogus(
                BogusReason::SignatureInvalid,
                format!("the DNAME at {owner} comes from a wildcard"),
            );
        }
        self.take_set(reply, set, findings)?;
        let target = set.rdatas.first().and_then(|rdata| Name::from_wire(rdata));
        let renamed = target.and_then(|target| name.renamed(owner, &target));
        if let Some(cname) = find(&reply.answers, name, rtype::CNAME) {
            // RFC 6672 §5.3.1: it is not signed, so it must be what the DNAME makes.
            if cname.rdatas.len() != 1 || target_of(cname) != renamed {
                return bogus(
                    BogusReason::SignatureInvalid,
                    format!("the alias at {name} is not what the DNAME at {owner} makes"),
                );
            }
            findings.answers.extend(&cname.places);
        }
        if renamed.is_none() {
            findings.note_insecure("the DNAME makes no name");
            return Ok(Some(None));
        }
        if record_type == rtype::CNAME {
            findings.rcode = NOERROR;
            return Ok(Some(None));
        }
        Ok(Some(renamed))
    }

    /// Follows the alias at a name: outer `None` when there is none, inner when it leads to no name.
    fn take_cname(
        &mut self,
        reply: &Sections,
        name: &Name,
        record_type: u16,
        findings: &mut Findings,
    ) -> Result<Option<Option<Name>>, Halt> {
        let cname = find(&reply.answers, name, rtype::CNAME);
        let Some(cname) = cname.filter(|_| record_type != rtype::CNAME) else {
            return Ok(None);
        };
        self.take_set(reply, cname, findings)?;
        Ok(Some(target_of(cname)))
    }

    /// RFC 4035 §5.3.4: a wildcard speaks only where nothing closer exists.
    fn take_expansion(
        &mut self,
        reply: &Sections,
        set: &Set,
        zone: &Name,
        labels: usize,
        findings: &mut Findings,
    ) -> Result<(), Halt> {
        let keys = self.keys_of(zone)?;
        let proofs = self.proofs(reply, zone, &keys)?;
        self.keep(reply, &proofs, findings);
        if (Nsecs {
            zone,
            records: &proofs.nsecs,
        })
        .prove_expansion(&set.name, labels)
        {
            return Ok(());
        }
        let proof = self.by_nsec3(zone, &proofs, |nsec3s| {
            nsec3s.prove_expansion(&set.name, labels)
        })?;
        match proof {
            Worth::Whole => Ok(()),
            Worth::Less(why) => {
                findings.note_insecure(&why);
                Ok(())
            }
            Worth::Nothing => bogus(
                BogusReason::NsecMissing,
                format!(
                    "{} comes from a wildcard, and nothing proves that it may",
                    set.name
                ),
            ),
        }
    }

    /// Judges that there is nothing at a name.
    fn take_denial(
        &mut self,
        reply: &Sections,
        name: &Name,
        after_alias: bool,
        findings: &mut Findings,
    ) -> Result<(), Halt> {
        let record_type = self.validation.question.record_type;
        let of_parent = record_type == rtype::DS && !name.is_root();
        for (zone, is_within) in self.deniers(reply, name, of_parent) {
            match self.zone(&zone) {
                Ok((Zone::Insecure(why), _)) if is_within => {
                    findings.note_insecure(&why);
                    return Ok(());
                }
                Ok((Zone::Secure(keys), _)) => {
                    if self.deny(reply, name, &zone, &keys, findings)? {
                        return Ok(());
                    }
                }
                // A zone above the anchor says something of what is below it only when it is Secure itself.
                Ok((Zone::Insecure(_), _)) => {}
                Err(Halt::Fail(..)) if !is_within => {}
                Err(halt) => return Err(halt),
            }
        }
        let place = match of_parent {
            true => name.parent().unwrap_or_else(Name::root),
            false => name.clone(),
        };
        if after_alias && self.validator.trust(&place, self.now.seconds) == Trust::None {
            findings.leads_to = Some(name.clone());
            findings.rcode = NOERROR;
            return Ok(());
        }
        match self.enclosing(&place)? {
            (_, Zone::Insecure(why)) => {
                findings.note_insecure(&why);
                Ok(())
            }
            (_, Zone::Secure(_)) if after_alias => {
                findings.leads_to = Some(name.clone());
                findings.rcode = NOERROR;
                Ok(())
            }
            (zone, Zone::Secure(_)) => bogus(
                BogusReason::NsecMissing,
                match reply.rcode {
                    NXDOMAIN => format!("{zone} does not prove that {name} does not exist"),
                    _ => format!(
                        "{zone} does not prove that {name} has no {}",
                        type_name(record_type)
                    ),
                },
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
        self.keep(reply, &proofs, findings);
        if let Some(soa) = find(&reply.authority, zone, rtype::SOA) {
            let checked = self.check(soa)?;
            findings.take(&checked);
            findings.authority.extend(&soa.places);
        }
        Ok(true)
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
            let mut found = nsecs.prove_no_ds(&cut) == Some(NoDs::Delegation);
            if let Some(first) = proofs.nsec3s.first().filter(|_| !found) {
                let left = &mut self.validation.left.hash_rounds;
                found = Nsec3s::like(first, zone, &proofs.nsec3s, left).names_unsigned_cut(&cut)?;
            }
            if found {
                findings.note_insecure(&format!("{zone} proves that {cut} has no DS"));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn by_nsec3(
        &mut self,
        zone: &Name,
        proofs: &Proofs,
        prove: impl Fn(&mut Nsec3s<'_>) -> Result<Proof, crate::budget::Spent>,
    ) -> Result<Worth, Halt> {
        for first in &proofs.nsec3s {
            if first.iterations > self.validator.settings.iterations_max {
                return Ok(Worth::Less(format!(
                    "{zone} uses more NSEC3 iterations than count here"
                )));
            }
            let left = &mut self.validation.left.hash_rounds;
            match prove(&mut Nsec3s::like(first, zone, &proofs.nsec3s, left))? {
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

    fn keep(&self, reply: &Sections, proofs: &Proofs, findings: &mut Findings) {
        findings.until = findings.until.min(proofs.until);
        for at in &proofs.sets {
            if let Some(set) = reply.authority.get(*at) {
                findings.authority.extend(&set.places);
            }
        }
    }

    fn keys_of(&mut self, zone: &Name) -> Result<Arc<[Key]>, Halt> {
        Ok(match self.zone(zone)?.0 {
            Zone::Secure(keys) => keys,
            Zone::Insecure(_) => Arc::default(),
        })
    }
}

/// What a proof by NSEC3 is worth.
enum Worth {
    Whole,
    Less(String),
    Nothing,
}

fn target_of(cname: &Set) -> Option<Name> {
    Name::from_wire(cname.rdatas.first()?)
}
