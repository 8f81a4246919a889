//! Netlink for the link manager: what the kernel tells, and what it is asked.
//!
//! [`Monitor`] subscribes first and lists then, so that nothing falls between; events that come during a listing are
//! told after it. When the kernel says that it lost notices (`ENOBUFS`), what is queued is thrown away and all is listed
//! anew. [`parse_message`] is the whole of the wire format, without a socket.
//!
//! [`Requester`] asks the kernel on a socket and a thread of its own; [`boot()`] says which kernel it is.
//!
//! [`Ports`] are the sockets of clients: DHCP, router advertisements, ARP.
//!
//! To listen no capability is needed; with `CAP_NET_ADMIN` the receive buffer is as large as asked. Requests need
//! `CAP_NET_ADMIN`, and switches a `/proc/sys/net` that can be written.
//!
//! # Limitations
//! Routes through nexthop objects (`ip nexthop`) are seen while `net.ipv4.nexthop_compat_mode` is 1, its default; an IPv4
//! route that vanishes because its nexthop object is deleted is noticed at the next listing only.

pub mod ask;
mod boot;
mod emit;
mod filter;
mod frame;
pub mod message;
mod monitor;
pub mod neighbours;
mod ports;
mod requests;
mod socket;
mod sysfs;

pub use boot::{boot, boot_id};
pub use message::parse_message;
pub use monitor::Monitor;
pub use neighbours::Neighbours;
pub use ports::Ports;
pub use requests::{Performer, Requester};
