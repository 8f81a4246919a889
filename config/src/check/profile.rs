//! What does a profile mean? One file of `profiles/` to a [`Profile`].

use std::collections::HashSet;
use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::{Place, is_usable, own_stubs, upstreams, values};
use crate::diagnostic::Findings;
use crate::matcher::LinkMatch;
use crate::model::{
    Config, DefaultUse, DnsSettings, NetworkSettings, Profile, ProfileId, ResolverConfig,
};
use crate::name::DomainName;
use crate::raw::{Span, Table};

/// The longest id of a profile, in octets.
const MAX_ID: usize = 64;
/// Ids that would be taken for scopes that are no profile's.
const RESERVED_IDS: [&str; 3] = ["resolver", "resolv.conf", "supplied"];
/// Keys of a profile that say what is to be done to a link.
const LINK_KEYS: [&str; 12] = [
    "hardware",
    "delegated",
    "addresses",
    "dhcp4",
    "dhcp6",
    "ra",
    "ipv4ll",
    "routes",
    "rules",
    "mtu",
    "mac",
    "forwarding",
];

/// A profile as far as it can be read, and where its claims stand.
pub(crate) struct Checked {
    pub(crate) profile: Profile,
    /// Where each of [`DnsSettings::claims`] stands.
    pub(crate) claims_at: Vec<Span>,
    /// Whether the links that it governs are known for certain.
    pub(crate) is_match_sure: bool,
}

/// Checks a profile in the light of the main settings; returns what could be read even when there are errors.
pub(crate) fn profile(
    id: &ProfileId,
    top: &Table,
    config: &Config,
    findings: &mut Findings<'_>,
) -> Checked {
    check_id(id, findings);
    let errors_before = findings.errors();
    let matches = link_match(top, findings);
    let is_match_sure = findings.errors() == errors_before && !top.is_faulty("match");
    let network = super::network::network(top, &config.links, findings);
    let mut claims_at = Vec::new();
    let dns = top
        .table("dns")
        .map(|dns| self::dns(dns, &config.resolver, &network, &mut claims_at, findings))
        .unwrap_or_default();
    let link = super::kind::link(top, matches.as_ref(), findings);
    super::kind::wireguard::endpoints(link.as_ref(), &dns, top, findings);
    let mut records = Vec::new();
    super::local::records(top, &mut records, findings);
    let profile = Profile {
        id: id.clone(),
        matches,
        dns,
        network,
        link,
        records,
    };
    Checked {
        profile,
        claims_at,
        is_match_sure,
    }
}

fn check_id(id: &ProfileId, findings: &mut Findings<'_>) {
    if RESERVED_IDS.contains(&&*id.0) {
        let message = format!("a profile cannot be called {id}: scopes of linnet's own are");
        findings.error(None, message, Some("rename the file".to_owned()));
    } else if !is_good_id(&id.0) {
        let message = "the file's name cannot be a profile's id";
        let help = format!(
            "rename it: letters, digits, '.', '_' and '-', a letter or digit first, at most {MAX_ID}"
        );
        findings.error(None, message, Some(help));
    }
}

/// Whether an id is one that a scope can carry.
pub(super) fn is_good_id(id: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !RESERVED_IDS.contains(&id)
        && id.len() <= MAX_ID
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id.bytes().all(usual)
}

fn link_match(top: &Table, findings: &mut Findings<'_>) -> Option<LinkMatch> {
    let Some(said) = top.table("match") else {
        if let Some(name) = super::kind::own_name(top) {
            return Some(LinkMatch::of_name(name));
        }
        let named = LINK_KEYS.iter().find_map(|name| {
            let span = top.key(name).filter(|_| !top.is_off(name));
            span.map(|span| (name, span))
        });
        if let Some((name, span)) = named.filter(|_| !top.is_faulty("match")) {
            let message = format!("`{name}` is for links, and the profile matches none");
            let help = "add match = { name = \"…\" } at the top of the file".to_owned();
            findings.error(Some(span), message, Some(help));
        }
        return None;
    };
    if said.is_empty() && findings.is_toml() {
        let message = "the match is empty, and would take every link";
        let help = "say which: match = { name = \"vpn*\" }; { name = \"*\" } takes all";
        findings.error(top.key("match"), message, Some(help.to_owned()));
        return None;
    }
    Some(LinkMatch {
        name: values::globs(said.texts("name"), findings),
        mac: values::macs(said.texts("mac"), findings),
        kind: values::globs(said.texts("kind"), findings),
        driver: values::globs(said.texts("driver"), findings),
        path: values::globs(said.texts("path"), findings),
    })
}

