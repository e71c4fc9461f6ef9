//! The three networks of Ganin et al. 2016, "Domain-adversarial training of neural networks" (figure 4): small ones, made for
//! digits and signs, without published weights and without batch norm.
//!
//! | name | images | feature extractor | label predictor |
//! |---|---|---|---|
//! | `dann_mnist` | 28 × 28 | conv 5×5 of 32, pool 2, conv 5×5 of 48, pool 2 | 100, 100 |
//! | `dann_svhn` | 32 × 32 | conv 5×5 of 64, pool 3 by 2, conv 5×5 of 64, pool 3 by 2, conv 5×5 of 128 | 3072, 2048 |
//! | `dann_signs` | 40 × 40 | conv 5×5 of 96, pool 2, conv 3×3 of 144, pool 2, conv 5×5 of 256, pool 2 | 512 |
//!
//! A ReLU follows every layer, and after these comes the head. The paper's domain classifier sits on the feature extractor; so
//! does ours where nothing else is said ([`Backbone::extractor`]). The first network pads nothing, as LeNet does not; the paper
//! does not say it, and the others need half a kernel of zeros to be left with anything.
//!
//! Stages: `conv1`, `conv2` (`conv3`), `fc1` (`fc2`); the head is `fc3`, or `fc2`.

use super::layers::{Activated, Activation, AdaptivePool, Conv2d, ConvConfig, Layer, Linear, MaxPool, Sequential};
use super::store::Scope;
use super::{Backbone, Init, Stage};
use crate::Result;
use crate::data::{Interpolation, Preprocessing};

/// The names that [`build`] knows.
pub(super) const NAMES: [&str; 3] = ["dann_mnist", "dann_svhn", "dann_signs"];

/// A convolution: channels, kernel, zeros around the input, and the maximum that follows as window and step.
type Convolution = (i64, i64, i64, Option<(i64, i64)>);

/// Side of the images, the convolutions, side of the map that they leave, widths of the hidden layers.
type Plan = (u32, &'static [Convolution], i64, &'static [i64]);

const PLANS: [Plan; 3] = [
    (28, &[(32, 5, 0, Some((2, 2))), (48, 5, 0, Some((2, 2)))], 4, &[100, 100]),
    (32, &[(64, 5, 2, Some((3, 2))), (64, 5, 2, Some((3, 2))), (128, 5, 2, None)], 7, &[3072, 2048]),
    (40, &[(96, 5, 2, Some((2, 2))), (144, 3, 1, Some((2, 2))), (256, 5, 2, Some((2, 2)))], 5, &[512]),
];

/// How the network of that number takes its images if nothing is said: whole, values in about −2..2.
pub(super) fn preprocessing(number: usize) -> Preprocessing {
    let side = PLANS[number].0;
    Preprocessing { resize: side, crop: side, interpolation: Interpolation::Bilinear, mean: [0.5; 3], std: [0.25; 3] }
}

/// The network of that number in [`NAMES`] under `scope`, with He's initial values.
///
/// # Shapes
/// `x: [N, 3, S, S]` of the side that the table says (others are pooled to what the first linear layer takes) → features
/// `[N, hidden]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let (_, convolutions, side, hidden) = PLANS[number];
    let (mut stages, mut inputs) = (vec![], 3);
    for ((outputs, kernel, padding, pool), stage) in convolutions.iter().copied().zip(1..) {
        let path = format!("conv{stage}");
        let config = ConvConfig::new(inputs, outputs, kernel).padding(padding).bias();
        let config = config.init(Init::he_fan_in(config.fan_in()));
        let mut layers: Vec<Box<dyn Layer>> =
            vec![Box::new(Activated(Conv2d::new(&scope.at(&path), config)?, Activation::Relu))];
        if let Some((window, step)) = pool {
            layers.push(Box::new(MaxPool::new(window, step)));
        }
        stages.push(Stage::new(path.clone(), &[&path], Sequential(layers)));
        inputs = outputs;
    }
    let extractor = stages.len();
    inputs *= side * side;
    for (&outputs, stage) in hidden.iter().zip(1..) {
        let path = format!("fc{stage}");
        let linear = Linear::with(&scope.at(&path), inputs, outputs, Init::he_fan_in(inputs), Init::Constant(0.0))?;
        let mut layers: Vec<Box<dyn Layer>> = vec![Box::new(Activated(linear, Activation::Relu))];
        if stage == 1 {
            layers.insert(0, Box::new(AdaptivePool(side)));
        }
        stages.push(Stage::new(path.clone(), &[&path], Sequential(layers)));
        inputs = outputs;
    }
    let head = format!("fc{}", hidden.len() + 1);
    Ok(Backbone { extractor, ..Backbone::new(NAMES[number], stages, inputs, &head) })
}
