//! What the scores have in common; `tests/golden/transferability/generate.py` made what is expected.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// The cases of the golden file: ordinary, two classes, classes of which some are absent, features that depend on each other,
/// fewer images than features.
pub(super) const CASES: [&str; 5] = ["ordinary", "two", "absent", "singular", "wide"];

fn golden() -> BTreeMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/transferability/data.safetensors");
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

/// The numbers of that name in the golden file.
pub(in crate::eval) fn numbers(name: &str) -> Vec<f64> {
    Vec::try_from(&golden()[name]).unwrap()
}

/// The number of that name in the golden file.
pub(in crate::eval) fn number(name: &str) -> f64 {
    numbers(name)[0]
}

pub(super) struct Case {
    name: String,
    pub(super) features: Tensor,
    pub(super) probabilities: Tensor,
    pub(super) source_labels: Vec<usize>,
    pub(super) labels: Vec<usize>,
    pub(super) classes: usize,
}

impl Case {
    pub(super) fn read(name: &str) -> Self {
        let mut golden = golden();
        let mut take = |what: &str| golden.remove(&format!("{name}/{what}")).unwrap();
        let classes =
            |tensor: Tensor| Vec::<i64>::try_from(tensor).unwrap().into_iter().map(|class| class as usize).collect();
        Self {
            features: take("features"),
            probabilities: take("probabilities"),
            source_labels: classes(take("source_labels")),
            labels: classes(take("labels")),
            classes: i64::try_from(take("classes")).unwrap() as usize,
            name: name.to_string(),
        }
    }

    pub(super) fn expected(&self, score: &str) -> f64 {
        number(&format!("{}/{score}", self.name))
    }

    /// The four scores that a row of numbers has, and NCE.
    fn scores(&self) -> Result<[f64; 5]> {
        Ok([
            log_me(&self.features, &self.labels, self.classes)?,
            h_score(&self.features, &self.labels, self.classes)?,
            shrunk_h_score(&self.features, &self.labels, self.classes)?,
            leep(&self.probabilities, &self.labels, self.classes)?,
            nce(&self.source_labels, &self.labels, self.classes)?,
        ])
    }
}

/// Within a relative tolerance, or an absolute one near 0.
pub(super) fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{what}: {found}, expected {expected}");
}

/// A rotation (perhaps with a reflection) that mixes all features: the Q of a matrix that a formula makes.
pub(super) fn rotation(width: i64) -> Tensor {
    let numbers: Vec<f64> = (0..width * width).map(|i| (1.7 * (i * i % 101) as f64).sin()).collect();
    Tensor::linalg_qr(&Tensor::from_slice(&numbers).view([width, width]), "reduced").0
}

#[test]
fn the_order_of_images_and_the_numbers_of_classes_make_no_difference() -> Result<()> {
    for name in CASES {
        let case = Case::read(name);
        let expected = case.scores()?;
        let count = case.labels.len();
        let order: Vec<usize> = (0..count).map(|image| (image * 7 + 3) % count).collect();
        assert_eq!(order.iter().collect::<std::collections::BTreeSet<_>>().len(), count, "an order of all images");
        let index = Tensor::from_slice(&order.iter().map(|&image| image as i64).collect::<Vec<_>>());
        let moved = Case {
            features: case.features.index_select(0, &index),
            probabilities: case.probabilities.index_select(0, &index),
            source_labels: order.iter().map(|&image| case.source_labels[image] + 5).collect(),
            labels: order.iter().map(|&image| 2 * (case.classes - case.labels[image])).collect(),
            classes: 2 * case.classes + 1,
            name: String::new(),
        };
        for (found, expected) in moved.scores()?.into_iter().zip(expected) {
            close(found, expected, 1e-9, name);
        }
    }
    Ok(())
}

#[test]
fn the_same_twice_gives_the_same_bits() -> Result<()> {
    for name in CASES {
        assert_eq!(Case::read(name).scores()?, Case::read(name).scores()?);
    }
    Ok(())
}

#[test]
fn tensors_that_learn_or_have_half_precision_are_read() -> Result<()> {
    let case = Case::read("ordinary");
    let half = case.features.to_kind(Kind::BFloat16).set_requires_grad(true);
    let same = case.features.to_kind(Kind::BFloat16).to_kind(Kind::Double);
    for score in [log_me, h_score, shrunk_h_score] {
        assert_eq!(score(&half, &case.labels, case.classes)?, score(&same, &case.labels, case.classes)?);
    }
    Ok(())
}

#[test]
fn bad_input_is_named() {
    let rows = Tensor::from_slice2(&[[0.5f32, 0.5], [0.25, 0.75], [0.0, 1.0]]);
    let spoiled = Tensor::from_slice2(&[[0.5f32, 0.5], [0.25, 0.75], [f32::NAN, 1.0]]);
    for score in [log_me, h_score, shrunk_h_score, leep] {
        let message = |rows: &Tensor, labels: &[usize]| score(rows, labels, 2).unwrap_err().to_string();
        assert!(message(&rows, &[0, 1]).contains("3 rows of"));
        assert!(message(&rows, &[0, 1, 2]).contains("image 2 has class 2, but there are 2 classes"));
        assert!(message(&rows, &[1, 1, 1]).contains("images of 1 class, expected at least two"));
        assert!(message(&rows.narrow(0, 0, 0), &[]).contains("images of 0 classes"));
        assert!(message(&spoiled, &[0, 1, 1]).contains("image 2 are not all finite"));
        assert!(message(&rows.view(-1), &[0, 1, 1]).contains("have shape [6]"));
        assert!(message(&rows.narrow(1, 0, 0), &[0, 1, 1]).contains("rows of no"));
    }
    assert!(nce(&[0, 1, 1], &[0, 1, 2], 2).unwrap_err().to_string().contains("image 2 has class 2"));
    assert!(nce(&[], &[], 2).unwrap_err().to_string().contains("images of 0 classes"));
}
