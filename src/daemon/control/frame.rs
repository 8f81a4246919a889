//! How do bytes become calls, and replies bytes? Varlink's framing: one JSON object, then a NUL. Pure.

use linnet::api::{Call, Reply};

/// The longest call, in bytes.
const MAX_CALL: usize = 1 << 20;

/// Bytes that have come and are no whole call yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// How many of them hold no NUL.
    searched: usize,
}

/// A call is longer than a megabyte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a call is longer than {MAX_CALL} bytes")]
pub(super) struct TooLong;

impl Frames {
    /// Adds what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next whole call without its NUL.
    ///
    /// # Errors
    /// [`TooLong`].
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let fresh = self.bytes.get(self.searched..).unwrap_or_default();
        let Some(end) = fresh.iter().position(|byte| *byte == 0) else {
            self.searched = self.bytes.len();
            return if self.is_too_long() {
                Err(TooLong)
            } else {
                Ok(None)
            };
        };
        let rest = self.bytes.split_off(self.searched + end + 1);
        let mut frame = std::mem::replace(&mut self.bytes, rest);
        frame.pop();
        self.searched = 0;
        if frame.len() > MAX_CALL {
            return Err(TooLong);
        }
        Ok(Some(frame))
    }

    /// Whether more has come than the longest call has bytes.
    pub(super) fn is_too_long(&self) -> bool {
        self.bytes.len() > MAX_CALL
    }
}

/// Reads a call.
///
/// # Errors
/// When it is not the JSON of one.
pub(super) fn parse_call(frame: &[u8]) -> Result<Call, serde_json::Error> {
    serde_json::from_slice(frame)
}

/// Writes a reply, its NUL included.
pub(super) fn emit_reply(reply: &Reply) -> Vec<u8> {
    let mut wire = serde_json::to_vec(reply).expect("a reply is plain JSON");
    wire.push(0);
    wire
}
