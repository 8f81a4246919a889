//! What does a line of a zone file say? Owner, type and data (RFC 1035 §5.1), as far as policy zones need it.
//!
//! Knows `$ORIGIN`, `$TTL`, parentheses, quotes, comments and escapes; `$INCLUDE` and `$GENERATE` are mistakes. Does not know
//! what a record means.

use std::ops::Range;

use config::name::DomainName;
use config::rdata;

/// The longest record over several lines, in octets.
const MAX_RECORD: usize = 64 << 10;
/// TTL of records that do not say, before `$TTL`, in seconds.
const TTL: u32 = 60;
/// The longest TTL that is taken, in seconds: a week.
const MAX_TTL: u32 = 604_800;

/// A mistake in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The octets of the line that it is in.
    pub(crate) part: Range<usize>,
    pub(crate) why: String,
}

impl Mistake {
    pub(crate) fn new(part: Range<usize>, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { part, why }
    }
}

/// A record of a zone file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) owner: DomainName,
    pub(crate) ttl: u32,
    pub(crate) record_type: u16,
    pub(crate) data: Vec<u8>,
    /// Where the owner stands.
    pub(crate) owner_at: Range<usize>,
}

/// Reads a zone file line by line.
#[derive(Debug)]
pub(crate) struct ZoneReader {
    origin: DomainName,
    owner: Option<DomainName>,
    ttl: u32,
    /// A record whose parentheses are open.
    open: String,
    depth: usize,
}

impl ZoneReader {
    pub(crate) fn new() -> Self {
        Self {
            origin: DomainName::root(),
            owner: None,
            ttl: TTL,
            open: String::new(),
            depth: 0,
        }
    }

    /// Whether a record has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// Takes a line; returns the record that ends with it, if there is one.
    pub(crate) fn line(&mut self, line: &str) -> Result<Option<Entry>, Mistake> {
        let bare = match self.strip(line) {
            Ok(bare) => bare,
            Err(mistake) => {
                self.open.clear();
                self.depth = 0;
                return Err(mistake);
            }
        };
        if self.depth > 0 || !self.open.is_empty() {
            self.open.push_str(&bare);
            self.open.push(' ');
            if self.open.len() > MAX_RECORD {
                self.open.clear();
                self.depth = 0;
                return Err(Mistake::new(0..line.len(), "the record is too long"));
            }
            if self.depth > 0 {
                return Ok(None);
            }
            let whole = std::mem::take(&mut self.open);
            // Parts of a record over several lines stand in no one of them.
            return self
                .record(&whole)
                .map_err(|mistake| Mistake::new(0..line.len(), mistake.why));
        }
        self.record(&bare)
    }

    /// Takes off the comment, and makes spaces of parentheses.
    fn strip(&mut self, line: &str) -> Result<String, Mistake> {
        let mut bare = String::with_capacity(line.len());
        let mut quoted = false;
        let mut characters = line.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => {
                    bare.push(character);
                    bare.extend(characters.next().map(|(_, escaped)| escaped));
                    continue;
                }
                '"' => quoted = !quoted,
                ';' if !quoted => break,
                '(' if !quoted => {
                    self.depth += 1;
                    bare.push(' ');
                    continue;
                }
                ')' if !quoted => {
                    self.depth = self.depth.checked_sub(1).ok_or_else(|| {
                        Mistake::new(at..at + 1, "there is no parenthesis to close")
                    })?;
                    bare.push(' ');
                    continue;
                }
                _ => {}
            }
            bare.push(character);
        }
        if quoted {
            let why = "the quotation mark is never closed";
            return Err(Mistake::new(bare.len().min(line.len())..line.len(), why));
        }
        Ok(bare)
    }

    fn record(&mut self, text: &str) -> Result<Option<Entry>, Mistake> {
        let mut words = Words { text, at: 0 };
        let inherits = text.starts_with([' ', '\t']);
        let Some(first) = words.peek() else {
            return Ok(None);
        };
        let mut owner_at = first.clone();
        if inherits {
            owner_at = 0..0;
        } else {
            words.next();
            let word = text.get(first.clone()).unwrap_or_default();
            if let Some(directive) = word.strip_prefix('$') {
                self.directive(directive, first, words)?;
                return Ok(None);
            }
            let owner = rdata::parse_name(word, Some(&self.origin)).map_err(|error| {
                Mistake::new(first, format!("this is not a domain name: {error}"))
            })?;
            self.owner = Some(owner);
        }
        let mut ttl = self.ttl;
        let (kind_at, record_type) = loop {
            let Some(at) = words.next() else {
                let end = text.trim_end().len();
                return Err(Mistake::new(end..end, "the record's type is missing"));
            };
            let word = text.get(at.clone()).unwrap_or_default();
            if word.eq_ignore_ascii_case("IN") {
                continue;
            }
            if let Some(said) = seconds(word) {
                ttl = said;
                continue;
            }
            match rdata::parse_type(word) {
                Some(record_type) => break (at, record_type),
                None if is_signing(word) => return Ok(None),
                None => return Err(Mistake::new(at, "this is no record type")),
            }
        };
        let owner = self
            .owner
            .clone()
            .ok_or_else(|| Mistake::new(kind_at.clone(), "the record has no owner"))?;
        let start = kind_at.end;
        let data = rdata::parse(
            record_type,
            text.get(start..).unwrap_or_default(),
            Some(&self.origin),
        );
        let data = data.map_err(|error| {
            let part = start + error.part.start..start + error.part.end;
            Mistake::new(part, error.to_string())
        })?;
        Ok(Some(Entry {
            owner,
            ttl,
            record_type,
            data,
            owner_at,
        }))
    }

    fn directive(
        &mut self,
        directive: &str,
        at: Range<usize>,
        mut words: Words<'_>,
    ) -> Result<(), Mistake> {
        let argument = words.next();
        let word = argument.clone().and_then(|at| words.text.get(at));
        let place = argument.unwrap_or_else(|| at.clone());
        if directive.eq_ignore_ascii_case("ORIGIN") {
            let origin = rdata::parse_name(word.unwrap_or_default(), Some(&self.origin));
            self.origin = origin.map_err(|error| Mistake::new(place, error.to_string()))?;
            return Ok(());
        }
        if directive.eq_ignore_ascii_case("TTL") {
            let ttl = word.and_then(seconds);
            self.ttl = ttl.ok_or_else(|| Mistake::new(place, "this is no time"))?;
            return Ok(());
        }
        Err(Mistake::new(at, "this directive is not known here"))
    }
}

