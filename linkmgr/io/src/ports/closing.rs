//! Who waits while a packet socket is closed? [`Closer`]: a thread that does nothing else.
//!
//! The kernel waits in `close` until no processor can still hold a packet for the socket (`packet_release`), which takes
//! five to fifty milliseconds: just when a lease has come and the first questions for names do.

use std::sync::mpsc;
use std::thread;

use super::socket::ClientSocket;

/// Bytes of the thread's stack.
const STACK: usize = 64 << 10;

/// Closes sockets; there is no thread before the first.
#[derive(Debug, Default)]
pub(super) struct Closer {
    sockets: Option<mpsc::Sender<ClientSocket>>,
}

impl Closer {
    /// Has a socket closed soon; nothing comes in by it any more.
    pub(super) fn close(&mut self, socket: ClientSocket) {
        if self.sockets.is_none() {
            self.sockets = start();
        }
        if let Some(sockets) = &self.sockets {
            // Without a thread it is closed here, which takes longer.
            drop(sockets.send(socket));
        }
    }
}

fn start() -> Option<mpsc::Sender<ClientSocket>> {
    let (sockets, to_close) = mpsc::channel::<ClientSocket>();
    let thread = thread::Builder::new()
        .name("linnet-closer".to_owned())
        .stack_size(STACK)
        .spawn(move || to_close.iter().for_each(drop));
    match thread {
        Ok(_) => Some(sockets),
        Err(error) => {
            tracing::debug!(%error, "packet sockets are closed while others wait");
            None
        }
    }
}
