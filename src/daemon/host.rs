//! What is this machine called?

use config::name::DomainName;

/// The host's name, and the domain part of it that the C library would search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HostName {
    /// The whole name; `None` when the system's is no domain name.
    pub(crate) name: Option<DomainName>,
    /// What follows the first label.
    pub(crate) domain: Option<DomainName>,
}

/// Reads the name from the kernel.
pub(crate) fn read() -> HostName {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_str().map(parse).unwrap_or_default()
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
    HostName { name, domain }
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
            };
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
