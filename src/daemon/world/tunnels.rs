//! Where are the other ends of tunnels? Names of endpoints are asked below their tunnels, and the kernel is told.
//!
//! ```text
//! order done -> follow -> names -> resolver, below the tunnel -> addresses -> task: tell
//!      look  <- silent?         <- readings <- task: look
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use config::model::{EndpointHost, WireguardSettings};
use config::name::DomainName;
use config::time::Instant;
use linkmgr::kinds::wireguard::endpoints::{Endpoints, Lookup, PeerId};
use linnet::api::PeerStatus;
use policy::facts::{Family, NetworkId};
use policy::{LinkFacts, LinkId, ScopeId};
use resolver::record::parse_reply;
use resolver::wire::{Question, build_query, class, rtype};
use resolver::{Answer, Below, Channel, ClientId, ClientQuery, Stub};

use super::{Effect, World};
use crate::making::{Readings, Task};

/// The message id of these questions; nobody else sees them.
const MESSAGE_ID: u16 = 0;

/// The tunnels that are followed, and the questions for their endpoints.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    endpoints: Endpoints,
    followed: BTreeSet<Arc<str>>,
    asked_by_client: BTreeMap<ClientId, (PeerId, Question)>,
    /// What has come of the questions for a peer's name so far.
    found_by_peer: BTreeMap<PeerId, Vec<IpAddr>>,
    answers: Vec<Answer>,
    /// By which way each name went when it was asked last.
    ways: BTreeMap<PeerId, Way>,
    readings: BTreeMap<Arc<str>, Readings>,
}

/// The networks on which it hangs where a name is asked, and by which link its addresses are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    scope: Option<(ScopeId, Option<NetworkId>)>,
    uplinks: [Option<(LinkId, Option<NetworkId>)>; 2],
}

impl Tunnels {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.endpoints.poll_timeout().map(|(at, _)| at)
    }

    /// Whether an answer is for one of these questions.
    pub(super) fn takes(&mut self, answer: &Answer) -> bool {
        let is_mine = self.asked_by_client.contains_key(&answer.client);
        if is_mine {
            self.answers.push(answer.clone());
        }
        is_mine
    }
}

impl World {
    /// Follows the endpoints of tunnels that are as they should be, and of no others.
    pub(super) fn follow_tunnels(&mut self, tunnels: &BTreeMap<Arc<str>, Readings>, now: Instant) {
        let gone = self.tunnels.followed.iter();
        let gone: Vec<Arc<str>> = gone
            .filter(|link| !tunnels.contains_key(*link))
            .cloned()
            .collect();
        for link in gone {
            self.tunnels.endpoints.follow(&link, None);
            self.tunnels.followed.remove(&link);
            self.tunnels.readings.remove(&link);
        }
        for (link, readings) in tunnels {
            let settings = self.tunnel(link).cloned();
            self.tunnels.endpoints.follow(link, settings.as_deref());
            self.tunnels.followed.insert(Arc::clone(link));
            self.handle_looked(link, readings, now);
        }
        let peers: BTreeSet<PeerId> = self
            .tunnels
            .endpoints
            .names()
            .map(|it| it.0.clone())
            .collect();
        self.tunnels.ways.retain(|peer, _| peers.contains(peer));
        self.tunnels
            .found_by_peer
            .retain(|peer, _| peers.contains(peer));
    }

    /// Takes what the kernel tells of a tunnel's peers.
    pub(super) fn handle_looked(&mut self, link: &Arc<str>, readings: &Readings, now: Instant) {
        let wall = Duration::from_secs(self.linking.wall(now).0);
        let endpoints = &mut self.tunnels.endpoints;
        endpoints.handle_reading(link, readings, wall, now);
        let held = self.tunnels.readings.entry(Arc::clone(link)).or_default();
        held.clone_from(readings);
    }

