//! The H-score: how much of the features' variance lies between the classes.
//!
//! H(f) = tr(cov(f)⁻¹ cov(E[f | y])), with cov(f) = 1/N Σ (fᵢ − f̄)(fᵢ − f̄)ᵀ, and cov(E[f | y]) the same with every fᵢ replaced
//! by the mean of its class. In the eigenvectors qᵢ of cov(f), with eigenvalues λᵢ, it is Σ bᵢ/λᵢ with
//! bᵢ = qᵢᵀ cov(E[f | y]) qᵢ.
//!
//! cov(f) is seldom regular: a channel that is zero on every image suffices. The inverse is therefore the pseudo-inverse:
//! eigenvalues up to D · ε of the largest count as zero and are left out. An invertible linear map of the features, or moving
//! them, changes nothing.
//!
//! **High** means classes far apart for their spread. The range is 0 (equal means) to min(D, K − 1). Both covariances are
//! estimated from the images, and where N is not much larger than D the score says more about N than about the features: with
//! N ≤ D it is K − 1 for whatever features in general position. The shrunk form is made for that case:
//!
//! H_a(f) = tr(cov_a(f)⁻¹ (1 − a) cov(E[f | y])),  cov_a(f) = (1 − a) cov(f) + a μ I,  μ = tr(cov(f)) / D,
//!
//! with Ledoit and Wolf's shrinkage a = min(b², d²)/d², where d² = ‖cov(f) − μ I‖² / D and
//! b² = 1/N² Σ ‖xᵢxᵢᵀ − cov(f)‖² / D, xᵢ = fᵢ − f̄. It is unchanged by a rotation or by one factor for all features only.
//!
//! Sources: Bao et al., *An Information-Theoretic Approach to Transferability in Task Transfer Learning*, ICIP 2019 (H-score);
//! Ibrahim, Ponomareva & Mazumder, *Newer is not always better: Rethinking transferability metrics, their peculiarities,
//! stability and performance*, 2021 (shrunk form); Ledoit & Wolf, *A Well-Conditioned Estimator for Large-Dimensional
//! Covariance Matrices*, 2004.
//!
//! Difference: both covariances divide by N. Code that divides one by N and the other by N − 1 finds N/(N − 1) times the
//! shrunk score.

use tch::{Kind, Tensor};

use super::Samples;
use crate::Result;

/// The score of features; higher is better, in 0..min(D, K − 1).
///
/// # Shapes
/// `features: [N, D]`, of any kind and on any device; `labels: N` classes in 0..classes
///
/// # Errors
/// Not one label per row, a label that is no class, fewer than two classes present, a feature that is not finite.
pub fn h_score(features: &Tensor, labels: &[usize], classes: usize) -> Result<f64> {
    let spread = Spread::new("H-score", features, labels, classes)?;
    Ok(spread.relative_to(|variance| variance))
}

/// The score with a shrunk covariance; higher is better, in 0..min(D, K − 1).
///
/// # Shapes
/// `features: [N, D]`, of any kind and on any device; `labels: N` classes in 0..classes
///
/// # Errors
/// Not one label per row, a label that is no class, fewer than two classes present, a feature that is not finite.
pub fn shrunk_h_score(features: &Tensor, labels: &[usize], classes: usize) -> Result<f64> {
    let spread = Spread::new("shrunk H-score", features, labels, classes)?;
    let (shrinkage, mean) = (spread.shrinkage(), spread.mean_variance());
    Ok((1.0 - shrinkage) * spread.relative_to(|variance| (1.0 - shrinkage) * variance + shrinkage * mean))
}

/// The variances of features, in the directions where they are uncorrelated.
struct Spread {
    /// λᵢ.
    variances: Vec<f64>,
    /// bᵢ.
    between: Vec<f64>,
    /// Σ ‖xᵢ‖⁴ / N.
    fourth_moment: f64,
    /// N.
    count: f64,
}

