//! What is wrong with the configuration, where, and what to do? [`Diagnostic`], and how it is shown.
//!
//! Decides nothing about right and wrong. Shows no secret: `secret` sees to that.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use crate::secret;

/// How bad it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The file is left out whole.
    Error,
    /// The file holds, but not all of it does what it seems to.
    Warning,
}

impl Severity {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A finding about the configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// The column in characters, from 1; 0 for the whole file.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The octets of the file that it is about; `None` for the whole file.
    #[serde(skip)]
    pub span: Option<Range<usize>>,
}

/// Whether the text is for a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colour {
    /// Text alone.
    #[default]
    Plain,
    /// With ANSI sequences.
    Ansi,
}

const TAB: &str = "    ";

impl Diagnostic {
    /// Writes the finding with the line of `source` that it is about and carets below; ends with a newline.
    ///
    /// `source` is the text of [`Diagnostic::file`] that was loaded; another text shows other lines, and does no other
    /// harm. Values that look secret are masked.
    pub fn render(&self, source: &str, colour: Colour) -> String {
        let (severe, bold, reset) = match (colour, self.severity) {
            (Colour::Plain, _) => ("", "", ""),
            (Colour::Ansi, Severity::Error) => ("\x1b[1;31m", "\x1b[1m", "\x1b[0m"),
            (Colour::Ansi, Severity::Warning) => ("\x1b[1;33m", "\x1b[1m", "\x1b[0m"),
        };
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{severe}{}{reset}{bold}: {}{reset}",
            self.severity.as_str(),
            harmless(&self.message)
        );
        let file = harmless(&self.file);
        let shown = self.span.as_ref().and_then(|span| Shown::of(source, span));
        let gutter = " ".repeat(self.line.to_string().len());
        if let Some(shown) = shown {
            let _ = writeln!(text, "{gutter}--> {file}:{}:{}", self.line, self.column);
            let _ = writeln!(text, "{gutter} |");
            let _ = writeln!(text, "{} | {}", self.line, shown.line);
            let _ = writeln!(
                text,
                "{gutter} | {}{severe}{}{reset}",
                " ".repeat(shown.before),
                "^".repeat(shown.carets)
            );
        } else if self.line > 0 {
            let _ = writeln!(text, "{gutter}--> {file}:{}", self.line);
        } else {
            let _ = writeln!(text, "{gutter}--> {file}");
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "{gutter} = help: {}", harmless(help));
        }
        text
    }
}

/// A source line as it is shown: tabs spread, secrets masked, control characters replaced.
struct Shown {
    line: String,
    before: usize,
    carets: usize,
}

impl Shown {
    fn of(source: &str, span: &Range<usize>) -> Option<Self> {
        let start = floor(source, span.start);
        let line_start = source.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
        let rest = source.get(line_start..)?;
        let raw = rest.split('\n').next().unwrap_or_default();
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        let end = span.end.min(line_start + raw.len());
        let masks = secret::spans(source);
        let mut line = String::with_capacity(raw.len());
        let (mut width, mut before, mut carets) = (0, None, 0);
        let mut masked_until = 0;
        for (offset, character) in raw.char_indices() {
            let at = line_start + offset;
            if at >= start && before.is_none() {
                before = Some(width);
            }
            let written = if at < masked_until {
                ""
            } else if let Some(mask) = masks.iter().find(|mask| mask.contains(&at)) {
                masked_until = mask.end;
                secret::MASK
            } else if character == '\t' {
                TAB
            } else if is_harmful(character) {
                "\u{fffd}"
            } else {
                raw.get(offset..offset + character.len_utf8())
                    .unwrap_or_default()
            };
            line.push_str(written);
            let columns = written.chars().count();
            width += columns;
            if at >= start && at < end {
                carets += columns;
            }
        }
        Some(Self {
            line: line.trim_end().to_owned(),
            before: before.unwrap_or(width),
            carets: carets.max(1),
        })
    }
}

