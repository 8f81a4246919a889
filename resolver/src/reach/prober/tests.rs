//! Rounds, pauses and what a portal says, by a clock that is an argument.

use policy::plan::ScopeLink;
use policy::{LinkId, ScopeId};

use super::*;
use config::model::Upstream;

const V4: Family = Family::Ipv4;

fn ground(api: Option<&str>) -> Ground {
    Ground {
        link: ScopeLink {
            name: "wlan0".into(),
            id: Some(LinkId { index: 2, birth: 1 }),
        },
        scope: Some(ScopeId("supplied@wlan0".into())),
        upstreams: vec![Upstream::plain("192.0.2.53".parse().unwrap())],
        v4: true,
        v6: false,
        is_uplink: true,
        awaits_address: false,
        api: api.map(Into::into),
        network: None,
    }
}

/// A prober, and the time.
struct Clocked {
    prober: Prober,
    now: Instant,
}

impl Clocked {
    fn new(api: Option<&str>) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let hold = Duration::from_secs(2);
        Self {
            prober: Prober::new(ground(api), hold, Duration::from_secs(300), now),
            now,
        }
    }

    /// Goes on to the next round, as on a host where somebody always asks for something; returns how long that took, and what is asked.
    fn round(&mut self) -> Option<(Duration, Vec<Part>)> {
        if let Some(at) = self.prober.idle_until() {
            self.prober.stir(at);
        }
        let at = self.prober.poll_timeout()?;
        let waited = at.since(self.now);
        self.now = self.now.max(at);
        let parts = self.prober.handle_timeout(false, self.now);
        Some((waited, parts))
    }

    fn find(&mut self, seen: &Seen) -> Duration {
        let (waited, parts) = self.round().expect("a round is due");
        assert!(!parts.is_empty());
        let rounds = self.prober.rounds;
        for part in parts {
            if part != Part::Portal {
                self.prober.take(rounds, part, seen.clone(), self.now);
            }
        }
        waited
    }

    fn reach(&self) -> Reach {
        self.prober.track(V4).unwrap().0
    }
}

fn failed() -> Seen {
    Seen::Failed("no answer".into())
}

fn word(captive: bool, remaining: Option<u64>) -> PortalWord {
    PortalWord {
        captive,
        remaining: remaining.map(Duration::from_secs),
        ..PortalWord::default()
    }
}

#[test]
fn a_link_that_works_is_left_alone() {
    let mut clocked = Clocked::new(None);
    assert_eq!(clocked.find(&Seen::Secure), Duration::ZERO);
    assert_eq!(clocked.reach(), Reach::Validated);
    assert_eq!(clocked.prober.poll_timeout(), None);
    assert!(clocked.prober.is_tried(V4));
}

#[test]
fn pauses_double_up_to_the_longest_and_begin_anew_with_news() {
    let mut clocked = Clocked::new(None);
    let mut waits = Vec::new();
    for _ in 0..12 {
        waits.push(clocked.find(&failed()).as_secs());
    }
    assert_eq!(waits, [0, 1, 1, 5, 10, 20, 40, 80, 160, 300, 300, 300]);
    assert_eq!(clocked.reach(), Reach::Nowhere);
    clocked.prober.suggest(Occasion::News, clocked.now);
    assert_eq!(clocked.find(&failed()).as_secs(), 1);
    assert_eq!(clocked.find(&failed()).as_secs(), 5);
}

