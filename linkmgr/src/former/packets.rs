//! What do messages of servers say that dhcpcd keeps as they came? The address, and for whom it is.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Former, Former4, Former6, Leaving, client_id};
use crate::dhcp6::Duid;

/// Where `yiaddr` is, and where the options begin, after the magic cookie (RFC 2131 §2).
const YIADDR: usize = 16;
const OPTIONS: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const PAD: u8 = 0;
const END: u8 = 255;
const CLIENT_ID: u8 = 61;

/// Message type and transaction (RFC 8415 §8).
const HEADER6: usize = 4;
const CLIENT_ID6: u16 = 1;
const IA_NA: u16 = 3;
const IA_ADDRESS: u16 = 5;
/// IAID, T1 and T2 (RFC 8415 §21.4).
const IA_HEADER: usize = 12;

/// Reads a DHCPv4 message; servers that obey RFC 6842 say the client's identifier back.
pub(super) fn dhcp4(octets: &[u8]) -> Former {
    let read = || {
        let address = octets.get(YIADDR..)?.first_chunk::<4>()?;
        let (cookie, mut rest) = octets.get(OPTIONS - 4..)?.split_first_chunk::<4>()?;
        let mut said = None;
        while let [code, tail @ ..] = rest
            && *cookie == COOKIE
            && *code != END
        {
            rest = tail;
            if *code == PAD {
                continue;
            }
            let Some((length, tail)) = rest.split_first() else {
                break;
            };
            let Some((value, tail)) = tail.split_at_checked(usize::from(*length)) else {
                break;
            };
            rest = tail;
            if *code == CLIENT_ID {
                said = client_id(value.to_vec());
            }
        }
        Some(Former4 {
            address: Ipv4Addr::from(*address),
            client_id: said,
            by: Leaving::DhcpcdLease,
        })
    };
    Former {
        dhcp4: read(),
        ..Former::default()
    }
}

/// Reads a DHCPv6 message, which names the client and what it got.
pub(super) fn dhcp6(octets: &[u8]) -> Former {
    let read = || {
        let options = || Options(octets.get(HEADER6..).unwrap_or_default());
        let duid = options().find(|(code, _)| *code == CLIENT_ID6)?.1;
        let mut associations = options().filter(|(code, _)| *code == IA_NA);
        associations.find_map(|(_, association)| {
            let (iaid, _) = association.split_first_chunk::<4>()?;
            let mut inner = Options(association.get(IA_HEADER..)?);
            let (_, address) = inner.find(|(code, _)| *code == IA_ADDRESS)?;
            Some(Former6 {
                duid: Duid::from_octets(duid)?,
                iaid: u32::from_be_bytes(*iaid),
                address: Some(Ipv6Addr::from(*address.first_chunk::<16>()?)),
                by: Leaving::DhcpcdLease6,
            })
        })
    };
    Former {
        dhcp6: read(),
        ..Former::default()
    }
}

/// The options of a DHCPv6 message (RFC 8415 §21.1); they end with the first that does not read.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (code, rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((u16::from_be_bytes(*code), value))
    }
}
