//! What does a client's message ask, and may it? Reads queries, and writes the queries that go to upstreams.
//!
//! [`QueryView`] borrows and allocates nothing, for the path of cache hits; [`ParsedQuery`] owns. A message that is not
//! answered from a scope gets a [`Rejection`] or silence. Does not read replies (`record`) nor write answers (`template`).

use config::name::{DomainName, MAX_LABEL, MAX_NAME};

use crate::event::Channel;
use crate::reader::{Header, Reader};
use crate::template;

/// Length of a message header, in octets (RFC 1035 §4.1.1).
pub const HEADER: usize = 12;
/// UDP payload size that is advertised to clients and upstreams, in octets (DNS flag day 2020).
pub const EDNS_UDP_SIZE: u16 = 1232;

/// What a message may grow by when it is given a cookie, in octets (RFC 7873 §4).
const COOKIE_ROOM: usize = 4 + 8 + 32;

/// Response codes (RFC 1035 §4.1.1, RFC 6891 §9), extended codes included.
pub mod rcode {
    /// No error.
    pub const NOERROR: u16 = 0;
    /// The message could not be read.
    pub const FORMERR: u16 = 1;
    /// The server could not get an answer.
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u16 = 3;
    /// The opcode is not known.
    pub const NOTIMP: u16 = 4;
    /// The server will not answer.
    pub const REFUSED: u16 = 5;
    /// A name exists that should not: a DNAME makes a name too long (RFC 6672 §2.2).
    pub const YXDOMAIN: u16 = 6;
    /// The EDNS version is not known (RFC 6891 §6.1.3).
    pub const BADVERS: u16 = 16;
    /// The server's cookie is wrong, and the right one is here (RFC 7873 §5.2.3).
    pub const BADCOOKIE: u16 = 23;
}

/// Codes of the Extended DNS Errors with which queries are refused that nobody answers here.
mod code {
    /// RFC 8914 §4.21.
    pub(super) const NOT_AUTHORITATIVE: u16 = 20;
    /// RFC 8914 §4.22.
    pub(super) const NOT_SUPPORTED: u16 = 21;
}

/// Record types that are treated in a way of their own.
pub mod rtype {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Alias.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Pointer.
    pub const PTR: u16 = 12;
    /// Mail destination (obsolete, RFC 1035 §3.3.4).
    pub const MD: u16 = 3;
    /// Mail forwarder (obsolete, RFC 1035 §3.3.5).
    pub const MF: u16 = 4;
    /// Mail exchange.
    pub const MX: u16 = 15;
    /// IPv6 address (RFC 3596).
    pub const AAAA: u16 = 28;
    /// Alias of a subtree (RFC 6672).
    pub const DNAME: u16 = 39;
    /// EDNS pseudo-record (RFC 6891).
    pub const OPT: u16 = 41;
    /// Where a service is (RFC 2782).
    pub const SRV: u16 = 33;
    /// Text.
    pub const TXT: u16 = 16;
    /// Delegation signer (RFC 4034 §5).
    pub const DS: u16 = 43;
    /// Signature (RFC 4034 §3).
    pub const RRSIG: u16 = 46;
    /// Denial (RFC 4034 §4).
    pub const NSEC: u16 = 47;
    /// Denial by hashes (RFC 5155 §3).
    pub const NSEC3: u16 = 50;
    /// Key of a zone (RFC 4034 §2).
    pub const DNSKEY: u16 = 48;
    /// Service binding (RFC 9460).
    pub const SVCB: u16 = 64;
    /// Key exchange (RFC 2930).
    pub const TKEY: u16 = 249;
    /// Transaction signature (RFC 8945).
    pub const TSIG: u16 = 250;
    /// Incremental transfer (RFC 1995).
    pub const IXFR: u16 = 251;
    /// Transfer of a zone (RFC 5936).
    pub const AXFR: u16 = 252;
    /// Mailbox records (obsolete, RFC 1035 §3.2.3).
    pub const MAILB: u16 = 253;
    /// Mail agent records (obsolete, RFC 1035 §3.2.3).
    pub const MAILA: u16 = 254;
    /// Any type.
    pub const ANY: u16 = 255;
}

/// EDNS option codes (RFC 6891 §9).
pub(crate) mod option {
    /// Identity of the server (RFC 5001).
    pub(crate) const NSID: u16 = 3;
    /// Cookie (RFC 7873).
    pub(crate) const COOKIE: u16 = 10;
    /// How long a connection may be idle (RFC 7828).
    pub(crate) const KEEPALIVE: u16 = 11;
    /// Padding (RFC 7830).
    pub(crate) const PADDING: u16 = 12;
    /// Extended DNS Error (RFC 8914).
    pub(crate) const EXTENDED_ERROR: u16 = 15;
}

