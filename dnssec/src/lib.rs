//! What is an answer worth, and why?
//!
//! [`Validator`] judges replies: questions in, fetches out, a verdict with its reason at the end (RFC 4033 to 4035, 5155,
//! 6840). Records and cryptography come from a library, the logic is here. [`anchors`] says what is trusted without proof,
//! [`clock`] whether dates count. Imports nothing of this workspace, opens nothing and reads no clock.
//!
//! # Limitations
//! Ed448 cannot be checked, so that zones signed by it alone are insecure.

pub mod anchors;
pub mod budget;
mod chain;
mod check;
pub mod clock;
pub mod crypto;
mod debts;
mod denials;
mod deny;
mod judge;
mod memory;
pub mod name;
mod nsec;
mod nsec3;
mod observe;
pub mod record;
mod rrset;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;
mod trust;
pub mod validator;
pub mod verdict;
mod work;

pub use anchors::TrustAnchors;
pub use debts::{Debtor, Source};
pub use denials::Denials;
pub use name::Name;
pub use observe::observe_keys;
pub use record::Record;
pub use validator::{
    Fetch, FetchFailure, Outcome, Question, Reply, Settings, Step, Validation, Validator, WallClock,
};
pub use verdict::{BogusReason, IndeterminateReason, Verdict};
