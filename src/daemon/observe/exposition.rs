//! How are numbers written for Prometheus? Families of samples, as text format 0.0.4 or as OpenMetrics 1.0.
//!
//! Knows the form, not what is measured. A family that is added twice is one family.

use std::fmt::Write as _;
use std::time::Duration;

use resolver::histogram::Histogram;

/// Which form a scraper wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Returns the media type of an answer.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What the samples of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows, until linnetd starts anew; its samples end in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations by their length; its samples end in `_bucket`, `_sum`, `_count`.
    Histogram,
    /// Is always 1: what matters is in the labels; its samples end in `_info`.
    Info,
}

/// Names and values that tell samples of a family apart.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

/// All families, in order.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: String,
    kind: Kind,
    help: String,
    samples: String,
}

impl Exposition {
    /// Adds a sample of a counter; `name` is without `_total`.
    pub(crate) fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: u64) {
        self.add(
            name,
            Kind::Counter,
            help,
            "_total",
            labels,
            &value.to_string(),
        );
    }

    /// Adds a counter of seconds; `name` is without `_total`.
    pub(crate) fn seconds(&mut self, name: &str, help: &str, labels: Labels<'_>, value: Duration) {
        let value = value.as_secs_f64().to_string();
        self.add(name, Kind::Counter, help, "_total", labels, &value);
    }

    /// Adds a sample of a gauge.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        self.add(name, Kind::Gauge, help, "", labels, &value.to_string());
    }

    /// Adds a whole number to a gauge.
    pub(crate) fn amount(&mut self, name: &str, help: &str, labels: Labels<'_>, value: u64) {
        self.add(name, Kind::Gauge, help, "", labels, &value.to_string());
    }

    /// Adds what is only told by its labels; `name` is without `_info`.
    pub(crate) fn info(&mut self, name: &str, help: &str, labels: Labels<'_>) {
        self.add(name, Kind::Info, help, "_info", labels, "1");
    }

    /// Adds a histogram of seconds.
    pub(crate) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        histogram: &Histogram,
    ) {
        let mut bucket = |bound: &str, count: u64| {
            let mut labels = labels.to_vec();
            labels.push(("le", bound));
            let count = count.to_string();
            self.add(name, Kind::Histogram, help, "_bucket", &labels, &count);
        };
        for (bound, count) in histogram.cumulative() {
            bucket(&bound.as_secs_f64().to_string(), count);
        }
        bucket("+Inf", histogram.count());
        let sum = histogram.sum().as_secs_f64().to_string();
        self.add(name, Kind::Histogram, help, "_sum", labels, &sum);
        let count = histogram.count().to_string();
        self.add(name, Kind::Histogram, help, "_count", labels, &count);
    }

    /// Writes everything.
    pub(crate) fn render(&self, format: Format) -> String {
        let mut text = String::new();
        for Family {
            name,
            kind,
            help,
            samples,
        } in &self.families
        {
            // In the older form a family is called as its samples are.
            let (suffix, kind) = match (format, kind) {
                (Format::Text, Kind::Counter) => ("_total", "counter"),
                (Format::Text, Kind::Info) => ("_info", "gauge"),
                (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
                (Format::OpenMetrics, Kind::Info) => ("", "info"),
                (_, Kind::Gauge) => ("", "gauge"),
                (_, Kind::Histogram) => ("", "histogram"),
            };
            let _ = writeln!(
                text,
                "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}"
            );
            text.push_str(samples);
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    fn add(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        suffix: &str,
        labels: Labels<'_>,
        value: &str,
    ) {
        let known = self.families.iter().position(|family| family.name == name);
        let at = known.unwrap_or_else(|| {
            self.families.push(Family {
                name: name.to_owned(),
                kind,
                help: escaped(help, false),
                samples: String::new(),
            });
            self.families.len() - 1
        });
        let Some(family) = self.families.get_mut(at) else {
            return;
        };
        let text = &mut family.samples;
        let _ = write!(text, "{name}{suffix}");
        for (place, (label, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(text, "{before}{label}=\"{}\"", escaped(value, true));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{end} {value}");
    }
}

/// Escapes what would end a label's value, or a line.
fn escaped(text: &str, in_quotes: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if in_quotes => escaped.push_str("\\\""),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Exposition {
        let mut exposition = Exposition::default();
        exposition.info("a_build", "Which.", &[("version", "1\"\\\n2")]);
        exposition.counter("a_queries", "Questions.", &[], 7);
        exposition.amount("a_entries", "Entries.", &[("scope", "x")], 3);
        exposition.gauge("a_ratio", "Ratio.", &[], 0.5);
        exposition.amount("a_entries", "Entries.", &[("scope", "y")], 4);
        exposition
    }

    #[test]
    fn the_older_form_names_families_as_their_samples() {
        let expected = "\
# HELP a_build_info Which.
# TYPE a_build_info gauge
a_build_info{version=\"1\\\"\\\\\\n2\"} 1
# HELP a_queries_total Questions.
# TYPE a_queries_total counter
a_queries_total 7
# HELP a_entries Entries.
# TYPE a_entries gauge
a_entries{scope=\"x\"} 3
a_entries{scope=\"y\"} 4
# HELP a_ratio Ratio.
# TYPE a_ratio gauge
a_ratio 0.5
";
        assert_eq!(example().render(Format::Text), expected);
    }

    #[test]
    fn openmetrics_ends_and_names_families_without_suffix() {
        let text = example().render(Format::OpenMetrics);
        assert!(
            text.contains("# TYPE a_queries counter\na_queries_total 7\n"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE a_build info\na_build_info{"),
            "{text}"
        );
        assert!(text.ends_with("a_ratio 0.5\n# EOF\n"), "{text}");
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_in_infinity() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_micros(64));
        histogram.record(Duration::from_secs(60));
        let mut exposition = Exposition::default();
        exposition.histogram("a_seconds", "Time.", &[("scope", "x")], &histogram);
        let text = exposition.render(Format::Text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "a_seconds_bucket{scope=\"x\",le=\"0.000064\"} 1");
        assert_eq!(lines[19], "a_seconds_bucket{scope=\"x\",le=\"8.388608\"} 1");
        assert_eq!(lines[20], "a_seconds_bucket{scope=\"x\",le=\"+Inf\"} 2");
        assert_eq!(lines[21], "a_seconds_sum{scope=\"x\"} 60.000064");
        assert_eq!(lines[22], "a_seconds_count{scope=\"x\"} 2");
    }
}
