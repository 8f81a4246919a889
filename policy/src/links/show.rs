//! How does a plan for links read? One line for each thing, in words of iproute2 where it has them.
//!
//! `linnet plan` shows this. Equal plans read equal, so that two of them can be compared line by line.

use std::fmt;
use std::time::Duration;

use config::model::{PolicyRule, Prefix, RouteKind};
use config::time::Instant;

use super::make::MAIN;
use super::{AddressPlan, Clients, LinkPlan, LinksPlan, RouteKey, RoutePlan};
use crate::facts::{Preference, Supplier};

impl fmt::Display for LinksPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, made) in &self.made {
            writeln!(
                f,
                "link {name} is made by profile {}: {}",
                made.profile, made.link.kind
            )?;
        }
        for link in self.links.values() {
            link.fmt(f)?;
        }
        for rule in &self.rules {
            writeln!(f, "{}", RuleText(rule))?;
        }
        for uplink in [&self.uplinks.v4, &self.uplinks.v6].into_iter().flatten() {
            writeln!(f, "{uplink}")?;
        }
        Ok(())
    }
}

impl fmt::Display for LinkPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.admin_up {
            Some(true) => "up",
            Some(false) => "down",
            None => "as it is",
        };
        writeln!(f, "link {} by profile {}: {state}", self.name, self.profile)?;
        if let Some(mac) = self.mac {
            writeln!(f, "  hardware address {mac}")?;
        }
        if let Some(mtu) = self.mtu {
            writeln!(f, "  mtu {mtu}")?;
        }
        for (switch, value) in &self.switches {
            writeln!(f, "  {} = {value}", switch.path(&self.name))?;
        }
        for (prefix, address) in &self.addresses {
            writeln!(f, "  {}", AddressText(*prefix, address))?;
        }
        for (key, route) in &self.routes {
            writeln!(f, "  {}", RouteText(key, route))?;
        }
        match clients(&self.clients).as_slice() {
            [] => Ok(()),
            clients => writeln!(f, "  clients: {}", clients.join(", ")),
        }
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

struct AddressText<'a>(Prefix, &'a AddressPlan);

impl fmt::Display for AddressText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(prefix, address) = self;
        write!(f, "address {prefix}")?;
        if prefix.length < prefix.host_length() && !address.no_prefix_route {
            write!(f, " metric {}", address.metric)?;
        }
        if address.no_prefix_route {
            f.write_str(" noprefixroute")?;
        }
        if address.temporaries {
            f.write_str(" mngtmpaddr")?;
        }
        ends(f, " preferred until", address.preferred_until)?;
        ends(f, " valid until", address.valid_until)?;
        by(f, address.supplier)
    }
}

struct RouteText<'a>(&'a RouteKey, &'a RoutePlan);

impl fmt::Display for RouteText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key, route) = self;
        let kind = match route.kind {
            RouteKind::Unicast => "",
            RouteKind::Blackhole => "blackhole ",
            RouteKind::Unreachable => "unreachable ",
            RouteKind::Prohibit => "prohibit ",
            RouteKind::Throw => "throw ",
        };
        write!(f, "route {kind}{}", key.to)?;
        let several = route.via.len() > 1;
        for hop in &route.via {
            write!(f, " via {}", hop.via)?;
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
            write!(f, " mtu {mtu}")?;
        }
        match route.preference {
            Preference::Low => f.write_str(" pref low")?,
            Preference::Medium => {}
            Preference::High => f.write_str(" pref high")?,
        }
        ends(f, " until", route.valid_until)?;
        by(f, route.supplier)
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
        if let Some((mark, mask)) = rule.mark {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?;
        }
        if let Some(incoming) = &rule.incoming {
            write!(f, " iif {incoming}")?;
        }
        if let Some(outgoing) = &rule.outgoing {
            write!(f, " oif {outgoing}")?;
        }
        if let Some(table) = rule.table {
            write!(f, " lookup {table}")?;
        }
        match rule.kind {
            RouteKind::Unicast | RouteKind::Throw => {}
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

/// Points in time are those of the clock since boot, so that a plan reads the same whenever it is shown.
fn ends(f: &mut fmt::Formatter<'_>, word: &str, at: Option<Instant>) -> fmt::Result {
    match at {
        Some(at) => {
            let since_boot: Duration = at.since(Instant::ZERO);
            write!(f, "{word} boot+{}s", since_boot.as_secs())
        }
        None => Ok(()),
    }
}

fn by(f: &mut fmt::Formatter<'_>, supplier: Option<Supplier>) -> fmt::Result {
    match supplier {
        Some(supplier) => write!(f, " ({supplier})"),
        None => Ok(()),
    }
}
