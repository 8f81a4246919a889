//! What does hosts(5) say? Names and addresses that the administrator wrote down.
//!
//! Reads text, not files. Does not decide whether hosts comes before a scope's claim (`synthesize` and its caller do).

use crate::record::RawRecord;
use crate::wire::Question;

/// A hosts table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {}

impl Hosts {
    /// Reads a table; lines and names that cannot be read are left out.
    pub fn parse(_text: &str) -> Self {
        Self {}
    }

    /// Returns the records for a question, none of them when the name is known and the type is not (NODATA); `None`
    /// when the name is not in the table.
    pub fn lookup(&self, _question: &Question) -> Option<Vec<RawRecord>> {
        None
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether the table has no names.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
