//! When is a link asked how far it reaches, and what do the answers come to? One [`Prober`] for each link; knows no lookups.
//!
//! ```text
//!            ┌──────────── something happened: lease, default route, upstreams that fail, a portal's session that ends
//!            ▼
//! resting ─► round: questions by family, the portal's API beside them ─► findings ─► tracks
//!    ▲                                                                     │
//!    ├── all validated: nothing until something happens ◄──────────────────┤
//!    ├── not settled: the next round in a second ◄─────────────────────────┤
//!    └── settled and bad: after 5 s, doubled each time ◄───────────────────┘
//!        a few times; then when somebody asks for a name after that
//! ```
//!
//! A host that nobody uses is not woken to find out that there still is no Internet. A link that packets do not go out by is the exception: nobody's
//! questions tell that it is back, and the host may want it.
//!
//! A round is bounded ([`ROUND_TIME`]); what comes later still counts when it is good news.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;
use config::url::Url;
use policy::facts::{Family, Reach};

use super::Ground;
use super::api::PortalWord;
use super::seen::{Part, Seen, family_of, findings};
use super::track::{Track, Word};

/// How long one round may take.
pub(crate) const ROUND_TIME: Duration = Duration::from_millis(2500);
/// Until the next round, when one finding is not enough.
const SOON: Duration = Duration::from_secs(1);
/// Until the next round of a link that is known to be bad; doubled each time.
const AGAIN_MIN: Duration = Duration::from_secs(5);
/// How many such rounds there are before a link that packets go out by waits for somebody to ask for a name.
const EAGER_TRIES: u8 = 3;
/// How long a person is taken to be about to log in, after a question for the portal's name.
const BUSY_TIME: Duration = Duration::from_secs(60);
/// How often a portal is asked meanwhile, and how often a network that forges.
const BUSY_PAUSE: Duration = Duration::from_millis(700);
/// How often a link is asked whose answers prove nothing, before it is left alone.
const UNPROVEN_TRIES: u8 = 3;
/// How long after a round that went well the next suspicion counts.
const SUSPICION_PAUSE: Duration = Duration::from_secs(30);
/// How long the first round waits for an address at most. A question that goes out before has the source 0.0.0.0, and no answer: it would
/// take [`ROUND_TIME`] until the next one. Without an address a link may work all the same, by one of another link.
const ADDRESS_WAIT: Duration = Duration::from_secs(3);
/// The least between two rounds, whatever happens.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// The least until a portal is asked again when its session ends.
const SESSION_MIN: Duration = Duration::from_secs(10);
/// How long until it is looked for again where a network that forges leads to.
const DOOR_PAUSE: Duration = Duration::from_secs(60);
/// How often a portal may be silent in a row before its word counts no more.
const SILENCES_MAX: u8 = 3;

/// Why a link is to be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Something is new about it: a lease, an address, a default route, upstreams that work again, the end of a sleep.
    News,
    /// Something went wrong.
    Suspicion,
}

/// How long nothing is asked.
#[derive(Debug)]
enum Pause {
    /// For so long.
    For(Duration),
    /// For so long, and after that until somebody asks for a name.
    WhileIdle(Duration),
    /// Until something happens.
    Forever,
}

#[derive(Debug)]
struct Round {
    started_at: Instant,
    waiting: BTreeSet<Part>,
    seen: Vec<(Part, Seen)>,
}

/// What is known of one link.
#[derive(Debug)]
pub(crate) struct Prober {
    pub(crate) ground: Ground,
    tracks: [Option<Track>; 2],
    why: [Arc<str>; 2],
    pub(crate) portal: Portal,
    round: Option<Round>,
    pub(crate) rounds: u32,
    /// Whether news came within the round that is under way: it has been judged without them.
    is_outdated: bool,
    next_at: Option<Instant>,
    /// From when on the next question of a client is an occasion, when no round is due by itself.
    idle_until: Option<Instant>,
    last_at: Option<Instant>,
    tries: u8,
    busy_until: Instant,
    /// Until when a round waits for an address.
    address_until: Instant,
    /// Until when questions wait for the first round; `None` once it is over.
    checking_until: Option<Instant>,
    retry_max: Duration,
}

