//! What `/metrics` answers, read as Prometheus reads it: each family is described once, ahead of its samples, and no
//! sample comes twice. What is not so fails the test.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The samples by their names with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    samples: BTreeMap<String, f64>,
    pub kinds: BTreeMap<String, String>,
}

impl Metrics {
    pub fn read(text: &str) -> Self {
        let mut metrics = Self { samples: BTreeMap::new(), kinds: BTreeMap::new() };
        let mut described = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                described = rest.split_once(' ').expect("a name and a help").0.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert_eq!(name, described);
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                let twice = metrics.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(twice, None, "{name} is described twice");
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a name and a value");
                let (family, labels) = name.split_once('{').unwrap_or((name, "}"));
                let is_part = ["_bucket", "_sum", "_count"].iter().any(|part| {
                    family.strip_suffix(part) == Some(&described) && metrics.kinds[&described] == "histogram"
                });
                assert!(family == described || is_part, "{line} is not part of {described}");
                let labels = labels.trim_end_matches('}');
                let name =
                    if labels.is_empty() { family.to_owned() } else { format!("{family}{{{labels}}}") };
                match metrics.samples.entry(name) {
                    Entry::Vacant(entry) => entry.insert(value.parse().expect("a number")),
                    Entry::Occupied(entry) => panic!("{} comes twice", entry.key()),
                };
            }
        }
        metrics
    }

    /// A sample, by its name with its labels.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.samples.get(name).copied()
    }

    /// A sample that has to be there.
    pub fn of(&self, name: &str) -> f64 {
        self.get(name).unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }

    /// All samples of a family together.
    pub fn sum(&self, family: &str) -> f64 {
        self.family(family).map(|(_, value)| value).sum()
    }

    /// The samples of a family.
    pub fn family(&self, family: &str) -> impl Iterator<Item = (&str, f64)> {
        let is_of = move |name: &str| name.split('{').next() == Some(family);
        self.samples.iter().filter(move |(name, _)| is_of(name)).map(|(name, value)| (&**name, *value))
    }

    /// Fails the test if a counter, or a part of a histogram, is lower than it was, or gone.
    pub fn assert_not_below(&self, before: &Self) {
        for (name, value) in &before.samples {
            let family = name.split('{').next().expect("a name");
            let is_gauge = self.kinds.get(family).is_some_and(|kind| kind == "gauge");
            if !is_gauge && !name.starts_with("process_") {
                assert!(self.get(name).is_some_and(|now| now >= *value), "{name} was {value}: {self:#?}");
            }
        }
    }
}
