//! What does a file say? The document, walked against the key table: every mistake of form is found, none ends the walk.
//!
//! Knows shapes and ranges, not meanings: whether a text is a domain name is for `check`. What has a mistake is kept as
//! far as it can be read, for the sake of a broken profile's claims.

mod kinds;
mod long;
mod mixed;
mod numbered;
mod words;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Findings;
use crate::kind::LinkKind;
use crate::reference::{self, FileKind, Key, Section, Syntax};
use crate::units;
use long::Shortened;
use words::{belongs, type_name, usual_elsewhere, whole_table};

/// From how many texts on a list counts as long.
const LONG: usize = 64;

pub(crate) type Span = Range<usize>;

/// A text and where it stands.
pub(crate) type Text = Spanned<String>;

/// What one table says.
#[derive(Debug, Default)]
pub(crate) struct Table {
    said: BTreeMap<&'static str, Said>,
    /// Keys whose values could not be read at all.
    unread: BTreeSet<&'static str>,
}

#[derive(Debug)]
struct Said {
    key: Span,
    value: Value,
    /// Whether there was a mistake in it, so that the value is a guess.
    is_guess: bool,
}

#[derive(Debug)]
enum Value {
    Boolean(bool),
    Integer(i64),
    Size(u64),
    Seconds(u64),
    Word(&'static str),
    Numbers(Vec<Spanned<i64>>),
    Numbered(Vec<(Spanned<i64>, Text)>),
    Texts(Vec<Text>),
    /// Where the texts of a long list are, without their quotes.
    Long(long::Texts),
    Table(Table),
    Tables(Vec<(Span, Table)>),
}

impl Table {
    /// Where the key stands, when it is said.
    pub(crate) fn key(&self, name: &str) -> Option<Span> {
        self.said.get(name).map(|said| said.key.clone())
    }

    /// Whether a mistake of form was found in what the key says.
    pub(crate) fn is_faulty(&self, name: &str) -> bool {
        self.unread.contains(name) || self.said.get(name).is_some_and(|said| said.is_guess)
    }

    /// Whether nothing is said, right or wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.said.is_empty() && self.unread.is_empty()
    }

    /// Takes a guess; texts are added to those that stand there, anything else stays as it is.
    fn settle(&mut self, name: &'static str, guess: Said) {
        let Some(held) = self.said.get_mut(name) else {
            self.said.insert(name, guess);
            return;
        };
        if let (Value::Texts(held_texts), Value::Texts(texts)) = (&mut held.value, guess.value) {
            held_texts.extend(texts);
            held.is_guess = true;
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.said.get(name).map(|said| &said.value)
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        let value = self.value(name)?;
        if let Value::Boolean(value) = value {
            Some(*value)
        } else {
            mismatch(name, value)
        }
    }

    /// As [`Table::boolean`], for a key that may be of another type.
    pub(crate) fn is_off(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(false)))
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        let value = self.value(name)?;
        if let Value::Integer(value) = value {
            Some(*value)
        } else {
            mismatch(name, value)
        }
    }

    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        let value = self.value(name)?;
        if let Value::Size(value) = value {
            Some(*value)
        } else {
            mismatch(name, value)
        }
    }

    /// Returns a length of time.
    pub(crate) fn time(&self, name: &str) -> Option<Duration> {
        let value = self.value(name)?;
        if let Value::Seconds(seconds) = value {
            Some(Duration::from_secs(*seconds))
        } else {
            mismatch(name, value)
        }
    }

    /// Returns the value of a choice.
    pub(crate) fn word<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        let value = self.value(name)?;
        if let Value::Word(word) = value {
            from_word(word)
        } else {
            mismatch(name, value)
        }
    }

    /// Returns the word of a choice as the key table has it.
    pub(crate) fn choice(&self, name: &str) -> Option<&'static str> {
        let value = self.value(name)?;
        if let Value::Word(word) = value {
            Some(word)
        } else {
            mismatch(name, value)
        }
    }

    /// Returns the texts of a list, or the one text.
    pub(crate) fn texts(&self, name: &str) -> Option<&[Text]> {
        let value = self.value(name)?;
        if let Value::Texts(texts) = value {
            Some(texts)
        } else {
            mismatch(name, value)
        }
    }

    /// Returns the texts of a list that may be long one after another, each with its place, and how many there are; `source`
    /// is the file.
    pub(crate) fn each_text<'t>(
        &'t self,
        name: &str,
        source: &'t str,
    ) -> (usize, impl Iterator<Item = (&'t str, Span)>) {
        let (texts, long): (&[Text], &[Range<u32>]) = match self.value(name) {
            Some(Value::Texts(texts)) => (texts, &[]),
            Some(Value::Long(long)) => (&[], long),
            Some(value) => {
                mismatch::<()>(name, value);
                (&[], &[])
            }
            None => (&[], &[]),
        };
        let read = texts
            .iter()
            .map(|text| (text.get_ref().as_str(), text.span()));
        let long_texts = long.iter().map(|at| {
            let at = long::place(at);
            let text = source.get(at.clone()).unwrap_or_default();
            (text, at.start - 1..at.end + 1)
        });
        (texts.len() + long.len(), read.chain(long_texts))
    }

    pub(crate) fn table(&self, name: &str) -> Option<&Self> {
        let value = self.value(name)?;
        if let Value::Table(table) = value {
            Some(table)
        } else {
            mismatch(name, value)
        }
    }

    pub(crate) fn tables(&self, name: &str) -> Option<&[(Span, Self)]> {
        let value = self.value(name)?;
        if let Value::Tables(tables) = value {
            Some(tables)
        } else {
            mismatch(name, value)
        }
    }
}

