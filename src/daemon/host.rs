//! What is this machine called, and how does its kernel forward?

#![expect(clippy::disallowed_methods, reason = "the kernel tells in files")]

use std::fs;
use std::path::Path;

use config::name::DomainName;
use policy::facts::Forwarding6;

const BY_LINK: &str = "/proc/sys/net/ipv6/conf/default/force_forwarding";
const FOR_ALL: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// The host's name, the domain part of it that the C library would search, and what its kernel can.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HostName {
    /// The whole name; `None` when the system's is no domain name.
    pub(crate) name: Option<DomainName>,
    /// What follows the first label.
    pub(crate) domain: Option<DomainName>,
    /// How its kernel forwards IPv6.
    pub(crate) forwarding6: Forwarding6,
}

/// Reads the name from the kernel.
pub(crate) fn read() -> HostName {
    let name = nix::unistd::gethostname().unwrap_or_default();
    HostName {
        forwarding6: forwarding6(),
        ..name.to_str().map(parse).unwrap_or_default()
    }
}

fn forwarding6() -> Forwarding6 {
    if Path::new(BY_LINK).exists() {
        return Forwarding6::ByLink;
    }
    match fs::read_to_string(FOR_ALL).as_deref().map(str::trim) {
        Ok("0") => Forwarding6::None,
        // Without IPv6 there is nothing to forward.
        Ok(_) | Err(_) => Forwarding6::All,
    }
}

fn parse(text: &str) -> HostName {
    let name: Option<DomainName> = text
        .parse()
        .ok()
        .filter(|name: &DomainName| !name.is_root());
    let domain = name
        .as_ref()
        .and_then(DomainName::parent)
        .filter(|domain| !domain.is_root());
    HostName {
        name,
        domain,
        ..HostName::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_what_follows_the_first_label() {
        let rows = [
            ("laptop", Some("laptop"), None),
            (
                "laptop.home.test",
                Some("laptop.home.test"),
                Some("home.test"),
            ),
            ("", None, None),
            ("(none)..", None, None),
        ];
        for (text, name, domain) in rows {
            let expected = HostName {
                name: name.map(|name| name.parse().unwrap()),
                domain: domain.map(|domain| domain.parse().unwrap()),
                ..HostName::default()
            };
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
