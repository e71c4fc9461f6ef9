//! The vision transformer ViT-B/16 (Dosovitskiy et al. 2021, "An image is worth 16x16 words"): the guest that is no
//! convolutional network.
//!
//! Names, initial values and geometry are torchvision's, so its checkpoints load as they are. Images are 224 × 224: a
//! position embedding is learned for each of their 14 × 14 patches. Initial values that torchvision truncates at ±2 are
//! normal here: ±2 is fifty σ away.
//!
//! Stages: `patches` (patches, class token and position embeddings), `block1` … `block12`, `norm` (the layer norm at the
//! end; the class token's vector is the feature).

mod attention;

use tch::Tensor;

use self::attention::Block;
use super::layers::{Conv2d, ConvConfig, Layer, LayerNorm};
use super::store::Scope;
use super::{Backbone, Init, Stage};
use crate::{Error, Result};

/// The name that [`build`] knows.
pub(super) const NAMES: [&str; 1] = ["vit_b_16"];
/// Side of an image and of a patch.
const IMAGE: i64 = 224;
const PATCH: i64 = 16;
/// Length of a patch's vector.
const WIDTH: i64 = 768;
const BLOCKS: usize = 12;
/// The ε of all layer norms.
const EPS: f64 = 1e-6;

/// The network of that number in [`NAMES`] under `scope`.
///
/// # Shapes
/// `x: [N, 3, 224, 224]` → features `[N, 768]`
pub(super) fn build(number: usize, scope: &Scope) -> Result<Backbone> {
    let paths = ["conv_proj", "class_token", "encoder.pos_embedding"];
    let mut stages = vec![Stage::new("patches", &paths, Patches::new(scope)?)];
    for block in 0..BLOCKS {
        let path = format!("encoder.layers.encoder_layer_{block}");
        let layer = Block::new(&scope.at(&path), WIDTH, EPS)?;
        stages.push(Stage::new(format!("block{}", block + 1), &[&path], layer));
    }
    let norm = ClassToken(LayerNorm::new(&scope.at("encoder.ln"), WIDTH, EPS)?);
    stages.push(Stage::new("norm", &["encoder.ln"], norm));
    Ok(Backbone::new(NAMES[number], stages, WIDTH, "heads.head"))
}

/// From an image to vectors: the class token's, then one per patch.
struct Patches {
    projection: Conv2d,
    class_token: Tensor,
    positions: Tensor,
}

impl Patches {
    fn new(scope: &Scope) -> Result<Self> {
        let config = ConvConfig::new(3, WIDTH, PATCH).stride(PATCH).padding(0).bias();
        let init = Init::Normal((1.0 / config.fan_in() as f64).sqrt());
        let (side, zero) = (IMAGE / PATCH, Init::Constant(0.0));
        let positions = [1, 1 + side * side, WIDTH];
        Ok(Self {
            projection: Conv2d::new(&scope.at("conv_proj"), config.init(init))?,
            class_token: scope.parameter("class_token", &[1, 1, WIDTH], zero)?,
            positions: scope.at("encoder").parameter("pos_embedding", &positions, Init::Normal(0.02))?,
        })
    }
}

impl Layer for Patches {
    /// # Shapes
    /// `x: [N, 3, 224, 224]` → `[N, 197, 768]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (_, _, height, width) = x.size4()?;
        if (height, width) != (IMAGE, IMAGE) {
            return Err(Error::Model(format!(
                "{} takes images of {IMAGE} × {IMAGE} pixels, because it learned one embedding per position; these have \
                 {width} × {height}",
                NAMES[0]
            )));
        }
        let patches = self.projection.forward(x, train)?.f_flatten(2, -1)?.f_transpose(1, 2)?; // [N, 196, 768]
        // As many class tokens as images, whatever the size of the batch when this is traced.
        let tokens = self.class_token.f_expand_as(&patches.f_narrow(1, 0, 1)?)?;
        Ok(Tensor::f_cat(&[tokens, patches], 1)?.f_add(&self.positions)?)
    }
}

/// The class token's vector after the layer norm.
struct ClassToken(LayerNorm);

impl Layer for ClassToken {
    /// # Shapes
    /// `x: [N, 197, 768]` → `[N, 768]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward(&x.f_select(1, 0)?, train)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::super::{Builder, build};
    use super::*;

    #[test]
    fn images_of_another_size_are_refused_with_the_size_that_is_needed() -> Result<()> {
        let builder = Builder::skeleton();
        let backbone = build("vit_b_16", &builder.root())?;
        let image = Tensor::zeros([1, 3, 192, 224], (Kind::Float, Device::Cpu));
        let message = backbone.forward(&image, false).unwrap_err().to_string();
        assert!(message.contains("224 × 224") && message.contains("192"), "{message}");
        Ok(())
    }
}
