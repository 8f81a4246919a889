//! How does the reference read? `docs/config.md`, from the table.

use std::fmt::Write as _;

use super::{Form, Section, Syntax};
use crate::units::{size_text, time_text};

const INTRODUCTION: &str = "# Configuration

Generated from the table in `config/src/reference/keys.rs`; `LINNET_BLESS=1 cargo test -p config` writes it anew.

linnet reads TOML from `/usr/lib/linnet/`, `/etc/linnet/` and `/run/linnet/`, each with `linnet.toml`, `conf.d/*.toml` and `profiles/*.toml`.
`--config-dir DIR` replaces all three. Later files override earlier ones key by key, in this order: the built-in defaults, `linnet.toml` of
`/usr/lib`, `linnet.toml` of `/etc`, all drop-ins of `conf.d/` sorted by file name, `linnet.toml` of `/run`. A drop-in or profile replaces
the one of the same name in a lower directory; an empty file, or a symbolic link to `/dev/null`, removes it.

A file with an error is left out whole and the rest holds. Two things are kept all the same: a reload with a broken `linnet.toml` keeps
the old configuration, and what a broken profile claims is refused, not asked elsewhere. `linnet config check` shows all errors of all
files at once.
";

/// Writes the reference for people.
pub fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in Section::ALL {
        let (title, about) = heading(section);
        let _ = write!(
            text,
            "\n## {title}\n\n{about}\n\n| key | value | default | meaning | since |\n|---|---|---|---|---|\n"
        );
        for key in section.keys() {
            let default = key
                .default
                .map_or_else(|| "–".to_owned(), |default| format!("`{default}`"));
            let secret = if key.secret { " Never shown." } else { "" };
            let _ = writeln!(
                text,
                "| `{}` | {} | {default} | {}{secret} | {} |",
                key.name,
                describe(key.syntax),
                key.doc,
                key.since
            );
        }
    }
    super::kinds::markdown(&mut text);
    text
}

fn heading(section: Section) -> (&'static str, &'static str) {
    match section {
        Section::Main => (
            "At the top of linnet.toml and conf.d",
            "Before any [section].",
        ),
        Section::Resolver => (
            "`[resolver]` in linnet.toml and conf.d",
            "The stub, and the default scope: where names go that nobody claims.",
        ),
        Section::Links => (
            "`[links]` in linnet.toml and conf.d",
            "What linnet may do to links.",
        ),
        Section::Connectivity => (
            "`[connectivity]` in linnet.toml and conf.d",
            "Whether there is an Internet behind a link, and a portal before it; [links.md](links.md) tells how that is found out.",
        ),
        Section::Listeners => (
            "`[[listeners]]` in linnet.toml and conf.d",
            "Once for each place where others than this host's programs may ask; docs/listeners.md tells how. A later file adds to those of earlier ones, and replaces one at the same place.",
        ),
        Section::Metrics => (
            "`[metrics]` in linnet.toml and conf.d",
            "Numbers for Prometheus, without names of questions and addresses of clients; see `docs/observability.md`.",
        ),
        Section::Dnstap => (
            "`[dnstap]` in linnet.toml and conf.d",
            "Every message, for a collector that speaks Frame Streams; names are in it.",
        ),
        Section::Log => (
            "`[log]` in linnet.toml and conf.d",
            "A line for each question, with the reasons for its answer.",
        ),
        Section::Records => (
            "`[[records]]` in linnet.toml, conf.d and profiles",
            "Once for each type at each name; those of all files add up, but for a profile's, which hold where it does. See [local-data.md](local-data.md).",
        ),
        Section::Lists => (
            "`[[lists]]` in linnet.toml and conf.d",
            "Once for each file of names; those of all files add up, and the first that knows a name decides. See [local-data.md](local-data.md).",
        ),
        Section::Services => (
            "`[[services]]` in linnet.toml and conf.d",
            "Once for each service that is announced by multicast DNS where `mdns` is `respond`; those of all files add up. See [mdns.md](mdns.md).",
        ),
        Section::Profile => (
            "The top of `profiles/ID.toml`",
            "The file's name is the profile's id: letters, digits, `.`, `_` and `-`.",
        ),
        Section::Match => (
            "`match` in a profile",
            "Every part that is given must hold; of the values of one part, one must. Globs know `*`, `?`, `[a-z]` and `[!a]`; a `!` before a glob negates it.",
        ),
        Section::Dns => (
            "`[dns]` in a profile",
            "Whom to ask, and for which names. A claimed name is asked here or refused.",
        ),
        Section::Dhcp => (
            "`[dhcp]` in a profile",
            "How DHCP servers are asked, with `dhcp4 = true` or `dhcp6 = true` at the top. What only one of the two has says so.",
        ),
        Section::Take => (
            "`[take]` in a profile",
            "What is taken of what DHCP and router advertisements supply. Addresses always are; for the default route see `default-route`.",
        ),
        Section::Delegated => (
            "`[delegated]` in a profile",
            "A part of a prefix that was delegated to another link by DHCPv6, whose profile has `delegate` in `[dhcp]`. What no link gets is unreachable.",
        ),
        Section::Carrier => (
            "`[carrier]` in a profile",
            "What happens when the carrier goes. What comes back within its time was never away.",
        ),
        Section::Hardware => (
            "`[hardware]` in a profile",
            "What network cards are to do (`ethtool`). What a card does not let be changed is told by `linnet status`, and keeps nothing else from working.",
        ),
        Section::Rules => (
            "`[[rules]]` in a profile",
            "Once for each rule; they hold while a link of the profile is set up.",
        ),
        Section::Addresses => (
            "`[[addresses]]` in a profile",
            "Once for each static address of which there is more to say; the list may have both, as `addresses = [\"192.0.2.10/24\", { address = \"192.0.2.11/24\", label = \"web\" }]`.",
        ),
        Section::Routes => ("`[[routes]]` in a profile", "Once for each route."),
        Section::Link => (
            "`[link]` in a profile",
            "The profile's link is made by linnet. What else can be said hangs on its kind: see *Kinds of links* below.",
        ),
        Section::Ports => (
            "`[[ports]]` in a profile",
            "Once for each port of which there is more to say than its name. What else can be said hangs on the link's kind.",
        ),
        Section::Peers => (
            "`[[peers]]` in a profile",
            "Once for each peer of a link of kind `wireguard`.",
        ),
        Section::Associations => (
            "`[[associations]]` in a profile",
            "Once for each static association of a link of kind `macsec`: one that sends, and those that are received, with `from`.",
        ),
    }
}

