//! Do keys and peers of WireGuard make sense? `[link]` of that kind, and `[[peers]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::check::values;
use crate::diagnostic::Findings;
use crate::kind::{LinkKind, Value};
use crate::model::{
    DnsSettings, Endpoint, EndpointHost, PeerSettings, Prefix, PublicKey, Secret, SecretSource,
    VirtualLink, WireguardSettings, read_key,
};
use crate::name::DomainName;
use crate::raw::{Table, Text};

/// Checks keys and peers.
pub(in crate::check) fn settings(
    kind: LinkKind,
    top: &Table,
    said: &Table,
    attributes: &BTreeMap<&'static str, Value>,
    findings: &mut Findings<'_>,
) -> Option<Arc<WireguardSettings>> {
    if kind.name != "wireguard" {
        if let Some(span) = top.key("peers") {
            let message = format!("a {kind} has no peers");
            let help = Some("`[[peers]]` are for kind = \"wireguard\"".to_owned());
            findings.error(Some(span), message, help);
        }
        return None;
    }
    let private_key = secret(said, "private-key", "private-key-file", findings);
    let is_faulty = said.is_faulty("private-key") || said.is_faulty("private-key-file");
    if private_key.is_none() && said.key("private-key").is_none() && !is_faulty {
        let message = "the link has no key";
        let help = "add private-key-file = \"/etc/linnet/keys/NAME\", made by `wg genkey`";
        findings.error(top.key("link"), message, Some(help.to_owned()));
    }
    let number = |name: &str| match attributes.get(name) {
        Some(Value::Number(number)) => *number,
        Some(_) | None => 0,
    };
    let mut peers = BTreeMap::new();
    let mut owner_by_prefix: BTreeMap<Prefix, PublicKey> = BTreeMap::new();
    for (span, said) in top.tables("peers").unwrap_or_default() {
        let Some([text]) = said.texts("public-key") else {
            if !said.is_faulty("public-key") {
                let help =
                    Some("add public-key = \"…\", as the peer's `wg show` has it".to_owned());
                findings.error(Some(span.clone()), "the peer has no key", help);
            }
            continue;
        };
        let Some(key) = key(text, findings).map(PublicKey) else {
            continue;
        };
        let peer = peer(said, findings);
        if let Some(prefix) = around(&peer) {
            let message =
                format!("the way to the peer would lead through the tunnel itself: {prefix}");
            let help =
                "allow less, or write routes = false and make the routes yourself".to_owned();
            findings.error(said.key("endpoint"), message, Some(help));
        }
        for prefix in &peer.allowed {
            if let Some(owner) = owner_by_prefix.insert(*prefix, key) {
                let message = format!(
                    "{prefix} is allowed for {owner} already, and can be behind one peer only"
                );
                let help = Some("give it to one of them, or to one a longer prefix".to_owned());
                findings.error(said.key("allowed"), message, help);
            }
        }
        if peers.insert(key, peer).is_some() {
            let message = "there is a peer with this key already";
            findings.error(Some(text.span()), message, None);
        }
    }
    Some(Arc::new(WireguardSettings {
        private_key: private_key?,
        listen_port: u16::try_from(number("listen-port")).unwrap_or_default(),
        mark: u32::try_from(number("mark")).unwrap_or_default(),
        peers,
    }))
}

/// Returns the network that a peer is in by its own endpoint, and that is routed to it. All addresses are no such network: those
/// routes are in a table of their own, which the tunnel's packets pass by.
fn around(peer: &PeerSettings) -> Option<Prefix> {
    let EndpointHost::Address(address) = peer.endpoint.as_ref()?.host else {
        return None;
    };
    let mut routed = peer.allowed.iter().filter(|_| peer.routes);
    let found = routed.find(|prefix| prefix.length > 0 && prefix.contains(address));
    found.copied()
}

