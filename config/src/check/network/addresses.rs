//! Which static addresses does a profile have? `addresses`, each by itself.

use super::{number, values};
use crate::diagnostic::Findings;
use crate::model::{AddressLabel, ConflictUse, MAX_LABEL, Prefix, StaticAddress};
use crate::raw::{Span, Table};

/// Reads `addresses`.
pub(super) fn addresses(top: &Table, findings: &mut Findings<'_>) -> Vec<StaticAddress> {
    let usual: ConflictUse = top.word("conflicts").unwrap_or_default();
    let mut addresses: Vec<StaticAddress> = Vec::new();
    for (span, said) in top.tables("addresses").unwrap_or_default() {
        let Some(address) = address(span, said, usual, findings) else {
            continue;
        };
        let prefix = address.prefix;
        if addresses.iter().any(|other| other.prefix == prefix) {
            let message = format!("{prefix} is in the list already");
            findings.warn(Some(span.clone()), message, None);
        } else {
            addresses.push(address);
        }
    }
    addresses
}

fn address(
    span: &Span,
    said: &Table,
    usual: ConflictUse,
    findings: &mut Findings<'_>,
) -> Option<StaticAddress> {
    let Some([text]) = said.texts("address") else {
        if !said.is_faulty("address") {
            let help = Some("add address = \"192.0.2.10/24\"".to_owned());
            findings.error(Some(span.clone()), "this is no address", help);
        }
        return None;
    };
    let prefix = values::own_address(text, findings)?;
    let mut address = StaticAddress::from(prefix);
    super::super::lay(said.boolean("preferred"), &mut address.preferred);
    super::super::lay(said.boolean("prefix-route"), &mut address.prefix_route);
    address.metric = number(said, "metric");
    address.conflicts = said.word("conflicts").unwrap_or(usual);
    let attributes = &mut address.attributes;
    attributes.skips_dad = prefix.address.is_ipv6() && address.conflicts == ConflictUse::Ignore;
    attributes.scope = said.word("scope");
    if let Some([text]) = said.texts("peer")
        && let Some(peer) = values::address(text, findings)
    {
        attributes.peer = Some(peer).filter(|_| is_peer(prefix, peer, said, findings));
    }
    if let Some([text]) = said.texts("label") {
        attributes.label = AddressLabel::new(text.get_ref());
        if attributes.label.is_none() {
            let message = "this is no label of an address".to_owned();
            let help = format!(
                "write at most {MAX_LABEL} printable octets without spaces, as \"eth0:web\""
            );
            findings.error(Some(text.span()), message, Some(help));
        }
    }
    if !address.prefix_route && said.key("metric").is_some() {
        let message = "there is no route that could have this metric";
        let help = Some("leave out `metric`, or prefix-route = false".to_owned());
        findings.error(said.key("metric"), message, help);
    }
    for (key, is_ipv4) in [("label", true), ("scope", true), ("preferred", false)] {
        if said.key(key).is_some() && prefix.address.is_ipv4() != is_ipv4 {
            let message = match is_ipv4 {
                true => format!("only IPv4 addresses have a `{key}` of their own"),
                false => format!("the kernel looks at `{key}` for IPv6 addresses only"),
            };
            let help = Some("leave it out".to_owned());
            findings.error(said.key(key), message, help);
        }
    }
    Some(address)
}

/// Whether an address can be that of the other end.
fn is_peer(own: Prefix, peer: std::net::IpAddr, said: &Table, findings: &mut Findings<'_>) -> bool {
    let (message, help) = if peer.is_ipv4() != own.address.is_ipv4() {
        let family = super::routes::family(own.address);
        (
            format!("{} is {family}, and {peer} is not", own.address),
            format!("name the other end's {family} address"),
        )
    } else if peer == own.address {
        (
            format!("{peer} is this end's address"),
            "name the other end's, or leave it out".to_owned(),
        )
    } else if peer.is_multicast() {
        (
            format!("{peer} cannot be a link's address"),
            "write an address of one host".to_owned(),
        )
    } else {
        return true;
    };
    findings.error(said.key("peer"), message, Some(help));
    false
}
