//! How does an upstream want to be asked, as its own replies have shown? EDNS, streams, cookies, the spelling of a question.
//!
//! Nothing is inferred from loss alone, and everything that is given up is given up for a while. A cookie (RFC 7873, RFC 9018) is
//! sent by datagram to whoever takes EDNS; one that sent its own cookie back is believed only with it. Where there are no
//! cookies, the letters of the question are spelled at random and must come back so. Does not read messages.

use std::time::Duration;

use config::time::Instant;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::event::Channel;
use crate::networks;

/// How long something is remembered that an upstream cannot do.
const LIFETIME: Duration = Duration::from_secs(600);
/// How soon a datagram is tried again where streams alone brought something, and how rarely in the end.
const TRIAL_MIN: Duration = Duration::from_secs(1);
const TRIAL_MAX: Duration = Duration::from_secs(60);
/// Replies by stream, where the datagrams were not to be believed, that show that it is the upstream's way.
const DOUBTS_MAX: u8 = 3;
/// Questions that were answered without a cookie only, after which none is sent.
const BARE_WINS_MAX: u8 = 3;

/// A client cookie (RFC 7873 §4).
pub(crate) type ClientCookie = [u8; 8];

/// What makes a message hard to answer for anybody but its upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Guise {
    /// The cookie option: ours, and the server's if it is known.
    pub(crate) cookie: Option<(ClientCookie, Box<[u8]>)>,
    /// Whether a reply without cookie is suspicious.
    pub(crate) expects_cookie: bool,
    /// Whether the letters of the question are spelled at random.
    pub(crate) spells: bool,
}

/// Why a reply is not believed although it has the right id and question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The question is spelled otherwise.
    Spelling,
    /// It has no cookie.
    Cookie,
}

/// What is known of an upstream's manners.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    plain_until: Option<Instant>,
    stream_until: Option<Instant>,
    /// When it is tried whether datagrams get through again, and the pause after that.
    trial_at: Instant,
    trial_pause: Duration,
    /// When the youngest datagram left that was replied to.
    datagram_heard: Option<Instant>,
    respells_until: Option<Instant>,
    client_cookie: Option<ClientCookie>,
    /// The server's cookie; empty before it sent one.
    server_cookie: Box<[u8]>,
    /// Whether it ever replied to a message with a cookie.
    takes_cookies: bool,
    no_cookies_until: Option<Instant>,
    /// Until when a missing cookie means nothing.
    lax_until: Option<Instant>,
    doubts: u8,
    bare_wins: u8,
}

impl Manners {
    /// Begins with what is remembered.
    pub(crate) fn new(known: networks::Manners, now: Instant) -> Self {
        let until = |known: bool| known.then_some(now + LIFETIME);
        Self {
            plain_until: until(known.plain),
            stream_until: until(known.stream),
            trial_at: now,
            trial_pause: TRIAL_MIN,
            datagram_heard: None,
            respells_until: until(known.respells),
            client_cookie: None,
            server_cookie: Box::default(),
            takes_cookies: known.cookies,
            no_cookies_until: None,
            lax_until: None,
            doubts: 0,
            bare_wins: 0,
        }
    }

    /// Returns what is worth remembering.
    pub(crate) fn known(&self, now: Instant) -> networks::Manners {
        networks::Manners {
            plain: lasts(self.plain_until, now),
            stream: lasts(self.stream_until, now),
            cookies: self.has_cookie(),
            respells: lasts(self.respells_until, now),
        }
    }

    /// Whether a query to it carries EDNS.
    pub(crate) fn takes_edns(&self, now: Instant) -> bool {
        !lasts(self.plain_until, now)
    }

    /// Whether it is known to stand a cookie: then a message that was lost is sent again with one.
    pub(crate) fn takes_cookies(&self) -> bool {
        self.takes_cookies
    }

    /// Returns how it is asked first.
    pub(crate) fn channel(&self, now: Instant) -> Channel {
        match lasts(self.stream_until, now) {
            true => Channel::Tcp,
            false => Channel::Udp,
        }
    }

    /// Dresses a datagram.
    pub(crate) fn dress(&mut self, rng: &mut StdRng, now: Instant) -> Guise {
        // RFC 9018 §3: of its own for each server; drawn anew when the network or our address is another one.
        let client = *self.client_cookie.get_or_insert_with(|| rng.random());
        let sends = !lasts(self.no_cookies_until, now);
        let has_cookie = sends && self.has_cookie();
        Guise {
            cookie: sends.then(|| (client, self.server_cookie.clone())),
            expects_cookie: has_cookie && !lasts(self.lax_until, now),
            spells: !has_cookie && !lasts(self.respells_until, now),
        }
    }