/// Says what a value looks like.
pub(crate) fn describe(syntax: Syntax) -> String {
    match syntax {
        Syntax::Boolean => "`true` or `false`".to_owned(),
        Syntax::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            words.join(", ")
        }
        Syntax::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Syntax::Size { min, max } => format!(
            "a size from `\"{}\"` to `\"{}\"`",
            size_text(min),
            size_text(max)
        ),
        Syntax::Time { min, max } => format!(
            "a length of time from `\"{}\"` to `\"{}\"`",
            time_text(min),
            time_text(max)
        ),
        Syntax::Text(form) => one(form).to_owned(),
        Syntax::List(form) => format!("a list of {}", many(form)),
        Syntax::OneOrMore(form) => format!("{}, or a list of them", one(form)),
        Syntax::Numbers { min, max } => format!("a list of whole numbers from {min} to {max}"),
        Syntax::Numbered { max, form } => {
            format!(
                "a table of numbers from 1 to {max}, each with {}",
                one(form)
            )
        }
        Syntax::Mixed(form, section) => {
            format!(
                "a list of {}, or of tables: see `{}`",
                many(form),
                section.label()
            )
        }
        Syntax::Table(section) => format!("a table: see `{}`", section.label()),
        Syntax::Tables(section) => format!("tables: see `{}`", section.label()),
    }
}

