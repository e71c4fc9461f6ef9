//! NCE, the negative conditional entropy: what a source model's classes leave unsaid about the target's.
//!
//! With P(y, z) the share of images with target class y and source class z, and P(z) = Σ_y P(y, z):
//!
//! NCE = −H(Y | Z) = Σ_{y, z} P(y, z) ln(P(y, z) / P(z)), in nats.
//!
//! **High** means near 0: the source class settles the target class. The lowest value is −H(Y) ≥ −ln K, where the two are
//! independent. It assumes hard source labels: those that the same images have in the source task or, where there are none,
//! the source model's most probable classes; its doubts are lost, which [`leep`](super::leep) counts. With few images per
//! source class it is too high, and 0 where every image has a source class of its own.
//!
//! Source: Tran, Nguyen & Hassner, *Transferability and Hardness of Supervised Classification Tasks*, ICCV 2019.

use std::collections::BTreeMap;

use super::numbered;
use crate::{Error, Result};

/// The score of source labels; higher is better, in −ln K..0.
///
/// # Shapes
/// `source_labels: N` classes of the source, in any numbering; `labels: N` classes of the target in 0..classes
///
/// # Errors
/// Not one source label per label, a label that is no class, fewer than two target classes present.
pub fn nce(source_labels: &[usize], labels: &[usize], classes: usize) -> Result<f64> {
    if source_labels.len() != labels.len() {
        return Err(Error::Data(format!("NCE: {} source labels for {} labels", source_labels.len(), labels.len())));
    }
    let labels = numbered("NCE", labels, classes)?;
    let mut of_source: BTreeMap<usize, usize> = BTreeMap::new();
    let mut of_both: BTreeMap<(usize, i64), usize> = BTreeMap::new();
    for (&source, &label) in source_labels.iter().zip(&labels) {
        *of_source.entry(source).or_default() += 1;
        *of_both.entry((source, label)).or_default() += 1;
    }
    let term = |(&(source, _), &count): (&(usize, i64), &usize)| {
        count as f64 * (count as f64 / of_source[&source] as f64).ln()
    };
    Ok(of_both.iter().map(term).sum::<f64>() / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CASES, Case, close};
    use super::*;

    #[test]
    fn agrees_with_the_formula_in_numpy() -> Result<()> {
        for name in CASES {
            let case = Case::read(name);
            let found = nce(&case.source_labels, &case.labels, case.classes)?;
            close(found, case.expected("nce"), 1e-12, name);
            assert!((-(case.classes as f64).ln()..=0.0).contains(&found));
        }
        Ok(())
    }

    #[test]
    fn it_is_zero_where_the_source_settles_the_target_and_the_entropy_where_it_says_nothing() -> Result<()> {
        let labels = [0, 0, 1, 1, 3, 3, 3, 3];
        assert_eq!(nce(&[9, 4, 7, 7, 5, 5, 8, 8], &labels, 4)?, 0.0);
        close(nce(&[6; 8], &labels, 4)?, -1.5 * 2f64.ln(), 1e-12, "one source class");
        close(nce(&[1, 2, 1, 2, 1, 2, 1, 2], &labels, 4)?, -1.5 * 2f64.ln(), 1e-12, "independent");
        assert!(nce(&[1], &labels, 4).unwrap_err().to_string().contains("1 source labels for 8 labels"));
        Ok(())
    }

    #[test]
    fn leep_of_certain_answers_is_nce() -> Result<()> {
        for name in CASES {
            let case = Case::read(name);
            let sources: Vec<i64> = case.source_labels.iter().map(|&label| label as i64).collect();
            let certain = tch::Tensor::from_slice(&sources).one_hot(-1);
            let leep = super::super::leep(&certain, &case.labels, case.classes)?;
            close(leep, nce(&case.source_labels, &case.labels, case.classes)?, 1e-12, name);
        }
        Ok(())
    }
}
