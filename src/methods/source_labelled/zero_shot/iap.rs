//! IAP: seen classes are recognised, and lend their attributes (source labelled, target known by descriptions alone).
//!
//! Lampert et al. 2014, section 4.2, *indirect attribute prediction*: with p(y | x) what a classifier of the seen classes says of an image,
//!
//! p(aₘ | x) = Σ_y p(y | x) aₘʸ
//!
//! and classes are looked up by these as in DAP (`attributes.rs`). The classifier is a logistic regression, as in the paper, whose penalty λ
//! is chosen on classes that are held out.

use std::rc::Rc;

use tch::{Kind, Tensor};

use super::attributes::Attributes;
use super::checked;
use crate::Result;
use crate::models::{LogisticRegression, Regressors};

/// What is the same for all penalties.
#[derive(Debug)]
pub struct Problem {
    attributes: Rc<Attributes>,
    regressors: Regressors,
    labels: Tensor,
    /// Of the seen classes: `[C, M]` f64.
    binary: Tensor,
}

/// The classifier.
#[derive(Debug)]
pub struct Iap {
    attributes: Rc<Attributes>,
    /// Of the seen classes: `[C, M]` f64.
    binary: Tensor,
    classifier: LogisticRegression,
}

impl Problem {
    /// Of images of seen classes.
    ///
    /// # Shapes
    /// `features: [N, D]`, `labels: [N]` below C, `descriptions: [C, A]`
    ///
    /// # Errors
    /// Not one label for each image, no attribute that tells the classes apart, or what libtorch refuses.
    pub fn new(features: &Tensor, labels: &[usize], descriptions: &Tensor) -> Result<Self> {
        let s = descriptions.f_to_kind(Kind::Double)?;
        let labels = checked(features, labels, s.size2()?.0)?;
        let attributes = Rc::new(Attributes::of(&s)?);
        let binary = attributes.binary(&s)?;
        Ok(Self { attributes, regressors: Regressors::new(features)?, labels, binary })
    }

    /// The classifier for this penalty, above 0.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn solve(&self, penalty: f64) -> Result<Iap> {
        let classifier = self.regressors.classes(&self.labels, self.binary.size()[0], penalty)?;
        Ok(Iap { attributes: self.attributes.clone(), binary: self.binary.shallow_clone(), classifier })
    }
}

impl Iap {
    /// Scores of images for classes: `[N, C]` f64.
    ///
    /// # Shapes
    /// `features: [N, D]`, `descriptions: [C, A]`, of seen classes or others
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn scores(&self, features: &Tensor, descriptions: &Tensor) -> Result<Tensor> {
        let shares = self.classifier.logits(features)?.f_softmax(-1, Kind::Double)?;
        self.attributes.look_up(&shares.f_matmul(&self.binary)?, descriptions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_classes_lend_their_attributes_by_their_shares() -> Result<()> {
        let rows: Vec<f64> = (0..60).flat_map(|at| [f64::from(at % 3), f64::from(at).cos() * 0.3]).collect();
        let (x, labels) =
            (Tensor::from_slice(&rows).reshape([60, 2]), (0..60).map(|at| at % 3).collect::<Vec<usize>>());
        let seen = Tensor::from_slice2(&[[0f64, 1.0], [1.0, 1.0], [1.0, 0.0]]);
        let iap = Problem::new(&x, &labels, &seen)?.solve(1e-2)?;
        let image = Tensor::from_slice2(&[[1.4f64, 0.1]]);
        let shares = Vec::<Vec<f64>>::try_from(&iap.classifier.logits(&image)?.softmax(-1, Kind::Double))?.concat();
        let logit = |p: f64| (p / (1.0 - p)).ln();
        // two of three classes have each attribute
        let (one, two) = (logit(shares[1] + shares[2]) - 2f64.ln(), logit(shares[0] + shares[1]) - 2f64.ln());
        let found = Vec::<Vec<f64>>::try_from(&iap.scores(&image, &Tensor::from_slice2(&[[1f64, 0.0], [1.0, 1.0]]))?)?;
        assert!((found[0][0] - one).abs() < 1e-9 && (found[0][1] - one - two).abs() < 1e-9, "{found:?}");
        Ok(())
    }
}
