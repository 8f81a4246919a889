//! Where do others than this host's programs ask? Listeners beyond the stub: plain, TLS, HTTPS and QUIC, each with its access list.
//!
//! They live on a thread of their own with a runtime of its own, and datagrams on some more: handshakes, floods and slow clients of
//! theirs cost the host's programs nothing. A good question crosses over by a bounded channel as [`Asked`]; its answer goes back the same way.
//! [`Listeners`] is the end of that channel on the resolver's side.
//!
//! ```text
//! datagrams ─┐                                                        ┌► Listeners::next ─► Resolver::handle_query
//! TCP, TLS ──┼─► Door (who may ask) ─► House (shares) ─► Asked ──────┤
//! HTTPS ─────┤                                                        └◄ Listeners::answer ◄ Resolver::poll_answer
//! QUIC ──────┘
//! ```

mod access;
mod board;
mod datagrams;
mod house;
mod https;
mod open;
mod quic;
mod rates;
mod shares;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::model::ListenerConfig;
use resolver::shortcut::Shortcut;
use resolver::{Answer, ClientId};
use rustls::ServerConfig;
use tokio::sync::{mpsc, watch};

use crate::Caller;
pub(crate) use access::is_echo;
pub use board::{Board, ListenerStatus};
pub use house::Asked;
pub(crate) use house::refuse_greedy;
use house::{Back, Door, House, QUERIES_MAX, place_of, stub_of};
pub use https::decode as decode_question;
pub use tls::{KeyTexts, KeysError, server_config};

/// Marks the clients of listeners among all clients.
const MARK: u64 = 1 << 62;
/// Marks the callers of the control interface, which are somebody else's.
const NOT_OURS: u64 = 1 << 63;
/// Age at which an open question may be dropped: longer than the resolver takes for any answer.
const LIFETIME: Duration = Duration::from_secs(6);
/// How long it is waited for sockets to be closed before others are opened.
const CLOSING_TIME: Duration = Duration::from_secs(1);
/// Answered questions whose peers are still known, for traces.
const RECENT: usize = 256;

/// What a listener proves itself with.
pub type Tls = Arc<ServerConfig>;

/// One listener that is to be open.
#[derive(Debug, Clone)]
pub struct Listener {
    /// What the configuration says of it.
    pub config: ListenerConfig,
    /// Its certificate, when it is encrypted; or why it has none.
    pub tls: Option<Result<Tls, KeysError>>,
}

/// The listeners, as the resolver's side sees them.
#[derive(Debug)]
pub struct Listeners {
    wanted: watch::Sender<Vec<Listener>>,
    asked: mpsc::Receiver<(Asked, Back)>,
    thread: Option<(watch::Receiver<Vec<Listener>>, Arc<House>)>,
    board: Board,
    waiting: BTreeMap<u64, Waiting>,
    recent: VecDeque<(u64, Caller)>,
    last: u64,
}

#[derive(Debug)]
struct Waiting {
    caller: Caller,
    back: Back,
    since: Instant,
}

