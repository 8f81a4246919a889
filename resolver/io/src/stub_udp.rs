//! How do datagrams of clients come in and answers go out? One socket per address, in batches.
//!
//! Who a client is, is remembered elsewhere (`clients`); a datagram from outside the host ends here.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use resolver::Stub;

use crate::batch::{self, BATCH_MAX, Received, Wait};
use crate::bind::{Guard, is_passing};

/// A UDP listener, with answers that wait to be sent.
#[derive(Debug)]
pub(crate) struct UdpStub {
    /// As which stub.
    pub(crate) stub: Stub,
    /// Who may ask.
    pub(crate) guard: Guard,
    socket: Arc<UdpSocket>,
    /// More of them at the same address, for as many threads.
    others: Vec<Arc<UdpSocket>>,
    answers: Vec<(SocketAddr, Vec<u8>)>,
}

impl UdpStub {
    /// Makes a stub of bound sockets, of which the first sends the answers.
    pub(crate) fn new(socket: UdpSocket, others: Vec<UdpSocket>, stub: Stub, guard: Guard) -> Self {
        Self {
            stub,
            guard,
            socket: Arc::new(socket),
            others: others.into_iter().map(Arc::new).collect(),
            answers: Vec::with_capacity(BATCH_MAX),
        }
    }

    /// Takes what is waiting, at most one batch; returns how many datagrams.
    pub(crate) fn receive(&self, received: &mut Received) -> usize {
        match received.receive(self.socket.as_fd(), Wait::Never) {
            Ok(count) => count,
            Err(error) if is_passing(&error) => 0,
            Err(error) => {
                tracing::warn!(%error, "cannot receive from clients");
                0
            }
        }
    }

    /// Returns its sockets.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Arc<UdpSocket>> {
        std::iter::once(&self.socket).chain(&self.others)
    }

    /// Keeps an answer until [`UdpStub::flush`], or sends when a batch is full.
    pub(crate) fn push(&mut self, peer: SocketAddr, wire: Vec<u8>) {
        self.answers.push((peer, wire));
        if self.answers.len() >= BATCH_MAX {
            self.flush();
        }
    }

    /// Sends the kept answers. One that the kernel does not take is lost, as any datagram may be; its client asks again.
    pub(crate) fn flush(&mut self) {
        let mut rest = self.answers.as_slice();
        while !rest.is_empty() {
            let taken = match batch::send(self.socket.as_fd(), rest) {
                Ok(sent) => sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => {
                    tracing::trace!(%error, "answer is not sent");
                    1
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        self.answers.clear();
    }
}

impl AsFd for UdpStub {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
