//! What have a link's clients to say? [`Said`]: packets, supplies, words to keep, and notes; those of IPv4 are gathered here.

use std::net::Ipv4Addr;
use std::sync::Arc;

use policy::facts::{Supplier, Supply};

use super::memory::Word;
use super::{Note, Port, Traits, Transmit};
use crate::arp::{ArpPacket, EVERYBODY};
use crate::dhcp4::Socket;
use crate::watches::{self, Standing, Watches};
use crate::{dhcp4, ipv4ll};

/// What a link's clients have to say.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) transmits: Vec<Transmit>,
    pub(super) supplies: Vec<(Supplier, Option<Box<Supply>>)>,
    pub(super) words: Vec<Word>,
    pub(super) notes: Vec<Note>,
    pub(super) standings: Vec<(Ipv4Addr, Standing)>,
}

impl Said {
    pub(super) fn supplied(&mut self, supplier: Supplier, supply: Option<Box<Supply>>) {
        self.supplies.push((supplier, supply));
    }

    pub(super) fn take_dhcp4(&mut self, client: &mut dhcp4::Client, traits: &Traits, index: u32) {
        let mac = traits.mac.unwrap_or(super::NOBODY);
        let mut note = |text: String| {
            self.notes.push(Note {
                link: Arc::clone(&traits.name),
                supplier: Some(Supplier::Dhcp4),
                text,
            });
        };
        while let Some(event) = client.poll_event() {
            match event {
                dhcp4::Event::Supplied(supply) => {
                    self.supplies.push((Supplier::Dhcp4, Some(supply)));
                }
                dhcp4::Event::Withdrawn(trouble) => {
                    note(trouble.to_string());
                    self.supplies.push((Supplier::Dhcp4, None));
                }
                dhcp4::Event::Keep(remembered) => self.words.push(Word::Lease(mac, remembered)),
                dhcp4::Event::Forget(network) => self.words.push(Word::NoLease(mac, network)),
                dhcp4::Event::Silent => note("no server answers".to_owned()),
                dhcp4::Event::Noted(trouble) => note(trouble.to_string()),
            }
        }
        while let Some(transmit) = client.poll_transmit() {
            let port = match transmit.by {
                Socket::Packet => Port::Packet,
                Socket::Arp => Port::Arp,
                Socket::Udp => Port::Dhcp4(transmit.from),
            };
            self.transmits.push(Transmit {
                index,
                port,
                neighbour: transmit.neighbour,
                to: transmit.to.into(),
                from: None,
                octets: transmit.octets,
            });
        }
    }

    pub(super) fn take_ipv4ll(&mut self, client: &mut ipv4ll::Client, traits: &Traits, index: u32) {
        while let Some(event) = client.poll_event() {
            match event {
                ipv4ll::Event::Supplied(supply) => self.supplied(Supplier::Ipv4ll, Some(supply)),
                ipv4ll::Event::Withdrawn => self.supplied(Supplier::Ipv4ll, None),
                ipv4ll::Event::Conflict { address, neighbour } => self.notes.push(Note {
                    link: Arc::clone(&traits.name),
                    supplier: Some(Supplier::Ipv4ll),
                    text: format!("{neighbour} has the address {address} too"),
                }),
            }
        }
        while let Some(packet) = client.poll_transmit() {
            self.transmits.push(to_everybody(&packet, index));
        }
    }

    pub(super) fn take_watches(&mut self, watches: &mut Watches, traits: &Traits, index: u32) {
        let mut note = |text: String| {
            self.notes.push(Note {
                link: Arc::clone(&traits.name),
                supplier: None,
                text,
            });
        };
        while let Some(event) = watches.poll_event() {
            match event {
                watches::Event::Found(address, standing) => {
                    if let Standing::Conflict(neighbour) = standing {
                        note(format!("{neighbour} has the address {address} too"));
                    }
                    self.standings.push((address, standing));
                }
                watches::Event::Defended(address, neighbour) => note(format!(
                    "{neighbour} used the address {address}, and was told that it is here"
                )),
            }
        }
        while let Some(packet) = watches.poll_transmit() {
            self.transmits.push(to_everybody(&packet, index));
        }
    }
}

fn to_everybody(packet: &ArpPacket, index: u32) -> Transmit {
    Transmit {
        index,
        port: Port::Arp,
        neighbour: EVERYBODY,
        to: packet.target_address.into(),
        from: None,
        octets: packet.emit(),
    }
}