    /// Takes the cookie of a reply that is believed; `None` when it has none.
    pub(crate) fn note_cookie(&mut self, server: Option<&[u8]>) {
        self.takes_cookies = true;
        self.bare_wins = 0;
        if let Some(server) = server {
            self.server_cookie = server.into();
        }
    }

    /// Throws the cookies away: who asks from another address is somebody else (RFC 7873 §6).
    pub(crate) fn renew_cookie(&mut self) {
        self.client_cookie = None;
        self.server_cookie = Box::default();
    }

    /// Remembers that it answered without EDNS what it had called an error with EDNS.
    pub(crate) fn note_plain(&mut self, now: Instant) {
        self.plain_until = Some(now + LIFETIME);
    }

    /// Remembers that a stream brought what datagrams did not, to a question of `asked_at`. Where others' datagrams since were
    /// replied to, those of this one were lost, no more.
    pub(crate) fn note_stream(&mut self, asked_at: Instant, now: Instant) {
        if self.datagram_heard >= Some(asked_at) {
            return;
        }
        self.stream_until = Some(now + LIFETIME);
        self.trial_at = now + TRIAL_MIN;
        self.trial_pause = TRIAL_MIN;
    }

    /// Notes that a datagram of `sent_at` was replied to: streams alone are not its way, whatever was so before.
    pub(crate) fn note_datagram(&mut self, sent_at: Instant) {
        self.datagram_heard = self.datagram_heard.max(Some(sent_at));
        self.stream_until = None;
    }

    /// Whether a copy of a question goes by datagram to one that is asked by stream; if so, the next one waits.
    pub(crate) fn take_trial(&mut self, now: Instant) -> bool {
        let is_due = lasts(self.stream_until, now) && now >= self.trial_at;
        if is_due {
            self.trial_at = now + self.trial_pause;
            self.trial_pause = (self.trial_pause * 2).min(TRIAL_MAX);
        }
        is_due
    }

    /// Notes that it answered without a cookie, after the same question with one had brought nothing.
    pub(crate) fn note_bare(&mut self, error: bool, now: Instant) {
        if self.takes_cookies && !error {
            return;
        }
        self.bare_wins = self.bare_wins.saturating_add(1);
        if error || self.bare_wins >= BARE_WINS_MAX {
            self.no_cookies_until = Some(now + LIFETIME);
        }
    }

    /// Notes that it answered by stream after a datagram that was not to be believed; `same` says that both told the same.
    pub(crate) fn note_doubt(&mut self, doubt: Doubt, same: bool, now: Instant) {
        self.doubts = self.doubts.saturating_add(1);
        if !same && self.doubts < DOUBTS_MAX {
            return;
        }
        self.doubts = 0;
        match doubt {
            Doubt::Spelling => self.respells_until = Some(now + LIFETIME),
            Doubt::Cookie => {
                self.server_cookie = Box::default();
                self.lax_until = Some(now + LIFETIME);
            }
        }
    }

    /// Says what is not as usual, for `status`.
    pub(crate) fn describe(&self, now: Instant) -> Vec<&'static str> {
        let rows = [
            (lasts(self.plain_until, now), "no EDNS"),
            (lasts(self.stream_until, now), "TCP only"),
            (self.has_cookie(), "cookies"),
            (lasts(self.no_cookies_until, now), "no cookies"),
            (lasts(self.respells_until, now), "respells"),
        ];
        let told = rows.into_iter().filter(|(so, _)| *so);
        told.map(|(_, text)| text).collect()
    }

    fn has_cookie(&self) -> bool {
        !self.server_cookie.is_empty()
    }
}