    pub(super) fn handle_tunnel_timeout(&mut self, now: Instant) {
        let due = self.tunnels.poll_timeout();
        if due.is_some_and(|at| at <= now) {
            self.tunnels.endpoints.handle_timeout(now);
        }
    }

    /// Takes all that the tunnels have to say.
    pub(super) fn drive_tunnels(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.tunnels.followed.is_empty() {
            return;
        }
        self.note_ways();
        while let Some(lookup) = self.tunnels.endpoints.poll_lookup() {
            self.ask_endpoint(&lookup, now);
        }
        while let Some(link) = self.tunnels.endpoints.poll_reading() {
            effects.push(Effect::Make(Task::Look(link)));
        }
        while let Some((peer, endpoint)) = self.tunnels.endpoints.poll_endpoint() {
            let link = &peer.0;
            tracing::info!(%link, "a peer's endpoint is told to the kernel");
            tracing::debug!(%link, peer = %peer.1, %endpoint);
            let readings = self.tunnels.readings.entry(Arc::clone(link)).or_default();
            readings.entry(peer.1).or_default().endpoint = Some(endpoint);
            effects.push(Effect::Make(Task::Tell(peer, endpoint)));
        }
    }

    /// Takes the answers that have come.
    pub(super) fn settle_endpoints(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.tunnels.answers.is_empty() {
            return;
        }
        for answer in std::mem::take(&mut self.tunnels.answers) {
            let asked = self.tunnels.asked_by_client.remove(&answer.client);
            let Some((peer, question)) = asked else {
                continue;
            };
            let reply = parse_reply(&answer.wire, MESSAGE_ID, &question).ok();
            let records = reply.into_iter().flat_map(|reply| reply.answers);
            let addresses = records.filter_map(|it| address(it.record_type, &it.rdata));
            let found = self.tunnels.found_by_peer.entry(peer.clone()).or_default();
            found.extend(addresses);
            let mut others = self.tunnels.asked_by_client.values();
            if others.any(|(other, _)| *other == peer) {
                continue;
            }
            let mut found = self.tunnels.found_by_peer.remove(&peer).unwrap_or_default();
            // What there is a way to comes first, and IPv6 of equals (RFC 6724 §6, rules 1 and 6).
            found.sort_by_key(|address| (!self.is_reached(*address, &peer.0), address.is_ipv4()));
            let endpoints = &mut self.tunnels.endpoints;
            endpoints.handle_addresses(&peer, &found, now);
        }
        self.drive_tunnels(now, effects);
    }

    /// Tells how the peers of a link do.
    pub(super) fn peers(&self, link: &str, now: Instant) -> Vec<PeerStatus> {
        let Some(settings) = self.tunnel(link) else {
            return Vec::new();
        };
        let readings = self.tunnels.readings.get(link);
        let peers = settings.peers.iter();
        peers
            .map(|(key, peer)| {
                let id: PeerId = (link.into(), *key);
                let reading = readings.and_then(|readings| readings.get(key));
                let endpoint = reading.and_then(|reading| reading.endpoint);
                let name = peer.endpoint.as_ref().and_then(|at| match &at.host {
                    EndpointHost::Name(name) => Some(name.to_string()),
                    EndpointHost::Address(_) => None,
                });
                PeerStatus {
                    public_key: key.to_string(),
                    name,
                    endpoint: endpoint.map(|endpoint| endpoint.to_string()),
                    state: self.tunnels.endpoints.condition(&id, now),
                }
            })
            .collect()
    }