/// Bits of the second header word (RFC 1035 §4.1.1, RFC 4035 §3), and of OPT's TTL field.
pub(crate) mod flag {
    /// It is a reply.
    pub(crate) const QR: u16 = 0x8000;
    /// Authoritative answer.
    pub(crate) const AA: u16 = 0x0400;
    /// Truncated.
    pub(crate) const TC: u16 = 0x0200;
    /// Recursion desired.
    pub(crate) const RD: u16 = 0x0100;
    /// Recursion available.
    pub(crate) const RA: u16 = 0x0080;
    /// Authentic data.
    pub(crate) const AD: u16 = 0x0020;
    /// Checking disabled.
    pub(crate) const CD: u16 = 0x0010;
    /// RCODE's four bits.
    pub(crate) const RCODE: u16 = 0x000f;
    /// DO, in the low word of OPT's TTL (RFC 6891 §6.1.4).
    pub(crate) const DO: u16 = 0x8000;
}

/// Classes (RFC 1035 §3.2.4).
pub mod class {
    /// The Internet.
    pub const IN: u16 = 1;
    /// Any class.
    pub const ANY: u16 = 255;
}

/// What is asked; the name in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// QNAME.
    pub name: DomainName,
    /// QTYPE.
    pub record_type: u16,
    /// QCLASS.
    pub class: u16,
}

/// What the client's OPT record says (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientEdns {
    /// Largest datagram the client takes, in octets, as it said it.
    pub udp_size: u16,
    /// DO (RFC 3225).
    pub dnssec_ok: bool,
    /// Whether the server's identity is asked for (RFC 5001).
    pub nsid: bool,
}

/// Where [`QueryView::parse`] puts the name in lower case.
pub type NameBuffer = [u8; 255];

/// A query that is good to answer; borrows from the message and from the caller's buffer.
#[derive(Debug, Clone, Copy)]
pub struct QueryView<'a> {
    /// ID.
    pub id: u16,
    /// AD: the client understands AD in answers (RFC 6840 §5.7).
    pub authentic_data: bool,
    /// CD (RFC 4035 §3.2.2).
    pub checking_disabled: bool,
    /// The question's name in wire form, in lower case.
    pub name: &'a [u8],
    /// QTYPE.
    pub record_type: u16,
    /// QCLASS.
    pub class: u16,
    /// The question section as the client spelled it.
    pub question_wire: &'a [u8],
    /// OPT, if there is one.
    pub edns: Option<ClientEdns>,
}

/// A query that is good to answer, with everything it owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedQuery {
    /// ID.
    pub id: u16,
    /// AD: the client understands AD in answers (RFC 6840 §5.7).
    pub authentic_data: bool,
    /// CD (RFC 4035 §3.2.2).
    pub checking_disabled: bool,
    /// The question.
    pub question: Question,
    /// The question section as the client spelled it.
    pub question_wire: Box<[u8]>,
    /// OPT, if there is one.
    pub edns: Option<ClientEdns>,
}

/// What an answer takes over from its query, and how it travels.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// ID.
    pub id: u16,
    /// CD, copied.
    pub checking_disabled: bool,
    /// Whether the client said by AD or DO that it understands AD (RFC 6840 §5.7, RFC 4035 §3.2.3).
    pub understands_authentic: bool,
    /// The question section as the client spelled it; empty when it could not be read.
    pub question_wire: &'a [u8],
    /// OPT, if there is one.
    pub edns: Option<ClientEdns>,
    /// How the answer travels; decides truncation.
    pub channel: Channel,
}

/// Why a message is not a query to answer, and what to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError<'a> {
    /// Say nothing: not a query, or shorter than a header.
    #[error("not a query")]
    Silence,
    /// Send the rejection.
    #[error("{}", .0.reason)]
    Reject(Rejection<'a>),
}

/// An error answer to a message that is not answered from a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection<'a> {
    /// The answer's code, extended codes included.
    pub rcode: u16,
    /// Why; of a query that could be read, its client is told.
    pub reason: &'static str,
    /// The code of the Extended DNS Error with which it is told (RFC 8914 §4).
    pub extended_error: Option<u16>,
    /// ID.
    pub id: u16,
    /// OPCODE, copied.
    pub opcode: u8,
    /// RD, copied.
    pub recursion_desired: bool,
    /// CD, copied.
    pub checking_disabled: bool,
    /// The question section, empty when it could not be read.
    pub question_wire: &'a [u8],
    /// OPT, if one could be read.
    pub edns: Option<ClientEdns>,
}

