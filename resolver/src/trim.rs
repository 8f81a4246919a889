//! Which records of a reply does anybody get? Of one that was judged those that the verdict is about, of any other those that speak of its names;
//! none that came along.

use std::time::Duration;

use config::name::{DomainName, wire_suffixes};

use crate::chain::Hop;
use crate::record::{RawRecord, soa_minimum};
use crate::wire::{Question, rtype};

/// Octets of an RRSIG before its signer's name (RFC 4034 §3.1).
const SIGNER_AT: usize = 18;

/// Leaves of a Secure reply what the verdict is about, for no longer than it holds.
pub(crate) fn trim(hop: &mut Hop, outcome: &dnssec::Outcome) {
    let mut keep = outcome.answers.iter();
    hop.answers
        .retain(|_| keep.next().copied().unwrap_or_default());
    let mut keep = outcome.authority.iter();
    hop.authority
        .retain(|_| keep.next().copied().unwrap_or_default());
    for record in hop.answers.iter_mut().chain(&mut hop.authority) {
        record.ttl = record.ttl.min(outcome.ttl);
    }
}

/// Takes off the time that the records have waited since they came.
pub(crate) fn age(hop: &mut Hop, time: Duration) {
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    if seconds == 0 {
        return;
    }
    for record in hop.answers.iter_mut().chain(&mut hop.authority) {
        // RFC 2308 §5: what counts of a denial is the lesser of the two.
        let lasts = soa_minimum(record).map_or(record.ttl, |minimum| minimum.min(record.ttl));
        record.ttl = lasts.saturating_sub(seconds);
    }
}

/// Leaves out what only DNSSEC needs (RFC 4035 §3.2.1), unless it was asked for.
pub(crate) fn without_signatures(mut hop: Hop, question: &Question) -> Hop {
    let asked = question.record_type;
    let plain = |record: &RawRecord| {
        asked == rtype::ANY
            || record.record_type == asked
            || !matches!(
                record.record_type,
                rtype::RRSIG | rtype::NSEC | rtype::NSEC3
            )
    };
    hop.answers.retain(plain);
    hop.authority.retain(plain);
    hop
}

/// Leaves of a reply without proof, or that nobody judges here, what speaks of the names on its way: nobody may learn from it of others.
///
/// That is the SOA record over the name at its end, and the proofs of the zones over any of its names, for whoever asked for them. Whose servers are
/// a zone's is told to nobody who did not ask: it may lead to names that belong elsewhere.
pub(crate) fn trim_unproven(hop: &mut Hop, asked: &DomainName) {
    let Hop {
        authority, aliases, ..
    } = hop;
    if authority.is_empty() {
        return;
    }
    let last = aliases.last().unwrap_or(asked);
    // All zones over a name enclose it, so that what is in one of them is in the highest.
    let highest = |name| {
        let zones = authority.iter().filter_map(zone_of);
        let zones = zones.filter_map(|zone| suffix_at(name, zone));
        zones.min_by_key(|zone| zone.len())
    };
    let names = std::iter::once(asked).chain(&*aliases);
    let zones: Vec<&[u8]> = names.filter_map(|name| highest(name.as_wire())).collect();
    authority.retain(|record| match told_by(record) {
        Some(rtype::SOA) => suffix_at(last.as_wire(), &record.name).is_some(),
        Some(rtype::NSEC | rtype::NSEC3) => zones
            .iter()
            .any(|zone| suffix_at(&record.name, zone).is_some()),
        _ => false,
    });
}

/// Returns the zone that a record speaks for: its owner, or its signer.
fn zone_of(record: &RawRecord) -> Option<&[u8]> {
    match record.record_type {
        rtype::SOA => Some(&record.name),
        rtype::RRSIG => {
            let signer = record.rdata.get(SIGNER_AT..)?;
            let end = wire_suffixes(signer).find(|suffix| suffix.first() == Some(&0))?;
            signer.get(..=signer.len() - end.len())
        }
        _ => None,
    }
}

/// Returns the type that a record is of, or is the signature of.
fn told_by(record: &RawRecord) -> Option<u16> {
    match record.record_type {
        rtype::RRSIG => record.rdata.first_chunk().copied().map(u16::from_be_bytes),
        record_type => Some(record_type),
    }
}

/// Returns the part of a name that is `zone`, in any spelling, when it is in it.
fn suffix_at<'a>(name: &'a [u8], zone: &[u8]) -> Option<&'a [u8]> {
    let tail = name.get(name.len().checked_sub(zone.len())?..)?;
    let begins = || wire_suffixes(name).any(|suffix| suffix.len() == tail.len());
    (tail.eq_ignore_ascii_case(zone) && begins()).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::End;

    fn record(owner: &str, record_type: u16) -> RawRecord {
        RawRecord::new(&owner.parse().unwrap(), record_type, 60, vec![0; 40])
    }

    fn signature(owner: &str, covered: u16, signer: &str) -> RawRecord {
        let signer: DomainName = signer.parse().unwrap();
        let rdata = [
            &covered.to_be_bytes()[..],
            &[0; 16],
            signer.as_wire(),
            &[7; 64],
        ]
        .concat();
        RawRecord {
            rdata,
            ..record(owner, rtype::RRSIG)
        }
    }

    #[test]
    fn of_a_reply_without_proof_is_left_what_speaks_of_its_own_names() {
        let belongs = [
            record("a.test", rtype::SOA),
            signature("a.test", rtype::SOA, "a.test"),
            record("b.a.test", rtype::NSEC),
            signature("b.a.test", rtype::NSEC, "a.test"),
            // The proof that the alias is of a wildcard.
            record("hash.b.test", rtype::NSEC3),
            signature("hash.b.test", rtype::NSEC3, "b.test"),
        ];
        let strange = [
            record("bank.test", rtype::SOA),
            record("b.test", rtype::SOA),
            record("a.test", rtype::NS),
            signature("a.test", rtype::NS, "a.test"),
            record("bank.test", rtype::NS),
            record("www.bank.test", rtype::A),
            record("a.test", rtype::A),
            record("hash.c.test", rtype::NSEC3),
            signature("hash.c.test", rtype::NSEC3, "c.test"),
            record("xa.test", rtype::NSEC),
        ];
        let mut hop = Hop {
            rcode: 0,
            answers: vec![record("www.b.test", rtype::CNAME)],
            authority: [&belongs[..], &strange].concat(),
            aliases: vec!["www.a.test".parse().unwrap()],
            end: End::Final,
        };
        trim_unproven(&mut hop, &"www.b.test".parse().unwrap());
        assert_eq!(hop.authority, belongs);
        assert_eq!(hop.answers.len(), 1);
    }

    #[test]
    fn a_signature_that_is_cut_short_speaks_for_nobody() {
        let whole = signature("www.a.test", rtype::NSEC, "a.test");
        for length in 0..whole.rdata.len() {
            let mut cut = whole.clone();
            cut.rdata.truncate(length);
            let signer = "a.test".parse::<DomainName>().unwrap();
            let is_told = length >= SIGNER_AT + signer.as_wire().len();
            assert_eq!(zone_of(&cut), is_told.then(|| signer.as_wire()), "{length}");
        }
    }
}