/// Checks that no endpoint has a name that its own tunnel claims: it could not be resolved before there is a tunnel.
pub(in crate::check) fn endpoints(
    link: Option<&VirtualLink>,
    dns: &DnsSettings,
    top: &Table,
    findings: &mut Findings<'_>,
) {
    let peers = link.and_then(|link| link.wireguard.as_ref());
    for peer in peers.iter().flat_map(|settings| settings.peers.values()) {
        let Some(EndpointHost::Name(name)) = peer.endpoint.as_ref().map(|endpoint| &endpoint.host)
        else {
            continue;
        };
        let is_in = |names: &[DomainName]| {
            name.suffixes()
                .any(|suffix| names.iter().any(|name| name.as_wire() == suffix))
        };
        if is_in(&dns.claims) && !is_in(&dns.exclude) {
            let message = format!("{name} is claimed by the tunnel that it leads to");
            let help = format!("add exclude = [\"{name}\"] to [dns]");
            findings.error(top.key("peers"), message, Some(help));
        }
    }
}

fn peer(said: &Table, findings: &mut Findings<'_>) -> PeerSettings {
    let mut allowed = BTreeSet::new();
    for text in said.texts("allowed").unwrap_or_default() {
        let alone = text.get_ref().parse::<IpAddr>().ok();
        let prefix = match alone {
            Some(address) => Some(Prefix {
                address,
                length: if address.is_ipv4() { 32 } else { 128 },
            }),
            None => values::route_network(text, findings),
        };
        if let Some(prefix) = prefix
            && !allowed.insert(prefix)
        {
            let message = format!("{prefix} is in the list already");
            findings.warn(Some(text.span()), message, None);
        }
    }
    let endpoint = match said.texts("endpoint") {
        Some([text]) => endpoint(text, findings),
        Some(_) | None => None,
    };
    let metric = said.integer("metric");
    PeerSettings {
        preshared_key: secret(said, "preshared-key", "preshared-key-file", findings),
        endpoint,
        allowed,
        keepalive: said.time("keepalive").unwrap_or(Duration::ZERO),
        routes: said.boolean("routes").unwrap_or(true),
        metric: metric.and_then(|metric| u32::try_from(metric).ok()),
    }
}

fn secret(
    said: &Table,
    key: &str,
    file: &str,
    findings: &mut Findings<'_>,
) -> Option<SecretSource> {
    if said.key(key).is_some()
        && let Some(span) = said.key(file)
    {
        let message = format!("`{key}` is said already");
        findings.error(
            Some(span),
            message,
            Some("leave out one of the two".to_owned()),
        );
    }
    if let Some([text]) = said.texts(key) {
        return self::key(text, findings).map(|key| SecretSource::Said(Secret(key)));
    }
    let Some([path]) = said.texts(file) else {
        return None;
    };
    if !path.get_ref().starts_with('/') {
        let help = Some("write the whole path, from /".to_owned());
        findings.error(Some(path.span()), "the path is not absolute", help);
    }
    Some(SecretSource::File(path.get_ref().as_str().into()))
}

fn key(text: &Text, findings: &mut Findings<'_>) -> Option<[u8; 32]> {
    let key = read_key(text.get_ref());
    if key.is_none() {
        let help =
            Some("a key has 44 characters, as `wg genkey` and `wg pubkey` write it".to_owned());
        findings.error(Some(text.span()), "this is not a key", help);
    }
    key
}

fn endpoint(text: &Text, findings: &mut Findings<'_>) -> Option<Endpoint> {
    let said = text.get_ref();
    let split = said.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
        Some((host, port))
    });
    let read = split.and_then(|(host, port)| {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(v6) => EndpointHost::Address(IpAddr::V6(v6.parse().ok()?)),
            None => match host.parse::<std::net::Ipv4Addr>() {
                Ok(v4) => EndpointHost::Address(IpAddr::V4(v4)),
                Err(_) => EndpointHost::Name(
                    values::plain_domain(host)
                        .filter(|name| !name.is_root() && !host.contains(':'))?,
                ),
            },
        };
        Some(Endpoint { host, port })
    });
    if read.is_none() {
        let message = "this is not a place to send to";
        let help = "write a name or address and a port, as \"vpn.example:51820\" or \"[2001:db8::1]:51820\"";
        findings.error(Some(text.span()), message, Some(help.to_owned()));
    }
    read
}
