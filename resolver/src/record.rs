//! What did an upstream reply? Reads whole replies into records that lose nothing but compression.
//!
//! Does not interpret rdata beyond the names that may be compressed in it, and does not decide whether a reply is any good.

use std::net::IpAddr;

use config::name::{DomainName, MAX_LABEL, MAX_NAME};

use crate::event::ExtendedError;
use crate::reader::{Header, Reader};
use crate::wire::{Question, class, flag, option, rcode, rtype};

/// The longest message, in octets: what a length prefix can say (RFC 1035 §4.2.2).
pub const MAX_MESSAGE: usize = 65535;
/// The most compression pointers that one name may follow; each can add a label, and a name has at most 127.
const MAX_POINTERS: usize = 127;
/// The longest that a record counts, in seconds, and that a positive answer is kept: a day (RFC 2181 §8 lets a cache choose).
pub(crate) const TTL_MAX: u32 = 86_400;
/// The most octets of EXTRA-TEXT that are kept of one Extended DNS Error.
const MAX_EXTRA_TEXT: usize = 256;

/// A record: owner and rdata uncompressed, spelling kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Owner in wire form, uncompressed, as the upstream spelled it.
    pub name: Box<[u8]>,
    /// TYPE.
    pub record_type: u16,
    /// CLASS.
    pub class: u16,
    /// TTL in seconds.
    pub ttl: u32,
    /// RDATA, names in it uncompressed.
    pub rdata: Vec<u8>,
}

/// What the upstream's OPT record says (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyEdns {
    /// Largest datagram the upstream takes, in octets.
    pub udp_size: u16,
    /// VERSION.
    pub version: u8,
    /// DO (RFC 3225).
    pub dnssec_ok: bool,
}

/// A reply that answers the question that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedReply {
    /// RCODE, extended bits included (RFC 6891 §6.1.3).
    pub rcode: u16,
    /// AA.
    pub authoritative: bool,
    /// TC.
    pub truncated: bool,
    /// RA.
    pub recursion_available: bool,
    /// AD.
    pub authentic_data: bool,
    /// The answer section, in order.
    pub answers: Vec<RawRecord>,
    /// The authority section, in order.
    pub authority: Vec<RawRecord>,
    /// The additional section, in order, without OPT.
    pub additional: Vec<RawRecord>,
    /// OPT, if there is one.
    pub edns: Option<ReplyEdns>,
    /// Extended DNS Errors (RFC 8914).
    pub extended_errors: Vec<ExtendedError>,
    /// The cookie of the client and that of the server (RFC 7873).
    pub cookie: Option<([u8; 8], Box<[u8]>)>,
}

/// Why a message is not the reply to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Shorter than a header, QR not set, or another opcode.
    #[error("not a reply")]
    NotAReply,
    /// Another ID.
    #[error("the reply has another id")]
    WrongId,
    /// Another question, or none.
    #[error("the reply is to another question")]
    WrongQuestion,
    /// It cannot be read.
    #[error("the reply cannot be read: {0}")]
    Malformed(&'static str),
}

