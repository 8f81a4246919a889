//! The keys of routes and rules in a profile.

use super::key;
use super::network::TABLE;
use crate::reference::{Form, Key, Section, Syntax};

const METRIC: Syntax = Syntax::Integer {
    min: 0,
    max: u32::MAX as i64,
};
/// The kernel makes less of more.
const ROUTE_MTU: Syntax = Syntax::Integer {
    min: 68,
    max: 65_520,
};
const SEGMENTS: Syntax = Syntax::Integer {
    min: 1,
    max: 65_535,
};

/// In the order of the reference.
pub(super) const KEYS: &[Key] = &[
    key(
        Section::Routes,
        "to",
        Syntax::Text(Form::Network),
        None,
        "The network that the route leads to.",
    ),
    key(
        Section::Routes,
        "via",
        Syntax::OneOrMore(Form::Hop),
        None,
        "The neighbours that it goes through, of several each with its share, and where it leaves by other links than the profile's the link's name (see docs/links.md); without it the network is on the link itself.",
    ),
    key(
        Section::Routes,
        "metric",
        METRIC,
        None,
        "The route's metric; lower wins, and without it that of the profile.",
    ),
    key(
        Section::Routes,
        "table",
        TABLE,
        None,
        "The route's table; without it that of the profile.",
    ),
    key(
        Section::Routes,
        "source",
        Syntax::Text(Form::Address),
        None,
        "The address that connections leave with.",
    ),
    key(
        Section::Routes,
        "on-link",
        Syntax::Boolean,
        Some("false"),
        "Whether the neighbours are reached whatever the addresses of the link say.",
    ),
    key(
        Section::Routes,
        "mtu",
        ROUTE_MTU,
        None,
        "The largest packet on this route, in octets.",
    ),
    key(
        Section::Routes,
        "mtu-lock",
        Syntax::Boolean,
        Some("false"),
        "Whether that stays as it is, whatever routers on the way say (no path MTU discovery).",
    ),
    key(
        Section::Routes,
        "from",
        Syntax::Text(Form::Network),
        None,
        "From where packets come that the route is for; of IPv6 alone, where the kernel can (`CONFIG_IPV6_SUBTREES`).",
    ),
    key(
        Section::Routes,
        "advmss",
        Syntax::Integer {
            min: 1,
            max: 65_495,
        },
        None,
        "The largest segment to offer to the other end of TCP connections, in octets.",
    ),
    key(
        Section::Routes,
        "initcwnd",
        SEGMENTS,
        None,
        "The congestion window that TCP connections begin with, in segments.",
    ),
    key(
        Section::Routes,
        "initrwnd",
        SEGMENTS,
        None,
        "The receive window that TCP connections offer first, in segments.",
    ),
    key(
        Section::Routes,
        "cwnd",
        SEGMENTS,
        None,
        "The largest congestion window of TCP connections, in segments.",
    ),
    key(
        Section::Routes,
        "quickack",
        Syntax::Boolean,
        Some("false"),
        "Whether TCP connections acknowledge all at once.",
    ),
    key(
        Section::Routes,
        "congestion",
        Syntax::Text(Form::Label),
        None,
        "How TCP connections control congestion, by the kernel's name for it.",
    ),
    key(
        Section::Routes,
        "kind",
        Syntax::Choice(&[
            "unicast",
            "blackhole",
            "unreachable",
            "prohibit",
            "throw",
            "local",
        ]),
        Some("\"unicast\""),
        "What becomes of the packets: sent on, dropped in silence, dropped with word that nobody is there or that it is forbidden, left to the rules below, or taken as this machine's own.",
    ),
    key(
        Section::Rules,
        "priority",
        Syntax::Integer {
            min: 1,
            max: 32_765,
        },
        None,
        "Where it stands among the rules; lower is asked first, the kernel's own main table is asked at 32766.",
    ),
    key(
        Section::Rules,
        "family",
        Syntax::Choice(&["both", "ipv4", "ipv6"]),
        None,
        "For which family; without it that of `from` and `to`, or both.",
    ),
    key(
        Section::Rules,
        "from",
        Syntax::Text(Form::Network),
        None,
        "The network that packets come from.",
    ),
    key(
        Section::Rules,
        "to",
        Syntax::Text(Form::Network),
        None,
        "The network that packets go to.",
    ),
    key(
        Section::Rules,
        "mark",
        Syntax::Text(Form::Mark),
        None,
        "The mark that packets have.",
    ),
    key(
        Section::Rules,
        "incoming",
        Syntax::Text(Form::LinkName),
        None,
        "The link that packets come in by.",
    ),
    key(
        Section::Rules,
        "outgoing",
        Syntax::Text(Form::LinkName),
        None,
        "The link that sockets are bound to.",
    ),
    key(
        Section::Rules,
        "table",
        TABLE,
        None,
        "The table that decides.",
    ),
    key(
        Section::Rules,
        "kind",
        Syntax::Choice(&["table", "blackhole", "unreachable", "prohibit", "nothing"]),
        Some("\"table\""),
        "What becomes of the packets: the table decides, they are dropped, in silence or with word, or the next rule is asked (a place for `goto`).",
    ),
    key(
        Section::Rules,
        "goto",
        Syntax::Integer {
            min: 2,
            max: 32_767,
        },
        None,
        "The rule to go on with, by its priority, in place of a table; this one is passed over while none is there.",
    ),
    key(
        Section::Rules,
        "vrf",
        Syntax::Boolean,
        Some("false"),
        "Whether the table of the VRF that packets belong to decides, in place of one that is named.",
    ),
    key(
        Section::Rules,
        "protocol",
        Syntax::Text(Form::Label),
        None,
        "The protocol that packets have above IP: `icmp`, `tcp`, `udp`, `gre`, `esp`, `ah`, `icmpv6`, `sctp`, or its number.",
    ),
    key(
        Section::Rules,
        "source-ports",
        Syntax::Text(Form::Range),
        None,
        "The ports that packets come from.",
    ),
    key(
        Section::Rules,
        "destination-ports",
        Syntax::Text(Form::Range),
        None,
        "The ports that packets go to.",
    ),
    key(
        Section::Rules,
        "users",
        Syntax::Text(Form::Range),
        None,
        "The users whose sockets packets are of, by their numbers.",
    ),
    key(
        Section::Rules,
        "tos",
        Syntax::Integer { min: 4, max: 252 },
        None,
        "The type of service of packets, for IPv6 the traffic class: the DSCP times 4, of which the kernel compares the lower three bits for IPv4.",
    ),
    key(
        Section::Rules,
        "suppress-length",
        Syntax::Integer { min: 0, max: 128 },
        None,
        "Routes of the table that are no longer than this do not count: 0 leaves its default route out.",
    ),
    key(
        Section::Rules,
        "invert",
        Syntax::Boolean,
        Some("false"),
        "Whether all packets are meant but those that the rule describes.",
    ),
];
