//! A plain convolutional network for small images, without published weights: the subject of experiments that train many
//! networks from scratch, as the layer sweep of Yosinski et al. 2014 does with AlexNet.
//!
//! Five convolutions with ReLU, of 16, 32, 48, 64 and 64 channels (5×5, then 3×3), and a hidden linear layer of 128. A maximum
//! over 2×2 follows the first, third and fifth; what comes before the linear layer is pooled to 3×3 for images of any size. No
//! batch norm, so that a frozen stage is its weights and nothing else. 158,224 parameters below the head, and 7.8 million
//! multiplications for an image of 28 × 28.
//!
//! Stages: `conv1` … `conv5`, `fc6`.

use super::layers::{Activated, Activation, AdaptivePool, Conv2d, ConvConfig, Layer, Linear, MaxPool, Sequential};
use super::store::Scope;
use super::{Backbone, Init, Stage};
use crate::Result;
use crate::data::{Interpolation, Preprocessing};

/// The name that [`build`] knows.
pub(super) const NAMES: [&str; 1] = ["small_cnn"];
/// Side of what the linear layer sees.
const SIDE: i64 = 3;
const HIDDEN: i64 = 128;

/// How it takes its images if nothing is said: whole, 28 × 28 pixels, values in about −2..2.
pub(super) fn preprocessing() -> Preprocessing {
    Preprocessing { resize: 28, crop: 28, interpolation: Interpolation::Bilinear, mean: [0.5; 3], std: [0.25; 3] }
}

/// The network of that number in [`NAMES`] under `scope`, with He's initial values.
///
/// # Shapes
/// `x: [N, 3, H, W]`, at least 8 × 8 → features `[N, 128]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let mut stages = vec![];
    // input channels, output channels, kernel, whether a maximum over 2×2 follows
    let convolutions = [(3, 16, 5, true), (16, 32, 3, false), (32, 48, 3, true), (48, 64, 3, false), (64, 64, 3, true)];
    for ((inputs, outputs, kernel, pools), stage) in convolutions.into_iter().zip(1..) {
        let path = format!("conv{stage}");
        let config = ConvConfig::new(inputs, outputs, kernel).bias();
        let config = config.init(Init::he_fan_in(config.fan_in()));
        let mut layers: Vec<Box<dyn Layer>> =
            vec![Box::new(Activated(Conv2d::new(&scope.at(&path), config)?, Activation::Relu))];
        if pools {
            layers.push(Box::new(MaxPool::new(2, 2)));
        }
        stages.push(Stage::new(path.clone(), &[&path], Sequential(layers)));
    }
    let inputs = 64 * SIDE * SIDE;
    let linear = Linear::with(&scope.at("fc6"), inputs, HIDDEN, Init::he_fan_in(inputs), Init::Constant(0.0))?;
    let hidden = Sequential(vec![Box::new(AdaptivePool(SIDE)), Box::new(Activated(linear, Activation::Relu))]);
    stages.push(Stage::new("fc6", &["fc6"], hidden));
    Ok(Backbone::new(NAMES[number], stages, HIDDEN, "fc7"))
}
