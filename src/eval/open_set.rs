//! Whether a target without labels may hold what the source's classes do not cover.

use super::Predictions;

/// The share of the source's images that pass for unsure.
const TAIL: f64 = 0.05;

/// How many of the target's images are named less surely than 19 of 20 of the source's validation images, beyond the 1 in 20 that would be: 0
/// where both are named as surely, 1 where all of the target's are unsure.
///
/// Images of classes that the source does not have tend to be among these (the probability of the class that is named tells them apart:
/// Hendrycks & Gimpel 2017, "A baseline for detecting misclassified and out-of-distribution examples"), but so are those that look too
/// different, so it is a hint. Labels play no part.
pub fn unsure_share(source: &Predictions, target: &Predictions) -> f64 {
    let confidences = |predictions: &Predictions| -> Vec<f64> {
        (0..predictions.len()).map(|image| predictions.confidence(image)).collect()
    };
    let (mut known, asked) = (confidences(source), confidences(target));
    if known.is_empty() || asked.is_empty() {
        return 0.0;
    }
    known.sort_by(f64::total_cmp);
    let bound = known[(known.len() as f64 * TAIL) as usize];
    let unsure = asked.iter().filter(|&&confidence| confidence < bound).count() as f64 / asked.len() as f64;
    ((unsure - TAIL) / (1.0 - TAIL)).max(0.0)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    /// Images that are named with these logits beside one of 0.
    fn predictions(logits: &[f64]) -> Predictions {
        let first = Tensor::from_slice(logits).to_kind(Kind::Float).unsqueeze(1);
        let logits = Tensor::cat(&[&first, &Tensor::zeros([first.size()[0], 1], (Kind::Float, Device::Cpu))], 1);
        Predictions::new(&logits, &vec![0; first.size()[0] as usize]).unwrap()
    }

    #[test]
    fn what_is_of_no_class_is_named_less_surely() {
        let source: Vec<f64> = (0..100).map(|image| 3.0 + f64::from(image) / 100.0).collect();
        let known = predictions(&source);
        assert_eq!(unsure_share(&known, &known), 0.0);
        let half: Vec<f64> = (0..100).map(|image| if image % 2 == 0 { 0.1 } else { 3.5 }).collect();
        let share = unsure_share(&known, &predictions(&half));
        assert!((share - 0.45 / 0.95).abs() < 1e-9, "{share}");
        assert!((unsure_share(&known, &predictions(&[0.0; 10])) - 1.0).abs() < 1e-9);
    }
}
