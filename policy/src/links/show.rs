//! How does a plan for links read? One line for each thing, in words of iproute2 where it has them.
//!
//! Equal plans read equal, so that two of them can be compared line by line. `linnet plan` shows one as it is seen at a
//! moment ([`LinksPlan::seen_at`]): what is left of each time, in place of the times themselves.

use std::fmt;
use std::time::Duration;

use config::model::{
    AddressAttributes, ConflictUse, MacsecSettings, PolicyRule, Prefix, RouteKind, RouteTuning,
    SendingAssociation,
};
use config::time::Instant;

use super::make::MAIN;
use super::{AddressPlan, Clients, LinkPlan, LinksPlan, RouteKey, RoutePlan};
use crate::facts::{Preference, Supplier};

impl fmt::Display for LinksPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_plan(f, self, None)
    }
}

impl LinksPlan {
    /// Returns how the plan reads to somebody who looks at it now.
    pub const fn seen_at(&self, now: Instant) -> impl fmt::Display + '_ {
        SeenAt(self, now)
    }
}

struct SeenAt<'a>(&'a LinksPlan, Instant);

impl fmt::Display for SeenAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_plan(f, self.0, Some(self.1))
    }
}

/// The plan that is shown, and who looks at it when.
#[derive(Clone, Copy)]
struct Seen<'a> {
    plan: Option<&'a LinksPlan>,
    now: Option<Instant>,
}

fn write_plan(f: &mut fmt::Formatter<'_>, plan: &LinksPlan, now: Option<Instant>) -> fmt::Result {
    let seen = Seen {
        plan: Some(plan),
        now,
    };
    for made in &plan.made {
        writeln!(
            f,
            "link {} is made by profile {}: {}",
            made.link.name, made.profile, made.link.kind
        )?;
        write_associations(f, made.link.macsec.as_deref())?;
    }
    for link in plan.links.values() {
        write_link(f, link, seen)?;
    }
    for rule in &plan.rules {
        writeln!(f, "{}", RuleText(rule))?;
    }
    for uplink in [&plan.uplinks.v4, &plan.uplinks.v6].into_iter().flatten() {
        writeln!(f, "{uplink}")?;
    }
    Ok(())
}

/// Says where keys are, never what they are.
fn write_associations(
    f: &mut fmt::Formatter<'_>,
    settings: Option<&MacsecSettings>,
) -> fmt::Result {
    let Some(MacsecSettings { sends, receives }) = settings else {
        return Ok(());
    };
    if let Some(SendingAssociation { number, key_file }) = sends {
        writeln!(f, "  association {number} sends, key in {key_file}")?;
    }
    for (channel, numbers) in receives {
        for (number, key_file) in numbers {
            writeln!(
                f,
                "  association {number} from {channel}, key in {key_file}"
            )?;
        }
    }
    Ok(())
}

impl fmt::Display for LinkPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = Seen {
            plan: None,
            now: None,
        };
        write_link(f, self, seen)
    }
}

fn write_link(f: &mut fmt::Formatter<'_>, link: &LinkPlan, seen: Seen<'_>) -> fmt::Result {
    let state = match link.admin_up {
        Some(true) => "up",
        Some(false) => "down",
        None => "as it is",
    };
    writeln!(f, "link {} by profile {}: {state}", link.name, link.profile)?;
    if let Some(mac) = link.mac {
        writeln!(f, "  hardware address {mac}")?;
    }
    if let Some(mtu) = link.mtu {
        writeln!(f, "  mtu {mtu}")?;
    }
    for (switch, value) in &link.switches {
        match switch.hardware() {
            Some(hardware) => {
                writeln!(f, "  {} {}", hardware.name(), hardware.told(*value))?;
            }
            None => writeln!(f, "  {} = {value}", switch.path(&link.name))?,
        }
    }
    for (prefix, address) in &link.addresses {
        writeln!(f, "  {}", AddressText(*prefix, address, seen.now))?;
    }
    for (key, route) in &link.routes {
        writeln!(f, "  {}", RouteText(key, route, link, seen))?;
    }
    match clients(&link.clients).as_slice() {
        [] => Ok(()),
        clients => writeln!(f, "  clients: {}", clients.join(", ")),
    }
}

