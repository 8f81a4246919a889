//! What does a multicast DNS message say (RFC 6762 §18), and how is one written?
//!
//! Reading is total on any bytes and bounded by them. The top bit of a class is taken off: it means "answer by unicast" in a
//! question, and "these are all there are" in a record. Does not judge who may say what.

use std::collections::BTreeMap;

use config::name::{DomainName, wire_suffixes};

use crate::reader::{Header, Reader};
use crate::record::{Field, RawRecord, bounded_ttl, check_address, layout, read_fields, read_name};
use crate::wire::{class, flag, rtype};

/// The longest message that is taken (RFC 6762 §17), in octets.
pub(crate) const MESSAGE_MAX: usize = 9000;
/// The longest message that is written, in octets: what an Ethernet frame carries (RFC 6762 §17), IPv6 header and UDP off.
pub(crate) const WRITTEN_MAX: usize = 1440;
/// The top bit of a class (RFC 6762 §5.4, §10.2).
const TOP_BIT: u16 = 0x8000;

/// A message, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// ID; of no meaning but to legacy clients.
    pub id: u16,
    /// QR.
    pub response: bool,
    /// TC: more known answers follow (RFC 6762 §18.5).
    pub truncated: bool,
    /// What is asked.
    pub questions: Vec<Wanted>,
    /// The answers; in a query, what is known already.
    pub answers: Vec<Told>,
    /// In a probe, what its sender wants to own.
    pub authority: Vec<Told>,
    /// What may be of use besides.
    pub additional: Vec<Told>,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The name.
    pub name: DomainName,
    /// The type.
    pub record_type: u16,
    /// The class.
    pub class: u16,
    /// Whether an answer by unicast will do: the QU bit.
    pub unicast: bool,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The record, its class without the top bit.
    pub record: RawRecord,
    /// Whether all other records of its name, type and class are to be forgotten: the cache-flush bit.
    pub flush: bool,
}

impl Message {
    /// Reads a message; `None` when it cannot be read, or is of a kind that is to be ignored (RFC 6762 §18.3, §18.11).
    pub fn parse(wire: &[u8]) -> Option<Self> {
        if wire.len() > MESSAGE_MAX {
            return None;
        }
        let mut reader = Reader::new(wire);
        let header = Header::parse(&mut reader)?;
        if header.opcode() != 0 || header.flags & flag::RCODE != 0 {
            return None;
        }
        let mut message = Self {
            id: header.id,
            response: header.flags & flag::QR != 0,
            truncated: header.flags & flag::TC != 0,
            ..Self::default()
        };
        for _ in 0..header.questions {
            message.questions.push(read_question(&mut reader)?);
        }
        let sections = [
            (header.answers, &mut message.answers),
            (header.authority, &mut message.authority),
            (header.additional, &mut message.additional),
        ];
        for (count, section) in sections {
            for _ in 0..count {
                section.extend(read_record(&mut reader)?);
            }
        }
        Some(message)
    }
}

impl Wanted {
    /// Whether a record is an answer to it.
    pub(crate) fn is_answered_by(&self, record: &RawRecord) -> bool {
        (self.record_type == record.record_type || self.record_type == rtype::ANY)
            && matches!(self.class, class::IN | class::ANY)
            && record.is_at(&self.name)
    }
}

fn name(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(32);
    read_name(reader, reader.wire.len(), &mut name).ok()?;
    Some(name)
}

fn read_question(reader: &mut Reader<'_>) -> Option<Wanted> {
    let name = DomainName::from_wire(&name(reader)?).ok()?;
    let record_type = reader.word()?;
    let class = reader.word()?;
    Some(Wanted {
        name,
        record_type,
        class: class & !TOP_BIT,
        unicast: class & TOP_BIT != 0,
    })
}

