//! Which clients run on one link? [`OnLink`]: starts and stops them, and translates between them and the set.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use config::matcher::Mac;
use config::model::{Dhcp4Settings, Dhcp6Settings, DuidUse, Identity, RaSettings};
use config::time::Instant;
use policy::facts::Supplier;
use policy::links::Clients;

use super::memory::Memory;
use super::said::Said;
use super::slot::{Slot, renew};
use super::wanted::Wanted;
use super::{Heard, Machine, NOBODY, Port, Report, Traits, Transmit, WantedPort};
use crate::dhcp4::{ArpFilter, Clocks, Received};
use crate::dhcp6::Duid;
use crate::former::Former;
use crate::watches::Watches;
use crate::{dhcp4, dhcp6, ipv4ll, lldp, ra};

/// How often routers and DHCPv6 hear of each other before the link's next turn: what one changes is heard of by the other, and
/// whatever that changes once more.
const ROUNDS: u32 = 4;

/// The clients of one link.
#[derive(Debug, Default)]
pub(super) struct OnLink {
    pub(super) traits: Option<Traits>,
    dhcp4: Slot<dhcp4::Client, (Arc<Dhcp4Settings>, Option<Mac>)>,
    pub(super) ra: Slot<ra::Client, (RaSettings, Option<Mac>)>,
    pub(super) dhcp6: Slot<dhcp6::Client, (Arc<Dhcp6Settings>, Option<Mac>)>,
    ipv4ll: Slot<ipv4ll::Client, Mac>,
    lldp: Option<lldp::Neighbours>,
    pub(super) watches: Option<Watches>,
    /// What was wanted last.
    pub(super) wanted: Wanted,
}

/// What a client begins with.
#[derive(Debug)]
pub(super) struct Beginning<'a> {
    pub(super) machine: &'a Machine,
    pub(super) memory: &'a Memory,
    pub(super) clocks: &'a Clocks,
    /// What another client has left on the link, when it is not remembered as our own.
    pub(super) former: Option<&'a Former>,
    pub(super) seed: u64,
}

impl OnLink {
    /// Whether the client of this supplier runs.
    pub(super) const fn runs(&self, supplier: Supplier) -> bool {
        match supplier {
            Supplier::Dhcp4 => self.dhcp4.is_some(),
            Supplier::Dhcp6 => self.dhcp6.is_some(),
            Supplier::Ra => self.ra.is_some(),
            Supplier::Ipv4ll => self.ipv4ll.is_some(),
        }
    }

    /// Whether the client of this supplier runs, and supplies anything.
    pub(super) fn supplies(&self, supplier: Supplier) -> bool {
        let dhcp4 = self.dhcp4.as_ref().map(|running| &running.client);
        let ra = self.ra.as_ref().map(|running| &running.client);
        let dhcp6 = self.dhcp6.as_ref().map(|running| &running.client);
        let ipv4ll = self.ipv4ll.as_ref().map(|running| &running.client);
        match supplier {
            Supplier::Dhcp4 => dhcp4.is_some_and(|client| client.supply().is_some()),
            Supplier::Dhcp6 => dhcp6.is_some_and(|client| client.supply().is_some()),
            Supplier::Ra => ra.is_some_and(|client| client.supply().is_some()),
            Supplier::Ipv4ll => ipv4ll.is_some_and(ipv4ll::Client::supplies),
        }
    }

    /// Whether the link has a carrier.
    pub(super) fn is_up(&self) -> bool {
        self.traits.as_ref().is_some_and(|traits| traits.up)
    }

    /// Whether [`Self::adjust`] would change nothing.
    pub(super) fn is_adjusted(&self, wanted: &Wanted, traits: &Traits) -> bool {
        self.wanted == *wanted && self.traits.as_ref() == Some(traits)
    }