/// Reads the reply to a question that was sent with `id`.
///
/// A reply without a question is accepted when its code is FORMERR or NOTIMP: such servers did not read ours. What
/// follows a truncated reply's last whole record is not looked at, nor what follows any reply's last record.
///
/// # Errors
/// [`ReplyError`]: it is not a reply, is to something else, or cannot be read.
pub fn parse_reply(wire: &[u8], id: u16, question: &Question) -> Result<ParsedReply, ReplyError> {
    let mut reader = Reader::new(wire);
    let header = Header::parse(&mut reader).ok_or(ReplyError::NotAReply)?;
    if header.flags & flag::QR == 0 || header.opcode() != 0 {
        return Err(ReplyError::NotAReply);
    }
    if header.id != id {
        return Err(ReplyError::WrongId);
    }
    if wire.len() > MAX_MESSAGE {
        return Err(ReplyError::Malformed("it is longer than 65535 octets"));
    }
    let low_rcode = header.flags & flag::RCODE;
    let mut name = Vec::with_capacity(MAX_NAME);
    let unread = matches!(low_rcode, rcode::FORMERR | rcode::NOTIMP);
    match header.questions {
        0 if unread => {}
        1 => {
            read_name(&mut reader, wire.len(), &mut name).map_err(ReplyError::Malformed)?;
            let cut = ReplyError::Malformed("the question is cut short");
            let record_type = reader.word().ok_or(cut)?;
            let class = reader.word().ok_or(cut)?;
            if !name.eq_ignore_ascii_case(question.name.as_wire())
                || record_type != question.record_type
                || class != question.class
            {
                return Err(ReplyError::WrongQuestion);
            }
        }
        _ => return Err(ReplyError::WrongQuestion),
    }
    let mut reply = ParsedReply {
        rcode: low_rcode,
        authoritative: header.flags & flag::AA != 0,
        truncated: header.flags & flag::TC != 0,
        recursion_available: header.flags & flag::RA != 0,
        authentic_data: header.flags & flag::AD != 0,
        answers: Vec::new(),
        authority: Vec::new(),
        additional: Vec::new(),
        edns: None,
        extended_errors: Vec::new(),
        cookie: None,
    };
    match read_sections(&mut reader, &header, &mut name, &mut reply) {
        Err(_) if reply.truncated => Ok(reply),
        Err(reason) => Err(ReplyError::Malformed(reason)),
        Ok(()) => Ok(reply),
    }
}

impl RawRecord {
    /// Makes a record of class IN.
    pub fn new(name: &DomainName, record_type: u16, ttl: u32, rdata: Vec<u8>) -> Self {
        Self {
            name: name.as_wire().into(),
            record_type,
            class: class::IN,
            ttl,
            rdata,
        }
    }

    /// Makes an A or AAAA record.
    pub fn address(name: &DomainName, address: IpAddr, ttl: u32) -> Self {
        match address {
            IpAddr::V4(v4) => Self::new(name, rtype::A, ttl, v4.octets().into()),
            IpAddr::V6(v6) => Self::new(name, rtype::AAAA, ttl, v6.octets().into()),
        }
    }

    /// Makes a PTR record.
    pub fn pointer(name: &DomainName, target: &DomainName, ttl: u32) -> Self {
        Self::new(name, rtype::PTR, ttl, target.as_wire().into())
    }

    /// Makes a CNAME record, as a DNAME above an alias asks for (RFC 6672 §3.1).
    pub fn alias(name: &DomainName, target: &DomainName, ttl: u32) -> Self {
        Self::new(name, rtype::CNAME, ttl, target.as_wire().into())
    }

    /// Returns the owner as a key, in lower case.
    pub fn owner(&self) -> DomainName {
        DomainName::from_wire(&self.name).unwrap_or_else(|_| DomainName::root())
    }

    /// Whether the owner is `name`, in any spelling.
    pub fn is_at(&self, name: &DomainName) -> bool {
        self.name.eq_ignore_ascii_case(name.as_wire())
    }
}

/// Returns the target of a CNAME record; `None` for any other type.
pub fn cname_target(record: &RawRecord) -> Option<DomainName> {
    target(record, rtype::CNAME)
}

/// Returns the target of a DNAME record; `None` for any other type.
pub fn dname_target(record: &RawRecord) -> Option<DomainName> {
    target(record, rtype::DNAME)
}

/// Returns MINIMUM of a SOA record, in seconds; `None` for any other type.
pub fn soa_minimum(record: &RawRecord) -> Option<u32> {
    if record.record_type != rtype::SOA {
        return None;
    }
    let minimum = *record.rdata.last_chunk::<4>()?;
    Some(bounded_ttl(u32::from_be_bytes(minimum)))
}

fn target(record: &RawRecord, record_type: u16) -> Option<DomainName> {
    if record.record_type != record_type {
        return None;
    }
    DomainName::from_wire(&record.rdata).ok()
}

/// RFC 2181 §8: a TTL with the top bit set counts as zero. No other is longer than an answer is kept here, so that nobody keeps it
/// longer either (RFC 8767 §4 has seven days at most).
pub(crate) fn bounded_ttl(ttl: u32) -> u32 {
    match ttl & 0x8000_0000 {
        0 => ttl.min(TTL_MAX),
        _ => 0,
    }
}

