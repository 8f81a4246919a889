//! Which routes does a profile have? `[[routes]]`, each by itself.

use std::net::IpAddr;

use super::{number, values};
use crate::diagnostic::Findings;
use crate::model::{Hop, Prefix, Route, RouteKind, RouteTuning};
use crate::raw::{Span, Table, Text};

/// The longest name of a congestion control (`TCP_CA_NAME_MAX`).
const MAX_CONGESTION: usize = 15;
/// The least and the greatest share of a neighbour among several.
const WEIGHTS: std::ops::RangeInclusive<u16> = 1..=256;

/// Reads `[[routes]]`.
pub(super) fn routes(top: &Table, findings: &mut Findings<'_>) -> Vec<Route> {
    let said = top.tables("routes").unwrap_or_default();
    said.iter()
        .filter_map(|(span, said)| route(span, said, findings))
        .collect()
}

fn route(span: &Span, said: &Table, findings: &mut Findings<'_>) -> Option<Route> {
    let to = match said.texts("to") {
        Some([to]) => values::route_network(to, findings),
        Some(_) | None => {
            if !said.is_faulty("to") {
                let help = Some("add to = \"10.0.0.0/8\"".to_owned());
                findings.error(Some(span.clone()), "the route leads nowhere", help);
            }
            None
        }
    };
    let kind = said.word("kind").unwrap_or_default();
    let mut via: Vec<Hop> = Vec::new();
    for text in said.texts("via").unwrap_or_default() {
        let Some(hop) = hop(text, findings) else {
            continue;
        };
        // An IPv4 packet may go through an IPv6 neighbour (RFC 8950), not the other way round.
        if let (Some(to), Some(IpAddr::V4(neighbour))) = (to, hop.via) {
            same_family(to, neighbour.into(), "a neighbour", text, findings);
        }
        if via
            .iter()
            .any(|other| (other.via, &other.link) == (hop.via, &hop.link))
        {
            let message = format!("{} is there twice", way(&hop));
            let help = Some("write its share once, as \"10.8.0.1 weight 2\"".to_owned());
            findings.error(Some(text.span()), message, help);
        } else {
            via.push(hop);
        }
    }
    if let Some(to) = to.filter(|to| to.address.is_ipv6() && via.len() > 1)
        && let Some(hop) = via.iter().find(|hop| hop.via.is_none())
    {
        let message = format!(
            "{to} is IPv6, and there the kernel takes several ways only where each has a neighbour: {} has none",
            way(hop)
        );
        let help = Some("name its neighbour, as \"fe80::1 link wan0\"".to_owned());
        findings.error(said.key("via"), message, help);
    }
    let is_said = |key| said.key(key).is_some();
    match kind {
        RouteKind::Unicast => {}
        RouteKind::Broadcast if to.is_some_and(|to| to.address.is_ipv6()) => {
            let message = "IPv6 has no broadcast";
            let help = Some("write `kind = \"multicast\"` for what all of a link hear".to_owned());
            findings.error(said.key("kind"), message, help);
        }
        RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast | RouteKind::Multicast
            if is_said("via") =>
        {
            let message = "packets of this kind of route stay on the machine or its link, so that it has no neighbour";
            let help = Some("leave out `via` or `kind`".to_owned());
            findings.error(said.key("kind"), message, help);
        }
        RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast | RouteKind::Multicast => {}
        RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw => {
            if is_said("via") || is_said("source") {
                let message = "packets of this kind of route go nowhere, so that it has no neighbour and no source";
                let help = Some("leave out `via` and `source`, or `kind`".to_owned());
                findings.error(said.key("kind"), message, help);
            }
        }
    }
    let from = said.texts("from").and_then(<[_]>::first);
    let from = from.and_then(|text| from_network(text, to, findings));
    let source_text = said.texts("source").and_then(<[_]>::first);
    let source = source_text.and_then(|text| values::address(text, findings));
    if let (Some(to), Some(source), Some(text)) = (to, source, source_text) {
        same_family(to, source, "a source", text, findings);
    }
    Some(Route {
        to: to?,
        kind,
        via,
        on_link: said.boolean("on-link").unwrap_or_default(),
        metric: number(said, "metric"),
        table: number(said, "table"),
        source,
        mtu: number(said, "mtu"),
        from,
        tuning: tuning(said, findings),
    })
}

