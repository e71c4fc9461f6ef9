//! What the architectures share: a convolution with its batch norm, and (below) inverted bottlenecks.

mod inverted;

use tch::Tensor;

pub(super) use self::inverted::{InvertedBottleneck, InvertedConfig, Squeeze};
use super::layers::{Activation, BatchNorm2d, Conv2d, ConvConfig, Layer};
use super::store::Scope;
use crate::Result;

/// Batch norm as a network wants it: ε, and the weight of a new batch in the running statistics.
#[derive(Debug, Clone, Copy)]
pub(super) struct NormStyle {
    pub(super) eps: f64,
    pub(super) momentum: f64,
}

impl NormStyle {
    /// PyTorch's defaults.
    pub(super) const PYTORCH: Self = Self { eps: 1e-5, momentum: 0.1 };
    /// TensorFlow's as the MobileNets and EfficientNets were trained with: its momentum of 0.99 is 0.01 here.
    pub(super) const TENSORFLOW: Self = Self { eps: 1e-3, momentum: 0.01 };

    pub(super) fn layer(self, scope: &Scope, channels: i64) -> Result<BatchNorm2d> {
        BatchNorm2d::with(scope, channels, self.eps, self.momentum)
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

    /// The convolution at `scope.0` and the batch norm at `scope.1`: torchvision's `Conv2dNormActivation`.
    pub(super) fn numbered(scope: &Scope, config: ConvConfig, norm: NormStyle, activation: Activation) -> Result<Self> {
        let conv = Conv2d::new(&scope.at(0), config)?;
        Ok(Self::new(conv, norm.layer(&scope.at(1), config.outputs)?, activation))
    }

    /// With `added` to what the batch norm makes, before the activation.
    ///
    /// # Shapes
    /// `x: [N, C, H, W]`, `added: [N, C', H', W']` → `[N, C', H', W']`
    pub(super) fn forward_added(&self, x: &Tensor, added: Option<&Tensor>, train: bool) -> Result<Tensor> {
        self.norm.activated(&self.conv.forward(x, train)?, added, self.activation, train)
    }
}

impl Layer for ConvNorm {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C', H', W']`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward_added(x, None, train)
    }
}

/// Channels at that width: the nearest multiple of 8, but never a tenth less than asked.
pub(super) fn rounded_channels(base: i64, width: f64) -> i64 {
    let wanted = base as f64 * width;
    let rounded = (((wanted + 4.0) as i64) / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::rounded_channels;

    #[test]
    fn widths_are_rounded_as_the_papers_round_them() {
        assert_eq!(rounded_channels(16, 1.1), 16);
        assert_eq!(rounded_channels(40, 1.1), 48); // 44 lies between 40 and 48
        assert_eq!(rounded_channels(24, 1.4), 32);
        assert_eq!(rounded_channels(10, 1.0), 16); // 8 would be more than a tenth less
    }
}
