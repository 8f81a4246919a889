//! How is one port opened, and how does a packet get in and out? [`ClientSocket`].
//!
//! Packet sockets begin without a protocol and with a filter that lets nothing through, so that no packet slips in before
//! they are bound to their link. Sizes and kinds of packets are checked by who reads them.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use config::matcher::Mac;
use linkmgr::clients::{Heard, Port, Transmit, WantedPort};
use linkmgr::dhcp4::Checksum;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, SockaddrStorage, UnknownCmsg,
    recvmsg, sendmsg,
};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use super::filter;

const DHCP4_SERVER: u16 = 67;
const DHCP4_CLIENT: u16 = 68;
const DHCP6_CLIENT: u16 = 546;
const DHCP6_SERVER: u16 = 547;
/// What only a neighbour can send (RFC 4861 §6.1.2).
const HOPS: u32 = 255;
/// ICMPv6 (RFC 4443 §2.1).
const ICMPV6: u8 = 58;
/// Router advertisement (RFC 4861 §4.2).
const ADVERTISEMENT: u8 = 134;
/// `ICMPV6_FILTER`, and the option's length: one bit for each type, set for what does not come through.
const ICMPV6_FILTER: libc::c_int = 1;
/// The protocol of LLDP, and the last octets of the groups that it is spoken to (IEEE 802.1AB §7.1): the nearest bridge, the nearest that
/// is no mere relay of two ports, and the nearest customer bridge, which may be behind a provider's.
const ETH_P_LLDP: libc::c_int = 0x88cc;
const LLDP_GROUPS: [u8; 3] = [0x0e, 0x03, 0x00];
/// The largest packet that a link brings.
const PACKET_MAX: usize = 9216;
/// Control messages: one each of 20 octets at most.
const CONTROL_MAX: usize = 64;

