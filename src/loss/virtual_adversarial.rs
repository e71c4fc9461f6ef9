//! Virtual adversarial training: predictions that small changes of the image cannot change.
//!
//! Miyato et al. 2018, equations 3 to 12. With p(x) the prediction, without a gradient, and d the direction in which it changes
//! fastest, found by one step of power iteration from a random direction u, all of length 1 for each image:
//!
//! d = ∂/∂r KL(p(x) ‖ p(x + ξ r)) at r = u,  L = mean KL(p(x) ‖ p(x + ε d))

use tch::{Kind, Tensor};

use crate::Result;

/// The length of the step that looks for the direction, in the image's units.
const PROBE: f64 = 0.1;

/// The loss for images `x` whose logits are `logits`; `network` gives the logits of other images, and `radius` is ε, in the units of
/// normalised pixels.
///
/// # Shapes
/// `x: [N, …]`, `logits: [N, K]` f32 → `[]`
///
/// # Errors
/// What libtorch refuses.
pub fn virtual_adversarial(
    x: &Tensor,
    logits: &Tensor,
    radius: f64,
    network: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (x, fixed) = (x.f_detach()?, logits.f_detach()?);
    let direction = {
        let start = unit(&x.f_randn_like()?)?.f_mul_scalar(PROBE)?.set_requires_grad(true);
        let distance = divergence(&fixed, &network(&x.f_add(&start)?)?)?;
        let slope = Tensor::f_run_backward(&[&distance], &[&start], false, false)?.remove(0);
        unit(&slope)?
    };
    divergence(&fixed, &network(&x.f_add(&direction.f_mul_scalar(radius)?)?)?)
}

/// KL(p ‖ q) of the softmax of both logits, averaged over images; `p` has no gradient.
///
/// # Shapes
/// `p`, `q`: `[N, K]` f32 → `[]`
///
/// # Errors
/// What libtorch refuses.
pub fn divergence(p: &Tensor, q: &Tensor) -> Result<Tensor> {
    let (p, q) = (p.f_detach()?.f_log_softmax(-1, Kind::Float)?, q.f_log_softmax(-1, Kind::Float)?);
    let each = p.f_exp()?.f_mul(&p.f_sub(&q)?)?.f_sum_dim_intlist(-1, false, Kind::Float)?;
    Ok(each.f_mean(Kind::Float)?)
}

/// Each image scaled to length 1.
fn unit(x: &Tensor) -> Result<Tensor> {
    let rows = x.f_flatten(1, -1)?;
    let length = rows.f_norm_scalaropt_dim(2, [1i64], true)?.f_clamp_min(1e-12)?;
    Ok(rows.f_div(&length)?.f_reshape(x.size())?.f_detach()?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn it_finds_the_direction_in_which_the_prediction_changes_fastest() -> Result<()> {
        // logits that look at the first pixel alone: any other change is none
        let weight = Tensor::from_slice2(&[[3f32, 0.0, 0.0], [-3.0, 0.0, 0.0]]);
        let x = Tensor::from_slice2(&[[0.2f32, 5.0, -1.0], [-0.1, 0.0, 2.0]]);
        let network = |x: &Tensor| Ok(x.matmul(&weight.tr()));
        let found = f64::try_from(virtual_adversarial(&x, &network(&x)?, 0.5, network)?)?;
        let mut expected = 0.0;
        for pixel in [0.2f64, -0.1] {
            let p = |pixel: f64| 1.0 / (1.0 + (-6.0 * pixel).exp());
            let divergence =
                |q: f64| p(pixel) * (p(pixel) / q).ln() + (1.0 - p(pixel)) * ((1.0 - p(pixel)) / (1.0 - q)).ln();
            // which of the two signs it takes is up to the random start
            let (up, down) = (divergence(p(pixel + 0.5)), divergence(p(pixel - 0.5)));
            expected += up.min(down) / 2.0;
            assert!(up > 0.0 && down > 0.0);
        }
        assert!(found >= expected - 1e-5, "{found}, expected at least {expected}");
        Ok(())
    }

    #[test]
    fn it_asks_no_gradient_of_the_prediction_itself() -> Result<()> {
        let x = Tensor::rand([4, 3, 5, 5], (Kind::Float, Device::Cpu));
        let weight = (Tensor::arange(150, (Kind::Float, Device::Cpu)).sin().reshape([2, 75])).set_requires_grad(true);
        let network = |x: &Tensor| Ok(x.flatten(1, -1).matmul(&weight.tr()));
        let logits = network(&x)?;
        let loss = virtual_adversarial(&x, &logits, 1.0, network)?;
        let gradients = Tensor::run_backward(&[&loss], &[&weight], true, false);
        assert!(f64::try_from(&loss)? > 0.0 && f64::try_from(gradients[0].abs().max())? > 0.0);
        Ok(())
    }
}