/// The walk makes values as the key table says, so asking for another type is a mistake in this crate.
fn mismatch<T>(name: &str, value: &Value) -> Option<T> {
    debug_assert!(false, "{name} is {value:?}");
    None
}

/// Reads a word of the key table as the enum that has it.
pub(crate) fn from_word<T: serde::de::DeserializeOwned>(word: &'static str) -> Option<T> {
    let read = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(word);
    T::deserialize(read).ok()
}

/// What a file says, and how far it could be read.
pub(crate) struct Document {
    pub(crate) top: Table,
    /// Whether it is TOML; otherwise `top` has what could be made of it.
    pub(crate) is_toml: bool,
}

/// Reads a file.
pub(crate) fn read(kind: FileKind, findings: &mut Findings<'_>) -> Document {
    read_from(kind, LONG, findings)
}

/// As [`read`], with lists of so many texts taken for long.
fn read_from(kind: FileKind, long: usize, findings: &mut Findings<'_>) -> Document {
    let shortened = Shortened::of(findings.source, long);
    if let Some(shortened) = &shortened {
        let (document, errors) = DeTable::parse_recoverable(&shortened.text);
        if errors.is_empty() {
            let document = walk(kind, document.get_ref(), Some(shortened), true, findings);
            if findings.list.is_empty() {
                return document;
            }
            *findings = Findings::new(findings.file, findings.source);
        }
    }
    let (document, mut errors) = DeTable::parse_recoverable(findings.source);
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    for error in &errors {
        findings.syntax_error(error.span().unwrap_or(0..0), error.message());
    }
    walk(kind, document.get_ref(), None, errors.is_empty(), findings)
}

fn walk(
    kind: FileKind,
    document: &DeTable<'_>,
    shortened: Option<&Shortened>,
    is_toml: bool,
    findings: &mut Findings<'_>,
) -> Document {
    let section = match kind {
        FileKind::Main => Section::Main,
        FileKind::Profile => Section::Profile,
    };
    let mut walk = Walk {
        kind: kinds::kind_of(document),
        findings,
        shortened,
        strays: Vec::new(),
    };
    let mut top = walk.table(section, document);
    let strays = walk.strays;
    settle(&mut top, section, strays);
    Document { top, is_toml }
}

struct Walk<'f, 'a> {
    /// The kind of the link that the profile makes.
    kind: Option<LinkKind>,
    findings: &'f mut Findings<'a>,
    /// The long lists, when the library did not read them.
    shortened: Option<&'f Shortened>,
    /// What stands under a wrong name or in a wrong place, with the key that it is most likely meant for.
    strays: Vec<(&'static Key, Said)>,
}

impl Walk<'_, '_> {
    /// Returns where in the file that is which the library found there.
    fn place(&self, span: Span) -> Span {
        match self.shortened {
            Some(shortened) => shortened.in_source(span),
            None => span,
        }
    }

    fn table(&mut self, section: Section, table: &DeTable<'_>) -> Table {
        let mut read = Table::default();
        for (name, value) in table {
            let span = self.place(name.span());
            let found_before = self.findings.list.len();
            let Some(key) = self.find(section, name.get_ref()) else {
                self.unknown(section, name, value);
                continue;
            };
            let Some(value) = self.value(key, value) else {
                read.unread.insert(key.name);
                continue;
            };
            let said = Said {
                key: span,
                value,
                is_guess: self.findings.list.len() > found_before,
            };
            read.said.insert(key.name, said);
        }
        read
    }

