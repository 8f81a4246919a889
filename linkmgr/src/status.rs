//! How far is each thing that a plan wants? [`Item`], [`ItemState`]: what `linnet status` shows of the kernel layer.

use config::matcher::Mac;
use config::model::{PolicyRule, Prefix};
use policy::LinkId;
use policy::links::{RouteKey, Switch};

use crate::request::KernelFault;

/// One thing that is compared, asked for, written down and undone by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A setting of the link with this `ifindex`.
    Setting(u32, Setting),
    /// An address of the link with this `ifindex`.
    Address(u32, Prefix),
    /// A route.
    Route(RouteKey),
    /// A rule.
    Rule(PolicyRule),
}

/// What a link has one value of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// Whether it is up.
    Up,
    /// The largest packet.
    Mtu,
    /// The hardware address.
    Mac,
    /// A file below `/proc/sys/net`.
    Switch(Switch),
}

/// How far an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemState {
    /// It is to be asked for, or has been.
    Waiting,
    /// It is as planned, and the journal proves it to be ours.
    Ours,
    /// It is as planned, and somebody else has made it: it stays when the plan lets it go.
    Adopted,
    /// Somebody else has something of his own in its place.
    Foreign,
    /// The link is down: it is asked for when that changes.
    LinkDown,
    /// Somebody has taken the link down by hand: it stays down until [`crate::LinkManager::retry`].
    Overridden,
    /// Somebody sets it otherwise again and again: it is set anew after a pause.
    Changed,
    /// Another link has the same route, with the same metric.
    TakenBy(LinkId),
    /// An address that somebody else on the link has too, as the kernel has found (RFC 4862 §5.4).
    Duplicate,
    /// An address that neighbours are asked for before it is used.
    Probing,
    /// An address of which neighbours cannot be asked whether they have it, as ARP is not to be had.
    Unasked,
    /// An address that this machine on the link has too (RFC 5227); it is asked for again after a while, and when the carrier comes.
    Conflict(Mac),
    /// The kernel does not want it; it is asked for again when the link changes.
    Failed(KernelFault),
}

/// What the client that supplied something has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkReport {
    /// The kernel has found that somebody else has this address (RFC 4862 §5.4.5); it stays, unused, until the plan lets it
    /// go.
    Duplicate(LinkId, Prefix),
    /// Somebody has changed a setting of ours, and it is set again.
    Undone(LinkId, Setting),
}

/// How much remains when linnet stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopLevel {
    /// Everything stays as it is.
    Release,
    /// Addresses, routes and rules stay; switches are given back, so that the kernel goes on by itself.
    Detach,
    /// What the journal proves to be ours goes, and settings are as they were.
    Clean,
}

/// What the timer of the kernel layer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkTimer {
    /// When to ask again for what was not as asked.
    Retry,
    /// When to let go what a run before has left and nobody supplies any more.
    Inherited,
    /// When to try to keep the journal again.
    Journal,
}
