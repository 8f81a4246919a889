//! What does the kernel have to hear of a link's attributes? [`data`], the octets of `IFLA_INFO_DATA` or `IFLA_INFO_SLAVE_DATA`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use config::kind::{Attribute, Value, Width, Wire};

use super::tlv;

/// Finds the index of a link by its name.
pub type IndexOf<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// `IFLA_VLAN_QOS_MAPPING`.
const QOS_MAPPING: u16 = 1;

/// Writes what is said of a link or port, in the order of the numbers. What is none of rtnetlink's is left out.
///
/// # Errors
/// The name of a link that is not there.
pub fn data(
    rows: &[Attribute],
    said: &BTreeMap<&'static str, Value>,
    index_of: IndexOf<'_>,
) -> Result<Vec<u8>, String> {
    let mut pieces = Pieces::default();
    for row in rows {
        let Some(value) = said.get(row.key.name) else {
            continue;
        };
        pieces.add(row, value, index_of)?;
    }
    Ok(pieces.octets())
}

/// Attributes by number, as they are put together.
#[derive(Default)]
pub(super) struct Pieces {
    by_number: BTreeMap<u16, Piece>,
}

enum Piece {
    Octets(Vec<u8>),
    /// Bits that several rows share.
    Bits {
        width: Width,
        set: u64,
    },
    /// As `Bits`, in 32 bits with the bits that are said behind them.
    Masked {
        set: u32,
        mask: u32,
    },
}

impl Pieces {
    pub(super) fn put(&mut self, number: u16, octets: Vec<u8>) {
        self.by_number.insert(number, Piece::Octets(octets));
    }

    fn add(&mut self, row: &Attribute, value: &Value, index_of: IndexOf<'_>) -> Result<(), String> {
        for number in row.numbers {
            self.add_at(*number, row, value, index_of)?;
        }
        for bit in row.implied {
            self.set(bit.number, bit.width, 1 << bit.bit);
        }
        Ok(())
    }

    fn add_at(
        &mut self,
        number: u16,
        row: &Attribute,
        value: &Value,
        index_of: IndexOf<'_>,
    ) -> Result<(), String> {
        match (row.wire, value) {
            (Wire::Number(width), Value::Number(value)) => {
                self.put(number, of_width(width, value.cast_unsigned()));
            }
            (Wire::Switch(width), Value::Switch(on)) => {
                self.put(number, of_width(width, u64::from(*on)));
            }
            (Wire::Flag, Value::Switch(true)) => self.put(number, Vec::new()),
            (Wire::Word(width, codes), Value::Word(word)) => {
                if let Some((_, code)) = codes.iter().find(|(known, _)| known == word) {
                    self.put(number, of_width(width, *code));
                }
            }
            (Wire::Time(width, parts), Value::Time(time)) => {
                let ticks = time.as_millis().saturating_mul(u128::from(parts)) / 1000;
                self.put(
                    number,
                    of_width(width, u64::try_from(ticks).unwrap_or(u64::MAX)),
                );
            }
            (Wire::Bit(width, bit), Value::Switch(on)) => {
                self.set(number, width, u64::from(*on) << bit);
            }
            (Wire::MaskedBit(bit), Value::Switch(on)) => self.set_masked(number, bit, *on),
            (Wire::Address4 | Wire::Address6, Value::Address(address)) => {
                self.put(number, of_address(*address));
            }
            (Wire::Address { number6 }, Value::Address(address)) => {
                let number = if address.is_ipv6() { number6 } else { number };
                self.put(number, of_address(*address));
            }
            (Wire::Addresses { .. }, Value::Addresses(addresses)) => {
                let mut octets = Vec::new();
                for (at, address) in (0_u16..).zip(addresses) {
                    tlv::put(&mut octets, at, &of_address(*address));
                }
                self.put(number, octets);
            }
            (Wire::Mac, Value::Mac(mac)) => self.put(number, mac.0.to_vec()),
            (Wire::Link, Value::Link(name)) => {
                let index = index_of(name).ok_or_else(|| name.to_string())?;
                self.put(number, index.to_ne_bytes().to_vec());
            }
            (Wire::Pairs, Value::Pairs(pairs)) => {
                let mut octets = Vec::new();
                for (from, to) in pairs {
                    let pair = [from.to_ne_bytes(), to.to_ne_bytes()].concat();
                    tlv::put(&mut octets, QOS_MAPPING, &pair);
                }
                self.put(number, octets);
            }
            (Wire::PortRange, Value::PortRange(first, last)) => {
                self.put(number, [first.to_be_bytes(), last.to_be_bytes()].concat());
            }
            (Wire::Elsewhere, _) | (Wire::Flag, Value::Switch(false)) => {}
            (wire, value) => debug_assert!(false, "{value:?} is written as {wire:?}"),
        }
        Ok(())
    }

    fn set(&mut self, number: u16, width: Width, bits: u64) {
        let piece = self
            .by_number
            .entry(number)
            .or_insert(Piece::Bits { width, set: 0 });
        if let Piece::Bits { set, .. } = piece {
            *set |= bits;
        }
    }

    fn set_masked(&mut self, number: u16, bit: u32, on: bool) {
        let piece = self
            .by_number
            .entry(number)
            .or_insert(Piece::Masked { set: 0, mask: 0 });
        if let Piece::Masked { set, mask } = piece {
            *set |= u32::from(on) << bit;
            *mask |= 1 << bit;
        }
    }

    pub(super) fn octets(self) -> Vec<u8> {
        let mut octets = Vec::new();
        for (number, piece) in self.by_number {
            let value = match piece {
                Piece::Octets(value) => value,
                Piece::Bits { width, set } => of_width(width, set),
                Piece::Masked { set, mask } => [set.to_ne_bytes(), mask.to_ne_bytes()].concat(),
            };
            tlv::put(&mut octets, number, &value);
        }
        octets
    }
}

/// Writes the low octets of a number.
fn of_width(width: Width, value: u64) -> Vec<u8> {
    let big = value.to_be_bytes();
    let low = |count: usize| big.get(8 - count..).unwrap_or_default().to_vec();
    let native = |count: usize| {
        let mut octets = low(count);
        if cfg!(target_endian = "little") {
            octets.reverse();
        }
        octets
    };
    match width {
        Width::U8 => low(1),
        Width::U16 => native(2),
        Width::U32 => native(4),
        Width::U64 => native(8),
        Width::Be16 => low(2),
        Width::Be32 => low(4),
    }
}

/// Writes an address in network order.
pub(super) fn of_address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
