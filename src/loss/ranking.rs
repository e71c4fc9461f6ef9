//! Ranking losses: a row of scores in which the true class should be ahead of all others by a margin.
//!
//! With the scores s of an image for the classes, y the true one and Δ the margin, ℓₘ = max(0, Δ + sₘ − s_y) is what class m ≠ y is too close
//! by. An image's loss is one of
//!
//! | | loss | source |
//! |---|---|---|
//! | [`Hardest`](Ranking::Hardest) | maxₘ ℓₘ | Akata et al. 2015, "Evaluation of output embeddings for fine-grained image classification" (SJE), equation 4 |
//! | [`Sum`](Ranking::Sum) | Σₘ ℓₘ | Frome et al. 2013, "DeViSE", equation 1 |
//! | [`Weighted`](Ranking::Weighted) | (1/r) (Σᵢ₌₁ʳ 1/i) Σₘ ℓₘ, r classes being too close | Akata et al. 2016, "Label-embedding for image classification" (ALE), equation 12; Usunier et al. 2009 |
//!
//! and the batch's their mean. [`pull`] has no other classes: alone it is least where everything is the same.

use tch::{Kind, Tensor};

use crate::Result;

/// Which classes count that are too close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// The one that is closest
    Hardest,
    /// All of them
    Sum,
    /// All of them, and the first ones most
    Weighted,
}

impl Ranking {
    /// The loss of a batch.
    ///
    /// # Shapes
    /// `scores: [N, C]`, `labels: [N] i64` → `[]` f32
    ///
    /// # Errors
    /// What libtorch refuses, as a label that is no class.
    pub fn loss(self, scores: &Tensor, labels: &Tensor, margin: f64) -> Result<Tensor> {
        let scores = scores.f_to_kind(Kind::Float)?;
        let labels = labels.f_unsqueeze(1)?;
        let ahead = scores.f_gather(1, &labels, false)?;
        // the true class is not too close to itself
        let close = scores.f_sub(&ahead)?.f_add_scalar(margin)?.f_scatter_value(1, &labels, 0.0)?.f_relu()?;
        let each = match self {
            Self::Hardest => close.f_amax([1i64].as_slice(), false)?,
            Self::Sum => close.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?,
            Self::Weighted => {
                let classes = scores.size()[1];
                let ranks = close.f_detach()?.f_gt(0.0)?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Int64)?;
                let numbers = Tensor::f_arange_start(1, classes + 1, (Kind::Float, scores.device()))?;
                let harmonic = numbers.f_reciprocal()?.f_cumsum(0, Kind::Float)?.f_div(&numbers)?;
                // where nothing is too close the sum is 0, whatever it is weighed with
                let weights = harmonic.f_index_select(0, &ranks.f_sub_scalar(1)?.f_clamp_min(0)?)?;
                close.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?.f_mul(&weights)?
            }
        };
        Ok(each.f_mean(Kind::Float)?)
    }
}

/// The mean squared distance of images from their own classes: what pulls pairs together and nothing apart.
///
/// # Shapes
/// `images: [N, E]`, `classes: [C, E]`, `labels: [N] i64` → `[]` f32
///
/// # Errors
/// What libtorch refuses, as a label that is no class.
pub fn pull(images: &Tensor, classes: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let apart = images.f_sub(&classes.f_index_select(0, labels)?)?.f_to_kind(Kind::Float)?;
    Ok(apart.f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?.f_mean(Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::super::golden::{close, golden, leaf};
    use super::*;

    #[test]
    fn losses_and_gradients_are_numpys_formulas_in_pytorch() -> Result<()> {
        for (ranking, name) in [(Ranking::Hardest, "hardest"), (Ranking::Sum, "sum"), (Ranking::Weighted, "weighted")] {
            let golden = golden(&format!("ranking/{name}/"));
            let scores = leaf(&golden["scores"]);
            let loss = ranking.loss(&scores, &golden["labels"], f64::try_from(&golden["margin"])?)?;
            loss.f_backward()?;
            close(&loss, &golden["value"], 1e-6, name);
            close(&scores.grad(), &golden["gradient/scores"], 1e-6, name);
        }
        Ok(())
    }

    #[test]
    fn a_class_that_is_far_enough_ahead_costs_nothing() -> Result<()> {
        let (scores, labels) = (Tensor::from_slice2(&[[2f32, 0.9, -3.0]]), Tensor::from_slice(&[0i64]));
        for ranking in [Ranking::Hardest, Ranking::Sum, Ranking::Weighted] {
            assert_eq!(f64::try_from(ranking.loss(&scores, &labels, 1.0)?)?, 0.0, "{ranking:?}");
            assert!(f64::try_from(ranking.loss(&scores, &labels, 1.2)?)? > 0.09, "{ranking:?}");
        }
        // two are too close: by 0.5 and by 1
        let (scores, all) = (Tensor::from_slice2(&[[1f32, 0.5, 1.0]]), [1.0, 1.5, 1.5 * 0.75]);
        for (ranking, expected) in [Ranking::Hardest, Ranking::Sum, Ranking::Weighted].into_iter().zip(all) {
            assert!((f64::try_from(ranking.loss(&scores, &labels, 1.0)?)? - expected).abs() < 1e-6, "{ranking:?}");
        }
        Ok(())
    }

    #[test]
    fn without_other_classes_everything_becomes_the_same() -> Result<()> {
        // two linear maps learn where images and where classes lie; pulling alone makes a point of all classes
        let spread = |negatives: bool| -> Result<f64> {
            let x = Tensor::eye(4, (Kind::Float, tch::Device::Cpu));
            let labels = Tensor::from_slice(&[0i64, 1, 2, 3]);
            let start =
                |seed: f64| leaf(&(Tensor::arange(8, (Kind::Float, tch::Device::Cpu)) + seed).sin().reshape([4, 2]));
            let (f, g) = (start(0.0), start(5.0));
            for _ in 0..400 {
                let (images, classes) = (x.f_matmul(&f)?, x.f_matmul(&g)?);
                let loss = match negatives {
                    true => Ranking::Hardest.loss(&images.f_matmul(&classes.f_tr()?)?, &labels, 1.0)?,
                    // a little decay, as every optimizer has, sets the scale
                    false => pull(&images, &classes, &labels)?
                        .f_add(&(f.square().sum(Kind::Float) + g.square().sum(Kind::Float)).f_mul_scalar(0.05)?)?,
                };
                let slopes = Tensor::f_run_backward(&[&loss], &[&f, &g], false, false)?;
                tch::no_grad(|| {
                    for (tensor, slope) in [&f, &g].into_iter().zip(&slopes) {
                        let _same = tensor.shallow_clone().f_sub_(&slope.f_mul_scalar(0.1)?)?;
                    }
                    Ok::<_, crate::Error>(())
                })?;
            }
            Ok(f64::try_from(g.detach().std_dim([0i64].as_slice(), false, false).max())?)
        };
        assert!(spread(false)? < 0.01 && spread(true)? > 0.3);
        Ok(())
    }
}
