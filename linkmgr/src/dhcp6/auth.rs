//! Did a Reconfigure come from the server that we know? [`Key`]: the Reconfiguration Key Authentication Protocol (RFC 8415 §20.4).
//!
//! The protocol is made of HMAC-MD5, which no library here has for good reasons; it is used for nothing else. What the key
//! protects is that nobody off the path makes us ask our server again.

use crate::octets::Reader;

use super::wire::option;

/// The protocol, its algorithm, and its way to tell repetitions (RFC 8415 §20.4.1).
const PROTOCOL: [u8; 3] = [3, 1, 0];
/// What the information is: a key in a Reply.
const IS_KEY: u8 = 1;
/// What the information is: a digest in a Reconfigure.
const IS_DIGEST: u8 = 2;
/// Octets in the option before the digest: protocol, algorithm, method, replay detection, type.
const BEFORE_DIGEST: usize = 12;

/// What a server gave to know its Reconfigures by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    key: [u8; 16],
    /// The number of its last message.
    last: u64,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads a key out of the authentication option of a Reply.
    pub(super) fn from_reply(value: &[u8]) -> Option<Self> {
        let (kind, last, key) = read(value)?;
        (kind == IS_KEY).then_some(Self { key, last })
    }

    /// Takes a Reconfigure; whether it is from the server, and no repetition.
    pub(super) fn takes(&mut self, message: &[u8]) -> bool {
        let Some((at, value)) = find(message) else {
            return false;
        };
        let Some((IS_DIGEST, number, digest)) = read(value) else {
            return false;
        };
        let mut cleared = message.to_vec();
        let place = at + BEFORE_DIGEST;
        let Some(octets) = cleared.get_mut(place..place + digest.len()) else {
            return false;
        };
        // RFC 8415 §20.4.3: the digest is of the message with zeros in its place.
        octets.fill(0);
        let good = same(&hmac_md5(&self.key, &cleared), &digest) && number > self.last;
        if good {
            self.last = number;
        }
        good
    }
}

fn read(value: &[u8]) -> Option<(u8, u64, [u8; 16])> {
    let mut reader = Reader::new(value);
    if reader.array()? != PROTOCOL {
        return None;
    }
    let number = u64::from_be_bytes(reader.array()?);
    let kind = reader.byte()?;
    let octets = reader.array()?;
    reader.is_done().then_some((kind, number, octets))
}

/// Returns where the authentication option's value is, and the value.
fn find(message: &[u8]) -> Option<(usize, &[u8])> {
    let mut reader = Reader::new(message);
    reader.take(4)?;
    while !reader.is_done() {
        let number = reader.word()?;
        let value = reader.counted()?;
        if number == option::AUTH {
            let at = message.len() - reader.rest().len() - value.len();
            return Some((at, value));
        }
    }
    None
}

/// Compares without telling by its time where the first difference is.
fn same(one: &[u8; 16], other: &[u8; 16]) -> bool {
    let mut difference = 0;
    for (one, other) in one.iter().zip(other) {
        difference |= one ^ other;
    }
    difference == 0
}

/// RFC 2104, with a key that is shorter than a block.
fn hmac_md5(key: &[u8; 16], message: &[u8]) -> [u8; 16] {
    let pad = |octet: u8| {
        let mut block = [octet; 64];
        for (place, key) in block.iter_mut().zip(key) {
            *place ^= key;
        }
        block
    };
    let mut inner = pad(0x36).to_vec();
    inner.extend_from_slice(message);
    let mut outer = pad(0x5c).to_vec();
    outer.extend_from_slice(&md5(&inner));
    md5(&outer)
}

/// RFC 1321 §3.4: the integer part of 4294967296 times abs(sin(i)).
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];
/// RFC 1321 §3.4: how far each step rotates, by round.
const ROTATIONS: [[u32; 4]; 4] = [
    [7, 12, 17, 22],
    [5, 9, 14, 20],
    [4, 11, 16, 23],
    [6, 10, 15, 21],
];

/// RFC 1321.
fn md5(message: &[u8]) -> [u8; 16] {
    let bits = u64::try_from(message.len())
        .unwrap_or(u64::MAX)
        .wrapping_mul(8);
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend(bits.to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks_exact(64) {
        let mut words = [0; 16];
        for (word, octets) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = octets
                .iter()
                .rev()
                .fold(0, |value, octet| value << 8 | u32::from(*octet));
        }
        let [mut a, mut b, mut c, mut d] = state;
        for (step, sine) in SINES.iter().enumerate() {
            let (mixed, word) = match step / 16 {
                0 => (b & c | !b & d, step),
                1 => (d & b | !d & c, 5 * step + 1),
                2 => (b ^ c ^ d, 3 * step + 5),
                _ => (c ^ (b | !d), 7 * step),
            };
            let sum = a
                .wrapping_add(mixed)
                .wrapping_add(*sine)
                .wrapping_add(words[word % 16]);
            let rotated = sum.rotate_left(ROTATIONS[step / 16][step % 4]);
            (a, d, c, b) = (d, c, b, b.wrapping_add(rotated));
        }
        for (place, value) in state.iter_mut().zip([a, b, c, d]) {
            *place = place.wrapping_add(value);
        }
    }
    let mut digest = [0; 16];
    for (octets, word) in digest.chunks_exact_mut(4).zip(state) {
        octets.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

/// Writes a Reconfigure as a server does, for tests.
#[cfg(test)]
pub(super) fn reconfigure(key: [u8; 16], number: u64, mut message: Vec<u8>) -> Vec<u8> {
    message.extend(option::AUTH.to_be_bytes());
    message.extend([0, 28]);
    message.extend(PROTOCOL);
    message.extend(number.to_be_bytes());
    message.push(IS_DIGEST);
    let at = message.len();
    message.extend([0; 16]);
    let digest = hmac_md5(&key, &message);
    message[at..].copy_from_slice(&digest);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn digests_are_those_of_the_rfcs() {
        // RFC 1321 §A.5.
        let rows = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(hex(&md5(text.as_bytes())), expected);
        }
        // RFC 2202 §2, test case 1.
        assert_eq!(
            hex(&hmac_md5(&[0x0b; 16], b"Hi There")),
            "9294727a3638bb1c13f48ef8158bfc9d"
        );
    }

    #[test]
    fn only_the_server_that_gave_the_key_is_believed_and_each_word_once() {
        let mut value = PROTOCOL.to_vec();
        value.extend(7_u64.to_be_bytes());
        value.push(IS_KEY);
        value.extend([5; 16]);
        let mut key = Key::from_reply(&value).unwrap();
        let message = || vec![10, 0, 0, 0, 0, 19, 0, 1, 5];
        let good = reconfigure([5; 16], 8, message());
        assert!(!key.takes(&message()), "no digest");
        assert!(
            !key.takes(&reconfigure([6; 16], 9, message())),
            "another key"
        );
        assert!(!key.takes(&reconfigure([5; 16], 7, message())), "of before");
        let mut changed = good.clone();
        changed[8] = 6;
        assert!(!key.takes(&changed));
        assert!(key.takes(&good));
        assert!(!key.takes(&good), "again");
        assert_eq!(format!("{key:?}"), "Key");
    }
}
