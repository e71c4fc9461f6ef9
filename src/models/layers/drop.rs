//! What draws from libtorch's generator in training. Layers of a [deterministic](crate::models::Builder::deterministic)
//! network never drop.

use tch::{Kind, Tensor};

use super::Layer;
use crate::Result;
use crate::models::store::Scope;

/// Dropout (Srivastava et al. 2014).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    rate: f64,
}

impl Dropout {
    /// Drops the share `rate` of all values.
    pub fn new(scope: &Scope, rate: f64) -> Self {
        Self { rate: scope.drop_rate(rate) }
    }
}

impl Layer for Dropout {
    /// # Shapes
    /// any → the same
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(x.f_dropout(self.rate, train)?)
    }
}

/// A residual branch that is dropped for some images in training (Huang et al. 2016, "Deep networks with stochastic
/// depth", per image).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StochasticDepth {
    rate: f64,
}

impl StochasticDepth {
    /// Drops the branch for the share `rate` of images.
    pub fn new(scope: &Scope, rate: f64) -> Self {
        Self { rate: scope.drop_rate(rate) }
    }

    /// `x + branch`, where a kept branch is scaled so that it keeps its expected value. Overwrites `branch`, which the
    /// caller has just made by an operation that does not need its result for a gradient.
    ///
    /// # Shapes
    /// `branch: [N, …]`, `x: [N, …]` → `[N, …]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn join(&self, mut branch: Tensor, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train || self.rate == 0.0 {
            return Ok(branch.f_add_(x)?);
        }
        let keep = 1.0 - self.rate;
        let shape: Vec<i64> = (0..x.dim()).map(|axis| if axis == 0 { x.size()[0] } else { 1 }).collect();
        let mut kept = Tensor::f_empty(shape, (Kind::Float, x.device()))?;
        let scale = kept.f_bernoulli_float_(keep)?.f_div_scalar_(keep)?.f_to_kind(branch.kind())?;
        Ok(x.f_addcmul(&branch, &scale)?)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::models::Builder;

    #[test]
    fn a_dropped_branch_leaves_the_image_as_it_was_and_a_kept_one_is_scaled() -> Result<()> {
        tch::manual_seed(1);
        let depth = StochasticDepth::new(&Builder::new(Device::Cpu).root(), 0.5);
        let (x, branch) = (Tensor::zeros([64, 3], (Kind::Float, Device::Cpu)), 1.5);
        let joined = depth.join(Tensor::full_like(&x, branch), &x, true)?;
        let sums = Vec::<f32>::try_from(joined.mean_dim([1i64].as_slice(), false, Kind::Float))?;
        let dropped = sums.iter().filter(|sum| **sum == 0.0).count();
        assert!(sums.iter().all(|sum| [0.0, 3.0].contains(sum)), "{sums:?}");
        assert!((20..45).contains(&dropped), "{dropped} of 64 were dropped at a rate of one half");
        assert_eq!(depth.join(Tensor::full_like(&x, branch), &x, false)?, &x + branch);
        Ok(())
    }

    #[test]
    fn a_deterministic_network_drops_nothing() -> Result<()> {
        let builder = Builder::new(Device::Cpu).deterministic();
        let x = Tensor::ones([64, 3], (Kind::Float, Device::Cpu));
        assert_eq!(Dropout::new(&builder.root(), 0.5).forward(&x, true)?, x);
        assert_eq!(StochasticDepth::new(&builder.root(), 0.5).join(x.copy(), &x, true)?, &x * 2);
        Ok(())
    }
}
