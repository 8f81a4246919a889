//! Which rules does a profile have? `[[rules]]`, each by itself.

use std::fmt::Display;
use std::str::FromStr;

use super::routes::family;
use super::{number, values};
use crate::diagnostic::Findings;
use crate::model::{PolicyRule, Prefix, RouteKind};
use crate::raw::{Span, Table, Text};

/// Protocols that have names here, with their numbers.
const PROTOCOLS: [(&str, u8); 8] = [
    ("icmp", 1),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("sctp", 132),
];
/// The bits of ECN (RFC 3168), of which no rule knows.
const ECN: u8 = 3;
/// What the kernel compares of IPv4 (`IPTOS_TOS_MASK`).
const TOS4: u8 = 0x1e;

/// Reads `[[rules]]`; one for both families is two.
pub(super) fn rules(top: &Table, findings: &mut Findings<'_>) -> Vec<PolicyRule> {
    let said = top.tables("rules").unwrap_or_default();
    said.iter()
        .flat_map(|(span, said)| rule(span, said, findings))
        .collect()
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
        Some("nothing") => RouteKind::Throw,
        Some(_) | None => RouteKind::Unicast,
    };
    let goto = number(said, "goto");
    let vrf = said.boolean("vrf").unwrap_or_default();
    let ways = ["table", "goto", "vrf"];
    let mut said_ways = ways.into_iter().filter(|key| match *key {
        "vrf" => vrf,
        key => said.key(key).is_some() || said.is_faulty(key),
    });
    match (kind, said_ways.next(), said_ways.next()) {
        (RouteKind::Unicast, None, _) => {
            let message = "the rule says of no table that it decides";
            let help = "add table = 100, vrf = true, goto = 2000 or kind = \"unreachable\"";
            findings.error(Some(span.clone()), message, Some(help.to_owned()));
        }
        (RouteKind::Unicast, Some(_), None) => {}
        (RouteKind::Unicast, Some(one), Some(other)) => {
            let message = format!("`{one}` and `{other}` cannot both decide");
            let help = Some("leave out one of the two".to_owned());
            findings.error(said.key(other), message, help);
        }
        (kind, Some(key), _) => {
            let message = match kind == RouteKind::Throw {
                true => "after this kind of rule the next one is asked, so that no table decides",
                false => "packets of this kind of rule go nowhere, so that no table decides",
            };
            let help = Some(format!("leave out `{key}` or `kind`"));
            findings.error(said.key(key), message, help);
        }
        (_, None, _) => {}
    }
    if let (Some(goto), Some(priority)) = (goto, priority)
        && goto <= priority
    {
        let message = format!("rules go on with later ones, and {goto} is not behind {priority}");
        let help = Some(format!("write a number above {priority}"));
        findings.error(said.key("goto"), message, help);
    }
    let suppress = said.integer("suppress-length");
    if suppress.is_some() && table.is_none() && !said.is_faulty("table") {
        let message = "there is no table whose routes could be left out";
        let help = match vrf || goto.is_some() || kind != RouteKind::Unicast {
            true => "leave it out",
            false => "add table = 254",
        };
        findings.error(said.key("suppress-length"), message, Some(help.to_owned()));
    }
    let mark = said.texts("mark").and_then(<[_]>::first);
    let mark = mark.and_then(|text| mark_and_mask(text, findings));
    let mut link = |key| {
        let text = said.texts(key).and_then(<[_]>::first)?;
        super::super::kind::link_name(text, findings)
    };
    let (incoming, outgoing) = (link("incoming"), link("outgoing"));
    let protocol = said.texts("protocol").and_then(<[_]>::first);
    let protocol = protocol.and_then(|text| protocol_number(text, findings));
    let source_ports = range(said, "source-ports", u16::MAX, findings);
    let destination_ports = range(said, "destination-ports", u16::MAX, findings);
    let users = range(said, "users", u32::MAX, findings);
    let families = families(said, from.as_ref(), to.as_ref(), findings);
    let tos = tos(said, &families, findings);
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
            tos,
            protocol,
            source_ports,
            destination_ports,
            users,
            vrf,
            goto,
        })
        .collect()
}

/// Reads `tcp` or `6`.
fn protocol_number(text: &Text, findings: &mut Findings<'_>) -> Option<u8> {
    let said = text.get_ref().as_str();
    let named = PROTOCOLS.iter().find(|(name, _)| *name == said);
    let number = named.map(|(_, number)| *number);
    let number = number.or_else(|| said.parse().ok().filter(|number| *number != 0));
    if number.is_none() {
        let names = PROTOCOLS.map(|(name, _)| name).join(", ");
        let help = Some(format!("write its number, or one of {names}"));
        findings.error(
            Some(text.span()),
            "this is no protocol that is known here",
            help,
        );
    }
    number
}

/// Reads `22` or `1000-1999`.
fn range<T>(said: &Table, key: &str, greatest: T, findings: &mut Findings<'_>) -> Option<(T, T)>
where
    T: FromStr + Copy + PartialOrd + Default + Display,
{
    let text = said.texts(key).and_then(<[_]>::first)?;
    let words = text.get_ref();
    let (first, last) = words.split_once('-').unwrap_or((words, words));
    let read = first.trim().parse().ok().zip(last.trim().parse().ok());
    // Port 0 stands for none; the range of users may begin with root. The last number of all the kernel takes for neither.
    let is_good = |(first, last): &(T, T)| {
        first <= last && *last < greatest && (key == "users" || *first > T::default())
    };
    let read = read.filter(is_good);
    if read.is_none() {
        let help = Some(format!(
            "write a number below {greatest}, or the first and the last of them, as \"1000-1999\""
        ));
        findings.error(Some(text.span()), "this is no range of numbers", help);
    }
    read
}

/// Reads the type of service, which ends with the bits of ECN and of which less is compared for IPv4.
fn tos(said: &Table, families: &[bool], findings: &mut Findings<'_>) -> u8 {
    let Some(tos) = said.integer("tos").and_then(|tos| u8::try_from(tos).ok()) else {
        return 0;
    };
    let fault = if tos & ECN != 0 {
        Some((
            "the lower two bits are those of congestion notification",
            "write a multiple of 4",
        ))
    } else if families.contains(&false) && tos & !TOS4 != 0 {
        Some((
            "for IPv4 the kernel compares the bits of 28 alone",
            "write 28 or less, or add family = \"ipv6\"",
        ))
    } else {
        None
    };
    if let Some((message, help)) = fault {
        findings.error(said.key("tos"), message, Some(help.to_owned()));
    }
    tos
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
