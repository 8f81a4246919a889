//! Is no packet number ever used twice? A kernel and a disk of glass, and a daemon that dies at each call, twice.

use config::matcher::Mac;
use config::model::ChannelId;

use super::*;
use crate::kinds::macsec::{Key, KeyId};

const LINK: u32 = 7;
const CHANNEL: ChannelId = ChannelId {
    mac: Mac([2, 0, 0, 0, 0, 1]),
    port: 1,
};

fn key() -> Key {
    Key::of_hex(&"0f".repeat(16)).unwrap()
}

/// The world outside of the daemon.
#[derive(Debug, Clone, Default)]
struct Glass {
    disk: Option<String>,
    is_disk_full: bool,
    is_marked: bool,
    left: Vec<Moment>,
    /// Goes on with each call.
    now: Duration,
    /// Number, key, next packet number, whether it is on.
    sends: BTreeMap<u8, Held>,
    is_link_gone: bool,
    channel: Option<ChannelId>,
    refuses_add: bool,
    /// The first number of each use that has not gone out.
    unused_by_use: BTreeMap<Use, u64>,
    /// How many frames go out before each call.
    pace: u64,
    calls: usize,
    dies_at: Option<(usize, bool)>,
    is_dead: bool,
    writes: usize,
    /// What happens, for whoever sees it fail.
    story: String,
}

impl Glass {
    fn channel(&self) -> ChannelId {
        self.channel.unwrap_or(CHANNEL)
    }

    /// Sends frames; none may have the number of an earlier one.
    fn send(&mut self, frames: u64) {
        let channel = self.channel();
        for held in self.sends.values_mut().filter(|held| held.active) {
            let one = Use {
                key: held.key,
                channel,
            };
            let unused = self.unused_by_use.entry(one).or_insert(1);
            assert!(
                held.next >= *unused,
                "{} goes out, and everything below {unused} has been used: {}\n{:?}",
                held.next,
                self.story,
                self.disk
            );
            held.next = (held.next + frames).min(END);
            *unused = held.next;
            if held.next == END {
                // As the kernel does.
                *held = Held {
                    next: 0,
                    active: false,
                    ..*held
                };
            }
        }
    }

    /// Does something, unless the daemon dies before it; it may die right after.
    fn call<T>(
        &mut self,
        effect: impl FnOnce(&mut Self) -> Result<T, Arc<str>>,
    ) -> Result<T, Arc<str>> {
        if self.is_dead {
            return Err("dead".into());
        }
        self.send(self.pace);
        self.now += Duration::from_millis(1);
        self.calls += 1;
        match self.dies_at {
            Some((at, is_done)) if at == self.calls => {
                if is_done {
                    drop(effect(self));
                }
                self.is_dead = true;
                Err("dead".into())
            }
            Some(_) | None => effect(self),
        }
    }
}

impl Hands for Glass {
    fn keep(&mut self, text: &str) -> Result<(), Arc<str>> {
        self.call(|glass| {
            if glass.is_disk_full {
                return Err("no space left".into());
            }
            glass.writes += 1;
            glass.disk = Some(text.to_owned());
            Ok(())
        })
    }

    fn read(&mut self) -> Result<BTreeMap<u32, Reading>, Arc<str>> {
        self.call(|glass| {
            if glass.is_link_gone {
                return Ok(BTreeMap::new());
            }
            let reading = Reading {
                channel: glass.channel(),
                key_length: 16,
                offloaded: false,
                sends: glass.sends.clone(),
                receives: BTreeMap::new(),
            };
            Ok(BTreeMap::from([(LINK, reading)]))
        })
    }

    fn act(&mut self, index: u32, step: Step<'_>) -> Result<(), Arc<str>> {
        assert_eq!(index, LINK);
        self.call(|glass| {
            match step {
                Step::Add { number, key, next } => {
                    if glass.refuses_add || glass.sends.contains_key(&number) {
                        return Err("busy".into());
                    }
                    let held = Held {
                        key: key.id(),
                        next: next.into(),
                        active: true,
                    };
                    glass.sends.insert(number, held);
                }
                Step::Switch {
                    number,
                    is_on,
                    next,
                } => {
                    let held = glass.sends.get_mut(&number).ok_or("none")?;
                    held.active = is_on;
                    if let Some(next) = next {
                        held.next = next.into();
                    }
                }
                Step::Remove { number } => {
                    if glass.sends.get(&number).ok_or("none")?.active {
                        return Err("busy".into());
                    }
                    glass.sends.remove(&number);
                }
            }
            Ok(())
        })
    }
}