impl Listeners {
    /// Makes listeners of which none is open, that answer what they can by `shortcut` and tell how they are doing on `board`;
    /// each has `threads` for its datagrams, one at least, and `seed` is for the secret of their cookies.
    pub fn new(
        board: Board,
        shortcut: Shortcut,
        threads: usize,
        clock: fn() -> config::time::Instant,
        seed: [u8; 32],
    ) -> Self {
        let [secret @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = seed;
        let (wanted, watched) = watch::channel(Vec::new());
        let (asking, asked) = mpsc::channel(QUERIES_MAX);
        Self {
            wanted,
            asked,
            thread: Some((
                watched,
                Arc::new(House::new(asking, shortcut, threads.max(1), clock, secret)),
            )),
            board,
            waiting: BTreeMap::new(),
            recent: VecDeque::new(),
            last: 0,
        }
    }

    /// Has these open and no others. One that stays at its place stays open, with its connections; what is new about it
    /// holds for whoever comes next.
    ///
    /// # Errors
    /// When there can be no thread for them.
    pub fn apply(&mut self, listeners: Vec<Listener>) -> io::Result<()> {
        if let Some((watched, house)) = self.thread.take_if(|_| !listeners.is_empty()) {
            let board = self.board.clone();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            std::thread::Builder::new()
                .name("linnet-doors".to_owned())
                .spawn(move || runtime.block_on(run(watched, house, board)))?;
        }
        self.wanted.send_replace(listeners);
        Ok(())
    }

    /// Waits for the next question. Cancel-safe.
    pub async fn next(&mut self) -> (ClientId, Asked) {
        match self.asked.recv().await {
            Some(asked) => self.remember(asked),
            None => std::future::pending().await,
        }
    }

    /// Returns the next question if there is one.
    pub fn try_next(&mut self) -> Option<(ClientId, Asked)> {
        let asked = self.asked.try_recv().ok()?;
        Some(self.remember(asked))
    }

    /// Takes an answer for one of their clients; gives back one that is for somebody else.
    pub fn answer(&mut self, answer: Answer) -> Option<Answer> {
        if answer.client.0 & (MARK | NOT_OURS) != MARK {
            return Some(answer);
        }
        let number = answer.client.0 & !MARK;
        if let Some(waiting) = self.waiting.remove(&number) {
            if self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((number, waiting.caller));
            waiting.back.answer(answer.wire);
        }
        None
    }

    /// Returns whose question is open, or was answered a short while ago.
    pub fn caller_of(&self, client: ClientId) -> Option<Caller> {
        let number = client.0 & !MARK;
        if client.0 & (MARK | NOT_OURS) != MARK {
            return None;
        }
        let waiting = self.waiting.get(&number).map(|waiting| waiting.caller);
        waiting.or_else(|| {
            let recent = self.recent.iter().rev();
            let mut same = recent.filter(|(other, _)| *other == number);
            same.next().map(|(_, caller)| *caller)
        })
    }

    fn remember(&mut self, (asked, back): (Asked, Back)) -> (ClientId, Asked) {
        let now = Instant::now();
        // The resolver answers every question; this is for the day that it does not.
        while let Some(oldest) = self.waiting.first_entry() {
            if now.saturating_duration_since(oldest.get().since) < LIFETIME {
                break;
            }
            oldest.remove();
        }
        self.last += 1;
        let waiting = Waiting {
            caller: asked.caller,
            back,
            since: now,
        };
        self.waiting.insert(self.last, waiting);
        (ClientId(self.last | MARK), asked)
    }
}

/// An open listener.
struct Open {
    door: watch::Sender<Arc<Door>>,
    task: tokio::task::JoinHandle<()>,
    /// Ends when its sockets are closed.
    held: mpsc::Receiver<Infallible>,
}

/// Keeps open what is wanted, until nobody wants anything any more.
async fn run(mut wanted: watch::Receiver<Vec<Listener>>, house: Arc<House>, board: Board) {
    let mut open: BTreeMap<String, Open> = BTreeMap::new();
    loop {
        let listeners = wanted.borrow_and_update().clone();
        close_others(&mut open, &listeners, &board).await;
        settle(&mut open, listeners, &house, &board);
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// Closes all but these, and waits until their sockets are closed: another listener may want the address at once.
async fn close_others(open: &mut BTreeMap<String, Open>, listeners: &[Listener], board: &Board) {
    let places: Vec<String> = listeners.iter().map(|one| place_of(&one.config)).collect();
    let gone: Vec<(String, Open)> = open
        .extract_if(.., |place, _| !places.contains(place))
        .collect();
    for (place, one) in &gone {
        one.task.abort();
        board.close(place);
    }
    let closed = async {
        for (_, mut one) in gone {
            let None = one.held.recv().await;
        }
    };
    // A thread that is at work ends when it is done; whoever wants its address tries again and again.
    let _in_time = tokio::time::timeout(CLOSING_TIME, closed).await;
}

/// Opens what is not open yet, and tells the others what is new about them.
fn settle(
    open: &mut BTreeMap<String, Open>,
    listeners: Vec<Listener>,
    house: &Arc<House>,
    board: &Board,
) {
    for listener in listeners {
        let place = place_of(&listener.config);
        let counts = board.open(&place, stub_of(&listener.config).as_str());
        let running = open.get(&place);
        let (tls, broken) = match listener.tls {
            None => (None, None),
            Some(Ok(tls)) => (Some(tls), None),
            // The certificate before goes on until this one is mended.
            Some(Err(error)) => {
                let before = running.and_then(|open| open.door.borrow().tls.clone());
                (before, Some(error))
            }
        };
        let door = Arc::new(Door::new(
            &listener.config,
            place.as_str().into(),
            tls,
            counts,
        ));
        let has_tls = door.tls.is_some();
        match open.get_mut(&place) {
            Some(open) => drop(open.door.send_replace(door)),
            None => {
                let (door, watched) = watch::channel(door);
                let (hold, held) = mpsc::channel(1);
                let (house, board) = (Arc::clone(house), board.clone());
                let kept = open::keep_open(hold, listener.config, house, watched, board);
                let task = tokio::spawn(kept);
                open.insert(place.clone(), Open { door, task, held });
            }
        }
        if let Some(error) = broken {
            let state = match has_tls {
                true => format!("open with the certificate before: {error}"),
                false => error.to_string(),
            };
            if board.note(&place, &state) {
                tracing::error!(%place, %error, "a listener's certificate is not used");
            }
        } else if has_tls && running_with_old(board, &place) {
            board.note(&place, "open");
        }
    }
}

/// Whether a listener is open with a certificate that has been replaced since.
fn running_with_old(board: &Board, place: &str) -> bool {
    let status = board.status();
    let mut same = status.iter().filter(|status| status.place == place);
    same.next()
        .is_some_and(|status| status.state.starts_with("open with"))
}
