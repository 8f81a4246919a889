//! A host whose only program is the DHCPv4 client: the real core on real sockets, its supplies applied by `ip`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::Dhcp4Settings;
use config::time::{Instant, WallTime};
use linkmgr::clients::{Port, PortChanges, Transmit, WantedPort};
use linkmgr::dhcp4::{
    Client, Clocks, Event, Leases, Received, Setup, Socket, Sockets, StateName, Trouble,
};
use linkmgr_io::Ports;
use policy::facts::Supply;
use tests::namespace::shell;

/// How long anything may take; a wait after a conflict is ten seconds.
const PATIENCE: Duration = Duration::from_secs(25);

/// The host.
pub(crate) struct Host {
    runtime: tokio::runtime::Runtime,
    ports: Ports,
    pub(crate) client: Client,
    pub(crate) leases: Leases,
    link: &'static str,
    index: u32,
    mac: Mac,
    begun: std::time::Instant,
    sockets: Sockets,
    open: Vec<(u32, Port)>,
    pub(crate) supply: Option<Supply>,
    pub(crate) troubles: Vec<Trouble>,
    /// States in their order, each once.
    pub(crate) states: Vec<StateName>,
    /// Whether supplies reach the kernel.
    pub(crate) applies: bool,
}

impl Host {
    /// Makes a client for a link that is down, with what another one has kept.
    pub(crate) fn new(link: &'static str, settings: Dhcp4Settings, leases: Leases) -> Self {
        let number = |file: &str| shell(&format!("cat /sys/class/net/{link}/{file}"));
        let index = number("ifindex").trim().parse().unwrap();
        let mac: Mac = number("address").trim().parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let ports = {
            let _inside = runtime.enter();
            Ports::new().unwrap()
        };
        let setup = Setup {
            settings: Arc::new(settings),
            mac,
            permanent_mac: mac,
            kind: "ethernet".into(),
            duid: Arc::new([0, 4, 1, 2, 3, 4]),
            addresses: Vec::new(),
            former_id: None,
            stable: [7; 16],
            wish: None,
            iaid: index,
            seed: u64::from(std::process::id()),
        };
        let now = Instant::from_nanos(1_000_000_000_000);
        let candidates = leases.candidates(mac, &clocks(now));
        let client = Client::new(setup, candidates, now);
        Self {
            runtime,
            ports,
            states: vec![client.status().state],
            client,
            leases,
            link,
            index,
            mac,
            begun: std::time::Instant::now(),
            sockets: Sockets::default(),
            open: Vec::new(),
            supply: None,
            troubles: Vec::new(),
            applies: true,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(1_000_000_000_000) + self.begun.elapsed()
    }

    /// The link gets or loses its carrier, as its client hears.
    pub(crate) fn carrier(&mut self, has_carrier: bool) {
        self.client.handle_carrier(has_carrier, self.now());
        self.settle();
    }

    pub(crate) fn state(&self) -> StateName {
        self.client.status().state
    }

    /// The address that is supplied.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        let supply = self.supply.as_ref()?;
        match supply.addresses.first()?.prefix.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    /// Lets the client live until a condition holds; returns how long that took.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let begun = std::time::Instant::now();
        self.settle();
        while !holds(self) {
            assert!(
                begun.elapsed() < PATIENCE,
                "after {PATIENCE:?} still not: {what}; {:?} {:?} {:?}",
                self.client.status(),
                self.states,
                self.troubles
            );
            self.step(Duration::from_millis(50));
        }
        begun.elapsed()
    }

    /// Lets the client live for a while.
    pub(crate) fn live(&mut self, time: Duration) {
        let begun = std::time::Instant::now();
        while begun.elapsed() < time {
            self.step(time.saturating_sub(begun.elapsed()));
        }
    }

