//! AlexNet in the form of Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks": without
//! the two halves and without the local response normalisation of the network that won in 2012.
//!
//! Names, initial values (PyTorch's defaults) and geometry are torchvision's, so its checkpoints load as they are; as
//! there, what comes before the first linear layer is pooled to 6×6 for images of any size.
//!
//! Stages: `conv1` … `conv5`, `fc6`, `fc7` (the hidden linear layers, each after the dropout that belongs to it).

use super::layers::{
    Activated, Activation, AdaptivePool, Conv2d, ConvConfig, Dropout, Layer, Linear, MaxPool, Sequential,
};
use super::store::Scope;
use super::{Backbone, Stage};
use crate::Result;

/// The name that [`build`] knows.
pub(super) const NAMES: [&str; 1] = ["alexnet"];
/// Side of what the first linear layer sees.
const SIDE: i64 = 6;
const HIDDEN: i64 = 4096;
const DROPOUT: f64 = 0.5;

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]`, at least 63 × 63 → features `[N, 4096]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let last = 256;
    // number in `features`, convolution, whether a maximum over 3×3 with stride 2 follows
    let convolutions = [
        (0, ConvConfig::new(3, 64, 11).stride(4).padding(2), true),
        (3, ConvConfig::new(64, 192, 5), true),
        (6, ConvConfig::new(192, 384, 3), false),
        (8, ConvConfig::new(384, 256, 3), false),
        (10, ConvConfig::new(256, last, 3), true),
    ];
    let mut stages = vec![];
    for ((path, config, pools), stage) in convolutions.into_iter().zip(1..) {
        let path = format!("features.{path}");
        let conv = Activated(Conv2d::new(&scope.at(&path), config.bias())?, Activation::Relu);
        let mut layers: Vec<Box<dyn Layer>> = vec![Box::new(conv)];
        if pools {
            layers.push(Box::new(MaxPool::new(3, 2)));
        }
        stages.push(Stage::new(format!("conv{stage}"), &[&path], Sequential(layers)));
    }
    let inputs = last * SIDE * SIDE;
    let linear = |path: &str, inputs| -> Result<Activated<Linear>> {
        Ok(Activated(Linear::new(&scope.at(path), inputs, HIDDEN)?, Activation::Relu))
    };
    let dropout = Dropout::new(scope, DROPOUT);
    let (first, second) = (linear("classifier.1", inputs)?, linear("classifier.4", HIDDEN)?);
    let first = Sequential(vec![Box::new(AdaptivePool(SIDE)), Box::new(dropout), Box::new(first)]);
    stages.push(Stage::new("fc6", &["classifier.1"], first));
    stages.push(Stage::new("fc7", &["classifier.4"], Sequential(vec![Box::new(dropout), Box::new(second)])));
    Ok(Backbone::new(NAMES[number], stages, HIDDEN, "classifier.6"))
}
