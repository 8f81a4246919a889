//! Which lists are so plain that they need no library to be read? Thousands of names between quotes, as in `claims`.
//!
//! The TOML library takes a microsecond for each name, and ten times the memory of the file; a list of ten thousand names would be
//! most of a start. A list of plain texts is read here, and is blank in what the library gets. It is one when it begins at the
//! start of a line, as `claims = [`, and has nothing but texts in double quotes without escapes, commas and white space. Anything
//! else about it is the library's to read, and so is every file with a mistake.

use std::ops::Range;

use super::Text;

/// The keys whose lists may be long; each is a list of texts wherever it may stand.
const KEYS: [&str; 2] = ["claims", "exclude"];

/// A document whose long lists are blank.
#[derive(Debug)]
pub(super) struct Blanked {
    /// What is left, every octet in its place.
    pub(super) text: String,
    lists: Vec<List>,
}

#[derive(Debug)]
struct List {
    /// Where its bracket is.
    at: usize,
    /// Where that is which ends it.
    end: usize,
    /// Where its texts are, without their quotes.
    texts: Vec<Range<usize>>,
}

/// Makes the text between these places, with the place of it and its quotes.
pub(super) fn text_at(source: &str, at: &Range<usize>) -> Text {
    let text = source.get(at.clone()).unwrap_or_default();
    Text::new(at.start - 1..at.end + 1, text.to_owned())
}

impl Blanked {
    /// Takes the lists of at least `least` texts out of a document; `None` when it has none.
    pub(super) fn of(source: &str, least: usize) -> Option<Self> {
        let mut lists = Vec::new();
        let mut line = Some(0);
        while let Some(at) = line {
            let list = begins(source, at).and_then(|bracket| list(source, bracket));
            let list = list.filter(|list| list.texts.len() >= least);
            let from = list.as_ref().map_or(at, |list| list.end);
            lists.extend(list);
            let rest = source.get(from..).unwrap_or_default();
            let end = rest.find('\n');
            let rest = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            // A line within a text of several lines may look as if it began a list.
            if rest.contains("\"\"\"") || rest.contains("'''") {
                return None;
            }
            line = end.map(|end| from + end + 1);
        }
        if lists.is_empty() {
            return None;
        }
        let mut text = String::with_capacity(source.len());
        for list in &lists {
            text.push_str(source.get(text.len()..=list.at).unwrap_or_default());
            text.push_str(&" ".repeat(list.end - text.len()));
        }
        text.push_str(source.get(text.len()..).unwrap_or_default());
        Some(Self { text, lists })
    }

    /// Returns where the texts of the list are whose bracket is at this place, when it is one that was taken out.
    pub(super) fn texts_at(&self, at: usize) -> Option<&[Range<usize>]> {
        let place = self.lists.binary_search_by_key(&at, |list| list.at).ok()?;
        self.lists.get(place).map(|list| list.texts.as_slice())
    }
}

/// Returns the place of the bracket when a line begins a list of one of [`KEYS`].
fn begins(source: &str, line: usize) -> Option<usize> {
    let blank = [' ', '\t'];
    let said = source.get(line..)?.trim_start_matches(blank);
    let after = KEYS.iter().find_map(|key| said.strip_prefix(key))?;
    let after = after.trim_start_matches(blank).strip_prefix('=')?;
    let list = after.trim_start_matches(blank);
    list.starts_with('[').then(|| source.len() - list.len())
}

/// Reads a list; `None` when there is anything in it that is not plain.
fn list(source: &str, bracket: usize) -> Option<List> {
    let octets = source.as_bytes();
    let mut texts = Vec::new();
    let mut at = bracket + 1;
    let mut wants_text = true;
    loop {
        match octets.get(at)? {
            b' ' | b'\t' | b'\n' => at += 1,
            b'\r' if octets.get(at + 1) == Some(&b'\n') => at += 2,
            b'"' if wants_text => {
                let start = at + 1;
                let rest = octets.get(start..)?;
                let length = rest.iter().position(|&octet| !is_plain(octet))?;
                at = start + length;
                if octets.get(at) != Some(&b'"') {
                    return None;
                }
                texts.push(start..at);
                at += 1;
                wants_text = false;
            }
            b',' if !wants_text => {
                wants_text = true;
                at += 1;
            }
            b']' => {
                return Some(List {
                    at: bracket,
                    end: at,
                    texts,
                });
            }
            _ => return None,
        }
    }
}

/// Whether an octet between quotes means itself.
fn is_plain(octet: u8) -> bool {
    octet >= b' ' && !matches!(octet, b'"' | b'\\' | 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(source: &str) -> Option<(String, Vec<Vec<&str>>)> {
        let blanked = Blanked::of(source, 1)?;
        let texts = |list: &List| list.texts.iter().map(|at| &source[at.clone()]).collect();
        let lists = blanked.lists.iter().map(texts).collect();
        assert_eq!(blanked.text.len(), source.len());
        for list in &blanked.lists {
            assert_eq!(blanked.texts_at(list.at), Some(list.texts.as_slice()));
            assert_eq!(blanked.texts_at(list.at + 1), None);
        }
        Some((blanked.text, lists))
    }

    #[test]
    fn plain_lists_are_taken_out_and_leave_blanks() {
        let source =
            "[dns]\n claims\t= [ \"a.test\",\r\n\t\"ä.test\" , ] # b\nexclude = [\"c\"]\nx = 1";
        let (text, lists) = taken(source).unwrap();
        assert_eq!(lists, [vec!["a.test", "ä.test"], vec!["c"]]);
        let blank = |length| " ".repeat(length);
        assert_eq!(
            text,
            format!(
                "[dns]\n claims\t= [{}] # b\nexclude = [{}]\nx = 1",
                blank(" \"a.test\",\r\n\t\"ä.test\" , ".len()),
                blank(3)
            )
        );
    }

    #[test]
    fn what_is_not_plain_stays() {
        for source in [
            "",
            "claims",
            "claims =",
            "claims = [",
            "claims = []",
            "claims = [\"a\"",
            "claims = [\"a\" \"b\"]",
            "claims = [,\"a\"]",
            "claims = [\"a\",,\"b\"]",
            "claims = [\"a\" # why\n]",
            "claims = ['a']",
            "claims = [\"a\\n\"]",
            "claims = [\"a\nb\"]",
            "claims = [\"a\u{7f}\"]",
            "claims = [\"a\"\r]",
            "claims = [[\"a\"]]",
            "claims = \"a\"",
            "claim = [\"a\"]",
            "claimss = [\"a\"]",
            "x.claims = [\"a\"]",
            "# claims = [\"a\"]",
            "x = { claims = [\"a\"] }",
            "x = \"\"\"\nclaims = [\"a\"]\"\"\"",
            "x = '''\nclaims = [\"a\"]'''",
        ] {
            assert_eq!(taken(source), None, "{source}");
        }
    }
}
