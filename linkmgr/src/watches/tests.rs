//! Do static addresses stand up for themselves as their profile says? A fake clock, and a neighbour that speaks when it is told to.

mod transitions;

use super::*;
use crate::arp::ArpOperation;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

struct World {
    watches: Watches,
    conflict_use: ConflictUse,
    now: Instant,
    /// Whether a neighbour has the address, and says so when it is asked.
    is_taken: bool,
    probes: u32,
    announcements: u32,
}

impl World {
    fn new(conflict_use: ConflictUse, is_there: bool) -> Self {
        let mut world = Self {
            watches: Watches::new(OWN, true, 7),
            conflict_use,
            now: Instant::ZERO,
            is_taken: false,
            probes: 0,
            announcements: 0,
        };
        world.has(is_there);
        world
    }

    fn has(&mut self, is_there: bool) {
        let there = [ADDRESS];
        let there: &[Ipv4Addr] = if is_there { &there } else { &[] };
        let wanted = BTreeMap::from([(ADDRESS, self.conflict_use)]);
        self.watches.apply(&wanted, there, self.now);
    }

    /// Lets so many seconds pass; returns what was told.
    fn pass(&mut self, seconds: u64) -> Vec<Event> {
        let until = self.now + Duration::from_secs(seconds);
        let mut told = Vec::new();
        loop {
            if self.watches.wants_turn() {
                self.watches.grant(self.now);
            }
            let is_open = self.watches.arp().is_some();
            while let Some(packet) = self.watches.poll_transmit() {
                assert!(is_open, "nothing is open");
                match packet.is_probe() {
                    true => self.probes += 1,
                    false => self.announcements += 1,
                }
                if packet.is_probe() && self.is_taken {
                    self.hear(OTHER);
                }
            }
            told.extend(std::iter::from_fn(|| self.watches.poll_event()));
            match self.watches.poll_timeout() {
                Some(at) if at <= until => self.now = at,
                _ => {
                    self.now = until;
                    return told;
                }
            }
            self.watches.handle_timeout(self.now);
        }
    }

    /// A neighbour says that it has the address.
    fn hear(&mut self, neighbour: Mac) {
        let packet = ArpPacket {
            operation: ArpOperation::Reply,
            ..ArpPacket::request(neighbour, ADDRESS, Ipv4Addr::new(192, 0, 2, 1))
        };
        self.watches.handle_packet(&packet.emit(), self.now);
    }

    fn sent(&mut self) -> (u32, u32) {
        let sent = (self.probes, self.announcements);
        (self.probes, self.announcements) = (0, 0);
        sent
    }
}

fn found(standing: Standing) -> Event {
    Event::Found(ADDRESS, standing)
}

fn held() -> ArpFilter {
    ArpFilter::conflicts(ADDRESS)
}

#[test]
fn what_was_there_is_neither_asked_for_nor_told_of() {
    for (conflict_use, arp) in [
        (ConflictUse::Announce, None),
        (ConflictUse::Check, None),
        (ConflictUse::Watch, Some(held())),
        (ConflictUse::Probe, Some(held())),
        (ConflictUse::ProbeCarefully, Some(held())),
    ] {
        let mut world = World::new(conflict_use, true);
        assert_eq!(world.pass(3600), []);
        assert_eq!(world.sent(), (0, 0), "{conflict_use:?}");
        assert_eq!(world.watches.arp(), arp, "{conflict_use:?}");
        assert_eq!(world.watches.poll_timeout(), None, "{conflict_use:?}");
    }
}

