//! What is an answer worth? The four verdicts of RFC 4035 §4.3, each failure with its reason.
//!
//! A reason maps to one Extended DNS Error (RFC 8914 §4), so that a client can be told why. Making verdicts is the
//! validator's work; this file only says what they are.

/// What an answer is worth (RFC 4035 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// A chain of signatures reaches from a trust anchor to every record.
    Secure,
    /// A signed proof shows that the zone is not signed.
    Insecure,
    /// Signatures ought to be there and do not fit.
    Bogus(BogusReason),
    /// Nothing could be found out.
    Indeterminate(IndeterminateReason),
}

/// Why an answer is bogus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum BogusReason {
    /// A signature's time is over.
    #[error("signature expired")]
    SignatureExpired,
    /// A signature's time has not come.
    #[error("signature not yet valid")]
    SignatureNotYetValid,
    /// No DNSKEY fits the DS.
    #[error("DNSKEY missing")]
    DnskeyMissing,
    /// Signatures are absent where the parent says they must be.
    #[error("RRSIGs missing")]
    RrsigsMissing,
    /// No key of the zone has the zone bit.
    #[error("no zone key bit set")]
    NoZoneKeyBit,
    /// The proof that something does not exist is absent or does not fit.
    #[error("NSEC missing")]
    NsecMissing,
    /// A signature does not fit its records.
    #[error("signature does not verify")]
    SignatureInvalid,
}

/// Why nothing could be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum IndeterminateReason {
    /// No trust anchor covers the name.
    #[error("no trust anchor")]
    NoAnchor,
    /// A record of the chain could not be fetched: a failure of the network, not of the zone.
    #[error("a fetch failed")]
    FetchFailed,
    /// The budget of the question is spent.
    #[error("budget spent")]
    BudgetSpent,
}

impl Verdict {
    /// Returns the Extended DNS Error of a verdict that is one (RFC 8914 §4).
    pub const fn extended_error(self) -> Option<u16> {
        match self {
            Self::Secure | Self::Insecure => None,
            Self::Bogus(reason) => Some(match reason {
                BogusReason::SignatureInvalid => 6,
                BogusReason::SignatureExpired => 7,
                BogusReason::SignatureNotYetValid => 8,
                BogusReason::DnskeyMissing => 9,
                BogusReason::RrsigsMissing => 10,
                BogusReason::NoZoneKeyBit => 11,
                BogusReason::NsecMissing => 12,
            }),
            Self::Indeterminate(_) => Some(5),
        }
    }

    /// Whether the AD bit may be set (RFC 6840 §5.7).
    pub const fn is_authentic(self) -> bool {
        matches!(self, Self::Secure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_carry_an_extended_error() {
        assert_eq!(Verdict::Secure.extended_error(), None);
        assert_eq!(Verdict::Insecure.extended_error(), None);
        assert_eq!(
            Verdict::Bogus(BogusReason::SignatureExpired).extended_error(),
            Some(7)
        );
        assert_eq!(
            Verdict::Indeterminate(IndeterminateReason::FetchFailed).extended_error(),
            Some(5)
        );
    }

    #[test]
    fn only_secure_is_authentic() {
        assert!(Verdict::Secure.is_authentic());
        assert!(!Verdict::Insecure.is_authentic());
    }
}
