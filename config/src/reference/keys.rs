//! The table of all keys: what there is to say about each. Defaults stand here as text; a test compares them with the model.

mod connectivity;
mod hardware;
mod kinds;
mod local;
mod network;
mod observing;
mod profile;
mod routing;
mod services;

use super::{Form, Key, Section, Syntax};

const DNSSEC: Syntax = Syntax::Choice(&["auto", "enforce", "observe", "off"]);
const TRANSPORT: Syntax = Syntax::Choice(&["any", "opportunistic", "encrypted"]);
const RECURSION: Syntax = Syntax::Choice(&["auto", "always", "never"]);
const MDNS: Syntax = Syntax::Choice(&["off", "resolve", "respond"]);
const LLMNR: Syntax = Syntax::Choice(&["off", "resolve"]);
const SELECTION: Syntax = Syntax::Choice(&["ordered", "fastest", "hedged"]);
const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

const fn key(
    section: Section,
    name: &'static str,
    syntax: Syntax,
    default: Option<&'static str>,
    doc: &'static str,
) -> Key {
    Key {
        section,
        name,
        syntax,
        default,
        doc,
        secret: false,
        since: "0.1",
    }
}

/// How many keys there are.
const COUNT: usize = MAIN.len()
    + connectivity::KEYS.len()
    + local::KEYS.len()
    + services::KEYS.len()
    + observing::KEYS.len()
    + profile::KEYS.len()
    + network::KEYS.len()
    + routing::KEYS.len()
    + kinds::KEYS.len()
    + hardware::KEYS.len();

/// All keys, in the order of the reference.
pub static KEYS: &[Key] = &joined([
    MAIN,
    &connectivity::KEYS,
    &local::KEYS,
    &services::KEYS,
    &observing::KEYS,
    profile::KEYS,
    network::KEYS,
    routing::KEYS,
    &hardware::KEYS,
    &kinds::KEYS,
]);

const fn joined(parts: [&[Key]; 10]) -> [Key; COUNT] {
    let mut keys = [MAIN[0]; COUNT];
    let (mut part, mut to) = (0, 0);
    while part < parts.len() {
        let mut at = 0;
        while at < parts[part].len() {
            keys[to] = parts[part][at];
            (at, to) = (at + 1, to + 1);
        }
        part += 1;
    }
    keys
}

