//! Which questions are answered without a scope? localhost, the machine's own names, hosts, and special-use names.
//!
//! Pure: the same question gives the same answer. Does not route; the caller says whether a scope claims the name.
//! Names that are special elsewhere and go on to DNS here, because their RFC says so or because only the network knows:
//! `test` and `example` (RFC 6761 §6.2, §6.5), `home.arpa` (RFC 8375 §4: name resolution libraries do not treat it as
//! special), `ipv4only.arpa` (RFC 8880 §7.1), `internal`, and the reverse zones of private addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::name::{DomainName, wire_suffixes};

use crate::event::{ExtendedError, LocalNames, Stub};
use crate::hosts::Hosts;
use crate::record::RawRecord;
use crate::wire::{Question, class, rcode, rtype};

/// TTL of the machine's own names, in seconds: none, as addresses come and go.
const OWN_TTL: u32 = 0;
/// TTL of names whose answer an RFC fixes, in seconds; short, as a claim may come to win over some.
const SPECIAL_TTL: u32 = 60;
/// Code of an Extended DNS Error without a code of its own (RFC 8914 §4.1).
const OTHER_ERROR: u16 = 0;
/// What the own name is answered with when the machine has no address, so that programs that look themselves up work.
const NO_ADDRESS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];
/// The address of the main stub.
pub const MAIN_STUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
/// The address of the bypass stub.
pub const BYPASS_STUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 54);

/// An answer made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthesized {
    /// Which rule made it, for the trace: `localhost`, `hosts`, `hostname`, `invalid`.
    pub kind: &'static str,
    /// The answer's code.
    pub rcode: u16,
    /// The answer section.
    pub answers: Vec<RawRecord>,
    /// A SOA record when the answer is negative, so that clients may keep it.
    pub authority: Vec<RawRecord>,
    /// Why, for the client.
    pub extended_error: Option<ExtendedError>,
}

/// Answers a question without a scope, or returns `None`: route it.
///
/// `claimed` says whether a scope claims the name (not: the default scope would get it). A claim wins over the
/// special-use names that may be served privately (`local`, link-local and documentation reverse zones), never over
/// `localhost`, `invalid`, `onion`, `alt` and `resolver.arpa`. The bypass stub gets nothing from hosts and none of the
/// machine's own names.
pub fn synthesize(
    question: &Question,
    names: &LocalNames,
    hosts: &Hosts,
    stub: Stub,
    claimed: bool,
) -> Option<Synthesized> {
    if !matches!(question.class, class::IN | class::ANY) {
        return None;
    }
    localhost(question)
        .or_else(|| match stub.is_bypass() {
            false => from_hosts(question, hosts).or_else(|| own(question, names)),
            true => None,
        })
        .or_else(|| loopback_reverse(question))
        .or_else(|| special(question, stub, claimed))
}

/// Says in words why a name is answered here; `kind` is that of [`Synthesized`].
pub fn reason(kind: &str) -> String {
    let text = match kind {
        "localhost" => "it is this machine's loopback address (RFC 6761 §6.3)",
        "hosts" => "the hosts table has it",
        "hostname" => "it is this machine's own name",
        "gateway" => "it means the gateways of the default routes",
        "outbound" => "it means this machine's addresses on the links of the default routes",
        "stub" => "it means linnet's own addresses",
        kind => {
            let row = SPECIALS.iter().find(|row| row.kind == kind);
            let rfc = row.map_or("RFC 6761", |row| row.rfc);
            return format!("a name of the kind {kind} is nobody's to be asked ({rfc})");
        }
    };
    text.to_owned()
}

/// What becomes of a special-use name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It does not exist.
    NoName,
    /// It exists, without records.
    NoRecords,
    /// It is asked where it routes.
    Forward,
}

/// A special-use suffix.
struct Special {
    suffix: &'static [u8],
    /// Whether only this type at exactly this name is meant.
    only: Option<u16>,
    verdict: Verdict,
    /// Whether a scope's claim wins.
    yields: bool,
    kind: &'static str,
    rfc: &'static str,
}

