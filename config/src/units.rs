//! How are sizes written? `"8MiB"`: a whole number and a unit. No bare numbers, no decimal fractions.

/// Why a text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No number at its start.
    #[error("a size begins with a whole number")]
    NoNumber,
    /// No unit, or one that is not known.
    #[error("a size ends with its unit: B, KiB, MiB or GiB")]
    NoUnit,
    /// More than 64 bits of bytes.
    #[error("the size is too great")]
    TooGreat,
}

/// The units, the greatest first.
const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads a size; returns bytes.
///
/// # Errors
/// [`SizeError`], when number or unit are missing.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(SizeError::NoNumber);
    }
    let number: u64 = number.parse().map_err(|_| SizeError::TooGreat)?;
    let unit = unit.trim_start();
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, bytes) = known.ok_or(SizeError::NoUnit)?;
    number.checked_mul(*bytes).ok_or(SizeError::TooGreat)
}

/// Writes a size in the greatest unit that divides it.
pub fn size_text(size: u64) -> String {
    let fitting = UNITS
        .iter()
        .find(|(_, bytes)| size >= *bytes && size.is_multiple_of(*bytes));
    fitting.map_or_else(
        || format!("{size}B"),
        |(name, bytes)| format!("{}{name}", size / bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_a_unit() {
        for (text, size) in [
            ("8MiB", Ok(8 << 20)),
            ("64 KiB", Ok(64 << 10)),
            ("1GiB", Ok(1 << 30)),
            ("512B", Ok(512)),
            ("8", Err(SizeError::NoUnit)),
            ("8MB", Err(SizeError::NoUnit)),
            ("MiB", Err(SizeError::NoNumber)),
            ("-1MiB", Err(SizeError::NoNumber)),
            ("", Err(SizeError::NoNumber)),
            ("99999999999999999999B", Err(SizeError::TooGreat)),
            ("18446744073709551615GiB", Err(SizeError::TooGreat)),
        ] {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }

    #[test]
    fn a_written_size_reads_back() {
        for size in [0, 1, 512, 1 << 10, 1536, 64 << 10, 8 << 20, 1 << 30] {
            assert_eq!(parse_size(&size_text(size)), Ok(size));
        }
    }
}
