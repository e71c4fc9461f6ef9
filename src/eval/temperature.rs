//! Temperature scaling: one number that makes confidences honest without changing a single predicted class.
//!
//! Logits z become z / T, with the T that minimises the negative log-likelihood. In β = 1/T that is
//!
//! * L(β) = mean[ logsumexp(β z) − β z_label ],
//! * L′(β) = mean[ E_p\[z\] − z_label ],  L″(β) = mean[ Var_p\[z\] ] ≥ 0,  p = softmax(β z),
//!
//! so L is convex and L′ has one sign change at most: Newton's method, kept inside a shrinking bracket, always ends there.
//!
//! Source: Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, section 4.2. The paper fits T on the validation
//! set and reports the error on a test set. An error "after" that is measured on the images T was fitted on is optimistic.
//! The paper uses L-BFGS; the optimum is the same. T is kept in 0.01..100: where every image is right, no finite T is best.

use serde::{Deserialize, Serialize};

use super::{Calibration, Predictions, negative_log_likelihood};
use crate::Result;

/// The range in which the temperature is sought.
const RANGE: (f64, f64) = (0.01, 100.0);

/// A fitted temperature, and what it did to the predictions that it was fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// What logits are divided by; above 1 where the model is too confident.
    pub value: f64,
    /// Whether the best value lies outside 0.01..100, so that `value` is the end of that range.
    pub at_bound: bool,
    /// Expected calibration error at temperature 1.
    pub ece_before: f64,
    /// Expected calibration error at `value`.
    pub ece_after: f64,
    /// Negative log-likelihood at temperature 1, in nats.
    pub nll_before: f64,
    /// Negative log-likelihood at `value`, in nats.
    pub nll_after: f64,
}

impl Temperature {
    /// Fits the temperature to `predictions`.
    ///
    /// # Errors
    /// Logits so large that they overflow when scaled.
    pub fn fit(predictions: &Predictions) -> Result<Self> {
        let (value, at_bound) = minimise(predictions);
        let scaled = predictions.at_temperature(value)?;
        Ok(Self {
            value,
            at_bound,
            ece_before: Calibration::of(predictions).expected_error,
            ece_after: Calibration::of(&scaled).expected_error,
            nll_before: negative_log_likelihood(predictions),
            nll_after: negative_log_likelihood(&scaled),
        })
    }
}

/// L′ and L″ at `beta`.
fn derivatives(predictions: &Predictions, beta: f64) -> (f64, f64) {
    let (mut first, mut second) = (0.0, 0.0);
    for (index, &label) in predictions.labels().iter().enumerate() {
        let row = predictions.logits(index);
        let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        // relative to the largest logit nothing overflows, and neither derivative changes
        let (mut sum, mut mean, mut square) = (0.0, 0.0, 0.0);
        for &logit in row {
            let z = f64::from(logit) - largest;
            let weight = (beta * z).exp();
            sum += weight;
            mean += weight * z;
            square += weight * z * z;
        }
        mean /= sum;
        first += mean - (f64::from(row[label]) - largest);
        second += square / sum - mean * mean;
    }
    let count = predictions.len() as f64;
    (first / count, second / count)
}

/// The best temperature, and whether it is an end of the range.
fn minimise(predictions: &Predictions) -> (f64, bool) {
    let (mut low, mut high) = (1.0 / RANGE.1, 1.0 / RANGE.0);
    let mut beta = 1.0;
    let (slope, curvature) = derivatives(predictions, beta);
    if slope == 0.0 && curvature == 0.0 {
        return (1.0, false); // every image has equal logits: any temperature is as good
    }
    if derivatives(predictions, low).0 >= 0.0 {
        return (RANGE.1, true);
    }
    if derivatives(predictions, high).0 <= 0.0 {
        return (RANGE.0, true);
    }
    for _ in 0..200 {
        let (slope, curvature) = derivatives(predictions, beta);
        if slope > 0.0 {
            high = beta;
        } else {
            low = beta;
        }
        let newton = beta - slope / curvature;
        // also when the curvature is 0 and the step infinite or no number
        let next = if newton > low && newton < high { newton } else { (low * high).sqrt() };
        if (next - beta).abs() <= 1e-12 * beta {
            break;
        }
        beta = next;
    }
    (1.0 / beta, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::classification::tests::golden;

    #[test]
    fn agrees_with_scipy() {
        for (predictions, expected) in golden() {
            let fitted = Temperature::fit(&predictions).unwrap();
            let best = expected["temperature"].as_f64().unwrap();
            assert!((fitted.value / best - 1.0).abs() < 1e-5, "{} for {best}", fitted.value);
            assert!(fitted.nll_after <= fitted.nll_before);
            assert!(!fitted.at_bound);
        }
    }

    #[test]
    fn scaling_the_logits_scales_the_temperature() {
        let (predictions, _) = golden().remove(0);
        let once = Temperature::fit(&predictions).unwrap();
        for factor in [0.05, 20.0] {
            let scaled = Temperature::fit(&predictions.at_temperature(1.0 / factor).unwrap()).unwrap();
            assert!((scaled.value / (once.value * factor) - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn ends_of_the_range_are_said_to_be_such() {
        let fit = |logits: &[f32], labels: &[usize]| {
            Temperature::fit(&Predictions::from_flat(logits.to_vec(), labels.to_vec(), 2).unwrap()).unwrap()
        };
        let all_right = fit(&[1.0, 0.0, 0.0, 1.0], &[0, 1]);
        assert_eq!((all_right.value, all_right.at_bound), (0.01, true));
        let all_wrong = fit(&[1.0, 0.0, 0.0, 1.0], &[1, 0]);
        assert_eq!((all_wrong.value, all_wrong.at_bound), (100.0, true));
        let indifferent = fit(&[1.0, 1.0], &[0]);
        assert_eq!((indifferent.value, indifferent.at_bound), (1.0, false));
    }
}
