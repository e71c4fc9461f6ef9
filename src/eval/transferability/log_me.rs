//! LogME: the logarithm of the maximum evidence of a linear head, per image.
//!
//! The head of each class is a Bayesian linear regression of its one-hot column y ∈ {0, 1}ᴺ on the features F ∈ ℝᴺˣᴰ:
//! w ~ N(0, α⁻¹ I), y ~ N(F w, β⁻¹ I). Its evidence p(y | F, α, β) has w integrated out, so that, unlike the accuracy of a
//! fitted head, it does not grow by overfitting:
//!
//! ln p(y | F, α, β) = N/2 ln β + D/2 ln α − N/2 ln 2π − β/2 ‖F m − y‖² − α/2 ‖m‖² − ½ ln |A|,
//! A = α I + β FᵀF,  m = β A⁻¹ Fᵀy.
//!
//! LogME is the mean over the classes of max_{α, β} ln p / N.
//!
//! With F = U S Vᵀ, zᵢ = uᵢᵀy, ρ = ‖y‖² − Σ zᵢ² (what no head can reach) and the ratio t = α/β, everything is a sum over
//! the singular values sᵢ:
//!
//! * α ← γ / ‖m‖² and β ← (N − γ) / ‖F m − y‖² with γ = Σ sᵢ²/(t + sᵢ²), ‖m‖² = Σ (sᵢ zᵢ/(t + sᵢ²))² and
//!   ‖F m − y‖² = Σ (t zᵢ/(t + sᵢ²))² + ρ, which is a fixed-point iteration of t alone;
//! * at given t the best β is N / Q with Q = Σ t zᵢ²/(t + sᵢ²) + ρ, and there
//!   ln p = N/2 ln(N/Q) − N/2 (1 + ln 2π) − ½ Σ ln(1 + sᵢ²/t).
//!
//! **High** means that a simple head explains the classes well. The value is a log-density, so it may have either sign.
//! Rotating the features or multiplying all of them by a number changes nothing; moving them does, for there is no bias.
//!
//! Sources: You et al., *LogME: Practical Assessment of Pre-trained Models for Transfer Learning*, ICML 2021 (evidence and
//! iteration); You et al., *Ranking and Tuning Pre-trained Models*, JMLR 2022 (the iteration of t by a singular value
//! decomposition, and when it converges).
//!
//! Differences: t starts at the mean sᵢ² rather than at 1, and is iterated until it stands still to 1e-9, not for a few
//! steps. It is kept within 1e-12 to 1e12 times the largest sᵢ²: where classes have nothing to do with the features the best
//! t is infinite, and where a head fits a class exactly the evidence has no bound. Singular values below max(N, D) · ε of
//! the largest are taken for zero.

use tch::{Kind, Tensor};

use super::Samples;
use crate::Result;

/// Iterations at the most; ten to thirty are usual, hundreds where there are fewer images than features.
const STEPS: usize = 1000;
/// The iteration ends at relative changes of t below this.
const TOLERANCE: f64 = 1e-9;
/// How far t may go from the largest squared singular value, as a factor.
const RANGE: f64 = 1e12;

/// The score of features; higher is better, of either sign.
///
/// # Shapes
/// `features: [N, D]`, of any kind and on any device; `labels: N` classes in 0..classes
///
/// # Errors
/// Not one label per row, a label that is no class, fewer than two classes present, a feature that is not finite.
pub fn log_me(features: &Tensor, labels: &[usize], classes: usize) -> Result<f64> {
    let samples = Samples::new("LogME", "features", features, labels, classes)?;
    let count = samples.len();
    let (left, singular, _) = samples.rows.f_svd(true, true)?;
    let singular = Vec::<f64>::try_from(singular)?;
    let largest = singular[0];
    let negligible = largest * count.max(samples.width()) * f64::EPSILON;
    let rank = singular.iter().filter(|&&value| value > negligible).count();
    // relative to the largest they cannot overflow, and only their ratios to t matter
    let squares: Vec<f64> = singular[..rank].iter().map(|value| (value / largest).powi(2)).collect();

    let left = left.f_narrow(1, 0, rank as i64)?; // [N, R]
    let targets = &samples.membership; // [N, K]
    let projections = left.f_tr()?.f_matmul(targets)?; // [R, K]
    // not as a difference of squared lengths, which loses the digits of a good fit
    let beyond =
        targets.f_sub(&left.f_matmul(&projections)?)?.f_square()?.f_sum_dim_intlist(0i64, false, Kind::Double)?;
    let projections = Vec::<Vec<f64>>::try_from(projections.f_square()?.f_tr()?.f_contiguous()?)?;
    let beyond = Vec::<f64>::try_from(beyond)?;
    let classes = projections.into_iter().zip(beyond).map(|(along, beyond)| Regression {
        squares: &squares,
        along,
        beyond,
        count,
    });
    let evidences: Vec<f64> = classes.map(|class| class.largest_log_evidence()).collect();
    Ok(evidences.iter().sum::<f64>() / (evidences.len() as f64 * count))
}

