//! MCC: little confusion between classes on the target (source labelled, target not).
//!
//! Jin et al. 2020, "Minimum class confusion for versatile domain adaptation", equations 2 to 6. With Ŷ the softmax of a batch's N
//! logits over T, [N, K], and weights W_i = N (1 + e^(−H(Ŷ_i))) / Σ_j (1 + e^(−H(Ŷ_j))):
//!
//! C = Ŷᵀ diag(W) Ŷ, its rows made to add up to 1,  L = L_y(source) + w · (1/K) Σ_{j ≠ k} C_jk
//!
//! T is `--temperature` (2.5), w is `--trade-off` (1).

use tch::{Kind, Tensor};

use super::adapt::{Adaptation, Setup, Step, Terms};
use crate::Result;
use crate::loss::entropy;

/// The confusion.
pub(super) struct Mcc {
    temperature: f64,
    strength: f64,
}

impl Mcc {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { temperature: setup.strengths.temperature, strength: setup.strengths.trade_off(1.0) }
    }
}

/// # Shapes
/// `logits: [N, K]` f32 → `[]`
pub(super) fn class_confusion(logits: &Tensor, temperature: f64) -> Result<Tensor> {
    let (images, classes) = logits.size2()?;
    let logits = logits.f_div_scalar(temperature)?;
    let y = logits.f_softmax(-1, Kind::Float)?;
    let certainty = entropy(&logits.f_detach()?)?.f_neg()?.f_exp()?.f_add_scalar(1.0)?;
    let weights = certainty.f_mul_scalar(images as f64)?.f_div(&certainty.f_sum(Kind::Float)?)?;
    let confusion = y.f_mul(&weights.f_unsqueeze(1)?)?.f_tr()?.f_matmul(&y)?;
    let rows = confusion.f_div(&confusion.f_sum_dim_intlist(1, true, Kind::Float)?)?;
    Ok(rows.f_sum(Kind::Float)?.f_sub(&rows.f_trace()?)?.f_div_scalar(classes as f64)?)
}

impl Adaptation for Mcc {
    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let confusion = class_confusion(&step.target()?.logits, self.temperature)?;
        Ok(Terms::one("confusion", confusion.f_mul_scalar(self.strength)?))
    }
}
