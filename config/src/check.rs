//! What does a file mean, and does it make sense? Raw to model: every mistake of meaning in a file is found.
//!
//! One file at a time, in the light of what lower layers said; what only shows between files is in [`between`].

pub(crate) mod between;
pub(crate) mod closed;
mod connectivity;
mod kind;
mod listeners;
mod local;
mod network;
mod observing;
mod profile;
pub(crate) mod services;
mod values;

use std::net::{IpAddr, SocketAddr};

pub(crate) use profile::{Checked, profile};

use crate::diagnostic::Findings;
use crate::model::{Config, LinksConfig, ResolverConfig, TransportFloor, Upstream};
use crate::raw::{Span, Table, Text};
use crate::upstream::is_link_local;

/// Checks `linnet.toml` or a drop-in, and lays what it says over `config`.
///
/// When there are errors, `config` is of no use. Returns where services are named first.
pub(crate) fn main_file(
    top: &Table,
    config: &mut Config,
    findings: &mut Findings<'_>,
) -> Option<Span> {
    lay(top.boolean("autoload"), &mut config.autoload);
    if let Some(resolver) = top.table("resolver") {
        self::resolver(resolver, &mut config.resolver, findings);
    }
    if let Some(links) = top.table("links") {
        self::links(links, &mut config.links);
    }
    if let Some(said) = top.table("connectivity") {
        connectivity::connectivity(said, &mut config.connectivity, findings);
    }
    if let Some(said) = top.tables("listeners") {
        listeners::listeners(said, &config.resolver, &mut config.listeners, findings);
    }
    let observing = &mut config.observing;
    if let Some(metrics) = top.table("metrics") {
        observing::metrics(metrics, &mut observing.metrics, findings);
    }
    if let Some(dnstap) = top.table("dnstap") {
        observing::dnstap(dnstap, &mut observing.dnstap, findings);
    }
    if let Some(log) = top.table("log") {
        observing::log(log, &mut observing.log, findings);
    }
    local::records(top, &mut config.records, findings);
    local::lists(top, &mut config.lists, findings);
    services::services(top, &mut config.services, findings)
}

fn links(said: &Table, links: &mut LinksConfig) {
    if let Some(manage) = said.word("manage") {
        links.manage = manage;
    }
    lay(said.boolean("default-route"), &mut links.default_route);
    lay(said.boolean("carrier"), &mut links.carrier);
    if let Some(stop) = said.word("stop") {
        links.stop = stop;
    }
}

fn resolver(said: &Table, resolver: &mut ResolverConfig, findings: &mut Findings<'_>) {
    lay(said.boolean("enabled"), &mut resolver.enabled);
    if let Some(texts) = said.texts("listen") {
        resolver.listen = values::listens(texts, findings);
    }
    if let Some(texts) = said.texts("listen-bypass") {
        resolver.listen_bypass = values::listens(texts, findings);
        for (text, place) in texts.iter().zip(&resolver.listen_bypass) {
            if said.key("listen").is_some() && resolver.listen.contains(place) {
                let message = format!("{place} is in `listen` already");
                let help = Some("give the bypass an address of its own".to_owned());
                findings.error(Some(text.span()), message, help);
            }
        }
    }
    let threads = said.integer("threads").map(usize::try_from);
    lay(threads.and_then(Result::ok), &mut resolver.threads);
    lay(said.word("resolv-conf"), &mut resolver.resolv_conf);
    lay(said.word("selection"), &mut resolver.selection);
    lay(said.word("transport"), &mut resolver.transport);
    lay(said.boolean("hosts"), &mut resolver.hosts);
    lay(said.size("cache-size"), &mut resolver.cache_size);
    lay(
        said.size("dnssec-cache-size"),
        &mut resolver.dnssec_cache_size,
    );
    if let Some(texts) = said.texts("search") {
        resolver.search = values::search(texts, findings);
    }
    if let Some(mode) = said.word("dnssec") {
        resolver.dnssec = mode;
    }
    lay(said.time("serve-stale"), &mut resolver.serve_stale);
    lay(said.boolean("prefetch"), &mut resolver.prefetch);
    lay(
        said.boolean("aggressive-nsec"),
        &mut resolver.aggressive_nsec,
    );
    lay(said.boolean("dnssec-sha1"), &mut resolver.dnssec_sha1);
    lay(said.word("recursion"), &mut resolver.recursion);
    lay(said.word("mdns"), &mut resolver.mdns);
    lay(said.word("llmnr"), &mut resolver.llmnr);
    if let Some(texts) = said.texts("root-servers") {
        let addresses = texts.iter();
        resolver.root_servers = addresses
            .filter_map(|text| values::address(text, findings))
            .collect();
    }
    lay(
        said.boolean("trust-anchor-rollover"),
        &mut resolver.trust_anchor_rollover,
    );
    if let Some([path]) = said.texts("trust-anchors") {
        if path.get_ref().is_empty() {
            let help = Some("leave it out for the built-in anchors".to_owned());
            findings.error(Some(path.span()), "the path is empty", help);
        }
        resolver.trust_anchors = Some(path.get_ref().clone());
    }
    lay(
        said.boolean("discover-encrypted"),
        &mut resolver.discover_encrypted,
    );
    lay(said.boolean("http3"), &mut resolver.http3);
    if let Some([path]) = said.texts("tls-roots") {
        if path.get_ref().is_empty() {
            let help = Some("leave it out for the system's own certificates".to_owned());
            findings.error(Some(path.span()), "the path is empty", help);
        }
        resolver.tls_roots = Some(path.get_ref().clone());
    }
    local::resolver(said, resolver, findings);
    if let Some(texts) = said.texts("upstreams") {
        // Where no file says it here, all of them together do (`between`): one that is read later may have the stub elsewhere.
        let is_said = |key| said.key(key).is_some();
        let listen = resolver.listen.iter().filter(|_| is_said("listen"));
        let bypass = resolver.listen_bypass.iter();
        let bypass = bypass.filter(|_| is_said("listen-bypass"));
        let place = Place {
            own: listen.chain(bypass).copied().collect(),
            floor: resolver.transport,
            has_link: false,
        };
        resolver.upstreams = upstreams(texts, &place, findings);
    }
}