/// The regression of one class.
struct Regression<'a> {
    /// sᵢ² by the largest of them.
    squares: &'a [f64],
    /// zᵢ².
    along: Vec<f64>,
    /// ρ.
    beyond: f64,
    /// N.
    count: f64,
}

impl Regression<'_> {
    fn largest_log_evidence(&self) -> f64 {
        if self.squares.is_empty() {
            return self.log_evidence(1.0); // features that are all zero: any t is as good
        }
        let mut ratio = self.squares.iter().sum::<f64>() / self.squares.len() as f64;
        for _ in 0..STEPS {
            let next = self.next(ratio).clamp(1.0 / RANGE, RANGE);
            let change = (next - ratio).abs();
            ratio = next;
            if change <= TOLERANCE * ratio {
                break;
            }
        }
        self.log_evidence(ratio)
    }

    /// The next t.
    fn next(&self, t: f64) -> f64 {
        let (mut effective, mut length, mut error) = (0.0, 0.0, self.beyond);
        for (&square, &along) in self.squares.iter().zip(&self.along) {
            let total = t + square;
            effective += square / total;
            length += square * along / (total * total);
            error += along * (t / total) * (t / total);
        }
        // N − γ as a sum of what is positive
        let free =
            self.count - self.squares.len() as f64 + self.squares.iter().map(|square| t / (t + square)).sum::<f64>();
        (effective / length) * (error / free)
    }

    /// ln p at t and the β that is best there.
    fn log_evidence(&self, t: f64) -> f64 {
        let (mut misfit, mut volume) = (self.beyond, 0.0);
        for (&square, &along) in self.squares.iter().zip(&self.along) {
            misfit += along * t / (t + square);
            volume += (square / t).ln_1p();
        }
        let constant = 1.0 + (2.0 * std::f64::consts::PI).ln();
        (self.count * ((self.count / misfit).ln() - constant) - volume) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CASES, Case, close, rotation};
    use super::*;

    #[test]
    fn agrees_with_a_direct_search_for_the_largest_evidence() -> Result<()> {
        for name in CASES {
            let case = Case::read(name);
            close(log_me(&case.features, &case.labels, case.classes)?, case.expected("log_me"), 1e-9, name);
        }
        Ok(())
    }

    #[test]
    fn rotating_or_scaling_the_features_changes_nothing() -> Result<()> {
        for name in CASES {
            let case = Case::read(name);
            let score = |features: &Tensor| log_me(features, &case.labels, case.classes);
            let expected = score(&case.features)?;
            close(score(&case.features.matmul(&rotation(case.features.size()[1])))?, expected, 1e-9, name);
            close(score(&(&case.features * 1e-5))?, expected, 1e-9, name);
            close(score(&(&case.features * 1e200))?, expected, 1e-9, name);
            // columns of zeros are no features
            close(score(&Tensor::cat(&[&case.features, &(&case.features * 0.0)], 1))?, expected, 1e-9, name);
        }
        Ok(())
    }

    #[test]
    fn features_that_know_nothing_are_worth_as_much_as_none() -> Result<()> {
        // each class has the same features
        let features =
            Tensor::from_slice2(&[[1.0, 2.0], [-1.0, 3.0], [1.0, 2.0], [-1.0, 3.0]]) - Tensor::from(&[0.0, 2.5][..]);
        let none = log_me(&(&features * 0.0), &[0, 0, 1, 1], 2)?;
        // ‖y‖² is half of N, so β is 2: ½ ln 2 − ½ (1 + ln 2π)
        close(none, (2f64.ln() - 1.0 - (2.0 * std::f64::consts::PI).ln()) / 2.0, 1e-12, "none");
        close(log_me(&features, &[0, 0, 1, 1], 2)?, none, 1e-9, "unrelated");
        Ok(())
    }

    #[test]
    fn classes_that_a_head_fits_exactly_have_a_high_and_finite_score() -> Result<()> {
        let exact = Tensor::eye(2, (Kind::Double, tch::Device::Cpu)).repeat([4, 1]);
        let labels = [0, 1, 0, 1, 0, 1, 0, 1];
        let noisy = &exact + Tensor::from_slice(&[0.0, 0.1, 0.0, -0.1, 0.1, 0.0, 0.0, 0.1]).unsqueeze(1);
        let (exact, noisy) = (log_me(&exact, &labels, 2)?, log_me(&noisy, &labels, 2)?);
        assert!(exact.is_finite() && exact > noisy + 1.0, "{exact} and {noisy}");
        Ok(())
    }
}
