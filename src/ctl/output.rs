//! How does a result reach the reader? As text for people, or as one JSON document with a version.

use std::fmt::Write as _;
use std::io::{self, Write};

use linnet::api::SCHEMA_VERSION;
use serde::Serialize;

/// Where results go: text or JSON, decided once.
#[derive(Debug)]
pub(crate) struct Output<W> {
    writer: W,
    json: bool,
}

impl<W: Write> Output<W> {
    /// Makes an output.
    pub(crate) fn new(writer: W, json: bool) -> Self {
        Self { writer, json }
    }

    /// Prints a result: `text` for people, or `document` as JSON with the field `schema` put first.
    pub(crate) fn show<T: Serialize>(
        &mut self,
        document: &T,
        text: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        if self.json {
            return self.document(document);
        }
        self.writer.write_all(text(document).as_bytes())?;
        self.writer.flush()
    }

    /// Prints a remark on the way to a result; nothing when the result is JSON.
    pub(crate) fn remark(&mut self, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }

    fn document<T: Serialize>(&mut self, document: &T) -> io::Result<()> {
        #[derive(Serialize)]
        struct Versioned<'a, T> {
            schema: u32,
            #[serde(flatten)]
            document: &'a T,
        }
        serde_json::to_writer(
            &mut self.writer,
            &Versioned {
                schema: SCHEMA_VERSION,
                document,
            },
        )?;
        self.writer.write_all(b"\n")?;
        self.writer.flush()
    }
}

/// Lays out rows in columns, two spaces apart; the last column is not padded.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(at) {
                Some(widest) => *widest = (*widest).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_do_not_trail() {
        let rows = [
            vec!["a".to_owned(), "bb".to_owned()],
            vec!["ccc".to_owned(), "d".to_owned()],
        ];
        assert_eq!(columns(&rows), "  a    bb\n  ccc  d\n");
    }

    #[test]
    fn json_carries_the_schema_version_first() {
        let mut bytes = Vec::new();
        let document = serde_json::json!({ "name": "x" });
        Output::new(&mut bytes, true)
            .show(&document, |_| unreachable!("text is not asked for"))
            .unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\"schema\":1,\"name\":\"x\"}\n"
        );
    }
}
