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

use crate::budget::{Budget, Spent};
use crate::chain::{Pass, bogus};
use crate::check::{Checked, type_name};
use crate::deny::Worth;
use crate::memory::Until;
use crate::name::Name;
use crate::nsec::Nsecs;
use crate::record::rtype;
use crate::rrset::{Set, find};
use crate::trust::Trust;
use crate::validator::{Halt, MEMORY_MAX, Outcome, Sections, Validation, Validator, WallClock};
use crate::verdict::{BogusReason, IndeterminateReason, Verdict};

/// The most aliases that are followed.
const ALIASES_MAX: usize = 12;
pub(crate) const NOERROR: u16 = 0;
pub(crate) const NXDOMAIN: u16 = 3;

/// What was found out so far.
pub(crate) struct Findings {
    pub(crate) insecure: Option<String>,
    pub(crate) until: Until,
    pub(crate) answers: BTreeSet<usize>,
    pub(crate) authority: BTreeSet<usize>,
    pub(crate) leads_to: Option<Name>,
    pub(crate) rcode: u16,
    /// Why a denial does not count.
    pub(crate) failed: Option<BogusReason>,
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
    let left = |until: u64| u32::try_from(until.saturating_sub(now.seconds)).unwrap_or(u32::MAX);
    let Until { counts, signed } = findings.until;
    Ok(Outcome {
        verdict: match findings.insecure {
            Some(_) => Verdict::Insecure,
            None => Verdict::Secure,
        },
        // What is proven counts, not what the reply says; what is not proven stays as it came.
        rcode: match findings.insecure {
            Some(_) => reply.rcode,
            None => findings.rcode,
        },
        answers: mark(reply.answer_count, &findings.answers),
        authority: mark(reply.authority_count, &findings.authority),
        why: findings
            .insecure
            .unwrap_or_else(|| "signed from the trust anchor down".to_owned()),
        links: std::mem::take(&mut pass.validation.links),
        evidence: std::mem::take(&mut pass.validation.evidence),
        spent: Budget::default(),
        debtor: None,
        ttl: left(counts),
        signed_for: (signed < u64::MAX).then(|| left(signed)),
        leads_to: findings.leads_to,
    })
}

impl Findings {
    pub(crate) fn take(&mut self, checked: &Checked) {
        match checked {
            Checked::Secure { until, .. } => self.until = self.until.min(*until),
            Checked::Insecure(why) => self.note_insecure(why),
        }
    }

    pub(crate) fn note_insecure(&mut self, why: &str) {
        self.insecure.get_or_insert_with(|| why.to_owned());
    }
}

impl Pass<'_> {
    fn judge(&mut self, reply: &Sections) -> Result<Findings, Halt> {
        let question = self.validation.question.clone();
        if reply.is_too_much() {
            return Err(Spent.into());
        }
        let mut findings = Findings {
            insecure: None,
            until: Until::unsigned(self.now.seconds + MEMORY_MAX),
            answers: BTreeSet::new(),
            authority: BTreeSet::new(),
            leads_to: None,
            rcode: NOERROR,
            failed: None,
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
            // The alias that a DNAME makes looks like a record at the name, and is not signed.
            if self.dname_above(&name, &reply.answers).is_none()
                && self.take_records(reply, &name, question.record_type, &mut findings)?
            {
                return Ok(findings);
            }
            let Some(target) =
                self.take_alias(reply, &name, question.record_type, &mut findings)?
            else {
                break;
            };
            let Some(target) = target else {
                return Ok(findings);
            };
            if seen.contains(&target) || seen.len() > ALIASES_MAX {
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
        // An alias in place of a DS is the parent's too: a zone has none at its apex.
        let of_parent = self.validation.question.record_type == rtype::DS
            && matches!(set.record_type, rtype::DS | rtype::CNAME)
            && !set.name.is_root();
        let checked = self.check_as(set, of_parent)?;
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

    /// Follows the alias at a name: outer `None` when there is none, inner when it leads to no name.
    fn take_alias(
        &mut self,
        reply: &Sections,
        name: &Name,
        record_type: u16,
        findings: &mut Findings,
    ) -> Result<Option<Option<Name>>, Halt> {
        let cname = find(&reply.answers, name, rtype::CNAME);
        if let Some(set) = self.dname_above(name, &reply.answers) {
            return self.take_dname(reply, name, set, cname, findings).map(Some);
        }
        let Some(cname) = cname.filter(|_| record_type != rtype::CNAME) else {
            return Ok(None);
        };
        self.take_set(reply, cname, findings)?;
        Ok(Some(target_of(cname)))
    }

    /// Follows a DNAME; returns where it leads, `None` when that is for the client to find out.
    fn take_dname(
        &mut self,
        reply: &Sections,
        name: &Name,
        set: &Set,
        cname: Option<&Set>,
        findings: &mut Findings,
    ) -> Result<Option<Name>, Halt> {
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
        if let Some(cname) = cname {
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
        }
        // Who asks for the alias itself has it by the DNAME, whether or not somebody cut the record that it makes.
        if self.validation.question.record_type == rtype::CNAME {
            findings.rcode = NOERROR;
            return Ok(None);
        }
        Ok(renamed)
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
                proofs.failed.unwrap_or(BogusReason::NsecMissing),
                format!(
                    "{} comes from a wildcard, and nothing proves that it may",
                    set.name
                ),
            ),
        }
    }
}

fn target_of(cname: &Set) -> Option<Name> {
    Name::from_wire(cname.rdatas.first()?)
}
