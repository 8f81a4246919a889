//! What link does `[link]` make, and can there be such a one? `[link]`, `[[ports]]`, `[[peers]]` and `[[associations]]` of one profile.
//!
//! What hangs on other profiles, as a loop of links, is found in [`super::between`].

mod macsec;
pub(super) mod wireguard;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::values;
use crate::diagnostic::Findings;
use crate::kind::{Attribute, LinkKind, Parent, Value, Wire};
use crate::matcher::LinkMatch;
use crate::model::{PortSettings, VirtualLink, VlanUse};
use crate::raw::{Table, Text};
use crate::reference::{Form, Syntax};
use crate::units;

/// The longest name of a link, in octets (`IFNAMSIZ` with its final zero).
const MAX_NAME: usize = 15;
/// Names that stand for all links below `/proc/sys/net`.
const RESERVED_NAMES: [&str; 2] = ["all", "default"];
/// The longest interval of a bond, in milliseconds: the kernel's `INT_MAX`.
const MAX_INTERVAL: u64 = 2_147_483_647;
/// How many targets of a bond the kernel takes.
const MAX_TARGETS: usize = 16;
/// The highest VLAN (IEEE 802.1Q §9.6).
const MAX_VLAN: u16 = 4094;

/// Returns the name that `[link]` gives its link.
pub(super) fn own_name(top: &Table) -> Option<&str> {
    let [name] = top.table("link")?.texts("name")? else {
        return None;
    };
    Some(name.get_ref())
}

/// Checks the link that a profile makes.
pub(super) fn link(
    top: &Table,
    matches: Option<&LinkMatch>,
    findings: &mut Findings<'_>,
) -> Option<VirtualLink> {
    let Some(said) = top.table("link") else {
        for name in ["ports", "peers", "associations"] {
            if let Some(span) = top.key(name) {
                let message =
                    format!("`{name}` are of a link that linnet makes, and there is no [link]");
                let help = Some("add [link] with its kind".to_owned());
                findings.error(Some(span), message, help);
            }
        }
        return None;
    };
    let kind = said.choice("kind").and_then(LinkKind::of);
    if kind.is_none() && !said.is_faulty("kind") {
        let help = "add kind = \"bridge\", or another of docs/config.md".to_owned();
        findings.error(top.key("link"), "the link has no kind", Some(help));
    }
    let name = name(top, said, matches, findings);
    let kind = kind?;
    let parent = parent(kind, top, said, findings);
    let peer = peer(kind, top, said, findings);
    let mut attributes = attributes(kind.attributes, said, findings);
    for attribute in kind.attributes {
        let key = attribute.key.name;
        let is_said = attributes.contains_key(key) || said.is_faulty(key);
        if attribute.required && !is_said {
            let message = format!("a {kind} needs `{key}`");
            let help = Some(format!("add {key} = …: {}", attribute.key.doc));
            findings.error(top.key("link"), message, help);
        }
        if let Some(value) = attribute.default().filter(|_| attribute.always && !is_said) {
            attributes.insert(key, value);
        }
    }
    let ports = ports(kind, top, said, findings);
    let vlans = own_vlans(kind, said, findings);
    let wireguard = wireguard::settings(kind, top, said, &attributes, findings);
    let macsec = macsec::settings(kind, top, said, &mut attributes, findings);
    let link = VirtualLink {
        kind,
        name: name?,
        parent,
        peer,
        attributes,
        ports,
        vlans,
        wireguard,
        macsec,
    };
    together(&link, said, findings);
    Some(link)
}

fn name(
    top: &Table,
    said: &Table,
    matches: Option<&LinkMatch>,
    findings: &mut Findings<'_>,
) -> Option<Arc<str>> {
    if let Some([text]) = said.texts("name") {
        let name = link_name(text, findings)?;
        let is_covered = matches.is_none_or(|matches| {
            matches.name.is_empty() || matches.name.iter().any(|glob| glob.matches(&name))
        });
        if !is_covered {
            let message = format!("the profile makes {name}, and does not match it");
            let help = Some(format!(
                "leave `match` out, or write match = {{ name = \"{name}\" }}"
            ));
            findings.error(Some(text.span()), message, help);
        }
        return Some(name);
    }
    let literal = matches.and_then(|matches| match matches.name.as_slice() {
        [glob] => glob.literal(),
        _ => None,
    });
    let Some(literal) = literal else {
        if !said.is_faulty("name") && !top.is_faulty("match") {
            let message = "it cannot be told what the link is called";
            let help = "add name = \"br0\" to [link], or match one name without wildcards";
            findings.error(top.key("link"), message, Some(help.to_owned()));
        }
        return None;
    };
    let named = top.table("match").and_then(|said| said.texts("name"));
    let [text] = named? else {
        return Some(literal.into());
    };
    link_name(text, findings)
}