impl<'a> QueryView<'a> {
    /// Reads a client's message; the name goes to `buffer` in lower case. Allocates nothing.
    ///
    /// # Errors
    /// [`QueryError`] says what to do with a message that is not to be answered from a scope.
    pub fn parse(wire: &'a [u8], buffer: &'a mut NameBuffer) -> Result<Self, QueryError<'a>> {
        if !is_answerable(wire) {
            return Err(QueryError::Silence);
        }
        let mut reader = Reader::new(wire);
        let header = Header::parse(&mut reader).ok_or(QueryError::Silence)?;
        let mut rejection = Rejection {
            rcode: rcode::FORMERR,
            reason: "the message cannot be read",
            extended_error: None,
            id: header.id,
            opcode: header.opcode(),
            recursion_desired: header.flags & flag::RD != 0,
            checking_disabled: header.flags & flag::CD != 0,
            question_wire: &[],
            edns: None,
        };
        if header.opcode() != 0 {
            return Err(rejection.because(rcode::NOTIMP, "the opcode is not QUERY"));
        }
        // RFC 9619 §4: a message with several questions is answered with FORMERR.
        if header.questions != 1 {
            return Err(rejection.because(rcode::FORMERR, "there is not exactly one question"));
        }
        let Some((length, record_type, class)) = read_question(&mut reader, buffer) else {
            return Err(rejection.because(rcode::FORMERR, "the question cannot be read"));
        };
        rejection.question_wire = wire.get(HEADER..reader.at).unwrap_or_default();
        let transfer = matches!(record_type, rtype::AXFR | rtype::IXFR);
        // Only IXFR has a record before the additional section (RFC 1995 §3).
        if !transfer && (header.answers != 0 || header.authority != 0) {
            return Err(rejection.because(rcode::FORMERR, "a query carries no answers"));
        }
        for _ in 0..u32::from(header.answers) + u32::from(header.authority) {
            if reader.skip_record().is_none() {
                return Err(rejection.because(rcode::FORMERR, "a record cannot be read"));
            }
        }
        let mut version = 0;
        for _ in 0..header.additional {
            let Some(record) = reader.skip_record() else {
                return Err(rejection.because(rcode::FORMERR, "a record cannot be read"));
            };
            if record.record_type != rtype::OPT {
                continue;
            }
            // RFC 6891 §6.1.1: one OPT at most, and its name is the root.
            if rejection.edns.is_some() || !record.root {
                return Err(rejection.because(rcode::FORMERR, "OPT is wrong"));
            }
            let Some(nsid) = find_nsid(record.rdata) else {
                return Err(rejection.because(rcode::FORMERR, "an EDNS option cannot be read"));
            };
            version = record.ttl.to_be_bytes()[1];
            rejection.edns = Some(ClientEdns {
                udp_size: record.class,
                dnssec_ok: record.ttl & u32::from(flag::DO) != 0,
                nsid,
            });
        }
        // As systemd-resolved does; what follows a query is not a part of any protocol.
        if !reader.is_done() {
            return Err(rejection.because(rcode::FORMERR, "octets follow the message"));
        }
        if version > 0 {
            return Err(rejection.because(rcode::BADVERS, "the EDNS version is not 0"));
        }
        if !matches!(class, class::IN | class::ANY) {
            return Err(rejection.refused(code::NOT_SUPPORTED, "the class is not IN"));
        }
        if !rejection.recursion_desired {
            return Err(rejection.refused(code::NOT_AUTHORITATIVE, "recursion is not desired"));
        }
        if is_refused_type(record_type) {
            return Err(rejection.refused(code::NOT_SUPPORTED, "the type cannot be asked for"));
        }
        Ok(QueryView {
            id: header.id,
            authentic_data: header.flags & flag::AD != 0,
            checking_disabled: rejection.checking_disabled,
            name: buffer.get(..length).unwrap_or_default(),
            record_type,
            class,
            question_wire: rejection.question_wire,
            edns: rejection.edns,
        })
    }

    /// Whether DO is set.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Returns what an answer takes over.
    pub fn envelope(&self, channel: Channel) -> Envelope<'a> {
        Envelope {
            id: self.id,
            checking_disabled: self.checking_disabled,
            understands_authentic: self.authentic_data || self.dnssec_ok(),
            question_wire: self.question_wire,
            edns: self.edns,
            channel,
        }
    }

    /// Returns the same query, owned.
    pub fn to_parsed(self) -> ParsedQuery {
        ParsedQuery {
            id: self.id,
            authentic_data: self.authentic_data,
            checking_disabled: self.checking_disabled,
            question: Question {
                name: DomainName::from_wire(self.name).expect("parse put a whole name here"),
                record_type: self.record_type,
                class: self.class,
            },
            question_wire: self.question_wire.into(),
            edns: self.edns,
        }
    }
}

