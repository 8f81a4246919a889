//! What do the records of DNSSEC say? Reads RRSIG, DNSKEY, DS, NSEC and NSEC3, and puts rdata into canonical form.
//!
//! Reads only: nothing is verified here. A record that cannot be read is as if it were not there.

use crate::name::Name;

/// Record types that mean something here.
pub(crate) mod rtype {
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const DS: u16 = 43;
    pub(crate) const RRSIG: u16 = 46;
    pub(crate) const NSEC: u16 = 47;
    pub(crate) const DNSKEY: u16 = 48;
    pub(crate) const NSEC3: u16 = 50;
    pub(crate) const ANY: u16 = 255;
}

/// A record as it came, uncompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Owner in wire form.
    pub name: Box<[u8]>,
    /// TYPE.
    pub record_type: u16,
    /// CLASS.
    pub class: u16,
    /// TTL in seconds.
    pub ttl: u32,
    /// RDATA, names in it uncompressed.
    pub rdata: Vec<u8>,
}

/// A signature (RFC 4034 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sig {
    pub(crate) covered: u16,
    pub(crate) algorithm: u8,
    pub(crate) labels: usize,
    pub(crate) original_ttl: u32,
    pub(crate) expiration: u32,
    pub(crate) inception: u32,
    pub(crate) key_tag: u16,
    pub(crate) signer: Name,
    pub(crate) signature: Vec<u8>,
    /// RDATA up to the signature, the signer in canonical form: the beginning of what is signed.
    pub(crate) head: Vec<u8>,
}

/// A zone's key (RFC 4034 §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) flags: u16,
    pub(crate) protocol: u8,
    pub(crate) algorithm: u8,
    pub(crate) public: Vec<u8>,
    pub(crate) tag: u16,
    pub(crate) rdata: Vec<u8>,
}

/// A delegation's signer (RFC 4034 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ds {
    pub(crate) key_tag: u16,
    pub(crate) algorithm: u8,
    pub(crate) digest_type: u8,
    pub(crate) digest: Vec<u8>,
}

/// The types that a name has (RFC 4034 §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Types(Vec<u8>);

/// A link of a chain of names (RFC 4034 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nsec {
    pub(crate) owner: Name,
    pub(crate) next: Name,
    pub(crate) types: Types,
}

/// A link of a chain of hashed names (RFC 5155 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nsec3 {
    pub(crate) zone: Name,
    pub(crate) owner: Vec<u8>,
    pub(crate) next: Vec<u8>,
    pub(crate) opt_out: bool,
    pub(crate) iterations: u16,
    pub(crate) salt: Vec<u8>,
    pub(crate) types: Types,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

impl Sig {
    pub(crate) fn read(rdata: &[u8]) -> Option<Self> {
        const FIXED: usize = 18;
        let (signer, length) = Name::read(rdata.get(FIXED..)?)?;
        let mut head = rdata.get(..FIXED)?.to_vec();
        head.extend_from_slice(signer.as_wire());
        Some(Self {
            covered: word(rdata, 0)?,
            algorithm: *rdata.get(2)?,
            labels: usize::from(*rdata.get(3)?),
            original_ttl: long(rdata, 4)?,
            expiration: long(rdata, 8)?,
            inception: long(rdata, 12)?,
            key_tag: word(rdata, 16)?,
            signer,
            signature: rdata.get(FIXED + length..)?.to_vec(),
            head,
        })
    }
}

impl Key {
    /// SEP is a hint for people; these two bits mean something (RFC 4034 §2.1.1, RFC 5011 §2.1).
    const ZONE: u16 = 0x0100;
    const REVOKE: u16 = 0x0080;

    pub(crate) fn read(rdata: &[u8]) -> Option<Self> {
        Some(Self {
            flags: word(rdata, 0)?,
            protocol: *rdata.get(2)?,
            algorithm: *rdata.get(3)?,
            public: rdata.get(4..)?.to_vec(),
            tag: tag(rdata),
            rdata: rdata.to_vec(),
        })
    }

    /// Whether it is a key of a zone at all.
    pub(crate) fn is_of_zone(&self) -> bool {
        self.flags & Self::ZONE != 0
    }

