//! Are options of DHCP that are written by number such as may be sent and asked for? `send`, `request`, `send6` and `request6`.
//!
//! What the client says by itself cannot be said twice, and has a key of its own where there is something to choose.

use std::net::IpAddr;
use std::sync::Arc;

use super::octets;
use crate::check::values;
use crate::diagnostic::Findings;
use crate::model::OwnOptions;
use crate::raw::{Table, Text};

/// Octets of own options in one message, with their headers: with all that the client says, it fits into one Ethernet frame.
const MAX_TOGETHER: usize = 512;

/// What differs between the two protocols.
struct Protocol {
    send: &'static str,
    request: &'static str,
    /// Octets before a value.
    header: usize,
    /// Octets of one value at most.
    longest: usize,
    is_ipv6: bool,
    /// The number that `user-class` is sent by.
    user_class: u16,
    /// Numbers that the client sends, or only servers and relays may; with the key to say it by.
    taken: &'static [(u16, Option<&'static str>)],
    /// Numbers that are no settings of a server's.
    unasked: &'static [u16],
}

const DHCP4: Protocol = Protocol {
    send: "send",
    request: "request",
    header: 2,
    longest: 255,
    is_ipv6: false,
    user_class: 77,
    taken: &[
        (12, Some("hostname")),
        (50, None),
        (52, None),
        (53, None),
        (54, None),
        (55, Some("request")),
        (57, None),
        (60, Some("vendor-class")),
        (61, Some("client-id")),
        (80, None),
        (81, Some("hostname")),
        (82, None),
        (90, None),
    ],
    unasked: &[50, 52, 53, 54, 55, 57, 61, 82],
};

const DHCP6: Protocol = Protocol {
    send: "send6",
    request: "request6",
    header: 4,
    longest: MAX_TOGETHER,
    is_ipv6: true,
    user_class: 15,
    taken: &[
        (1, Some("duid")),
        (2, None),
        (3, None),
        (4, None),
        (5, None),
        (6, Some("request6")),
        (7, None),
        (8, None),
        (9, None),
        (11, None),
        (12, None),
        (13, None),
        (14, Some("rapid-commit")),
        (18, None),
        (19, None),
        (20, None),
        (25, Some("delegate")),
        (26, None),
        (39, Some("hostname")),
    ],
    unasked: &[
        1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 18, 19, 20, 25, 26,
    ],
};

/// Reads both protocols' own options.
pub(super) fn own(said: &Table, findings: &mut Findings<'_>) -> (OwnOptions, OwnOptions) {
    (DHCP4.options(said, findings), DHCP6.options(said, findings))
}

impl Protocol {
    fn options(&self, said: &Table, findings: &mut Findings<'_>) -> OwnOptions {
        let mut own = OwnOptions::default();
        let mut together = 0;
        for (number, text) in said.numbered(self.send).unwrap_or_default() {
            let code = u16::try_from(*number.get_ref()).unwrap_or_default();
            if let Some((_, key)) = self.taken.iter().find(|(taken, _)| *taken == code) {
                let message = format!("option {code} is the client's own to send");
                let help = match key {
                    Some(key) => format!("say it by `{key}`"),
                    None => "leave it out".to_owned(),
                };
                findings.error(Some(number.span()), message, Some(help));
                continue;
            }
            if code == self.user_class && said.key("user-class").is_some() {
                let message = format!("option {code} is said by `user-class` already");
                let help = Some("leave out one of the two".to_owned());
                findings.error(Some(number.span()), message, help);
                continue;
            }
            let Some(value) = self.value(text, findings) else {
                continue;
            };
            together += self.header + value.len();
            if value.len() > self.longest || together > MAX_TOGETHER {
                let message = match value.len() > self.longest {
                    true => format!(
                        "an option has at most {} octets, and this one has {}",
                        self.longest,
                        value.len()
                    ),
                    false => format!(
                        "all options of `{}` together have at most {MAX_TOGETHER} octets",
                        self.send
                    ),
                };
                findings.error(Some(text.span()), message, None);
                continue;
            }
            own.send.insert(code, Arc::from(value));
        }
        for number in said.numbers(self.request).unwrap_or_default() {
            let code = u16::try_from(*number.get_ref()).unwrap_or_default();
            if self.unasked.contains(&code) {
                let message = format!("option {code} belongs to the protocol, and is no setting");
                let help = Some("leave it out".to_owned());
                findings.error(Some(number.span()), message, help);
                continue;
            }
            if !own.request.insert(code) {
                let message = format!("{code} is in the list already");
                findings.warn(Some(number.span()), message, None);
            }
        }
        let is_anonymous = said.boolean("anonymous").unwrap_or_default();
        for key in [self.send, self.request] {
            if is_anonymous && said.key(key).is_some() {
                let message = format!("`{key}` says nothing with anonymous = true");
                let help = Some("leave out one of the two".to_owned());
                findings.warn(said.key(key), message, help);
            }
        }
        own
    }

