//! What can be said of a bridge, and of its ports? `IFLA_BR_*` and `IFLA_BRPORT_*`.

use super::{
    Attribute, Kind, Maker, OFF, ON, Parent,
    Width::{Be16, U8, U16, U32, U64},
    Wire::{self, MaskedBit, Number, Switch, Time, Word},
    number, row, time,
};
use crate::reference::{Form, Syntax};

/// Ticks of `clock_t`: the kernel's `USER_HZ`, 100 on every machine.
const TICKS: u32 = 100;
const ROUTER: Syntax = Syntax::Choice(&["off", "auto", "always"]);
const ROUTER_CODES: &[(&str, u64)] = &[("off", 0), ("auto", 1), ("always", 2)];
/// The longest interval of IGMP and MLD that makes sense, in seconds.
const INTERVAL: Syntax = time(0, 31_744);

pub(super) const BRIDGE: Kind = Kind {
    name: "bridge",
    info: "bridge",
    doc: "A switch; its ports are links.",
    maker: Maker::Netlink,
    parent: Parent::None,
    goes_with_parent: true,
    has_peer: false,
    ports: Some(PORTS),
    joins_down: false,
    changes_whole: false,
    attributes: ATTRIBUTES,
};

const ATTRIBUTES: &[Attribute] = &[
    row(
        "forward-delay",
        time(2, 30),
        &[1],
        Time(U32, TICKS),
        Some("\"15s\""),
        "How long a port listens, and then learns, before it forwards.",
    ),
    row(
        "hello-time",
        time(1, 10),
        &[2],
        Time(U32, TICKS),
        Some("\"2s\""),
        "How often the root of the spanning tree speaks.",
    ),
    row(
        "max-age",
        time(6, 40),
        &[3],
        Time(U32, TICKS),
        Some("\"20s\""),
        "How long what the root has said holds.",
    ),
    row(
        "ageing-time",
        time(0, 1_000_000),
        &[4],
        Time(U32, TICKS),
        Some("\"5m\""),
        "How long a hardware address is remembered; zero forgets it at once.",
    ),
    row(
        "stp",
        Syntax::Boolean,
        &[5],
        Switch(U32),
        OFF,
        "Whether the bridge takes part in a spanning tree.",
    ),
    row(
        "priority",
        number(0, 65_535),
        &[6],
        Number(U16),
        Some("32768"),
        "Its priority in the spanning tree; the lowest becomes the root.",
    ),
    row(
        "vlan-filtering",
        Syntax::Boolean,
        &[7],
        Switch(U8),
        OFF,
        "Whether ports are members of VLANs, and frames of others are dropped.",
    ),
    row(
        "vlan-protocol",
        Syntax::Choice(&["802.1q", "802.1ad"]),
        &[8],
        Word(Be16, &[("802.1q", 0x8100), ("802.1ad", 0x88a8)]),
        Some("\"802.1q\""),
        "Which tags are looked at.",
    ),
    row(
        "group-forward-mask",
        number(0, 65_535),
        &[9],
        Number(U16),
        Some("0"),
        "Which of the link-local groups 01:80:c2:00:00:00 to 0f are forwarded, a bit for each.",
    ),
    row(
        "group-address",
        Syntax::Text(Form::Mac),
        &[20],
        Wire::Mac,
        None,
        "The group that the spanning tree speaks to.",
    ),
    row(
        "multicast-router",
        ROUTER,
        &[22],
        Word(U8, ROUTER_CODES),
        Some("\"auto\""),
        "Whether the bridge itself counts as a multicast router.",
    ),
    row(
        "multicast-snooping",
        Syntax::Boolean,
        &[23],
        Switch(U8),
        ON,
        "Whether multicast goes only where somebody has joined.",
    ),
    row(
        "multicast-query-address",
        Syntax::Boolean,
        &[24],
        Switch(U8),
        OFF,
        "Whether queries carry the bridge's own address instead of 0.0.0.0.",
    ),
    row(
        "multicast-querier",
        Syntax::Boolean,
        &[25],
        Switch(U8),
        OFF,
        "Whether the bridge asks who has joined.",
    ),
    row(
        "multicast-hash-max",
        number(1, 1 << 24),
        &[27],
        Number(U32),
        Some("4096"),
        "How many groups are remembered.",
    ),
    row(
        "multicast-last-member-count",
        number(1, 255),
        &[28],
        Number(U32),
        Some("2"),
        "How often it is asked whether a group's last member is gone.",
    ),
    row(
        "multicast-startup-query-count",
        number(1, 255),
        &[29],
        Number(U32),
        Some("2"),
        "How many queries there are at the start.",
    ),
    row(
        "multicast-last-member-interval",
        INTERVAL,
        &[30],
        Time(U64, TICKS),
        Some("\"1s\""),
        "How far apart those queries for a last member are.",
    ),
    row(
        "multicast-membership-interval",
        INTERVAL,
        &[31],
        Time(U64, TICKS),
        Some("\"260s\""),
        "How long a member is remembered.",
    ),
    row(
        "multicast-querier-interval",
        INTERVAL,
        &[32],
        Time(U64, TICKS),
        Some("\"255s\""),
        "How long another querier is believed to be there.",
    ),
    row(
        "multicast-query-interval",
        INTERVAL,
        &[33],
        Time(U64, TICKS),
        Some("\"125s\""),
        "How far apart queries are.",
    ),
    row(
        "multicast-query-response-interval",
        INTERVAL,
        &[34],
        Time(U64, TICKS),
        Some("\"10s\""),
        "How long members may take to answer.",
    ),
    row(
        "call-iptables",
        Syntax::Boolean,
        &[36],
        Switch(U8),
        OFF,
        "Whether IPv4 frames pass through iptables.",
    ),
    row(
        "call-ip6tables",
        Syntax::Boolean,
        &[37],
        Switch(U8),
        OFF,
        "Whether IPv6 frames pass through ip6tables.",
    ),
    row(
        "call-arptables",
        Syntax::Boolean,
        &[38],
        Switch(U8),
        OFF,
        "Whether ARP frames pass through arptables.",
    ),
    row(
        "default-pvid",
        number(0, 4094),
        &[39],
        Number(U16),
        Some("1"),
        "The VLAN of untagged frames at ports that do not name one; 0 for none.",
    ),
    row(
        "vlan-statistics",
        Syntax::Boolean,
        &[41],
        Switch(U8),
        OFF,
        "Whether frames are counted for each VLAN.",
    ),
    row(
        "multicast-statistics",
        Syntax::Boolean,
        &[42],
        Switch(U8),
        OFF,
        "Whether messages of IGMP and MLD are counted.",
    ),
    row(
        "igmp-version",
        number(2, 3),
        &[43],
        Number(U8),
        Some("2"),
        "The version of IGMP that the bridge speaks.",
    ),
    row(
        "mld-version",
        number(1, 2),
        &[44],
        Number(U8),
        Some("1"),
        "The version of MLD that the bridge speaks.",
    ),
    row(
        "multicast-vlan-snooping",
        Syntax::Boolean,
        &[46],
        MaskedBit(1),
        OFF,
        "Whether groups are remembered for each VLAN.",
    ),
];

