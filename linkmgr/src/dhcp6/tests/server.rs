//! A server's messages, built option by option, and a link with its client whose clock goes from one deadline to the next.

use config::time::Instant;

use super::super::wire::{Message, MessageType, Sort, Writer, option};
use super::super::*;

pub(in crate::dhcp6) const SERVER: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
pub(super) const OTHER: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 2];
pub(in crate::dhcp6) const IAID: u32 = 7;
const LINK_LOCAL: &str = "fe80::1:1";
/// Deadlines in a row that do not move the clock: more are a mistake.
const ROUNDS_MAX: u32 = 10_000;

/// A server's message; its transaction is filled in when it is sent.
#[derive(Debug, Clone)]
pub(in crate::dhcp6) struct Answer {
    kind: MessageType,
    options: Vec<(u16, Vec<u8>)>,
}

impl Answer {
    pub(in crate::dhcp6) fn new(kind: MessageType) -> Self {
        Self::from(kind, SERVER)
    }

    pub(in crate::dhcp6) fn from(kind: MessageType, server: &[u8]) -> Self {
        let answer = Self {
            kind,
            options: Vec::new(),
        };
        answer
            .with(option::CLIENT_ID, duid().octets())
            .with(option::SERVER_ID, server)
    }

    pub(in crate::dhcp6) fn with(mut self, number: u16, value: &[u8]) -> Self {
        self.options.push((number, value.to_vec()));
        self
    }

    pub(in crate::dhcp6) fn without(mut self, number: u16) -> Self {
        self.options.retain(|(known, _)| *known != number);
        self
    }

    /// Addresses: T1, T2; address, preferred, valid.
    pub(in crate::dhcp6) fn addresses(
        self,
        times: (u32, u32),
        leases: &[(&str, u32, u32)],
    ) -> Self {
        let value = association(times, leases, |(address, preferred, valid)| {
            let mut value = address.parse::<Ipv6Addr>().unwrap().octets().to_vec();
            value.extend(preferred.to_be_bytes());
            value.extend(valid.to_be_bytes());
            (option::IA_ADDRESS, value)
        });
        self.with(option::IA_NA, &value)
    }

    /// Prefixes of 56 bits: T1, T2; prefix, preferred, valid.
    pub(in crate::dhcp6) fn prefixes(self, times: (u32, u32), leases: &[(&str, u32, u32)]) -> Self {
        let value = association(times, leases, |(prefix, preferred, valid)| {
            let mut value = preferred.to_be_bytes().to_vec();
            value.extend(valid.to_be_bytes());
            value.push(56);
            value.extend(prefix.parse::<Ipv6Addr>().unwrap().octets());
            (option::IA_PREFIX, value)
        });
        self.with(option::IA_PD, &value)
    }

    /// An association that was refused.
    pub(in crate::dhcp6) fn refused(self, sort: Sort, code: u16) -> Self {
        let mut value = IAID.to_be_bytes().to_vec();
        value.extend([0; 8]);
        value.extend(option::STATUS.to_be_bytes());
        value.extend([0, 2]);
        value.extend(code.to_be_bytes());
        match sort {
            Sort::Addresses => self.with(option::IA_NA, &value),
            Sort::Prefixes => self.with(option::IA_PD, &value),
        }
    }

    pub(in crate::dhcp6) fn status(self, code: u16) -> Self {
        let mut value = code.to_be_bytes().to_vec();
        value.extend(b"said so");
        self.with(option::STATUS, &value)
    }

    pub(in crate::dhcp6) fn octets(&self, transaction: u32) -> Vec<u8> {
        let mut writer = Writer::new(self.kind, transaction);
        for (number, value) in &self.options {
            writer.put(*number, value);
        }
        writer.finish()
    }
}

fn association(
    times: (u32, u32),
    leases: &[(&str, u32, u32)],
    lease: fn((&str, u32, u32)) -> (u16, Vec<u8>),
) -> Vec<u8> {
    let mut value = IAID.to_be_bytes().to_vec();
    value.extend(times.0.to_be_bytes());
    value.extend(times.1.to_be_bytes());
    for one in leases {
        let (number, octets) = lease(*one);
        value.extend(number.to_be_bytes());
        value.extend(u16::try_from(octets.len()).unwrap().to_be_bytes());
        value.extend(octets);
    }
    value
}

pub(in crate::dhcp6) fn duid() -> Duid {
    Duid::from_machine_id([3; 16])
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) now: Instant,
    begun_at: Instant,
    /// What was sent, oldest first.
    pub(super) sent: Vec<Transmit>,
    pub(super) supplied: Option<Supply>,
    pub(super) kept: Option<Memory>,
    pub(super) released: bool,
}