fn read_sections(
    reader: &mut Reader<'_>,
    header: &Header,
    name: &mut Vec<u8>,
    reply: &mut ParsedReply,
) -> Result<(), &'static str> {
    for _ in 0..header.answers {
        let record = read_record(reader, name)?;
        reply.answers.push(not_opt(record)?);
    }
    for _ in 0..header.authority {
        let record = read_record(reader, name)?;
        reply.authority.push(not_opt(record)?);
    }
    for _ in 0..header.additional {
        let record = read_record(reader, name)?;
        match record.record_type {
            rtype::OPT => read_opt(&record, reply)?,
            // Hop by hop (RFC 8945 §5.2), and nobody here has a key.
            rtype::TSIG => {}
            _ => reply.additional.push(record),
        }
    }
    Ok(())
}

/// RFC 6891 §6.1.1: OPT is in the additional section.
fn not_opt(record: RawRecord) -> Result<RawRecord, &'static str> {
    if record.record_type == rtype::OPT {
        return Err("OPT is in a wrong section");
    }
    Ok(record)
}

fn read_opt(record: &RawRecord, reply: &mut ParsedReply) -> Result<(), &'static str> {
    if reply.edns.is_some() {
        return Err("there are two OPT records");
    }
    if record.name.len() != 1 {
        return Err("OPT is not at the root");
    }
    let [high, version, flags @ ..] = record.ttl.to_be_bytes();
    reply.rcode |= u16::from(high) << 4;
    reply.edns = Some(ReplyEdns {
        udp_size: record.class,
        version,
        dnssec_ok: u16::from_be_bytes(flags) & flag::DO != 0,
    });
    // Broken options say nothing about the records; what was read before them stays.
    let mut options = Reader::new(&record.rdata);
    while let Some((code, value)) = read_option(&mut options) {
        if code == option::EXTENDED_ERROR {
            reply.extended_errors.extend(read_extended_error(value));
        } else if code == option::COOKIE && reply.cookie.is_none() {
            reply.cookie = read_cookie(value);
        }
    }
    Ok(())
}

fn read_option<'a>(options: &mut Reader<'a>) -> Option<(u16, &'a [u8])> {
    let code = options.word()?;
    let length = options.word()?;
    Some((code, options.take(usize::from(length))?))
}

/// A server's cookie is 8 to 32 octets (RFC 7873 §4); an option of another length counts as none.
fn read_cookie(value: &[u8]) -> Option<([u8; 8], Box<[u8]>)> {
    let (client, server) = value.split_first_chunk::<8>()?;
    (server.is_empty() || matches!(server.len(), 8..=32)).then(|| (*client, server.into()))
}

/// The text comes from outside and ends in logs and terminals: control characters are left out.
fn read_extended_error(value: &[u8]) -> Option<ExtendedError> {
    let (code, text) = value.split_first_chunk::<2>()?;
    let text = text.get(..MAX_EXTRA_TEXT).unwrap_or(text);
    let text = String::from_utf8_lossy(text);
    Some(ExtendedError {
        code: u16::from_be_bytes(*code),
        text: text.chars().filter(|char| !char.is_control()).collect(),
    })
}

/// Reads a record; `name` is room for its owner, which is used again.
fn read_record(reader: &mut Reader<'_>, name: &mut Vec<u8>) -> Result<RawRecord, &'static str> {
    const CUT: &str = "a record is cut short";
    name.clear();
    read_name(reader, reader.wire.len(), name)?;
    let record_type = reader.word().ok_or(CUT)?;
    let class = reader.word().ok_or(CUT)?;
    let ttl = reader.long().ok_or(CUT)?;
    let length = usize::from(reader.word().ok_or(CUT)?);
    let end = reader.at + length;
    let raw = reader.wire.get(reader.at..end).ok_or(CUT)?;
    let rdata = match layout(record_type) {
        [] => {
            check_address(record_type, class, length)?;
            reader.at = end;
            raw.to_vec()
        }
        fields => read_fields(reader, fields, end)?,
    };
    Ok(RawRecord {
        name: name.as_slice().into(),
        record_type,
        class,
        ttl: if record_type == rtype::OPT {
            ttl
        } else {
            bounded_ttl(ttl)
        },
        rdata,
    })
}

/// libc copies addresses without looking at their length, so a wrong one stops here.
pub(crate) fn check_address(
    record_type: u16,
    class: u16,
    length: usize,
) -> Result<(), &'static str> {
    match record_type {
        rtype::A if class == class::IN && length != 4 => Err("an A record is not 4 octets"),
        rtype::AAAA if class == class::IN && length != 16 => Err("an AAAA record is not 16 octets"),
        _ => Ok(()),
    }
}

