//! What does a message carry for the way between client and listener? EDNS options that no scope has to do with.
//!
//! Cookies (RFC 7873), padding (RFC 7830, 8467) and keepalive (RFC 7828) are read off a client's message before it is asked, and
//! put onto its answer afterwards: the answer itself is the same for everybody. Total on any bytes; decides nothing.

use crate::event::{Channel, ExtendedError};
use crate::reader::{Header, Passed, Reader};
use crate::template;
use crate::wire::{NameBuffer, QueryError, QueryView, Rejection, option, rtype};

mod shorten;

/// Length of a client cookie, in octets (RFC 7873 §4).
pub const CLIENT_COOKIE: usize = 8;
/// Lengths of a client cookie with a server cookie, in octets.
const WHOLE_COOKIE: std::ops::RangeInclusive<usize> = 16..=40;
/// The block to which answers are padded, in octets (RFC 8467 §4.1).
const PADDED_BLOCK: usize = 468;
/// What every client takes by UDP, in octets, whatever it says (RFC 6891 §6.2.3).
const SIZE_LEAST: u16 = 512;
/// An option without content, in octets.
const OPTION_HEAD: usize = 4;
/// TC, in the third octet of a message.
const TRUNCATED: u8 = 0x02;

/// What a client's message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried<'a> {
    /// COOKIE: the client's part, and the server's when it was told one.
    pub cookie: Option<Cookie<'a>>,
    /// Whether it is padded, so that its answer is to be (RFC 7830 §4).
    pub padded: bool,
    /// Whether it asks how long a connection may be idle.
    pub keepalive: bool,
    size: SizeField,
}

/// Where a message says how large an answer its client takes: the CLASS field of OPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SizeField(Option<usize>);

/// A COOKIE option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie<'a> {
    /// Of a length that cannot be: answered with FORMERR (RFC 7873 §5.2.2).
    Bad,
    /// Client cookie, and server cookie.
    Good(&'a [u8; CLIENT_COOKIE], &'a [u8]),
}

impl<'a> Carried<'a> {
    /// Reads a client's message, as far as it can be read.
    pub fn parse(wire: &'a [u8]) -> Self {
        let Some((start, opt)) = find_opt(wire) else {
            return Self::default();
        };
        let mut carried = Self {
            // After the root's name and the type.
            size: SizeField(Some(start + 3)),
            ..Self::default()
        };
        let mut options = Reader::new(opt.rdata);
        while let Some((code, data)) = next_option(&mut options) {
            match code {
                option::COOKIE => {
                    carried.cookie = carried.cookie.or_else(|| Some(Cookie::parse(data)));
                }
                option::PADDING => carried.padded = true,
                option::KEEPALIVE => carried.keepalive = true,
                _ => {}
            }
        }
        carried
    }

    /// Returns where the size is that the client takes.
    pub const fn size(&self) -> SizeField {
        self.size
    }
}

impl SizeField {
    /// Lowers the size that the client takes; `wire` is the message that was read. Returns how long its answer may be.
    pub fn limit(self, wire: &mut [u8], most: u16) -> u16 {
        let Some(size) = self
            .0
            .and_then(|at| wire.get_mut(at..)?.first_chunk_mut::<2>())
        else {
            return SIZE_LEAST;
        };
        let lowered = u16::from_be_bytes(*size).min(most);
        *size = lowered.to_be_bytes();
        lowered.max(SIZE_LEAST)
    }
}

impl<'a> Cookie<'a> {
    fn parse(data: &'a [u8]) -> Self {
        match data.split_first_chunk() {
            Some((client, server)) if server.is_empty() || WHOLE_COOKIE.contains(&data.len()) => {
                Self::Good(client, server)
            }
            Some(_) | None => Self::Bad,
        }
    }
}

/// Puts the client's cookie and the server's onto an answer that goes by UDP, and is of `most` octets with them: what has no room goes,
/// as for a client that takes so much less. Allocates only when the answer has no room left.
pub fn put_cookie(
    answer: &mut Vec<u8>,
    client: &[u8; CLIENT_COOKIE],
    server: &[u8; crate::cookie::SERVER_COOKIE],
    most: u16,
) -> bool {
    let octets = OPTION_HEAD + client.len() + server.len();
    shorten::shorten(answer, usize::from(most).saturating_sub(octets));
    put(answer, option::COOKIE, [&client[..], server])
}

/// Says how long the connection may be idle, in tenths of a second (RFC 7828 §3.1).
pub fn put_keepalive(answer: &mut Vec<u8>, tenths: u16) -> bool {
    put(answer, option::KEEPALIVE, [&tenths.to_be_bytes(), &[]])
}

/// Pads an answer to whole blocks (RFC 8467 §4.1); the last thing to be put onto it.
pub fn pad(answer: &mut Vec<u8>) -> bool {
    let length = answer.len() + OPTION_HEAD;
    let padding = length.next_multiple_of(PADDED_BLOCK) - length;
    // Shorter than a block.
    let zeros = [0; PADDED_BLOCK];
    put(
        answer,
        option::PADDING,
        [zeros.get(..padding).unwrap_or_default(), &[]],
    )
}

