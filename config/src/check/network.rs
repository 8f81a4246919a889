//! What does a profile want of its links below names? `addresses`, `[dhcp]`, `[[routes]]`, `[[rules]]` and what goes with them.
//!
//! Finds what can be seen in one file; [`super::between`] looks at several. What the kernel would refuse is an error here, so
//! that nothing is touched before it is mended.

mod addresses;
mod hardware;
mod own;
mod routes;
mod rules;
mod sense;

use std::net::IpAddr;
use std::sync::Arc;

use super::values;
use crate::diagnostic::Findings;
use crate::model::{
    CarrierPolicy, CarrierUse, ClientId, DelegatedUse, Dhcp4Settings, Dhcp6Settings, DuidUse,
    HostnameUse, Identity, LinksConfig, NetworkSettings, ProfileId, RaSettings, RaUse, Take,
};
use crate::raw::{Table, Text};
use crate::units;

/// The longest host name and vendor class that an option holds (RFC 2132 §3.14, §9.13).
const MAX_OPTION: usize = 255;

/// Checks what a profile wants, where `links` says what holds without it.
pub(super) fn network(
    top: &Table,
    links: &LinksConfig,
    findings: &mut Findings<'_>,
) -> NetworkSettings {
    let mut network = NetworkSettings {
        mtu: number(top, "mtu"),
        mac: hardware::address(top, findings),
        ipv4ll: top.word("ipv4ll").unwrap_or_default(),
        default_route: top.word("default-route").unwrap_or_default(),
        metric: number(top, "metric"),
        table: number(top, "table"),
        forwarding: top.boolean("forwarding"),
        ra: ra(top, findings),
        take: take(top),
        hardware: hardware::hardware(top, findings),
        carrier: carrier(top, links, findings),
        delegated: delegated(top, findings),
        ..NetworkSettings::default()
    };
    super::lay(top.boolean("autoconnect"), &mut network.autoconnect);
    super::lay(top.boolean("lldp"), &mut network.lldp);
    let priority = top.integer("priority").unwrap_or_default();
    network.priority = i32::try_from(priority).unwrap_or_default();
    network.addresses = addresses::addresses(top, findings);
    dhcp(top, &mut network, findings);
    network.routes = routes::routes(top, findings);
    network.rules = rules::rules(top, findings);
    sense::check(top, &network, findings);
    network
}

/// Returns a number of a range that fits.
fn number(said: &Table, key: &str) -> Option<u32> {
    said.integer(key)
        .and_then(|number| u32::try_from(number).ok())
}

fn ra(top: &Table, findings: &mut Findings<'_>) -> RaUse {
    let mut settings = RaSettings {
        privacy: top.word("privacy").unwrap_or_default(),
        ..RaSettings::default()
    };
    if let Some([text]) = top.texts("address-generation") {
        super::lay(values::generation(text, findings), &mut settings.addresses);
    }
    let ra = match top.boolean("ra") {
        None => RaUse::Kernel,
        Some(false) => RaUse::Off,
        Some(true) => RaUse::Own(settings),
    };
    if settings != RaSettings::default() && ra == RaUse::Off {
        for key in ["address-generation", "privacy"] {
            if let Some(span) = top.key(key) {
                let message = format!(
                    "`{key}` is for addresses by router advertisements, and there are none"
                );
                let help = Some("add ra = true, or leave it out".to_owned());
                findings.warn(Some(span), message, help);
            }
        }
    }
    ra
}

fn take(top: &Table) -> Take {
    let mut take = Take::default();
    if let Some(said) = top.table("take") {
        super::lay(said.boolean("dns"), &mut take.dns);
        super::lay(said.boolean("search"), &mut take.search);
        super::lay(said.boolean("routes"), &mut take.routes);
        super::lay(said.boolean("mtu"), &mut take.mtu);
        super::lay(said.boolean("timers"), &mut take.timers);
    }
    take
}

