//! When is what read? [`Monitor`]: notices as they come, a listing when something was missed.
//!
//! What events mean is the core's; how bytes are read is [`crate::message`]'s.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use config::model::Prefix;
use linkmgr::KernelEvent;
use netlink_sys::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::ask::AskError;
use crate::filter::Heard;
use crate::message::row::Row;
use crate::message::{parse_into, parse_rows};
use crate::socket::{self, Received, Table};
use crate::sysfs;

/// Bytes of unread notices that the kernel keeps before it drops any: about 10 000 of them.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Datagrams that are read before others have their turn.
const DATAGRAMS_PER_BATCH: usize = 32;
/// Datagrams that are thrown away before a listing.
const MOST_DISCARDED: usize = 1 << 16;
/// How often a table is listed again because it changed meanwhile.
const LISTING_ATTEMPTS: u32 = 16;
/// The same of a table that is listed for its places alone: it may be a million routes long, and notices that wait say what has changed.
const AROUND_ATTEMPTS: u32 = 2;
/// A kernel without the table (a new namespace has no main one), or without IPv6.
const TABLE_IS_ABSENT: [i32; 3] = [libc::ENOENT, libc::EOPNOTSUPP, libc::EAFNOSUPPORT];
/// Why a table cannot be listed for a moment: memory or descriptors are short, or the kernel is busy with it.
const PASSING: [i32; 7] = [
    libc::EINTR,
    libc::EAGAIN,
    libc::ENOMEM,
    libc::EBUSY,
    libc::ENFILE,
    libc::EMFILE,
    libc::ENOBUFS,
];
/// How long it is until all is listed again after that; twice as long each time, so often.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const DOUBLINGS_MAX: u32 = 7;
/// A loss alone is told as an error of the socket, with nothing to read.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

/// The monitor: one netlink socket, subscribed to links, addresses and default routes.
#[derive(Debug)]
pub struct Monitor {
    notices: AsyncFd<Socket>,
    stage: Stage,
    /// How many listings in a row have broken.
    broken: u32,
    /// Whether any has come to its end. Before that nobody is served, and whoever has started us should hear that it does not work.
    is_begun: bool,
    buffer: Vec<u8>,
}

/// ```text
///  Missed ── socket emptied, ListingBegins ──► Listing ── last table, ListingEnds ──► Listening
///   │  ▲ ▲                                        │                                      │
///   ▼  │ └────────────────────────────────────────┼──────────── ENOBUFS ─────────────────┘
///  Pausing ◄───────── the listing breaks ─────────┘
/// ```
#[derive(Debug)]
enum Stage {
    /// Something was missed, or nothing is known yet.
    Missed,
    /// A listing broke: the next one begins at this time.
    Pausing(Instant),
    /// A listing is under way.
    Listing(Listing),
    /// All is known but what the socket holds.
    Listening,
}

#[derive(Debug)]
struct Listing {
    socket: Socket,
    table: Table,
    /// Tables of routes that are to be listed whole as well: ours are in them.
    shared: BTreeSet<Table>,
    /// What the table says of the place that it is at.
    row: Row,
    /// Whether the kernel said that this table changed meanwhile.
    interrupted: bool,
    attempts: u32,
}

impl Monitor {
    /// Opens the socket and asks for a whole listing, which comes first out of [`Monitor::next`].
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open() -> io::Result<Self> {
        Self::with_receive_buffer(RECEIVE_BUFFER)
    }

