//! Softmax cross-entropy with label smoothing and class weights, for hard and for soft targets.
//!
//! ℓ = −Σₖ wₖ qₖ log p̂ₖ, where q is the target distribution. For hard labels y, q = (1 − ε)·onehot(y) + ε/K
//! (Szegedy et al. 2016, section 7), and the mean is weighted by w_y, as in PyTorch's `CrossEntropyLoss`; soft targets
//! (mixup, CutMix) are averaged over the batch, as there.

use tch::{Device, Kind, Reduction, Tensor};

use crate::Result;

/// The loss of a classifier.
#[derive(Debug)]
pub struct CrossEntropy {
    weights: Option<Tensor>,
    smoothing: f64,
}

impl CrossEntropy {
    /// With a weight per class, or all alike, and a smoothing ε in 0..1.
    pub fn new(weights: Option<&[f32]>, smoothing: f64, device: Device) -> Self {
        Self { weights: weights.map(|weights| Tensor::from_slice(weights).to_device(device)), smoothing }
    }

    /// The loss for hard labels.
    ///
    /// # Shapes
    /// `logits: [N, K]`, `labels: [N] i64` → `[]`
    ///
    /// # Errors
    /// A label outside of 0..K.
    pub fn hard(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let logits = logits.f_to_kind(Kind::Float)?;
        Ok(logits.f_cross_entropy_loss(labels, self.weights.as_ref(), Reduction::Mean, -100, self.smoothing)?)
    }

    /// The loss for target distributions, which carry their smoothing already.
    ///
    /// # Shapes
    /// `logits: [N, K]`, `targets: [N, K]` f32 → `[]`
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn soft(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let logits = logits.f_to_kind(Kind::Float)?;
        Ok(logits.f_cross_entropy_loss(targets, self.weights.as_ref(), Reduction::Mean, -100, 0.0)?)
    }

    /// The smoothing ε, for who makes soft targets.
    pub fn smoothing(&self) -> f64 {
        self.smoothing
    }
}

/// Weights that make every class count the same, with mean 1 over the images: N / (K · nₖ).
pub fn balancing_weights(counts: &[usize]) -> Vec<f32> {
    let total: usize = counts.iter().sum();
    counts.iter().map(|&count| total as f32 / (counts.len() * count.max(1)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_labels_with_smoothing_and_weights_equal_the_formula() -> Result<()> {
        let logits = Tensor::from_slice2(&[[1f32, 2.0, 0.5], [0.0, -1.0, 3.0]]);
        let labels = Tensor::from_slice(&[1i64, 2]);
        let (weights, smoothing) = ([0.5f64, 2.0, 1.0], 0.1);
        let loss =
            CrossEntropy::new(Some(&weights.map(|w| w as f32)), smoothing, Device::Cpu).hard(&logits, &labels)?;
        let rows = [([1f64, 2.0, 0.5], 1), ([0.0, -1.0, 3.0], 2)];
        let (mut sum, mut mass) = (0.0, 0.0);
        for (row, label) in rows {
            let log_total = row.iter().map(|x| x.exp()).sum::<f64>().ln();
            for class in 0..3 {
                let target = smoothing / 3.0 + if class == label { 1.0 - smoothing } else { 0.0 };
                sum -= weights[class] * target * (row[class] - log_total);
            }
            mass += weights[label];
        }
        assert!((f64::try_from(loss)? - sum / mass).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn soft_targets_that_are_one_hot_give_the_hard_loss() -> Result<()> {
        let logits = Tensor::from_slice2(&[[1f32, 2.0], [0.0, -1.0]]);
        let labels = Tensor::from_slice(&[1i64, 0]);
        let loss = CrossEntropy::new(None, 0.0, Device::Cpu);
        let targets = labels.one_hot(2).to_kind(Kind::Float);
        let difference = loss.hard(&logits, &labels)? - loss.soft(&logits, &targets)?;
        assert!(f64::try_from(difference)?.abs() < 1e-7);
        Ok(())
    }

    #[test]
    fn balancing_weights_have_mean_one_over_the_images() {
        let weights = balancing_weights(&[30, 10]);
        assert!((weights[0] * 30.0 + weights[1] * 10.0 - 40.0).abs() < 1e-4);
        assert!((weights[1] / weights[0] - 3.0).abs() < 1e-6);
    }
}
