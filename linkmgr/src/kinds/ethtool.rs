//! What does the kernel have to hear of a network card's own settings? Messages of the generic family `ethtool`.
//!
//! Values are those of [`config::model::Hardware`]. Sets of bits go by name, as drivers know them: numbers differ from kernel to kernel.

#[cfg(test)]
mod tests;

use config::model::{Hardware, LinkMode};

use super::Message;
use super::generic::{self, Family};
use super::tlv::{self, NESTED};

/// The family's name.
pub const FAMILY: &str = "ethtool";

const GET_MODE: u8 = 4;
const SET_MODE: u8 = 5;
const GET_WAKE: u8 = 9;
const SET_WAKE: u8 = 10;
const GET_OFFLOADS: u8 = 11;
const SET_OFFLOADS: u8 = 12;

const HEADER: u16 = 1;
const HEADER_NAME: u16 = 2;

// ETHTOOL_A_LINKMODES_*
const AUTONEGOTIATION: u16 = 2;
const SPEED: u16 = 5;
const DUPLEX: u16 = 6;
/// `SPEED_UNKNOWN`.
const NO_SPEED: u32 = u32::MAX;

const WAKE_MODES: u16 = 2;

// ETHTOOL_A_FEATURES_*
const CHANGEABLE: u16 = 2;
const WANTED: u16 = 3;
const ACTIVE: u16 = 4;

// ETHTOOL_A_BITSET_*, and of one bit
const NO_MASK: u16 = 1;
const BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_INDEX: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// Asks how a setting of a link is.
pub fn get(family: Family, link: &str, hardware: Hardware) -> Message {
    let command = match hardware {
        Hardware::Mode => GET_MODE,
        Hardware::Wake => GET_WAKE,
        Hardware::Offload(_) => GET_OFFLOADS,
    };
    generic::message(family, command, 0, &header(link))
}

/// Has a setting of a link be so.
pub fn set(family: Family, link: &str, hardware: Hardware, value: i32) -> Message {
    let mut bytes = header(link);
    let command = match hardware {
        Hardware::Mode => {
            match LinkMode::of_value(value) {
                LinkMode::Negotiated => tlv::put(&mut bytes, AUTONEGOTIATION, &[1]),
                LinkMode::Fixed { speed, is_full } => {
                    tlv::put(&mut bytes, AUTONEGOTIATION, &[0]);
                    tlv::put_word(&mut bytes, SPEED, speed);
                    tlv::put(&mut bytes, DUPLEX, &[is_full.into()]);
                }
            }
            SET_MODE
        }
        Hardware::Wake => {
            tlv::put_nested(&mut bytes, WAKE_MODES | NESTED, |bytes| {
                tlv::put(bytes, NO_MASK, &[]);
                tlv::put_nested(bytes, BITS | NESTED, |bytes| {
                    for bit in (0..u32::BITS).filter(|bit| value >> bit & 1 == 1) {
                        tlv::put_nested(bytes, BIT | NESTED, |bytes| {
                            tlv::put_word(bytes, BIT_INDEX, bit);
                        });
                    }
                });
            });
            SET_WAKE
        }
        Hardware::Offload(offload) => {
            tlv::put_nested(&mut bytes, WANTED | NESTED, |bytes| {
                tlv::put_nested(bytes, BITS | NESTED, |bytes| {
                    tlv::put_nested(bytes, BIT | NESTED, |bytes| {
                        tlv::put_text(bytes, BIT_NAME, offload.name());
                        if value != 0 {
                            tlv::put(bytes, BIT_VALUE, &[]);
                        }
                    });
                });
            });
            SET_OFFLOADS
        }
    };
    generic::message(family, command, 0, &bytes)
}

fn header(link: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    tlv::put_nested(&mut bytes, HEADER | NESTED, |bytes| {
        tlv::put_text(bytes, HEADER_NAME, link);
    });
    bytes
}

/// Reads the answer to [`get`]; `None` when it does not tell.
pub fn value(answer: &Message, hardware: Hardware) -> Option<i32> {
    let attributes = answer.body.get(generic::HEADER..)?;
    match hardware {
        Hardware::Mode => {
            if tlv::find(attributes, AUTONEGOTIATION)?.first() == Some(&1) {
                return Some(LinkMode::Negotiated.value());
            }
            let speed = tlv::word(tlv::find(attributes, SPEED)?, 0)?;
            let mode = LinkMode::Fixed {
                // A link without a carrier has none.
                speed: if speed == NO_SPEED { 0 } else { speed },
                is_full: tlv::find(attributes, DUPLEX)?.first() == Some(&1),
            };
            Some(mode.value())
        }
        Hardware::Wake => {
            let set = tlv::find(attributes, WAKE_MODES)?;
            let bits = bits(set).filter(|(_, is_set)| *is_set);
            let indexes = bits.filter_map(|(bit, _)| tlv::word(tlv::find(bit, BIT_INDEX)?, 0));
            Some(indexes.fold(0, |value, bit| value | 1_i32.checked_shl(bit).unwrap_or(0)))
        }
        Hardware::Offload(offload) => {
            let active = tlv::find(attributes, ACTIVE)?;
            Some(names(active, offload.name()).into())
        }
    }
}

/// Whether the link lets an offload be changed, as the answer to [`get`] tells; everything else tells by itself that it does not.
pub fn is_changeable(answer: &Message, hardware: Hardware) -> bool {
    let Hardware::Offload(offload) = hardware else {
        return true;
    };
    let attributes = answer.body.get(generic::HEADER..).unwrap_or_default();
    let changeable = tlv::find(attributes, CHANGEABLE).unwrap_or_default();
    names(changeable, offload.name())
}

/// Walks the bits of a set; whether each is set.
fn bits(set: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let is_list = tlv::find(set, NO_MASK).is_some();
    let listed = tlv::find(set, BITS).unwrap_or_default();
    tlv::attributes(listed).map(move |(_, bit)| {
        let is_set = is_list || tlv::find(bit, BIT_VALUE).is_some();
        (bit, is_set)
    })
}

fn names(set: &[u8], name: &str) -> bool {
    bits(set).any(|(bit, is_set)| {
        let named = tlv::find(bit, BIT_NAME).and_then(tlv::text);
        is_set && named == Some(name)
    })
}
