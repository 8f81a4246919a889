//! What do our messages say besides the question when they go by stream, and what do replies say of the stream?
//! Keepalive (RFC 7828) and padding (RFC 7830, RFC 8467).
//!
//! Pure: bytes in, bytes out. A message whose OPT record is not where we put it is left as it is.

use std::ops::Range;
use std::time::Duration;

/// Octets of a header (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// Octets of a question after its name, and of a record's TYPE and CLASS.
const TYPE_AND_CLASS: usize = 4;
/// Octets of an OPT record up to its options (RFC 6891 §6.1.2).
const OPT_HEAD: usize = 11;
/// OPT (RFC 6891 §6.1.1).
const OPT: u16 = 41;
/// edns-tcp-keepalive (RFC 7828 §3).
const KEEPALIVE: u16 = 11;
/// Padding (RFC 7830 §3).
const PADDING: u16 = 12;
/// Octets of an option's code and length.
const OPTION_HEAD: usize = 4;
/// Queries are padded to a multiple of this (RFC 8467 §4.1).
const BLOCK: usize = 128;
/// What a keepalive counts in (RFC 7828 §3.1).
const KEEPALIVE_UNIT: Duration = Duration::from_millis(100);

/// What is added to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Additions {
    /// Ask how long the connection may be idle; never where it is no stream of ours (RFC 9250 §5.5.2).
    pub keepalive: bool,
    /// Hide the length; only where nobody else can read (RFC 7830 §6).
    pub padding: bool,
}

/// Appends a message with additions, under another id.
pub fn emit(wire: &[u8], id: u16, additions: Additions, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(wire);
    if let Some(place) = out.get_mut(start..start + 2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
    let Some(options) = trailing_options(wire) else {
        return;
    };
    if additions.keepalive {
        push_option(KEEPALIVE, 0, out);
    }
    if additions.padding {
        let length = out.len() - start + OPTION_HEAD;
        push_option(PADDING, length.next_multiple_of(BLOCK) - length, out);
    }
    let length = options.len() + (out.len() - start - wire.len());
    let place = start + options.start - 2;
    if let Ok(length) = u16::try_from(length)
        && let Some(place) = out.get_mut(place..place + 2)
    {
        place.copy_from_slice(&length.to_be_bytes());
    } else {
        out.truncate(start + wire.len());
    }
}

/// Returns how long a connection may be idle, as a reply says it.
pub fn keepalive(wire: &[u8]) -> Option<Duration> {
    let mut at = HEADER;
    let counts = [4, 6, 8, 10].map(|place| word(wire, place));
    let [questions, answers, authority, additional] = counts;
    for _ in 0..questions? {
        at = skip_name(wire, at)? + TYPE_AND_CLASS;
    }
    for _ in 0..u32::from(answers?) + u32::from(authority?) {
        at = skip_record(wire, at)?.end;
    }
    for _ in 0..additional? {
        let record_type = word(wire, skip_name(wire, at)?)?;
        let rdata = skip_record(wire, at)?;
        at = rdata.end;
        if record_type == OPT {
            return find_keepalive(wire.get(rdata)?);
        }
    }
    None
}

fn find_keepalive(mut options: &[u8]) -> Option<Duration> {
    loop {
        let (code, length) = (word(options, 0)?, usize::from(word(options, 2)?));
        let value = options.get(OPTION_HEAD..OPTION_HEAD + length)?;
        if code == KEEPALIVE {
            return (length == 2).then(|| KEEPALIVE_UNIT * word(value, 0).unwrap_or(0).into());
        }
        options = options.get(OPTION_HEAD + length..)?;
    }
}

/// Returns where the options are, in a query whose one additional record is OPT, at its end.
fn trailing_options(wire: &[u8]) -> Option<Range<usize>> {
    let counts = [4, 6, 8, 10].map(|place| word(wire, place));
    if counts != [Some(1), Some(0), Some(0), Some(1)] {
        return None;
    }
    let opt = skip_name(wire, HEADER)? + TYPE_AND_CLASS;
    if *wire.get(opt)? != 0 || word(wire, opt + 1)? != OPT {
        return None;
    }
    let start = opt + OPT_HEAD;
    let end = start + usize::from(word(wire, start - 2)?);
    (end == wire.len()).then_some(start..end)
}

fn push_option(code: u16, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&code.to_be_bytes());
    // Below a block.
    out.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_be_bytes());
    out.resize(out.len() + length, 0);
}

/// Returns the place after a name.
fn skip_name(wire: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *wire.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            192.. => return Some(at + 2),
            64..=191 => return None,
        }
    }
}

/// Returns where a record's RDATA is.
fn skip_record(wire: &[u8], at: usize) -> Option<Range<usize>> {
    let start = skip_name(wire, at)? + 10;
    let length = usize::from(word(wire, start - 2)?);
    Some(start..start + length)
}

fn word(wire: &[u8], at: usize) -> Option<u16> {
    let octets = wire.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Additions = Additions {
        keepalive: true,
        padding: true,
    };

    fn query(name: &str, options: &[u8]) -> Vec<u8> {
        let mut wire = vec![9, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in name.split('.') {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend_from_slice(label.as_bytes());
        }
        wire.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 128, 0]);
        wire.extend_from_slice(&u16::try_from(options.len()).unwrap().to_be_bytes());
        wire.extend_from_slice(options);
        wire
    }

    #[test]
    fn every_length_is_padded_to_whole_blocks() {
        for length in 1..63 {
            for options in [&[][..], &[0, 10, 0, 2, 1, 2]] {
                let name = format!("{}.{}.test", "a".repeat(length), "b".repeat(60));
                let wire = query(&name, options);
                let mut out = vec![7; 3];
                emit(&wire, 0x0102, BOTH, &mut out);
                let message = out.split_off(3);
                assert_eq!(out, [7; 3]);
                assert_eq!(message.len() % BLOCK, 0, "{length}");
                assert_eq!(message[..2], [1, 2]);
                let options = trailing_options(&message).unwrap();
                assert!(find_keepalive(&message[options]).is_none(), "no value yet");
            }
        }
    }

    #[test]
    fn message_without_a_trailing_opt_stays_as_it_is() {
        let mut without = query("a.test", &[]);
        without.truncate(without.len() - OPT_HEAD);
        without[11] = 0;
        let mut longer = query("a.test", &[]);
        longer.push(0);
        for wire in [without, longer, vec![0; 12], vec![0; 5]] {
            let mut out = Vec::new();
            emit(&wire, 0x0909, BOTH, &mut out);
            assert_eq!(out[2..], wire[2..]);
        }
    }

    #[test]
    fn keepalive_is_found_in_a_reply_and_nowhere_else() {
        let rows: [(&[u8], Option<u64>); 5] = [
            (&[0, 11, 0, 2, 0, 100], Some(10_000)),
            (&[0, 10, 0, 1, 9, 0, 11, 0, 2, 0, 0], Some(0)),
            (&[0, 11, 0, 0], None),
            (&[0, 11, 0, 9, 0], None),
            (&[], None),
        ];
        for (options, expected) in rows {
            let mut wire = query("a.test", options);
            wire[2] = 0x81;
            assert_eq!(
                keepalive(&wire),
                expected.map(Duration::from_millis),
                "{options:?}"
            );
        }
        assert_eq!(keepalive(&[0; 12]), None);
        assert_eq!(keepalive(&[255; 40]), None);
    }
}
