//! How do datagrams of others come in and answers go out? From the address that was asked, and never more than a client that may
//! be forged is worth.
//!
//! | who asks | gets |
//! |---|---|
//! | whoever is not on the list | REFUSED with EDE 18, a few times a second for all of them; then silence |
//! | a port whose owner answers to anything | silence |
//! | a client without a cookie of ours | answers of 512 octets, and a cookie when it has one of its own; by TCP the rest |
//! | a client with our cookie | answers of 1232 octets |

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use resolver::Channel;
use resolver::carried::{CLIENT_COOKIE, Carried, Cookie, put_cookie, truncate, turn_away};
use resolver::event::ExtendedError;
use resolver::wire::{EDNS_UDP_SIZE, rcode};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

use super::access::is_reflective;
use super::house::{Answers, Door, House, Taken};
use super::rates::Allowed;
use crate::batch::{DATAGRAM_MAX, set_option};
use crate::slots::{Key, Slots};

/// The largest answer to a client whose address is not proven, in octets (RFC 1035 §4.2.1).
const UNPROVEN_SIZE: u16 = 512;

/// Whose answer is awaited.
#[derive(Debug)]
struct Pending {
    peer: SocketAddr,
    /// The address that was asked.
    own: Option<IpAddr>,
    cookie: Option<[u8; CLIENT_COOKIE]>,
}

/// A UDP listener.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    state: UdpSocketState,
    house: Arc<House>,
    door: watch::Receiver<Arc<Door>>,
    pending: Slots<Pending>,
    back: mpsc::UnboundedSender<(u64, Vec<u8>)>,
    answers: Answers,
}

impl Datagrams {
    /// Takes a bound socket that does not block.
    ///
    /// # Errors
    /// What the kernel says to its options.
    pub(super) fn new(
        socket: std::net::UdpSocket,
        house: Arc<House>,
        door: watch::Receiver<Arc<Door>>,
    ) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        // Datagrams come one by one, each with its own length.
        set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 0)?;
        let (back, answers) = mpsc::unbounded_channel();
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
            house,
            door,
            pending: Slots::new(),
            back,
            answers,
        })
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// When the socket is of no use any more.
    pub(super) async fn serve(mut self) -> io::Result<()> {
        let mut bytes = vec![0; BATCH_SIZE * DATAGRAM_MAX].into_boxed_slice();
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        loop {
            tokio::select! {
                answer = self.answers.recv() => {
                    if let Some((tag, wire)) = answer {
                        self.finish(tag, wire);
                    }
                }
                ready = self.socket.readable() => {
                    ready?;
                    let mut buffers = bytes.chunks_exact_mut(DATAGRAM_MAX).map(IoSliceMut::new);
                    let Some(mut buffers) = collect(&mut buffers) else {
                        continue;
                    };
                    let received = self.socket.try_io(Interest::READABLE, || {
                        self.state.recv((&self.socket).into(), &mut buffers, &mut meta)
                    });
                    let count = match received {
                        Ok(count) => count,
                        // An ICMP error of an earlier answer is nobody's business.
                        Err(error) if is_dead(&error) => return Err(error),
                        Err(_) => continue,
                    };
                    for (meta, buffer) in meta.iter().zip(bytes.chunks_exact(DATAGRAM_MAX)).take(count) {
                        let wire = buffer.get(..meta.len).unwrap_or_default();
                        self.handle(meta.addr, meta.dst_ip, wire);
                    }
                }
            }
        }
    }

    fn handle(&mut self, peer: SocketAddr, own: Option<IpAddr>, wire: &[u8]) {
        let door = Arc::clone(&self.door.borrow());
        if is_reflective(peer.port()) {
            door.counts.reflective.up();
            return;
        }
        if !door.allow.admits(peer.ip()) {
            door.counts.strangers.up();
            if self.house.may_refuse() {
                self.refuse(peer, own, wire);
            }
            return;
        }
        let carried = Carried::parse(wire);
        let mut cookie = None;
        let mut proven = false;
        match carried.cookie {
            // What makes no sense is answered as such by the one who reads the whole of it; here it proves nothing.
            None | Some(Cookie::Bad) => {}
            Some(Cookie::Good(client, server)) => {
                cookie = Some(*client);
                let now = self.house.cookie_time();
                proven = self.house.cookies.holds(client, server, peer.ip(), now);
            }
        }
        let bad_cookie = carried.cookie == Some(Cookie::Bad);
        let allowed = match proven {
            true => Allowed::Whole,
            false => self.house.count(peer.ip()),
        };
        let pending = Pending { peer, own, cookie };
        if allowed != Allowed::Whole {
            door.counts.limited.up();
            let mut short = Vec::new();
            if allowed == Allowed::Short && truncate(wire, &mut short) {
                self.send(&pending, short);
            }
            return;
        }
        let mut asked = wire.to_vec();
        carried.limit_size(
            &mut asked,
            if proven { EDNS_UDP_SIZE } else { UNPROVEN_SIZE },
        );
        if bad_cookie {
            door.counts.malformed.up();
            let mut answer = Vec::new();
            // RFC 7873 §5.2.2.
            if super::house::format_error(wire, &mut answer) {
                self.send(&pending, answer);
            }
            return;
        }
        let key = self.pending.insert(pending);
        let taken = self.house.take(
            &door,
            peer,
            Channel::Udp,
            asked,
            (&self.back, key.to_number()),
        );
        match taken {
            Taken::Asked => {}
            Taken::Answered(answer) => self.finish(key.to_number(), answer),
            Taken::Silence => drop(self.pending.remove(key)),
        }
    }

    fn finish(&mut self, tag: u64, wire: Vec<u8>) {
        let Some(pending) = self.pending.remove(Key::from_number(tag)) else {
            return;
        };
        if !wire.is_empty() {
            self.send(&pending, wire);
        }
    }

    fn refuse(&self, peer: SocketAddr, own: Option<IpAddr>, wire: &[u8]) {
        let error = ExtendedError {
            code: 18,
            text: String::new(),
        };
        let mut answer = Vec::new();
        if turn_away(wire, Channel::Udp, rcode::REFUSED, &error, &mut answer) {
            let cookie = None;
            self.send(&Pending { peer, own, cookie }, answer);
        }
    }

    /// Sends an answer; one that the kernel does not take is lost, as any datagram may be.
    fn send(&self, to: &Pending, mut wire: Vec<u8>) {
        if let Some(client) = &to.cookie {
            let now = self.house.cookie_time();
            let server = self.house.cookies.make(client, to.peer.ip(), now);
            put_cookie(&mut wire, client, &server);
        }
        let transmit = Transmit {
            destination: to.peer,
            ecn: None,
            contents: &wire,
            segment_size: None,
            src_ip: to.own,
        };
        let sent = self.socket.try_io(Interest::WRITABLE, || {
            self.state.try_send((&self.socket).into(), &transmit)
        });
        if let Err(error) = sent {
            tracing::trace!(%error, "answer is not sent");
        }
    }
}

/// Makes an array of buffers.
fn collect<'a>(
    buffers: &mut impl Iterator<Item = IoSliceMut<'a>>,
) -> Option<[IoSliceMut<'a>; BATCH_SIZE]> {
    let all: Vec<IoSliceMut<'a>> = buffers.take(BATCH_SIZE).collect();
    all.try_into().ok()
}

/// Whether a socket that fails like this will not recover.
fn is_dead(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL)
    )
}
