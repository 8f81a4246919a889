//! What is trusted without proof, and what time is it for signatures? The validator with its anchors, and what is proven not to exist.

use config::name::DomainName;
use config::time::Instant;
use dnssec::crypto::Algorithms;
use dnssec::{Denials, Settings, TrustAnchors, Validator, WallClock};

use crate::Resolver;

/// What proofs may take that are kept for other names, in bytes.
const DENIALS_SIZE: usize = 1 << 20;

/// The validator, and what it trusts.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) validator: Validator,
    settings: Settings,
    /// What is proven not to exist.
    pub(crate) denials: Denials,
}

impl Trust {
    /// Trusts the root's own keys, and takes so many bytes for what it finds out.
    pub(crate) fn new(cache_size: usize) -> Self {
        let settings = Settings {
            cache_size,
            ..Settings::default()
        };
        Self {
            validator: Validator::new(settings, &TrustAnchors::built_in()),
            settings,
            denials: Denials::new(DENIALS_SIZE),
        }
    }

    /// Trusts these from now on; all caches are empty then.
    pub(crate) fn replace(&mut self, anchors: &TrustAnchors) {
        self.validator = Validator::new(self.settings, anchors);
        self.denials.clear();
    }

    /// Takes which algorithms count; returns whether they are others, so that nothing is known any more.
    pub(crate) fn take_algorithms(&mut self, algorithms: Algorithms) -> bool {
        let is_news = self.settings.algorithms != algorithms;
        if is_news {
            self.settings.algorithms = algorithms;
            self.validator.take_algorithms(algorithms);
            self.denials.clear();
        }
        is_news
    }

    /// Returns which algorithms count.
    pub(crate) const fn algorithms(&self) -> Algorithms {
        self.settings.algorithms
    }

    /// Forgets keys, cuts and verdicts.
    pub(crate) fn forget(&mut self) {
        self.validator.forget();
        self.denials.clear();
    }

    /// Returns the name of the negative anchor that switches validation off for a name.
    pub(crate) fn switched_off_at(&self, name: &DomainName, at: u64) -> Option<DomainName> {
        let name = dnssec::Name::from_wire(name.as_wire())?;
        let owner = self.validator.switched_off_at(&name, at)?;
        DomainName::from_wire(owner.as_wire()).ok()
    }

    /// Returns the name of the positive anchor that covers a name most closely.
    pub(crate) fn anchor_of(&self, name: &DomainName, at: u64) -> Option<DomainName> {
        let name = dnssec::Name::from_wire(name.as_wire())?;
        let owner = self.validator.anchor_of(&name, at)?;
        DomainName::from_wire(owner.as_wire()).ok()
    }
}

impl Resolver {
    /// Returns what the time is, and whether it is believed.
    pub(crate) fn wall(&self, now: Instant) -> WallClock {
        WallClock {
            seconds: self.clock.read(now).0,
            dates_count: self.clock.dates_count,
        }
    }
}
