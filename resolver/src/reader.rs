//! Where are the parts of a message? A place in it that can only move forward and never outside.
//!
//! Knows headers and the borders of records, not what is in them; names are passed over, not followed.

use config::name::MAX_LABEL;

use crate::wire::HEADER;

/// A message header (RFC 1035 §4.1.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) questions: u16,
    pub(crate) answers: u16,
    pub(crate) authority: u16,
    pub(crate) additional: u16,
}

impl Header {
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let header = reader.wire.get(reader.at..)?.first_chunk::<HEADER>()?;
        reader.at += HEADER;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        Some(Self {
            id: word(0),
            flags: word(2),
            questions: word(4),
            answers: word(6),
            authority: word(8),
            additional: word(10),
        })
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.flags.to_be_bytes()[0] >> 3 & 0x0f
    }
}

/// A record that was passed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed<'a> {
    pub(crate) root: bool,
    pub(crate) record_type: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) rdata: &'a [u8],
}

/// A place in a message; every step says whether it stayed inside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) wire: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(wire: &'a [u8]) -> Self {
        Self { wire, at: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.wire.len()
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.wire.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn word(&mut self) -> Option<u16> {
        let octets = self.take(2)?.try_into().ok()?;
        Some(u16::from_be_bytes(octets))
    }

    pub(crate) fn long(&mut self) -> Option<u32> {
        let octets = self.take(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(octets))
    }

    /// Passes over a record; pointers in its owner are not followed.
    pub(crate) fn skip_record(&mut self) -> Option<Passed<'a>> {
        let start = self.at;
        loop {
            let length = self.byte()?;
            if length & 0xc0 == 0xc0 {
                self.byte()?;
                break;
            }
            if usize::from(length) > MAX_LABEL {
                return None;
            }
            self.take(usize::from(length))?;
            if length == 0 {
                break;
            }
        }
        let root = self.at == start + 1;
        let record_type = self.word()?;
        let class = self.word()?;
        let ttl = self.long()?;
        let length = self.word()?;
        Some(Passed {
            root,
            record_type,
            class,
            ttl,
            rdata: self.take(usize::from(length))?,
        })
    }
}