    fn step(&mut self, at_most: Duration) {
        let due_in = self
            .client
            .poll_timeout()
            .map(|due_at| due_at.since(self.now()));
        let wait = due_in.unwrap_or(at_most).min(at_most);
        let ports = &self.ports;
        let heard = self
            .runtime
            .block_on(async { tokio::time::timeout(wait, ports.next()).await });
        for heard in heard.unwrap_or_default() {
            let received = match (heard.port, heard.from) {
                (Port::Packet, _) => Received::Packet(heard.checksum),
                (Port::Arp, _) => Received::Arp,
                (Port::Dhcp4(_), IpAddr::V4(from)) => Received::Udp(from),
                (Port::Dhcp4(_) | Port::Icmp6 | Port::Dhcp6 | Port::Lldp, _) => continue,
            };
            self.client
                .handle_packet(&heard.octets, received, self.now());
            self.settle();
        }
        self.client.handle_timeout(self.now());
        self.settle();
    }

    /// Does what the client wants, in the order that it wants.
    pub(crate) fn settle(&mut self) {
        let state = self.state();
        if self.states.last() != Some(&state) {
            self.states.push(state);
        }
        self.open();
        while let Some(transmit) = self.client.poll_transmit() {
            let port = match transmit.by {
                Socket::Packet => Port::Packet,
                Socket::Arp => Port::Arp,
                Socket::Udp => Port::Dhcp4(transmit.from),
            };
            self.ports.send(&Transmit {
                index: self.index,
                port,
                neighbour: transmit.neighbour,
                to: transmit.to.into(),
                from: None,
                octets: transmit.octets,
            });
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Supplied(supply) => self.apply(Some(*supply)),
                Event::Withdrawn(trouble) => {
                    self.troubles.push(trouble);
                    self.apply(None);
                }
                Event::Noted(trouble) => self.troubles.push(trouble),
                Event::Keep(remembered) => {
                    let clocks = clocks(self.now());
                    self.leases.keep(self.mac, *remembered, 1, &clocks);
                }
                Event::Forget(network) => {
                    self.leases.forget(self.mac, &network);
                }
                Event::Silent => {}
            }
        }
        self.open();
    }

    fn open(&mut self) {
        let sockets = self.client.sockets();
        if sockets == self.sockets {
            return;
        }
        let _inside = self.runtime.enter();
        self.sockets = sockets.clone();
        let mut wanted = Vec::new();
        let mut want = |port, arp| {
            wanted.push(WantedPort {
                index: self.index,
                port,
                arp,
                mac: Some(self.mac),
            });
        };
        if sockets.packet {
            want(Port::Packet, None);
        }
        if sockets.arp.is_some() {
            want(Port::Arp, sockets.arp);
        }
        if let Some(address) = sockets.udp {
            want(Port::Dhcp4(address), None);
        }
        let mut close = std::mem::take(&mut self.open);
        self.open = wanted
            .iter()
            .map(|wanted| (wanted.index, wanted.port))
            .collect();
        close.retain(|place| !self.open.contains(place));
        let open = wanted;
        let failed = self.ports.apply(PortChanges { open, close });
        assert!(failed.is_empty(), "{failed:?}");
    }

    /// What is there no more goes, what is new comes; an address that only changes its times is replaced in place.
    fn apply(&mut self, supply: Option<Supply>) {
        let prefixes = |supply: &Option<Supply>| -> BTreeSet<String> {
            let addresses = supply.iter().flat_map(|supply| &supply.addresses);
            addresses
                .map(|address| address.prefix.to_string())
                .collect()
        };
        let (old, new) = (prefixes(&self.supply), prefixes(&supply));
        let link = self.link;
        self.supply = supply;
        if !self.applies {
            return;
        }
        for gone in old.difference(&new) {
            shell(&format!("ip addr del {gone} dev {link}"));
        }
        for prefix in &new {
            shell(&format!(
                "ip addr replace {prefix} dev {link} valid_lft 3600 preferred_lft 3600"
            ));
        }
        for route in self.supply.iter().flat_map(|supply| &supply.routes) {
            let via = route.via.map_or(String::new(), |via| format!("via {via}"));
            shell(&format!("ip route replace {} {via} dev {link}", route.to));
        }
    }
}

fn clocks(now: Instant) -> Clocks {
    Clocks {
        now,
        wall: WallTime(1_800_000_000),
        boot_id: "boot".into(),
    }
}