    /// Whether it may sign what is in its zone.
    pub(crate) fn may_sign(&self) -> bool {
        self.is_of_zone() && self.flags & Self::REVOKE == 0 && self.protocol == 3
    }
}

/// RFC 4034 appendix B.
fn tag(rdata: &[u8]) -> u16 {
    let sum = rdata.iter().enumerate().fold(0_u32, |sum, (at, octet)| {
        let shift = if at % 2 == 0 { 8 } else { 0 };
        sum.wrapping_add(u32::from(*octet) << shift)
    });
    let folded = sum.wrapping_add(sum >> 16) & 0xffff;
    u16::try_from(folded).unwrap_or_default()
}

impl Ds {
    pub(crate) fn read(rdata: &[u8]) -> Option<Self> {
        Some(Self {
            key_tag: word(rdata, 0)?,
            algorithm: *rdata.get(2)?,
            digest_type: *rdata.get(3)?,
            digest: rdata.get(4..)?.to_vec(),
        })
    }
}

impl Types {
    /// Reads windows until the end; windows out of order are an error (RFC 4034 §4.1.2).
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let whole = bytes;
        let mut last = None;
        while let Some((window, rest)) = bytes.split_first() {
            let (length, rest) = rest.split_first()?;
            if !(1..=32).contains(length) || last.is_some_and(|last| last >= *window) {
                return None;
            }
            last = Some(*window);
            bytes = rest.get(usize::from(*length)..)?;
        }
        Some(Self(whole.to_vec()))
    }

    /// Whether the name has records of a type.
    pub(crate) fn has(&self, record_type: u16) -> bool {
        let [high, low] = record_type.to_be_bytes();
        let mut bytes = &*self.0;
        while let [window, length, rest @ ..] = bytes {
            let Some((bits, after)) = rest.split_at_checked(usize::from(*length)) else {
                return false;
            };
            if *window == high {
                let octet = bits.get(usize::from(low / 8)).copied().unwrap_or_default();
                return octet & (0x80 >> (low % 8)) != 0;
            }
            bytes = after;
        }
        false
    }

    /// Whether there is nothing but what denials themselves need.
    pub(crate) fn are_none(&self) -> bool {
        let of_denial = [rtype::RRSIG, rtype::NSEC]
            .iter()
            .filter(|record_type| self.has(**record_type))
            .count();
        let mut bytes = &*self.0;
        let mut count = 0;
        while let [_, length, rest @ ..] = bytes {
            let Some((bits, after)) = rest.split_at_checked(usize::from(*length)) else {
                return false;
            };
            count += bits.iter().map(|octet| octet.count_ones()).sum::<u32>();
            bytes = after;
        }
        usize::try_from(count) == Ok(of_denial)
    }

    /// Whether the name is where another zone begins, seen from above (RFC 6840 §4.1).
    pub(crate) fn is_delegation(&self) -> bool {
        self.has(rtype::NS) && !self.has(rtype::SOA)
    }
}

impl Nsec {
    pub(crate) fn read(owner: &Name, rdata: &[u8]) -> Option<Self> {
        let (next, length) = Name::read(rdata)?;
        Some(Self {
            owner: owner.clone(),
            next,
            types: Types::read(rdata.get(length..)?)?,
        })
    }
}

impl Nsec3 {
    /// Reads one whose hash and flags are known (RFC 5155 §8.1, §8.2); any other is to be ignored.
    pub(crate) fn read(owner: &Name, rdata: &[u8]) -> Option<Self> {
        const SHA1: u8 = 1;
        let (hash, flags) = (*rdata.first()?, *rdata.get(1)?);
        if hash != SHA1 || flags > 1 {
            return None;
        }
        let salt_end = 5 + usize::from(*rdata.get(4)?);
        let next_end = salt_end + 1 + usize::from(*rdata.get(salt_end)?);
        let next = rdata.get(salt_end + 1..next_end)?.to_vec();
        let owner_hash = base32hex(owner.labels().next()?)?;
        (owner_hash.len() == next.len()).then_some(())?;
        Some(Self {
            zone: owner.parent()?,
            owner: owner_hash,
            next,
            opt_out: flags & 1 != 0,
            iterations: word(rdata, 2)?,
            salt: rdata.get(5..salt_end)?.to_vec(),
            types: Types::read(rdata.get(next_end..)?)?,
        })
    }
}

