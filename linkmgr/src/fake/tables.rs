//! How do the tables of the fake kernel change? With the conditions and the consequences that the real ones have.

use super::*;

type Done = Result<(), i32>;

impl FakeKernel {
    pub(super) fn change(&mut self, index: u32, change: impl FnOnce(&mut LinkMessage)) -> Done {
        let link = self.link_by_index.get_mut(&index).ok_or(ENODEV)?;
        let before = link.clone();
        change(link);
        if *link != before {
            self.events.push_back(KernelEvent::Link(link.clone()));
        }
        Ok(())
    }

    pub(super) fn set_mtu(&mut self, index: u32, mtu: u32) -> Done {
        let parent = self.parent_of(index);
        if parent.is_some_and(|parent| parent.mtu < mtu) {
            return Err(ERANGE);
        }
        self.change(index, |link| link.mtu = mtu)?;
        self.hold_to(index, mtu);
        Ok(())
    }

    /// Has what stands on a link have no greater MTU than that; when it may again, nobody makes it greater.
    pub(super) fn hold_to(&mut self, index: u32, mtu: u32) {
        let links = self.link_by_index.values();
        let uppers = links.filter(|link| link.parent.is_some_and(|it| it.get() == index));
        let above: Vec<u32> = uppers
            .filter(|link| link.mtu > mtu)
            .map(|link| link.index)
            .collect();
        for upper in above {
            let _is_there = self.set_mtu(upper, mtu);
        }
    }

    fn parent_of(&self, index: u32) -> Option<&LinkMessage> {
        let parent = self.link_by_index.get(&index)?.parent?;
        self.link_by_index.get(&parent.get())
    }

    pub(super) fn set_mac(&mut self, index: u32, mac: Mac, while_down: bool, now: Instant) -> Done {
        let is_up = self.link_by_index.get(&index).ok_or(ENODEV)?.admin_up;
        let goes_down = is_up && while_down;
        if is_up && !goes_down && self.held.contains(&index) {
            return Err(EBUSY);
        }
        if goes_down {
            self.set_up(index, false, now)?;
        }
        self.change(index, |link| link.mac = Some(mac))?;
        match goes_down {
            true => self.set_up(index, true, now),
            false => Ok(()),
        }
    }

    pub(super) fn set_up(&mut self, index: u32, up: bool, now: Instant) -> Done {
        let was_up = self.link_by_index.get(&index).ok_or(ENODEV)?.admin_up;
        if up && self.parent_of(index).is_some_and(|it| !it.admin_up) {
            return Err(ENETDOWN);
        }
        if was_up && !up {
            // IPv4 routes go without a word, IPv6 addresses and routes with one.
            let goes = self.goes_with(index);
            let is_ipv4 = |route: &OwnRoute| route.key.to.address.is_ipv4();
            self.drop_routes(|route| goes(route) && is_ipv4(route), now, false);
            self.drop_routes(&goes, now, true);
            let gone = self
                .addresses
                .extract_if(.., |(of, it)| *of == index && it.prefix.address.is_ipv6());
            let gone: Vec<Prefix> = gone.map(|(_, address)| address.prefix).collect();
            for address in gone {
                self.events
                    .push_back(KernelEvent::AddressGone { index, address });
            }
        }
        self.change(index, |link| {
            link.admin_up = up;
            link.carrier = up;
        })
    }

    pub(super) fn add_address(&mut self, request: &AddressRequest, now: Instant) -> Done {
        let AddressRequest { index, address, .. } = *request;
        if !self.link_by_index.contains_key(&index) {
            return Err(ENODEV);
        }
        if self.place(index, &address).is_some() {
            return Err(EEXIST);
        }
        // All IPv4 addresses of one network are known as far as each other.
        let mut others = self.addresses.iter();
        let has_other_scope = |(of, it): &(u32, FakeAddress)| {
            *of == index
                && is_neighbour(&it.prefix, &address)
                && it.attributes.scope != request.attributes.scope
        };
        if address.address.is_ipv4() && others.any(has_other_scope) {
            return Err(EINVAL);
        }
        self.addresses.push((index, made_of(request, now)?));
        self.tell_address(index, &address, now);
        Ok(())
    }