fn lasts(until: Option<Instant>, now: Instant) -> bool {
    until.is_some_and(|until| now < until)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn met(known: networks::Manners) -> (Manners, StdRng) {
        (
            Manners::new(known, Instant::ZERO),
            StdRng::from_seed([1; 32]),
        )
    }

    fn fresh() -> (Manners, StdRng) {
        met(networks::Manners::default())
    }

    const LATER: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn what_it_cannot_do_is_remembered_for_a_while() {
        let (mut manners, _) = fresh();
        manners.note_plain(Instant::ZERO);
        manners.note_stream(Instant::ZERO, Instant::ZERO);
        assert!(!manners.takes_edns(LATER));
        assert_eq!(manners.channel(LATER), Channel::Tcp);
        assert_eq!(manners.describe(LATER), ["no EDNS", "TCP only"]);
        let end = Instant::ZERO + LIFETIME;
        assert!(manners.takes_edns(end));
        assert_eq!(manners.channel(end), Channel::Udp);
        assert!(manners.describe(end).is_empty());
    }

    #[test]
    fn streams_alone_are_its_way_only_until_a_datagram_is_replied_to() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let (mut manners, _) = fresh();
        // Another question's datagram got through meanwhile: this one's were lost.
        manners.note_datagram(at(500));
        manners.note_stream(at(400), at(900));
        assert_eq!(manners.channel(at(900)), Channel::Udp);
        manners.note_stream(at(600), at(1000));
        assert_eq!(manners.channel(at(1000)), Channel::Tcp);
        let trials: Vec<u64> = (1..300)
            .filter(|second| manners.take_trial(at(second * 1000)))
            .collect();
        assert_eq!(trials, [2, 3, 5, 9, 17, 33, 65, 125, 185, 245]);
        manners.note_datagram(at(245_000));
        assert_eq!(manners.channel(at(245_000)), Channel::Udp);
        assert!(!manners.take_trial(at(999_000)));
        // What is only remembered is tried at once.
        let (mut manners, _) = met(networks::Manners {
            stream: true,
            ..networks::Manners::default()
        });
        assert!(manners.take_trial(Instant::ZERO));
    }

    #[test]
    fn a_hint_lasts_as_long_as_what_is_seen() {
        let (mut manners, mut rng) = met(networks::Manners {
            plain: true,
            stream: true,
            cookies: true,
            respells: true,
        });
        assert!(!manners.takes_edns(LATER));
        let guise = manners.dress(&mut rng, LATER);
        assert!(!guise.spells && !guise.expects_cookie, "{guise:?}");
        let end = Instant::ZERO + LIFETIME;
        assert!(manners.takes_edns(end) && manners.dress(&mut rng, end).spells);
    }

    #[test]
    fn cookies_are_per_upstream_and_new_with_another_address() {
        let (mut one, mut rng) = fresh();
        let (mut other, _) = fresh();
        let cookie =
            |manners: &mut Manners, rng: &mut StdRng| manners.dress(rng, LATER).cookie.unwrap();
        let first = cookie(&mut one, &mut rng);
        assert_eq!(first, cookie(&mut one, &mut rng));
        assert_ne!(first, cookie(&mut other, &mut rng));
        one.note_cookie(Some(&[7; 16]));
        assert_eq!(*cookie(&mut one, &mut rng).1, [7; 16]);
        one.renew_cookie();
        let renewed = cookie(&mut one, &mut rng);
        assert!(renewed.0 != first.0 && renewed.1.is_empty());
    }

    #[test]
    fn letters_are_spelled_until_there_are_cookies_and_replies_need_them_then() {
        let (mut manners, mut rng) = fresh();
        let guise = manners.dress(&mut rng, LATER);
        assert!(guise.spells && !guise.expects_cookie);
        manners.note_cookie(Some(&[7; 16]));
        let guise = manners.dress(&mut rng, LATER);
        assert!(!guise.spells && guise.expects_cookie);
        // A server behind the same address that knows none: asked by stream, it says the same.
        manners.note_doubt(Doubt::Cookie, true, LATER);
        let guise = manners.dress(&mut rng, LATER);
        assert!(guise.spells && !guise.expects_cookie);
        manners.note_cookie(Some(&[7; 16]));
        assert!(!manners.dress(&mut rng, LATER).expects_cookie);
    }

    #[test]
    fn other_spelling_is_accepted_when_the_stream_says_the_same_or_after_three_times() {
        let (mut manners, mut rng) = fresh();
        manners.note_doubt(Doubt::Spelling, false, LATER);
        manners.note_doubt(Doubt::Spelling, false, LATER);
        assert!(manners.dress(&mut rng, LATER).spells);
        manners.note_doubt(Doubt::Spelling, false, LATER);
        assert!(!manners.dress(&mut rng, LATER).spells);
        let (mut manners, mut rng) = fresh();
        manners.note_doubt(Doubt::Spelling, true, LATER);
        assert!(!manners.dress(&mut rng, LATER).spells);
    }

    #[test]
    fn no_cookie_is_sent_where_only_messages_without_are_answered() {
        let (mut manners, mut rng) = fresh();
        for _ in 0..BARE_WINS_MAX {
            assert!(manners.dress(&mut rng, LATER).cookie.is_some());
            manners.note_bare(false, LATER);
        }
        assert_eq!(manners.dress(&mut rng, LATER).cookie, None);
        // One that has shown that it takes them lost a message, no more.
        let (mut manners, mut rng) = fresh();
        manners.note_cookie(None);
        for _ in 0..10 {
            manners.note_bare(false, LATER);
        }
        assert!(manners.dress(&mut rng, LATER).cookie.is_some());
    }
}
