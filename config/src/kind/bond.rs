//! What can be said of a bond, and of its ports? `IFLA_BOND_*` and `IFLA_BOND_SLAVE_*`.

use super::{
    Attribute, Change, Kind, Maker, OFF, ON, Parent,
    Width::{U8, U16, U32},
    Wire::{self, Number, Switch, Time, Word},
    number, row,
};
use crate::reference::{Form, Syntax};

const MILLIS: u32 = 1000;
const INTERVAL: Syntax = Syntax::Text(Form::Interval);

pub(super) const BOND: Kind = Kind {
    name: "bond",
    info: "bond",
    doc: "Several links that act as one.",
    maker: Maker::Netlink,
    parent: Parent::None,
    goes_with_parent: true,
    has_peer: false,
    ports: Some(PORTS),
    joins_down: true,
    changes_whole: false,
    attributes: ATTRIBUTES,
};

const ATTRIBUTES: &[Attribute] = &[
    row("mode", Syntax::Choice(&["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"]), &[1], Word(U8, &[("balance-rr", 0), ("active-backup", 1), ("balance-xor", 2), ("broadcast", 3), ("802.3ad", 4), ("balance-tlb", 5), ("balance-alb", 6)]), Some("\"balance-rr\""), "Which port sends what.").changes(Change::Empty),
    row("mii-interval", INTERVAL, &[3], Time(U32, MILLIS), Some("\"0ms\""), "How often the carrier of the ports is looked at; zero never does.",),
    row("up-delay", INTERVAL, &[4], Time(U32, MILLIS), Some("\"0ms\""), "How long a port must have its carrier before it is used."),
    row("down-delay", INTERVAL, &[5], Time(U32, MILLIS), Some("\"0ms\""), "How long a port may be without carrier before it is left."),
    row("arp-interval", INTERVAL, &[7], Time(U32, MILLIS), Some("\"0ms\""), "How often ARP questions prove that a port works; zero for none."),
    row("arp-targets", Syntax::List(Form::Address), &[8], Wire::Addresses { is_ipv6: false }, None, "The IPv4 addresses that are asked for, at most 16."),
    row("arp-validate", Syntax::Choice(&["none", "active", "backup", "all", "filter", "filter-active", "filter-backup"]), &[9], Word(U32, &[("none", 0), ("active", 1), ("backup", 2), ("all", 3), ("filter", 4), ("filter-active", 5), ("filter-backup", 6)]), Some("\"none\""), "At which ports only answers count."),
    row("arp-all-targets", Syntax::Choice(&["any", "all"]), &[10], Word(U32, &[("any", 0), ("all", 1)]), Some("\"any\""), "How many of the targets must answer."),
    row("primary", Syntax::Text(Form::LinkName), &[11], Wire::Link, None, "The port that is used whenever it works."),
    row("primary-reselect", Syntax::Choice(&["always", "better", "failure"]), &[12], Word(U8, &[("always", 0), ("better", 1), ("failure", 2)]), Some("\"always\""), "When the primary is taken again."),
    row("mac-policy", Syntax::Choice(&["none", "active", "follow"]), &[13], Word(U8, &[("none", 0), ("active", 1), ("follow", 2)]), Some("\"none\""), "Which hardware address the bond has: that of its first port, of the active one, or the active one has the bond's.").changes(Change::Empty),
    row("hash", Syntax::Choice(&["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"]), &[14], Word(U8, &[("layer2", 0), ("layer3+4", 1), ("layer2+3", 2), ("encap2+3", 3), ("encap3+4", 4), ("vlan+srcmac", 5)]), Some("\"layer2\""), "What decides by which port a packet leaves."),
    row("resend-igmp", number(0, 255), &[15], Number(U32), Some("1"), "How often groups are joined again after a change of the port."),
    row("notify-neighbours", number(0, 255), &[16], Number(U8), Some("1"), "How often neighbours are told of a change of the port."),
    row("all-ports-active", Syntax::Boolean, &[17], Switch(U8), OFF, "Whether duplicates that come in by inactive ports are kept."),
    row("min-links", number(0, 255), &[18], Number(U32), Some("0"), "How many ports must work before the bond has a carrier."),
    row("learning-interval", number(1, 2_147_483_647), &[19], Number(U32), Some("1"), "How many seconds lie between learning packets."),
    row("packets-per-port", number(0, 65_535), &[20], Number(U32), Some("1"), "How many packets leave by a port before the next has its turn; 0 draws lots."),
    row("lacp-rate", Syntax::Choice(&["slow", "fast"]), &[21], Word(U8, &[("slow", 0), ("fast", 1)]), Some("\"slow\""), "How often the other side is asked to speak: every 30 s, or every second.").changes(Change::Down),
    row("aggregator", Syntax::Choice(&["stable", "bandwidth", "count"]), &[22], Word(U8, &[("stable", 0), ("bandwidth", 1), ("count", 2)]), Some("\"stable\""), "Which group of ports is used.").changes(Change::Down),
    row("lacp-priority", number(1, 65_535), &[24], Number(U16), Some("65535"), "The priority of this side.").changes(Change::Down),
    row("lacp-key", number(0, 1023), &[25], Number(U16), Some("0"), "The upper bits of the ports' key.").changes(Change::Down),
    row("lacp-mac", Syntax::Text(Form::Mac), &[26], Wire::Mac, None, "The hardware address by which this side is known.").changes(Change::Down),
    row("balance-by-load", Syntax::Boolean, &[27], Switch(U8), ON, "Whether balance-tlb moves flows between ports.").changes(Change::Down),
    row("notify-delay", INTERVAL, &[28], Time(U32, MILLIS), Some("\"0ms\""), "How far apart those notices are."),
    row("lacp-active", Syntax::Boolean, &[29], Switch(U8), ON, "Whether this side speaks first.").changes(Change::Down),
    row("arp-misses", number(1, 255), &[30], Number(U8), Some("2"), "How many ARP questions may go without an answer before a port counts as down."),
    row("neighbour-targets", Syntax::List(Form::Address), &[31], Wire::Addresses { is_ipv6: true }, None, "As arp-targets, for IPv6."),
];

const PORTS: &[Attribute] = &[
    row(
        "queue",
        number(0, 65_535),
        &[5],
        Number(U16),
        Some("0"),
        "The queue of the bond that leads to this port.",
    )
    .of_port(),
    row(
        "priority",
        number(-2_147_483_648, 2_147_483_647),
        &[9],
        Number(U32),
        Some("0"),
        "Higher is preferred when a port fails.",
    )
    .of_port(),
];