    fn unknown(
        &mut self,
        section: Section,
        name: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        if self.is_of_other_kind(section, name) {
            return;
        }
        let said = name.get_ref();
        let known = self.known(section);
        let home = reference::home(section, said);
        let near = reference::nearest(said, known.iter().copied());
        let near = near.and_then(|near| self.find(section, near));
        let (help, meant) = match (home, near) {
            _ if let Some(help) = usual_elsewhere(section, said) => (Some(help.to_owned()), None),
            (Some(home), _) => (Some(belongs(home)), Some(home)),
            (None, Some(near)) => (Some(format!("did you mean `{}`?", near.name)), Some(near)),
            (None, None) => (
                Some(format!("the keys here are {}", known.join(", "))),
                None,
            ),
        };
        let message = format!("unknown key `{said}` in {}", section.label());
        self.findings.error(Some(name.span()), message, help);
        let Some(meant) = meant.filter(|key| key.section.file() == section.file()) else {
            return;
        };
        // Its own mistakes are found when it stands where it belongs.
        let mut quiet = Findings::new(self.findings.file, self.findings.source);
        let mut walk = Walk {
            kind: self.kind,
            findings: &mut quiet,
            shortened: self.shortened,
            strays: Vec::new(),
        };
        let read = walk.value(meant, value);
        let strays = walk.strays;
        self.strays.extend(strays);
        if let Some(value) = read {
            let said = Said {
                key: name.span(),
                value,
                is_guess: true,
            };
            self.strays.push((meant, said));
        }
    }

    fn value(&mut self, key: &'static Key, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let span = self.place(value.span());
        match (key.syntax, value.get_ref()) {
            (Syntax::Boolean, DeValue::Boolean(value)) => Some(Value::Boolean(*value)),
            (Syntax::Integer { min, max }, DeValue::Integer(integer)) => {
                let digits = integer.as_str().replace('_', "");
                match i64::from_str_radix(&digits, integer.radix()) {
                    Ok(value) if (min..=max).contains(&value) => Some(Value::Integer(value)),
                    Ok(_) | Err(_) => {
                        let message = format!("`{}` is out of range", key.name);
                        let help = format!("write a whole number from {min} to {max}");
                        self.findings.error(Some(span), message, Some(help));
                        None
                    }
                }
            }
            (Syntax::Choice(words), DeValue::String(said)) => self.word(key, words, said, span),
            (Syntax::Size { min, max }, DeValue::String(said)) => {
                self.size(key, (min, max), said, span)
            }
            (Syntax::Time { min, max }, DeValue::String(said)) => {
                self.time(key, (min, max), said, span)
            }
            (Syntax::Mixed(_, section), DeValue::String(_) | DeValue::Array(_)) => {
                Some(Value::Tables(self.mixed(key, section, value)))
            }
            (Syntax::Text(_) | Syntax::OneOrMore(_) | Syntax::List(_), DeValue::String(said)) => {
                if matches!(key.syntax, Syntax::List(_)) {
                    let message = format!("`{}` is a list, not one text", key.name);
                    let help = format!("put it in brackets: {} = [\"…\"]", key.name);
                    self.findings.error(Some(span.clone()), message, Some(help));
                }
                Some(Value::Texts(vec![Spanned::new(span, said.to_string())]))
            }
            (Syntax::OneOrMore(_) | Syntax::List(_), DeValue::Array(items)) => {
                if let Some(long) = self.shortened.and_then(|it| it.texts_at(span.start)) {
                    return Some(Value::Long(Rc::clone(long)));
                }
                if items.is_empty() && matches!(key.syntax, Syntax::OneOrMore(_)) {
                    let message = format!("`{}` is empty, and would fit nothing", key.name);
                    let help = Some("leave the key out, or give it a value".to_owned());
                    self.findings.error(Some(span), message, help);
                }
                Some(Value::Texts(self.texts(key, items)))
            }
            (Syntax::Numbers { min, max }, DeValue::Array(items)) => {
                Some(Value::Numbers(self.numbers(key, (min, max), items)))
            }
            (Syntax::Numbered { max, .. }, DeValue::Table(table)) => {
                Some(Value::Numbered(self.numbered(key, max, table)))
            }
            (Syntax::Table(section), DeValue::Table(table)) => {
                Some(Value::Table(self.table(section, table)))
            }
            (Syntax::Table(section), DeValue::Array(items))
                if items.iter().all(|item| item.get_ref().is_table()) =>
            {
                let message = format!("`{}` is one table, not a list of tables", key.name);
                let help = Some(format!("write [{0}] instead of [[{0}]]", key.name));
                self.findings.error(Some(span), message, help);
                let first = items.iter().find_map(|item| item.get_ref().as_table());
                first.map(|table| Value::Table(self.table(section, table)))
            }
            (Syntax::Tables(section), DeValue::Array(items)) => {
                Some(Value::Tables(self.tables(key, section, items)))
            }
            (syntax, value) => {
                let message = format!("`{}` cannot be {}", key.name, type_name(value));
                let help = match syntax {
                    Syntax::Tables(_) => format!("write [[{}]], once for each", key.name),
                    Syntax::Table(section) => whole_table(key, section),
                    Syntax::Boolean
                    | Syntax::Choice(_)
                    | Syntax::Integer { .. }
                    | Syntax::Size { .. }
                    | Syntax::Time { .. }
                    | Syntax::Text(_)
                    | Syntax::List(_)
                    | Syntax::OneOrMore(_)
                    | Syntax::Numbers { .. }
                    | Syntax::Numbered { .. }
                    | Syntax::Mixed(..) => {
                        format!("write {}", reference::describe(syntax).replace('`', ""))
                    }
                };
                self.findings.error(Some(span), message, Some(help));
                None
            }
        }
    }

