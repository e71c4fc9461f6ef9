//! SqueezeNet 1.0 and 1.1 (Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters").
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are. It has no linear layer:
//! the features are a map, and the source network's head is a 1×1 convolution, a ReLU and the mean over all positions.
//!
//! Stages: `stem`, `fire2` … `fire9` (the paper's numbers), each with the maximum that follows it.

use tch::Tensor;

use super::backbone::FeatureForm;
use super::layers::{Activated, Activation, Conv2d, ConvConfig, Layer, MaxPool, Sequential};
use super::store::Scope;
use super::{Backbone, Init, Stage};
use crate::Result;

/// The names that [`build`] knows.
pub(super) const NAMES: [&str; 2] = ["squeezenet1_0", "squeezenet1_1"];
/// Channels and kernel of the stem, and the fire modules that a maximum follows.
const DESIGNS: [(i64, i64, [usize; 2]); 2] = [(96, 7, [4, 8]), (64, 3, [3, 5])];
/// Channels of fire 2 to 9: squeezed, and widened by each of the two kernels.
const FIRES: [(i64, i64); 8] = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)];

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]`, at least 21 × 21 → features `[N, 512, H', W']`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let (mut channels, kernel, pooled) = DESIGNS[number];
    let layers = scope.at("features");
    let pool = MaxPool { ceil: true, ..MaxPool::new(3, 2) };
    let stem = conv(&layers.at(0), ConvConfig::new(3, channels, kernel).stride(2).padding(0))?;
    let stem = Sequential(vec![Box::new(stem), Box::new(pool)]);
    let mut stages = vec![Stage::new("stem", &["features.0"], stem)];
    let mut index = 3; // after convolution, ReLU and maximum
    for ((squeezed, wide), fire) in FIRES.into_iter().zip(2..) {
        let path = format!("features.{index}");
        let mut parts: Vec<Box<dyn Layer>> = vec![Box::new(Fire::new(&scope.at(&path), channels, squeezed, wide)?)];
        (channels, index) = (2 * wide, index + 1);
        if pooled.contains(&fire) {
            parts.push(Box::new(pool));
            index += 1;
        }
        stages.push(Stage::new(format!("fire{fire}"), &[&path], Sequential(parts)));
    }
    let backbone = Backbone::new(NAMES[number], stages, channels, "classifier.1");
    Ok(Backbone { form: FeatureForm::Map, dropout: 0.5, ..backbone })
}

fn conv(scope: &Scope, config: ConvConfig) -> Result<Activated<Conv2d>> {
    let init = Init::he_uniform(config.fan_in());
    Ok(Activated(Conv2d::new(scope, config.bias().init(init))?, Activation::Relu))
}

/// Squeeze 1×1, then widen by 1×1 and by 3×3 side by side.
struct Fire {
    squeeze: Activated<Conv2d>,
    expand: [Activated<Conv2d>; 2],
}

impl Fire {
    fn new(scope: &Scope, inputs: i64, squeezed: i64, wide: i64) -> Result<Self> {
        let squeeze = conv(&scope.at("squeeze"), ConvConfig::new(inputs, squeezed, 1))?;
        let expand = |path: &str, kernel| conv(&scope.at(path), ConvConfig::new(squeezed, wide, kernel));
        Ok(Self { squeeze, expand: [expand("expand1x1", 1)?, expand("expand3x3", 3)?] })
    }
}

impl Layer for Fire {
    /// # Shapes
    /// `x: [N, inputs, H, W]` → `[N, 2 × wide, H, W]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let squeezed = self.squeeze.forward(x, train)?;
        let [one, three] = &self.expand;
        Ok(Tensor::f_cat(&[one.forward(&squeezed, train)?, three.forward(&squeezed, train)?], 1)?)
    }
}
