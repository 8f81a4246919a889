//! The query machine in a simulated world: clients, a plan, upstream servers, and time that is an argument.

mod absence;
mod aliases;
mod below;
mod cached;
mod closed;
mod counts;
mod failover;
mod guests;
mod guises;
mod http3;
mod islands;
mod local;
mod loops;
pub(crate) mod message;
mod outages;
mod promise;
mod proving;
mod recorded;
mod routing;
mod shortcut;
pub(crate) mod signed;
mod slices;
mod slow;
mod stale;
mod upstreams;
pub(crate) mod world;
