//! Which names of WireGuard's endpoints are resolved, when, and where? [`Endpoints`], without sockets or a clock.
//!
//! ```text
//!             follow                     addresses                 endpoint told
//!  (unknown) ────────► Asked ─────────────────────────────► Held ──────────────┐
//!                        ▲  │ nothing: Failed, again after 1 s, 2 s, … 64 s    │ silent: no handshake for 135 s
//!                        └──┴──────────────────────────────────────────────────┘ while something is sent;
//!                                                                                or other networks below
//! ```
//!
//! A name is asked where it would be asked if the tunnel were no place for names that nobody claims ([`Lookup::except`]): a
//! full tunnel that is to be built, or that has lost its peer, would otherwise ask itself for ever. Claims hold as for any
//! question; that a tunnel claims the name of its own endpoint is an error in its profile.
//! The kernel gives no notice of a handshake, so a peer with a name is looked at every 135 s: the age at which WireGuard
//! itself would have agreed on new keys if there had been anything to send (`REKEY_AFTER_TIME` and what goes with it).
//! Peers with an address are never looked at.
//!
//! # How it is driven
//! [`Endpoints::follow`] for every plan; then, after any input, [`Endpoints::poll_lookup`], [`Endpoints::poll_reading`] and
//! [`Endpoints::poll_endpoint`] until there is none; [`Endpoints::poll_timeout`] says when [`Endpoints::handle_timeout`] is due.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::model::{EndpointHost, PublicKey, WireguardSettings};
use config::name::DomainName;
use config::time::Instant;

use super::PeerReading;

/// Without a handshake for so long a peer that is sent to is not there.
const SILENT_AFTER: Duration = Duration::from_secs(135);
/// A name that was not resolved is asked for again after so long, then after twice that.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(64);

/// Which peer of which link.
pub type PeerId = (Arc<str>, PublicKey);

/// A name to resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// For whom.
    pub peer: PeerId,
    /// The name.
    pub name: DomainName,
    /// The link whose default, exclusive or not, does not count: the tunnel's own. Claims hold, its own too.
    pub except: Arc<str>,
}

/// What the timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointTimer {
    /// When to ask again for a name that was not resolved.
    Retry,
    /// When to look whether a peer is still there.
    Look,
}

/// The endpoints of all links that have names.
#[derive(Debug, Default)]
pub struct Endpoints {
    peers: BTreeMap<PeerId, Peer>,
    lookups: VecDeque<Lookup>,
    endpoints: VecDeque<(PeerId, SocketAddr)>,
    /// Links that are to be read.
    readings: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
struct Peer {
    name: DomainName,
    port: u16,
    state: State,
    /// The one that was told.
    current: Option<IpAddr>,
    /// Octets sent to it when it was last looked at.
    sent: u64,
    /// Whether nothing is known of it yet but its name.
    is_new: bool,
}

#[derive(Debug)]
enum State {
    /// The question is under way; `again` when another reason to ask has come meanwhile.
    Asked { again: bool, failures: u32 },
    /// It was not resolved.
    Failed { retry_at: Instant, failures: u32 },
    /// It has an endpoint.
    Held { look_at: Instant },
}

impl Endpoints {
    /// Takes the peers of one link; `None` when it is gone. What is known of peers that stay is kept.
    pub fn follow(&mut self, link: &Arc<str>, settings: Option<&WireguardSettings>) {
        let mut named: BTreeMap<PeerId, (DomainName, u16)> = BTreeMap::new();
        for (key, peer) in settings.into_iter().flat_map(|settings| &settings.peers) {
            let Some(endpoint) = &peer.endpoint else {
                continue;
            };
            if let EndpointHost::Name(name) = &endpoint.host {
                named.insert((link.clone(), *key), (name.clone(), endpoint.port));
            }
        }
        self.peers.retain(|id, peer| {
            let is_other = id.0 != *link;
            is_other || named.get(id) == Some(&(peer.name.clone(), peer.port))
        });
        self.drop_strays();
        for (id, (name, port)) in named {
            if self.peers.contains_key(&id) {
                continue;
            }
            let state = State::Asked {
                again: false,
                failures: 0,
            };
            self.lookups.push_back(lookup(&id, &name));
            let peer = Peer {
                name,
                port,
                state,
                current: None,
                sent: 0,
                is_new: true,
            };
            self.peers.insert(id, peer);
        }
    }

