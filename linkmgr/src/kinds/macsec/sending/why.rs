//! Why does an association not send, and what is to be done about it? [`NotSent`], in words.

use std::fmt;
use std::sync::Arc;

use crate::kinds::macsec::ledger::{END, GOES_OUT};

/// Why nothing is sent, or for how long it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSent {
    /// The ledger is there and cannot be read.
    Unread(Arc<str>),
    /// The key was used, and the ledger knows nothing of it.
    Forgotten,
    /// It has sent while nobody watched.
    Unwatched,
    /// There are no numbers left.
    UsedUp,
    /// The reserve cannot be written.
    NotKept(Arc<str>),
    /// Another link sends with the same key under the same identifier.
    Twice,
    /// A network card counts the packets.
    Offloaded,
    /// The key is not as long as the cipher wants.
    Length(usize),
    /// The ledger is full.
    TooMany,
    /// The link's identifier has changed while it was sending.
    OtherChannel,
    /// Somebody has removed it.
    Removed,
    /// The kernel does not want it.
    Kernel(Arc<str>),
    /// The link is not there.
    NoLink,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NEW_KEY: &str = "have a new key made, and give it to the other side too";
        match self {
            Self::Unread(why) => write!(
                f,
                "it must not send: {why}; have new keys made for all links, then remove the file"
            ),
            Self::Forgotten => write!(
                f,
                "it must not send: its key was used before, and it is not known any more how far: {NEW_KEY}"
            ),
            Self::Unwatched => write!(
                f,
                "it must not send: it went on sending without linnetd, and the machine has been started again since: {NEW_KEY}"
            ),
            Self::UsedUp => write!(
                f,
                "it must not send: the packet numbers of its key are used up: {NEW_KEY}"
            ),
            Self::NotKept(why) => write!(
                f,
                "its packet numbers cannot be written down, and without that it stops sending: {why}"
            ),
            Self::Twice => write!(
                f,
                "it must not send: another link sends with the same key and the same identifier: each needs a key of its own"
            ),
            Self::Offloaded => write!(
                f,
                "it must not send: its packets are counted by the network card, where they cannot be read: `ip macsec offload … off`"
            ),
            Self::Length(octets) => write!(
                f,
                "its cipher does not take a key of {octets} octets: gcm-aes-128 takes 32 digits, gcm-aes-256 takes 64"
            ),
            Self::TooMany => write!(
                f,
                "it must not send: too many keys have been used on this machine to remember one more"
            ),
            Self::OtherChannel => write!(
                f,
                "it must not send: the link's hardware address has changed; `linnet config reload` sets it up anew"
            ),
            Self::Removed => write!(f, "somebody has removed the association that sends"),
            Self::Kernel(why) => write!(f, "the kernel says: {why}"),
            Self::NoLink => write!(f, "the link is not there"),
        }
    }
}

/// Says how far the numbers of a key go, in a few words.
pub fn told(reserved: u64) -> String {
    let percent = reserved * 100 / END;
    let goes_out = if reserved >= GOES_OUT {
        ": have a new key made soon"
    } else {
        ""
    };
    format!("sends; {percent} % of its key's packet numbers are used or reserved{goes_out}")
}
