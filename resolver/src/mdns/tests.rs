//! Do neighbours find each other, and nobody else? Hosts on simulated links, a stepped clock.

mod hosts;
mod names;
mod queries;
mod services;
mod watching;