    /// Reads a type, a colon and a value of it.
    fn value(&self, text: &Text, findings: &mut Findings<'_>) -> Option<Vec<u8>> {
        let said = text.get_ref().as_str();
        let (kind, value) = said.split_once(':').unwrap_or((said, ""));
        let items = || value.split(',').map(str::trim);
        let read = match kind {
            "empty" if value.is_empty() => Ok(Vec::new()),
            "text" if !value.is_empty() => Ok(value.as_bytes().to_vec()),
            "hex" => octets(value).ok_or("write pairs of hexadecimal digits, as \"hex:01:0a\""),
            "u8" => numbers::<u8, 1>(items(), u8::to_be_bytes)
                .ok_or("write numbers from 0 to 255, as \"u8:1\" or \"u8:1,2\""),
            "u16" => numbers::<u16, 2>(items(), u16::to_be_bytes)
                .ok_or("write numbers from 0 to 65535, as \"u16:1\""),
            "u32" => numbers::<u32, 4>(items(), u32::to_be_bytes)
                .ok_or("write numbers from 0 to 4294967295, as \"u32:1\""),
            "address" => self.addresses(items()).ok_or(match self.is_ipv6 {
                true => "write IPv6 addresses, as \"address:2001:db8::1\"",
                false => "write IPv4 addresses, as \"address:192.0.2.1,192.0.2.2\"",
            }),
            "name" => names(items()).ok_or("write domain names, as \"name:host.example\""),
            _ => Err(
                "write a type and a value: \"text:lab\", \"hex:01:0a\", \"u8:1\", \"u16:1\", \"u32:1\", \"address:…\", \"name:host.example\" or \"empty\"",
            ),
        };
        match read {
            Ok(octets) => Some(octets),
            Err(help) => {
                let message = format!("\"{said}\" is no value of an option");
                findings.error(Some(text.span()), message, Some(help.to_owned()));
                None
            }
        }
    }

    fn addresses<'t>(&self, items: impl Iterator<Item = &'t str>) -> Option<Vec<u8>> {
        let mut read = Vec::new();
        for item in items {
            match (item.parse().ok()?, self.is_ipv6) {
                (IpAddr::V4(v4), false) => read.extend(v4.octets()),
                (IpAddr::V6(v6), true) => read.extend(v6.octets()),
                (IpAddr::V4(_), true) | (IpAddr::V6(_), false) => return None,
            }
        }
        Some(read)
    }
}

fn numbers<'t, T: std::str::FromStr, const WIDTH: usize>(
    items: impl Iterator<Item = &'t str>,
    octets: fn(T) -> [u8; WIDTH],
) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    for item in items {
        read.extend(octets(item.parse().ok()?));
    }
    Some(read)
}

fn names<'t>(items: impl Iterator<Item = &'t str>) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    for item in items {
        read.extend(values::plain_domain(item)?.as_wire());
    }
    Some(read)
}
