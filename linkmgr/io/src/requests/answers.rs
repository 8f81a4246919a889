//! What does the kernel answer? Acknowledgements (`NLMSG_ERROR`), with its own words where it has any.

use linkmgr::KernelAnswer;

use crate::message::verdict::{ERROR, verdict};
use crate::message::{HEADER_LENGTH, half, word};

/// Reads one datagram: the sequence number and the answer of each acknowledgement.
pub(super) fn parse(mut bytes: &[u8]) -> Vec<(u32, KernelAnswer)> {
    let mut answers = Vec::new();
    while let Some((header, body)) = split(&mut bytes) {
        if half(header, 4) == Some(ERROR) {
            answers.extend(answer(header, body));
        }
    }
    answers
}

fn split<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let length = usize::try_from(word(bytes, 0)?).ok()?;
    let (header, body) = bytes.get(..length)?.split_at_checked(HEADER_LENGTH)?;
    *bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((header, body))
}

fn answer(header: &[u8], body: &[u8]) -> Option<(u32, KernelAnswer)> {
    let flags = half(header, 6)?;
    let sequence = word(header, 8)?;
    // An acknowledgement without even a number is none.
    word(body, 0)?;
    let answer = match verdict(ERROR, flags, body) {
        Ok(()) => KernelAnswer::Done,
        Err(fault) => KernelAnswer::Failed(fault),
    };
    Some((sequence, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `NLM_F_CAPPED` and `NLM_F_ACK_TLVS`.
    const CAPPED: u16 = 0x100;
    const HAS_ATTRIBUTES: u16 = 0x200;

    fn acknowledgement(flags: u16, error: i32, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_LENGTH + 4 + rest.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(ERROR.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(7_u32.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(error.to_ne_bytes());
        bytes.extend(rest);
        bytes
    }

    fn request_header(length: u32) -> Vec<u8> {
        let mut header = vec![0; HEADER_LENGTH];
        header[..4].copy_from_slice(&length.to_ne_bytes());
        header
    }

    #[test]
    fn the_kernels_own_words_are_read() {
        let mut words = vec![12, 0, 1, 0];
        words.extend(b"No way\0\0");
        let rows = [
            (CAPPED | HAS_ATTRIBUTES, request_header(60), Some("No way")),
            (HAS_ATTRIBUTES, request_header(16), Some("No way")),
            (CAPPED, request_header(60), None),
        ];
        for (flags, mut rest, expected) in rows {
            rest.extend(&words);
            let [(7, KernelAnswer::Failed(fault))] =
                &parse(&acknowledgement(flags, -101, &rest))[..]
            else {
                panic!("no fault");
            };
            assert_eq!((fault.errno, fault.text.as_deref()), (101, expected));
        }
        let done = parse(&acknowledgement(CAPPED, 0, &request_header(60)));
        assert_eq!(done, [(7, KernelAnswer::Done)]);
    }

    #[test]
    fn bytes_of_no_sense_are_no_answer_and_no_panic() {
        let mut whole = acknowledgement(CAPPED | HAS_ATTRIBUTES, i32::MIN, &request_header(60));
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), []);
        }
        for place in 0..whole.len() {
            for octet in [0, 1, 0x7f, 0xff] {
                let before = std::mem::replace(&mut whole[place], octet);
                parse(&whole);
                whole[place] = before;
            }
        }
    }
}
