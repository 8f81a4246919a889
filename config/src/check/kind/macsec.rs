//! Do the associations of MACsec make sense? `[link]` of that kind, and `[[associations]]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check::values;
use crate::diagnostic::Findings;
use crate::kind::{LinkKind, Value};
use crate::matcher::Mac;
use crate::model::{ChannelId, MacsecSettings, SendingAssociation};
use crate::raw::Table;

/// The key of `[link]` that says which association sends.
const ENCODING: &str = "encoding-association";
/// The port of a channel's identifier when none is said.
const USUAL_PORT: u16 = 1;

/// Checks the associations; has the link send by the one that there is.
pub(in crate::check) fn settings(
    kind: LinkKind,
    top: &Table,
    said: &Table,
    attributes: &mut BTreeMap<&'static str, Value>,
    findings: &mut Findings<'_>,
) -> Option<Arc<MacsecSettings>> {
    let span = top.key("associations")?;
    if kind.name != "macsec" {
        let message = format!("a {kind} has no associations");
        let help = Some("`[[associations]]` are for kind = \"macsec\"".to_owned());
        findings.error(Some(span), message, help);
        return None;
    }
    if let Some(Value::Word(cipher)) = attributes.get("cipher")
        && cipher.contains("xpn")
    {
        let message = "extended packet numbers do not go with static keys";
        let help = "write cipher = \"gcm-aes-256\": nobody would tell a receiver that starts anew which numbers the other side has reached";
        findings.error(said.key("cipher"), message, Some(help.to_owned()));
    }
    let mut settings = MacsecSettings::default();
    for (span, said) in top.tables("associations").unwrap_or_default() {
        let number = said.integer("number").unwrap_or_default();
        let number = u8::try_from(number).unwrap_or_default();
        let Some(key_file) = key_file(said, findings) else {
            if !said.is_faulty("key-file") && said.key("key-file").is_none() {
                let help =
                    "add key-file = \"/etc/linnet/keys/NAME\", made by `openssl rand -hex 16`";
                let message = "the association has no key";
                findings.error(Some(span.clone()), message, Some(help.to_owned()));
            }
            continue;
        };
        if said.key("from").is_some() {
            let mac = values::macs(said.texts("from"), findings).pop();
            let Some(mac) = mac.filter(|mac| is_somebody(*mac)) else {
                if mac.is_some() {
                    let message = "this is nobody's own hardware address";
                    findings.error(said.key("from"), message, None);
                }
                continue;
            };
            let port = said.integer("port").and_then(|port| port.try_into().ok());
            let port = port.unwrap_or(USUAL_PORT);
            let channel = settings.receives.entry(ChannelId { mac, port });
            if channel.or_default().insert(number, key_file).is_some() {
                let message = format!("association {number} from there is in the list already");
                let help = "each association of a channel has a number of its own, from 0 to 3";
                findings.error(Some(span.clone()), message, Some(help.to_owned()));
            }
            continue;
        }
        if let Some(span) = said.key("port") {
            let message = "the port belongs to who is received from, and nobody is named";
            let help = "add from = \"…\", or write `port` of this side into [link]";
            findings.error(Some(span), message, Some(help.to_owned()));
        }
        if settings.sends.is_some() {
            let message = "there is an association that sends already";
            let help = "name who the other one is received from: from = \"…\"";
            findings.error(Some(span.clone()), message, Some(help.to_owned()));
        }
        settings.sends = Some(SendingAssociation { number, key_file });
    }
    if let Some(sends) = &settings.sends {
        let number = Value::Number(sends.number.into());
        if let Some(said_number) = attributes.get(ENCODING)
            && *said_number != number
        {
            let message = format!("association {} is the one that sends", sends.number);
            let help = Some("leave it out here".to_owned());
            findings.error(said.key(ENCODING), message, help);
        }
        attributes.insert(ENCODING, number);
    }
    Some(Arc::new(settings))
}

/// Whether an address is one that somebody can send from.
fn is_somebody(mac: Mac) -> bool {
    let is_group = mac.0.first().is_some_and(|octet| octet & 1 == 1);
    !is_group && mac.0 != [0; 6]
}

fn key_file(said: &Table, findings: &mut Findings<'_>) -> Option<Arc<str>> {
    let Some([path]) = said.texts("key-file") else {
        return None;
    };
    if !path.get_ref().starts_with('/') {
        let help = Some("write the whole path, from /".to_owned());
        findings.error(Some(path.span()), "the path is not absolute", help);
    }
    Some(path.get_ref().as_str().into())
}
