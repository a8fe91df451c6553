//! Metrics as a scrape shows them.

use std::collections::{BTreeMap, BTreeSet};

/// The series of one scrape.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    series: BTreeMap<Series, f64>,
}

/// A name and its labels.
type Series = (String, BTreeMap<String, String>);

impl Metrics {
    /// Reads Prometheus' text format. Label values of these tests hold no escapes.
    pub fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self { series: lines.map(sample).collect() }
    }

    /// The sum of all series of a name with these labels; `None` where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |have: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| have.get(*label).map(String::as_str) == Some(*value))
        };
        let found = self.series.iter().filter(|((known, have), _)| known == name && fits(have));
        found.map(|(_, value)| *value).reduce(|one, other| one + other)
    }

    /// The same; absent is zero.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.sum(name, labels).unwrap_or_default()
    }

    /// The series without one label: what is left tells two scrapes' series apart.
    pub fn without(&self, label: &str) -> BTreeSet<Series> {
        let mut all = BTreeSet::new();
        for (name, labels) in self.series.keys() {
            let mut labels = labels.clone();
            labels.remove(label);
            all.insert((name.clone(), labels));
        }
        all
    }

    /// The series that have a label's value.
    #[must_use]
    pub fn of(&self, label: &str, value: &str) -> Self {
        let has = |labels: &BTreeMap<String, String>| labels.get(label).is_some_and(|have| have == value);
        let series = self.series.iter().filter(|((_, labels), _)| has(labels));
        Self { series: series.map(|(series, value)| (series.clone(), *value)).collect() }
    }

    /// The labels of a name's series, sorted.
    pub fn labels(&self, name: &str) -> Vec<String> {
        let found = self.series.keys().find(|(known, _)| known == name);
        found.map(|(_, labels)| labels.keys().cloned().collect()).unwrap_or_default()
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

fn sample(line: &str) -> (Series, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in {line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("no label in {line}"));
        let value = value.trim_end_matches('"');
        // Bounds are written with and without a fraction.
        let value = if label == "le" { value.trim_end_matches(".0") } else { value };
        (label.to_owned(), value.to_owned())
    };
    let number = value.parse().unwrap_or_else(|_| panic!("no number in {line}"));
    ((name.to_owned(), labels.map(pair).collect()), number)
}
