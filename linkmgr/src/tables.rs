//! What holds things of which a large machine has many: maps and sets, which in tests count what is walked over.
//!
//! Whether one event leads past all links cannot be seen from what comes of it; so the tests count (`counted::looks`). Elsewhere
//! these are the standard library's own. What is found by its key is not counted.

#[cfg(test)]
pub(crate) mod counted;

#[cfg(test)]
pub(crate) use counted::{Map, Set};
#[cfg(not(test))]
pub(crate) use std::collections::{BTreeMap as Map, BTreeSet as Set};