const fn absolute(suffix: &'static [u8], kind: &'static str, rfc: &'static str) -> Special {
    Special {
        suffix,
        only: None,
        verdict: Verdict::NoName,
        yields: false,
        kind,
        rfc,
    }
}

const fn unless_claimed(suffix: &'static [u8], kind: &'static str, rfc: &'static str) -> Special {
    Special {
        yields: true,
        ..absolute(suffix, kind, rfc)
    }
}

/// The first row that fits decides.
const SPECIALS: &[Special] = &[
    absolute(b"\x07invalid\0", "invalid", "RFC 6761 §6.4"),
    absolute(b"\x05onion\0", "onion", "RFC 7686 §2"),
    absolute(b"\x03alt\0", "alt", "RFC 9476 §2"),
    Special {
        only: Some(rtype::SVCB),
        verdict: Verdict::Forward,
        ..absolute(
            b"\x04_dns\x08resolver\x04arpa\0",
            "resolver.arpa",
            "RFC 9462 §4",
        )
    },
    Special {
        verdict: Verdict::NoRecords,
        ..absolute(b"\x08resolver\x04arpa\0", "resolver.arpa", "RFC 9462 §4")
    },
    unless_claimed(b"\x05local\0", "local", "RFC 6762 §22.1"),
    unless_claimed(
        b"\x03254\x03169\x07in-addr\x04arpa\0",
        "link-local",
        "RFC 6762 §12",
    ),
    unless_claimed(
        b"\x018\x01e\x01f\x03ip6\x04arpa\0",
        "link-local",
        "RFC 6762 §12",
    ),
    unless_claimed(
        b"\x019\x01e\x01f\x03ip6\x04arpa\0",
        "link-local",
        "RFC 6762 §12",
    ),
    unless_claimed(
        b"\x01a\x01e\x01f\x03ip6\x04arpa\0",
        "link-local",
        "RFC 6762 §12",
    ),
    unless_claimed(
        b"\x01b\x01e\x01f\x03ip6\x04arpa\0",
        "link-local",
        "RFC 6762 §12",
    ),
    unless_claimed(
        b"\x010\x07in-addr\x04arpa\0",
        "this-network",
        "RFC 6303 §4.3",
    ),
    unless_claimed(
        b"\x03255\x03255\x03255\x03255\x07in-addr\x04arpa\0",
        "broadcast",
        "RFC 6303 §4.3",
    ),
    unless_claimed(
        b"\x012\x010\x03192\x07in-addr\x04arpa\0",
        "documentation",
        "RFC 6303 §4.3",
    ),
    unless_claimed(
        b"\x03100\x0251\x03198\x07in-addr\x04arpa\0",
        "documentation",
        "RFC 6303 §4.3",
    ),
    unless_claimed(
        b"\x03113\x010\x03203\x07in-addr\x04arpa\0",
        "documentation",
        "RFC 6303 §4.3",
    ),
    unless_claimed(
        b"\x018\x01b\x01d\x010\x011\x010\x010\x012\x03ip6\x04arpa\0",
        "documentation",
        "RFC 6303 §4.6",
    ),
];

/// Whether a name is a suffix or below it. Most names end otherwise, which is seen without looking at their labels.
fn is_below(name: &[u8], suffix: &[u8]) -> bool {
    name.ends_with(suffix) && wire_suffixes(name).any(|other| other == suffix)
}

