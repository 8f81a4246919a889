//! Which links have default routes that begin with an address? So that an address that goes does not lead past those of all links.

use std::net::IpAddr;

use crate::route::Routes;
use crate::tables::Set;

/// The IPv4 addresses that default routes begin with, each with the links of these routes.
#[derive(Debug, Default)]
pub(super) struct Sourced(Set<(IpAddr, u32)>);

impl Sourced {
    /// Returns the links that have a default route which begins with this address.
    pub(super) fn links(&self, source: IpAddr) -> Vec<u32> {
        let links = self.0.range((source, 0)..=(source, u32::MAX));
        links.map(|(_, index)| *index).collect()
    }

    /// Changes the routes of a link, and follows what they begin with.
    pub(super) fn change<T>(
        &mut self,
        index: u32,
        routes: &mut Routes,
        change: impl FnOnce(&mut Routes) -> T,
    ) -> T {
        for source in sources(routes) {
            self.0.remove(&(source, index));
        }
        let changed = change(routes);
        self.0.extend(sources(routes).map(|source| (source, index)));
        changed
    }
}

fn sources(routes: &Routes) -> impl Iterator<Item = IpAddr> {
    routes.sources().filter(IpAddr::is_ipv4)
}

#[cfg(test)]
mod tests {
    use config::model::Prefix;
    use config::time::Instant;
    use policy::facts::DefaultRoute;

    use crate::observed::Observed;
    use crate::{AddressMessage, KernelEvent as Event, LinkMessage, RouteMessage};

    #[test]
    fn nothing_is_left_of_a_route_however_it_goes() {
        let prefix = |octets: [u8; 4], length| Prefix {
            address: octets.into(),
            length,
        };
        let address = prefix([192, 0, 2, 10], 24);
        let link = |is_up: bool| {
            Event::Link(LinkMessage {
                index: 2,
                admin_up: is_up,
                ..LinkMessage::default()
            })
        };
        let route = RouteMessage {
            index: 2,
            to: prefix([0, 0, 0, 0], 0),
            route: DefaultRoute {
                metric: 100,
                gateway: Some([192, 0, 2, 1].into()),
            },
            source: Some(address.address),
            protocol: 3,
        };
        let without_source = RouteMessage {
            source: None,
            ..route
        };
        let elsewhere = RouteMessage {
            index: 3,
            ..without_source
        };
        for way in [
            link(false),
            Event::LinkGone { index: 2 },
            Event::AddressGone { index: 2, address },
            Event::RouteGone(route),
            Event::RoutesReplaced(vec![elsewhere]),
            Event::Route(without_source),
        ] {
            let mut observed = Observed::default();
            let lasting = Event::Address(AddressMessage::lasting(2, address));
            for event in [link(true), lasting, Event::Route(route)] {
                observed.apply(event, Instant::ZERO);
            }
            assert_eq!(observed.sourced.links(address.address), [2]);
            let told = format!("{way:?}");
            observed.apply(way, Instant::ZERO);
            assert!(observed.sourced.0.is_empty(), "{told}");
        }
    }
}