#[test]
fn a_host_that_nobody_uses_is_not_woken_for_a_link_that_leads_nowhere() {
    let mut clocked = Clocked::new(None);
    for _ in 0..6 {
        clocked.find(&failed());
    }
    assert_eq!(clocked.prober.poll_timeout(), None);
    let after = |seconds| clocked.now + Duration::from_secs(seconds);
    assert_eq!(clocked.prober.idle_until(), Some(after(40)));
    let (early, late) = (after(39), after(4000));
    clocked.prober.stir(early);
    assert_eq!(clocked.prober.poll_timeout(), None);
    // Hours later somebody asks: a round follows at once, and the pause goes on to double.
    clocked.prober.stir(late);
    assert_eq!(clocked.prober.poll_timeout(), Some(late));
    clocked.now = late;
    clocked.find(&failed());
    let after = |seconds| late + Duration::from_secs(seconds);
    assert_eq!(clocked.prober.idle_until(), Some(after(80)));
    // News do not wait for anybody, and are followed closely again.
    clocked.prober.suggest(Occasion::News, late);
    assert_eq!(clocked.prober.idle_until(), None);
    assert_eq!(clocked.find(&failed()).as_secs(), 1);
    assert_eq!(clocked.prober.poll_timeout(), Some(after(6)));
    // One that packets do not go out by is tried all the same: the host may want it.
    let other = Ground {
        is_uplink: false,
        ..ground(None)
    };
    clocked.prober.apply(other, clocked.now);
    for _ in 0..20 {
        clocked.find(&failed());
        assert_eq!(clocked.prober.idle_until(), None);
        assert!(clocked.prober.poll_timeout().is_some());
    }
}

#[test]
fn a_round_without_an_answer_ends_by_itself_and_late_good_news_count() {
    let mut clocked = Clocked::new(None);
    let (_, parts) = clocked.round().unwrap();
    assert_eq!(parts, [Part::Raw(V4), Part::Proof(V4)]);
    let first = clocked.prober.rounds;
    let (waited, parts) = clocked.round().unwrap();
    assert_eq!((waited, parts), (ROUND_TIME, Vec::new()));
    // The next is under way when the answer to the first comes.
    let (waited, parts) = clocked.round().unwrap();
    assert_eq!((waited, parts.len()), (SOON, 2));
    let now = clocked.now;
    clocked
        .prober
        .take(first, Part::Raw(V4), Seen::Addresses, now);
    assert_eq!(clocked.reach(), Reach::Unknown);
    clocked
        .prober
        .take(first, Part::Proof(V4), Seen::Secure, now);
    assert_eq!(clocked.reach(), Reach::Validated);
}

#[test]
fn what_comes_while_a_round_is_under_way_has_a_round_of_its_own() {
    let mut clocked = Clocked::new(None);
    let (_, parts) = clocked.round().unwrap();
    assert_eq!(parts, [Part::Raw(V4), Part::Proof(V4)]);
    // A router, a moment after the lease: another family, and a portal.
    let api = Some("https://portal.test/api");
    let both = Ground {
        v6: true,
        upstreams: vec![
            Upstream::plain("192.0.2.53".parse().unwrap()),
            Upstream::plain("2001:db8::53".parse().unwrap()),
        ],
        ..ground(api)
    };
    clocked.prober.apply(both.clone(), clocked.now);
    let rounds = clocked.prober.rounds;
    let proof = Part::Proof(V4);
    let take = |clocked: &mut Clocked, part, rounds| {
        let now = clocked.now;
        clocked.prober.take(rounds, part, Seen::Secure, now);
    };
    take(&mut clocked, proof, rounds);
    assert_eq!(clocked.reach(), Reach::Validated);
    let (waited, parts) = clocked.round().unwrap();
    assert_eq!(waited, ROUND_PAUSE);
    assert_eq!(parts[0], Part::Portal);
    assert!(parts.contains(&Part::Proof(Family::Ipv6)), "{parts:?}");
    // Nothing is new any more.
    clocked.prober.apply(both, clocked.now);
    let rounds = clocked.prober.rounds;
    let (now, said) = (clocked.now, Ok(word(false, None)));
    clocked.prober.take_portal(rounds, said, now);
    take(&mut clocked, proof, rounds);
    take(&mut clocked, Part::Proof(Family::Ipv6), rounds);
    assert_eq!(clocked.prober.poll_timeout(), None);
}