/// Words, parted by white space; quotes hold together.
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl Words<'_> {
    fn peek(&self) -> Option<Range<usize>> {
        Words {
            text: self.text,
            at: self.at,
        }
        .next()
    }

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.text.get(self.at..)?;
        let start = self.at + (rest.len() - rest.trim_start().len());
        let rest = self.text.get(start..)?;
        let mut escaped = false;
        let end = rest.find(|character: char| {
            let ends = character.is_whitespace() && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        let end = start + end.unwrap_or(rest.len());
        self.at = end;
        (end > start).then_some(start..end)
    }
}

/// Reads a TTL, as `300`, `5m` or `1h30m`.
fn seconds(word: &str) -> Option<u32> {
    if !word.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (mut total, mut number) = (0u32, 0u32);
    let mut bare = false;
    for byte in word.bytes() {
        bare = byte.is_ascii_digit();
        let unit = match byte.to_ascii_lowercase() {
            b'0'..=b'9' => {
                number = number
                    .checked_mul(10)?
                    .checked_add(u32::from(byte - b'0'))?;
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        number = 0;
    }
    let total = if bare {
        total.checked_add(number)?
    } else {
        total
    };
    Some(total.min(MAX_TTL))
}

/// Records of a signed zone are no policy, and no mistake.
fn is_signing(word: &str) -> bool {
    [
        "RRSIG",
        "NSEC",
        "NSEC3",
        "NSEC3PARAM",
        "CDS",
        "CDNSKEY",
        "ZONEMD",
    ]
    .iter()
    .any(|known| known.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let mut reader = ZoneReader::new();
        let mut rows = Vec::new();
        for line in text.lines() {
            match reader.line(line) {
                Ok(Some(entry)) => {
                    let kind = rdata::type_text(entry.record_type);
                    let length = entry.data.len();
                    rows.push(format!("{} {} {kind} {length}", entry.owner, entry.ttl));
                }
                Ok(None) => {}
                Err(mistake) => {
                    let part = line.get(mistake.part).unwrap_or_default();
                    rows.push(format!("! {} at {part:?}", mistake.why));
                }
            }
        }
        assert!(!reader.is_open(), "{rows:?}");
        rows
    }

    #[test]
    fn owners_origins_times_and_parentheses_are_those_of_rfc_1035() {
        let text = "$TTL 1h30m\n$ORIGIN rpz.test.\n@ IN SOA ns.test. root.test. (\n  1 ; serial\n  2 3 4\n  5 )\n\
             \tNS ns\nads.example CNAME . ; a comment\n        300 A 192.0.2.1\nx.test. 5m IN TXT \"a ; b\" (c)\n\\; CNAME *.\n\n  \n; all\n";
        assert_eq!(
            read(text),
            [
                "rpz.test 5400 SOA 40",
                "rpz.test 5400 NS 13",
                "ads.example.rpz.test 5400 CNAME 1",
                "ads.example.rpz.test 300 A 4",
                "x.test 300 TXT 8",
                ";.rpz.test 5400 CNAME 3",
            ]
        );
    }

    #[test]
    fn mistakes_say_what_and_where_and_the_rest_is_read() {
        let text = "  A 192.0.2.1\na..b CNAME .\nok A 192.0.2.300\nok WAS .\n$INCLUDE other\nok A )\nok TXT \"a\nok A\nok\nok A 192.0.2.1\n";
        assert_eq!(
            read(text),
            [
                "! the record has no owner at \"A\"",
                "! this is not a domain name: a label is empty at \"a..b\"",
                "! this is not an IPv4 address at \"192.0.2.300\"",
                "! this is no record type at \"WAS\"",
                "! this directive is not known here at \"$INCLUDE\"",
                "! there is no parenthesis to close at \")\"",
                "! the quotation mark is never closed at \"\"",
                "! the address is missing at \"\"",
                "! the record's type is missing at \"\"",
                "ok 60 A 4",
            ]
        );
    }
}
