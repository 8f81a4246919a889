//! What should be on each link? Profile and supplies, item by item; then the default routes of all links together.
//!
//! # The rules
//! 1. A link has a plan when a profile governs it that wants something of it, `[links]` lets us, and it is to be set up: by
//!    itself, or told so. A link that was told down has a plan with nothing in it.
//! 2. What the profile says comes before what is supplied; an address that is there already is not supplied again.
//! 3. Routes without a metric have the link's own. Routes for prefixes are the kernel's, with that metric, so that `ip route`
//!    looks as people know it; only in another table than main they are ours, as the kernel cannot put its own there.
//! 4. Default routes of the main table are ranked over all links (see [`super::uplink`]) and get their metric there.
//! 5. Static addresses belong to one link: of several that a profile governs, the first has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use config::Config;
use config::model::{
    DefaultRouteUse, Dhcp6Settings, Dhcp6When, HostnameUse, Ipv4llMode, Manage, NetworkSettings,
    PolicyRule, Prefix, Privacy, ProfileId, RaUse, Route, RouteKind, RouteTuning, StaticAddress,
    WireguardSettings,
};
use config::time::Instant;

use super::carrier::{self, Held};
use super::ports;
use super::uplink::{self, Default};
use super::{
    AddressPlan, Clients, HopPlan, LinkPlan, LinksPlan, RouteKey, RoutePlan, Switch, delegate,
    gotos, joint, macs, overlap, supplied, usual_metric,
};
use crate::facts::{
    Facts, Family, Forwarding6, LinkFacts, LinkId, Owner, Preference, Supplier, Told,
};
use crate::plan::Note;
use crate::profile;
use crate::virtual_links::{WantedLink, wanted};

/// The main table.
pub(super) const MAIN: u32 = 254;
/// The greatest metric of a link; above it there is room for those that rank behind.
const MAX_METRIC: u32 = 1_000_000_000;
/// What the kernel makes of an IPv6 route with metric 0.
const IPV6_METRIC: u32 = 1024;
/// The least MTU of IPv6 (RFC 8200 §5); below it the kernel takes IPv6 off the link.
pub(super) const IPV6_MTU: u32 = 1280;

/// The addresses of a loopback link that are the kernel's own.
const KERNELS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// A link's plan while it is made.
pub(super) struct Draft<'a> {
    pub(super) id: LinkId,
    pub(super) link: &'a LinkFacts,
    pub(super) network: &'a NetworkSettings,
    /// The peers, when the profile makes a tunnel of it.
    pub(super) tunnel: Option<&'a WireguardSettings>,
    pub(super) plan: LinkPlan,
    /// Default routes of the main table, in the order in which they are wanted.
    pub(super) defaults: Vec<Default>,
    /// Rules that hold beside those of the profile.
    pub(super) rules: Vec<PolicyRule>,
    /// Whether any default route may be ours.
    pub(super) may_default: bool,
    pub(super) as_of: Instant,
}

