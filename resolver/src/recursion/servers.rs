//! How well does each server address do? Round-trip time, losses, EDNS, and the zones it is lame for.
//!
//! Nothing is inferred from loss but that nobody replies: EDNS is given up only after an explicit reply. Knows addresses,
//! not names; which servers a zone has is for `delegations`.

use std::net::IpAddr;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::bounded::Bounded;
use crate::event::Channel;

/// The most servers that are remembered.
const SERVERS_MAX: usize = 2048;
/// The most zones that are remembered as lame for one server.
const LAME_ZONES_MAX: usize = 4;
/// How long a server counts as lame for a zone.
const LAME_LIFETIME: Duration = Duration::from_secs(300);
/// How long it is remembered that a server said it does not understand EDNS.
const PLAIN_LIFETIME: Duration = Duration::from_secs(600);
/// How long losses count.
const STRIKES_LIFETIME: Duration = Duration::from_secs(60);
/// The most losses in a row that count.
const STRIKES_MAX: u8 = 8;
/// What an unknown server's round trip is taken for when servers are compared.
const UNKNOWN_RTT: Duration = Duration::from_millis(100);
/// Servers this close to the best are equals, and one of them is taken at random (RFC 5452 §9.2).
const BAND: Duration = Duration::from_millis(100);
/// What each loss costs a server in comparison.
const STRIKE_PENALTY: Duration = Duration::from_millis(400);
/// What lameness costs: such a server is asked when nobody else is left.
const LAME_PENALTY: Duration = Duration::from_secs(30);
/// How long a server is waited for, when nothing is known of it.
const UNKNOWN_PATIENCE: Duration = Duration::from_millis(600);
/// The least time a server is waited for.
const PATIENCE_MIN: Duration = Duration::from_millis(200);
/// The most.
const PATIENCE_MAX: Duration = Duration::from_millis(1500);
/// How many round-trip times a server is waited for.
const PATIENCE_SRTTS: u32 = 3;
/// How long a stream is waited for, from the first SYN to the last octet.
const STREAM_PATIENCE: Duration = Duration::from_secs(2);
/// Weight of what was known in the smoothed round-trip time, in eighths (RFC 6298 §2).
const SRTT_OLD_EIGHTHS: u32 = 7;

#[derive(Debug, Default)]
struct ServerState {
    srtt: Option<Duration>,
    strikes: u8,
    struck_at: Instant,
    plain_until: Option<Instant>,
    lame_until_by_zone: Vec<(DomainName, Instant)>,
}

/// What is known of every server.
#[derive(Debug)]
pub(crate) struct Servers {
    state_by_address: Bounded<IpAddr, ServerState>,
}

impl Servers {
    pub(crate) fn new() -> Self {
        Self {
            state_by_address: Bounded::new(SERVERS_MAX),
        }
    }

    /// Takes one of the best of `candidates`, at random among equals.
    pub(crate) fn choose(
        &mut self,
        candidates: &[IpAddr],
        zone: &DomainName,
        rng: &mut StdRng,
        now: Instant,
    ) -> Option<IpAddr> {
        let scored: Vec<(IpAddr, Duration)> = candidates
            .iter()
            .map(|&address| (address, self.score(address, zone, now)))
            .collect();
        let best = scored.iter().map(|&(_, score)| score).min()?;
        let equals: Vec<IpAddr> = scored
            .into_iter()
            .filter(|&(_, score)| score <= best + BAND)
            .map(|(address, _)| address)
            .collect();
        equals.get(rng.random_range(0..equals.len())).copied()
    }

    /// Returns how long a reply is waited for before somebody else is asked.
    pub(crate) fn patience(&mut self, address: IpAddr, channel: Channel) -> Duration {
        match channel {
            Channel::Tcp => STREAM_PATIENCE,
            Channel::Udp => match self.state_by_address.get(&address) {
                Some(ServerState {
                    srtt: Some(srtt), ..
                }) => (*srtt * PATIENCE_SRTTS).clamp(PATIENCE_MIN, PATIENCE_MAX),
                Some(_) | None => UNKNOWN_PATIENCE,
            },
        }
    }

    /// Whether a question to it carries EDNS.
    pub(crate) fn takes_edns(&mut self, address: IpAddr, now: Instant) -> bool {
        self.state_by_address
            .get(&address)
            .and_then(|state| state.plain_until)
            .is_none_or(|until| until <= now)
    }

