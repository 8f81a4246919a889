//! What is on the screen? Rates, troubles, scopes with their upstreams, and what was slow or failed; lines out, nothing written.
//!
//! Every line fits the width; one that does not is shortened by whole words, with a sign that more is there. What does not fit the height is left out from the middle, the worst scopes last of all.

use std::collections::VecDeque;
use std::time::Instant;

use linnet::api::{Notice, ScopeStatus, Status, Trace, UpstreamStatus};

use super::super::status::{counts, state, troubles, worst_first};
use super::rates::{Rate, Rates, TREND};
use crate::output::{milliseconds, span};

/// Notable questions that are kept.
const NOTABLE_MAX: usize = 200;
/// Lines at the bottom that notable questions have at least, with their heading.
const NOTABLE_LINES: usize = 6;
/// Troubles that are shown.
const TROUBLES_SHOWN: usize = 3;
/// The narrowest and lowest screen that is drawn on.
const SMALLEST: (usize, usize) = (40, 10);
/// Columns of numbers beside the names.
const NUMBERS: usize = 58;
/// Columns that the numbers themselves take.
const NUMBERS_WIDTH: usize = 32;
/// What stands for words that do not fit.
const MORE: char = '…';
/// What a word on an upstream and its losses usually take, in columns: it goes before the drawing.
const WORD: usize = 20;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How a piece of a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Heading,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "\x1b[0m",
            Self::Bold => "\x1b[0;1m",
            Self::Dim => "\x1b[0;2m",
            Self::Good => "\x1b[0;32m",
            Self::Bad => "\x1b[0;1;31m",
            Self::Heading => "\x1b[0;7m",
        }
    }
}

/// All that is known, and how it is looked at.
#[derive(Debug, Default)]
pub(super) struct View {
    rates: Rates,
    notable: VecDeque<(Instant, Row)>,
    lost: u64,
    trouble: Option<String>,
    paused: bool,
    skipped: usize,
}

/// A line: pieces that look differently.
type Row = Vec<(Style, String)>;

impl View {
    /// Takes what the daemon says now.
    pub(super) fn take_status(&mut self, status: Status) {
        self.trouble = None;
        if !self.paused {
            self.rates.push(status);
        }
    }

    /// Takes that the daemon says nothing.
    pub(super) fn take_loss(&mut self, why: &str) {
        self.trouble = Some(why.to_owned());
    }

    /// Takes what the daemon tells by itself.
    pub(super) fn take_notice(&mut self, notice: Notice, now: Instant) {
        if self.paused {
            return;
        }
        let row = match notice {
            Notice::Answered { trace } => answered(&trace),
            Notice::PlanChanged {
                generation,
                changes,
            } => {
                let text = format!("plan {generation}: {}", changes.join("; "));
                vec![(Style::Plain, text)]
            }
            Notice::ResolvConf { status } => {
                let detail = status.detail.unwrap_or(status.mode);
                vec![(
                    Style::Bold,
                    format!("resolv.conf {}: {detail}", status.state),
                )]
            }
            Notice::Reach {
                link,
                reach,
                portal,
            } => {
                let lines = super::super::status::links::reached_lines(&reach, portal.as_ref());
                vec![(Style::Bold, format!("{link}: {}", lines.join("; ")))]
            }
            Notice::Lost { count } => {
                self.lost += count;
                return;
            }
            Notice::Ready | Notice::Seen { .. } | Notice::Unknown => return,
        };
        self.notable.push_front((now, row));
        self.notable.truncate(NOTABLE_MAX);
    }

    /// Holds everything as it is, or lets it go on.
    pub(super) fn pause(&mut self) {
        self.paused = !self.paused;
    }

    /// Moves the scopes up or down.
    pub(super) fn scroll(&mut self, by: isize) {
        self.skipped = self.skipped.saturating_add_signed(by);
    }

    /// Returns the screen.
    pub(super) fn lines(&mut self, (width, height): (usize, usize), now: Instant) -> Vec<String> {
        if width < SMALLEST.0 || height < SMALLEST.1 {
            let text = "the terminal is too small";
            return vec![text.chars().take(width).collect()];
        }
        let mut rows = self.head(width);
        let Some(status) = self.rates.last() else {
            rows.push(vec![(Style::Dim, "asking linnetd …".to_owned())]);
            return rows.iter().map(|row| fit(row, width)).collect();
        };
        let scopes = self.scopes(status, width);
        rows.push(scopes_heading(width));
        let room = height.saturating_sub(rows.len() + NOTABLE_LINES);
        // What does not fit costs a line that says so.
        let shown = match scopes.len() > room {
            true => room.saturating_sub(1),
            false => scopes.len(),
        };
        self.skipped = self.skipped.min(scopes.len() - shown);
        let below = scopes.len() - shown - self.skipped;
        let is_cut = shown < scopes.len();
        rows.extend(scopes.into_iter().skip(self.skipped).take(shown));
        if is_cut {
            let text = format!(" {below} more below, {} above: j and k", self.skipped);
            rows.push(vec![(Style::Dim, text)]);
        }
        rows.push(self.notable_heading(width));
        let rest = height.saturating_sub(rows.len());
        if self.notable.is_empty() {
            rows.push(vec![(Style::Dim, " nothing so far".to_owned())]);
        }
        for (at, row) in self.notable.iter().take(rest) {
            let age = span(now.saturating_duration_since(*at).as_secs());
            let age = age.split(' ').take(2).collect::<Vec<_>>().concat();
            let mut row = row.clone();
            row.insert(0, (Style::Dim, format!("{age:>6}  ")));
            rows.push(row);
        }
        rows.truncate(height);
        rows.iter().map(|row| fit(row, width)).collect()
    }

