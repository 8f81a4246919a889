//! What does the event loop wait for besides sockets? Signals, files, deadlines, the watchdog.

use std::io;
use std::path::Path;
use std::pin::Pin;

use resolver_io::resolv_conf::{Contents, FileWatch};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{Interval, Sleep as Pause};

use super::Running;
use crate::clock::{self, Alarm};
use crate::input::{Input, Signal};
use crate::sleep::Sleep;

/// Follows a file, when that is possible.
pub(super) fn watch(path: &Path) -> Option<FileWatch> {
    match FileWatch::new(path) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a file is not followed"
            );
            None
        }
    }
}

/// Waits until a file that is followed changes. Cancel-safe.
pub(super) async fn changed(watch: &mut Option<FileWatch>) -> Contents {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Returns what a file says; what is not UTF-8 is replaced, as comments may be in any encoding.
pub(super) fn text(contents: Contents) -> Option<String> {
    match contents {
        Contents::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Contents::Missing | Contents::Unreadable(_) => None,
    }
}

/// Waits for a deadline, if there is one. Cancel-safe.
pub(super) async fn sleep(
    alarm: &mut Alarm,
    deadline: Option<config::time::Instant>,
) -> io::Result<()> {
    match deadline {
        Some(deadline) => alarm.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Waits for something that comes once. Cancel-safe.
pub(super) async fn passed(once: &mut Option<Pin<Box<Pause>>>) {
    match once {
        Some(sleep) => {
            sleep.await;
            *once = None;
        }
        None => std::future::pending().await,
    }
}

/// Waits until the watchdog wants to hear from us. Cancel-safe.
pub(super) async fn tick(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

impl Running<'_> {
    /// Takes logind's word of sleep, unless the clocks have told of it already.
    pub(super) async fn hear_of_sleep(&mut self, said: Sleep) {
        let is_news = self.slumber.hear(said, clock::asleep());
        match said {
            Sleep::Falls if is_news => self.feed(Input::Sleep(said)).await,
            // Nobody has to wait for us twice.
            Sleep::Falls => self.may_sleep = true,
            Sleep::Wakes if is_news => self.wake().await,
            Sleep::Wakes => {}
        }
    }

    /// Follows that the machine is awake: first what time it is, then what hangs on that.
    pub(super) async fn wake(&mut self) {
        self.driver.renew_ports();
        self.feed(Input::Clock(self.kernel_clock.read())).await;
        self.feed(Input::Sleep(Sleep::Wakes)).await;
    }
}

/// The signals that mean something.
pub(super) struct Signals {
    hangup: SignalStream,
    terminate: SignalStream,
    interrupt: SignalStream,
}

impl Signals {
    /// Takes them from the system.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Terminate,
        }
    }
}
