//! The keys of a profile that say what is to be done to its links: addresses, clients, routes, rules, switches.

use super::key;
use crate::reference::{Form, Key, Section, Syntax};

pub(super) const METRIC: Syntax = Syntax::Integer {
    min: 0,
    max: u32::MAX as i64,
};
pub(super) const TABLE: Syntax = Syntax::Integer {
    min: 1,
    max: u32::MAX as i64,
};
const MTU: Syntax = Syntax::Integer {
    min: 68,
    max: 65_535,
};

/// The kernel makes less of more.
pub(super) const ROUTE_MTU: Syntax = Syntax::Integer {
    min: 68,
    max: 65_520,
};
pub(super) const SEGMENTS: Syntax = Syntax::Integer {
    min: 1,
    max: 65_535,
};

/// In the order of the reference.
pub(super) const KEYS: &[Key] = &[
    key(
        Section::Profile,
        "autoconnect",
        Syntax::Boolean,
        Some("true"),
        "Whether the links are set up by themselves; otherwise `linnet up LINK` does.",
    ),
    key(
        Section::Profile,
        "mtu",
        MTU,
        None,
        "The largest packet, in octets; without it that of the network, or as the link has it.",
    ),
    key(
        Section::Profile,
        "mac",
        Syntax::Text(Form::Mac),
        None,
        "The hardware address to take; without it as the link has it.",
    ),
    key(
        Section::Profile,
        "address-generation",
        Syntax::Text(Form::Generation),
        Some("\"stable\""),
        "How the lower half of an address is made where routers give the upper: another in each network but always the same there (RFC 7217), of the hardware address, or as written.",
    ),
    key(
        Section::Profile,
        "privacy",
        Syntax::Choice(&["off", "available", "preferred"]),
        Some("\"off\""),
        "Temporary addresses beside those of router advertisements (RFC 8981): none, only for programs that ask for them, or for all connections.",
    ),
    key(
        Section::Profile,
        "ipv4ll",
        Syntax::Choice(&["off", "fallback", "always"]),
        Some("\"off\""),
        "An IPv4 link-local address (RFC 3927): none, when DHCPv4 was asked in vain, or always.",
    ),
    key(
        Section::Profile,
        "metric",
        Syntax::Integer {
            min: 0,
            max: 1_000_000_000,
        },
        None,
        "The metric of routes that name none, and the place of the link among those with a default route; lower wins, and without it the link's kind says (see docs/links.md).",
    ),
    key(
        Section::Profile,
        "table",
        TABLE,
        None,
        "The table of routes that name none; without it the main table.",
    ),
    key(
        Section::Profile,
        "priority",
        Syntax::Integer {
            min: -1000,
            max: 1000,
        },
        Some("0"),
        "Which link gets the default route among those that reach equally far, before their metrics are looked at; higher wins.",
    ),
    key(
        Section::Profile,
        "default-route",
        Syntax::Choice(&["auto", "never"]),
        Some("\"auto\""),
        "Whether a default route that the network supplies is taken.",
    ),
    key(
        Section::Profile,
        "forwarding",
        Syntax::Boolean,
        None,
        "Whether packets that come in by the links go on to others; without it as it is.",
    ),
    key(
        Section::Profile,
        "lldp",
        Syntax::Boolean,
        Some("false"),
        "Whether switches are listened to that say what they are and which of their ports this is (LLDP), on links that are set up; nothing is said.",
    ),
    key(
        Section::Profile,
        "dhcp",
        Syntax::Table(Section::Dhcp),
        None,
        "How DHCP servers are asked.",
    ),
    key(
        Section::Profile,
        "take",
        Syntax::Table(Section::Take),
        None,
        "What is taken of what the network supplies, beside addresses.",
    ),
    key(
        Section::Profile,
        "delegated",
        Syntax::Table(Section::Delegated),
        None,
        "The part of a prefix delegated to another link that the link gets.",
    ),
    key(
        Section::Profile,
        "carrier",
        Syntax::Table(Section::Carrier),
        None,
        "What happens when the carrier goes.",
    ),
    key(
        Section::Profile,
        "rules",
        Syntax::Tables(Section::Rules),
        None,
        "Which table decides for which packets.",
    ),
    key(
        Section::Dhcp,
        "hostname",
        Syntax::Text(Form::Label),
        None,
        "The name to send; without it the host's.",
    ),
    key(
        Section::Dhcp,
        "send-hostname",
        Syntax::Boolean,
        Some("true"),
        "Whether a name is sent.",
    ),
    key(
        Section::Dhcp,
        "anonymous",
        Syntax::Boolean,
        Some("false"),
        "Whether nothing is sent that tells who we are, by DHCPv4 and by DHCPv6 (RFC 7844).",
    ),
    key(
        Section::Dhcp,
        "client-id",
        Syntax::Text(Form::ClientId),
        Some("\"mac\""),
        "By what a DHCPv4 server knows us: the hardware address, the identity of the machine (RFC 4361), something made of the link's name and a secret of the machine, which stays when the hardware address changes, or octets with the type before them.",
    ),
    key(
        Section::Dhcp,
        "duid",
        Syntax::Text(Form::Duid),
        Some("\"machine-id\""),
        "By what DHCPv6 servers know the machine, and DHCPv4 servers with `client-id = \"duid\"`: something made of `/etc/machine-id`, the hardware address, or octets with the type before them.",
    ),
    key(
        Section::Dhcp,
        "iaid",
        Syntax::Integer {
            min: 0,
            max: 4_294_967_295,
        },
        None,
        "By what they tell the link from the machine's others; without it a number made of the link's name.",
    ),
    key(
        Section::Dhcp,
        "vendor-class",
        Syntax::Text(Form::Text),
        None,
        "The vendor class to send to DHCPv4 servers.",
    ),
    key(
        Section::Dhcp,
        "user-class",
        Syntax::OneOrMore(Form::Text),
        None,
        "The user classes to send (RFC 3004).",
    ),
    key(
        Section::Dhcp,
        "dns-update",
        Syntax::Choice(&["server", "client", "nobody"]),
        Some("\"server\""),
        "Who is to write the name into DNS, where a server does such things: the server name and address both, the server the way back alone, or nobody (RFC 4702, 4704).",
    ),
    key(
        Section::Dhcp,
        "accept-servers",
        Syntax::List(Form::Address),
        Some("[]"),
        "The only DHCPv4 servers that are listened to; without it all.",
    ),
    key(
        Section::Dhcp,
        "reject-servers",
        Syntax::List(Form::Address),
        Some("[]"),
        "DHCPv4 servers that are not listened to.",
    ),
    key(
        Section::Dhcp,
        "broadcast",
        Syntax::Boolean,
        Some("false"),
        "Whether DHCPv4 replies must be broadcast, for links that cannot hear others before they have an address.",
    ),
    key(
        Section::Dhcp,
        "ipv6-only",
        Syntax::Boolean,
        Some("false"),
        "Whether IPv4 is done without where the network prefers that (RFC 8925).",
    ),
    key(
        Section::Dhcp,
        "when",
        Syntax::Choice(&["advertised", "always"]),
        Some("\"advertised\""),
        "When DHCPv6 runs: as router advertisements say, or whatever they say; without `ra = true` always.",
    ),
    key(
        Section::Dhcp,
        "stateful",
        Syntax::Boolean,
        Some("true"),
        "Whether DHCPv6 servers are asked for addresses, not only for settings.",
    ),
    key(
        Section::Dhcp,
        "delegate",
        Syntax::Integer { min: 0, max: 64 },
        None,
        "The length of a prefix to ask DHCPv6 servers for, to hand on to other links; 0 leaves it to the server, and without it none is asked for.",
    ),
    key(
        Section::Dhcp,
        "rapid-commit",
        Syntax::Boolean,
        Some("true"),
        "Whether two DHCPv6 messages are enough where the server agrees.",
    ),
    key(
        Section::Dhcp,
        "register",
        Syntax::Boolean,
        Some("true"),
        "Whether DHCPv6 servers that wish it are told of the addresses that are made here (RFC 9686).",
    ),
    key(
        Section::Dhcp,
        "send",
        Syntax::Numbered {
            max: 254,
            form: Form::OptionValue,
        },
        None,
        "Options to send to DHCPv4 servers, by number, as `{ 43 = \"hex:01:02\", 150 = \"address:192.0.2.1\" }`.",
    ),
    key(
        Section::Dhcp,
        "request",
        Syntax::Numbers { min: 1, max: 254 },
        Some("[]"),
        "Options to ask DHCPv4 servers for besides, by number; what comes is shown by `linnet status`, and nothing else is made of it.",
    ),
    key(
        Section::Dhcp,
        "send6",
        Syntax::Numbered {
            max: 65_535,
            form: Form::OptionValue,
        },
        None,
        "As `send`, to DHCPv6 servers.",
    ),
    key(
        Section::Dhcp,
        "request6",
        Syntax::Numbers {
            min: 1,
            max: 65_535,
        },
        Some("[]"),
        "As `request`, of DHCPv6 servers.",
    ),
    key(
        Section::Take,
        "dns",
        Syntax::Boolean,
        Some("true"),
        "Upstreams, and the prefix by which the network translates to IPv4.",
    ),
    key(
        Section::Take,
        "search",
        Syntax::Boolean,
        Some("true"),
        "Search suffixes.",
    ),
];
