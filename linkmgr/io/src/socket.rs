//! Which netlink sockets are there? One that hears the kernel's notices, and one for each listing.
//!
//! A filter in the kernel ([`crate::filter`]) drops notices of routes that are no default route: a million of them wake nobody. It looks at
//! the first message of a datagram, which is the only one in a notice; a listing packs many messages into one datagram,
//! so the listing's socket has no filter and asks the kernel for one table instead. Nothing is decided here.

use std::io;
use std::os::fd::AsRawFd as _;

use config::model::Prefix;
use linkmgr::KernelEvent;
use linkmgr::kernel::OURS;
use linkmgr::kinds::tlv;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use policy::links::RouteKey;
use socket2::SockRef;

use crate::filter::{self, Heard};
use crate::message::HEADER_LENGTH;

/// Bytes for one datagram: the kernel makes listings of at most 32 KiB; a notice about a link with hundreds of virtual
/// functions may be longer.
pub(crate) const DATAGRAM_LENGTH: usize = 64 << 10;

const GROUPS: [u32; 10] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV4_RULE,
    RTNLGRP_IPV6_RULE,
    RTNLGRP_IPV6_IFINFO,
    RTNLGRP_IPV4_NETCONF,
    RTNLGRP_IPV6_NETCONF,
];

/// As in linux/rtnetlink.h.
const RTNLGRP_IPV6_RULE: u32 = 19;
const RTNLGRP_IPV6_IFINFO: u32 = 12;
const RTNLGRP_IPV4_NETCONF: u32 = 24;
const RTNLGRP_IPV6_NETCONF: u32 = 25;

/// `RTEXT_FILTER_SKIP_STATS`.
const SKIP_STATISTICS: u32 = 1 << 3;

const KERNEL: u32 = 0;

/// One table of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// Links.
    Links,
    /// Addresses of both families.
    Addresses,
    /// IPv4 routes of the main table.
    Routes4,
    /// IPv6 routes of the main table.
    Routes6,
    /// IPv4 routes with our number, of all tables.
    OwnRoutes4,
    /// IPv6 routes with our number, of all tables.
    OwnRoutes6,
    /// IPv4 rules.
    Rules4,
    /// IPv6 rules.
    Rules6,
    /// IPv4 routes of the table of this number.
    Around4(u32),
    /// IPv6 routes of the table of this number.
    Around6(u32),
}

impl Table {
    /// Returns the table that is listed after this one.
    pub(crate) const fn next(self) -> Option<Self> {
        match self {
            Self::Links => Some(Self::Addresses),
            Self::Addresses => Some(Self::Routes4),
            Self::Routes4 => Some(Self::Routes6),
            Self::Routes6 => Some(Self::OwnRoutes4),
            Self::OwnRoutes4 => Some(Self::OwnRoutes6),
            Self::OwnRoutes6 => Some(Self::Rules4),
            Self::Rules4 => Some(Self::Rules6),
            Self::Rules6 | Self::Around4(_) | Self::Around6(_) => None,
        }
    }

    /// Whether it is listed for the places of ours alone.
    pub(crate) const fn is_around(self) -> bool {
        matches!(self, Self::Around4(_) | Self::Around6(_))
    }

    /// Returns the table in which a route of ours is, unless that is listed anyway.
    pub(crate) fn around(ours: &KernelEvent) -> Option<Self> {
        let KernelEvent::OwnRoute(route) = ours else {
            return None;
        };
        let RouteKey { table, to, .. } = route.key;
        (table != u32::from(libc::RT_TABLE_MAIN)).then(|| match to.address.is_ipv4() {
            true => Self::Around4(table),
            false => Self::Around6(table),
        })
    }
}

/// Opens the socket that hears notices, with room for `receive_buffer` bytes.
pub(crate) fn open_notices(receive_buffer: usize) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_non_blocking(true)?;
    SockRef::from(&socket).attach_filter(&filter::program(None))?;
    set_receive_buffer(&socket, receive_buffer)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    for group in GROUPS {
        socket.add_membership(group)?;
    }
    Ok(socket)
}

/// Has notices of others' routes come when they lead to one of these destinations.
///
/// # Errors
/// When the kernel takes no filter at all: what it had stays.
pub(crate) fn hear_of(notices: &Socket, destinations: &[Prefix], heard: Heard) -> io::Result<()> {
    let notices = SockRef::from(notices);
    let program = filter::program(Some((destinations, heard)));
    if notices.attach_filter(&program).is_err() {
        // Two long ones have no room beside each other (net.core.optmem_max); all of those routes is more than is needed.
        notices.attach_filter(&filter::program(None))?;
        if let Err(error) = notices.attach_filter(&program) {
            tracing::debug!(%error, "whatever routes others replace is heard");
        }
    }
    Ok(())
}

/// Has the kernel say in words why it does not do what is asked, and not the whole request again.
pub(crate) fn have_words(socket: &Socket) {
    for result in [socket.set_ext_ack(true), socket.set_cap_ack(true)] {
        if let Err(error) = result {
            // Kernels before 4.12 answer with a number only, and the whole request.
            tracing::debug!(%error, "the kernel does not say why");
        }
    }
}

/// Opens a socket for one listing.
pub(crate) fn open_listing() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_non_blocking(true)?;
    have_words(&socket);
    if let Err(error) = socket.set_netlink_get_strict_chk(true) {
        // Kernels before 4.20: every table comes, and what is not wanted is passed over here.
        tracing::debug!(%error, "the kernel does not filter listings");
    }
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.connect(&SocketAddr::new(KERNEL, 0))?;
    Ok(socket)
}

/// Asks for all of one table.
pub(crate) fn ask(socket: &Socket, table: Table) -> io::Result<()> {
    send(socket, &request(table))
}

