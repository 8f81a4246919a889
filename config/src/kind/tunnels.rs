//! What can be said of tunnels that carry packets or frames in IP? `IFLA_GRE_*`, `IFLA_IPTUN_*`, `IFLA_XFRM_*`.
//!
//! The kernel takes what a change leaves out for its default, so a change of these names everything. What ranges from an
//! address family to the other, as `ttl` and `hop-limit`, has the family's own name.

use super::{
    Attribute, Bit, Change, Kind, Maker, OFF, ON, Parent,
    Width::{Be16, Be32, U8, U16, U32},
    Wire::{self, Address4, Address6, Number, Switch, Word},
    number, row,
};
use crate::reference::{Form, Syntax};

/// A tunnel whose parent is attribute 1, as it is with all of these.
const fn tunnel(name: &'static str, doc: &'static str, attributes: &'static [Attribute]) -> Kind {
    Kind {
        name,
        info: name,
        doc,
        maker: Maker::Netlink,
        parent: Parent::Attribute(1),
        goes_with_parent: false,
        has_peer: false,
        ports: None,
        joins_down: false,
        changes_whole: true,
        attributes,
    }
}

const ADDRESS: Syntax = Syntax::Text(Form::Address);
const TTL: Syntax = number(1, 255);
const ANY_32: Syntax = number(0, 4_294_967_295);

/// `GRE_CSUM`, `GRE_KEY` and `GRE_SEQ` of the flags that go with packets, by the number of the bit.
const CHECKSUM: u32 = 15;
const KEY: u32 = 13;
const SEQUENCE: u32 = 12;

const fn flag(number: u16, bit: u32) -> Bit {
    Bit {
        number,
        width: Be16,
        bit,
    }
}

const GRE_CHECKSUM: Attribute = row(
    "checksum",
    Syntax::Boolean,
    &[2, 3],
    Wire::Bit(Be16, CHECKSUM),
    OFF,
    "Whether packets carry a checksum, and must.",
);
const GRE_SEQUENCE: Attribute = row(
    "sequence",
    Syntax::Boolean,
    &[2, 3],
    Wire::Bit(Be16, SEQUENCE),
    OFF,
    "Whether packets are numbered.",
);
const GRE_KEY: Attribute = row(
    "key",
    ANY_32,
    &[4, 5],
    Number(Be32),
    None,
    "The number that tells tunnels between the same hosts apart.",
)
.implies(&[flag(2, KEY), flag(3, KEY)]);
const GRE_MARK: Attribute = row(
    "mark",
    ANY_32,
    &[20],
    Number(U32),
    Some("0"),
    "The mark of the tunnel's own packets.",
);

const GRES: &[Attribute] = &[
    row(
        "local",
        ADDRESS,
        &[6],
        Address4,
        None,
        "This side's address.",
    ),
    row(
        "remote",
        ADDRESS,
        &[7],
        Address4,
        None,
        "The other side's address; without it the tunnel has many ends.",
    )
    .changes(Change::Anew),
    row(
        "ttl",
        TTL,
        &[8],
        Number(U8),
        None,
        "How far its packets go; without it as far as those within.",
    ),
    row(
        "tos",
        number(0, 255),
        &[9],
        Number(U8),
        Some("0"),
        "The type of service of its packets; 1 takes it from those within.",
    ),
    row(
        "path-mtu-discovery",
        Syntax::Boolean,
        &[10],
        Switch(U8),
        ON,
        "Whether its packets may not be cut on the way.",
    ),
    row(
        "ignore-df",
        Syntax::Boolean,
        &[19],
        Switch(U8),
        OFF,
        "Whether packets within are cut although they forbid it.",
    ),
    GRE_CHECKSUM,
    GRE_SEQUENCE,
    GRE_KEY,
    GRE_MARK,
];

pub(super) const GRE: Kind = tunnel("gre", "Packets in GRE (RFC 2784) over IPv4.", GRES);

pub(super) const GRETAP: Kind = tunnel("gretap", "Frames in GRE over IPv4.", GRES);

/// `IP6_TNL_F_*`, by the number of the bit.
const IGNORE_LIMIT: u32 = 0;
const ORIGINAL_CLASS: u32 = 1;
const COPY_DSCP: u32 = 4;
const LOCAL_REMOTE: u32 = 6;

/// `local`, `remote` and `hop-limit` stand at the same place in both families of attributes but one number apart.
macro_rules! six {
    ($local:literal, $remote:literal, $limit:literal, $encapsulation:literal, $flow:literal, $flags:literal) => {
        [
            row(
                "local",
                ADDRESS,
                &[$local],
                Address6,
                None,
                "This side's address.",
            ),
            row(
                "remote",
                ADDRESS,
                &[$remote],
                Address6,
                None,
                "The other side's address.",
            ),
            row(
                "hop-limit",
                TTL,
                &[$limit],
                Number(U8),
                None,
                "How far its packets go; without it as the way says.",
            ),
            row(
                "encapsulation-limit",
                number(0, 255),
                &[$encapsulation],
                Number(U8),
                // The kernel takes 0 where nothing is said, and then no other tunnel may carry these packets.
                Some("4"),
                "How many more tunnels its packets may enter (RFC 2473 §4.1.1).",
            )
            .always(),
            row(
                "flow-label",
                number(0, 0xf_ffff),
                &[$flow],
                Number(Be32),
                Some("0"),
                "The flow label of its packets.",
            ),
            row(
                "ignore-encapsulation-limit",
                Syntax::Boolean,
                &[$flags],
                Wire::Bit(U32, IGNORE_LIMIT),
                OFF,
                "Whether its packets do without that limit.",
            ),
            row(
                "keep-class",
                Syntax::Boolean,
                &[$flags],
                Wire::Bit(U32, ORIGINAL_CLASS),
                OFF,
                "Whether its packets have the traffic class of those within.",
            ),
            row(
                "copy-dscp",
                Syntax::Boolean,
                &[$flags],
                Wire::Bit(U32, COPY_DSCP),
                OFF,
                "Whether packets within get the traffic class of those that carried them.",
            ),
            row(
                "local-remote",
                Syntax::Boolean,
                &[$flags],
                Wire::Bit(U32, LOCAL_REMOTE),
                OFF,
                "Whether the other side may be this host.",
            ),
        ]
    };
}