fn floor(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Whether a character would move the cursor, or turn the direction of the text.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn harmless(text: &str) -> String {
    text.chars()
        .map(|character| {
            if is_harmful(character) {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

/// What was found in one file.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) file: &'a Arc<str>,
    pub(crate) source: &'a str,
    /// Known when something is found.
    line_starts: OnceCell<Vec<usize>>,
    /// In the order of finding.
    pub(crate) list: Vec<Diagnostic>,
    /// Whether there is an error among them.
    pub(crate) broken: bool,
    /// The lines with a syntax error; these come first in `list`.
    syntax_lines: Vec<usize>,
    /// The line from which on nothing that is read can be relied on.
    unreliable_from: usize,
}

/// Syntax errors after which the parser goes on where the writer does; after all others it may take keys for parts of a list.
const LOCAL_SYNTAX_ERRORS: [&str; 3] = [
    "string values must be quoted",
    "duplicate key",
    "invalid unquoted key",
];

impl<'a> Findings<'a> {
    pub(crate) fn new(file: &'a Arc<str>, source: &'a str) -> Self {
        Self {
            file,
            source,
            line_starts: OnceCell::new(),
            list: Vec::new(),
            broken: false,
            syntax_lines: Vec::new(),
            unreliable_from: usize::MAX,
        }
    }

    /// Notes a syntax error; of several in one line the first tells the cause. To be called before all else.
    pub(crate) fn syntax_error(&mut self, span: Range<usize>, message: &str) {
        let (line, _) = self.position(span.start);
        let is_local = LOCAL_SYNTAX_ERRORS
            .iter()
            .any(|local| message.starts_with(local));
        if !is_local {
            self.unreliable_from = self.unreliable_from.min(line);
        }
        if !self.syntax_lines.contains(&line) {
            self.syntax_lines.push(line);
            self.error(Some(span), message, None);
        }
    }

    /// Whether the file is TOML.
    pub(crate) fn is_toml(&self) -> bool {
        self.syntax_lines.is_empty()
    }

    pub(crate) fn error(
        &mut self,
        span: Option<Range<usize>>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.broken = true;
        self.add(Severity::Error, span, message.into(), help);
    }

    pub(crate) fn warn(
        &mut self,
        span: Option<Range<usize>>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Severity::Warning, span, message.into(), help);
    }

    /// How many errors there are.
    pub(crate) fn errors(&self) -> usize {
        let errors = self
            .list
            .iter()
            .filter(|found| found.severity == Severity::Error);
        errors.count()
    }

    fn add(
        &mut self,
        severity: Severity,
        span: Option<Range<usize>>,
        message: String,
        help: Option<String>,
    ) {
        let (line, column) = span
            .as_ref()
            .map_or((0, 0), |span| self.position(span.start));
        self.list.push(Diagnostic {
            severity,
            file: Arc::clone(self.file),
            line,
            column,
            message: secret::mask_urls(&message),
            help: help.map(|help| secret::mask_urls(&help)),
            span,
        });
    }

    /// Returns line and column of an octet, both from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let at = floor(self.source, at);
        let line_starts = self.line_starts.get_or_init(|| {
            let newlines = self.source.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(newlines).collect()
        });
        let line = line_starts.partition_point(|start| *start <= at);
        let start = line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.source.get(start..at).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// Returns the findings by place, those about the whole file last, without those that a syntax error drew after it.
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        let meant = self
            .list
            .split_off(self.syntax_lines.len().min(self.list.len()));
        let is_reliable = |found: &Diagnostic| {
            found.line < self.unreliable_from && !self.syntax_lines.contains(&found.line)
        };
        self.list.extend(meant.into_iter().filter(is_reliable));
        self.list
            .sort_by_key(|found| found.span.as_ref().map_or(usize::MAX, |span| span.start));
        self.list
    }
}

#[cfg(test)]
mod tests;
