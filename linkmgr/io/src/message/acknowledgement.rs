//! What does the kernel answer to a request? `NLMSG_ERROR`, with the words that it may bring.

use linkmgr::request::{KernelAnswer, KernelFault};

use super::{ERROR, HEADER_LENGTH, attributes_of, result, text, word};

/// `NLM_F_CAPPED`: of the request, only its header is repeated.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow.
const HAS_ATTRIBUTES: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`.
const WORDS: u16 = 1;
/// `struct nlmsgerr` without the request: a negated `errno`.
const ERRNO_LENGTH: usize = 4;

/// Reads the answers in one datagram, each with the number of its request.
pub(crate) fn parse(mut bytes: &[u8]) -> Vec<(u32, KernelAnswer)> {
    let mut answers = Vec::new();
    while let Some(length) = word(bytes, 0).and_then(|length| usize::try_from(length).ok()) {
        let Some(message) = bytes.get(..length).filter(|_| length >= HEADER_LENGTH) else {
            break;
        };
        answers.extend(answer(message));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    answers
}

fn answer(message: &[u8]) -> Option<(u32, KernelAnswer)> {
    let kind = super::half(message, 4)?;
    let flags = super::half(message, 6)?;
    let sequence = word(message, 8)?;
    let body = message.get(HEADER_LENGTH..)?;
    if kind != ERROR {
        return None;
    }
    let Err(errno) = result(body) else {
        return Some((sequence, KernelAnswer::Done));
    };
    let repeated = match flags & CAPPED {
        0 => usize::try_from(word(body, ERRNO_LENGTH)?)
            .ok()?
            .max(HEADER_LENGTH),
        _ => HEADER_LENGTH,
    };
    let rest = match flags & HAS_ATTRIBUTES {
        0 => None,
        _ => body.get((ERRNO_LENGTH + repeated).next_multiple_of(4)..),
    };
    let mut attributes = attributes_of(rest.unwrap_or_default());
    let words = attributes.find_map(|(kind, value)| (kind == WORDS).then(|| text(value)));
    let fault = KernelFault {
        errno,
        text: words.flatten(),
    };
    Some((sequence, KernelAnswer::Failed(fault)))
}
