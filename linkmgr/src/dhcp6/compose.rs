//! What is written in a client's message? [`compose`]: the options that each kind has (RFC 8415 §18.2, appendix B).

use config::model::{DnsUpdate, Prefix};
use config::time::Instant;

use super::Setup;
use super::exchange::Exchange;
use super::wire::{MessageType, Sort, Writer, option};
use crate::dhcp4::update_flags;

/// What is asked for in every message that may bring it.
const REQUESTED: [u16; 7] = [
    option::DNS,
    option::SEARCH,
    option::SNTP,
    option::NTP,
    option::PORTAL,
    option::DNR,
    option::SOL_MAX_RT,
];
/// What is asked for by those who tell nothing of themselves (RFC 7844 §4.6): what every client asks for.
const REQUESTED_BY_ALL: [u16; 2] = [option::DNS, option::SEARCH];
/// Nobody updates anything (RFC 4704 §4.1, N).
const FQDN_N: u8 = 0b100;

/// What a message is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// The server it is for; `None` for all.
    pub(super) server: Option<&'a [u8]>,
    /// Associations with their leases.
    pub(super) associations: &'a [(Sort, Vec<Prefix>)],
}

/// Writes the message of an exchange.
pub(super) fn compose(
    setup: &Setup,
    exchange: &Exchange,
    about: About<'_>,
    now: Instant,
) -> Vec<u8> {
    let kind = exchange.kind;
    let mut writer = Writer::new(kind, exchange.transaction);
    writer.put(option::CLIENT_ID, setup.duid.octets());
    if let Some(server) = about.server {
        writer.put(option::SERVER_ID, server);
    }
    writer.put(option::ELAPSED, &exchange.elapsed(now).to_be_bytes());
    for (sort, leases) in about.associations {
        writer.put_association(*sort, setup.iaid, leases);
    }
    let asks = match kind {
        MessageType::Solicit
        | MessageType::Request
        | MessageType::Renew
        | MessageType::Rebind
        | MessageType::InformationRequest => true,
        MessageType::Confirm
        | MessageType::Release
        | MessageType::Decline
        | MessageType::AddrRegInform
        | MessageType::Advertise
        | MessageType::Reply
        | MessageType::Reconfigure
        | MessageType::AddrRegReply => false,
    };
    if asks {
        let is_anonymous = setup.settings.anonymous;
        let mut requested = match is_anonymous {
            true => REQUESTED_BY_ALL.to_vec(),
            false => REQUESTED.to_vec(),
        };
        if kind == MessageType::InformationRequest {
            requested.extend([option::REFRESH, option::INF_MAX_RT]);
        }
        if setup.settings.register && !is_anonymous {
            requested.push(option::REGISTRATION);
        }
        if setup.settings.delegate.is_some() {
            requested.push(option::PD_EXCLUDE);
        }
        if !is_anonymous {
            let own = setup.settings.own.request.iter().copied();
            let own = own.filter(|number| !requested.contains(number));
            let own: Vec<u16> = own.collect();
            requested.extend(own);
        }
        let octets: Vec<u8> = requested
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect();
        writer.put(option::REQUESTED, &octets);
        if !is_anonymous {
            writer.put(option::RECONFIGURE_ACCEPT, &[]);
            introduce(setup, &mut writer);
        }
    }
    if kind == MessageType::Solicit && rapid_commit(setup) {
        writer.put(option::RAPID_COMMIT, &[]);
    }
    if asks
        && kind != MessageType::InformationRequest
        && let Some(name) = setup.settings.hostname.as_deref()
        && let Some(name) = fqdn(name, setup.settings.dns_update)
    {
        writer.put(option::FQDN, &name);
    }
    writer.finish()
}

/// Says of which class we are, and what somebody wants to be said by number.
fn introduce(setup: &Setup, writer: &mut Writer) {
    // RFC 8415 §21.15.
    let classes = setup.settings.user_class.iter().filter_map(|class| {
        let length = u16::try_from(class.len()).ok()?;
        Some(length.to_be_bytes().into_iter().chain(class.bytes()))
    });
    let classes: Vec<u8> = classes.flatten().collect();
    if !classes.is_empty() {
        writer.put(option::USER_CLASS, &classes);
    }
    for (number, octets) in &setup.settings.own.send {
        writer.put(*number, octets);
    }
}

/// Whether two messages are enough. Not for those who tell nothing of themselves: few clients ask for it.
pub(super) fn rapid_commit(setup: &Setup) -> bool {
    setup.settings.rapid_commit && !setup.settings.anonymous
}

/// RFC 4704 §4.2: a name without its domain is not ended by a root label.
fn fqdn(name: &str, update: DnsUpdate) -> Option<Vec<u8>> {
    let mut octets = vec![update_flags(update, FQDN_N)];
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    for label in &labels {
        let length = u8::try_from(label.len()).ok();
        let length = length.filter(|length| (1..=63).contains(length))?;
        octets.push(length);
        octets.extend(label.as_bytes());
    }
    if labels.len() > 1 {
        octets.push(0);
    }
    (octets.len() <= 256).then_some(octets)
}
