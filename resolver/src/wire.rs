//! What does a client's message ask, and may it? Reads queries, and writes the queries that go to upstreams.
//!
//! [`QueryView`] borrows and allocates nothing, for the path of cache hits; [`ParsedQuery`] owns. A message that is not
//! answered from a scope gets a [`Rejection`] or silence. Does not read replies (`record`) nor write answers (`template`).

use config::name::DomainName;

use crate::event::Channel;

/// Length of a message header, in octets (RFC 1035 §4.1.1).
pub const HEADER: usize = 12;
/// UDP payload size that is advertised to clients and upstreams, in octets (DNS flag day 2020).
pub const EDNS_UDP_SIZE: u16 = 1232;

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
    /// The EDNS version is not known (RFC 6891 §6.1.3).
    pub const BADVERS: u16 = 16;
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
    /// Mail exchange.
    pub const MX: u16 = 15;
    /// IPv6 address (RFC 3596).
    pub const AAAA: u16 = 28;
    /// Alias of a subtree (RFC 6672).
    pub const DNAME: u16 = 39;
    /// EDNS pseudo-record (RFC 6891).
    pub const OPT: u16 = 41;
    /// Signature (RFC 4034 §3).
    pub const RRSIG: u16 = 46;
    /// Service binding (RFC 9460).
    pub const SVCB: u16 = 64;
    /// Any type.
    pub const ANY: u16 = 255;
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
    /// Why, for the trace.
    pub reason: &'static str,
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
    pub fn parse(
        wire: &'a [u8],
        _buffer: &'a mut NameBuffer,
    ) -> Result<QueryView<'a>, QueryError<'a>> {
        let _ = wire;
        Err(QueryError::Silence)
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
            question_wire: self.question_wire,
            edns: self.edns,
            channel,
        }
    }

    /// Returns the same query, owned.
    pub fn to_parsed(&self) -> ParsedQuery {
        ParsedQuery {
            id: self.id,
            authentic_data: self.authentic_data,
            checking_disabled: self.checking_disabled,
            question: Question {
                name: DomainName::from_wire(self.name).unwrap_or_else(|_| DomainName::root()),
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
            question_wire: &self.question_wire,
            edns: self.edns,
            channel,
        }
    }
}

impl Rejection<'_> {
    /// Writes the error answer over `out`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.clear();
    }
}

/// Reads a client's message; see [`QueryView::parse`].
///
/// # Errors
/// [`QueryError`] says what to do with a message that is not to be answered from a scope.
pub fn parse_query(_wire: &[u8]) -> Result<ParsedQuery, QueryError<'_>> {
    Err(QueryError::Silence)
}

/// Writes a query for an upstream: RD set, EDNS with [`EDNS_UDP_SIZE`].
pub fn build_query(
    _question: &Question,
    _id: u16,
    _checking_disabled: bool,
    _dnssec_ok: bool,
) -> Vec<u8> {
    Vec::new()
}
