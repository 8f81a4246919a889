//! What does the kernel tell of the switches of links? Notices of the few that it tells by themselves (`RTM_NEWNETCONF`), and all IPv6 ones
//! wherever it describes a link.
//!
//! Of most changes it tells nothing at all, so that what stands in a description may be the first word of one.

use linkmgr::KernelEvent;
use policy::links::Switch;

use super::{LINK_HEADER_LENGTH, attributes_of, word};

/// `struct netconfmsg`, with its padding.
const NETCONF_HEADER_LENGTH: usize = 4;
/// `NETCONFA_IFINDEX`, `NETCONFA_FORWARDING`.
const NETCONF_INDEX: u16 = 1;
const NETCONF_FORWARDING: u16 = 2;
/// `IFLA_PROTINFO`, `IFLA_AF_SPEC`, `IFLA_INET6_CONF`.
const PROTOCOL_INFORMATION: u16 = 12;
const FAMILIES: u16 = 26;
const SETTINGS6: u16 = 2;
/// Where in `IFLA_INET6_CONF` the switches are, in words (`DEVCONF_*`).
const PLACES6: [(usize, Switch); 7] = [
    (0, Switch::Forwarding6),
    (1, Switch::HopLimit6),
    (2, Switch::Mtu6),
    (3, Switch::AcceptRa),
    (10, Switch::UseTempaddr),
    (26, Switch::DisableIpv6),
    (47, Switch::LinkLocal6),
];

/// Reads `RTM_NEWNETCONF`.
pub(super) fn notice(body: &[u8]) -> Option<KernelEvent> {
    let family = i32::from(*body.first()?);
    let attributes = || attributes_of(body.get(NETCONF_HEADER_LENGTH..).unwrap_or_default());
    let find = |wanted: u16| {
        let (_, value) = attributes().find(|(kind, _)| *kind == wanted)?;
        Some(word(value, 0)?.cast_signed())
    };
    // Those for all links, and for links that come, have negative ones.
    let index = u32::try_from(find(NETCONF_INDEX)?).ok()?;
    let forwarding = find(NETCONF_FORWARDING);
    let mut values = Vec::new();
    match family {
        libc::AF_INET => values.extend(forwarding.map(|value| (Switch::Forwarding4, Some(value)))),
        libc::AF_INET6 if forwarding.is_some() => values.push((Switch::Forwarding6, forwarding)),
        // Of this one the kernel says only that it is about the link.
        libc::AF_INET6 if attributes().count() == 1 => {
            values.push((Switch::ForceForwarding6, None));
        }
        _ => {}
    }
    told(index, values)
}

/// Reads the description of a link as IPv6 sees it (`RTM_NEWLINK` of `AF_INET6`).
pub(super) fn of_ipv6(body: &[u8]) -> Option<KernelEvent> {
    let (header, attributes) = body.split_at_checked(LINK_HEADER_LENGTH)?;
    if i32::from(*header.first()?) != libc::AF_INET6 {
        return None;
    }
    let (_, settings) =
        attributes_of(attributes).find(|(kind, _)| *kind == PROTOCOL_INFORMATION)?;
    told(word(header, 4)?, settings6(settings))
}

/// Reads what the description of a link says of its families.
pub(super) fn of_link(body: &[u8]) -> Option<KernelEvent> {
    let (header, attributes) = body.split_at_checked(LINK_HEADER_LENGTH)?;
    if i32::from(*header.first()?) != libc::AF_UNSPEC {
        return None;
    }
    let (_, families) = attributes_of(attributes).find(|(kind, _)| *kind == FAMILIES)?;
    let is_ipv6 = |kind: u16| i32::from(kind) == libc::AF_INET6;
    let (_, settings) = attributes_of(families).find(|(kind, _)| is_ipv6(*kind))?;
    told(word(header, 4)?, settings6(settings))
}

fn settings6(settings: &[u8]) -> Vec<(Switch, Option<i32>)> {
    let found = attributes_of(settings).find(|(kind, _)| *kind == SETTINGS6);
    let words = found.map_or(&[][..], |(_, words)| words);
    let places = PLACES6.iter();
    let values = places.filter_map(|(place, switch)| {
        let value = word(words, place * size_of::<u32>())?;
        Some((*switch, Some(value.cast_signed())))
    });
    values.collect()
}

fn told(index: u32, values: Vec<(Switch, Option<i32>)>) -> Option<KernelEvent> {
    (index != 0 && !values.is_empty()).then_some(KernelEvent::Switches { index, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn netconf(family: u8, attributes: &[(u16, i32)]) -> Vec<u8> {
        let mut bytes = vec![family, 0, 0, 0];
        for (kind, value) in attributes {
            bytes.extend(attribute(*kind, &value.to_ne_bytes()));
        }
        bytes
    }

    #[test]
    fn notices_say_which_switch_of_which_link_is_how() {
        type Told = Option<(u32, Switch, Option<i32>)>;
        let rows: [(Vec<u8>, Told); 7] = [
            (
                netconf(2, &[(1, 3), (2, 0)]),
                Some((3, Switch::Forwarding4, Some(0))),
            ),
            (
                netconf(10, &[(1, 3), (2, 1)]),
                Some((3, Switch::Forwarding6, Some(1))),
            ),
            (
                netconf(10, &[(1, 3)]),
                Some((3, Switch::ForceForwarding6, None)),
            ),
            (netconf(10, &[(1, 3), (5, 1)]), None),
            (netconf(2, &[(1, 3), (3, 1)]), None),
            (netconf(2, &[(1, -1), (2, 1)]), None),
            (netconf(10, &[(1, -2), (2, 1)]), None),
        ];
        for (bytes, expected) in rows {
            let values = |(index, switch, value)| KernelEvent::Switches {
                index,
                values: vec![(switch, value)],
            };
            assert_eq!(notice(&bytes), expected.map(values), "{bytes:?}");
            for length in 0..bytes.len() {
                let _no_panic = notice(&bytes[..length]);
            }
        }
    }

    #[test]
    fn descriptions_tell_the_switches_of_ipv6() {
        let mut words = vec![0_i32; 60];
        (words[3], words[26], words[47]) = (2, 1, 1);
        let words: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let settings = attribute(SETTINGS6, &words);
        let header = |family: u8| {
            let mut bytes = vec![family, 0, 0, 0];
            bytes.extend(7_u32.to_ne_bytes());
            bytes.extend([0; 8]);
            bytes
        };
        let mut of_family = header(10);
        of_family.extend(attribute(PROTOCOL_INFORMATION | 0x8000, &settings));
        let mut whole = header(0);
        whole.extend(attribute(FAMILIES, &attribute(10, &settings)));
        for event in [of_ipv6(&of_family), of_link(&whole)] {
            let Some(KernelEvent::Switches { index: 7, values }) = event else {
                panic!("{event:?}");
            };
            assert!(values.contains(&(Switch::AcceptRa, Some(2))), "{values:?}");
            assert!(
                values.contains(&(Switch::DisableIpv6, Some(1))),
                "{values:?}"
            );
            assert!(
                values.contains(&(Switch::LinkLocal6, Some(1))),
                "{values:?}"
            );
            assert!(
                values.contains(&(Switch::UseTempaddr, Some(0))),
                "{values:?}"
            );
        }
        assert_eq!((of_ipv6(&whole), of_link(&of_family)), (None, None));
        for length in 0..whole.len() {
            let _no_panic = (of_link(&whole[..length]), of_ipv6(&whole[..length]));
        }
    }
}
