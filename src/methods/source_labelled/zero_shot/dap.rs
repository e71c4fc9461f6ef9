//! DAP: attributes are recognised one by one, and classes looked up by them (source labelled, target known by descriptions alone).
//!
//! Lampert et al. 2014, section 4.1, *direct attribute prediction*: each attribute m has a classifier p(aₘ | x) of its own, learned from the
//! images of the classes that have it and of those that do not; the look-up is that of `attributes.rs`. In its other form, *nearest signature*,
//! the image is of the class whose attributes are nearest to the predicted probabilities.
//!
//! Differences from the paper: the classifiers are logistic regressions, whose penalty λ is chosen on classes that are held out, not support
//! vector machines with a sigmoid fitted to what they say.

use std::cell::RefCell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::attributes::Attributes;
use super::checked;
use crate::Result;
use crate::models::{LogisticRegression, Regressors};

/// How a class is found by its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookUp {
    /// By the product of the attributes' probabilities.
    Product,
    /// By the distance of its attributes from these probabilities.
    Nearest,
}

/// What is the same for all penalties, and the classifiers that were learned.
#[derive(Debug)]
pub struct Problem {
    attributes: Rc<Attributes>,
    regressors: Regressors,
    /// Of each image: `[N, M]` f64.
    targets: Tensor,
    solved: RefCell<Vec<(f64, Rc<LogisticRegression>)>>,
}

/// The attributes' classifiers.
#[derive(Debug)]
pub struct Dap {
    attributes: Rc<Attributes>,
    classifiers: Rc<LogisticRegression>,
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
        let index = checked(features, labels, s.size2()?.0)?;
        let attributes = Rc::new(Attributes::of(&s)?);
        let targets = attributes.binary(&s)?.f_index_select(0, &index)?;
        Ok(Self { attributes, regressors: Regressors::new(features)?, targets, solved: RefCell::default() })
    }

    /// The classifiers for this penalty, above 0.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn solve(&self, penalty: f64) -> Result<Dap> {
        let mut solved = self.solved.borrow_mut();
        let known = solved.iter().find(|(of, _)| *of == penalty).map(|(_, found)| found.clone());
        let classifiers = match known {
            Some(known) => known,
            None => {
                let found = Rc::new(self.regressors.attributes(&self.targets, penalty)?);
                solved.push((penalty, found.clone()));
                found
            }
        };
        Ok(Dap { attributes: self.attributes.clone(), classifiers })
    }
}

impl Dap {
    /// Scores of images for classes: `[N, C]` f64.
    ///
    /// # Shapes
    /// `features: [N, D]`, `descriptions: [C, A]`, of seen classes or others
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn scores(&self, features: &Tensor, descriptions: &Tensor, look_up: LookUp) -> Result<Tensor> {
        let probabilities = self.classifiers.logits(features)?.f_sigmoid()?;
        match look_up {
            LookUp::Product => self.attributes.look_up(&probabilities, descriptions),
            LookUp::Nearest => {
                let binary = self.attributes.binary(descriptions)?;
                Ok(Tensor::f_cdist(&probabilities, &binary, 2.0, None::<i64>)?.f_neg()?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_found_by_attributes_that_their_images_never_had_together() -> Result<()> {
        // two attributes, each a direction; the class with both was never seen
        let rows: Vec<f64> = (0..60)
            .flat_map(|at| {
                let (class, noise) = (at % 3, f64::from(at).sin() * 0.2);
                [f64::from(u8::from(class == 1)) + noise, f64::from(u8::from(class == 2)) - noise]
            })
            .collect();
        let (x, labels) =
            (Tensor::from_slice(&rows).reshape([60, 2]), (0..60).map(|at| at % 3).collect::<Vec<usize>>());
        let seen = Tensor::from_slice2(&[[0f64, 0.0], [1.0, 0.0], [0.0, 1.0]]);
        let dap = Problem::new(&x, &labels, &seen)?.solve(1e-3)?;
        let all = Tensor::cat(&[&seen, &Tensor::from_slice2(&[[1f64, 1.0]])], 0);
        let images = Tensor::from_slice2(&[[1.1f64, 0.9], [1.0, 0.1], [0.0, 0.0]]);
        for look_up in [LookUp::Product, LookUp::Nearest] {
            let best = Vec::<i64>::try_from(&dap.scores(&images, &all, look_up)?.argmax(1, false))?;
            assert_eq!(best, [3, 1, 0], "{look_up:?}");
        }
        // the distance is that of the probabilities from the class's attributes
        let p = Vec::<Vec<f64>>::try_from(&dap.classifiers.logits(&images)?.sigmoid())?;
        let found = Vec::<Vec<f64>>::try_from(&dap.scores(&images, &all, LookUp::Nearest)?)?;
        assert!((found[0][3] + ((1.0 - p[0][0]).powi(2) + (1.0 - p[0][1]).powi(2)).sqrt()).abs() < 1e-9);
        Ok(())
    }
}
