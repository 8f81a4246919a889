//! Does an RRset carry a signature that fits? By the keys of the zone that it names, within its dates.
//!
//! Which keys those are is `chain`'s; what a missing signature means is asked there too.

use std::sync::Arc;

use crate::budget::{KEYS_PER_TAG, SIGS_PER_SET};
use crate::chain::{Pass, bogus};
use crate::crypto::signed_data;
use crate::memory::{Until, Zone};
use crate::name::Name;
use crate::record::{Key, Sig, rtype};
use crate::rrset::Set;
use crate::trust::Trust;
use crate::validator::{Halt, MEMORY_MAX};
use crate::verdict::{BogusReason, Verdict};

/// What an RRset is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checked {
    /// A key of `zone` signs it, until then; `labels` when a wildcard made it.
    Secure {
        zone: Name,
        until: Until,
        expanded: Option<usize>,
    },
    /// It need not be signed.
    Insecure(Arc<str>),
}

impl Pass<'_> {
    /// Finds a signature that fits, and until when it counts.
    pub(crate) fn any_fits<'s>(
        &mut self,
        set: &Set,
        sigs: impl Iterator<Item = &'s Sig>,
        keys: &[Key],
    ) -> Result<(Until, &'s Sig), Halt> {
        let mut reason = (BogusReason::RrsigsMissing, "is not signed");
        for sig in sigs.take(SIGS_PER_SET) {
            match self.fits(set, sig, keys)? {
                Ok(until) => return Ok((until, sig)),
                Err(found) => reason = found,
            }
        }
        bogus(
            reason.0,
            format!("{} {} {}", set.name, type_name(set.record_type), reason.1),
        )
    }

    /// Checks one signature by those keys that it may be of.
    pub(crate) fn fits(
        &mut self,
        set: &Set,
        sig: &Sig,
        keys: &[Key],
    ) -> Result<Result<Until, (BogusReason, &'static str)>, Halt> {
        if !self.validator.settings.algorithms.can_verify(sig.algorithm) {
            return Ok(Err((
                BogusReason::SignatureInvalid,
                "is signed by an algorithm that is not known here",
            )));
        }
        let until = match self.dates(sig, set.ttl) {
            Ok(until) => until,
            Err(found) => return Ok(Err(found)),
        };
        let Some(data) = signed_data(set, sig) else {
            return Ok(Err((
                BogusReason::SignatureInvalid,
                "has a signature that says more labels than there are",
            )));
        };
        let fitting = keys
            .iter()
            .filter(|key| key.tag == sig.key_tag && key.algorithm == sig.algorithm);
        let mut reason = (
            BogusReason::DnskeyMissing,
            "is signed by a key that is not there",
        );
        for key in fitting.take(KEYS_PER_TAG) {
            let content = content(&data, &sig.signature, &key.rdata);
            if self
                .validator
                .memory
                .checked(&content, self.now.seconds)
                .is_some()
            {
                return Ok(Ok(until));
            }
            let work = &mut self.validation.work;
            if work.verify(key, &data, &sig.signature, &content)? {
                self.validator.memory.keep_checked(content, until.counts);
                return Ok(Ok(until));
            }
            reason = (
                BogusReason::SignatureInvalid,
                "has a signature that does not fit",
            );
        }
        Ok(Err(reason))
    }

    /// Judges the dates of a signature (RFC 4034 §3.1.5, serial numbers); returns until when a set counts.
    fn dates(&self, sig: &Sig, ttl: u32) -> Result<Until, (BogusReason, &'static str)> {
        let now = self.now.seconds;
        let lifetime = u64::from(ttl.min(sig.original_ttl)).min(MEMORY_MAX);
        if !self.now.dates_count {
            return Ok(Until::unsigned(now + lifetime));
        }
        let short = u32::try_from(now & u64::from(u32::MAX)).unwrap_or_default();
        // The difference of serial numbers is signed (RFC 1982).
        let left = sig.expiration.wrapping_sub(short).cast_signed();
        let since = short.wrapping_sub(sig.inception).cast_signed();
        if sig.expiration.wrapping_sub(sig.inception).cast_signed() < 0 {
            return Err((
                BogusReason::SignatureExpired,
                "has a signature that ends before it begins",
            ));
        }
        if since < 0 {
            return Err((
                BogusReason::SignatureNotYetValid,
                "has a signature whose time has not come",
            ));
        }
        let Ok(left) = u64::try_from(left) else {
            return Err((
                BogusReason::SignatureExpired,
                "has a signature whose time is over",
            ));
        };
        Ok(Until {
            counts: now + lifetime.min(left),
            signed: now + left,
        })
    }

    /// Judges an RRset by its signatures, or by the proof that it needs none.
    pub(crate) fn check(&mut self, set: &Set) -> Result<Checked, Halt> {
        let of_parent = set.record_type == rtype::DS && !set.name.is_root();
        self.check_as(set, of_parent)
    }

    /// As [`Pass::check`]; `of_parent` says that only a zone above the name can have signed it.
    ///
    /// What answers a question for DS is always judged so: else it would be needed to judge itself.
    pub(crate) fn check_as(&mut self, set: &Set, of_parent: bool) -> Result<Checked, Halt> {
        let place = speaker_of(&set.name, of_parent);
        let trust = self.trust(&place);
        if let Trust::Off(at) = &trust {
            return Ok(Checked::Insecure(switched_off(at)));
        }
        let within = |signer: &Name| match &trust {
            Trust::Point(owner, _) => signer.is_in(owner),
            Trust::Off(_) | Trust::None => true,
        };
        let may_sign = |signer: &Name| {
            set.name.is_in(signer) && !(of_parent && *signer == set.name) && within(signer)
        };
        let mut signers: Vec<Name> = Vec::new();
        for sig in &set.sigs {
            if may_sign(&sig.signer) && !signers.contains(&sig.signer) {
                signers.push(sig.signer.clone());
            }
        }
        signers.sort_by_key(|signer| std::cmp::Reverse(signer.count()));
        let mut failed = None;
        for signer in signers.into_iter().take(SIGS_PER_SET) {
            let (state, zone_until) = match self.zone(&signer) {
                Ok(found) => found,
                Err(Halt::Fail(verdict @ Verdict::Bogus(_), why)) => {
                    failed.get_or_insert(Halt::Fail(verdict, why));
                    continue;
                }
                Err(halt) => return Err(halt),
            };
            let keys = match state {
                Zone::Insecure(why) => return Ok(Checked::Insecure(why)),
                Zone::Secure(keys) => keys,
            };
            let sigs: Vec<Sig> = set
                .sigs
                .iter()
                .filter(|sig| sig.signer == signer)
                .cloned()
                .collect();
            let mut reason = None;
            for sig in sigs.iter().take(SIGS_PER_SET) {
                match self.fits(set, sig, &keys)? {
                    Ok(until) => {
                        let expanded = (sig.labels < set.name.signed_count()).then_some(sig.labels);
                        return Ok(Checked::Secure {
                            zone: signer,
                            until: until.min(zone_until),
                            expanded,
                        });
                    }
                    Err(found) => reason = Some(found),
                }
            }
            if let Some((reason, text)) = reason {
                let why = format!("{} {} {text}", set.name, type_name(set.record_type));
                failed.get_or_insert(Halt::Fail(Verdict::Bogus(reason), why));
            }
        }
        if let Some(halt) = failed {
            return Err(halt);
        }
        match self.enclosing(&place)? {
            (_, Zone::Insecure(why)) => Ok(Checked::Insecure(why)),
            (zone, Zone::Secure(_)) => bogus(
                BogusReason::RrsigsMissing,
                format!(
                    "{} {} is not signed, and {zone} is",
                    set.name,
                    type_name(set.record_type)
                ),
            ),
        }
    }
}

