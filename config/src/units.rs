//! How are sizes and times written? `"8MiB"`, `"30s"`: a whole number and a unit. No bare numbers, no decimal fractions.

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

/// Why a text is not a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// No number at its start.
    #[error("a length of time begins with a whole number")]
    NoNumber,
    /// No unit, or one that is not known.
    #[error("a length of time ends with its unit: s, m, h or d")]
    NoUnit,
    /// More than 64 bits of seconds.
    #[error("the length of time is too great")]
    TooGreat,
}

/// The units of time in seconds, the greatest first.
const TIME_UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Reads a length of time; returns seconds.
///
/// # Errors
/// [`TimeError`], when number or unit are missing.
pub fn parse_time(text: &str) -> Result<u64, TimeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(TimeError::NoNumber);
    }
    let number: u64 = number.parse().map_err(|_| TimeError::TooGreat)?;
    let unit = unit.trim_start();
    let known = TIME_UNITS.iter().find(|(name, _)| *name == unit);
    let (_, seconds) = known.ok_or(TimeError::NoUnit)?;
    number.checked_mul(*seconds).ok_or(TimeError::TooGreat)
}

/// Reads a length of time that may be shorter than a second, as `"100ms"`; returns milliseconds.
///
/// # Errors
/// [`TimeError`], when number or unit are missing.
pub fn parse_interval(text: &str) -> Result<u64, TimeError> {
    if let Some(number) = text.strip_suffix("ms") {
        let number = number.trim_end();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(TimeError::NoNumber);
        }
        return number.parse().map_err(|_| TimeError::TooGreat);
    }
    parse_time(text)?
        .checked_mul(1000)
        .ok_or(TimeError::TooGreat)
}

/// Writes a length of time in the greatest unit that divides it.
pub fn time_text(seconds: u64) -> String {
    let fitting = TIME_UNITS
        .iter()
        .find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit));
    fitting.map_or_else(
        || format!("{seconds}s"),
        |(name, unit)| format!("{}{name}", seconds / unit),
    )
}

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
    fn times_carry_a_unit() {
        for (text, seconds) in [
            ("0s", Ok(0)),
            ("90s", Ok(90)),
            ("5 m", Ok(300)),
            ("1d", Ok(86_400)),
            ("1", Err(TimeError::NoUnit)),
            ("1w", Err(TimeError::NoUnit)),
            ("d", Err(TimeError::NoNumber)),
            ("-1d", Err(TimeError::NoNumber)),
            ("999999999999999999d", Err(TimeError::TooGreat)),
        ] {
            assert_eq!(parse_time(text), seconds, "{text}");
        }
        for seconds in [0, 1, 59, 60, 3_600, 86_400, 90_000] {
            assert_eq!(parse_time(&time_text(seconds)), Ok(seconds));
        }
    }

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