fn counting(glass: &Glass, boot: u32) -> Counting {
    let boot = format!("boot{boot}").into();
    Counting::new(
        Ok(glass.disk.clone()),
        &glass.left,
        boot,
        Instant::ZERO + glass.now,
    )
}

/// Orders it, and has the key marked where that is wanted.
fn order(glass: &mut Glass, counting: &mut Counting, number: u8) -> Result<Option<Sends>, NotSent> {
    let key = key();
    for _ in 0..2 {
        let sender = Sender {
            number,
            key: &key,
            is_marked: glass.is_marked,
        };
        counting.tell_time(Instant::ZERO + glass.now);
        let sends = counting.set(glass, LINK, Some(&sender))?;
        if sends != Some(Sends::NeedsMark) {
            return Ok(sends);
        }
        let marked = glass.call(|glass| {
            glass.is_marked = true;
            Ok(())
        });
        marked.map_err(NotSent::NotKept)?;
    }
    panic!("it was marked");
}

/// Lets as much time pass as there may be between two looks, with as many frames as there can be, and looks.
fn look(glass: &mut Glass, counting: &mut Counting) -> Vec<(u32, NotSent)> {
    // Nobody waits any more: what goes out after a death is the story's business.
    if let Some(wait) = counting.next_look().filter(|_| !glass.is_dead) {
        glass.send(u64::try_from(wait.as_millis()).unwrap() * PER_SECOND / 1000);
    }
    counting.tell_time(Instant::ZERO + glass.now);
    counting.look(glass)
}

/// A daemon's life, as far as it comes.
fn life(glass: &mut Glass, boot: u32) -> Result<(), NotSent> {
    glass.now += Duration::from_millis(1);
    let mut counting = counting(glass, boot);
    order(glass, &mut counting, 0)?;
    look(glass, &mut counting);
    // The same key under another number shares its packet numbers.
    order(glass, &mut counting, 1)?;
    glass.is_disk_full = true;
    look(glass, &mut counting);
    look(glass, &mut counting);
    glass.is_disk_full = false;
    look(glass, &mut counting);
    counting.stop(glass);
    Ok(())
}

/// What happens after the daemon's death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// It comes back at once.
    Back,
    /// It comes back at once, and what its helper said of the death comes later still.
    BackAndLate,
    /// It comes back after long.
    BackLate,
    /// It stays away, and then there is no power.
    AwayAndDark,
    /// It stays away, and then the link is removed and made anew.
    AwayAndGone,
    /// All dies at once.
    Dark,
    /// The helper is killed too, and both come back at once.
    BothBack,
}

const AFTERS: [After; 7] = [
    After::Back,
    After::BackAndLate,
    After::BackLate,
    After::AwayAndDark,
    After::AwayAndGone,
    After::Dark,
    After::BothBack,
];

/// Says from when on nobody watches, as the helper does.
fn leave(glass: &mut Glass, from: Moment) {
    glass.left.retain(|moment| moment.boot != from.boot);
    glass.left.push(from);
}

/// Follows a death; returns what the helper says too late.
fn after(glass: &mut Glass, after: After, boot: &mut u32) -> Option<Moment> {
    let dead = Moment {
        boot: format!("boot{boot}").into(),
        at: glass.now,
    };
    glass.is_dead = false;
    glass.dies_at = None;
    glass.calls = 0;
    glass.is_disk_full = false;
    match after {
        After::Back => leave(glass, dead),
        After::BackAndLate => return Some(dead),
        After::BackLate => {
            leave(glass, dead);
            glass.send(3 * BLOCK);
        }
        After::AwayAndDark => {
            leave(glass, dead);
            glass.send(3 * BLOCK);
            glass.sends.clear();
            *boot += 1;
            glass.now = Duration::from_millis(5);
        }
        After::AwayAndGone => {
            leave(glass, dead);
            glass.send(3 * BLOCK);
            glass.sends.clear();
        }
        After::Dark => {
            glass.sends.clear();
            *boot += 1;
            glass.now = Duration::from_millis(5);
        }
        After::BothBack => glass.send(PER_SECOND / 4),
    }
    None
}

