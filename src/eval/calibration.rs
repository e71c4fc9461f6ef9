//! Whether a confidence of 0.8 is right eight times in ten.
//!
//! The confidences (probability of the predicted class) are sorted into M bins of equal width, ((m−1)/M, m/M]:
//!
//! * expected calibration error: ECE = Σ_m |B_m|/N · |accuracy(B_m) − confidence(B_m)|, with M = 15 here as in the paper;
//! * maximum calibration error: the largest of those gaps over the bins that are not empty;
//! * Brier score: mean over images of Σ_k (p_k − \[k is the label\])², in 0..2.
//!
//! Sources: Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, equations 2, 3 and 5; Brier, *Verification of
//! Forecasts Expressed in Terms of Probability*, 1950.

use serde::{Deserialize, Serialize};

use super::Predictions;

/// Bins of the paper.
const BINS: usize = 15;

/// The images whose confidence lies in one range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Confidences in the bin are above this.
    pub from: f64,
    /// Confidences in the bin are at most this.
    pub to: f64,
    /// Images in the bin.
    pub count: u64,
    /// Their mean confidence; 0 for an empty bin.
    pub confidence: f64,
    /// Share of them that is predicted rightly; 0 for an empty bin.
    pub accuracy: f64,
}

/// How well confidences fit the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Mean gap between confidence and accuracy, in 0..1.
    pub expected_error: f64,
    /// Largest gap of a bin, in 0..1.
    pub maximum_error: f64,
    /// The bins, from low to high confidence.
    pub bins: Vec<ReliabilityBin>,
}

impl Calibration {
    /// Sorts the answers into 15 bins.
    pub fn of(predictions: &Predictions) -> Self {
        let mut sums = [(0u64, 0.0, 0u64); BINS];
        for index in 0..predictions.len() {
            let confidence = predictions.confidence(index);
            // ceil puts a confidence that equals an edge into the bin below it
            let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            sums[bin].0 += 1;
            sums[bin].1 += confidence;
            sums[bin].2 += u64::from(predictions.is_correct(index));
        }
        let edge = |bin: usize| bin as f64 / BINS as f64;
        let mean = |sum: f64, count: u64| if count == 0 { 0.0 } else { sum / count as f64 };
        let bins: Vec<_> = sums
            .iter()
            .enumerate()
            .map(|(bin, &(count, confidence, correct))| ReliabilityBin {
                from: edge(bin),
                to: edge(bin + 1),
                count,
                confidence: mean(confidence, count),
                accuracy: mean(correct as f64, count),
            })
            .collect();
        let gap = |bin: &ReliabilityBin| (bin.accuracy - bin.confidence).abs();
        Self {
            expected_error: bins.iter().map(|bin| bin.count as f64 * gap(bin)).sum::<f64>() / predictions.len() as f64,
            maximum_error: bins.iter().map(gap).fold(0.0, f64::max),
            bins,
        }
    }
}

/// Mean squared distance between the probabilities and the truth, in 0..2.
pub fn brier_score(predictions: &Predictions) -> f64 {
    let of_one = |index: usize| -> f64 {
        let label = predictions.labels()[index];
        predictions.probabilities(index).enumerate().map(|(class, p)| (p - f64::from(class == label)).powi(2)).sum()
    };
    (0..predictions.len()).map(of_one).sum::<f64>() / predictions.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::classification::tests::{close, golden};

    #[test]
    fn agrees_with_numpy() {
        for (predictions, expected) in golden() {
            let calibration = Calibration::of(&predictions);
            close(calibration.expected_error, &expected["ece"], "ECE");
            close(calibration.maximum_error, &expected["mce"], "MCE");
            close(brier_score(&predictions), &expected["brier"], "Brier");
            let counts: Vec<u64> = calibration.bins.iter().map(|bin| bin.count).collect();
            assert_eq!(serde_json::json!(counts), expected["bin_counts"]);
        }
    }

    #[test]
    fn certainty_falls_into_the_last_bin() {
        let predictions = Predictions::from_flat(vec![900.0, 0.0, 900.0, 0.0], vec![0, 1], 2).unwrap();
        let calibration = Calibration::of(&predictions);
        assert_eq!(calibration.bins[14].count, 2);
        assert_eq!(calibration.expected_error, 0.5);
        assert_eq!(brier_score(&predictions), 1.0);
    }
}
