//! What does one LLDP frame say? Its elements (IEEE 802.1AB §8), the first three in their order, the others as they come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;

use super::{Capabilities, Neighbour, unknown};
use crate::octets::Reader;

/// Numbers of elements (IEEE 802.1AB table 8-1).
mod kind {
    pub(super) const END: u16 = 0;
    pub(super) const CHASSIS: u16 = 1;
    pub(super) const PORT: u16 = 2;
    pub(super) const TIME_TO_LIVE: u16 = 3;
    pub(super) const PORT_DESCRIPTION: u16 = 4;
    pub(super) const SYSTEM_NAME: u16 = 5;
    pub(super) const SYSTEM_DESCRIPTION: u16 = 6;
    pub(super) const CAPABILITIES: u16 = 7;
    pub(super) const MANAGEMENT_ADDRESS: u16 = 8;
    pub(super) const ORGANIZATION: u16 = 127;
}

/// Organization and subtype: port VLAN (IEEE 802.1Q D.2.1), largest frame (IEEE 802.3 79.3.4).
const PORT_VLAN: [u8; 4] = [0x00, 0x80, 0xc2, 1];
const MAX_FRAME: [u8; 4] = [0x00, 0x12, 0x0f, 4];

/// Subtypes of names that are addresses: of a chassis, of a port (IEEE 802.1AB tables 8-2 and 8-3).
const CHASSIS_MAC: u8 = 4;
const CHASSIS_ADDRESS: u8 = 5;
const PORT_MAC: u8 = 3;
const PORT_ADDRESS: u8 = 4;

/// Letters of a text that are kept.
const MAX_TEXT: usize = 128;
/// Octets of a name (IEEE 802.1AB §8.5.2.3).
const MAX_NAME: usize = 255;
const MAX_ADDRESSES: usize = 4;

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// By what the neighbour is told from others: chassis and port, as they came.
    pub(super) id: Arc<[u8]>,
    /// How long that holds; zero when it goes.
    pub(super) lasts: Duration,
    /// What it says.
    pub(super) neighbour: Neighbour,
}

impl Frame {
    /// Reads the payload of a frame; `None` when it is not as IEEE 802.1AB §9.2.7.7.1 wants it.
    pub(super) fn parse(octets: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(octets);
        let mut expect = |wanted| {
            let (kind, data) = element(&mut reader)?;
            (kind == wanted).then_some(data)
        };
        let chassis = expect(kind::CHASSIS)?;
        let port = expect(kind::PORT)?;
        let (lasts, _) = expect(kind::TIME_TO_LIVE)?.split_first_chunk::<2>()?;
        let mut neighbour = unknown(
            name(chassis, CHASSIS_MAC, CHASSIS_ADDRESS)?,
            name(port, PORT_MAC, PORT_ADDRESS)?,
        );
        let mut id = vec![u8::try_from(chassis.len()).ok()?];
        id.extend(chassis);
        id.extend(port);
        loop {
            if reader.is_done() {
                break;
            }
            let (kind, data) = element(&mut reader)?;
            match kind {
                kind::END => break,
                // Each once.
                kind::CHASSIS | kind::PORT | kind::TIME_TO_LIVE => return None,
                kind => take(&mut neighbour, kind, data),
            }
        }
        Some(Self {
            id: id.into(),
            lasts: Duration::from_secs(u16::from_be_bytes(*lasts).into()),
            neighbour,
        })
    }
}

/// Takes one element: seven bits of kind, nine of length.
fn element<'a>(reader: &mut Reader<'a>) -> Option<(u16, &'a [u8])> {
    let header = reader.word()?;
    Some((header >> 9, reader.take((header & 0x1ff).into())?))
}

fn take(neighbour: &mut Neighbour, kind: u16, data: &[u8]) {
    match kind {
        kind::PORT_DESCRIPTION => neighbour.port_description = text(data),
        kind::SYSTEM_NAME => neighbour.name = text(data),
        kind::SYSTEM_DESCRIPTION => neighbour.description = text(data),
        kind::CAPABILITIES => {
            if let [_, _, high, low] = *data {
                neighbour.capabilities = Capabilities(u16::from_be_bytes([high, low]));
            }
        }
        kind::MANAGEMENT_ADDRESS => {
            let address = data.split_first().and_then(|(length, rest)| {
                let (family, address) = rest.get(..usize::from(*length))?.split_first()?;
                ip(*family, address)
            });
            let is_new = |address: &IpAddr| !neighbour.addresses.contains(address);
            if let Some(address) = address.filter(is_new)
                && neighbour.addresses.len() < MAX_ADDRESSES
            {
                neighbour.addresses.push(address);
            }
        }
        kind::ORGANIZATION => {
            let value = data
                .get(4..6)
                .map(|value| u16::from_be_bytes([value[0], value[1]]));
            if data.starts_with(&PORT_VLAN) {
                neighbour.vlan = value.filter(|vlan| (1..4095).contains(vlan));
            } else if data.starts_with(&MAX_FRAME) {
                neighbour.max_frame = value;
            }
        }
        _ => {}
    }
}

/// Reads a name: a subtype, then 1 to 255 octets.
fn name(data: &[u8], mac: u8, address: u8) -> Option<Arc<str>> {
    let (subtype, name) = data.split_first()?;
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    if *subtype == mac
        && let Ok(octets) = <[u8; 6]>::try_from(name)
    {
        return Some(Mac(octets).to_string().into());
    }
    if *subtype == address
        && let Some((family, octets)) = name.split_first()
        && let Some(ip) = ip(*family, octets)
    {
        return Some(ip.to_string().into());
    }
    text(name).or_else(|| {
        let digits = name
            .iter()
            .take(MAX_TEXT / 2)
            .map(|octet| format!("{octet:02x}"));
        Some(digits.collect::<String>().into())
    })
}

/// An address by its family number (IANA: 1 is IPv4, 2 is IPv6).
fn ip(family: u8, octets: &[u8]) -> Option<IpAddr> {
    match family {
        1 => <[u8; 4]>::try_from(octets)
            .ok()
            .map(|v4| Ipv4Addr::from(v4).into()),
        2 => <[u8; 16]>::try_from(octets)
            .ok()
            .map(|v6| Ipv6Addr::from(v6).into()),
        _ => None,
    }
}

/// What can be shown of a text; `None` when that is nothing.
fn text(data: &[u8]) -> Option<Arc<str>> {
    let text = String::from_utf8_lossy(data);
    let shown = text
        .chars()
        .map(|letter| if letter.is_whitespace() { ' ' } else { letter });
    let shown = shown
        .filter(|letter| !letter.is_control() && *letter != '\u{fffd}' && !is_invisible(*letter));
    let shown: String = shown.take(MAX_TEXT).collect();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.into())
}

/// Whether a letter changes how others look: marks of direction, joiners, letters of no width.
const fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
