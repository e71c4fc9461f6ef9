//! Oracle scores: what only the labels that a method must not see can tell. Report them under that heading.

use crate::data::HeldOut;
use crate::{Error, Result};

/// What opens [`HeldOut`]; nothing outside [`crate::eval`] can make one.
pub(crate) struct OracleKey(pub(in crate::eval) ());

/// The share of images whose predicted class is the held-out one, in 0..1.
///
/// # Errors
/// Not exactly one prediction per held-out label, or none at all.
pub fn oracle_accuracy(held_out: &HeldOut, predicted: &[usize]) -> Result<f64> {
    let labels = held_out.open(&OracleKey(()));
    if labels.len() != predicted.len() || labels.is_empty() {
        return Err(Error::Data(format!(
            "oracle accuracy: {} predictions for {} held-out labels; expected one for each, and at least one",
            predicted.len(),
            labels.len()
        )));
    }
    let right = labels.iter().zip(predicted).filter(|(label, predicted)| label == predicted).count();
    Ok(right as f64 / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{Labelled, SyntheticOptions, SyntheticSet};

    #[test]
    fn only_the_right_predictions_count() {
        let set = SyntheticSet::new(SyntheticOptions { classes: 2, per_class: 2, ..Default::default() });
        let labelled = Labelled::new(Arc::new(set));
        let mut predicted = labelled.labels();
        let (_, held_out) = labelled.forget_labels();
        assert_eq!(oracle_accuracy(&held_out, &predicted).unwrap(), 1.0);
        predicted[0] = 1 - predicted[0];
        assert_eq!(oracle_accuracy(&held_out, &predicted).unwrap(), 0.75);
        assert!(oracle_accuracy(&held_out, &predicted[1..]).is_err());
        assert!(oracle_accuracy(&held_out.subset(&[]), &[]).is_err());
    }
}
