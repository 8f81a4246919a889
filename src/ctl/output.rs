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

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
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

/// How a column lines up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// As words.
    Left,
    /// As numbers.
    Right,
}

/// Lays out rows in columns of these alignments, two spaces apart; nothing trails.
pub(crate) fn table(rows: &[Vec<String>], aligns: &[Align]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..aligns.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, width), align) in row.iter().zip(&widths).zip(aligns) {
            let _ = match align {
                Align::Left => write!(line, "{cell:width$}  "),
                Align::Right => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Writes milliseconds as people read them: `0.4 ms`, `85 ms`, `4.40 s`.
pub(crate) fn milliseconds(value: f64) -> String {
    if value < 9.95 {
        format!("{value:.1} ms")
    } else if value < 999.5 {
        format!("{value:.0} ms")
    } else {
        format!("{:.2} s", value / 1000.0)
    }
}

/// Writes a part of a whole: `-` of nothing, and what is small but there is not `0 %`.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let per_mille = u128::from(part) * 1000 / u128::from(whole);
    match (part, per_mille) {
        (0, _) => "0 %".to_owned(),
        (_, 0) => "<0.1 %".to_owned(),
        (_, 1..100) => format!("{}.{} %", per_mille / 10, per_mille % 10),
        (_, _) => format!("{} %", per_mille / 10),
    }
}

/// Writes seconds by their two greatest units: `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        (_, _, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, text) in [
            (0.0, "0.0 ms"),
            (9.94, "9.9 ms"),
            (12.3, "12 ms"),
            (4400.0, "4.40 s"),
        ] {
            assert_eq!(milliseconds(value), text);
        }
        for (part, whole, text) in [
            (0, 0, "-"),
            (0, 9, "0 %"),
            (1, 100_000, "<0.1 %"),
            (4, 1000, "0.4 %"),
            (872, 1000, "87 %"),
            (9, 9, "100 %"),
            (u64::MAX, u64::MAX, "100 %"),
        ] {
            assert_eq!(percent(part, whole), text, "{part} of {whole}");
        }
        for (seconds, text) in [
            (59, "59 s"),
            (61, "1 min 1 s"),
            (7_800, "2 h 10 min"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn numbers_of_a_table_stand_to_the_right() {
        let rows = [
            vec!["A".to_owned(), "N".to_owned()],
            vec!["bb".to_owned(), "100".to_owned()],
            vec!["c".to_owned()],
        ];
        let text = table(&rows, &[Align::Left, Align::Right]);
        assert_eq!(text, "A     N\nbb  100\nc\n");
    }

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
