//! How do trust points look as text, and does a text still say what was written?
//!
//! ```text
//! linnet-trust-points 1
//! ; OWNER observed ttl expiration query
//! point . 1792000000 172800 1728000 1792086400
//! ; OWNER tag state since until origin flags protocol algorithm key
//! key . 38696 valid - - configured 257 3 8 AwEAAa96…
//! end 2 7f0c3a5d9e1b2468
//! ```
//!
//! One key per line, times in Unix seconds. The end tells how many lines go before it and their checksum (FNV-1a), so that
//! a file cut short or changed is known; each key line also carries its key tag. The checksum finds accidents, not
//! attackers: whoever may write the state directory may write the anchors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hickory_proto::dnssec::PublicKey as _;
use hickory_proto::rr::{LowerName, Name};

use super::trust_point::{SavedPoint, Timing};
use super::{KeyState, TrackedKey, TrustPoint};
use crate::anchors::base64::encode_base64;
use crate::anchors::read::key_rdata;
use crate::anchors::{absolute, key_tag};

const HEADER: &str = "linnet-trust-points 1";

/// One thing that shows that saved state is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}; the configured anchors are in force")]
pub struct Damage {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: DamageKind,
}

/// What can be wrong with saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// The first line is not that of this format and version.
    #[error("this is not the state of trust points, version 1")]
    Header,
    /// The line with the checksum is absent: the file is cut short.
    #[error("the end is missing")]
    End,
    /// Something follows the end.
    #[error("something follows the end")]
    AfterEnd,
    /// The checksum or the number of lines does not fit.
    #[error("the text was changed since it was written")]
    Checksum,
    /// A line does not read.
    #[error("the line does not read")]
    Line,
    /// A key does not have the tag it is said to have.
    #[error("the key does not have its tag")]
    KeyTag,
    /// A key stands before its trust point.
    #[error("the key has no trust point")]
    NoPoint,
    /// A trust point or key stands twice.
    #[error("this stands twice")]
    Twice,
}

pub(super) fn emit<'a>(points: impl Iterator<Item = &'a TrustPoint>) -> String {
    let mut lines = vec![
        "; OWNER observed ttl expiration query".to_owned(),
        "; OWNER tag state since until origin flags protocol algorithm key".to_owned(),
    ];
    for point in points {
        let owner = point.owner().to_lowercase().to_ascii();
        let Timing {
            observed_at,
            original_ttl,
            expiration,
            query_at,
        } = point.timing();
        let observed_at = optional(observed_at);
        lines.push(format!(
            "point {owner} {observed_at} {original_ttl} {expiration} {query_at}"
        ));
        lines.extend(point.keys().iter().map(|tracked| key_line(&owner, tracked)));
    }
    let mut text = format!("{HEADER}\n");
    for line in &lines {
        text.push_str(line);
        text.push('\n');
    }
    let checksum = fnv(text.as_bytes());
    // Writing to a String cannot fail.
    writeln!(text, "end {} {checksum:016x}", lines.len()).unwrap_or_default();
    text
}

