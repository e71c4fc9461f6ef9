//! Normalisation over a batch and over channels.

use tch::{Kind, Tensor};

use super::{Activation, Layer};
use crate::Result;
use crate::models::Init;
use crate::models::statistics::Switch;
use crate::models::store::Scope;
use crate::native::{self, NormState};

/// Batch normalisation over N, H and W (Ioffe & Szegedy 2015), whose statistics can be held.
#[derive(Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    batches: Tensor,
    momentum: f64,
    eps: f64,
    statistics: Switch,
}

impl BatchNorm2d {
    /// With PyTorch's ε = 1e-5 and momentum 0.1.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(scope: &Scope, channels: i64) -> Result<Self> {
        Self::with(scope, channels, 1e-5, 0.1)
    }

    /// With an ε and a momentum: the weight that a new batch has in the running statistics.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn with(scope: &Scope, channels: i64, eps: f64, momentum: f64) -> Result<Self> {
        Ok(Self {
            weight: scope.parameter("weight", &[channels], Init::Constant(1.0))?,
            bias: scope.parameter("bias", &[channels], Init::Constant(0.0))?,
            mean: scope.buffer("running_mean", &[channels], 0.0, Kind::Float)?,
            variance: scope.buffer("running_var", &[channels], 1.0, Kind::Float)?,
            batches: scope.buffer("num_batches_tracked", &[], 0.0, Kind::Int64)?,
            momentum,
            eps,
            statistics: scope.norm_layer(),
        })
    }

    /// The normalised `x`, with `added` added and an activation after that: one operation where there is one.
    ///
    /// # Shapes
    /// `x`, `added`: `[N, C, H, W]` → `[N, C, H, W]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn activated(&self, x: &Tensor, added: Option<&Tensor>, activation: Activation, train: bool) -> Result<Tensor> {
        let train = self.statistics.are_taken(train);
        if train {
            let _same = tch::no_grad(|| self.batches.shallow_clone().f_add_scalar_(1))?;
        }
        let Self { weight, bias, mean, variance, momentum, eps, .. } = self;
        let (momentum, eps, cudnn) = (self.statistics.momentum(*momentum), *eps, true);
        let state = NormState { weight, bias, mean, variance, momentum, eps };
        if let Some(y) = native::norm(x, state, added, activation, train)? {
            return Ok(y);
        }
        let mut y =
            x.f_batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), train, momentum, eps, cudnn)?;
        if let Some(added) = added {
            let _same = y.f_add_(added)?;
        }
        activation.apply(y)
    }
}

impl Layer for BatchNorm2d {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C, H, W]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.activated(x, None, Activation::Linear, train)
    }
}

/// Layer normalisation over the last axis (Ba et al. 2016).
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    channels: i64,
    eps: f64,
}

impl LayerNorm {
    /// `weight: [channels]`, `bias: [channels]`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(scope: &Scope, channels: i64, eps: f64) -> Result<Self> {
        let weight = scope.parameter("weight", &[channels], Init::Constant(1.0))?;
        Ok(Self { weight, bias: scope.parameter("bias", &[channels], Init::Constant(0.0))?, channels, eps })
    }
}

impl Layer for LayerNorm {
    /// # Shapes
    /// `x: [N, …, C]` → `[N, …, C]`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let cudnn = true;
        Ok(x.f_layer_norm([self.channels], Some(&self.weight), Some(&self.bias), self.eps, cudnn)?)
    }
}

#[cfg(test)]
#[path = "norm_tests.rs"]
mod tests;
