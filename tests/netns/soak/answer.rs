//! What does an answer say, as far as a soak looks at it?

use tests::oracle::read_name;

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rcode: u8,
    /// The last four octets of addresses, and their TTLs.
    pub(super) addresses: Vec<([u8; 4], u32)>,
    /// The code of an Extended DNS Error.
    pub(super) explained: Option<u16>,
    /// The words that go with it.
    pub(super) words: String,
}

/// Reads an answer; `None` when it is damaged or for another question.
pub(super) fn parse(message: &[u8], name: &str) -> Option<Answer> {
    let (asked, end) = read_name(message)?;
    if !asked.eq_ignore_ascii_case(name) || message.get(2)? & 0x80 == 0 {
        return None;
    }
    let count = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let (answers, others) = (count(6)?, count(8)? + count(10)?);
    let mut answer = Answer {
        rcode: message.get(3)? & 15,
        ..Answer::default()
    };
    let mut at = end + 4;
    for number in 0..answers + others {
        loop {
            let length = *message.get(at)?;
            at += 1;
            match length {
                0 => break,
                192.. => {
                    at += 1;
                    break;
                }
                _ => at += usize::from(length),
            }
        }
        let record_type = count(at)?;
        let ttl = u32::from_be_bytes(*message.get(at + 4..)?.first_chunk()?);
        let length = usize::from(count(at + 8)?);
        let rdata = message.get(at + 10..at + 10 + length)?;
        at += 10 + length;
        match record_type {
            1 | 28 if number < answers => {
                answer.addresses.push((*rdata.last_chunk()?, ttl));
            }
            41 => {
                let mut options = rdata;
                while let [a, b, c, d, rest @ ..] = options {
                    let (value, after) =
                        rest.split_at_checked(usize::from(u16::from_be_bytes([*c, *d])))?;
                    if [*a, *b] == [0, 15] {
                        let (code, words) = value.split_first_chunk()?;
                        answer.explained = Some(u16::from_be_bytes(*code));
                        answer.words = String::from_utf8_lossy(words).into_owned();
                    }
                    options = after;
                }
            }
            _ => {}
        }
    }
    Some(answer)
}
