//! What is an answer worth, and why?
//!
//! Holds the words in which the resolver, the stub and the control interface speak of validation: [`Verdict`] and its
//! reasons, after RFC 4035 §4.3 and RFC 8914 §4. Imports nothing of this workspace.
//!
//! # Limitations
//! The validator itself is not here: no answer is Secure, and the resolver never sets AD.

pub mod anchors;
pub mod clock;
pub mod verdict;

pub use verdict::{BogusReason, IndeterminateReason, Verdict};
