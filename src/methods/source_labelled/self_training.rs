//! Self-training: the network's own confident predictions on the target as its labels (source labelled, target not).
//!
//! Lee 2013, "Pseudo-label"; with a threshold as in French et al. 2018 and Sohn et al. 2020. It goes out from what the source alone
//! has taught. With p the prediction as in evaluation (nothing dropped) and τ the threshold:
//!
//! L = L_y(source) + λ(p) w · (1/M) Σ over target images with max p_i ≥ τ of CE(z_i, argmax p_i)
//!
//! M counts all of the batch's target images, so that few labels weigh little. τ is `--threshold` (0.9), w is `--trade-off` (1). What
//! a prediction was made of and what learns it are the same view of an image.

use tch::{Kind, Reduction};

use super::adapt::{Adaptation, Setup, Step, Terms, ramp};
use crate::Result;

/// The threshold.
pub(super) struct SelfTraining {
    threshold: f64,
    gamma: f64,
    strength: f64,
}

impl SelfTraining {
    pub(super) fn new(setup: &Setup) -> Self {
        let strengths = setup.strengths;
        Self { threshold: strengths.threshold(0.9), gamma: strengths.ramp, strength: strengths.trade_off(1.0) }
    }
}

impl Adaptation for SelfTraining {
    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let target = step.target()?;
        let guess = tch::no_grad(|| step.network.logits(&target.input, false))?.f_softmax(-1, Kind::Float)?;
        let (confidence, label) = guess.f_max_dim(-1, false)?;
        let counts = confidence.f_ge(self.threshold)?.f_to_kind(Kind::Float)?;
        let each = target.logits.f_cross_entropy_loss(&label, None::<tch::Tensor>, Reduction::None, -100, 0.0)?;
        let loss = each.f_mul(&counts)?.f_mean(Kind::Float)?;
        let loss = loss.f_mul_scalar(self.strength * ramp(step.progress, self.gamma))?;
        let share = counts.f_mean(Kind::Float)?;
        Ok(Terms { losses: vec![("pseudo_labels".into(), loss)], shares: vec![("confident".into(), share)] })
    }
}
