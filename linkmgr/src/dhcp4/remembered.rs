//! What is kept of a lease for the next time in its network? [`Remembered`], and [`Leases`], which the daemon writes to disk.
//!
//! The server's last message is kept as it came, so that nothing of it is lost and one parser reads both. How old a lease
//! is tells the clock since boot in the same boot; after another one the date tells, as far as it can be right.
//! Writes no file.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::time::{Instant, WallTime};
use policy::facts::NetworkId;
use serde::{Deserialize, Serialize};

/// Networks that are kept in all, besides one for each link that profiles have; the one that was not met for longest goes.
const MAX_KEPT: usize = 64;
/// Networks that are tried when a link comes up: each costs as many ARP requests as it has witnesses.
const MAX_CANDIDATES: usize = 4;
/// Neighbours that are kept of a network.
pub(crate) const MAX_WITNESSES: usize = 3;

/// A lease, and by what its network is told when it is met again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The network.
    pub network: NetworkId,
    /// The server's message (RFC 2131 figure 1) that gave the lease.
    #[serde(with = "hex")]
    pub message: Arc<[u8]>,
    /// The neighbours by which the network is known again, three at most; one of them is enough.
    #[serde(default, alias = "witness", with = "few")]
    pub witnesses: Vec<Witness>,
    /// When the lease was given, on the clock since boot.
    #[serde(with = "nanos")]
    pub acquired_at: Instant,
}

impl Remembered {
    /// Returns the address that the lease is of (`yiaddr`, RFC 2131 figure 1).
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        let octets = self.message.get(16..)?.first_chunk::<4>()?;
        Some(Ipv4Addr::from(*octets))
    }
}

/// A neighbour that is in this network only: its gateway, its DHCP server, or a name server (RFC 4436 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its hardware address.
    #[serde(with = "mac")]
    pub mac: Mac,
}

/// The clocks of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clocks {
    /// The time since boot.
    pub now: Instant,
    /// The date, right or wrong.
    pub wall: WallTime,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Arc<str>,
}

/// A lease of before, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The lease.
    pub remembered: Remembered,
    /// How old it is.
    pub age: Age,
}

/// How old a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It was given in this boot: the age is right.
    Known(Duration),
    /// By the date: as right as that. The address is not used before neighbours were asked for it.
    Dated(Duration),
    /// The date lies before that of the lease: there is no telling. The address is used when a server confirms it.
    Unknown,
}

/// The leases of all links and networks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Leases(Vec<Kept>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    #[serde(with = "mac")]
    mac: Mac,
    #[serde(flatten)]
    remembered: Remembered,
    boot_id: Arc<str>,
    /// The date when the lease was given.
    acquired_date: u64,
}

impl Leases {
    /// Keeps a lease of the link with this hardware address, one of so many; the one of before in its network goes.
    pub fn keep(&mut self, mac: Mac, remembered: Remembered, links: usize, clocks: &Clocks) {
        self.forget(mac, &remembered.network);
        if self.0.len() >= MAX_KEPT.saturating_add(links) {
            self.0.remove(0);
        }
        let age = clocks.now.since(remembered.acquired_at);
        self.0.push(Kept {
            mac,
            remembered,
            boot_id: Arc::clone(&clocks.boot_id),
            acquired_date: clocks.wall.0.saturating_sub(age.as_secs()),
        });
    }

    /// Forgets what is kept of a network; returns whether there was anything.
    pub fn forget(&mut self, mac: Mac, network: &NetworkId) -> bool {
        let before = self.0.len();
        self.0
            .retain(|kept| kept.mac != mac || kept.remembered.network != *network);
        self.0.len() != before
    }

    /// Returns what the link with this hardware address may find again, the latest first.
    pub fn candidates(&self, mac: Mac, clocks: &Clocks) -> Vec<Candidate> {
        let own = self.0.iter().rev().filter(|kept| kept.mac == mac);
        own.take(MAX_CANDIDATES)
            .map(|kept| Candidate {
                remembered: kept.remembered.clone(),
                age: kept.age(clocks),
            })
            .collect()
    }
}

impl Kept {
    fn age(&self, clocks: &Clocks) -> Age {
        if self.boot_id == clocks.boot_id {
            return Age::Known(clocks.now.since(self.remembered.acquired_at));
        }
        match clocks.wall.0.checked_sub(self.acquired_date) {
            Some(age) => Age::Dated(Duration::from_secs(age)),
            None => Age::Unknown,
        }
    }
}

mod few {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    use super::{MAX_WITNESSES, Witness};

    /// There was one, or none, in files of before.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Few {
        Many(Vec<Witness>),
        One(Witness),
    }

    pub(super) fn serialize<S: Serializer>(
        witnesses: &[Witness],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        witnesses.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Witness>, D::Error> {
        let mut witnesses = match Option::deserialize(deserializer)? {
            Some(Few::Many(witnesses)) => witnesses,
            Some(Few::One(witness)) => vec![witness],
            None => Vec::new(),
        };
        witnesses.truncate(MAX_WITNESSES);
        Ok(witnesses)
    }
}

mod nanos {
    use super::Instant;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        instant: &Instant,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(instant.as_nanos())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Instant, D::Error> {
        u64::deserialize(deserializer).map(Instant::from_nanos)
    }
}

mod mac {
    use super::Mac;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(mac: &Mac, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(mac)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

mod hex {
    use super::Arc;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::fmt::Write as _;

    /// A message of a server, in octets, at most; what is longer in a file was not written by us.
    const MAX_MESSAGE: usize = 9000;

    pub(super) fn serialize<S: Serializer>(
        octets: &Arc<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(octets.len() * 2);
        for octet in octets.iter() {
            write!(text, "{octet:02x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<[u8]>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.len().is_multiple_of(2) || text.len() > 2 * MAX_MESSAGE {
            return Err(D::Error::custom("the length is not that of a message"));
        }
        let pairs = text.as_bytes().chunks_exact(2);
        let octets = pairs.map(|pair| {
            let digit = |octet: u8| char::from(octet).to_digit(16);
            let [high, low] = *pair else { return None };
            u8::try_from(digit(high)? << 4 | digit(low)?).ok()
        });
        octets
            .collect::<Option<Vec<u8>>>()
            .map(Arc::from)
            .ok_or_else(|| D::Error::custom("a digit is not hexadecimal"))
    }
}
