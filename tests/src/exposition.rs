//! Would Prometheus take these numbers? A strict reader of its text format 0.0.4 and of OpenMetrics 1.0.
//!
//! Stricter than Prometheus itself: each family is whole, described, typed, and named as its type wants it.

use std::collections::{BTreeMap, BTreeSet};

/// One sample: its labels and its value.
pub type Sample = (BTreeMap<String, String>, f64);

/// All samples, by name.
#[derive(Debug, Default)]
pub struct Numbers {
    samples_by_name: BTreeMap<String, Vec<Sample>>,
}

#[derive(Debug)]
struct Family {
    name: String,
    kind: String,
}

impl Numbers {
    /// Reads an exposition; `openmetrics` says which form.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn read(text: &str, openmetrics: bool) -> Result<Self, String> {
        let mut numbers = Self::default();
        let mut family: Option<Family> = None;
        let mut helped: Option<String> = None;
        let mut seen = BTreeSet::new();
        let mut ended = false;
        if !text.ends_with('\n') {
            return Err("the last line does not end".to_owned());
        }
        for line in text.lines() {
            let wrong = |what: &str| Err(format!("{what}: {line}"));
            if ended {
                return wrong("something follows the end");
            }
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let Some((name, help)) = rest.split_once(' ') else {
                    return wrong("no help");
                };
                if help.is_empty() || !is_name(name) {
                    return wrong("not a name and its help");
                }
                helped = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let Some((name, kind)) = rest.split_once(' ') else {
                    return wrong("no type");
                };
                if helped.take().as_deref() != Some(name) {
                    return wrong("the type does not follow its help");
                }
                if !seen.insert(name.to_owned()) {
                    return wrong("the family comes twice");
                }
                let known: &[&str] = match openmetrics {
                    true => &["counter", "gauge", "histogram", "info"],
                    false => &["counter", "gauge", "histogram"],
                };
                if !known.contains(&kind) {
                    return wrong("not a type");
                }
                if kind == "counter" && name.ends_with("_total") == openmetrics {
                    return wrong("not the name of a counter in this form");
                }
                family = Some(Family {
                    name: name.to_owned(),
                    kind: kind.to_owned(),
                });
            } else if line == "# EOF" && openmetrics {
                ended = true;
            } else if line.starts_with('#') || line.is_empty() {
                return wrong("neither a sample nor about one");
            } else {
                let Some(family) = &family else {
                    return wrong("a sample without family");
                };
                let (name, labels, value) = sample(line)?;
                if !suits(&name, family, openmetrics) {
                    return wrong("the sample is not of its family");
                }
                let samples = numbers.samples_by_name.entry(name).or_default();
                if samples.iter().any(|(other, _)| *other == labels) {
                    return wrong("the sample comes twice");
                }
                samples.push((labels, value));
            }
        }
        if openmetrics && !ended {
            return Err("there is no # EOF".to_owned());
        }
        numbers.check_histograms()?;
        Ok(numbers)
    }

    /// Returns the value of the one sample that has these labels among its own.
    ///
    /// # Panics
    /// When there is none, or more than one.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            let has = |(label, value): &(&str, &str)| {
                sample.0.get(*label).is_some_and(|held| held == value)
            };
            labels.iter().all(has)
        };
        let all = self.samples_by_name.get(name).into_iter().flatten();
        let found: Vec<&Sample> = all.filter(fits).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found[0].1
    }

    /// Returns the names of all samples.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples_by_name.keys().map(String::as_str)
    }

    /// Returns every value of every label.
    pub fn label_values(&self) -> BTreeSet<&str> {
        let samples = self.samples_by_name.values().flatten();
        samples
            .flat_map(|(labels, _)| labels.values())
            .map(String::as_str)
            .collect()
    }

    fn check_histograms(&self) -> Result<(), String> {
        for (name, samples) in &self.samples_by_name {
            let Some(base) = name.strip_suffix("_bucket") else {
                continue;
            };
            let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
            for (labels, count) in samples {
                let mut labels = labels.clone();
                let bound = labels.remove("le").ok_or("a bucket without bound")?;
                let bound = if bound == "+Inf" {
                    f64::INFINITY
                } else {
                    bound.parse().map_err(|_| format!("{name}: {bound}"))?
                };
                buckets.entry(labels).or_default().push((bound, *count));
            }
            for (labels, buckets) in buckets {
                if !buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1) {
                    return Err(format!("{name} {labels:?} does not grow: {buckets:?}"));
                }
                let Some((f64::INFINITY, last)) = buckets.last().copied() else {
                    return Err(format!("{name} {labels:?} does not end in +Inf"));
                };
                let of = |suffix: &str| {
                    let samples = self.samples_by_name.get(&format!("{base}{suffix}"))?;
                    samples
                        .iter()
                        .find(|(other, _)| *other == labels)
                        .map(|(_, value)| *value)
                };
                if of("_count").is_none_or(|count| count.to_bits() != last.to_bits())
                    || of("_sum").is_none()
                {
                    return Err(format!("{base} {labels:?} has no count or sum that fits"));
                }
            }
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn suits(name: &str, family: &Family, openmetrics: bool) -> bool {
    let Some(suffix) = name.strip_prefix(family.name.as_str()) else {
        return false;
    };
    match (family.kind.as_str(), openmetrics) {
        ("counter", true) => suffix == "_total",
        ("info", true) => suffix == "_info",
        ("histogram", _) => matches!(suffix, "_bucket" | "_sum" | "_count"),
        (_, _) => suffix.is_empty(),
    }
}

fn sample(line: &str) -> Result<(String, BTreeMap<String, String>, f64), String> {
    let wrong = |what: &str| format!("{what}: {line}");
    let end = line.find(['{', ' ']).ok_or_else(|| wrong("no value"))?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err(wrong("not a name"));
    }
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, value) = rest.split_once("=\"").ok_or_else(|| wrong("not a label"))?;
            if !is_name(label) {
                return Err(wrong("not the name of a label"));
            }
            let mut text = String::new();
            let mut chars = value.char_indices();
            let end = loop {
                match chars.next().ok_or_else(|| wrong("a value without end"))? {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next() {
                        Some((_, 'n')) => text.push('\n'),
                        Some((_, c @ ('\\' | '"'))) => text.push(c),
                        Some(_) | None => return Err(wrong("not an escape")),
                    },
                    (_, c) => text.push(c),
                }
            };
            if labels.insert(label.to_owned(), text).is_some() {
                return Err(wrong("a label comes twice"));
            }
            rest = &value[end + 1..];
            match rest.split_at_checked(1) {
                Some((",", more)) => rest = more,
                Some(("}", more)) => {
                    rest = more;
                    break;
                }
                Some(_) | None => return Err(wrong("labels without end")),
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or_else(|| wrong("no value"))?;
    let value = value.parse().map_err(|_| wrong("not a number"))?;
    Ok((name.to_owned(), labels, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\\\"\"} 2\n";

    #[test]
    fn what_prometheus_takes_is_taken_and_nothing_else() {
        let numbers = Numbers::read(GOOD, false).unwrap();
        assert_eq!(
            numbers.value("a_total", &[("x", "1\"")]).to_bits(),
            2_f64.to_bits()
        );
        for (from, to) in [
            ("} 2\n", "} 2"),
            ("} 2", "}"),
            ("} 2", "} two"),
            ("x=", "1x="),
            ("\\\"", "\\x"),
            ("counter\n", "counted\n"),
            ("# HELP a_total A.\n", ""),
            ("a_total{", "b_total{"),
            ("a_total{x", "a_total{x=\"\",x"),
            ("} 2\n", "} 2\n\n"),
            ("} 2\n", "} 2\na_total{x=\"1\\\"\"} 3\n"),
        ] {
            let bad = GOOD.replacen(from, to, 1);
            assert_ne!(bad, GOOD);
            assert!(Numbers::read(&bad, false).is_err(), "{bad}");
        }
        assert!(Numbers::read(GOOD, true).is_err(), "the other form");
        let bad = "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 3\na_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 2\n";
        assert!(
            Numbers::read(bad, false).is_err(),
            "a histogram that shrinks"
        );
    }
}
