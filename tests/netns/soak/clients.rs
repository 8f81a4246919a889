//! Who asks during a soak, what do they take for right, and what came of it?

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::oracle::{Stamp, TTL, now_ms, query};

use super::answer::{Answer, parse};
use super::failed::{Excused, Failed, Failure, How, is_failure};
use super::halts::Halts;
use super::room::make_room;
use super::slowest::Slowest;
use super::troubles::Trouble;
use super::{BLOCKED, HOME, Luck, SAFE, VPN, World, size};

/// A client has an answer, or an error that says why, after 4.5 s. A loaded machine may be late, but not past the C library's 5 s.
const DEADLINE_MS: u64 = 4950;
/// What starting a program and its handshake may take of the time of a question by TLS, on a loaded machine.
const TLS_START_MS: u64 = 2000;
/// Names of each kind; the first are asked most.
const NAMES: f64 = 50_000.0;
/// What may pass between an answer's making and its reading besides its TTL, in seconds.
const SLACK: u64 = 2;
/// One of how many questions may be told that there are too many.
const SHED_PART: u64 = 1000;
/// Mistakes that are shown.
const SHOWN: usize = 20;
/// Between two connections.
const PAUSE: Duration = Duration::from_millis(50);
/// Questions of a connection by TCP.
const BY_TCP: u64 = 3;
/// Questions of a connection by TLS.
const BY_TLS: u64 = 8;
/// RFC 8914 §4.16: a list has the name.
const EDE_BLOCKED: u16 = 15;
/// RFC 8914 §4.19: not for this client.
const EDE_PROHIBITED: u16 = 18;
const REFUSED: u8 = 5;
/// How the words begin for whoever asks too much at once.
const TOO_MANY: &str = "too many questions";
const NXDOMAIN: u8 = 3;

/// What a name is, and so where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anybody's: home answers.
    Public,
    /// The office's: the VPN answers, or nobody.
    Office,
    /// At home an alias, of a name of the office.
    Alias,
    /// At home, and not there.
    Absent,
    /// The office's, and not there.
    OfficeAbsent,
    /// The VPN's while somebody claims it, else home's.
    Claimed,
    /// Of the network whose servers are encrypted.
    Safe,
    /// On the list at all times.
    Blocked,
    /// On the list at times, else home's.
    Listed,
}

/// Where questions are asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Address and port.
    pub(super) address: &'static str,
    /// How it is asked, and where, in words.
    pub(super) by: &'static str,
    /// Whether what is claimed is withheld there.
    pub(super) is_for_guests: bool,
}

/// A question under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) record_type: u16,
    pub(super) sent_ms: u64,
    pub(super) life: u8,
    pub(super) by: &'static str,
    pub(super) is_guest: bool,
}

impl Asked {
    fn any(luck: &mut Luck, world: &World, place: Place) -> Self {
        // Log-uniform: Zipf with exponent one.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of a name"
        )]
        let number = NAMES.powf(luck.below(1 << 20) as f64 / f64::from(1 << 20)) as u64;
        let kind = match luck.below(24) {
            0..8 => Kind::Public,
            8..13 => Kind::Office,
            13 | 14 => Kind::Alias,
            15 => Kind::Absent,
            16 => Kind::OfficeAbsent,
            17 | 18 => Kind::Claimed,
            19 | 20 => Kind::Safe,
            21 | 22 => Kind::Blocked,
            _ => Kind::Listed,
        };
        let number = match kind {
            Kind::Blocked | Kind::Listed => number % BLOCKED,
            Kind::Public
            | Kind::Office
            | Kind::Alias
            | Kind::Absent
            | Kind::OfficeAbsent
            | Kind::Claimed
            | Kind::Safe => number,
        };
        Self {
            kind,
            number,
            record_type: [1, 1, 28][usize::try_from(luck.below(3)).unwrap()],
            sent_ms: now_ms(),
            life: world.vpn.life(),
            by: place.by,
            is_guest: place.is_for_guests,
        }
    }

    fn name(&self) -> String {
        let (letter, zone) = match self.kind {
            Kind::Public => ('h', "pub.test"),
            Kind::Office => ('h', "corp.test"),
            Kind::Alias => ('a', "pub.test"),
            Kind::Absent => ('n', "pub.test"),
            Kind::OfficeAbsent => ('n', "corp.test"),
            Kind::Claimed => ('h', "dyn.test"),
            Kind::Safe => ('h', "safe.test"),
            Kind::Blocked => ('b', "ads.test"),
            Kind::Listed => ('c', "ads.test"),
        };
        format!("{letter}{}.{zone}", self.number)
    }
}

