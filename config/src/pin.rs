//! How is the pin of a key written? `sha256/` and base64, as RFC 7858 §4.2 and HPKP (RFC 7469) have it.
//!
//! Knows nothing of certificates: who compares a pin hashes the key himself.

use std::fmt;
use std::str::FromStr;

/// What stands before the base64.
pub(crate) const PREFIX: &str = "sha256/";
/// Characters of 32 octets in base64, padding included (RFC 4648 §4).
const TEXT: usize = 44;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The SHA-256 of a public key, as its certificate carries it (SubjectPublicKeyInfo).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(pub [u8; 32]);

/// The text is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not sha256/ and the base64 of 32 octets")]
pub struct PinError;

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let digits = text.strip_prefix(PREFIX).ok_or(PinError)?;
        // One `=` ends it; the URL form without it is taken too.
        let digits = digits.strip_suffix('=').unwrap_or(digits);
        if digits.len() != TEXT - 1 {
            return Err(PinError);
        }
        let mut pin = [0; 32];
        let mut octets = pin.iter_mut();
        let (mut held, mut bits) = (0_u32, 0);
        for digit in digits.bytes() {
            let value = ALPHABET.iter().position(|&known| known == digit);
            let value = value.and_then(|value| u32::try_from(value).ok());
            held = held << 6 | value.ok_or(PinError)?;
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                if let Some(octet) = octets.next() {
                    *octet = (held >> bits).to_le_bytes()[0];
                }
                held &= (1 << bits) - 1;
            }
        }
        // What is left over is zero, or two texts would mean one pin.
        if held == 0 {
            Ok(Self(pin))
        } else {
            Err(PinError)
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        for triple in self.0.chunks(3) {
            let octet = |at: usize| triple.get(at).copied().map_or(0, u32::from);
            let held = octet(0) << 16 | octet(1) << 8 | octet(2);
            for place in 0..=triple.len() {
                let value = held >> (18 - 6 * place) & 63;
                let digit = usize::try_from(value).ok();
                let digit = digit.and_then(|digit| ALPHABET.get(digit));
                write!(f, "{}", char::from(digit.copied().unwrap_or_default()))?;
            }
        }
        f.write_str("=")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pin_reads_back_as_it_was_written() {
        for seed in 0..=255_u8 {
            let pin = Pin(std::array::from_fn(|at| {
                seed.wrapping_mul(31).wrapping_add(at.to_le_bytes()[0])
            }));
            assert_eq!(pin.to_string().parse(), Ok(pin));
        }
        // SHA-256 of nothing, as `openssl dgst -sha256 -binary | openssl enc -base64` writes it.
        let text = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let pin: Pin = text.parse().unwrap();
        assert_eq!(pin.0[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(pin.to_string(), text);
        assert_eq!(text.trim_end_matches('=').parse(), Ok(pin));
    }

    #[test]
    fn other_texts_are_no_pins() {
        for text in [
            "",
            "sha256/",
            "sha1/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU==",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSu-U=",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSu=",
        ] {
            assert_eq!(text.parse::<Pin>(), Err(PinError), "{text}");
        }
    }
}