/// RFC 4648 §7, lower case, without padding.
fn base32hex(label: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(label.len() * 5 / 8);
    let (mut bits, mut count) = (0_u32, 0);
    for octet in label {
        let value = match octet {
            b'0'..=b'9' => octet - b'0',
            b'a'..=b'v' => octet - b'a' + 10,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(value)) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}

/// A part of rdata.
#[derive(Debug, Clone, Copy)]
enum Part {
    Name,
    Octets(usize),
    Text,
    Rest,
}

/// Returns the parts of rdata of those types whose names are in lower case in what is signed (RFC 4034 §6.2, RFC 6840 §5.1).
fn parts(record_type: u16) -> &'static [Part] {
    use Part::{Name, Octets, Rest, Text};
    match record_type {
        // NS MD MF CNAME MB MG MR PTR DNAME
        2..=5 | 7..=9 | 12 | 39 => &[Name],
        // SOA
        6 => &[Name, Name, Rest],
        // MINFO RP
        14 | 17 => &[Name, Name],
        // MX AFSDB RT KX
        15 | 18 | 21 | 36 => &[Octets(2), Name],
        // SIG RRSIG
        24 | 46 => &[Octets(18), Name, Rest],
        // PX
        26 => &[Octets(2), Name, Name],
        // NXT
        30 => &[Name, Rest],
        // SRV
        33 => &[Octets(6), Name],
        // NAPTR
        35 => &[Octets(4), Text, Text, Text, Name],
        _ => &[],
    }
}

/// Returns rdata in canonical form.
pub(crate) fn canonical(record_type: u16, rdata: &[u8]) -> Vec<u8> {
    let mut out = rdata.to_vec();
    let mut at = 0;
    for part in parts(record_type) {
        let Some(rest) = rdata.get(at..) else {
            break;
        };
        let length = match part {
            Part::Octets(length) => *length,
            Part::Text => 1 + rest.first().map_or(0, |length| usize::from(*length)),
            Part::Rest => rest.len(),
            Part::Name => {
                let Some((_, length)) = Name::read(rest) else {
                    break;
                };
                // Lengths of labels are below every letter.
                if let Some(name) = out.get_mut(at..at + length) {
                    name.make_ascii_lowercase();
                }
                length
            }
        };
        at += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_types_are_read_by_window() {
        // A, MX, RRSIG, NSEC, TYPE1234 (RFC 4034 §4.3)
        let mut bytes = vec![0, 6, 0x40, 1, 0, 0, 0, 3, 4, 27];
        bytes.extend([0; 26]);
        bytes.push(0x20);
        let types = Types::read(&bytes).unwrap();
        for (record_type, has) in [
            (1, true),
            (15, true),
            (46, true),
            (47, true),
            (1234, true),
            (2, false),
            (1235, false),
            (65535, false),
        ] {
            assert_eq!(types.has(record_type), has, "{record_type}");
        }
        assert_eq!(Types::read(&[0, 0]), None);
        assert_eq!(Types::read(&[1, 1, 1, 0, 1, 1]), None);
    }

    #[test]
    fn hashes_in_owners_are_read() {
        // RFC 5155 appendix A: 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom
        let hash = base32hex(b"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom").unwrap();
        assert_eq!(hash.len(), 20);
        assert_eq!(hash[..3], [0x06, 0x53, 0x68]);
        assert_eq!(base32hex(b"w"), None);
    }

    #[test]
    fn names_in_rdata_are_in_lower_case_and_nothing_else() {
        assert_eq!(canonical(15, b"\0\x0a\x02MX\0"), b"\0\x0a\x02mx\0");
        assert_eq!(
            canonical(35, b"\0\x01\0\x02\x01U\x01S\x01R\x01N\0"),
            b"\0\x01\0\x02\x01U\x01S\x01R\x01n\0"
        );
        assert_eq!(canonical(16, b"\x02MX"), b"\x02MX");
        assert_eq!(canonical(15, b"\0"), b"\0");
    }
}
