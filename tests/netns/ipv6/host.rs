//! A host whose only programs are the clients for router advertisements and DHCPv6: the real cores on real sockets. Addresses and
//! default routes that are supplied are applied by `ip`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use config::matcher::Mac;
use config::model::{Dhcp6Settings, RaSettings};
use config::time::Instant;
use linkmgr::clients::{Port, PortChanges, Transmit, WantedPort};
use linkmgr::slaac::Secret;
use linkmgr::{dhcp6, ra};
use linkmgr_io::{Neighbours, Ports};
use policy::facts::Supply;
use tests::namespace::shell;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The host.
pub(crate) struct Host {
    runtime: tokio::runtime::Runtime,
    ports: Ports,
    neighbours: Neighbours,
    pub(crate) ra: ra::Client,
    pub(crate) dhcp6: dhcp6::Client,
    link: &'static str,
    index: u32,
    begun: std::time::Instant,
    link_local: Option<Ipv6Addr>,
    /// What routers supply.
    pub(crate) routed: Supply,
    /// What servers supply.
    pub(crate) served: Supply,
    pub(crate) memory: Option<Box<ra::Memory>>,
    pub(crate) released: bool,
    applied: BTreeSet<String>,
}

impl Host {
    /// Begins on a link that is up.
    pub(crate) fn new(link: &'static str, settings: Dhcp6Settings) -> Self {
        let number = |file: &str| shell(&format!("cat /sys/class/net/{link}/{file}"));
        let index = number("ifindex").trim().parse().unwrap();
        let mac: Mac = number("address").trim().parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let inside = runtime.enter();
        let mut ports = Ports::new().unwrap();
        let neighbours = Neighbours::open().unwrap();
        let want = |port| WantedPort {
            index,
            port,
            arp: None,
            mac: Some(mac),
        };
        let failed = ports.apply(PortChanges {
            open: vec![want(Port::Icmp6), want(Port::Dhcp6)],
            close: Vec::new(),
        });
        assert!(failed.is_empty(), "{failed:?}");
        drop(inside);
        let now = Instant::from_nanos(1_000_000_000_000);
        let seed = u64::from(std::process::id());
        let ra = ra::Client::new(
            ra::Setup {
                settings: RaSettings::default(),
                link: link.into(),
                mac: Some(mac),
                secret: Secret([9; 32]),
                network: [][..].into(),
                addresses: Vec::new(),
                seed,
                remembered: None,
            },
            now,
        );
        let dhcp6 = dhcp6::Client::new(
            dhcp6::Setup {
                settings: Dhcp6Settings {
                    hostname: Some("laptop".into()),
                    ..settings
                }
                .into(),
                link: link.into(),
                duid: dhcp6::Duid::from_machine_id([4; 16]),
                iaid: dhcp6::iaid(link),
                seed,
                remembered: None,
            },
            now,
        );
        let mut host = Self {
            runtime,
            ports,
            neighbours,
            ra,
            dhcp6,
            link,
            index,
            begun: std::time::Instant::now(),
            link_local: None,
            routed: Supply::default(),
            served: Supply::default(),
            memory: None,
            released: false,
            applied: BTreeSet::new(),
        };
        host.settle();
        host
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(1_000_000_000_000) + self.begun.elapsed()
    }