fn one(form: Form) -> &'static str {
    match form {
        Form::Path => "a path",
        Form::Place => "`\"unix:PATH\"`, or an address and port",
        Form::Upstream => "an upstream",
        Form::Domain => "a domain name",
        Form::Listen => "an address and port",
        Form::Prefix => "an address and length, as `\"10.8.0.2/24\"`",
        Form::Network => "a network, as `\"10.0.0.0/8\"`",
        Form::Address => "an address",
        Form::Glob => "a glob",
        Form::Mac => "a hardware address, as `\"00:53:00:a1:b2:c3\"`",
        Form::MacUse => {
            "`\"stable\"`, `\"random\"`, or a hardware address, as `\"02:53:00:a1:b2:c3\"`"
        }
        Form::Owner => "a domain name, or `\"*.dev.example\"` for all below one",
        Form::RecordType => "a record type, as `\"MX\"` or `\"TYPE65280\"`",
        Form::Data => "data as zone files have it, as `\"10 mx.example\"`",
        Form::Label => "a word of letters, digits, `.`, `_` and `-`",
        Form::ScopeName => "a profile's id, or `\"default\"`",
        Form::ProfileId => "a profile's id",
        Form::ServiceType => "a type of service, as `\"_ipp._tcp\"`",
        Form::Subtype => "a label, as `\"_universal\"`",
        Form::ServiceText => "`\"KEY=VALUE\"` or `\"KEY\"`",
        Form::Mapping => "`\"off\"`, `\"auto\"`, or a prefix, as `\"64:ff9b::/96\"`",
        Form::LinkName => "a link's name",
        Form::Text => "a text",
        Form::Generation => "`\"stable\"`, `\"eui64\"`, or 64 bits, as `\"::1\"`",
        Form::OptionValue => {
            "a type and a value, as `\"text:lab\"`, `\"hex:01:0a\"`, `\"u8:1\"`, `\"u16:1\"`, `\"u32:1\"`, `\"address:192.0.2.1\"`, `\"name:host.example\"` or `\"empty\"`"
        }
        Form::ClientId => {
            "`\"kept\"`, `\"mac\"`, `\"permanent-mac\"`, `\"duid\"`, `\"stable\"`, or octets, as `\"00:6c:61:62\"`"
        }
        Form::Duid => {
            "`\"kept\"`, `\"machine-id\"`, `\"mac\"`, or octets, as `\"00:03:00:01:00:53:00:a1:b2:c3\"`"
        }
        Form::CarrierUse => "`\"ignore\"`, or a length of time, as `\"30s\"`",
        Form::Hop => {
            "a way, as `\"10.8.0.1\"`, `\"10.8.0.1 weight 2\"`, `\"10.8.0.1 link wan0\"` or `\"link ppp0\"`"
        }
        Form::Range => "a number, or two, as `\"22\"` or `\"1000-1999\"`",
        Form::Mark => "a mark, as `\"0x1\"` or `\"0x1/0xff\"`",
        Form::Interval => "a length of time, as `\"100ms\"` or `\"2s\"`",
        Form::Pair => "two numbers, as `\"3:5\"`",
        Form::PortRange => "two ports, as `\"32768-60999\"`",
        Form::Vlans => "a VLAN, or a range of them, as `\"20-29\"`",
        Form::WireguardKey => "a key, as `wg genkey` and `wg pubkey` write it",
        Form::Endpoint => "a name or address with a port, as `\"vpn.example:51820\"`",
        Form::Url => "a page, as `\"https://probe.example/ok\"`",
    }
}

fn many(form: Form) -> &'static str {
    match form {
        Form::Path => "paths",
        Form::Place => "sockets",
        Form::Upstream => {
            "upstreams: `\"192.0.2.1\"`, `\"192.0.2.1:5353\"`, `\"[2001:db8::1]:53\"`, `\"fe80::1%eth0\"`, `\"tls://192.0.2.1#dns.example\"`, `\"https://dns.example/dns-query@192.0.2.1\"`, `\"h3://dns.example/dns-query@192.0.2.1\"`, `\"quic://192.0.2.1#dns.example\"`"
        }
        Form::Domain => "domain names",
        Form::Listen => "addresses, as `\"127.0.0.53:53\"` or `\"[::1]:53\"`",
        Form::Prefix => "addresses with length, as `\"10.8.0.2/24\"`",
        Form::Network => "networks, as `\"10.0.0.0/8\"`",
        Form::Address => "addresses",
        Form::Glob => "globs",
        Form::Mac | Form::MacUse => "hardware addresses",
        Form::Owner => "domain names",
        Form::RecordType => "record types",
        Form::Data => "data as zone files have it",
        Form::Label => "words",
        Form::ScopeName => "profile ids, or `\"default\"`",
        Form::ProfileId => "profile ids",
        Form::ServiceType => "types of services",
        Form::Subtype => "labels, as `\"_universal\"`",
        Form::ServiceText => "texts, as `\"pages=many\"`",
        Form::Mapping => "prefixes",
        Form::LinkName => "names of links",
        Form::Text => "texts",
        Form::Generation => "ways to make addresses",
        Form::ClientId => "identifiers",
        Form::Duid => "identifiers of machines",
        Form::OptionValue => "values of options",
        Form::CarrierUse => "lengths of time",
        Form::Hop => "ways",
        Form::Range => "ranges",
        Form::Mark => "marks",
        Form::Interval => "lengths of time",
        Form::Pair => "pairs of numbers, as `\"3:5\"`",
        Form::PortRange => "pairs of ports",
        Form::Vlans => "VLANs and ranges of them, as `\"10\"` and `\"20-29\"`",
        Form::WireguardKey => "keys",
        Form::Endpoint => "names or addresses with ports",
        Form::Url => "pages",
    }
}
