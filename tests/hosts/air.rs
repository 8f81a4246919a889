//! What is at the other end of a link? [`Network`]: a gateway, servers for addresses and names, neighbours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use config::matcher::Mac;
use config::time::Instant;
use linkmgr::arp::{ArpOperation, ArpPacket};
use linkmgr::clients::{Heard, Port, Transmit, WantedPort};
use linkmgr::dhcp4::Checksum;

use super::dhcp4;
use super::dhcp6;
use super::dice::Dice;
use super::names;
use super::router::Router;

/// A network.
#[derive(Debug, Clone)]
pub(super) struct Network {
    /// Answers of its servers tell it.
    pub(super) number: u8,
    pub(super) dhcp4: dhcp4::Server,
    has_dhcp4: bool,
    pub(super) router: Option<Router>,
    pub(super) dhcp6: Option<dhcp6::Server>,
    pub(super) names: names::Manner,
    /// Of so many packets one is lost; 0 for none.
    pub(super) loses_one_in: u64,
}

/// A DHCPv4 lease, or its refusal, that is on its way to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The address, until when, and when it was asked for.
    Leased(Ipv4Addr, Instant, Instant),
    Refused,
}

/// What comes back.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub(super) after: Duration,
    pub(super) heard: Heard,
    pub(super) word: Option<Word>,
}

impl Network {
    /// One with a DHCPv4 server and two DNS servers, in 10.NUMBER.0.0/24.
    pub(super) fn new(number: u8) -> Self {
        Self::at(number, [10, number, 0])
    }

    /// One in another network's range: private networks are alike.
    pub(super) fn at(number: u8, net: [u8; 3]) -> Self {
        let [a, b, c] = net;
        let resolvers = [53, 54].map(|host| Ipv4Addr::new(a, b, c, host));
        Self {
            number,
            dhcp4: dhcp4::Server::new(net, &resolvers),
            has_dhcp4: true,
            router: None,
            dhcp6: None,
            names: names::Manner::Usual,
            loses_one_in: 0,
        }
    }

    /// One without DHCPv4, whose DNS server has this address.
    pub(super) fn fixed(number: u8, net: [u8; 3], resolver: u8) -> Self {
        let mut network = Self::at(number, net);
        network.dhcp4.resolvers = vec![network.dhcp4.address(resolver)];
        network.has_dhcp4 = false;
        network
    }

    pub(super) fn with_router(mut self) -> Self {
        self.router = Some(Router::new(self.number));
        self
    }

    pub(super) fn with_dhcp6(mut self) -> Self {
        let mut router = Router::new(self.number);
        router.managed = true;
        self.dhcp6 = Some(dhcp6::Server::new(self.number, router.resolver()));
        self.router = Some(router);
        self
    }

    /// Has everything here work again.
    pub(super) fn mend(&mut self) {
        self.dhcp4.manner = dhcp4::Manner::Usual;
        self.dhcp4.lease_time = 3600;
        self.names = names::Manner::Usual;
        self.loses_one_in = 0;
        if let Some(router) = &mut self.router {
            (router.is_silent, router.lifetime) = (false, 1800);
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            dhcp6.is_silent = false;
        }
    }

    fn mac_of(&self, host: u8) -> Mac {
        Mac([2, 0, 0, 0, self.number, host])
    }

