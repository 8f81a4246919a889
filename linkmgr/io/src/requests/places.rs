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
use linkmgr::kernel::{OURS, OwnRoute};
use linkmgr::{KernelFault, KernelRequest};
use netlink_sys::Socket;
use policy::links::RouteKey;

use crate::ask::AskError;
use crate::message::routes_into;
use crate::socket::{self, Received};

/// How often a table is listed again because it changed meanwhile.
const ATTEMPTS: usize = 8;

/// Returns the route that a request deletes and for which the kernel may take another one.
pub(super) fn doubtful(request: &KernelRequest) -> Option<&OwnRoute> {
    let KernelRequest::DeleteRoute(route) = request else {
        return None;
    };
    let is_doubtful = route.key.to.address.is_ipv4() && route.key.metric == 0;
    is_doubtful.then_some(route)
}

/// Which of some routes are there, and which cannot be told, with why not.
#[derive(Debug, Default)]
pub(super) struct Places {
    there: BTreeSet<RouteKey>,
    untold: BTreeMap<RouteKey, KernelFault>,
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
                let fault = KernelFault::from(error);
                let untold = wanted.into_keys().map(|key| (key, fault.clone()));
                places.untold.extend(untold);
            }
        }
        places
    }

    /// Whether a route is there.
    ///
    /// # Errors
    /// Why the kernel does not list its table, or `EAGAIN` when the table does not stand still.
    pub(super) fn has(&self, route: &OwnRoute) -> Result<bool, KernelFault> {
        match self.untold.get(&route.key) {
            Some(fault) => Err(fault.clone()),
            None => Ok(self.there.contains(&route.key)),
        }
    }

    /// Moves what is there out of what is wanted.
    fn find(
        &mut self,
        table: u32,
        wanted: &mut BTreeMap<RouteKey, &OwnRoute>,
    ) -> Result<(), AskError> {
        let ask = || {
            let socket = socket::open_listing()?;
            socket::ask_own_routes4(&socket, table)?;
            Ok(socket)
        };
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
pub(super) fn has_prefix_route(index: u32, prefix: Prefix) -> Result<bool, AskError> {
    let ask = || {
        let socket = socket::open_listing()?;
        socket::ask_routes4_of(&socket, index)?;
        Ok(socket)
    };
    look_for(&ask, &mut |_, there| {
        there.key.to == prefix.network() && there.is_near() && there.leaves_by(index)
    })
}

/// Asks for a listing; returns where it comes.
type Ask<'a> = &'a dyn Fn() -> io::Result<Socket>;
/// Takes a route with its number; says whether nothing more is looked for.
type Take<'a> = &'a mut dyn FnMut(u8, &OwnRoute) -> bool;

/// Looks until all is found, or is known not to be there: a listing during which the table changed proves that something is there, never
/// that it is not. Returns whether all is found.
fn look_for(ask: Ask<'_>, take: Take<'_>) -> Result<bool, AskError> {
    for _ in 0..ATTEMPTS {
        let (is_all, is_certain) = look(ask, take)?;
        if is_all || is_certain {
            return Ok(is_all);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN).into())
}

/// Lists once; returns whether all was found, and whether the table stood still.
fn look(ask: Ask<'_>, take: Take<'_>) -> Result<(bool, bool), AskError> {
    let socket = ask()?;
    let (mut buffer, mut routes) = (Vec::new(), Vec::new());
    let mut is_all = false;
    let mut is_certain = true;
    loop {
        match socket::receive(&socket, &mut buffer)? {
            Received::Datagram => {}
            Received::Foreign => continue,
            Received::Lost => return Err(io::Error::from_raw_os_error(libc::ENOBUFS).into()),
        }
        let ending = routes_into(&buffer, &mut routes);
        is_certain &= !ending.interrupted;
        for (number, there) in routes.drain(..) {
            is_all |= take(number, &there);
        }
        match ending.done {
            None => {}
            Some(Ok(())) => return Ok((is_all, is_certain)),
            // There is no such table.
            Some(Err(fault)) if fault.errno == libc::ENOENT => return Ok((is_all, is_certain)),
            Some(Err(fault)) => return Err(AskError::Fault(fault)),
        }
    }
}

#[cfg(test)]
mod tests;
