//! Where do others than this host's programs ask? One of `[[listeners]]`, checked.
//!
//! `listen` of `[resolver]` is for the host alone and has no access list; everything here has one, or stays on loopback.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::model::{Prefix, Transport};

/// The path of an HTTPS listener, where none is written.
pub const DEFAULT_PATH: &str = "/dns-query";

/// How many whole answers by UDP a client without a cookie may have in a second, where it is not written: enough for any host, too
/// few to hurt the one it pretends to be.
pub const DEFAULT_CLIENT_RATE: u32 = 1000;

/// One of `[[listeners]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The address; all of the host's when it is unspecified.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The link of a link-local address.
    pub zone: Option<Arc<str>>,
    /// How it is spoken to.
    pub transport: Transport,
    /// Who may ask; on loopback nobody when it is empty means the host itself.
    pub allow: Vec<Prefix>,
    /// What is answered besides the upstreams' answers.
    pub stub: ListenerStub,
    /// Whether names that somebody claims are answered.
    pub claims: bool,
    /// The file of its certificate chain, when it is encrypted.
    pub certificate: Option<Arc<str>>,
    /// The file of its private key, when it is encrypted.
    pub key: Option<Arc<str>>,
    /// The path of an HTTPS listener.
    pub path: Arc<str>,
    /// Whole answers by UDP that a client without a cookie may have in a second.
    pub client_rate: u32,
}

/// As which stub a listener answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerStub {
    /// Search suffixes, hosts and the machine's own names too.
    Main,
    /// Only what the upstreams answer.
    #[default]
    Bypass,
}

impl ListenerConfig {
    /// Returns where it listens, without the link of a link-local address.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Whether only this host can reach it.
    pub const fn is_local(&self) -> bool {
        self.address.to_canonical().is_loopback()
    }

    /// Whether two listeners need the same port of the same address.
    pub fn collides(&self, other: &Self) -> bool {
        let same_place = self.socket() == other.socket() && self.zone == other.zone;
        let shares = |one: Transport, two: Transport| match one {
            // UDP and TCP.
            Transport::Plain | Transport::Tcp => true,
            Transport::Tls | Transport::Https => !two.is_quic(),
            Transport::Quic | Transport::H3 => two.is_quic() || two == Transport::Plain,
        };
        same_place && shares(self.transport, other.transport)
    }
}

impl fmt::Display for ListenerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.zone, self.address) {
            (Some(zone), address) => write!(f, "[{address}%{zone}]:{}", self.port),
            (None, _) => self.socket().fmt(f),
        }
    }
}