    pub(super) fn replace_address(&mut self, request: &AddressRequest, now: Instant) -> Done {
        let AddressRequest { index, address, .. } = *request;
        let Some(place) = self.place(index, &address) else {
            return self.add_address(request, now);
        };
        let made = made_of(request, now)?;
        let there = &mut self.addresses[place].1;
        let before = *there;
        *there = FakeAddress {
            prefix: before.prefix,
            usability: before.usability,
            ..made
        };
        if address.address.is_ipv4() {
            there.no_prefix_route = before.no_prefix_route;
            there.attributes = before.attributes;
            if self.keeps_numbers {
                there.protocol = before.protocol;
            }
        } else if made.metric == 0 {
            // addrconf.c takes none for no change.
            there.metric = before.metric;
        }
        self.tell_address(index, &before.prefix, now);
        Ok(())
    }

    pub(super) fn delete_address(
        &mut self,
        index: u32,
        address: &Prefix,
        promote: bool,
        now: Instant,
    ) -> Done {
        if !self.link_by_index.contains_key(&index) {
            return Err(ENODEV);
        }
        let is_it = |(of, it): &(u32, FakeAddress)| *of == index && it.prefix == *address;
        let place = self.addresses.iter().position(is_it);
        let place = place.ok_or(EADDRNOTAVAIL)?;
        let takes_others =
            address.address.is_ipv4() && !promote && !self.is_secondary(index, address);
        let mut gone = vec![*address];
        self.addresses.remove(place);
        if takes_others {
            let others = self.addresses.extract_if(.., |(of, it)| {
                *of == index && is_neighbour(&it.prefix, address)
            });
            gone.extend(others.map(|(_, it)| it.prefix));
        }
        for address in &gone {
            let address = *address;
            self.events
                .push_back(KernelEvent::AddressGone { index, address });
        }
        self.follow(index, &gone, now);
        // One that is first now is told once more.
        let left: Vec<Prefix> = self
            .addresses
            .iter()
            .filter(|(of, it)| *of == index && is_neighbour(&it.prefix, address))
            .map(|(_, it)| it.prefix)
            .take(usize::from(promote))
            .collect();
        for prefix in left {
            self.tell_address(index, &prefix, now);
        }
        Ok(())
    }

    /// Drops the routes that go with addresses, in silence.
    fn follow(&mut self, index: u32, gone: &[Prefix], now: Instant) {
        let has_ipv4 = self
            .addresses
            .iter()
            .any(|(of, it)| *of == index && it.prefix.address.is_ipv4());
        if gone.iter().any(|it| it.address.is_ipv4()) && !has_ipv4 {
            let goes = self.goes_with(index);
            self.drop_routes(
                |route| goes(route) && route.key.to.address.is_ipv4(),
                now,
                false,
            );
        }
        for source in gone.iter().map(|prefix| prefix.address) {
            if self
                .addresses
                .iter()
                .any(|(_, it)| it.prefix.address == source)
            {
                continue;
            }
            if source.is_ipv4() {
                self.drop_routes(|route| route.source == Some(source), now, false);
                continue;
            }
            for route in self.all_routes_mut() {
                if route.route.source == Some(source) {
                    route.route.source = None;
                }
            }
        }
    }

    /// Returns whether a route goes when this link has lost what routes need: it does when no other of its links has it.
    fn goes_with(&self, index: u32) -> impl Fn(&OwnRoute) -> bool + use<> {
        let up = self.link_by_index.values().filter(|link| link.admin_up);
        let up: BTreeSet<u32> = up.map(|link| link.index).collect();
        let ipv4 = self.addresses.iter();
        let ipv4 = ipv4.filter(|(_, it)| it.prefix.address.is_ipv4());
        let ipv4: BTreeSet<u32> = ipv4.map(|(of, _)| *of).collect();
        move |route| {
            let is_ipv4 = route.key.to.address.is_ipv4();
            let lives = |of: u32| up.contains(&of) && (!is_ipv4 || ipv4.contains(&of));
            let mut others = route.hops.iter().filter(|hop| hop.index != index);
            route.leaves_by(index) && !others.any(|hop| lives(hop.index))
        }
    }

    pub(super) fn drop_routes(
        &mut self,
        is_wanted: impl Fn(&OwnRoute) -> bool,
        now: Instant,
        is_told: bool,
    ) {
        let here = self.all_routes().filter(|it| is_wanted(&it.route));
        let here: BTreeSet<RouteKey> = here.map(|it| it.route.key).collect();
        for key in here {
            while let Some(gone) = self.remove(&key, |it| is_wanted(&it.route)) {
                if is_told {
                    self.tell_gone(&gone, now);
                }
            }
        }
    }

