//! Which routes and rules does a profile have? `[[routes]]` and `[[rules]]`, each by itself.

use std::net::IpAddr;

use super::{number, values};
use crate::diagnostic::Findings;
use crate::model::{Hop, PolicyRule, Prefix, Route, RouteKind};
use crate::raw::{Span, Table, Text};

/// The least and the greatest share of a neighbour among several.
const WEIGHTS: std::ops::RangeInclusive<u16> = 1..=256;

/// Reads `[[routes]]`.
pub(super) fn routes(top: &Table, findings: &mut Findings<'_>) -> Vec<Route> {
    let said = top.tables("routes").unwrap_or_default();
    said.iter()
        .filter_map(|(span, said)| route(span, said, findings))
        .collect()
}

/// Reads `[[rules]]`; one for both families is two.
pub(super) fn rules(top: &Table, findings: &mut Findings<'_>) -> Vec<PolicyRule> {
    let said = top.tables("rules").unwrap_or_default();
    said.iter()
        .flat_map(|(span, said)| rule(span, said, findings))
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
    if kind != RouteKind::Unicast && (said.key("via").is_some() || said.key("source").is_some()) {
        let message =
            "packets of this kind of route go nowhere, so that it has no neighbour and no source";
        let help = Some("leave out `via` and `source`, or `kind`".to_owned());
        findings.error(said.key("kind"), message, help);
    }
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
    })
}

fn family(address: IpAddr) -> &'static str {
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

fn rule(span: &Span, said: &Table, findings: &mut Findings<'_>) -> Vec<PolicyRule> {
    let errors_before = findings.errors();
    let priority = number(said, "priority");
    if priority.is_none() && !said.is_faulty("priority") {
        let help = Some("add priority = 1000".to_owned());
        findings.error(
            Some(span.clone()),
            "the rule has no place among the others",
            help,
        );
    }
    let mut network = |key| {
        let text = said.texts(key).and_then(<[_]>::first)?;
        let network = values::route_network(text, findings)?;
        Some((network, text.span()))
    };
    let (from, to) = (network("from"), network("to"));
    let table = number(said, "table");
    let kind = match said.choice("kind") {
        Some("blackhole") => RouteKind::Blackhole,
        Some("unreachable") => RouteKind::Unreachable,
        Some("prohibit") => RouteKind::Prohibit,
        Some(_) | None => RouteKind::Unicast,
    };
    match (kind, table) {
        (RouteKind::Unicast, None) if !said.is_faulty("table") => {
            let message = "the rule says of no table that it decides";
            let help = Some("add table = 100, or kind = \"unreachable\"".to_owned());
            findings.error(Some(span.clone()), message, help);
        }
        (RouteKind::Unicast, _) => {}
        (_, Some(_)) => {
            let message = "packets of this kind of rule go nowhere, so that no table decides";
            let help = Some("leave out `table` or `kind`".to_owned());
            findings.error(said.key("table"), message, help);
        }
        (_, None) => {}
    }
    let suppress = said.integer("suppress-length");
    if suppress.is_some() && table.is_none() && !said.is_faulty("table") {
        let message = "there is no table whose routes could be left out";
        findings.error(
            said.key("suppress-length"),
            message,
            Some("add table = 254".to_owned()),
        );
    }
    let mark = said.texts("mark").and_then(<[_]>::first);
    let mark = mark.and_then(|text| mark_and_mask(text, findings));
    let mut link = |key| {
        let text = said.texts(key).and_then(<[_]>::first)?;
        super::super::kind::link_name(text, findings)
    };
    let (incoming, outgoing) = (link("incoming"), link("outgoing"));
    let families = families(said, from.as_ref(), to.as_ref(), findings);
    let Some(priority) = priority.filter(|_| findings.errors() == errors_before) else {
        return Vec::new();
    };
    let network = |found: &Option<(Prefix, Span)>| found.as_ref().map(|(network, _)| *network);
    families
        .into_iter()
        .map(|is_ipv6| PolicyRule {
            priority,
            is_ipv6,
            from: network(&from),
            to: network(&to),
            mark,
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            table,
            kind,
            suppress_length: suppress.and_then(|length| u8::try_from(length).ok()),
            invert: said.boolean("invert").unwrap_or_default(),
        })
        .collect()
}

/// Returns for which families a rule is, whether IPv6 or not.
fn families(
    said: &Table,
    from: Option<&(Prefix, Span)>,
    to: Option<&(Prefix, Span)>,
    findings: &mut Findings<'_>,
) -> Vec<bool> {
    let named = from.or(to).map(|(network, _)| network.address.is_ipv6());
    if let (Some((from, _)), Some((to, span))) = (from, to)
        && from.address.is_ipv4() != to.address.is_ipv4()
    {
        let message = format!(
            "{from} is {}, and {to} is {}",
            family(from.address),
            family(to.address)
        );
        let help = Some("write a rule for each family".to_owned());
        findings.error(Some(span.clone()), message, help);
    }
    let families = match said.choice("family") {
        Some("ipv4") => vec![false],
        Some("ipv6") => vec![true],
        Some(_) => vec![false, true],
        None => named.map_or_else(|| vec![false, true], |is_ipv6| vec![is_ipv6]),
    };
    if let Some(is_ipv6) = named
        && families != [is_ipv6]
    {
        let message = "the networks of the rule are of one family, and `family` says another";
        let help = Some("leave out `family`".to_owned());
        findings.error(said.key("family"), message, help);
    }
    families
}

/// Reads `0x1` or `0x1/0xff`; without a mask all bits count.
fn mark_and_mask(text: &Text, findings: &mut Findings<'_>) -> Option<(u32, u32)> {
    let number = |said: &str| match said.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => said.parse().ok(),
    };
    let said = text.get_ref();
    let read = match said.split_once('/') {
        Some((mark, mask)) => number(mark).zip(number(mask)),
        None => number(said).map(|mark| (mark, u32::MAX)),
    };
    let Some((mark, mask)) = read else {
        let help = Some("write 0x1, or 0x1/0xff for mark and mask".to_owned());
        findings.error(Some(text.span()), "this is no mark", help);
        return None;
    };
    if mark & !mask != 0 {
        let message = "the mark has bits that the mask leaves out: no packet has it";
        findings.error(Some(text.span()), message, None);
    }
    Some((mark, mask))
}