#[test]
fn an_address_that_comes_is_asked_for_and_told_of_and_then_there_is_no_timer() {
    for (conflict_use, probes, arp) in [
        (ConflictUse::Announce, 0, None),
        (ConflictUse::Check, 3, None),
        (ConflictUse::Watch, 3, Some(held())),
    ] {
        let mut world = World::new(conflict_use, false);
        assert_eq!(world.pass(60), []);
        assert_eq!((world.sent(), world.watches.arp()), ((0, 0), None));
        for _ in 0..2 {
            world.has(true);
            let free: &[Event] = if probes > 0 {
                &[found(Standing::Free)]
            } else {
                &[]
            };
            assert_eq!(world.pass(5), free, "{conflict_use:?}");
            assert_eq!(world.sent(), (probes, 2), "{conflict_use:?}");
            assert_eq!(world.watches.arp(), arp, "{conflict_use:?}");
            assert_eq!(world.watches.poll_timeout(), None, "{conflict_use:?}");
            // Somebody takes it away, and it comes again.
            world.has(false);
            let unknown: &[Event] = if probes > 0 {
                &[found(Standing::Unknown)]
            } else {
                &[]
            };
            assert_eq!(world.pass(5), unknown, "{conflict_use:?}");
            assert_eq!((world.sent(), world.watches.arp()), ((0, 0), None));
        }
    }
}

#[test]
fn an_address_that_yields_is_asked_for_before_it_comes() {
    for (conflict_use, least, most) in [
        (ConflictUse::Probe, 0.6, 0.8),
        (ConflictUse::ProbeCarefully, 4.0, 7.0),
    ] {
        let mut world = World::new(conflict_use, false);
        let mut told = Vec::new();
        while told.is_empty() {
            told = world.pass(0);
            world.now = match told.is_empty() {
                true => world.watches.poll_timeout().unwrap(),
                false => world.now,
            };
            world.watches.handle_timeout(world.now);
        }
        let took = world.now.since(Instant::ZERO).as_secs_f64();
        assert_eq!(told, [found(Standing::Free)]);
        assert!((least..=most).contains(&took), "{conflict_use:?}: {took}");
        world.has(true);
        assert_eq!(world.pass(60), []);
        assert_eq!(world.sent(), (3, 2));
        assert_eq!(world.watches.arp(), Some(held()));
        assert_eq!(world.watches.poll_timeout(), None);
    }
}

#[test]
fn an_address_that_somebody_has_is_asked_for_again_ever_more_rarely_and_told_of_once() {
    for conflict_use in [ConflictUse::Check, ConflictUse::Watch, ConflictUse::Probe] {
        let mut world = World::new(conflict_use, false);
        world.is_taken = true;
        world.has(!conflict_use.yields());
        assert_eq!(world.pass(5), [found(Standing::Conflict(OTHER))]);
        assert_eq!(world.sent(), (1, 0));
        assert_eq!(world.watches.arp(), None, "nobody is listened to meanwhile");
        assert_eq!(world.pass(100), []);
        let (probes, announcements) = world.sent();
        assert_eq!((probes, announcements), (10, 0));
        // RFC 5227 §2.1.1.
        assert_eq!(world.pass(3600), []);
        let (probes, announcements) = world.sent();
        assert!(
            (59..=61).contains(&probes) && announcements == 0,
            "{probes}"
        );
        world.is_taken = false;
        assert_eq!(world.pass(65), [found(Standing::Free)]);
        assert_eq!(world.sent(), (3, 2));
    }
}

#[test]
fn a_late_conflict_is_answered_once_and_then_told() {
    for conflict_use in [ConflictUse::Watch, ConflictUse::Probe] {
        let mut world = World::new(conflict_use, true);
        world.is_taken = true;
        world.hear(OTHER);
        assert_eq!(world.pass(5), [Event::Defended(ADDRESS, OTHER)]);
        assert_eq!(world.sent(), (0, 1));
        world.hear(OTHER);
        assert_eq!(world.pass(0), [found(Standing::Conflict(OTHER))]);
        assert_eq!(world.sent(), (0, 0));
        if conflict_use.yields() {
            // It was taken away for that.
            world.has(false);
        }
        assert_eq!(world.pass(9), []);
        assert_eq!(world.sent(), (0, 0));
        world.is_taken = false;
        assert_eq!(world.pass(10), [found(Standing::Free)]);
        world.has(true);
        assert_eq!(world.pass(60), []);
        assert_eq!(world.sent(), (3, 2));
        assert_eq!(world.watches.arp(), Some(held()));
    }
}

