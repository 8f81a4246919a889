//! How does multicast DNS reach the links? One socket for each family at port 5353, joined to the group on each link.
//!
//! The port is shared with whoever else has it (RFC 6762 §15.1). Each message says on which link it came in, at which
//! address and with which hop limit, and is sent on the link that the core names. No place to listen to: no socket.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::task::Poll;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike, recvmsg,
    sendmsg,
};
use resolver::mdns::{Family, Heard, MDNS_PORT, PlaceId, Spoken, Whom};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::io::Interest;

use crate::{batch, holder};

/// The groups of multicast DNS (RFC 6762 §3).
const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// Octets of the longest message that is taken, and one more, so that a longer one shows.
const MESSAGE_ROOM: usize = 9001;
/// Octets of what the kernel says about a message.
const CONTROL_ROOM: usize = 256;
/// The hop limit of what we send (RFC 6762 §11).
const HOP_LIMIT: u32 = 255;
/// Messages that are taken in one round.
const ROUND_MAX: u32 = 64;

/// The sockets of multicast DNS.
#[derive(Debug, Default)]
pub struct Multicast {
    side4: Option<Side>,
    side6: Option<Side>,
    buffer: Box<[u8]>,
    taken: u32,
}

/// The socket of one family.
#[derive(Debug)]
struct Side {
    family: Family,
    socket: tokio::net::UdpSocket,
    place_by_index: BTreeMap<u32, PlaceId>,
}

/// What the kernel says about a message.
struct Arrival {
    length: usize,
    source: SocketAddr,
    index: u32,
    to_group: bool,
    hop_limit: Option<u8>,
}

impl Multicast {
    /// Listens at these places and at no others; must be called within a tokio runtime. What cannot be is logged, and tried
    /// again the next time.
    pub fn listen(&mut self, places: &[PlaceId]) {
        for (family, side) in [(Family::V4, &mut self.side4), (Family::V6, &mut self.side6)] {
            let wanted: BTreeMap<u32, PlaceId> = places
                .iter()
                .filter(|place| place.family == family)
                .map(|place| (place.link.index, *place))
                .collect();
            if wanted.is_empty() {
                *side = None;
                continue;
            }
            if side.is_none() {
                match Side::open(family) {
                    Ok(opened) => *side = Some(opened),
                    Err(error) => {
                        tracing::warn!(%error, ?family, "multicast DNS has no socket");
                        continue;
                    }
                }
            }
            if let Some(side) = side {
                side.join(wanted);
            }
        }
        let is_needed = self.side4.is_some() || self.side6.is_some();
        match (is_needed, self.buffer.is_empty()) {
            (true, true) => self.buffer = vec![0; MESSAGE_ROOM].into_boxed_slice(),
            (false, false) => self.buffer = Box::default(),
            (true, false) | (false, true) => {}
        }
    }

    /// Whether another program of this host has the port too; which of the two gets a message to one address is the kernel's
    /// secret.
    pub fn is_shared(&self) -> bool {
        let own = [&self.side4, &self.side6].into_iter().flatten().count();
        let tables = ["/proc/net/udp", "/proc/net/udp6"];
        let rows = tables
            .iter()
            .filter_map(|path| std::fs::read(path).ok())
            .flat_map(|table| holder::parse(&table));
        rows.filter(|row| row.local.port() == MDNS_PORT).count() > own
    }

