//! Where does a walk go next? From zone to zone, alias to alias, and aside for servers without address.
//!
//! Everything that costs messages is bounded here: servers without glue (NXNS), depth, circles, aliases.

use std::net::IpAddr;
use std::sync::Arc;

use config::name::DomainName;
use config::time::Instant;
use rand::seq::SliceRandom as _;

use super::Recursion;
use super::delegations::Delegation;
use super::minimise::{Minimiser, Step};
use super::roots::address_of;
use super::sort::{ALIASES_MAX, Piece, Sorted, sort};
use super::task::{Descent, Purpose, Task, TaskId};
use super::walk::{Flight, Walk, WalkFailure};
use crate::record::ParsedReply;
use crate::wire::{Question, class, rcode, rtype};

/// How often one server is asked the same.
const SENDS_MAX: u8 = 2;
/// The most servers without glue that are looked up for one delegation (NXNS, CVE-2020-8616).
const HOSTS_PER_DELEGATION: usize = 3;
/// The most that are looked up for one question.
const HOSTS_PER_WALK: u8 = 16;
/// How deep walks inside a walk may go.
const DEPTH_MAX: u8 = 6;

/// What a task does next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Wait.
    Wait,
    /// Move on.
    Again,
    /// It is over; the code of its answer, or why there is none.
    End(Result<u16, WalkFailure>),
}

impl Walk {
    /// Moves every task that can move.
    pub(crate) fn advance_all(&mut self, shared: &mut Recursion, now: Instant) {
        while let Some(id) = self.ready.pop_front() {
            self.with_task(id, shared, now, |walk, task, shared| {
                walk.advance(id, task, shared, now)
            });
        }
    }

    pub(crate) fn with_task(
        &mut self,
        id: TaskId,
        shared: &mut Recursion,
        now: Instant,
        act: impl FnOnce(&mut Self, &mut Task, &mut Recursion) -> Turn,
    ) {
        let Some(mut task) = self.tasks.remove(&id) else {
            return;
        };
        let turn = act(self, &mut task, shared);
        if self.ended {
            return;
        }
        match turn {
            Turn::Wait => {
                self.tasks.insert(id, task);
            }
            Turn::Again => {
                self.tasks.insert(id, task);
                self.ready.push_back(id);
            }
            Turn::End(result) => self.end(id, task, result, shared, now),
        }
    }

    /// Takes a whole reply to the question of a task's present step.
    pub(crate) fn take_reply(
        &mut self,
        flight: &Flight,
        task: &mut Task,
        reply: &ParsedReply,
        shared: &mut Recursion,
        now: Instant,
    ) -> Turn {
        let Some(descent) = &mut task.descent else {
            return Turn::Again;
        };
        let zone = &descent.delegation.zone;
        let sorted = sort(&descent.step.question, zone, shared.addresses, reply);
        match sorted {
            Sorted::Referral(delegation) => {
                let delegation = Arc::new(delegation);
                shared.delegations.insert(Arc::clone(&delegation), now);
                let mut minimiser = descent.minimiser.clone();
                minimiser.note_shown(delegation.zone.label_count());
                self.leave_zone(flight.task, task);
                self.enter(task, delegation, minimiser, false, shared, now);
            }
            Sorted::Lame(trouble) => {
                shared.servers.note_lame(flight.server, zone, now);
                descent.trouble = trouble;
                descent.bury(flight.server);
            }
            Sorted::Broken(code) => {
                descent.trouble = "its reply is an error";
                // RFC 9156 §2.3: some servers cannot bear a question that hides something.
                if !descent.step.is_whole && matches!(code, rcode::FORMERR | rcode::NOTIMP) {
                    descent.minimiser.give_up();
                    self.next_step(flight.task, task);
                } else {
                    descent.bury(flight.server);
                }
            }
            Sorted::Answer(piece) | Sorted::Alias(piece) if !descent.step.is_whole => {
                let renamed = piece.answers.iter().any(|r| r.record_type == rtype::DNAME);
                // A server that denies a name because nothing is right at it would deny the whole one (RFC 9156 §2.3, relaxed).
                if renamed || (piece.rcode != rcode::NOERROR && piece.aliases.is_empty()) {
                    descent.minimiser.give_up();
                }
                let labels = descent.step.question.name.label_count();
                descent.minimiser.note_shown(labels);
                self.next_step(flight.task, task);
            }
            Sorted::Answer(piece) => {
                if matches!(task.purpose, Purpose::Priming { .. }) {
                    shared.roots.prime(reply, shared.addresses, now);
                }
                task.extend(piece.answers, piece.authority);
                return Turn::End(Ok(piece.rcode));
            }
            Sorted::Alias(piece) => return self.follow(flight.task, task, piece),
        }
        Turn::Again
    }

