//! What passes the home link? A packet socket that sees every frame, whatever sent it.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket,
    sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;

/// How often the witness looks whether it is dismissed.
const GLANCE: Duration = Duration::from_millis(100);

/// Counts frames on one link, and those that hold the wire form of a suffix, in any case, in any section.
#[derive(Debug)]
pub(super) struct Witness {
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    frames: AtomicUsize,
    guilty: AtomicUsize,
    dismissed: AtomicBool,
}

impl Witness {
    /// Begins to watch.
    pub(super) fn watch(link: &str, suffix: &'static [u8]) -> Result<Self, String> {
        let failed = |error: Errno| format!("cannot watch {link}: {error}");
        let index = if_nametoindex(link).map_err(failed)?;
        let tap = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .map_err(failed)?;
        let glance = TimeVal::new(0, i64::try_from(GLANCE.as_micros()).unwrap_or_default());
        setsockopt(&tap, ReceiveTimeout, &glance).map_err(failed)?;
        let counts = Arc::new(Counts::default());
        let thread = thread::spawn({
            let counts = Arc::clone(&counts);
            move || look(&tap, index, suffix, &counts)
        });
        Ok(Self {
            counts,
            thread: Some(thread),
        })
    }

    /// Returns the number of frames seen, and of those that hold the suffix.
    pub(super) fn counts(&self) -> (usize, usize) {
        // A frame that has left is in the socket's queue by now; the thread needs a moment to read it.
        thread::sleep(2 * GLANCE);
        (
            self.counts.frames.load(Ordering::SeqCst),
            self.counts.guilty.load(Ordering::SeqCst),
        )
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.counts.dismissed.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _joined = thread.join();
        }
    }
}

fn look(tap: &OwnedFd, index: u32, suffix: &[u8], counts: &Counts) {
    let mut frame = vec![0; 65_536];
    while !counts.dismissed.load(Ordering::SeqCst) {
        let Ok((length, Some(from))) = recvfrom::<LinkAddr>(tap.as_raw_fd(), &mut frame) else {
            continue;
        };
        if from.ifindex() != index as usize {
            continue;
        }
        counts.frames.fetch_add(1, Ordering::SeqCst);
        let seen = frame.get(..length).unwrap_or_default();
        if seen
            .windows(suffix.len())
            .any(|window| window.eq_ignore_ascii_case(suffix))
        {
            counts.guilty.fetch_add(1, Ordering::SeqCst);
        }
    }
}
