//! What does the kernel say at the end of its answer? [`verdict`]: that it is done, or why not, in its own words where it has any.

use linkmgr::KernelFault;

use super::{HEADER_LENGTH, attributes_of, text, word};

/// `NLMSG_ERROR` and `NLMSG_DONE`, as wide as the field that holds them.
pub(crate) const ERROR: u16 = 2;
pub(crate) const DONE: u16 = 3;
/// `NLM_F_CAPPED`: of the request there is the header alone.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`.
const HAS_ATTRIBUTES: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`.
const WORDS: u16 = 1;
/// A negated `errno`, or 0.
const ERRNO_LENGTH: usize = 4;

/// Reads an acknowledgement, or the end of a listing: the message's kind, one of [`ERROR`] and [`DONE`], its flags, and what follows its header.
///
/// # Errors
/// What the kernel says against it.
pub(crate) fn verdict(kind: u16, flags: u16, body: &[u8]) -> Result<(), KernelFault> {
    let errno = word(body, 0).map_or(0, u32::cast_signed).saturating_neg();
    if errno <= 0 {
        return Ok(());
    }
    let attributes = attributes(kind, flags, body).unwrap_or_default();
    let words = attributes_of(attributes).find(|(number, _)| *number == WORDS);
    Err(KernelFault {
        errno,
        text: words.and_then(|(_, value)| text(value)),
    })
}

/// `struct nlmsgerr` has the request, or what [`CAPPED`] leaves of it, before the attributes.
fn attributes(kind: u16, flags: u16, body: &[u8]) -> Option<&[u8]> {
    let rest = body.get(ERRNO_LENGTH..)?;
    let request_length = match kind {
        ERROR if flags & CAPPED == 0 => usize::try_from(word(rest, 0)?).ok()?,
        ERROR => HEADER_LENGTH,
        _ => 0,
    };
    let attributes = rest.get(request_length.checked_next_multiple_of(4)?..)?;
    (flags & HAS_ATTRIBUTES != 0).then_some(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what follows a message's header: an `errno`, what there is of a request, and words.
    fn body(errno: i32, request: &[u8], words: &str) -> Vec<u8> {
        let mut body = (-errno).to_ne_bytes().to_vec();
        body.extend(request);
        body.resize(body.len().next_multiple_of(4), 0);
        // The kernel may say first where in the request it is: `NLMSGERR_ATTR_OFFS`.
        body.extend([8, 0, 2, 0, 20, 0, 0, 0]);
        let length = u16::try_from(4 + words.len() + 1).unwrap();
        body.extend(length.to_ne_bytes());
        body.extend(WORDS.to_ne_bytes());
        body.extend(words.as_bytes());
        body.push(0);
        body.resize(body.len().next_multiple_of(4), 0);
        body
    }

    fn request(length: u32, there: usize) -> Vec<u8> {
        let mut request = length.to_ne_bytes().to_vec();
        // What it asks for looks like words.
        request.resize(HEADER_LENGTH, 0);
        request.extend(b"\x06\0\x01\0x\0\0\0".iter().cycle().take(there));
        request.truncate(there);
        request
    }

    #[test]
    fn the_kernels_words_are_where_the_flags_say() {
        let (header, all) = (HEADER_LENGTH, 30);
        let rows = [
            (ERROR, CAPPED | HAS_ATTRIBUTES, request(30, header), true),
            (ERROR, HAS_ATTRIBUTES, request(30, all), true),
            (ERROR, HAS_ATTRIBUTES, request(16, header), true),
            (ERROR, CAPPED, request(30, header), false),
            (ERROR, 0, request(30, all), false),
            (DONE, HAS_ATTRIBUTES, Vec::new(), true),
            (DONE, 0, Vec::new(), false),
        ];
        for (row, (kind, flags, request, has_words)) in rows.into_iter().enumerate() {
            let flags = flags | 0x2;
            let fault = verdict(kind, flags, &body(libc::EINVAL, &request, "No way"));
            let expected = KernelFault {
                errno: libc::EINVAL,
                text: has_words.then(|| "No way".into()),
            };
            assert_eq!(fault, Err(expected), "row {row}");
            // A warning is no failure.
            assert_eq!(verdict(kind, flags, &body(0, &request, "Well")), Ok(()));
        }
    }

    #[test]
    fn bytes_of_no_sense_are_no_words_and_no_panic() {
        for kind in [ERROR, DONE] {
            for flags in [0, CAPPED, HAS_ATTRIBUTES, CAPPED | HAS_ATTRIBUTES] {
                let mut whole = body(libc::EINVAL, &request(30, 30), "No way");
                for end in 0..whole.len() {
                    let _fault = verdict(kind, flags, &whole[..end]);
                }
                for place in 0..whole.len() {
                    for octet in [0, 1, 0x7f, 0x80, 0xff] {
                        let before = std::mem::replace(&mut whole[place], octet);
                        let _fault = verdict(kind, flags, &whole);
                        whole[place] = before;
                    }
                }
                let least = verdict(kind, flags, &i32::MIN.to_ne_bytes());
                assert_eq!(least.unwrap_err().errno, i32::MAX);
            }
        }
    }
}
