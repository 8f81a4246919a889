//! Which links stand on another one, or on none? VLANs, macvlan and ipvlan, veth, dummies, tun and tap, vrf, macsec.

use super::{
    Attribute, Change, Kind, Maker, OFF, ON, Parent,
    Width::{Be16, U8, U16, U32, U64},
    Wire::{Bit, Elsewhere, MaskedBit, Number, Pairs, Switch, Word},
    number, row,
};
use crate::reference::{Form, Syntax};

/// A kind of which nothing can be said.
const fn plain(name: &'static str, doc: &'static str) -> Kind {
    Kind {
        name,
        info: name,
        doc,
        maker: Maker::Netlink,
        parent: Parent::None,
        goes_with_parent: true,
        has_peer: false,
        ports: None,
        joins_down: false,
        changes_whole: false,
        attributes: &[],
    }
}

const fn upon(name: &'static str, doc: &'static str, attributes: &'static [Attribute]) -> Kind {
    Kind {
        parent: Parent::Link,
        attributes,
        ..plain(name, doc)
    }
}

pub(super) const DUMMY: Kind = plain(
    "dummy",
    "A link that leads nowhere, for addresses of the host's own.",
);

pub(super) const IFB: Kind = plain(
    "ifb",
    "A link through which incoming packets are led to be queued.",
);

pub(super) const VETH: Kind = Kind {
    has_peer: true,
    ..plain(
        "veth",
        "Two links; what goes into one comes out of the other.",
    )
};

pub(super) const VRF: Kind = Kind {
    attributes: &[row(
        "table",
        number(1, 4_294_967_295),
        &[1],
        Number(U32),
        None,
        "The table of routes of its ports.",
    )
    .changes(Change::Anew)
    .needed()],
    ports: Some(&[]),
    ..plain(
        "vrf",
        "A table of routes as a link; its ports use that table.",
    )
};

pub(super) const VLAN: Kind = upon(
    "vlan",
    "One VLAN of its parent.",
    &[
        row(
            "id",
            number(0, 4094),
            &[1],
            Number(U16),
            None,
            "The number of the VLAN.",
        )
        .changes(Change::Anew)
        .needed(),
        row(
            "protocol",
            Syntax::Choice(&["802.1q", "802.1ad"]),
            &[5],
            Word(Be16, &[("802.1q", 0x8100), ("802.1ad", 0x88a8)]),
            Some("\"802.1q\""),
            "The kind of tag.",
        )
        .changes(Change::Anew),
        row(
            "reorder-header",
            Syntax::Boolean,
            &[2],
            MaskedBit(0),
            ON,
            "Whether programs see frames without the tag.",
        ),
        row(
            "gvrp",
            Syntax::Boolean,
            &[2],
            MaskedBit(1),
            OFF,
            "Whether the switch is told by GVRP.",
        ),
        row(
            "mvrp",
            Syntax::Boolean,
            &[2],
            MaskedBit(3),
            OFF,
            "Whether the switch is told by MVRP.",
        ),
        row(
            "loose-binding",
            Syntax::Boolean,
            &[2],
            MaskedBit(2),
            OFF,
            "Whether it stays up when its parent goes down.",
        ),
        row(
            "bridge-binding",
            Syntax::Boolean,
            &[2],
            MaskedBit(4),
            OFF,
            "Whether its carrier is that of the bridge's ports in the VLAN.",
        ),
        row(
            "egress-priorities",
            Syntax::List(Form::Pair),
            &[3],
            Pairs,
            None,
            "Which priority of the host, from 0, becomes which in the tag, 0 to 7.",
        ),
        row(
            "ingress-priorities",
            Syntax::List(Form::Pair),
            &[4],
            Pairs,
            None,
            "Which priority of the tag, 0 to 7, becomes which of the host.",
        ),
    ],
);

const MACVLANS: &[Attribute] = &[
    row(
        "mode",
        Syntax::Choice(&["private", "vepa", "bridge", "passthru"]),
        &[1],
        Word(
            U32,
            &[("private", 1), ("vepa", 2), ("bridge", 4), ("passthru", 8)],
        ),
        Some("\"vepa\""),
        "Whether links of one parent reach each other.",
    )
    .changes(Change::Anew),
    row(
        "no-promiscuity",
        Syntax::Boolean,
        &[2],
        Bit(U16, 0),
        OFF,
        "Whether the parent is left out of promiscuous mode in passthru.",
    )
    .changes(Change::Anew),
    row(
        "broadcast-queue",
        number(0, 4_294_967_295),
        &[7],
        Number(U32),
        Some("1000"),
        "How many broadcasts may wait.",
    ),
];

pub(super) const MACVLAN: Kind = upon(
    "macvlan",
    "A link with a hardware address of its own on its parent.",
    MACVLANS,
);

pub(super) const MACVTAP: Kind = upon(
    "macvtap",
    "As macvlan, for a virtual machine that opens it as a file.",
    MACVLANS,
);

