//! Whether a forecast orders things as the truth does: correlations in −1..1, where 1 is the same order, −1 the opposite
//! one, and about 0 what an unrelated forecast has.
//!
//! With aᵢ the forecast and bᵢ the truth of thing i, and sgn(0) = 0:
//!
//! * Pearson's r: the covariance of a and b by the product of their standard deviations; 1 for a rising straight line;
//! * Spearman's ρ: Pearson's r of the ranks, where equal values share the mean of their ranks;
//! * Kendall's τ-b: Σ_{i<j} sgn(aᵢ − aⱼ) sgn(bᵢ − bⱼ) / √(Σ_{i<j} sgn(aᵢ − aⱼ)² · Σ_{i<j} sgn(bᵢ − bⱼ)²);
//! * the weighted τ: every pair counts 1/(1 + rᵢ) + 1/(1 + rⱼ) in all three sums, where rᵢ is how many things come before
//!   i, best first; it is the mean of two, with r from the order of a (of equals the one with the larger b first) and from
//!   the order of b. Exchanging the best two costs more than exchanging the worst two, which suits the choice of a model.
//!
//! Where one side is constant there is no order to compare, and the answer is `None`.
//!
//! Sources: Kendall, *The Treatment of Ties in Ranking Problems*, Biometrika 1945; Vigna, *A Weighted Correlation Index for
//! Rankings with Ties*, WWW 2015, with the additive hyperbolic weights that it recommends and SciPy's `weightedtau` uses.

use crate::{Error, Result};

/// Pearson's r, in −1..1, or `None` where a side is constant.
///
/// # Errors
/// Lists of different lengths, or a value that is not finite.
pub fn pearson(forecast: &[f64], truth: &[f64]) -> Result<Option<f64>> {
    Ok(comparable(forecast, truth)?.then(|| correlation(forecast, truth)))
}

/// Spearman's ρ, in −1..1, or `None` where a side is constant.
///
/// # Errors
/// Lists of different lengths, or a value that is not finite.
pub fn spearman(forecast: &[f64], truth: &[f64]) -> Result<Option<f64>> {
    Ok(comparable(forecast, truth)?.then(|| correlation(&mean_ranks(forecast), &mean_ranks(truth))))
}

/// Kendall's τ-b, in −1..1, or `None` where a side is constant.
///
/// # Errors
/// Lists of different lengths, or a value that is not finite.
pub fn kendall(forecast: &[f64], truth: &[f64]) -> Result<Option<f64>> {
    Ok(comparable(forecast, truth)?.then(|| concordance(forecast, truth, |_, _| 1.0)))
}

/// The weighted τ, in −1..1, or `None` where a side is constant.
///
/// # Errors
/// Lists of different lengths, or a value that is not finite.
pub fn weighted_kendall(forecast: &[f64], truth: &[f64]) -> Result<Option<f64>> {
    let ordered_by = |first: &[f64], second: &[f64]| {
        let places = places(first, second);
        let weight = |index: usize| 1.0 / (1 + places[index]) as f64;
        concordance(forecast, truth, |i, j| weight(i) + weight(j))
    };
    Ok(comparable(forecast, truth)?.then(|| (ordered_by(forecast, truth) + ordered_by(truth, forecast)) / 2.0))
}

/// Whether both sides have an order.
fn comparable(forecast: &[f64], truth: &[f64]) -> Result<bool> {
    if forecast.len() != truth.len() {
        return Err(Error::Data(format!(
            "rank correlation: {} forecasts for {} true values; expected one for each",
            forecast.len(),
            truth.len()
        )));
    }
    for (side, values) in [("forecast", forecast), ("true value", truth)] {
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::Data(format!("rank correlation: {side} {at} is {}, not a finite number", values[at])));
        }
    }
    let varies = |values: &[f64]| values.iter().any(|value| value != &values[0]);
    Ok(varies(forecast) && varies(truth))
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let deviations = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect()
    };
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (a, b) = (deviations(a), deviations(b));
    // rounding may lead out of the range
    (product(&a, &b) / (product(&a, &a).sqrt() * product(&b, &b).sqrt())).clamp(-1.0, 1.0)
}

/// The rank of each value from 1, lowest first; equal values share the mean of theirs.
fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&i, &j| values[i] == values[j]) {
        // the mean of before + 1 ..= before + count
        equal.iter().for_each(|&index| ranks[index] = before as f64 + (equal.len() + 1) as f64 / 2.0);
        before += equal.len();
    }
    ranks
}

