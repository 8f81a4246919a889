//! What does the service manager hear? Readiness, state in words, reloads, the watchdog's keep-alive.
//!
//! Without `NOTIFY_SOCKET` all of it goes nowhere.

use std::time::Duration;

use sd_notify::NotifyState;

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// The stub answers, or a reload has ended.
    Ready,
    /// The configuration is being read again.
    Reloading,
    /// The daemon ends.
    Stopping,
    /// One line for `systemctl status`.
    Status(String),
}

/// Tells it; a service manager that does not listen is no reason to stop.
pub(crate) fn announce(announcement: &Announcement) {
    let told = match announcement {
        Announcement::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Announcement::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        Announcement::Status(text) => sd_notify::notify(&[NotifyState::Status(text)]),
        // Type=notify-reload wants the time along with it (sd_notify(3), RELOADING=1).
        Announcement::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
    };
    if let Err(error) = told {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

/// Tells the watchdog that the loop goes round.
pub(crate) fn keep_alive() {
    if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
        tracing::debug!(%error, "the watchdog does not listen");
    }
}

/// Returns how often the watchdog wants to hear: half of its patience; `None` without one.
pub(crate) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2)
}
