//! LEEP, the log expected empirical prediction: how well a target's classes are read off a source model's probabilities.
//!
//! With θᵢ(z) the probability of source class z for image i of target class yᵢ:
//!
//! * P(y, z) = 1/N Σ_{i: yᵢ = y} θᵢ(z), the empirical joint distribution of target and source classes, and
//!   P(y | z) = P(y, z) / P(z);
//! * the *expected empirical predictor* of an image's target class: Σ_z P(y | z) θᵢ(z);
//! * LEEP = 1/N Σᵢ ln Σ_z P(yᵢ | z) θᵢ(z), its mean log-likelihood, in nats.
//!
//! **High** means near 0: target classes that go with source classes of their own. A source model that answers the same for
//! every image gets −H(y), the entropy of the target's classes (−ln K where they are balanced), and one can do worse than that.
//! It assumes that the source model ends in probabilities, and sees nothing of what its features know beyond them.
//!
//! Source: Nguyen et al., *LEEP: A New Measure to Evaluate Transferability of Learned Representations*, ICML 2020, section 3.
//!
//! Difference: rows are divided by their sum, so that the rounding of half precision does not carry the score above 0.

use tch::{Kind, Tensor};

use super::Samples;
use crate::{Error, Result};

/// How far from 1 a row may sum.
const TOLERANCE: f64 = 1e-3;

/// The score of a source model's probabilities; higher is better, in −∞..0.
///
/// # Shapes
/// `probabilities: [N, Z]` over Z source classes, of any kind and on any device; `labels: N` target classes in 0..classes
///
/// # Errors
/// Not one label per row, a label that is no class, fewer than two classes present, a number that is no probability, or a
/// row that does not sum to 1 within 1e-3.
pub fn leep(probabilities: &Tensor, labels: &[usize], classes: usize) -> Result<f64> {
    let samples = Samples::new("LEEP", "source probabilities", probabilities, labels, classes)?;
    let sums = samples.rows.f_sum_dim_intlist(1i64, true, Kind::Double)?; // [N, 1]
    let lowest = Vec::<f64>::try_from(samples.rows.f_amin(1i64, false)?)?;
    for (image, (&lowest, sum)) in lowest.iter().zip(Vec::<f64>::try_from(sums.f_view(-1)?)?).enumerate() {
        if lowest < 0.0 || (sum - 1.0).abs() > TOLERANCE {
            return Err(Error::Data(format!(
                "LEEP: the source probabilities of image {image} sum to {sum}, the lowest is {lowest}; expected none below \
                 0 and a sum of 1 (take the softmax of logits first)"
            )));
        }
    }
    let probabilities = samples.rows.f_div(&sums)?; // [N, Z]
    let joint = samples.membership.f_tr()?.f_matmul(&probabilities)?; // [K, Z]
    // a source class that no image has any probability of is left out by its own zeros
    let of_source = joint.f_sum_dim_intlist(0i64, true, Kind::Double)?.f_clamp_min(f64::MIN_POSITIVE)?;
    let conditional = joint.f_div(&of_source)?;
    let predicted = probabilities.f_matmul(&conditional.f_tr()?)?; // [N, K]
    let of_label = predicted.f_mul(&samples.membership)?.f_sum_dim_intlist(1i64, false, Kind::Double)?;
    Ok(f64::try_from(of_label.f_log()?.f_mean(Kind::Double)?)?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CASES, Case, close};
    use super::*;

    #[test]
    fn agrees_with_the_formula_in_numpy() -> Result<()> {
        for name in CASES {
            let case = Case::read(name);
            let found = leep(&case.probabilities, &case.labels, case.classes)?;
            close(found, case.expected("leep"), 1e-12, name);
            assert!(found <= 0.0);
        }
        Ok(())
    }

    #[test]
    fn certain_and_right_is_zero_and_always_the_same_is_the_entropy() -> Result<()> {
        let labels = [0, 2, 2, 0, 2, 0];
        let certain = Tensor::from_slice(&[1i64, 0, 3, 1, 0, 1]).one_hot(5);
        assert_eq!(leep(&certain, &labels, 3)?, 0.0);
        let same = Tensor::from_slice(&[0.5f32, 0.25, 0.25]).repeat([6, 1]);
        close(leep(&same, &labels, 3)?, -2f64.ln(), 1e-12, "entropy");
        Ok(())
    }

    #[test]
    fn logits_are_no_probabilities() {
        let message = |rows: &[[f32; 2]]| leep(&Tensor::from_slice2(rows), &[0, 1], 2).unwrap_err().to_string();
        assert!(message(&[[0.5, 0.5], [2.0, -1.0]]).contains("image 1 sum to 1, the lowest is -1"));
        assert!(message(&[[0.5, 0.502], [0.5, 0.5]]).contains("take the softmax"));
        assert!(leep(&Tensor::from_slice2(&[[0.5f32, 0.5005], [0.5, 0.5]]), &[0, 1], 2).is_ok());
    }
}
