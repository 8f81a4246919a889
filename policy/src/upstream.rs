//! Which upstreams may a scope use? Those that its floor allows; the others are noted, never replaced.

use config::model::{Transport, TransportFloor, Upstream};

use crate::facts::Owner;
use crate::plan::Note;

/// Returns the usable ones, in order.
pub(crate) fn usable(
    owner: &Owner,
    upstreams: &[Upstream],
    floor: TransportFloor,
    notes: &mut Vec<Note>,
) -> Vec<Upstream> {
    let mut usable = Vec::new();
    for upstream in upstreams {
        let too_plain = floor == TransportFloor::Encrypted && !upstream.transport.is_encrypted();
        if !too_plain {
            let by_tls = upstream.opportunistic();
            let may = floor == TransportFloor::Opportunistic
                && upstream.transport == Transport::Plain
                && upstream.port == Transport::Plain.default_port();
            if may && !usable.contains(&by_tls) {
                usable.push(by_tls);
            }
            if !usable.contains(upstream) {
                usable.push(upstream.clone());
            }
            continue;
        }
        let reason = "it is not encrypted, and transport = \"encrypted\" asks for that";
        let note = Note {
            owner: owner.clone(),
            text: format!("upstream {upstream} is not used: {reason}"),
        };
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    usable
}
