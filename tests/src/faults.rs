//! What does a client notice when all upstreams fail alike? One upstream or two, one fault, a question every 20 ms.
//!
//! The upstreams are of `tests::oracle` in the namespace `home`; packets are lost by nftables there. They work for a second, fail for
//! a while, and work again; what was asked during the fault is told apart from what was asked after it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use crate::namespace::shell;
use crate::oracle::{Mode, Network, Server, query};

/// How long a client waits, as the C library does.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// When it has to have an answer or an error.
pub const DEADLINE: Duration = Duration::from_millis(4500);
/// Where the upstreams are.
const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// The second of them.
pub const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 54);
/// Between two questions.
const PACE: Duration = Duration::from_millis(20);
/// Before the fault, and after it.
const AROUND: Duration = Duration::from_secs(1);
/// After the fault nobody waits for longer than this until the upstream is asked again.
const BACK_MAX: Duration = Duration::from_secs(30);

/// What is wrong with the upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It was killed: its ports are closed.
    Killed,
    /// Nothing reaches it, and nobody says so.
    Blackholed,
    /// Three of ten packets to it are lost.
    Loss,
    /// It hears TCP alone.
    TcpOnly,
    /// It truncates every answer by UDP.
    Truncating,
    /// It answers a second late.
    Slow,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Killed,
        Self::Blackholed,
        Self::Loss,
        Self::TcpOnly,
        Self::Truncating,
        Self::Slow,
    ];

    /// Makes it so.
    fn begin(self, servers: &[Server]) {
        let set = |mode| servers.iter().for_each(|server| server.set(mode));
        match self {
            Self::Killed => set(Mode::Closed),
            Self::Blackholed => drop_packets("meta l4proto { tcp, udp } th dport 53 drop"),
            Self::Loss => {
                drop_packets("meta l4proto { tcp, udp } th dport 53 numgen random mod 10 < 3 drop");
            }
            Self::TcpOnly => drop_packets("udp dport 53 drop"),
            Self::Truncating => set(Mode::Truncates),
            Self::Slow => set(Mode::Late(Duration::from_secs(1))),
        }
    }

    fn end(self, servers: &[Server]) {
        for server in servers {
            server.set(Mode::Right);
        }
        shell("ip netns exec home nft flush ruleset");
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Killed => "killed",
            Self::Blackholed => "blackholed",
            Self::Loss => "30 % loss",
            Self::TcpOnly => "TCP only",
            Self::Truncating => "truncating",
            Self::Slow => "1 s late",
        })
    }
}

fn drop_packets(rule: &str) {
    shell(&format!(
        "ip netns exec home nft -f - <<'END'\ntable inet fault {{\n chain input {{ type filter hook input priority 0; {rule}; }}\n}}\nEND"
    ));
}

/// Starts the upstream in `home`, where [`crate::office::links`] has put its address.
pub fn upstream() -> Server {
    let network = Network::new(1, "", |_| false);
    Server::start("home", FIRST, &network)
}

/// Starts two in `home` that answer alike: the one of [`upstream`], and [`SECOND`].
pub fn upstreams() -> [Server; 2] {
    shell(&format!("ip -n home addr add {SECOND}/24 dev p0"));
    let network = Network::new(1, "", |_| false);
    [FIRST, SECOND].map(|address| Server::start("home", address, &network))
}

/// What clients saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Questions during the fault.
    pub asked: usize,
    /// Of these, errors.
    pub failed: usize,
    /// Errors without a reason (EDE).
    pub unexplained: usize,
    /// Nothing at all in [`PATIENCE`].
    pub unanswered: usize,
    /// Half of them had their answer or error by then.
    pub p50: Duration,
    /// Ninety-nine of a hundred.
    pub p99: Duration,
    /// All.
    pub worst: Duration,
    /// From the end of the fault to the first right answer to a question that was asked after it; `None` when there was none.
    pub back: Option<Duration>,
}

/// Asks 127.0.0.53 before, during and after a fault that lasts `lasting`.
///
/// # Panics
/// When a namespace or socket fails.
pub fn measure(fault: Fault, servers: &[Server], lasting: Duration) -> Seen {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
    socket.connect("127.0.0.53:53").expect("loopback is up");
    let turn = Duration::from_millis(2);
    socket.set_read_timeout(Some(turn)).expect("a time");
    let mut asked_at: BTreeMap<u16, Instant> = BTreeMap::new();
    let (mut took, mut seen) = (Vec::new(), Seen::default());
    let begun = Instant::now();
    let (mut from, mut until) = (None, None);
    let mut next: u16 = 0;
    let serial = begun.elapsed().as_nanos() + u128::from(std::process::id());
    let unique = crate::oracle::now_ms();
    loop {
        let now = Instant::now();
        if from.is_none() && now >= begun + AROUND {
            fault.begin(servers);
            from = Some(Instant::now());
        }
        if until.is_none() && from.is_some_and(|from| now >= from + lasting) {
            fault.end(servers);
            until = Some(Instant::now());
        }
        let is_over = until.is_some_and(|until| {
            now >= until + BACK_MAX || seen.back.is_some() && now >= until + AROUND
        });
        let waiting = asked_at
            .values()
            .any(|&at| until.is_none_or(|until| at < until));
        if is_over && !waiting {
            break;
        }
        if !is_over && now >= begun + PACE * u32::from(next) {
            let name = format!("h{next}.x{unique}.y{serial}.pub.test");
            asked_at.insert(next, Instant::now());
            let _sent = socket.send(&query(next, &name, 1));
            next += 1;
        }
        let mut buffer = [0; 2048];
        let answer = socket
            .recv(&mut buffer)
            .ok()
            .map(|length| &buffer[..length]);
        let now = Instant::now();
        let is_within = |at: Instant| {
            from.is_some_and(|from| at >= from) && until.is_none_or(|until| at < until)
        };
        if let Some([high, low, _, flags, _, _, _, count, rest @ ..]) = answer
            && let Some(at) = asked_at.remove(&u16::from_be_bytes([*high, *low]))
        {
            let is_right = flags & 15 == 0 && *count > 0;
            if is_within(at) {
                took.push(now - at);
                seen.failed += usize::from(!is_right);
                let explained = rest.windows(2).any(|pair| pair == [0, 15]);
                seen.unexplained += usize::from(!is_right && !explained);
            }
            if let Some(until) = until
                && at >= until
                && is_right
            {
                seen.back.get_or_insert(now - until);
            }
        }
        asked_at.retain(|_, &mut at| {
            let is_lost = now >= at + PATIENCE;
            if is_lost && is_within(at) {
                took.push(PATIENCE);
                seen.unanswered += 1;
            }
            !is_lost
        });
    }
    took.sort();
    let at = |percent: usize| {
        took.get(took.len() * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    seen.asked = took.len();
    (seen.p50, seen.p99) = (at(50), at(99));
    seen.worst = took.last().copied().unwrap_or_default();
    seen
}