/// A socket of one port.
#[derive(Debug)]
pub(super) struct ClientSocket(Socket);

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ClientSocket {
    /// Opens the socket of a port.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn open(wanted: &WantedPort) -> io::Result<Self> {
        let socket = match wanted.port {
            Port::Packet | Port::Arp | Port::Lldp => packet(wanted)?,
            Port::Dhcp4(address) => {
                let at = SocketAddrV4::new(address, DHCP4_CLIENT);
                let socket = bound_to_link(Domain::IPV4, Type::DGRAM, Protocol::UDP, wanted.index)?;
                socket.set_reuse_address(true)?;
                // The address may be given to the link a moment later.
                socket.set_freebind_v4(true)?;
                socket.bind(&at.into())?;
                socket
            }
            Port::Icmp6 => {
                let socket =
                    bound_to_link(Domain::IPV6, Type::RAW, Protocol::ICMPV6, wanted.index)?;
                set_option(
                    &socket,
                    libc::IPPROTO_ICMPV6,
                    ICMPV6_FILTER,
                    &only(ADVERTISEMENT),
                )?;
                set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &1_i32)?;
                socket.set_multicast_hops_v6(HOPS)?;
                socket.set_unicast_hops_v6(HOPS)?;
                socket.set_multicast_if_v6(wanted.index)?;
                socket.set_multicast_loop_v6(false)?;
                socket
            }
            Port::Dhcp6 => {
                let at = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, DHCP6_CLIENT, 0, 0);
                let socket = bound_to_link(Domain::IPV6, Type::DGRAM, Protocol::UDP, wanted.index)?;
                socket.set_only_v6(true)?;
                socket.set_reuse_address(true)?;
                socket.set_multicast_if_v6(wanted.index)?;
                socket.set_multicast_loop_v6(false)?;
                socket.bind(&at.into())?;
                socket
            }
        };
        Ok(Self(socket))
    }

    /// Has the kernel let through what the port wants from here on.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn set_filter(&self, wanted: &WantedPort) -> io::Result<()> {
        match (wanted.port, &wanted.arp) {
            (Port::Packet, _) => attach(&self.0, &filter::dhcp4()),
            (Port::Arp, Some(arp)) => attach(&self.0, &filter::arp(arp, wanted.mac)),
            (Port::Arp, None) => attach(&self.0, &filter::nothing()),
            (Port::Lldp, _) => attach(&self.0, &filter::everything()),
            (Port::Dhcp4(_) | Port::Icmp6 | Port::Dhcp6, _) => Ok(()),
        }
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn send(&self, transmit: &Transmit) -> io::Result<()> {
        let to = match (transmit.port, transmit.to) {
            (Port::Packet, _) => {
                neighbour(libc::ETH_P_IP, transmit.index, Some(transmit.neighbour))?
            }
            (Port::Arp, _) => neighbour(libc::ETH_P_ARP, transmit.index, Some(transmit.neighbour))?,
            (Port::Dhcp4(_), IpAddr::V4(to)) => SocketAddrV4::new(to, DHCP4_SERVER).into(),
            (Port::Icmp6, IpAddr::V6(to)) => SocketAddrV6::new(to, 0, 0, transmit.index).into(),
            (Port::Dhcp6, IpAddr::V6(to)) => {
                SocketAddrV6::new(to, DHCP6_SERVER, 0, transmit.index).into()
            }
            // What switches say is heard only.
            (Port::Lldp, _)
            | (Port::Dhcp4(_), IpAddr::V6(_))
            | (Port::Icmp6 | Port::Dhcp6, IpAddr::V4(_)) => {
                return Err(io::ErrorKind::AddrNotAvailable.into());
            }
        };
        let Some(from) = transmit.from else {
            return match (self.0.send_to(&transmit.octets, &to), transmit.to) {
                // There is no address that is nobody else's yet: a router is asked all the same, and has answered before
                // there is one.
                (Err(error), IpAddr::V6(to))
                    if transmit.port == Port::Icmp6
                        && error.raw_os_error() == Some(libc::EADDRNOTAVAIL) =>
                {
                    send_unspecified(transmit, to)
                }
                (sent, _) => sent.map(drop),
            };
        };
        let Some(to) = to.as_socket_ipv6() else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let from = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: from.octets(),
            },
            ipi6_ifindex: transmit.index,
        };
        let octets = [IoSlice::new(&transmit.octets)];
        let control = [ControlMessage::Ipv6PacketInfo(&from)];
        let to = SockaddrIn6::from(to);
        let fd = self.0.as_raw_fd();
        Ok(sendmsg(fd, &octets, &control, MsgFlags::empty(), Some(&to)).map(drop)?)
    }

    /// Whether the kernel still keeps something that was sent: it waits for a neighbour's hardware address, or for the link.
    pub(super) fn has_unsent(&self) -> bool {
        let mut unsent: libc::c_int = 0;
        // SAFETY: the kernel writes one int, which is there for the whole call; the descriptor is open.
        let told = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCOUTQ, &raw mut unsent) };
        told == 0 && unsent > 0
    }

    /// Takes a packet.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; else what the kernel says.
    pub(super) fn receive(&self, wanted: &WantedPort) -> io::Result<Heard> {
        let mut octets = vec![0; PACKET_MAX];
        let mut control = nix::cmsg_space!([u8; CONTROL_MAX]);
        let mut buffers = [IoSliceMut::new(&mut octets)];
        let fd = self.0.as_raw_fd();
        let control = Some(control.as_mut_slice());
        let received = recvmsg::<SockaddrStorage>(fd, &mut buffers, control, MsgFlags::empty())?;
        let (mut hop_limit, mut checksum) = (0, Checksum::Complete);
        for message in received.cmsgs()? {
            if let ControlMessageOwned::Ipv6HopLimit(hops) = message {
                hop_limit = u8::try_from(hops).unwrap_or_default();
            } else if let ControlMessageOwned::Unknown(unknown) = message
                && is_unfinished(&unknown)
            {
                checksum = Checksum::Unfinished;
            }
        }
        let from = received.address.and_then(|from| {
            let v4 = from.as_sockaddr_in().map(|from| IpAddr::V4(from.ip()));
            v4.or_else(|| from.as_sockaddr_in6().map(|from| IpAddr::V6(from.ip())))
        });
        let length = received.bytes;
        octets.truncate(length);
        octets.shrink_to_fit();
        Ok(Heard {
            index: wanted.index,
            port: wanted.port,
            from: from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            hop_limit,
            checksum,
            octets,
        })
    }
}

/// Sends an ICMPv6 message from the unspecified address, which the kernel does for nobody (RFC 4861 §4.1 has it for hosts that have
/// no address yet).
fn send_unspecified(transmit: &Transmit, to: Ipv6Addr) -> io::Result<()> {
    let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
    let [.., a, b, c, d] = to.octets();
    // RFC 2464 §7: all who listen to a multicast address.
    let neighbour = neighbour(
        libc::ETH_P_IPV6,
        transmit.index,
        Some(Mac([0x33, 0x33, a, b, c, d])),
    )?;
    let packet = unspecified(&transmit.octets, to).ok_or(io::ErrorKind::InvalidInput)?;
    socket.send_to(&packet, &neighbour).map(drop)
}

/// Returns an IPv6 packet with an ICMPv6 message from the unspecified address; `None` when that is too long or no message.
fn unspecified(message: &[u8], to: Ipv6Addr) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok()?;
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([ICMPV6, u8::try_from(HOPS).ok()?]);
    packet.extend(Ipv6Addr::UNSPECIFIED.octets());
    packet.extend(to.octets());
    packet.extend(message);
    // RFC 8200 §8.1: over addresses, length, protocol and message, the sum itself being 0 in it.
    let sum = to
        .octets()
        .chunks(2)
        .chain(message.chunks(2))
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .fold(u32::from(length) + u32::from(ICMPV6), u32::wrapping_add);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).ok()?;
    packet
        .get_mut(42..44)?
        .copy_from_slice(&checksum.to_be_bytes());
    Some(packet)
}

