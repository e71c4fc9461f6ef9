//! A metric: a number that knows its unit and which way is better, so that tables, best-epoch rules and plots need not guess.

use serde::{Deserialize, Serialize};

/// What a metric's value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share of a whole, in 0..1, shown in percent.
    Fraction,
    /// Information, to base e.
    Nats,
    /// Seconds.
    Seconds,
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Things per second.
    PerSecond,
    /// A number without a unit.
    Plain,
}

/// One measured number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name in `result.json`, as in `accuracy`.
    pub name: String,
    /// The number, in `unit`.
    pub value: f64,
    /// What the number counts.
    pub unit: Unit,
    /// Whether more is better.
    pub higher_is_better: bool,
}

impl Metric {
    /// A metric of which more is better.
    pub fn higher(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { name: name.into(), value, unit, higher_is_better: true }
    }

    /// A metric of which less is better.
    pub fn lower(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { name: name.into(), value, unit, higher_is_better: false }
    }

    /// Whether `self` is strictly better than `other`. A value that is not a number is never better, and anything else
    /// is better than it.
    pub fn better_than(&self, other: &Self) -> bool {
        if self.value.is_nan() || other.value.is_nan() {
            return !self.value.is_nan();
        }
        if self.higher_is_better { self.value > other.value } else { self.value < other.value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direction_decides_what_is_better() {
        let accuracy = |value| Metric::higher("accuracy", value, Unit::Fraction);
        let loss = |value| Metric::lower("loss", value, Unit::Nats);
        assert!(accuracy(0.9).better_than(&accuracy(0.8)));
        assert!(!accuracy(0.9).better_than(&accuracy(0.9)));
        assert!(loss(0.1).better_than(&loss(0.2)));
        assert!(loss(0.1).better_than(&loss(f64::NAN)));
        assert!(!loss(f64::NAN).better_than(&loss(0.1)));
        assert!(!loss(f64::NAN).better_than(&loss(f64::NAN)));
    }
}
