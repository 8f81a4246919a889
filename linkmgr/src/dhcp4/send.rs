//! What does a DHCPv4 client say? Its messages (RFC 2131 table 5), by which socket they go, and when they are said again.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::{BootpUse, ClientId};
use config::time::Instant;

use super::client::Client;
use super::lease::Lease;
use super::state::State;
use super::wire::{Request, RequestKind, parameters};
use super::{Setup, Socket, Transmit, frame};
use crate::arp::{ArpPacket, EVERYBODY};
use crate::random::Random;

/// The first wait for an answer, doubled each time up to the longest, each give or take a second (RFC 2131 §4.1).
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(64);
const JITTER: Duration = Duration::from_secs(1);
/// The least wait between two wishes for more time (RFC 2131 §4.4.5).
const LEAST_RENEW_WAIT: Duration = Duration::from_secs(60);

/// Ethernet, as option 61 and `htype` have it.
const ETHERNET: u8 = 1;
/// An identifier that is no hardware address (RFC 2132 §9.14).
const OPAQUE: u8 = 0;
/// A client identifier of IAID and DUID (RFC 4361 §6.1).
const IAID_AND_DUID: u8 = 255;

/// A question to servers, said until it is answered.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    /// The transaction.
    pub(super) xid: u32,
    /// When it was said first.
    pub(super) began_at: Instant,
    /// How often it was said.
    pub(super) sent: u32,
    /// When it is said again.
    pub(super) next_at: Instant,
}

impl Exchange {
    /// Counts that it was said; returns how often by now.
    fn said(&mut self, random: &mut Random, now: Instant) {
        let wait = FIRST_WAIT * (1 << self.sent.min(4));
        self.sent += 1;
        self.next_at = now + random.around(wait.min(LONGEST_WAIT), JITTER);
    }
}

impl Setup {
    /// Returns option 61.
    pub(super) fn client_id(&self) -> Arc<[u8]> {
        if self.settings.anonymous {
            // RFC 7844 §3.5.
            return by_mac(self.mac);
        }
        match &self.settings.client_id {
            ClientId::Kept => self.former_id.clone().unwrap_or_else(|| by_mac(self.mac)),
            ClientId::Mac => by_mac(self.mac),
            ClientId::PermanentMac => by_mac(self.permanent_mac),
            ClientId::Duid => {
                let mut id = vec![IAID_AND_DUID];
                id.extend(self.iaid.to_be_bytes());
                id.extend(&self.duid[..]);
                id.into()
            }
            ClientId::Stable => {
                let mut id = vec![OPAQUE];
                id.extend(self.stable);
                id.into()
            }
            ClientId::Octets(octets) => Arc::clone(octets),
        }
    }
}

/// Returns the identifier that a hardware address makes.
pub(crate) fn by_mac(mac: Mac) -> Arc<[u8]> {
    let [a, b, c, d, e, f] = mac.0;
    Arc::new([ETHERNET, a, b, c, d, e, f])
}

impl Client {
    /// Goes by the hardware address from here on; returns whether it went by something else before.
    pub(super) fn call_by_mac(&mut self) -> bool {
        let id = by_mac(self.setup.mac);
        let is_other = id != self.client_id;
        self.client_id = id;
        is_other
    }

    /// Whether two messages are enough. Not for those who tell nothing about themselves: few clients ask for it.
    pub(super) fn rapid_commit(&self) -> bool {
        !self.setup.settings.anonymous
    }

    /// Begins a question.
    pub(super) fn exchange(&mut self, now: Instant) -> Exchange {
        Exchange {
            xid: self.random.word(),
            began_at: now,
            sent: 0,
            next_at: now,
        }
    }

    pub(super) fn send_discover(&mut self, now: Instant) {
        let State::Selecting(search) = &mut self.state else {
            return;
        };
        search.exchange.said(&mut self.random, now);
        let xid = search.exchange.xid;
        let settings = &self.setup.settings;
        // RFC 2131 §4.4.1: the address of before, as a wish; or that which another client has left on the link.
        let latest = self.known.first().map(|known| known.lease.address);
        let latest = latest.or(self.setup.wish);
        let request = Request {
            wanted: latest.filter(|_| !settings.anonymous),
            rapid_commit: self.rapid_commit(),
            ..self.asking(RequestKind::Discover, xid, now)
        };
        self.broadcast(&request, Ipv4Addr::UNSPECIFIED);
    }

    /// REQUESTING: the offer is taken (RFC 2131 §4.3.2).
    pub(super) fn request_offer(&mut self, now: Instant) {
        let State::Requesting(exchange, offer, _) = &mut self.state else {
            return;
        };
        exchange.said(&mut self.random, now);
        let (xid, address, server) = (exchange.xid, offer.address, offer.server);
        let request = Request {
            wanted: Some(address),
            server: Some(server),
            ..self.asking(RequestKind::Request, xid, now)
        };
        self.broadcast(&request, Ipv4Addr::UNSPECIFIED);
    }