    /// Says for which tunnels a name is asked below them, and where.
    pub(super) fn explain_endpoint(&self, name: &DomainName) -> Option<String> {
        let endpoints = &self.tunnels.endpoints;
        let links: BTreeSet<&Arc<str>> = endpoints
            .names()
            .filter(|(_, named)| *named == name)
            .map(|(peer, _)| &peer.0)
            .collect();
        let texts: Vec<String> = links
            .into_iter()
            .map(|link| {
                let route = self.plan.dns.domains.route_below(name, link);
                match route.target {
                    policy::Target::Ask(scope) => {
                        format!("the way to {link} begins there: for its sake it is asked in scope {scope}, as if {link} took no names")
                    }
                    policy::Target::Refuse(_) => {
                        format!("the way to {link} begins there, and for its sake it can be asked nowhere")
                    }
                }
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    fn tunnel(&self, link: &str) -> Option<&Arc<WireguardSettings>> {
        let mut made = self.plan.links.made.iter();
        let made = made.find(|made| *made.link.name == *link)?;
        made.link.wireguard.as_ref()
    }

    /// Asks anew for all names when one of them, or the packets to where it leads, would go another way.
    fn note_ways(&mut self) {
        let (plan, facts) = (&self.plan, &self.facts);
        let network = |id: LinkId| facts.links.get(&id).and_then(LinkFacts::network);
        let uplinks = [&plan.links.uplinks.v4, &plan.links.uplinks.v6];
        let uplinks = uplinks.map(|uplink| uplink.as_ref().map(|it| (it.link, network(it.link))));
        let names = self.tunnels.endpoints.names();
        let ways = names.map(|(peer, name)| {
            let route = plan.dns.domains.route_below(name, &peer.0);
            let scope = match route.target {
                policy::Target::Ask(scope) => Some(scope),
                policy::Target::Refuse(_) => None,
            };
            let scope = scope.map(|scope| {
                let planned = plan.dns.scopes.get(&scope);
                let network = planned.and_then(|planned| planned.network.clone());
                (scope, network)
            });
            let way = Way {
                scope,
                uplinks: uplinks.clone(),
            };
            (peer.clone(), way)
        });
        let ways: BTreeMap<PeerId, Way> = ways.collect();
        let before = &self.tunnels.ways;
        let is_other = |(peer, way): (&PeerId, &Way)| before.get(peer).is_some_and(|it| it != way);
        if ways.iter().any(is_other) {
            self.tunnels.endpoints.handle_networks_changed();
        }
        self.tunnels.ways = ways;
    }

    fn ask_endpoint(&mut self, lookup: &Lookup, now: Instant) {
        let Lookup { peer, name, except } = lookup;
        let mark = self.tunnel(except).map_or(0, |it| it.mark_in_force());
        // What was asked before is asked in vain.
        let asked = &mut self.tunnels.asked_by_client;
        asked.retain(|_, (other, _)| other != peer);
        self.tunnels.found_by_peer.remove(peer);
        for record_type in [rtype::A, rtype::AAAA] {
            let client = self.next_client();
            let question = Question {
                name: name.clone(),
                record_type,
                class: class::IN,
            };
            let wire = build_query(&question, MESSAGE_ID, false, false);
            let asked = &mut self.tunnels.asked_by_client;
            asked.insert(client, (peer.clone(), question));
            let query = ClientQuery {
                client,
                stub: Stub::Main,
                channel: Channel::Tcp,
                origin: None,
                wire: &wire,
            };
            let below = Below {
                link: Arc::clone(except),
                mark,
            };
            self.resolver.handle_query_below(query, below, now);
        }
    }

    /// Whether there is a way to an address beside a tunnel.
    fn is_reached(&self, address: IpAddr, but: &str) -> bool {
        let uplinks = &self.plan.links.uplinks;
        let uplink = match Family::of(address) {
            Family::Ipv4 => &uplinks.v4,
            Family::Ipv6 => &uplinks.v6,
        };
        let mut links = self.facts.links.values().filter(|link| *link.name != *but);
        let is_near = |link: &LinkFacts| link.addresses.iter().any(|it| it.contains(address));
        uplink.is_some() || links.any(is_near)
    }
}

/// Reads the address of a record.
fn address(record_type: u16, data: &[u8]) -> Option<IpAddr> {
    match record_type {
        rtype::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        rtype::AAAA => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
        _ => None,
    }
}
