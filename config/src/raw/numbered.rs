//! How are lists of numbers, and texts by number, read? For options that are known by nothing else.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::words::type_name;
use super::{Table, Text, Value, Walk, mismatch};
use crate::reference::Key;

impl Table {
    /// Returns the numbers of a list.
    pub(crate) fn numbers(&self, name: &str) -> Option<&[Spanned<i64>]> {
        let value = self.value(name)?;
        if let Value::Numbers(numbers) = value {
            Some(numbers)
        } else {
            mismatch(name, value)
        }
    }

    /// Returns texts with their numbers.
    pub(crate) fn numbered(&self, name: &str) -> Option<&[(Spanned<i64>, Text)]> {
        let value = self.value(name)?;
        if let Value::Numbered(numbered) = value {
            Some(numbered)
        } else {
            mismatch(name, value)
        }
    }
}

impl Walk<'_, '_> {
    pub(super) fn numbers(
        &mut self,
        key: &Key,
        (min, max): (i64, i64),
        items: &[Spanned<DeValue<'_>>],
    ) -> Vec<Spanned<i64>> {
        let mut numbers = Vec::with_capacity(items.len());
        for item in items {
            let span = self.place(item.span());
            let number = match item.get_ref() {
                DeValue::Integer(integer) => in_range(integer, min, max),
                DeValue::String(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => None,
            };
            if let Some(number) = number {
                numbers.push(Spanned::new(span, number));
                continue;
            }
            let message = format!(
                "`{}` is a list of whole numbers, and this is none of them",
                key.name
            );
            let help = format!("write whole numbers from {min} to {max}, without quotes");
            self.findings.error(Some(span), message, Some(help));
        }
        numbers
    }

    pub(super) fn numbered(
        &mut self,
        key: &Key,
        max: i64,
        table: &DeTable<'_>,
    ) -> Vec<(Spanned<i64>, Text)> {
        let mut numbered = Vec::with_capacity(table.len());
        for (name, value) in table {
            let at = self.place(name.span());
            let number = name.get_ref().parse().ok();
            let Some(number) = number.filter(|number| (1..=max).contains(number)) else {
                let message = format!("\"{}\" is no number of an option", name.get_ref());
                let help = format!("write a whole number from 1 to {max} before the =");
                self.findings.error(Some(at), message, Some(help));
                continue;
            };
            let span = self.place(value.span());
            if let Some(text) = value.get_ref().as_str() {
                let text = Spanned::new(span, text.to_owned());
                numbered.push((Spanned::new(at, number), text));
                continue;
            }
            let kind = type_name(value.get_ref());
            let message = format!(
                "a value in `{}` is a text with its type before it, and this is {kind}",
                key.name
            );
            let help = Some("put it in quotes, as \"u8:1\" or \"text:lab\"".to_owned());
            self.findings.error(Some(span), message, help);
        }
        // In the order of the file, so that findings are.
        numbered.sort_by_key(|(number, _)| number.span().start);
        numbered
    }
}

fn in_range(integer: &DeInteger<'_>, min: i64, max: i64) -> Option<i64> {
    let digits = integer.as_str().replace('_', "");
    let number = i64::from_str_radix(&digits, integer.radix()).ok();
    number.filter(|number| (min..=max).contains(number))
}