fn delegated(top: &Table, findings: &mut Findings<'_>) -> Option<DelegatedUse> {
    let said = top.table("delegated")?;
    let mut wanted = DelegatedUse {
        from: None,
        subnet: number(said, "subnet"),
        host: 1,
    };
    if let Some([text]) = said.texts("from") {
        wanted.from = Some(ProfileId(text.get_ref().as_str().into()));
    }
    if let Some([text]) = said.texts("address") {
        super::lay(values::lower_half(text, findings), &mut wanted.host);
    }
    Some(wanted)
}

fn carrier(top: &Table, links: &LinksConfig, findings: &mut Findings<'_>) -> CarrierPolicy {
    let mut policy = match links.carrier {
        true => CarrierPolicy::default(),
        false => CarrierPolicy {
            fixed: CarrierUse::Ignore,
            supplied: CarrierUse::Ignore,
        },
    };
    let Some(said) = top.table("carrier") else {
        return policy;
    };
    let mut lay = |key, held: &mut CarrierUse| {
        if let Some([text]) = said.texts(key) {
            super::lay(carrier_use(text, findings), held);
        }
    };
    lay("fixed", &mut policy.fixed);
    lay("supplied", &mut policy.supplied);
    policy
}

fn carrier_use(text: &Text, findings: &mut Findings<'_>) -> Option<CarrierUse> {
    if text.get_ref() == "ignore" {
        return Some(CarrierUse::Ignore);
    }
    match units::parse_time(text.get_ref()) {
        Ok(seconds) => Some(CarrierUse::Grace(std::time::Duration::from_secs(seconds))),
        Err(error) => {
            let help = "write \"ignore\" or a length of time, as \"30s\"; \"0s\" waits for nothing";
            findings.error(Some(text.span()), error.to_string(), Some(help.to_owned()));
            None
        }
    }
}

fn dhcp(top: &Table, network: &mut NetworkSettings, findings: &mut Findings<'_>) {
    let is_on = |key| top.boolean(key).unwrap_or_default();
    let (v4, v6) = (is_on("dhcp4"), is_on("dhcp6"));
    let mut dhcp4 = Dhcp4Settings::default();
    let mut dhcp6 = Dhcp6Settings::default();
    if let Some(said) = top.table("dhcp") {
        if !v4 && !v6 && !top.is_faulty("dhcp4") && !top.is_faulty("dhcp6") {
            let help = Some("add dhcp4 = true or dhcp6 = true at the top of the file".to_owned());
            let message = "no DHCP server is asked, so that this says nothing";
            findings.warn(top.key("dhcp"), message, help);
        }
        network.hostname = hostname(said, findings);
        dhcp4_settings(said, &mut dhcp4, findings);
        let identity = identity(said, findings);
        dhcp4.identity = identity.clone();
        dhcp6.identity = identity;
        dhcp6.anonymous = dhcp4.anonymous;
        dhcp6.user_class.clone_from(&dhcp4.user_class);
        dhcp6.dns_update = dhcp4.dns_update;
        (dhcp4.own, dhcp6.own) = own::own(said, findings);
        let unsaid = [
            ("send", "dhcp4", v4 || dhcp4.own.send.is_empty()),
            ("request", "dhcp4", v4 || dhcp4.own.request.is_empty()),
            ("send6", "dhcp6", v6 || dhcp6.own.send.is_empty()),
            ("request6", "dhcp6", v6 || dhcp6.own.request.is_empty()),
        ];
        for (key, protocol, _) in unsaid.iter().filter(|(.., is_well)| !is_well) {
            let message = format!("`{key}` is for DHCP servers that are not asked");
            let help = Some(format!("add {protocol} = true at the top of the file"));
            findings.warn(said.key(key), message, help);
        }
        super::lay(said.word("when"), &mut dhcp6.when);
        super::lay(said.boolean("stateful"), &mut dhcp6.addresses);
        super::lay(said.boolean("rapid-commit"), &mut dhcp6.rapid_commit);
        super::lay(said.boolean("register"), &mut dhcp6.register);
        let length = said.integer("delegate");
        dhcp6.delegate = length.and_then(|length| u8::try_from(length).ok());
        if dhcp6.delegate.is_some() && v4 && !v6 {
            let message = "prefixes are delegated by DHCPv6, which is off";
            let help = Some("add dhcp6 = true at the top of the file".to_owned());
            findings.warn(said.key("delegate"), message, help);
        }
    }
    network.dhcp4 = v4.then_some(dhcp4);
    network.dhcp6 = v6.then_some(dhcp6);
}

