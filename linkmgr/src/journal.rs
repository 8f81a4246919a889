//! What have we added, and what was there before? The journal: state and its text, without files.

use std::sync::Arc;

/// What proves that a journal is about the kernel of today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Differs after each start of the machine, and in each network namespace.
    pub id: Arc<str>,
    /// Whether the kernel keeps the protocol number of addresses (Linux 5.18).
    pub marks_addresses: bool,
}

/// The journal, to be kept whole in the place of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalText {
    /// Counts.
    pub version: u64,
    /// One line an item.
    pub text: String,
}
