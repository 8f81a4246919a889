//! Are routers reached? [`Neighbours`]: what the kernel's neighbour table says of IPv6 routers, as it changes.
//!
//! A filter in the kernel drops notices of everything that is no router (`NTF_ROUTER`), so that a network with ten thousand
//! neighbours wakes nobody. Nothing is listed: what matters is that a router fails while it is used.

use std::io;
use std::net::Ipv6Addr;

use linkmgr::ra::Reachability;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use socket2::{SockFilter, SockRef};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::message::HEADER_LENGTH;
use crate::socket::{self, Received};

/// Datagrams that are read before others have their turn.
const DATAGRAMS_PER_BATCH: usize = 32;
/// A loss alone is told as an error of the socket.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);
/// `struct ndmsg`: where index, state and flags are, and its length.
const INDEX_AT: usize = 4;
const STATE_AT: usize = 8;
const FLAGS_AT: usize = 10;
const NEIGHBOUR_LENGTH: usize = 12;
/// `NDA_DST`.
const DESTINATION: u16 = 1;

/// What the kernel says of one router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The link's index.
    pub index: u32,
    /// Its address.
    pub address: Ipv6Addr,
    /// How it is reached.
    pub reachability: Reachability,
}

/// The socket that hears of routers.
#[derive(Debug)]
pub struct Neighbours {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
}

impl Neighbours {
    /// Opens the socket. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        SockRef::from(&socket).attach_filter(&filter())?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(libc::RTNLGRP_NEIGH)?;
        // SAFETY: the socket owns its descriptor and is not closed before it is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, INTEREST) }?;
        Ok(Self {
            socket,
            buffer: Vec::new(),
        })
    }

    /// Waits for what changes. Cancel-safe. A loss is no matter: a router that fails is tried again, and fails again.
    ///
    /// # Errors
    /// When the socket itself is broken.
    pub async fn next(&mut self) -> io::Result<Vec<Neighbour>> {
        loop {
            let mut ready = self.socket.ready(INTEREST).await?;
            let mut heard = Vec::new();
            for _ in 0..DATAGRAMS_PER_BATCH {
                match socket::receive(self.socket.get_ref(), &mut self.buffer) {
                    Ok(Received::Datagram) => heard.extend(parse(&self.buffer)),
                    Ok(Received::Foreign | Received::Lost) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready.clear_ready();
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if !heard.is_empty() {
                return Ok(heard);
            }
        }
    }
}

/// Reads a datagram of notices; what is no IPv6 router is passed over.
pub fn parse(mut bytes: &[u8]) -> Vec<Neighbour> {
    let mut heard = Vec::new();
    while let Some((length, kind)) = header(bytes) {
        let Some(body) = bytes.get(HEADER_LENGTH..length) else {
            break;
        };
        heard.extend(neighbour(kind, body));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    heard
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?);
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    (length >= HEADER_LENGTH && bytes.len() >= HEADER_LENGTH).then_some((length, kind))
}

fn neighbour(kind: u16, body: &[u8]) -> Option<Neighbour> {
    let is_router = body.get(FLAGS_AT)? & libc::NTF_ROUTER != 0;
    if i32::from(*body.first()?) != libc::AF_INET6 || !is_router {
        return None;
    }
    let index = u32::from_ne_bytes(*body.get(INDEX_AT..)?.first_chunk()?);
    let state = u16::from_ne_bytes(*body.get(STATE_AT..)?.first_chunk()?);
    let mut attributes = body.get(NEIGHBOUR_LENGTH..)?;
    let address = loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let number = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?);
        if length < 4 {
            return None;
        }
        if number == DESTINATION {
            let octets: [u8; 16] = attributes.get(4..length)?.try_into().ok()?;
            break Ipv6Addr::from(octets);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    };
    let reachability = match kind {
        libc::RTM_NEWNEIGH if state & libc::NUD_FAILED != 0 => Reachability::Failed,
        libc::RTM_NEWNEIGH
            if state & (libc::NUD_REACHABLE | libc::NUD_PERMANENT | libc::NUD_NOARP) != 0 =>
        {
            Reachability::Reachable
        }
        libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH => Reachability::Unknown,
        _ => return None,
    };
    Some(Neighbour {
        index,
        address,
        reachability,
    })
}

/// Classic BPF over the first message, which is the only one in a notice: an IPv6 neighbour that is a router goes through.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an instruction's code is 16 bits wide, its parts are declared wider; the header's length is 16"
)]
fn filter() -> [SockFilter; 6] {
    const LOAD_OCTET: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const JUMP_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    [
        SockFilter::new(LOAD_OCTET, 0, 0, HEADER_LENGTH as u32),
        SockFilter::new(JUMP_EQUAL, 0, 3, libc::AF_INET6 as u32),
        SockFilter::new(LOAD_OCTET, 0, 0, (HEADER_LENGTH + FLAGS_AT) as u32),
        SockFilter::new(JUMP_SET, 0, 1, u32::from(libc::NTF_ROUTER)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(kind: u16, family: u8, state: u16, flags: u8) -> Vec<u8> {
        let mut bytes = 48_u32.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([family, 0, 0, 0]);
        bytes.extend(3_u32.to_ne_bytes());
        bytes.extend(state.to_ne_bytes());
        bytes.extend([flags, 1]);
        bytes.extend(20_u16.to_ne_bytes());
        bytes.extend(DESTINATION.to_ne_bytes());
        bytes.extend("fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        bytes
    }

    #[test]
    fn states_of_routers_are_read_and_all_else_is_passed_over() {
        let rows = [
            (28, 10, 0x20, 0x80, Some(Reachability::Failed)),
            (28, 10, 0x02, 0x80, Some(Reachability::Reachable)),
            (28, 10, 0x04, 0x80, Some(Reachability::Unknown)),
            (29, 10, 0x04, 0x80, Some(Reachability::Unknown)),
            (28, 10, 0x20, 0, None),
            (28, 2, 0x20, 0x80, None),
            (16, 10, 0x20, 0x80, None),
        ];
        for (kind, family, state, flags, expected) in rows {
            let bytes = notice(kind, family, state, flags);
            let heard: Vec<_> = parse(&bytes).iter().map(|one| one.reachability).collect();
            assert_eq!(heard, Vec::from_iter(expected), "{kind} {family} {state}");
            for length in 0..bytes.len() {
                assert!(parse(&bytes[..length]).is_empty(), "cut at {length}");
            }
        }
    }
}
