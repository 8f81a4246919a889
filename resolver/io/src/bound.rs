//! Which sockets does the stub listen at, before anybody reads from them? [`Bound`].
//!
//! They are opened early, by whoever may: what clients ask from then on waits in the sockets, and is not refused.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};

use crate::bind::{self, Guard};
use crate::{BindError, Listen};

/// The stub's sockets. Nothing is received from them before there is a [`Driver`](crate::Driver).
#[derive(Debug, Default)]
pub struct Bound {
    pub(crate) places: Vec<Place>,
    /// What was asked for.
    listen: Vec<Listen>,
    sockets: usize,
}

/// The sockets at one address.
#[derive(Debug)]
pub(crate) struct Place {
    /// Where, with the port that the kernel chose.
    pub(crate) listen: Listen,
    /// One at least.
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) udp_guard: Guard,
    pub(crate) tcp: TcpListener,
    pub(crate) tcp_guard: Guard,
}

impl Bound {
    /// Opens so many UDP sockets at each address, and a TCP socket.
    ///
    /// With port 0 the kernel chooses one for UDP, and TCP takes the same.
    ///
    /// # Errors
    /// [`BindError`], with the process that holds the port as far as the caller may see it; nothing stays open.
    pub fn open(listen: &[Listen], sockets: usize) -> Result<Self, BindError> {
        let mut places = Vec::with_capacity(listen.len());
        for Listen { address, stub } in listen.iter().copied() {
            let (udp, udp_guard) = bind::udp_group(address, sockets)?;
            let chosen = udp.first().and_then(|socket| socket.local_addr().ok());
            let address = chosen.unwrap_or(address);
            let (tcp, tcp_guard) = bind::tcp(address)?;
            places.push(Place {
                listen: Listen { address, stub },
                udp,
                udp_guard,
                tcp,
                tcp_guard,
            });
        }
        Ok(Self {
            places,
            listen: listen.to_vec(),
            sockets,
        })
    }

    /// Whether these are the sockets that [`Bound::open`] would open.
    pub fn is(&self, listen: &[Listen], sockets: usize) -> bool {
        self.listen == listen && self.sockets == sockets
    }

    /// Returns the descriptors of all sockets.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.places.iter().flat_map(|place| {
            let udp = place.udp.iter().map(UdpSocket::as_fd);
            udp.chain(std::iter::once(place.tcp.as_fd()))
        })
    }
}