/// What is known of a link's portal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Portal {
    /// Where its API is.
    pub(crate) api: Option<Url>,
    /// What it said last.
    pub(crate) word: Option<PortalWord>,
    /// When that was.
    pub(crate) said_at: Instant,
    /// How often it has said nothing since.
    silences: u8,
    /// Why it says nothing.
    pub(crate) trouble: Option<Arc<str>>,
    /// The addresses of its host, while it is asked again and again.
    pub(crate) addresses: Vec<IpAddr>,
    /// Where any page leads to, without an API.
    pub(crate) door: Option<Url>,
    /// When that was looked for.
    door_at: Option<Instant>,
}

impl Portal {
    pub(crate) fn word(&self) -> Word {
        match &self.word {
            None => Word::None,
            Some(word) if word.captive => Word::Captive,
            Some(_) => Word::Free,
        }
    }
}

impl Prober {
    /// Knows nothing; a round is due at once, or when there is an address to ask from. Questions wait for it where a portal is announced, `hold` at most.
    pub(crate) fn new(ground: Ground, hold: Duration, retry_max: Duration, now: Instant) -> Self {
        let mut prober = Self {
            tracks: [None; 2],
            why: [Arc::from("not tried yet"), Arc::from("not tried yet")],
            portal: Portal::default(),
            round: None,
            rounds: 0,
            is_outdated: false,
            next_at: Some(now),
            idle_until: None,
            last_at: None,
            tries: 0,
            busy_until: Instant::ZERO,
            address_until: now + ADDRESS_WAIT,
            checking_until: ground.api.is_some().then(|| now + hold),
            retry_max,
            ground,
        };
        prober.follow(now);
        prober
    }

    /// Takes what the ground is now.
    pub(crate) fn apply(&mut self, ground: Ground, now: Instant) {
        let news = self.ground != ground;
        if self.ground.api != ground.api {
            self.portal = Portal::default();
        }
        if ground.awaits_address && !self.ground.awaits_address {
            self.address_until = now + ADDRESS_WAIT;
        }
        self.ground = ground;
        self.follow(now);
        if news {
            self.is_outdated = self.round.is_some();
            self.suggest(Occasion::News, now);
        }
    }

    fn follow(&mut self, now: Instant) {
        self.portal.api = self.ground.api.as_ref().and_then(|text| text.parse().ok());
        if self.ground.api.is_some() && !self.portal.api.as_ref().is_some_and(|api| api.secure) {
            // RFC 8908 §4: it is asked behind TLS, or not at all.
            self.portal.api = None;
            self.portal.trouble = Some("its API is not at an https address".into());
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            let wanted = self.ground.judges(family);
            let track = &mut self.tracks[place(family)];
            match wanted {
                true if track.is_none() => *track = Some(Track::new(now)),
                true => {}
                false => *track = None,
            }
        }
        // A family that comes later is in the same place.
        if self.portal.word() == Word::Captive {
            for track in self.tracks.iter_mut().flatten() {
                track.take_word(Word::Captive, now);
            }
        }
    }

    /// Hears that something happened; a round follows at once or soon, if it is of any use.
    pub(crate) fn suggest(&mut self, occasion: Occasion, now: Instant) {
        if self.round.is_some() {
            return;
        }
        let pause = match occasion {
            Occasion::News => ROUND_PAUSE,
            Occasion::Suspicion if self.is_settled() => SUSPICION_PAUSE,
            Occasion::Suspicion => ROUND_PAUSE,
        };
        let earliest = self.last_at.map_or(now, |last| last + pause);
        if occasion == Occasion::Suspicion && (self.is_bad() || now < earliest) {
            return;
        }
        self.tries = 0;
        self.idle_until = None;
        let at = earliest.max(now);
        self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
    }

