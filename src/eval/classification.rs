//! How often and where a classifier is right.
//!
//! With `n_kj` images of class k predicted as j, `N` in all, and every `0/0` counted as 0 (scikit-learn's
//! `zero_division=0`):
//!
//! | name | definition |
//! |---|---|
//! | accuracy | Σ n_kk / N |
//! | top-k accuracy | share of images whose class is among the k largest logits |
//! | precision of k | n_kk / Σ_j n_jk |
//! | recall of k | n_kk / Σ_j n_kj, also called the accuracy of the class |
//! | F1 of k | 2 · precision · recall / (precision + recall) = 2 n_kk / (Σ_j n_kj + Σ_j n_jk) |
//! | support of k | Σ_j n_kj |
//! | mean per-class accuracy | mean recall over the classes with support, also called balanced accuracy |
//! | macro average | mean over the classes that have support or were predicted |
//! | weighted average | mean weighted by support |
//! | negative log-likelihood | −mean ln p(label), in nats |
//!
//! Classes that occur neither among the labels nor among the predictions say nothing and are left out of the macro
//! average, as scikit-learn does when it is not told the classes.
//!
//! Source: scikit-learn's `precision_recall_fscore_support`, `balanced_accuracy_score`, `log_loss`.

use serde::{Deserialize, Serialize};

use super::Predictions;

/// Share of images whose predicted class is their label.
pub fn accuracy(predictions: &Predictions) -> f64 {
    let correct = (0..predictions.len()).filter(|&index| predictions.is_correct(index)).count();
    correct as f64 / predictions.len() as f64
}

/// Share of images whose label is among the `k` largest logits; of equal logits the lower class ranks first.
pub fn top_k_accuracy(predictions: &Predictions, k: usize) -> f64 {
    let hit = |index: usize| {
        let (row, label) = (predictions.logits(index), predictions.labels()[index]);
        let before =
            row.iter().enumerate().filter(|&(class, &z)| z > row[label] || (z == row[label] && class < label)).count();
        before < k
    };
    (0..predictions.len()).filter(|&index| hit(index)).count() as f64 / predictions.len() as f64
}

/// −mean ln p(label), in nats: the cross-entropy without label smoothing.
pub fn negative_log_likelihood(predictions: &Predictions) -> f64 {
    let total: f64 =
        predictions.labels().iter().enumerate().map(|(index, &label)| predictions.log_probability(index, label)).sum();
    -total / predictions.len() as f64
}

/// Counts of images by class (row) and predicted class (column).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    counts: Vec<Vec<u64>>,
}

/// Scores of one class; `0/0` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Of the images predicted as this class, the share that is of it.
    pub precision: f64,
    /// Of the images of this class, the share that was predicted as it.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Images of this class.
    pub support: u64,
    /// Images predicted as this class.
    pub predicted: u64,
}

/// Precision, recall and F1, averaged over classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Averages {
    /// Mean precision.
    pub precision: f64,
    /// Mean recall.
    pub recall: f64,
    /// Mean F1.
    pub f1: f64,
}

fn ratio(numerator: u64, denominator: u64) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}

impl ConfusionMatrix {
    /// Counts the answers.
    pub fn of(predictions: &Predictions) -> Self {
        let mut counts = vec![vec![0; predictions.classes()]; predictions.classes()];
        for (index, &label) in predictions.labels().iter().enumerate() {
            counts[label][predictions.predicted(index)] += 1;
        }
        Self { counts }
    }

    /// One row per class, one column per predicted class.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// The scores of each class, in the order of the classes.
    pub fn per_class(&self) -> Vec<ClassScores> {
        (0..self.counts.len())
            .map(|class| {
                let hits = self.counts[class][class];
                let support: u64 = self.counts[class].iter().sum();
                let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
                ClassScores {
                    precision: ratio(hits, predicted),
                    recall: ratio(hits, support),
                    f1: ratio(2 * hits, support + predicted),
                    support,
                    predicted,
                }
            })
            .collect()
    }