/// Reads a name as the kernel takes it (`dev_valid_name`).
pub(super) fn link_name(text: &Text, findings: &mut Findings<'_>) -> Option<Arc<str>> {
    let name = text.get_ref();
    let Some(fault) = name_fault(name) else {
        return Some(name.as_str().into());
    };
    let help = Some("write a short name, as \"br0\"".to_owned());
    findings.error(Some(text.span()), fault, help);
    None
}

/// Returns why no link can have a name.
pub(super) fn name_fault(name: &str) -> Option<String> {
    Some(if name.is_empty() {
        "a link's name is not empty".to_owned()
    } else if name.len() > MAX_NAME {
        format!(
            "a link's name has at most {MAX_NAME} octets, and this has {}",
            name.len()
        )
    } else if matches!(name, "." | "..") || RESERVED_NAMES.contains(&name) {
        format!("no link can be called \"{name}\"")
    } else if name
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '%'))
    {
        "a link's name has no space, '/', ':' or '%'".to_owned()
    } else {
        return None;
    })
}

fn parent(
    kind: LinkKind,
    top: &Table,
    said: &Table,
    findings: &mut Findings<'_>,
) -> Option<Arc<str>> {
    let text = match said.texts("parent") {
        Some([text]) => Some(text),
        Some(_) | None => None,
    };
    match (kind.parent, text) {
        (Parent::None, Some(_)) => {
            let message = format!("a {kind} has no parent");
            let help = Some("leave it out".to_owned());
            findings.error(said.key("parent"), message, help);
            None
        }
        (Parent::Link, None) => {
            if !said.is_faulty("parent") {
                let message = format!("a {kind} needs the link that it stands on");
                let help = Some("add parent = \"eth0\"".to_owned());
                findings.error(top.key("link"), message, help);
            }
            None
        }
        (Parent::Link | Parent::Attribute(_), Some(text)) => link_name(text, findings),
        (Parent::None | Parent::Attribute(_), None) => None,
    }
}

fn peer(
    kind: LinkKind,
    top: &Table,
    said: &Table,
    findings: &mut Findings<'_>,
) -> Option<Arc<str>> {
    let text = match said.texts("peer") {
        Some([text]) => Some(text),
        Some(_) | None => None,
    };
    match (kind.has_peer, text) {
        (true, Some(text)) => link_name(text, findings),
        (true, None) => {
            if !said.is_faulty("peer") {
                let message = format!("a {kind} needs the name of its other end");
                let help = Some("add peer = \"…\"".to_owned());
                findings.error(top.key("link"), message, help);
            }
            None
        }
        (false, Some(_)) => {
            let message = format!("a {kind} has no other end");
            findings.error(said.key("peer"), message, Some("leave it out".to_owned()));
            None
        }
        (false, None) => None,
    }
}

/// Reads what a table says of a link or a port.
fn attributes(
    attributes: &'static [Attribute],
    said: &Table,
    findings: &mut Findings<'_>,
) -> BTreeMap<&'static str, Value> {
    let mut values = BTreeMap::new();
    for attribute in attributes.iter().filter(|one| !one.key.secret) {
        if let Some(value) = value(attribute, said, findings) {
            values.insert(attribute.key.name, value);
        }
    }
    values
}

