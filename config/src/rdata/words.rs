//! Which words does a record's text have, and where? White space parts them, quotation marks hold them together.

use std::ops::Range;

use super::{RdataError, RdataFault};

/// A word: quotation marks and escapes as they are written, the outer marks taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) part: Range<usize>,
}

/// The words of a text, one after another.
#[derive(Debug, Clone)]
pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Returns the next word without taking it.
    pub(super) fn peek(&self) -> Result<Option<Word<'a>>, RdataError> {
        self.clone().next()
    }

    /// Takes the next word.
    pub(super) fn next(&mut self) -> Result<Option<Word<'a>>, RdataError> {
        let bytes = self.text.as_bytes();
        let rest = bytes.get(self.at..).unwrap_or_default();
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
        let start = self.at + blanks.count();
        let mut at = start;
        let mut quote = None;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\\' => at += 1,
                b'"' if quote.is_some() => quote = None,
                b'"' => quote = Some(at),
                byte if byte.is_ascii_whitespace() && quote.is_none() => break,
                _ => {}
            }
            at += 1;
        }
        let end = at.min(bytes.len());
        self.at = end;
        if let Some(quote) = quote {
            return Err(RdataError {
                part: quote..end,
                fault: RdataFault::Quote,
            });
        }
        let part = start..end;
        // A backslash may have stepped into a character of several octets.
        let Some(raw) = self.text.get(part.clone()) else {
            return Err(RdataError {
                part: start..self.text.len(),
                fault: RdataFault::Escape,
            });
        };
        if raw.is_empty() {
            return Ok(None);
        }
        let inner = raw
            .strip_prefix('"')
            .and_then(|raw| raw.strip_suffix('"'))
            .filter(|inner| !has_bare_quote(inner));
        Ok(Some(Word {
            text: inner.unwrap_or(raw),
            part,
        }))
    }

    /// Takes the next word, which must be there.
    pub(super) fn need(&mut self, what: &'static str) -> Result<Word<'a>, RdataError> {
        let word = self.next()?;
        word.ok_or_else(|| self.end(RdataFault::Missing(what)))
    }

    /// Takes all words that are left, joined; there must be one.
    pub(super) fn rest(&mut self, what: &'static str) -> Result<(String, Word<'a>), RdataError> {
        let mut whole = self.need(what)?;
        let mut joined = whole.text.to_owned();
        while let Some(word) = self.next()? {
            joined.push_str(word.text);
            whole.part.end = word.part.end;
        }
        Ok((joined, whole))
    }

    /// A mistake at the end of the text.
    fn end(&self, fault: RdataFault) -> RdataError {
        let end = self.text.trim_end().len();
        RdataError {
            part: end..end,
            fault,
        }
    }

    /// A mistake of the whole text.
    pub(super) fn all(&self, fault: RdataFault) -> RdataError {
        RdataError {
            part: 0..self.text.len(),
            fault,
        }
    }
}

impl Word<'_> {
    /// Whether it is this, without quotation marks.
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text && self.part.len() == text.len()
    }

    pub(super) fn fault(&self, fault: RdataFault) -> RdataError {
        RdataError {
            part: self.part.clone(),
            fault,
        }
    }

    /// Returns its octets, escapes resolved (RFC 1035 §5.1).
    pub(super) fn octets(&self) -> Result<Vec<u8>, RdataError> {
        unescape(self.text).ok_or_else(|| self.fault(RdataFault::Escape))
    }
}

/// Resolves `\X` and `\DDD`; `None` when a backslash escapes nothing.
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            octets.push(byte);
            continue;
        }
        let next = bytes.next()?;
        if !next.is_ascii_digit() {
            octets.push(next);
            continue;
        }
        let mut value = u16::from(next - b'0');
        for _ in 0..2 {
            let digit = bytes.next().filter(u8::is_ascii_digit)?;
            value = value * 10 + u16::from(digit - b'0');
        }
        octets.push(u8::try_from(value).ok()?);
    }
    Some(octets)
}

fn has_bare_quote(text: &str) -> bool {
    let mut escaped = false;
    text.bytes().any(|byte| {
        let bare = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        bare
    })
}
