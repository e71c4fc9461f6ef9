//! DenseNet-121, 161, 169 and 201 (Huang et al. 2017, "Densely connected convolutional networks", the variant BC): every
//! layer of a block sees what all earlier ones made.
//!
//! Names, initial values and geometry are torchvision's, so its state dicts load as they are.
//!
//! Stages: `stem`, `denseblock1` … `denseblock4` (the first three with the transition that halves their channels and
//! size; the last one ends in a batch norm and the mean over all positions).

use tch::Tensor;

use super::blocks::{ConvNorm, NormStyle};
use super::layers::{Activation, AveragePool, BatchNorm2d, Conv2d, ConvConfig, GlobalPool, Layer, MaxPool, Sequential};
use super::store::Scope;
use super::{Backbone, Init, Stage};
use crate::Result;

/// The names that [`build`] knows.
pub(super) const NAMES: [&str; 4] = ["densenet121", "densenet161", "densenet169", "densenet201"];
/// Channels of the stem, channels that a layer adds, and layers per block (table 1 of the paper).
const DESIGNS: [(i64, i64, [i64; 4]); 4] =
    [(64, 32, [6, 12, 24, 16]), (96, 48, [6, 12, 36, 24]), (64, 32, [6, 12, 32, 32]), (64, 32, [6, 12, 48, 32])];
/// Channels of a layer's 1×1 convolution, in terms of what the layer adds.
const BOTTLENECK: i64 = 4;

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]` → features `[N, 1024]` (121), `[N, 2208]`, `[N, 1664]`, `[N, 1920]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let (mut channels, growth, counts) = DESIGNS[number];
    let layers = scope.at("features");
    let stem = conv(&layers.at("conv0"), ConvConfig::new(3, channels, 7).stride(2))?;
    let stem = ConvNorm::new(stem, NormStyle::PYTORCH.layer(&layers.at("norm0"), channels)?, Activation::Relu);
    let pool = MaxPool { padding: 1, ..MaxPool::new(3, 2) };
    let stem = Sequential(vec![Box::new(stem), Box::new(pool)]);
    let mut stages = vec![Stage::new("stem", &["features.conv0", "features.norm0"], stem)];
    for (count, number) in counts.into_iter().zip(1..) {
        let name = format!("denseblock{number}");
        let block = DenseBlock::new(&layers.at(&name), count, channels, growth)?;
        channels += count * growth;
        let mut parts: Vec<Box<dyn Layer>> = vec![Box::new(block)];
        let after = if number < counts.len() {
            let transition = layers.at(format!("transition{number}"));
            let config = ConvConfig::new(channels, channels / 2, 1);
            parts.push(Box::new(NormConv::new(&transition, "norm", "conv", config)?));
            parts.push(Box::new(AveragePool { kernel: 2, stride: 2, padding: 0 }));
            channels /= 2;
            transition
        } else {
            let norm = layers.at("norm5");
            parts.push(Box::new(Normed(NormStyle::PYTORCH.layer(&norm, channels)?)));
            parts.push(Box::new(GlobalPool));
            norm
        };
        let paths = [&format!("features.{name}"), after.path()];
        stages.push(Stage::new(name.as_str(), &paths, Sequential(parts)));
    }
    Ok(Backbone::new(NAMES[number], stages, channels, "classifier"))
}

fn conv(scope: &Scope, config: ConvConfig) -> Result<Conv2d> {
    Conv2d::new(scope, config.init(Init::he_fan_in(config.fan_in())))
}

/// Batch norm and ReLU, which here come before the convolution.
struct Normed(BatchNorm2d);

impl Layer for Normed {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C, H, W]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.activated(x, None, Activation::Relu, train)
    }
}

/// Batch norm, ReLU, convolution.
struct NormConv(Normed, Conv2d);

impl NormConv {
    fn new(scope: &Scope, norm: &str, name: &str, config: ConvConfig) -> Result<Self> {
        let norm = NormStyle::PYTORCH.layer(&scope.at(norm), config.inputs)?;
        Ok(Self(Normed(norm), conv(&scope.at(name), config)?))
    }
}

impl Layer for NormConv {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C', H, W]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.1.forward(&self.0.forward(x, train)?, train)
    }
}

/// Layers of which each one's output is appended to the channels of its input.
struct DenseBlock(Vec<[NormConv; 2]>);

impl DenseBlock {
    fn new(scope: &Scope, count: i64, inputs: i64, growth: i64) -> Result<Self> {
        let wide = BOTTLENECK * growth;
        let layer = |index: i64| {
            let scope = scope.at(format!("denselayer{}", index + 1));
            let narrow = ConvConfig::new(inputs + index * growth, wide, 1);
            let filter = ConvConfig::new(wide, growth, 3);
            Ok([NormConv::new(&scope, "norm1", "conv1", narrow)?, NormConv::new(&scope, "norm2", "conv2", filter)?])
        };
        Ok(Self((0..count).map(layer).collect::<Result<_>>()?))
    }
}

impl Layer for DenseBlock {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C + layers × growth, H, W]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut maps = vec![x.shallow_clone()];
        for [narrow, filter] in &self.0 {
            let all = Tensor::f_cat(&maps, 1)?;
            maps.push(filter.forward(&narrow.forward(&all, train)?, train)?);
        }
        Ok(Tensor::f_cat(&maps, 1)?)
    }
}
