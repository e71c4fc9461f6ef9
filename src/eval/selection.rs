//! Which epoch is the best where the target has no labels: scores that ask none.
//!
//! With p_i the softmax of image i's logits, of N images of the target and K classes:
//!
//! | score | | higher means | source |
//! |---|---|---|---|
//! | InfoMax | H(mean_i p_i) − mean_i H(p_i) | sure of every image, and of different ones | Shi & Sha 2012, as a validator Musgrave et al. 2021 |
//! | SND | mean_i H(softmax_{j≠i} cos(p_i, p_j) / τ), τ = 0.05 | neighbours are near in dense groups | Saito et al. 2021, eq. 3 to 5 |
//! | entropy | −mean_i H(p_i) | sure of every image, maybe of the same class for all | Morerio et al. 2018 |
//! | source | accuracy on the source's validation images | the source is known well, whatever becomes of the target | |
//!
//! H is the entropy in nats. None of them knows how good the target's predictions are, and each can be deceived: a network that
//! is sure of random groups has the best InfoMax there is.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{Metric, Unit};
use crate::{Error, Result};

/// What chooses the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Mutual information between images and predictions on the target.
    InfoMax,
    /// Soft neighbourhood density on the target.
    Snd,
    /// Certainty on the target, which may be of one class for all.
    Entropy,
    /// Accuracy on the source's validation images.
    Source,
}

/// What can be said of predictions without labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unsupervised {
    /// In nats, between 0 and ln K.
    pub info_max: f64,
    /// In nats, at most ln(N − 1).
    pub density: f64,
    /// Mean entropy of a prediction, in nats.
    pub entropy: f64,
}

/// Divides cosines in the soft neighbourhood density.
const TEMPERATURE: f64 = 0.05;

impl Unsupervised {
    /// The scores of these logits.
    ///
    /// # Shapes
    /// `logits: [N, K]`, N ≥ 2
    ///
    /// # Errors
    /// Fewer than two images, or what libtorch refuses.
    pub fn of(logits: &Tensor) -> Result<Self> {
        let (images, _) = logits.size2()?;
        if images < 2 {
            return Err(Error::Data("scores without labels need at least two images of the target".into()));
        }
        let p = logits.detach().f_to_kind(Kind::Double)?.f_softmax(-1, Kind::Double)?;
        let entropy = f64::try_from(entropies(&p)?.f_mean(Kind::Double)?)?;
        let mean = p.f_mean_dim(0, false, Kind::Double)?;
        let info_max = f64::try_from(entropies(&mean)?)? - entropy;
        let unit = p.f_div(&p.f_norm_scalaropt_dim(2, [1i64], true)?.f_clamp_min(1e-12)?)?;
        let cosines = unit.f_matmul(&unit.f_tr()?)?.f_div_scalar(TEMPERATURE)?;
        // an image is no neighbour of its own
        let own = Tensor::f_eye(images, (Kind::Double, p.device()))?.f_to_kind(Kind::Bool)?;
        let near = cosines.f_masked_fill(&own, f64::NEG_INFINITY)?.f_softmax(-1, Kind::Double)?;
        let density = f64::try_from(entropies(&near)?.f_mean(Kind::Double)?)?;
        Ok(Self { info_max, density, entropy })
    }

    /// What chooses by this `selection`, where the source's validation images have that accuracy.
    pub fn score(&self, selection: Selection, source_accuracy: f64) -> f64 {
        match selection {
            Selection::InfoMax => self.info_max,
            Selection::Snd => self.density,
            Selection::Entropy => -self.entropy,
            Selection::Source => source_accuracy,
        }
    }

    /// By name, under `target/`.
    pub fn metrics(&self) -> [Metric; 3] {
        [
            Metric::higher("target/info_max", self.info_max, Unit::Nats),
            Metric::higher("target/neighbourhood_density", self.density, Unit::Nats),
            Metric::lower("target/entropy", self.entropy, Unit::Nats),
        ]
    }
}

/// −Σ p ln p over the last axis, where 0 ln 0 is 0.
fn entropies(p: &Tensor) -> Result<Tensor> {
    let terms = p.f_mul(&p.f_clamp_min(f64::MIN_POSITIVE)?.f_log()?)?;
    Ok(terms.f_sum_dim_intlist(-1, false, Kind::Double)?.f_neg()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Certain of a class for each image.
    fn certain(classes: &[i64]) -> Tensor {
        Tensor::from_slice(classes).one_hot(3).to_kind(Kind::Float) * 200.0
    }

    #[test]
    fn info_max_is_high_for_certain_and_varied_predictions_only() -> Result<()> {
        let varied = Unsupervised::of(&certain(&[0, 1, 2, 0, 1, 2]))?;
        assert!((varied.info_max - 3f64.ln()).abs() < 1e-9 && varied.entropy < 1e-9);
        let one = Unsupervised::of(&certain(&[1; 6]))?;
        assert!(one.info_max.abs() < 1e-9 && one.entropy < 1e-9);
        let unsure = Unsupervised::of(&(certain(&[0, 1, 2, 0, 1, 2]) * 0.0))?;
        assert!(unsure.info_max.abs() < 1e-9 && (unsure.entropy - 3f64.ln()).abs() < 1e-9);
        assert!(varied.score(Selection::Entropy, 0.0) > unsure.score(Selection::Entropy, 1.0));
        assert_eq!(varied.score(Selection::Source, 0.25), 0.25);
        Ok(())
    }

    #[test]
    fn density_is_the_entropy_over_neighbours() -> Result<()> {
        // two groups of 3 and 2: every image has 2 or 1 neighbours at cosine 1, and the others at 0
        let found = Unsupervised::of(&certain(&[0, 0, 0, 1, 1]))?.density;
        let group = |near: f64, far: f64| {
            let weight = (1.0 / TEMPERATURE).exp();
            let sum = near * weight + far;
            -(near * weight / sum * (weight / sum).ln() + far / sum * (1.0 / sum).ln())
        };
        let expected = (3.0 * group(2.0, 2.0) + 2.0 * group(1.0, 3.0)) / 5.0;
        assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
        assert!(Unsupervised::of(&certain(&[0])).is_err());
        Ok(())
    }
}
