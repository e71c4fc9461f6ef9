//! VGG-11, 13, 16 and 19, without and with batch norm (Simonyan & Zisserman 2015, "Very deep convolutional networks for
//! large-scale image recognition").
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are. *Differences from the
//! paper:* as there, what comes before the first linear layer is pooled to 7×7 for images of any size.
//!
//! Stages: `block1` … `block5` (each ends in a maximum over 2×2), `fc6`, `fc7` (the hidden linear layers, each after the
//! dropout that belongs to it).

use super::blocks::{ConvNorm, NormStyle};
use super::layers::{
    Activated, Activation, AdaptivePool, Conv2d, ConvConfig, Dropout, Layer, Linear, MaxPool, Sequential,
};
use super::store::Scope;
use super::{Backbone, Init, Stage};
use crate::Result;

/// The names that [`build`] knows; every second has batch norms.
pub(super) const NAMES: [&str; 8] =
    ["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"];
/// Convolutions per block: configurations A, B, D and E of table 1.
const COUNTS: [[usize; 5]; 4] = [[1, 1, 2, 2, 2], [2, 2, 2, 2, 2], [2, 2, 3, 3, 3], [2, 2, 4, 4, 4]];
const CHANNELS: [i64; 5] = [64, 128, 256, 512, 512];
/// Side of what the first linear layer sees.
const SIDE: i64 = 7;
const HIDDEN: i64 = 4096;
/// The dropout before every linear layer but the first.
const DROPOUT: f64 = 0.5;

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]`, at least 32 × 32 → features `[N, 4096]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let (counts, normed) = (COUNTS[number / 2], number % 2 == 1);
    let (mut inputs, mut index) = (3, 0);
    let mut stages = vec![];
    for ((count, outputs), block) in counts.into_iter().zip(CHANNELS).zip(1..) {
        let (mut layers, mut paths): (Vec<Box<dyn Layer>>, Vec<String>) = (vec![], vec![]);
        for _ in 0..count {
            let (path, next) = (format!("features.{index}"), format!("features.{}", index + 1));
            let conv = Conv2d::new(&scope.at(&path), ConvConfig::new(inputs, outputs, 3).bias().he_fan_out())?;
            paths.push(path);
            if normed {
                let norm = NormStyle::PYTORCH.layer(&scope.at(&next), outputs)?;
                layers.push(Box::new(ConvNorm::new(conv, norm, Activation::Relu)));
                paths.push(next);
            } else {
                layers.push(Box::new(Activated(conv, Activation::Relu)));
            }
            index += if normed { 3 } else { 2 };
            inputs = outputs;
        }
        index += 1; // the maximum
        layers.push(Box::new(MaxPool::new(2, 2)));
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        stages.push(Stage::new(format!("block{block}"), &paths, Sequential(layers)));
    }
    let linear = |path: &str, inputs| -> Result<Activated<Linear>> {
        let (weight, bias) = (Init::Normal(0.01), Init::Constant(0.0));
        Ok(Activated(Linear::with(&scope.at(path), inputs, HIDDEN, weight, bias)?, Activation::Relu))
    };
    let first = linear("classifier.0", inputs * SIDE * SIDE)?;
    stages.push(Stage::new("fc6", &["classifier.0"], Sequential(vec![Box::new(AdaptivePool(SIDE)), Box::new(first)])));
    let dropout = Dropout::new(scope, DROPOUT);
    let second = Sequential(vec![Box::new(dropout), Box::new(linear("classifier.3", HIDDEN)?)]);
    stages.push(Stage::new("fc7", &["classifier.3"], second));
    Ok(Backbone { dropout: DROPOUT, ..Backbone::new(NAMES[number], stages, HIDDEN, "classifier.6") })
}