    /// Notes a reply, whatever it says, and how long it took, where that is known; a stream's time is not one round trip and does not
    /// count.
    pub(crate) fn note_reply(&mut self, address: IpAddr, channel: Channel, rtt: Option<Duration>) {
        let state = self.state(address);
        state.strikes = 0;
        if let (Channel::Udp, Some(rtt)) = (channel, rtt) {
            state.srtt = Some(state.srtt.map_or(rtt, |srtt| {
                (srtt * SRTT_OLD_EIGHTHS + rtt) / (SRTT_OLD_EIGHTHS + 1)
            }));
        }
    }

    /// Notes that no reply came.
    pub(crate) fn note_lost(&mut self, address: IpAddr, now: Instant) {
        let state = self.state(address);
        state.strikes = (state.strikes + 1).min(STRIKES_MAX);
        state.struck_at = now;
    }

    /// Remembers that it answered without EDNS what it had called an error with EDNS.
    pub(crate) fn note_plain(&mut self, address: IpAddr, now: Instant) {
        self.state(address).plain_until = Some(now + PLAIN_LIFETIME);
    }

    /// Remembers that it does not serve a zone that was delegated to it.
    pub(crate) fn note_lame(&mut self, address: IpAddr, zone: &DomainName, now: Instant) {
        let lame = &mut self.state(address).lame_until_by_zone;
        lame.retain(|(known, until)| known != zone && *until > now);
        if lame.len() >= LAME_ZONES_MAX {
            lame.remove(0);
        }
        lame.push((zone.clone(), now + LAME_LIFETIME));
    }

    pub(crate) fn len(&self) -> usize {
        self.state_by_address.len()
    }

    fn score(&mut self, address: IpAddr, zone: &DomainName, now: Instant) -> Duration {
        let Some(state) = self.state_by_address.get(&address) else {
            return UNKNOWN_RTT;
        };
        let mut score = state.srtt.unwrap_or(UNKNOWN_RTT);
        if now.since(state.struck_at) < STRIKES_LIFETIME {
            score += STRIKE_PENALTY * u32::from(state.strikes);
        }
        let lame = state
            .lame_until_by_zone
            .iter()
            .any(|(known, until)| known == zone && *until > now);
        if lame {
            score += LAME_PENALTY;
        }
        score
    }

    fn state(&mut self, address: IpAddr) -> &mut ServerState {
        if self.state_by_address.get(&address).is_none() {
            self.state_by_address
                .insert(address, ServerState::default(), 1);
        }
        self.state_by_address
            .get(&address)
            .expect("one entry is lighter than the limit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn chosen(servers: &mut Servers, now: Instant) -> Vec<IpAddr> {
        let mut rng = StdRng::from_seed([7; 32]);
        let zone = "a.test".parse().unwrap();
        let mut all: Vec<IpAddr> = (0..50)
            .filter_map(|_| servers.choose(&[ONE, TWO], &zone, &mut rng, now))
            .collect();
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn unknown_servers_are_taken_at_random() {
        assert_eq!(chosen(&mut Servers::new(), Instant::ZERO), [ONE, TWO]);
    }

    #[test]
    fn slow_lossy_and_lame_servers_are_left_for_later() {
        let changes: [fn(&mut Servers, Instant); 3] = [
            |servers, _| servers.note_reply(ONE, Channel::Udp, Some(Duration::from_millis(900))),
            |servers, now| servers.note_lost(ONE, now),
            |servers, now| servers.note_lame(ONE, &"a.test".parse().unwrap(), now),
        ];
        for change in changes {
            let mut servers = Servers::new();
            change(&mut servers, Instant::ZERO);
            assert_eq!(chosen(&mut servers, Instant::ZERO), [TWO]);
        }
    }

    #[test]
    fn losses_and_lameness_are_forgotten() {
        let mut servers = Servers::new();
        servers.note_lost(ONE, Instant::ZERO);
        servers.note_lame(ONE, &"a.test".parse().unwrap(), Instant::ZERO);
        let later = Instant::ZERO + LAME_LIFETIME;
        assert_eq!(chosen(&mut servers, later), [ONE, TWO]);
    }

    #[test]
    fn loss_never_costs_edns() {
        let mut servers = Servers::new();
        for _ in 0..50 {
            servers.note_lost(ONE, Instant::ZERO);
        }
        assert!(servers.takes_edns(ONE, Instant::ZERO));
        servers.note_plain(ONE, Instant::ZERO);
        assert!(!servers.takes_edns(ONE, Instant::ZERO));
        assert!(servers.takes_edns(ONE, Instant::ZERO + PLAIN_LIFETIME));
    }
}
