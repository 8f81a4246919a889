//! How does the kernel hear of links that are to be made? Messages of netlink, written and read by the table of kinds.
//!
//! [`config::kind::KINDS`] says how each attribute is numbered and written; [`encode`] and [`decode`] walk it, and know no
//! kind by name. [`message`] puts whole requests together, [`wireguard`] and [`macsec`] those that go by generic netlink,
//! [`tun`] the one that is an ioctl. Nothing here opens a socket.

pub mod decode;
pub mod encode;
pub mod ethtool;
pub mod generic;
pub mod macsec;
pub mod message;
pub mod present;
pub mod tlv;
pub mod tun;
pub mod wireguard;

pub use decode::{LinkInfo, link_info};
pub use message::Message;

#[cfg(test)]
mod tests;