impl Spread {
    fn new(score: &str, features: &Tensor, labels: &[usize], classes: usize) -> Result<Self> {
        let samples = Samples::new(score, "features", features, labels, classes)?;
        let count = samples.len();
        let mean = samples.rows.f_mean_dim(0i64, true, Kind::Double)?; // [1, D]
        let centred = samples.rows.f_sub(&mean)?; // [N, D]
        let covariance = centred.f_tr()?.f_matmul(&centred)?.f_div_scalar(count)?; // [D, D]
        let (variances, directions) = covariance.f_linalg_eigh("L")?; // [D], [D, D]
        let counts = samples.counts.f_unsqueeze(1)?; // [K, 1]
        let class_means = samples.membership.f_tr()?.f_matmul(&centred)?.f_div(&counts)?; // [K, D]
        let weighted = class_means.f_matmul(&directions)?.f_square()?.f_mul(&counts)?; // [K, D]
        let between = weighted.f_sum_dim_intlist(0i64, false, Kind::Double)?.f_div_scalar(count)?; // [D]
        let lengths = centred.f_square()?.f_sum_dim_intlist(1i64, false, Kind::Double)?; // [N]
        Ok(Self {
            variances: Vec::try_from(variances)?,
            between: Vec::try_from(between)?,
            fourth_moment: f64::try_from(lengths.f_square()?.f_mean(Kind::Double)?)?,
            count,
        })
    }

    /// D.
    fn width(&self) -> f64 {
        self.variances.len() as f64
    }

    /// μ.
    fn mean_variance(&self) -> f64 {
        self.variances.iter().sum::<f64>() / self.width()
    }

    /// Σ bᵢ by the denominator of λᵢ, where features vary.
    fn relative_to(&self, denominator: impl Fn(f64) -> f64) -> f64 {
        let largest = self.variances.iter().copied().fold(0.0, f64::max);
        let negligible = largest * self.width() * f64::EPSILON;
        let terms = self.variances.iter().zip(&self.between).filter(|(variance, _)| **variance > negligible);
        terms.map(|(&variance, &between)| between / denominator(variance)).sum()
    }

    /// a, in 0..1; 0 where all directions vary alike, and a shrunk covariance would be the same.
    fn shrinkage(&self) -> f64 {
        let mean = self.mean_variance();
        // ‖·‖² of a symmetric matrix is the sum of its squared eigenvalues
        let distance = self.variances.iter().map(|variance| (variance - mean).powi(2)).sum::<f64>();
        let length = self.variances.iter().map(|variance| variance * variance).sum::<f64>();
        let error = (self.fourth_moment - length) / self.count;
        if error <= 0.0 || distance <= length * f64::EPSILON { 0.0 } else { error.min(distance) / distance }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CASES, Case, close, rotation};
    use super::*;

    #[test]
    fn agrees_with_numpy_also_where_the_covariance_is_singular() -> Result<()> {
        for name in CASES {
            let case = Case::read(name);
            close(h_score(&case.features, &case.labels, case.classes)?, case.expected("h_score"), 1e-9, name);
        }
        Ok(())
    }

    #[test]
    fn the_shrunk_form_agrees_with_scikit_learns_covariance() -> Result<()> {
        for name in CASES {
            let case = Case::read(name);
            let found = shrunk_h_score(&case.features, &case.labels, case.classes)?;
            close(found, case.expected("shrunk_h_score"), 1e-9, name);
        }
        Ok(())
    }

    #[test]
    fn invertible_maps_change_nothing() -> Result<()> {
        for name in CASES {
            let case = Case::read(name);
            let width = case.features.size()[1];
            let steps = Tensor::arange_start(1, width + 1, (Kind::Double, tch::Device::Cpu));
            // a rotation, another factor for each feature, and a move
            let turned = case.features.matmul(&rotation(width));
            let mapped = &turned * &steps + steps.square();
            let expected = h_score(&case.features, &case.labels, case.classes)?;
            close(h_score(&mapped, &case.labels, case.classes)?, expected, 1e-8, name);
            let shrunk = shrunk_h_score(&case.features, &case.labels, case.classes)?;
            close(shrunk_h_score(&(&turned * 7.0 + 1.0), &case.labels, case.classes)?, shrunk, 1e-9, name);
        }
        Ok(())
    }

    #[test]
    fn the_ends_of_the_range_are_reached() -> Result<()> {
        let corners = Tensor::eye(3, (Kind::Double, tch::Device::Cpu)).repeat([4, 1]);
        let labels: Vec<usize> = (0..12).map(|image| image % 3).collect();
        close(h_score(&corners, &labels, 3)?, 2.0, 1e-12, "classes that are points");
        let others: Vec<usize> = (0..12).map(|image| image / 6).collect();
        close(h_score(&corners, &others, 2)?, 0.0, 1e-12, "classes with equal means");
        for score in [h_score, shrunk_h_score] {
            assert_eq!(score(&(corners.shallow_clone() * 0.0), &labels, 3)?, 0.0, "features that do not vary");
        }
        Ok(())
    }
}
