//! What does a walk have to find out, and how far is it? One task for the question, one for each server's address.
//!
//! Values only; `descend` moves them.

use std::net::IpAddr;
use std::sync::Arc;

use config::name::DomainName;

use super::delegations::Delegation;
use super::minimise::{Minimiser, Step};
use crate::record::RawRecord;

/// A task within its walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(pub(crate) u32);

/// Why something is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is the question.
    Question,
    /// A server came without an address.
    Host { parent: TaskId, host: DomainName },
    /// The root's servers (RFC 9609).
    Priming { parent: TaskId },
}

/// Something to find out.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) purpose: Purpose,
    pub(crate) depth: u8,
    /// The name asked for, or the last alias's target.
    pub(crate) name: DomainName,
    pub(crate) record_type: u16,
    pub(crate) seen: Vec<DomainName>,
    pub(crate) answers: Vec<RawRecord>,
    pub(crate) authority: Vec<RawRecord>,
    pub(crate) descent: Option<Descent>,
    pub(crate) child: Option<TaskId>,
    /// Whether a remembered delegation turned out to be of no use.
    pub(crate) restarted: bool,
}

/// Being at a zone, on the way down.
#[derive(Debug)]
pub(crate) struct Descent {
    pub(crate) delegation: Arc<Delegation>,
    /// Whether the delegation was remembered, not just received.
    pub(crate) remembered: bool,
    pub(crate) minimiser: Minimiser,
    pub(crate) step: Step,
    pub(crate) candidates: Vec<Candidate>,
    /// Servers whose addresses are not known.
    pub(crate) hosts: Vec<DomainName>,
    pub(crate) trouble: &'static str,
}

/// An address that may be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) address: IpAddr,
    pub(crate) sends: u8,
    pub(crate) is_dead: bool,
}

impl Task {
    pub(crate) fn new(purpose: Purpose, depth: u8, name: DomainName, record_type: u16) -> Self {
        Self {
            purpose,
            depth,
            seen: vec![name.clone()],
            name,
            record_type,
            answers: Vec::new(),
            authority: Vec::new(),
            descent: None,
            child: None,
            restarted: false,
        }
    }

    /// Adds what a reply brought; what is there already is not added again.
    pub(crate) fn extend(&mut self, answers: Vec<RawRecord>, authority: Vec<RawRecord>) {
        for (from, to) in [
            (answers, &mut self.answers),
            (authority, &mut self.authority),
        ] {
            for record in from {
                if !to.contains(&record) {
                    to.push(record);
                }
            }
        }
    }
}

impl Descent {
    /// Goes on to the next part of the name; every server may be asked again.
    pub(crate) fn next_step(&mut self, name: &DomainName, record_type: u16) {
        self.step = self.minimiser.next(name, record_type);
        for candidate in &mut self.candidates {
            candidate.sends = 0;
            candidate.is_dead = false;
        }
    }

    pub(crate) fn add(&mut self, addresses: &[IpAddr]) {
        for &address in addresses {
            if !self.candidates.iter().any(|known| known.address == address) {
                self.candidates.push(Candidate {
                    address,
                    sends: 0,
                    is_dead: false,
                });
            }
        }
    }

    /// Takes a server out of this step.
    pub(crate) fn bury(&mut self, address: IpAddr) {
        for candidate in &mut self.candidates {
            candidate.is_dead |= candidate.address == address;
        }
    }
}
