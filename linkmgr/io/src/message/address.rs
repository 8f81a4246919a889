//! What does the kernel say of an address? `struct ifaddrmsg` and its attributes.

use config::model::{AddressAttributes, AddressLabel, AddressScope};
use linkmgr::{AddressMessage, KernelEvent, Usability};
use std::net::IpAddr;

use super::{attributes_of, ip, prefix, word};

const HEADER_LENGTH: usize = 8;
/// `IFA_RT_PRIORITY` and `IFA_PROTO`.
pub(crate) const IFA_RT_PRIORITY: u16 = 9;
pub(crate) const IFA_PROTO: u16 = 11;
/// `IFA_F_MANAGETEMPADDR` and `IFA_F_NOPREFIXROUTE`.
pub(crate) const MANAGE_TEMPORARIES: u32 = 0x100;
pub(crate) const NO_PREFIX_ROUTE: u32 = 0x200;
/// `INFINITY_LIFE_TIME`.
pub(crate) const FOR_EVER: u32 = u32::MAX;

/// Reads an address that is there.
pub(super) fn there(body: &[u8]) -> Option<KernelEvent> {
    Some(KernelEvent::Address(parse(body)?))
}

/// Reads an address that is gone.
pub(super) fn gone(body: &[u8]) -> Option<KernelEvent> {
    let AddressMessage { index, address, .. } = parse(body)?;
    Some(KernelEvent::AddressGone { index, address })
}

fn parse(body: &[u8]) -> Option<AddressMessage> {
    let (header, attributes) = body.split_at_checked(HEADER_LENGTH)?;
    let [family, length, flags, scope, ..] = *header else {
        return None;
    };
    let index = word(header, 4)?;
    let mut flags = u32::from(flags);
    let (mut own, mut other, mut protocol, mut metric) = (None, None, 0, 0);
    let mut label = None;
    let (mut preferred, mut valid) = (FOR_EVER, FOR_EVER);
    for (kind, value) in attributes_of(attributes) {
        match kind {
            // On a point-to-point link IFA_ADDRESS is the other end's.
            libc::IFA_LOCAL => own = ip(family, value),
            libc::IFA_ADDRESS => other = ip(family, value),
            libc::IFA_LABEL => label = self::label(value),
            libc::IFA_FLAGS => flags = word(value, 0)?,
            libc::IFA_CACHEINFO => (preferred, valid) = (word(value, 0)?, word(value, 4)?),
            IFA_RT_PRIORITY => metric = word(value, 0)?,
            IFA_PROTO => protocol = *value.first()?,
            _ => {}
        }
    }
    let lifetime = |seconds| (seconds != FOR_EVER).then_some(seconds);
    let address = own.or(other)?;
    let scope = match address {
        IpAddr::V4(v4) => AddressScope::of(scope).filter(|it| *it != AddressScope::usual(v4)),
        IpAddr::V6(_) => None,
    };
    Some(AddressMessage {
        index,
        address: prefix(address, length)?,
        usability: usability(flags),
        preferred: lifetime(preferred),
        valid: lifetime(valid),
        protocol,
        temporaries: flags & MANAGE_TEMPORARIES != 0,
        no_prefix_route: flags & NO_PREFIX_ROUTE != 0,
        secondary: flags & libc::IFA_F_SECONDARY != 0,
        metric,
        attributes: AddressAttributes {
            peer: other.filter(|other| *other != address),
            label,
            scope,
            skips_dad: address.is_ipv6() && flags & libc::IFA_F_NODAD != 0,
        },
    })
}

fn label(value: &[u8]) -> Option<AddressLabel> {
    let text = value.strip_suffix(&[0]).unwrap_or(value);
    AddressLabel::new(std::str::from_utf8(text).ok()?)
}

const fn usability(flags: u32) -> Usability {
    if flags & libc::IFA_F_DADFAILED != 0 {
        return Usability::Duplicate;
    }
    if flags & libc::IFA_F_TENTATIVE == 0 || flags & libc::IFA_F_OPTIMISTIC != 0 {
        return Usability::Usable;
    }
    Usability::Tentative
}
