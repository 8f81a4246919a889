//! How does a DHCP message travel before there is an address? In an IPv4 packet that is made and taken apart here (RFC 791,
//! RFC 768).
//!
//! Only what a DHCP client needs: no fragments are read, no options are sent.

use std::net::Ipv4Addr;

use super::Checksum;

/// Where servers listen (RFC 2131 §4.1).
pub(crate) const SERVER_PORT: u16 = 67;
/// Where clients listen.
pub(crate) const CLIENT_PORT: u16 = 68;

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const PROTOCOL_UDP: u8 = 17;
const TIME_TO_LIVE: u8 = 64;
/// Precedence "internetwork control" (CS6): queues of a loaded network let leases through.
const TRAFFIC_CLASS: u8 = 0xc0;
/// "More fragments" and the offset; "do not fragment" is no fragment.
const FRAGMENT: u16 = 0x3fff;

/// A DHCP message with the addresses that its packet bore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    /// Who sent it.
    pub(crate) source: Ipv4Addr,
    /// What it holds.
    pub(crate) payload: &'a [u8],
}

/// Writes a packet from the client's port to the server's.
pub(crate) fn emit(source: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let total = IP_HEADER + UDP_HEADER + payload.len();
    let length = |octets: usize| u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = Vec::with_capacity(total);
    packet.extend([0x45, TRAFFIC_CLASS]);
    packet.extend(length(total));
    packet.extend([0, 0, 0, 0, TIME_TO_LIVE, PROTOCOL_UDP, 0, 0]);
    packet.extend(source.octets());
    packet.extend(to.octets());
    let sum = !fold(add(0, &packet));
    put(&mut packet, 10, sum);
    packet.extend(CLIENT_PORT.to_be_bytes());
    packet.extend(SERVER_PORT.to_be_bytes());
    packet.extend(length(UDP_HEADER + payload.len()));
    packet.extend([0, 0]);
    packet.extend(payload);
    let sum = !fold(udp_sum(source, to, packet.get(IP_HEADER..).unwrap_or(&[])));
    // RFC 768: nothing is written as 0, for 0 says that nothing was computed.
    put(
        &mut packet,
        IP_HEADER + 6,
        if sum == 0 { 0xffff } else { sum },
    );
    packet
}

/// Takes a packet apart; `None` when it is no whole UDP packet from a server's port to a client's, or its sums are wrong.
pub(crate) fn parse(packet: &[u8], checksum: Checksum) -> Option<Datagram<'_>> {
    let header = packet.first_chunk::<IP_HEADER>()?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragment = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT;
    if header[0] >> 4 != 4
        || header_length < IP_HEADER
        || fragment != 0
        || header[9] != PROTOCOL_UDP
    {
        return None;
    }
    // Ethernet pads what is short: the header tells where the packet ends.
    let packet = packet.get(..total)?;
    let (header, datagram) = packet.split_at_checked(header_length)?;
    if fold(add(0, header)) != 0xffff {
        return None;
    }
    let source = Ipv4Addr::from(*header.get(12..)?.first_chunk::<4>()?);
    let to = Ipv4Addr::from(*header.get(16..)?.first_chunk::<4>()?);
    let udp = datagram.first_chunk::<UDP_HEADER>()?;
    let word = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    let datagram = datagram.get(..usize::from(word(4)))?;
    let payload = datagram.get(UDP_HEADER..)?;
    if word(0) != SERVER_PORT || word(2) != CLIENT_PORT {
        return None;
    }
    let is_summed = checksum == Checksum::Complete && word(6) != 0;
    if is_summed && fold(udp_sum(source, to, datagram)) != 0xffff {
        return None;
    }
    Some(Datagram { source, payload })
}

fn put(packet: &mut [u8], at: usize, word: u16) {
    if let Some(octets) = packet.get_mut(at..at + 2) {
        octets.copy_from_slice(&word.to_be_bytes());
    }
}

fn udp_sum(source: Ipv4Addr, to: Ipv4Addr, datagram: &[u8]) -> u64 {
    let sum = add(add(0, &source.octets()), &to.octets());
    add(sum, datagram) + u64::from(PROTOCOL_UDP) + datagram.len() as u64
}

fn add(sum: u64, octets: &[u8]) -> u64 {
    octets.chunks(2).fold(sum, |sum, pair| match *pair {
        [high, low] => sum + u64::from(u16::from_be_bytes([high, low])),
        [high] => sum + (u64::from(high) << 8),
        _ => sum,
    })
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

    /// A packet as a server sends it: ports swapped, which leaves both sums as they are.
    fn reply(payload: &[u8]) -> Vec<u8> {
        let mut packet = emit(SERVER, CLIENT, payload);
        packet[20..24].rotate_left(2);
        packet
    }

    #[test]
    fn a_packet_is_read_as_it_was_written_and_padding_is_left_out() {
        for payload in [&b""[..], b"odd", b"even", &[0xff; 1400]] {
            let mut packet = reply(payload);
            packet.resize(packet.len() + 18, 0xaa);
            let datagram = parse(&packet, Checksum::Complete).unwrap();
            assert_eq!((datagram.source, datagram.payload), (SERVER, payload));
        }
    }

    #[test]
    fn a_sum_that_is_wrong_counts_where_somebody_computed_it() {
        let mut packet = reply(b"lease");
        packet[30] ^= 1;
        assert_eq!(parse(&packet, Checksum::Complete), None);
        assert!(parse(&packet, Checksum::Unfinished).is_some());
        packet[26..28].fill(0);
        assert!(
            parse(&packet, Checksum::Complete).is_some(),
            "RFC 768: no sum"
        );
        packet[12] ^= 1;
        assert_eq!(
            parse(&packet, Checksum::Unfinished),
            None,
            "the header's own"
        );
    }

    #[test]
    fn fragments_other_ports_and_short_packets_are_nothing() {
        let packet = reply(b"lease");
        for length in 0..packet.len() {
            assert_eq!(parse(&packet[..length], Checksum::Unfinished), None);
        }
        assert_eq!(
            parse(&emit(SERVER, CLIENT, b"lease"), Checksum::Complete),
            None
        );
        let mut fragment = packet;
        fragment[6] = 0x20;
        let sum = [fragment[10], fragment[11]];
        let sum = u16::from_be_bytes(sum).wrapping_sub(0x2000);
        fragment[10..12].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(parse(&fragment, Checksum::Complete), None);
    }
}
