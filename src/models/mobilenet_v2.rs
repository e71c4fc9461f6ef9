//! MobileNetV2 (Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks") at width 1.
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are.
//!
//! Stages: `stem`, `stage1` … `stage7` (the rows of table 2), `last` (1×1 convolution to 1280 channels and the mean over
//! all positions).

use super::blocks::{ConvNorm, InvertedBottleneck, NormStyle};
use super::layers::{Activation, Conv2d, ConvConfig, GlobalPool, Layer, Sequential, StochasticDepth};
use super::store::Scope;
use super::{Backbone, Stage};
use crate::Result;

/// The name that [`build`] knows.
pub(super) const NAMES: [&str; 1] = ["mobilenet_v2"];
/// Table 2 of the paper: expansion, channels, blocks, stride of the first one.
const ROWS: [(i64, i64, i64, i64); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];
const STEM: i64 = 32;
const LAST: i64 = 1280;

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]` → features `[N, 1280]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let layers = scope.at("features");
    let stem = conv_norm(&layers.at(0), ConvConfig::new(3, STEM, 3).stride(2))?;
    let mut stages = vec![Stage::new("stem", &["features.0"], stem)];
    let (mut inputs, mut index) = (STEM, 1);
    for ((expansion, outputs, count, stride), stage) in ROWS.into_iter().zip(1..) {
        let (mut blocks, mut paths): (Vec<Box<dyn Layer>>, Vec<String>) = (vec![], vec![]);
        for block in 0..count {
            let stride = if block == 0 { stride } else { 1 };
            blocks.push(Box::new(bottleneck(&layers.at(index), inputs, outputs, expansion, stride)?));
            paths.push(format!("features.{index}"));
            (inputs, index) = (outputs, index + 1);
        }
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        stages.push(Stage::new(format!("stage{stage}"), &paths, Sequential(blocks)));
    }
    let last = conv_norm(&layers.at(index), ConvConfig::new(inputs, LAST, 1))?;
    let path = format!("features.{index}");
    stages.push(Stage::new("last", &[&path], Sequential(vec![Box::new(last), Box::new(GlobalPool)])));
    Ok(Backbone { dropout: 0.2, ..Backbone::new(NAMES[number], stages, LAST, "classifier.1") })
}

/// Its layers are numbered through: `conv.0`, `conv.1`, and the narrowing convolution with its norm apart.
fn bottleneck(scope: &Scope, inputs: i64, outputs: i64, expansion: i64, stride: i64) -> Result<InvertedBottleneck> {
    let (conv, wide) = (scope.at("conv"), inputs * expansion);
    let mut layers: Vec<Box<dyn Layer>> = vec![];
    if expansion != 1 {
        layers.push(Box::new(conv_norm(&conv.at(0), ConvConfig::new(inputs, wide, 1))?));
    }
    let number = layers.len();
    layers.push(Box::new(conv_norm(&conv.at(number), ConvConfig::depthwise(wide, 3).stride(stride))?));
    let narrow = Conv2d::new(&conv.at(number + 1), ConvConfig::new(wide, outputs, 1).he_fan_out())?;
    let norm = NormStyle::PYTORCH.layer(&conv.at(number + 2), outputs)?;
    layers.push(Box::new(ConvNorm::new(narrow, norm, Activation::Linear)));
    let residual = stride == 1 && inputs == outputs;
    Ok(InvertedBottleneck::new(layers, residual.then(|| StochasticDepth::new(scope, 0.0))))
}

fn conv_norm(scope: &Scope, config: ConvConfig) -> Result<ConvNorm> {
    ConvNorm::numbered(scope, config.he_fan_out(), NormStyle::PYTORCH, Activation::Relu6)
}
