//! DAN: the two domains' features made alike in the space of a kernel (source labelled, target not).
//!
//! Long et al. 2015, "Learning transferable features with deep adaptation networks", equations 1 to 4:
//!
//! L = L_y(source) + λ(p) w · (MMD²(f_S, f_T) + MMD²(z_S, z_T))
//!
//! with f the features, z the logits, and the [maximum mean discrepancy](crate::loss::discrepancy) of a sum of Gaussian kernels.
//! w is `--trade-off` (1).
//!
//! Differences from the paper: the kernels' weights are equal instead of learned; the sum is over all pairs of the batch, not over
//! a linear number of them; λ(p) rises as DANN's does.

use super::adapt::{Adaptation, Setup, Step, Terms, ramp};
use crate::Result;
use crate::loss::{discrepancy, gaussian_kernels};

/// The distance of means.
pub(super) struct Dan {
    gamma: f64,
    strength: f64,
}

impl Dan {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { gamma: setup.strengths.ramp, strength: setup.strengths.trade_off(1.0) }
    }
}

impl Adaptation for Dan {
    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let (source, target) = step.both()?;
        let images = source.aligned.size()[0];
        let distance = |source, target| discrepancy(&gaussian_kernels(source, target)?, images);
        let both = distance(&source.aligned, &target.aligned)?.f_add(&distance(&source.logits, &target.logits)?)?;
        Ok(Terms::one("discrepancy", both.f_mul_scalar(self.strength * ramp(step.progress, self.gamma))?))
    }
}