fn special(question: &Question, stub: Stub, claimed: bool) -> Option<Synthesized> {
    let name = question.name.as_wire();
    let unspecified = || DomainName::reverse_of(Ipv6Addr::UNSPECIFIED.into());
    if !claimed && is_reverse(&question.name) && question.name == unspecified() {
        return Some(no_name(
            "unspecified",
            "RFC 6303 §4.4",
            question.name.as_wire(),
        ));
    }
    let row = SPECIALS.iter().find(|row| match row.only {
        // RFC 9462 §6.1: what the upstream designates is no other way to us.
        Some(_) if stub.is_guest() => false,
        Some(record_type) => row.suffix == name && record_type == question.record_type,
        None => is_below(name, row.suffix),
    })?;
    if row.yields && claimed {
        return None;
    }
    match row.verdict {
        Verdict::NoName => Some(no_name(row.kind, row.rfc, row.suffix)),
        Verdict::NoRecords => Some(Synthesized {
            extended_error: because(row.rfc, row.suffix),
            ..records(question, row.kind, Vec::new())
        }),
        Verdict::Forward => None,
    }
}

/// RFC 6761 §6.3: localhost and all below it are loopback addresses; other types do not exist.
fn localhost(question: &Question) -> Option<Synthesized> {
    const SUFFIXES: [&[u8]; 2] = [b"\x09localhost\0", b"\x09localhost\x0blocaldomain\0"];
    let name = question.name.as_wire();
    let is_localhost = SUFFIXES.iter().any(|suffix| is_below(name, suffix));
    let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    is_localhost.then(|| addresses_of(question, "localhost", &addresses, SPECIAL_TTL))
}

fn loopback_reverse(question: &Question) -> Option<Synthesized> {
    const NET: &[u8] = b"\x03127\x07in-addr\x04arpa\0";
    let name = &question.name;
    let is_v4 = is_below(name.as_wire(), NET);
    let is_v6 = is_reverse(name) && *name == DomainName::reverse_of(Ipv6Addr::LOCALHOST.into());
    if !is_v4 && !is_v6 {
        return None;
    }
    // Four octets and the two labels of the zone; above that there is nothing but the zone.
    let is_address = is_v6 || name.label_count() == 6;
    let target = if *name == DomainName::reverse_of(MAIN_STUB.into()) {
        "_localdnsstub"
    } else if *name == DomainName::reverse_of(BYPASS_STUB.into()) {
        "_localdnsproxy"
    } else {
        "localhost"
    };
    let answers = match target.parse() {
        Ok(target) if is_address && wants(question, rtype::PTR) => {
            vec![RawRecord::pointer(name, &target, SPECIAL_TTL)]
        }
        _ => Vec::new(),
    };
    Some(records(question, "localhost", answers))
}

fn from_hosts(question: &Question, hosts: &Hosts) -> Option<Synthesized> {
    Some(records(question, "hosts", hosts.lookup(question)?))
}

/// The machine's own names: its hostname, the names of its neighbourhood, and the way back from its addresses.
fn own(question: &Question, names: &LocalNames) -> Option<Synthesized> {
    own_hostname(question, names)
        .or_else(|| neighbourhood(question, names))
        .or_else(|| own_reverse(question, names))
}

fn own_hostname(question: &Question, names: &LocalNames) -> Option<Synthesized> {
    let hostname = names.hostname.as_ref().filter(|name| !name.is_root())?;
    let is_short = question.name.label_count() == 1
        && question.name.labels().next() == hostname.labels().next();
    if question.name != *hostname && !is_short {
        return None;
    }
    let is_address = matches!(question.record_type, rtype::A | rtype::AAAA | rtype::ANY);
    // A whole name may have mail exchangers and the like in DNS; a single label has not.
    if !is_address && !is_short {
        return None;
    }
    let addresses = if names.addresses.is_empty() {
        &NO_ADDRESS
    } else {
        names.addresses.as_slice()
    };
    Some(addresses_of(question, "hostname", addresses, OWN_TTL))
}

