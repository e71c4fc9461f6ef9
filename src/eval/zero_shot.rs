//! What scores of classes that were never seen are worth.
//!
//! Per-class accuracy as Xian et al. 2018, "Zero-shot learning: a comprehensive evaluation", equation 1, have it: the mean over classes of the
//! share of each class's images that is right, so that a class with many images counts no more than another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{ConfusionMatrix, Predictions, hubness, top_k_accuracy};
use crate::{Error, Result};

/// Measures over images of unseen classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZeroShotScores {
    /// Images.
    pub images: usize,
    /// Share of all images that is right.
    pub accuracy: f64,
    /// Mean over the classes of the share of each class's images that is right.
    pub per_class_accuracy: f64,
    /// Share of all images whose class is among the k best, by k.
    pub hits: BTreeMap<usize, f64>,
    /// Skewness of how often each class is the best; see [`hubness`].
    pub hubness: f64,
    /// What guessing gets: 1 over the number of classes.
    pub chance: f64,
    /// Each class, in order.
    pub classes: Vec<ClassShare>,
    /// Images of class i that were taken for class j.
    pub confusion: Vec<Vec<u64>>,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassShare {
    /// Which.
    pub class: String,
    /// Its images.
    pub images: u64,
    /// The share of these that is right; none without images.
    pub accuracy: Option<f64>,
}

impl ZeroShotScores {
    /// Of scores for all `classes`, higher being more alike.
    ///
    /// # Shapes
    /// `scores: [N, C]`, `labels: [N]` below C
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn of(scores: &Tensor, labels: &[usize], classes: &[String]) -> Result<Self> {
        let predictions = Predictions::new(scores, labels)?;
        if predictions.classes() != classes.len() {
            let (found, expected) = (predictions.classes(), classes.len());
            return Err(Error::Data(format!("scores for {found} classes, of which {expected} have names")));
        }
        let matrix = ConfusionMatrix::of(&predictions);
        let row = |(class, counts): (&String, &Vec<u64>)| (class.clone(), counts.iter().sum::<u64>());
        let sizes: Vec<(String, u64)> = classes.iter().zip(matrix.counts()).map(row).collect();
        let classes = sizes.into_iter().enumerate().map(|(at, (class, images))| ClassShare {
            class,
            images,
            accuracy: (images > 0).then(|| matrix.counts()[at][at] as f64 / images as f64),
        });
        let classes: Vec<ClassShare> = classes.collect();
        let ks = [1, 2, 5, 10, 20].into_iter().filter(|&k| k == 1 || k < predictions.classes());
        Ok(Self {
            images: predictions.len(),
            accuracy: super::accuracy(&predictions),
            per_class_accuracy: matrix.mean_per_class_accuracy(),
            hits: ks.map(|k| (k, top_k_accuracy(&predictions, k))).collect(),
            hubness: hubness(scores, 1)?,
            chance: 1.0 / classes.len() as f64,
            classes,
            confusion: matrix.counts().to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_counts_the_same() -> Result<()> {
        // three images of class 0, all right; one of class 1, wrong; none of class 2
        let scores = Tensor::from_slice2(&[[3f32, 1.0, 0.0], [3.0, 1.0, 0.0], [3.0, 0.0, 1.0], [3.0, 2.0, 1.0]]);
        let classes = ["a", "b", "c"].map(String::from);
        let found = ZeroShotScores::of(&scores, &[0, 0, 0, 1], &classes)?;
        assert_eq!((found.accuracy, found.per_class_accuracy), (0.75, 0.5));
        assert_eq!(found.hits, [(1, 0.75), (2, 1.0)].into());
        assert_eq!(found.classes[0].accuracy, Some(1.0));
        assert_eq!((found.classes[2].images, found.classes[2].accuracy), (0, None));
        assert!(found.hubness > 0.7);
        Ok(())
    }
}
