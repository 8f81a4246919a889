//! Which notices does the kernel keep for us? A program in classic BPF over the first message of a datagram.
//!
//! Everything that is no route goes through; a route when it has our number, and a default route of the main table. Others may take the place
//! of one of ours, stand beside it, or leave it: when it is known to where ours lead, those go through that lead there too. Until then
//! it is all that have taken another's place. So it wakes nobody when others replace routes by the hundred thousand.

use std::net::IpAddr;

use config::model::Prefix;
use linkmgr::kernel::OURS;
use socket2::SockFilter;

use crate::message::LONGEST_DESTINATION;

/// Destinations that are told apart at most: the kernel takes 4096 instructions.
const MOST_DESTINATIONS: usize = 1500;
/// Keys that are compared one after another, at the ends of the tree.
const FEW: usize = 12;

const LOAD: u16 = code(libc::BPF_LD | libc::BPF_W);
const LOAD_HALF: u16 = code(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS);
const LOAD_OCTET: u16 = code(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS);
const LOAD_AT_X: u16 = LOAD | code(libc::BPF_IND);
const LOAD_X: u16 = code(libc::BPF_LDX | libc::BPF_W);
const LOAD_KEPT_X: u16 = LOAD_X | code(libc::BPF_MEM);
const KEEP: u16 = code(libc::BPF_ST);
const TO_X: u16 = code(libc::BPF_MISC | libc::BPF_TAX);
const XOR_X: u16 = code(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X);
const SHIFT_LEFT: u16 = code(libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K);
const JUMP: u16 = code(libc::BPF_JMP | libc::BPF_JA);
const JUMP_EQUAL: u16 = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
const JUMP_SET: u16 = code(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K);
const JUMP_GREATER: u16 = code(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K);
const JUMP_NOT_LESS: u16 = code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);
const RETURN: u16 = code(libc::BPF_RET | libc::BPF_K);

const THROUGH: SockFilter = SockFilter::new(RETURN, 0, 0, u32::MAX);
const DROP: SockFilter = SockFilter::new(RETURN, 0, 0, 0);

/// Where octets of `struct rtmsg` are, after `struct nlmsghdr`, and where attributes begin.
const FAMILY: u32 = 16;
const LENGTH: u32 = FAMILY + 1;
const TABLE: u32 = FAMILY + 4;
const PROTOCOL: u32 = FAMILY + 5;
const KIND: u32 = FAMILY + 7;
const ATTRIBUTES: u32 = FAMILY + 12;
/// Where the value of an attribute begins, after its header.
const VALUE: u32 = 4;
/// From the end of a destination that is not told to the instructions for IPv6.
const PAST_VALUE: u32 = 6;
/// The length of a destination in a key, above its first octets.
const LENGTH_SHIFT: u32 = 24;

/// What is heard beside routes to some destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// No other routes.
    Only,
    /// Those that have taken another's place.
    AndReplacing,
}

/// Returns the program; `destinations` are those of our routes, as far as they are known.
pub(crate) fn program(destinations: Option<(&[Prefix], Heard)>) -> Vec<SockFilter> {
    let replaces = match destinations {
        Some((_, Heard::Only)) => false,
        Some((_, Heard::AndReplacing)) | None => true,
    };
    let keys = destinations.map(|(destinations, _)| {
        let mut keys: Vec<u32> = destinations.iter().map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    });
    let mut program = head();
    match keys.filter(|keys| keys.len() <= MOST_DESTINATIONS) {
        Some(keys) => {
            program.extend(replacing().into_iter().filter(|_| replaces));
            program.extend(to_key());
            program.extend(search(&keys));
        }
        None => {
            program.extend(replacing());
            program.push(DROP);
        }
    }
    program
}

/// The destination in one word, which others may have by chance: they are heard in vain.
fn key(destination: &Prefix) -> u32 {
    let folded = match destination.address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let words = octets.chunks_exact(4).filter_map(|word| word.first_chunk());
            words.fold(0, |folded, word| folded ^ u32::from_be_bytes(*word))
        }
    };
    folded ^ (u32::from(destination.length) << LENGTH_SHIFT)
}

