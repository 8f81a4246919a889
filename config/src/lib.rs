//! Text to [`Config`]: layers in, diagnostics and an immutable configuration out.
//!
//! ```text
//! files -> Layer{origin, text} -> raw (what was said) -> check (all diagnostics) -> model (what it means)
//! ```
//!
//! Reads no file, no environment, no clock: the shell hands over the texts.

mod check;
pub mod diagnostic;
pub mod kind;
pub mod layer;
pub mod listener;
pub mod matcher;
pub mod model;
pub mod name;
pub mod observing;
pub mod pin;
mod raw;
pub mod rdata;
pub mod reference;
pub mod resolv_conf;
mod secret;
pub mod time;
pub mod units;
pub mod upstream;
pub mod url;

pub use layer::load;
pub use model::Config;

/// The port of DNS (RFC 1035 §4.2).
pub const DNS_PORT: u16 = 53;
