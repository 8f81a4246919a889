//! Which parts of a text must not be shown? Values of keys that look secret, and passwords in URLs.
//!
//! Works on the raw text, not on parsed TOML: a file that does not parse is the very one whose lines are shown. Masks too
//! much rather than too little.

use std::ops::Range;

/// What stands in a secret's place; its length tells nothing.
pub(crate) const MASK: &str = "***";

/// A key that has one of these words in it has a secret value.
const SECRET_WORDS: [&str; 8] = [
    "private-key",
    "privatekey",
    "preshared",
    "psk",
    "passw",
    "passphrase",
    "secret",
    "token",
];

/// Whether a key's name looks like that of a secret.
pub(crate) fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('_', "-");
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// Returns the spans that must not be shown, in ascending order of their starts.
pub(crate) fn spans(source: &str) -> Vec<Range<usize>> {
    let mut spans = url_spans(source, |c| matches!(c, '"' | '\'' | '`' | '\n'));
    spans.extend(value_spans(source));
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    spans
}

/// Replaces the passwords in the URLs of a text.
pub(crate) fn mask_urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut shown_to = 0;
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    for span in url_spans(text, ends) {
        masked.push_str(text.get(shown_to..span.start).unwrap_or_default());
        masked.push_str(MASK);
        shown_to = span.end;
    }
    masked.push_str(text.get(shown_to..).unwrap_or_default());
    masked
}

/// Finds `secret` of each `scheme://user:secret@`, a URL going on until a character that `ends` it.
fn url_spans(text: &str, ends: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (at, found) in text.match_indices("://") {
        let start = at + found.len();
        if spans.last().is_some_and(|last| start < last.end) {
            continue;
        }
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.find(&ends).unwrap_or(rest.len());
        let url = rest.get(..end).unwrap_or_default();
        let is_cut = !rest
            .get(end..)
            .is_some_and(|rest| rest.starts_with(['"', '\'', '`']));
        // A URL that its line cuts short may end within the secret, before the @.
        let until = match url.rfind('@') {
            Some(at_sign) => at_sign,
            None if is_cut => url.len(),
            None => continue,
        };
        let host = if url.starts_with('[') {
            url.find(']').unwrap_or(0)
        } else {
            0
        };
        let colon = url.get(host..until).and_then(|part| part.find(':'));
        let Some(colon) = colon.map(|colon| host + colon) else {
            continue;
        };
        let after = url.get(colon + 1..until).unwrap_or_default();
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let is_port = digits > 0
            && after.get(digits..).is_some_and(|rest| {
                rest.is_empty() && until == url.len() || rest.starts_with(['/', '#'])
            });
        if !is_port && !after.is_empty() {
            spans.push(start + colon + 1..start + until);
        }
    }
    spans
}

/// Finds the values of secret keys, line by line and without regard to what is quoted or switched off by a `#`.
fn value_spans(source: &str) -> Vec<Range<usize>> {
    let bytes = source.as_bytes();
    let mut spans = Vec::new();
    let mut in_secret_table = false;
    let mut at = 0;
    while at < bytes.len() {
        let end = line_end(bytes, at);
        let line = source.get(at..end).unwrap_or_default();
        if line.trim_start().starts_with('[') {
            in_secret_table = looks_secret(line.split(']').next().unwrap_or_default());
        }
        let equals = if in_secret_table {
            line.find('=')
        } else {
            secret_assignment(line)
        };
        let Some(equals) = equals else {
            at = end + 1;
            continue;
        };
        let start = at + equals + 1;
        let blank = bytes.get(start..end).unwrap_or_default();
        let start = start + blank.len() - blank.trim_ascii_start().len();
        // To the end of the line and not of the value: what follows a stray quote may be the rest of the secret.
        let value_end = line_end(bytes, value_end(bytes, start));
        if value_end > start {
            spans.push(start..value_end);
        }
        at = value_end + 1;
    }
    spans
}

/// Returns where the `=` after the first secret key of a line stands.
fn secret_assignment(line: &str) -> Option<usize> {
    let mut key_start = 0;
    for (at, byte) in line.bytes().enumerate() {
        let in_key = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'"' | b'\'' | b' ' | b'\t')
            || !byte.is_ascii();
        if byte == b'=' && line.get(key_start..at).is_some_and(looks_secret) {
            return Some(at);
        }
        if !in_key {
            key_start = at + 1;
        }
    }
    None
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let length = rest.iter().position(|byte| *byte == b'\n');
    from + length.unwrap_or(rest.len())
}