    /// Returns from when on it wants to hear that somebody asks for a name ([`Self::stir`]).
    pub(crate) const fn idle_until(&self) -> Option<Instant> {
        self.idle_until
    }

    /// Hears that somebody asks for a name: the host is in use, and a round that has waited for that follows.
    pub(crate) fn stir(&mut self, now: Instant) {
        if self.idle_until.is_some_and(|until| until <= now) {
            self.idle_until = None;
            self.next_at = Some(now);
        }
    }

    /// Hears that somebody asks for the portal's own names.
    pub(crate) fn be_busy(&mut self, now: Instant) {
        self.busy_until = now + BUSY_TIME;
        if self.round.is_none() && self.is_captive() {
            let at = now + BUSY_PAUSE;
            self.idle_until = None;
            self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
        }
    }

    /// Returns the next deadline: the end of a round, or the beginning of the next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.round {
            Some(round) => Some(round.started_at + ROUND_TIME),
            None => self.next_at,
        }
    }

    /// Acts on a deadline; returns what is to be asked for a round that begins.
    pub(crate) fn handle_timeout(&mut self, has_page: bool, now: Instant) -> Vec<Part> {
        if let Some(round) = &self.round {
            if now >= round.started_at + ROUND_TIME {
                self.conclude(now);
            }
            return Vec::new();
        }
        if self.next_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        if self.ground.awaits_address && now < self.address_until {
            self.next_at = Some(self.address_until);
            return Vec::new();
        }
        (self.next_at, self.idle_until) = (None, None);
        self.last_at = Some(now);
        self.rounds = self.rounds.wrapping_add(1);
        let mut parts = Vec::new();
        if self.portal.api.is_some() {
            parts.push(Part::Portal);
        }
        // While a portal says that it is closed there is nothing to be found out beyond it.
        if self.portal.word() != Word::Captive {
            for family in self.families() {
                if has_page {
                    parts.push(Part::Page(family));
                }
                if self.ground.asks(family) {
                    parts.extend([Part::Raw(family), Part::Proof(family)]);
                }
            }
        }
        self.round = Some(Round {
            started_at: now,
            waiting: parts.iter().copied().collect(),
            seen: Vec::new(),
        });
        if parts.is_empty() {
            self.round = None;
            self.checking_until = None;
        }
        parts
    }

    /// Takes what a part of a round came to. What is late counts when it is good news.
    pub(crate) fn take(&mut self, rounds: u32, part: Part, seen: Seen, now: Instant) {
        if rounds != self.rounds && seen != Seen::Secure {
            return;
        }
        let Some(round) = &mut self.round else {
            return;
        };
        if !round.waiting.remove(&part) {
            return;
        }
        round.seen.push((part, seen));
        let is_captive = self.portal.word() == Word::Captive;
        let waits = |part: &Part| match part {
            Part::Portal | Part::Door => true,
            // Nothing beats a proof, and nothing that is answered says anything of what lies beyond a portal.
            Part::Raw(family) | Part::Proof(family) | Part::Page(family) => {
                !is_captive
                    && !round.seen.iter().any(|(other, seen)| {
                        *seen == Seen::Secure && family_of(*other) == Some(*family)
                    })
            }
        };
        if !round.waiting.iter().any(waits) {
            self.conclude(now);
        }
    }

    /// Takes what the portal's API said, or why it said nothing.
    pub(crate) fn take_portal(
        &mut self,
        rounds: u32,
        said: Result<PortalWord, Arc<str>>,
        now: Instant,
    ) {
        if rounds != self.rounds {
            return;
        }
        let seen = match said {
            Ok(word) => {
                if !self.is_captive() && word.captive {
                    // Whoever has just come here is about to log in.
                    self.busy_until = now + BUSY_TIME;
                }
                self.portal.word = Some(word);
                self.portal.said_at = now;
                self.portal.silences = 0;
                self.portal.trouble = None;
                Seen::Answered
            }
            Err(trouble) => {
                self.portal.addresses.clear();
                self.portal.trouble = Some(Arc::clone(&trouble));
                Seen::Failed(trouble)
            }
        };
        if self.portal.word() == Word::Captive {
            let why: Arc<str> = "its portal says that somebody has to log in".into();
            for (track, place) in self.tracks.iter_mut().zip(&mut self.why) {
                if let Some(track) = track {
                    track.take_word(Word::Captive, now);
                    *place = Arc::clone(&why);
                }
            }
        }
        match self.round.is_some() {
            true => self.take(rounds, Part::Portal, seen, now),
            // It took its time; what follows from its word follows all the same.
            false if self.is_captive() => self.rest(now),
            false => {}
        }
    }

    /// Whether it is to be looked for where any page leads to; notes that it is.
    pub(crate) fn seek_door(&mut self, now: Instant) -> bool {
        let is_due = self
            .portal
            .door_at
            .is_none_or(|at| now.since(at) >= DOOR_PAUSE);
        if self.ground.api.is_some() || !is_due {
            return false;
        }
        self.portal.door_at = Some(now);
        true
    }

    /// Takes where any page leads to.
    pub(crate) fn take_door(&mut self, door: Option<Url>) {
        if self.ground.api.is_none() {
            self.portal.door = door;
        }
    }

    fn conclude(&mut self, now: Instant) {
        let Some(round) = self.round.take() else {
            return;
        };
        self.checking_until = None;
        // What a portal said counts until it says otherwise; one that stays silent has lost its word.
        let portal_failed = round.waiting.contains(&Part::Portal)
            || round
                .seen
                .iter()
                .any(|(part, seen)| *part == Part::Portal && matches!(seen, Seen::Failed(_)));
        let was_captive = self.portal.word() == Word::Captive;
        if portal_failed {
            self.portal.silences = self.portal.silences.saturating_add(1);
            if self.portal.silences >= SILENCES_MAX {
                self.portal.word = None;
            }
            if round.waiting.contains(&Part::Portal) {
                self.portal.addresses.clear();
                self.portal.trouble = Some("its API does not answer in time".into());
            }
        }
        let asked = |family| {
            let parts = round
                .seen
                .iter()
                .map(|(part, _)| part)
                .chain(&round.waiting);
            parts.copied().any(|part| family_of(part) == Some(family))
        };
        let word = self.portal.word();
        let mut moved = false;
        for family in [Family::Ipv4, Family::Ipv6] {
            if !asked(family) {
                continue;
            }
            let (finding, why) = findings(&round.seen, family);
            if let Some(track) = &mut self.tracks[place(family)] {
                moved |= track.take(finding, word, now);
                if word != Word::Captive {
                    self.why[place(family)] = why;
                }
            }
        }
        if word != Word::Captive {
            // Nobody can be asked by this family; all that was known of it is the portal's word.
            for family in [Family::Ipv4, Family::Ipv6] {
                let asks = self.ground.asks(family);
                if let Some(track) = &mut self.tracks[place(family)]
                    && !asks
                    && track.last().is_none()
                    && track.reach == Reach::Portal
                {
                    *track = Track::new(now);
                    self.why[place(family)] = "nobody can be asked by this family".into();
                    moved = true;
                }
            }
        }
        if moved {
            self.tries = 0;
        }
        if !self.leads_to_portal() {
            self.portal.door = None;
            self.portal.door_at = None;
        }
        // What was held back while the portal was closed is asked for at once.
        let opened = word != Word::Captive && self.reaches().any(|reach| reach == Reach::Portal);
        match opened && !self.families().any(asked) {
            true => self.next_at = Some(now),
            false => self.rest(now),
        }
        if was_captive && portal_failed {
            (self.next_at, self.idle_until) = (Some(now + SOON), None);
        }
        if std::mem::take(&mut self.is_outdated) {
            self.suggest(Occasion::News, now);
        }
    }

    /// Decides when the next round is due.
    fn rest(&mut self, now: Instant) {
        (self.next_at, self.idle_until) = match self.pause(now) {
            Pause::For(pause) => (Some(now + pause), None),
            Pause::WhileIdle(pause) => (None, Some(now + pause)),
            Pause::Forever => (None, None),
        };
    }

    fn pause(&mut self, now: Instant) -> Pause {
        if self.is_captive() {
            if now < self.busy_until {
                return Pause::For(BUSY_PAUSE);
            }
            return self.back_off();
        }
        if !self.is_settled() {
            return Pause::For(SOON);
        }
        if self.is_bad() {
            return self.back_off();
        }
        let mut tracks = self.tracks.iter().flatten();
        let unproven = tracks.any(|track| track.reach == Reach::Unknown && track.last().is_some());
        if unproven && self.tries < UNPROVEN_TRIES {
            return self.back_off();
        }
        let remaining = self.portal.word.as_ref().and_then(|word| word.remaining);
        remaining.map_or(Pause::Forever, |remaining| {
            Pause::For(remaining.max(SESSION_MIN))
        })
    }

    fn back_off(&mut self) -> Pause {
        let pause = AGAIN_MIN.saturating_mul(1 << self.tries.min(16));
        let pause = pause.min(self.retry_max);
        self.tries = self.tries.saturating_add(1);
        match self.ground.is_uplink && self.tries > EAGER_TRIES {
            true => Pause::WhileIdle(pause),
            false => Pause::For(pause),
        }
    }

    /// Whether all tracks are where their findings lead; one that has never had any waits for nothing.
    fn is_settled(&self) -> bool {
        let mut tracks = self.tracks.iter().flatten();
        tracks.all(|track| track.is_settled() || track.last().is_none())
    }

    /// Whether anything but good is known of it.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let mut tracks = self.tracks.iter().flatten();
        tracks.any(|track| track.reach != Reach::Validated || !track.is_settled())
    }

    /// Whether something is known to be wrong, so that it is asked again anyway.
    fn is_bad(&self) -> bool {
        self.reaches()
            .any(|reach| matches!(reach, Reach::Portal | Reach::Nowhere))
    }

    fn reaches(&self) -> impl Iterator<Item = Reach> {
        self.tracks.iter().flatten().map(|track| track.reach)
    }

    fn families(&self) -> impl Iterator<Item = Family> {
        let known = |family: &Family| self.tracks[place(*family)].is_some();
        [Family::Ipv4, Family::Ipv6].into_iter().filter(known)
    }

    /// Whether the portal says that somebody has to log in.
    pub(crate) fn is_captive(&self) -> bool {
        self.portal.word() == Word::Captive
    }

    /// Whether the link leads to a portal, by its own word or by what it forges.
    pub(crate) fn leads_to_portal(&self) -> bool {
        self.is_captive() || self.reaches().any(|reach| reach == Reach::Portal)
    }

    /// Whether questions wait for the first round.
    pub(crate) fn is_checking(&self, now: Instant) -> bool {
        self.checking_until.is_some_and(|until| now < until)
    }

    /// Returns how far a family gets, since when, and why; `None` when it is not judged.
    pub(crate) fn track(&self, family: Family) -> Option<(Reach, Instant, &Arc<str>)> {
        let track = self.tracks[place(family)].as_ref()?;
        Some((track.reach, track.since, &self.why[place(family)]))
    }

    /// Whether a family has been tried to an end.
    pub(crate) fn is_tried(&self, family: Family) -> bool {
        let track = self.tracks[place(family)].as_ref();
        track.is_some_and(|track| track.is_tried)
    }
}

const fn place(family: Family) -> usize {
    match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 1,
    }
}

#[cfg(test)]
mod tests;