fn hostname(said: &Table, findings: &mut Findings<'_>) -> HostnameUse {
    let is_sent = said.boolean("send-hostname").unwrap_or(true);
    let is_anonymous = said.boolean("anonymous").unwrap_or_default();
    let Some([text]) = said.texts("hostname") else {
        return if is_sent {
            HostnameUse::Host
        } else {
            HostnameUse::Nothing
        };
    };
    if !is_sent || is_anonymous {
        let why = if is_sent {
            "anonymous = true"
        } else {
            "send-hostname = false"
        };
        let message = format!("the name is not sent: {why}");
        findings.warn(
            Some(text.span()),
            message,
            Some("leave out one of the two".to_owned()),
        );
    }
    let name = text.get_ref();
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_good = !name.is_empty()
        && name.len() <= MAX_OPTION
        && name.bytes().all(is_usual)
        && values::plain_domain(name).is_some();
    if !is_good {
        let help = Some("write letters, digits and '-', as \"laptop\"".to_owned());
        findings.error(Some(text.span()), "this is no host name", help);
        return HostnameUse::Nothing;
    }
    match is_sent {
        true => HostnameUse::Name(name.as_str().into()),
        false => HostnameUse::Nothing,
    }
}

fn dhcp4_settings(said: &Table, dhcp4: &mut Dhcp4Settings, findings: &mut Findings<'_>) {
    super::lay(said.boolean("anonymous"), &mut dhcp4.anonymous);
    super::lay(said.boolean("broadcast"), &mut dhcp4.broadcast);
    super::lay(said.boolean("ipv6-only"), &mut dhcp4.ipv6_only);
    super::lay(said.word("bootp"), &mut dhcp4.bootp);
    if let Some([text]) = said.texts("client-id") {
        super::lay(client_id(text, findings), &mut dhcp4.client_id);
        if dhcp4.anonymous && !matches!(dhcp4.client_id, ClientId::Kept | ClientId::Mac) {
            let message = "the identifier would tell who we are; with anonymous = true it is the hardware address";
            let help = Some("leave out one of the two".to_owned());
            findings.error(Some(text.span()), message, help);
        }
    }
    if let Some([text]) = said.texts("vendor-class") {
        let class = text.get_ref();
        if class.is_empty() || class.len() > MAX_OPTION {
            let message = format!("a vendor class has 1 to {MAX_OPTION} octets");
            findings.error(Some(text.span()), message, None);
        }
        dhcp4.vendor_class = Some(Arc::from(class.as_str()));
    }
    super::lay(said.word("dns-update"), &mut dhcp4.dns_update);
    dhcp4.user_class = user_class(said, findings);
    dhcp4.accept_servers = servers(said, "accept-servers", findings);
    dhcp4.reject_servers = servers(said, "reject-servers", findings);
    let mut accepted = dhcp4.accept_servers.iter();
    if let Some(both) = accepted.find(|server| dhcp4.reject_servers.contains(server)) {
        let message = format!("{both} is accepted and rejected");
        let help = Some("leave it out of one of the two".to_owned());
        findings.error(said.key("accept-servers"), message, help);
    }
}

