//! Are routers reached? [`Neighbours`]: what the kernel's neighbour table says of IPv6 routers, as it changes.
//!
//! A filter in the kernel drops notices of everything that is no router (`NTF_ROUTER`) and was none, so that a network with ten thousand
//! neighbours wakes nobody. Nothing is listed: what matters is that a router fails, or is one no more, while it is used.

use std::collections::{BTreeMap, BTreeSet};
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
/// `NDA_DST`: the kernel says it first.
const DESTINATION: u16 = 1;
/// Where the last word of the address is in a notice.
const LAST_WORD_AT: usize = HEADER_LENGTH + NEIGHBOUR_LENGTH + 4 + 12;
/// Routers that are remembered, so that it is heard when they are none any more: more than any host has.
const ROUTERS_MAX: usize = 64;

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
    routers: Routers,
}

/// The routers that were heard of, by link and address, and whether the kernel still has them as such.
#[derive(Debug, Default)]
pub struct Routers {
    is_router: BTreeMap<(u32, Ipv6Addr), bool>,
    /// Whether the filter knows all of them.
    is_new: bool,
}

impl Neighbours {
    /// Opens the socket. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        SockRef::from(&socket).attach_filter(&filter(&Routers::default()))?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(libc::RTNLGRP_NEIGH)?;
        // SAFETY: the socket owns its descriptor and is not closed before it is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, INTEREST) }?;
        Ok(Self {
            socket,
            buffer: Vec::new(),
            routers: Routers::default(),
        })
    }

    /// Waits for what changes. Cancel-safe. A loss is no matter: a router that fails is tried again, and fails again; one that is
    /// none any more says so in each of its answers.
    ///
    /// # Errors
    /// When the socket itself is broken.
    pub async fn next(&mut self) -> io::Result<Vec<Neighbour>> {
        loop {
            let mut ready = self.socket.ready(INTEREST).await?;
            let mut heard = Vec::new();
            for _ in 0..DATAGRAMS_PER_BATCH {
                match socket::receive(self.socket.get_ref(), &mut self.buffer) {
                    Ok(Received::Datagram) => heard.extend(parse(&self.buffer, &mut self.routers)),
                    Ok(Received::Foreign) => {}
                    Ok(Received::Lost) => self.routers.doubt(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready.clear_ready();
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if std::mem::take(&mut self.routers.is_new) {
                SockRef::from(self.socket.get_ref()).attach_filter(&filter(&self.routers))?;
            }
            if !heard.is_empty() {
                return Ok(heard);
            }
        }
    }
}

impl Routers {
    /// Takes what the kernel says of a neighbour. Returns whether it is a router, or was one until this; `None` when it was none.
    ///
    /// RFC 4861 §7.2.5: what counts is that `IsRouter` goes from true to false. One that the kernel has forgotten and knows anew may have
    /// said nothing of it yet, and says nothing when it is dead: that it fails is told of whoever was a router.
    fn take(&mut self, kind: u16, flags: u8, state: u16, key: (u32, Ipv6Addr)) -> Option<bool> {
        let is_router = flags & libc::NTF_ROUTER != 0;
        let Some(was_router) = self.is_router.get_mut(&key) else {
            if is_router && self.is_router.len() < ROUTERS_MAX {
                self.is_router.insert(key, kind == libc::RTM_NEWNEIGH);
                self.is_new = true;
            }
            return is_router.then_some(true);
        };
        let is_there = kind == libc::RTM_NEWNEIGH;
        let was_router = std::mem::replace(was_router, is_there && is_router);
        let has_spoken = state & (libc::NUD_INCOMPLETE | libc::NUD_FAILED) == 0 && state != 0;
        let has_failed = is_there && state & libc::NUD_FAILED != 0;
        match is_router || has_failed {
            true => Some(true),
            false => (was_router && is_there && has_spoken).then_some(false),
        }
    }

    /// Takes that notices are lost: of none it is known whether it is still the one of before.
    fn doubt(&mut self) {
        for is_router in self.is_router.values_mut() {
            *is_router = false;
        }
    }
}

/// Reads a datagram of notices; what is no IPv6 router, and was none, is passed over.
pub fn parse(mut bytes: &[u8], routers: &mut Routers) -> Vec<Neighbour> {
    let mut heard = Vec::new();
    while let Some((length, kind)) = header(bytes) {
        let Some(body) = bytes.get(HEADER_LENGTH..length) else {
            break;
        };
        heard.extend(neighbour(kind, body, routers));
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

fn neighbour(kind: u16, body: &[u8], routers: &mut Routers) -> Option<Neighbour> {
    let flags = *body.get(FLAGS_AT)?;
    let is_notice = [libc::RTM_NEWNEIGH, libc::RTM_DELNEIGH].contains(&kind);
    if i32::from(*body.first()?) != libc::AF_INET6 || !is_notice {
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
    let is_router = routers.take(kind, flags, state, (index, address))?;
    let reachability = match kind {
        _ if !is_router => Reachability::NoRouter,
        libc::RTM_NEWNEIGH if state & libc::NUD_FAILED != 0 => Reachability::Failed,
        libc::RTM_NEWNEIGH
            if state & (libc::NUD_REACHABLE | libc::NUD_PERMANENT | libc::NUD_NOARP) != 0 =>
        {
            Reachability::Reachable
        }
        _ => Reachability::Unknown,
    };
    Some(Neighbour {
        index,
        address,
        reachability,
    })
}

/// Classic BPF over the first message, which is the only one in a notice: an IPv6 neighbour goes through that is a router, or that ends as
/// a router's address that is known.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an instruction's code is 16 bits wide, its parts are declared wider; offsets and counts are below 256"
)]
fn filter(routers: &Routers) -> Vec<SockFilter> {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const LOAD_OCTET: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const JUMP_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let words = routers.is_router.keys();
    let words: BTreeSet<u32> = words.map(|(_, address)| address.to_bits() as u32).collect();
    let known = words.len() as u8;
    let mut filter = vec![
        SockFilter::new(LOAD_OCTET, 0, 0, HEADER_LENGTH as u32),
        SockFilter::new(JUMP_EQUAL, 0, known + 3, libc::AF_INET6 as u32),
        SockFilter::new(LOAD_OCTET, 0, 0, (HEADER_LENGTH + FLAGS_AT) as u32),
        SockFilter::new(JUMP_SET, known + 2, 0, u32::from(libc::NTF_ROUTER)),
        // A notice that is too short for it is dropped.
        SockFilter::new(LOAD_WORD, 0, 0, LAST_WORD_AT as u32),
    ];
    for (at, word) in words.iter().enumerate() {
        filter.push(SockFilter::new(JUMP_EQUAL, known - at as u8, 0, *word));
    }
    filter.push(SockFilter::new(RETURN, 0, 0, 0));
    filter.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    filter
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
            let heard = parse(&bytes, &mut Routers::default());
            let heard: Vec<_> = heard.iter().map(|one| one.reachability).collect();
            assert_eq!(heard, Vec::from_iter(expected), "{kind} {family} {state}");
            for length in 0..bytes.len() {
                let heard = parse(&bytes[..length], &mut Routers::default());
                assert!(heard.is_empty(), "cut at {length}");
            }
        }
    }

    #[test]
    fn routers_that_say_that_they_are_none_are_told() {
        const ROUTER: u8 = 0x80;
        let (there, gone) = (28, 29);
        let told = |notices: &[(u16, u16, u8)]| {
            let mut routers = Routers::default();
            let notices = notices.iter();
            let heard = notices.map(|(kind, state, flags)| {
                let bytes = notice(*kind, 10, *state, *flags);
                let heard = parse(&bytes, &mut routers);
                heard.first().map(|one| one.reachability)
            });
            heard.last().flatten()
        };
        let rows: [(&[_], Option<Reachability>); 8] = [
            // It answers, and says so.
            (
                &[(there, 0x10, ROUTER), (there, 0x02, 0)],
                Some(Reachability::NoRouter),
            ),
            // It is none already, and nobody hears it twice.
            (
                &[(there, 0x10, ROUTER), (there, 0x02, 0), (there, 0x04, 0)],
                None,
            ),
            // It never was one.
            (&[(there, 0x02, 0), (there, 0x04, 0)], None),
            // The kernel knows it anew, and it has said nothing of it.
            (
                &[
                    (there, 0x04, ROUTER),
                    (gone, 0x04, ROUTER),
                    (there, 0x04, 0),
                ],
                None,
            ),
            // The kernel has forgotten it, asks for it anew, and nobody answers.
            (
                &[
                    (there, 0x04, ROUTER),
                    (gone, 0x04, ROUTER),
                    (there, 0x01, 0),
                    (there, 0x20, 0),
                ],
                Some(Reachability::Failed),
            ),
            // Nobody knows that it was a router.
            (&[(there, 0x01, 0), (there, 0x20, 0)], None),
            // The kernel asks for it, and it has said nothing yet.
            (&[(there, 0x04, ROUTER), (there, 0x01, 0)], None),
            // It is one again.
            (
                &[
                    (there, 0x04, ROUTER),
                    (there, 0x02, 0),
                    (there, 0x02, ROUTER),
                ],
                Some(Reachability::Reachable),
            ),
        ];
        for (notices, expected) in rows {
            assert_eq!(told(notices), expected, "{notices:?}");
        }
    }

    #[test]
    fn the_filter_lets_known_routers_through_and_no_others() {
        let mut routers = Routers::default();
        let passes = |routers: &Routers, bytes: &[u8]| {
            let (near, far) = std::os::unix::net::UnixDatagram::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            SockRef::from(&near)
                .attach_filter(&filter(routers))
                .unwrap();
            // What the filter drops is an error for who sends.
            let _is_taken = far.send(bytes);
            near.recv(&mut [0; 64]).is_ok_and(|length| length > 0)
        };
        let at = |last: u8, family: u8, flags: u8| {
            let mut bytes = notice(28, family, 0x02, flags);
            bytes[47] = last;
            bytes
        };
        assert!(passes(&routers, &at(1, 10, 0x80)), "it is a router");
        assert!(!passes(&routers, &at(1, 10, 0)));
        for last in 1..=3 {
            parse(&at(last, 10, 0x80), &mut routers);
        }
        for last in 0..=9 {
            let is_known = (1..=3).contains(&last);
            assert_eq!(passes(&routers, &at(last, 10, 0)), is_known, "{last}");
            assert!(passes(&routers, &at(last, 10, 0x80)), "{last}");
            assert!(!passes(&routers, &at(last, 2, 0x80)), "{last}");
        }
        for last in 0..=255 {
            for link in 3_u32..5 {
                let mut bytes = at(last, 10, 0x80);
                bytes[20..24].copy_from_slice(&link.to_ne_bytes());
                parse(&bytes, &mut routers);
            }
        }
        assert_eq!(routers.is_router.len(), ROUTERS_MAX, "there is an end");
        assert!(passes(&routers, &at(3, 10, 0)));
        assert!(!passes(&routers, &at(254, 10, 0)));
        assert!(!passes(&routers, &at(3, 10, 0)[..40]));
    }
}
