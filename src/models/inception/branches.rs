//! The five kinds of block: branches side by side whose maps are joined along the channels (figures 5 to 7 and 10 of the
//! paper).

use tch::Tensor;

use crate::Result;
use crate::models::Init;
use crate::models::blocks::{ConvNorm, NormStyle};
use crate::models::layers::{Activation, AveragePool, Conv2d, ConvConfig, Layer, MaxPool, Sequential};
use crate::models::store::Scope;

/// Branches side by side.
pub(super) struct Block(Vec<Box<dyn Layer>>);

impl Layer for Block {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, ΣC', H', W']`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let maps = self.0.iter().map(|branch| branch.forward(x, train)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&maps, 1)?)
    }
}

/// Convolution without a bias, batch norm, ReLU, at `conv` and `bn`.
pub(super) fn conv_norm(scope: &Scope, config: ConvConfig) -> Result<ConvNorm> {
    let norm = NormStyle { eps: 1e-3, ..NormStyle::PYTORCH };
    let conv = Conv2d::new(&scope.at("conv"), config.init(Init::Normal(0.1)))?;
    Ok(ConvNorm::new(conv, norm.layer(&scope.at("bn"), config.outputs)?, Activation::Relu))
}

/// Convolutions one after the other; `layers` are their names, kernels and output channels.
fn chain(scope: &Scope, mut inputs: i64, layers: &[(&str, [i64; 2], i64)]) -> Result<Vec<Box<dyn Layer>>> {
    let layer = |(name, kernel, outputs): &(&str, [i64; 2], i64)| -> Result<Box<dyn Layer>> {
        let config = ConvConfig { kernel: *kernel, ..ConvConfig::new(inputs, *outputs, 1) };
        inputs = *outputs;
        Ok(Box::new(conv_norm(&scope.at(name), config)?))
    };
    layers.iter().map(layer).collect()
}

fn branch(scope: &Scope, inputs: i64, layers: &[(&str, [i64; 2], i64)]) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Sequential(chain(scope, inputs, layers)?)))
}

/// The mean over 3×3 and a 1×1 convolution.
fn pooled(scope: &Scope, inputs: i64, outputs: i64) -> Result<Box<dyn Layer>> {
    let mut layers: Vec<Box<dyn Layer>> = vec![Box::new(AveragePool { kernel: 3, stride: 1, padding: 1 })];
    layers.extend(chain(scope, inputs, &[("branch_pool", [1, 1], outputs)])?);
    Ok(Box::new(Sequential(layers)))
}

/// Convolutions of which the last one halves the size.
fn halving(
    scope: &Scope,
    inputs: i64,
    before: &[(&str, [i64; 2], i64)],
    (last, outputs): (&str, i64),
) -> Result<Box<dyn Layer>> {
    let mut layers = chain(scope, inputs, before)?;
    let inputs = before.last().map_or(inputs, |(_, _, outputs)| *outputs);
    let config = ConvConfig::new(inputs, outputs, 3).stride(2).padding(0);
    layers.push(Box::new(conv_norm(&scope.at(last), config)?));
    Ok(Box::new(Sequential(layers)))
}

/// Convolutions that end in two side by side, 1×3 and 3×1.
fn forked(scope: &Scope, inputs: i64, before: &[(&str, [i64; 2], i64)], ends: [&str; 2]) -> Result<Box<dyn Layer>> {
    let mut layers = chain(scope, inputs, before)?;
    let inputs = before.last().map_or(inputs, |(_, _, outputs)| *outputs);
    let [wide, tall] = ends;
    let fork = [branch(scope, inputs, &[(wide, [1, 3], 384)])?, branch(scope, inputs, &[(tall, [3, 1], 384)])?];
    layers.push(Box::new(Block(fork.into())));
    Ok(Box::new(Sequential(layers)))
}

const ONE: [i64; 2] = [1, 1];
const THREE: [i64; 2] = [3, 3];
const WIDE: [i64; 2] = [1, 7];
const TALL: [i64; 2] = [7, 1];

impl Block {
    /// At 35 × 35; `width` are the channels of the pooled branch.
    pub(super) fn a(scope: &Scope, inputs: i64, width: i64) -> Result<Self> {
        let double = [("branch3x3dbl_1", ONE, 64), ("branch3x3dbl_2", THREE, 96), ("branch3x3dbl_3", THREE, 96)];
        Ok(Self(vec![
            branch(scope, inputs, &[("branch1x1", ONE, 64)])?,
            branch(scope, inputs, &[("branch5x5_1", ONE, 48), ("branch5x5_2", [5, 5], 64)])?,
            branch(scope, inputs, &double)?,
            pooled(scope, inputs, width)?,
        ]))
    }

    /// From 35 × 35 to 17 × 17.
    pub(super) fn b(scope: &Scope, inputs: i64, _width: i64) -> Result<Self> {
        let double = [("branch3x3dbl_1", ONE, 64), ("branch3x3dbl_2", THREE, 96)];
        Ok(Self(vec![
            halving(scope, inputs, &[], ("branch3x3", 384))?,
            halving(scope, inputs, &double, ("branch3x3dbl_3", 96))?,
            Box::new(MaxPool::new(3, 2)),
        ]))
    }

    /// At 17 × 17; `width` are the channels within the branches of 1×7 and 7×1.
    pub(super) fn c(scope: &Scope, inputs: i64, width: i64) -> Result<Self> {
        let double = [
            ("branch7x7dbl_1", ONE, width),
            ("branch7x7dbl_2", TALL, width),
            ("branch7x7dbl_3", WIDE, width),
            ("branch7x7dbl_4", TALL, width),
            ("branch7x7dbl_5", WIDE, 192),
        ];
        let single = [("branch7x7_1", ONE, width), ("branch7x7_2", WIDE, width), ("branch7x7_3", TALL, 192)];
        Ok(Self(vec![
            branch(scope, inputs, &[("branch1x1", ONE, 192)])?,
            branch(scope, inputs, &single)?,
            branch(scope, inputs, &double)?,
            pooled(scope, inputs, 192)?,
        ]))
    }

    /// From 17 × 17 to 8 × 8.
    pub(super) fn d(scope: &Scope, inputs: i64, _width: i64) -> Result<Self> {
        let seven = [("branch7x7x3_1", ONE, 192), ("branch7x7x3_2", WIDE, 192), ("branch7x7x3_3", TALL, 192)];
        Ok(Self(vec![
            halving(scope, inputs, &[("branch3x3_1", ONE, 192)], ("branch3x3_2", 320))?,
            halving(scope, inputs, &seven, ("branch7x7x3_4", 192))?,
            Box::new(MaxPool::new(3, 2)),
        ]))
    }

    /// At 8 × 8.
    pub(super) fn e(scope: &Scope, inputs: i64, _width: i64) -> Result<Self> {
        let double = [("branch3x3dbl_1", ONE, 448), ("branch3x3dbl_2", THREE, 384)];
        Ok(Self(vec![
            branch(scope, inputs, &[("branch1x1", ONE, 320)])?,
            forked(scope, inputs, &[("branch3x3_1", ONE, 384)], ["branch3x3_2a", "branch3x3_2b"])?,
            forked(scope, inputs, &double, ["branch3x3dbl_3a", "branch3x3dbl_3b"])?,
            pooled(scope, inputs, 192)?,
        ]))
    }
}
