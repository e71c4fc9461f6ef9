//! EfficientNet-Lite 0 to 4 (Tan & Le 2019, "EfficientNet", in the variant published in 2020 for phones): inverted
//! bottlenecks without squeeze-and-excitation, with ReLU6, and with a stem and a last layer that do not grow.
//!
//! Names are those of the Python package `efficientnet_lite_pytorch`, so its checkpoints load as they are; initial
//! values are PyTorch's defaults, as there. Convolutions pad as TensorFlow does, always by the size of the image at
//! hand; the package fixes the padding at the model's own image size, which is the same thing at that size.
//!
//! Stages: `stem`, `stage1` … `stage7` (the seven groups of blocks), `last` (1×1 convolution to 1280 channels and the
//! mean over all positions).

use tch::{Kind, Tensor};

use super::blocks::{Activation, ConvNorm, GlobalPool};
use super::layers::{BatchNorm2d, Conv2d, ConvConfig, Layer, Padding, Sequential};
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
/// Batch norm: ε, and the weight of a new batch in the running statistics (TensorFlow's momentum 0.99).
const EPS: f64 = 1e-3;
const MOMENTUM: f64 = 0.01;
/// The source networks' `drop_connect` (see [`assemble`]).
const DROP_CONNECT: f64 = 0.2;

/// A group of blocks of Lite0.
struct Group {
    blocks: u32,
    kernel: i64,
    stride: i64,
    expansion: i64,
    outputs: i64,
}

const fn group(blocks: u32, kernel: i64, stride: i64, expansion: i64, outputs: i64) -> Group {
    Group { blocks, kernel, stride, expansion, outputs }
}

/// Table 1 of the paper.
const GROUPS: [Group; 7] = [
    group(1, 3, 1, 1, 16),
    group(2, 3, 2, 6, 24),
    group(2, 5, 2, 6, 40),
    group(3, 3, 2, 6, 80),
    group(3, 5, 1, 6, 112),
    group(4, 5, 2, 6, 192),
    group(1, 3, 1, 6, 320),
];

/// The network of that name under `scope`, or `None` for a name that is none of these.
///
/// # Shapes
/// `x: [N, 3, H, W]` → features `[N, 1280]`
pub(super) fn build(name: &str, scope: &Scope) -> Option<Result<Backbone>> {
    let number = NAMES.iter().position(|known| *known == name)?;
    Some(assemble(number, scope, DROP_CONNECT))
}

/// The network of that number; `drop_connect` is the share of images for which the last block's branch is dropped in
/// training, earlier blocks proportionally less.
pub(super) fn assemble(number: usize, scope: &Scope, drop_connect: f64) -> Result<Backbone> {
    let (width, depth, dropout) = SCALES[number];
    let same =
        |inputs, outputs, kernel| ConvConfig { padding: Padding::Same, ..ConvConfig::new(inputs, outputs, kernel) };
    let stem = conv_norm(scope, "_conv_stem", "_bn0", same(3, STEM, 3).stride(2), Activation::Relu6)?;
    let mut stages = vec![Stage::new("stem", &["_conv_stem", "_bn0"], stem)];

    let counts: Vec<_> = (0..GROUPS.len()).map(|group| blocks_in(group, depth)).collect();
    let total: u32 = counts.iter().sum();
    let (mut inputs, mut index) = (STEM, 0);
    for ((group, count), number) in GROUPS.iter().zip(counts).zip(1..) {
        let outputs = channels(group.outputs, width);
        let (mut blocks, mut paths): (Vec<Box<dyn Layer>>, Vec<String>) = (vec![], vec![]);
        for block in 0..count {
            let path = format!("_blocks.{index}");
            let stride = if block == 0 { group.stride } else { 1 };
            let drop = drop_connect * f64::from(index) / f64::from(total);
            blocks.push(Box::new(Block::new(&scope.at(&path), group, inputs, outputs, stride, drop)?));
            paths.push(path);
            (inputs, index) = (outputs, index + 1);
        }
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        stages.push(Stage::new(format!("stage{number}"), &paths, Sequential(blocks)));
    }

    let last = conv_norm(scope, "_conv_head", "_bn1", same(inputs, LAST, 1), Activation::Relu6)?;
    let last = Sequential(vec![Box::new(last), Box::new(GlobalPool)]);
    stages.push(Stage::new("last", &["_conv_head", "_bn1"], last));
    Ok(Backbone { architecture: NAMES[number].to_string(), stages, features: LAST, head_path: "_fc", dropout })
}

/// Channels at that width: the nearest multiple of 8, but never a tenth less than asked.
fn channels(base: i64, width: f64) -> i64 {
    let wanted = base as f64 * width;
    let rounded = (((wanted + 4.0) as i64) / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }
}