#[test]
fn whoever_objects_to_an_announcement_is_asked_from_then_on() {
    let mut world = World::new(ConflictUse::Announce, false);
    world.is_taken = true;
    world.has(true);
    assert_eq!(world.pass(1), []);
    world.hear(OTHER);
    world.hear(OTHER);
    let told = [
        Event::Defended(ADDRESS, OTHER),
        found(Standing::Conflict(OTHER)),
    ];
    assert_eq!(world.pass(1), told);
    world.sent();
    assert_eq!(world.pass(30), []);
    assert_eq!(world.sent(), (3, 0));
    world.is_taken = false;
    assert_eq!(world.pass(15), [found(Standing::Free)]);
    assert_eq!(world.sent(), (3, 2));
    assert_eq!(world.watches.poll_timeout(), None);
}

#[test]
fn another_place_is_asked_and_told_anew() {
    for (conflict_use, is_there, probes, announcements) in [
        (ConflictUse::Announce, true, 0, 2),
        (ConflictUse::Check, true, 3, 2),
        (ConflictUse::Watch, true, 3, 2),
        (ConflictUse::Watch, false, 0, 0),
        (ConflictUse::Probe, true, 3, 2),
        (ConflictUse::Probe, false, 3, 2),
    ] {
        for by_sleep in [false, true] {
            let mut world = World::new(conflict_use, is_there);
            world.pass(60);
            world.sent();
            if by_sleep {
                world.watches.handle_resume(world.now);
            } else {
                world.watches.handle_link(OWN, false, world.now);
                world.pass(60);
                assert_eq!(world.sent(), (0, 0));
                assert_eq!(
                    (world.watches.arp(), world.watches.poll_timeout()),
                    (None, None)
                );
                world.watches.handle_link(OWN, true, world.now);
            }
            world.pass(60);
            let sent = world.sent();
            assert_eq!(sent, (probes, announcements), "{conflict_use:?} {is_there}");
        }
    }
}

#[test]
fn a_carrier_that_goes_makes_conflicts_forgotten_and_what_is_free_stays() {
    let mut world = World::new(ConflictUse::Probe, false);
    world.is_taken = true;
    assert_eq!(world.pass(5), [found(Standing::Conflict(OTHER))]);
    world.watches.handle_link(OWN, false, world.now);
    assert_eq!(world.pass(5), [found(Standing::Unknown)]);
    world.is_taken = false;
    world.watches.handle_link(OWN, true, world.now);
    assert_eq!(world.pass(5), [found(Standing::Free)]);
    world.has(true);
    world.watches.handle_link(OWN, false, world.now);
    assert_eq!(
        world.pass(5),
        [],
        "what is there stays until somebody objects"
    );
    world.is_taken = true;
    world.watches.handle_link(OWN, true, world.now);
    assert_eq!(world.pass(5), [found(Standing::Conflict(OTHER))]);
}

#[test]
fn an_address_that_is_not_wanted_any_more_is_forgotten() {
    let mut world = World::new(ConflictUse::Watch, false);
    world.is_taken = true;
    world.has(true);
    assert_eq!(world.pass(5), [found(Standing::Conflict(OTHER))]);
    world.watches.apply(&BTreeMap::new(), &[ADDRESS], world.now);
    assert_eq!(world.pass(60), [found(Standing::Unknown)]);
    assert_eq!(
        (world.watches.arp(), world.watches.poll_timeout()),
        (None, None)
    );
}

#[test]
fn silence_says_nothing_when_nobody_can_be_asked() {
    for conflict_use in [ConflictUse::Probe, ConflictUse::ProbeCarefully] {
        let mut world = World::new(conflict_use, false);
        world.watches.grant(world.now);
        world.watches.handle_deaf(true, world.now);
        let told = world.pass(3600);
        assert_eq!(told, [Event::Found(ADDRESS, Standing::Unasked)]);
        assert!(world.watches.arp().is_some(), "it is wanted still");
        assert_eq!(world.probes, 0);
        world.watches.handle_deaf(false, world.now);
        assert_eq!(world.pass(10), [Event::Found(ADDRESS, Standing::Free)]);
        assert_eq!(world.probes, 3);
    }
    // What is there stays, and it is said that nobody could be asked.
    let mut world = World::new(ConflictUse::Watch, false);
    world.watches.handle_deaf(true, world.now);
    world.has(true);
    let told = world.pass(60);
    assert_eq!(told, [Event::Found(ADDRESS, Standing::Unasked)]);
    world.watches.handle_deaf(false, world.now);
    assert_eq!(world.pass(10), [Event::Found(ADDRESS, Standing::Free)]);
}