/// Reads a record; an OPT record, and one of another class than IN, is nothing to us.
fn read_record(reader: &mut Reader<'_>) -> Option<Option<Told>> {
    let name = name(reader)?;
    let record_type = reader.word()?;
    let class = reader.word()?;
    let ttl = reader.long()?;
    let length = usize::from(reader.word()?);
    let end = reader.at.checked_add(length)?;
    let raw = reader.wire.get(reader.at..end)?;
    if record_type == rtype::OPT || class & !TOP_BIT != class::IN {
        reader.at = end;
        return Some(None);
    }
    check_address(record_type, class::IN, length).ok()?;
    // RFC 6762 §18.14: names in rdata of these types may be compressed here, NSEC's among them.
    let fields = match record_type {
        rtype::NSEC => &[Field::Name, Field::Rest],
        other => layout(other),
    };
    let rdata = match fields {
        [] => {
            reader.at = end;
            raw.to_vec()
        }
        fields => read_fields(reader, fields, end).ok()?,
    };
    Some(Some(Told {
        record: RawRecord {
            name: name.into(),
            record_type,
            class: class::IN,
            ttl: bounded_ttl(ttl),
            rdata,
        },
        flush: class & TOP_BIT != 0,
    }))
}

/// The sections of a message, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Answer = 1,
    Authority = 2,
    Additional = 3,
}

/// Writes one message: sections in their order, names compressed.
#[derive(Debug)]
pub(crate) struct Writer {
    wire: Vec<u8>,
    counts: [u16; 4],
    offsets: BTreeMap<Vec<u8>, u16>,
}

impl Writer {
    /// Begins a query (RFC 6762 §18: everything but the counts is zero).
    pub(crate) fn query() -> Self {
        Self::new(0, 0)
    }

    /// Begins a response; AA is set (RFC 6762 §18.4).
    pub(crate) fn response(id: u16) -> Self {
        Self::new(id, flag::QR | flag::AA)
    }

    fn new(id: u16, flags: u16) -> Self {
        let mut wire = Vec::with_capacity(512);
        for word in [id, flags, 0, 0, 0, 0] {
            wire.extend_from_slice(&word.to_be_bytes());
        }
        Self {
            wire,
            counts: [0; 4],
            offsets: BTreeMap::new(),
        }
    }

    /// Sets TC: known answers follow in another message (RFC 6762 §7.2).
    pub(crate) fn truncate(&mut self) {
        if let Some(flags) = self.wire.get_mut(2) {
            *flags |= flag::TC.to_be_bytes()[0];
        }
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts == [0; 4]
    }

    /// Appends a question; returns whether there was room.
    pub(crate) fn question(&mut self, wanted: &Wanted) -> bool {
        self.append(0, |writer| {
            writer.name(wanted.name.as_wire());
            let top = if wanted.unicast { TOP_BIT } else { 0 };
            writer.word(wanted.record_type);
            writer.word(wanted.class | top);
        })
    }

    /// Appends a record; returns whether there was room.
    pub(crate) fn record(&mut self, section: Section, told: &Told) -> bool {
        self.append(section as usize, |writer| {
            let Told { record, flush } = told;
            writer.name(&record.name);
            writer.word(record.record_type);
            writer.word(record.class | if *flush { TOP_BIT } else { 0 });
            writer.wire.extend_from_slice(&record.ttl.to_be_bytes());
            let length_at = writer.wire.len();
            writer.word(0);
            match record.record_type {
                rtype::PTR => writer.name(&record.rdata),
                _ => writer.wire.extend_from_slice(&record.rdata),
            }
            let length = writer.wire.len() - length_at - 2;
            let length = u16::try_from(length).unwrap_or(u16::MAX);
            if let Some(place) = writer.wire.get_mut(length_at..length_at + 2) {
                place.copy_from_slice(&length.to_be_bytes());
            }
        })
    }