/// Plans all links.
pub(crate) fn plan(
    config: &Config,
    facts: &Facts,
    profiles_by_link: &BTreeMap<LinkId, ProfileId>,
    notes: &mut Vec<Note>,
) -> LinksPlan {
    let mut whole = LinksPlan {
        held: profile::held(config, facts, profiles_by_link),
        made: wanted(config, facts),
        ..LinksPlan::default()
    };
    macs::of_bridges(&mut whole.made, config, facts, profiles_by_link);
    let mut drafts = Vec::new();
    let mut tunnels = Vec::new();
    let mut holders: BTreeMap<&ProfileId, &LinkFacts> = BTreeMap::new();
    for (id, profile_id) in profiles_by_link {
        let (Some(link), Some(profile)) = (facts.links.get(id), config.profiles.get(profile_id))
        else {
            continue;
        };
        let network = &profile.network;
        let told = facts.told.get(id);
        let is_wanted = match told {
            Some(Told::Release) => false,
            Some(Told::Up | Told::Down) => true,
            None => network.autoconnect,
        };
        let is_ours = config.links.manage == Manage::Matched && !whole.held.contains(id);
        if !is_ours || !profile.touches() || !is_wanted {
            continue;
        }
        let made = profile.link.as_ref().filter(|made| made.name == link.name);
        let tunnel = made.and_then(|made| made.wireguard.as_deref());
        let mut draft = Draft::new(*id, link, profile_id, network, config, facts);
        let master = ports::master(link, facts);
        draft.tunnel = tunnel;
        if told == Some(&Told::Down) {
            draft.plan.admin_up = (!link.loopback).then_some(false);
            whole.links.insert(*id, draft.plan);
            continue;
        }
        if let Some(master) = master {
            notes.extend(ports::note(profile_id, network, link, master));
            draft.plan.mac = macs::of(network, link, Some(master), &whole.made, facts);
            draft.plan.mtu = network.mtu;
            // The switch at the other end of the cable speaks to the port.
            draft.plan.clients.lldp = network.lldp;
            draft.hardware();
            whole.links.insert(*id, draft.plan);
            continue;
        }
        let holder = holders.entry(profile_id).or_insert(link);
        let is_holder = std::ptr::eq(*holder, link);
        let has_fixed = !network.addresses.is_empty() || !network.routes.is_empty();
        if has_fixed && !is_holder {
            notes.push(Note {
                owner: Owner::Profile(profile_id.clone()),
                text: format!(
                    "it governs {} too, but its static addresses and routes are on {} alone; give each link a profile of its own",
                    link.name, holder.name
                ),
            });
        }
        if network.forwarding == Some(true) && facts.forwarding6 == Forwarding6::None {
            notes.push(Note {
                owner: Owner::Profile(profile_id.clone()),
                text: format!(
                    "IPv6 is not forwarded from {}: this kernel forwards it for all links or for none, and routers are not listened to then on links that are left to it; \
                     where that is meant: sysctl net.ipv6.conf.all.forwarding=1, then linnet config reload",
                    link.name
                ),
            });
        }
        let review_at = draft.fill(facts, &whole.made, is_holder);
        whole.review_at = [whole.review_at, review_at].into_iter().flatten().min();
        whole.rules.extend(network.rules.iter().cloned());
        if let Some(tunnel) = tunnel.filter(|_| draft.may_default) {
            whole.rules.extend(tunnel.rules());
            tunnels.push(tunnel);
        }
        whole.rules.extend(std::mem::take(&mut draft.rules));
        drafts.push(draft);
    }
    joint::lay(
        &mut drafts,
        &mut whole,
        config,
        (facts, profiles_by_link),
        notes,
    );
    delegate::hand_on(&mut drafts, facts, notes);
    overlap::spread(&mut drafts, facts);
    whole.uplinks = uplink::choose(&mut drafts, config, facts, profiles_by_link);
    let ways_back = ways_back(&whole, &tunnels, facts);
    whole.rules.extend(ways_back);
    notes.extend(gotos::notes(config, &whole, &drafts));
    for draft in drafts {
        whole.links.insert(draft.id, draft.plan);
    }
    ports::raise(&mut whole, facts, profiles_by_link);
    whole
}

/// Answers to who came in by another link leave by that link, though a tunnel takes all addresses: whoever administers the machine
/// from afar is not cut off, and a strict reverse path filter finds the way back that it looks for.
fn ways_back(whole: &LinksPlan, tunnels: &[&WireguardSettings], facts: &Facts) -> Vec<PolicyRule> {
    let mut rules = Vec::new();
    for id in whole.uplinks.metrics().keys() {
        let addresses = facts.links.get(id).into_iter();
        for prefix in addresses.flat_map(|link| &link.addresses) {
            let address = prefix.address;
            let is_taken = |tunnel: &&WireguardSettings| tunnel.takes_all(address.is_ipv6());
            if !is_local(address) && tunnels.iter().any(is_taken) {
                rules.push(WireguardSettings::rule_for(address));
            }
        }
    }
    rules
}

const fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

impl<'a> Draft<'a> {
    fn new(
        id: LinkId,
        link: &'a LinkFacts,
        profile: &ProfileId,
        network: &'a NetworkSettings,
        config: &Config,
        facts: &Facts,
    ) -> Self {
        let plan = LinkPlan {
            name: Arc::clone(&link.name),
            profile: profile.clone(),
            // Whatever speaks to this machine itself hangs on the kernel's own link.
            admin_up: (!link.loopback).then_some(true),
            mtu: None,
            mac: None,
            addresses: BTreeMap::new(),
            routes: BTreeMap::new(),
            switches: BTreeMap::new(),
            clients: Clients::default(),
        };
        Self {
            id,
            link,
            network,
            tunnel: None,
            plan,
            defaults: Vec::new(),
            rules: Vec::new(),
            may_default: config.links.default_route && !link.loopback,
            as_of: facts.as_of,
        }
    }