    /// Starts and stops clients, and tells those that run how the link is.
    pub(super) fn adjust(
        &mut self,
        wanted: &Wanted,
        traits: &Traits,
        beginning: &Beginning<'_>,
        now: Instant,
    ) {
        self.wanted.clone_from(wanted);
        let old = self.traits.replace(traits.clone());
        let was_up = old.as_ref().is_some_and(|old| old.up);
        let link_local = |old: &Option<Traits>| old.as_ref().and_then(|old| old.link_local);
        self.watch(beginning.seed, now);
        let ran = (self.ra.is_some(), self.dhcp6.is_some());
        let begun = self.begin(&wanted.clients, traits, beginning, now);
        if begun.ra || begun.dhcp6 || ran != (self.ra.is_some(), self.dhcp6.is_some()) {
            self.introduce(now);
        }
        if let Some(dhcp4) = &mut self.dhcp4
            && (begun.dhcp4 || was_up != traits.up)
        {
            dhcp4.client.handle_carrier(traits.up, now);
        }
        if let Some(ipv4ll) = &mut self.ipv4ll {
            ipv4ll.client.handle_carrier(traits.up, now);
        }
        if !wanted.clients.lldp {
            self.lldp = None;
        } else if let Some(lldp) = &mut self.lldp {
            // Whoever is there says so again.
            let _gone = !traits.up && lldp.clear();
        } else {
            self.lldp = Some(lldp::Neighbours::default());
        }
        let is_back = traits.up && !was_up && old.is_some();
        let moved = link_local(&old) != traits.link_local;
        if let Some(ra) = &mut self.ra {
            if begun.ra || moved {
                ra.client.handle_link_local(traits.link_local, now);
            }
            if !traits.up && (was_up || begun.ra) {
                ra.client.handle_detach(now);
            }
            if is_back && !begun.ra {
                ra.client.handle_reattach(now);
            }
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            if begun.dhcp6 || moved {
                dhcp6.client.handle_link_local(traits.link_local, now);
            }
            if !traits.up && (was_up || begun.dhcp6) {
                dhcp6.client.handle_detach(now);
            }
            if is_back && !begun.dhcp6 {
                dhcp6.client.handle_reattach(now);
            }
            let addresses = |traits: &Traits| traits.addresses.clone();
            if begun.dhcp6 || old.as_ref().map(addresses).as_ref() != Some(&traits.addresses) {
                dhcp6.client.handle_addresses(&traits.addresses, now);
            }
        }
    }