    fn follow(&mut self, id: TaskId, task: &mut Task, piece: Piece) -> Turn {
        for target in piece.aliases {
            if task.seen.contains(&target) || task.seen.len() > ALIASES_MAX {
                let first = task.seen.first().unwrap_or(&task.name);
                return Turn::End(Err(WalkFailure::Aliases(first.clone())));
            }
            task.seen.push(target.clone());
            task.name = target;
        }
        task.extend(piece.answers, piece.authority);
        self.leave_zone(id, task);
        task.restarted = false;
        Turn::Again
    }

    fn advance(
        &mut self,
        id: TaskId,
        task: &mut Task,
        shared: &mut Recursion,
        now: Instant,
    ) -> Turn {
        let waits = |flight: &Flight| flight.task == id && !flight.is_late;
        if task.child.is_some() || self.flights.values().any(waits) {
            return Turn::Wait;
        }
        if task.descent.is_none()
            && let Some(turn) = self.start(id, task, shared, now)
        {
            return turn;
        }
        let Some(descent) = &mut task.descent else {
            return Turn::Wait;
        };
        let fewest = descent
            .candidates
            .iter()
            .filter(|c| !c.is_dead)
            .map(|c| c.sends)
            .min();
        if let Some(sends) = fewest
            && (sends == 0 || (sends < SENDS_MAX && descent.hosts.is_empty()))
        {
            let open: Vec<IpAddr> = descent
                .candidates
                .iter()
                .filter(|candidate| !candidate.is_dead && candidate.sends == sends)
                .map(|candidate| candidate.address)
                .collect();
            let zone = &descent.delegation.zone;
            if let Some(server) = shared.servers.choose(&open, zone, &mut shared.rng, now) {
                for candidate in &mut descent.candidates {
                    candidate.sends += u8::from(candidate.address == server);
                }
                self.send((id, &descent.step.question), server, shared, now);
                return Turn::Wait;
            }
        }
        if let Some(host) = descent.hosts.pop() {
            return if self.look_up(id, task, &host) {
                Turn::Wait
            } else {
                Turn::Again
            };
        }
        self.exhausted(id, task, shared)
    }

    /// All servers were asked in vain.
    fn exhausted(&mut self, id: TaskId, task: &mut Task, shared: &mut Recursion) -> Turn {
        let Some(descent) = &mut task.descent else {
            return Turn::Wait;
        };
        if !descent.step.is_whole && !descent.candidates.is_empty() {
            descent.minimiser.give_up();
            self.next_step(id, task);
            return Turn::Again;
        }
        let zone = descent.delegation.zone.clone();
        let trouble = descent.trouble;
        shared.delegations.forget(&zone);
        if descent.remembered && !task.restarted && !zone.is_root() {
            // Its servers may be others by now.
            task.restarted = true;
            self.leave_zone(id, task);
            return Turn::Again;
        }
        Turn::End(Err(WalkFailure::NoServer { zone, trouble }))
    }

    /// Begins at the closest zone that is known; returns what to do when there is nothing to ask yet, or no more.
    fn start(
        &mut self,
        id: TaskId,
        task: &mut Task,
        shared: &mut Recursion,
        now: Instant,
    ) -> Option<Turn> {
        if matches!(task.purpose, Purpose::Priming { .. }) {
            let hints = shared.roots.hints();
            self.enter(task, hints, Minimiser::new(0), true, shared, now);
            return None;
        }
        // RFC 4035 §3.1.4.1: DS is in the zone above.
        let above = match task.record_type {
            rtype::DS => task.name.parent(),
            _ => None,
        };
        if above.is_some()
            && let Some(signer) = shared.delegations.signer(&task.name, now)
        {
            task.extend(signer, Vec::new());
            return Some(Turn::End(Ok(rcode::NOERROR)));
        }
        let from = above.as_ref().unwrap_or(&task.name);
        let known = shared.delegations.closest(from, now);
        if known.is_none() && shared.roots.wants_priming(now) {
            let priming = Purpose::Priming { parent: id };
            let depth = task.depth + 1;
            task.child = Some(self.spawn(Task::new(priming, depth, DomainName::root(), rtype::NS)));
            return Some(Turn::Wait);
        }
        let delegation = known.unwrap_or_else(|| shared.roots.current(now));
        let minimiser = Minimiser::new(delegation.zone.label_count());
        self.enter(task, delegation, minimiser, true, shared, now);
        None
    }

    fn enter(
        &self,
        task: &mut Task,
        delegation: Arc<Delegation>,
        minimiser: Minimiser,
        remembered: bool,
        shared: &mut Recursion,
        now: Instant,
    ) {
        let question = Question {
            name: task.name.clone(),
            record_type: task.record_type,
            class: class::IN,
        };
        let mut descent = Descent {
            delegation: Arc::clone(&delegation),
            remembered,
            minimiser,
            step: Step {
                question,
                is_whole: true,
            },
            candidates: Vec::new(),
            hosts: Vec::new(),
            trouble: "it does not reply",
        };
        for server in &delegation.servers {
            let mut addresses = server.addresses.clone();
            for record_type in [rtype::A, rtype::AAAA] {
                let found = shared.delegations.addresses(&server.name, record_type, now);
                addresses.extend_from_slice(found.unwrap_or_default());
            }
            addresses.retain(|&address| self.reaches(address));
            descent.add(&addresses);
            // A server inside its own zone cannot be found without glue.
            if addresses.is_empty() && !server.name.is_in(&delegation.zone) {
                descent.hosts.push(server.name.clone());
            }
        }
        if descent.candidates.is_empty() {
            descent.trouble = "none of them has an address that can be reached";
        }
        descent.hosts.shuffle(&mut shared.rng);
        descent.hosts.truncate(HOSTS_PER_DELEGATION);
        descent.next_step(&task.name, task.record_type);
        task.descent = Some(descent);
    }