fn lay<T>(said: Option<T>, held: &mut T) {
    if let Some(said) = said {
        *held = said;
    }
}

/// Where upstreams are named.
pub(crate) struct Place {
    /// Where our own stub listens.
    own: Vec<SocketAddr>,
    /// The least that a transport must give.
    floor: TransportFloor,
    /// Whether a link is behind them, so that a link-local address needs no zone.
    has_link: bool,
}

/// Returns where the stub listens: an upstream there would ask itself. Where one usually does may be somebody else's stub.
pub(crate) fn own_stubs(resolver: &ResolverConfig) -> Vec<SocketAddr> {
    let listens = resolver.listen.iter().chain(&resolver.listen_bypass);
    listens.copied().collect()
}

/// Whether an upstream can be asked in a scope with this floor.
pub(crate) fn is_usable(upstream: &Upstream, floor: TransportFloor) -> bool {
    upstream.transport.is_encrypted() || floor != TransportFloor::Encrypted
}

fn upstreams(texts: &[Text], place: &Place, findings: &mut Findings<'_>) -> Vec<Upstream> {
    let mut upstreams: Vec<Upstream> = Vec::with_capacity(texts.len());
    for text in texts {
        let Some(upstream) = values::upstream(text, findings) else {
            continue;
        };
        let span = Some(text.span());
        let socket = SocketAddr::new(upstream.address, upstream.port);
        let needs_zone = matches!(upstream.address, IpAddr::V6(v6) if is_link_local(v6));
        if place.own.contains(&socket) {
            let message = format!("{socket} is the stub itself; it would ask itself for ever");
            let help = "name the server that is to be asked; without upstreams here, those of profiles and of a foreign resolv.conf are asked";
            findings.error(span, message, Some(help.to_owned()));
        } else if needs_zone && upstream.zone.is_none() && !place.has_link {
            let message = "a link-local address needs its link here";
            let help = format!("write {}%LINK, as {0}%eth0", upstream.address);
            findings.error(span, message, Some(help));
        } else if upstreams.contains(&upstream) {
            findings.warn(span, format!("{upstream} is in the list already"), None);
            continue;
        } else if upstream.is_anybody() {
            let message = "whoever answers at this address is believed";
            let help = "write #NAME for the name in its certificate, or the pin of its key";
            findings.warn(span, message.to_owned(), Some(help.to_owned()));
        } else if !is_usable(&upstream, place.floor) {
            let message =
                "the upstream is not encrypted, and `transport` asks for that; it is not used";
            findings.warn(span, message, None);
        }
        upstreams.push(upstream);
    }
    upstreams
}
