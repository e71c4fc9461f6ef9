//! A penalty that keeps a critic's slope at 1.
//!
//! Gulrajani et al. 2017, "Improved training of Wasserstein GANs", equation 3: E[(‖∇ₓ D(x)‖ − 1)²] for points x between what is real and what was made.

use tch::{Kind, Tensor};

use crate::Result;

/// The penalty for points `x`, which needs a second derivative of the critic, whose gradient it keeps.
///
/// # Shapes
/// `x: [N, D]` f32, `critic: [N, D]` → `[N, 1]`; → `[]`
///
/// # Errors
/// What libtorch refuses.
pub fn gradient_penalty(x: &Tensor, critic: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let x = x.f_detach()?.set_requires_grad(true);
    let judged = critic(&x)?.f_sum(Kind::Float)?;
    let slope = Tensor::f_run_backward(&[&judged], &[&x], true, true)?.remove(0);
    let apart = slope.f_norm_scalaropt_dim(2, [1i64], false)?.f_sub_scalar(1.0)?;
    Ok(apart.f_square()?.f_mean(Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::super::golden::{close, golden, leaf};
    use super::*;

    #[test]
    fn the_penalty_and_its_gradient_are_pytorchs() -> Result<()> {
        let golden = golden("gradient_penalty/critic/");
        let (first, last) = (leaf(&golden["first"]), leaf(&golden["last"]));
        let critic = |x: &Tensor| Ok(x.f_matmul(&first.f_tr()?)?.f_tanh()?.f_matmul(&last.f_tr()?)?);
        let penalty = gradient_penalty(&golden["x"], critic)?;
        penalty.f_backward()?;
        close(&penalty, &golden["value"], 1e-5, "penalty");
        close(&first.grad(), &golden["gradient/first"], 1e-5, "first layer");
        close(&last.grad(), &golden["gradient/last"], 1e-5, "last layer");
        Ok(())
    }
}