/// Returns where the value that starts at `from` ends; for one that never does, the end of the text.
fn value_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => {
                let end = string_end(bytes, at);
                let is_closed = end > at + 1 && bytes.get(end - 1) == Some(byte);
                if !is_closed {
                    return next_header(bytes, end);
                }
                at = end;
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b'\n' if at == from => return next_header(bytes, at),
            b'\n' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Returns where the string that starts at `from` ends: after its closing quote, or where its line or the text ends.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let Some(&quote) = bytes.get(from) else {
        return from;
    };
    let triple = [quote; 3];
    let is_long = bytes.get(from..from + 3) == Some(triple.as_slice());
    let mut at = from + if is_long { 3 } else { 1 };
    while let Some(&byte) = bytes.get(at) {
        if byte == b'\\' && quote == b'"' {
            at += 2;
        } else if is_long && bytes.get(at..at + 3) == Some(triple.as_slice()) {
            return at + 3;
        } else if !is_long && byte == quote {
            return at + 1;
        } else if !is_long && byte == b'\n' {
            return at;
        } else {
            at += 1;
        }
    }
    at.min(bytes.len())
}

/// Returns where the line before the next `[` ends: an open string may run until there, and base64 looks like a key.
fn next_header(bytes: &[u8], from: usize) -> usize {
    let mut end = line_end(bytes, from);
    while end < bytes.len() {
        let next_end = line_end(bytes, end + 1);
        let line = bytes.get(end + 1..next_end).unwrap_or_default();
        if line.trim_ascii_start().starts_with(b"[") {
            break;
        }
        end = next_end;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(source: &str) -> String {
        let mut text = String::new();
        let mut shown_to = 0;
        for span in spans(source) {
            if span.start >= shown_to {
                text.push_str(&source[shown_to..span.start]);
                text.push_str(MASK);
            }
            shown_to = shown_to.max(span.end);
        }
        text + &source[shown_to..]
    }

    #[test]
    fn values_of_secret_keys_are_masked() {
        for (source, shown) in [
            ("private-key = \"abc\"\nx = 1", "private-key = ***\nx = 1"),
            ("private_key='abc'", "private_key=***"),
            ("WifiPassword = abc", "WifiPassword = ***"),
            ("\"my token\" = \"abc\"", "\"my token\" = ***"),
            ("a.psk = [\"abc\",\n\"def\"]\nx = 1", "a.psk = ***\nx = 1"),
            (
                "a = { psk = \"abc\", b = 1 }\nx = 1",
                "a = { psk = ***\nx = 1",
            ),
            (
                "secret = \"\"\"abc\ndef\"\"\"\nx = 1",
                "secret = ***\nx = 1",
            ),
            ("secret = \"\"\"abc\ndef", "secret = ***"),
            ("secret = \"abc\ndef=\"\n[x]", "secret = ***\n[x]"),
            ("psk =\n\"abc\"\n[x]", "psk =***\n[x]"),
            ("a = { b = \"x, psk = \"abc\" }", "a = { b = \"x, psk = ***"),
            ("# \"\"\"\npsk = \"abc\"", "# \"\"\"\npsk = ***"),
            ("secret = \"abc\"def\"\nx = 1", "secret = ***\nx = 1"),
            ("secret = \"abc\\\"def\"\nx = 1", "secret = ***\nx = 1"),
            ("secret = {\na = \"abc\"\n}\nx = 1", "secret = ***\nx = 1"),
            (
                "[wifi.secrets]\nhome = \"abc\"\n[x]\ny = 1",
                "[wifi.secrets]\nhome = ***\n[x]\ny = 1",
            ),
            ("# psk = \"abc\"", "# psk = ***"),
            ("name = \"psk = 1\"\nx = \"y\"", "name = \"psk = ***"),
            ("x = \"token\"", "x = \"token\""),
        ] {
            assert_eq!(masked(source), shown, "{source}");
        }
    }

    #[test]
    fn passwords_in_urls_are_masked_and_ports_are_not() {
        for (source, shown) in [
            (
                "https://me:abc@dns.example/q@192.0.2.1",
                "https://me:***@192.0.2.1",
            ),
            ("\"https://me:abc@x\", \"y\"", "\"https://me:***@x\", \"y\""),
            ("https://me:123@x", "https://me:***@x"),
            (
                "https://dns.example:8443/q@192.0.2.1",
                "https://dns.example:8443/q@192.0.2.1",
            ),
            (
                "https://dns.example/q@192.0.2.1",
                "https://dns.example/q@192.0.2.1",
            ),
            (
                "tls://192.0.2.1:853#dns.example",
                "tls://192.0.2.1:853#dns.example",
            ),
            ("x = \"https://me:ab", "x = \"https://me:***"),
            ("x = \"https://me:a/b@x", "x = \"https://me:***@x"),
        ] {
            assert_eq!(masked(source), shown, "{source}");
            assert_eq!(mask_urls(source), shown, "{source}");
        }
    }
}
