//! Which keys does a link of kind `macsec` have? [`MacsecSettings`]: static associations (IEEE 802.1AE), each with its key in a file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::matcher::Mac;

/// Who sends in a secure channel: a hardware address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelId {
    /// The hardware address.
    pub mac: Mac,
    /// The port beside it.
    pub port: u16,
}

impl ChannelId {
    /// Returns the octets as frames have them.
    pub fn octets(self) -> [u8; 8] {
        let [a, b, c, d, e, f] = self.mac.0;
        let [high, low] = self.port.to_be_bytes();
        [a, b, c, d, e, f, high, low]
    }

    /// Reads the octets of a frame.
    pub const fn of_octets(octets: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, high, low] = octets;
        Self {
            mac: Mac([a, b, c, d, e, f]),
            port: u16::from_be_bytes([high, low]),
        }
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.mac, self.port)
    }
}

/// The associations of a link of kind `macsec`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MacsecSettings {
    /// What sends.
    pub sends: Option<SendingAssociation>,
    /// What is received, by who sends it and by number; the value is the file that the key is in.
    pub receives: BTreeMap<ChannelId, BTreeMap<u8, Arc<str>>>,
}

/// The association that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendingAssociation {
    /// Its number: 0 to 3.
    pub number: u8,
    /// The file that its key is in.
    pub key_file: Arc<str>,
}

impl MacsecSettings {
    /// Returns the files that its keys are in.
    pub fn key_files(&self) -> impl Iterator<Item = &Arc<str>> {
        let sends = self.sends.iter().map(|sends| &sends.key_file);
        sends.chain(self.receives.values().flat_map(BTreeMap::values))
    }
}
