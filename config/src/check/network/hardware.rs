//! Does what `[hardware]` says of network cards fit together?

use crate::diagnostic::Findings;
use crate::matcher::Mac;
use crate::model::{Hardware, HardwareSettings, LinkMode, MacUse, OFFLOADS, Offload, WAKE_WORDS};
use crate::raw::Table;

/// Reads which hardware address the link is to have.
pub(super) fn address(top: &Table, findings: &mut Findings<'_>) -> Option<MacUse> {
    let [text] = top.texts("mac")? else {
        return None;
    };
    let said = text.get_ref().as_str();
    let help = match said {
        "stable" => return Some(MacUse::Stable),
        "random" => return Some(MacUse::Random),
        // What NetworkManager and systemd-networkd call the same.
        "stable-ssid" | "persistent" => "write \"stable\": the same one each time",
        "permanent" | "preserve" | "none" => {
            "leave out `mac`: then the link keeps the one that it has"
        }
        _ => "write an address as `linnet status` and `ip link` show it, \"stable\" or \"random\"",
    };
    let mac = match said.parse::<Mac>() {
        Ok(mac) => mac,
        Err(error) => {
            findings.error(Some(text.span()), error.to_string(), Some(help.to_owned()));
            return None;
        }
    };
    // IEEE 802-2014 §8.2.2: the lowest bit of the first octet is that of groups.
    let why = if mac.0[0] & 1 != 0 {
        "a multicast address, and no link's own"
    } else if mac.0 == [0; 6] {
        "no address"
    } else {
        return Some(MacUse::Given(mac));
    };
    let message = format!("{mac} is {why}");
    let help = "the first octet is even, and 02 for one that is made up, as 02:53:00:a1:b2:c3; \"stable\" and \"random\" make one up";
    findings.error(top.key("mac"), message, Some(help.to_owned()));
    None
}

/// Checks `[hardware]`.
pub(super) fn hardware(top: &Table, findings: &mut Findings<'_>) -> HardwareSettings {
    let mut settings = HardwareSettings::default();
    let Some(said) = top.table("hardware") else {
        return settings;
    };
    let values = &mut settings.values;
    if let Some(mode) = mode(said, findings) {
        values.insert(Hardware::Mode, mode.value());
    }
    if let Some(texts) = said.texts("wake-on-lan") {
        let mut bits = 0;
        for text in texts {
            let words = (0_u32..).zip(WAKE_WORDS);
            let mut words = words.filter(|(_, word)| !word.is_empty());
            if let Some((bit, _)) = words.find(|(_, word)| word == text.get_ref()) {
                bits |= 1 << bit;
            } else {
                let message = format!("\"{}\" wakes nobody", text.get_ref());
                let known = WAKE_WORDS.into_iter().filter(|word| !word.is_empty());
                let known: Vec<&str> = known.collect();
                let help = format!("write some of {}, or [] for none", known.join(", "));
                findings.error(Some(text.span()), message, Some(help));
            }
        }
        values.insert(Hardware::Wake, bits);
    }
    for name in OFFLOADS {
        if let (Some(offload), Some(is_on)) = (Offload::of(name), said.boolean(name)) {
            values.insert(Hardware::Offload(offload), is_on.into());
        }
    }
    settings
}

fn mode(said: &Table, findings: &mut Findings<'_>) -> Option<LinkMode> {
    let speed = said.integer("speed").and_then(|it| u32::try_from(it).ok());
    let duplex = said.choice("duplex");
    match (said.boolean("autonegotiation"), speed, duplex) {
        (Some(true), Some(_), _) | (Some(true), _, Some(_)) => {
            let span = said.key("speed").or_else(|| said.key("duplex"));
            let message = "what both ends agree on is not said by one";
            let help = "leave speed and duplex out, or write autonegotiation = false";
            findings.error(span, message, Some(help.to_owned()));
            None
        }
        (Some(true), None, None) => Some(LinkMode::Negotiated),
        (Some(false) | None, Some(speed), Some(duplex)) => Some(LinkMode::Fixed {
            speed,
            is_full: duplex == "full",
        }),
        (None, None, None) => None,
        (Some(false), _, _) | (None, Some(_), None) | (None, None, Some(_)) => {
            let keys = ["autonegotiation", "speed", "duplex"];
            let is_faulty = keys.iter().any(|key| said.is_faulty(key));
            if !is_faulty {
                let span = keys.iter().find_map(|key| said.key(key));
                let message =
                    "a link that does not agree with its other end needs both speed and duplex";
                let help =
                    "add speed = 1000 and duplex = \"full\", and say the same at the other end";
                findings.error(span, message, Some(help.to_owned()));
            }
            None
        }
    }
}
