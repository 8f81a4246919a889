//! Which anchors does a file of DS and DNSKEY records name, and what is wrong with the rest of it?
//!
//! Reads the zone-file form (RFC 1035 §5.1) as far as anchors need it: one record per line or within parentheses,
//! `;` and `#` comments, `$ORIGIN`, owners left out; also what unbound keeps in `root.key`. Every line that does not read
//! becomes a [`Diagnostic`], and the others count. It opens no file, includes none, and reads neither BIND's `named.conf`
//! form nor IANA's XML, which it says.

mod record;
#[cfg(test)]
mod tests;
mod token;

use hickory_proto::rr::Name;

use super::Anchor;
use record::Reader;
pub(super) use record::key_rdata;

/// The longest piece of a file that a diagnostic repeats, in characters.
const SHOWN_MAX: usize = 40;

/// What an anchor file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedAnchors {
    /// The anchors with their owners, in the order of the file.
    pub anchors: Vec<(Name, Anchor)>,
    /// What did not read, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// One thing wrong with an anchor file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Diagnostic {
    /// The line on which the record begins, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a record of an anchor file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file is XML.
    #[error("this is XML, as IANA's root-anchors.xml; give DS or DNSKEY records instead")]
    Xml,
    /// The file is a piece of named.conf.
    #[error("this is the syntax of named.conf; give DS or DNSKEY records instead")]
    NamedConf,
    /// A quotation has no end on its line.
    #[error("a quotation mark is not closed")]
    OpenQuote,
    /// The file ends within parentheses.
    #[error("a parenthesis is not closed")]
    OpenParenthesis,
    /// A parenthesis closes that was not opened.
    #[error("a parenthesis is closed that was not opened")]
    StrayParenthesis,
    /// A directive other than `$ORIGIN` and `$TTL`.
    #[error("`{0}` is not read here; give the records themselves")]
    Directive(Box<str>),
    /// `$ORIGIN` without a name.
    #[error("$ORIGIN needs one name")]
    Origin,
    /// The owner is left out and no record went before.
    #[error("the record has no owner")]
    NoOwner,
    /// The owner is not a domain name.
    #[error("`{0}` is not a domain name")]
    Owner(Box<str>),
    /// Nothing follows the owner.
    #[error("DS or DNSKEY is missing after the owner")]
    NoType,
    /// A class other than IN.
    #[error("class `{0}` has no anchors; only IN has")]
    Class(Box<str>),
    /// A type other than DS and DNSKEY.
    #[error("`{0}` cannot be an anchor; only DS and DNSKEY can")]
    Type(Box<str>),
    /// A field of the rdata is absent.
    #[error("{0} is missing")]
    Missing(Field),
    /// A field of the rdata does not read.
    #[error("`{1}` is not {0}")]
    Field(Field, Box<str>),
    /// The protocol of a DNSKEY (RFC 4034 §2.1.2).
    #[error("the protocol of a DNSKEY is 3")]
    Protocol,
    /// The digest is shorter or longer than its type has it.
    #[error("digest type {digest_type} has {expected} bytes, not {found}")]
    DigestLength {
        /// The digest type.
        digest_type: u8,
        /// The length of its digests.
        expected: usize,
        /// The length of this one.
        found: usize,
    },
    /// The key is shorter or longer than its algorithm has it.
    #[error("a key of algorithm {algorithm} does not have {found} bytes")]
    KeyLength {
        /// The algorithm number.
        algorithm: u8,
        /// The length of this key.
        found: usize,
    },
    /// The key's zone bit is not set (RFC 4034 §2.1.1).
    #[error("the key may not sign a zone: its flags have no zone bit")]
    NoZoneKey,
    /// The key is revoked (RFC 5011 §2.1).
    #[error("the key is revoked; take the line out")]
    Revoked,
    /// unbound keeps the key in a state in which it is not trusted.
    #[error("unbound does not trust this key: its state is {0}, not 2 (VALID) or 3 (MISSING)")]
    NotValid(u8),
    /// The file names a key in a digest type that removes the key (RFC 8078 §4).
    #[error("algorithm 0 names no key")]
    NoAlgorithm,
}

/// A field of DS or DNSKEY rdata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Field {
    /// The key tag of a DS.
    #[error("a key tag")]
    KeyTag,
    /// The algorithm number or mnemonic.
    #[error("an algorithm")]
    Algorithm,
    /// The digest type of a DS.
    #[error("a digest type")]
    DigestType,
    /// The digest of a DS.
    #[error("a digest in hexadecimal")]
    Digest,
    /// The flags of a DNSKEY.
    #[error("a number of flags")]
    Flags,
    /// The protocol of a DNSKEY.
    #[error("a protocol")]
    Protocol,
    /// The public key of a DNSKEY.
    #[error("a public key in base64")]
    PublicKey,
}

/// Reads a file of anchors; never fails as a whole, and never panics.
pub fn parse_anchors(text: &str) -> ParsedAnchors {
    let mut parsed = ParsedAnchors::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((line, problem)) = foreign_form(text) {
        parsed.diagnostics.push(Diagnostic { line, problem });
        return parsed;
    }
    let mut reader = Reader::default();
    for entry in token::entries(text) {
        let read = entry.and_then(|entry| {
            let problem_at = |problem| Diagnostic {
                line: entry.line,
                problem,
            };
            reader.read(&entry).map_err(problem_at)
        });
        match read {
            Ok(Some(found)) => parsed.anchors.push(found),
            Ok(None) => {}
            Err(diagnostic) => parsed.diagnostics.push(diagnostic),
        }
    }
    parsed
}

/// Recognizes the two other forms in which anchors are published, to say so once and not on every line.
fn foreign_form(text: &str) -> Option<(usize, Problem)> {
    let is_said =
        |line: &&str| !line.is_empty() && !line.starts_with([';', '#']) && !line.starts_with("//");
    let (at, line) = text
        .lines()
        .map(str::trim)
        .enumerate()
        .find(|(_, line)| is_said(line))?;
    if line.starts_with('<') {
        return Some((at + 1, Problem::Xml));
    }
    let words = ["trust-anchors", "managed-keys", "trusted-keys"];
    let is_block = words.iter().any(|word| {
        let rest = line.strip_prefix(word);
        rest.is_some_and(|rest| rest.trim_start().is_empty() || rest.trim_start().starts_with('{'))
    });
    is_block.then_some((at + 1, Problem::NamedConf))
}

/// A piece of the file as a diagnostic shows it: short, and without control characters.
fn shown(piece: &str) -> Box<str> {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    piece.chars().take(SHOWN_MAX).map(printable).collect()
}