/// Opens a packet socket without link headers.
fn packet(wanted: &WantedPort) -> io::Result<Socket> {
    // Protocol 0 hears nothing until it is bound to one.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
    attach(&socket, &filter::nothing())?;
    let protocol = match wanted.port {
        Port::Arp => libc::ETH_P_ARP,
        Port::Lldp => ETH_P_LLDP,
        Port::Packet | Port::Dhcp4(_) | Port::Icmp6 | Port::Dhcp6 => libc::ETH_P_IP,
    };
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)?;
    if wanted.port == Port::Lldp {
        for last in LLDP_GROUPS {
            let group = libc::packet_mreq {
                mr_ifindex: i32::try_from(wanted.index).map_err(io::Error::other)?,
                mr_type: u16::try_from(libc::PACKET_MR_MULTICAST).map_err(io::Error::other)?,
                mr_alen: 6,
                mr_address: [0x01, 0x80, 0xc2, 0, 0, last, 0, 0],
            };
            let name = libc::PACKET_ADD_MEMBERSHIP;
            set_option(&socket, libc::SOL_PACKET, name, &group)?;
        }
    }
    socket.bind(&neighbour(protocol, wanted.index, None)?)?;
    let this = ClientSocket(socket);
    this.set_filter(wanted)?;
    Ok(this.0)
}

/// Opens a socket that reaches one link only.
fn bound_to_link(domain: Domain, kind: Type, protocol: Protocol, index: u32) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))?;
    let index = i32::try_from(index).map_err(io::Error::other)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &index)?;
    Ok(socket)
}

/// Makes the address of a neighbour on a link, or of the link itself.
fn neighbour(protocol: libc::c_int, index: u32, mac: Option<Mac>) -> io::Result<SockAddr> {
    let protocol = u16::try_from(protocol).map_err(io::Error::other)?;
    let mut address = [0; 8];
    let mac = mac.map(|mac| mac.0);
    for (place, octet) in address.iter_mut().zip(mac.into_iter().flatten()) {
        *place = octet;
    }
    let family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    let link = libc::sockaddr_ll {
        sll_family: family,
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: if mac.is_some() { 6 } else { 0 },
        sll_addr: address,
    };
    let size = libc::socklen_t::try_from(size_of_val(&link)).map_err(io::Error::other)?;
    // SAFETY: the storage is larger than a `sockaddr_ll` and aligned for every address; its length is set to what is written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<libc::sockaddr_ll>().write(link);
            *length = size;
            Ok(())
        })
    }?;
    Ok(address)
}

fn attach(socket: &Socket, program: &[libc::sock_filter]) -> io::Result<()> {
    let program: Vec<SockFilter> = program
        .iter()
        .map(|one| SockFilter::new(one.code, one.jt, one.jf, one.k))
        .collect();
    socket.attach_filter(&program)
}

/// Returns a filter that lets one type of ICMPv6 message through (RFC 3542 §3.2).
fn only(kind: u8) -> [u32; 8] {
    let mut blocked = [u32::MAX; 8];
    if let Some(word) = blocked.get_mut(usize::from(kind >> 5)) {
        *word &= !(1 << (kind & 31));
    }
    blocked
}

fn set_option<T>(
    socket: &Socket,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `size` octets of a value that is there for the whole call; the descriptor is open.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size,
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a control message says that a packet came from this machine, before its checksum was made: `tp_status` is the
/// first word of `struct tpacket_auxdata`.
fn is_unfinished(message: &UnknownCmsg) -> bool {
    let header = message.cmsg_header;
    let is_auxiliary =
        header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == libc::PACKET_AUXDATA;
    let status = message.data_bytes.first_chunk::<4>();
    is_auxiliary
        && status
            .is_some_and(|status| u32::from_ne_bytes(*status) & libc::TP_STATUS_CSUMNOTREADY != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_from_nowhere_has_a_checksum_that_adds_up() {
        let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
        let packet = unspecified(&[133, 0, 0, 0, 0, 0, 0, 0], to).unwrap();
        assert_eq!(packet.len(), 48);
        assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 8, 58, 255]);
        // Type, pseudo header and checksum together are all ones: 8500 + ff02 + 2 + 8 + 3a + 7bb8 = 1fffe.
        assert_eq!(packet[42..44], [0x7b, 0xb8]);
        assert_eq!(unspecified(&[133], to), None);
    }
}
