//! What does this machine offer, so that neighbours find it? The services of `[[services]]`.

use std::sync::Arc;

use super::ProfileId;
use crate::name::MAX_LABEL;

/// One of `[[services]]`: announced by multicast DNS on links that answer for this machine (RFC 6763).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What users see; `None` for what the machine is called.
    pub name: Option<ServiceName>,
    /// The type's first label, as `_ipp`.
    pub kind: Box<str>,
    /// What is spoken beneath.
    pub protocol: ServiceProtocol,
    /// The port.
    pub port: u16,
    /// The strings of its TXT record, each of at most 255 octets (RFC 6763 §6.1).
    pub text: Vec<Box<[u8]>>,
    /// The subtypes that it is found by too, each one label (RFC 6763 §7.1).
    pub subtypes: Vec<Box<str>>,
    /// The profiles on whose links it is announced; empty for all.
    pub profiles: Vec<ProfileId>,
}

impl Service {
    /// Whether it is announced on links that this profile governs.
    pub fn is_for(&self, profile: Option<&ProfileId>) -> bool {
        self.profiles.is_empty() || profile.is_some_and(|id| self.profiles.contains(id))
    }
}

/// The name of an instance: one label, in UTF-8 and as it is shown (RFC 6763 §4.1.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// Takes a text that fits one label and has no control characters.
    pub fn new(text: &str) -> Option<Self> {
        let is_good = (1..=MAX_LABEL).contains(&text.len()) && !text.chars().any(char::is_control);
        is_good.then(|| Self(text.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a service speaks beneath: the second label of its type (RFC 6763 §4.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceProtocol {
    /// `_tcp`.
    Tcp,
    /// `_udp`: anything else than TCP.
    Udp,
}

impl ServiceProtocol {
    /// Returns the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "_tcp",
            Self::Udp => "_udp",
        }
    }
}
