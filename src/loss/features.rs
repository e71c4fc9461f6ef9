//! DELTA: the features of a network that is fine-tuned are held to those that the source network makes of the same image.
//!
//! Ω = Σ over stages of ½ · mean over the batch of Σ_c W_c · ‖F_c − F⁰_c‖² / P,
//!
//! with F_c channel c of the stage's feature map, F⁰_c the same of the source network, P = H · W the positions of the map (1
//! for vectors), and W the channels' attention, which sums to 1: 1/C for every channel, or what is given. With equal attention
//! a stage's part is half the mean squared difference of its features.
//!
//! The paper's attention is W = softmax over the channels of L_c − L, where L is the loss of the source network with a new
//! classifier on the target's images, and L_c that with channel c set to zero: what does harm when it is taken away is held.
//!
//! Source: Li et al., *DELTA: Deep Learning Transfer using Feature Map with Attention for Convolutional Networks*, ICLR 2019,
//! section 3.
//!
//! Differences: the paper sums ‖F_c − F⁰_c‖² over positions, without ½, and the weight of a stage then grows with its
//! resolution. Here it is the mean over positions and, in the batch, over images, so that one strength suits all stages, image
//! sizes and batch sizes. The authors' training code has the ½, but sums over the batch of N; with attention it takes the mean
//! over positions and C times W, and without it sums over positions and channels. A stage that has the strength α there has the
//! same with α · N · C here with attention, and with α · N · C · P without.

use tch::{Kind, Reduction, Tensor};

use crate::{Error, Result};

/// The features that two networks make of the same images at one stage.
#[derive(Debug, Clone, Copy)]
pub struct StageFeatures<'a> {
    /// Those of the network that learns: `[N, C, H, W]` or `[N, C]`.
    pub new: &'a Tensor,
    /// Those of the source network, of the same shape; nothing flows back into them.
    pub old: &'a Tensor,
    /// The channels' attention, `[C]`, from 0 on and with sum 1; 1/C for each if not given.
    pub attention: Option<&'a Tensor>,
}

/// The loss of all stages together, which is 0 or more. It is computed in f32, also within autocast.
///
/// # Shapes
/// `[N, C, H, W]` or `[N, C]` per stage → `[]`
///
/// # Errors
/// No stages, features of other or of different shapes, not one number of attention per channel.
pub fn feature_distance(stages: &[StageFeatures]) -> Result<Tensor> {
    if stages.is_empty() {
        return Err(Error::Usage("feature distance: no stages to compare, expected at least one".into()));
    }
    let parts = stages.iter().map(StageFeatures::distance).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::f_stack(&parts, 0)?.f_sum(Kind::Float)?.f_mul_scalar(0.5)?)
}

