//! Residual networks (He et al. 2016, "Deep residual learning for image recognition"): ResNet-18, 34, 50, 101, 152.
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are. *Differences from the
//! paper:* a bottleneck strides in its 3×3 convolution, not in its first 1×1 (torchvision's "v1.5").
//!
//! Stages: `stem` (7×7 convolution and 3×3 maximum, each of stride 2), `layer1` … `layer4`; the last one ends in the
//! mean over all positions.

use tch::Tensor;

use super::blocks::{Activation, ConvNorm, GlobalPool};
use super::layers::{BatchNorm2d, Conv2d, ConvConfig, Layer, Sequential};
use super::store::Scope;
use super::{Backbone, Init, Stage};
use crate::Result;

/// The two kinds of residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1 to four times the width.
    Bottleneck,
}

impl Kind {
    fn expansion(self) -> i64 {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// The depths that exist, with the number of blocks in each of the four layers (table 1 of the paper).
fn design(name: &str) -> Option<(Kind, [usize; 4])> {
    Some(match name {
        "resnet18" => (Kind::Basic, [2, 2, 2, 2]),
        "resnet34" => (Kind::Basic, [3, 4, 6, 3]),
        "resnet50" => (Kind::Bottleneck, [3, 4, 6, 3]),
        "resnet101" => (Kind::Bottleneck, [3, 4, 23, 3]),
        "resnet152" => (Kind::Bottleneck, [3, 8, 36, 3]),
        _ => return None,
    })
}

/// The names that [`build`] knows.
pub(super) const NAMES: [&str; 5] = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"];

/// The network of that name under `scope`, or `None` for a name that is none of these.
///
/// # Shapes
/// `x: [N, 3, H, W]` → features `[N, 512]` (18, 34) or `[N, 2048]`
pub(super) fn build(name: &str, scope: &Scope) -> Option<Result<Backbone>> {
    let (kind, depths) = design(name)?;
    Some(assemble(name, scope, kind, depths))
}

fn assemble(name: &str, scope: &Scope, kind: Kind, depths: [usize; 4]) -> Result<Backbone> {
    let stem = conv_norm(scope, "conv1", "bn1", ConvConfig::new(3, 64, 7).stride(2), Activation::Relu)?;
    let mut stages = vec![Stage::new("stem", &["conv1", "bn1"], Sequential(vec![Box::new(stem), Box::new(MaxPool)]))];
    let mut inputs = 64;
    for (number, depth) in depths.into_iter().enumerate() {
        let layer = format!("layer{}", number + 1);
        let width = 64 << number;
        let mut blocks: Vec<Box<dyn Layer>> = vec![];
        for block in 0..depth {
            let stride = if block == 0 && number > 0 { 2 } else { 1 };
            blocks.push(Box::new(Residual::new(&scope.at(&layer).at(block), kind, inputs, width, stride)?));
            inputs = width * kind.expansion();
        }
        if number == depths.len() - 1 {
            blocks.push(Box::new(GlobalPool));
        }
        stages.push(Stage::new(layer.as_str(), &[&layer], Sequential(blocks)));
    }
    Ok(Backbone { architecture: name.to_string(), stages, features: inputs, head_path: "fc", dropout: 0.0 })
}

/// `x ↦ ReLU(F(x) + shortcut(x))` (equations 1 and 2 of the paper).
struct Residual {
    body: Vec<ConvNorm>,
    /// A strided 1×1 convolution where the shape changes (the paper's option B).
    shortcut: Option<ConvNorm>,
}

impl Residual {
    fn new(scope: &Scope, kind: Kind, inputs: i64, width: i64, stride: i64) -> Result<Self> {
        let outputs = width * kind.expansion();
        let convolutions = match kind {
            Kind::Basic => vec![ConvConfig::new(inputs, width, 3).stride(stride), ConvConfig::new(width, width, 3)],
            Kind::Bottleneck => vec![
                ConvConfig::new(inputs, width, 1),
                ConvConfig::new(width, width, 3).stride(stride),
                ConvConfig::new(width, outputs, 1),
            ],
        };
        let last = convolutions.len();
        let body = convolutions.into_iter().zip(1..).map(|(config, i)| {
            let activation = if i == last { Activation::Linear } else { Activation::Relu };
            conv_norm(scope, &format!("conv{i}"), &format!("bn{i}"), config, activation)
        });
        let body = body.collect::<Result<_>>()?;
        let reshapes = stride != 1 || inputs != outputs;
        let shortcut = reshapes.then(|| {
            let config = ConvConfig::new(inputs, outputs, 1).stride(stride);
            conv_norm(&scope.at("downsample"), "0", "1", config, Activation::Linear)
        });
        Ok(Self { body, shortcut: shortcut.transpose()? })
    }
}

impl Layer for Residual {
    /// # Shapes
    /// `x: [N, inputs, H, W]` → `[N, width × expansion, H / stride, W / stride]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut sum = self.body.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(&x, train))?;
        let _same = match &self.shortcut {
            Some(shortcut) => sum.f_add_(&shortcut.forward(x, train)?)?,
            None => sum.f_add_(x)?,
        };
        Activation::Relu.apply(sum)
    }
}

/// The stem's maximum over 3×3 with stride 2.
struct MaxPool;

impl Layer for MaxPool {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C, H / 2, W / 2]`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_max_pool2d([3; 2], [2; 2], [1; 2], [1; 2], false)?)
    }
}

fn conv_norm(scope: &Scope, conv: &str, norm: &str, config: ConvConfig, activation: Activation) -> Result<ConvNorm> {
    let init = Some(Init::he_fan_out(config.outputs, config.kernel));
    let conv = Conv2d::new(&scope.at(conv), ConvConfig { init, ..config })?;
    Ok(ConvNorm::new(conv, BatchNorm2d::new(&scope.at(norm), config.outputs)?, activation))
}
