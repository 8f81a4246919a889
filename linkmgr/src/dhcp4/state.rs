//! Which states are there, what does each have, and when is something due in it? RFC 2131 §4.4.

use config::time::Instant;

use super::StateName;
use super::lease::{Lease, Times};
use super::reattach::{Reboot, Search};
use super::send::Exchange;
use super::wire::Reply;

/// The states of RFC 2131 §4.4 with what each has.
#[derive(Debug)]
pub(super) enum State {
    /// Until then, or until something happens.
    Init {
        until: Option<Instant>,
    },
    Selecting(Search),
    /// The lease of before is kept until another one has come.
    Requesting(Exchange, Box<Reply>, Option<Held>),
    InitReboot(Option<Held>),
    Rebooting(Box<Reboot>),
    Bound(Held),
    Renewing(Held, Exchange),
    Rebinding(Held, Exchange),
}

/// A lease that is supplied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) lease: Box<Lease>,
    /// Whether no server has confirmed it since the link came up.
    pub(super) unconfirmed: bool,
}

impl Held {
    pub(super) fn times(&self) -> Option<Times> {
        self.lease.times
    }
}

impl State {
    pub(super) const fn name(&self) -> StateName {
        match self {
            Self::Init { .. } => StateName::Init,
            Self::Selecting(_) => StateName::Selecting,
            Self::Requesting(..) => StateName::Requesting,
            Self::InitReboot(_) => StateName::InitReboot,
            Self::Rebooting(_) => StateName::Rebooting,
            Self::Bound(_) => StateName::Bound,
            Self::Renewing(..) => StateName::Renewing,
            Self::Rebinding(..) => StateName::Rebinding,
        }
    }

    pub(super) fn held(&self) -> Option<&Held> {
        match self {
            Self::Init { .. } => None,
            Self::Selecting(search) => search.held.as_ref(),
            Self::InitReboot(held) | Self::Requesting(.., held) => held.as_ref(),
            Self::Rebooting(reboot) => reboot.held.as_ref(),
            Self::Bound(held) | Self::Renewing(held, _) | Self::Rebinding(held, _) => Some(held),
        }
    }

    /// Returns the lease that is kept though nobody has answered in this place.
    pub(super) fn doubted(&self) -> Option<&Held> {
        match self {
            Self::Selecting(search) => search.held.as_ref(),
            Self::Requesting(.., held) => held.as_ref(),
            Self::Init { .. }
            | Self::InitReboot(_)
            | Self::Rebooting(_)
            | Self::Bound(_)
            | Self::Renewing(..)
            | Self::Rebinding(..) => None,
        }
    }

    pub(super) fn into_held(self) -> Option<Held> {
        match self {
            Self::Init { .. } => None,
            Self::Selecting(search) => search.held,
            Self::InitReboot(held) | Self::Requesting(.., held) => held,
            Self::Rebooting(reboot) => reboot.held,
            Self::Bound(held) | Self::Renewing(held, _) | Self::Rebinding(held, _) => Some(held),
        }
    }

    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::Init { .. } | Self::InitReboot(_) | Self::Bound(_) => None,
            Self::Selecting(search) => Some(&search.exchange),
            Self::Requesting(exchange, ..)
            | Self::Renewing(_, exchange)
            | Self::Rebinding(_, exchange) => Some(exchange),
            Self::Rebooting(reboot) => Some(&reboot.exchange),
        }
    }

    /// Returns when something is due, if nothing comes.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let expires_at = |held: &Held| held.times().map(|times| times.expires_at);
        match self {
            Self::Init { until } => *until,
            Self::Selecting(search) => earliest([
                Some(search.exchange.next_at),
                search.ask_at,
                search.held.as_ref().and_then(expires_at),
            ]),
            Self::Requesting(exchange, _, held) => {
                earliest([Some(exchange.next_at), held.as_ref().and_then(expires_at)])
            }
            Self::InitReboot(held) => held.as_ref().and_then(expires_at),
            Self::Rebooting(reboot) => earliest([
                Some(reboot.due_at()),
                reboot.held.as_ref().and_then(expires_at),
            ]),
            Self::Bound(held) => held.times().map(|times| times.renew_at),
            Self::Renewing(held, exchange) => earliest([
                Some(exchange.next_at),
                held.times().map(|times| times.rebind_at),
            ]),
            Self::Rebinding(held, exchange) => earliest([Some(exchange.next_at), expires_at(held)]),
        }
    }
}

pub(super) fn earliest<const COUNT: usize>(times: [Option<Instant>; COUNT]) -> Option<Instant> {
    times.into_iter().flatten().min()
}
