//! Everything that is measured about a classifier on one set of images, in one value for `result.json` and `--json`.

use serde::{Deserialize, Serialize};

use super::{
    Averages, Calibration, ClassScores, ConfusionMatrix, Metric, Predictions, Temperature, Unit, accuracy, brier_score,
    negative_log_likelihood, top_k_accuracy,
};
use crate::{Error, Result};

/// The scores of one class, with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// The class.
    pub name: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: ClassScores,
}

/// What is measured on one set of images; definitions in [`super`]'s files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Images evaluated.
    pub images: usize,
    /// Share predicted rightly.
    pub accuracy: f64,
    /// Share whose class is among the five most probable; absent where there are five classes or fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5_accuracy: Option<f64>,
    /// Mean recall of the classes that occur.
    pub mean_per_class_accuracy: f64,
    /// Mean log-loss, in nats.
    pub negative_log_likelihood: f64,
    /// Mean squared error of the probabilities, in 0..2.
    pub brier_score: f64,
    /// Confidence against accuracy.
    pub calibration: Calibration,
    /// The fitted temperature, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Temperature>,
    /// Averages in which every class counts the same.
    pub macro_average: Averages,
    /// Averages in which every image counts the same.
    pub weighted_average: Averages,
    /// Scores by class, in the order of the classes.
    pub classes: Vec<ClassReport>,
    /// Images by class (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
}

impl Evaluation {
    /// Measures everything except the temperature, which costs a fit and is set by [`with_temperature`](Self::with_temperature).
    ///
    /// # Errors
    /// Another count of names than the model has classes.
    pub fn of(predictions: &Predictions, names: &[String]) -> Result<Self> {
        if names.len() != predictions.classes() {
            return Err(Error::Model(format!(
                "evaluation: the model knows {} classes, but {} class names are given",
                predictions.classes(),
                names.len()
            )));
        }
        let matrix = ConfusionMatrix::of(predictions);
        let named = |(name, scores): (&String, ClassScores)| ClassReport { name: name.clone(), scores };
        Ok(Self {
            images: predictions.len(),
            accuracy: accuracy(predictions),
            top5_accuracy: (predictions.classes() > 5).then(|| top_k_accuracy(predictions, 5)),
            mean_per_class_accuracy: matrix.mean_per_class_accuracy(),
            negative_log_likelihood: negative_log_likelihood(predictions),
            brier_score: brier_score(predictions),
            calibration: Calibration::of(predictions),
            temperature: None,
            macro_average: matrix.macro_average(),
            weighted_average: matrix.weighted_average(),
            classes: names.iter().zip(matrix.per_class()).map(named).collect(),
            confusion: matrix.counts().to_vec(),
        })
    }

    /// The same with a temperature fitted to `predictions`; see [`Temperature`] for what its "after" is worth.
    ///
    /// # Errors
    /// As [`Temperature::fit`].
    pub fn with_temperature(self, predictions: &Predictions) -> Result<Self> {
        Ok(Self { temperature: Some(Temperature::fit(predictions)?), ..self })
    }

    /// The names of the classes of which no image was evaluated.
    pub fn absent_classes(&self) -> Vec<&str> {
        self.classes.iter().filter(|class| class.scores.support == 0).map(|class| class.name.as_str()).collect()
    }

    /// The single numbers, with unit and direction, accuracy first.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![Metric::higher("accuracy", self.accuracy, Unit::Fraction)];
        metrics.extend(self.top5_accuracy.map(|value| Metric::higher("top5_accuracy", value, Unit::Fraction)));
        metrics.extend([
            Metric::higher("mean_per_class_accuracy", self.mean_per_class_accuracy, Unit::Fraction),
            Metric::higher("macro_f1", self.macro_average.f1, Unit::Fraction),
            Metric::higher("weighted_f1", self.weighted_average.f1, Unit::Fraction),
            Metric::lower("negative_log_likelihood", self.negative_log_likelihood, Unit::Nats),
            Metric::lower("brier_score", self.brier_score, Unit::Plain),
            Metric::lower("expected_calibration_error", self.calibration.expected_error, Unit::Fraction),
        ]);
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::classification::tests::golden;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("class {class}")).collect()
    }

    #[test]
    fn survives_a_round_trip_through_json() {
        for (predictions, _) in golden() {
            let evaluation = Evaluation::of(&predictions, &names(predictions.classes())).unwrap();
            let evaluation = evaluation.with_temperature(&predictions).unwrap();
            let text = serde_json::to_string(&evaluation).unwrap();
            assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), evaluation);
        }
    }

    #[test]
    fn absent_classes_are_named_and_do_not_count() {
        let predictions = Predictions::from_flat(vec![3.0, 0.0, 0.0, 2.0, 0.0, 0.0], vec![0, 0], 3).unwrap();
        let evaluation = Evaluation::of(&predictions, &names(3)).unwrap();
        assert_eq!(evaluation.absent_classes(), ["class 1", "class 2"]);
        assert_eq!(evaluation.mean_per_class_accuracy, 1.0);
        assert_eq!(evaluation.macro_average.f1, 1.0);
        assert_eq!(evaluation.top5_accuracy, None);
    }

    #[test]
    fn a_wrong_count_of_names_is_an_error() {
        let predictions = Predictions::from_flat(vec![3.0, 0.0], vec![0], 2).unwrap();
        let message = Evaluation::of(&predictions, &names(3)).unwrap_err().to_string();
        assert_eq!(message, "evaluation: the model knows 2 classes, but 3 class names are given");
    }
}
