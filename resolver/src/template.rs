//! How is an answer written? [`Template`] is a whole answer, encoded once and sent often.
//!
//! Sending copies it and patches what differs between clients: id, spelling of the question, TTLs, OPT, truncation.
//! Does not decide what the answer is, and does not keep time: the caller says how old it is.

use config::name::wire_suffixes;

use crate::cache::MAX_NEGATIVE_TTL;
use crate::event::{Channel, ExtendedError};
use crate::ledger::is_failure;
use crate::record::{Field, MAX_MESSAGE, RawRecord, layout, soa_minimum};
use crate::wire::{Envelope, HEADER, Question, Rejection, flag, option, push_opt, rcode, rtype};

mod names;

/// The most that a client without EDNS takes by UDP, in octets (RFC 1035 §4.2.1).
const PLAIN_UDP_SIZE: usize = 512;
/// The largest payload of a datagram over IPv4, in octets: headers of 20 and 8 taken off.
const MAX_UDP_SIZE: usize = 65535 - 28;
/// What is kept free behind the records for OPT, in octets.
const OPT_ROOM: usize = 512;
/// An OPT record without options, in octets.
const OPT_SIZE: usize = 11;
/// The most octets of EXTRA-TEXT that are sent (RFC 8914 §3 asks for brevity, as it costs records their place).
const MAX_EXTRA_TEXT: usize = 240;
/// The first offset that a compression pointer cannot express (RFC 1035 §4.1.4).
const POINTER_END: usize = 0x4000;
/// The most names that are looked through when compressing; bounds the work for hostile answers.
const MAX_TARGETS: usize = 64;

/// An encoded answer without OPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The message, and behind it the marks: one allocation for both.
    octets: Box<[u8]>,
    wire_length: u16,
    question_end: u16,
    rcode: u16,
    authoritative: bool,
    authentic: bool,
    /// Records were left out already.
    cut: bool,
    /// What is to be told with it, whenever that is.
    error: Option<Box<ExtendedError>>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    ttl_at: u16,
    end: u16,
    section: Section,
    /// Whether another RRset than the record before.
    starts: bool,
}

/// A mark as it is kept: both places, then the section and, in [`STARTS`], the rest.
type Packed = [u8; 5];
/// The bit of [`Mark::starts`].
const STARTS: u8 = 0x80;

impl Mark {
    fn pack(self) -> Packed {
        let [ttl_high, ttl_low] = self.ttl_at.to_be_bytes();
        let [end_high, end_low] = self.end.to_be_bytes();
        let section = match self.section {
            Section::Answer => 0,
            Section::Authority => 1,
            Section::Additional => 2,
        };
        let starts = if self.starts { STARTS } else { 0 };
        [ttl_high, ttl_low, end_high, end_low, section | starts]
    }