/// How many blocks group number `group` has at that depth; the first and the last group do not grow.
fn blocks_in(group: usize, depth: f64) -> u32 {
    let blocks = GROUPS[group].blocks;
    if group == 0 || group == GROUPS.len() - 1 { blocks } else { (depth * f64::from(blocks)).ceil() as u32 }
}

/// An inverted bottleneck (Sandler et al. 2018, "MobileNetV2"): widen 1×1, filter each channel, narrow 1×1, and add
/// the input where the shape is kept.
struct Block {
    layers: Vec<ConvNorm>,
    residual: bool,
    /// Share of images for which the branch is dropped in training (Huang et al. 2016, "Deep networks with stochastic
    /// depth", per image).
    drop: f64,
}

impl Block {
    fn new(scope: &Scope, group: &Group, inputs: i64, outputs: i64, stride: i64, drop: f64) -> Result<Self> {
        let wide = inputs * group.expansion;
        let mut layers = vec![];
        if group.expansion != 1 {
            layers.push(conv_norm(scope, "_expand_conv", "_bn0", ConvConfig::new(inputs, wide, 1), Activation::Relu6)?);
        }
        let depthwise = ConvConfig::new(wide, wide, group.kernel).stride(stride);
        let depthwise = ConvConfig { groups: wide, padding: Padding::Same, ..depthwise };
        layers.push(conv_norm(scope, "_depthwise_conv", "_bn1", depthwise, Activation::Relu6)?);
        layers.push(conv_norm(scope, "_project_conv", "_bn2", ConvConfig::new(wide, outputs, 1), Activation::Linear)?);
        Ok(Self { layers, residual: stride == 1 && inputs == outputs, drop })
    }
}

impl Layer for Block {
    /// # Shapes
    /// `x: [N, inputs, H, W]` → `[N, outputs, ⌈H / stride⌉, ⌈W / stride⌉]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut branch = self.layers.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(&x, train))?;
        if !self.residual {
            return Ok(branch);
        }
        if train && self.drop > 0.0 {
            let keep = 1.0 - self.drop;
            let mut kept = Tensor::f_empty([x.size()[0], 1, 1, 1], (Kind::Float, x.device()))?;
            // Scaled, so that the branch keeps its expected value.
            let scale = kept.f_bernoulli_float_(keep)?.f_div_scalar_(keep)?.f_to_kind(branch.kind())?;
            return Ok(x.f_addcmul(&branch, &scale)?);
        }
        Ok(branch.f_add_(x)?)
    }
}

fn conv_norm(scope: &Scope, conv: &str, norm: &str, config: ConvConfig, activation: Activation) -> Result<ConvNorm> {
    let conv = Conv2d::new(&scope.at(conv), config)?;
    Ok(ConvNorm::new(conv, BatchNorm2d::with(&scope.at(norm), config.outputs, EPS, MOMENTUM)?, activation))
}

#[cfg(test)]
mod tests {
    use super::super::Builder;
    use super::*;

    #[test]
    fn widths_are_rounded_as_the_paper_rounds_them() {
        assert_eq!(channels(16, 1.1), 16);
        assert_eq!(channels(40, 1.1), 48); // 44 lies between 40 and 48
        assert_eq!(channels(24, 1.4), 32);
        assert_eq!(channels(10, 1.0), 16); // 8 would be more than a tenth less
        assert_eq!((0..7).map(|group| blocks_in(group, 1.8)).collect::<Vec<_>>(), [1, 4, 4, 6, 6, 8, 1]);
    }

    #[test]
    fn a_dropped_branch_leaves_the_image_as_it_was_and_a_kept_one_is_scaled() -> Result<()> {
        tch::manual_seed(1);
        let builder = Builder::new(tch::Device::Cpu);
        let block = Block::new(&builder.root(), &GROUPS[1], 24, 24, 1, 0.5)?;
        builder.finish().freeze(&Default::default(), true); // the statistics are held: no image sees another
        let x = Tensor::randn([64, 24, 4, 4], (Kind::Float, tch::Device::Cpu));
        let (plain, trained) = tch::no_grad(|| (block.forward(&x, false), block.forward(&x, true)));
        let (plain, trained) = (plain? - &x, trained? - &x);
        let mut dropped = 0;
        for image in 0..64 {
            let branch = trained.get(image);
            if branch.abs().max().double_value(&[]) == 0.0 {
                dropped += 1;
            } else {
                assert!(branch.allclose(&(plain.get(image) * 2.0), 1e-4, 1e-6, false), "image {image} is not doubled");
            }
        }
        assert!((20..45).contains(&dropped), "{dropped} of 64 were dropped at a rate of one half");
        Ok(())
    }
}
