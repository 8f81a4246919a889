//! What is written in a client's message? [`compose`]: the options that each kind has (RFC 8415 §18.2, appendix B).

use config::model::Prefix;
use config::time::Instant;

use super::Setup;
use super::exchange::Exchange;
use super::wire::{MessageType, Sort, Writer, option};

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
/// The host's name: the server is asked to update the address record (RFC 4704 §4.1, S).
const FQDN_FLAGS: u8 = 1;

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
        let octets: Vec<u8> = requested
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect();
        writer.put(option::REQUESTED, &octets);
        if !is_anonymous {
            writer.put(option::RECONFIGURE_ACCEPT, &[]);
        }
    }
    if kind == MessageType::Solicit && rapid_commit(setup) {
        writer.put(option::RAPID_COMMIT, &[]);
    }
    if asks
        && kind != MessageType::InformationRequest
        && let Some(name) = setup.settings.hostname.as_deref().and_then(fqdn)
    {
        writer.put(option::FQDN, &name);
    }
    writer.finish()
}

/// Whether two messages are enough. Not for those who tell nothing of themselves: few clients ask for it.
pub(super) fn rapid_commit(setup: &Setup) -> bool {
    setup.settings.rapid_commit && !setup.settings.anonymous
}

/// RFC 4704 §4.2: a name without its domain is not ended by a root label.
fn fqdn(name: &str) -> Option<Vec<u8>> {
    let mut octets = vec![FQDN_FLAGS];
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
