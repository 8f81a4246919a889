//! Is a route there? One that is to be deleted, where the kernel would take another one for it; and one that somebody has laid beside an
//! address.
//!
//! A deletion names what it is about, and 0 names no IPv4 metric: the first route fits that is like ours but for the metric. As the least metric
//! comes first, that is ours as long as it is there. Somebody may have taken it away a moment ago, and another one with our
//! number, ours or not, would go in its stead. So it is looked for right before.

use std::io;

use config::model::Prefix;
use linkmgr::kernel::{OURS, OwnRoute};
use netlink_sys::Socket;

use crate::message::routes_into;
use crate::socket::{self, Received};

/// How often a table is listed again because it changed meanwhile.
const ATTEMPTS: u32 = 8;

/// Whether the kernel may take another route for this one.
pub(super) const fn is_doubtful(route: &OwnRoute) -> bool {
    route.key.to.address.is_ipv4() && route.key.metric == 0
}

/// Looks for a route of ours. A listing during which the table changed proves that it is there, never that it is not.
///
/// # Errors
/// When the kernel does not list its table, or the table does not stand still.
pub(super) fn is_there(route: &OwnRoute) -> io::Result<bool> {
    let ask = |socket: &Socket| socket::ask_own_routes4(socket, route.key.table);
    let is_it = |number: u8, there: &OwnRoute| {
        number == OURS
            && (there.key, there.kind, &there.hops) == (route.key, route.kind, &route.hops)
    };
    look_for(&ask, &is_it)
}

/// Looks for a route to the network of an IPv4 address by a link itself, in any table, whoever made it.
///
/// # Errors
/// As with [`is_there`].
pub(super) fn has_prefix_route(index: u32, prefix: Prefix) -> io::Result<bool> {
    let ask = |socket: &Socket| socket::ask_routes4_of(socket, index);
    let is_it = |_: u8, there: &OwnRoute| {
        there.key.to == prefix.network() && there.is_near() && there.leaves_by(index)
    };
    look_for(&ask, &is_it)
}

type Ask<'a> = &'a dyn Fn(&Socket) -> io::Result<()>;
type IsIt<'a> = &'a dyn Fn(u8, &OwnRoute) -> bool;

fn look_for(ask: Ask<'_>, is_it: IsIt<'_>) -> io::Result<bool> {
    for _ in 0..ATTEMPTS {
        let (is_found, is_certain) = look(ask, is_it)?;
        if is_found || is_certain {
            return Ok(is_found);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Lists once; returns whether it was there, and whether the table stood still.
fn look(ask: Ask<'_>, is_it: IsIt<'_>) -> io::Result<(bool, bool)> {
    let socket = socket::open_listing()?;
    ask(&socket)?;
    let (mut buffer, mut routes) = (Vec::new(), Vec::new());
    let mut is_found = false;
    let mut is_certain = true;
    loop {
        match socket::receive(&socket, &mut buffer)? {
            Received::Datagram => {}
            Received::Foreign => continue,
            Received::Lost => return Err(io::Error::from_raw_os_error(libc::ENOBUFS)),
        }
        let ending = routes_into(&buffer, &mut routes);
        is_certain &= !ending.interrupted;
        is_found |= routes
            .drain(..)
            .any(|(number, there)| is_it(number, &there));
        match ending.done {
            None => {}
            // There is no such table.
            Some(Ok(()) | Err(libc::ENOENT)) => return Ok((is_found, is_certain)),
            Some(Err(errno)) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