fn value(attribute: &Attribute, said: &Table, findings: &mut Findings<'_>) -> Option<Value> {
    let key = attribute.key.name;
    said.key(key)?;
    match attribute.key.syntax {
        Syntax::Boolean => said.boolean(key).map(Value::Switch),
        Syntax::Integer { .. } => said.integer(key).map(Value::Number),
        Syntax::Choice(_) => said.choice(key).map(Value::Word),
        Syntax::Time { .. } => said.time(key).map(Value::Time),
        Syntax::Text(form) => {
            let [text] = said.texts(key)? else {
                return None;
            };
            one(form, attribute.wire, text, findings)
        }
        Syntax::List(form) => Some(many(form, attribute, said.texts(key)?, findings)),
        Syntax::Size { .. }
        | Syntax::OneOrMore(_)
        | Syntax::Numbers { .. }
        | Syntax::Numbered { .. }
        | Syntax::Mixed(..)
        | Syntax::Table(_)
        | Syntax::Tables(_) => {
            debug_assert!(false, "no kind has {key} as {:?}", attribute.key.syntax);
            None
        }
    }
}

fn one(form: Form, wire: Wire, text: &Text, findings: &mut Findings<'_>) -> Option<Value> {
    match form {
        Form::Address => {
            let address = values::address(text, findings)?;
            family(address, wire, text, findings).then_some(Value::Address(address))
        }
        Form::Mac => values::macs(Some(std::slice::from_ref(text)), findings)
            .pop()
            .map(Value::Mac),
        Form::LinkName => link_name(text, findings).map(Value::Link),
        Form::Interval => match units::parse_interval(text.get_ref()) {
            Ok(millis) if millis <= MAX_INTERVAL => {
                Some(Value::Time(Duration::from_millis(millis)))
            }
            Ok(_) | Err(_) => {
                let help = Some("write a length of time, as \"100ms\" or \"2s\"".to_owned());
                findings.error(Some(text.span()), "this is not a length of time", help);
                None
            }
        },
        Form::PortRange => {
            let ports = text.get_ref().split_once('-').and_then(|(first, last)| {
                let ports = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
                (ports.0 <= ports.1 && ports.0 > 0).then_some(ports)
            });
            let Some((first, last)) = ports else {
                let help = Some("write the first and the last, as \"32768-60999\"".to_owned());
                findings.error(Some(text.span()), "this is not a range of ports", help);
                return None;
            };
            Some(Value::PortRange(first, last))
        }
        Form::Path
        | Form::Place
        | Form::Upstream
        | Form::Domain
        | Form::Listen
        | Form::Prefix
        | Form::Network
        | Form::Glob
        | Form::MacUse
        | Form::Owner
        | Form::RecordType
        | Form::Data
        | Form::Label
        | Form::Text
        | Form::Generation
        | Form::ClientId
        | Form::Duid
        | Form::OptionValue
        | Form::CarrierUse
        | Form::Hop
        | Form::Range
        | Form::Mark
        | Form::ScopeName
        | Form::ProfileId
        | Form::ServiceType
        | Form::Subtype
        | Form::ServiceText
        | Form::Mapping
        | Form::Pair
        | Form::Vlans
        | Form::WireguardKey
        | Form::Endpoint
        | Form::Url => {
            debug_assert!(false, "no kind has {form:?}");
            None
        }
    }
}

fn many(form: Form, attribute: &Attribute, texts: &[Text], findings: &mut Findings<'_>) -> Value {
    if form == Form::Pair {
        let mut pairs = BTreeMap::new();
        for text in texts {
            let pair = text
                .get_ref()
                .split_once(':')
                .and_then(|(from, to)| Some((from.parse::<u32>().ok()?, to.parse::<u32>().ok()?)));
            let Some((from, to)) = pair else {
                let help = Some("write two numbers, as \"3:5\"".to_owned());
                findings.error(Some(text.span()), "this is not a pair of priorities", help);
                continue;
            };
            // The priority in the tag has three bits (IEEE 802.1Q §9.6).
            let tag = if attribute.key.name.starts_with("egress") {
                to
            } else {
                from
            };
            if tag > 7 {
                let message = format!("the priority in a tag is at most 7, and this is {tag}");
                findings.error(Some(text.span()), message, None);
            } else if pairs.insert(from, to).is_some() {
                let message = format!("{from} is in the list already");
                findings.error(Some(text.span()), message, None);
            }
        }
        return Value::Pairs(pairs);
    }
    let mut addresses = Vec::new();
    for text in texts {
        let Some(address) = values::address(text, findings) else {
            continue;
        };
        if family(address, attribute.wire, text, findings) {
            addresses.push(address);
        }
    }
    if let Some(beyond) = texts.get(MAX_TARGETS) {
        let message = format!("the kernel takes at most {MAX_TARGETS} of them");
        findings.error(Some(beyond.span()), message, None);
    }
    Value::Addresses(addresses)
}

