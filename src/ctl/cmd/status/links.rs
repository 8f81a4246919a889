//! How do links read? One row each; below it what its network supplies, and what is not as it should be.

use std::fmt::Write as _;

use linnet::api::{
    AssociationStatus, ItemStatus, LinkStatus, PeerStatus, PortalStatus, ReachStatus, SupplyStatus,
    UnmadeStatus,
};

use crate::output::columns;

/// What is as it should be, and needs no line.
const FINE: [&str; 2] = ["ours", "adopted"];

/// Names the profiles that no link has.
pub(super) fn show_idle(profiles: &[String], text: &mut String) {
    if !profiles.is_empty() {
        let _ = writeln!(text, "  no link for: {}", profiles.join(", "));
    }
}

/// Writes the rules of which there is something to say: what is not as it should be, and whose those of others are.
pub(super) fn show_rules(rules: &[ItemStatus], text: &mut String) {
    let is_told = |rule: &&ItemStatus| !is_fine(rule) || rule.detail.is_some();
    for (place, rule) in rules.iter().filter(is_told).enumerate() {
        if place == 0 {
            text.push_str("\nrules\n");
        }
        let mark = if is_fine(rule) { "" } else { "! " };
        let _ = writeln!(text, "  {mark}{}", item_text(rule));
    }
}

/// Writes the links, those that are not there last.
pub(super) fn show(links: &[LinkStatus], unmade: &[UnmadeStatus], text: &mut String) {
    if links.is_empty() && unmade.is_empty() {
        return;
    }
    text.push_str("\nlinks\n");
    let there = links.iter().map(row);
    let rows: Vec<Vec<String>> = there.chain(unmade.iter().map(unmade_row)).collect();
    let links = links.iter().map(Some).chain(std::iter::repeat(None));
    for (line, link) in columns(&rows).lines().zip(links) {
        text.push_str(line);
        text.push('\n');
        let Some(link) = link else {
            continue;
        };
        for supply in &link.supplies {
            let _ = writeln!(text, "    {}", supplied(supply));
        }
        for line in reached_lines(&link.reach, link.portal.as_ref()) {
            let _ = writeln!(text, "    {line}");
        }
        if link.portal.is_none()
            && let Some(api) = link
                .supplies
                .iter()
                .find_map(|supply| supply.portal.as_ref())
        {
            let _ = writeln!(text, "    a portal is announced at {api}, and is not asked");
        }
        for cable in &link.cable {
            let name = cable.name.as_ref().unwrap_or(&cable.chassis);
            let what = cable.capabilities.join(", ");
            let what = if what.is_empty() {
                what
            } else {
                format!(" ({what})")
            };
            let _ = writeln!(text, "    cable to {name}{what}, port {}", cable.port);
        }
        for peer in &link.peers {
            let _ = writeln!(text, "    {}", self::peer(peer));
        }
        for AssociationStatus {
            from,
            number,
            state,
        } in &link.associations
        {
            let from = from.as_ref();
            let from = from.map_or_else(String::new, |from| format!(" from {from}"));
            let _ = writeln!(text, "    association {number}{from} {state}");
        }
        for item in link.items.iter().filter(|item| !is_fine(item)) {
            let _ = writeln!(text, "    ! {}", item_text(item));
        }
    }
}

/// Says where a tunnel's peer is, and how that is known.
fn peer(peer: &PeerStatus) -> String {
    let at = peer.endpoint.as_deref().unwrap_or("nowhere yet");
    let name = peer.name.as_ref().map_or_else(String::new, |name| {
        let state = peer
            .state
            .as_deref()
            .unwrap_or("the name is not asked for yet");
        format!(", {name}: {state}")
    });
    format!("peer {} at {at}{name}", peer.public_key)
}

/// Says how far a link reaches, a line for each family, and what its portal says.
pub(crate) fn reached_lines(reach: &[ReachStatus], portal: Option<&PortalStatus>) -> Vec<String> {
    let families = reach.iter().map(reached);
    families.chain(portal.map(portal_line)).collect()
}

