//! How uncertain predictions are.

use tch::{Kind, Tensor};

use crate::Result;

/// The entropy of each image's prediction, −Σₖ pₖ ln pₖ with p the softmax of its logits, in nats.
///
/// # Shapes
/// `logits: [N, K]` → `[N]` f32
///
/// # Errors
/// What libtorch refuses.
pub fn entropy(logits: &Tensor) -> Result<Tensor> {
    let log = logits.f_log_softmax(-1, Kind::Float)?;
    Ok(log.f_exp()?.f_mul(&log)?.f_sum_dim_intlist(-1, false, Kind::Float)?.f_neg()?)
}
