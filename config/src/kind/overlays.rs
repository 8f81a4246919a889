//! What can be said of networks over UDP? VXLAN, Geneve, WireGuard.

use super::{
    Change, Kind, Maker, OFF, ON, Parent,
    Width::{Be16, Be32, U8, U32},
    Wire::{self, Elsewhere, Flag, Number, PortRange, Switch, Time, Word},
    number, row, time,
};
use crate::reference::{Form, Syntax};

const ADDRESS: Syntax = Syntax::Text(Form::Address);
const ANY_32: Syntax = number(0, 4_294_967_295);
const DF: Syntax = Syntax::Choice(&["unset", "set", "inherit"]);
const DF_CODES: &[(&str, u64)] = &[("unset", 0), ("set", 1), ("inherit", 2)];

pub(super) const VXLAN: Kind = Kind {
    name: "vxlan",
    info: "vxlan",
    doc: "Frames in UDP (RFC 7348).",
    maker: Maker::Netlink,
    parent: Parent::Attribute(3),
    goes_with_parent: true,
    has_peer: false,
    ports: None,
    joins_down: false,
    changes_whole: false,
    attributes: &[
        row(
            "id",
            number(0, 0xff_ffff),
            &[1],
            Number(U32),
            None,
            "The number of the network.",
        )
        .changes(Change::Anew)
        .needed(),
        row(
            "remote",
            ADDRESS,
            &[2],
            Wire::Address { number6: 16 },
            None,
            "Where frames for unknown hosts go: a group, or one host.",
        ),
        row(
            "local",
            ADDRESS,
            &[4],
            Wire::Address { number6: 17 },
            None,
            "This side's address.",
        ),
        row(
            "ttl",
            number(1, 255),
            &[5],
            Number(U8),
            None,
            "How far its packets go; without it as the way says.",
        ),
        row(
            "tos",
            number(0, 255),
            &[6],
            Number(U8),
            Some("0"),
            "The type of service of its packets; 1 takes it from those within.",
        ),
        row(
            "learning",
            Syntax::Boolean,
            &[7],
            Switch(U8),
            ON,
            "Whether it is learned which host is behind which address.",
        ),
        row(
            "ageing-time",
            time(0, 4_294_967_295),
            &[8],
            Time(U32, 1),
            Some("\"5m\""),
            "How long that is remembered.",
        ),
        row(
            "max-addresses",
            ANY_32,
            &[9],
            Number(U32),
            Some("0"),
            "How many hosts are remembered; 0 for any number.",
        )
        .changes(Change::Anew),
        row(
            "source-ports",
            Syntax::Text(Form::PortRange),
            &[10],
            PortRange,
            None,
            "The ports that its packets come from.",
        )
        .changes(Change::Anew),
        row(
            "proxy",
            Syntax::Boolean,
            &[11],
            Switch(U8),
            OFF,
            "Whether ARP and neighbour discovery are answered by what is known.",
        )
        .changes(Change::Anew),
        row(
            "route-short-circuit",
            Syntax::Boolean,
            &[12],
            Switch(U8),
            OFF,
            "Whether frames for a known host's router go to the host.",
        )
        .changes(Change::Anew),
        row(
            "tell-unknown-hosts",
            Syntax::Boolean,
            &[13],
            Switch(U8),
            OFF,
            "Whether a program is told of unknown hardware addresses.",
        )
        .changes(Change::Anew),
        row(
            "tell-unknown-addresses",
            Syntax::Boolean,
            &[14],
            Switch(U8),
            OFF,
            "Whether a program is told of unknown IP addresses.",
        )
        .changes(Change::Anew),
        row(
            "destination-port",
            number(1, 65_535),
            &[15],
            Number(Be16),
            Some("8472"),
            "The port of UDP; 4789 is the standard's.",
        )
        .changes(Change::Anew),
        row(
            "udp-checksum",
            Syntax::Boolean,
            &[18],
            Switch(U8),
            ON,
            "Whether its packets over IPv4 have a checksum.",
        )
        .changes(Change::Anew),
        row(
            "udp6-zero-checksum-send",
            Syntax::Boolean,
            &[19],
            Switch(U8),
            OFF,
            "Whether its packets over IPv6 have none.",
        )
        .changes(Change::Anew),
        row(
            "udp6-zero-checksum-accept",
            Syntax::Boolean,
            &[20],
            Switch(U8),
            OFF,
            "Whether packets over IPv6 without checksum are taken.",
        )
        .changes(Change::Anew),
        row(
            "group-policy",
            Syntax::Boolean,
            &[23],
            Flag,
            OFF,
            "Whether marks go along as ids of group policies.",
        )
        .changes(Change::Anew),
        row(
            "external",
            Syntax::Boolean,
            &[25],
            Switch(U8),
            OFF,
            "Whether id and other side come with each packet.",
        )
        .changes(Change::Anew),
        row(
            "flow-label",
            number(0, 0xf_ffff),
            &[26],
            Number(Be32),
            Some("0"),
            "The flow label of its packets.",
        ),
        row(
            "generic-protocol",
            Syntax::Boolean,
            &[27],
            Flag,
            OFF,
            "Whether it carries anything (VXLAN-GPE).",
        )
        .changes(Change::Anew),
        row(
            "df",
            DF,
            &[29],
            Word(U8, DF_CODES),
            Some("\"unset\""),
            "Whether its packets may be cut on the way.",
        ),
        row(
            "filter-ids",
            Syntax::Boolean,
            &[30],
            Switch(U8),
            OFF,
            "With external: whether only ids that are listed are taken.",
        )
        .changes(Change::Anew),
    ],
};

