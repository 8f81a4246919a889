//! Which packets does the kernel let through to a client? Classic BPF, in front of its queue.

use std::net::Ipv4Addr;

use config::matcher::Mac;
use libc::sock_filter;
use linkmgr::dhcp4::ArpFilter;

#[expect(
    clippy::cast_possible_truncation,
    reason = "an instruction's code is 16 bits wide, its parts are declared wider"
)]
mod code {
    pub(super) const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    pub(super) const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    pub(super) const LOAD_OCTET: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    pub(super) const LOAD_HALF_BEHIND: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
    pub(super) const LOAD_HEADER_LENGTH: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
    pub(super) const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    pub(super) const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
    pub(super) const JUMP_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    pub(super) const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
}

const ALL: sock_filter = instruction(code::RETURN, 0, 0, u32::MAX);
const NONE: sock_filter = instruction(code::RETURN, 0, 0, 0);

/// The DHCP client's port (RFC 2131 §4.1).
const CLIENT_PORT: u32 = 68;
/// Everything behind the first fragment (RFC 791 §3.1): offset not 0.
const FRAGMENT_OFFSET: u32 = 0x1fff;
const UDP: u32 = 17;

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Lets nothing through, for the time before the socket is bound.
pub(super) fn nothing() -> Vec<sock_filter> {
    vec![NONE]
}

/// Lets everything through that is of the socket's protocol.
pub(super) fn everything() -> Vec<sock_filter> {
    vec![ALL]
}

/// Lets through what is UDP for port 68; the packet begins with its IPv4 header.
pub(super) fn dhcp4() -> Vec<sock_filter> {
    vec![
        instruction(code::LOAD_OCTET, 0, 0, 9),
        instruction(code::JUMP_EQUAL, 0, 6, UDP),
        instruction(code::LOAD_HALF, 0, 0, 6),
        instruction(code::JUMP_SET, 4, 0, FRAGMENT_OFFSET),
        instruction(code::LOAD_HEADER_LENGTH, 0, 0, 0),
        instruction(code::LOAD_HALF_BEHIND, 0, 0, 2),
        instruction(code::JUMP_EQUAL, 0, 1, CLIENT_PORT),
        ALL,
        NONE,
    ]
}

/// So many addresses are looked for at most: the kernel takes no filter of more than 4096 instructions, and there are two for
/// each. Conflicts about those beyond are not heard of.
const MAX_ADDRESSES: usize = 2000;

/// Lets ARP packets through as the client wants; `own` is the link's hardware address.
pub(super) fn arp(filter: &ArpFilter, own: Option<Mac>) -> Vec<sock_filter> {
    match filter {
        ArpFilter::All => vec![ALL],
        ArpFilter::Conflicts(addresses) => conflicts(addresses, own.unwrap_or(Mac([0; 6]))),
    }
}