/// Writes an error answer to a message that is not asked, over `out`; false when it gets none.
pub fn turn_away(
    wire: &[u8],
    channel: Channel,
    rcode: u16,
    error: &ExtendedError,
    out: &mut Vec<u8>,
) -> bool {
    let mut buffer: NameBuffer = [0; 255];
    match QueryView::parse(wire, &mut buffer) {
        Ok(view) => template::error_answer(&view.envelope(channel), rcode, Some(error), out),
        // No more words than others hear who are turned away: nobody is to be flooded with them.
        Err(QueryError::Reject(rejection)) => Rejection {
            reason: "",
            ..rejection
        }
        .emit(out),
        Err(QueryError::Silence) => return false,
    }
    true
}

/// Writes an answer that says only "ask by TCP", over `out`; false when the message gets none.
pub fn truncate(wire: &[u8], out: &mut Vec<u8>) -> bool {
    let mut buffer: NameBuffer = [0; 255];
    let Ok(view) = QueryView::parse(wire, &mut buffer) else {
        return false;
    };
    template::error_answer(&view.envelope(Channel::Udp), 0, None, out);
    if let Some(flags) = out.get_mut(2) {
        *flags |= TRUNCATED;
    }
    true
}

/// Returns the shortest TTL of an answer's records; `None` when it has none, or cannot be read.
pub fn shortest_ttl(wire: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(wire);
    let header = Header::parse(&mut reader)?;
    for _ in 0..header.questions {
        pass_name(&mut reader)?;
        reader.take(4)?;
    }
    let counts = [header.answers, header.authority, header.additional];
    let mut shortest = None;
    for _ in 0..counts.into_iter().map(u32::from).sum() {
        let record = reader.skip_record()?;
        if record.record_type != rtype::OPT {
            shortest = Some(shortest.unwrap_or(u32::MAX).min(record.ttl));
        }
    }
    shortest
}

/// Finds the first OPT of a message; returns where it starts.
fn find_opt(wire: &[u8]) -> Option<(usize, Passed<'_>)> {
    let mut reader = Reader::new(wire);
    let header = Header::parse(&mut reader)?;
    for _ in 0..header.questions {
        pass_name(&mut reader)?;
        reader.take(4)?;
    }
    for _ in 0..u32::from(header.answers) + u32::from(header.authority) {
        reader.skip_record()?;
    }
    for _ in 0..header.additional {
        let start = reader.at;
        let record = reader.skip_record()?;
        if record.record_type == rtype::OPT && record.root {
            return Some((start, record));
        }
    }
    None
}

/// Passes over a question's name; a pointer ends it.
fn pass_name(reader: &mut Reader<'_>) -> Option<()> {
    loop {
        let length = reader.byte()?;
        if length & 0xc0 == 0xc0 {
            reader.byte()?;
            return Some(());
        }
        if length == 0 {
            return Some(());
        }
        reader.take(usize::from(length))?;
    }
}

fn next_option<'a>(options: &mut Reader<'a>) -> Option<(u16, &'a [u8])> {
    let code = options.word()?;
    let length = options.word()?;
    Some((code, options.take(usize::from(length))?))
}

