//! Residual networks: ResNet-18, 34, 50, 101, 152 (He et al. 2016, "Deep residual learning for image recognition"),
//! ResNeXt (Xie et al. 2017, "Aggregated residual transformations for deep neural networks": `32x4d` has 32 groups of 4
//! channels in a block of the first layer) and Wide ResNet (Zagoruyko & Komodakis 2016, "Wide residual networks": twice
//! the channels in the 3×3 convolutions).
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are. *Differences from the
//! paper:* a bottleneck strides in its 3×3 convolution, not in its first 1×1 (torchvision's "v1.5").
//!
//! Stages: `stem` (7×7 convolution and 3×3 maximum, each of stride 2), `layer1` … `layer4`; the last one ends in the
//! mean over all positions.

use tch::Tensor;

use super::blocks::{ConvNorm, NormStyle};
use super::layers::{Activation, Conv2d, ConvConfig, GlobalPool, Layer, MaxPool, Sequential};
use super::store::Scope;
use super::{Backbone, Stage};
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

/// What tells the networks apart.
#[derive(Clone, Copy)]
struct Design {
    name: &'static str,
    kind: Kind,
    /// Blocks in each of the four layers (table 1 of the paper).
    depths: [usize; 4],
    /// Groups of the 3×3 convolutions, and channels of each in the first layer.
    groups: (i64, i64),
}

const fn plain(name: &'static str, kind: Kind, depths: [usize; 4]) -> Design {
    Design { name, kind, depths, groups: (1, 64) }
}

const fn grouped(name: &'static str, depths: [usize; 4], groups: i64, channels: i64) -> Design {
    Design { name, kind: Kind::Bottleneck, depths, groups: (groups, channels) }
}

const DESIGNS: [Design; 10] = [
    plain("resnet18", Kind::Basic, [2, 2, 2, 2]),
    plain("resnet34", Kind::Basic, [3, 4, 6, 3]),
    plain("resnet50", Kind::Bottleneck, [3, 4, 6, 3]),
    plain("resnet101", Kind::Bottleneck, [3, 4, 23, 3]),
    plain("resnet152", Kind::Bottleneck, [3, 8, 36, 3]),
    grouped("resnext50_32x4d", [3, 4, 6, 3], 32, 4),
    grouped("resnext101_32x8d", [3, 4, 23, 3], 32, 8),
    grouped("resnext101_64x4d", [3, 4, 23, 3], 64, 4),
    grouped("wide_resnet50_2", [3, 4, 6, 3], 1, 128),
    grouped("wide_resnet101_2", [3, 4, 23, 3], 1, 128),
];

/// The names that [`build`] knows.
pub(super) const NAMES: [&str; DESIGNS.len()] = {
    let mut names = [""; DESIGNS.len()];
    let mut number = 0;
    while number < names.len() {
        names[number] = DESIGNS[number].name;
        number += 1;
    }
    names
};

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]` → features `[N, 512]` (18, 34) or `[N, 2048]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let design @ Design { name, kind, depths, .. } = DESIGNS[number];
    let stem = conv_norm(scope, "conv1", "bn1", ConvConfig::new(3, 64, 7).stride(2), Activation::Relu)?;
    let pool = MaxPool { padding: 1, ..MaxPool::new(3, 2) };
    let mut stages = vec![Stage::new("stem", &["conv1", "bn1"], Sequential(vec![Box::new(stem), Box::new(pool)]))];
    let mut inputs = 64;
    for (number, depth) in depths.into_iter().enumerate() {
        let layer = format!("layer{}", number + 1);
        let width = 64 << number;
        let mut blocks: Vec<Box<dyn Layer>> = vec![];
        for block in 0..depth {
            let stride = if block == 0 && number > 0 { 2 } else { 1 };
            blocks.push(Box::new(Residual::new(&scope.at(&layer).at(block), design, inputs, width, stride)?));
            inputs = width * kind.expansion();
        }
        if number == depths.len() - 1 {
            blocks.push(Box::new(GlobalPool));
        }
        stages.push(Stage::new(layer.as_str(), &[&layer], Sequential(blocks)));
    }
    Ok(Backbone::new(name, stages, inputs, "fc"))
}

/// `x ↦ ReLU(F(x) + shortcut(x))` (equations 1 and 2 of the paper).
struct Residual {
    body: Vec<ConvNorm>,
    /// A strided 1×1 convolution where the shape changes (the paper's option B).
    shortcut: Option<ConvNorm>,
}

impl Residual {
    fn new(scope: &Scope, design: Design, inputs: i64, width: i64, stride: i64) -> Result<Self> {
        let Design { kind, groups: (groups, channels), .. } = design;
        let outputs = width * kind.expansion();
        let inner = width * channels / 64 * groups;
        let convolutions = match kind {
            Kind::Basic => vec![ConvConfig::new(inputs, width, 3).stride(stride), ConvConfig::new(width, width, 3)],
            Kind::Bottleneck => vec![
                ConvConfig::new(inputs, inner, 1),
                ConvConfig { groups, ..ConvConfig::new(inner, inner, 3).stride(stride) },
                ConvConfig::new(inner, outputs, 1),
            ],
        };
        let body = convolutions
            .into_iter()
            .zip(1..)
            .map(|(config, i)| conv_norm(scope, &format!("conv{i}"), &format!("bn{i}"), config, Activation::Relu));
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
        let (last, first) = self.body.split_last().expect("a block has layers");
        let inside = first.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(&x, train))?;
        let around = self.shortcut.as_ref().map(|shortcut| shortcut.forward(x, train)).transpose()?;
        last.forward_added(&inside, Some(around.as_ref().unwrap_or(x)), train)
    }
}

fn conv_norm(scope: &Scope, conv: &str, norm: &str, config: ConvConfig, activation: Activation) -> Result<ConvNorm> {
    let conv = Conv2d::new(&scope.at(conv), config.he_fan_out())?;
    Ok(ConvNorm::new(conv, NormStyle::PYTORCH.layer(&scope.at(norm), config.outputs)?, activation))
}
