//! When may an item be asked for again? At once after something that can have mended it; ever more rarely when asking has
//! not helped, so that two programs that want different things do not wear out the machine.

use std::mem::{Discriminant, discriminant};
use std::net::IpAddr;
use std::time::Duration;

use config::time::Instant;

use crate::request::{KernelFault, KernelRequest};
use crate::status::ItemState;

/// How long the kernel's word of a change may take until it is read: it is on its way when the answer comes.
const SETTLE: Duration = Duration::from_millis(200);
/// What was added and is not to be seen for so long was taken away by somebody else.
const UNSEEN: Duration = Duration::from_secs(10);
/// Requests that fail may be sent again at once so often, whenever something changes.
const QUICK_ATTEMPTS: u32 = 4;
const LONGEST: Duration = Duration::from_secs(60);
/// How long it is until what may be mended unheard is tried again, for the first time; twice as long each time.
const SLOW: Duration = Duration::from_secs(5);
const SLOWEST: Duration = Duration::from_secs(900);
/// After this much more than the last pause, nobody is quarrelling.
const PEACE: Duration = Duration::from_secs(1);

/// What became of an item.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) state: Option<ItemState>,
    /// The links whose changes may mend it, by index; 0 for none.
    pub(super) mended_by: Vec<u32>,
    /// The address that may mend it, whatever link gets it.
    pub(super) awaits: Option<IpAddr>,
    /// When it is to be compared again.
    pub(super) delayed_until: Option<Instant>,
    /// Whether the journal names it for a request that has not succeeded yet.
    pub(super) is_fresh: bool,
    /// Whether an adoption of its link has asked for it to become ours.
    pub(super) is_adopted: bool,
    /// Until when the kernel's word of what it has added may be on its way.
    unseen_until: Option<Instant>,
    last: Option<Last>,
    /// How often it was tried though nothing was heard.
    tries: u32,
}

#[derive(Debug)]
struct Last {
    kind: Discriminant<KernelRequest>,
    attempts: u32,
    sent_at: Instant,
    not_before: Option<Instant>,
}

impl Record {
    /// Returns the time before which this request may not be sent.
    pub(super) fn not_before(&self, request: &KernelRequest) -> Option<Instant> {
        let last = self.last.as_ref()?;
        last.not_before
            .filter(|_| last.kind == discriminant(request))
    }

    /// Takes word that a request is sent.
    pub(super) fn sent(&mut self, request: &KernelRequest, now: Instant) {
        // A look between two tries makes nobody more patient.
        if request.is_read() && self.last.is_some() {
            return;
        }
        let kind = discriminant(request);
        let before = self.last.as_ref().filter(|last| last.kind == kind);
        let attempts = before.map_or(0, |last| {
            let is_peace = now.since(last.sent_at) > pause(last.attempts) * 2 + PEACE;
            if is_peace { 0 } else { last.attempts }
        });
        self.last = Some(Last {
            kind,
            attempts: attempts + 1,
            sent_at: now,
            not_before: None,
        });
    }

    /// Takes word that it was done: that nothing is to be seen of it for a moment means nothing. Of a setting that is changed from
    /// what it was (`is_forth`) as little as of what is added.
    pub(super) fn done(&mut self, request: &KernelRequest, is_forth: bool, now: Instant) {
        let adds = is_forth
            || matches!(
                request,
                KernelRequest::AddAddress(_)
                    | KernelRequest::ReplaceAddress(_)
                    | KernelRequest::AddRoute(_)
                    | KernelRequest::ReplaceRoute(_)
                    | KernelRequest::AddRule(_)
            );
        self.unseen_until = adds.then(|| now + UNSEEN);
        self.is_fresh = false;
        self.tries = 0;
        if let Some(last) = &mut self.last {
            last.not_before = Some(now + pause(last.attempts));
        }
    }

    /// Takes word that it is there.
    pub(super) const fn seen(&mut self) {
        self.unseen_until = None;
    }

    /// Returns until when it may be there though nothing is to be seen of it.
    pub(super) const fn unseen_until(&self) -> Option<Instant> {
        self.unseen_until
    }

    /// Takes word that it has failed; returns when it is tried again by itself, the first few times.
    pub(super) fn failed(&mut self, fault: KernelFault, now: Instant) -> Option<Instant> {
        self.state = Some(ItemState::Failed(fault));
        let is_slow = self.is_slow();
        let last = self.last.as_mut()?;
        if let Some(slow) = last.attempts.checked_sub(QUICK_ATTEMPTS) {
            last.not_before = Some(now + pause(slow));
            return None;
        }
        if is_slow {
            return None;
        }
        Some(now + pause(last.attempts))
    }

    /// Takes word that it has failed for a reason that passes; returns when it is to be tried again.
    pub(super) fn put_off(&mut self, fault: KernelFault, now: Instant) -> Instant {
        self.state = Some(ItemState::Failed(fault));
        let attempts = self.last.as_ref().map_or(1, |last| last.attempts);
        let at = now + pause(attempts);
        if let Some(last) = &mut self.last {
            last.not_before = Some(at);
        }
        at
    }

    /// Whether the quick tries are over, and it is tried ever more rarely.
    pub(super) const fn is_slow(&self) -> bool {
        self.tries > 0
    }

    /// Returns when it is tried again though nothing may be heard of what mends it: ever more rarely.
    pub(super) fn slowly(&mut self, now: Instant) -> Instant {
        let doubled = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        self.tries = self.tries.saturating_add(1);
        now + SLOW.saturating_mul(doubled).min(SLOWEST)
    }

    /// Takes word of something that may have mended it.
    pub(super) const fn heard(&mut self) {
        self.tries = 0;
    }

    /// Forgets what was tried: something else is wanted.
    pub(super) fn begin_anew(&mut self) {
        self.last = None;
        self.tries = 0;
    }
}

fn pause(attempts: u32) -> Duration {
    let doubled = 1_u32
        .checked_shl(attempts.saturating_sub(1))
        .unwrap_or(u32::MAX);
    SETTLE.saturating_mul(doubled).min(LONGEST)
}