pub(super) const GENEVE: Kind = Kind {
    name: "geneve",
    info: "geneve",
    doc: "Frames in UDP (RFC 8926).",
    maker: Maker::Netlink,
    parent: Parent::None,
    goes_with_parent: true,
    has_peer: false,
    ports: None,
    joins_down: false,
    changes_whole: false,
    attributes: &[
        row(
            "id",
            number(0, 0xff_ffff),
            &[1],
            Number(U32),
            None,
            "The number of the network.",
        )
        .changes(Change::Anew)
        .needed(),
        row(
            "remote",
            ADDRESS,
            &[2],
            Wire::Address { number6: 7 },
            None,
            "The other side's address.",
        )
        .changes(Change::Anew)
        .needed(),
        row(
            "ttl",
            number(1, 255),
            &[3],
            Number(U8),
            None,
            "How far its packets go; without it as the way says.",
        ),
        row(
            "tos",
            number(0, 255),
            &[4],
            Number(U8),
            Some("0"),
            "The type of service of its packets; 1 takes it from those within.",
        ),
        row(
            "destination-port",
            number(1, 65_535),
            &[5],
            Number(Be16),
            Some("6081"),
            "The port of UDP.",
        )
        .changes(Change::Anew),
        row(
            "udp-checksum",
            Syntax::Boolean,
            &[8],
            Switch(U8),
            ON,
            "Whether its packets over IPv4 have a checksum.",
        )
        .changes(Change::Anew),
        row(
            "udp6-zero-checksum-send",
            Syntax::Boolean,
            &[9],
            Switch(U8),
            OFF,
            "Whether its packets over IPv6 have none.",
        )
        .changes(Change::Anew),
        row(
            "udp6-zero-checksum-accept",
            Syntax::Boolean,
            &[10],
            Switch(U8),
            OFF,
            "Whether packets over IPv6 without checksum are taken.",
        )
        .changes(Change::Anew),
        row(
            "flow-label",
            number(0, 0xf_ffff),
            &[11],
            Number(Be32),
            Some("0"),
            "The flow label of its packets.",
        ),
        row(
            "df",
            DF,
            &[13],
            Word(U8, DF_CODES),
            Some("\"unset\""),
            "Whether its packets may be cut on the way.",
        ),
    ],
};

pub(super) const WIREGUARD: Kind = Kind {
    name: "wireguard",
    info: "wireguard",
    doc: "An encrypted tunnel to peers that are known by their keys.",
    maker: Maker::Netlink,
    parent: Parent::None,
    goes_with_parent: true,
    has_peer: false,
    ports: None,
    joins_down: false,
    changes_whole: false,
    attributes: &[
        row(
            "listen-port",
            number(0, 65_535),
            &[6],
            Elsewhere,
            Some("0"),
            "The port of UDP; 0 lets the kernel draw one.",
        ),
        row(
            "mark",
            ANY_32,
            &[7],
            Elsewhere,
            Some("0"),
            "The mark of the tunnel's own packets, by which a rule keeps them out of the tunnel.",
        ),
        row(
            "private-key",
            Syntax::Text(Form::WireguardKey),
            &[3],
            Elsewhere,
            None,
            "This side's key, as `wg genkey` writes it.",
        )
        .secret(),
        row(
            "private-key-file",
            Syntax::Text(Form::Path),
            &[3],
            Elsewhere,
            None,
            "A file that has it instead, readable by root alone.",
        )
        .secret(),
    ],
};
