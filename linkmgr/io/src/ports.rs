//! Through what do clients hear and speak? [`Ports`]: the sockets of all links, opened and closed as the clients want.
//!
//! One epoll set, awaited as a whole: no task and no timer for a socket. A port is open as long as somebody wants it; what
//! comes in is handed on as it is, but for what a filter in the kernel keeps out.

mod closing;
mod filter;
mod socket;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use linkmgr::clients::{Heard, Port, PortChanges, Transmit, WantedPort};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use closing::Closer;
use socket::ClientSocket;

/// Ports that are looked at in one round.
const EVENTS_MAX: usize = 32;
/// Packets of one port that are taken in one round: a flood at one link does not keep the others waiting.
const PACKETS_MAX: usize = 16;

/// The ports of all clients.
#[derive(Debug)]
pub struct Ports {
    epoll: AsyncFd<Set>,
    open: BTreeMap<u64, Opened>,
    by_place: BTreeMap<(u32, Port), u64>,
    /// What could not be had.
    missing: BTreeMap<(u32, Port), WantedPort>,
    opened: u64,
    closer: Closer,
    /// Closed ones through which something was sent that has not left.
    lingering: Vec<ClientSocket>,
}

#[derive(Debug)]
struct Opened {
    wanted: WantedPort,
    socket: ClientSocket,
}

/// The descriptor of the set; it stays open and the same as long as this lives.
#[derive(Debug)]
struct Set(Epoll);

impl AsRawFd for Set {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Ports {
    /// Makes an empty set. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new() -> io::Result<Self> {
        let set = Set(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // SAFETY: the set owns its descriptor, always the same one, and is not closed before it is dropped.
        let epoll = unsafe { AsyncFd::register_with_interest(set, Interest::READABLE) }?;
        Ok(Self {
            epoll,
            open: BTreeMap::new(),
            by_place: BTreeMap::new(),
            missing: BTreeMap::new(),
            opened: 0,
            closer: Closer::default(),
            lingering: Vec::new(),
        })
    }

    /// Has these ports open or closed; returns those that cannot be had, and why. They are tried again with the next change,
    /// of whatever port.
    pub fn apply(&mut self, changes: PortChanges) -> Vec<(WantedPort, io::Error)> {
        self.lingering.retain(ClientSocket::has_unsent);
        let mut failed = Vec::new();
        for place in changes.close {
            self.missing.remove(&place);
            if let Some(token) = self.by_place.remove(&place)
                && let Some(opened) = self.open.remove(&token)
            {
                self.close(opened);
            }
        }
        let mut places = std::mem::take(&mut self.missing);
        let open = changes.open.into_iter();
        places.extend(open.map(|wanted| ((wanted.index, wanted.port), wanted)));
        for (place, wanted) in places {
            let result = match self.by_place.get(&place) {
                Some(token) => match self.open.get_mut(token) {
                    Some(opened) if opened.wanted != wanted => {
                        opened.wanted = wanted.clone();
                        opened.socket.set_filter(&wanted)
                    }
                    Some(_) | None => Ok(()),
                },
                None => self.open_port(wanted.clone()),
            };
            if let Err(error) = result {
                if !self.by_place.contains_key(&place) {
                    self.missing.insert(place, wanted.clone());
                }
                failed.push((wanted, error));
            }
        }
        failed
    }

    /// Sends a packet; one that cannot be sent is lost, as packets are.
    pub fn send(&self, transmit: &Transmit) {
        let token = self.by_place.get(&(transmit.index, transmit.port));
        let Some(opened) = token.and_then(|token| self.open.get(token)) else {
            tracing::debug!(?transmit.port, "a packet is not sent: its port is not open");
            return;
        };
        if let Err(error) = opened.socket.send(transmit) {
            tracing::debug!(%error, ?transmit.port, "a packet is not sent");
        }
    }

    /// Whether all has left that was sent through UDP ports that are closed by now: what the kernel keeps until it knows the neighbour's
    /// hardware address is lost when the link goes down.
    pub fn is_sent(&mut self) -> bool {
        self.lingering.retain(ClientSocket::has_unsent);
        self.lingering.is_empty()
    }

    /// Waits for packets. Cancel-safe: what was taken is returned at once.
    pub async fn next(&self) -> Vec<Heard> {
        loop {
            let Ok(mut ready) = self.epoll.readable().await else {
                return std::future::pending().await;
            };
            let mut events = [EpollEvent::empty(); EVENTS_MAX];
            let set = &ready.get_inner().0;
            let found = set.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            if found == 0 {
                ready.clear_ready();
                continue;
            }
            drop(ready);
            let mut heard = Vec::new();
            for event in events.iter().take(found) {
                let Some(opened) = self.open.get(&event.data()) else {
                    continue;
                };
                for _ in 0..PACKETS_MAX {
                    match opened.socket.receive(&opened.wanted) {
                        Ok(packet) => heard.push(packet),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        // The link is down or gone: the kernel tells once, and its clients hear of it otherwise.
                        Err(error) => {
                            tracing::debug!(%error, port = ?opened.wanted.port, "nothing is heard");
                            break;
                        }
                    }
                }
            }
            if !heard.is_empty() {
                return heard;
            }
        }
    }

    fn close(&mut self, Opened { wanted, socket }: Opened) {
        let take_out = |socket: &ClientSocket| {
            if let Err(error) = self.epoll.get_ref().0.delete(socket.as_fd()) {
                tracing::debug!(%error, "a port stays in the set until it is closed");
            }
        };
        match wanted.port {
            Port::Packet | Port::Arp | Port::Lldp => {
                take_out(&socket);
                self.closer.close(socket);
            }
            Port::Dhcp4(_) | Port::Dhcp6 if socket.has_unsent() => {
                take_out(&socket);
                self.lingering.push(socket);
            }
            // Closing takes it out of the set.
            Port::Dhcp4(_) | Port::Icmp6 | Port::Dhcp6 => drop(socket),
        }
    }

    fn open_port(&mut self, wanted: WantedPort) -> io::Result<()> {
        let socket = ClientSocket::open(&wanted)?;
        self.opened = self.opened.wrapping_add(1);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, self.opened);
        self.epoll.get_ref().0.add(socket.as_fd(), event)?;
        self.by_place
            .insert((wanted.index, wanted.port), self.opened);
        self.open.insert(self.opened, Opened { wanted, socket });
        Ok(())
    }
}