    pub(super) fn has_resolver(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.dhcp4.resolvers.contains(&v4),
            IpAddr::V6(v6) => self
                .router
                .as_ref()
                .is_some_and(|router| router.resolver() == v6),
        }
    }

    /// Takes a packet; returns what is sent back.
    pub(super) fn hear(
        &mut self,
        transmit: &Transmit,
        ports: &[WantedPort],
        dice: &mut Dice,
        now: Instant,
    ) -> Vec<Back> {
        let is_lost = |dice: &mut Dice| self.loses_one_in > 0 && dice.one_in(self.loses_one_in);
        if is_lost(dice) || is_lost(dice) {
            return Vec::new();
        }
        match transmit.port {
            Port::Packet | Port::Dhcp4(_) => self.hear_dhcp4(transmit, ports, dice, now),
            Port::Arp => self.hear_arp(transmit, dice),
            Port::Icmp6 => {
                let is_solicitation = transmit.octets.first() == Some(&133);
                let mut said = Vec::new();
                if is_solicitation {
                    let after = dice.millis(5, 500);
                    said.extend(self.advertise(transmit.index, after));
                }
                said
            }
            Port::Dhcp6 => self.hear_dhcp6(transmit, dice).into_iter().collect(),
            Port::Lldp => Vec::new(),
        }
    }

    /// Returns what the router says of itself.
    pub(super) fn advertise(&self, index: u32, after: Duration) -> Option<Back> {
        let router = self.router.as_ref().filter(|router| !router.is_silent)?;
        let from = router.address().into();
        Some(back(
            after,
            index,
            Port::Icmp6,
            from,
            255,
            router.advertise(),
        ))
    }

    fn hear_dhcp6(&self, transmit: &Transmit, dice: &mut Dice) -> Option<Back> {
        let router = self.router.as_ref()?;
        let octets = self
            .dhcp6
            .as_ref()?
            .answer(&transmit.octets, router.prefix())?;
        let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, self.number.into(), 6).into();
        let after = dice.millis(2, 200);
        Some(back(after, transmit.index, Port::Dhcp6, from, 64, octets))
    }

    fn hear_arp(&self, transmit: &Transmit, dice: &mut Dice) -> Vec<Back> {
        let packet = ArpPacket::parse(&transmit.octets);
        let Some(packet) = packet.filter(|packet| packet.operation == ArpOperation::Request) else {
            return Vec::new();
        };
        let server = &self.dhcp4;
        let here = [1, 53, 54].map(|host| server.address(host));
        let is_taken = server.taken() == Some(packet.target_address);
        if !here.contains(&packet.target_address) && !is_taken {
            return Vec::new();
        }
        let host = packet.target_address.octets()[3];
        let reply = ArpPacket {
            operation: ArpOperation::Reply,
            sender: self.mac_of(host),
            sender_address: packet.target_address,
            target: packet.sender,
            target_address: packet.sender_address,
        };
        let nobody = Ipv4Addr::UNSPECIFIED.into();
        let after = dice.millis(1, 20);
        vec![back(
            after,
            transmit.index,
            Port::Arp,
            nobody,
            0,
            reply.emit(),
        )]
    }

    fn hear_dhcp4(
        &mut self,
        transmit: &Transmit,
        ports: &[WantedPort],
        dice: &mut Dice,
        now: Instant,
    ) -> Vec<Back> {
        let message = match transmit.port {
            Port::Packet => transmit.octets.get(28..).unwrap_or_default(),
            Port::Dhcp4(_) | Port::Arp | Port::Icmp6 | Port::Dhcp6 | Port::Lldp => &transmit.octets,
        };
        let reply = self.dhcp4.answer(message, now);
        let Some(reply) = reply.filter(|_| self.has_dhcp4) else {
            return Vec::new();
        };
        let after = match self.dhcp4.manner {
            dhcp4::Manner::Slow => dice.millis(3_000, 9_000),
            dhcp4::Manner::Usual
            | dhcp4::Manner::Silent
            | dhcp4::Manner::Refusing
            | dhcp4::Manner::Taken => dice.millis(2, 80),
        };
        let index = transmit.index;
        let server = self.dhcp4.address(1);
        let by_socket = ports.iter().find(|open| {
            open.index == index && open.port == Port::Dhcp4(reply.to) && !reply.is_refusal
        });
        let mut said = match by_socket {
            Some(open) => back(after, index, open.port, server.into(), 64, reply.octets),
            None => {
                let octets = dhcp4::packet(server, reply.to, &reply.octets);
                let nobody = Ipv4Addr::UNSPECIFIED.into();
                back(after, index, Port::Packet, nobody, 0, octets)
            }
        };
        said.word = match reply.leased_until {
            Some(until) => Some(Word::Leased(reply.to, until, now)),
            None => reply.is_refusal.then_some(Word::Refused),
        };
        vec![said]
    }
}

const fn back(
    after: Duration,
    index: u32,
    port: Port,
    from: IpAddr,
    hop_limit: u8,
    octets: Vec<u8>,
) -> Back {
    Back {
        after,
        heard: Heard {
            index,
            port,
            from,
            hop_limit,
            checksum: Checksum::Complete,
            octets,
        },
        word: None,
    }
}
