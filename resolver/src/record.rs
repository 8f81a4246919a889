//! What did an upstream reply? Reads whole replies into records that lose nothing but compression.
//!
//! Does not interpret rdata beyond the names that may be compressed in it, and does not decide whether a reply is any good.

use config::name::DomainName;

use crate::event::ExtendedError;
use crate::wire::Question;

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
/// follows a truncated reply's last whole record is not looked at.
///
/// # Errors
/// [`ReplyError`]: it is not a reply, is to something else, or cannot be read.
pub fn parse_reply(
    _wire: &[u8],
    _id: u16,
    _question: &Question,
) -> Result<ParsedReply, ReplyError> {
    Err(ReplyError::NotAReply)
}

impl RawRecord {
    /// Returns the owner as a key, in lower case.
    pub fn owner(&self) -> DomainName {
        DomainName::from_wire(&self.name).unwrap_or_else(|_| DomainName::root())
    }
}

/// Returns the target of a CNAME record; `None` for any other type.
pub fn cname_target(_record: &RawRecord) -> Option<DomainName> {
    None
}

/// Returns the target of a DNAME record; `None` for any other type.
pub fn dname_target(_record: &RawRecord) -> Option<DomainName> {
    None
}

/// Returns MINIMUM of a SOA record, in seconds; `None` for any other type.
pub fn soa_minimum(_record: &RawRecord) -> Option<u32> {
    None
}
