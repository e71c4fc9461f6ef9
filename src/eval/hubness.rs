//! Hubness: whether a few classes are the nearest of nearly everything.
//!
//! Radovanović et al. 2010, "Hubs in space": N_k(c) counts for how many images class c is among the k nearest; that many are of no class
//! and few of very many shows in the skewness of N_k.

use tch::{Kind, Tensor};

use crate::Result;

/// The skewness of N_k over the classes, E[(N − μ)³] / σ³; 0 where all have the same.
///
/// # Shapes
/// `scores: [N, C]`, higher is nearer; `k` at most C
///
/// # Errors
/// What libtorch refuses.
///
/// ```
/// let scores = tch::Tensor::from_slice2(&[[3.0f32, 2.0, 1.0, 0.0], [3.0, 1.0, 2.0, 0.0], [3.0, 0.0, 1.0, 2.0]]);
/// // class 0 takes all three: N₁ = 3, 0, 0, 0
/// let skewness = regraft::eval::hubness(&scores, 1)?;
/// assert!((skewness - 1.1547).abs() < 1e-4);
/// # Ok::<(), regraft::Error>(())
/// ```
pub fn hubness(scores: &Tensor, k: i64) -> Result<f64> {
    let (_, nearest) = scores.f_topk(k, 1, true, false)?;
    let classes = scores.size()[1];
    let counts = nearest.f_flatten(0, -1)?.f_bincount(None::<Tensor>, classes)?.f_to_kind(Kind::Double)?;
    let apart = counts.f_sub(&counts.f_mean(Kind::Double)?)?;
    let moment =
        |power: f64| -> Result<f64> { Ok(f64::try_from(apart.f_pow_tensor_scalar(power)?.f_mean(Kind::Double)?)?) };
    let variance = moment(2.0)?;
    Ok(if variance > 0.0 { moment(3.0)? / variance.powf(1.5) } else { 0.0 })
}
