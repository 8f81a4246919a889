//! How do profiles make links on this host? The rounds of linnetd's maker, on the links of the kernel of glass, with deaths before and
//! after each request and each writing.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use config::kind::LinkKind;
use linkmgr::LinkMessage;
use policy::virtual_links::{LinkChange, PresentLink};

use super::faults::Fault;
use super::host::{Happening, Host};
use crate::input::Input;
use crate::making::associations::Board;
use crate::making::kept::Book;
use crate::making::rounds::tests::glass::Glass;
use crate::making::rounds::{Failures, Hands, Links, Refusal, carry_out};
use crate::making::{Done, Made, Order, Task};
use crate::world::Kept;

/// Behind the kinds of requests of [`super::faults::kind`].
const MAKES: u64 = 20;
const REMOVES: u64 = 21;
const CHANGES: u64 = 22;
/// Other files are 0.
const MADE_LINKS: u64 = 1;

/// What the thread that makes links has, and the links of the kernel as it sees them.
#[derive(Debug, Default)]
pub(super) struct Making {
    pub(super) glass: Glass,
    /// Of this life of the daemon.
    book: Option<Book>,
    ordered: Option<Order>,
}

struct Maker<'a>(&'a mut Host);

impl Host {
    /// Takes a task; of several orders that wait, the last counts.
    pub(super) fn order(&mut self, task: Task) {
        if let Task::Links(order, _) = task {
            self.making.ordered = Some(order);
            let after = self.dice.millis(0, 30);
            self.later(after, Happening::Make(self.life));
        }
    }

    /// Carries out the last order, and tells what came of it.
    pub(super) fn make_links(&mut self) {
        if let Some(passes) = self.carry_order() {
            let made = Made {
                notes: Vec::new(),
                passes,
                tunnels: Some(BTreeMap::new()),
                associations: Board::default(),
                unmarked: Vec::new(),
                uppers: BTreeSet::new(),
            };
            self.feed(Input::Made(Done::Made(made)));
        }
    }

    /// Whether something was refused that may pass; `None` when there was no order, or the daemon has not survived it.
    pub(super) fn carry_order(&mut self) -> Option<bool> {
        let order = self.making.ordered.take()?;
        let life = self.life;
        let random = u32::try_from(self.dice.below(1 << 32)).unwrap();
        let kept = self.disk.read(Kept::MadeLinks);
        let book = self.making.book.take();
        let mut book = book.unwrap_or_else(|| Book::open(kept.as_deref(), "boot".into(), random));
        let done = carry_out(&order, &Failures::new(), &mut book, &mut Maker(self));
        if self.life != life {
            return None;
        }
        self.making.book = Some(book);
        tell!(self, "links are made: {done:?}");
        Some(done.map_or(true, |done| done.passes))
    }

    /// The daemon is gone, and with it what it was about to do.
    pub(super) fn forget_orders(&mut self) {
        self.making.book = None;
        self.making.ordered = None;
    }

    /// Looks at the links as they are.
    fn see_links(&mut self) -> Links {
        let kernel = self.kernel.links();
        let glass = &mut self.making.glass;
        let is_there = |name: &Arc<str>, link: &PresentLink| {
            let there = kernel.get(&link.index);
            there.is_some_and(|there| there.name == *name)
        };
        glass.links.retain(|name, link| is_there(name, link));
        glass.made.retain(|index| kernel.contains_key(index));
        for there in kernel.values() {
            let link = glass.links.entry(there.name.clone()).or_default();
            link.index = there.index;
            link.up = there.admin_up;
            link.kind = LinkKind::of(&there.kind);
        }
        glass.links.clone()
    }

    /// Has the kernel tell what has become of links.
    fn tell_links(&mut self, before: &Links) {
        let after = self.making.glass.links.clone();
        for (name, link) in before {
            if after.get(name).is_none_or(|now| now.index != link.index) {
                self.remove_link(link.index);
            }
        }
        for (name, link) in &after {
            let mut message = match self.kernel.links().get(&link.index) {
                Some(there) => there.clone(),
                None => LinkMessage {
                    index: link.index,
                    name: Arc::clone(name),
                    kind: link.kind.map_or("", |kind| kind.name).into(),
                    mtu: 1500,
                    multicast: true,
                    ..LinkMessage::default()
                },
            };
            let of = link.port_of.as_ref().and_then(|of| after.get(of));
            message.port_of = of.and_then(|of| NonZeroU32::new(of.index));
            message.admin_up = link.up;
            if self.kernel.links().get(&link.index) != Some(&message) {
                self.kernel.put_link(message);
            }
        }
        self.follow_kernel();
    }

    /// Dies, if it is hit; whether it does.
    fn dies(&mut self, fault: Fault, subject: u64) -> bool {
        if self.is_hit(fault, subject) {
            self.crash();
        }
        self.daemon.is_none()
    }
}

impl Hands for Maker<'_> {
    fn list(&mut self) -> Result<Links, Arc<str>> {
        match self.0.daemon {
            Some(_) => Ok(self.0.see_links()),
            None => Err("dead".into()),
        }
    }

    fn change(
        &mut self,
        change: &LinkChange,
        _there: &Links,
        indexes: &BTreeMap<Arc<str>, u32>,
    ) -> Result<(), Refusal> {
        let Self(host) = self;
        let kind = match change {
            LinkChange::Make(_) => MAKES,
            LinkChange::Remove(_) => REMOVES,
            LinkChange::SetUp(..)
            | LinkChange::Set { .. }
            | LinkChange::Join { .. }
            | LinkChange::Rejoin { .. }
            | LinkChange::Leave(_)
            | LinkChange::SetPort { .. }
            | LinkChange::AddVlans(..)
            | LinkChange::RemoveVlans(..) => CHANGES,
        };
        if host.daemon.is_none() || host.dies(Fault::DiesBeforeRequest, kind) {
            return Err("dead".into());
        }
        if host.is_hit(Fault::Refused, kind) {
            tell!(host, "is refused {change:?}");
            return Err("busy".into());
        }
        let before = host.see_links();
        let changed = host.making.glass.change(change, indexes);
        tell!(host, "asks {change:?}: {changed:?}");
        host.tell_links(&before);
        match host.dies(Fault::DiesAfterRequest, kind) {
            true => Err("dead".into()),
            false => changed,
        }
    }

    fn keep(&mut self, text: &str) -> bool {
        let Self(host) = self;
        if host.daemon.is_none() || host.dies(Fault::DiesBeforeFile, MADE_LINKS) {
            return false;
        }
        tell!(host, "writes down what is made");
        host.disk.keep(Kept::MadeLinks, text.to_owned());
        !host.dies(Fault::DiesAfterFile, MADE_LINKS)
    }

    /// Whoever is in the way stays there while the host ends.
    fn wait(&mut self, _pause: Duration) {}
}
