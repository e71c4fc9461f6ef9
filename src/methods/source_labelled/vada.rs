//! VADA: domain-adversarial training whose predictions are certain and smooth (source labelled, target not).
//!
//! Shu et al. 2018, "A DIRT-T approach to unsupervised domain adaptation", equations 3 to 8. Classes should lie in clusters with
//! nothing between them, so a decision boundary must not cross where target images are many:
//!
//! L = L_y(source) + λ_d L_d + λ_s L_v(source) + λ_t [ L_v(target) + mean H(p(target)) ]
//!
//! with L_d of [DANN](super::dann) (its reversed gradient times λ_d), H the [entropy](crate::loss::entropy) and L_v
//! [virtual adversarial training](crate::loss::virtual_adversarial) with radius ε.
//!
//! | | paper | here |
//! |---|---|---|
//! | λ_d | 0.01 | `--trade-off` 0.01 |
//! | λ_s, λ_t | 0 or 1, 0.01 or 0.1 | `--smooth-source` 0, `--certain` 0.01 |
//! | ε | 3.5 for pixels in −1..1 | `--radius` 7, for pixels about twice as wide |
//!
//! Differences from the paper: one domain classifier step per step, by reversal, instead of two that alternate; λ_d rises as DANN's does;
//! no instance norm of the input. The paper's λ_d is for Adam, which makes little of a gradient's size: with plain SGD it hardly
//! moves the features, and `--trade-off 1` is the place to begin.

use super::adapt::{Adaptation, Discriminator, Setup, Step, Strengths, Terms, adversary, ramp};
use crate::Result;
use crate::loss::{entropy, virtual_adversarial};

/// The adversary and the strengths.
pub(super) struct Vada {
    discriminator: Discriminator,
    strengths: Strengths,
}

impl Vada {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        Ok(Self { discriminator: Discriminator::new(setup, setup.aligned)?, strengths: setup.strengths.clone() })
    }
}

impl Adaptation for Vada {
    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let (source, target) = step.both()?;
        let Strengths { smooth_source, certain, radius, .. } = self.strengths;
        let factor = self.strengths.trade_off(0.01) * ramp(step.progress, self.strengths.ramp);
        let mut terms = adversary(&self.discriminator, &source.aligned, &target.aligned, factor, None)?;
        let network = |x: &tch::Tensor| step.network.logits(x, true);
        if smooth_source > 0.0 {
            let smooth = virtual_adversarial(&source.input, &source.logits, radius, network)?;
            terms.losses.push(("smoothness_source".into(), smooth.f_mul_scalar(smooth_source)?));
        }
        let smooth = virtual_adversarial(&target.input, &target.logits, radius, network)?;
        terms.losses.push(("smoothness".into(), smooth.f_mul_scalar(certain)?));
        let uncertain = entropy(&target.logits)?.f_mean(tch::Kind::Float)?;
        terms.losses.push(("entropy".into(), uncertain.f_mul_scalar(certain)?));
        Ok(terms)
    }
}
