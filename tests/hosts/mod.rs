//! Does a whole host keep its promises, whatever happens? Simulated worlds with seeds: the daemon's own world, clients, link manager
//! and resolver on a kernel of glass, in networks that are told, with virtual time, faults and deaths.
//!
//! These files belong to linnetd's unit tests, for nothing else can reach its world. `LINNET_TIMES=100` tells a hundred times as many
//! stories, `LINNET_SEED=7` the seventh of each world alone, with all that happens in it.

/// Tells what happens to a host; nothing is put into words when nobody listens.
macro_rules! tell {
    ($host:expr, $($words:tt)*) => {
        $host.tale.tell($host.now, format_args!($($words)*))
    };
}

mod air;
mod cafe;
mod daemon;
mod dhcp4;
mod dhcp6;
mod dice;
mod faults;
mod host;
mod making;
mod names;
mod office;
mod router;
mod rules;
mod server;
mod story;
mod told;
mod train;
mod workshop;
