//! Which lists are so plain that they need no library to be read? Thousands of names between quotes, as in `claims`.
//!
//! The TOML library takes a microsecond for each name, and ten times the memory of the file; a list of ten thousand names would be
//! most of a start. A list of plain texts is read here, and is empty in what the library gets. It is one when it begins at the
//! start of a line, as `claims = [`, and has nothing but texts in double quotes without escapes, commas and white space. Anything
//! else about it is the library's to read, and so is every file with a mistake.

use std::ops::Range;
use std::rc::Rc;

use super::Span;
#[cfg(test)]
use super::Text;

/// The keys whose lists may be long; each is a list of texts wherever it may stand.
const KEYS: [&str; 2] = ["claims", "exclude"];

/// Where the texts of a list are in the file, without their quotes. There may be very many, and no file has 4 GiB.
pub(super) type Texts = Rc<Vec<Range<u32>>>;

/// A document whose long lists are empty.
#[derive(Debug)]
pub(super) struct Shortened {
    /// What is left.
    pub(super) text: String,
    lists: Vec<List>,
}

#[derive(Debug)]
struct List {
    /// Where its bracket is.
    at: usize,
    /// Where that is which ends it.
    end: usize,
    texts: Texts,
}

/// Returns the place of a text in the file.
pub(super) fn place(at: &Range<u32>) -> Span {
    let octet = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    octet(at.start)..octet(at.end)
}

/// Makes the text between these places, with the place of it and its quotes.
#[cfg(test)]
pub(super) fn text_at(source: &str, at: &Range<u32>) -> Text {
    let at = place(at);
    let text = source.get(at.clone()).unwrap_or_default();
    Text::new(at.start - 1..at.end + 1, text.to_owned())
}

impl Shortened {
    /// Takes the lists of at least `least` texts out of a document; `None` when it has none.
    pub(super) fn of(source: &str, least: usize) -> Option<Self> {
        let mut lists: Vec<List> = Vec::new();
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
        let mut text = String::new();
        let mut from = 0;
        for list in &lists {
            text.push_str(source.get(from..=list.at)?);
            from = list.end;
        }
        if lists.is_empty() {
            return None;
        }
        text.push_str(source.get(from..)?);
        Some(Self { text, lists })
    }

    /// Returns where in the file that stands which stands there in what is left of it.
    pub(super) fn in_source(&self, span: Span) -> Span {
        let octet = |left: usize| {
            self.lists.iter().fold(left, |at, list| match list.at < at {
                true => at + list.end - list.at - 1,
                false => at,
            })
        };
        octet(span.start)..octet(span.end)
    }

    /// Returns where the texts of the list are whose bracket is at this place of the file, when it is one that was taken out.
    pub(super) fn texts_at(&self, at: usize) -> Option<&Texts> {
        let place = self.lists.binary_search_by_key(&at, |list| list.at).ok()?;
        self.lists.get(place).map(|list| &list.texts)
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
                at = start + plain_length(rest);
                if octets.get(at) != Some(&b'"') {
                    return None;
                }
                texts.push(u32::try_from(start).ok()?..u32::try_from(at).ok()?);
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
                    texts: Rc::new(texts),
                });
            }
            _ => return None,
        }
    }
}

/// Returns how many octets there are before the first that does not mean itself between quotes; eight are looked at together.
fn plain_length(octets: &[u8]) -> usize {
    let (words, rest) = octets.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let marks = not_plain(u64::from_le_bytes(*word));
        if marks != 0 {
            return at * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let before = octets.len() - rest.len();
    let is_plain = |octet: &u8| *octet >= b' ' && !matches!(octet, b'"' | b'\\' | 0x7f);
    before + rest.iter().take_while(|octet| is_plain(octet)).count()
}

/// Marks, with its highest bit, the first octet of a word that does not mean itself between quotes, and perhaps others behind it:
/// a difference borrows from the octet behind only where there is a mark.
const fn not_plain(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const fn less(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(ONES * bound as u64) & !word
    }
    const fn same(word: u64, octet: u8) -> u64 {
        less(word ^ (ONES * octet as u64), 1)
    }
    let marks = less(word, b' ') | same(word, b'"') | same(word, b'\\') | same(word, 0x7f);
    marks & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(source: &str) -> Option<(String, Vec<Vec<&str>>)> {
        let shortened = Shortened::of(source, 1)?;
        let texts = |list: &List| list.texts.iter().map(|at| &source[place(at)]).collect();
        let lists = shortened.lists.iter().map(texts).collect();
        for list in &shortened.lists {
            assert_eq!(shortened.texts_at(list.at), Some(&list.texts));
            assert_eq!(shortened.texts_at(list.at + 1), None);
        }
        // Every octet that is left is found where it was.
        for (at, octet) in shortened.text.bytes().enumerate() {
            let there = shortened.in_source(at..at + 1);
            assert_eq!(source.as_bytes()[there.start], octet, "{at} in {source}");
        }
        Some((shortened.text, lists))
    }

    #[test]
    fn plain_lists_are_taken_out_and_leave_brackets() {
        let source =
            "[dns]\n claims\t= [ \"a.test\",\r\n\t\"ä.test\" , ] # b\nexclude = [\"c\"]\nx = 1";
        let (text, lists) = taken(source).unwrap();
        assert_eq!(lists, [vec!["a.test", "ä.test"], vec!["c"]]);
        assert_eq!(text, "[dns]\n claims\t= [] # b\nexclude = []\nx = 1");
    }

    #[test]
    fn the_first_octet_that_is_not_plain_ends_a_text_wherever_it_is() {
        let plain = "abcdefghij~ é!#[]xyz€".as_bytes();
        assert_eq!(plain_length(plain), plain.len());
        for octet in 0..=u8::MAX {
            let means_itself = octet >= b' ' && !matches!(octet, b'"' | b'\\' | 0x7f);
            for at in 0..plain.len() {
                let mut octets = plain.to_vec();
                octets[at] = octet;
                // What follows does not count, and borrows nothing from what is before.
                octets.extend([b'"', 0, b' ', 0x7f, b'\\', 0x80, 0xff, 0]);
                let wanted = if means_itself { plain.len() } else { at };
                assert_eq!(plain_length(&octets), wanted, "{octet:#x} at {at}");
            }
        }
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