    fn unpack([ttl_high, ttl_low, end_high, end_low, kind]: Packed) -> Self {
        Self {
            ttl_at: u16::from_be_bytes([ttl_high, ttl_low]),
            end: u16::from_be_bytes([end_high, end_low]),
            section: match kind & !STARTS {
                0 => Section::Answer,
                1 => Section::Authority,
                _ => Section::Additional,
            },
            starts: kind & STARTS != 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Answer,
    Authority,
    Additional,
}

impl Template {
    /// Encodes an answer; `rcode` includes extended bits. RRsets that do not fit into a message are left out, with TC.
    ///
    /// A SOA record in the authority section is given the TTL that RFC 2308 §3 asks for: no more than its MINIMUM, nor than a denial
    /// is kept here.
    pub fn build(
        question: &Question,
        rcode: u16,
        answers: &[RawRecord],
        authority: &[RawRecord],
        additional: &[RawRecord],
    ) -> Self {
        let mut writer = Writer::new(question);
        let question_end = writer.wire.len();
        let mut marks: Vec<Mark> =
            Vec::with_capacity(answers.len() + authority.len() + additional.len());
        let mut cut = false;
        let sections = [
            (Section::Answer, answers),
            (Section::Authority, authority),
            (Section::Additional, additional),
        ];
        'sections: for (section, records) in sections {
            let mut before = None;
            for record in records {
                let starts = before.is_none_or(|before| !is_same_set(before, record));
                before = Some(record);
                let Some((ttl_at, end)) = writer.push(record, section) else {
                    let set = marks.iter().rposition(|mark| mark.starts);
                    marks.truncate(if starts {
                        marks.len()
                    } else {
                        set.unwrap_or(0)
                    });
                    cut = section != Section::Additional;
                    break 'sections;
                };
                marks.push(Mark {
                    ttl_at,
                    end,
                    section,
                    starts,
                });
            }
        }
        let end = marks.last().map_or(question_end, |mark| mark.end.into());
        writer.wire.truncate(end);
        let mut octets = writer.wire;
        octets.extend(marks.iter().flat_map(|mark| mark.pack()));
        Self {
            // A copy of the right length: to shrink it costs more, and leaves a hole behind each answer that is kept.
            octets: octets.as_slice().into(),
            wire_length: u16::try_from(end).unwrap_or(u16::MAX),
            question_end: u16::try_from(question_end).unwrap_or(u16::MAX),
            rcode,
            authoritative: false,
            authentic: false,
            cut,
            error: None,
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

    /// Lets AD be set for clients that understand it: every record is Secure by our own verdict (RFC 6840 §5.8).
    #[must_use]
    pub fn authentic(self) -> Self {
        Self {
            authentic: true,
            ..self
        }
    }

    /// Has an Extended DNS Error told with it: what is wrong with an answer stays wrong while it is kept.
    #[must_use]
    pub fn telling(self, error: Option<ExtendedError>) -> Self {
        Self {
            error: error.map(Box::new),
            ..self
        }
    }

    /// Returns what is to be told with it.
    pub fn error(&self) -> Option<&ExtendedError> {
        self.error.as_deref()
    }

    /// Whether every record is Secure.
    pub fn is_authentic(&self) -> bool {
        self.authentic
    }

    /// Returns the answer's code, extended bits included.
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// Whether a client has to take it for a failure.
    pub fn is_failure(&self) -> bool {
        is_failure(self.rcode)
    }

    /// Returns the bytes it takes on the heap, its own size not included.
    pub fn heap_size(&self) -> usize {
        let told = |error: &ExtendedError| size_of::<ExtendedError>() + error.text.len();
        self.octets.len() + self.error().map_or(0, told)
    }

    /// Returns the question that it answers: QNAME in lower case, QTYPE, QCLASS, as they stand in a message.
    pub fn question(&self) -> &[u8] {
        self.octets
            .get(HEADER..self.question_end.into())
            .unwrap_or_default()
    }

    /// Writes the answer over `out`, with TTLs lowered by `age` seconds; allocates only when `out` is too small.
    ///
    /// Truncates to what the client takes: whole RRsets, with TC when an answer or authority record is missing
    /// (RFC 2181 §9). An extended error that does not fit is left out; its own goes before one that is given.
    pub fn emit(
        &self,
        envelope: &Envelope<'_>,
        age: u32,
        extended_error: Option<&ExtendedError>,
        out: &mut Vec<u8>,
    ) {
        let limit = size_limit(envelope);
        let base = usize::from(self.question_end);
        let opt = envelope.edns.map(|edns| {
            let told = self.error().or(extended_error);
            let text = told.map(|error| (error.code, brief(&error.text)));
            let fits = |&(_, text): &(u16, &str)| base + OPT_SIZE + 6 + text.len() <= limit;
            (edns.dnssec_ok, text.filter(fits))
        });
        let room = limit.saturating_sub(opt.map_or(0, |(_, error)| opt_size(error)));
        let kept = self.fitting(room);
        let end = kept
            .last()
            .map_or(base, |mark| Mark::unpack(*mark).end.into());
        let dropped = self.marks().get(kept.len()).copied().map(Mark::unpack);
        let truncated = self.cut || dropped.is_some_and(|mark| mark.section != Section::Additional);

        out.clear();
        out.extend_from_slice(self.octets.get(..end).unwrap_or_default());
        let mut flags = flag::QR | flag::RD | flag::RA | header_rcode(self.rcode, opt.is_some());
        flags |= if self.authoritative { flag::AA } else { 0 };
        flags |= if truncated { flag::TC } else { 0 };
        flags |= if self.authentic && envelope.understands_authentic {
            flag::AD
        } else {
            0
        };
        flags |= checking(envelope.checking_disabled);
        let mut counts = [0u16; 3];
        for mark in kept {
            let section = match Mark::unpack(*mark).section {
                Section::Answer => &mut counts[0],
                Section::Authority => &mut counts[1],
                Section::Additional => &mut counts[2],
            };
            *section += 1;
        }
        let [answers, authority, additional] = counts;
        let additional = additional + u16::from(opt.is_some());
        patch_header(out, [envelope.id, flags, 1, answers, authority, additional]);
        if let Some(question) = out.get_mut(HEADER..base)
            && question.len() == envelope.question_wire.len()
        {
            question.copy_from_slice(envelope.question_wire);
        }
        if age > 0 {
            for mark in kept {
                lower_ttl(out, usize::from(Mark::unpack(*mark).ttl_at), age);
            }
        }
        if let Some((dnssec_ok, error)) = opt {
            push_answer_opt(out, self.rcode, dnssec_ok, error);
        }
    }

    fn marks(&self) -> &[Packed] {
        let marks = self.octets.get(self.wire_length.into()..);
        marks.unwrap_or_default().as_chunks().0
    }

    /// Returns the marks of those first RRsets that end within `room`.
    fn fitting(&self, room: usize) -> &[Packed] {
        let marks = self.marks();
        if usize::from(self.wire_length) <= room {
            return marks;
        }
        let over = marks.partition_point(|mark| usize::from(Mark::unpack(*mark).end) <= room);
        // The RRset that the first record over the border belongs to goes as a whole.
        let whole = marks.get(..=over).unwrap_or(marks);
        let starts = |mark: &Packed| Mark::unpack(*mark).starts;
        let set = whole.iter().rposition(starts).unwrap_or(0);
        marks.get(..set).unwrap_or_default()
    }
}

/// Writes an answer without records over `out`.
pub fn error_answer(
    envelope: &Envelope<'_>,
    rcode: u16,
    extended_error: Option<&ExtendedError>,
    out: &mut Vec<u8>,
) {
    let opt = envelope.edns.map(|edns| {
        let error = extended_error.map(|error| (error.code, brief(&error.text)));
        (edns.dnssec_ok, error)
    });
    let flags = flag::RD | checking(envelope.checking_disabled);
    emit_empty(envelope.id, flags, envelope.question_wire, rcode, opt, out);
}

/// Writes the answer to a query that is not answered from a scope over `out`.
pub(crate) fn emit_rejection(rejection: &Rejection<'_>, out: &mut Vec<u8>) {
    let mut flags = u16::from(rejection.opcode) << 11 | checking(rejection.checking_disabled);
    flags |= if rejection.recursion_desired {
        flag::RD
    } else {
        0
    };
    let error = rejection
        .extended_error
        .map(|code| (code, rejection.reason));
    let opt = rejection.edns.map(|edns| (edns.dnssec_ok, error));
    emit_empty(
        rejection.id,
        flags,
        rejection.question_wire,
        rejection.rcode,
        opt,
        out,
    );
}

/// Code and text of an Extended DNS Error (RFC 8914 §2).
type Error<'a> = (u16, &'a str);

fn emit_empty(
    id: u16,
    flags: u16,
    question_wire: &[u8],
    rcode: u16,
    opt: Option<(bool, Option<Error<'_>>)>,
    out: &mut Vec<u8>,
) {
    out.clear();
    let flags = flags | flag::QR | flag::RA | header_rcode(rcode, opt.is_some());
    let questions = u16::from(!question_wire.is_empty());
    for word in [id, flags, questions, 0, 0, u16::from(opt.is_some())] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(question_wire);
    if let Some((dnssec_ok, error)) = opt {
        push_answer_opt(out, rcode, dnssec_ok, error);
    }
}

/// The client's size counts, within what it may say (RFC 6891 §6.2.3: below 512 counts as 512).
fn size_limit(envelope: &Envelope<'_>) -> usize {
    match (envelope.channel, envelope.edns) {
        (Channel::Tcp, _) => MAX_MESSAGE,
        (Channel::Udp, None) => PLAIN_UDP_SIZE,
        (Channel::Udp, Some(edns)) => {
            usize::from(edns.udp_size).clamp(PLAIN_UDP_SIZE, MAX_UDP_SIZE)
        }
    }
}

/// Without OPT there is no place for the upper bits, and the lower alone would say something else.
fn header_rcode(full: u16, has_opt: bool) -> u16 {
    if full > flag::RCODE && !has_opt {
        rcode::SERVFAIL
    } else {
        full & flag::RCODE
    }
}

fn checking(disabled: bool) -> u16 {
    if disabled { flag::CD } else { 0 }
}

fn brief(text: &str) -> &str {
    let mut end = text.len().min(MAX_EXTRA_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn opt_size(error: Option<Error<'_>>) -> usize {
    OPT_SIZE + error.map_or(0, |(_, text)| 6 + text.len())
}

fn push_answer_opt(out: &mut Vec<u8>, full: u16, dnssec_ok: bool, error: Option<Error<'_>>) {
    let high = (full >> 4).to_be_bytes()[1];
    // `brief` bounds the text.
    let length = |text: &str, more: usize| u16::try_from(text.len() + more).unwrap_or(0);
    let options = error.map_or(0, |(_, text)| length(text, 6));
    push_opt(out, high, dnssec_ok, options);
    if let Some((code, text)) = error {
        for word in [option::EXTENDED_ERROR, length(text, 2), code] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(text.as_bytes());
    }
}

fn patch_header(out: &mut [u8], words: [u16; 6]) {
    for (place, word) in out.chunks_exact_mut(2).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

fn lower_ttl(out: &mut [u8], at: usize, age: u32) {
    if let Some(ttl) = out
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<4>())
    {
        *ttl = u32::from_be_bytes(*ttl).saturating_sub(age).to_be_bytes();
    }
}

/// A signature belongs to the set it covers, when it follows it (RFC 4035 §3.1.1).
fn is_same_set(before: &RawRecord, record: &RawRecord) -> bool {
    let covered = |record: &RawRecord| match record.rdata.first_chunk::<2>() {
        Some(&covered) if record.record_type == rtype::RRSIG => u16::from_be_bytes(covered),
        _ => record.record_type,
    };
    covered(before) == covered(record)
        && before.class == record.class
        && before.name.eq_ignore_ascii_case(&record.name)
}

/// A message under construction, and the names that later ones may point to.
struct Writer<'a> {
    wire: Vec<u8>,
    question: &'a [u8],
    targets: Vec<Target<'a>>,
}

/// A name in the message that later ones may end in.
#[derive(Clone, Copy)]
struct Target<'a> {
    name: &'a [u8],
    offset: u16,
    spelling: Spelling,
}

/// Whose spelling a name has: the question takes the client's whenever the answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// The upstream's.
    Kept,
    /// The client's, in the part that it shares with the question.
    Client,
}

impl<'a> Writer<'a> {
    fn new(question: &'a Question) -> Self {
        let name = question.name.as_wire();
        let mut wire = Vec::with_capacity(PLAIN_UDP_SIZE);
        wire.resize(HEADER, 0);
        wire.extend_from_slice(name);
        wire.extend_from_slice(&question.record_type.to_be_bytes());
        wire.extend_from_slice(&question.class.to_be_bytes());
        Self {
            wire,
            question: name,
            targets: Vec::new(),
        }
    }

    /// Appends a record; returns where its TTL and its end are, or `None` when it does not fit.
    fn push(&mut self, record: &'a RawRecord, section: Section) -> Option<(u16, u16)> {
        self.push_name(&record.name, Spelling::Client);
        self.wire
            .extend_from_slice(&record.record_type.to_be_bytes());
        self.wire.extend_from_slice(&record.class.to_be_bytes());
        let ttl_at = self.wire.len();
        let bound = match section {
            Section::Authority => soa_minimum(record).map(|minimum| minimum.min(MAX_NEGATIVE_TTL)),
            Section::Answer | Section::Additional => None,
        };
        let ttl = record.ttl.min(bound.unwrap_or(u32::MAX));
        self.wire.extend_from_slice(&ttl.to_be_bytes());
        let length_at = self.wire.len();
        self.wire.extend_from_slice(&[0, 0]);
        self.push_rdata(record);
        let length = u16::try_from(self.wire.len() - length_at - 2).ok()?;
        self.wire
            .get_mut(length_at..length_at + 2)?
            .copy_from_slice(&length.to_be_bytes());
        if self.wire.len() > MAX_MESSAGE - OPT_ROOM {
            return None;
        }
        Some((
            u16::try_from(ttl_at).ok()?,
            u16::try_from(self.wire.len()).ok()?,
        ))
    }

    /// Names in rdata are compressed for the types of RFC 1035 alone (RFC 3597 §4).
    fn push_rdata(&mut self, record: &'a RawRecord) {
        let fields = match record.record_type {
            rtype::NS | rtype::CNAME | rtype::SOA | rtype::PTR | rtype::MX => {
                layout(record.record_type)
            }
            _ => &[],
        };
        let mut rest = record.rdata.as_slice();
        for field in fields {
            let length = match field {
                Field::Name => name_length(rest),
                Field::Octets(length) => Some(*length),
                Field::Text | Field::Rest => None,
            };
            let Some((part, tail)) = length.and_then(|length| rest.split_at_checked(length)) else {
                break;
            };
            match field {
                Field::Name => self.push_name(part, Spelling::Kept),
                Field::Octets(_) | Field::Text | Field::Rest => self.wire.extend_from_slice(part),
            }
            rest = tail;
        }
        self.wire.extend_from_slice(rest);
    }

    /// Appends a whole name, its end as a pointer where one is known that does not worsen the spelling asked for.
    ///
    /// Owners may take the client's spelling; what rdata says is left as the upstream said it.
    fn push_name(&mut self, name: &'a [u8], spelling: Spelling) {
        for suffix in wire_suffixes(name) {
            if suffix.len() <= 1 {
                break;
            }
            if let Some(target) = self.find(suffix, spelling) {
                let (head, _) = name.split_at(name.len() - suffix.len());
                self.register(name, head.len(), target.spelling);
                self.wire.extend_from_slice(head);
                let pointer = 0xc000 | target.offset;
                self.wire.extend_from_slice(&pointer.to_be_bytes());
                return;
            }
        }
        self.register(name, name.len().saturating_sub(1), Spelling::Kept);
        self.wire.extend_from_slice(name);
    }

    /// Remembers the suffixes of a name that begin in its first `head` octets, which are about to be written.
    fn register(&mut self, name: &'a [u8], head: usize, spelling: Spelling) {
        for suffix in wire_suffixes(name) {
            let within = name.len() - suffix.len();
            let offset = self.wire.len() + within;
            if within >= head || offset >= POINTER_END || self.targets.len() >= MAX_TARGETS {
                break;
            }
            if let Ok(offset) = u16::try_from(offset) {
                self.targets.push(Target {
                    name: suffix,
                    offset,
                    spelling,
                });
            }
        }
    }

    fn find(&self, suffix: &'a [u8], spelling: Spelling) -> Option<Target<'a>> {
        let lenient = spelling == Spelling::Client;
        let asked = wire_suffixes(self.question).find(|known| known.len() == suffix.len());
        if lenient && asked.is_some_and(|asked| asked.eq_ignore_ascii_case(suffix)) {
            let within = self.question.len() - suffix.len();
            return Some(Target {
                name: suffix,
                offset: u16::try_from(HEADER + within).ok()?,
                spelling: Spelling::Client,
            });
        }
        let fits = |target: &&Target<'_>| {
            target.name == suffix && (lenient || target.spelling == Spelling::Kept)
        };
        self.targets.iter().find(fits).copied()
    }
}

/// Returns the length of the uncompressed name that `wire` begins with.
fn name_length(wire: &[u8]) -> Option<usize> {
    let root = wire_suffixes(wire).find(|rest| rest.first() == Some(&0))?;
    Some(wire.len() - root.len() + 1)
}

#[cfg(test)]
mod tests;