impl StageFeatures<'_> {
    /// Mean over the batch and the positions of Σ_c W_c (F_c − F⁰_c)².
    fn distance(&self) -> Result<Tensor> {
        let shape = self.new.size();
        if !matches!(shape.len(), 2 | 4) || shape.contains(&0) || self.old.size() != shape {
            return Err(Error::Model(format!(
                "feature distance: new features have shape {shape:?} and old ones {:?}, expected [images, channels, height, \
                 width] or [images, channels] for both",
                self.old.size()
            )));
        }
        let (new, old) = (self.new.f_to_kind(Kind::Float)?, self.old.f_detach()?.f_to_kind(Kind::Float)?);
        let Some(attention) = self.attention else { return Ok(new.f_mse_loss(&old, Reduction::Mean)?) };
        if attention.size() != [shape[1]] {
            return Err(Error::Model(format!(
                "feature distance: the attention has shape {:?} for {} channels, expected one number for each",
                attention.size(),
                shape[1]
            )));
        }
        let others: &[i64] = if shape.len() == 4 { &[0, 2, 3] } else { &[0] };
        let of_channels = new.f_mse_loss(&old, Reduction::None)?.f_mean_dim(others, false, Kind::Float)?; // [C]
        Ok(of_channels.f_mul(&attention.f_detach()?.f_to_kind(Kind::Float)?)?.f_sum(Kind::Float)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tch::Device;

    use super::super::golden::{close, golden, leaf};
    use super::*;
    use crate::native::Autocast;

    /// The stages of a golden case whose new features learn, and the case.
    fn case(name: &str) -> (Vec<Tensor>, BTreeMap<String, Tensor>) {
        let golden = golden(&format!("features/{name}/"));
        let new = (0..).map_while(|stage| golden.get(&format!("{stage}/new"))).map(leaf).collect();
        (new, golden)
    }

    fn stages<'a>(new: &'a [Tensor], golden: &'a BTreeMap<String, Tensor>, weighted: bool) -> Vec<StageFeatures<'a>> {
        let of = |(stage, new)| StageFeatures {
            new,
            old: &golden[&format!("{stage}/old")],
            attention: weighted.then(|| &golden[&format!("{stage}/attention")]),
        };
        new.iter().enumerate().map(of).collect()
    }

    #[test]
    fn value_and_gradients_equal_pytorchs() -> Result<()> {
        for (name, count) in [("maps", 2), ("weighted", 2), ("vectors", 1)] {
            let (new, golden) = case(name);
            assert_eq!(new.len(), count);
            let loss = feature_distance(&stages(&new, &golden, name == "weighted"))?;
            loss.f_backward()?;
            close(&loss, &golden["value"], 1e-5, name);
            for (stage, new) in new.iter().enumerate() {
                close(&new.grad(), &golden[&format!("gradient/{stage}")], 1e-5, name);
            }
        }
        Ok(())
    }

    #[test]
    fn equal_attention_is_no_attention() -> Result<()> {
        let (new, golden) = case("maps");
        let [with, without] = [true, false].map(|weighted| feature_distance(&stages(&new, &golden, weighted)));
        close(&with?, &without?, 1e-6, "equal attention");
        Ok(())
    }

    #[test]
    fn networks_that_agree_have_no_loss_and_no_gradient() -> Result<()> {
        let (_, golden) = case("weighted");
        let new: Vec<Tensor> = (0..2).map(|stage| leaf(&golden[&format!("{stage}/old")])).collect();
        let loss = feature_distance(&stages(&new, &golden, true))?;
        loss.f_backward()?;
        assert_eq!(f64::try_from(loss)?, 0.0);
        assert!(new.iter().all(|new| new.grad().count_nonzero(None::<i64>).int64_value(&[]) == 0));
        Ok(())
    }

    #[test]
    fn nothing_flows_into_the_old_network_and_all_is_computed_in_f32() -> Result<()> {
        let (new, golden) = case("weighted");
        let old = leaf(&golden["0/old"]);
        let stage = StageFeatures { new: &new[0], old: &old, attention: Some(&golden["0/attention"]) };
        let loss = feature_distance(&[stage])?;
        let within = {
            let _autocast = Autocast::begin(Device::Cpu, Kind::BFloat16)?;
            feature_distance(&[stage])?
        };
        assert_eq!((within.kind(), &within), (Kind::Float, &loss));
        let (half, whole) =
            (new[0].detach().to_kind(Kind::BFloat16), new[0].detach().to_kind(Kind::BFloat16).to_kind(Kind::Float));
        let [half, whole] = [&half, &whole].map(|new| feature_distance(&[StageFeatures { new, ..stage }]));
        assert_eq!(half?, whole?);
        loss.f_backward()?;
        assert!(!old.grad().defined());
        Ok(())
    }

    #[test]
    fn bad_input_is_named() {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let message = |new: &[i64], old: &[i64], attention: Option<&Tensor>| {
            let stage = StageFeatures { new: &zeros(new), old: &zeros(old), attention };
            feature_distance(&[stage]).unwrap_err().to_string()
        };
        assert!(message(&[2, 3, 4, 4], &[2, 3, 1, 1], None).contains("shape [2, 3, 4, 4] and old ones [2, 3, 1, 1]"));
        assert!(message(&[2, 3, 4], &[2, 3, 4], None).contains("expected [images, channels"));
        assert!(message(&[0, 3], &[0, 3], None).contains("shape [0, 3]"));
        assert!(message(&[2, 3], &[2, 3], Some(&zeros(&[1]))).contains("shape [1] for 3 channels"));
        assert!(feature_distance(&[]).unwrap_err().to_string().contains("no stages"));
    }
}
