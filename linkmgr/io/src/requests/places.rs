//! Which routes are there? Those that are to be deleted, where the kernel would take other ones for them; and one that somebody has laid
//! beside an address.
//!
//! A deletion names what it is about, and 0 names no IPv4 metric: the first route fits that is like ours but for the metric. As the least metric
//! comes first, that is ours as long as it is there. Somebody may have taken it away a moment ago, and another one with our
//! number, ours or not, would go in its stead. So it is looked for right before: with others of its table, as the kernel goes
//! through all of the table for each look, whoever has made what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use config::model::Prefix;
use linkmgr::KernelRequest;
use linkmgr::kernel::{OURS, OwnRoute};
use netlink_sys::Socket;
use policy::links::RouteKey;

use crate::message::routes_into;
use crate::socket::{self, Received};

/// How often a table is listed again because it changed meanwhile.
const ATTEMPTS: u32 = 8;

/// Returns the route that a request deletes and for which the kernel may take another one.
pub(super) fn doubtful(request: &KernelRequest) -> Option<&OwnRoute> {
    let KernelRequest::DeleteRoute(route) = request else {
        return None;
    };
    let is_doubtful = route.key.to.address.is_ipv4() && route.key.metric == 0;
    is_doubtful.then_some(route)
}

/// Which of some routes are there, and which cannot be told, with the `errno` of that.
#[derive(Debug, Default)]
pub(super) struct Places {
    there: BTreeSet<RouteKey>,
    untold: BTreeMap<RouteKey, i32>,
}

impl Places {
    /// Looks for routes of ours, once for each table.
    pub(super) fn look<'a>(routes: impl Iterator<Item = &'a OwnRoute>) -> Self {
        let mut by_table: BTreeMap<u32, BTreeMap<RouteKey, &OwnRoute>> = BTreeMap::new();
        for route in routes {
            let wanted = by_table.entry(route.key.table).or_default();
            wanted.insert(route.key, route);
        }
        let mut places = Self::default();
        for (table, mut wanted) in by_table {
            if let Err(error) = places.find(table, &mut wanted) {
                let errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
                let untold = wanted.into_keys().map(|key| (key, errno));
                places.untold.extend(untold);
            }
        }
        places
    }

    /// Whether a route is there.
    ///
    /// # Errors
    /// The `errno` of the kernel that does not list its table, or `EAGAIN` when the table does not stand still.
    pub(super) fn has(&self, route: &OwnRoute) -> Result<bool, i32> {
        match self.untold.get(&route.key) {
            Some(errno) => Err(*errno),
            None => Ok(self.there.contains(&route.key)),
        }
    }

    /// Moves what is there out of what is wanted.
    fn find(&mut self, table: u32, wanted: &mut BTreeMap<RouteKey, &OwnRoute>) -> io::Result<()> {
        let ask = |socket: &Socket| socket::ask_own_routes4(socket, table);
        look_for(&ask, &mut |number, there| {
            let is_it = |route: &&OwnRoute| {
                number == OURS && (there.kind, &there.hops) == (route.kind, &route.hops)
            };
            if wanted.get(&there.key).is_some_and(is_it) {
                wanted.remove(&there.key);
                self.there.insert(there.key);
            }
            wanted.is_empty()
        })?;
        Ok(())
    }
}

/// Looks for a route to the network of an IPv4 address by a link itself, in any table, whoever made it.
///
/// # Errors
/// When the kernel does not list its tables, or they do not stand still.
pub(super) fn has_prefix_route(index: u32, prefix: Prefix) -> io::Result<bool> {
    let ask = |socket: &Socket| socket::ask_routes4_of(socket, index);
    look_for(&ask, &mut |_, there| {
        there.key.to == prefix.network() && there.is_near() && there.leaves_by(index)
    })
}

type Ask<'a> = &'a dyn Fn(&Socket) -> io::Result<()>;
/// Takes a route with its number; says whether nothing more is looked for.
type Take<'a> = &'a mut dyn FnMut(u8, &OwnRoute) -> bool;

/// Looks until all is found, or is known not to be there: a listing during which the table changed proves that something is there, never
/// that it is not. Returns whether all is found.
fn look_for(ask: Ask<'_>, take: Take<'_>) -> io::Result<bool> {
    for _ in 0..ATTEMPTS {
        let (is_all, is_certain) = look(ask, take)?;
        if is_all || is_certain {
            return Ok(is_all);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Lists once; returns whether all was found, and whether the table stood still.
fn look(ask: Ask<'_>, take: Take<'_>) -> io::Result<(bool, bool)> {
    let socket = socket::open_listing()?;
    ask(&socket)?;
    let (mut buffer, mut routes) = (Vec::new(), Vec::new());
    let mut is_all = false;
    let mut is_certain = true;
    loop {
        match socket::receive(&socket, &mut buffer)? {
            Received::Datagram => {}
            Received::Foreign => continue,
            Received::Lost => return Err(io::Error::from_raw_os_error(libc::ENOBUFS)),
        }
        let ending = routes_into(&buffer, &mut routes);
        is_certain &= !ending.interrupted;
        for (number, there) in routes.drain(..) {
            is_all |= take(number, &there);
        }
        match ending.done {
            None => {}
            // There is no such table.
            Some(Ok(()) | Err(libc::ENOENT)) => return Ok((is_all, is_certain)),
            Some(Err(errno)) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