    pub(super) fn put_route(
        &mut self,
        route: &OwnRoute,
        protocol: u8,
        replace: bool,
        now: Instant,
    ) -> Done {
        self.check_route(route)?;
        if !replace && self.route_by_key.contains_key(&route.key) {
            return Err(EEXIST);
        }
        let made = FakeRoute::made(route, protocol, now);
        self.events.extend(tell_route(&made, now, true));
        let before = self.route_by_key.insert(route.key, made);
        // Of IPv6 all ways go.
        if route.key.to.address.is_ipv6() {
            self.behind.remove(&route.key);
        }
        if before.is_some() && protocol != OURS {
            self.events
                .push_back(KernelEvent::PlaceTaken(route.clone()));
        }
        Ok(())
    }

    pub(super) fn check_route(&self, route: &OwnRoute) -> Done {
        for hop in &route.hops {
            let link = self.link_by_index.get(&hop.index).ok_or(ENODEV)?;
            if !link.admin_up {
                return Err(ENETDOWN);
            }
        }
        let reaches = |index: u32, via: IpAddr| {
            let is_near = |(of, it): &(u32, FakeAddress)| {
                *of == index && !it.no_prefix_route && contains(&it.prefix, via)
            };
            let is_on_link = |it: &FakeRoute| {
                let it = &it.route;
                it.is_near() && it.leaves_by(index) && contains(&it.key.to, via)
            };
            let is_local = matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
            is_local || self.addresses.iter().any(is_near) || self.all_routes().any(is_on_link)
        };
        let mut hops = route.hops.iter();
        if !route.on_link && !hops.all(|hop| hop.via.is_none_or(|via| reaches(hop.index, via))) {
            return Err(match route.key.to.address.is_ipv4() {
                true => ENETUNREACH,
                false => EHOSTUNREACH,
            });
        }
        let is_usable = |source: IpAddr| {
            self.addresses
                .iter()
                .any(|(_, it)| it.prefix.address == source && it.usability == Usability::Usable)
        };
        if route.source.is_some_and(|source| !is_usable(source)) {
            return Err(EINVAL);
        }
        Ok(())
    }

    pub(super) fn delete_route(&mut self, key: &RouteKey, protocol: u8, now: Instant) -> Done {
        self.take_where(key, |it| it.protocol == protocol, now)
    }

    pub(super) fn add_rule(&mut self, rule: &PolicyRule, protocol: u8) -> Done {
        // The same with another number stands beside it.
        let is_it = |(there, of): &(PolicyRule, u8)| there == rule && *of == protocol;
        if self.rules.iter().any(is_it) {
            return Err(EEXIST);
        }
        self.rules.push((rule.clone(), protocol));
        self.events.push_back(tell_rule(rule, protocol));
        Ok(())
    }

    pub(super) fn delete_rule(&mut self, rule: &PolicyRule, protocol: u8) -> Done {
        let is_it = |(there, of): &(PolicyRule, u8)| there == rule && *of == protocol;
        let place = self.rules.iter().position(is_it).ok_or(ENOENT)?;
        self.rules.remove(place);
        self.events.push_back(match protocol {
            OURS => KernelEvent::RuleGone(rule.clone()),
            _ => KernelEvent::RuleFreed {
                rule: rule.clone(),
                protocol,
            },
        });
        Ok(())
    }

    /// Whether another IPv4 address of the same prefix came before.
    pub(super) fn is_secondary(&self, index: u32, prefix: &Prefix) -> bool {
        let mut before = self
            .addresses
            .iter()
            .take_while(|(of, it)| *of != index || it.prefix != *prefix);
        prefix.address.is_ipv4()
            && before.any(|(of, it)| *of == index && is_neighbour(&it.prefix, prefix))
    }

    fn place(&self, index: u32, address: &Prefix) -> Option<usize> {
        self.addresses
            .iter()
            .position(|(of, it)| *of == index && is_same_address(&it.prefix, address))
    }
}

fn is_neighbour(one: &Prefix, other: &Prefix) -> bool {
    one.length == other.length && one.network() == other.network()
}

fn made_of(request: &AddressRequest, now: Instant) -> Result<FakeAddress, i32> {
    let preferred = request.preferred.unwrap_or(u32::MAX);
    let valid = request.valid.unwrap_or(u32::MAX);
    if valid == 0 || preferred > valid {
        return Err(EINVAL);
    }
    Ok(FakeAddress {
        prefix: request.address,
        protocol: OURS,
        usability: Usability::Usable,
        preferred_until: until(request.preferred, now),
        valid_until: until(request.valid, now),
        temporaries: request.temporaries,
        no_prefix_route: request.no_prefix_route,
        metric: request.metric,
        attributes: request.attributes,
    })
}
