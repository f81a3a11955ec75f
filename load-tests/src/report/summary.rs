//! Several runs of one scenario as one: median and spread of every number.
//!
//! What always holds: a number is named by its path in the report, so none is left out or told twice.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Report;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// What is written as JSON.
#[derive(Clone, Serialize)]
pub struct Summary {
    pub description: String,
    /// By path in a run: `server.us_per_packet`.
    pub summary: BTreeMap<String, Spread>,
    pub runs: Vec<Report>,
}

impl Summary {
    pub fn of(runs: Vec<Report>) -> Summary {
        let mut numbers: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for run in &runs {
            // What this program made of numbers and names can be written.
            collect("", &serde_json::to_value(run).unwrap_or_default(), &mut numbers);
        }
        Summary {
            description: runs.first().map(|run| run.description.clone()).unwrap_or_default(),
            summary: numbers.into_iter().map(|(path, values)| (path, Spread::of(values))).collect(),
            runs,
        }
    }

    /// `None` for what no run has.
    pub fn get(&self, path: &str) -> Option<Spread> {
        self.summary.get(path).copied()
    }

    /// Of all runs.
    pub fn doubts(&self) -> Vec<String> {
        self.runs.iter().flat_map(Report::doubts).collect()
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let last = values.len().saturating_sub(1);
        Spread { median: (at(last / 2) + at(values.len() / 2)) / 2.0, min: at(0), max: at(last) }
    }
}

/// Numbers of objects; lists (seconds, steps) are left to the runs.
fn collect(path: &str, value: &Value, numbers: &mut BTreeMap<String, Vec<f64>>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(&path, value, numbers);
            }
        }
        Value::Number(number) => numbers.entry(path.to_owned()).or_default().extend(number.as_f64()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_median_lies_in_the_middle_of_odd_and_even_counts() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(vec![7.0]), Spread { median: 7.0, min: 7.0, max: 7.0 });
    }

    #[test]
    fn numbers_are_found_by_their_path() {
        let mut numbers = BTreeMap::new();
        for us in [1.5, 2.5] {
            let run = json!({ "server": { "us": us, "name": "x" }, "none": null, "list": [1, 2], "window": 3 });
            collect("", &run, &mut numbers);
        }
        assert_eq!(numbers["server.us"], [1.5, 2.5]);
        assert_eq!(numbers.keys().collect::<Vec<_>>(), ["server.us", "window"]);
    }
}
