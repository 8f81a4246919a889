//! Who owns `/etc/resolv.conf`, and what does it say?

use std::net::{IpAddr, Ipv4Addr};

use config::Config;
use config::model::ResolvConfMode;

use crate::domains::Target;
use crate::facts::Owner;
use crate::plan::{DnsPlan, Note, ResolvConfPlan};

/// Decides; `None` leaves the file to others. What stands in the way becomes a note.
pub(crate) fn plan(
    config: &Config,
    dns: &DnsPlan,
    notes: &mut Vec<Note>,
) -> Option<ResolvConfPlan> {
    if !config.resolver.enabled {
        return None;
    }
    let mut note = |text: &str| {
        notes.push(Note {
            owner: Owner::Resolver,
            text: text.to_owned(),
        });
    };
    let search = dns
        .search
        .iter()
        .map(|search| search.suffix.clone())
        .collect();
    let mode = config.resolver.resolv_conf;
    let nameservers: Vec<IpAddr> = match mode {
        ResolvConfMode::Unmanaged => return None,
        ResolvConfMode::Stub => {
            let listen = config
                .resolver
                .listen
                .iter()
                .filter(|listen| listen.port() == config::DNS_PORT);
            let stubs: Vec<IpAddr> = listen
                .map(|listen| {
                    if listen.ip().is_unspecified() {
                        IpAddr::V4(Ipv4Addr::LOCALHOST)
                    } else {
                        listen.ip()
                    }
                })
                .collect();
            if stubs.is_empty() {
                note(
                    "resolv.conf is not taken: it cannot name a stub that listens at another port than 53",
                );
                return None;
            }
            stubs
        }
        ResolvConfMode::Uplink => {
            let scope = match dns.domains.default_target() {
                Target::Ask(scope) => dns.scopes.get(&scope),
                Target::Refuse(_) => None,
            };
            let upstreams = scope
                .map(|scope| scope.upstreams.as_slice())
                .unwrap_or_default();
            let plain: Vec<IpAddr> = upstreams
                .iter()
                .filter(|upstream| upstream.port == config::DNS_PORT && upstream.zone.is_none())
                .map(|upstream| upstream.address)
                .collect();
            if plain.is_empty() {
                note(
                    "resolv.conf is not taken: the default scope has no upstream that it could name",
                );
                return None;
            }
            plain
        }
    };
    Some(ResolvConfPlan {
        mode,
        nameservers,
        search,
    })
}