    /// Lets the clients live until a condition holds; returns how long that took.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let begun = std::time::Instant::now();
        self.settle();
        while !holds(self) {
            assert!(
                begun.elapsed() < PATIENCE,
                "after {PATIENCE:?} still not: {what}; {:?} {:?}",
                self.ra.report(self.now()),
                self.dhcp6.report(self.now())
            );
            self.step(Duration::from_millis(50));
        }
        begun.elapsed()
    }

    /// Lets the clients live for a while.
    pub(crate) fn live(&mut self, time: Duration) {
        let begun = std::time::Instant::now();
        while begun.elapsed() < time {
            self.step(Duration::from_millis(50));
        }
    }

    fn step(&mut self, at_most: Duration) {
        let due = [self.ra.poll_timeout(), self.dhcp6.poll_timeout()];
        let due = due.into_iter().flatten().min();
        let wait = due.map_or(at_most, |due| due.since(self.now()).min(at_most));
        let (ports, neighbours) = (&self.ports, &mut self.neighbours);
        let (mut heard, mut news) = (Vec::new(), Vec::new());
        self.runtime.block_on(async {
            tokio::select! {
                some = ports.next() => heard = some,
                some = neighbours.next() => news = some.unwrap(),
                () = tokio::time::sleep(wait) => {}
            }
        });
        let now = self.now();
        for one in news.iter().filter(|one| one.index == self.index) {
            self.ra.handle_neighbour(one.address, one.reachability, now);
        }
        for heard in heard {
            let IpAddr::V6(from) = heard.from else {
                continue;
            };
            match heard.port {
                Port::Icmp6 => self
                    .ra
                    .handle_packet(&heard.octets, from, heard.hop_limit, now),
                Port::Dhcp6 => self.dhcp6.handle_packet(&heard.octets, from, now),
                Port::Packet | Port::Arp | Port::Dhcp4(_) | Port::Lldp => {}
            }
        }
        self.ra.handle_timeout(now);
        self.dhcp6.handle_timeout(now);
        self.settle();
    }

    /// Does what the clients want.
    pub(crate) fn settle(&mut self) {
        let now = self.now();
        if self.link_local.is_none() {
            self.link_local = usable_link_local(self.link);
            if self.link_local.is_some() {
                self.ra.handle_link_local(self.link_local, now);
                self.dhcp6.handle_link_local(self.link_local, now);
            }
        }
        while let Some(event) = self.ra.poll_event() {
            match event {
                ra::Event::Supplied(supply) => self.routed = *supply,
                ra::Event::Withdrawn => self.routed = Supply::default(),
                ra::Event::Keep(memory) => self.memory = Some(memory),
                ra::Event::Dhcp6(flags) => self.dhcp6.handle_advertised(flags, now),
                ra::Event::LeftBehind(_) => {}
            }
        }
        while let Some(event) = self.dhcp6.poll_event() {
            match event {
                dhcp6::Event::Supplied(supply) => self.served = *supply,
                dhcp6::Event::Withdrawn => self.served = Supply::default(),
                dhcp6::Event::Keep(_) => {}
                dhcp6::Event::Released => self.released = true,
            }
        }
        while let Some(transmit) = self.ra.poll_transmit() {
            self.send(Port::Icmp6, transmit.to, None, transmit.octets);
        }
        while let Some(transmit) = self.dhcp6.poll_transmit() {
            self.send(Port::Dhcp6, transmit.to, transmit.from, transmit.octets);
        }
        self.apply();
    }

    fn send(&self, port: Port, to: Ipv6Addr, from: Option<Ipv6Addr>, octets: Vec<u8>) {
        self.ports.send(&Transmit {
            index: self.index,
            port,
            neighbour: Mac([0; 6]),
            to: to.into(),
            from,
            octets,
        });
    }

    /// Has the kernel know addresses, and the first default route.
    fn apply(&mut self) {
        let link = self.link;
        let supplies = [&self.routed, &self.served];
        let addresses = supplies.iter().flat_map(|supply| &supply.addresses);
        let mut wanted: BTreeSet<String> = addresses
            .map(|address| format!("addr replace {} dev {link} nodad", address.prefix))
            .collect();
        let mut routes = self.routed.routes.iter();
        let first = routes.find_map(|route| route.via.filter(|_| route.to.length == 0));
        wanted.extend(first.map(|via| format!("-6 route replace default via {via} dev {link}")));
        for line in wanted.difference(&self.applied) {
            shell(&format!("ip {line}"));
        }
        self.applied = wanted;
    }

    /// Returns the default routes that routers supply, the best first.
    pub(crate) fn routers(&self) -> Vec<String> {
        let routes = self.routed.routes.iter();
        let defaults = routes.filter(|route| route.to.length == 0);
        defaults
            .filter_map(|route| route.via.map(|via| via.to_string()))
            .collect()
    }

    /// Returns the prefixes that addresses were made of.
    pub(crate) fn prefixes(&self) -> Vec<String> {
        let addresses = self.routed.addresses.iter();
        addresses
            .map(|address| address.prefix.network().to_string())
            .collect()
    }
}

/// Returns the link's own link-local address once nobody else has it.
fn usable_link_local(link: &str) -> Option<Ipv6Addr> {
    let text = shell(&format!(
        "ip -6 -o addr show dev {link} scope link -tentative"
    ));
    let mut words = text.split_whitespace();
    words
        .find(|word| word.starts_with("fe80:"))?
        .split('/')
        .next()?
        .parse()
        .ok()
}
