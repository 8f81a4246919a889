//! Netlink events for the link manager. Reads only.
//!
//! [`Monitor`] subscribes first and lists then, so that nothing falls between; events that come during a listing are
//! told after it. When the kernel says that it lost notices (`ENOBUFS`), what is queued is thrown away and all is listed
//! anew. [`parse_message`] is the whole of the wire format, without a socket.
//!
//! No capability is needed; with `CAP_NET_ADMIN` the receive buffer is as large as asked.
//!
//! # Limitations
//! Routes through nexthop objects (`ip nexthop`) are seen while `net.ipv4.nexthop_compat_mode` is 1, its default; an IPv4
//! route that vanishes because its nexthop object is deleted is noticed at the next listing only.

mod emit;
pub mod message;
mod monitor;
mod ports;
mod requests;
mod socket;
mod sysfs;

pub use message::parse_message;
pub use monitor::Monitor;
pub use ports::Ports;
pub use requests::Requests;