/// `_gateway` and its like never leave the machine: without addresses they do not exist.
fn neighbourhood(question: &Question, names: &LocalNames) -> Option<Synthesized> {
    let stub = [MAIN_STUB.into()];
    let proxy = [BYPASS_STUB.into()];
    let (kind, addresses): (_, &[IpAddr]) = match question.name.as_wire() {
        b"\x08_gateway\0" => ("gateway", &names.gateways),
        b"\x09_outbound\0" => ("outbound", &names.outbound),
        b"\x0d_localdnsstub\0" => ("stub", &stub),
        b"\x0e_localdnsproxy\0" => ("stub", &proxy),
        _ => return None,
    };
    if addresses.is_empty() {
        return Some(Synthesized {
            rcode: rcode::NXDOMAIN,
            authority: vec![soa(&DomainName::root(), OWN_TTL)],
            ..records(question, kind, Vec::new())
        });
    }
    Some(addresses_of(question, kind, addresses, OWN_TTL))
}

fn own_reverse(question: &Question, names: &LocalNames) -> Option<Synthesized> {
    let hostname = names.hostname.as_ref().filter(|name| !name.is_root())?;
    let mut addresses = names.addresses.iter();
    if !wants(question, rtype::PTR)
        || !is_reverse(&question.name)
        || !addresses.any(|&address| DomainName::reverse_of(address) == question.name)
    {
        return None;
    }
    let pointer = RawRecord::pointer(&question.name, hostname, OWN_TTL);
    Some(records(question, "hostname", vec![pointer]))
}

fn addresses_of(
    question: &Question,
    kind: &'static str,
    addresses: &[IpAddr],
    ttl: u32,
) -> Synthesized {
    let all = addresses
        .iter()
        .map(|&address| RawRecord::address(&question.name, address, ttl));
    let wanted = all.filter(|record| wants(question, record.record_type));
    records(question, kind, wanted.collect())
}

/// Whether a name can be that of an address.
fn is_reverse(name: &DomainName) -> bool {
    name.as_wire().ends_with(b"\x04arpa\0")
}

fn wants(question: &Question, record_type: u16) -> bool {
    question.record_type == record_type || question.record_type == rtype::ANY
}

/// An answer of these records, or NODATA when there are none.
fn records(question: &Question, kind: &'static str, answers: Vec<RawRecord>) -> Synthesized {
    let authority = if answers.is_empty() {
        vec![soa(&question.name, SPECIAL_TTL)]
    } else {
        Vec::new()
    };
    Synthesized {
        kind,
        rcode: rcode::NOERROR,
        answers,
        authority,
        extended_error: None,
    }
}

/// NXDOMAIN for a suffix and all below it; the SOA record is that of the zone above, as the suffix does not exist either.
fn no_name(kind: &'static str, rfc: &str, suffix: &[u8]) -> Synthesized {
    let above = wire_suffixes(suffix).nth(1);
    let zone = above.and_then(|wire| DomainName::from_wire(wire).ok());
    Synthesized {
        kind,
        rcode: rcode::NXDOMAIN,
        answers: Vec::new(),
        authority: vec![soa(&zone.unwrap_or_else(DomainName::root), SPECIAL_TTL)],
        extended_error: because(rfc, suffix),
    }
}

fn because(rfc: &str, suffix: &[u8]) -> Option<ExtendedError> {
    let suffix = DomainName::from_wire(suffix).ok()?;
    Some(ExtendedError {
        code: OTHER_ERROR,
        text: format!("{suffix} is answered on this machine ({rfc})"),
    })
}

/// A SOA record as RFC 6303 §3 has it for zones without content.
pub(crate) fn soa(zone: &DomainName, ttl: u32) -> RawRecord {
    const NOBODY: &[u8] = b"\x06nobody\x07invalid\0";
    const SERIAL: u32 = 1;
    const REFRESH: u32 = 3600;
    const RETRY: u32 = 1200;
    const EXPIRE: u32 = 604_800;
    let mut rdata = zone.as_wire().to_vec();
    rdata.extend_from_slice(NOBODY);
    for number in [SERIAL, REFRESH, RETRY, EXPIRE, ttl] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    RawRecord::new(zone, rtype::SOA, ttl, rdata)
}

#[cfg(test)]
mod tests;
