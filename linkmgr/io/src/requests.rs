//! How is the kernel asked? [`Requester`]: a thread with a socket of its own, because the kernel does what is asked while it
//! is asked, and may wait for a lock that somebody else holds for seconds.
//!
//! A batch goes out in as few datagrams as its order allows, a part of it at a time, and the answers to each part come back together. Decides nothing.

mod answers;
mod cards;
mod places;
mod switches;

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc;
use std::thread;

use linkmgr::{KernelAnswer, KernelFault, KernelRequest, RequestId};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use tokio::sync::mpsc as answers_channel;

use cards::Cards;
use places::Places;

use crate::emit::emit;
use crate::frame::frame;
use crate::socket::{self, Received};

/// Requests after which answers are told, and messages that leave in one datagram at most: their acknowledgements fit into the socket's least
/// buffer, and whoever asks goes on while the next are performed.
const AT_ONCE: usize = 64;

/// Requests and their ids, or answers and theirs.
type Batch<T> = Vec<(RequestId, T)>;

/// Asks the kernel on a thread of its own, which there is from the first request on, and which sleeps until there is another.
#[derive(Debug)]
pub struct Requester {
    /// What the thread begins with, as long as there is none: many machines ask for nothing.
    idle: Option<Worker>,
    batches: mpsc::Sender<Batch<KernelRequest>>,
    answers: answers_channel::UnboundedReceiver<Batch<KernelAnswer>>,
}

#[derive(Debug)]
struct Worker {
    performer: Performer,
    to_do: mpsc::Receiver<Batch<KernelRequest>>,
    done: answers_channel::UnboundedSender<Batch<KernelAnswer>>,
}

impl Worker {
    fn run(mut self) {
        while let Ok(batch) = self.to_do.recv() {
            for part in batch.chunks(AT_ONCE) {
                if self.done.send(self.performer.perform(part)).is_err() {
                    return;
                }
            }
        }
    }
}

impl Requester {
    /// Opens the socket.
    ///
    /// # Errors
    /// When there are no netlink sockets.
    pub fn open() -> io::Result<Self> {
        let (batches, to_do) = mpsc::channel();
        let (done, answers) = answers_channel::unbounded_channel();
        let worker = Worker {
            performer: Performer::open()?,
            to_do,
            done,
        };
        Ok(Self {
            idle: Some(worker),
            batches,
            answers,
        })
    }

    /// Has the thread wait for a first batch: what a lease brings is not to wait for a thread to be made.
    pub fn prepare(&mut self) {
        if let Some(worker) = self.idle.take() {
            let thread = thread::Builder::new().name("linnet-kernel".to_owned());
            let _is_started = thread.spawn(move || worker.run());
        }
    }

    /// Hands over a batch, in the order in which the kernel must see it. The thread that is started by the first one, or by [`Requester::prepare`], has the
    /// capabilities and the network namespace of the caller.
    pub fn send(&mut self, batch: Vec<(RequestId, KernelRequest)>) {
        if batch.is_empty() {
            return;
        }
        // A thread that is gone, or that there is no room for, answers nothing: `next` tells.
        let _is_taken = self.batches.send(batch);
        self.prepare();
    }

