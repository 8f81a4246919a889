//! What does one of `[[listeners]]` mean? Who may reach the resolver from where, and what a mistake there would open.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::values;
use crate::diagnostic::Findings;
use crate::listener::{DEFAULT_CLIENT_RATE, DEFAULT_PATH, ListenerConfig, ListenerStub};
use crate::model::{Prefix, ResolverConfig, Transport, Upstream};
use crate::raw::{Span, Table, Text};
use crate::upstream::is_link_local;

/// The longest name of a link (IFNAMSIZ without its NUL).
const MAX_LINK_NAME: usize = 15;

/// Lays the listeners that a file says over those of the files before; one at the same place takes the other's place.
pub(super) fn listeners(
    said: &[(Span, Table)],
    resolver: &ResolverConfig,
    held: &mut Vec<ListenerConfig>,
    findings: &mut Findings<'_>,
) {
    let mut own: Vec<ListenerConfig> = Vec::with_capacity(said.len());
    for (span, table) in said {
        let Some(listener) = listener(span, table, findings) else {
            continue;
        };
        let at = Some(table.key("address").unwrap_or_else(|| span.clone()));
        if own.iter().any(|other| listener.collides(other)) {
            let message = format!("another listener is at {listener} already");
            let help = "give each its own address or port; plain takes UDP and TCP, tls and https TCP, quic UDP";
            findings.error(at, message, Some(help.to_owned()));
            continue;
        }
        let stubs = resolver.listen.iter().chain(&resolver.listen_bypass);
        if listener.transport == Transport::Plain
            && stubs.into_iter().any(|stub| *stub == listener.socket())
        {
            let message = format!("the stub listens at {listener} already");
            let help = "leave it out here, or out of `listen`".to_owned();
            findings.error(at, message, Some(help));
            continue;
        }
        let asked = |upstream: &&Upstream| {
            let is_heard = upstream.transport == listener.transport
                || (upstream.transport, listener.transport) == (Transport::Tcp, Transport::Plain);
            is_heard && SocketAddr::new(upstream.address, upstream.port) == listener.socket()
        };
        if let Some(upstream) = resolver.upstreams.iter().find(asked) {
            let message = format!("the upstream {upstream} is this listener; it would ask itself");
            let help = "name the server that is to be asked as upstream".to_owned();
            findings.error(at, message, Some(help));
            continue;
        }
        own.push(listener);
    }
    held.retain(|listener| !own.iter().any(|other| other.collides(listener)));
    held.append(&mut own);
}

fn listener(span: &Span, said: &Table, findings: &mut Findings<'_>) -> Option<ListenerConfig> {
    let transport = said.word("transport").unwrap_or(Transport::Plain);
    let Some([text]) = said.texts("address") else {
        if !said.is_faulty("address") {
            let help = Some("add address = \"10.0.0.1:53\"".to_owned());
            findings.error(Some(span.clone()), "the listener has no address", help);
        }
        return None;
    };
    let (place, zone) = address(text, transport, findings)?;
    let mut listener = ListenerConfig {
        address: place.ip(),
        port: place.port(),
        zone,
        transport,
        allow: allow(said, place.ip(), findings),
        stub: ListenerStub::default(),
        claims: false,
        certificate: None,
        key: None,
        path: DEFAULT_PATH.into(),
        client_rate: DEFAULT_CLIENT_RATE,
    };
    let is_local = listener.is_local();
    let usual = if is_local {
        ListenerStub::Main
    } else {
        ListenerStub::Bypass
    };
    listener.stub = said.word("stub").unwrap_or(usual);
    listener.claims = said.boolean("claims").unwrap_or(is_local);
    if !is_local && listener.allow.is_empty() && !said.is_faulty("allow") {
        let message = format!(
            "{} can be reached from outside, and nobody is said to be allowed",
            listener.address
        );
        let help = "say who may ask: allow = [\"10.0.0.0/24\"]".to_owned();
        findings.error(Some(text.span()), message, Some(help));
    }
    secrets(span, said, &mut listener, findings);
    path(said, &mut listener, findings);
    client_rate(said, &mut listener, findings);
    Some(listener)
}

