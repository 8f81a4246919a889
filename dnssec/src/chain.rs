//! Is a zone signed, and by which keys? The chain of trust, from an anchor down.
//!
//! A zone is Secure by a DS that its parent signs, and Insecure by a signed proof of its parent that there is no DS. Which
//! names are cuts is learned from such answers alone, never from NS records. Everything here stops with [`Halt`] where a
//! record is missing, and starts over when it is there; what was found out before is remembered in the validation.

use std::sync::Arc;

use crate::budget::{DENIALS_PER_SET, SIGS_PER_SET};
use crate::check::{Checked, speaker_of, switched_off, type_name};
use crate::clock::Evidence;
use crate::memory::{Until, Zone};
use crate::name::Name;
use crate::nsec::{NoDs, Nsecs};
use crate::nsec3::Nsec3s;
use crate::record::{Ds, Key, Nsec, Nsec3, Sig, rtype};
use crate::rrset::{Set, find};
use crate::trust::{Trust, Trusted};
use crate::validator::{Halt, MEMORY_MAX, Sections, Validation, Validator, WallClock};
use crate::verdict::{BogusReason, IndeterminateReason, Verdict};

/// How long it is remembered that a name is below an unsigned zone, in seconds.
const UNSIGNED_BY_PARENT: u64 = 300;

/// The most names above a zone that are asked about before it is known whether they are zones.
const AHEAD_MAX: usize = 3;

/// The most ways to hash that are tried for one zone: one, and another while it changes.
const WAYS_MAX: usize = 4;

/// What lies at a name, seen from above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delegation {
    /// A zone with these DS, until then.
    Signed(Vec<Ds>, Until),
    /// A zone without, and why that may be.
    Unsigned(Arc<str>, Until),
    /// No zone begins there.
    NoCut,
    /// Nothing is there.
    NoName,
}

/// One pass over a validation.
pub(crate) struct Pass<'a> {
    pub(crate) validation: &'a mut Validation,
    pub(crate) validator: &'a mut Validator,
    pub(crate) now: WallClock,
}

pub(crate) fn bogus<T>(reason: BogusReason, why: String) -> Result<T, Halt> {
    Err(Halt::Fail(Verdict::Bogus(reason), why))
}

