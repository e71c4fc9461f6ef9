//! Inception v3 (Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision").
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are, but for `AuxLogits`: the
//! auxiliary classifier only helped to train the source network, and is left out here, as torchvision leaves it out in
//! evaluation. Its published weights want pixels in −1..1; torchvision gets there from its usual mean and deviation by
//! `transform_input`, regraft by a mean and deviation of 0.5. Initial values are normal with σ = 0.1 (torchvision
//! truncates them at ±2, twenty σ away).
//!
//! Stages: `stem` (to the second maximum), then each block under its own name: `Mixed_5b` … `Mixed_7c`.

mod branches;

use self::branches::{Block, conv_norm};
use super::layers::{ConvConfig, GlobalPool, Layer, MaxPool, Sequential};
use super::store::Scope;
use super::{Backbone, Stage};
use crate::Result;

/// The name that [`build`] knows.
pub(super) const NAMES: [&str; 1] = ["inception_v3"];
const FEATURES: i64 = 2048;

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, H, W]`, at least 75 × 75 → features `[N, 2048]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let conv = |path: &str, config| -> Result<Box<dyn Layer>> { Ok(Box::new(conv_norm(&scope.at(path), config)?)) };
    let stem = Sequential(vec![
        conv("Conv2d_1a_3x3", ConvConfig::new(3, 32, 3).stride(2).padding(0))?,
        conv("Conv2d_2a_3x3", ConvConfig::new(32, 32, 3).padding(0))?,
        conv("Conv2d_2b_3x3", ConvConfig::new(32, 64, 3))?,
        Box::new(MaxPool::new(3, 2)),
        conv("Conv2d_3b_1x1", ConvConfig::new(64, 80, 1))?,
        conv("Conv2d_4a_3x3", ConvConfig::new(80, 192, 3).padding(0))?,
        Box::new(MaxPool::new(3, 2)),
    ]);
    let paths = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"];
    let mut stages = vec![Stage::new("stem", &paths, stem)];
    type Make = fn(&Scope, i64, i64) -> Result<Block>;
    // name, kind, input channels, and the width that differs within a kind
    let blocks: [(&str, Make, i64, i64); 11] = [
        ("Mixed_5b", Block::a, 192, 32),
        ("Mixed_5c", Block::a, 256, 64),
        ("Mixed_5d", Block::a, 288, 64),
        ("Mixed_6a", Block::b, 288, 0),
        ("Mixed_6b", Block::c, 768, 128),
        ("Mixed_6c", Block::c, 768, 160),
        ("Mixed_6d", Block::c, 768, 160),
        ("Mixed_6e", Block::c, 768, 192),
        ("Mixed_7a", Block::d, 768, 0),
        ("Mixed_7b", Block::e, 1280, 0),
        ("Mixed_7c", Block::e, FEATURES, 0),
    ];
    for (name, make, inputs, width) in blocks {
        let mut parts: Vec<Box<dyn Layer>> = vec![Box::new(make(&scope.at(name), inputs, width)?)];
        if name == "Mixed_7c" {
            parts.push(Box::new(GlobalPool));
        }
        stages.push(Stage::new(name, &[name], Sequential(parts)));
    }
    let backbone = Backbone::new(NAMES[number], stages, FEATURES, "fc");
    Ok(Backbone { dropout: 0.5, ignored: &["AuxLogits"], ..backbone })
}

#[cfg(test)]
mod tests {
    use super::super::{Builder, build};
    use super::*;

    #[test]
    fn the_auxiliary_classifier_of_a_checkpoint_is_left_out() -> Result<()> {
        let backbone = build("inception_v3", &Builder::skeleton().root())?;
        assert!(backbone.ignores("AuxLogits.conv0.conv.weight") && backbone.ignores("AuxLogits.fc.bias"));
        assert!(!backbone.ignores("fc.bias") && !backbone.ignores("AuxLogits2.fc.bias"));
        Ok(())
    }
}