/// Returns a name in the zone that speaks of `name`: of a delegation, that is the one above.
pub(crate) fn speaker_of(name: &Name, of_parent: bool) -> Name {
    match of_parent {
        true => name.parent().unwrap_or_else(Name::root),
        false => name.clone(),
    }
}

/// Says that nothing is validated below a name.
pub(crate) fn switched_off(at: &Name) -> Arc<str> {
    format!("a negative anchor switches validation off at {at}").into()
}

/// Returns what was checked, in parts that cannot be cut differently.
fn content(data: &[u8], signature: &[u8], key: &[u8]) -> Vec<u8> {
    let lengths = [data.len().to_be_bytes(), signature.len().to_be_bytes()];
    [lengths.as_flattened(), data, signature, key].concat()
}

/// Names the types that matter here.
pub(crate) fn type_name(record_type: u16) -> String {
    match record_type {
        1 => "A".to_owned(),
        rtype::NS => "NS".to_owned(),
        rtype::CNAME => "CNAME".to_owned(),
        rtype::SOA => "SOA".to_owned(),
        16 => "TXT".to_owned(),
        28 => "AAAA".to_owned(),
        rtype::DNAME => "DNAME".to_owned(),
        rtype::DS => "DS".to_owned(),
        rtype::NSEC => "NSEC".to_owned(),
        rtype::DNSKEY => "DNSKEY".to_owned(),
        rtype::NSEC3 => "NSEC3".to_owned(),
        other => format!("TYPE{other}"),
    }
}
