//! ConvNeXt, tiny, small, base and large (Liu et al. 2022, "A ConvNet for the 2020s"): blocks of a wide depthwise
//! convolution, layer norm and two linear layers at each position.
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are; the initial values are
//! normal with σ = 0.02 (torchvision truncates them at ±2, a hundred σ away).
//!
//! Stages: `stem` (patches of 4×4), `stage1` … `stage4` (the last three with the halving before them), `norm` (the mean
//! over all positions and its layer norm).

use tch::Tensor;

use super::layers::{Conv2d, ConvConfig, GlobalPool, Layer, LayerNorm, Linear, Sequential, StochasticDepth};
use super::store::Scope;
use super::{Backbone, Init, Stage};
use crate::Result;

/// The names that [`build`] knows.
pub(super) const NAMES: [&str; 4] = ["convnext_tiny", "convnext_small", "convnext_base", "convnext_large"];
/// Channels and blocks per stage, and the share of images for which the last block's branch is dropped in training,
/// earlier blocks proportionally less.
const DESIGNS: [(i64, [u32; 4], f64); 4] =
    [(96, [3, 3, 9, 3], 0.1), (96, [3, 3, 27, 3], 0.4), (128, [3, 3, 27, 3], 0.5), (192, [3, 3, 27, 3], 0.5)];
const EPS: f64 = 1e-6;
const INIT: Init = Init::Normal(0.02);
/// Where the scale of a branch starts.
const LAYER_SCALE: f64 = 1e-6;

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]`, at least 32 × 32 → features `[N, 8 × channels of the stem]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let (mut channels, counts, drop) = DESIGNS[number];
    let (layers, last) = (scope.at("features"), counts.iter().sum::<u32>() - 1);
    let stem = Sequential(vec![
        Box::new(patches(&layers.at(0).at(0), 3, channels, 4)?),
        Box::new(ChannelNorm(LayerNorm::new(&layers.at(0).at(1), channels, EPS)?)),
    ]);
    let mut stages = vec![Stage::new("stem", &["features.0"], stem)];
    let (mut index, mut block) = (1, 0);
    for (count, stage) in counts.into_iter().zip(1..) {
        let (mut parts, mut paths): (Vec<Box<dyn Layer>>, Vec<String>) = (vec![], vec![]);
        if stage > 1 {
            let halving = layers.at(index);
            parts.push(Box::new(ChannelNorm(LayerNorm::new(&halving.at(0), channels, EPS)?)));
            parts.push(Box::new(patches(&halving.at(1), channels, 2 * channels, 2)?));
            paths.push(halving.path().to_string());
            (channels, index) = (2 * channels, index + 1);
        }
        let group = layers.at(index);
        for number in 0..count {
            let drop = drop * f64::from(block) / f64::from(last);
            parts.push(Box::new(Block::new(&group.at(number), channels, drop)?));
            block += 1;
        }
        paths.push(group.path().to_string());
        index += 1;
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        stages.push(Stage::new(format!("stage{stage}"), &paths, Sequential(parts)));
    }
    let norm = LayerNorm::new(&scope.at("classifier.0"), channels, EPS)?;
    let norm = Sequential(vec![Box::new(GlobalPool), Box::new(norm)]);
    stages.push(Stage::new("norm", &["classifier.0"], norm));
    Ok(Backbone::new(NAMES[number], stages, channels, "classifier.2"))
}

/// A convolution whose squares do not overlap.
fn patches(scope: &Scope, inputs: i64, outputs: i64, side: i64) -> Result<Conv2d> {
    Conv2d::new(scope, ConvConfig::new(inputs, outputs, side).stride(side).padding(0).bias().init(INIT))
}

/// Layer norm over the channels at each position.
struct ChannelNorm(LayerNorm);

impl Layer for ChannelNorm {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C, H, W]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.0.forward(&x.f_permute([0, 2, 3, 1])?, train)?.f_permute([0, 3, 1, 2])?)
    }
}

/// `x ↦ x + scale · F(x)`.
struct Block {
    filter: Conv2d,
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
    /// `[channels, 1, 1]`
    scale: Tensor,
    depth: StochasticDepth,
}

impl Block {
    fn new(scope: &Scope, channels: i64, drop: f64) -> Result<Self> {
        let block = scope.at("block");
        let linear =
            |path: usize, inputs, outputs| Linear::with(&block.at(path), inputs, outputs, INIT, Init::Constant(0.0));
        Ok(Self {
            scale: scope.parameter("layer_scale", &[channels, 1, 1], Init::Constant(LAYER_SCALE))?,
            filter: Conv2d::new(&block.at(0), ConvConfig::depthwise(channels, 7).bias().init(INIT))?,
            norm: LayerNorm::new(&block.at(2), channels, EPS)?,
            widen: linear(3, channels, 4 * channels)?,
            narrow: linear(5, 4 * channels, channels)?,
            depth: StochasticDepth::new(scope, drop),
        })
    }
}

impl Layer for Block {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C, H, W]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let inside = self.filter.forward(x, train)?.f_permute([0, 2, 3, 1])?; // [N, H, W, C]
        let wide = self.widen.forward(&self.norm.forward(&inside, train)?, train)?;
        let inside = self.narrow.forward(&wide.f_gelu("none")?, train)?;
        let branch = self.scale.f_mul(&inside.f_permute([0, 3, 1, 2])?)?;
        self.depth.join(branch, x, train)
    }
}
