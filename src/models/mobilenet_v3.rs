//! MobileNetV3, large and small (Howard et al. 2019, "Searching for MobileNetV3") at width 1.
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are.
//!
//! Stages: `stem`, `stage1` … (blocks of equal output channels), `last` (1×1 convolution and the mean over all
//! positions), `hidden` (the linear layer before the head).

use super::blocks::{ConvNorm, InvertedConfig, NormStyle, Squeeze, rounded_channels};
use super::layers::{Activated, Activation, ConvConfig, GlobalPool, Layer, Linear, Sequential};
use super::store::Scope;
use super::{Backbone, Init, Stage};
use crate::Result;

/// The names that [`build`] knows.
pub(super) const NAMES: [&str; 2] = ["mobilenet_v3_large", "mobilenet_v3_small"];
/// Channels of the stem.
const STEM: i64 = 16;
/// Width of the layer before the head.
const HIDDEN: [i64; 2] = [1280, 1024];

/// A row of table 1 or 2 of the paper.
struct Row {
    kernel: i64,
    wide: i64,
    outputs: i64,
    squeeze: bool,
    activation: Activation,
    stride: i64,
}

const fn row(kernel: i64, wide: i64, outputs: i64, squeeze: bool, activation: Activation, stride: i64) -> Row {
    Row { kernel, wide, outputs, squeeze, activation, stride }
}

const RE: Activation = Activation::Relu;
const HS: Activation = Activation::Hardswish;

const LARGE: [Row; 15] = [
    row(3, 16, 16, false, RE, 1),
    row(3, 64, 24, false, RE, 2),
    row(3, 72, 24, false, RE, 1),
    row(5, 72, 40, true, RE, 2),
    row(5, 120, 40, true, RE, 1),
    row(5, 120, 40, true, RE, 1),
    row(3, 240, 80, false, HS, 2),
    row(3, 200, 80, false, HS, 1),
    row(3, 184, 80, false, HS, 1),
    row(3, 184, 80, false, HS, 1),
    row(3, 480, 112, true, HS, 1),
    row(3, 672, 112, true, HS, 1),
    row(5, 672, 160, true, HS, 2),
    row(5, 960, 160, true, HS, 1),
    row(5, 960, 160, true, HS, 1),
];

const SMALL: [Row; 11] = [
    row(3, 16, 16, true, RE, 2),
    row(3, 72, 24, false, RE, 2),
    row(3, 88, 24, false, RE, 1),
    row(5, 96, 40, true, HS, 2),
    row(5, 240, 40, true, HS, 1),
    row(5, 240, 40, true, HS, 1),
    row(5, 120, 48, true, HS, 1),
    row(5, 144, 48, true, HS, 1),
    row(5, 288, 96, true, HS, 2),
    row(5, 576, 96, true, HS, 1),
    row(5, 576, 96, true, HS, 1),
];

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]` → features `[N, 1280]` (large) or `[N, 1024]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let rows: &[Row] = if number == 0 { &LARGE } else { &SMALL };
    let layers = scope.at("features");
    let conv = |path: usize, config: ConvConfig| ConvNorm::numbered(&layers.at(path), config.he_fan_out(), STYLE, HS);
    let stem = conv(0, ConvConfig::new(3, STEM, 3).stride(2))?;
    let mut stages = vec![Stage::new("stem", &["features.0"], stem)];
    let (mut inputs, mut index) = (STEM, 1);
    for (group, stage) in rows.chunk_by(|a, b| a.outputs == b.outputs).zip(1..) {
        let (mut blocks, mut paths): (Vec<Box<dyn Layer>>, Vec<String>) = (vec![], vec![]);
        for row in group {
            blocks.push(Box::new(row.config(inputs).build(&layers.at(index))?));
            paths.push(format!("features.{index}"));
            (inputs, index) = (row.outputs, index + 1);
        }
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        stages.push(Stage::new(format!("stage{stage}"), &paths, Sequential(blocks)));
    }
    let last = conv(index, ConvConfig::new(inputs, 6 * inputs, 1))?;
    let path = format!("features.{index}");
    stages.push(Stage::new("last", &[&path], Sequential(vec![Box::new(last), Box::new(GlobalPool)])));

    let (path, features) = ("classifier.0", HIDDEN[number]);
    let (weight, bias) = (Init::Normal(0.01), Init::Constant(0.0));
    let hidden = Linear::with(&scope.at(path), 6 * inputs, features, weight, bias)?;
    stages.push(Stage::new("hidden", &[path], Activated(hidden, HS)));
    Ok(Backbone { dropout: 0.2, ..Backbone::new(NAMES[number], stages, features, "classifier.3") })
}

/// Its batch norms'.
const STYLE: NormStyle = NormStyle::TENSORFLOW;

impl Row {
    fn config(&self, inputs: i64) -> InvertedConfig {
        let Row { kernel, wide, outputs, squeeze, activation, stride } = *self;
        let channels = rounded_channels(wide / 4, 1.0);
        let squeeze = squeeze.then_some(Squeeze { channels, activation: RE, hard: true });
        InvertedConfig { inputs, wide, outputs, kernel, stride, activation, norm: STYLE, squeeze, drop: 0.0 }
    }
}
