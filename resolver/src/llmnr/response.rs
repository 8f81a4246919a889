//! What does a neighbour's response say (RFC 4795 §2.1), and how is a question written?
//!
//! The header is DNS' own with other bits in two places: C where AA is, T where RD is. Reading is total on any bytes.

use crate::record::{RawRecord, parse_reply};
use crate::wire::{Question, class, flag, rcode, rtype};

/// C: in a question, several answered it; in a response, the name is not its sender's alone (RFC 4795 §2.1.1).
const C: u16 = 0x0400;
/// T: the sender has not made sure yet that the name is its own (RFC 4795 §2.1.1).
const T: u16 = 0x0100;
/// The longest datagram that is taken (RFC 4795 §2.1), in octets.
const DATAGRAM_MAX: usize = 9194;
/// Records that are taken of one response.
const RECORDS_MAX: usize = 64;

/// What a response says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Response {
    /// Its sender has the name, and these records.
    Has {
        records: Vec<RawRecord>,
        /// Whether it shares the name, and says so.
        shared: bool,
    },
    /// Its sender has the name, and more to say than fits.
    Truncated,
    /// Its sender has the name, and cannot say more.
    Failed,
}

/// Writes a question; `conflict` tells that several have answered it.
pub(super) fn query(id: u16, question: &Question, conflict: bool) -> Vec<u8> {
    let mut wire = Vec::with_capacity(32);
    for word in [id, if conflict { C } else { 0 }, 1, 0, 0, 0] {
        wire.extend_from_slice(&word.to_be_bytes());
    }
    wire.extend_from_slice(question.name.as_wire());
    wire.extend_from_slice(&question.record_type.to_be_bytes());
    wire.extend_from_slice(&question.class.to_be_bytes());
    wire
}

/// Reads the response to a question; `None` when it is to be discarded.
pub(super) fn read(wire: &[u8], id: u16, question: &Question, by_tcp: bool) -> Option<Response> {
    if !by_tcp && wire.len() > DATAGRAM_MAX {
        return None;
    }
    let flags = u16::from_be_bytes(*wire.get(2..)?.first_chunk::<2>()?);
    let reply = parse_reply(wire, id, question).ok()?;
    // RFC 4795 §2.1.1: a sender discards responses with T, and those by UDP with another RCODE than 0.
    if flags & T != 0 || (!by_tcp && flags & flag::RCODE != 0) {
        return None;
    }
    if flags & flag::RCODE != rcode::NOERROR {
        return Some(Response::Failed);
    }
    if reply.truncated {
        return Some(if by_tcp {
            Response::Failed
        } else {
            Response::Truncated
        });
    }
    let is_answer = |record: &RawRecord| {
        let asked = question.record_type;
        record.class == class::IN
            && record.is_at(&question.name)
            && (record.record_type == asked || asked == rtype::ANY)
            && !matches!(record.record_type, rtype::CNAME | rtype::DNAME)
            && is_of_a_neighbour(record)
    };
    let records = reply.answers.into_iter().filter(is_answer);
    Some(Response::Has {
        records: records.take(RECORDS_MAX).collect(),
        shared: flags & C != 0,
    })
}

/// Whether a record's address can be a neighbour's: not this machine's loopback, no group, nothing at all.
fn is_of_a_neighbour(record: &RawRecord) -> bool {
    let rdata = record.rdata.as_slice();
    match record.record_type {
        rtype::A => <[u8; 4]>::try_from(rdata).is_ok_and(|octets| {
            let address = std::net::Ipv4Addr::from(octets);
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_broadcast())
        }),
        rtype::AAAA => <[u8; 16]>::try_from(rdata).is_ok_and(|octets| {
            let address = std::net::Ipv6Addr::from(octets);
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.to_ipv4_mapped().is_some())
        }),
        _ => true,
    }
}
