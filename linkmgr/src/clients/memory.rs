//! What is kept of networks, so that they are known again? [`Memory`], as one text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::time::Instant;
use policy::facts::NetworkId;
use serde::{Deserialize, Serialize};

use crate::dhcp4::{Candidate, Clocks, Leases, Remembered, by_mac};
use crate::former::Former;
use crate::{dhcp6, ra};

/// Links of which something is kept besides DHCPv4 leases; the one that comes first by name goes.
const MAX_LINKS: usize = 64;

/// What clients want to know again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Memory {
    dhcp4: Leases,
    ra: BTreeMap<Arc<str>, Dated<ra::Memory>>,
    dhcp6: BTreeMap<Arc<str>, Dated<dhcp6::Memory>>,
    identities: BTreeMap<Arc<str>, KeptIdentity>,
}

/// What a link's client before us called itself: servers go on knowing us by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptIdentity {
    /// The link's hardware address at the time: with another one it is another client.
    mac: Option<Arc<str>>,
    /// Option 61 of DHCPv4; `None` for the hardware address.
    pub(super) client_id: Option<Arc<[u8]>>,
    /// DUID and IAID of DHCPv6.
    pub(super) dhcp6: Option<(Vec<u8>, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Dated<T> {
    /// Seconds since 1970.
    date: u64,
    /// Which start of the kernel that was.
    #[serde(default)]
    boot_id: Arc<str>,
    /// Nanoseconds since that start.
    #[serde(default)]
    kept_at: Option<u64>,
    memory: T,
}

/// Something to keep, or to keep no more.
#[derive(Debug)]
pub(super) enum Word {
    /// A DHCPv4 lease of the link with this hardware address.
    Lease(Mac, Box<Remembered>),
    /// None of this network.
    NoLease(Mac, NetworkId),
    /// What the routers of this link said.
    Ra(Arc<str>, Box<ra::Memory>),
    /// What DHCPv6 servers of this link said.
    Dhcp6(Arc<str>, Box<dhcp6::Memory>),
}

impl Memory {
    /// Reads the text that [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Writes it as a text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Takes a word; returns whether anything has changed.
    pub(super) fn take(&mut self, word: Word, clocks: &Clocks) -> bool {
        match word {
            Word::Lease(mac, remembered) => {
                self.dhcp4.keep(mac, *remembered, clocks);
                true
            }
            Word::NoLease(mac, network) => self.dhcp4.forget(mac, &network),
            Word::Ra(link, memory) => keep(&mut self.ra, link, *memory, clocks),
            Word::Dhcp6(link, memory) => keep(&mut self.dhcp6, link, *memory, clocks),
        }
    }

    /// Takes what another client has left on a link; returns whether anything has changed. A lease of our own with that address is
    /// younger than any file of another client: then there is nothing to take.
    pub(super) fn take_former(
        &mut self,
        link: &Arc<str>,
        mac: Option<Mac>,
        former: &mut Former,
        clocks: &Clocks,
    ) -> bool {
        let own = mac.map(|mac| self.leases(mac, clocks)).unwrap_or_default();
        former.dhcp4 = former.dhcp4.take().filter(|dhcp4| {
            let is_same = |own: &Candidate| own.remembered.address() == Some(dhcp4.address);
            !own.iter().any(is_same)
        });
        let before = self.identity(link, mac).cloned();
        let mut identity = before.clone().unwrap_or_else(|| KeptIdentity {
            mac: mac.map(|mac| mac.to_string().into()),
            client_id: None,
            dhcp6: None,
        });
        if let Some(dhcp4) = &former.dhcp4 {
            let by_mac = mac.map(by_mac);
            let client_id = dhcp4.client_id.clone();
            identity.client_id = client_id.filter(|id| Some(id) != by_mac.as_ref());
        }
        // With a lease of our own we are who we are.
        if let Some(dhcp6) = &former.dhcp6
            && !self.dhcp6.contains_key(link)
        {
            identity.dhcp6 = Some((dhcp6.duid.octets().to_vec(), dhcp6.iaid));
        }
        let is_worth = identity.client_id.is_some() || identity.dhcp6.is_some();
        if before.as_ref() == Some(&identity) || before.is_none() && !is_worth {
            return false;
        }
        if self.identities.len() >= MAX_LINKS && !self.identities.contains_key(link) {
            self.identities.pop_first();
        }
        self.identities.insert(Arc::clone(link), identity);
        true
    }

    /// Returns what the client before us called itself on a link that has this hardware address.
    pub(super) fn identity(&self, link: &str, mac: Option<Mac>) -> Option<&KeptIdentity> {
        let mac = mac.map(|mac| mac.to_string());
        let identity = self.identities.get(link)?;
        (identity.mac.as_deref() == mac.as_deref()).then_some(identity)
    }

    pub(super) fn leases(&self, mac: Mac, clocks: &Clocks) -> Vec<Candidate> {
        self.dhcp4.candidates(mac, clocks)
    }

    pub(super) fn ra(&self, link: &str, clocks: &Clocks) -> Option<ra::Remembered> {
        let (memory, age, moved) = recall(&self.ra, link, clocks)?;
        Some(ra::Remembered { memory, age, moved })
    }

    pub(super) fn dhcp6(&self, link: &str, clocks: &Clocks) -> Option<dhcp6::Remembered> {
        let (memory, age, moved) = recall(&self.dhcp6, link, clocks)?;
        Some(dhcp6::Remembered { memory, age, moved })
    }
}

fn keep<T>(
    kept: &mut BTreeMap<Arc<str>, Dated<T>>,
    link: Arc<str>,
    memory: T,
    clocks: &Clocks,
) -> bool {
    if kept.len() >= MAX_LINKS && !kept.contains_key(&link) {
        kept.pop_first();
    }
    let dated = Dated {
        date: clocks.wall.0,
        boot_id: Arc::clone(&clocks.boot_id),
        kept_at: Some(clocks.now.as_nanos()),
        memory,
    };
    kept.insert(link, dated);
    true
}

/// What was kept lies in the past, whatever the clock says. Within one boot the date says nothing: it may have been set meanwhile. The machine may have been carried elsewhere between two starts of
/// the kernel.
fn recall<T: Clone>(
    kept: &BTreeMap<Arc<str>, Dated<T>>,
    link: &str,
    clocks: &Clocks,
) -> Option<(T, Duration, bool)> {
    let dated = kept.get(link)?;
    let moved = dated.boot_id != clocks.boot_id;
    let age = match dated.kept_at.filter(|_| !moved) {
        Some(kept_at) => clocks.now.since(Instant::from_nanos(kept_at)),
        None => Duration::from_secs(clocks.wall.0.checked_sub(dated.date)?),
    };
    Some((dated.memory.clone(), age, moved))
}

#[cfg(test)]
mod tests {
    use config::time::WallTime;

    use super::*;

    fn clocks(seconds: u64, date: u64, boot_id: &str) -> Clocks {
        Clocks {
            now: Instant::ZERO + Duration::from_secs(seconds),
            wall: WallTime(date),
            boot_id: boot_id.into(),
        }
    }

    #[test]
    fn within_one_boot_the_date_says_nothing_of_the_age() {
        let mut memory = Memory::default();
        let word = Word::Dhcp6("eth0".into(), Box::default());
        memory.take(word, &clocks(100, 5000, "one"));
        let memory = Memory::from_text(&memory.to_text()).unwrap();
        let rows = [
            (clocks(150, 5050, "one"), Some((50, false))),
            // Set forward by years, and back.
            (clocks(150, 900_000_000, "one"), Some((50, false))),
            (clocks(150, 10, "one"), Some((50, false))),
            (clocks(20, 5300, "another"), Some((300, true))),
            (clocks(20, 10, "another"), None),
        ];
        for (clocks, expected) in rows {
            let recalled = memory.dhcp6("eth0", &clocks);
            let recalled = recalled.map(|it| (it.age.as_secs(), it.moved));
            assert_eq!(recalled, expected, "{clocks:?}");
        }
    }
}