impl ParsedQuery {
    /// Whether DO is set.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Returns what an answer takes over.
    pub fn envelope(&self, channel: Channel) -> Envelope<'_> {
        Envelope {
            id: self.id,
            checking_disabled: self.checking_disabled,
            understands_authentic: self.authentic_data || self.dnssec_ok(),
            question_wire: &self.question_wire,
            edns: self.edns,
            channel,
        }
    }
}

impl<'a> Rejection<'a> {
    /// Writes the error answer over `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        template::emit_rejection(self, out);
    }

    fn refused(self, code: u16, reason: &'static str) -> QueryError<'a> {
        Self {
            extended_error: Some(code),
            ..self
        }
        .because(rcode::REFUSED, reason)
    }

    fn because(self, rcode: u16, reason: &'static str) -> QueryError<'a> {
        QueryError::Reject(Self {
            rcode,
            reason,
            ..self
        })
    }
}

/// Whether a message gets an answer at all, if only an error: it has a whole header, and is no response itself (RFC 1035 §4.1.1). Whoever keeps
/// a place for each question keeps none for others.
#[must_use]
pub fn is_answerable(wire: &[u8]) -> bool {
    let flags = wire.get(2).filter(|_| wire.len() >= HEADER);
    flags.is_some_and(|octet| (u16::from(*octet) << 8) & flag::QR == 0)
}

/// Reads a client's message; see [`QueryView::parse`].
///
/// # Errors
/// The code to answer with, when it is not to be answered from a scope; `None` for silence.
pub fn parse_query(wire: &[u8]) -> Result<ParsedQuery, Option<u16>> {
    let mut buffer = [0; MAX_NAME];
    match QueryView::parse(wire, &mut buffer) {
        Ok(view) => Ok(view.to_parsed()),
        Err(QueryError::Silence) => Err(None),
        Err(QueryError::Reject(rejection)) => Err(Some(rejection.rcode)),
    }
}

/// Writes a query for an upstream: RD set, EDNS with [`EDNS_UDP_SIZE`], AD not set.
pub fn build_query(
    question: &Question,
    id: u16,
    checking_disabled: bool,
    dnssec_ok: bool,
) -> Vec<u8> {
    let mut wire = Vec::with_capacity(HEADER + question.name.as_wire().len() + 15 + COOKIE_ROOM);
    let checking = if checking_disabled { flag::CD } else { 0 };
    for word in [id, flag::RD | checking, 1, 0, 0, 1] {
        wire.extend_from_slice(&word.to_be_bytes());
    }
    wire.extend_from_slice(question.name.as_wire());
    wire.extend_from_slice(&question.record_type.to_be_bytes());
    wire.extend_from_slice(&question.class.to_be_bytes());
    push_opt(&mut wire, 0, dnssec_ok, 0);
    wire
}

/// Appends an OPT record that advertises [`EDNS_UDP_SIZE`]; `options` octets of options are to follow.
pub(crate) fn push_opt(wire: &mut Vec<u8>, extended_rcode: u8, dnssec_ok: bool, options: u16) {
    wire.push(0);
    wire.extend_from_slice(&rtype::OPT.to_be_bytes());
    wire.extend_from_slice(&EDNS_UDP_SIZE.to_be_bytes());
    wire.extend_from_slice(&[extended_rcode, 0]);
    let flags = if dnssec_ok { flag::DO } else { 0 };
    wire.extend_from_slice(&flags.to_be_bytes());
    wire.extend_from_slice(&options.to_be_bytes());
}

/// Types that a stub does not ask for: transfers, pseudo-records, and what RFC 1035 calls obsolete.
fn is_refused_type(record_type: u16) -> bool {
    use rtype::{AXFR, IXFR, MAILA, MAILB, MD, MF, OPT, TKEY, TSIG};
    matches!(
        record_type,
        0 | AXFR | IXFR | MAILA | MAILB | MD | MF | OPT | TKEY | TSIG
    )
}

/// Puts the question's name into `buffer` in lower case; returns its length, the type and the class.
fn read_question(reader: &mut Reader<'_>, buffer: &mut NameBuffer) -> Option<(usize, u16, u16)> {
    let start = reader.at;
    loop {
        let length = usize::from(reader.byte()?);
        // A pointer could only point into the header.
        if length > MAX_LABEL {
            return None;
        }
        reader.take(length)?;
        if length == 0 {
            break;
        }
    }
    let name = reader.wire.get(start..reader.at)?;
    let lower = buffer.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some((name.len(), reader.word()?, reader.word()?))
}

/// Walks EDNS options: whether NSID is among them; `None` when they are cut short.
fn find_nsid(rdata: &[u8]) -> Option<bool> {
    let mut found = false;
    let mut options = Reader::new(rdata);
    while !options.is_done() {
        found |= options.word()? == option::NSID;
        let length = options.word()?;
        options.take(usize::from(length))?;
    }
    Some(found)
}

#[cfg(test)]
mod tests;
