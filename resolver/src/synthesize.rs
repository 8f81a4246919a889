//! Which questions are answered without a scope? localhost, the machine's own names, hosts, and special-use names.
//!
//! Pure: the same question gives the same answer. Does not route; the caller says whether a scope claims the name.

use crate::event::{ExtendedError, LocalNames, Stub};
use crate::hosts::Hosts;
use crate::record::RawRecord;
use crate::wire::Question;

/// An answer made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthesized {
    /// Which rule made it, for the trace: `localhost`, `hosts`, `hostname`, `invalid`.
    pub kind: &'static str,
    /// The answer's code.
    pub rcode: u16,
    /// The answer section.
    pub answers: Vec<RawRecord>,
    /// A SOA record when the answer is negative, so that clients may keep it.
    pub authority: Vec<RawRecord>,
    /// Why, for the client.
    pub extended_error: Option<ExtendedError>,
}

/// Answers a question without a scope, or returns `None`: route it.
///
/// `claimed` says whether a scope claims the name (not: the default scope would get it). A claim wins over the
/// special-use names that may be served privately (`local`, `home.arpa`, link-local reverse zones), never over
/// `localhost`, `invalid`, `onion` and `alt`.
pub fn synthesize(
    _question: &Question,
    _names: &LocalNames,
    _hosts: &Hosts,
    _stub: Stub,
    _claimed: bool,
) -> Option<Synthesized> {
    None
}