    fn begin(
        &mut self,
        wanted: &Clients,
        traits: &Traits,
        beginning: &Beginning<'_>,
        now: Instant,
    ) -> Begun {
        let Beginning {
            machine,
            memory,
            clocks,
            former,
            seed,
        } = *beginning;
        let mut begun = Begun::default();
        let (by_name, mac) = (dhcp6::iaid(&traits.name), traits.mac);
        let kept = memory.identity(&traits.name, mac);
        let kept6 = kept.and_then(|kept| kept.dhcp6.as_ref());
        let identity = |identity: &Identity| {
            let duid = match &identity.duid {
                DuidUse::Kept => kept6.and_then(|(duid, _)| Duid::from_octets(duid)),
                DuidUse::MachineId => None,
                DuidUse::Mac => mac.map(Duid::from_mac),
                DuidUse::Octets(octets) => Duid::from_octets(octets),
            };
            let duid = duid.unwrap_or_else(|| machine.duid.clone());
            // It was one of both.
            let kept = kept6.filter(|_| identity.duid == DuidUse::Kept);
            let iaid = identity.iaid.or_else(|| kept.map(|(_, iaid)| *iaid));
            (duid, iaid.unwrap_or(by_name))
        };
        let former4 = former.and_then(|former| former.dhcp4.as_ref());
        // A link without a hardware address of six octets has no DHCPv4.
        let dhcp4 = wanted.dhcp4.clone().filter(|_| traits.mac.is_some());
        let dhcp4 = dhcp4.map(|settings| (settings, traits.mac));
        renew(&mut self.dhcp4, dhcp4, |(settings, mac)| {
            begun.dhcp4 = true;
            let mac = mac.unwrap_or(NOBODY);
            let (duid, iaid) = identity(&settings.identity);
            let setup = dhcp4::Setup {
                settings: Arc::clone(settings),
                mac,
                permanent_mac: traits.permanent_mac.unwrap_or(mac),
                kind: Arc::clone(&traits.kind),
                duid: duid.octets().into(),
                iaid,
                addresses: traits.ipv4.clone(),
                former_id: kept.and_then(|kept| kept.client_id.clone()),
                stable: machine.secret.identifier(&traits.name),
                wish: former4.map(|it| it.address).or(traits.lent4),
                seed,
            };
            // Another client has had the link since: what it has now is in use.
            let leases = match former4 {
                Some(_) => Vec::new(),
                None => memory.leases(mac, clocks),
            };
            dhcp4::Client::new(setup, leases, now)
        });
        let ipv4ll = traits.mac.filter(|_| wanted.ipv4ll);
        let new = |mac: &Mac| ipv4ll::Client::new(*mac, seed ^ 3);
        renew(&mut self.ipv4ll, ipv4ll, new);
        let ra = wanted.ra.map(|settings| (settings, traits.mac));
        renew(&mut self.ra, ra, |(settings, mac)| {
            begun.ra = true;
            let setup = ra::Setup {
                settings: *settings,
                link: Arc::clone(&traits.name),
                mac: *mac,
                secret: machine.secret,
                network: Arc::new([]),
                addresses: former.map(|it| it.made.clone()).unwrap_or_default(),
                seed: seed ^ 1,
                remembered: memory.ra(&traits.name, clocks),
            };
            ra::Client::new(setup, now)
        });
        // With another hardware address it is another client where its DUID is that.
        let by_mac =
            |settings: &Dhcp6Settings| settings.anonymous || settings.identity.duid == DuidUse::Mac;
        let dhcp6 = wanted.dhcp6.clone().map(|settings| {
            let mac = traits.mac.filter(|_| by_mac(&settings));
            (settings, mac)
        });
        renew(&mut self.dhcp6, dhcp6, |(settings, _)| {
            begun.dhcp6 = true;
            let (duid, iaid) = match settings.anonymous {
                // RFC 7844 §4.3: what everybody can see anyway; without it, one that nobody has seen.
                true => (
                    mac.map_or_else(|| Duid::from_seed(seed), Duid::from_mac),
                    by_name,
                ),
                false => identity(&settings.identity),
            };
            let setup = dhcp6::Setup {
                settings: Arc::clone(settings),
                link: Arc::clone(&traits.name),
                duid,
                iaid,
                seed: seed ^ 2,
                remembered: memory.dhcp6(&traits.name, clocks),
            };
            dhcp6::Client::new(setup, now)
        });
        begun
    }

    pub(super) fn handle_heard(&mut self, heard: &Heard, now: Instant) {
        let octets = &heard.octets;
        match (heard.port, heard.from) {
            (Port::Packet, _) => self.dhcp4(|client| {
                client.handle_packet(octets, Received::Packet(heard.checksum), now);
            }),
            (Port::Arp, _) => {
                self.dhcp4(|client| client.handle_packet(octets, Received::Arp, now));
                if let Some(ipv4ll) = &mut self.ipv4ll {
                    ipv4ll.client.handle_packet(octets, now);
                }
                if let Some(watches) = &mut self.watches {
                    watches.handle_packet(octets, now);
                }
            }
            (Port::Dhcp4(_), IpAddr::V4(from)) => {
                self.dhcp4(|client| client.handle_packet(octets, Received::Udp(from), now));
            }
            (Port::Icmp6, IpAddr::V6(from)) => {
                if let Some(ra) = &mut self.ra {
                    ra.client.handle_packet(octets, from, heard.hop_limit, now);
                }
            }
            (Port::Dhcp6, IpAddr::V6(from)) => {
                if let Some(dhcp6) = &mut self.dhcp6 {
                    dhcp6.client.handle_packet(octets, from, now);
                }
            }
            (Port::Lldp, _) => {
                if let Some(lldp) = &mut self.lldp {
                    let _is_new = lldp.handle_packet(octets, now);
                }
            }
            (Port::Dhcp4(_), IpAddr::V6(_)) | (Port::Icmp6 | Port::Dhcp6, IpAddr::V4(_)) => {}
        }
    }

