//! Text to [`Config`]: layers in, diagnostics and an immutable configuration out.
//!
//! ```text
//! files -> Layer{origin, text} -> raw (what was said) -> check (all diagnostics) -> model (what it means)
//! ```
//!
//! Reads no file, no environment, no clock: the shell hands over the texts.

pub mod matcher;
pub mod model;
pub mod name;
pub mod time;

pub use model::Config;

/// The port of DNS (RFC 1035 §4.2).
pub const DNS_PORT: u16 = 53;