    /// Takes what a name has come to: addresses in the order in which they should be tried; none when it failed.
    pub fn handle_addresses(&mut self, id: &PeerId, addresses: &[IpAddr], now: Instant) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let State::Asked { again, failures } = peer.state else {
            return;
        };
        if again {
            peer.state = State::Asked {
                again: false,
                failures,
            };
            self.lookups.push_back(lookup(id, &peer.name));
            return;
        }
        // The one after the one that did not answer, so that all have their turn.
        let current_at = addresses
            .iter()
            .position(|address| Some(*address) == peer.current);
        let next_at = current_at.map_or(0, |at| (at + 1) % addresses.len().max(1));
        let Some(address) = addresses.get(next_at) else {
            let wait = FIRST_RETRY
                .saturating_mul(1 << failures.min(6))
                .min(LAST_RETRY);
            peer.state = State::Failed {
                retry_at: now + wait,
                failures: failures.saturating_add(1),
            };
            return;
        };
        peer.state = State::Held {
            look_at: now + SILENT_AFTER,
        };
        // Told even if it is the same one: the kernel may have followed a packet to somewhere else.
        peer.current = Some(*address);
        let endpoint = SocketAddr::new(*address, peer.port);
        self.endpoints.push_back((id.clone(), endpoint));
    }

    /// Takes what the kernel says of a link's peers; `wall` is the time that it counts handshakes by.
    pub fn handle_reading(
        &mut self,
        link: &Arc<str>,
        readings: &BTreeMap<PublicKey, PeerReading>,
        wall: Duration,
        now: Instant,
    ) {
        for (id, peer) in &mut self.peers {
            let Some(reading) = readings.get(&id.1).filter(|_| id.0 == *link) else {
                continue;
            };
            let age = wall.saturating_sub(reading.last_handshake);
            let is_silent = reading.last_handshake.is_zero() || age >= SILENT_AFTER;
            let was_new = std::mem::take(&mut peer.is_new);
            if was_new && !is_silent && reading.endpoint.is_some() {
                // It was reached before we came: what works is left as it is.
                peer.current = reading.endpoint.map(|at| at.ip());
                peer.sent = reading.sent;
                let look_at = now + (SILENT_AFTER - age);
                peer.state = State::Held { look_at };
                continue;
            }
            let State::Held { look_at } = &mut peer.state else {
                continue;
            };
            if let (None, Some(current)) = (reading.endpoint, peer.current) {
                // Its link was made anew.
                let endpoint = SocketAddr::new(current, peer.port);
                self.endpoints.push_back((id.clone(), endpoint));
                continue;
            }
            let is_sent_to = reading.sent > peer.sent;
            peer.sent = reading.sent;
            if !is_silent {
                // Not before it can be silent.
                *look_at = now + (SILENT_AFTER - age);
                peer.current = reading.endpoint.map(|at| at.ip()).or(peer.current);
            } else if is_sent_to {
                peer.state = State::Asked {
                    again: false,
                    failures: 0,
                };
                self.lookups.push_back(lookup(id, &peer.name));
            } else {
                *look_at = now + SILENT_AFTER;
            }
        }
        let peers = &self.peers;
        let is_asked = |lookup: &Lookup| {
            let peer = peers.get(&lookup.peer);
            peer.is_some_and(|peer| matches!(peer.state, State::Asked { .. }))
        };
        self.lookups.retain(is_asked);
    }

