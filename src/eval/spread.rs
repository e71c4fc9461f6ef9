//! A number that was measured with several seeds.

use serde::Serialize;

/// A number over seeds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation; 0 of a single number.
    pub std: f64,
    /// The numbers, in the order of the seeds.
    pub values: Vec<f64>,
}

impl Spread {
    /// The spread of these numbers.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self { mean, std: variance.sqrt(), values }
    }

    /// Takes in another seed's number.
    pub fn add(&mut self, value: f64) {
        self.values.push(value);
        *self = Self::of(std::mem::take(&mut self.values));
    }

    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What this is above `other`, seed by seed.
    pub fn above(&self, other: &Self) -> Self {
        Self::of(self.values.iter().zip(&other.values).map(|(own, other)| own - other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_deviation_is_the_samples() {
        let mut spread = Spread::of([1.0, 2.0]);
        spread.add(3.0);
        assert_eq!(spread, Spread { mean: 2.0, std: 1.0, values: vec![1.0, 2.0, 3.0] });
        assert_eq!((Spread::of([5.0]).std, Spread::of([]).mean), (0.0, 0.0));
        // 1, 1 and 1: what differs between seeds is not a difference between methods
        assert_eq!(spread.above(&Spread::of([0.0, 1.0, 2.0])), Spread::of([1.0; 3]));
    }
}