const GRE6: [Attribute; 9] = six!(6, 7, 8, 11, 12, 13);
const TUNNEL6: [Attribute; 9] = six!(2, 3, 4, 6, 7, 8);

pub(super) const IP6GRE: Kind = tunnel(
    "ip6gre",
    "Packets in GRE over IPv6 (RFC 7676).",
    &[
        GRE6[0],
        GRE6[1],
        GRE6[2],
        GRE6[3],
        GRE6[4],
        GRE6[5],
        GRE6[6],
        GRE6[7],
        GRE6[8],
        GRE_CHECKSUM,
        GRE_SEQUENCE,
        GRE_KEY,
        GRE_MARK,
    ],
);

pub(super) const IP6TNL: Kind = tunnel(
    "ip6tnl",
    "Packets in IPv6 (RFC 2473).",
    &[
        TUNNEL6[0],
        TUNNEL6[1],
        TUNNEL6[2],
        TUNNEL6[3],
        TUNNEL6[4],
        TUNNEL6[5],
        TUNNEL6[6],
        TUNNEL6[7],
        TUNNEL6[8],
        row(
            "carries",
            Syntax::Choice(&["any", "ipv4", "ipv6"]),
            &[9],
            Word(U8, &[("any", 0), ("ipv4", 4), ("ipv6", 41)]),
            Some("\"any\""),
            "What is within.",
        ),
        MARK,
    ],
);

const MARK: Attribute = row(
    "mark",
    ANY_32,
    &[20],
    Number(U32),
    Some("0"),
    "The mark of the tunnel's own packets.",
);

const LOCAL: Attribute = row(
    "local",
    ADDRESS,
    &[2],
    Address4,
    None,
    "This side's address.",
);
const REMOTE: Attribute = row(
    "remote",
    ADDRESS,
    &[3],
    Address4,
    None,
    "The other side's address; without it the tunnel has many ends.",
)
.changes(Change::Anew);
const TTL_4: Attribute = row(
    "ttl",
    TTL,
    &[4],
    Number(U8),
    None,
    "How far its packets go; without it as far as those within.",
);
const TOS: Attribute = row(
    "tos",
    number(0, 255),
    &[5],
    Number(U8),
    Some("0"),
    "The type of service of its packets; 1 takes it from those within.",
);
const DISCOVERY: Attribute = row(
    "path-mtu-discovery",
    Syntax::Boolean,
    &[10],
    Switch(U8),
    ON,
    "Whether its packets may not be cut on the way.",
);

pub(super) const IPIP: Kind = tunnel(
    "ipip",
    "Packets in IPv4 (RFC 2003).",
    &[
        LOCAL,
        REMOTE,
        TTL_4,
        TOS,
        DISCOVERY,
        row(
            "carries",
            Syntax::Choice(&["any", "ipv4", "mpls"]),
            &[9],
            Word(U8, &[("any", 0), ("ipv4", 4), ("mpls", 137)]),
            Some("\"ipv4\""),
            "What is within.",
        )
        .changes(Change::Anew),
        MARK,
    ],
);

/// Without it the kernel makes 64 of it for this kind alone.
const TTL_SIT: Attribute = row(
    "ttl",
    number(0, 255),
    &[4],
    Number(U8),
    Some("64"),
    "How far its packets go; 0 for as far as those within.",
);

pub(super) const SIT: Kind = tunnel(
    "sit",
    "IPv6 packets in IPv4 (RFC 4213), 6rd (RFC 5969) and ISATAP (RFC 5214).",
    &[
        LOCAL,
        REMOTE,
        TTL_SIT,
        TOS,
        DISCOVERY,
        row(
            "carries",
            Syntax::Choice(&["any", "ipv4", "ipv6", "mpls"]),
            &[9],
            Word(U8, &[("any", 0), ("ipv4", 4), ("ipv6", 41), ("mpls", 137)]),
            Some("\"ipv6\""),
            "What is within.",
        )
        .changes(Change::Anew),
        row(
            "isatap",
            Syntax::Boolean,
            &[8],
            Wire::Bit(U16, 0),
            OFF,
            "Whether the other side's address is read out of the IPv6 address.",
        )
        .changes(Change::Anew),
        row(
            "sixrd-prefix",
            ADDRESS,
            &[11],
            Address6,
            None,
            "The prefix of 6rd, without its length.",
        ),
        row(
            "sixrd-prefix-length",
            number(0, 64),
            &[13],
            Number(U16),
            None,
            "Its length.",
        ),
        row(
            "sixrd-relay-prefix",
            ADDRESS,
            &[12],
            Address4,
            None,
            "The part of the IPv4 addresses that all have, without its length.",
        ),
        row(
            "sixrd-relay-prefix-length",
            number(0, 32),
            &[14],
            Number(U16),
            None,
            "Its length.",
        ),
        MARK,
    ],
);

pub(super) const XFRM: Kind = Kind {
    changes_whole: false,
    ..tunnel(
        "xfrm",
        "Packets that IPsec policies with the same id protect.",
        &[row(
            "id",
            number(1, 4_294_967_295),
            &[2],
            Number(U32),
            None,
            "The id of policies and states.",
        )
        .changes(Change::Anew)
        .needed()],
    )
};