#[test]
fn answers_that_prove_nothing_are_asked_for_a_few_times_only() {
    let mut clocked = Clocked::new(None);
    let mut waits = Vec::new();
    while clocked.prober.poll_timeout().is_some() {
        waits.push(clocked.find(&Seen::Answered).as_secs());
    }
    assert_eq!(waits, [0, 5, 10, 20]);
    assert_eq!(clocked.reach(), Reach::Unknown);
    assert!(clocked.prober.is_tried(V4));
}

#[test]
fn suspicion_of_a_link_that_has_just_been_tried_is_not_heard() {
    let mut clocked = Clocked::new(None);
    clocked.find(&Seen::Secure);
    clocked.prober.suggest(Occasion::Suspicion, clocked.now);
    assert_eq!(clocked.prober.poll_timeout(), None);
    clocked.now = clocked.now + SUSPICION_PAUSE;
    clocked.prober.suggest(Occasion::Suspicion, clocked.now);
    assert_eq!(clocked.find(&Seen::Secure), Duration::ZERO);
}

#[test]
fn while_a_portal_is_closed_it_alone_is_asked_often_at_first_and_rarely_later() {
    let mut clocked = Clocked::new(Some("https://portal.test/api"));
    let (_, parts) = clocked.round().unwrap();
    assert_eq!(parts, [Part::Portal, Part::Raw(V4), Part::Proof(V4)]);
    assert!(clocked.prober.is_checking(clocked.now));
    let say = |clocked: &mut Clocked, word| {
        let rounds = clocked.prober.rounds;
        clocked.prober.take_portal(rounds, Ok(word), clocked.now);
    };
    say(&mut clocked, word(true, None));
    assert_eq!(clocked.reach(), Reach::Portal);
    assert!(
        !clocked.prober.is_checking(clocked.now),
        "the round is over"
    );
    let began = clocked.now;
    let mut rounds = 0;
    let mut last = Duration::ZERO;
    while clocked.now.since(began) < Duration::from_secs(1200) {
        let (waited, parts) = clocked.round().unwrap();
        assert_eq!(parts, [Part::Portal]);
        say(&mut clocked, word(true, None));
        rounds += 1;
        last = waited;
    }
    assert!((85..=100).contains(&rounds), "{rounds}");
    assert_eq!(last.as_secs(), 300);
    // Somebody asks for its page: it is asked often again.
    clocked.prober.be_busy(clocked.now);
    assert_eq!(clocked.round().unwrap().0, BUSY_PAUSE);
    // It opens: the rest is asked for at once.
    say(&mut clocked, word(false, Some(326)));
    let (waited, parts) = clocked.round().unwrap();
    assert_eq!((waited, parts.len()), (Duration::ZERO, 3));
    let rounds = clocked.prober.rounds;
    clocked
        .prober
        .take(rounds, Part::Proof(V4), Seen::Secure, clocked.now);
    say(&mut clocked, word(false, Some(326)));
    assert_eq!(clocked.reach(), Reach::Validated);
    let (waited, _) = clocked.round().unwrap();
    assert_eq!(waited.as_secs(), 326);
}

#[test]
fn a_portal_that_falls_silent_has_lost_its_word() {
    let mut clocked = Clocked::new(Some("https://portal.test/api"));
    clocked.round();
    let rounds = clocked.prober.rounds;
    clocked
        .prober
        .take_portal(rounds, Ok(word(true, None)), clocked.now);
    assert!(clocked.prober.is_captive());
    for silences in 1..=3 {
        let (_, parts) = clocked.round().unwrap();
        assert_eq!(parts, [Part::Portal]);
        let rounds = clocked.prober.rounds;
        let why = "its API: it cannot be reached".into();
        clocked.prober.take_portal(rounds, Err(why), clocked.now);
        assert_eq!(clocked.prober.is_captive(), silences < 3);
    }
    assert_eq!(
        clocked.reach(),
        Reach::Portal,
        "until something else is found"
    );
    let (_, parts) = clocked.round().unwrap();
    assert_eq!(parts.len(), 3);
    let rounds = clocked.prober.rounds;
    clocked
        .prober
        .take(rounds, Part::Proof(V4), Seen::Secure, clocked.now);
    let (waited, parts) = clocked.round().unwrap();
    assert_eq!((waited, parts.len()), (ROUND_TIME, 0));
    assert_eq!(clocked.reach(), Reach::Validated);
}