    /// Who this is, what happens as a whole, and what is wrong.
    fn head(&self, width: usize) -> Vec<Row> {
        let keys = if self.paused {
            "PAUSED  space goes on  q quits"
        } else {
            "space holds  q quits"
        };
        let Some(status) = self.rates.last() else {
            let mut rows = vec![ends(" linnet", keys, width)];
            rows.extend(self.trouble.iter().map(|trouble| bad(trouble)));
            return rows;
        };
        let title = format!(
            " linnet {}   up {}   plan {}",
            status.version,
            span(status.uptime_ms / 1000),
            status.generation
        );
        let mut rows = vec![ends(&title, keys, width)];
        let Rate {
            all, part, errors, ..
        } = self.rates.whole();
        let style = if errors > 0.0 {
            Style::Bad
        } else {
            Style::Plain
        };
        let graph: Vec<f64> = self.rates.history().collect();
        let most = graph.iter().copied().fold(0.0, f64::max);
        rows.push(vec![
            (Style::Bold, format!(" {:>7} q/s", amount(all))),
            (
                Style::Plain,
                format!("   {} from the cache   ", share(part)),
            ),
            (style, format!("{} errors/s   ", amount(errors))),
            (Style::Good, sparks(&graph, most, width.saturating_sub(58))),
            (Style::Dim, format!(" max {}", amount(most))),
        ]);
        match &self.trouble {
            Some(trouble) => rows.push(bad(trouble)),
            None => rows.extend(wrong(status)),
        }
        rows.push(Vec::new());
        rows
    }

    fn scopes(&self, status: &Status, width: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        for scope in worst_first(status) {
            rows.push(self.scope(scope, status, width));
            for upstream in &scope.upstreams {
                rows.push(self.upstream(scope, upstream, width));
            }
        }
        rows
    }

    fn scope(&self, scope: &ScopeStatus, status: &Status, width: usize) -> Row {
        let Rate {
            all,
            part,
            errors,
            mean_ms,
        } = self.rates.scope(scope);
        let default = status.default_scope.as_deref() == Some(&scope.id);
        let name = format!(" {}{}", scope.id, if default { " *" } else { "" });
        let ready = scope.state == "ready";
        let style = if errors > 0.0 {
            Style::Bad
        } else {
            Style::Plain
        };
        let mean = mean_ms.map_or_else(|| "-".to_owned(), milliseconds);
        let note = if ready {
            counts(scope)
        } else {
            scope.state.to_uppercase()
        };
        vec![
            (
                if ready { Style::Bold } else { Style::Bad },
                column(&name, width),
            ),
            (
                Style::Plain,
                format!("{:>7} {:>6} ", amount(all), share(part)),
            ),
            (style, format!("{:>6} ", amount(errors))),
            (Style::Plain, format!("{mean:>8}  ")),
            (if ready { Style::Dim } else { Style::Bad }, note),
        ]
    }

    fn upstream(&self, scope: &ScopeStatus, upstream: &UpstreamStatus, width: usize) -> Row {
        let Rate { all, part, .. } = self.rates.upstream(&scope.id, upstream);
        let trend = self.rates.trend(&scope.id, &upstream.upstream);
        let most = trend.iter().copied().fold(0.0, f64::max);
        let time = upstream
            .srtt_ms
            .map_or_else(|| "-".to_owned(), milliseconds);
        let (style, word) = match &upstream.failing {
            Some(why) => (Style::Bad, why.clone()),
            None if upstream.current => (Style::Good, state(upstream).to_owned()),
            None => (Style::Dim, state(upstream).to_owned()),
        };
        let taken = column("", width).chars().count() + NUMBERS_WIDTH;
        let drawn = width.saturating_sub(taken + 1 + WORD).min(TREND);
        let lossy = part.is_some_and(|part| part >= 0.05);
        let loss = part.map_or_else(String::new, |part| format!("{} lost", share(Some(part))));
        vec![
            (
                Style::Plain,
                column(&format!("   {}", upstream.upstream), width),
            ),
            (
                Style::Plain,
                format!("{:>7} {:>6} {:>6} {time:>8}  ", amount(all), "", ""),
            ),
            (
                Style::Good,
                format!("{:drawn$} ", sparks(&trend, most, drawn)),
            ),
            (style, word),
            (
                if lossy { Style::Bad } else { Style::Dim },
                format!("  {loss}"),
            ),
        ]
    }