/// Reads where to listen: an address, perhaps with the link of a link-local one, and perhaps a port.
fn address(
    text: &Text,
    transport: Transport,
    findings: &mut Findings<'_>,
) -> Option<(SocketAddr, Option<Arc<str>>)> {
    let said = text.get_ref();
    let span = Some(text.span());
    let (bare, zone) = match said.split_once('%') {
        None => (said.clone(), None),
        Some((front, rest)) => {
            let (zone, back) = rest.split_at(rest.find(']').unwrap_or(rest.len()));
            (format!("{front}{back}"), Some(zone))
        }
    };
    let alone = bare.trim_start_matches('[').trim_end_matches(']');
    let alone = alone
        .parse::<IpAddr>()
        .map(|address| SocketAddr::new(address, transport.default_port()));
    let Ok(place) = alone.or_else(|_| bare.parse::<SocketAddr>()) else {
        let message = "this is not an address to listen at";
        let help = "write an address, and a port where it is not the usual one, as 10.0.0.1:53 or [fe80::1%eth0]:53";
        findings.error(span, message, Some(help.to_owned()));
        return None;
    };
    let needs_zone = matches!(place.ip(), IpAddr::V6(v6) if is_link_local(v6));
    let in_name = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '%' | '[');
    let (message, help) = if place.port() == 0 {
        (
            "nobody finds port 0".to_owned(),
            "write a port from 1 to 65535".to_owned(),
        )
    } else if place.ip().is_multicast() || place.ip() == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        (
            format!("{} is not the address of a host", place.ip()),
            "write an address of this host".to_owned(),
        )
    } else if matches!(place.ip(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        (
            format!("{} is an IPv4 address in disguise", place.ip()),
            format!("write {}", place.ip().to_canonical()),
        )
    } else if needs_zone && zone.is_none() {
        (
            "a link-local address needs its link".to_owned(),
            format!("write {}%LINK, as {0}%eth0", place.ip()),
        )
    } else if !needs_zone && zone.is_some() {
        (
            format!("{} is the same on every link", place.ip()),
            "leave out the % and what follows it".to_owned(),
        )
    } else if zone.is_some_and(|zone| {
        zone.is_empty() || zone.len() > MAX_LINK_NAME || !zone.chars().all(in_name)
    }) {
        (
            "what follows the % cannot be the name of a link".to_owned(),
            "write the link's name, as fe80::1%eth0".to_owned(),
        )
    } else {
        return Some((place, zone.map(Arc::from)));
    };
    findings.error(span, message, Some(help));
    None
}

/// Reads who may ask.
fn allow(said: &Table, own: IpAddr, findings: &mut Findings<'_>) -> Vec<Prefix> {
    let mut allow: Vec<Prefix> = Vec::new();
    for text in said.texts("allow").unwrap_or_default() {
        let whole = text.get_ref().parse::<IpAddr>().map(|address| Prefix {
            address,
            length: if address.is_ipv4() { 32 } else { 128 },
        });
        let Some(prefix) = whole.ok().or_else(|| values::route_network(text, findings)) else {
            continue;
        };
        let span = Some(text.span());
        if allow.contains(&prefix) {
            findings.warn(span, format!("{prefix} is in the list already"), None);
            continue;
        }
        if prefix.address.is_ipv4() != own.is_ipv4() {
            let message = format!("nobody of {prefix} can ask at {own}");
            let help = Some("IPv4 and IPv6 have listeners of their own".to_owned());
            findings.warn(span, message, help);
        } else if prefix.length == 0 {
            let message = "everybody may ask: an open resolver is used to attack others";
            let help = Some("name the networks that are to be served".to_owned());
            findings.warn(span, message, help);
        }
        allow.push(prefix);
    }
    allow
}

/// Reads the files of an encrypted listener.
fn secrets(span: &Span, said: &Table, listener: &mut ListenerConfig, findings: &mut Findings<'_>) {
    let mut file = |name: &'static str, what: &str| {
        let text = said.texts(name).and_then(<[Text]>::first);
        let key = said.key(name);
        match text.map(|text| text.get_ref().as_str()) {
            Some(_) if !listener.transport.is_encrypted() => {
                let message = format!("a plain listener has no {what}");
                let help = Some("write transport = \"tls\", \"https\" or \"quic\"".to_owned());
                findings.error(key, message, help);
                None
            }
            Some("") => {
                findings.error(key, "the path is empty", None);
                None
            }
            Some(path) => Some(Arc::from(path)),
            None if listener.transport.is_encrypted() && !said.is_faulty(name) => {
                let message = format!("the listener has no {what}");
                let help = Some(format!("add {name} = \"…\", the path of a PEM file"));
                findings.error(Some(span.clone()), message, help);
                None
            }
            None => None,
        }
    };
    let certificate = file("certificate", "certificate");
    let key = file("key", "private key");
    listener.certificate = certificate;
    listener.key = key;
}

fn path(said: &Table, listener: &mut ListenerConfig, findings: &mut Findings<'_>) {
    let Some(text) = said.texts("path").and_then(<[Text]>::first) else {
        return;
    };
    let path = text.get_ref();
    let usual = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '{' | '}');
    if listener.transport != Transport::Https {
        let message = "only an https listener has a path";
        findings.error(Some(text.span()), message, Some("leave it out".to_owned()));
    } else if !path.starts_with('/') || !path.chars().all(usual) {
        let message = "this is not a path of an HTTP request";
        let help = "write it as \"/dns-query\"".to_owned();
        findings.error(Some(text.span()), message, Some(help));
    } else {
        listener.path = Arc::from(path.as_str());
    }
}

fn client_rate(said: &Table, listener: &mut ListenerConfig, findings: &mut Findings<'_>) {
    let Some(rate) = said.integer("client-rate").map(u32::try_from) else {
        return;
    };
    if listener.transport == Transport::Plain {
        listener.client_rate = rate.unwrap_or(DEFAULT_CLIENT_RATE);
    } else {
        let message =
            "client-rate is for plain listeners: by other transports an address cannot be forged";
        let help = Some("leave it out".to_owned());
        findings.error(said.key("client-rate"), message, help);
    }
}