fn clients(clients: &Clients) -> Vec<&'static str> {
    let Clients {
        dhcp4,
        dhcp6,
        ra,
        ipv4ll,
        lldp,
    } = clients;
    [
        dhcp4.is_some().then_some("DHCPv4"),
        dhcp6.is_some().then_some("DHCPv6"),
        ra.is_some().then_some("router advertisements"),
        ipv4ll.then_some("IPv4 link-local"),
        lldp.then_some("LLDP"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

struct AddressText<'a>(Prefix, &'a AddressPlan, Option<Instant>);

impl fmt::Display for AddressText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(prefix, address, now) = self;
        write!(f, "address {prefix}")?;
        let AddressAttributes {
            peer,
            label,
            scope,
            skips_dad,
        } = address.attributes;
        if let Some(peer) = peer {
            write!(f, " peer {peer}")?;
        }
        if let Some(scope) = scope {
            write!(f, " scope {}", scope.name())?;
        }
        if let Some(label) = label {
            write!(f, " label {label}")?;
        }
        let has_prefix = prefix.length < prefix.host_length() || peer.is_some();
        if has_prefix && !address.no_prefix_route {
            write!(f, " metric {}", address.metric)?;
        }
        if address.no_prefix_route {
            f.write_str(" noprefixroute")?;
        }
        if address.temporaries {
            f.write_str(" mngtmpaddr")?;
        }
        if skips_dad {
            f.write_str(" nodad")?;
        }
        match address.preferred_until {
            Some(Instant::ZERO) => f.write_str(" deprecated")?,
            until => ends(f, " preferred", until, *now)?,
        }
        ends(f, " valid", address.valid_until, *now)?;
        // What is usual needs no word, nor does what is the kernel's.
        if prefix.address.is_ipv4()
            && address.supplier.is_none()
            && address.conflicts != ConflictUse::default()
        {
            write!(f, " conflicts {}", address.conflicts.name())?;
        }
        by(f, address.supplier)
    }
}

struct RouteText<'a>(&'a RouteKey, &'a RoutePlan, &'a LinkPlan, Seen<'a>);

impl fmt::Display for RouteText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key, route, own, seen) = self;
        let kind = match route.kind {
            RouteKind::Unicast => "",
            RouteKind::Blackhole => "blackhole ",
            RouteKind::Unreachable => "unreachable ",
            RouteKind::Prohibit => "prohibit ",
            RouteKind::Throw => "throw ",
            RouteKind::Local => "local ",
            RouteKind::Broadcast => "broadcast ",
            RouteKind::Anycast => "anycast ",
            RouteKind::Multicast => "multicast ",
        };
        write!(f, "route {kind}{}", key.to)?;
        if let Some(from) = key.from {
            write!(f, " from {from}")?;
        }
        let several = route.via.len() > 1;
        let names_links = route.via.iter().any(|hop| hop.link.is_some());
        for hop in &route.via {
            if let Some(via) = hop.via {
                write!(f, " via {via}")?;
            }
            let planned = |id| seen.plan.and_then(|plan| plan.links.get(&id));
            match hop.link {
                Some(id) => match planned(id) {
                    Some(other) => write!(f, " dev {}", other.name)?,
                    None => write!(f, " dev #{}", id.index)?,
                },
                None if names_links => write!(f, " dev {}", own.name)?,
                None => {}
            }
            if several {
                write!(f, " weight {}", hop.weight)?;
            }
        }
        if route.on_link {
            f.write_str(" onlink")?;
        }
        if let Some(source) = route.source {
            write!(f, " src {source}")?;
        }
        if key.table != MAIN {
            write!(f, " table {}", key.table)?;
        }
        write!(f, " metric {}", key.metric)?;
        if let Some(mtu) = route.mtu {
            let lock = if route.tuning.mtu_lock { " lock" } else { "" };
            write!(f, " mtu{lock} {mtu}")?;
        }
        tuning(f, &route.tuning)?;
        match route.preference {
            Preference::Low => f.write_str(" pref low")?,
            Preference::Medium => {}
            Preference::High => f.write_str(" pref high")?,
        }
        ends(f, "", route.valid_until, seen.now)?;
        by(f, route.supplier)
    }
}

