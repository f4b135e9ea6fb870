//! Lines of measurements, as `cargo xtask bench` reads them.

use serde_json::{Value, json};

/// One figure: what was measured, and of what.
#[derive(Clone, Debug)]
pub struct Figure<'a> {
    /// The bench.
    pub bench: &'a str,
    /// What answered or loaded.
    pub variant: &'a str,
    /// `IPv4` or `IPv6`.
    pub family: &'a str,
    /// Entries.
    pub size: usize,
    /// What it was asked for.
    pub workload: &'a str,
}

impl Figure<'_> {
    /// The line of a value; `ratio` is to the verdict table's own in the same run.
    pub fn line(&self, value: f64, unit: &str, ratio: Option<f64>) -> String {
        let mut line = self.head();
        line["value"] = json!((value * 100.0).round() / 100.0);
        line["unit"] = json!(unit);
        if unit == "ns" {
            line["ns"] = line["value"].clone();
        }
        if let Some(ratio) = ratio {
            line["ratio"] = json!((ratio * 100.0).round() / 100.0);
        }
        line.to_string()
    }

    /// The line of a figure that cannot be had here.
    pub fn skipped(&self, reason: &str) -> String {
        let mut line = self.head();
        line["skipped"] = json!(reason);
        line.to_string()
    }

    fn head(&self) -> Value {
        let Self {
            bench,
            variant,
            family,
            size,
            workload,
        } = self;
        json!({
            "bench": bench,
            "case": format!("{family}, {}, {workload}: {variant}", short(*size)),
            "variant": variant,
            "family": family,
            "size": size,
            "workload": workload,
        })
    }
}

/// `10 k`, `1 M`, `565 k`.
pub fn short(size: usize) -> String {
    match size {
        1_000_000.. => format!("{} M", size / 1_000_000),
        1_000.. => format!("{} k", size / 1_000),
        _ => size.to_string(),
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value that so many of a hundred do not exceed.
pub fn percentile(mut values: Vec<f64>, hundredth: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() * hundredth).div_ceil(100);
    values[place.saturating_sub(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occur() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let of = |hundredth| percentile(values.clone(), hundredth).to_string();
        assert_eq!([of(50), of(99), of(100)], ["100", "198", "200"]);
        assert_eq!(percentile(vec![7.0], 99).to_string(), "7");
    }
}
