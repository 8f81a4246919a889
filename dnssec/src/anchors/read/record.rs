//! Which anchor do the words of one record mean?
//!
//! Owner, TTL, class, type, and the rdata of DS and DNSKEY (RFC 4034 §2.2 and §5.3). Refuses what could never validate
//! anything; algorithms and digest types it does not know are anchors all the same, for the validator to judge.

use std::str::FromStr;

use hickory_proto::dnssec::rdata::{DNSKEY, DS};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKey as _, PublicKeyBuf};
use hickory_proto::rr::Name;

use super::token::Entry;
use super::{Field, Problem, shown};
use crate::anchors::Anchor;
use crate::anchors::base64::{decode_base64, decode_hex};

/// The state in which unbound trusts a key that it sees, and one that it misses.
const UNBOUND_TRUSTED: std::ops::RangeInclusive<u8> = 2..=3;
/// The shortest RSA key that anybody signs with: 512 bits and an exponent (RFC 3110 §2).
const RSA_MIN: usize = 66;
/// The longest: 4096 bits and the longest form of the exponent.
const RSA_MAX: usize = 1030;

/// What a record leaves for those after it.
#[derive(Debug, Default)]
pub(super) struct Reader {
    origin: Option<Name>,
    owner: Option<Name>,
}

impl Reader {
    /// Returns the anchor of a record, or nothing for a directive.
    pub(super) fn read(&mut self, entry: &Entry<'_>) -> Result<Option<(Name, Anchor)>, Problem> {
        let [first, rest @ ..] = entry.words.as_slice() else {
            return Ok(None);
        };
        if first.starts_with('$') {
            return self.directive(first, rest).map(|()| None);
        }
        // RFC 1035 §5.1: a line that begins with a blank has the owner of the line before. People also indent whole
        // records, so the word tells.
        let continues = entry.is_indented && is_after_owner(first);
        let words = if continues {
            entry.words.as_slice()
        } else {
            rest
        };
        if !continues {
            self.owner = None;
            self.owner = Some(self.name(first)?);
        }
        let owner = self.owner.clone().ok_or(Problem::NoOwner)?;
        let anchor = anchor(words)?;
        match entry.noted_state {
            Some(state) if !UNBOUND_TRUSTED.contains(&state) => Err(Problem::NotValid(state)),
            Some(_) | None => Ok(Some((owner, anchor))),
        }
    }

    fn directive(&mut self, word: &str, rest: &[&str]) -> Result<(), Problem> {
        if word.eq_ignore_ascii_case("$TTL") {
            return Ok(());
        }
        if !word.eq_ignore_ascii_case("$ORIGIN") {
            return Err(Problem::Directive(shown(word)));
        }
        let [origin] = rest else {
            return Err(Problem::Origin);
        };
        self.origin = Some(self.name(origin)?);
        Ok(())
    }

    fn name(&self, word: &str) -> Result<Name, Problem> {
        if word == "@" {
            return Ok(self.origin.clone().unwrap_or_else(Name::root));
        }
        let bad = || Problem::Owner(shown(word));
        // hickory reads the empty word as the root.
        if word.is_empty() {
            return Err(bad());
        }
        let name = Name::from_ascii(word).map_err(|_| bad())?;
        let mut name = match &self.origin {
            Some(origin) if !name.is_fqdn() => name.append_domain(origin).map_err(|_| bad())?,
            Some(_) | None => name,
        };
        name.set_fqdn(true);
        Ok(name)
    }
}

