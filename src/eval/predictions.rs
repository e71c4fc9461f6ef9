//! A model's answers to an evaluation set: logits and the labels they belong to, checked once.
//!
//! Probabilities are the softmax of the logits, `p_k = exp(z_k − logsumexp(z))`, computed in f64 when asked for. The
//! logits themselves stay as the network gave them, so that the predicted class is exactly the network's.

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// Logits and labels of one evaluation set; never empty, all finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    logits: Vec<f32>,
    /// Row by row the largest logit m and `ln Σ exp(logit − m)`, kept apart because their sum would lose digits.
    normalisers: Vec<(f64, f64)>,
    labels: Vec<usize>,
    classes: usize,
}

/// An image whose class was predicted wrongly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistake {
    /// Which image of the evaluation set.
    pub index: usize,
    /// Its class.
    pub label: usize,
    /// The class that was predicted.
    pub predicted: usize,
    /// The probability of the predicted class.
    pub confidence: f64,
}

impl Predictions {
    /// Pairs logits with labels.
    ///
    /// # Shapes
    /// `logits: [N, K] f32` (or half precision), on any device; `labels: N` classes in 0..K
    ///
    /// # Errors
    /// No rows, another count of labels than rows, a label that is no class, a logit that is not finite.
    pub fn new(logits: &Tensor, labels: &[usize]) -> Result<Self> {
        let shape = logits.size();
        let [_, classes] = shape[..] else {
            return Err(Error::Data(format!("evaluation: logits have shape {shape:?}, expected [images, classes]")));
        };
        let logits = logits.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?.f_view(-1)?;
        Self::from_flat(Vec::try_from(&logits)?, labels.to_vec(), classes as usize)
    }

    /// The same from rows of logits laid end to end.
    pub(super) fn from_flat(logits: Vec<f32>, labels: Vec<usize>, classes: usize) -> Result<Self> {
        if labels.is_empty() || classes == 0 {
            return Err(Error::Data("evaluation: the evaluation set has no images, expected at least one".into()));
        }
        if logits.len() != labels.len() * classes {
            let rows = logits.len() / classes;
            return Err(Error::Data(format!("evaluation: {rows} rows of logits for {} labels", labels.len())));
        }
        if let Some((index, label)) = labels.iter().enumerate().find(|(_, label)| **label >= classes) {
            return Err(Error::Data(format!(
                "evaluation: image {index} has class {label}, but the model knows only the {classes} classes 0 to {}",
                classes - 1
            )));
        }
        if let Some(at) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(Error::Model(format!(
                "evaluation: the model's output for image {} is {}, not a finite number; the weights have diverged \
                 (train with a lower --lr) or the precision is too low (try --precision fp32)",
                at / classes,
                logits[at]
            )));
        }
        let normalisers = logits.chunks(classes).map(normaliser).collect();
        Ok(Self { logits, normalisers, labels, classes })
    }

    /// How many images there are.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// How many classes the model knows.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The images' classes.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The logits of image `index`, one per class.
    pub fn logits(&self, index: usize) -> &[f32] {
        &self.logits[index * self.classes..(index + 1) * self.classes]
    }

    /// The probabilities of image `index`, one per class; they sum to 1.
    pub fn probabilities(&self, index: usize) -> impl Iterator<Item = f64> + '_ {
        (0..self.classes).map(move |class| self.log_probability(index, class).exp())
    }

    /// The log-probability, in nats, of `class` for image `index`.
    pub fn log_probability(&self, index: usize, class: usize) -> f64 {
        let (largest, log_sum) = self.normalisers[index];
        f64::from(self.logits(index)[class]) - largest - log_sum
    }

    /// The class with the largest logit; of equals the first.
    pub fn predicted(&self, index: usize) -> usize {
        let row = self.logits(index);
        (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
    }

    /// The probability of the predicted class of image `index`.
    pub fn confidence(&self, index: usize) -> f64 {
        self.log_probability(index, self.predicted(index)).exp()
    }

    /// Whether the predicted class of image `index` is its label.
    pub fn is_correct(&self, index: usize) -> bool {
        self.predicted(index) == self.labels[index]
    }

    /// The same answers with every logit divided by `temperature`: the same classes, more or less confident.
    pub fn at_temperature(&self, temperature: f64) -> Result<Self> {
        let logits = self.logits.iter().map(|&logit| (f64::from(logit) / temperature) as f32).collect();
        Self::from_flat(logits, self.labels.clone(), self.classes)
    }

    /// The `count` wrong answers that were most confident, the worst first; of equals the first image.
    pub fn most_confident_mistakes(&self, count: usize) -> Vec<Mistake> {
        let mut mistakes: Vec<Mistake> = (0..self.len())
            .filter(|&index| !self.is_correct(index))
            .map(|index| Mistake {
                index,
                label: self.labels[index],
                predicted: self.predicted(index),
                confidence: self.confidence(index),
            })
            .collect();
        mistakes.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.index.cmp(&b.index)));
        mistakes.truncate(count);
        mistakes
    }
}

/// The largest logit m of a row, and `ln Σ exp(logit − m)`.
fn normaliser(row: &[f32]) -> (f64, f64) {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    (largest, row.iter().map(|&x| (f64::from(x) - largest).exp()).sum::<f64>().ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Predictions {
        Predictions::from_flat(vec![1.0, 0.0, 0.0, 4.0, 0.0, 2.0], vec![1, 0, 1], 2).unwrap()
    }

    #[test]
    fn probabilities_are_a_softmax_and_survive_huge_logits() {
        let predictions = Predictions::from_flat(vec![1000.0, 1000.0, 0.0], vec![0], 3).unwrap();
        let probabilities: Vec<f64> = predictions.probabilities(0).collect();
        assert!(
            (probabilities[0] - 0.5).abs() < 1e-15 && probabilities[0] == probabilities[1] && probabilities[2] == 0.0
        );
        assert_eq!(predictions.predicted(0), 0);
    }

    #[test]
    fn mistakes_come_most_confident_first() {
        let mistakes = three().most_confident_mistakes(5);
        assert_eq!(mistakes.iter().map(|m| m.index).collect::<Vec<_>>(), [1, 0]);
        assert_eq!((mistakes[0].label, mistakes[0].predicted), (0, 1));
        assert!((mistakes[0].confidence - 1.0 / (1.0 + (-4f64).exp())).abs() < 1e-12);
        assert_eq!(three().most_confident_mistakes(1).len(), 1);
    }

    #[test]
    fn half_precision_tensors_are_read() {
        let logits = Tensor::from_slice2(&[[1.0f32, 2.0], [3.0, 0.0]]).to_kind(Kind::BFloat16).transpose(0, 1);
        let predictions = Predictions::new(&logits, &[0, 1]).unwrap();
        assert_eq!(predictions.logits(0), [1.0, 3.0]);
    }

    #[test]
    fn bad_input_is_named() {
        let message = |logits: &[f32], labels: &[usize], classes: usize| {
            Predictions::from_flat(logits.to_vec(), labels.to_vec(), classes).unwrap_err().to_string()
        };
        assert!(message(&[], &[], 3).contains("no images"));
        assert!(message(&[1.0, 2.0], &[0, 1], 2).contains("1 rows of logits for 2 labels"));
        assert!(message(&[1.0, 2.0], &[2], 2).contains("image 0 has class 2"));
        assert!(message(&[1.0, 2.0, f32::NAN, 0.0], &[0, 0], 2).contains("image 1 is NaN"));
        assert!(Predictions::new(&Tensor::from(1f32), &[0]).unwrap_err().to_string().contains("shape []"));
    }
}