    fn word(
        &mut self,
        key: &Key,
        words: &'static [&'static str],
        said: &str,
        span: Span,
    ) -> Option<Value> {
        if let Some(word) = words.iter().find(|word| **word == said) {
            return Some(Value::Word(word));
        }
        let near = reference::nearest(said, words.iter().copied());
        let all = words.join(", ");
        let help = match near {
            Some(near) => format!("did you mean \"{near}\"? The choices are {all}"),
            None => format!("the choices are {all}"),
        };
        let message = format!("\"{said}\" is no choice for `{}`", key.name);
        self.findings.error(Some(span), message, Some(help));
        words
            .iter()
            .find(|word| near == Some(**word))
            .map(|word| Value::Word(word))
    }

    fn size(&mut self, key: &Key, (min, max): (u64, u64), said: &str, span: Span) -> Option<Value> {
        let range = || {
            format!(
                "write a size from \"{}\" to \"{}\"",
                units::size_text(min),
                units::size_text(max)
            )
        };
        match units::parse_size(said) {
            Ok(size) if (min..=max).contains(&size) => Some(Value::Size(size)),
            Ok(_) => {
                let message = format!("`{}` is out of range", key.name);
                self.findings.error(Some(span), message, Some(range()));
                None
            }
            Err(error) => {
                self.findings
                    .error(Some(span), error.to_string(), Some(range()));
                None
            }
        }
    }

    fn time(&mut self, key: &Key, (min, max): (u64, u64), said: &str, span: Span) -> Option<Value> {
        let message = match units::parse_time(said) {
            Ok(seconds) if (min..=max).contains(&seconds) => return Some(Value::Seconds(seconds)),
            Ok(_) => format!("`{}` is out of range", key.name),
            Err(error) => error.to_string(),
        };
        let help = format!(
            "write a length of time from \"{}\" to \"{}\"",
            units::time_text(min),
            units::time_text(max)
        );
        self.findings.error(Some(span), message, Some(help));
        None
    }

    fn texts(&mut self, key: &Key, items: &[Spanned<DeValue<'_>>]) -> Vec<Text> {
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            if let Some(text) = item.get_ref().as_str() {
                texts.push(Spanned::new(self.place(item.span()), text.to_owned()));
                continue;
            }
            let kind = type_name(item.get_ref());
            let message = format!("`{}` is a list of texts, and this is {kind}", key.name);
            let help = Some("put it in quotes".to_owned());
            self.findings.error(Some(item.span()), message, help);
        }
        texts
    }

    fn tables(
        &mut self,
        key: &Key,
        section: Section,
        items: &[Spanned<DeValue<'_>>],
    ) -> Vec<(Span, Table)> {
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            if let Some(table) = item.get_ref().as_table() {
                let span = self.place(item.span());
                tables.push((span, self.table(section, table)));
                continue;
            }
            let kind = type_name(item.get_ref());
            let message = format!("`{}` is a list of tables, and this is {kind}", key.name);
            let help = Some(format!("write [[{}]], once for each", key.name));
            self.findings.error(Some(item.span()), message, help);
        }
        tables
    }
}

/// Puts strays where they belong.
fn settle(top: &mut Table, section: Section, strays: Vec<(&'static Key, Said)>) {
    for (key, said) in strays {
        if key.section == section {
            top.settle(key.name, said);
            continue;
        }
        let owner = section
            .keys()
            .find(|owner| owner.syntax == Syntax::Table(key.section));
        let Some(owner) = owner else {
            continue;
        };
        let span = said.key.clone();
        let table = top.said.entry(owner.name).or_insert_with(|| Said {
            key: span,
            value: Value::Table(Table::default()),
            is_guess: true,
        });
        if let Value::Table(table) = &mut table.value {
            table.settle(key.name, said);
        }
    }
}

#[cfg(test)]
mod tests;
