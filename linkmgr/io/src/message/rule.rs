//! What does the kernel say of a rule? `struct fib_rule_hdr` and its attributes.
//!
//! What a rule says beyond a [`PolicyRule`] is not read: none of ours says so, and one of others that does is no rule of a profile.

use config::model::{PolicyRule, Prefix, RouteKind};
use linkmgr::KernelEvent;
use linkmgr::kernel::OURS;

use super::{attributes_of, half, ip, prefix, text, unspecified, word};

const HEADER_LENGTH: usize = 12;
/// `FR_ACT_*`.
pub(crate) const TO_TABLE: u8 = 1;
pub(crate) const GOTO: u8 = 2;
pub(crate) const NOTHING: u8 = 3;
pub(crate) const BLACKHOLE: u8 = 6;
pub(crate) const UNREACHABLE: u8 = 7;
pub(crate) const PROHIBIT: u8 = 8;
/// `FIB_RULE_INVERT`.
pub(crate) const INVERT: u32 = 2;
/// `FRA_*`.
pub(crate) const DESTINATION: u16 = 1;
pub(crate) const SOURCE: u16 = 2;
pub(crate) const INCOMING: u16 = 3;
pub(crate) const GOTO_PLACE: u16 = 4;
pub(crate) const PRIORITY: u16 = 6;
pub(crate) const MARK: u16 = 10;
pub(crate) const SUPPRESS_LENGTH: u16 = 14;
pub(crate) const TABLE: u16 = 15;
pub(crate) const MASK: u16 = 16;
pub(crate) const OUTGOING: u16 = 17;
pub(crate) const L3MDEV: u16 = 19;
pub(crate) const USERS: u16 = 20;
pub(crate) const PROTOCOL: u16 = 21;
pub(crate) const IP_PROTOCOL: u16 = 22;
pub(crate) const SOURCE_PORTS: u16 = 23;
pub(crate) const DESTINATION_PORTS: u16 = 24;
const SUPPRESS_GROUP: u16 = 13;
const PADDING: u16 = 18;
const DSCP: u16 = 25;
const SOURCE_PORT_MASK: u16 = 28;
const DESTINATION_PORT_MASK: u16 = 29;
const NO_SUPPRESSION: u32 = u32::MAX;
const WHOLE_PORT: u16 = u16::MAX;

/// A rule of whomever.
struct Read {
    rule: PolicyRule,
    protocol: u8,
    /// Whether it says nothing else.
    is_all: bool,
}

/// Reads a rule that is there; `None` for one of others that none of ours can be like.
pub(super) fn there(body: &[u8]) -> Option<KernelEvent> {
    let theirs = |rule, protocol| KernelEvent::RuleTaken { rule, protocol };
    told(body, KernelEvent::Rule, theirs)
}

/// Reads a rule that is gone; `None` as in [`there`].
pub(super) fn gone(body: &[u8]) -> Option<KernelEvent> {
    let theirs = |rule, protocol| KernelEvent::RuleFreed { rule, protocol };
    told(body, KernelEvent::RuleGone, theirs)
}

fn told(
    body: &[u8],
    ours: impl FnOnce(PolicyRule) -> KernelEvent,
    theirs: impl FnOnce(PolicyRule, u8) -> KernelEvent,
) -> Option<KernelEvent> {
    let read = parse(body)?;
    match read.protocol {
        OURS => Some(ours(read.rule)),
        protocol => read.is_all.then(|| theirs(read.rule, protocol)),
    }
}

fn parse(body: &[u8]) -> Option<Read> {
    let (header, attributes) = body.split_at_checked(HEADER_LENGTH)?;
    let [
        family,
        to_length,
        from_length,
        service,
        table,
        _,
        _,
        action,
        ..,
    ] = *header
    else {
        return None;
    };
    let any = unspecified(family)?;
    let mut rule = PolicyRule {
        priority: 0,
        is_ipv6: any.is_ipv6(),
        from: None,
        to: None,
        mark: None,
        incoming: None,
        outgoing: None,
        table: Some(u32::from(table)),
        kind: kind(action)?,
        suppress_length: None,
        invert: word(header, 8)? & INVERT != 0,
        ..PolicyRule::default()
    };
    let (mut protocol, mut mark, mut mask) = (0, 0, 0);
    let mut is_all = true;
    for (kind, value) in attributes_of(attributes) {
        match kind {
            PROTOCOL => protocol = *value.first()?,
            PRIORITY => rule.priority = word(value, 0)?,
            TABLE => rule.table = word(value, 0),
            SOURCE => rule.from = network(family, value, from_length),
            DESTINATION => rule.to = network(family, value, to_length),
            MARK => mark = word(value, 0)?,
            MASK => mask = word(value, 0)?,
            INCOMING => rule.incoming = text(value),
            OUTGOING => rule.outgoing = text(value),
            SUPPRESS_LENGTH => {
                let length = word(value, 0).filter(|length| *length != NO_SUPPRESSION);
                rule.suppress_length = length.and_then(|length| length.try_into().ok());
                is_all &= length.is_some() == rule.suppress_length.is_some();
            }
            GOTO_PLACE => rule.goto = word(value, 0),
            L3MDEV => rule.vrf = value.first().is_some_and(|is_set| *is_set != 0),
            USERS => rule.users = word(value, 0).zip(word(value, 4)),
            IP_PROTOCOL => rule.protocol = value.first().copied(),
            SOURCE_PORTS => rule.source_ports = half(value, 0).zip(half(value, 2)),
            DESTINATION_PORTS => rule.destination_ports = half(value, 0).zip(half(value, 2)),
            _ => is_all &= says_nothing(kind, value),
        }
    }
    rule.tos = service;
    rule.mark = (mask != 0).then_some((mark, mask));
    if action != TO_TABLE || rule.vrf {
        rule.table = None;
    }
    Some(Read {
        rule,
        protocol,
        is_all,
    })
}

/// Whether an attribute that is not read is one that the kernel tells of rules without it.
fn says_nothing(kind: u16, value: &[u8]) -> bool {
    match kind {
        PADDING => true,
        SUPPRESS_GROUP => word(value, 0) == Some(NO_SUPPRESSION),
        // The least class is one as well.
        DSCP => false,
        SOURCE_PORT_MASK | DESTINATION_PORT_MASK => {
            matches!(half(value, 0), Some(0 | WHOLE_PORT))
        }
        _ => value.iter().all(|octet| *octet == 0),
    }
}

fn network(family: u8, value: &[u8], length: u8) -> Option<Prefix> {
    prefix(ip(family, value)?, length)
}

const fn kind(action: u8) -> Option<RouteKind> {
    Some(match action {
        TO_TABLE | GOTO => RouteKind::Unicast,
        NOTHING => RouteKind::Throw,
        BLACKHOLE => RouteKind::Blackhole,
        UNREACHABLE => RouteKind::Unreachable,
        PROHIBIT => RouteKind::Prohibit,
        _ => return None,
    })
}
