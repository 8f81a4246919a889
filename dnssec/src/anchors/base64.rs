//! Which bytes do the base64 and hexadecimal texts of DNSKEY and DS rdata stand for (RFC 4648 §4 and §8)?
//!
//! Strict: canonical padding, no foreign characters. Whitespace is the caller's business.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes base64 with its padding; `None` when it is not canonical.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut chunks = text.chunks_exact(4).peekable();
    while let Some(chunk) = chunks.next() {
        let padding = chunk.iter().rev().take_while(|&&c| c == b'=').count();
        if padding > 2 || (padding > 0 && chunks.peek().is_some()) {
            return None;
        }
        let mut bits = 0_u32;
        for &c in chunk.iter().take(4 - padding) {
            bits = bits << 6 | u32::from(sextet(c)?);
        }
        bits <<= 6 * padding;
        let [_, a, b, c] = bits.to_be_bytes();
        let (kept, spare) = [a, b, c]
            .split_at_checked(3 - padding)
            .map(|(kept, spare)| (kept.to_vec(), spare.iter().any(|&byte| byte != 0)))?;
        // RFC 4648 §3.5: the bits of the padding are zero, else one key had many spellings.
        if spare {
            return None;
        }
        bytes.extend(kept);
    }
    Some(bytes)
}

/// Encodes base64 with padding.
pub(super) fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let shown = at <= chunk.len();
            let sextet = (bits >> (18 - 6 * at) & 0x3f) as usize;
            let letter = ALPHABET.get(sextet).copied().unwrap_or(b'A');
            text.push(if shown { char::from(letter) } else { '=' });
        }
    }
    text
}

/// Decodes pairs of hexadecimal digits; `None` for an odd count or another character.
pub(super) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    text.chunks_exact(2)
        .map(|pair| match pair {
            &[high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

fn sextet(c: u8) -> Option<u8> {
    let at = ALPHABET.iter().position(|&letter| letter == c)?;
    u8::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_reads_back_at_every_length() {
        let bytes: Vec<u8> = (0..=255).rev().collect();
        for length in 0..bytes.len() {
            let part = &bytes[..length];
            assert_eq!(decode_base64(&encode_base64(part)).as_deref(), Some(part));
        }
    }

    #[test]
    fn base64_agrees_with_the_vectors_of_the_rfc() {
        // RFC 4648 §10.
        let rows = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("fooba", "Zm9vYmE="),
        ];
        for (plain, text) in rows {
            assert_eq!(encode_base64(plain.as_bytes()), text);
            assert_eq!(decode_base64(text).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn a_second_spelling_of_the_same_bytes_is_refused() {
        for text in [
            "Zh==", "Zm9=", "Zg", "Z===", "====", "Zg==Zg==", "Zg=a", "Zm8 ", "Zmé",
        ] {
            assert_eq!(decode_base64(text), None, "{text}");
        }
    }

    #[test]
    fn hexadecimal_is_read_in_pairs_and_in_both_cases() {
        assert_eq!(decode_hex("00fFa0").as_deref(), Some(&[0, 0xff, 0xa0][..]));
        for text in ["0", "0g", "é0", "+1"] {
            assert_eq!(decode_hex(text), None, "{text}");
        }
    }
}
