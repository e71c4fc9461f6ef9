//! Oracle scores: what only the labels that a method must not see can tell. Report them under that heading.

use crate::data::HeldOut;
use crate::{Error, Result};

/// What opens [`HeldOut`]; nothing outside [`crate::eval`] can make one.
pub(crate) struct OracleKey(pub(in crate::eval) ());

/// The share of images whose predicted class is the held-out one, in 0..1; images of a class that is not known do not count.
///
/// # Errors
/// Not exactly one prediction per held-out label, or no image of a known class.
pub fn oracle_accuracy(held_out: &HeldOut, predicted: &[usize]) -> Result<f64> {
    let labels = held_out.open(&OracleKey(()));
    let known = labels.iter().flatten().count();
    if labels.len() != predicted.len() || known == 0 {
        return Err(Error::Data(format!(
            "oracle accuracy: {} predictions for {} held-out labels, {known} of them of known classes; expected one for each, and \
             at least one",
            predicted.len(),
            labels.len()
        )));
    }
    let right = labels.iter().zip(predicted).filter(|(label, predicted)| label.as_ref() == Some(predicted)).count();
    Ok(right as f64 / known as f64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{ImageSet, Labelled, SyntheticOptions, SyntheticSet};

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

    #[test]
    fn labels_go_by_name_and_unknown_classes_do_not_count() {
        let set = SyntheticSet::new(SyntheticOptions { classes: 3, per_class: 1, ..Default::default() });
        let labelled = Labelled::new(Arc::new(set));
        let names = labelled.classes();
        // the model knows the third class as its first, the first as its second, and has never heard of the other
        let known = [names[2].clone(), names[0].clone()];
        let (_, held_out) = labelled.clone().forget_labels_among(&known);
        assert_eq!(oracle_accuracy(&held_out, &[1, 0, 0]).unwrap(), 1.0);
        assert_eq!(oracle_accuracy(&held_out, &[1, 0, 1]).unwrap(), 0.5);
        let (_, none) = labelled.forget_labels_among(&["other".to_string()]);
        assert!(oracle_accuracy(&none, &[0, 0, 0]).is_err());
    }
}
