//! Which upstreams may a scope use? Those that its floor and this version allow; the others are noted, never replaced.

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
        let reason = match (upstream.transport, floor) {
            (Transport::Plain, TransportFloor::Any) => {
                if !usable.contains(upstream) {
                    usable.push(upstream.clone());
                }
                continue;
            }
            (Transport::Plain, TransportFloor::Encrypted) => {
                "it is not encrypted, and transport = \"encrypted\" asks for that"
            }
            (Transport::Tls | Transport::Https | Transport::Quic, _) => {
                "this version speaks plain DNS only"
            }
        };
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
