//! How does the live view go on? Once a second it asks for the status; what is notable and what is typed comes in between.
//!
//! A daemon that goes away is waited for. It is asked for notable questions only, so that watching costs hits nothing.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use linnet::api::{Notice, Status, SubscribeParameters};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use super::terminal::{self, Key, Terminal};
use super::view::View;
use crate::connection::{CallError, Connection};
use crate::{Exit, Failed};

/// Time between two looks at the status.
const REFRESH: Duration = Duration::from_secs(1);
/// Time within which another size of the terminal is seen.
const GLANCE: Duration = Duration::from_millis(250);
/// Notices that are taken before the screen is drawn.
const NOTICES_MAX: usize = 256;

/// Runs the live view until a key ends it.
pub(super) fn run(socket: &Path) -> Result<Exit, Failed> {
    // Whoever cannot be reached at all is told before the screen changes.
    let mut wires = Some(Wires::open(socket)?);
    let terminal = Terminal::enter()?;
    let mut view = View::default();
    let mut refresh_at = Instant::now();
    let mut size = Terminal::size();
    loop {
        let now = Instant::now();
        if now >= refresh_at {
            refresh_at = now + REFRESH;
            if wires.is_none() {
                wires = Wires::open(socket).ok();
            }
            match wires.as_mut().map(Wires::status) {
                Some(Ok(status)) => view.take_status(status),
                Some(Err(error)) => {
                    view.take_loss(&error.to_string());
                    wires = None;
                }
                None => view.take_loss("linnetd does not answer; waiting for it"),
            }
        }
        Terminal::draw(&view.lines(size, now))?;
        let wait = refresh_at
            .saturating_duration_since(Instant::now())
            .min(GLANCE);
        let (typed, told) = watch(wires.as_ref(), wait)?;
        if told
            && let Some(open) = &mut wires
            && let Err(error) = open.notices(|notice| view.take_notice(notice, Instant::now()))
        {
            view.take_loss(&error.to_string());
            wires = None;
        }
        for key in if typed { Terminal::keys()? } else { Vec::new() } {
            match key {
                Key::Quit => {
                    drop(terminal);
                    return Ok(Exit::Success);
                }
                Key::Pause => view.pause(),
                Key::Up => view.scroll(-1),
                Key::Down => view.scroll(1),
                Key::Redraw => {}
            }
        }
        size = Terminal::size();
    }
}

/// Waits; returns whether something was typed, and whether the daemon tells something.
fn watch(wires: Option<&Wires>, wait: Duration) -> io::Result<(bool, bool)> {
    if wires.is_some_and(|wires| wires.notices.has_message()) {
        return Ok((false, true));
    }
    let stdin = io::stdin();
    let mut fds = vec![PollFd::from_borrowed_fd(
        terminal::input(&stdin),
        PollFlags::IN,
    )];
    if let Some(wires) = wires {
        fds.push(PollFd::from_borrowed_fd(
            wires.notices.as_fd(),
            PollFlags::IN,
        ));
    }
    let timeout = Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(0),
        tv_nsec: wait.subsec_nanos().into(),
    };
    match poll(&mut fds, Some(&timeout)) {
        // A signal, as after the job was stopped: the screen is drawn anew.
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let seen = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
    Ok((seen(0), seen(1)))
}

/// Two connections: one asks, the other is told.
struct Wires {
    calls: Connection,
    notices: Connection,
}

impl Wires {
    fn open(socket: &Path) -> Result<Self, CallError> {
        let calls = Connection::open(socket)?;
        let mut notices = Connection::open(socket)?;
        notices.subscribe("Subscribe", SubscribeParameters { notable: true })?;
        Ok(Self { calls, notices })
    }

    fn status(&mut self) -> Result<Status, CallError> {
        self.calls.call("Status", json!({ "brief": true }))
    }

    fn notices(&mut self, mut take: impl FnMut(Notice)) -> Result<(), CallError> {
        for _ in 0..NOTICES_MAX {
            take(self.notices.receive()?);
            if !self.notices.has_message() {
                break;
            }
        }
        Ok(())
    }
}
