//! What is kept of networks, so that they are known again? [`Memory`], as one text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::time::Instant;
use policy::LinksPlan;
use policy::facts::NetworkId;
use serde::{Deserialize, Serialize};

use crate::dhcp4::{Candidate, Clocks, Leases, Remembered, by_mac};
use crate::former::Former;
use crate::{dhcp6, ra};

/// Links of which something is kept besides DHCPv4 leases, unless profiles have more: of those that no profile has, the one that was not
/// used for longest goes.
const MAX_LINKS: usize = 256;

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
    /// When a client began with it last, in seconds since 1970.
    #[serde(default)]
    used: u64,
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
    pub(super) fn take(&mut self, word: Word, plan: &LinksPlan, clocks: &Clocks) -> bool {
        match word {
            Word::Lease(mac, remembered) => {
                let links = plan.links.len();
                self.dhcp4.keep(mac, *remembered, links, clocks);
                true
            }
            Word::NoLease(mac, network) => self.dhcp4.forget(mac, &network),
            Word::Ra(link, memory) => {
                make_room(&mut self.ra, &link, plan, |dated| dated.date);
                keep(&mut self.ra, link, *memory, clocks)
            }
            Word::Dhcp6(link, memory) => {
                make_room(&mut self.dhcp6, &link, plan, |dated| dated.date);
                keep(&mut self.dhcp6, link, *memory, clocks)
            }
        }
    }

    /// Takes what another client has left on a link; returns whether anything has changed. A lease of our own with that address is
    /// younger than any file of another client: then there is nothing to take.
    pub(super) fn take_former(
        &mut self,
        link: &Arc<str>,
        mac: Option<Mac>,
        former: &mut Former,
        plan: &LinksPlan,
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
            used: 0,
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
        make_room(&mut self.identities, link, plan, |identity| identity.used);
        identity.used = clocks.wall.0;
        self.identities.insert(Arc::clone(link), identity);
        true
    }

    /// Takes that a client begins on a link: what is kept of it is of use. Written down with whatever is next.
    pub(super) fn note_use(&mut self, link: &str, clocks: &Clocks) {
        if let Some(identity) = self.identities.get_mut(link) {
            identity.used = clocks.wall.0;
        }
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

/// Lets go what is of least use when there is too much, and something new comes: never what a link of the plan needs.
fn make_room<T>(
    kept: &mut BTreeMap<Arc<str>, T>,
    link: &Arc<str>,
    plan: &LinksPlan,
    used: impl Fn(&T) -> u64,
) {
    if kept.len() < MAX_LINKS || kept.contains_key(link) {
        return;
    }
    let planned: BTreeSet<&str> = plan.links.values().map(|link| &*link.name).collect();
    let absent = kept.iter().filter(|(name, _)| !planned.contains(&***name));
    let oldest = absent.min_by_key(|(name, it)| (used(it), *name));
    if let Some(name) = oldest.map(|(name, _)| Arc::clone(name)) {
        kept.remove(&name);
    }
}

fn keep<T>(
    kept: &mut BTreeMap<Arc<str>, Dated<T>>,
    link: Arc<str>,
    memory: T,
    clocks: &Clocks,
) -> bool {
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
    use policy::{LinkId, LinkPlan};

    use super::*;
    use crate::former::{Former4, Leaving};

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
        memory.take(word, &LinksPlan::default(), &clocks(100, 5000, "one"));
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
    /// A plan of so many VLANs.
    fn vlans(count: u32) -> LinksPlan {
        let link = |index| {
            let id = LinkId { index, birth: 1 };
            (
                id,
                LinkPlan::new(name(index), config::model::ProfileId("any".into())),
            )
        };
        LinksPlan {
            links: (0..count).map(link).collect(),
            ..LinksPlan::default()
        }
    }

    fn name(index: u32) -> Arc<str> {
        format!("vlan{index}").into()
    }

    fn left(index: u32) -> Former {
        Former {
            dhcp4: Some(Former4 {
                address: std::net::Ipv4Addr::from(0xc000_0200 + index),
                client_id: Some([0, 1, 2, 3].as_slice().into()),
                by: Leaving::Dhclient,
            }),
            ..Former::default()
        }
    }

    #[test]
    fn no_link_of_the_plan_loses_its_identity_and_of_others_the_one_goes_that_was_not_used_for_longest()
     {
        let mut memory = Memory::default();
        let plan = vlans(1000);
        let take = |memory: &mut Memory, index: u32, plan: &LinksPlan, date: u64| {
            let clocks = clocks(1, date, "one");
            assert!(memory.take_former(&name(index), None, &mut left(index), plan, &clocks));
            let word = Word::Dhcp6(name(index), Box::default());
            memory.take(word, plan, &clocks);
        };
        for index in 0..1000 {
            take(&mut memory, index, &plan, u64::from(index));
        }
        let has = |memory: &Memory, index: u32| {
            let dhcp6 = memory.dhcp6(&name(index), &clocks(2, 2000, "one"));
            assert_eq!(
                memory.identity(&name(index), None).is_some(),
                dhcp6.is_some()
            );
            dhcp6.is_some()
        };
        assert!((0..1000).all(|index| has(&memory, index)));
        // Links that are there no more make room, those that were used long ago before the rest.
        let plan = vlans(2);
        memory.note_use("vlan2", &clocks(1, 5000, "one"));
        let dhcp6 = Word::Dhcp6(name(2), Box::default());
        memory.take(dhcp6, &plan, &clocks(1, 5000, "one"));
        take(&mut memory, 2000, &plan, 5001);
        let gone: Vec<u32> = (0..1000).filter(|index| !has(&memory, *index)).collect();
        assert_eq!(gone, [3]);
    }
}