/// RFC 826: the sender's hardware address is at 8, its address at 14.
fn conflicts(addresses: &[Ipv4Addr], own: Mac) -> Vec<sock_filter> {
    let [a, b, c, d, e, f] = own.0;
    let mut program = vec![instruction(code::LOAD_WORD, 0, 0, 14)];
    let mut left = addresses.len().min(MAX_ADDRESSES);
    for address in addresses.iter().take(MAX_ADDRESSES) {
        left -= 1;
        // Conditions lead 255 instructions far at most, and there may be more addresses. What follows them is one that lets
        // nothing through.
        let behind = u32::try_from(2 * left + 1).unwrap_or(u32::MAX);
        program.push(instruction(code::JUMP_EQUAL, 0, 1, address.to_bits()));
        program.push(instruction(code::JUMP, 0, 0, behind));
    }
    program.extend([
        NONE,
        instruction(code::LOAD_WORD, 0, 0, 8),
        instruction(code::JUMP_EQUAL, 0, 2, u32::from_be_bytes([a, b, c, d])),
        instruction(code::LOAD_HALF, 0, 0, 12),
        instruction(code::JUMP_EQUAL, 1, 0, u32::from_be_bytes([0, 0, e, f])),
        ALL,
        NONE,
    ]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program over a packet as the kernel does, for the instructions that are used here.
    fn run(program: &[sock_filter], packet: &[u8]) -> bool {
        let (mut accumulator, mut index, mut at) = (0_u32, 0_usize, 0_usize);
        let load = |offset: usize, length: usize| {
            let octets = packet.get(offset..offset.saturating_add(length))?;
            Some(
                octets
                    .iter()
                    .fold(0, |value, octet| value << 8 | u32::from(*octet)),
            )
        };
        loop {
            let instruction = program[at];
            let k = usize::try_from(instruction.k).unwrap_or(usize::MAX);
            at += 1;
            let loaded = match instruction.code {
                code::LOAD_WORD => load(k, 4),
                code::LOAD_HALF => load(k, 2),
                code::LOAD_OCTET => load(k, 1),
                code::LOAD_HALF_BEHIND => load(index + k, 2),
                code::LOAD_HEADER_LENGTH => {
                    index = usize::try_from(load(k, 1).unwrap_or(0) & 15).unwrap() * 4;
                    Some(accumulator)
                }
                code::JUMP_EQUAL | code::JUMP_SET => {
                    let holds = match instruction.code {
                        code::JUMP_EQUAL => accumulator == instruction.k,
                        _ => accumulator & instruction.k != 0,
                    };
                    at += usize::from(if holds {
                        instruction.jt
                    } else {
                        instruction.jf
                    });
                    Some(accumulator)
                }
                code::JUMP => {
                    at += k;
                    Some(accumulator)
                }
                _ => return instruction.k != 0,
            };
            match loaded {
                Some(value) => accumulator = value,
                None => return false,
            }
        }
    }

    fn datagram(protocol: u8, fragment: u16, port: u16, options: usize) -> Vec<u8> {
        let mut packet = vec![0; 20 + options * 4 + 8];
        packet[0] = 0x45 + u8::try_from(options).unwrap();
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = protocol;
        let at = 20 + options * 4 + 2;
        packet[at..at + 2].copy_from_slice(&port.to_be_bytes());
        packet
    }

    #[test]
    fn only_whole_datagrams_for_the_client_come_through() {
        for (protocol, fragment, port, options, expected) in [
            (17, 0, 68, 0, true),
            (17, 0x4000, 68, 1, true),
            (17, 0, 67, 0, false),
            (6, 0, 68, 0, false),
            (17, 1, 68, 0, false),
        ] {
            let packet = datagram(protocol, fragment, port, options);
            assert_eq!(
                run(&dhcp4(), &packet),
                expected,
                "{protocol} {fragment} {port}"
            );
        }
        assert!(!run(&dhcp4(), &[]));
        assert!(!run(&nothing(), &datagram(17, 0, 68, 0)));
    }

    #[test]
    fn a_conflict_is_somebody_else_with_our_address() {
        let own = Mac([2, 0, 0, 0, 0, 1]);
        let other = Mac([2, 0, 0, 0, 0, 2]);
        let address = Ipv4Addr::new(192, 0, 2, 7);
        let far = Mac([4, 0, 0, 0, 0, 1]);
        for (sender, sender_address, expected) in [
            (other, address, true),
            (far, address, true),
            (own, address, false),
            (other, Ipv4Addr::new(192, 0, 2, 8), false),
        ] {
            let packet = linkmgr::arp::ArpPacket::announcement(sender, sender_address).emit();
            let others = (1..3000).map(|at| Ipv4Addr::from_bits(0x0a00_0000 + at));
            for many in [0, 1, 500, 1999] {
                let before = others.clone().take(many);
                let addresses = before.chain([address]).collect();
                let program = arp(&ArpFilter::Conflicts(addresses), Some(own));
                assert!(program.len() <= 4096);
                assert_eq!(
                    run(&program, &packet),
                    expected,
                    "{sender} {sender_address} after {many}"
                );
            }
            let program = arp(&ArpFilter::Conflicts(others.collect()), Some(own));
            assert!(program.len() <= 4096 && !run(&program, &packet));
            let nobody = arp(&ArpFilter::Conflicts([].into()), Some(own));
            assert!(!run(&nobody, &packet));
            assert!(run(&arp(&ArpFilter::All, Some(own)), &packet));
        }
    }
}
