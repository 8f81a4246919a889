//! How does a message begin that asks something of the kernel? [`frame`]: with `struct nlmsghdr`.

use linkmgr::kinds::Message;

use crate::message::HEADER_LENGTH;

/// `NLM_F_REQUEST` and `NLM_F_ACK`, as wide as the field that holds them.
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;

/// Appends a request with its header, which asks for an acknowledgement. It does not grow what has room for both.
pub(crate) fn frame(message: &Message, sequence: u32, bytes: &mut Vec<u8>) {
    let length = HEADER_LENGTH + message.body.len();
    let flags = message.flags | REQUEST | ACKNOWLEDGE;
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(message.kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // The kernel is port 0.
    bytes.extend([0; 4]);
    bytes.extend(&message.body);
}

/// Makes a message that the kernel says, for whoever plays it.
#[cfg(test)]
pub(crate) fn said(kind: u16, flags: i32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_LENGTH + body.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(u16::try_from(flags).unwrap().to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}
