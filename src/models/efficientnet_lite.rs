//! EfficientNet-Lite 0 to 4 (Tan & Le 2019, "EfficientNet", in the variant published in 2020 for phones): inverted
//! bottlenecks without squeeze-and-excitation, with ReLU6, and with a stem and a last layer that do not grow.
//!
//! Names are those of the Python package `efficientnet_lite_pytorch`, so its checkpoints load as they are; initial
//! values are PyTorch's defaults, as there. Convolutions pad as TensorFlow does, always by the size of the image at
//! hand; the package fixes the padding at the model's own image size, which is the same thing at that size.
//!
//! Stages: `stem`, `stage1` … `stage7` (the seven groups of blocks), `last` (1×1 convolution to 1280 channels and the
//! mean over all positions).

use super::blocks::{ConvNorm, InvertedBottleneck, NormStyle, rounded_channels};
use super::efficientnet::{GROUPS, Group};
use super::layers::{Activation, Conv2d, ConvConfig, GlobalPool, Layer, Padding, Sequential, StochasticDepth};
use super::store::Scope;
use super::{Backbone, Stage};
use crate::Result;

/// Per number of the model: width and depth relative to Lite0, and the dropout before its head.
const SCALES: [(f64, f64, f64); 5] =
    [(1.0, 1.0, 0.2), (1.0, 1.1, 0.2), (1.1, 1.2, 0.3), (1.2, 1.4, 0.3), (1.4, 1.8, 0.3)];
/// The names that [`build`] knows; their position is the model's number.
pub(super) const NAMES: [&str; 5] =
    ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "efficientnet_lite3", "efficientnet_lite4"];
/// Channels of the stem and of the last layer, in every size.
const STEM: i64 = 32;
const LAST: i64 = 1280;
/// The source networks' `drop_connect`: the share of images for which the last block's branch is dropped in training,
/// earlier blocks proportionally less.
const DROP_CONNECT: f64 = 0.2;

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]` → features `[N, 1280]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let (width, depth, dropout) = SCALES[number];
    let same =
        |inputs, outputs, kernel| ConvConfig { padding: Padding::Same, ..ConvConfig::new(inputs, outputs, kernel) };
    let stem = conv_norm(scope, "_conv_stem", "_bn0", same(3, STEM, 3).stride(2), Activation::Relu6)?;
    let mut stages = vec![Stage::new("stem", &["_conv_stem", "_bn0"], stem)];

    let counts: Vec<_> = (0..GROUPS.len()).map(|group| blocks_in(group, depth)).collect();
    let total: u32 = counts.iter().sum();
    let (mut inputs, mut index) = (STEM, 0);
    for ((group, count), stage) in GROUPS.iter().zip(counts).zip(1..) {
        let outputs = rounded_channels(group.outputs, width);
        let (mut blocks, mut paths): (Vec<Box<dyn Layer>>, Vec<String>) = (vec![], vec![]);
        for block in 0..count {
            let path = format!("_blocks.{index}");
            let stride = if block == 0 { group.stride } else { 1 };
            let drop = DROP_CONNECT * f64::from(index) / f64::from(total);
            blocks.push(Box::new(block_of(&scope.at(&path), group, [inputs, outputs], stride, drop)?));
            paths.push(path);
            (inputs, index) = (outputs, index + 1);
        }
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        stages.push(Stage::new(format!("stage{stage}"), &paths, Sequential(blocks)));
    }

    let last = conv_norm(scope, "_conv_head", "_bn1", same(inputs, LAST, 1), Activation::Relu6)?;
    let last = Sequential(vec![Box::new(last), Box::new(GlobalPool)]);
    stages.push(Stage::new("last", &["_conv_head", "_bn1"], last));
    Ok(Backbone { dropout, ..Backbone::new(NAMES[number], stages, LAST, "_fc") })
}

/// How many blocks group number `group` has at that depth; the first and the last group do not grow.
fn blocks_in(group: usize, depth: f64) -> u32 {
    let blocks = GROUPS[group].blocks;
    if group == 0 || group == GROUPS.len() - 1 { blocks } else { (depth * f64::from(blocks)).ceil() as u32 }
}

/// A block whose branch is dropped at the rate `drop`.
fn block_of(
    scope: &Scope,
    group: &Group,
    [inputs, outputs]: [i64; 2],
    stride: i64,
    drop: f64,
) -> Result<InvertedBottleneck> {
    let wide = inputs * group.expansion;
    let mut layers: Vec<Box<dyn Layer>> = vec![];
    let mut add = |number: usize, conv, config, activation| -> Result<()> {
        layers.push(Box::new(conv_norm(scope, conv, &format!("_bn{number}"), config, activation)?));
        Ok(())
    };
    if group.expansion != 1 {
        add(0, "_expand_conv", ConvConfig::new(inputs, wide, 1), Activation::Relu6)?;
    }
    let depthwise = ConvConfig { padding: Padding::Same, ..ConvConfig::depthwise(wide, group.kernel).stride(stride) };
    add(1, "_depthwise_conv", depthwise, Activation::Relu6)?;
    add(2, "_project_conv", ConvConfig::new(wide, outputs, 1), Activation::Linear)?;
    let residual = stride == 1 && inputs == outputs;
    Ok(InvertedBottleneck::new(layers, residual.then(|| StochasticDepth::new(scope, drop))))
}

fn conv_norm(scope: &Scope, conv: &str, norm: &str, config: ConvConfig, activation: Activation) -> Result<ConvNorm> {
    let conv = Conv2d::new(&scope.at(conv), config)?;
    Ok(ConvNorm::new(conv, NormStyle::TENSORFLOW.layer(&scope.at(norm), config.outputs)?, activation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_group_do_not_grow() {
        assert_eq!((0..7).map(|group| blocks_in(group, 1.8)).collect::<Vec<_>>(), [1, 4, 4, 6, 6, 8, 1]);
    }
}
