//! What covers a name most closely? The anchors of a validator, found by name without looking at each label.
//!
//! What the anchors are is [`anchors`](crate::anchors)' business; this is the form in which a judgement asks for them, again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::anchors::{Anchor, NegativeAnchor, TrustAnchors};
use crate::name::Name;
use crate::record::Ds;

/// What covers a name most closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Keys or digests at a name.
    Point(Name, Arc<[Trusted]>),
    /// Nothing is validated from here on.
    Off(Name),
    /// Nothing.
    None,
}

/// A key that is trusted without proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trusted {
    Ds(Ds),
    Key { algorithm: u8, public: Vec<u8> },
}

/// All anchors, by name.
#[derive(Debug, Default)]
pub(crate) struct Anchored {
    point_by_owner: BTreeMap<Name, Arc<[Trusted]>>,
    negative_by_name: BTreeMap<Name, NegativeAnchor>,
    /// The most labels of an anchor's name.
    depth: usize,
}

impl Anchored {
    pub(crate) fn new(anchors: &TrustAnchors) -> Self {
        let mut anchored = Self::default();
        for (owner, anchors) in anchors.points() {
            if let Some(owner) = wire(owner) {
                anchored.depth = anchored.depth.max(owner.count());
                let trusted = anchors.iter().map(trusted).collect();
                anchored.point_by_owner.insert(owner, trusted);
            }
        }
        for negative in anchors.negatives() {
            if let Some(name) = wire(negative.name()) {
                anchored.depth = anchored.depth.max(name.count());
                anchored.negative_by_name.insert(name, negative.clone());
            }
        }
        anchored
    }

    /// As [`TrustAnchors::deepest`].
    pub(crate) fn deepest(&self, name: &Name, now: u64) -> Trust {
        for count in (0..=name.count().min(self.depth)).rev() {
            let at = name.suffix(count);
            let negative = self.negative_by_name.get(&at);
            if negative.is_some_and(|negative| negative.holds(now)) {
                return Trust::Off(at);
            }
            if let Some(trusted) = self.point_by_owner.get(&at) {
                return Trust::Point(at, Arc::clone(trusted));
            }
        }
        Trust::None
    }
}

fn trusted(anchor: &Anchor) -> Trusted {
    match anchor {
        Anchor::Ds(ds) => Trusted::Ds(Ds {
            key_tag: ds.key_tag(),
            algorithm: ds.algorithm().into(),
            digest_type: ds.digest_type().into(),
            digest: ds.digest().to_vec(),
        }),
        Anchor::Key(key) => {
            use hickory_proto::dnssec::PublicKey as _;
            Trusted::Key {
                algorithm: key.public_key().algorithm().into(),
                public: key.public_key().public_bytes().to_vec(),
            }
        }
    }
}

fn wire(name: &hickory_proto::rr::Name) -> Option<Name> {
    let mut wire = Vec::new();
    for label in name {
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    Name::from_wire(&wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::dnssec::rdata::DS;
    use hickory_proto::dnssec::{Algorithm, DigestType};

    const NOW: u64 = 1_800_000_000;

    fn hickory(text: &str) -> hickory_proto::rr::Name {
        hickory_proto::rr::Name::from_ascii(text).unwrap()
    }

    /// The index says what the anchors themselves say, for every name and at every time.
    #[test]
    fn every_name_is_covered_as_the_anchors_say() {
        let mut anchors = TrustAnchors::built_in();
        for owner in ["corp.test.", "deep.er.corp.test.", "alone."] {
            let ds = DS::new(1, Algorithm::ED25519, DigestType::SHA256, vec![7; 32]);
            anchors.add(&hickory(owner), Anchor::Ds(ds));
        }
        for (name, lifetime) in [("test.", 60), ("corp.test.", 30), ("off.corp.test.", 90)] {
            let negative = NegativeAnchor::new(&hickory(name), lifetime, "", NOW).unwrap();
            anchors.add_negative(negative);
        }
        let anchored = Anchored::new(&anchors);
        let owners = [
            "",
            "test.",
            "corp.test.",
            "er.corp.test.",
            "deep.er.corp.test.",
            "off.corp.test.",
            "alone.",
        ];
        for owner in owners {
            for below in ["", "www.", "a.b.c.d.e.f.g."] {
                let name = hickory(&format!("{below}{owner}.").replace("..", "."));
                let ours = wire(&name).unwrap();
                for now in [NOW, NOW + 29, NOW + 30, NOW + 60, NOW + 89, NOW + 90, 0] {
                    let expected = match anchors.deepest(&name, now) {
                        None => Trust::None,
                        Some(crate::anchors::Match::Negative(negative)) => {
                            Trust::Off(wire(negative.name()).unwrap())
                        }
                        Some(crate::anchors::Match::Positive { owner, anchors }) => Trust::Point(
                            wire(owner).unwrap(),
                            anchors.iter().map(trusted).collect(),
                        ),
                    };
                    assert_eq!(anchored.deepest(&ours, now), expected, "{name} at {now}");
                }
            }
        }
    }
}
