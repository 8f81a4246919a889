//! What does a DHCPv4 client do next? The state machine of RFC 2131.

use config::time::Instant;

use super::{Candidate, Event, Received, Setup, Sockets, StateName, Status, Transmit};

/// A DHCPv4 client of one link.
#[derive(Debug)]
pub struct Client {
    #[expect(dead_code, reason = "the signatures come first")]
    setup: Setup,
    candidates: Vec<Candidate>,
    has_carrier: bool,
}

#[expect(clippy::needless_pass_by_ref_mut, reason = "the signatures come first")]
impl Client {
    /// Makes a client that waits for [`Self::handle_carrier`]; `candidates` come from [`super::Leases::candidates`].
    pub fn new(setup: Setup, candidates: Vec<Candidate>, _now: Instant) -> Self {
        Self {
            setup,
            candidates,
            has_carrier: false,
        }
    }

    /// Takes that the link got or lost its carrier (or went up or down). A lease outlives a carrier; when it comes back, the
    /// lease is confirmed anew, or found to be of another network.
    pub fn handle_carrier(&mut self, has_carrier: bool, _now: Instant) {
        self.has_carrier = has_carrier;
    }

    /// Takes that the machine has slept: the lease is confirmed anew, as after a change of carrier.
    pub fn handle_resume(&mut self, _now: Instant) {}

    /// Takes a packet of one of the sockets; what is not for us, malformed or late changes nothing.
    pub fn handle_packet(&mut self, _octets: &[u8], _received: Received, _now: Instant) {}

    /// Takes that time has passed; to be called at [`Self::poll_timeout`], harmless earlier.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Asks the server to prolong the lease at once; without a lease, looks for one at once.
    pub fn renew(&mut self, _now: Instant) {}

    /// Gives the lease back (RFC 2131 §4.4.6) and rests until [`Self::renew`] or a new client.
    pub fn release(&mut self, _now: Instant) {}

    /// Returns the next thing to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }

    /// Returns the next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Returns when [`Self::handle_timeout`] is due, whatever comes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Returns which sockets must be open.
    pub fn sockets(&self) -> Sockets {
        Sockets::default()
    }

    /// Returns how things stand.
    pub fn status(&self) -> Status {
        Status {
            state: match self.candidates.is_empty() || self.has_carrier {
                true => StateName::Init,
                false => StateName::InitReboot,
            },
            lease: None,
            trouble: None,
            next_at: None,
        }
    }
}
