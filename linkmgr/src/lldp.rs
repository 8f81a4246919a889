//! What is at the other end of the cable? [`Neighbours`]: what switches say of themselves (LLDP, IEEE 802.1AB), as long as they say
//! that it holds. Nothing is sent.
//!
//! Whoever is on the link can say anything: texts are printable and short, neighbours are few, and a frame that is not as the
//! standard wants it is dropped whole.

mod frame;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;

use frame::Frame;

/// Neighbours that are kept; further ones are passed over until one of these is gone.
const MAX_NEIGHBOURS: usize = 16;

/// What a neighbour says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Which machine it is: a hardware address, an address, a name.
    pub chassis: Arc<str>,
    /// Which of its ports the cable is in.
    pub port: Arc<str>,
    /// What that port is called.
    pub port_description: Option<Arc<str>>,
    /// What it is called.
    pub name: Option<Arc<str>>,
    /// What it is.
    pub description: Option<Arc<str>>,
    /// What it does.
    pub capabilities: Capabilities,
    /// Where it is managed.
    pub addresses: Vec<IpAddr>,
    /// The VLAN of frames without a tag (IEEE 802.1Q Annex D).
    pub vlan: Option<u16>,
    /// The longest frame that it takes, in octets (IEEE 802.3).
    pub max_frame: Option<u16>,
    /// Until when that holds.
    pub valid_until: Instant,
}

/// What a neighbour does (IEEE 802.1AB §8.5.8): those of its capabilities that are switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Capabilities(pub u16);

impl Capabilities {
    /// Bits and their names.
    const NAMES: [(u16, &str); 8] = [
        (0, "other"),
        (1, "repeater"),
        (2, "bridge"),
        (3, "access-point"),
        (4, "router"),
        (5, "telephone"),
        (6, "docsis"),
        (7, "station"),
    ];

    /// Returns their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let names = Self::NAMES.into_iter();
        names
            .filter(move |(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| name)
    }
}

/// The neighbours of one link.
#[derive(Debug, Default)]
pub struct Neighbours {
    by_id: BTreeMap<Arc<[u8]>, Neighbour>,
}

impl Neighbours {
    /// Takes the payload of a frame; returns whether anything else is known now than before, but for how long it holds.
    pub fn handle_packet(&mut self, octets: &[u8], now: Instant) -> bool {
        let Some(Frame {
            id,
            lasts,
            mut neighbour,
        }) = Frame::parse(octets)
        else {
            return false;
        };
        // IEEE 802.1AB §9.2.7.7.1: it goes.
        if lasts.is_zero() {
            return self.by_id.remove(&id).is_some();
        }
        neighbour.valid_until = now + lasts;
        if let Some(known) = self.by_id.get_mut(&id) {
            let is_same = Neighbour {
                valid_until: known.valid_until,
                ..neighbour.clone()
            } == *known;
            *known = neighbour;
            return !is_same;
        }
        if self.by_id.len() >= MAX_NEIGHBOURS {
            return false;
        }
        self.by_id.insert(id, neighbour);
        true
    }

    /// Takes that the link lost its carrier: whoever comes next says so itself.
    pub fn clear(&mut self) -> bool {
        !std::mem::take(&mut self.by_id).is_empty()
    }

    /// Takes that time has passed; returns whether somebody is gone.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let before = self.by_id.len();
        self.by_id
            .retain(|_, neighbour| neighbour.valid_until > now);
        self.by_id.len() != before
    }

    /// Returns when [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.by_id
            .values()
            .map(|neighbour| neighbour.valid_until)
            .min()
    }

    /// Returns those that are there.
    pub fn iter(&self) -> impl Iterator<Item = &Neighbour> {
        self.by_id.values()
    }
}

/// Makes a neighbour of which its names alone are known.
fn unknown(chassis: Arc<str>, port: Arc<str>) -> Neighbour {
    Neighbour {
        chassis,
        port,
        port_description: None,
        name: None,
        description: None,
        capabilities: Capabilities::default(),
        addresses: Vec::new(),
        vlan: None,
        max_frame: None,
        valid_until: Instant::ZERO + Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