/// A part of rdata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// A name that may be compressed.
    Name,
    /// A number of octets.
    Octets(usize),
    /// A character-string (RFC 1035 §3.3).
    Text,
    /// Whatever is left.
    Rest,
}

/// Returns the parts of rdata of those types in which names may be compressed (RFC 3597 §4); for others, nothing.
pub(crate) fn layout(record_type: u16) -> &'static [Field] {
    use Field::{Name, Octets, Rest, Text};
    match record_type {
        // NS MD MF CNAME MB MG MR PTR DNAME
        2..=5 | 7..=9 | 12 | 39 => &[Name],
        // SOA
        6 => &[Name, Name, Octets(20)],
        // MINFO RP
        14 | 17 => &[Name, Name],
        // MX AFSDB RT KX
        15 | 18 | 21 | 36 => &[Octets(2), Name],
        // SIG
        24 => &[Octets(18), Name, Rest],
        // PX
        26 => &[Octets(2), Name, Name],
        // NXT
        30 => &[Name, Rest],
        // SRV
        33 => &[Octets(6), Name],
        // NAPTR
        35 => &[Octets(4), Text, Text, Text, Name],
        _ => &[],
    }
}

pub(crate) fn read_fields(
    reader: &mut Reader<'_>,
    fields: &[Field],
    end: usize,
) -> Result<Vec<u8>, &'static str> {
    const CUT: &str = "rdata is cut short";
    let mut rdata = Vec::with_capacity(64);
    for field in fields {
        let length = match field {
            Field::Name => {
                read_name(reader, end, &mut rdata)?;
                continue;
            }
            Field::Octets(length) => *length,
            Field::Text => usize::from(*reader.wire.get(reader.at).ok_or(CUT)?) + 1,
            Field::Rest => end.saturating_sub(reader.at),
        };
        rdata.extend_from_slice(reader.take(length).ok_or(CUT)?);
    }
    if reader.at != end {
        return Err("rdata is of a wrong length");
    }
    Ok(rdata)
}

/// Appends the name at `reader` to `out`, uncompressed; its part before the first pointer must end by `end`.
///
/// Terminates: a pointer must point to before the part it was found in (RFC 1035 §4.1.4), and there are at most
/// [`MAX_POINTERS`].
pub(crate) fn read_name(
    reader: &mut Reader<'_>,
    end: usize,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    const CUT: &str = "a name is cut short";
    let wire = reader.wire;
    let first = out.len();
    let mut part = reader.at;
    let mut at = reader.at;
    let mut end = end.min(wire.len());
    let mut pointers = 0;
    loop {
        let octet = *wire.get(at).filter(|_| at < end).ok_or(CUT)?;
        let length = usize::from(octet);
        if octet & 0xc0 == 0xc0 {
            let low = *wire.get(at + 1).filter(|_| at + 1 < end).ok_or(CUT)?;
            let to = usize::from(octet & 0x3f) << 8 | usize::from(low);
            if pointers == 0 {
                reader.at = at + 2;
            }
            pointers += 1;
            if to >= part || pointers > MAX_POINTERS {
                return Err("a name's pointer does not point back");
            }
            (part, at, end) = (to, to, wire.len());
            continue;
        }
        if length > MAX_LABEL {
            return Err("a label is of an unknown kind");
        }
        let next = at + 1 + length;
        let label = wire.get(at..next).filter(|_| next <= end).ok_or(CUT)?;
        if out.len() - first + label.len() > MAX_NAME {
            return Err("a name is longer than 255 octets");
        }
        out.extend_from_slice(label);
        at = next;
        if length == 0 {
            break;
        }
    }
    if pointers == 0 {
        reader.at = at;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
