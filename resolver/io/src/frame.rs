//! Where does a DNS message end in a stream? The two-octet length of RFC 7766 §8.
//!
//! Pure: bytes in, ranges out. What is inside a message is not looked at.

use std::ops::Range;

/// Octets of the length.
pub(crate) const PREFIX: usize = 2;

/// Octets of the shortest message: a header (RFC 1035 §4.1.1).
pub const MESSAGE_MIN: usize = 12;

/// Room that an empty buffer keeps.
const KEEP: usize = 16 << 10;

/// What the front of a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message, at these octets.
    Whole(Range<usize>),
    /// The beginning of one, or nothing.
    Partial,
    /// A length that no message has: the stream is of no use.
    Bad,
}

/// Looks at the front of a stream.
pub fn parse(bytes: &[u8]) -> Frame {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Frame::Partial;
    };
    let length = usize::from(u16::from_be_bytes(*prefix));
    if length < MESSAGE_MIN {
        return Frame::Bad;
    }
    if rest.len() < length {
        return Frame::Partial;
    }
    Frame::Whole(PREFIX..PREFIX + length)
}

/// Appends a message with its length; false, and nothing appended, when it is longer than a length can say.
#[must_use]
pub(crate) fn emit(wire: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(wire.len()) else {
        return false;
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(wire);
    true
}

/// Octets that came in and are not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    bytes: Vec<u8>,
    taken: usize,
}

impl Inbound {
    /// Appends what a socket brought.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() && self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        self.bytes.drain(..self.taken.min(self.bytes.len()));
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next message; its range is for [`Inbound::get`], until the next [`Inbound::extend`].
    pub(crate) fn next(&mut self) -> Frame {
        let front = parse(self.bytes.get(self.taken..).unwrap_or_default());
        let Frame::Whole(range) = front else {
            return front;
        };
        let range = self.taken + range.start..self.taken + range.end;
        self.taken = range.end;
        Frame::Whole(range)
    }

    /// Whether a whole message (or a bad length) is waiting.
    pub(crate) fn is_ready(&self) -> bool {
        parse(self.bytes.get(self.taken..).unwrap_or_default()) != Frame::Partial
    }

    /// Returns how many octets are not yet taken.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Returns the octets of a message, to change them.
    pub(crate) fn get_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        self.bytes.get_mut(range).unwrap_or_default()
    }

    /// Returns the octets of a message.
    pub(crate) fn get(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_of_a_stream_is_told_by_rows() {
        let message = [7; 300];
        let mut framed = Vec::new();
        assert!(emit(&message, &mut framed));
        let rows: [(&[u8], Frame); 8] = [
            (b"", Frame::Partial),
            (b"\0", Frame::Partial),
            (b"\0\0", Frame::Bad),
            (b"\0\x0b", Frame::Bad),
            (b"\0\x0c", Frame::Partial),
            (b"\0\x0c012345678901", Frame::Whole(2..14)),
            (&framed[..301], Frame::Partial),
            (&framed, Frame::Whole(2..302)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(parse(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn message_longer_than_a_length_can_say_is_not_emitted() {
        let mut out = Vec::new();
        assert!(!emit(&[0; 65_536], &mut out));
        assert!(out.is_empty());
        assert!(emit(&[0; 65_535], &mut out));
        assert_eq!(parse(&out), Frame::Whole(2..65_537));
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let messages: Vec<Vec<u8>> = (12..60).map(|length| vec![length; length.into()]).collect();
        let mut stream = Vec::new();
        for message in &messages {
            assert!(emit(message, &mut stream));
        }
        for cut in 1..100 {
            let mut inbound = Inbound::default();
            let mut found = Vec::new();
            for piece in stream.chunks(cut) {
                inbound.extend(piece);
                while let Frame::Whole(range) = inbound.next() {
                    found.push(inbound.get(range).to_vec());
                }
            }
            assert_eq!(found, messages, "pieces of {cut}");
            assert_eq!(inbound.next(), Frame::Partial);
        }
    }
}
