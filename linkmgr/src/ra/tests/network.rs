//! One link with its client, and a clock that goes from one deadline to the next.

use config::time::Instant;

use super::super::*;
use super::Ra;

/// The link's own address.
pub(super) const OWN: &str = "fe80::1:1";
/// Deadlines in a row that do not move the clock: more are a mistake.
const ROUNDS_MAX: u32 = 100_000;

#[derive(Debug)]
pub(super) struct Network {
    pub(super) client: Client,
    pub(super) now: Instant,
    begun_at: Instant,
    pub(super) supplied: Option<Supply>,
    pub(super) supplies: u32,
    pub(super) withdrawals: u32,
    pub(super) kept: Option<Memory>,
    pub(super) flags: Dhcp6Flags,
    pub(super) left_behind: Vec<Ipv6Addr>,
    sent: u32,
}

impl Network {
    pub(super) fn new() -> Self {
        Self::with(RaSettings::default())
    }

    pub(super) fn with(settings: RaSettings) -> Self {
        Self::begin(settings, None)
    }

    /// The kernel was started anew since.
    pub(super) fn remembering(memory: Memory, age: u64) -> Self {
        Self::recalling(memory, age, true)
    }

    /// The kernel was not started anew since.
    pub(super) fn restarted(memory: Memory, age: u64) -> Self {
        Self::recalling(memory, age, false)
    }

    fn recalling(memory: Memory, age: u64, moved: bool) -> Self {
        let age = Duration::from_secs(age);
        Self::begin(
            RaSettings::default(),
            Some(Remembered { memory, age, moved }),
        )
    }

    /// On a link that has had these addresses before.
    pub(super) fn on(addresses: &[&str], settings: RaSettings) -> Self {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        Self::begin_on(addresses.collect(), settings, None)
    }

    fn begin(settings: RaSettings, remembered: Option<Remembered>) -> Self {
        Self::begin_on(Vec::new(), settings, remembered)
    }

    fn begin_on(
        addresses: Vec<Ipv6Addr>,
        settings: RaSettings,
        remembered: Option<Remembered>,
    ) -> Self {
        let now = Instant::ZERO + Duration::from_secs(1_000_000);
        let setup = Setup {
            settings,
            link: "eth0".into(),
            mac: Some(Mac([0, 0x53, 0, 0xa1, 0xb2, 0xc3])),
            secret: Secret([7; 32]),
            network: b"home"[..].into(),
            addresses,
            seed: 1,
            remembered,
        };
        let mut network = Self {
            client: Client::new(setup, now),
            now,
            begun_at: now,
            supplied: None,
            supplies: 0,
            withdrawals: 0,
            kept: None,
            flags: Dhcp6Flags::default(),
            left_behind: Vec::new(),
            sent: 0,
        };
        network.drain();
        network
            .client
            .handle_link_local(Some(OWN.parse().unwrap()), now);
        network.drain();
        network
    }

    /// Takes all that the client says; everything is sent but nobody answers.
    pub(super) fn drain(&mut self) {
        while let Some(transmit) = self.client.poll_transmit() {
            assert_eq!(transmit.to.to_string(), "ff02::2");
            self.sent += 1;
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Supplied(supply) => {
                    assert_ne!(self.supplied.as_ref(), Some(&*supply), "no news");
                    self.supplied = Some(*supply);
                    self.supplies += 1;
                }
                Event::Withdrawn => {
                    assert!(self.supplied.take().is_some(), "there was something");
                    self.withdrawals += 1;
                }
                Event::Keep(memory) => self.kept = Some(*memory),
                Event::Dhcp6(flags) => self.flags = flags,
                Event::LeftBehind(routers) => self.left_behind.extend(routers),
            }
        }
        let due = self.client.poll_timeout();
        assert!(
            due.is_none_or(|due| due >= self.now),
            "{due:?} is left behind"
        );
    }

    pub(super) fn hear(&mut self, from: &str, ra: &Ra) {
        self.client
            .handle_packet(&ra.octets(), from.parse().unwrap(), 255, self.now);
        self.drain();
    }

    pub(super) fn neighbour(&mut self, neighbour: &str, reachability: Reachability) {
        self.client
            .handle_neighbour(neighbour.parse().unwrap(), reachability, self.now);
        self.drain();
    }

    pub(super) fn dad_failed(&mut self, address: Ipv6Addr) {
        self.client.handle_dad_failed(address, self.now);
        self.drain();
    }

    /// Goes to this many seconds from the beginning.
    pub(super) fn run_until(&mut self, seconds: u64) {
        let end = self.begun_at + Duration::from_secs(seconds);
        for _ in 0..ROUNDS_MAX {
            match self.client.poll_timeout().filter(|due| *due <= end) {
                None => {
                    self.now = end;
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

    /// Goes on this many seconds.
    pub(super) fn step(&mut self, seconds: u64) {
        self.run_until(self.now.since(self.begun_at).as_secs() + seconds);
    }

    /// Returns the time in this many seconds.
    pub(super) fn at(&self, seconds: u64) -> Instant {
        self.now + Duration::from_secs(seconds)
    }

    pub(super) fn supply(&self) -> Supply {
        self.supplied.clone().unwrap_or_default()
    }

    pub(super) fn routes(&self) -> Vec<String> {
        let supply = self.supply();
        let routes = supply.routes.iter();
        routes
            .map(|route| match route.via {
                Some(via) => format!("{} via {via}", route.to),
                None => route.to.to_string(),
            })
            .collect()
    }

    /// Returns how many solicitations were sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }
}
