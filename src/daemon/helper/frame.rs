//! How does a message fit into the packets of the socket pair? In pieces of [`MAX_PIECE`], the last one marked.
//!
//! A packet is one octet ([`MORE`] or [`LAST`]) and a piece; a message is a number that its reply repeats, and JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// The longest piece, in bytes: well below what a socket's buffer takes at once.
pub(super) const MAX_PIECE: usize = 32 << 10;
/// The longest packet, in bytes.
pub(super) const MAX_PACKET: usize = MAX_PIECE + 1;
/// The longest request, in bytes: a resolv.conf with all the search suffixes one may write.
pub(super) const MAX_REQUEST: usize = 64 << 10;
/// The longest reply, in bytes: a whole configuration.
pub(super) const MAX_REPLY: usize = 16 << 20;
/// A piece that others follow.
const MORE: u8 = 1;
/// The last piece of a message.
const LAST: u8 = 0;

/// A message with its number.
#[derive(Debug, Serialize, serde::Deserialize)]
pub(super) struct Numbered<T> {
    /// The number.
    pub(super) number: u64,
    /// The message.
    pub(super) body: T,
}

/// Splits a message into packets.
pub(super) fn packets<T: Serialize>(
    message: &T,
    limit: usize,
) -> io::Result<Vec<Zeroizing<Vec<u8>>>> {
    // There may be keys in it, which have room here and are not copied on.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PIECE));
    serde_json::to_writer(&mut *bytes, message)?;
    if bytes.len() > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut packets: Vec<Zeroizing<Vec<u8>>> = bytes
        .chunks(MAX_PIECE)
        .map(|piece| {
            let mut packet = Vec::with_capacity(piece.len() + 1);
            packet.push(MORE);
            packet.extend_from_slice(piece);
            Zeroizing::new(packet)
        })
        .collect();
    if let Some(mark) = packets.last_mut().and_then(|packet| packet.first_mut()) {
        *mark = LAST;
    }
    Ok(packets)
}

/// Puts packets together.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    bytes: Vec<u8>,
}

impl Assembly {
    /// Adds a packet; returns the message with its last one.
    pub(super) fn add<T: DeserializeOwned>(
        &mut self,
        packet: &[u8],
        limit: usize,
    ) -> io::Result<Option<T>> {
        let Some((mark, piece)) = packet.split_first() else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if self.bytes.len() + piece.len() > limit {
            self.bytes.clear();
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        match *mark {
            MORE => Ok(None),
            LAST => {
                let bytes = Zeroizing::new(std::mem::take(&mut self.bytes));
                Ok(Some(serde_json::from_slice(&bytes)?))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