fn dns(
    said: &Table,
    resolver: &ResolverConfig,
    network: &NetworkSettings,
    claims_at: &mut Vec<Span>,
    findings: &mut Findings<'_>,
) -> DnsSettings {
    let mut dns = DnsSettings {
        default: said.word("default").unwrap_or_default(),
        when_down: said.word("when-down").unwrap_or_default(),
        dnssec: said.word("dnssec"),
        transport: said.word("transport"),
        selection: said.word("selection"),
        recursion: said.word("recursion"),
        mdns: said.word("mdns"),
        llmnr: said.word("llmnr"),
        dns64: super::local::dns64(said, findings),
        ..DnsSettings::default()
    };
    let priority = said.integer("priority").unwrap_or_default();
    dns.priority = i32::try_from(priority).unwrap_or_default();
    let floor = dns.transport.unwrap_or(resolver.transport);
    let place = Place {
        own: own_stubs(resolver),
        floor,
        has_link: true,
    };
    dns.upstreams = upstreams(
        said.texts("upstreams").unwrap_or_default(),
        &place,
        findings,
    );
    claims(said, &mut dns, claims_at, findings);
    dns.search = values::search(said.texts("search").unwrap_or_default(), findings);
    dns.exclude = exclude(said, &dns, findings);
    let is_usable = dns
        .upstreams
        .iter()
        .any(|upstream| is_usable(upstream, floor));
    let is_faulty = said.is_faulty("upstreams");
    let is_lent = dns.upstreams.is_empty() && network.takes_upstreams();
    if !is_usable && !is_faulty && !is_lent {
        let nobody = if dns.upstreams.is_empty() {
            "the profile has no upstreams"
        } else {
            "the profile has no upstream that is used"
        };
        if dns.default == DefaultUse::Exclusive {
            let message = format!("{nobody}: while it is in force all names are refused");
            findings.warn(said.key("default"), message, None);
        } else if !dns.claims.is_empty() {
            let message = format!("{nobody}: the names that it claims are refused");
            findings.warn(said.key("claims"), message, None);
        }
    }
    dns
}

fn claims(
    said: &Table,
    dns: &mut DnsSettings,
    claims_at: &mut Vec<Span>,
    findings: &mut Findings<'_>,
) {
    // Lists may have many thousand names.
    let (count, texts) = said.each_text("claims", findings.source);
    let mut seen = Seen::for_names(count);
    dns.claims.reserve_exact(count);
    claims_at.reserve_exact(count);
    for (text, span) in texts {
        // Nearly all are such, and need no more.
        if let Some(name) = DomainName::of_hosts(text)
            && seen.insert(&name, &dns.claims)
        {
            dns.claims.push(name);
            claims_at.push(span);
            continue;
        }
        for name in values::domains(text, span.clone(), findings) {
            if name.is_root() {
                let help = Some("for all names write default = \"exclusive\"".to_owned());
                findings.error(Some(span.clone()), "the root cannot be claimed", help);
                dns.default = DefaultUse::Exclusive;
            } else if !seen.insert(&name, &dns.claims) {
                let message = format!("{name} is claimed already");
                findings.warn(Some(span.clone()), message, None);
            } else {
                dns.claims.push(name);
                claims_at.push(span.clone());
            }
        }
    }
}

/// Which names a list has already, by their places in it: a set of the names themselves would be as large as the list.
struct Seen {
    places: HashTable<u32>,
    state: FixedState,
}

impl Seen {
    fn for_names(count: usize) -> Self {
        Self {
            places: HashTable::with_capacity(count),
            state: FixedState::default(),
        }
    }

    /// Notes a name that is about to be the list's next; false when it is there already.
    fn insert(&mut self, name: &DomainName, list: &[DomainName]) -> bool {
        let hash = |name: &DomainName| self.state.hash_one(name.as_wire());
        let at = |place: &u32| usize::try_from(*place).ok().and_then(|at| list.get(at));
        let hash_at = |place: &u32| at(place).map_or(0, hash);
        let entry = self
            .places
            .entry(hash(name), |place| at(place) == Some(name), hash_at);
        match (entry, u32::try_from(list.len())) {
            (hashbrown::hash_table::Entry::Vacant(free), Ok(next)) => {
                free.insert(next);
                true
            }
            (hashbrown::hash_table::Entry::Occupied(_), _) | (_, Err(_)) => false,
        }
    }
}

fn exclude(said: &Table, dns: &DnsSettings, findings: &mut Findings<'_>) -> Vec<DomainName> {
    let (count, texts) = said.each_text("exclude", findings.source);
    if count == 0 {
        return Vec::new();
    }
    let claims = dns.claims.iter().map(DomainName::as_wire);
    let claimed: HashSet<&[u8], FixedState> = claims.collect();
    let mut seen: HashSet<DomainName, FixedState> = HashSet::default();
    let mut names = Vec::new();
    for (text, at) in texts {
        for name in values::domains(text, at.clone(), findings) {
            let span = Some(at.clone());
            let is_covered = dns.default == DefaultUse::Exclusive
                || name.suffixes().any(|suffix| claimed.contains(suffix));
            if name.is_root() {
                let help = Some("for no names at all write default = \"no\"".to_owned());
                findings.error(span, "the root cannot be excluded", help);
            } else if !seen.insert(name.clone()) {
                findings.warn(span, format!("{name} is excluded already"), None);
            } else {
                if claimed.contains(name.as_wire()) {
                    let message = format!("{name} is claimed and excluded; the exclusion wins");
                    let help = Some("leave out one of the two".to_owned());
                    findings.warn(span, message, help);
                } else if !is_covered {
                    let message =
                        format!("{name} is in no claim of this profile; excluding it does nothing");
                    findings.warn(span, message, None);
                }
                names.push(name);
            }
        }
    }
    names
}
