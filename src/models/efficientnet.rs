//! EfficientNet-B0 to B7 (Tan & Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks"):
//! inverted bottlenecks with squeeze-and-excitation and SiLU, whose width, depth and image size grow together.
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are. As there, B5 to B7 have
//! TensorFlow's batch norm and the smaller ones PyTorch's: the published weights were trained so.
//!
//! Stages: `stem`, `stage1` … `stage7` (the seven groups of blocks), `last` (1×1 convolution to four times the channels
//! and the mean over all positions).

use super::blocks::{ConvNorm, InvertedConfig, NormStyle, Squeeze, rounded_channels};
use super::layers::{Activation, ConvConfig, GlobalPool, Layer, Sequential};
use super::store::Scope;
use super::{Backbone, Stage};
use crate::Result;

/// The names that [`build`] knows; their position is the model's number.
pub(super) const NAMES: [&str; 8] = [
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
];
/// Per number of the model: width and depth relative to B0, and the dropout before its head.
const SCALES: [(f64, f64, f64); 8] = [
    (1.0, 1.0, 0.2),
    (1.0, 1.1, 0.2),
    (1.1, 1.2, 0.3),
    (1.2, 1.4, 0.3),
    (1.4, 1.8, 0.4),
    (1.6, 2.2, 0.4),
    (1.8, 2.6, 0.5),
    (2.0, 3.1, 0.5),
];
/// The first number with TensorFlow's batch norm.
const TENSORFLOW: usize = 5;
/// Channels of B0's stem.
const STEM: i64 = 32;
/// The share of images for which the last block's branch is dropped in training, earlier blocks proportionally less.
const DROP: f64 = 0.2;

/// A group of blocks of B0.
pub(super) struct Group {
    pub(super) blocks: u32,
    pub(super) kernel: i64,
    pub(super) stride: i64,
    pub(super) expansion: i64,
    pub(super) outputs: i64,
}

const fn group(blocks: u32, kernel: i64, stride: i64, expansion: i64, outputs: i64) -> Group {
    Group { blocks, kernel, stride, expansion, outputs }
}

/// Table 1 of the paper.
pub(super) const GROUPS: [Group; 7] = [
    group(1, 3, 1, 1, 16),
    group(2, 3, 2, 6, 24),
    group(2, 5, 2, 6, 40),
    group(3, 3, 2, 6, 80),
    group(3, 5, 1, 6, 112),
    group(4, 5, 2, 6, 192),
    group(1, 3, 1, 6, 320),
];

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]` → features `[N, 1280 × width]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let (width, depth, dropout) = SCALES[number];
    let norm = if number < TENSORFLOW { NormStyle::PYTORCH } else { NormStyle::TENSORFLOW };
    let layers = scope.at("features");
    let conv = |path: usize, config: ConvConfig| {
        ConvNorm::numbered(&layers.at(path), config.he_fan_out(), norm, Activation::Silu)
    };
    let mut inputs = rounded_channels(STEM, width);
    let stem = conv(0, ConvConfig::new(3, inputs, 3).stride(2))?;
    let mut stages = vec![Stage::new("stem", &["features.0"], stem)];

    let counts = GROUPS.each_ref().map(|group| (f64::from(group.blocks) * depth).ceil() as u32);
    let total: u32 = counts.iter().sum();
    let mut index = 0;
    for ((group, count), number) in GROUPS.iter().zip(counts).zip(1..) {
        let outputs = rounded_channels(group.outputs, width);
        let mut blocks: Vec<Box<dyn Layer>> = vec![];
        for block in 0..count {
            let config = InvertedConfig {
                inputs,
                wide: inputs * group.expansion,
                outputs,
                kernel: group.kernel,
                stride: if block == 0 { group.stride } else { 1 },
                activation: Activation::Silu,
                norm,
                squeeze: Some(Squeeze { channels: inputs / 4, activation: Activation::Silu, hard: false }),
                drop: DROP * f64::from(index) / f64::from(total),
            };
            blocks.push(Box::new(config.build(&layers.at(number).at(block))?));
            (inputs, index) = (outputs, index + 1);
        }
        let path = format!("features.{number}");
        stages.push(Stage::new(format!("stage{number}"), &[&path], Sequential(blocks)));
    }

    let features = 4 * inputs;
    let last = conv(GROUPS.len() + 1, ConvConfig::new(inputs, features, 1))?;
    stages.push(Stage::new("last", &["features.8"], Sequential(vec![Box::new(last), Box::new(GlobalPool)])));
    Ok(Backbone { dropout, ..Backbone::new(NAMES[number], stages, features, "classifier.1") })
}