#[test]
fn a_family_that_nobody_can_be_asked_by_follows_the_portals_word_only() {
    let mut clocked = Clocked::new(Some("https://portal.test/api"));
    let both = Ground {
        v6: true,
        ..ground(Some("https://portal.test/api"))
    };
    clocked.prober.apply(both, clocked.now);
    let v6 = |clocked: &Clocked| clocked.prober.track(Family::Ipv6).unwrap().0;
    clocked.round();
    let say = |clocked: &mut Clocked, word| {
        let rounds = clocked.prober.rounds;
        clocked.prober.take_portal(rounds, Ok(word), clocked.now);
    };
    say(&mut clocked, word(true, None));
    assert_eq!(
        (clocked.reach(), v6(&clocked)),
        (Reach::Portal, Reach::Portal)
    );
    clocked.round();
    say(&mut clocked, word(false, None));
    clocked.round();
    let rounds = clocked.prober.rounds;
    clocked
        .prober
        .take(rounds, Part::Proof(V4), Seen::Secure, clocked.now);
    say(&mut clocked, word(false, None));
    assert_eq!(
        (clocked.reach(), v6(&clocked)),
        (Reach::Validated, Reach::Unknown)
    );
    assert!(!clocked.prober.is_tried(Family::Ipv6));
    assert_eq!(clocked.prober.poll_timeout(), None);
}

#[test]
fn nothing_is_asked_before_there_is_an_address_to_ask_from_but_that_is_not_waited_for_long() {
    let awaiting = || Ground {
        awaits_address: true,
        ..ground(Some("https://portal.test/api"))
    };
    let begin = || {
        let mut clocked = Clocked::new(None);
        let hold = Duration::from_secs(2);
        clocked.prober = Prober::new(awaiting(), hold, hold, clocked.now);
        let (waited, parts) = clocked.round().unwrap();
        assert_eq!((waited, parts), (Duration::ZERO, Vec::new()));
        assert!(clocked.prober.is_checking(clocked.now));
        clocked
    };
    // It comes a moment later, and the round begins with it. That there is other news before is no reason.
    let mut clocked = begin();
    clocked.now = clocked.now + Duration::from_millis(1);
    let news = Ground {
        is_uplink: false,
        ..awaiting()
    };
    clocked.prober.apply(news.clone(), clocked.now);
    assert_eq!(clocked.round(), Some((Duration::ZERO, Vec::new())));
    let there = Ground {
        awaits_address: false,
        ..news.clone()
    };
    clocked.prober.apply(there, clocked.now);
    let (waited, parts) = clocked.round().unwrap();
    assert_eq!((waited, parts.len()), (Duration::ZERO, 3));
    // It goes, and is waited for again.
    clocked.now = clocked.now + Duration::from_secs(60);
    clocked.prober.handle_timeout(false, clocked.now);
    clocked.prober.apply(news, clocked.now);
    assert_eq!(clocked.round(), Some((Duration::ZERO, Vec::new())));
    let until = clocked.now + ADDRESS_WAIT;
    assert_eq!(clocked.prober.poll_timeout(), Some(until));
    // It never comes.
    let mut clocked = begin();
    let (waited, parts) = clocked.round().unwrap();
    assert_eq!((waited, parts.len()), (ADDRESS_WAIT, 3));
}