    /// Returns the message.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        for (at, count) in self.counts.iter().enumerate() {
            if let Some(place) = self.wire.get_mut(4 + at * 2..6 + at * 2) {
                place.copy_from_slice(&count.to_be_bytes());
            }
        }
        self.wire
    }

    /// Appends what `write` writes, or nothing when that is too long; what is alone may be longer (RFC 6762 §17).
    fn append(&mut self, section: usize, write: impl FnOnce(&mut Self)) -> bool {
        let before = self.wire.len();
        let limit = match self.is_empty() {
            true => MESSAGE_MAX,
            false => WRITTEN_MAX,
        };
        write(self);
        if self.wire.len() > limit {
            self.wire.truncate(before);
            self.offsets.retain(|_, at| usize::from(*at) < before);
            return false;
        }
        if let Some(count) = self.counts.get_mut(section) {
            *count += 1;
        }
        true
    }

    fn word(&mut self, word: u16) {
        self.wire.extend_from_slice(&word.to_be_bytes());
    }

    /// Appends a name, from where it was written before if it was.
    fn name(&mut self, name: &[u8]) {
        for suffix in wire_suffixes(name) {
            if suffix.len() <= 1 {
                break;
            }
            let key = suffix.to_ascii_lowercase();
            if let Some(at) = self.offsets.get(&key) {
                self.word(0xc000 | at);
                return;
            }
            match u16::try_from(self.wire.len()) {
                Ok(at) if at < 0x4000 => {
                    self.offsets.insert(key, at);
                }
                Ok(_) | Err(_) => {}
            }
            let length = suffix.first().copied().map_or(0, usize::from);
            let label = suffix.get(..=length).unwrap_or_default();
            self.wire.extend_from_slice(label);
        }
        self.wire.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::query();
        let wanted = Wanted {
            name: name("printer.local"),
            record_type: rtype::AAAA,
            class: class::IN,
            unicast: true,
        };
        assert!(writer.question(&wanted));
        let told = Told {
            record: RawRecord::pointer(&name("_ipp._tcp.local"), &name("a._ipp._tcp.local"), 4500),
            flush: false,
        };
        assert!(writer.record(Section::Answer, &told));
        let own = Told {
            record: RawRecord::address(&name("printer.local"), [192, 0, 2, 1].into(), 120),
            flush: true,
        };
        assert!(writer.record(Section::Authority, &own));
        let wire = writer.finish();
        let message = Message::parse(&wire).unwrap();
        assert_eq!(message.questions, [wanted]);
        assert_eq!(message.answers, [told]);
        assert_eq!(message.authority, [own]);
        assert!(!message.response);
        assert!(wire.len() < 100, "names are compressed: {}", wire.len());
    }

    #[test]
    fn a_message_ends_where_a_frame_does() {
        let mut writer = Writer::response(0);
        let mut written = 0;
        loop {
            let owner = name(&format!("host{written}.local"));
            let told = Told {
                record: RawRecord::new(&owner, 16, 120, vec![7; 100]),
                flush: true,
            };
            if !writer.record(Section::Answer, &told) {
                break;
            }
            written += 1;
        }
        let wire = writer.finish();
        assert!(wire.len() <= WRITTEN_MAX);
        assert_eq!(Message::parse(&wire).unwrap().answers.len(), written);
    }

    #[test]
    fn other_opcodes_and_codes_are_nothing_to_us() {
        for flags in [[0x08, 0], [0x80, 3]] {
            let wire = [0, 0, flags[0], flags[1], 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(Message::parse(&wire), None);
        }
        assert_eq!(Message::parse(&[0; 11]), None);
        assert_eq!(Message::parse(&[0; 12]), Some(Message::default()));
    }

    #[test]
    fn an_address_of_a_wrong_length_is_not_read_whatever_its_top_bit() {
        let mut wire = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        wire.extend_from_slice(b"\x01a\x05local\0\0\x01\x80\x01\0\0\0\x78\0\x03\x01\x02\x03");
        assert_eq!(Message::parse(&wire), None);
    }
}
