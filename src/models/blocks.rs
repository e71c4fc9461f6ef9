//! What the architectures share: a convolution with its batch norm, and the pooling at the end.

use tch::Tensor;

use super::layers::{BatchNorm2d, Conv2d, Layer};
use crate::Result;

/// What follows a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Linear,
    Relu,
    Relu6,
}

impl Activation {
    /// Overwrites `x`, which the caller has just made: batch norm and addition need their own output for no gradient.
    pub(super) fn apply(self, mut x: Tensor) -> Result<Tensor> {
        match self {
            Self::Linear => {}
            Self::Relu => drop(x.f_relu_()?),
            Self::Relu6 => drop(x.f_relu6_()?),
        }
        Ok(x)
    }
}

/// Convolution, batch norm, activation.
#[derive(Debug)]
pub(super) struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
    activation: Activation,
}

impl ConvNorm {
    pub(super) fn new(conv: Conv2d, norm: BatchNorm2d, activation: Activation) -> Self {
        Self { conv, norm, activation }
    }
}

impl Layer for ConvNorm {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C', H', W']`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.activation.apply(self.norm.forward(&self.conv.forward(x, train)?, train)?)
    }
}

/// The mean over all positions.
#[derive(Debug)]
pub(super) struct GlobalPool;

impl Layer for GlobalPool {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C]`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?)
    }
}