fn send(socket: &Socket, request: &[u8]) -> io::Result<()> {
    let sent = socket.send(request, 0)?;
    if sent != request.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}

/// What came out of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// A datagram of the kernel is in the buffer.
    Datagram,
    /// One of somebody else, to be left alone.
    Foreign,
    /// One that did not fit, or a loss of earlier ones (`ENOBUFS`).
    Lost,
}

/// Takes one datagram into `buffer`.
///
/// # Errors
/// `WouldBlock` when there is none.
pub(crate) fn receive(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<Received> {
    buffer.clear();
    buffer.reserve(DATAGRAM_LENGTH);
    match socket.recv_from(buffer, libc::MSG_TRUNC) {
        Ok((_, from)) if from.port_number() != KERNEL => Ok(Received::Foreign),
        Ok((length, _)) if length > buffer.len() => Ok(Received::Lost),
        Ok(_) => Ok(Received::Datagram),
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Received::Lost),
        Err(error) => Err(error),
    }
}

/// Sets the room for notices that are not read yet; the kernel takes memory for what is there only.
fn set_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    let value = i32::try_from(bytes).unwrap_or(i32::MAX);
    let length = u32::try_from(size_of::<i32>()).map_err(io::Error::other)?;
    // SAFETY: the option takes one `int`, which `value` is for the whole call; the descriptor is open.
    let forced = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const value).cast(),
            length,
        )
    };
    if forced == 0 {
        return Ok(());
    }
    // Without CAP_NET_ADMIN: up to net.core.rmem_max.
    socket.set_rx_buf_sz(value)
}

/// Writes the request for a listing: `struct nlmsghdr`, the family's header, attributes.
fn request(table: Table) -> Vec<u8> {
    let main = libc::RT_TABLE_MAIN;
    let (kind, mut body) = match table {
        Table::Links => (libc::RTM_GETLINK, vec![0; 16]),
        Table::Addresses => (libc::RTM_GETADDR, vec![0; 8]),
        Table::Routes4 => (libc::RTM_GETROUTE, all_body(libc::AF_INET, main)),
        Table::Routes6 => (libc::RTM_GETROUTE, all_body(libc::AF_INET6, main)),
        Table::Around4(_) => (libc::RTM_GETROUTE, all_body(libc::AF_INET, 0)),
        Table::Around6(_) => (libc::RTM_GETROUTE, all_body(libc::AF_INET6, 0)),
        Table::OwnRoutes4 => (libc::RTM_GETROUTE, route_body(libc::AF_INET, OURS)),
        Table::OwnRoutes6 => (libc::RTM_GETROUTE, route_body(libc::AF_INET6, OURS)),
        Table::Rules4 => (libc::RTM_GETRULE, family_body(libc::AF_INET)),
        Table::Rules6 => (libc::RTM_GETRULE, family_body(libc::AF_INET6)),
    };
    match table {
        Table::Links => tlv::put_word(&mut body, libc::IFLA_EXT_MASK, SKIP_STATISTICS),
        Table::Routes4 | Table::Routes6 => {
            tlv::put_word(&mut body, libc::RTA_TABLE, u32::from(libc::RT_TABLE_MAIN));
        }
        Table::Around4(table) | Table::Around6(table) => {
            tlv::put_word(&mut body, libc::RTA_TABLE, table);
        }
        Table::Addresses
        | Table::OwnRoutes4
        | Table::OwnRoutes6
        | Table::Rules4
        | Table::Rules6 => {}
    }
    listing_of(kind, &body)
}

/// As [`request`], of the IPv4 routes with our number that one table has.
pub(crate) fn ask_own_routes4(socket: &Socket, table: u32) -> io::Result<()> {
    let mut body = route_body(libc::AF_INET, OURS);
    tlv::put_word(&mut body, libc::RTA_TABLE, table);
    send(socket, &listing_of(libc::RTM_GETROUTE, &body))
}

/// As [`request`], of the IPv4 routes of all tables that leave by one link.
pub(crate) fn ask_routes4_of(socket: &Socket, index: u32) -> io::Result<()> {
    let mut body = route_body(libc::AF_INET, 0);
    tlv::put_word(&mut body, libc::RTA_OIF, index);
    send(socket, &listing_of(libc::RTM_GETROUTE, &body))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "flags are 16 bits wide and declared wider; a request has less than 100 octets"
)]
fn listing_of(kind: u16, body: &[u8]) -> Vec<u8> {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut bytes = Vec::with_capacity(HEADER_LENGTH + body.len());
    bytes.extend(((HEADER_LENGTH + body.len()) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend_from_slice(body);
    bytes
}

/// `struct rtmsg`: with a strict check, every octet but family, table, protocol and type must be 0. A filter by protocol has
/// no type: routes of ours may drop.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an address family is 8 bits wide here and declared wider"
)]
fn route_body(family: libc::c_int, protocol: u8) -> Vec<u8> {
    let kind = if protocol == 0 { libc::RTN_UNICAST } else { 0 };
    let mut body = vec![family as u8, 0, 0, 0, 0, protocol, 0];
    body.extend([kind, 0, 0, 0, 0]);
    body
}

/// The same for all of a table: beside ours others may have routes that drop.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an address family is 8 bits wide here and declared wider"
)]
fn all_body(family: libc::c_int, table: u8) -> Vec<u8> {
    let mut body = vec![family as u8, 0, 0, 0, table, 0, 0];
    body.extend([0; 5]);
    body
}

/// `struct fib_rule_hdr`: with a strict check, every octet but the family must be 0.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an address family is 8 bits wide here and declared wider"
)]
fn family_body(family: libc::c_int) -> Vec<u8> {
    let mut body = vec![0; 12];
    body[0] = family as u8;
    body
}