#[test]
fn no_number_goes_out_twice_wherever_the_daemon_dies() {
    let mut quiet = Glass {
        pace: 1,
        ..Glass::default()
    };
    life(&mut quiet, 0).unwrap();
    let (calls, mut refused, mut stories) = (quiet.calls, 0, 0);
    assert!(calls > 25, "{calls}");
    for first in 1..=calls + 1 {
        for (is_done, first_after) in [false, true]
            .into_iter()
            .flat_map(|is_done| AFTERS.map(|after| (is_done, after)))
        {
            let pace = if is_done { 1 } else { PER_SECOND / 64 };
            let mut glass = Glass {
                pace,
                dies_at: Some((first, is_done)),
                ..Glass::default()
            };
            let _died = life(&mut glass, 0);
            let mut boot = 0;
            let late = after(&mut glass, first_after, &mut boot);
            for (second, second_after) in
                (1..=calls + 1).flat_map(|at| AFTERS.map(|after| (at, after)))
            {
                let (mut glass, mut boot) = (glass.clone(), boot);
                glass.dies_at = Some((second, !is_done));
                glass.story = format!(
                    "{pace} frames: dies at {first}/{is_done}, {first_after:?}; at {second}, {second_after:?}"
                );
                let _died = life(&mut glass, boot);
                if let Some(late) = &late {
                    leave(&mut glass, late.clone());
                }
                after(&mut glass, second_after, &mut boot);
                stories += 1;
                refused += u32::from(life(&mut glass, boot).is_err());
            }
        }
    }
    assert!(
        refused * 2 < stories,
        "{refused} of {stories} may not send in the end"
    );
}

#[test]
fn a_machine_that_is_started_again_goes_on_after_what_it_had_reserved_or_read() {
    let mut glass = Glass::default();
    let mut first = counting(&glass, 0);
    order(&mut glass, &mut first, 0).unwrap();
    assert_eq!(glass.sends[&0].next, 1, "a new key begins at the beginning");
    glass.send(1000);
    glass.sends.clear();
    let mut second = counting(&glass, 1);
    order(&mut glass, &mut second, 0).unwrap();
    assert_eq!(glass.sends[&0].next, 1 + BLOCK, "power was lost");
    glass.send(1000);
    second.stop(&mut glass);
    assert!(!glass.sends[&0].active, "nobody looks at it");
    glass.sends.clear();
    let mut third = counting(&glass, 2);
    order(&mut glass, &mut third, 0).unwrap();
    let next = glass.sends[&0].next;
    assert_eq!(next, 1 + BLOCK + 1000 + UNDER_WAY, "it was stopped");
}

#[test]
fn another_daemon_takes_over_without_a_gap_and_an_order_that_is_carried_out_writes_nothing() {
    let mut glass = Glass::default();
    let mut first = counting(&glass, 0);
    order(&mut glass, &mut first, 0).unwrap();
    glass.send(5 * BLOCK);
    let now = glass.now;
    let dead = Moment {
        boot: "boot0".into(),
        at: now,
    };
    leave(&mut glass, dead);
    let mut second = counting(&glass, 0);
    let before = glass.sends.clone();
    let sends = order(&mut glass, &mut second, 0);
    assert_eq!(glass.sends, before, "it goes on sending as it was");
    assert_eq!(sends, Ok(Some(Sends::On(CHANNEL, 1 + 6 * BLOCK))));
    let writes = glass.writes;
    order(&mut glass, &mut second, 0).unwrap();
    assert_eq!(look(&mut glass, &mut second), []);
    assert_eq!(glass.writes, writes + 1, "only the look had to reserve");
    second.stop(&mut glass);
    let mut third = counting(&glass, 0);
    order(&mut glass, &mut third, 0).unwrap();
    assert!(glass.sends[&0].active);
    glass.send(1);
}

#[test]
fn what_is_not_known_lets_nothing_send_and_says_what_to_do() {
    let ready = || {
        let mut glass = Glass::default();
        let mut counting = counting(&glass, 0);
        order(&mut glass, &mut counting, 0).unwrap();
        glass.send(9);
        (glass, counting)
    };
    // The state directory is lost: the mark beside the key is not.
    let (mut glass, _) = ready();
    glass.sends.clear();
    glass.disk = None;
    let mut lost = counting(&glass, 1);
    let refused = order(&mut glass, &mut lost, 0);
    assert_eq!(refused, Err(NotSent::Forgotten));
    assert!(refused.unwrap_err().to_string().contains("new key"));
    assert!(glass.sends.is_empty());
    // It is lost while the kernel still knows.
    let (mut glass, _) = ready();
    glass.disk = None;
    let mut lost = counting(&glass, 0);
    assert_eq!(
        order(&mut glass, &mut lost, 0),
        Ok(Some(Sends::On(CHANNEL, 10 + BLOCK)))
    );
    // It does not read.
    let (mut glass, _) = ready();
    glass.disk = Some(String::new());
    let mut broken = counting(&glass, 0);
    assert!(matches!(
        order(&mut glass, &mut broken, 0),
        Err(NotSent::Unread(_))
    ));
    assert!(!glass.sends[&0].active);
    assert_eq!(
        glass.disk.as_deref(),
        Some(""),
        "and stays, to be looked at"
    );
    // It sent without anybody, and the power was lost.
    let (mut glass, _) = ready();
    let now = glass.now;
    let dead = Moment {
        boot: "boot0".into(),
        at: now,
    };
    leave(&mut glass, dead);
    glass.sends.clear();
    let mut left = counting(&glass, 1);
    assert_eq!(order(&mut glass, &mut left, 0), Err(NotSent::Unwatched));
    let mut again = counting(&glass, 1);
    assert_eq!(order(&mut glass, &mut again, 0), Err(NotSent::Unwatched));
}