/// How many come before each, largest of `first` first and of equals largest of `second`. Which of two that are equal on
/// both sides comes first makes no difference to [`concordance`].
fn places(first: &[f64], second: &[f64]) -> Vec<usize> {
    let descending = |values: &[f64], i: usize, j: usize| sign(values[j], values[i]).total_cmp(&0.0);
    let mut order: Vec<usize> = (0..first.len()).collect();
    order.sort_by(|&i, &j| descending(first, i, j).then(descending(second, i, j)));
    let mut places = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &index)| places[index] = place);
    places
}

/// τ-b with a weight for every pair.
fn concordance(a: &[f64], b: &[f64], weight: impl Fn(usize, usize) -> f64) -> f64 {
    let (mut of_both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for j in 0..a.len() {
        for i in 0..j {
            let (in_a, in_b, weight) = (sign(a[i], a[j]), sign(b[i], b[j]), weight(i, j));
            of_both += weight * in_a * in_b;
            of_a += weight * in_a * in_a;
            of_b += weight * in_b * in_b;
        }
    }
    of_both / (of_a * of_b).sqrt()
}

/// sgn(a − b), without the rounding or overflow of the difference.
fn sign(a: f64, b: f64) -> f64 {
    f64::from(i8::from(a > b) - i8::from(a < b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::transferability::tests::{number, numbers};

    type Correlation = fn(&[f64], &[f64]) -> Result<Option<f64>>;
    const ALL: [(&str, Correlation); 4] =
        [("pearson", pearson), ("spearman", spearman), ("kendall", kendall), ("weighted_kendall", weighted_kendall)];

    #[test]
    fn agrees_with_scipy_also_where_there_are_ties() -> Result<()> {
        for case in ["distinct", "tied", "opposed", "two"] {
            let [forecast, truth] = ["forecast", "truth"].map(|side| numbers(&format!("rank/{case}/{side}")));
            for (name, correlation) in ALL {
                let found = correlation(&forecast, &truth)?.unwrap();
                let expected = number(&format!("rank/{case}/{name}"));
                assert!((found - expected).abs() < 1e-12, "{case}, {name}: {found}, expected {expected}");
            }
        }
        Ok(())
    }

    #[test]
    fn order_alone_counts_except_for_pearson() -> Result<()> {
        let [forecast, truth] = ["forecast", "truth"].map(|side| numbers(&format!("rank/tied/{side}")));
        let stretched: Vec<f64> = forecast.iter().map(|x| (3.0 * x).exp()).collect();
        for (name, correlation) in &ALL[1..] {
            assert_eq!(correlation(&forecast, &truth)?, correlation(&stretched, &truth)?, "{name}");
        }
        for (name, correlation) in ALL {
            assert_eq!(correlation(&forecast, &truth)?, correlation(&truth, &forecast)?, "{name}");
            assert!((correlation(&forecast, &forecast)?.unwrap() - 1.0).abs() < 1e-15, "{name}");
        }
        Ok(())
    }

    #[test]
    fn the_weighted_one_minds_the_best_most() -> Result<()> {
        let truth = [5.0, 4.0, 3.0, 2.0, 1.0];
        let best_exchanged = weighted_kendall(&[4.0, 5.0, 3.0, 2.0, 1.0], &truth)?;
        let worst_exchanged = weighted_kendall(&[5.0, 4.0, 3.0, 1.0, 2.0], &truth)?;
        assert!(best_exchanged < worst_exchanged);
        Ok(())
    }

    #[test]
    fn what_has_no_order_has_no_correlation() {
        for (name, correlation) in ALL {
            for (a, b) in [(vec![1.0, 1.0], vec![1.0, 2.0]), (vec![1.0, 2.0], vec![0.0, -0.0]), (vec![1.0], vec![1.0])]
            {
                assert_eq!(correlation(&a, &b).unwrap(), None, "{name}");
            }
            assert_eq!(correlation(&[], &[]).unwrap(), None, "{name}");
            assert!(correlation(&[1.0, 2.0], &[1.0]).unwrap_err().to_string().contains("2 forecasts for 1 true"));
            let error = correlation(&[1.0, 2.0], &[1.0, f64::NAN]).unwrap_err().to_string();
            assert!(error.contains("true value 1 is NaN"), "{error}");
        }
    }
}