/// Reads from where packets come that a route is for.
fn from_network(text: &Text, to: Option<Prefix>, findings: &mut Findings<'_>) -> Option<Prefix> {
    let from = values::route_network(text, findings)?;
    if from.address.is_ipv4() || to.is_some_and(|to| to.address.is_ipv4()) {
        let message = "only routes of IPv6 look at where packets come from";
        let help = "for IPv4 write a rule with `from`, and the route into its table";
        findings.error(Some(text.span()), message, Some(help.to_owned()));
        return None;
    }
    // From everywhere is no condition.
    Some(from).filter(|from| from.length > 0)
}

fn tuning(said: &Table, findings: &mut Findings<'_>) -> RouteTuning {
    let is_set = |key| said.boolean(key).unwrap_or_default();
    let mtu_lock = is_set("mtu-lock");
    if mtu_lock && said.key("mtu").is_none() {
        let message = "there is no MTU that could be kept";
        let help = Some("add mtu = 1400, or leave it out".to_owned());
        findings.error(said.key("mtu-lock"), message, help);
    }
    let name = said.texts("congestion").and_then(<[_]>::first);
    let congestion = name.filter(|text| {
        let name = text.get_ref();
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_good = (1..=MAX_CONGESTION).contains(&name.len()) && name.bytes().all(is_usual);
        if !is_good {
            let message = "this is no way to control congestion";
            let help =
                "write a name of /proc/sys/net/ipv4/tcp_available_congestion_control, as \"cubic\"";
            findings.error(Some(text.span()), message, Some(help.to_owned()));
        }
        is_good
    });
    RouteTuning {
        mtu_lock,
        advmss: number(said, "advmss"),
        cwnd: number(said, "cwnd"),
        initcwnd: number(said, "initcwnd"),
        initrwnd: number(said, "initrwnd"),
        quickack: is_set("quickack"),
        congestion: congestion.map(|text| text.get_ref().as_str().into()),
    }
}

pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn same_family(to: Prefix, other: IpAddr, what: &str, text: &Text, findings: &mut Findings<'_>) {
    if to.address.is_ipv4() == other.is_ipv4() {
        return;
    }
    let message = format!(
        "{to} is {}, and {other} is {}",
        family(to.address),
        family(other)
    );
    let help = format!("name {what} with an {} address", family(to.address));
    findings.error(Some(text.span()), message, Some(help));
}

/// How somebody would write a way, without its share.
fn way(hop: &Hop) -> String {
    match (hop.via, &hop.link) {
        (Some(via), Some(link)) => format!("{via} link {link}"),
        (Some(via), None) => via.to_string(),
        (None, Some(link)) => format!("link {link}"),
        (None, None) => String::new(),
    }
}

/// Reads `192.0.2.1`, `link wan0` or `192.0.2.1 link wan0`, each with or without `weight 2`.
fn hop(text: &Text, findings: &mut Findings<'_>) -> Option<Hop> {
    let mut words = text.get_ref().split_whitespace().peekable();
    let mut hop = Hop {
        via: None,
        link: None,
        weight: 1,
    };
    if let Some(address) = words.next_if(|word| !matches!(*word, "link" | "weight")) {
        let read = address.parse::<IpAddr>().ok();
        let Some(via) = read.filter(|address| !address.is_unspecified()) else {
            let help = Some("write an address, as 10.8.0.1".to_owned());
            findings.error(Some(text.span()), "this is not an IP address", help);
            return None;
        };
        hop.via = Some(via);
    }
    if words.next_if_eq(&"link").is_some() {
        let name = words
            .next()
            .filter(|name| super::super::kind::name_fault(name).is_none());
        let Some(name) = name else {
            let help =
                Some("write a link's name behind `link`, as \"10.8.0.1 link wan0\"".to_owned());
            findings.error(Some(text.span()), "this is not a link's name", help);
            return None;
        };
        hop.link = Some(name.into());
    }
    if words.next_if_eq(&"weight").is_some() {
        let weight = words.next().and_then(|weight| weight.parse().ok());
        let Some(weight) = weight.filter(|weight| WEIGHTS.contains(weight)) else {
            let message = format!(
                "a share is a whole number from {} to {}",
                WEIGHTS.start(),
                WEIGHTS.end()
            );
            let help = Some(format!("write {} weight 2", way(&hop)));
            findings.error(Some(text.span()), message, help);
            return None;
        };
        hop.weight = weight;
    }
    if words.next().is_some() || hop.via.is_none() && hop.link.is_none() {
        let help = "write an address, a link or both, and then its share, as \"10.8.0.1 link wan0 weight 2\"";
        findings.error(
            Some(text.span()),
            "this is no way that a route could take",
            Some(help.to_owned()),
        );
        return None;
    }
    Some(hop)
}