/// What came of all questions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    right: AtomicU64,
    stale: AtomicU64,
    denied: AtomicU64,
    blocked: AtomicU64,
    withheld: AtomicU64,
    excused: AtomicU64,
    shed: AtomicU64,
    unanswered: AtomicU64,
    late: AtomicU64,
    by_tcp: AtomicU64,
    by_tls: AtomicU64,
    by_guests: AtomicU64,
    encrypted: AtomicU64,
    /// Of those that were answered.
    slowest_ms: AtomicU64,
    slowest: Slowest,
    /// Those that came after everybody's patience.
    too_slow: Mutex<Vec<String>>,
    /// Answers that the kernel dropped because the socket of who asked was full.
    dropped: AtomicU64,
    wrong: Mutex<(u64, Vec<String>)>,
    /// What failed, and may yet be found to be the machine's.
    failed: Failed,
    reasons: Mutex<BTreeMap<(u8, u16), u64>>,
}

impl Tally {
    fn wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap();
        wrong.0 += 1;
        if wrong.1.len() < SHOWN {
            wrong.1.push(what);
        }
    }

    /// Returns how many questions there were.
    fn all(&self) -> u64 {
        let excused = self.failed.excused();
        let counters = [
            &self.right,
            &self.denied,
            &self.blocked,
            &self.withheld,
            &self.excused,
            &self.shed,
            &self.unanswered,
        ];
        counters
            .into_iter()
            .map(|it| it.load(Ordering::Relaxed))
            .chain([excused.failed, excused.unanswered, excused.shed])
            .sum()
    }

    /// Judges what failed and ended a while before `now`.
    pub(super) fn settle(&self, halts: &Halts, now: u64) {
        for failure in self.failed.settle(halts, now) {
            match failure.how {
                How::Failed => self.wrong(failure.told),
                How::Unanswered => {
                    self.unanswered.fetch_add(1, Ordering::Relaxed);
                }
                How::Shed => {
                    self.shed.fetch_add(1, Ordering::Relaxed);
                }
                How::Slow => self.too_slow.lock().unwrap().push(failure.told),
            }
        }
    }

    /// Says what came of all, in words.
    pub(super) fn report(&self, took: Duration, halts: &Halts) -> String {
        self.settle(halts, now_ms());
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let all = self.all();
        let excused = self.failed.excused();
        let mut text = String::new();
        writeln!(
            text,
            "{all} questions in {took:.0?} ({} by TCP; at listeners {} by UDP, {} by TLS): {} right ({} of them stale and said so, \
             {} of encrypted servers), {} denied, {} blocked and {} withheld as they should be, {} errors with a reason while nobody could be asked, {} told that there are too many, {} unanswered ({} of them answered after that), \
             {} wrong; while the machine stood still {} failed, {} were unanswered, {} came too late and {} were told that there are too many; the slowest answer took {} ms",
            of(&self.by_tcp),
            of(&self.by_guests),
            of(&self.by_tls),
            of(&self.right),
            of(&self.stale),
            of(&self.encrypted),
            of(&self.denied),
            of(&self.blocked),
            of(&self.withheld),
            of(&self.excused),
            of(&self.shed),
            of(&self.unanswered),
            of(&self.late),
            self.wrong.lock().unwrap().0,
            excused.failed,
            excused.unanswered,
            excused.slow,
            excused.shed,
            of(&self.slowest_ms)
        )
        .unwrap();
        let reasons = self.reasons.lock().unwrap();
        for ((rcode, code), count) in reasons.iter() {
            writeln!(text, "rcode {rcode}, EDE {code}: {count}").unwrap();
        }
        text.push_str(&self.slowest.told());
        text.push_str(&halts.told());
        text
    }

    /// Returns how many answers the kernel dropped before who asked had read them; known when all have ended.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Fails when something was wrong or late, or when more was lost than was dropped before linnetd (`dropped`) or who asked had read it;
    /// and when so much of what failed may be the machine's that the run says nothing.
    pub(super) fn check(&self, dropped: u64, took: Duration, halts: &Halts) {
        self.settle(halts, u64::MAX);
        let (count, shown) = &*self.wrong.lock().unwrap();
        let worthless = halts.worthless(took);
        let also = worthless.as_deref().unwrap_or_default();
        assert_eq!(*count, 0, "wrong: {}\n{also}", shown.join("\n"));
        // Where nothing has failed but what may be lost on a busy machine, that it was busy takes nothing from it.
        let Excused { failed, slow, .. } = self.failed.excused();
        if let Some(why) = worthless.filter(|_| failed + slow > 0) {
            panic!("{why}");
        }
        // While upstreams are late or gone, more questions come than may wait for them, and are told so at once.
        let (all, shed) = (self.all(), self.shed.load(Ordering::Relaxed));
        assert!(
            shed <= all / SHED_PART,
            "{shed} of {all} were told that there are too many"
        );
        let unanswered = self.unanswered.load(Ordering::Relaxed);
        assert!(
            unanswered <= dropped + self.dropped(),
            "{unanswered} unanswered after {DEADLINE_MS} ms, {dropped} dropped before linnetd read them, {} before who asked did",
            self.dropped()
        );
        let too_slow = self.too_slow.lock().unwrap();
        assert!(
            too_slow.is_empty(),
            "{} answers took too long, as these: {}\n{}",
            too_slow.len(),
            too_slow[..too_slow.len().min(SHOWN)].join("\n"),
            self.slowest.told()
        );
        for (what, counter) in [
            ("right", &self.right),
            ("denied", &self.denied),
            ("blocked", &self.blocked),
            ("withheld", &self.withheld),
            ("excused", &self.excused),
            ("asked by TCP", &self.by_tcp),
            ("asked by TLS", &self.by_tls),
            ("asked by guests", &self.by_guests),
            ("of an encrypted server", &self.encrypted),
        ] {
            assert!(counter.load(Ordering::Relaxed) > 0, "nothing was {what}");
        }
    }

    /// Judges an answer.
    pub(super) fn judge(&self, asked: &Asked, message: &[u8], world: &World) {
        let now = now_ms();
        let name = asked.name();
        let took = now - asked.sent_ms;
        self.slowest_ms.fetch_max(took, Ordering::Relaxed);
        let told = |what: &str| {
            format!(
                "{name} type {} asked at {} ms, after {took} ms: {what}",
                asked.record_type, asked.sent_ms
            )
        };
        let Some(answer) = parse(message, &name) else {
            return self.wrong(told(&format!("cannot be read: {message:02x?}")));
        };
        self.slowest.note(
            took,
            || {
                let Answer {
                    rcode, explained, ..
                } = answer;
                let code = explained.map_or_else(String::new, |code| format!(", EDE {code}"));
                (
                    asked.by,
                    format!("{:?}", asked.kind),
                    format!("rcode {rcode}{code}"),
                )
            },
            || {
                let words = &answer.words;
                let troubles = world.troubles.struck(asked.sent_ms, now);
                told(&format!("\"{words}\"; {troubles}"))
            },
        );
        if took > DEADLINE_MS + TLS_START_MS {
            self.failed.keep(Failure {
                how: How::Slow,
                asked: asked.sent_ms,
                ended: now,
                told: told(&format!("{answer:?}")),
            });
        }
        let during = |trouble| world.troubles.overlaps(trouble, asked.sent_ms, now);
        if asked.is_guest {
            self.by_guests.fetch_add(1, Ordering::Relaxed);
            let is_withheld = answer.rcode == REFUSED && answer.explained == Some(EDE_PROHIBITED);
            let (may, must) = match asked.kind {
                Kind::Office | Kind::OfficeAbsent | Kind::Safe => {
                    (true, !answer.words.starts_with(TOO_MANY))
                }
                // The alias itself is home's to tell.
                Kind::Alias => (true, answer.rcode == 0),
                Kind::Claimed => (during(Trouble::Claim) || during(Trouble::Claimed), false),
                Kind::Public | Kind::Absent | Kind::Blocked | Kind::Listed => (false, false),
            };
            if is_withheld && may {
                self.withheld.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if is_withheld || must {
                return self.wrong(told(&format!("to a guest: {answer:?}")));
            }
        }
        if answer.rcode != 0 && answer.rcode != NXDOMAIN {
            return self.judge_error(asked, &answer, world, &told);
        }
        let is_blocked = answer.rcode == NXDOMAIN && answer.explained == Some(EDE_BLOCKED);
        let (may, must) = match asked.kind {
            Kind::Blocked => (true, true),
            Kind::Listed => {
                let moves = during(Trouble::Listing);
                let listed = during(Trouble::Listed);
                (moves || listed, listed && !moves)
            }
            Kind::Public
            | Kind::Office
            | Kind::Alias
            | Kind::Absent
            | Kind::OfficeAbsent
            | Kind::Claimed
            | Kind::Safe => (false, false),
        };
        if is_blocked && may {
            self.blocked.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if is_blocked || must {
            return self.wrong(told(&format!("on the list: {must}, but {answer:?}")));
        }
        let denied = matches!(asked.kind, Kind::Absent | Kind::OfficeAbsent);
        if denied {
            return if answer.rcode == NXDOMAIN && answer.addresses.is_empty() {
                self.denied.fetch_add(1, Ordering::Relaxed);
            } else {
                self.wrong(told(&format!("does not exist, but {answer:?}")));
            };
        }
        let [(address, ttl)] = answer.addresses[..] else {
            return self.wrong(told(&format!("has one address, but {answer:?}")));
        };
        let stamp = Stamp::read(address);
        let marks: &[u8] = match asked.kind {
            Kind::Public | Kind::Absent | Kind::Blocked | Kind::Listed => &[HOME],
            Kind::Safe => &[SAFE],
            Kind::Office | Kind::Alias | Kind::OfficeAbsent => &[VPN],
            Kind::Claimed if asked.is_guest => &[HOME],
            Kind::Claimed if during(Trouble::Claim) => &[HOME, VPN],
            Kind::Claimed if during(Trouble::Claimed) => &[VPN],
            Kind::Claimed => &[HOME],
        };
        if !marks.contains(&stamp.mark) {
            return self.wrong(told(&format!("from the wrong network: {stamp:?}")));
        }
        let target = match asked.kind {
            Kind::Alias => format!("h{}.corp.test", asked.number),
            Kind::Public
            | Kind::Office
            | Kind::Absent
            | Kind::OfficeAbsent
            | Kind::Claimed
            | Kind::Safe
            | Kind::Blocked
            | Kind::Listed => name.clone(),
        };
        if stamp.name != Stamp::hash(&target) {
            return self.wrong(told(&format!("of another name: {stamp:?}")));
        }
        if stamp.mark == VPN && stamp.life != asked.life && stamp.life != world.vpn.life() {
            return self.wrong(told(&format!("from an earlier life: {stamp:?}")));
        }
        // RFC 8767 §4: what is past its TTL is given with a short one, and EDE 3 says so (RFC 8914 §4.4).
        let stale = answer.explained == Some(3);
        let lasts = u64::from(TTL) + SLACK + took / 1000;
        if stale {
            self.stale.fetch_add(1, Ordering::Relaxed);
        } else if u64::from(stamp.age()) > lasts || ttl > TTL {
            return self.wrong(told(&format!(
                "too old: {stamp:?}, {} s, TTL {ttl}",
                stamp.age()
            )));
        }
        if stamp.mark == SAFE {
            self.encrypted.fetch_add(1, Ordering::Relaxed);
        }
        self.right.fetch_add(1, Ordering::Relaxed);
    }

    fn judge_error(
        &self,
        asked: &Asked,
        answer: &Answer,
        world: &World,
        told: &dyn Fn(&str) -> String,
    ) {
        let now = now_ms();
        let during = |trouble| world.troubles.overlaps(trouble, asked.sent_ms, now);
        let excused = match asked.kind {
            Kind::Public | Kind::Absent | Kind::Listed => during(Trouble::Home),
            Kind::Safe => during(Trouble::Safe),
            Kind::Blocked => false,
            // What a guest may not know is withheld whether or not somebody can be asked.
            Kind::Alias if asked.is_guest => during(Trouble::Home),
            Kind::Office | Kind::OfficeAbsent => during(Trouble::Vpn),
            Kind::Alias => during(Trouble::Home) || during(Trouble::Vpn),
            Kind::Claimed => {
                during(Trouble::Claim)
                    || during(if during(Trouble::Claimed) {
                        Trouble::Vpn
                    } else {
                        Trouble::Home
                    })
            }
        };
        match answer.explained {
            Some(code) if excused => {
                *self
                    .reasons
                    .lock()
                    .unwrap()
                    .entry((answer.rcode, code))
                    .or_default() += 1;
                self.excused.fetch_add(1, Ordering::Relaxed);
            }
            Some(0) if answer.rcode == REFUSED && answer.words.starts_with(TOO_MANY) => {
                self.failed.keep(Failure {
                    how: How::Shed,
                    asked: asked.sent_ms,
                    ended: now,
                    told: String::new(),
                });
            }
            None => self.wrong(told(&format!("an error without a reason: {answer:?}"))),
            code => {
                let told = told(&format!("somebody could be asked, but {answer:?}"));
                // What is blocked is asked of nobody.
                if asked.kind == Kind::Blocked || !is_failure(answer.rcode, code) {
                    return self.wrong(told);
                }
                self.failed.keep(Failure {
                    how: How::Failed,
                    asked: asked.sent_ms,
                    ended: now,
                    told,
                });
            }
        }
    }

    /// Counts one that nobody answered in time.
    pub(super) fn miss(&self, asked: &Asked, world: &World) {
        let now = now_ms();
        self.failed.keep(Failure {
            how: How::Unanswered,
            asked: asked.sent_ms,
            ended: now,
            told: String::new(),
        });
        self.slowest.note(
            now - asked.sent_ms,
            || (asked.by, "any".to_owned(), "unanswered".to_owned()),
            || {
                let (name, sent) = (asked.name(), asked.sent_ms);
                let troubles = world.troubles.struck(sent, now);
                format!(
                    "{name} type {} asked at {sent} ms; {troubles}",
                    asked.record_type
                )
            },
        );
    }
}

/// Asks by UDP at a rate until the run is over and all is answered.
pub(super) fn ask(world: &World, place: Place, seed: u64, rate: u64) {
    let mut luck = Luck(seed);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    make_room(&socket);
    socket.connect(place.address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let mut pending: Vec<Option<Asked>> = vec![None; 1 << 16];
    let mut is_given_up = vec![false; 1 << 16];
    let mut order: VecDeque<u16> = VecDeque::new();
    let mut buffer = [0; 4096];
    let begun = Instant::now();
    let (mut sent, mut next) = (0_u128, 0_u16);
    loop {
        let over = world.over.load(Ordering::Relaxed);
        if over && order.is_empty() {
            let dropped = size::dropped_at(socket.local_addr().unwrap().port());
            world.tally.dropped.fetch_add(dropped, Ordering::Relaxed);
            return;
        }
        let due = begun.elapsed().as_micros() * u128::from(rate) / 1_000_000;
        // A machine that was away asks on, not all at once.
        sent = sent.max(due.saturating_sub(64));
        while !over && sent < due && pending[usize::from(next)].is_none() {
            let asked = Asked::any(&mut luck, world, place);
            let message = query(next, &asked.name(), asked.record_type);
            pending[usize::from(next)] = Some(asked);
            is_given_up[usize::from(next)] = false;
            order.push_back(next);
            socket.send(&message).unwrap();
            next = next.wrapping_add(1);
            sent += 1;
        }
        while let Ok(length) = socket.recv(&mut buffer) {
            let id = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
            match pending[id].take() {
                Some(asked) => world.tally.judge(&asked, &buffer[..length], world),
                None if is_given_up[id] => {
                    is_given_up[id] = false;
                    world.tally.late.fetch_add(1, Ordering::Relaxed);
                }
                None => world.tally.wrong(format!(
                    "an answer that nobody waits for: {:02x?}",
                    &buffer[..length]
                )),
            }
            if length < 12 || begun.elapsed().as_micros() * u128::from(rate) / 1_000_000 > sent + 8
            {
                break;
            }
        }
        while let Some(&id) = order.front() {
            match &pending[usize::from(id)] {
                Some(asked) if asked.sent_ms + DEADLINE_MS > now_ms() => break,
                Some(asked) => {
                    world.tally.miss(asked, world);
                    is_given_up[usize::from(id)] = true;
                }
                None => {}
            }
            pending[usize::from(id)] = None;
            order.pop_front();
        }
    }
}

/// Asks by TCP, a connection for some questions, until the run is over.
pub(super) fn ask_by_tcp(world: &World, place: Place, seed: u64) {
    let mut luck = Luck(seed);
    while !world.over.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(place.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(DEADLINE_MS)))
            .unwrap();
        let asked = (0..BY_TCP).map(|_| Asked::any(&mut luck, world, place));
        let asked: Vec<Asked> = asked.collect();
        stream.write_all(&questions(&asked)).unwrap();
        judge_all(world, asked, &mut stream, "TCP", &world.tally.by_tcp);
        thread::sleep(PAUSE);
    }
}