/// Up to a route that is neither ours nor a default route.
fn head() -> Vec<SockFilter> {
    // BPF loads in network order what netlink writes in the machine's.
    let half = |number: u16| u32::from(number.to_be());
    vec![
        SockFilter::new(LOAD_HALF, 0, 0, 4),
        SockFilter::new(JUMP_EQUAL, 1, 0, half(libc::RTM_NEWROUTE)),
        SockFilter::new(JUMP_EQUAL, 0, 8, half(libc::RTM_DELROUTE)),
        SockFilter::new(LOAD_OCTET, 0, 0, PROTOCOL),
        SockFilter::new(JUMP_EQUAL, 6, 0, u32::from(OURS)),
        SockFilter::new(LOAD_OCTET, 0, 0, LENGTH),
        SockFilter::new(JUMP_GREATER, 5, 0, u32::from(LONGEST_DESTINATION)),
        SockFilter::new(LOAD_OCTET, 0, 0, TABLE),
        SockFilter::new(JUMP_EQUAL, 0, 3, u32::from(libc::RT_TABLE_MAIN)),
        SockFilter::new(LOAD_OCTET, 0, 0, KIND),
        SockFilter::new(JUMP_EQUAL, 0, 1, u32::from(libc::RTN_UNICAST)),
        THROUGH,
    ]
}

/// Goes on from there: routes that have taken another's place go through.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the flag is 16 bits wide and declared wider"
)]
fn replacing() -> [SockFilter; 3] {
    let replaces = u32::from((libc::NLM_F_REPLACE as u16).to_be());
    [
        SockFilter::new(LOAD_HALF, 0, 0, 6),
        SockFilter::new(JUMP_SET, 0, 1, replaces),
        THROUGH,
    ]
}

/// Makes the key of a message's destination.
fn to_key() -> Vec<SockFilter> {
    let attribute = (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR).cast_unsigned();
    let of_ipv6: Vec<SockFilter> = [
        (LOAD_AT_X, VALUE),
        (KEEP, 0),
        (LOAD_AT_X, VALUE + 4),
        (KEEP, 1),
        (LOAD_AT_X, VALUE + 8),
        (KEEP, 2),
        (LOAD_AT_X, VALUE + 12),
        (LOAD_KEPT_X, 0),
        (XOR_X, 0),
        (LOAD_KEPT_X, 1),
        (XOR_X, 0),
        (LOAD_KEPT_X, 2),
        (XOR_X, 0),
    ]
    .into_iter()
    .map(|(code, operand)| SockFilter::new(code, 0, 0, operand))
    .collect();
    let past = u32::try_from(of_ipv6.len()).unwrap_or(u32::MAX);
    let mut steps = vec![
        SockFilter::new(LOAD_X | code(libc::BPF_IMM), 0, 0, u32::from(libc::RTA_DST)),
        SockFilter::new(LOAD | code(libc::BPF_IMM), 0, 0, ATTRIBUTES),
        SockFilter::new(LOAD | code(libc::BPF_ABS), 0, 0, attribute),
        SockFilter::new(JUMP_EQUAL, 0, 4, 0),
        // To everywhere, or else it cannot be compared.
        SockFilter::new(LOAD_OCTET, 0, 0, LENGTH),
        SockFilter::new(JUMP_EQUAL, 0, 1, 0),
        SockFilter::new(JUMP, 0, 0, PAST_VALUE + past),
        THROUGH,
        SockFilter::new(TO_X, 0, 0, 0),
        SockFilter::new(LOAD_OCTET, 0, 0, FAMILY),
        SockFilter::new(JUMP_EQUAL, 0, 2, libc::AF_INET.cast_unsigned()),
    ];
    steps.push(SockFilter::new(LOAD_AT_X, 0, 0, VALUE));
    steps.push(SockFilter::new(JUMP, 0, 0, past));
    steps.extend(of_ipv6);
    steps.extend([
        SockFilter::new(KEEP, 0, 0, 3),
        SockFilter::new(LOAD_OCTET, 0, 0, LENGTH),
        SockFilter::new(SHIFT_LEFT, 0, 0, LENGTH_SHIFT),
        SockFilter::new(LOAD_KEPT_X, 0, 0, 3),
        SockFilter::new(XOR_X, 0, 0, 0),
    ]);
    steps
}

/// Looks for a key among these, which are in order.
fn search(keys: &[u32]) -> Vec<SockFilter> {
    if keys.len() <= FEW {
        let compared = keys.iter();
        let compared = compared.flat_map(|key| [SockFilter::new(JUMP_EQUAL, 0, 1, *key), THROUGH]);
        return compared.chain([DROP]).collect();
    }
    let (lower, upper) = keys.split_at(keys.len() / 2);
    let Some(least) = upper.first() else {
        return vec![DROP];
    };
    let (below, above) = (search(lower), search(upper));
    let past = u32::try_from(below.len()).unwrap_or(u32::MAX);
    let mut program = vec![
        // Conditional jumps are short.
        SockFilter::new(JUMP_NOT_LESS, 0, 1, *least),
        SockFilter::new(JUMP, 0, 0, past),
    ];
    program.extend(below);
    program.extend(above);
    program
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an instruction's code is 16 bits wide, its parts are declared wider"
)]
const fn code(parts: u32) -> u16 {
    parts as u16
}
