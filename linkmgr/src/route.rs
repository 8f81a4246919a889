//! Which default route does a link have? One to everywhere, or both halves of everywhere, the best metric first.
//!
//! VPN programs leave the default route alone and lay two routes over it, 0.0.0.0/1 and 128.0.0.0/1 (for IPv6 ::/1 and
//! 8000::/1); one half alone is no default route. Which of two links is better is not decided here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::model::Prefix;
use policy::facts::DefaultRoute;

use crate::kernel::{OURS, RouteMessage, stands_beside};
use crate::protocol::Protocol;

const V4: Destinations = Destinations {
    everywhere: prefix(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    lower: prefix(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1),
    upper: prefix(IpAddr::V4(Ipv4Addr::new(128, 0, 0, 0)), 1),
};
const V6: Destinations = Destinations {
    everywhere: prefix(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
    lower: prefix(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 1),
    upper: prefix(IpAddr::V6(Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0)), 1),
};

/// Up to which length a vector grows by one.
const SHORT: usize = 4;

/// The default routes of one link: in order, each destination, metric and gateway once.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Entry>);

/// A route as it is kept: most links have two, so that a vector costs least.
#[derive(Debug, Clone, Copy)]
struct Entry {
    to: Prefix,
    route: DefaultRoute,
    source: Option<IpAddr>,
    protocol: u8,
}

struct Destinations {
    everywhere: Prefix,
    lower: Prefix,
    upper: Prefix,
}

impl Routes {
    /// Adds a route; routes that differ in metric or gateway are kept apart.
    pub(crate) fn insert(&mut self, message: &RouteMessage) {
        let entry = Entry {
            to: message.to,
            route: message.route,
            source: message.source,
            protocol: message.protocol,
        };
        match self.place(entry.to, entry.route) {
            Ok(place) => self.0[place] = entry,
            Err(place) => insert_exact(&mut self.0, place, entry),
        }
    }

    /// Returns the preferred source addresses of routes.
    pub(crate) fn sources(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().filter_map(|entry| entry.source)
    }

    /// Removes a route, whatever its source; returns whether it was there.
    pub(crate) fn remove(&mut self, message: &RouteMessage) -> bool {
        let Ok(place) = self.place(message.to, message.route) else {
            return false;
        };
        self.0.remove(place);
        true
    }

    /// Whether there is a route of this destination and metric.
    pub(crate) fn has_metric(&self, to: Prefix, metric: u32) -> bool {
        let mut entries = self.0.iter();
        entries.any(|entry| entry.to == to && entry.route.metric == metric)
    }

    /// Returns who has made a route of this destination and metric, if there is one: of several one from whom an adoption takes nothing, and
    /// rather one who says who he is.
    pub(crate) fn maker(&self, to: Prefix, metric: u32) -> Option<Protocol> {
        let there = self.0.iter();
        let there = there.filter(|entry| entry.to == to && entry.route.metric == metric);
        let makers = there.map(|entry| Protocol(entry.protocol));
        makers.max_by_key(|maker| (maker.is_left_alone(), *maker != Protocol::UNSPECIFIED))
    }

    /// Whether a route of somebody else has this destination and metric, and may go when ours is replaced. Of the ways of an IPv6 route
    /// by gateways the kernel tells one's number for all, so that of these it is not known.
    pub(crate) fn has_other(&self, to: Prefix, metric: u32) -> bool {
        let there = self.0.iter();
        let mut there = there.filter(|entry| entry.to == to && entry.route.metric == metric);
        there.any(|entry| {
            let is_its_own = to.address.is_ipv4() || entry.route.gateway.is_none();
            is_its_own && entry.protocol != OURS && stands_beside(entry.protocol, to)
        })
    }

    /// Removes the routes of one destination and metric, but for those by gateways of which `stays` says so; returns whether there were
    /// any.
    pub(crate) fn remove_metric(
        &mut self,
        to: Prefix,
        metric: u32,
        stays: impl Fn(Option<IpAddr>) -> bool,
    ) -> bool {
        self.remove_where(|entry| {
            entry.to == to && entry.route.metric == metric && !stays(entry.route.gateway)
        })
    }

    /// Removes all routes with this preferred source; returns destination and metric of each.
    pub(crate) fn remove_source(&mut self, source: IpAddr) -> Vec<(Prefix, u32)> {
        self.take_where(|entry| entry.source == Some(source))
    }

    /// Removes all IPv4 routes; returns destination and metric of each.
    pub(crate) fn clear_ipv4(&mut self) -> Vec<(Prefix, u32)> {
        self.take_where(|entry| entry.to.address.is_ipv4())
    }

    /// Removes all routes; returns destination and metric of each.
    pub(crate) fn clear(&mut self) -> Vec<(Prefix, u32)> {
        self.take_where(|_| true)
    }

    fn take_where(&mut self, is_gone: impl Fn(&Entry) -> bool) -> Vec<(Prefix, u32)> {
        let gone = self.0.extract_if(.., |entry| is_gone(entry));
        gone.map(|entry| (entry.to, entry.route.metric)).collect()
    }

    /// Returns the best IPv4 default route.
    pub(crate) fn default_route4(&self) -> Option<DefaultRoute> {
        self.default_route(&V4)
    }

    /// Returns the best IPv6 default route.
    pub(crate) fn default_route6(&self) -> Option<DefaultRoute> {
        self.default_route(&V6)
    }

    fn default_route(&self, to: &Destinations) -> Option<DefaultRoute> {
        let halves = self
            .best(to.lower)
            .zip(self.best(to.upper))
            .map(|(lower, upper)| DefaultRoute {
                // Everywhere is reached as well as the worse half is.
                metric: lower.metric.max(upper.metric),
                gateway: lower.gateway,
            });
        self.best(to.everywhere).into_iter().chain(halves).min()
    }

    fn best(&self, to: Prefix) -> Option<DefaultRoute> {
        let least = DefaultRoute {
            metric: 0,
            gateway: None,
        };
        let (Ok(place) | Err(place)) = self.place(to, least);
        let entry = self.0.get(place)?;
        (entry.to == to).then_some(entry.route)
    }

    /// Returns the default routes that configurators of links have made: those of routing programs are none of these, and neither is
    /// what has one place with such a one, as the kernel takes one of both for the other.
    pub(crate) fn of_configurators(&self) -> impl Iterator<Item = (Prefix, DefaultRoute)> {
        let place = |entry: &Entry| (entry.to, entry.route.metric);
        let is_theirs = |entry: &Entry| Protocol(entry.protocol).is_configurator();
        let theirs = self.0.iter().filter(move |entry| {
            let mut beside = self.0.iter().filter(|it| place(it) == place(entry));
            entry.to.length == 0 && beside.all(is_theirs)
        });
        theirs.map(|entry| (entry.to, entry.route))
    }

    fn place(&self, to: Prefix, route: DefaultRoute) -> Result<usize, usize> {
        self.0
            .binary_search_by_key(&(to, route), |entry| (entry.to, entry.route))
    }

    fn remove_where(&mut self, is_wanted: impl Fn(&Entry) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|entry| !is_wanted(entry));
        self.0.len() != before
    }
}

/// Inserts without the spare room that a vector takes at first: there are many short ones.
pub(crate) fn insert_exact<T>(values: &mut Vec<T>, place: usize, value: T) {
    if values.len() < SHORT {
        values.reserve_exact(1);
    }
    values.insert(place, value);
}

const fn prefix(address: IpAddr, length: u8) -> Prefix {
    Prefix { address, length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_makers_of_a_default_route_one_who_says_who_he_is_is_named() {
        let mut routes = Routes::default();
        for (last, protocol, named) in [(1, 16, 16), (3, 0, 0), (2, 12, 12)] {
            routes.insert(&RouteMessage {
                index: 2,
                to: V4.everywhere,
                route: DefaultRoute {
                    metric: 100,
                    gateway: Some(IpAddr::from([192, 0, 2, last])),
                },
                source: None,
                protocol,
            });
            let maker = routes.maker(V4.everywhere, 100);
            assert_eq!(maker, Some(Protocol(named)), "after {protocol}");
        }
    }
}