fn tuning(f: &mut fmt::Formatter<'_>, tuning: &RouteTuning) -> fmt::Result {
    let numbers = [
        ("advmss", tuning.advmss),
        ("cwnd lock", tuning.cwnd),
        ("initcwnd", tuning.initcwnd),
        ("initrwnd", tuning.initrwnd),
    ];
    for (word, number) in numbers {
        if let Some(number) = number {
            write!(f, " {word} {number}")?;
        }
    }
    if tuning.quickack {
        f.write_str(" quickack 1")?;
    }
    match &tuning.congestion {
        Some(name) => write!(f, " congctl {name}"),
        None => Ok(()),
    }
}

struct RuleText<'a>(&'a PolicyRule);

impl fmt::Display for RuleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.0;
        let family = if rule.is_ipv6 { "IPv6" } else { "IPv4" };
        write!(f, "rule {}: {family}", rule.priority)?;
        if rule.invert {
            f.write_str(" not")?;
        }
        match rule.from {
            Some(from) => write!(f, " from {from}")?,
            None => f.write_str(" from all")?,
        }
        if let Some(to) = rule.to {
            write!(f, " to {to}")?;
        }
        if rule.tos != 0 {
            write!(f, " tos {:#x}", rule.tos)?;
        }
        if let Some((mark, mask)) = rule.mark {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?;
        }
        if let Some(incoming) = &rule.incoming {
            write!(f, " iif {incoming}")?;
        }
        if let Some(outgoing) = &rule.outgoing {
            write!(f, " oif {outgoing}")?;
        }
        let range = |first: u32, last: u32| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        if let Some((first, last)) = rule.users {
            write!(f, " uidrange {first}-{last}")?;
        }
        if let Some(protocol) = rule.protocol {
            write!(f, " ipproto {protocol}")?;
        }
        if let Some((first, last)) = rule.source_ports {
            write!(f, " sport {}", range(first.into(), last.into()))?;
        }
        if let Some((first, last)) = rule.destination_ports {
            write!(f, " dport {}", range(first.into(), last.into()))?;
        }
        if rule.vrf {
            f.write_str(" lookup [l3mdev-table]")?;
        }
        if let Some(table) = rule.table {
            write!(f, " lookup {table}")?;
        }
        if let Some(goto) = rule.goto {
            write!(f, " goto {goto}")?;
        }
        match rule.kind {
            RouteKind::Unicast
            | RouteKind::Local
            | RouteKind::Broadcast
            | RouteKind::Anycast
            | RouteKind::Multicast => {}
            RouteKind::Throw => f.write_str(" nop")?,
            RouteKind::Blackhole => f.write_str(" blackhole")?,
            RouteKind::Unreachable => f.write_str(" unreachable")?,
            RouteKind::Prohibit => f.write_str(" prohibit")?,
        }
        match rule.suppress_length {
            Some(length) => write!(f, " suppress_prefixlength {length}"),
            None => Ok(()),
        }
    }
}

/// Points in time are those of the clock since boot, so that a plan reads the same whenever it is shown; somebody who looks
/// at it now wants to know what is left.
fn ends(
    f: &mut fmt::Formatter<'_>,
    word: &str,
    at: Option<Instant>,
    now: Option<Instant>,
) -> fmt::Result {
    match (at, now) {
        (Some(at), Some(now)) => write!(f, "{word} for {} s", at.since(now).as_secs()),
        (Some(at), None) => {
            let since_boot: Duration = at.since(Instant::ZERO);
            write!(f, "{word} until boot+{}s", since_boot.as_secs())
        }
        (None, _) => Ok(()),
    }
}

fn by(f: &mut fmt::Formatter<'_>, supplier: Option<Supplier>) -> fmt::Result {
    match supplier {
        Some(supplier) => write!(f, " ({supplier})"),
        None => Ok(()),
    }
}