    fn notable_heading(&self, width: usize) -> Row {
        let lost = match self.lost {
            0 => String::new(),
            lost => format!("{lost} left out "),
        };
        ends(" SLOW AND FAILED", &lost, width)
    }
}

fn scopes_heading(width: usize) -> Row {
    let numbers = format!(
        "{:>7} {:>6} {:>6} {:>8}  ",
        "Q/S", "CACHED", "ERR/S", "TIME"
    );
    let text = column(" SCOPE, UPSTREAM", width) + &numbers;
    vec![(Style::Heading, format!("{text:width$}"))]
}

/// The first troubles, and how many more there are.
fn wrong(status: &Status) -> Vec<Row> {
    let troubles = troubles(status);
    let mut rows: Vec<Row> = troubles
        .iter()
        .take(TROUBLES_SHOWN)
        .map(|trouble| bad(trouble.lines().next().unwrap_or_default()))
        .collect();
    if let Some(more @ 1..) = troubles.len().checked_sub(TROUBLES_SHOWN) {
        rows.push(vec![(Style::Bad, format!(" ! {more} more: linnet status"))]);
    }
    rows
}

fn bad(text: &str) -> Row {
    vec![(Style::Bad, format!(" ! {text}"))]
}

fn answered(trace: &Trace) -> Row {
    let failed = !matches!(trace.rcode.as_str(), "NOERROR" | "NXDOMAIN");
    let scope = trace
        .steps
        .iter()
        .rev()
        .find_map(|step| step.scope.as_deref());
    let why = trace.extended_error.as_deref().unwrap_or_default();
    // The code of the error says little to people.
    let why = why.split_once(": ").map_or(why, |(_, text)| text);
    vec![
        (
            if failed { Style::Bad } else { Style::Plain },
            format!("{:<8} ", trace.rcode),
        ),
        (
            Style::Plain,
            format!("{:>7}  ", milliseconds(trace.elapsed_ms)),
        ),
        (Style::Bold, format!("{} {}", trace.name, trace.record_type)),
        (Style::Dim, format!("  {}", scope.unwrap_or_default())),
        (Style::Plain, format!("  {why}")),
    ]
}

/// Puts a name into the column of names.
fn column(name: &str, width: usize) -> String {
    let room = width.saturating_sub(NUMBERS).clamp(18, 40);
    if name.chars().count() <= room {
        return format!("{name:room$}");
    }
    let cut: String = name.chars().take(room - 1).collect();
    format!("{cut}{MORE}")
}

/// A heading: one text at each end.
fn ends(left: &str, right: &str, width: usize) -> Row {
    let room = width.saturating_sub(right.chars().count() + 1);
    let left: String = left.chars().take(room).collect();
    vec![(Style::Heading, format!("{left:room$}{right} "))]
}

/// Draws values as blocks, the last `room` of them.
fn sparks(values: &[f64], most: f64, room: usize) -> String {
    let shown = values.iter().skip(values.len().saturating_sub(room));
    shown
        .map(|value| {
            let part = if most > 0.0 { value / most } else { 0.0 };
            let at = BLOCKS
                .iter()
                .zip(1_u8..)
                .find(|(_, step)| part * 8.0 <= f64::from(*step));
            at.map_or('█', |(block, _)| *block)
        })
        .collect()
}

/// Writes an amount in seven characters at most.
fn amount(value: f64) -> String {
    if value <= 0.0 {
        "0".to_owned()
    } else if value < 9.95 {
        format!("{value:.1}")
    } else if value < 99_999.5 {
        format!("{value:.0}")
    } else {
        format!("{:.0}k", value / 1000.0)
    }
}

fn share(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{:.0} %", part * 100.0))
}

/// Shortens a row to the width by whole words, and dresses it.
fn fit(row: &Row, width: usize) -> String {
    let whole: Vec<char> = row.iter().flat_map(|(_, piece)| piece.chars()).collect();
    let is_word = |c: &char| !c.is_whitespace();
    let length = whole.iter().rposition(is_word).map_or(0, |last| last + 1);
    let is_cut = length > width;
    let mut room = match is_cut {
        true => words_within(&whole, width),
        false => width,
    };
    let mut text = String::new();
    for (style, piece) in row {
        if room == 0 {
            break;
        }
        let cut: String = piece
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .take(room)
            .collect();
        room -= cut.chars().count();
        text.push_str(style.code());
        text.push_str(&cut);
    }
    if is_cut {
        text.push(MORE);
    }
    text.push_str(Style::Plain.code());
    text
}

/// Counts the characters of whole words that fit beside the sign that there are more; a word that alone is longer is cut.
fn words_within(whole: &[char], width: usize) -> usize {
    let most = width.saturating_sub(1);
    let is_space = |at: usize| whole.get(at).is_none_or(|c| c.is_whitespace());
    let ends = (1..=most)
        .rev()
        .find(|&at| is_space(at) || is_space(at - 1));
    ends.filter(|end| *end >= most / 2).unwrap_or(most)
}

#[cfg(test)]
mod tests;