fn is_after_owner(word: &str) -> bool {
    ["IN", "CH", "HS", "DS", "DNSKEY"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
        || is_ttl(word)
}

/// A number of seconds, or numbers with units as BIND writes them.
fn is_ttl(word: &str) -> bool {
    let is_unit = |c: char| c.is_ascii_digit() || "smhdwSMHDW".contains(c);
    word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(is_unit)
}

fn anchor(words: &[&str]) -> Result<Anchor, Problem> {
    let mut words = words.iter().copied();
    loop {
        let word = words.next().ok_or(Problem::NoType)?;
        let is = |known: &str| word.eq_ignore_ascii_case(known);
        if is("DS") {
            return ds(words);
        }
        if is("DNSKEY") {
            return dnskey(words);
        }
        if is("CH") || is("HS") {
            return Err(Problem::Class(shown(word)));
        }
        if !is("IN") && !is_ttl(word) {
            return Err(Problem::Type(shown(word)));
        }
    }
}

fn ds<'t>(mut words: impl Iterator<Item = &'t str>) -> Result<Anchor, Problem> {
    let tag = number(words.next(), Field::KeyTag)?;
    let algorithm = algorithm(words.next())?;
    let digest_type: u8 = number(words.next(), Field::DigestType)?;
    let text: String = words.collect();
    let digest = bytes(&text, Field::Digest, decode_hex)?;
    // RFC 4034 §A.2, RFC 4509, RFC 6605.
    let expected = match digest_type {
        1 => Some(20),
        2 => Some(32),
        4 => Some(48),
        _ => None,
    };
    match expected {
        Some(expected) if expected != digest.len() => Err(Problem::DigestLength {
            digest_type,
            expected,
            found: digest.len(),
        }),
        Some(_) | None => Ok(Anchor::Ds(DS::new(
            tag,
            algorithm,
            DigestType::from(digest_type),
            digest,
        ))),
    }
}

fn dnskey<'t>(mut words: impl Iterator<Item = &'t str>) -> Result<Anchor, Problem> {
    let key = key_rdata(&mut words)?;
    let (number, found) = (
        u8::from(key.public_key().algorithm()),
        key.public_key().public_bytes().len(),
    );
    // RFC 3110 §2, RFC 6605 §4, RFC 8080 §3.
    let fits = match number {
        5 | 7 | 8 | 10 => (RSA_MIN..=RSA_MAX).contains(&found),
        13 => found == 64,
        14 => found == 96,
        15 => found == 32,
        16 => found == 57,
        _ => true,
    };
    if !fits {
        return Err(Problem::KeyLength {
            algorithm: number,
            found,
        });
    }
    if !key.zone_key() {
        return Err(Problem::NoZoneKey);
    }
    if key.revoke() {
        return Err(Problem::Revoked);
    }
    Ok(Anchor::Key(key))
}

/// Reads the rdata of a DNSKEY (RFC 4034 §2.2), whatever its flags and however long its key.
pub(in crate::anchors) fn key_rdata<'t>(
    words: &mut impl Iterator<Item = &'t str>,
) -> Result<DNSKEY, Problem> {
    let flags = number(words.next(), Field::Flags)?;
    if number::<u8>(words.next(), Field::Protocol)? != 3 {
        return Err(Problem::Protocol);
    }
    let algorithm = algorithm(words.next())?;
    let text: String = words.collect();
    let public_key = bytes(&text, Field::PublicKey, decode_base64)?;
    Ok(DNSKEY::with_flags(
        flags,
        PublicKeyBuf::new(public_key, algorithm),
    ))
}

fn number<N: FromStr>(word: Option<&str>, field: Field) -> Result<N, Problem> {
    let word = word.ok_or(Problem::Missing(field))?;
    let is_plain = word.bytes().all(|c| c.is_ascii_digit());
    let number = word.parse().ok().filter(|_| is_plain);
    number.ok_or_else(|| Problem::Field(field, shown(word)))
}

/// A number or a mnemonic (RFC 4034 §A.1 and the IANA registry).
fn algorithm(word: Option<&str>) -> Result<Algorithm, Problem> {
    let known = [
        ("RSASHA1", 5),
        ("RSASHA1-NSEC3-SHA1", 7),
        ("NSEC3RSASHA1", 7),
        ("RSASHA256", 8),
        ("RSASHA512", 10),
        ("ECDSAP256SHA256", 13),
        ("ECDSAP384SHA384", 14),
        ("ED25519", 15),
        ("ED448", 16),
    ];
    let mnemonic = word.and_then(|word| {
        known
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))
    });
    let number = match mnemonic {
        Some(&(_, number)) => number,
        None => number(word, Field::Algorithm)?,
    };
    if number == 0 {
        return Err(Problem::NoAlgorithm);
    }
    Ok(Algorithm::from_u8(number))
}

fn bytes(
    text: &str,
    field: Field,
    decode: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, Problem> {
    if text.is_empty() {
        return Err(Problem::Missing(field));
    }
    decode(text).ok_or_else(|| Problem::Field(field, shown(text)))
}