/// Whether an address is of the family that an attribute takes.
fn family(address: IpAddr, wire: Wire, text: &Text, findings: &mut Findings<'_>) -> bool {
    let wants_ipv6 = if matches!(wire, Wire::Address6 | Wire::Addresses { is_ipv6: true }) {
        true
    } else if matches!(wire, Wire::Address4 | Wire::Addresses { is_ipv6: false }) {
        false
    } else {
        return true;
    };
    let fits = address.is_ipv6() == wants_ipv6;
    if !fits {
        let wanted = if wants_ipv6 { "IPv6" } else { "IPv4" };
        let message = format!("{address} is no {wanted} address");
        findings.error(Some(text.span()), message, None);
    }
    fits
}

fn ports(
    kind: LinkKind,
    top: &Table,
    said: &Table,
    findings: &mut Findings<'_>,
) -> BTreeMap<Arc<str>, PortSettings> {
    let mut ports = BTreeMap::new();
    let Some(of_port) = kind.ports else {
        for span in [said.key("ports"), top.key("ports")].into_iter().flatten() {
            let message = format!("a {kind} has no ports");
            findings.error(Some(span), message, Some("leave them out".to_owned()));
        }
        return ports;
    };
    for text in said.texts("ports").unwrap_or_default() {
        let Some(name) = link_name(text, findings) else {
            continue;
        };
        if ports
            .insert(name.clone(), PortSettings::default())
            .is_some()
        {
            let message = format!("{name} is in the list already");
            findings.warn(Some(text.span()), message, None);
        }
    }
    let mut detailed: Vec<Arc<str>> = Vec::new();
    for (span, said) in top.tables("ports").unwrap_or_default() {
        let Some([text]) = said.texts("name") else {
            if !said.is_faulty("name") {
                let help = Some("add name = \"eth0\"".to_owned());
                findings.error(Some(span.clone()), "the port has no name", help);
            }
            continue;
        };
        let Some(name) = link_name(text, findings) else {
            continue;
        };
        if detailed.contains(&name) {
            let message = format!("there is a table for {name} already");
            findings.error(Some(text.span()), message, None);
            continue;
        }
        let settings = PortSettings {
            attributes: attributes(of_port, said, findings),
            vlans: port_vlans(kind, said, findings),
        };
        detailed.push(name.clone());
        ports.insert(name, settings);
    }
    ports
}

fn is_bridge(kind: LinkKind) -> bool {
    kind.attribute("vlan-filtering").is_some()
}

fn own_vlans(kind: LinkKind, said: &Table, findings: &mut Findings<'_>) -> BTreeMap<u16, VlanUse> {
    vlans(kind, said, &["vlans", "pvid"], findings)
}

fn port_vlans(kind: LinkKind, said: &Table, findings: &mut Findings<'_>) -> BTreeMap<u16, VlanUse> {
    vlans(kind, said, &["vlans", "untagged-vlans", "pvid"], findings)
}

fn vlans(
    kind: LinkKind,
    said: &Table,
    keys: &[&str],
    findings: &mut Findings<'_>,
) -> BTreeMap<u16, VlanUse> {
    let mut use_by_vlan: BTreeMap<u16, VlanUse> = BTreeMap::new();
    if !is_bridge(kind) {
        for key in keys {
            if let Some(span) = said.key(key) {
                let message = format!("`{key}` is for bridges, and this is a {kind}");
                findings.error(Some(span), message, Some("leave it out".to_owned()));
            }
        }
        return use_by_vlan;
    }
    for key in keys.iter().filter(|key| **key != "pvid") {
        let untagged = *key == "untagged-vlans";
        for text in said.texts(key).unwrap_or_default() {
            let Some((first, last)) = vlan_range(text.get_ref()) else {
                let message =
                    format!("this is not a VLAN from 1 to {MAX_VLAN}, or a range of them");
                let help = Some("write \"10\", or \"20-29\"".to_owned());
                findings.error(Some(text.span()), message, help);
                continue;
            };
            for vlan in first..=last {
                let held = use_by_vlan.entry(vlan).or_default();
                held.untagged |= untagged;
            }
        }
    }
    let pvid = said.integer("pvid");
    if let Some(pvid) = pvid.and_then(|pvid| u16::try_from(pvid).ok()) {
        let own = VlanUse {
            untagged: true,
            pvid: true,
        };
        use_by_vlan.insert(pvid, own);
    }
    use_by_vlan
}

