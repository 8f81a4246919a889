//! What do clients ask, and what does a plain server reply? Messages for the examples.

/// The OPT record of a server that knows no option (RFC 6891 §6.1.2).
const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
/// `10.0.0.1`, for an hour, at the question's name.
const ADDRESS: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 10, 0, 0, 1];
/// Length of a header, in octets.
const HEADER: usize = 12;

/// Asks for the address of a name below `plain`.
pub(crate) fn question(label: &str, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut wire = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [label, "plain"] {
        wire.extend(u8::try_from(label.len()));
        wire.extend_from_slice(label.as_bytes());
    }
    wire.extend_from_slice(&[0, 0, 1, 0, 1]);
    wire
}

/// Replies with one address, and EDNS.
pub(crate) fn reply(query: &[u8]) -> Vec<u8> {
    let name = query.get(HEADER..).unwrap_or_default();
    let root = name.iter().position(|octet| *octet == 0).unwrap_or(0);
    let end = HEADER + root + 5;
    let mut wire = query.get(..end).unwrap_or_default().to_vec();
    if let Some(head) = wire.get_mut(2..HEADER) {
        head.copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1]);
    }
    wire.extend_from_slice(&ADDRESS);
    wire.extend_from_slice(&OPT);
    wire
}
