//! How are attributes of netlink written and read? Length, number, value, padded to four octets (`struct nlattr`).

/// The bits of an attribute's number; the others are flags.
const NUMBER: u16 = 0x3fff;
/// `NLA_F_NESTED`.
pub const NESTED: u16 = 1 << 15;
const HEADER: usize = 4;

/// Appends an attribute. A value that is too long for its length field is left out: none of ours is.
pub fn put(bytes: &mut Vec<u8>, number: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(HEADER + value.len()) else {
        debug_assert!(false, "attribute {number} has {} octets", value.len());
        return;
    };
    bytes.extend(length.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Appends a text with its final zero.
pub fn put_text(bytes: &mut Vec<u8>, number: u16, text: &str) {
    let mut value = text.as_bytes().to_vec();
    value.push(0);
    put(bytes, number, &value);
}

/// Appends a number of 32 bits.
pub fn put_word(bytes: &mut Vec<u8>, number: u16, value: u32) {
    put(bytes, number, &value.to_ne_bytes());
}

/// Appends an attribute whose value is attributes.
pub fn put_nested(bytes: &mut Vec<u8>, number: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    let mut value = Vec::new();
    inner(&mut value);
    put(bytes, number, &value);
}

/// Walks attributes; stops where the lengths make no sense.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0)?);
        let number = half(bytes, 2)? & NUMBER;
        let value = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((number, value))
    })
}

/// Finds the value of one attribute.
pub(crate) fn find(bytes: &[u8], number: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(found, _)| *found == number)
        .map(|(_, value)| value)
}

pub(crate) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let octets = bytes.get(at..at.checked_add(2)?)?;
    octets.try_into().ok().map(u16::from_ne_bytes)
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let octets = bytes.get(at..at.checked_add(4)?)?;
    octets.try_into().ok().map(u32::from_ne_bytes)
}

/// Reads a text up to its final zero.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    let end = value.iter().position(|octet| *octet == 0);
    std::str::from_utf8(value.get(..end.unwrap_or(value.len()))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_read_back_as_they_were_written() {
        let mut bytes = Vec::new();
        put_text(&mut bytes, 1, "vlan");
        put_nested(&mut bytes, 2 | NESTED, |bytes| put(bytes, 1, &[1, 2, 3]));
        assert_eq!(bytes.len() % 4, 0);
        let read: Vec<(u16, &[u8])> = attributes(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(text(read[0].1), Some("vlan"));
        assert_eq!(
            find(find(&bytes, 2).unwrap_or_default(), 1),
            Some(&[1, 2, 3][..])
        );
    }

    #[test]
    fn lengths_without_sense_end_the_walk() {
        for bytes in [
            &[][..],
            &[4],
            &[0, 0, 1, 0],
            &[3, 0, 1, 0],
            &[9, 0, 1, 0, 1],
        ] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
        assert_eq!(attributes(&[4, 0, 1, 0, 1]).count(), 1);
    }
}
