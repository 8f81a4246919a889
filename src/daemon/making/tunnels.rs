//! How do keys and peers of tunnels get into the kernel? [`Tunnels`]: read, compared, and only what differs is said.
//!
//! Lives in the thread of the [`super::Maker`]. Keys stay no longer than it takes to compare them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::{EndpointHost, PublicKey, WireguardSettings};
use linkmgr::kinds::Message;
use linkmgr::kinds::generic::Family;
use linkmgr::kinds::wireguard::compare::{Known, Reading, differences};
use linkmgr::kinds::wireguard::endpoints::PeerId;
use linkmgr::kinds::wireguard::{Device, FAMILY, Peer, PeerReading, get_device, set_endpoint};
use linkmgr_io::ask::{AskError, Asker};

use crate::kernel_clock;
use crate::link_keys::Keys;

/// What the kernel tells of the peers of a link.
pub(crate) type Readings = BTreeMap<PublicKey, PeerReading>;

/// The part of the kernel that has the tunnels, as soon as it is needed.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    reached: Option<(Asker, Family)>,
    /// Endpoints that profiles name by address, as they were told last.
    told: BTreeMap<Arc<str>, BTreeMap<PublicKey, SocketAddr>>,
}

impl Tunnels {
    /// Has a link be as its profile wants it; returns what the kernel tells of its peers. `ours` are those that we added, written down
    /// before they are.
    ///
    /// # Errors
    /// What is missing, or what the kernel says against it.
    pub(super) fn set(
        &mut self,
        (name, index): (&Arc<str>, u32),
        settings: &WireguardSettings,
        keys: &Keys,
        ours: &mut BTreeSet<PublicKey>,
        write_down: impl FnOnce(&BTreeSet<PublicKey>),
    ) -> Result<Readings, Box<dyn std::error::Error>> {
        let device = device(settings, keys).map_err(|why| why.to_string())?;
        let family = self.reach()?.1;
        let held = self.read(index)?;
        // What is gone is ours no more, and one that was there before we came is not ours to remove.
        ours.retain(|key| held.peers.contains_key(key));
        let added = device.peers.keys();
        ours.extend(added.filter(|key| !held.peers.contains_key(key)));
        write_down(ours);
        let none = BTreeMap::new();
        let known = Known {
            ours,
            told: self.told.get(name).unwrap_or(&none),
            // The kernel counts handshakes by the time of day.
            wall: Duration::from_secs(kernel_clock::wall()),
        };
        let messages = differences(family, index, &device, &held, known);
        self.say(messages)?;
        ours.retain(|key| device.peers.contains_key(key));
        let told = device.peers.iter();
        let told = told.filter_map(|(key, peer)| Some((*key, peer.endpoint?)));
        self.told.insert(Arc::clone(name), told.collect());
        let mut readings = held.peers;
        for key in device.peers.keys() {
            readings.entry(*key).or_default();
        }
        Ok(readings)
    }

    /// Reads what the kernel tells of the peers of a link.
    ///
    /// # Errors
    /// What the kernel says against it.
    pub(super) fn look(&mut self, index: u32) -> Result<Readings, AskError> {
        Ok(self.read(index)?.peers)
    }

    /// Tells where a peer is.
    ///
    /// # Errors
    /// What the kernel says against it.
    pub(super) fn tell(
        &mut self,
        index: u32,
        (_, key): &PeerId,
        endpoint: SocketAddr,
    ) -> Result<(), AskError> {
        let family = self.reach()?.1;
        let message = set_endpoint(family, index, *key, endpoint);
        self.say(vec![message])
    }

    fn read(&mut self, index: u32) -> Result<Reading, AskError> {
        let (asker, family) = self.reach()?;
        let mut answers = asker.ask(&get_device(*family, index))?;
        let reading = Reading::of(&answers);
        answers.iter_mut().for_each(Message::forget);
        Ok(reading)
    }

    fn say(&mut self, messages: Vec<Message>) -> Result<(), AskError> {
        let (asker, _) = self.reach()?;
        let mut said = Ok(());
        for mut message in messages {
            if said.is_ok() {
                said = asker.ask(&message).map(drop);
            }
            message.forget();
        }
        said
    }

    fn reach(&mut self) -> Result<&mut (Asker, Family), AskError> {
        super::reach(&mut self.reached, FAMILY)
    }
}

/// Puts the keys where the profile names their files. Endpoints with a name are told when they are resolved.
pub(super) fn device(settings: &WireguardSettings, keys: &Keys) -> Result<Device, Arc<str>> {
    let mut peers = BTreeMap::new();
    for (key, peer) in &settings.peers {
        let preshared = peer.preshared_key.as_ref();
        let preshared = preshared.map(|source| keys.find(source)).transpose()?;
        let endpoint = peer
            .endpoint
            .as_ref()
            .and_then(|endpoint| match endpoint.host {
                EndpointHost::Address(address) => Some(SocketAddr::new(address, endpoint.port)),
                EndpointHost::Name(_) => None,
            });
        peers.insert(*key, Peer::of(peer, preshared, endpoint));
    }
    Ok(Device {
        private_key: keys.find(&settings.private_key)?,
        listen_port: settings.listen_port,
        mark: settings.mark_in_force(),
        peers,
    })
}