fn reached(reach: &ReachStatus) -> String {
    let ReachStatus {
        family,
        reach,
        since_ms,
        why,
    } = reach;
    let family = match family.as_str() {
        "ipv6" => "IPv6",
        _ => "IPv4",
    };
    let seconds = since_ms / 1000;
    match reach.as_str() {
        "validated" => format!("{family} works, since {seconds} s: {why}"),
        "portal" => format!("! {family} leads to a portal, since {seconds} s: {why}"),
        "nowhere" => format!("! {family} leads nowhere, since {seconds} s: {why}"),
        _ => format!("{family} is not known to work: {why}"),
    }
}

fn portal_line(portal: &PortalStatus) -> String {
    let mut text = match (portal.captive, &portal.url) {
        (None, Some(url)) if portal.redirects => {
            format!("! every page leads to {url}, as the network says: log in there")
        }
        (Some(true), Some(url)) => format!("! log in at {url}"),
        (Some(true), None) => "! its portal wants a login, and does not say where".to_owned(),
        (Some(false), Some(url)) if portal.can_extend => {
            format!("its portal is open; stay longer at {url}")
        }
        (Some(false), _) => "its portal is open".to_owned(),
        (None, _) => format!("its portal at {} says nothing", portal.api),
    };
    if let Some(remaining) = portal.remaining_ms {
        let _ = write!(text, ", for {} s", remaining / 1000);
    }
    if let Some(trouble) = &portal.trouble {
        let _ = write!(text, ": {trouble}");
    }
    text
}

pub(crate) fn is_fine(item: &ItemStatus) -> bool {
    FINE.contains(&item.state.as_str())
}

/// Says how an item is, and why.
pub(crate) fn item_text(item: &ItemStatus) -> String {
    let detail = item.detail.as_ref();
    let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
    format!("{} {}{detail}", item.item, item.state)
}

fn row(link: &LinkStatus) -> Vec<String> {
    let governed = match (&link.profile, &link.told) {
        (Some(profile), Some(told)) => format!("profile {profile}, told: {told}"),
        (Some(profile), None) => format!("profile {profile}"),
        (None, _) => "no profile".to_owned(),
    };
    let governed = match &link.port_of {
        Some(master) => format!("{governed}, port of {master}"),
        None => governed,
    };
    vec![
        link.name.clone(),
        link.kind.clone(),
        if link.up { "up" } else { "down" }.to_owned(),
        governed,
        link.default_route_metric.map_or_else(
            || "-".to_owned(),
            |metric| format!("default route, metric {metric}"),
        ),
        link.addresses.join(" "),
    ]
}

fn unmade_row(unmade: &UnmadeStatus) -> Vec<String> {
    let UnmadeStatus {
        name,
        kind,
        profile,
        autoconnect,
        told,
    } = unmade;
    let why = match told {
        Some(told) => format!("profile {profile}, told: {told}"),
        None if *autoconnect => format!("profile {profile}"),
        None => format!("profile {profile}, made by: linnet up {name}"),
    };
    vec![name.clone(), kind.clone(), "not made".to_owned(), why]
}

fn supplied(supply: &SupplyStatus) -> String {
    let mut parts = Vec::new();
    let mut add = |what: &str, values: &[String]| {
        if !values.is_empty() {
            parts.push(format!("{what}{}", values.join(" ")));
        }
    };
    add("", &supply.addresses);
    add("delegated ", &supply.delegated);
    add("upstreams ", &supply.upstreams);
    add("search ", &supply.search);
    add("time servers ", &supply.time_servers);
    for option in &supply.options {
        let value = option.text.as_ref().unwrap_or(&option.octets);
        add(
            &format!("option {} ", option.number),
            std::slice::from_ref(value),
        );
    }
    let mut text = supply.supplier.clone();
    if let Some(state) = &supply.state {
        let _ = write!(text, " {state}");
    }
    if let Some(server) = &supply.server {
        let _ = write!(text, " by {server}");
    }
    if supply.bootp {
        text.push_str(" (BOOTP)");
    }
    if supply.unconfirmed {
        text.push_str(", not confirmed yet");
    }
    if let Some(expires) = supply.expires_ms {
        let _ = write!(text, ", for {} s", expires / 1000);
    }
    if let Some(trouble) = &supply.trouble {
        let _ = write!(text, ", {trouble}");
    }
    match parts.is_empty() {
        true => text,
        false => format!("{text}: {}", parts.join(", ")),
    }
}
