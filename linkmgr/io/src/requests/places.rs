//! Is a route there that is to be deleted? Where the kernel would take another one for it.
//!
//! A deletion names what it is about, and 0 names no IPv4 metric: the first route fits that is like ours but for the metric. As the least metric
//! comes first, that is ours as long as it is there. Somebody may have taken it away a moment ago, and another one with our
//! number, ours or not, would go in its stead. So it is looked for right before.

use std::io;

use linkmgr::KernelEvent;
use linkmgr::kernel::OwnRoute;

use crate::message::parse_into;
use crate::socket::{self, Received};

/// How often a table is listed again because it changed meanwhile.
const ATTEMPTS: u32 = 8;

/// Whether the kernel may take another route for this one.
pub(super) const fn is_doubtful(route: &OwnRoute) -> bool {
    route.key.to.address.is_ipv4() && route.key.metric == 0
}

/// Looks for a route. A listing during which the table changed proves that it is there, never that it is not.
///
/// # Errors
/// When the kernel does not list its table, or the table does not stand still.
pub(super) fn is_there(route: &OwnRoute) -> io::Result<bool> {
    for _ in 0..ATTEMPTS {
        let (is_found, is_certain) = look(route)?;
        if is_found || is_certain {
            return Ok(is_found);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Lists once; returns whether it was there, and whether the table stood still.
fn look(route: &OwnRoute) -> io::Result<(bool, bool)> {
    let socket = socket::open_listing()?;
    socket::ask_own_routes4(&socket, route.key.table)?;
    let (mut buffer, mut events) = (Vec::new(), Vec::new());
    let mut is_found = false;
    let mut is_certain = true;
    loop {
        match socket::receive(&socket, &mut buffer)? {
            Received::Datagram => {}
            Received::Foreign => continue,
            Received::Lost => return Err(io::Error::from_raw_os_error(libc::ENOBUFS)),
        }
        let ending = parse_into(&buffer, &mut events);
        is_certain &= !ending.interrupted;
        let is_it = |there: &OwnRoute| {
            (there.key, there.kind, &there.hops) == (route.key, route.kind, &route.hops)
        };
        is_found |= events
            .drain(..)
            .any(|event| matches!(&event, KernelEvent::OwnRoute(there) if is_it(there)));
        match ending.done {
            None => {}
            // There is no such table.
            Some(Ok(()) | Err(libc::ENOENT)) => return Ok((is_found, is_certain)),
            Some(Err(errno)) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
