//! How much of something bounded may one client have? As much as is left over: fair, without knowing how many will come.
//!
//! A client may hold no more than there is free. One alone gets half; two come to a third each, and as much stays free for a
//! third. Whoever comes late finds room as soon as something that the greedy hold comes back, because they may not take it again.
//! A further bound holds for each client whatever is free.
//! What is held is a [`Share`], and is given back when that is dropped.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::access::client_of;

/// Something bounded that clients share.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    held: Arc<Mutex<Held>>,
    capacity: usize,
    each: usize,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_client: BTreeMap<IpAddr, usize>,
}

/// One of them, held by a client.
#[derive(Debug)]
pub(super) struct Share {
    held: Arc<Mutex<Held>>,
    client: IpAddr,
}

impl Shares {
    /// Makes `capacity` of something, of which one client may hold `each` at most.
    pub(super) fn new(capacity: usize, each: usize) -> Self {
        Self {
            held: Arc::default(),
            capacity,
            each,
        }
    }

    /// Takes one for a client; `None` when it has its share.
    pub(super) fn take(&self, address: IpAddr) -> Option<Share> {
        let client = client_of(address);
        let mut held = lock(&self.held);
        let own = held.by_client.get(&client).copied().unwrap_or(0);
        if own >= self.each || own >= self.capacity.saturating_sub(held.all) {
            return None;
        }
        held.all += 1;
        held.by_client.insert(client, own + 1);
        Some(Share {
            held: Arc::clone(&self.held),
            client,
        })
    }

    /// Whether a client holds half of what one may.
    pub(super) fn has_half(&self, address: IpAddr) -> bool {
        let held = lock(&self.held);
        let own = held.by_client.get(&client_of(address)).copied();
        own.unwrap_or(0) >= self.each / 2
    }

    /// Returns how many are held.
    pub(super) fn held(&self) -> usize {
        lock(&self.held).all
    }

    /// Whether more than half of them are held.
    pub(super) fn is_scarce(&self) -> bool {
        self.held() > self.capacity / 2
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.all = held.all.saturating_sub(1);
        let left = held.by_client.get(&self.client).map_or(0, |own| own - 1);
        if left == 0 {
            held.by_client.remove(&self.client);
        } else {
            held.by_client.insert(self.client, left);
        }
    }
}

/// The counts are whole whoever panicked beside them.
fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    fn take_all(shares: &Shares, number: u8) -> Vec<Share> {
        std::iter::from_fn(|| shares.take(client(number))).collect()
    }

    #[test]
    fn whoever_comes_late_finds_room() {
        let shares = Shares::new(100, 100);
        let first = take_all(&shares, 1);
        assert_eq!(first.len(), 50);
        let second = take_all(&shares, 2);
        assert_eq!(second.len(), 25);
        assert!(shares.take(client(3)).is_some());
        drop(first);
        // Two thirds are free, less what the second holds.
        assert_eq!(take_all(&shares, 3).len(), 38);
        drop(second);
    }

    #[test]
    fn the_greedy_come_to_equal_shares_as_their_questions_end() {
        let shares = Shares::new(100, 100);
        let mut held: Vec<Vec<Share>> = (1..=9).map(|number| take_all(&shares, number)).collect();
        assert_eq!(shares.held(), 100, "for a moment nothing is left");
        for _ in 0..100 {
            for (number, own) in (1..=9).zip(&mut held) {
                if !own.is_empty() {
                    drop(own.remove(0));
                }
                own.extend(take_all(&shares, number));
            }
        }
        for own in &held {
            assert!((9..=11).contains(&own.len()), "{}", own.len());
        }
        assert!(shares.take(client(10)).is_some(), "a tenth finds its own");
    }

    #[test]
    fn one_client_never_gets_more_than_its_bound_and_all_comes_back() {
        let shares = Shares::new(100, 10);
        let held = take_all(&shares, 1);
        assert_eq!((held.len(), shares.held()), (10, 10));
        assert!(shares.has_half(client(1)) && !shares.has_half(client(2)));
        let mut held = held;
        held.pop();
        assert!(
            shares
                .take(client(1))
                .is_some_and(|share| share.client == client(1))
        );
        drop(held);
        assert_eq!(shares.held(), 0);
        assert!(lock(&shares.held).by_client.is_empty());
    }

    #[test]
    fn a_64_is_one_client() {
        let shares = Shares::new(100, 4);
        let taken: Vec<Share> = (0..10_u16)
            .filter_map(|host| shares.take(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host])))
            .collect();
        assert_eq!(taken.len(), 4);
    }
}