impl Link {
    /// A link without a link-local address.
    pub(super) fn begin(settings: Dhcp6Settings, remembered: Option<Remembered>) -> Self {
        let now = Instant::ZERO + Duration::from_secs(1_000_000);
        let setup = Setup {
            settings: settings.into(),
            link: "eth0".into(),
            duid: duid(),
            iaid: IAID,
            seed: 1,
            remembered,
        };
        let mut link = Self {
            client: Client::new(setup, now),
            now,
            begun_at: now,
            sent: Vec::new(),
            supplied: None,
            kept: None,
            released: false,
        };
        link.drain();
        link
    }

    pub(super) fn attach(&mut self) {
        self.client
            .handle_link_local(Some(LINK_LOCAL.parse().unwrap()), self.now);
        self.drain();
    }

    pub(super) fn advertise(&mut self, managed: bool, other: bool) {
        let flags = crate::ra::Dhcp6Flags {
            managed,
            other,
            delegation: false,
        };
        self.client.handle_advertised(flags, self.now);
        self.drain();
    }

    /// Takes whether routers say that prefixes are to be had.
    pub(super) fn advertise_prefixes(&mut self, delegation: bool) {
        let flags = crate::ra::Dhcp6Flags {
            delegation,
            ..crate::ra::Dhcp6Flags::default()
        };
        self.client.handle_advertised(flags, self.now);
        self.drain();
    }

    /// A link whose router says M, with its first Solicit sent.
    pub(super) fn soliciting() -> Self {
        let mut link = Self::begin(Dhcp6Settings::default(), None);
        link.attach();
        link.advertise(true, false);
        link
    }

    pub(super) fn drain(&mut self) {
        while let Some(transmit) = self.client.poll_transmit() {
            assert_eq!(transmit.to.to_string(), "ff02::1:2");
            self.sent.push(transmit);
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Supplied(supply) => {
                    assert_ne!(self.supplied.as_ref(), Some(&*supply), "no news");
                    self.supplied = Some(*supply);
                }
                Event::Withdrawn => assert!(self.supplied.take().is_some(), "there was something"),
                Event::Keep(memory) => self.kept = Some(*memory),
                Event::Released => self.released = true,
            }
        }
        let due = self.client.poll_timeout();
        assert!(
            due.is_none_or(|due| due >= self.now),
            "{due:?} is left behind"
        );
    }

    /// Answers the last message.
    pub(super) fn answer(&mut self, answer: &Answer) {
        let transaction = self.last().transaction;
        self.hear(&answer.octets(transaction));
    }

    pub(super) fn hear(&mut self, octets: &[u8]) {
        self.client
            .handle_packet(octets, "fe80::2".parse().unwrap(), self.now);
        self.drain();
    }

    /// Returns the last message that was sent.
    pub(super) fn last(&self) -> Message {
        Message::parse(&self.sent.last().expect("something was sent").octets).unwrap()
    }

    /// Returns the kinds that were sent since, and forgets them.
    pub(super) fn take_sent(&mut self) -> Vec<MessageType> {
        let sent = std::mem::take(&mut self.sent);
        let kinds = sent.iter();
        kinds
            .map(|transmit| Message::parse(&transmit.octets).unwrap().kind)
            .collect()
    }

    pub(super) fn run_until(&mut self, seconds: u64) {
        let end = self.begun_at + Duration::from_secs(seconds);
        for _ in 0..ROUNDS_MAX {
            match self.client.poll_timeout().filter(|due| *due <= end) {
                None => {
                    self.now = end.max(self.now);
                    return;
                }
                Some(due) => {
                    self.now = due.max(self.now);
                    self.client.handle_timeout(self.now);
                    self.drain();
                }
            }
        }
        panic!("the clock stands still");
    }

    pub(super) fn step(&mut self, seconds: u64) {
        self.run_until(self.now.since(self.begun_at).as_secs() + seconds);
    }

    pub(super) fn at(&self, seconds: u64) -> Instant {
        self.now + Duration::from_secs(seconds)
    }

    pub(super) fn state(&self) -> &'static str {
        self.client.report(self.now).state
    }

    pub(super) fn supply(&self) -> Supply {
        self.supplied.clone().unwrap_or_default()
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        let supply = self.supply();
        let addresses = supply.addresses.iter();
        addresses
            .map(|address| address.prefix.address.to_string())
            .collect()
    }
}