    /// REBOOTING: is this address still ours (RFC 2131 §4.3.2)? Of one that a BOOTP server gave no DHCP server knows anything: it is
    /// asked for an offer, and a BOOTP server answers to that as well.
    pub(super) fn request_again(&mut self, now: Instant) {
        let is_by_bootp = self.reboots_by_bootp();
        let State::Rebooting(reboot) = &mut self.state else {
            return;
        };
        reboot.exchange.said(&mut self.random, now);
        let (xid, address) = (reboot.exchange.xid, reboot.address);
        let kind = match is_by_bootp {
            true => RequestKind::Discover,
            false => RequestKind::Request,
        };
        let request = Request {
            wanted: Some(address),
            ..self.asking(kind, xid, now)
        };
        self.broadcast(&request, Ipv4Addr::UNSPECIFIED);
    }

    /// RENEWING and REBINDING (RFC 2131 §4.3.2), again after half of the time that is left (§4.4.5).
    pub(super) fn request_more_time(&mut self, now: Instant) {
        let (held, exchange, until, everybody) = match &mut self.state {
            State::Renewing(held, exchange) => {
                let until = held.lease.times.map(|times| times.rebind_at);
                (held, exchange, until, false)
            }
            State::Rebinding(held, exchange) => {
                let until = held.lease.times.map(|times| times.expires_at);
                (held, exchange, until, true)
            }
            State::Init { .. }
            | State::Selecting(_)
            | State::Requesting(..)
            | State::InitReboot(_)
            | State::Rebooting(_)
            | State::Bound(_) => return,
        };
        let left = until.map_or(LEAST_RENEW_WAIT * 2, |until| until.since(now));
        exchange.sent += 1;
        exchange.next_at = now + (left / 2).max(LEAST_RENEW_WAIT);
        let (address, server) = (held.lease.address, held.lease.server);
        let xid = exchange.xid;
        let request = Request {
            configured: address,
            // The address is there: replies come by themselves.
            broadcast: false,
            ..self.asking(RequestKind::Request, xid, now)
        };
        match everybody {
            true => self.broadcast(&request, address),
            false => self.unicast(&request, address, server),
        }
    }

    /// RFC 2131 §4.4.4, table 5.
    pub(super) fn send_decline(&mut self, address: Ipv4Addr, server: Ipv4Addr, now: Instant) {
        let request = Request {
            wanted: Some(address),
            server: Some(server),
            ..self.telling(RequestKind::Decline, now)
        };
        self.broadcast(&request, Ipv4Addr::UNSPECIFIED);
    }

    /// RFC 2131 §4.4.6.
    pub(super) fn send_release(&mut self, lease: &Lease, now: Instant) {
        let request = Request {
            configured: lease.address,
            server: Some(lease.server),
            ..self.telling(RequestKind::Release, now)
        };
        self.unicast(&request, lease.address, lease.server);
    }

    /// Sends an ARP packet to a neighbour.
    pub(super) fn send_arp(&mut self, packet: &ArpPacket, neighbour: Mac) {
        self.transmits.push_back(Transmit {
            by: Socket::Arp,
            neighbour,
            from: packet.sender_address,
            to: packet.target_address,
            octets: packet.emit(),
        });
    }

    /// A message that asks for something.
    fn asking(&self, kind: RequestKind, xid: u32, now: Instant) -> Request {
        let settings = &self.setup.settings;
        let by_dhcp = settings.bootp != BootpUse::Only;
        let seconds = now.since(self.began_at).as_secs();
        Request {
            kind: by_dhcp.then_some(kind),
            xid,
            seconds: u16::try_from(seconds).unwrap_or(u16::MAX),
            broadcast: settings.broadcast,
            configured: Ipv4Addr::UNSPECIFIED,
            mac: self.setup.mac,
            wanted: None,
            server: None,
            client_id: Arc::clone(&self.client_id),
            rapid_commit: false,
            parameters: parameters(settings),
            // RFC 7844 §3.7, §3.8, §3.9.
            about: (!settings.anonymous).then(|| Arc::clone(settings)),
        }
    }

    /// A message that asks for nothing.
    fn telling(&mut self, kind: RequestKind, now: Instant) -> Request {
        let xid = self.random.word();
        Request {
            seconds: 0,
            broadcast: false,
            parameters: Vec::new(),
            about: None,
            ..self.asking(kind, xid, now)
        }
    }

    fn broadcast(&mut self, request: &Request, from: Ipv4Addr) {
        self.transmits.push_back(Transmit {
            by: Socket::Packet,
            neighbour: EVERYBODY,
            from,
            to: Ipv4Addr::BROADCAST,
            octets: frame::emit(from, Ipv4Addr::BROADCAST, &request.emit()),
        });
    }

    fn unicast(&mut self, request: &Request, from: Ipv4Addr, to: Ipv4Addr) {
        self.transmits.push_back(Transmit {
            by: Socket::Udp,
            neighbour: EVERYBODY,
            from,
            to,
            octets: request.emit(),
        });
    }
}