/// The keys of `linnet.toml` that have no file of their own.
const MAIN: &[Key] = &[
    key(
        Section::Main,
        "autoload",
        Syntax::Boolean,
        Some("false"),
        "Whether files of the configuration are read by themselves when they change; otherwise `linnet config reload` has them read.",
    ),
    key(
        Section::Main,
        "resolver",
        Syntax::Table(Section::Resolver),
        None,
        "The stub and the default scope.",
    ),
    key(
        Section::Main,
        "links",
        Syntax::Table(Section::Links),
        None,
        "What linnet may do to links.",
    ),
    key(
        Section::Main,
        "connectivity",
        Syntax::Table(Section::Connectivity),
        None,
        "What is found out about links.",
    ),
    key(
        Section::Main,
        "listeners",
        Syntax::Tables(Section::Listeners),
        None,
        "Where others than this host's programs may ask.",
    ),
    key(
        Section::Main,
        "metrics",
        Syntax::Table(Section::Metrics),
        None,
        "Numbers for Prometheus.",
    ),
    key(
        Section::Main,
        "dnstap",
        Syntax::Table(Section::Dnstap),
        None,
        "Every message, for a collector.",
    ),
    key(
        Section::Main,
        "log",
        Syntax::Table(Section::Log),
        None,
        "A line for each question.",
    ),
    key(
        Section::Main,
        "records",
        Syntax::Tables(Section::Records),
        None,
        "Records that are answered on this machine.",
    ),
    key(
        Section::Main,
        "lists",
        Syntax::Tables(Section::Lists),
        None,
        "Files of names that are blocked or rewritten.",
    ),
    key(
        Section::Main,
        "services",
        Syntax::Tables(Section::Services),
        None,
        "Services of this machine that neighbours may find.",
    ),
    key(
        Section::Resolver,
        "enabled",
        Syntax::Boolean,
        Some("true"),
        "Whether the stub listens at all.",
    ),
    key(
        Section::Resolver,
        "listen",
        Syntax::List(Form::Listen),
        Some("[\"127.0.0.53:53\"]"),
        "Where the stub listens, UDP and TCP; loopback addresses only.",
    ),
    key(
        Section::Resolver,
        "listen-bypass",
        Syntax::List(Form::Listen),
        Some("[\"127.0.0.54:53\"]"),
        "Where the stub listens for clients that want no search, no synthesis and no validation.",
    ),
    key(
        Section::Resolver,
        "threads",
        Syntax::Integer { min: 0, max: 64 },
        Some("1"),
        "How many threads answer from the cache at each address; 0 leaves that to the loop that does everything else.",
    ),
    key(
        Section::Resolver,
        "resolv-conf",
        Syntax::Choice(&["unmanaged", "stub", "uplink"]),
        Some("\"unmanaged\""),
        "Who writes /etc/resolv.conf: nobody, linnet naming its stub, or linnet naming the upstreams of the default scope.",
    ),
    key(
        Section::Resolver,
        "upstreams",
        Syntax::List(Form::Upstream),
        Some("[]"),
        "Upstreams of the default scope; without them come those of profiles, run-time claims and a foreign resolv.conf.",
    ),
    key(
        Section::Resolver,
        "search",
        Syntax::List(Form::Domain),
        Some("[]"),
        "Search suffixes of the whole machine, tried after those of the links.",
    ),
    key(
        Section::Resolver,
        "selection",
        SELECTION,
        Some("\"ordered\""),
        "How an upstream is chosen within a scope: the first that works, the one with the least round-trip time, or two at once, of which the first good reply wins.",
    ),
    key(
        Section::Resolver,
        "dnssec",
        DNSSEC,
        Some("\"auto\""),
        "Whether answers are validated: bogus ones refused, only counted, or not looked at; auto refuses where the upstreams have proven that they let signatures through.",
    ),
    key(
        Section::Resolver,
        "aggressive-nsec",
        Syntax::Boolean,
        Some("true"),
        "Whether a validated proof that names do not exist answers for the other names that it covers (RFC 8198), without asking again.",
    ),
    key(
        Section::Resolver,
        "dnssec-sha1",
        Syntax::Boolean,
        Some("true"),
        "Whether signatures by RSASHA1 (algorithms 5 and 7) and DS by SHA-1 count; without them, zones that have no others are unsigned (RFC 9905).",
    ),
    key(
        Section::Resolver,
        "recursion",
        RECURSION,
        Some("\"auto\""),
        "When names that nobody claims are resolved from the root down: when nobody replies or the replies are not to be believed, first of all, or never.",
    ),
    key(
        Section::Resolver,
        "root-servers",
        Syntax::List(Form::Address),
        Some("[]"),
        "Servers of a root of one's own, for recursion; none for those of the public root.",
    ),
    key(
        Section::Resolver,
        "trust-anchors",
        Syntax::Text(Form::Path),
        None,
        "A file of DS or DNSKEY records, or a directory of such files, that replaces the built-in root anchors; within the administrator's directory when it is not absolute.",
    ),
    key(
        Section::Resolver,
        "trust-anchor-rollover",
        Syntax::Boolean,
        Some("true"),
        "Whether trust anchors follow the keys that their zones publish (RFC 5011): a new key counts after it was there for 30 days, a revoked one never again.",
    ),
    key(
        Section::Resolver,
        "discover-encrypted",
        Syntax::Boolean,
        Some("false"),
        "Whether plain upstreams are asked for encrypted forms of theirs (RFC 9462), which are used when they work and their certificate is for the upstream's own address.",
    ),
    key(
        Section::Resolver,
        "http3",
        Syntax::Boolean,
        Some("false"),
        "Whether https:// upstreams are asked by HTTP/3 where that gets through, and by HTTP/2 elsewhere; which of them it is, is found out beside real questions and remembered for each network.",
    ),
    key(
        Section::Resolver,
        "tls-roots",
        Syntax::Text(Form::Path),
        None,
        "A file of certificates in PEM form, or a directory of such files, that replaces the system's authorities for encrypted upstreams; within the administrator's directory when it is not absolute, and readable for linnetd's user.",
    ),
    key(
        Section::Resolver,
        "transport",
        TRANSPORT,
        Some("\"any\""),
        "The least that a transport must give before a scope uses an upstream: any will do; any will do, but plain ones are asked by TLS when they speak it, whoever they are; or encrypted ones only.",
    ),
    key(
        Section::Resolver,
        "hosts",
        Syntax::Boolean,
        Some("true"),
        "Whether /etc/hosts answers.",
    ),
    key(
        Section::Resolver,
        "cache-size",
        Syntax::Size {
            min: 64 * KIB,
            max: GIB,
        },
        Some("\"8MiB\""),
        "How many bytes all caches together may take.",
    ),
    key(
        Section::Resolver,
        "dnssec-cache-size",
        Syntax::Size {
            min: 64 * KIB,
            max: GIB,
        },
        Some("\"4MiB\""),
        "How many bytes the keys, cuts and verdicts of validation may take besides.",
    ),
    key(
        Section::Resolver,
        "serve-stale",
        Syntax::Time {
            min: 0,
            max: 7 * 86_400,
        },
        Some("\"1d\""),
        "How long after their time answers may still be given, marked as stale, when their upstreams are silent for 0.8 s or fail (RFC 8767); \"0s\" for never.",
    ),
    key(
        Section::Resolver,
        "prefetch",
        Syntax::Boolean,
        Some("true"),
        "Whether names that are asked for again and again are asked anew, in their own scope, shortly before their answers run out.",
    ),
    key(
        Section::Resolver,
        "mdns",
        MDNS,
        Some("\"resolve\""),
        "What linnet does by multicast DNS on links of the kinds ethernet and wifi, where a profile does not say: nothing, ask for names in .local when a program does, or answer for this machine too.",
    ),
    key(
        Section::Resolver,
        "llmnr",
        LLMNR,
        Some("\"off\""),
        "Whether names of one label that no search suffix completes are asked of the neighbours by LLMNR (RFC 4795), on links of the kinds ethernet and wifi, where a profile does not say; linnet never answers by it.",
    ),
    key(
        Section::Resolver,
        "dns64",
        Syntax::OneOrMore(Form::Mapping),
        Some("\"auto\""),
        "Whether IPv6 addresses are made of IPv4 ones for names that nobody claims (RFC 6147): auto does where the network says by which prefix it translates, by its routers (RFC 8781), or else by the upstreams (RFC 7050).",
    ),
    key(
        Section::Resolver,
        "rebinding-protection",
        Syntax::Boolean,
        Some("false"),
        "Whether names that nobody claims may not have addresses of private networks, of the link or of this machine.",
    ),
    key(
        Section::Resolver,
        "rebinding-exceptions",
        Syntax::List(Form::Domain),
        Some("[]"),
        "Names, each with all below it, that may have such addresses all the same.",
    ),
    key(
        Section::Links,
        "manage",
        Syntax::Choice(&["matched", "none"]),
        Some("\"matched\""),
        "Which links linnet may write to: those that a profile matches, or none.",
    ),
    key(
        Section::Links,
        "default-route",
        Syntax::Boolean,
        Some("true"),
        "Whether linnet sets default routes at all, supplied or static.",
    ),
    key(
        Section::Links,
        "carrier",
        Syntax::Boolean,
        Some("true"),
        "Whether addresses and routes hang on the carrier where a profile does not say; false keeps them all without it.",
    ),
    key(
        Section::Links,
        "stop",
        Syntax::Choice(&["release", "detach", "clean"]),
        Some("\"detach\""),
        "What stays when linnetd ends: everything as it is (`release`); addresses, routes and rules, with kernel settings given back so that the kernel goes on \
         by itself (`detach`); nothing that is linnet's (`clean`).",
    ),
    key(
        Section::Listeners,
        "address",
        Syntax::Text(Form::Listen),
        None,
        "Where to listen, as 10.0.0.1, [2001:db8::1]:53 or fe80::1%eth0; 0.0.0.0 and :: for all addresses; an address that is not there yet is waited for.",
    ),
    key(
        Section::Listeners,
        "transport",
        Syntax::Choice(&["plain", "tls", "https", "quic"]),
        Some("\"plain\""),
        "How it is spoken to: by UDP and TCP at port 53, by TLS or QUIC at 853, by HTTPS at 443.",
    ),
    key(
        Section::Listeners,
        "allow",
        Syntax::List(Form::Network),
        Some("[]"),
        "Who may ask; a listener outside of loopback needs it.",
    ),
    key(
        Section::Listeners,
        "stub",
        Syntax::Choice(&["main", "bypass"]),
        None,
        "Whether search suffixes, hosts and this machine's own names are answered; main on loopback, bypass elsewhere where it is not said.",
    ),
    key(
        Section::Listeners,
        "claims",
        Syntax::Boolean,
        None,
        "Whether names that a profile or a VPN claims, and all names of a full tunnel, are answered or refused; true on loopback, false elsewhere where it is not said.",
    ),
    key(
        Section::Listeners,
        "certificate",
        Syntax::Text(Form::Path),
        None,
        "The file of the certificate and those above it (PEM), for tls, https and quic.",
    ),
    key(
        Section::Listeners,
        "key",
        Syntax::Text(Form::Path),
        None,
        "The file of its private key (PEM); only its owner may read it.",
    ),
    key(
        Section::Listeners,
        "path",
        Syntax::Text(Form::Path),
        Some("\"/dns-query\""),
        "The path of HTTPS requests.",
    ),
    key(
        Section::Listeners,
        "client-rate",
        Syntax::Integer {
            min: 10,
            max: 1_000_000,
        },
        Some("1000"),
        "Whole answers a second by UDP to one client without a cookie, and as many more that only say \"ask by TCP\"; raise it for a forwarder, or a host that hides many behind its address.",
    ),
];
