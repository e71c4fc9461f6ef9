//! SA: the source's principal directions turned onto the target's (source labelled, target not; closed form).
//!
//! Fernando et al. 2013, "Unsupervised visual domain adaptation using subspace alignment", algorithm 1. With S and T the features of
//! both domains, standardised within each, and X_S, X_T their first d principal directions, [D, d]:
//!
//! source S X_S X_Sᵀ X_T,  target T X_T
//!
//! On the aligned source a linear classifier is learned ([`LogisticRegression`]); with X_T and the target's standardisation folded into
//! it, it is a linear head on the network that the source has taught. d is `--subspace` (80), or as many as there can be. The paper
//! classifies by nearest neighbours or a support vector machine, and chooses d by how stable the eigenvalues are.

use tch::Tensor;

use super::adapt::{Adaptation, Images, Setup, Standardised};
use crate::models::{Classifier, LogisticRegression};
use crate::{Error, Result};

/// The penalty of the classifier for each row: that of a support vector machine with C = 1.
const PENALTY: f64 = 1.0;

/// How many directions.
pub(super) struct SubspaceAlignment {
    directions: i64,
}

impl SubspaceAlignment {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        setup.require_begin()?;
        setup.model.head().last_linear()?;
        Ok(Self { directions: setup.strengths.subspace })
    }
}

/// The first `count` principal directions of rows with mean 0: `[D, count]`.
fn directions(rows: &Tensor, count: i64) -> Result<Tensor> {
    let (_, vectors) = rows.f_tr()?.f_matmul(rows)?.f_linalg_eigh("L")?;
    let all = vectors.size()[1];
    Ok(vectors.f_narrow(1, all - count, count)?.f_flip([1])?)
}

/// The aligned source, and the target's directions onto which its own rows are put.
///
/// # Shapes
/// `source: [N, D]`, `target: [M, D]`, f64, of mean 0 → `[N, d]`, `[D, d]`
pub(super) fn aligned(source: &Tensor, target: &Tensor, count: i64) -> Result<(Tensor, Tensor)> {
    let (images, width) = source.size2()?;
    let count = count.min(width).min(images - 1).min(target.size()[0] - 1);
    if count < 1 {
        return Err(Error::Data("subspace alignment needs at least two images of each domain".into()));
    }
    let (own, wanted) = (directions(source, count)?, directions(target, count)?);
    let aligned = source.f_matmul(&own)?.f_matmul(&own.f_tr()?.f_matmul(&wanted)?)?;
    Ok((aligned, wanted))
}

/// The linear head that subspace alignment comes to: weight `[K, D]` and bias `[K]`, f64.
///
/// # Shapes
/// `source: [N, D]`, `labels: [N] i64`, `target: [M, D]`
fn aligned_head(
    source: &Tensor,
    labels: &Tensor,
    target: &Tensor,
    classes: i64,
    directions: i64,
) -> Result<(Tensor, Tensor)> {
    let rows = source.size()[0] as f64;
    let (source, target) = (Standardised::of(source)?, Standardised::of(target)?);
    let (rotated, wanted) = aligned(&source.rows, &target.rows, directions)?;
    let fitted = LogisticRegression::fit(&rotated, labels, classes, PENALTY / rows)?;
    target.folded(&fitted.weight.f_matmul(&wanted.f_tr()?)?, &fitted.bias)
}

impl Adaptation for SubspaceAlignment {
    fn settle(&mut self, model: &Classifier, images: Images) -> Result<()> {
        let ((source, labels), target) = ((images.source)()?, (images.target)()?);
        let classes = model.spec.classes.len() as i64;
        let (weight, bias) = aligned_head(&source, &labels, &target, classes, self.directions)?;
        model.head().last_linear()?.set(&weight, &bias)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn a_turned_and_scaled_domain_is_found_again() -> Result<()> {
        // classes lie along the direction of the largest variance, which the target has in another feature and another unit
        let numbers = |count: i64, speed: f64| (Tensor::arange(count, (Kind::Double, Device::Cpu)) * speed).sin();
        let labels = Tensor::arange(100, (Kind::Int64, Device::Cpu)).remainder(2);
        let sign = labels.to_kind(Kind::Double) * 2.0 - 1.0;
        let make = |speed: f64, scale: f64| {
            let big = &sign + numbers(100, speed) * 0.3;
            // two features that say the same are a large principal direction among standardised ones
            Tensor::stack(&[&big, &(&big + numbers(100, speed + 1.0) * 0.1), &numbers(100, speed * 2.0)], 1) * scale
                + scale
        };
        let (source, target) = (make(1.1, 1.0), make(1.7, 30.0));
        let (weight, bias) = aligned_head(&source, &labels, &target, 2, 2)?;
        let right = (target.matmul(&weight.tr()) + bias).argmax(-1, false).eq_tensor(&labels);
        assert_eq!(i64::try_from(right.sum(Kind::Int64))?, 100);
        Ok(())
    }
}