    /// Waits until [`Multicast::poll_heard`] may have something; for ever, when nothing is listened to. Cancel-safe.
    pub async fn ready(&mut self) {
        self.taken = 0;
        poll_fn(|cx| {
            let sides = [&self.side4, &self.side6];
            let mut ready = sides
                .into_iter()
                .flatten()
                .map(|side| side.socket.poll_recv_ready(cx).is_ready());
            // Every socket is to wake us: none may be left out.
            match ready.by_ref().fold(false, |any, one| any | one) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Returns the next message without waiting; `None` ends the round.
    pub fn poll_heard(&mut self) -> Option<Heard<'_>> {
        while self.taken < ROUND_MAX {
            self.taken += 1;
            let sides = [&self.side4, &self.side6];
            let mut sides = sides.into_iter().flatten();
            let (arrival, place) = sides.find_map(|side| {
                let arrival = side.receive(&mut self.buffer)?;
                let place = side.place_by_index.get(&arrival.index).copied();
                Some((arrival, place))
            })?;
            let Some(place) = place else {
                continue;
            };
            return Some(Heard {
                place,
                source: arrival.source,
                to_group: arrival.to_group,
                hop_limit: arrival.hop_limit,
                from_self: false,
                wire: self.buffer.get(..arrival.length)?,
            });
        }
        None
    }

    /// Sends a message; what cannot be sent is lost, as messages are.
    pub fn send(&self, spoken: &Spoken) {
        let side = match spoken.place.family {
            Family::V4 => &self.side4,
            Family::V6 => &self.side6,
        };
        if let Some(side) = side
            && let Err(error) = side.send(spoken)
        {
            tracing::debug!(%error, "a message of multicast DNS is not sent");
        }
    }
}

impl Side {
    fn open(family: Family) -> io::Result<Self> {
        let (domain, address): (_, SocketAddr) = match family {
            Family::V4 => (Domain::IPV4, (Ipv4Addr::UNSPECIFIED, MDNS_PORT).into()),
            Family::V6 => (Domain::IPV6, (Ipv6Addr::UNSPECIFIED, MDNS_PORT).into()),
        };
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new_raw(domain, kind, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        // Some share the port by this alone; who does not know it shares by the other.
        socket.set_reuse_port(true)?;
        let set = |level, option, value| batch::set_option(socket.as_fd(), level, option, value);
        match family {
            Family::V4 => {
                socket.set_multicast_ttl_v4(HOP_LIMIT)?;
                socket.set_ttl_v4(HOP_LIMIT)?;
                socket.set_multicast_loop_v4(true)?;
                set(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
                set(libc::IPPROTO_IP, libc::IP_RECVTTL, 1)?;
                // Groups that other programs joined on other links are not for us.
                let _old_kernel = set(libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0);
            }
            Family::V6 => {
                socket.set_only_v6(true)?;
                socket.set_multicast_hops_v6(HOP_LIMIT)?;
                socket.set_unicast_hops_v6(HOP_LIMIT)?;
                socket.set_multicast_loop_v6(true)?;
                set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
                set(libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
                let _old_kernel = set(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL, 0);
            }
        }
        socket.bind(&address.into())?;
        Ok(Self {
            family,
            socket: tokio::net::UdpSocket::from_std(UdpSocket::from(socket))?,
            place_by_index: BTreeMap::new(),
        })
    }

    fn join(&mut self, wanted: BTreeMap<u32, PlaceId>) {
        let socket = socket2::SockRef::from(&self.socket);
        let group4 = |index| InterfaceIndexOrAddress::Index(index);
        for (index, place) in &self.place_by_index {
            if wanted.get(index) == Some(place) {
                continue;
            }
            // A link that is gone has taken its membership with it.
            let _left = match self.family {
                Family::V4 => socket.leave_multicast_v4_n(&GROUP4, &group4(*index)),
                Family::V6 => socket.leave_multicast_v6(&GROUP6, *index),
            };
        }
        let mut joined = BTreeMap::new();
        for (index, place) in wanted {
            if self.place_by_index.get(&index) == Some(&place) {
                joined.insert(index, place);
                continue;
            }
            let done = match self.family {
                Family::V4 => socket.join_multicast_v4_n(&GROUP4, &group4(index)),
                Family::V6 => socket.join_multicast_v6(&GROUP6, index),
            };
            match done {
                Ok(()) => {
                    joined.insert(index, place);
                }
                Err(error) => {
                    tracing::warn!(%error, index, "multicast DNS cannot listen on a link");
                }
            }
        }
        self.place_by_index = joined;
    }

    /// Takes a message without waiting.
    fn receive(&self, buffer: &mut [u8]) -> Option<Arrival> {
        let received = self
            .socket
            .try_io(Interest::READABLE, || match self.family {
                Family::V4 => receive::<SockaddrIn>(&self.socket, buffer, |address| {
                    SocketAddrV4::new(address.ip(), address.port()).into()
                }),
                Family::V6 => receive::<SockaddrIn6>(&self.socket, buffer, |address| {
                    SocketAddrV6::new(address.ip(), address.port(), 0, address.scope_id()).into()
                }),
            });
        match received {
            Ok(arrival) => Some(arrival),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                tracing::debug!(%error, "multicast DNS cannot receive");
                None
            }
        }
    }

    fn send(&self, spoken: &Spoken) -> io::Result<()> {
        let index = spoken.place.link.index;
        let bytes = [IoSlice::new(&spoken.wire)];
        let fd = self.socket.as_raw_fd();
        let sent = match self.family {
            Family::V4 => {
                let to = match spoken.to {
                    Whom::Group => SocketAddrV4::new(GROUP4, MDNS_PORT),
                    Whom::One(SocketAddr::V4(to)) => to,
                    Whom::One(SocketAddr::V6(_)) => return Ok(()),
                };
                let info = libc::in_pktinfo {
                    ipi_ifindex: i32::try_from(index).map_err(io::Error::other)?,
                    ipi_spec_dst: libc::in_addr { s_addr: 0 },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(
                    fd,
                    &bytes,
                    &control,
                    MsgFlags::MSG_DONTWAIT,
                    Some(&SockaddrIn::from(to)),
                )
            }
            Family::V6 => {
                let to = match spoken.to {
                    Whom::Group => SocketAddrV6::new(GROUP6, MDNS_PORT, 0, index),
                    Whom::One(SocketAddr::V6(to)) => to,
                    Whom::One(SocketAddr::V4(_)) => return Ok(()),
                };
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: [0; 16] },
                    ipi6_ifindex: index,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(
                    fd,
                    &bytes,
                    &control,
                    MsgFlags::MSG_DONTWAIT,
                    Some(&SockaddrIn6::from(to)),
                )
            }
        };
        sent.map(|_| ()).map_err(io::Error::from)
    }
}

fn receive<S: SockaddrLike>(
    socket: &tokio::net::UdpSocket,
    buffer: &mut [u8],
    source: impl FnOnce(S) -> SocketAddr,
) -> io::Result<Arrival> {
    let mut control = [0; CONTROL_ROOM];
    let mut bytes = [IoSliceMut::new(buffer)];
    let message = recvmsg::<S>(
        socket.as_raw_fd(),
        &mut bytes,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let mut arrival = Arrival {
        length: message.bytes,
        source: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        index: 0,
        to_group: false,
        hop_limit: None,
    };
    for said in message.cmsgs()? {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the kernel may say more than we asked for"
        )]
        match said {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                arrival.index = info.ipi_ifindex.cast_unsigned();
                let to = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
                arrival.to_group = to.is_multicast();
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                arrival.index = info.ipi6_ifindex;
                arrival.to_group = Ipv6Addr::from(info.ipi6_addr.s6_addr).is_multicast();
            }
            ControlMessageOwned::Ipv4Ttl(limit) | ControlMessageOwned::Ipv6HopLimit(limit) => {
                arrival.hop_limit = u8::try_from(limit).ok();
            }
            _ => {}
        }
    }
    if let Some(address) = message.address {
        arrival.source = source(address);
    }
    Ok(arrival)
}
