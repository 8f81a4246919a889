//! How is a list of texts and tables read? For what is mostly one text, and sometimes has more to say.

use toml::Spanned;
use toml::de::DeValue;

use super::words::type_name;
use super::{Said, Span, Table, Value, Walk};
use crate::reference::{Key, Section};

/// The key of a table that a text stands for.
const ADDRESS: &str = "address";

impl Walk<'_, '_> {
    pub(super) fn mixed(
        &mut self,
        key: &Key,
        section: Section,
        value: &Spanned<DeValue<'_>>,
    ) -> Vec<(Span, Table)> {
        let Some(items) = value.get_ref().as_array() else {
            let message = format!("`{}` is a list, not one text", key.name);
            let help = format!("put it in brackets: {} = [\"…\"]", key.name);
            let span = self.place(value.span());
            self.findings.error(Some(span), message, Some(help));
            return self.item(key, section, value).into_iter().collect();
        };
        let items = items.iter();
        items
            .filter_map(|item| self.item(key, section, item))
            .collect()
    }

    fn item(
        &mut self,
        key: &Key,
        section: Section,
        item: &Spanned<DeValue<'_>>,
    ) -> Option<(Span, Table)> {
        let span = self.place(item.span());
        if let Some(table) = item.get_ref().as_table() {
            return Some((span, self.table(section, table)));
        }
        let Some(text) = item.get_ref().as_str() else {
            let kind = type_name(item.get_ref());
            let message = format!("`{}` is a list of texts, and this is {kind}", key.name);
            let help = Some("put it in quotes".to_owned());
            self.findings.error(Some(span), message, help);
            return None;
        };
        let said = Said {
            key: span.clone(),
            value: Value::Texts(vec![Spanned::new(span.clone(), text.to_owned())]),
            is_guess: false,
        };
        let mut table = Table::default();
        table.said.insert(ADDRESS, said);
        Some((span, table))
    }
}
