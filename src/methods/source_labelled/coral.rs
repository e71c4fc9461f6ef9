//! CORAL: the source's features coloured like the target's (source labelled, target not; closed form).
//!
//! Sun et al. 2016, "Return of frustratingly easy domain adaptation", algorithm 1. With S and T the features of both domains, standardised
//! within each, and their covariances C_S, C_T with the identity added:
//!
//! S* = S C_S^(−1/2) C_T^(1/2)
//!
//! A linear classifier is learned on S* ([`LogisticRegression`]) and used on T; with the target's standardisation folded into it, it
//! is a linear head on the network that the source has taught. On features that others computed (`on_features.rs`) the classifier is
//! a support vector machine, as in the paper. What its authors published compares rows by s A tᵀ, with A the colouring, and rows of the
//! source with each other in the same way; [`compared`] does it with the symmetric part of A between rows of the source, where theirs
//! has A itself, which is no kernel.

use tch::{Kind, Tensor};

use super::adapt::{Adaptation, Images, Setup, Standardised};
use crate::Result;
use crate::models::{Classifier, LogisticRegression};

/// The penalty of the classifier for each row.
const PENALTY: f64 = 1.0;

/// Nothing of its own.
pub(super) struct Coral;

impl Coral {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        setup.require_begin()?;
        setup.model.head().last_linear()?;
        Ok(Self)
    }
}

/// What gives the source's rows the target's covariance: A, `[D, D]`.
fn colouring(source: &Tensor, target: &Tensor) -> Result<Tensor> {
    let power = |x: &Tensor, exponent: f64| -> Result<Tensor> {
        let (rows, columns) = x.size2()?;
        let centred = x.f_sub(&x.f_mean_dim(0, true, Kind::Double)?)?;
        let own = Tensor::f_eye(columns, (Kind::Double, x.device()))?;
        let covariance = centred.f_tr()?.f_matmul(&centred)?.f_div_scalar((rows - 1).max(1) as f64)?.f_add(&own)?;
        let (values, vectors) = covariance.f_linalg_eigh("L")?;
        Ok(vectors.f_mul(&values.f_pow_tensor_scalar(exponent)?)?.f_matmul(&vectors.f_tr()?)?)
    };
    Ok(power(source, -0.5)?.f_matmul(&power(target, 0.5)?)?)
}

/// The source's rows with the target's covariance.
///
/// # Shapes
/// `source: [N, D]`, `target: [M, D]`, f64, standardised → `[N, D]`
pub(super) fn recoloured(source: &Tensor, target: &Tensor) -> Result<Tensor> {
    Ok(source.f_matmul(&colouring(source, target)?)?)
}

/// Rows of both domains whose products are the similarities that the authors' machines learn from: s A tᵀ between the domains, and
/// within the source the same with the symmetric part of A.
///
/// # Shapes
/// `source: [N, D]`, `target: [M, D]`, f64, standardised → `[N, D]`, `[M, D]`
pub(super) fn compared(source: &Tensor, target: &Tensor) -> Result<(Tensor, Tensor)> {
    let similarity = colouring(source, target)?;
    let symmetric = similarity.f_add(&similarity.f_tr()?)?.f_mul_scalar(0.5)?;
    let (values, vectors) = symmetric.f_linalg_eigh("L")?;
    // a direction in which they would be less similar than nothing does not count
    let values = values.f_clamp_min(1e-9)?;
    let power = |exponent: f64| -> Result<Tensor> {
        Ok(vectors.f_mul(&values.f_pow_tensor_scalar(exponent)?)?.f_matmul(&vectors.f_tr()?)?)
    };
    Ok((source.f_matmul(&power(0.5)?)?, target.f_matmul(&similarity.f_tr()?)?.f_matmul(&power(-0.5)?)?))
}

impl Adaptation for Coral {
    fn settle(&mut self, model: &Classifier, images: Images) -> Result<()> {
        let ((source, labels), target) = ((images.source)()?, (images.target)()?);
        let (rows, classes) = (source.size()[0] as f64, model.spec.classes.len() as i64);
        let (source, target) = (Standardised::of(&source)?, Standardised::of(&target)?);
        let fitted =
            LogisticRegression::fit(&recoloured(&source.rows, &target.rows)?, &labels, classes, PENALTY / rows)?;
        let (weight, bias) = target.folded(&fitted.weight, &fitted.bias)?;
        model.head().last_linear()?.set(&weight, &bias)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn the_covariance_becomes_the_targets() -> Result<()> {
        let numbers = |rows: i64, speed: f64| {
            (Tensor::arange(rows * 3, (Kind::Double, Device::Cpu)) * speed).sin().reshape([rows, 3])
        };
        let mix = Tensor::from_slice2(&[[30.0f64, 0.0, 0.0], [20.0, 25.0, 0.0], [0.0, 10.0, 40.0]]);
        let (source, target) = (numbers(200, 1.3) * 50.0, numbers(300, 1.7).matmul(&mix));
        let covariance = |x: &Tensor| x.tr().cov(1, None::<Tensor>, None::<Tensor>);
        let found = covariance(&recoloured(&source, &target)?);
        // the identity that is added is small beside covariances of a thousand
        let wanted = covariance(&target);
        let error = f64::try_from((&found - &wanted).abs().max() / wanted.abs().max())?;
        assert!(error < 0.01, "{error}");
        Ok(())
    }

    #[test]
    fn products_of_rows_are_the_similarities() -> Result<()> {
        let numbers = |rows: i64, speed: f64| {
            (Tensor::arange(rows * 3, (Kind::Double, Device::Cpu)) * speed).sin().reshape([rows, 3])
        };
        let (source, target) = (numbers(40, 1.3), numbers(50, 1.7) * 2.0);
        let similarity = colouring(&source, &target)?;
        let (own, other) = compared(&source, &target)?;
        let far = |a: Tensor, b: Tensor| f64::try_from((a - b).abs().max()).unwrap();
        assert!(far(own.matmul(&other.tr()), source.matmul(&similarity).matmul(&target.tr())) < 1e-9);
        let symmetric = (&similarity + similarity.tr()) * 0.5;
        assert!(far(own.matmul(&own.tr()), source.matmul(&symmetric).matmul(&source.tr())) < 1e-9);
        Ok(())
    }
}
