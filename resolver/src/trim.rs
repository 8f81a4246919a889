//! Which records of a reply that was judged does anybody get? Those that the verdict is about, and none that came along.

use std::time::Duration;

use config::name::DomainName;

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
    hop.additional.clear();
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
    let records = hop.answers.iter_mut().chain(&mut hop.authority);
    for record in records.chain(&mut hop.additional) {
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
    hop.additional.retain(plain);
    hop
}

/// Leaves of a reply without proof what speaks of the name that its aliases lead to: nobody may learn from it of others.
pub(crate) fn trim_unproven(hop: &mut Hop, asked: &DomainName) {
    let name = hop.aliases.last().unwrap_or(asked).clone();
    let speaks = |record: &RawRecord| match record.record_type {
        rtype::SOA | rtype::NS => Some(record.owner()),
        rtype::RRSIG => {
            let (signer, _) = dnssec::Name::read(record.rdata.get(SIGNER_AT..)?)?;
            DomainName::from_wire(signer.as_wire()).ok()
        }
        _ => None,
    };
    // All of them enclose the name, so that what is in one of them is in the highest.
    let highest: Option<DomainName> = hop
        .authority
        .iter()
        .filter_map(speaks)
        .filter(|zone| name.is_in(zone))
        .min_by_key(DomainName::label_count);
    hop.authority.retain(|record| {
        let owner = record.owner();
        let is_proof = matches!(
            record.record_type,
            rtype::SOA | rtype::NS | rtype::NSEC | rtype::NSEC3 | rtype::RRSIG | rtype::DS
        );
        is_proof && highest.as_ref().is_some_and(|zone| owner.is_in(zone))
    });
    hop.additional.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::End;

    fn record(owner: &str, record_type: u16) -> RawRecord {
        RawRecord::new(&owner.parse().unwrap(), record_type, 60, vec![0; 40])
    }

    #[test]
    fn of_a_reply_without_proof_only_its_own_zones_authority_is_left() {
        let mut hop = Hop {
            rcode: 0,
            answers: vec![record("www.a.test", rtype::A)],
            authority: vec![
                record("a.test", rtype::NS),
                record("b.a.test", rtype::NSEC),
                record("bank.test", rtype::NS),
                record("www.bank.test", rtype::A),
                record("a.test", rtype::A),
                record("hash.c.test", rtype::NSEC3),
            ],
            additional: vec![record("ns.a.test", rtype::A)],
            aliases: Vec::new(),
            end: End::Final,
        };
        trim_unproven(&mut hop, &"www.a.test".parse().unwrap());
        let left: Vec<String> = hop
            .authority
            .iter()
            .map(|record| record.owner().to_string())
            .collect();
        assert_eq!(left, ["a.test", "b.a.test"]);
        assert_eq!((hop.answers.len(), hop.additional.len()), (1, 0));
    }
}