#[test]
fn a_key_ends_before_its_numbers_do() {
    let mut glass = Glass::default();
    let mut counting = counting(&glass, 0);
    order(&mut glass, &mut counting, 0).unwrap();
    let mut last = Vec::new();
    for _ in 0..1000 {
        last = look(&mut glass, &mut counting);
        if !last.is_empty() {
            break;
        }
    }
    assert_eq!(last, [(LINK, NotSent::UsedUp)]);
    assert!(glass.sends.is_empty());
    assert_eq!(order(&mut glass, &mut counting, 0), Err(NotSent::UsedUp));
    assert_eq!(counting.next_look(), None);
}

#[test]
fn a_full_disk_stops_what_sends_before_its_reserve_is_over_and_no_sooner() {
    let mut glass = Glass::default();
    let mut counting = counting(&glass, 0);
    glass.is_disk_full = true;
    assert!(matches!(
        order(&mut glass, &mut counting, 0),
        Err(NotSent::NotKept(_))
    ));
    glass.is_disk_full = false;
    order(&mut glass, &mut counting, 0).unwrap();
    glass.is_disk_full = true;
    assert!(matches!(
        look(&mut glass, &mut counting)[..],
        [(LINK, NotSent::NotKept(_))]
    ));
    for _ in 0..10 {
        look(&mut glass, &mut counting);
    }
    assert!(!glass.sends[&0].active);
    assert!(glass.sends[&0].next <= BLOCK);
    glass.is_disk_full = false;
    assert_eq!(look(&mut glass, &mut counting), []);
    assert!(glass.sends[&0].active, "it goes on by itself");
}

#[test]
fn a_kernel_that_does_not_want_it_costs_no_numbers() {
    let mut glass = Glass {
        refuses_add: true,
        ..Glass::default()
    };
    let mut counting = counting(&glass, 0);
    for _ in 0..100 {
        assert!(matches!(
            order(&mut glass, &mut counting, 0),
            Err(NotSent::Kernel(_))
        ));
    }
    glass.refuses_add = false;
    order(&mut glass, &mut counting, 0).unwrap();
    assert_eq!(glass.sends[&0].next, 1);
}

#[test]
fn what_others_do_to_it_is_told_and_makes_no_number_new() {
    let mut glass = Glass::default();
    let mut counting = counting(&glass, 0);
    order(&mut glass, &mut counting, 0).unwrap();
    glass.send(1000);
    // Somebody sets it back, with the sending switched off so that nothing goes out twice by his doing.
    let held = glass.sends.get_mut(&0).unwrap();
    (held.next, held.active) = (0, false);
    held.next = 1;
    order(&mut glass, &mut counting, 0).unwrap();
    glass.send(1);
    // Somebody gives the link another address.
    glass.channel = Some(ChannelId { port: 2, ..CHANNEL });
    assert_eq!(
        look(&mut glass, &mut counting),
        [(LINK, NotSent::OtherChannel)]
    );
    assert!(!glass.sends[&0].active);
    order(&mut glass, &mut counting, 0).unwrap();
    glass.send(1);
    glass.sends.clear();
    assert_eq!(look(&mut glass, &mut counting), [(LINK, NotSent::Removed)]);
    glass.is_link_gone = true;
    assert_eq!(look(&mut glass, &mut counting), []);
    assert_eq!(order(&mut glass, &mut counting, 0), Err(NotSent::NoLink));
    let other = KeyId([1; 16]);
    glass.is_link_gone = false;
    let foreign = Held {
        key: other,
        next: 5,
        active: true,
    };
    glass.sends.insert(3, foreign);
    order(&mut glass, &mut counting, 0).unwrap();
    assert_eq!(
        glass.sends[&3], foreign,
        "what is not counted here is not ours"
    );
    counting.leave(&mut glass, LINK);
    assert_eq!(glass.sends.len(), 1);
}
