//! What does the kernel tell of a link's attributes? [`link_info`], from the octets of `IFLA_LINKINFO` to values of the table.
//!
//! What a newer kernel tells besides is passed over; what makes no sense is left out, never guessed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use config::kind::{Attribute, LinkKind, Parent, Value, Width, Wire};
use config::matcher::Mac;

use super::message::{INFO_DATA, INFO_KIND, INFO_SLAVE_DATA, INFO_SLAVE_KIND};
use super::tlv;

/// Finds the name of a link by its index.
pub type NameOf<'a> = &'a dyn Fn(u32) -> Option<Arc<str>>;

/// What a link is, as far as its kind tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkInfo {
    /// The kind, when it is one of the table.
    pub kind: Option<LinkKind>,
    /// The parent, when the kind tells of it in its own attributes; 0 for none.
    pub parent: Option<u32>,
    /// What is said of it.
    pub attributes: BTreeMap<&'static str, Value>,
    /// The kind of the link that it is a port of, when that is one of the table.
    pub port_of: Option<LinkKind>,
    /// What is said of it as a port.
    pub port_attributes: BTreeMap<&'static str, Value>,
}

/// Reads `IFLA_LINKINFO`.
pub fn link_info(bytes: &[u8], name_of: NameOf<'_>) -> LinkInfo {
    let text = |number| tlv::find(bytes, number).and_then(tlv::text);
    let kind = text(INFO_KIND).and_then(LinkKind::of_info);
    let port_of = text(INFO_SLAVE_KIND).and_then(LinkKind::of_info);
    let data = tlv::find(bytes, INFO_DATA).unwrap_or_default();
    let port_data = tlv::find(bytes, INFO_SLAVE_DATA).unwrap_or_default();
    let parent = kind.and_then(|kind| match kind.parent {
        Parent::Attribute(number) => tlv::word(tlv::find(data, number)?, 0),
        Parent::None | Parent::Link => None,
    });
    LinkInfo {
        kind,
        parent,
        attributes: kind
            .map(|kind| values(kind.attributes, data, name_of))
            .unwrap_or_default(),
        port_of,
        port_attributes: port_of
            .and_then(|kind| kind.ports)
            .map(|rows| values(rows, port_data, name_of))
            .unwrap_or_default(),
    }
}

/// Reads attributes by the rows of the table.
pub fn values(
    rows: &[Attribute],
    data: &[u8],
    name_of: NameOf<'_>,
) -> BTreeMap<&'static str, Value> {
    let by_number: BTreeMap<u16, &[u8]> = tlv::attributes(data).collect();
    let mut values = BTreeMap::new();
    for row in rows {
        let Some(number) = row.numbers.first() else {
            continue;
        };
        if let Some(value) = value(row, *number, &by_number, name_of) {
            values.insert(row.key.name, value);
        }
    }
    values
}

fn value(
    row: &Attribute,
    number: u16,
    by_number: &BTreeMap<u16, &[u8]>,
    name_of: NameOf<'_>,
) -> Option<Value> {
    if let Wire::Flag = row.wire {
        return Some(Value::Switch(by_number.contains_key(&number)));
    }
    if let Wire::Address { number6 } = row.wire {
        let octets = by_number.get(&number).or_else(|| by_number.get(&number6))?;
        return address(octets).map(Value::Address);
    }
    let octets = *by_number.get(&number)?;
    // What is there by implication only, as a key of 0 whose flag is not set, is not there.
    for bit in row.implied {
        let bits = of_width(bit.width, by_number.get(&bit.number)?)?;
        if bits >> bit.bit & 1 == 0 {
            return None;
        }
    }
    match row.wire {
        Wire::Number(width) => {
            let number = of_width(width, octets)?;
            let is_signed =
                matches!(row.key.syntax, config::reference::Syntax::Integer { min, .. } if min < 0);
            let number = if is_signed && width == Width::U32 {
                i64::from(u32::try_from(number).ok()?.cast_signed())
            } else {
                i64::try_from(number).ok()?
            };
            // 0 stands for nothing where the least that can be said is 1.
            let config::reference::Syntax::Integer { min, .. } = row.key.syntax else {
                return None;
            };
            (number >= min).then_some(Value::Number(number))
        }
        Wire::Switch(width) => Some(Value::Switch(of_width(width, octets)? != 0)),
        Wire::Word(width, codes) => {
            let code = of_width(width, octets)?;
            let (word, _) = codes.iter().find(|(_, known)| *known == code)?;
            Some(Value::Word(word))
        }
        Wire::Time(width, parts) => {
            let ticks = of_width(width, octets)?;
            let millis = ticks.checked_mul(1000)? / u64::from(parts);
            Some(Value::Time(Duration::from_millis(millis)))
        }
        Wire::Bit(width, bit) => Some(Value::Switch(of_width(width, octets)? >> bit & 1 == 1)),
        Wire::MaskedBit(bit) => {
            let bits = tlv::word(octets, 0)?;
            Some(Value::Switch(bits >> bit & 1 == 1))
        }
        Wire::Address4 | Wire::Address6 => address(octets).map(Value::Address),
        Wire::Addresses { .. } => {
            let addresses = tlv::attributes(octets).filter_map(|(_, octets)| address(octets));
            Some(Value::Addresses(addresses.collect()))
        }
        Wire::Mac => octets.try_into().ok().map(|mac| Value::Mac(Mac(mac))),
        Wire::Link => {
            let index = tlv::word(octets, 0).filter(|index| *index != 0)?;
            name_of(index).map(Value::Link)
        }
        Wire::Pairs => {
            let pairs = tlv::attributes(octets)
                .filter_map(|(_, pair)| Some((tlv::word(pair, 0)?, tlv::word(pair, 4)?)));
            Some(Value::Pairs(pairs.collect()))
        }
        Wire::PortRange => {
            let port = |at: usize| {
                let octets = octets.get(at..at + 2)?;
                octets.try_into().ok().map(u16::from_be_bytes)
            };
            let (first, last) = (port(0)?, port(2)?);
            (first > 0).then_some(Value::PortRange(first, last))
        }
        Wire::Flag | Wire::Address { .. } | Wire::Elsewhere => None,
    }
}

fn of_width(width: Width, octets: &[u8]) -> Option<u64> {
    Some(match width {
        Width::U8 => u64::from(*octets.first()?),
        Width::U16 => u64::from(tlv::half(octets, 0)?),
        Width::U32 => u64::from(tlv::word(octets, 0)?),
        Width::U64 => u64::from_ne_bytes(octets.get(..8)?.try_into().ok()?),
        Width::Be16 => u64::from(u16::from_be_bytes(octets.get(..2)?.try_into().ok()?)),
        Width::Be32 => u64::from(u32::from_be_bytes(octets.get(..4)?.try_into().ok()?)),
    })
}

/// Reads an address; one that is all zeros stands for none.
fn address(octets: &[u8]) -> Option<IpAddr> {
    let address = if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        IpAddr::V4(Ipv4Addr::from(v4))
    } else {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?))
    };
    (!address.is_unspecified()).then_some(address)
}