/// Asks by TLS with openssl, which holds the certificate against an authority and a name, until the run is over.
pub(super) fn ask_by_tls(world: &World, place: Place, authority: &str, name: &str, seed: u64) {
    let mut luck = Luck(seed);
    while !world.over.load(Ordering::Relaxed) {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-CAfile", authority])
            .args(["-verify_return_error", "-verify_hostname", name])
            .args(["-servername", name, "-connect", place.address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut input, mut output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
        let asked = (0..BY_TLS).map(|_| Asked::any(&mut luck, world, place));
        let asked: Vec<Asked> = asked.collect();
        // A client that has ended is told of below: it has no answers.
        let _sent = input.write_all(&questions(&asked));
        judge_all(world, asked, &mut output, "TLS", &world.tally.by_tls);
        drop(input);
        let _killed = client.kill();
        client.wait().unwrap();
        thread::sleep(PAUSE);
    }
}

/// Questions as they go over a stream (RFC 1035 §4.2.2); ids are places in the row.
fn questions(asked: &[Asked]) -> Vec<u8> {
    let mut all = Vec::new();
    for (id, asked) in (0..).zip(asked) {
        let message = query(id, &asked.name(), asked.record_type);
        all.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        all.extend(message);
    }
    all
}

/// Reads an answer to each question from a stream, in any order.
fn judge_all(
    world: &World,
    asked: Vec<Asked>,
    stream: &mut impl Read,
    how: &str,
    counter: &AtomicU64,
) {
    let mut open: Vec<Option<Asked>> = asked.into_iter().map(Some).collect();
    for _ in 0..open.len() {
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            break;
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).unwrap();
        let asked = open.get_mut(usize::from(message[1])).and_then(Option::take);
        let asked = asked.expect("the id of a question");
        world.tally.judge(&asked, &message, world);
        counter.fetch_add(1, Ordering::Relaxed);
    }
    for asked in open.into_iter().flatten() {
        world.tally.failed.keep(Failure {
            how: How::Failed,
            asked: asked.sent_ms,
            ended: now_ms(),
            told: format!("no answer by {how}: {asked:?}"),
        });
    }
}