    fn dhcp4(&mut self, act: impl FnOnce(&mut dhcp4::Client)) {
        if let Some(dhcp4) = &mut self.dhcp4 {
            act(&mut dhcp4.client);
        }
    }

    pub(super) fn handle_dad_failed(&mut self, address: Ipv6Addr, now: Instant) {
        if let Some(ra) = &mut self.ra {
            ra.client.handle_dad_failed(address, now);
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            dhcp6.client.handle_dad_failed(address, now);
        }
    }

    pub(super) fn handle_neighbour(
        &mut self,
        neighbour: Ipv6Addr,
        reachability: ra::Reachability,
        now: Instant,
    ) {
        if let Some(ra) = &mut self.ra {
            ra.client.handle_neighbour(neighbour, reachability, now);
        }
    }

    pub(super) fn handle_resume(&mut self, now: Instant) {
        if self.traits.as_ref().is_none_or(|traits| !traits.up) {
            return;
        }
        self.dhcp4(|client| client.handle_resume(now));
        if let Some(ipv4ll) = &mut self.ipv4ll {
            ipv4ll.client.handle_resume(now);
        }
        if let Some(watches) = &mut self.watches {
            watches.handle_resume(now);
        }
        if let Some(ra) = &mut self.ra {
            ra.client.handle_reattach(now);
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            dhcp6.client.handle_reattach(now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.dhcp4(|client| client.handle_timeout(now));
        if let Some(watches) = &mut self.watches {
            watches.handle_timeout(now);
        }
        if let Some(ipv4ll) = &mut self.ipv4ll {
            ipv4ll.client.handle_timeout(now);
        }
        if let Some(lldp) = &mut self.lldp {
            let _is_gone = lldp.handle_timeout(now);
        }
        if let Some(ra) = &mut self.ra {
            ra.client.handle_timeout(now);
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            dhcp6.client.handle_timeout(now);
        }
    }

    pub(super) fn renew(&mut self, now: Instant) {
        self.dhcp4(|client| client.renew(now));
        if let Some(ra) = &mut self.ra {
            ra.client.handle_renew(now);
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            dhcp6.client.handle_renew(now);
        }
    }

    pub(super) fn release(&mut self, now: Instant) {
        self.dhcp4(|client| client.release(now));
        if let Some(dhcp6) = &mut self.dhcp6 {
            dhcp6.client.handle_release(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let dhcp4 = self.dhcp4.as_ref();
        let ra = self.ra.as_ref();
        let dhcp6 = self.dhcp6.as_ref();
        let ipv4ll = self.ipv4ll.as_ref();
        let due = [
            ipv4ll.and_then(|running| running.client.poll_timeout()),
            self.watches.as_ref().and_then(Watches::poll_timeout),
            self.lldp.as_ref().and_then(lldp::Neighbours::poll_timeout),
            dhcp4.and_then(|running| running.client.poll_timeout()),
            ra.and_then(|running| running.client.poll_timeout()),
            dhcp6.and_then(|running| running.client.poll_timeout()),
        ];
        due.into_iter().flatten().min()
    }

    pub(super) fn report(&self, now: Instant) -> Report {
        let dhcp4 = self.dhcp4.as_ref();
        let ra = self.ra.as_ref();
        let dhcp6 = self.dhcp6.as_ref();
        let lldp = self.lldp.iter();
        Report {
            dhcp4: dhcp4.map(|running| running.client.status()),
            lacks_mac: self.wanted.clients.dhcp4.is_some() && dhcp4.is_none(),
            ra: ra.map(|running| running.client.report(now)),
            dhcp6: dhcp6.map(|running| running.client.report(now)),
            ipv4ll: self
                .ipv4ll
                .as_ref()
                .and_then(|running| running.client.address()),
            lldp: lldp.flat_map(lldp::Neighbours::iter).cloned().collect(),
        }
    }

    /// Returns which ports should be open.
    pub(super) fn ports(&self, index: u32) -> Vec<WantedPort> {
        let mac = self.traits.as_ref().and_then(|traits| traits.mac);
        let is_up = self.traits.as_ref().is_some_and(|traits| traits.up);
        let mut ports = Vec::new();
        let mut want = |port, arp| {
            ports.push(WantedPort {
                index,
                port,
                arp,
                mac,
            });
        };
        if let Some(arp) = self.arp() {
            want(Port::Arp, Some(arp));
        }
        if let Some(dhcp4) = &self.dhcp4 {
            let sockets = dhcp4.client.sockets();
            if sockets.packet {
                want(Port::Packet, None);
            }
            if let Some(address) = sockets.udp {
                want(Port::Dhcp4(address), None);
            }
        }
        if self.ra.is_some() && is_up {
            want(Port::Icmp6, None);
        }
        if self.dhcp6.is_some() && is_up {
            want(Port::Dhcp6, None);
        }
        if self.lldp.is_some() && is_up {
            want(Port::Lldp, None);
        }
        ports
    }

    /// Returns what of ARP is to be heard, for all that listen to it.
    fn arp(&self) -> Option<ArpFilter> {
        let dhcp4 = self.dhcp4.as_ref();
        let dhcp4 = dhcp4.and_then(|running| running.client.sockets().arp);
        let ipv4ll = self.ipv4ll.as_ref().and_then(|running| {
            let address = running.client.address()?;
            Some(match running.client.is_probing() {
                true => ArpFilter::All,
                false => ArpFilter::conflicts(address),
            })
        });
        let watches = self.watches.as_ref().and_then(Watches::arp);
        let all = [dhcp4, ipv4ll, watches].into_iter().flatten();
        all.reduce(ArpFilter::and)
    }

    /// Takes what the clients have to say.
    pub(super) fn gather(&mut self, index: u32, now: Instant) -> Said {
        let mut said = Said::default();
        let Some(traits) = &self.traits else {
            return said;
        };
        let name = Arc::clone(&traits.name);
        // What one of the two says may change what the other has to say.
        for _ in 0..ROUNDS {
            let is_quiet =
                !self.take_ra(&name, &mut said, now) & !self.take_dhcp6(&name, &mut said, now);
            if is_quiet {
                break;
            }
        }
        let Some(traits) = &self.traits else {
            return said;
        };
        if let Some(dhcp6) = &mut self.dhcp6 {
            while let Some(transmit) = dhcp6.client.poll_transmit() {
                said.transmits.push(Transmit {
                    index,
                    port: Port::Dhcp6,
                    neighbour: NOBODY,
                    to: transmit.to.into(),
                    from: transmit.from,
                    octets: transmit.octets,
                });
            }
        }
        if let Some(ra) = &mut self.ra {
            while let Some(transmit) = ra.client.poll_transmit() {
                said.transmits.push(Transmit {
                    index,
                    port: Port::Icmp6,
                    neighbour: NOBODY,
                    to: transmit.to.into(),
                    from: None,
                    octets: transmit.octets,
                });
            }
        }
        if let Some(dhcp4) = &mut self.dhcp4 {
            said.take_dhcp4(&mut dhcp4.client, traits, index);
        }
        if let Some(ipv4ll) = &mut self.ipv4ll {
            said.take_ipv4ll(&mut ipv4ll.client, traits, index);
        }
        if let Some(watches) = &mut self.watches {
            said.take_watches(watches, traits, index);
        }
        said
    }
}

/// Which clients have just begun.
#[derive(Debug, Default)]
struct Begun {
    dhcp4: bool,
    ra: bool,
    dhcp6: bool,
}