/// A host of two on one network that want the same address: linnet's watches, and its kernel, which has the address when they say so.
struct Host {
    mac: Mac,
    watches: Watches,
    has_it: bool,
}

impl Host {
    fn follow(&mut self, conflict_use: ConflictUse, now: Instant) {
        let wanted = BTreeMap::from([(ADDRESS, conflict_use)]);
        let there = [ADDRESS];
        let there: &[Ipv4Addr] = if self.has_it { &there } else { &[] };
        self.watches.apply(&wanted, there, now);
    }

    /// Does what there is to do; returns what everybody hears.
    fn act(&mut self, conflict_use: ConflictUse, now: Instant) -> Vec<ArpPacket> {
        self.watches.handle_timeout(now);
        if self.watches.wants_turn() {
            self.watches.grant(now);
        }
        while let Some(event) = self.watches.poll_event() {
            if let Event::Found(_, found) = event {
                self.has_it = match found {
                    Standing::Free => true,
                    Standing::Conflict(_) => false,
                    Standing::Unknown | Standing::Unasked => self.has_it,
                };
                self.follow(conflict_use, now);
            }
        }
        std::iter::from_fn(|| self.watches.poll_transmit()).collect()
    }

    /// Hears a packet; returns what the kernel says to it.
    fn hear(&mut self, packet: &ArpPacket, now: Instant) -> Option<ArpPacket> {
        self.watches.handle_packet(&packet.emit(), now);
        let is_asked =
            packet.operation == ArpOperation::Request && packet.target_address == ADDRESS;
        (self.has_it && is_asked && packet.sender_address != ADDRESS).then(|| ArpPacket {
            operation: ArpOperation::Reply,
            ..ArpPacket::request(self.mac, ADDRESS, Ipv4Addr::UNSPECIFIED)
        })
    }
}

/// Lets two hosts that begin together be for ten minutes; returns since when one of them, always the same, has the address alone.
fn two_hosts(conflict_use: ConflictUse, seed: u64) -> Option<Duration> {
    let mut now = Instant::ZERO;
    let host = |mac, seed| Host {
        mac,
        watches: Watches::new(mac, true, seed),
        has_it: false,
    };
    let mut hosts = [host(OWN, seed), host(OTHER, seed.wrapping_mul(77) + 1)];
    for host in &mut hosts {
        host.follow(conflict_use, now);
    }
    let mut alone_since = None;
    let mut owner = None;
    while now < Instant::ZERO + Duration::from_secs(600) {
        let mut is_busy = true;
        while std::mem::take(&mut is_busy) {
            for talker in 0..2 {
                for packet in hosts[talker].act(conflict_use, now) {
                    is_busy = true;
                    if let Some(answer) = hosts[1 - talker].hear(&packet, now) {
                        hosts[talker].hear(&answer, now);
                    }
                }
            }
        }
        let has = hosts.each_ref().map(|host| host.has_it);
        let alone = has.iter().position(|it| *it);
        let alone = alone.filter(|_| has != [true; 2]);
        if alone != owner {
            (owner, alone_since) = (alone, alone.map(|_| now.since(Instant::ZERO)));
        }
        let due = hosts.iter().filter_map(|host| host.watches.poll_timeout());
        let Some(next) = due.min() else {
            break;
        };
        now = now.max(next);
    }
    alone_since
}

#[test]
fn of_two_hosts_that_want_one_address_at_once_one_gets_it() {
    for conflict_use in [ConflictUse::ProbeCarefully, ConflictUse::Probe] {
        let mut slow = 0;
        for seed in 0..100 {
            let since = two_hosts(conflict_use, seed);
            let since = since.unwrap_or_else(|| panic!("{conflict_use:?} {seed}: nobody has it"));
            slow += u32::from(since > Duration::from_secs(120));
        }
        // Each try is in vain for less than two in five.
        assert!(slow < 10, "{conflict_use:?}: {slow} of 100");
    }
}
