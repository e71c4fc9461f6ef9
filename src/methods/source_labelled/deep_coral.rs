//! Deep CORAL: covariances of the two domains' features made alike (source labelled, target not).
//!
//! Sun & Saenko 2016, "Deep CORAL: correlation alignment for deep domain adaptation", equations 1 to 3. With C_S and C_T the
//! covariances of a batch's features, [N, d] each,
//!
//! L = L_y(source) + w · ‖C_S − C_T‖²_F / (4 d²)
//!
//! The paper aligns the logits and sets w so that both losses end alike; here it is the features and w is `--trade-off` (1).

use tch::{Kind, Tensor};

use super::adapt::{Adaptation, Setup, Step, Terms};
use crate::Result;

/// The distance of covariances.
pub(super) struct DeepCoral {
    strength: f64,
}

impl DeepCoral {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { strength: setup.strengths.trade_off(1.0) }
    }
}

/// The distance of two covariances.
///
/// # Shapes
/// `source: [N, d]`, `target: [M, d]` f32 → `[]`
pub(super) fn coral(source: &Tensor, target: &Tensor) -> Result<Tensor> {
    let covariance = |x: &Tensor| -> Result<Tensor> {
        let centred = x.f_sub(&x.f_mean_dim(0, true, Kind::Float)?)?;
        Ok(centred.f_tr()?.f_matmul(&centred)?.f_div_scalar((x.size()[0] - 1).max(1) as f64)?)
    };
    let d = source.size()[1] as f64;
    let difference = covariance(source)?.f_sub(&covariance(target)?)?;
    Ok(difference.f_square()?.f_sum(Kind::Float)?.f_div_scalar(4.0 * d * d)?)
}

impl Adaptation for DeepCoral {
    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let (source, target) = step.both()?;
        Ok(Terms::one("coral", coral(&source.aligned, &target.aligned)?.f_mul_scalar(self.strength)?))
    }
}
