//! JAN: features and predictions of the two domains made alike together (source labelled, target not).
//!
//! Long et al. 2017, "Deep transfer learning with joint adaptation networks", equations 5 to 8: as [DAN](super::dan), with one
//! discrepancy in the product of two spaces, so with the product of the kernels on features f and on predictions g (softmax):
//!
//! L = L_y(source) + λ(p) w · JMMD²,  k((f, g), (f', g')) = k₁(f, f') k₂(g, g')
//!
//! w is `--trade-off` (1). Differences from the paper: as those of DAN; both kernels are the same sum of Gaussians.

use tch::Kind;

use super::adapt::{Adaptation, Setup, Step, Terms, ramp};
use crate::Result;
use crate::loss::{discrepancy, gaussian_kernels};

/// The joint distance.
pub(super) struct Jan {
    gamma: f64,
    strength: f64,
}

impl Jan {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { gamma: setup.strengths.ramp, strength: setup.strengths.trade_off(1.0) }
    }
}

impl Adaptation for Jan {
    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let (source, target) = step.both()?;
        let [g_source, g_target] = [source, target].map(|side| side.logits.f_softmax(-1, Kind::Float));
        let kernel =
            gaussian_kernels(&source.aligned, &target.aligned)?.f_mul(&gaussian_kernels(&g_source?, &g_target?)?)?;
        let distance = discrepancy(&kernel, source.aligned.size()[0])?;
        Ok(Terms::one("discrepancy", distance.f_mul_scalar(self.strength * ramp(step.progress, self.gamma))?))
    }
}
