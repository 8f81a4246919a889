//! Do the promises of RFC 5011 hold on random walks, told by a record kept another way?
//!
//! The record has no states: for each key it remembers when it was last absent from an RRset that counted, and whether it
//! ever revoked itself.

use std::collections::BTreeSet;

use super::*;

const KEYS: u8 = 6;

struct Record {
    /// Since when each key was in every RRset that counted.
    present_since: BTreeMap<u8, u64>,
    ever_trusted: BTreeSet<u8>,
    revoked: BTreeSet<u8>,
}

fn random(seed: &mut u64, below: u64) -> u64 {
    // xorshift64
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % below
}

#[test]
fn trust_is_earned_by_thirty_days_and_lost_by_revocation_only() {
    let mut seed = 5_u64;
    let (mut earned, mut lost, mut deleted) = (0, 0, 0);
    for _ in 0..400 {
        let mut point = point(&[&key(0), &key(1)]);
        let mut record = Record {
            present_since: BTreeMap::new(),
            ever_trusted: BTreeSet::from([0, 1]),
            revoked: BTreeSet::new(),
        };
        let mut now = START;
        for _ in 0..120 {
            now += random(&mut seed, 12) * DAY + HOUR;
            // A published key, a key that signs, a key that revokes itself; mostly as before.
            let mut keys = Vec::new();
            let mut revoking = BTreeSet::new();
            let mut published = BTreeSet::new();
            let mut signing = BTreeSet::new();
            for n in 0..KEYS {
                if random(&mut seed, 40) == 0 {
                    continue;
                }
                if random(&mut seed, 60) == 0 {
                    revoking.insert(n);
                    keys.push(revoked(&key(n)));
                    continue;
                }
                published.insert(n);
                let signs = random(&mut seed, 2) == 0;
                if signs {
                    signing.insert(n);
                }
                keys.push(SeenKey { key: key(n), signs });
            }
            let before = trusted(&point);
            let observed = point.observe(&rrset(keys, now), now);

            record
                .revoked
                .extend(revoking.intersection(&record.ever_trusted));
            let counts = signing
                .iter()
                .any(|n| record.ever_trusted.contains(n) && !record.revoked.contains(n));
            assert_eq!(observed.is_authenticated, counts);
            if counts {
                record.present_since.retain(|n, _| published.contains(n));
                for &n in &published {
                    let since = *record.present_since.entry(n).or_insert(now);
                    if now - since >= ADD_HOLD_DOWN && !record.revoked.contains(&n) {
                        record.ever_trusted.insert(n);
                    }
                }
            }
            let expected: Vec<DNSKEY> = record
                .ever_trusted
                .difference(&record.revoked)
                .map(|&n| key(n))
                .collect();
            let after = trusted(&point);
            assert_eq!(after, tags(&expected.iter().collect::<Vec<_>>()));
            assert_eq!(observed.is_deleted, after.is_empty());
            earned += usize::from(after.len() > before.len());
            lost += usize::from(after.len() < before.len());
            if after.is_empty() {
                deleted += 1;
                break;
            }
            let due = point.next_query_at(now).unwrap();
            assert!((now + QUERY_INTERVAL_MIN..=now + QUERY_INTERVAL_MAX).contains(&due));
        }
    }
    assert!(
        earned > 100 && lost > 100 && deleted > 10,
        "{earned} {lost} {deleted}"
    );
}
