//! How often each class comes in a target without labels, estimated from predictions on it.
//!
//! Lipton et al. 2018, "Detecting and correcting for label shift with black box predictors", equations 2 to 4: with C_ij the share
//! of the source's validation images that are predicted i and are j, and μ_i the share of the target's that are predicted i,
//! C w = μ gives w_j = q(j) / p(j), how much more often class j comes in the target. It holds where images of a class look alike in
//! both domains; where they do not, it errs, so it is a hint.

use tch::{Device, Kind, Tensor};

use super::Evaluation;
use crate::{Error, Result};

/// Keeps the solution near 1 where classes are confused with each other.
const RIDGE: f64 = 1e-3;
/// A class that comes less often than this times as in the source is said to be missing.
const RARE: f64 = 0.1;

/// The share of each class in the target, which add up to 1.
///
/// # Errors
/// A class that the source's evaluation does not know.
pub fn target_shares(source: &Evaluation, predicted: &[usize]) -> Result<Vec<f64>> {
    let classes = source.confusion.len();
    let total: u64 = source.confusion.iter().flatten().sum();
    let mut shares = vec![0.0; classes];
    for &class in predicted {
        *shares.get_mut(class).ok_or_else(|| Error::Data(format!("class {class} is none of {classes}")))? +=
            1.0 / predicted.len() as f64;
    }
    let own: Vec<f64> =
        source.confusion.iter().map(|row| row.iter().sum::<u64>() as f64 / total.max(1) as f64).collect();
    // confusion counts [right class][predicted class]
    let matrix: Vec<f64> = (0..classes)
        .flat_map(|predicted| (0..classes).map(move |right| (right, predicted)))
        .map(|(right, predicted)| source.confusion[right][predicted] as f64 / total.max(1) as f64)
        .collect();
    let size = classes as i64;
    let c = Tensor::from_slice(&matrix).f_reshape([size, size])?;
    let mu = Tensor::from_slice(&shares).f_reshape([size, 1])?;
    let ridge = Tensor::f_eye(size, (Kind::Double, Device::Cpu))?.f_mul_scalar(RIDGE / size as f64)?;
    let left = c.f_tr()?.f_matmul(&c)?.f_add(&ridge)?;
    let right = c.f_tr()?.f_matmul(&mu)?.f_add(&ridge.f_sum_dim_intlist(1, true, Kind::Double)?)?;
    let weights: Vec<f64> = Vec::try_from(&Tensor::f_linalg_solve(&left, &right, true)?.f_flatten(0, -1)?)?;
    let shares: Vec<f64> = weights.iter().zip(&own).map(|(weight, own)| weight.max(0.0) * own).collect();
    let sum: f64 = shares.iter().sum();
    Ok(shares.into_iter().map(|share| if sum > 0.0 { share / sum } else { 0.0 }).collect())
}

/// The classes that seem to be missing in the target, or all but missing.
///
/// # Errors
/// As [`target_shares`].
pub fn missing_classes<'a>(source: &'a Evaluation, predicted: &[usize]) -> Result<Vec<&'a str>> {
    let shares = target_shares(source, predicted)?;
    let total: u64 = source.confusion.iter().flatten().sum();
    let rare = |(number, class): (usize, &'a super::ClassReport)| {
        let own = source.confusion[number].iter().sum::<u64>() as f64 / total.max(1) as f64;
        (own > 0.0 && shares[number] < RARE * own).then_some(class.name.as_str())
    };
    Ok(source.classes.iter().enumerate().filter_map(rare).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Predictions;

    /// A classifier that takes a tenth of each class for the next one.
    fn evaluation() -> Evaluation {
        let labels: Vec<usize> = (0..300).map(|image| image / 100).collect();
        let predicted: Vec<i64> = labels
            .iter()
            .enumerate()
            .map(|(image, &label)| ((label + usize::from(image % 10 == 0)) % 3) as i64)
            .collect();
        let logits = Tensor::from_slice(&predicted).one_hot(3).to_kind(Kind::Float);
        let names = ["a", "b", "c"].map(String::from);
        Evaluation::of(&Predictions::new(&logits, &labels).unwrap(), &names).unwrap()
    }

    #[test]
    fn shares_are_seen_through_the_confusion() -> Result<()> {
        // 60 % a, 40 % b, no c: predicted by the same classifier, a tenth of each as the next
        let counts = [(0, 540), (1, 60 + 360), (2, 40)];
        let predicted: Vec<usize> = counts.iter().flat_map(|&(class, count)| vec![class; count]).collect();
        let shares = target_shares(&evaluation(), &predicted)?;
        for (found, expected) in shares.iter().zip([0.6, 0.4, 0.0]) {
            assert!((found - expected).abs() < 0.01, "{shares:?}");
        }
        assert_eq!(missing_classes(&evaluation(), &predicted)?, ["c"]);
        assert!(target_shares(&evaluation(), &[7]).is_err());
        Ok(())
    }
}