    /// Opens as [`Monitor::open`] does, with room for this many bytes of notices that are not read yet.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn with_receive_buffer(bytes: usize) -> io::Result<Self> {
        let socket = socket::open_notices(bytes)?;
        // SAFETY: the socket owns its descriptor and is not closed before it is dropped.
        let notices = unsafe { AsyncFd::register_with_interest(socket, INTEREST) }?;
        Ok(Self {
            notices,
            stage: Stage::Missed,
            broken: 0,
            is_begun: false,
            buffer: Vec::new(),
        })
    }

    /// Has routes of others heard of that lead to one of these destinations; before this is called, and until a listing that is under way ends
    /// and it is called again, all are that take another's place. What is to lead there is asked for afterwards.
    pub fn hear_of(&self, destinations: &[Prefix]) {
        let heard = match self.stage {
            Stage::Missed | Stage::Pausing(_) | Stage::Listing(_) => Heard::AndReplacing,
            Stage::Listening => Heard::Only,
        };
        if let Err(error) = socket::hear_of(self.notices.get_ref(), destinations, heard) {
            tracing::error!(%error, "it is not heard when others replace routes of ours");
        }
    }

    /// Waits for the next events, in order; a loss of messages shows as a new listing. Cancel-safe.
    ///
    /// A long listing comes in several batches: the core shows nothing of it before its end.
    ///
    /// # Errors
    /// When the socket itself is broken.
    pub async fn next(&mut self) -> io::Result<Vec<KernelEvent>> {
        loop {
            let is_listing = matches!(self.stage, Stage::Missed | Stage::Listing(_));
            match self.step().await {
                Err(error) if is_listing && is_passing(&error) && self.is_patient() => {
                    self.pause(Some(&error.into()));
                }
                Ok(events) if events.is_empty() => {}
                Ok(mut events) => {
                    describe(&mut events);
                    return Ok(events);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does what is next; there may be nothing to tell of it.
    async fn step(&mut self) -> Result<Vec<KernelEvent>, AskError> {
        match &mut self.stage {
            Stage::Missed => {
                discard(self.notices.get_ref(), &mut self.buffer)?;
                self.stage = Stage::Listing(Listing::begin()?);
                Ok(vec![KernelEvent::ListingBegins])
            }
            Stage::Pausing(until) => {
                tokio::time::sleep_until(*until).await;
                self.stage = Stage::Missed;
                Ok(Vec::new())
            }
            Stage::Listing(listing) => {
                let (progress, events) = listing.take(&mut self.buffer)?;
                match progress {
                    Progress::Under => {}
                    Progress::Complete => {
                        self.stage = Stage::Listening;
                        self.broken = 0;
                        self.is_begun = true;
                    }
                    Progress::Broken => self.pause(None),
                }
                if events.is_empty() {
                    // A million foreign routes are passed over here: the resolver has its turns meanwhile.
                    tokio::task::yield_now().await;
                }
                Ok(events)
            }
            Stage::Listening => {
                let mut ready = self.notices.ready(INTEREST).await?;
                let mut events = Vec::new();
                match take_notices(self.notices.get_ref(), &mut self.buffer, &mut events)? {
                    Notices::More => {}
                    Notices::NoMore => ready.clear_ready(),
                    Notices::Lost => {
                        tracing::info!("the kernel dropped notices: all is listed anew");
                        self.stage = Stage::Missed;
                        events.clear();
                    }
                }
                Ok(events)
            }
        }
    }

    fn is_patient(&self) -> bool {
        self.is_begun || self.broken < DOUBLINGS_MAX
    }

    /// Begins the listing anew after a while: what is known stays, late as it may be.
    fn pause(&mut self, error: Option<&io::Error>) {
        let error = error.map(tracing::field::display);
        if self.broken == 0 {
            tracing::warn!(
                error,
                "links, addresses and routes cannot be listed: it is tried again"
            );
        }
        let pause = FIRST_PAUSE * 2_u32.pow(self.broken.min(DOUBLINGS_MAX));
        self.broken = self.broken.saturating_add(1);
        self.stage = Stage::Pausing(Instant::now() + pause);
    }
}

fn is_passing(error: &AskError) -> bool {
    error.errno().is_some_and(|errno| PASSING.contains(&errno))
}

/// How far a listing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Under,
    Complete,
    Broken,
}

impl Listing {
    fn begin() -> io::Result<Self> {
        Self::on(socket::open_listing()?)
    }

    fn on(socket: Socket) -> io::Result<Self> {
        let table = Table::Links;
        socket::ask(&socket, table)?;
        Ok(Self {
            socket,
            table,
            shared: BTreeSet::new(),
            row: Row::default(),
            interrupted: false,
            attempts: 1,
        })
    }

    /// Takes what one batch may take. The kernel fills the next datagram while one is read, so that there always is one.
    fn take(&mut self, buffer: &mut Vec<u8>) -> Result<(Progress, Vec<KernelEvent>), AskError> {
        let mut events = Vec::new();
        for _ in 0..DATAGRAMS_PER_BATCH {
            match socket::receive(&self.socket, buffer) {
                Ok(Received::Datagram) => {}
                Ok(Received::Foreign) => continue,
                Ok(Received::Lost) => return Ok((Progress::Broken, Vec::new())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
            if self.take_rows(buffer, &mut events)? == Progress::Complete {
                events.push(KernelEvent::ListingEnds);
                return Ok((Progress::Complete, events));
            }
        }
        Ok((Progress::Under, events))
    }

    /// Takes one datagram.
    fn take_rows(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<KernelEvent>,
    ) -> Result<Progress, AskError> {
        let before = events.len();
        let ending = parse_rows(bytes, Some(&mut self.row), events);
        if self.table.is_around() {
            // Ours have been listed.
            let is_news = |it: &mut KernelEvent| !matches!(it, KernelEvent::OwnRoute(_));
            let news: Vec<KernelEvent> = events.extract_if(before.., is_news).collect();
            events.truncate(before);
            events.extend(news);
        } else if matches!(self.table, Table::OwnRoutes4 | Table::OwnRoutes6) {
            let ours = events.iter().skip(before);
            self.shared.extend(ours.filter_map(Table::around));
        }
        self.interrupted |= ending.interrupted;
        let Some(result) = ending.done else {
            return Ok(Progress::Under);
        };
        if let Err(fault) = result
            && !TABLE_IS_ABSENT.contains(&fault.errno)
        {
            return Err(AskError::Fault(fault));
        }
        self.row.end(events);
        Ok(self.go_on()?)
    }

    /// Asks for the next table, or again for one that changed meanwhile: it may have left something out. What it named
    /// too much is told to be gone by the notices that wait.
    fn go_on(&mut self) -> io::Result<Progress> {
        let attempts = match self.table.is_around() {
            true => AROUND_ATTEMPTS,
            false => LISTING_ATTEMPTS,
        };
        if self.interrupted && self.attempts < attempts {
            self.attempts += 1;
        } else {
            if self.interrupted {
                tracing::warn!(table = ?self.table, "others changed the table while it was listed, each time: what is missing is seen at its next change, and a route beside linnet's may go for linnet's until then");
            }
            let next = self.table.next().or_else(|| self.shared.pop_first());
            let Some(next) = next else {
                return Ok(Progress::Complete);
            };
            self.table = next;
            self.attempts = 1;
        }
        self.interrupted = false;
        socket::ask(&self.socket, self.table)?;
        Ok(Progress::Under)
    }
}

/// What one batch of notices left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notices {
    /// There may be more.
    More,
    /// The socket is empty.
    NoMore,
    /// Some were lost: what was read counts for nothing.
    Lost,
}

fn take_notices(
    socket: &Socket,
    buffer: &mut Vec<u8>,
    events: &mut Vec<KernelEvent>,
) -> io::Result<Notices> {
    for _ in 0..DATAGRAMS_PER_BATCH {
        match socket::receive(socket, buffer) {
            Ok(Received::Datagram) => {
                parse_into(buffer, events);
            }
            Ok(Received::Foreign) => {}
            Ok(Received::Lost) => return Ok(Notices::Lost),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Notices::NoMore),
            Err(error) => return Err(error),
        }
    }
    Ok(Notices::More)
}

/// Empties the socket: the listing that follows knows better. What is left after the most is told after the listing, which
/// is late but right.
fn discard(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<()> {
    for _ in 0..MOST_DISCARDED {
        match socket::receive(socket, buffer) {
            Ok(Received::Datagram | Received::Foreign | Received::Lost) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn describe(events: &mut [KernelEvent]) {
    for event in events {
        if let KernelEvent::Link(link) = event {
            sysfs::describe(link);
        }
    }
}

#[cfg(test)]
mod tests;