const PORTS: &[Attribute] = &[
    row(
        "priority",
        number(0, 63),
        &[2],
        Number(U16),
        Some("32"),
        "Its priority in the spanning tree.",
    )
    .of_port(),
    row(
        "cost",
        number(1, 65_535),
        &[3],
        Number(U32),
        None,
        "What the way through it costs in the spanning tree.",
    )
    .of_port(),
    row(
        "hairpin",
        Syntax::Boolean,
        &[4],
        Switch(U8),
        OFF,
        "Whether frames may leave by the port that they came in by.",
    )
    .of_port(),
    row(
        "bpdu-guard",
        Syntax::Boolean,
        &[5],
        Switch(U8),
        OFF,
        "Whether a spanning tree behind it closes the port.",
    )
    .of_port(),
    row(
        "root-block",
        Syntax::Boolean,
        &[6],
        Switch(U8),
        OFF,
        "Whether the root of the spanning tree may not be behind it.",
    )
    .of_port(),
    row(
        "multicast-fast-leave",
        Syntax::Boolean,
        &[7],
        Switch(U8),
        OFF,
        "Whether a group is left without asking whether there are other members.",
    )
    .of_port(),
    row(
        "learning",
        Syntax::Boolean,
        &[8],
        Switch(U8),
        ON,
        "Whether hardware addresses are learned.",
    )
    .of_port(),
    row(
        "flood",
        Syntax::Boolean,
        &[9],
        Switch(U8),
        ON,
        "Whether frames to unknown hardware addresses leave by it.",
    )
    .of_port(),
    row(
        "proxy-arp",
        Syntax::Boolean,
        &[10],
        Switch(U8),
        OFF,
        "Whether the bridge answers ARP for those behind it.",
    )
    .of_port(),
    row(
        "proxy-arp-wifi",
        Syntax::Boolean,
        &[12],
        Switch(U8),
        OFF,
        "As proxy-arp, as access points want it.",
    )
    .of_port(),
    row(
        "multicast-router",
        Syntax::Choice(&["off", "auto", "always", "temporary"]),
        &[25],
        Word(
            U8,
            &[("off", 0), ("auto", 1), ("always", 2), ("temporary", 3)],
        ),
        Some("\"auto\""),
        "Whether a multicast router is behind it.",
    )
    .of_port(),
    row(
        "multicast-flood",
        Syntax::Boolean,
        &[27],
        Switch(U8),
        ON,
        "Whether multicast that nobody has joined leaves by it.",
    )
    .of_port(),
    row(
        "multicast-to-unicast",
        Syntax::Boolean,
        &[28],
        Switch(U8),
        OFF,
        "Whether each member gets a copy of its own.",
    )
    .of_port(),
    row(
        "vlan-tunnel",
        Syntax::Boolean,
        &[29],
        Switch(U8),
        OFF,
        "Whether VLANs become ids of a tunnel.",
    )
    .of_port(),
    row(
        "broadcast-flood",
        Syntax::Boolean,
        &[30],
        Switch(U8),
        ON,
        "Whether broadcasts leave by it.",
    )
    .of_port(),
    row(
        "group-forward-mask",
        number(0, 65_535),
        &[31],
        Number(U16),
        Some("0"),
        "As that of the bridge, for this port.",
    )
    .of_port(),
    row(
        "suppress-neighbours",
        Syntax::Boolean,
        &[32],
        Switch(U8),
        OFF,
        "Whether questions of ARP and neighbour discovery are answered by what is known.",
    )
    .of_port(),
    row(
        "isolated",
        Syntax::Boolean,
        &[33],
        Switch(U8),
        OFF,
        "Whether it does not reach other isolated ports.",
    )
    .of_port(),
    row(
        "locked",
        Syntax::Boolean,
        &[39],
        Switch(U8),
        OFF,
        "Whether only hosts that are known come in.",
    )
    .of_port(),
];
