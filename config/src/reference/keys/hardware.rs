//! The keys of `[hardware]`.

use super::key;
use crate::reference::{Form, Key, Section, Syntax};

/// In the order of the reference.
pub(super) const KEYS: [Key; 27] = [
    key(
        Section::Profile,
        "hardware",
        Syntax::Table(Section::Hardware),
        None,
        "What network cards are to do.",
    ),
    key(
        Section::Hardware,
        "autonegotiation",
        Syntax::Boolean,
        None,
        "Whether both ends agree on speed and duplex by themselves.",
    ),
    key(
        Section::Hardware,
        "speed",
        Syntax::Integer {
            min: 10,
            max: 800_000,
        },
        None,
        "The speed in megabits a second, without agreeing on it: the other end has to say the same.",
    ),
    key(
        Section::Hardware,
        "duplex",
        Syntax::Choice(&["half", "full"]),
        None,
        "Whether one end sends at a time or both, with `speed`.",
    ),
    key(
        Section::Hardware,
        "wake-on-lan",
        Syntax::List(Form::Label),
        None,
        "What wakes the machine: `phy`, `unicast`, `multicast`, `broadcast`, `arp`, `magic`, `filter`; `[]` for nothing.",
    ),
    offload(
        "tx-scatter-gather",
        "Whether it gathers packets from several pieces of memory; most others of `tx` hang on it.",
    ),
    offload(
        "tx-checksum-ipv4",
        "Whether it writes checksums of TCP and UDP in IPv4 packets.",
    ),
    offload(
        "tx-checksum-ipv6",
        "Whether it writes checksums of TCP and UDP in IPv6 packets.",
    ),
    offload(
        "tx-checksum-ip-generic",
        "Whether it writes checksums of any protocol.",
    ),
    offload("tx-checksum-sctp", "Whether it writes checksums of SCTP."),
    offload(
        "rx-checksum",
        "Whether it looks at checksums of what comes in.",
    ),
    offload(
        "tx-generic-segmentation",
        "Whether large packets are cut right before the card (GSO).",
    ),
    offload(
        "tx-tcp-segmentation",
        "Whether it cuts large TCP packets of IPv4 (TSO).",
    ),
    offload(
        "tx-tcp6-segmentation",
        "Whether it cuts large TCP packets of IPv6.",
    ),
    offload(
        "tx-tcp-ecn-segmentation",
        "Whether it cuts large TCP packets that tell of congestion.",
    ),
    offload(
        "tx-tcp-mangleid-segmentation",
        "Whether it may repeat identifiers when it cuts TCP packets.",
    ),
    offload("tx-udp-segmentation", "Whether it cuts large UDP packets."),
    offload(
        "rx-gro",
        "Whether packets of one flow that come in together are joined (GRO).",
    ),
    offload(
        "rx-gro-list",
        "Whether they are joined as a list, which is cheaper to forward.",
    ),
    offload("rx-gro-hw", "Whether the card joins them."),
    offload(
        "rx-udp-gro-forwarding",
        "Whether UDP packets that are forwarded are joined.",
    ),
    offload(
        "rx-lro",
        "Whether it joins packets so that they cannot be told apart again (LRO), which nobody who forwards may do.",
    ),
    offload("rx-hashing", "Whether it tells the hash of what comes in."),
    offload(
        "rx-ntuple-filter",
        "Whether it sorts what comes in by rules.",
    ),
    offload("rx-vlan-hw-parse", "Whether it takes VLAN tags off."),
    offload("tx-vlan-hw-insert", "Whether it puts VLAN tags on."),
    offload(
        "rx-vlan-filter",
        "Whether it drops VLANs that nobody is in.",
    ),
];

const fn offload(name: &'static str, doc: &'static str) -> Key {
    key(Section::Hardware, name, Syntax::Boolean, None, doc)
}
