//! Inverted bottlenecks (Sandler et al. 2018, "MobileNetV2"), and the squeeze-and-excitation in some of them.

use tch::Tensor;

use super::{ConvNorm, NormStyle};
use crate::Result;
use crate::models::layers::{Activation, Conv2d, ConvConfig, Layer, StochasticDepth};
use crate::models::store::Scope;

/// Widen 1×1, filter each channel, narrow 1×1, and add the input where the shape is kept.
pub(in crate::models) struct InvertedBottleneck {
    layers: Vec<Box<dyn Layer>>,
    /// Where the input is added.
    residual: Option<StochasticDepth>,
}

impl InvertedBottleneck {
    /// Of these layers; `residual` where they keep the shape.
    pub(in crate::models) fn new(layers: Vec<Box<dyn Layer>>, residual: Option<StochasticDepth>) -> Self {
        Self { layers, residual }
    }
}

impl Layer for InvertedBottleneck {
    /// # Shapes
    /// `x: [N, inputs, H, W]` → `[N, outputs, ⌈H / stride⌉, ⌈W / stride⌉]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let branch = self.layers.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(&x, train))?;
        match &self.residual {
            Some(depth) => depth.join(branch, x, train),
            None => Ok(branch),
        }
    }
}

/// The geometry of a block of MobileNetV3 or EfficientNet.
#[derive(Debug, Clone, Copy)]
pub(in crate::models) struct InvertedConfig {
    pub(in crate::models) inputs: i64,
    pub(in crate::models) wide: i64,
    pub(in crate::models) outputs: i64,
    pub(in crate::models) kernel: i64,
    pub(in crate::models) stride: i64,
    pub(in crate::models) activation: Activation,
    pub(in crate::models) norm: NormStyle,
    pub(in crate::models) squeeze: Option<Squeeze>,
    /// The share of images for which the branch is dropped in training.
    pub(in crate::models) drop: f64,
}

impl InvertedConfig {
    /// The block with torchvision's names: `block.0`, `block.1`, …, without a number for a layer that is not there.
    pub(in crate::models) fn build(self, scope: &Scope) -> Result<InvertedBottleneck> {
        let Self { inputs, wide, outputs, kernel, stride, activation, norm, squeeze, drop } = self;
        let block = scope.at("block");
        let mut layers: Vec<Box<dyn Layer>> = vec![];
        let conv = |number: usize, config: ConvConfig, activation| {
            ConvNorm::numbered(&block.at(number), config.he_fan_out(), norm, activation)
        };
        if wide != inputs {
            layers.push(Box::new(conv(0, ConvConfig::new(inputs, wide, 1), activation)?));
        }
        let depthwise = ConvConfig::depthwise(wide, kernel).stride(stride);
        layers.push(Box::new(conv(layers.len(), depthwise, activation)?));
        if let Some(squeeze) = squeeze {
            layers.push(Box::new(SqueezeExcitation::new(&block.at(layers.len()), wide, squeeze)?));
        }
        layers.push(Box::new(conv(layers.len(), ConvConfig::new(wide, outputs, 1), Activation::Linear)?));
        let residual = stride == 1 && inputs == outputs;
        Ok(InvertedBottleneck::new(layers, residual.then(|| StochasticDepth::new(scope, drop))))
    }
}

/// How a squeeze-and-excitation is made.
#[derive(Debug, Clone, Copy)]
pub(in crate::models) struct Squeeze {
    /// To how many channels it squeezes.
    pub(in crate::models) channels: i64,
    /// What follows the squeeze.
    pub(in crate::models) activation: Activation,
    /// Whether the scale is the piecewise linear sigmoid of MobileNetV3.
    pub(in crate::models) hard: bool,
}

/// Scales each channel by what the means of all channels say (Hu et al. 2018, "Squeeze-and-excitation networks").
struct SqueezeExcitation {
    squeeze: Conv2d,
    excite: Conv2d,
    config: Squeeze,
}

impl SqueezeExcitation {
    /// With 1×1 convolutions at `fc1` and `fc2`.
    fn new(scope: &Scope, channels: i64, config: Squeeze) -> Result<Self> {
        let conv = |path: &str, inputs, outputs| {
            Conv2d::new(&scope.at(path), ConvConfig::new(inputs, outputs, 1).bias().he_fan_out())
        };
        let squeeze = conv("fc1", channels, config.channels)?;
        Ok(Self { squeeze, excite: conv("fc2", config.channels, channels)?, config })
    }
}

impl Layer for SqueezeExcitation {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C, H, W]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let means = x.f_adaptive_avg_pool2d([1, 1])?;
        let squeezed = self.config.activation.apply(self.squeeze.forward(&means, train)?)?;
        let scale = self.excite.forward(&squeezed, train)?;
        Ok(if self.config.hard { scale.f_hardsigmoid()? } else { scale.f_sigmoid()? }.f_mul(x)?)
    }
}