impl Pass<'_> {
    pub(crate) fn trust(&self, name: &Name) -> Trust {
        self.validator.trust(name, self.now.seconds)
    }

    /// Tells whether a zone is signed; its name must be that of a zone.
    pub(crate) fn zone(&mut self, name: &Name) -> Result<(Zone, Until), Halt> {
        if let Some(known) = self.validation.zone_by_name.get(name) {
            return Ok(known.clone());
        }
        if let Some(known) = self.validator.memory.zone(name, self.now.seconds) {
            let text = match &known.0 {
                Zone::Secure(_) => format!("{name}: signed, known from before"),
                Zone::Insecure(why) => format!("{name}: insecure, known from before: {why}"),
            };
            self.validation.note(text);
            self.validation
                .zone_by_name
                .insert(name.clone(), known.clone());
            return Ok(known);
        }
        let forever = Until::unsigned(self.now.seconds + MEMORY_MAX);
        let found = match self.trust(name) {
            Trust::None => {
                return Err(Halt::Fail(
                    Verdict::Indeterminate(IndeterminateReason::NoAnchor),
                    format!("no trust anchor covers {name}"),
                ));
            }
            Trust::Off(at) => (
                Zone::Insecure(switched_off(&at)),
                // It may be taken away at any time; then everything is forgotten.
                forever,
            ),
            Trust::Point(owner, anchors) if owner == *name => {
                self.keys(name, &anchors, forever, true)?
            }
            Trust::Point(..) => match self.signed_delegation(name)? {
                Delegation::Signed(ds, until) => {
                    let trusted: Vec<Trusted> = ds.into_iter().map(Trusted::Ds).collect();
                    self.keys(name, &trusted, until, false)?
                }
                Delegation::Unsigned(why, until) => (Zone::Insecure(why), until),
                Delegation::NoCut | Delegation::NoName => {
                    return bogus(
                        BogusReason::DnskeyMissing,
                        format!("something claims to be signed by {name}, which is no zone"),
                    );
                }
            },
        };
        if let Zone::Insecure(why) = &found.0 {
            self.validation.note(format!("{name}: insecure: {why}"));
        }
        self.validator.memory.keep_zone(name, &found.0, found.1);
        self.validation
            .zone_by_name
            .insert(name.clone(), found.clone());
        Ok(found)
    }

    /// Fetches a zone's keys (`is_point`: of a trust point), and believes them if one that is trusted signs them.
    fn keys(
        &mut self,
        name: &Name,
        trusted: &[Trusted],
        until: Until,
        is_point: bool,
    ) -> Result<(Zone, Until), Halt> {
        let algorithms = self.validator.settings.algorithms;
        let mut usable: Vec<&Trusted> = trusted
            .iter()
            .filter(|trusted| match trusted {
                Trusted::Ds(ds) => {
                    algorithms.can_verify(ds.algorithm) && algorithms.can_digest(ds.digest_type)
                }
                Trusted::Key { algorithm, .. } => algorithms.can_verify(*algorithm),
            })
            .collect();
        if usable.is_empty() {
            // RFC 4035 §5.2: as if there were no DS.
            let why = "it is signed by algorithms that are not known here only";
            return Ok((Zone::Insecure(why.into()), until));
        }
        // RFC 4509 §3: SHA-1 does not count beside a better digest.
        let is_sha1 =
            |trusted: &&Trusted| matches!(trusted, Trusted::Ds(Ds { digest_type: 1, .. }));
        if usable
            .iter()
            .any(|trusted| matches!(trusted, Trusted::Ds(_)) && !is_sha1(trusted))
        {
            usable.retain(|trusted| !is_sha1(trusted));
        }
        let reply = self.validation.fetched(name, rtype::DNSKEY)?;
        let Some(set) = find(&reply.answers, name, rtype::DNSKEY) else {
            return bogus(BogusReason::DnskeyMissing, format!("{name} has no DNSKEY"));
        };
        let keys: Vec<Key> = set
            .rdatas
            .iter()
            .filter_map(|rdata| Key::read(rdata))
            .collect();
        let mut entries = Vec::new();
        for key in keys.iter().filter(|key| key.may_sign()) {
            for trusted in &usable {
                if self.is_meant(trusted, name, key)? {
                    entries.push(key);
                    break;
                }
            }
        }
        if entries.is_empty() {
            let zone_key = keys.iter().any(Key::is_of_zone);
            let reason = if zone_key {
                BogusReason::DnskeyMissing
            } else {
                BogusReason::NoZoneKeyBit
            };
            return bogus(reason, format!("no DNSKEY of {name} fits what is trusted"));
        }
        let entries: Vec<Key> = entries.into_iter().cloned().collect();
        let sigs = set.sigs.iter().filter(|sig| sig.signer == *name);
        let (signed_until, sig) = self.any_fits(set, sigs, &entries)?;
        let tag = sig.key_tag;
        if is_point {
            self.validation.evidence.push(Evidence {
                inception: sig.inception.into(),
                expiration: sig.expiration.into(),
            });
        }
        let all: Arc<[Key]> = keys
            .into_iter()
            .filter(|key| key.may_sign() && algorithms.can_verify(key.algorithm))
            .collect();
        let how = match trusted.first() {
            Some(Trusted::Key { .. }) => "trust anchor",
            Some(Trusted::Ds(_)) | None => "DS",
        };
        self.validation.note(format!(
            "{name}: key {tag} fits its {how} and signs {} keys",
            all.len()
        ));
        Ok((Zone::Secure(all), until.min(signed_until)))
    }

    fn is_meant(&mut self, trusted: &Trusted, name: &Name, key: &Key) -> Result<bool, Halt> {
        Ok(match trusted {
            Trusted::Key { algorithm, public } => {
                key.algorithm == *algorithm && key.public == *public
            }
            Trusted::Ds(ds) if ds.key_tag == key.tag && ds.algorithm == key.algorithm => {
                self.validation.work.digests(ds, name, key)?
            }
            Trusted::Ds(_) => false,
        })
    }

    /// As [`Pass::delegation`], where something is signed by a zone of this name: its keys will be needed too, and most likely
    /// all that leads there. Asked one after the other, each link would cost as long as the question itself did.
    fn signed_delegation(&mut self, name: &Name) -> Result<Delegation, Halt> {
        let found = self.delegation(name);
        if let Err(Halt::Need(..)) = &found {
            self.validation.want(name, rtype::DNSKEY);
            self.want_above(name);
        }
        found
    }

    /// Has the links above a zone fetched along, up to one that is known. A name between two zones is asked about in vain, so that
    /// only a few are.
    fn want_above(&mut self, name: &Name) {
        let Trust::Point(owner, _) = self.trust(name) else {
            return;
        };
        let counts = (owner.count()..name.count()).rev();
        for above in counts.take(AHEAD_MAX).map(|count| name.suffix(count)) {
            if self.knows(&above) {
                return;
            }
            if above != owner {
                self.validation.want(&above, rtype::DS);
            }
            self.validation.want(&above, rtype::DNSKEY);
        }
    }

    /// Whether it is known of a name that a zone begins there, and whether that is signed.
    fn knows(&self, name: &Name) -> bool {
        let memory = &self.validator.memory;
        self.validation.zone_by_name.contains_key(name)
            || memory.zone(name, self.now.seconds).is_some()
    }

    /// Tells what lies at a name, by a proof of the zone above.
    pub(crate) fn delegation(&mut self, name: &Name) -> Result<Delegation, Halt> {
        if let Some(known) = self.validation.delegation_by_name.get(name) {
            return Ok(known.clone());
        }
        if let Some((Zone::Insecure(why), until)) =
            self.validator.memory.zone(name, self.now.seconds)
        {
            return Ok(Delegation::Unsigned(why, until));
        }
        let reply = self.validation.fetched(name, rtype::DS)?;
        let found = self.delegation_by(name, &reply)?;
        if let Delegation::Unsigned(why, until) = &found {
            let zone = Zone::Insecure(Arc::clone(why));
            self.validator.memory.keep_zone(name, &zone, *until);
        }
        self.validation
            .delegation_by_name
            .insert(name.clone(), found.clone());
        Ok(found)
    }

    fn delegation_by(&mut self, name: &Name, reply: &Sections) -> Result<Delegation, Halt> {
        let forever = Until::unsigned(self.now.seconds + MEMORY_MAX);
        if let Some(set) = find(&reply.answers, name, rtype::DS) {
            return Ok(match self.check(set)? {
                Checked::Insecure(why) => {
                    let until = Until::unsigned(self.now.seconds + u64::from(set.ttl));
                    Delegation::Unsigned(why, forever.min(until))
                }
                Checked::Secure {
                    expanded: Some(_), ..
                } => Delegation::NoCut,
                Checked::Secure { zone, until, .. } => {
                    let ds = set
                        .rdatas
                        .iter()
                        .filter_map(|rdata| Ds::read(rdata))
                        .collect();
                    self.validation.note(format!("{name}: DS signed by {zone}"));
                    Delegation::Signed(ds, until)
                }
            });
        }
        let Some(above) = name.parent() else {
            return bogus(
                BogusReason::DnskeyMissing,
                "the root has no parent".to_owned(),
            );
        };
        if let Some(found) = self.alias_for_ds(name, reply)? {
            return Ok(found);
        }
        let mut failed = None;
        for (zone, _) in self
            .deniers(reply, name, true)
            .into_iter()
            .filter(|(_, is_within)| *is_within)
        {
            let (state, until) = match self.zone(&zone) {
                Ok(found) => found,
                // Somebody's word that does not count hurts no other's.
                Err(Halt::Fail(Verdict::Bogus(reason), why)) => {
                    self.validation.note(why);
                    failed.get_or_insert(reason);
                    continue;
                }
                Err(halt) => return Err(halt),
            };
            let keys = match state {
                Zone::Insecure(why) => return Ok(Delegation::Unsigned(why, until)),
                Zone::Secure(keys) => keys,
            };
            let proofs = self.proofs(reply, &zone, &keys)?;
            failed = failed.or(proofs.failed);
            let until = until.min(proofs.until);
            let mut found = Nsecs {
                zone: &zone,
                records: &proofs.nsecs,
            }
            .prove_no_ds(name);
            for first in proofs.ways() {
                if found.is_some() {
                    break;
                }
                if first.iterations > self.validator.settings.iterations_max {
                    let why = format!("{zone} uses more NSEC3 iterations than count here");
                    return Ok(Delegation::Unsigned(why.into(), until));
                }
                let work = &mut self.validation.work;
                found = Nsec3s::like(first, &zone, &proofs.nsec3s, work).prove_no_ds(name)?;
            }
            match found {
                Some(NoDs::Delegation) => {
                    let why = format!("{zone} proves that {name} has no DS");
                    return Ok(Delegation::Unsigned(why.into(), until));
                }
                Some(NoDs::NoCut) => return Ok(Delegation::NoCut),
                Some(NoDs::NoName) => return Ok(Delegation::NoName),
                None => {}
            }
        }
        match self.enclosing(&above)? {
            (_, Zone::Insecure(why)) => Ok(Delegation::Unsigned(
                why,
                forever.min(Until::unsigned(self.now.seconds + UNSIGNED_BY_PARENT)),
            )),
            (zone, Zone::Secure(_)) => bogus(
                failed.unwrap_or(BogusReason::NsecMissing),
                format!("{zone} does not prove that {name} has no DS"),
            ),
        }
    }

    /// Judges an alias in place of a DS: a name that has one begins no zone, so that only zones above it speak of it.
    fn alias_for_ds(&mut self, name: &Name, reply: &Sections) -> Result<Option<Delegation>, Halt> {
        let short = Until::unsigned(self.now.seconds + UNSIGNED_BY_PARENT);
        let set = match self.dname_above(name, &reply.answers) {
            Some(dname) => dname,
            None => match find(&reply.answers, name, rtype::CNAME) {
                Some(cname) => cname,
                None => return Ok(None),
            },
        };
        Ok(Some(match self.check_as(set, set.name == *name)? {
            Checked::Insecure(why) => Delegation::Unsigned(why, short),
            Checked::Secure { .. } => Delegation::NoCut,
        }))
    }

    /// Finds a DNAME above a name, not above the anchor that covers it: what is not validated must not lead out of what is.
    pub(crate) fn dname_above<'s>(&self, name: &Name, answers: &'s [Set]) -> Option<&'s Set> {
        let trust = self.trust(name);
        answers
            .iter()
            .filter(|set| set.record_type == rtype::DNAME && name.is_below(&set.name))
            .filter(|set| match &trust {
                Trust::Point(owner, _) => set.name.is_in(owner),
                Trust::Off(_) | Trust::None => true,
            })
            .max_by_key(|set| set.name.count())
    }

    /// Finds the zone that a name is in, walking down from its anchor as far as zones are secure.
    pub(crate) fn enclosing(&mut self, name: &Name) -> Result<(Name, Zone), Halt> {
        let owner = match self.trust(name) {
            Trust::Point(owner, _) => owner,
            // Either has its reason in what `zone` says.
            Trust::Off(at) => at,
            Trust::None => name.clone(),
        };
        let mut current = (owner.clone(), self.zone(&owner)?.0);
        for count in owner.count() + 1..=name.count() {
            if let Zone::Insecure(_) = current.1 {
                break;
            }
            let next = name.suffix(count);
            if self.knows(&next) {
                current = (next.clone(), self.zone(&next)?.0);
                continue;
            }
            // Right below an anchor, nearly all are signed; further down, few are.
            let found = match count == owner.count() + 1 {
                true => self.signed_delegation(&next)?,
                false => self.delegation(&next)?,
            };
            match found {
                Delegation::Signed(..) => current = (next.clone(), self.zone(&next)?.0),
                Delegation::Unsigned(why, _) => current = (next, Zone::Insecure(why)),
                Delegation::NoCut => {}
                Delegation::NoName => break,
            }
        }
        Ok(current)
    }

    /// Finds the zones whose denials a reply carries, the closest to a name first, and whether its anchor covers them.
    pub(crate) fn deniers(
        &self,
        reply: &Sections,
        name: &Name,
        of_parent: bool,
    ) -> Vec<(Name, bool)> {
        let trust = self.trust(&speaker_of(name, of_parent));
        let within = |signer: &Name| match &trust {
            Trust::Point(owner, _) => signer.is_in(owner),
            Trust::Off(_) | Trust::None => true,
        };
        let mut found: Vec<(Name, bool)> = Vec::new();
        for sig in reply
            .authority
            .iter()
            .filter(|set| matches!(set.record_type, rtype::NSEC | rtype::NSEC3))
            .flat_map(|set| &set.sigs)
        {
            let signer = &sig.signer;
            let may = name.is_in(signer) && !(of_parent && signer == name);
            if may && found.iter().all(|(known, _)| known != signer) {
                found.push((signer.clone(), within(signer)));
            }
        }
        found.sort_by_key(|(signer, _)| std::cmp::Reverse(signer.count()));
        found.truncate(SIGS_PER_SET);
        found
    }

    /// Verifies the denials of a zone that a reply carries; those that do not fit count as not there.
    pub(crate) fn proofs(
        &mut self,
        reply: &Sections,
        zone: &Name,
        keys: &[Key],
    ) -> Result<Proofs, Halt> {
        let mut proofs = Proofs {
            until: Until::unsigned(self.now.seconds + MEMORY_MAX),
            nsecs: Vec::new(),
            nsec3s: Vec::new(),
            sets: Vec::new(),
            failed: None,
        };
        for (at, set) in reply.authority.iter().enumerate() {
            if !matches!(set.record_type, rtype::NSEC | rtype::NSEC3)
                || !set.name.is_in(zone)
                || set.rdatas.len() > DENIALS_PER_SET
            {
                continue;
            }
            let sigs: Vec<Sig> = set
                .sigs
                .iter()
                .filter(|sig| sig.signer == *zone && sig.labels == set.name.signed_count())
                .cloned()
                .collect();
            for sig in sigs.iter().take(SIGS_PER_SET) {
                let until = match self.fits(set, sig, keys)? {
                    Ok(until) => until,
                    Err(found) => {
                        self.validation.note(format!(
                            "{} {} {}",
                            set.name,
                            type_name(set.record_type),
                            found.1
                        ));
                        proofs.failed.get_or_insert(found.0);
                        continue;
                    }
                };
                proofs.until = proofs.until.min(until);
                proofs.sets.push(at);
                for rdata in &set.rdatas {
                    match set.record_type {
                        rtype::NSEC => proofs.nsecs.extend(Nsec::read(&set.name, rdata)),
                        _ => proofs.nsec3s.extend(
                            Nsec3::read(&set.name, rdata).filter(|nsec3| nsec3.zone == *zone),
                        ),
                    }
                }
                break;
            }
        }
        Ok(proofs)
    }
}

/// Verified denials of one zone.
#[derive(Debug)]
pub(crate) struct Proofs {
    pub(crate) until: Until,
    pub(crate) nsecs: Vec<Nsec>,
    pub(crate) nsec3s: Vec<Nsec3>,
    /// Which sets of the authority section they are.
    pub(crate) sets: Vec<usize>,
    /// Why one of the others does not count.
    pub(crate) failed: Option<BogusReason>,
}

impl Proofs {
    /// Returns the first NSEC3 record of each way to hash.
    pub(crate) fn ways(&self) -> impl Iterator<Item = &Nsec3> {
        let mut ways: Vec<&Nsec3> = Vec::new();
        for nsec3 in &self.nsec3s {
            let is_known =
                |known: &&Nsec3| known.salt == nsec3.salt && known.iterations == nsec3.iterations;
            if ways.len() < WAYS_MAX && !ways.iter().any(is_known) {
                ways.push(nsec3);
            }
        }
        ways.into_iter()
    }
}