/// Returns what reads, and everything that does not fit; the points are whole only when nothing is damaged.
pub(super) fn parse(text: &str) -> (BTreeMap<LowerName, SavedPoint>, Vec<Damage>) {
    let mut points = BTreeMap::new();
    let mut damage = Vec::new();
    let mut note = |line, kind| damage.push(Damage { line, kind });
    let mut lines = text.split_inclusive('\n').zip(1_usize..);
    let mut read = 0_usize;
    let mut end_at = None;
    if lines
        .next()
        .is_none_or(|(line, _)| line.trim_end() != HEADER)
    {
        note(1, DamageKind::Header);
    }
    read += text.split_inclusive('\n').next().map_or(0, str::len);
    for (line, number) in lines {
        if end_at.is_some() {
            note(number, DamageKind::AfterEnd);
            break;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let outcome = match words.as_slice() {
            [word, ..] if word.starts_with(';') => Ok(()),
            ["point", rest @ ..] => parse_point(rest, &mut points),
            ["key", rest @ ..] => parse_key(rest, &mut points),
            ["end", count, checksum] => {
                end_at = Some(number);
                let before = text.get(..read).unwrap_or_default();
                let is_same = *count == (number - 2).to_string()
                    && *checksum == format!("{:016x}", fnv(before.as_bytes()))
                    && line.ends_with('\n');
                if is_same {
                    Ok(())
                } else {
                    Err(DamageKind::Checksum)
                }
            }
            _ => Err(DamageKind::Line),
        };
        if let Err(kind) = outcome {
            note(number, kind);
        }
        read += line.len();
    }
    if end_at.is_none() {
        note(text.lines().count().max(1), DamageKind::End);
    }
    (points, damage)
}

fn parse_point(
    words: &[&str],
    points: &mut BTreeMap<LowerName, SavedPoint>,
) -> Result<(), DamageKind> {
    let &[owner, observed_at, original_ttl, expiration, query_at] = words else {
        return Err(DamageKind::Line);
    };
    let timing = Timing {
        observed_at: parse_optional(observed_at)?,
        original_ttl: parse_number(original_ttl)?,
        expiration: parse_number(expiration)?,
        query_at: parse_number(query_at)?,
    };
    let owner = parse_owner(owner)?;
    if points.contains_key(&owner) {
        return Err(DamageKind::Twice);
    }
    points.insert(
        owner,
        SavedPoint {
            timing,
            keys: Vec::new(),
        },
    );
    Ok(())
}

fn parse_key(
    words: &[&str],
    points: &mut BTreeMap<LowerName, SavedPoint>,
) -> Result<(), DamageKind> {
    let &[
        owner,
        tag,
        state,
        since,
        until,
        origin,
        flags,
        protocol,
        algorithm,
        key,
    ] = words
    else {
        return Err(DamageKind::Line);
    };
    let mut rdata = [flags, protocol, algorithm, key].into_iter();
    let key = key_rdata(&mut rdata).map_err(|_| DamageKind::Line)?;
    if key_tag(&key).to_string() != tag {
        return Err(DamageKind::KeyTag);
    }
    let state = match (state, parse_optional(since)?, parse_optional(until)?) {
        ("add-pend", Some(first_seen), Some(add_at)) => KeyState::AddPend { first_seen, add_at },
        ("valid", None, None) => KeyState::Valid,
        ("missing", Some(since), None) => KeyState::Missing { since },
        ("revoked", Some(since), remove_at) => KeyState::Revoked { since, remove_at },
        ("removed", Some(since), None) => KeyState::Removed { since },
        _ => return Err(DamageKind::Line),
    };
    let is_configured = match origin {
        "configured" => true,
        "learned" => false,
        _ => return Err(DamageKind::Line),
    };
    // A revoked key is kept without its REVOKE bit.
    if key.revoke() {
        return Err(DamageKind::Line);
    }
    let owner = parse_owner(owner)?;
    let has_point = points.contains_key(&owner);
    let point = points.entry(owner).or_default();
    let is_known = |tracked: &TrackedKey| crate::anchors::is_same_key(&tracked.key, &key);
    if point.keys.iter().any(is_known) {
        return Err(DamageKind::Twice);
    }
    point.keys.push(TrackedKey {
        key,
        state,
        is_configured,
    });
    if has_point {
        Ok(())
    } else {
        Err(DamageKind::NoPoint)
    }
}

fn key_line(owner: &str, tracked: &TrackedKey) -> String {
    let (state, since, until) = match tracked.state {
        KeyState::Start => ("start", None, None),
        KeyState::AddPend { first_seen, add_at } => ("add-pend", Some(first_seen), Some(add_at)),
        KeyState::Valid => ("valid", None, None),
        KeyState::Missing { since } => ("missing", Some(since), None),
        KeyState::Revoked { since, remove_at } => ("revoked", Some(since), remove_at),
        KeyState::Removed { since } => ("removed", Some(since), None),
    };
    let (since, until) = (optional(since), optional(until));
    let origin = if tracked.is_configured {
        "configured"
    } else {
        "learned"
    };
    let (tag, flags) = (key_tag(&tracked.key), tracked.key.flags());
    let algorithm = u8::from(tracked.key.public_key().algorithm());
    let key = encode_base64(tracked.key.public_key().public_bytes());
    format!("key {owner} {tag} {state} {since} {until} {origin} {flags} 3 {algorithm} {key}")
}

fn optional(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn parse_optional(word: &str) -> Result<Option<u64>, DamageKind> {
    if word == "-" {
        Ok(None)
    } else {
        parse_number(word).map(Some)
    }
}

fn parse_number(word: &str) -> Result<u64, DamageKind> {
    word.parse().map_err(|_| DamageKind::Line)
}

fn parse_owner(word: &str) -> Result<LowerName, DamageKind> {
    let name = Name::from_ascii(word).map_err(|_| DamageKind::Line)?;
    Ok(absolute(&name))
}

/// FNV-1a of 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}