fn vlan_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u16>().ok()?;
        (is_number && (1..=MAX_VLAN).contains(&number)).then_some(number)
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// Checks what hangs together.
fn together(link: &VirtualLink, said: &Table, findings: &mut Findings<'_>) {
    if link.below().any(|below| *below == link.name) || link.peer.as_ref() == Some(&link.name) {
        let message = format!("{} would stand on itself", link.name);
        let at = ["parent", "ports", "peer"]
            .iter()
            .find_map(|key| said.key(key));
        findings.error(at, message, Some("name another link".to_owned()));
    }
    let address = |name: &str| match link.attributes.get(name) {
        Some(Value::Address(address)) => Some(*address),
        Some(_) | None => None,
    };
    if let (Some(local), Some(remote)) = (address("local"), address("remote"))
        && local.is_ipv4() != remote.is_ipv4()
    {
        let message = format!("{local} and {remote} are of two families");
        let help = Some("a tunnel goes by IPv4 or by IPv6".to_owned());
        findings.error(said.key("remote"), message, help);
    }
    if address("remote").is_some_and(|remote| remote.is_multicast())
        && matches!(link.kind.parent, Parent::Attribute(_))
        && link.parent.is_none()
    {
        let message = "a multicast group is on some link, and the tunnel has no parent";
        let help = Some("add parent = \"eth0\"".to_owned());
        findings.error(said.key("remote"), message, help);
    }
    let is_on = |name: &str| link.attributes.get(name) == Some(&Value::Switch(true));
    let cuts = link.attributes.get("path-mtu-discovery") == Some(&Value::Switch(false));
    let ttl = link.attributes.get("ttl");
    let has_ttl = ttl.is_some_and(|ttl| *ttl != Value::Number(0));
    if cuts && has_ttl && !is_on("ignore-df") {
        let message = "with a `ttl` of its own a tunnel cannot do without path MTU discovery";
        let help = Some("leave out one of the two".to_owned());
        findings.error(said.key("path-mtu-discovery"), message, help);
    }
    if is_on("ignore-df") && !cuts {
        let message = "`ignore-df` needs path-mtu-discovery = false";
        findings.error(said.key("ignore-df"), message, None);
    }
    if let Some(Value::Link(primary)) = link.attributes.get("primary")
        && !link.ports.contains_key(primary)
    {
        let message = format!("{primary} is not among the ports");
        let help = Some(format!("add \"{primary}\" to `ports`"));
        findings.error(said.key("primary"), message, help);
    }
    if link.kind.attribute("mii-interval").is_some() {
        let is_off = |name: &str| match link.attributes.get(name) {
            Some(Value::Time(time)) => time.is_zero(),
            Some(_) | None => true,
        };
        // The kernel looks at carriers by itself in the modes that cannot do without.
        let mode = link.attributes.get("mode");
        let forced = ["802.3ad", "balance-tlb", "balance-alb"].map(|mode| Some(Value::Word(mode)));
        if is_off("mii-interval") && is_off("arp-interval") && !forced.contains(&mode.cloned()) {
            let message = "nobody notices when a port of the bond fails";
            let help = Some("add mii-interval = \"100ms\" to [link]".to_owned());
            findings.warn(said.key("kind"), message, help);
        }
    }
    let has_vlans =
        !link.vlans.is_empty() || link.ports.values().any(|port| !port.vlans.is_empty());
    let filters = link.attributes.get("vlan-filtering") == Some(&Value::Switch(true));
    if has_vlans && !filters {
        let message = "VLANs are named, and the bridge does not look at them";
        let help = Some("add vlan-filtering = true to [link]".to_owned());
        findings.warn(
            said.key("vlans").or_else(|| said.key("kind")),
            message,
            help,
        );
    }
}
