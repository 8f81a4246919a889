//! How are parts of the kernel reached that have a name instead of a number? Generic netlink: the family's number is asked for first.

use super::Message;
use super::tlv;

/// `GENL_ID_CTRL`.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `struct genlmsghdr`.
pub(crate) const HEADER: usize = 4;

/// The number of a family in the running kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family(pub u16);

/// Asks for the number of a family. The kernel knows none of this name: `ENOENT`.
pub fn find(name: &str) -> Message {
    let mut body = vec![GET_FAMILY, 1, 0, 0];
    tlv::put_text(&mut body, FAMILY_NAME, name);
    Message {
        kind: CONTROL,
        flags: 0,
        body,
    }
}

/// Reads the answer to [`find`].
pub fn family_of(answer: &Message) -> Option<Family> {
    let attributes = answer.body.get(HEADER..)?;
    let id = tlv::half(tlv::find(attributes, FAMILY_ID)?, 0)?;
    (answer.kind == CONTROL).then_some(Family(id))
}

/// Puts a message of a family together.
pub(super) fn message(family: Family, command: u8, flags: u16, attributes: &[u8]) -> Message {
    let mut body = vec![command, 1, 0, 0];
    body.extend(attributes);
    Message {
        kind: family.0,
        flags,
        body,
    }
}
