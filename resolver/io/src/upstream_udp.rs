//! How does a message go to an upstream by datagram? A socket of its own, hence a port of its own (RFC 5452 §9.2).
//!
//! The kernel chooses the port at random when the socket is connected, hears that peer only, and reports ICMP errors.
//! Whether a reply is the right one is the core's to say.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};

use resolver::{Channel, Failure, Transmit};
use socket2::Socket;

use crate::batch;
use crate::bind::{self, is_passing};

/// Octets of the longest reply that is taken; we advertise less.
pub(crate) const REPLY_MAX: usize = 4096;

/// One datagram out, and what comes back.
#[derive(Debug)]
pub(crate) struct UdpExchange {
    socket: UdpSocket,
}

impl UdpExchange {
    /// Opens the socket and sends the message.
    ///
    /// # Errors
    /// Why the exchange cannot be.
    pub(crate) fn start(transmit: &Transmit) -> Result<Self, Failure> {
        let (socket, address) =
            bind::upstream(&transmit.upstream, transmit.link.as_ref(), Channel::Udp)?;
        ignore_path_mtu(&socket, address.is_ipv4()).map_err(|error| bind::failure(&error))?;
        bind::connect(&socket, address)?;
        let socket = UdpSocket::from(socket);
        match socket.send(&transmit.wire) {
            Ok(_) => Ok(Self { socket }),
            Err(error) => Err(bind::failure(&error)),
        }
    }

    /// Takes one datagram; `None` when none is there.
    ///
    /// # Errors
    /// What ICMP brought.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        match self.socket.recv(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if is_passing(&error) => Ok(None),
            // "Fragmentation needed" about a message that any path carries: forged, or of no interest.
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Ok(None),
            Err(error) => Err(bind::failure(&error)),
        }
    }
}

impl AsFd for UdpExchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Keeps forged "fragmentation needed" messages from shrinking the path MTU, and with it from cutting our messages.
fn ignore_path_mtu(socket: &Socket, v4: bool) -> io::Result<()> {
    let (level, option, value) = if v4 {
        (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_OMIT,
        )
    } else {
        (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_OMIT,
        )
    };
    batch::set_option(socket.as_fd(), level, option, value)
}