/// Appends an option, its content in two parts, to an answer whose last record is OPT; false, and nothing changed, for any other, and when it gets too long.
fn put(answer: &mut Vec<u8>, code: u16, data: [&[u8]; 2]) -> bool {
    let Some((start, opt)) = find_opt(answer) else {
        return false;
    };
    // Root, type, class, TTL; then RDLENGTH.
    let length_at = start + 9;
    let end = length_at + 2 + opt.rdata.len();
    let [front, back] = data;
    let octets = front.len() + back.len();
    let longer = opt.rdata.len() + OPTION_HEAD + octets;
    let (Ok(length), Ok(size)) = (u16::try_from(longer), u16::try_from(octets)) else {
        return false;
    };
    if end != answer.len() || end + OPTION_HEAD + octets > usize::from(u16::MAX) {
        return false;
    }
    if let Some(place) = answer
        .get_mut(length_at..)
        .and_then(|rest| rest.first_chunk_mut::<2>())
    {
        *place = length.to_be_bytes();
    }
    answer.extend_from_slice(&code.to_be_bytes());
    answer.extend_from_slice(&size.to_be_bytes());
    answer.extend_from_slice(front);
    answer.extend_from_slice(back);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for `a.`, with these options in its OPT.
    fn query(options: &[u8]) -> Vec<u8> {
        let mut wire = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0, 0, 1, 0, 1];
        wire.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0, 0]);
        wire.extend_from_slice(&u16::try_from(options.len()).unwrap().to_be_bytes());
        wire.extend_from_slice(options);
        wire
    }

    fn option(code: u8, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).unwrap();
        [&[0, code, 0, length][..], data].concat()
    }

    #[test]
    fn options_are_read_by_rows() {
        let client = *b"01234567";
        let whole = [&client[..], &[9; 16]].concat();
        let rows: [(Vec<u8>, Option<Cookie<'_>>, bool, bool); 8] = [
            (vec![], None, false, false),
            (
                option(10, &client),
                Some(Cookie::Good(&client, &[])),
                false,
                false,
            ),
            (
                option(10, &whole),
                Some(Cookie::Good(&client, &[9; 16])),
                false,
                false,
            ),
            (option(10, &[1; 7]), Some(Cookie::Bad), false, false),
            (option(10, &[1; 12]), Some(Cookie::Bad), false, false),
            (option(10, &[1; 41]), Some(Cookie::Bad), false, false),
            (option(12, &[0; 30]), None, true, false),
            (
                [option(11, &[]), option(12, &[])].concat(),
                None,
                true,
                true,
            ),
        ];
        for (options, cookie, padded, keepalive) in rows {
            let wire = query(&options);
            let carried = Carried::parse(&wire);
            assert_eq!(
                (carried.cookie, carried.padded, carried.keepalive),
                (cookie, padded, keepalive),
                "{options:?}"
            );
        }
        assert_eq!(Carried::parse(&query(&[])[..19]), Carried::default());
    }

    #[test]
    fn size_is_lowered_and_never_raised() {
        let rows = [
            (4096, 512, 512, 512),
            (4096, 1232, 1232, 1232),
            (4096, 9000, 4096, 4096),
            (700, 1232, 700, 700),
            // It is kept as it is said, and counts as 512.
            (100, 1232, 100, 512),
        ];
        for (said, most, expected, room) in rows {
            let mut wire = query(&[]);
            let at = wire.len() - 8;
            wire[at..at + 2].copy_from_slice(&u16::to_be_bytes(said));
            let size = Carried::parse(&wire).size();
            assert_eq!(size.limit(&mut wire, most), room);
            let edns = crate::wire::parse_query(&wire).unwrap().edns.unwrap();
            assert_eq!(edns.udp_size, expected);
        }
        let mut plain = query(&[])[..19].to_vec();
        plain[11] = 0;
        assert_eq!(Carried::parse(&plain).size().limit(&mut plain, 1232), 512);
    }

    #[test]
    fn answers_are_padded_to_whole_blocks_and_read_on() {
        for more in 0..500 {
            let mut answer = query(&option(3, &vec![b'x'; more % 250]));
            answer[2] |= 0x80;
            if more > 250 {
                assert!(put(&mut answer, 3, [&vec![b'y'; more - 250], b""]));
            }
            assert!(put_cookie(&mut answer, b"01234567", &[7; 16], 1232));
            assert!(put_keepalive(&mut answer, 300));
            assert!(pad(&mut answer));
            assert_eq!(answer.len() % PADDED_BLOCK, 0, "{more}");
            let carried = Carried::parse(&answer);
            assert_eq!(carried.cookie, Some(Cookie::Good(b"01234567", &[7; 16])));
            assert!(carried.padded && carried.keepalive);
        }
    }

    #[test]
    fn a_cookie_is_within_the_size_and_what_it_leaves_no_room_for_goes() {
        for length in 200..300 {
            // An answer with one TXT record, which takes 12 octets more than what it says.
            let mut answer = query(&[]);
            answer[2] |= 0x80;
            answer[7] = 1;
            let opt = answer.split_off(19);
            answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 9]);
            answer.extend(u16::to_be_bytes(length));
            answer.extend(vec![b'x'; length.into()]);
            answer.extend(opt);
            let before = answer.clone();
            let fits = before.len() + 28 <= 320;
            assert!(put_cookie(&mut answer, b"01234567", &[7; 16], 320));
            assert!(answer.len() <= 320, "{length}");
            let carried = Carried::parse(&answer);
            assert_eq!(carried.cookie, Some(Cookie::Good(b"01234567", &[7; 16])));
            let end = before.len() - 2;
            match fits {
                true => assert_eq!(answer[..end], before[..end]),
                false => assert_eq!((answer[2] & TRUNCATED, answer[7]), (TRUNCATED, 0)),
            }
        }
    }

    #[test]
    fn answer_without_opt_stays_as_it_is() {
        let mut answer = query(&[])[..19].to_vec();
        answer[11] = 0;
        let before = answer.clone();
        assert!(!pad(&mut answer) && !put_keepalive(&mut answer, 1));
        assert_eq!(answer, before);
    }

    #[test]
    fn whoever_is_turned_away_hears_why_and_no_message_that_is_no_query_is_answered() {
        let error = ExtendedError {
            code: 18,
            text: "no".to_owned(),
        };
        let mut out = Vec::new();
        assert!(turn_away(&query(&[]), Channel::Udp, 5, &error, &mut out));
        assert_eq!((out[2] & 0x80, out[3] & 15), (0x80, 5));
        assert!(out.ends_with(&[0, 15, 0, 4, 0, 18, b'n', b'o']));
        let mut reply = query(&[]);
        reply[2] |= 0x80;
        assert!(!turn_away(&reply, Channel::Udp, 5, &error, &mut out));
        assert!(!truncate(&reply, &mut out));
        assert!(truncate(&query(&[]), &mut out));
        assert_eq!(out[2], 0x83);
        assert_eq!(out.len(), query(&[]).len());
    }
}