    /// The metric of routes that do not name one.
    pub(super) fn metric(&self) -> u32 {
        let own = self.network.metric;
        own.map_or_else(|| usual_metric(&self.link.kind), |own| own.min(MAX_METRIC))
    }

    /// The table of routes that do not name one.
    pub(super) fn table(&self) -> u32 {
        self.network.table.unwrap_or(MAIN)
    }

    /// Fills the plan; returns when it is to be made anew.
    fn fill(&mut self, facts: &Facts, made: &[WantedLink], is_holder: bool) -> Option<Instant> {
        if self.link.loopback {
            // Nobody is at the other end who could supply anything, and it never loses its carrier.
            if is_holder {
                self.fixed();
            }
            let is_kernels = |prefix: &Prefix| KERNELS.contains(&prefix.address);
            self.plan.addresses.retain(|prefix, _| !is_kernels(prefix));
            return None;
        }
        self.plan.mac = macs::of(self.network, self.link, None, made, facts);
        self.plan.clients = self.clients(facts);
        let policy = self.network.carrier;
        let fixed = carrier::held(policy.fixed, self.id, facts);
        if is_holder && fixed.is_held() {
            self.fixed();
        }
        let supplied = carrier::held(policy.supplied, self.id, facts);
        if supplied.is_held() {
            supplied::add(self, facts);
        }
        self.mtu();
        self.switches(facts);
        let ends = |held: Held, matters: bool| held.ends_at().filter(|_| matters);
        let network = self.network;
        let is_routed = |tunnel: &WireguardSettings| !tunnel.routes().is_empty();
        let has_routes = !network.routes.is_empty() || self.tunnel.is_some_and(is_routed);
        let has_fixed = has_routes || !network.addresses.is_empty();
        let is_fixed = network.delegated.is_some() || is_holder && has_fixed;
        [ends(fixed, is_fixed), ends(supplied, true)]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the profile itself says.
    fn fixed(&mut self) {
        for address in &self.network.addresses {
            let metric = address.metric.map(|own| own.min(MAX_METRIC));
            let plan = AddressPlan {
                supplier: None,
                preferred_until: (!address.preferred).then_some(Instant::ZERO),
                valid_until: None,
                temporaries: false,
                no_prefix_route: !address.prefix_route,
                metric: metric.unwrap_or_else(|| self.metric()),
                attributes: address.attributes,
                conflicts: address.conflicts,
            };
            self.add_address(address.prefix, plan);
        }
        for route in self.tunnel.into_iter().flat_map(WireguardSettings::routes) {
            self.add_tunnel_route(&route);
        }
        let own = self.network.routes.iter();
        for route in own.filter(|route| !route.names_links()) {
            self.add_fixed_route(route);
        }
    }

    /// Adds a route to what a peer is allowed, unless the tunnel's own address brings it already.
    fn add_tunnel_route(&mut self, route: &Route) {
        let is_within = |prefix: &Prefix| {
            prefix.length < prefix.host_length()
                && prefix.length <= route.to.length
                && prefix.contains(route.to.address)
        };
        if !self.plan.addresses.keys().any(is_within) {
            self.add_fixed_route(route);
        }
    }

    /// Adds an address, and the route for its prefix where the kernel's would be in the wrong table.
    pub(super) fn add_address(&mut self, prefix: Prefix, mut plan: AddressPlan) {
        let network = plan.attributes.network(prefix);
        let has_prefix = prefix.length < prefix.host_length() || plan.attributes.peer.is_some();
        if has_prefix && !plan.no_prefix_route && self.table() != MAIN {
            plan.no_prefix_route = true;
            let route = RoutePlan {
                supplier: plan.supplier,
                kind: RouteKind::Unicast,
                via: Vec::new(),
                on_link: false,
                source: prefix.address.is_ipv4().then_some(prefix.address),
                mtu: None,
                preference: Preference::Medium,
                tuning: RouteTuning::default(),
                valid_until: plan.valid_until,
            };
            self.add_route(network, self.table(), plan.metric, route);
        }
        self.plan.addresses.insert(prefix, plan);
    }

    fn add_fixed_route(&mut self, said: &Route) {
        let own = said.via.iter().map(|hop| HopPlan {
            via: hop.via,
            link: None,
            weight: hop.weight,
        });
        self.add_said_route(said, self.network, own.collect());
    }

    /// Adds a route of a profile's, this link's or another's, by these ways. What it does not say is said by its profile.
    pub(super) fn add_said_route(&mut self, said: &Route, of: &NetworkSettings, via: Vec<HopPlan>) {
        let route = RoutePlan {
            supplier: None,
            kind: said.kind,
            via,
            on_link: said.on_link,
            source: said.source,
            mtu: said.mtu,
            preference: Preference::Medium,
            tuning: said.tuning.clone(),
            valid_until: None,
        };
        let table = said.table.or(of.table).unwrap_or(MAIN);
        if said.to.length == 0 && said.kind == RouteKind::Unicast && said.from.is_none() {
            self.add_default(said.to, table, said.metric, route);
        } else {
            let own = of.metric.map(|own| own.min(MAX_METRIC));
            let metric = said.metric.or(own).unwrap_or_else(|| self.metric());
            let key = RouteKey {
                from: said.from,
                ..key(said.to, table, metric)
            };
            self.plan.routes.insert(key, route);
        }
    }

    /// Adds a default route: it waits for the others' when it is for the main table.
    pub(super) fn add_default(
        &mut self,
        to: Prefix,
        table: u32,
        fixed: Option<u32>,
        route: RoutePlan,
    ) {
        if !self.may_default {
            return;
        }
        if table == MAIN {
            self.defaults.push(Default {
                family: Family::of(to.address),
                fixed,
                to,
                route,
            });
        } else {
            let metric = fixed.unwrap_or_else(|| self.metric());
            self.add_route(to, table, metric, route);
        }
    }

    /// Takes the default routes of a family out, to be given their metrics.
    pub(super) fn take_defaults(&mut self, family: Family) -> Vec<Default> {
        let (its, others) = std::mem::take(&mut self.defaults)
            .into_iter()
            .partition(|default| default.family == family);
        self.defaults = others;
        its
    }

    /// Adds a route behind those to the same place; returns its metric.
    pub(super) fn add_route(
        &mut self,
        to: Prefix,
        table: u32,
        metric: u32,
        route: RoutePlan,
    ) -> u32 {
        let mut key = key(to, table, metric);
        while self.plan.routes.contains_key(&key) && key.metric < u32::MAX {
            key.metric += 1;
        }
        self.plan.routes.insert(key, route);
        key.metric
    }

    /// Whether a neighbour is in a prefix of ours.
    pub(super) fn is_near(&self, neighbour: IpAddr) -> bool {
        if let IpAddr::V6(v6) = neighbour
            && v6.is_unicast_link_local()
        {
            return true;
        }
        let own = self.plan.addresses.iter();
        let own = own.filter(|(prefix, plan)| {
            prefix.length < prefix.host_length() || plan.attributes.peer.is_some()
        });
        let own = own.map(|(prefix, plan)| plan.attributes.network(*prefix));
        let routed = self.plan.routes.iter();
        let routed = routed.filter(|(_, route)| route.via.is_empty());
        own.chain(routed.map(|(key, _)| key.to))
            .any(|prefix| prefix.contains(neighbour))
    }

    fn clients(&self, facts: &Facts) -> Clients {
        let network = self.network;
        let hostname = match &network.hostname {
            HostnameUse::Host => facts.hostname.clone(),
            HostnameUse::Name(name) => Some(Arc::clone(name)),
            HostnameUse::Nothing => None,
        };
        let dhcp4 = network.dhcp4.clone().map(|mut settings| {
            // RFC 7844 §3.7: the name tells who we are.
            settings.hostname = hostname.clone().filter(|_| !settings.anonymous);
            Arc::new(settings)
        });
        let ra = match network.ra {
            RaUse::Own(settings) => Some(settings),
            RaUse::Kernel | RaUse::Off => None,
        };
        let dhcp6 = network.dhcp6.clone().map(|settings| {
            Arc::new(Dhcp6Settings {
                hostname: hostname.clone().filter(|_| !settings.anonymous),
                // Nobody hears what routers say of it.
                when: if ra.is_none() {
                    Dhcp6When::Always
                } else {
                    settings.when
                },
                ..settings
            })
        });
        Clients {
            dhcp4,
            dhcp6,
            ra,
            ipv4ll: self.wants_ipv4ll(facts),
            lldp: self.network.lldp,
        }
    }

    /// Whether an IPv4 link-local address is wanted: a fallback only when DHCP was asked in vain, and never where the network
    /// prefers that there is no IPv4 (RFC 8925 §3.3).
    pub(super) fn wants_ipv4ll(&self, facts: &Facts) -> bool {
        match self.network.ipv4ll {
            Ipv4llMode::Off => false,
            Ipv4llMode::Always => true,
            Ipv4llMode::Fallback => {
                let dhcp = facts.supplies.get(&(self.id, Supplier::Dhcp4));
                self.network.dhcp4.is_none()
                    || dhcp.is_some_and(|supply| {
                        supply.doubted || supply.addresses.is_empty() && !supply.ipv6_only
                    })
            }
        }
    }

    fn mtu(&mut self) {
        if self.network.mtu.is_some() {
            self.plan.mtu = self.network.mtu;
        } else if self.may_have_ipv6() {
            self.plan.mtu = self.plan.mtu.map(|mtu| mtu.max(IPV6_MTU));
        }
    }

    /// Whether the link is to have IPv6.
    fn has_ipv6(&self) -> bool {
        let is_ipv6 = |own: &StaticAddress| own.prefix.address.is_ipv6();
        matches!(self.network.ra, RaUse::Own(_))
            || self.network.dhcp6.is_some()
            || self.network.delegated.is_some()
            || self.network.addresses.iter().any(is_ipv6)
    }

    /// Whether the link is to have IPv6, or may have it from somebody else: the kernel, or whoever has put an address there. A DHCPv4 server has no say
    /// in that.
    fn may_have_ipv6(&self) -> bool {
        self.has_ipv6()
            || matches!(self.network.ra, RaUse::Kernel)
            || self.link.addresses.iter().any(|own| own.address.is_ipv6())
    }

    fn hardware(&mut self) {
        let values = self.network.hardware.values.iter();
        let values = values.map(|(hardware, value)| (Switch::Hardware(*hardware), *value));
        self.plan.switches.extend(values);
    }

    fn switches(&mut self, facts: &Facts) {
        let by_link = facts.forwarding6 == Forwarding6::ByLink;
        self.hardware();
        let has_ipv6 = self.has_ipv6();
        let switches = &mut self.plan.switches;
        match self.network.ra {
            RaUse::Kernel => {}
            RaUse::Off => {
                switches.insert(Switch::AcceptRa, 0);
            }
            RaUse::Own(settings) => {
                switches.insert(Switch::AcceptRa, 0);
                // Where there are no temporary addresses nothing reads the switch.
                match settings.privacy {
                    Privacy::Off => {}
                    Privacy::Available => {
                        switches.insert(Switch::UseTempaddr, 1);
                    }
                    Privacy::Preferred => {
                        switches.insert(Switch::UseTempaddr, 2);
                    }
                }
            }
        }
        if has_ipv6 {
            switches.insert(Switch::DisableIpv6, 0);
        }
        // Other managers make link-local addresses themselves and have the kernel make none; without one nobody hears us.
        let speaks = matches!(self.network.ra, RaUse::Own(_)) || self.network.dhcp6.is_some();
        if speaks && self.link.mac.is_some() {
            switches.insert(Switch::LinkLocal6, 0);
        }
        if let Some(forwards) = self.network.forwarding {
            switches.insert(Switch::Forwarding4, i32::from(forwards));
            switches.insert(Switch::Forwarding6, i32::from(forwards));
            if by_link {
                switches.insert(Switch::ForceForwarding6, i32::from(forwards));
            }
        }
        // When the kernel ends an address it takes away those of others with it that came after, of the same prefix.
        let mut addresses = self.plan.addresses.iter();
        if addresses.any(|(prefix, it)| prefix.address.is_ipv4() && it.valid_until.is_some()) {
            switches.insert(Switch::Promote4, 1);
        }
    }

    /// Whether supplied default routes are taken.
    pub(super) fn takes_defaults(&self) -> bool {
        self.network.default_route == DefaultRouteUse::Auto
    }
}

/// Makes a key as the kernel keeps it.
pub(super) fn key(to: Prefix, table: u32, metric: u32) -> RouteKey {
    let metric = match to.address {
        IpAddr::V6(_) if metric == 0 => IPV6_METRIC,
        IpAddr::V4(_) | IpAddr::V6(_) => metric,
    };
    RouteKey {
        table,
        to: to.network(),
        metric,
        from: None,
    }
}

/// The rules of a set of drafts are theirs together; two profiles may want the same.
pub(super) type Taken = BTreeSet<(Prefix, u32)>;