    /// Takes word that the networks below have changed: names may lead elsewhere, and what failed may work.
    pub fn handle_networks_changed(&mut self) {
        for (id, peer) in &mut self.peers {
            peer.is_new = false;
            match &mut peer.state {
                State::Asked { again, .. } => *again = true,
                State::Failed { .. } | State::Held { .. } => {
                    // The first address of the answer counts in another network.
                    peer.current = None;
                    peer.state = State::Asked {
                        again: false,
                        failures: 0,
                    };
                    self.lookups.push_back(lookup(id, &peer.name));
                }
            }
        }
    }

    /// Takes word that the deadline has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (id, peer) in &mut self.peers {
            match &mut peer.state {
                State::Failed { retry_at, failures } if *retry_at <= now => {
                    let failures = *failures;
                    peer.state = State::Asked {
                        again: false,
                        failures,
                    };
                    self.lookups.push_back(lookup(id, &peer.name));
                }
                State::Held { look_at } if *look_at <= now => {
                    *look_at = now + SILENT_AFTER;
                    self.readings.insert(id.0.clone());
                }
                State::Asked { .. } | State::Failed { .. } | State::Held { .. } => {}
            }
        }
    }

    /// Returns the next deadline, and what it is for.
    pub fn poll_timeout(&self) -> Option<(Instant, EndpointTimer)> {
        let deadlines = self.peers.values().filter_map(|peer| match peer.state {
            State::Asked { .. } => None,
            State::Failed { retry_at, .. } => Some((retry_at, EndpointTimer::Retry)),
            State::Held { look_at } => Some((look_at, EndpointTimer::Look)),
        });
        deadlines.min()
    }

    /// Returns the next name to resolve; its answer comes by [`Endpoints::handle_addresses`].
    pub fn poll_lookup(&mut self) -> Option<Lookup> {
        self.lookups.pop_front()
    }

    /// Returns the next link that is to be read; the answer comes by [`Endpoints::handle_reading`].
    pub fn poll_reading(&mut self) -> Option<Arc<str>> {
        self.readings.pop_first()
    }

    /// Returns the next endpoint that the kernel is to hear of.
    pub fn poll_endpoint(&mut self) -> Option<(PeerId, SocketAddr)> {
        self.endpoints.pop_front()
    }

    /// Returns where a peer was last told to be, for when its link is set whole.
    pub fn current(&self, id: &PeerId) -> Option<SocketAddr> {
        let peer = self.peers.get(id)?;
        Some(SocketAddr::new(peer.current?, peer.port))
    }

    /// Returns the peers that have names, with the name.
    pub fn names(&self) -> impl Iterator<Item = (&PeerId, &DomainName)> {
        self.peers.iter().map(|(id, peer)| (id, &peer.name))
    }

    /// Says in words how it is with a peer's name.
    pub fn condition(&self, id: &PeerId, now: Instant) -> Option<String> {
        let peer = self.peers.get(id)?;
        Some(match peer.state {
            State::Asked { .. } => "the name is being asked for".to_owned(),
            State::Failed { retry_at, .. } => format!(
                "the name is not resolved, and asked for again in {} s",
                retry_at.since(now).as_secs()
            ),
            State::Held { .. } => "the name is resolved".to_owned(),
        })
    }

    /// Forgets what is queued for peers that are gone.
    fn drop_strays(&mut self) {
        let peers = &self.peers;
        self.lookups
            .retain(|lookup| peers.contains_key(&lookup.peer));
        self.endpoints.retain(|(id, _)| peers.contains_key(id));
        self.readings
            .retain(|link| peers.keys().any(|(of, _)| of == link));
    }
}

fn lookup(id: &PeerId, name: &DomainName) -> Lookup {
    Lookup {
        peer: id.clone(),
        name: name.clone(),
        except: id.0.clone(),
    }
}

#[cfg(test)]
mod tests;