    fn reaches(&self, address: IpAddr) -> bool {
        if address.is_ipv4() {
            self.reach.v4
        } else {
            self.reach.v6
        }
    }

    /// Begins to look for a server's address; returns whether that is possible.
    fn look_up(&mut self, id: TaskId, task: &mut Task, host: &DomainName) -> bool {
        let record_type = if self.reach.v4 { rtype::A } else { rtype::AAAA };
        if task.depth >= DEPTH_MAX
            || self.hosts >= HOSTS_PER_WALK
            || !(self.reach.v4 || self.reach.v6)
            || self.is_sought(task, host)
        {
            return false;
        }
        self.hosts += 1;
        let purpose = Purpose::Host {
            parent: id,
            host: host.clone(),
        };
        let child = Task::new(purpose, task.depth + 1, host.clone(), record_type);
        task.child = Some(self.spawn(child));
        true
    }

    /// Whether a host's address is what this task, or one that waits for it, is after: a circle.
    fn is_sought(&self, task: &Task, host: &DomainName) -> bool {
        let mut at = Some(task);
        while let Some(task) = at {
            let by_address = matches!(task.record_type, rtype::A | rtype::AAAA);
            if by_address && task.seen.contains(host) {
                return true;
            }
            at = match &task.purpose {
                Purpose::Question => None,
                Purpose::Host { parent, .. } | Purpose::Priming { parent } => {
                    self.tasks.get(parent)
                }
            };
        }
        false
    }

    fn spawn(&mut self, task: Task) -> TaskId {
        self.last_task += 1;
        let id = TaskId(self.last_task);
        self.tasks.insert(id, task);
        self.ready.push_back(id);
        id
    }

    fn next_step(&mut self, id: TaskId, task: &mut Task) {
        self.cancel(id);
        self.drop_child(task);
        let (name, record_type) = (task.name.clone(), task.record_type);
        if let Some(descent) = &mut task.descent {
            descent.next_step(&name, record_type);
        }
    }

    fn leave_zone(&mut self, id: TaskId, task: &mut Task) {
        self.cancel(id);
        self.drop_child(task);
        task.descent = None;
    }

    fn drop_child(&mut self, task: &mut Task) {
        let mut next = task.child.take();
        while let Some(id) = next {
            self.cancel(id);
            next = self.tasks.remove(&id).and_then(|child| child.child);
        }
    }

    fn end(
        &mut self,
        id: TaskId,
        mut task: Task,
        result: Result<u16, WalkFailure>,
        shared: &mut Recursion,
        now: Instant,
    ) {
        self.leave_zone(id, &mut task);
        match (&task.purpose, result) {
            (Purpose::Question, Ok(code)) => self.answer(code, &task.answers, &task.authority),
            (Purpose::Question, Err(failure)) => self.finish(Err(failure)),
            (Purpose::Priming { parent }, result) => {
                if result.is_err() {
                    shared.roots.note_failure(now);
                }
                self.wake(*parent, &[]);
            }
            (Purpose::Host { parent, host }, result) => {
                let addresses: Vec<IpAddr> = task
                    .answers
                    .iter()
                    .filter_map(address_of)
                    .filter(|&address| shared.addresses.permits(address))
                    .collect();
                let ttl = task.answers.iter().map(|record| record.ttl).min();
                // A failure may be this walk's alone: a circle, a limit, a loss.
                if result.is_ok() {
                    shared.delegations.insert_addresses(
                        host,
                        task.record_type,
                        addresses.clone(),
                        ttl.unwrap_or(0),
                        now,
                    );
                }
                let (parent, host) = (*parent, host.clone());
                if addresses.is_empty() && task.record_type == rtype::A && self.reach.v6 {
                    let purpose = Purpose::Host {
                        parent,
                        host: host.clone(),
                    };
                    let child = self.spawn(Task::new(purpose, task.depth, host, rtype::AAAA));
                    if let Some(parent) = self.tasks.get_mut(&parent) {
                        parent.child = Some(child);
                    }
                    return;
                }
                self.wake(parent, &addresses);
            }
        }
    }

    fn wake(&mut self, id: TaskId, addresses: &[IpAddr]) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.child = None;
            if let Some(descent) = &mut task.descent {
                descent.add(addresses);
            }
            self.ready.push_back(id);
        }
    }
}