    /// Waits for the answers to a batch. Cancel-safe.
    ///
    /// # Errors
    /// When the thread is gone.
    pub async fn next(&mut self) -> io::Result<Vec<(RequestId, KernelAnswer)>> {
        let answers = self.answers.recv().await;
        answers.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

/// Asks the kernel at once, and waits until it is done.
#[derive(Debug)]
pub struct Performer {
    socket: Socket,
    sequence: u32,
    bytes: Vec<u8>,
    buffer: Vec<u8>,
    cards: Cards,
}

impl Performer {
    /// Opens a socket for requests.
    ///
    /// # Errors
    /// When there are no netlink sockets.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket::have_words(&socket);
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
            bytes: Vec::new(),
            buffer: Vec::new(),
            cards: Cards::default(),
        })
    }

    /// Does what is asked, in order; returns an answer to each.
    pub fn perform(
        &mut self,
        batch: &[(RequestId, KernelRequest)],
    ) -> Vec<(RequestId, KernelAnswer)> {
        let mut answers = BTreeMap::new();
        let mut waiting = BTreeMap::new();
        // By link, until everything is done: a batch may take a thousand addresses away.
        let mut promoting = BTreeMap::new();
        // Of the deletions from here on that follow one another.
        let mut found = None;
        for (place, (id, request)) in batch.iter().enumerate() {
            if places::doubtful(request).is_none() {
                found = None;
            }
            match request {
                KernelRequest::ReadSwitch { link, switch } => {
                    self.flush(&mut waiting, &mut answers);
                    let answer = match switch.hardware() {
                        Some(hardware) => self.cards.read(link, hardware),
                        None => switches::read(link, *switch),
                    };
                    answers.insert(*id, answer);
                }
                KernelRequest::SetSwitch {
                    link,
                    switch,
                    value,
                } => {
                    self.flush(&mut waiting, &mut answers);
                    let answer = match switch.hardware() {
                        Some(hardware) => self.cards.set(link, hardware, *value),
                        None => switches::set(link, *switch, *value),
                    };
                    answers.insert(*id, answer);
                }
                KernelRequest::ReadPrefixRoute { index, prefix } => {
                    // Those that were asked for before may be the one.
                    self.flush(&mut waiting, &mut answers);
                    let answer = match places::has_prefix_route(*index, *prefix) {
                        Ok(is_there) => KernelAnswer::Value(is_there.into()),
                        Err(error) => KernelAnswer::Failed(error.into()),
                    };
                    answers.insert(*id, answer);
                }
                // Of others that have come a moment ago nobody has heard: any IPv4 address may be the first of some.
                KernelRequest::DeleteAddress { index, address, .. }
                    if address.address.is_ipv4() =>
                {
                    let _new = promoting
                        .entry(*index)
                        .or_insert_with(|| switches::Promoting::begin(*index));
                    self.append(*id, request, &mut waiting);
                }
                KernelRequest::DeleteRoute(route) if places::doubtful(request).is_some() => {
                    let found = found.get_or_insert_with(|| {
                        // What was asked for before may be what it is about.
                        self.flush(&mut waiting, &mut answers);
                        // Whatever comes between may make one of them go in silence.
                        let rest = batch[place..].iter();
                        Places::look(rest.map_while(|(_, next)| places::doubtful(next)))
                    });
                    match found.has(route) {
                        Ok(true) => self.append(*id, request, &mut waiting),
                        Ok(false) => drop(answers.insert(*id, fault(libc::ESRCH))),
                        Err(fault) => drop(answers.insert(*id, KernelAnswer::Failed(fault))),
                    }
                }
                KernelRequest::SetUp { .. }
                | KernelRequest::SetMtu { .. }
                | KernelRequest::SetMac { .. }
                | KernelRequest::AddAddress(_)
                | KernelRequest::ReplaceAddress(_)
                | KernelRequest::DeleteAddress { .. }
                | KernelRequest::AddRoute(_)
                | KernelRequest::ReplaceRoute(_)
                | KernelRequest::DeleteRoute(_)
                | KernelRequest::AddRule(_)
                | KernelRequest::DeleteRule(_) => self.append(*id, request, &mut waiting),
            }
            if waiting.len() >= AT_ONCE {
                self.flush(&mut waiting, &mut answers);
            }
        }
        self.flush(&mut waiting, &mut answers);
        drop(promoting);
        let unanswered = || fault(libc::ENOBUFS);
        batch
            .iter()
            .map(|(id, _)| (*id, answers.remove(id).unwrap_or_else(unanswered)))
            .collect()
    }

    fn append(
        &mut self,
        id: RequestId,
        request: &KernelRequest,
        waiting: &mut BTreeMap<u32, RequestId>,
    ) {
        for message in emit(request) {
            frame(&message, self.sequence, &mut self.bytes);
            waiting.insert(self.sequence, id);
            self.sequence = self.sequence.wrapping_add(1);
        }
    }

    /// Sends what is written, and reads the answers: they are there when the kernel has taken the datagram.
    fn flush(
        &mut self,
        waiting: &mut BTreeMap<u32, RequestId>,
        answers: &mut BTreeMap<RequestId, KernelAnswer>,
    ) {
        if waiting.is_empty() {
            return;
        }
        let sent = self.socket.send(&self.bytes, 0);
        self.bytes.clear();
        if let Err(error) = sent {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            for id in std::mem::take(waiting).into_values() {
                answers.insert(id, fault(errno));
            }
            return;
        }
        while !waiting.is_empty() {
            match socket::receive(&self.socket, &mut self.buffer) {
                Ok(Received::Datagram) => {}
                Ok(Received::Foreign | Received::Lost) => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::debug!(%error, "answers of the kernel are missing");
                    break;
                }
            }
            for (sequence, answer) in answers::parse(&self.buffer) {
                let Some(id) = waiting.remove(&sequence) else {
                    continue;
                };
                // Of several messages for one request the first that failed counts.
                let before = answers.entry(id).or_insert(KernelAnswer::Done);
                if *before == KernelAnswer::Done {
                    *before = answer;
                }
            }
        }
        // What has no answer is asked again: it is one of those faults that pass.
        for id in std::mem::take(waiting).into_values() {
            answers.insert(id, fault(libc::ENOBUFS));
        }
    }
}

fn fault(errno: i32) -> KernelAnswer {
    KernelAnswer::Failed(KernelFault { errno, text: None })
}