/// RFC 3004 §4: each class with its length before it, in one option.
fn user_class(said: &Table, findings: &mut Findings<'_>) -> Vec<Arc<str>> {
    let texts = said.texts("user-class").unwrap_or_default();
    let together: usize = texts.iter().map(|text| text.get_ref().len() + 1).sum();
    let is_empty = texts.iter().any(|text| text.get_ref().is_empty());
    if is_empty || together > MAX_OPTION {
        let message = format!("user classes have 1 octet or more each, and {MAX_OPTION} together");
        findings.error(said.key("user-class"), message, None);
    }
    let texts = texts.iter();
    texts.map(|text| text.get_ref().as_str().into()).collect()
}

fn servers(said: &Table, key: &str, findings: &mut Findings<'_>) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for text in said.texts(key).unwrap_or_default() {
        match values::address(text, findings) {
            Some(server) if server.is_ipv4() => servers.push(server),
            Some(server) => {
                let message = format!("{server} is no DHCPv4 server: they have IPv4 addresses");
                findings.error(Some(text.span()), message, None);
            }
            None => {}
        }
    }
    servers
}

/// What is made of the machine and the link for servers that know clients by both.
fn identity(said: &Table, findings: &mut Findings<'_>) -> Identity {
    let mut identity = Identity::default();
    if let Some([text]) = said.texts("duid") {
        super::lay(duid(text, findings), &mut identity.duid);
    }
    identity.iaid = said
        .integer("iaid")
        .and_then(|iaid| u32::try_from(iaid).ok());
    let is_anonymous = said.boolean("anonymous").unwrap_or_default();
    for key in ["duid", "iaid"] {
        if is_anonymous && said.key(key).is_some() {
            let message = format!(
                "{key} would tell who we are; with anonymous = true there is another one with each hardware address"
            );
            let help = Some("leave out one of the two".to_owned());
            findings.error(said.key(key), message, help);
        }
    }
    identity
}

fn duid(text: &Text, findings: &mut Findings<'_>) -> Option<DuidUse> {
    match text.get_ref().as_str() {
        "kept" => return Some(DuidUse::Kept),
        "machine-id" => return Some(DuidUse::MachineId),
        "mac" => return Some(DuidUse::Mac),
        _ => {}
    }
    // RFC 8415 §11.1: a type and 1 to 128 octets.
    let octets = octets(text.get_ref()).filter(|octets| (3..=130).contains(&octets.len()));
    if octets.is_none() {
        let message = "this is no DHCP unique identifier";
        let help = "write \"kept\", \"machine-id\", \"mac\", or pairs of hexadecimal digits with the two octets of the type first, as \"00:03:00:01:00:53:00:a1:b2:c3\"";
        findings.error(Some(text.span()), message, Some(help.to_owned()));
    }
    octets.map(|octets| DuidUse::Octets(octets.into()))
}

/// Reads pairs of hexadecimal digits.
fn octets(text: &str) -> Option<Vec<u8>> {
    let octet = |pair: &str| {
        let is_pair = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_pair.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
    };
    text.split(':').map(octet).collect()
}

fn client_id(text: &Text, findings: &mut Findings<'_>) -> Option<ClientId> {
    match text.get_ref().as_str() {
        "kept" => return Some(ClientId::Kept),
        "mac" => return Some(ClientId::Mac),
        "permanent-mac" => return Some(ClientId::PermanentMac),
        "duid" => return Some(ClientId::Duid),
        "stable" => return Some(ClientId::Stable),
        _ => {}
    }
    // RFC 2132 §9.14: a type and at least one octet.
    let octets = octets(text.get_ref()).filter(|octets| (2..=MAX_OPTION).contains(&octets.len()));
    if octets.is_none() {
        let message = "this is no client identifier";
        let help = "write \"kept\", \"mac\", \"permanent-mac\", \"duid\", \"stable\", or pairs of hexadecimal digits with the type first, as \"00:6c:61:62\"";
        findings.error(Some(text.span()), message, Some(help.to_owned()));
    }
    octets.map(|octets| ClientId::Octets(octets.into()))
}
