//! Where does each record of an anchor file begin and end, and which words has it?
//!
//! Knows lines, comments, parentheses and quotations (RFC 1035 §5.1), nothing of what the words mean.

use super::{Diagnostic, Problem};

/// The words of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    /// Whether blanks go before its first word, which may then stand for the owner before.
    pub(super) is_indented: bool,
    /// At least one.
    pub(super) words: Vec<&'t str>,
    /// What unbound notes as `;;state=`, a digit.
    pub(super) noted_state: Option<u8>,
}

/// Returns the records of `text`; one that is not closed costs itself and no other, save an open parenthesis at the end.
pub(super) fn entries(text: &str) -> impl Iterator<Item = Result<Entry<'_>, Diagnostic>> {
    let mut scanner = Scanner {
        rest: text,
        line: 1,
    };
    std::iter::from_fn(move || scanner.entry())
}

struct Scanner<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Scanner<'t> {
    fn entry(&mut self) -> Option<Result<Entry<'t>, Diagnostic>> {
        let mut entry = Entry {
            line: self.line,
            is_indented: false,
            words: Vec::new(),
            noted_state: None,
        };
        let mut depth = 0_usize;
        let mut problem = None;
        while let Some(c) = self.rest.chars().next() {
            match c {
                '\n' => {
                    self.skip(1);
                    self.line += 1;
                    if depth == 0 && (problem.is_some() || !entry.words.is_empty()) {
                        break;
                    }
                    if depth == 0 {
                        entry = Entry {
                            line: self.line,
                            is_indented: false,
                            ..entry
                        };
                    }
                }
                ';' | '#' => {
                    let comment = self.take(|c| c == '\n');
                    entry.noted_state = entry.noted_state.or_else(|| noted_state(comment));
                    if entry.words.is_empty() {
                        entry.noted_state = None;
                    }
                }
                '(' | ')' => {
                    self.skip(1);
                    match (c, depth.checked_sub(1)) {
                        ('(', _) => depth += 1,
                        (_, Some(outer)) => depth = outer,
                        (_, None) => problem = problem.or(Some(Problem::StrayParenthesis)),
                    }
                }
                '"' => {
                    self.skip(1);
                    entry.words.push(self.take(|c| c == '"' || c == '\n'));
                    if self.rest.starts_with('"') {
                        self.skip(1);
                    } else {
                        problem = problem.or(Some(Problem::OpenQuote));
                    }
                }
                c if c.is_ascii_whitespace() => {
                    self.skip(1);
                    entry.is_indented |= entry.words.is_empty() && depth == 0;
                }
                _ => entry.words.push(self.word()),
            }
        }
        if depth > 0 {
            problem = Some(Problem::OpenParenthesis);
        }
        match problem {
            Some(problem) => Some(Err(Diagnostic {
                line: entry.line,
                problem,
            })),
            None if entry.words.is_empty() => None,
            None => Some(Ok(entry)),
        }
    }

    /// A word ends at a blank or a character with a meaning of its own, unless a backslash goes before it.
    fn word(&mut self) -> &'t str {
        let mut is_escaped = false;
        self.take(|c| {
            let is_literal = std::mem::take(&mut is_escaped);
            if c == '\n' {
                return true;
            }
            is_escaped = c == '\\' && !is_literal;
            !is_literal && (c.is_ascii_whitespace() || matches!(c, ';' | '(' | ')' | '"'))
        })
    }

    fn take(&mut self, ends: impl FnMut(char) -> bool) -> &'t str {
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

fn noted_state(comment: &str) -> Option<u8> {
    let (_, note) = comment.split_once(";state=")?;
    let digit = note.chars().next()?.to_digit(10)?;
    u8::try_from(digit).ok()
}
