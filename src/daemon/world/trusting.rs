//! What follows from a reading of the clock, from anchor files, and from calls about negative anchors?
//!
//! What is trusted is [`Trust`](crate::trust::Trust)'s business; here the resolver is told, and what has to be kept is kept.

use config::name::DomainName;
use config::time::Instant;
use dnssec::anchors::rollover::Observation;
use dnssec::clock::{Evidence, Forget, Reading};
use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::{BinDecodable as _, BinEncodable as _};
use linnet::anchor_files::AnchorText;
use linnet::api::{
    AddNegativeAnchorParameters, AddNegativeAnchorReply, RemoveNegativeAnchorParameters, Reply,
};
use serde_json::json;

use super::calls::done;
use super::{Effect, Kept, World};
use crate::control::{Caller, error, invalid_parameter};
use crate::convert;
use crate::trust::Judged;

impl World {
    /// Returns when the clock is to be looked at again.
    pub(crate) fn look_at(&self) -> Instant {
        self.trust.look_at()
    }

    /// Whether the clock is to be looked at before somebody's question is taken.
    pub(crate) fn wants_look(&self, now: Instant) -> bool {
        self.trust.wants_look(now)
    }

    /// Returns where the configuration has its trust anchors.
    pub(crate) fn anchors_path(&self) -> Option<&str> {
        self.config.resolver.trust_anchors.as_deref()
    }

    pub(super) fn handle_reading(
        &mut self,
        reading: Reading,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let judged = self.trust.handle_reading(reading, now);
        self.apply_judged(judged, effects);
        if let Some(owner) = self.trust.take_due(now)
            && let Some(owner) = DomainName::from_wire(&wire(&owner)).ok()
        {
            self.resolver.ask_for_keys(&owner, now);
        }
        self.keep_points(effects);
    }

    pub(super) fn handle_evidence(&mut self, evidence: Evidence, effects: &mut Vec<Effect>) {
        let judged = self.trust.handle_evidence(evidence);
        self.apply_judged(judged, effects);
    }

    /// Takes the keys that a trust point publishes.
    pub(super) fn handle_keys(
        &mut self,
        owner: &DomainName,
        observation: Option<&Observation>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(owner) = Name::from_bytes(owner.as_wire()) else {
            return;
        };
        if self.trust.handle_keys(&owner, observation, now) {
            self.apply_trust(effects);
        }
        self.keep_points(effects);
    }

    fn keep_points(&mut self, effects: &mut Vec<Effect>) {
        let text = self.trust.take_points_text();
        effects.extend(text.map(|text| Effect::Keep(Kept::TrustPoints, text)));
    }

    fn apply_judged(&mut self, judged: Judged, effects: &mut Vec<Effect>) {
        let Judged {
            forget,
            changed,
            save,
        } = judged;
        self.resolver.apply_clock(self.trust.clock());
        let forget_all = match forget {
            // The resolver forgets by itself what it learned without dates, when they come to count.
            Forget::Nothing | Forget::Excepted => false,
            Forget::Everything => true,
        };
        if changed || forget_all {
            self.apply_trust(effects);
        }
        effects.extend(save.map(|time| Effect::Keep(Kept::Time, format!("{time}\n"))));
    }

    pub(super) fn handle_anchors(
        &mut self,
        texts: Option<&[AnchorText]>,
        effects: &mut Vec<Effect>,
    ) {
        let rolls = self.config.resolver.trust_anchor_rollover;
        if self.trust.handle_texts(texts, rolls) {
            self.apply_trust(effects);
        }
        self.finish_reload(effects);
    }

    pub(super) fn add_negative_anchor(
        &mut self,
        parameters: &AddNegativeAnchorParameters,
        caller: &Caller,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Reply {
        let AddNegativeAnchorParameters {
            name,
            lifetime_seconds,
            reason,
        } = parameters;
        let Some(name) = parse(name) else {
            return invalid_parameter("name");
        };
        let reason = reason.as_deref().unwrap_or_default();
        match self
            .trust
            .add_negative(&name, *lifetime_seconds, reason, now)
        {
            Ok(anchor) => {
                tracing::info!(%caller, "a negative anchor is added");
                self.apply_trust(effects);
                done(&AddNegativeAnchorReply {
                    anchor: convert::negative_anchor(&anchor),
                })
            }
            Err(mistake) => error("InvalidNegativeAnchor", mistake.to_string()),
        }
    }

    pub(super) fn remove_negative_anchor(
        &mut self,
        parameters: &RemoveNegativeAnchorParameters,
        caller: &Caller,
        effects: &mut Vec<Effect>,
    ) -> Reply {
        let RemoveNegativeAnchorParameters { name } = parameters;
        let Some(parsed) = parse(name) else {
            return invalid_parameter("name");
        };
        if !self.trust.remove_negative(&parsed) {
            let message = format!("there is no negative anchor at {name}");
            return error("NoSuchNegativeAnchor", message);
        }
        tracing::info!(%caller, "a negative anchor is removed");
        self.apply_trust(effects);
        done(&json!({}))
    }

    /// Has the resolver trust what is trusted now, which makes it forget all else, and keeps the negative anchors.
    fn apply_trust(&mut self, effects: &mut Vec<Effect>) {
        self.resolver.apply_trust(self.trust.anchors().clone());
        let text = self.trust.take_text();
        effects.extend(text.map(|text| Effect::Keep(Kept::NegativeAnchors, text)));
    }
}

fn wire(name: &Name) -> Vec<u8> {
    name.to_lowercase().to_bytes().unwrap_or_default()
}

fn parse(text: &str) -> Option<Name> {
    let name: DomainName = text.parse().ok()?;
    Name::from_bytes(name.as_wire()).ok()
}