pub(super) const IPVLAN: Kind = upon(
    "ipvlan",
    "A link with addresses of its own and the hardware address of its parent.",
    &[
        row(
            "mode",
            Syntax::Choice(&["l2", "l3", "l3s"]),
            &[1],
            Word(U16, &[("l2", 0), ("l3", 1), ("l3s", 2)]),
            Some("\"l3\""),
            "Whether frames or packets are passed on, and whether netfilter sees them.",
        ),
        row(
            "reach",
            Syntax::Choice(&["bridge", "private", "vepa"]),
            &[2],
            Word(U16, &[("bridge", 0), ("private", 1), ("vepa", 2)]),
            Some("\"bridge\""),
            "Whether links of one parent reach each other.",
        ),
    ],
);

const TUNS: &[Attribute] = &[
    row(
        "owner",
        number(0, 4_294_967_294),
        &[1],
        Elsewhere,
        None,
        "The number of the user who may open it.",
    )
    .changes(Change::Anew),
    row(
        "group",
        number(0, 4_294_967_294),
        &[2],
        Elsewhere,
        None,
        "The number of the group that may open it.",
    )
    .changes(Change::Anew),
    row(
        "packet-information",
        Syntax::Boolean,
        &[4],
        Elsewhere,
        OFF,
        "Whether four octets of flags and protocol go before each packet.",
    )
    .changes(Change::Anew),
    row(
        "offload-header",
        Syntax::Boolean,
        &[5],
        Elsewhere,
        OFF,
        "Whether a header of virtio goes before each packet.",
    )
    .changes(Change::Anew),
    row(
        "multi-queue",
        Syntax::Boolean,
        &[7],
        Elsewhere,
        OFF,
        "Whether it may be opened several times.",
    )
    .changes(Change::Anew),
];

pub(super) const TUN: Kind = Kind {
    maker: Maker::Tun,
    attributes: TUNS,
    ..plain("tun", "A program's end for packets.")
};

pub(super) const TAP: Kind = Kind {
    maker: Maker::Tun,
    attributes: TUNS,
    info: "tun",
    ..plain("tap", "A program's end for frames.")
};

pub(super) const MACSEC: Kind = upon(
    "macsec",
    "Frames of its parent, encrypted (IEEE 802.1AE).",
    &[
        row(
            "port",
            number(1, 65_535),
            &[2],
            Number(Be16),
            Some("1"),
            "The port in the channel's identifier, beside the hardware address.",
        )
        .changes(Change::Anew),
        row(
            "tag-length",
            number(8, 16),
            &[3],
            Number(U8),
            Some("16"),
            "The length of the integrity check, in octets.",
        )
        .changes(Change::Anew),
        row(
            "cipher",
            Syntax::Choice(&[
                "gcm-aes-128",
                "gcm-aes-256",
                "gcm-aes-xpn-128",
                "gcm-aes-xpn-256",
            ]),
            &[4],
            Word(U64, CIPHERS),
            Some("\"gcm-aes-128\""),
            "The cipher.",
        )
        .changes(Change::Anew),
        row(
            "window",
            number(0, 4_294_967_295),
            &[5],
            Number(U32),
            None,
            "How late a frame may come when replays are refused.",
        ),
        row(
            "encoding-association",
            number(0, 3),
            &[6],
            Number(U8),
            Some("0"),
            "Which association sends.",
        ),
        row(
            "encrypt",
            Syntax::Boolean,
            &[7],
            Switch(U8),
            OFF,
            "Whether frames are encrypted, not only protected.",
        ),
        row(
            "protect",
            Syntax::Boolean,
            &[8],
            Switch(U8),
            ON,
            "Whether frames are protected at all.",
        ),
        row(
            "send-identifier",
            Syntax::Boolean,
            &[9],
            Switch(U8),
            ON,
            "Whether frames carry the channel's identifier.",
        ),
        row(
            "end-station",
            Syntax::Boolean,
            &[10],
            Switch(U8),
            OFF,
            "Whether the identifier is told by the hardware address alone.",
        ),
        row(
            "single-copy-broadcast",
            Syntax::Boolean,
            &[11],
            Switch(U8),
            OFF,
            "Whether the channel is for broadcasts alone.",
        ),
        row(
            "refuse-replays",
            Syntax::Boolean,
            &[12],
            Switch(U8),
            OFF,
            "Whether frames that come too late are dropped.",
        ),
        row(
            "validate",
            Syntax::Choice(&["disabled", "check", "strict"]),
            &[13],
            Word(U8, &[("disabled", 0), ("check", 1), ("strict", 2)]),
            Some("\"strict\""),
            "What becomes of frames that are not right.",
        ),
    ],
);

const CIPHERS: &[(&str, u64)] = &[
    ("gcm-aes-128", 0x0080_c200_0100_0001),
    ("gcm-aes-256", 0x0080_c200_0100_0002),
    ("gcm-aes-xpn-128", 0x0080_c200_0100_0003),
    ("gcm-aes-xpn-256", 0x0080_c200_0100_0004),
];