    /// Mean recall over the classes that occur among the labels.
    pub fn mean_per_class_accuracy(&self) -> f64 {
        let present: Vec<_> = self.per_class().into_iter().filter(|class| class.support > 0).collect();
        Averages::weighted_by(&present, |_| 1.0).recall
    }

    /// Means over the classes that occur among the labels or the predictions, each class counting the same.
    pub fn macro_average(&self) -> Averages {
        Averages::weighted_by(&self.per_class(), |class| f64::from(class.support + class.predicted > 0))
    }

    /// Means over the classes, each counting as often as it occurs among the labels.
    pub fn weighted_average(&self) -> Averages {
        Averages::weighted_by(&self.per_class(), |class| class.support as f64)
    }
}

impl Averages {
    fn weighted_by(classes: &[ClassScores], weight: impl Fn(&ClassScores) -> f64) -> Self {
        let total: f64 = classes.iter().map(&weight).sum();
        let mean = |score: fn(&ClassScores) -> f64| {
            let sum: f64 = classes.iter().map(|class| weight(class) * score(class)).sum();
            if total == 0.0 { 0.0 } else { sum / total }
        };
        Self { precision: mean(|c| c.precision), recall: mean(|c| c.recall), f1: mean(|c| c.f1) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What `tests/golden/metrics/generate.py` wrote: cases with logits, labels and scikit-learn's answers.
    pub(crate) fn golden() -> Vec<(Predictions, serde_json::Value)> {
        let data: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/metrics/data.json")).expect("golden data");
        data["cases"].as_array().expect("cases").iter().map(|case| (read(case), case["expected"].clone())).collect()
    }

    fn read(case: &serde_json::Value) -> Predictions {
        let rows: Vec<Vec<f32>> = serde_json::from_value(case["logits"].clone()).expect("logits");
        let labels = serde_json::from_value(case["labels"].clone()).expect("labels");
        Predictions::from_flat(rows.concat(), labels, rows[0].len()).expect("valid")
    }

    pub(crate) fn close(ours: f64, expected: &serde_json::Value, what: &str) {
        let expected = expected.as_f64().unwrap_or_else(|| panic!("{what} is not in the golden data"));
        assert!((ours - expected).abs() < 1e-9, "{what}: {ours}, expected {expected}");
    }

    #[test]
    fn agrees_with_scikit_learn() {
        let cases = golden();
        assert_eq!(cases.len(), 4);
        for (predictions, expected) in cases {
            let matrix = ConfusionMatrix::of(&predictions);
            close(accuracy(&predictions), &expected["accuracy"], "accuracy");
            close(top_k_accuracy(&predictions, 5), &expected["top5_accuracy"], "top-5");
            close(negative_log_likelihood(&predictions), &expected["negative_log_likelihood"], "NLL");
            close(matrix.mean_per_class_accuracy(), &expected["mean_per_class_accuracy"], "mean per class");
            assert_eq!(serde_json::json!(matrix.counts()), expected["confusion"]);
            for (class, ours) in matrix.per_class().iter().enumerate() {
                close(ours.precision, &expected["precision"][class], "precision");
                close(ours.recall, &expected["recall"][class], "recall");
                close(ours.f1, &expected["f1"][class], "F1");
                assert_eq!(serde_json::json!(ours.support), expected["support"][class]);
            }
            for (ours, name) in [(matrix.macro_average(), "macro"), (matrix.weighted_average(), "weighted")] {
                close(ours.precision, &expected[name][0], name);
                close(ours.recall, &expected[name][1], name);
                close(ours.f1, &expected[name][2], name);
            }
        }
    }

    #[test]
    fn equal_logits_rank_in_class_order() {
        let predictions = Predictions::from_flat(vec![1.0, 1.0, 1.0], vec![1], 3).unwrap();
        assert_eq!(top_k_accuracy(&predictions, 1), accuracy(&predictions));
        assert_eq!(top_k_accuracy(&predictions, 2), 1.0);
    }
}
