//! ESZSL: features and descriptions matched by one linear map, in closed form (source labelled, target known by descriptions alone).
//!
//! Romera-Paredes & Torr 2015, "An embarrassingly simple approach to zero-shot learning", equation 6. With X the features of images, [N, D], S
//! the descriptions of the seen classes, [C, A], and Y = ±1 whether an image is of a class, [N, C] (all of them transposed in the paper):
//!
//! V = (XᵀX + γ I)⁻¹ Xᵀ Y S (SᵀS + λ I)⁻¹
//!
//! and the score of any class with the description s is xᵀ V s. γ and λ are chosen on classes that are held out; both inverses come of
//! eigenvectors that are computed once for all of them.

use tch::{Kind, Tensor};

use super::{seen_signs, spectrum};
use crate::Result;

/// The map.
#[derive(Debug)]
pub struct Eszsl {
    /// `[D, A]` f64.
    pub map: Tensor,
}

/// What is the same for all γ and λ.
#[derive(Debug)]
pub struct Problem {
    /// Eigenvalues and eigenvectors of XᵀX and SᵀS.
    of_features: (Tensor, Tensor),
    of_descriptions: (Tensor, Tensor),
    /// XᵀYS between these eigenvectors: `[D, A]`.
    middle: Tensor,
}

impl Problem {
    /// Of images of seen classes.
    ///
    /// # Shapes
    /// `features: [N, D]`, `labels: [N]` below C, `descriptions: [C, A]`
    ///
    /// # Errors
    /// Not one label for each image, or what libtorch refuses.
    pub fn new(features: &Tensor, labels: &[usize], descriptions: &Tensor) -> Result<Self> {
        let (x, s) = (features.f_to_kind(Kind::Double)?, descriptions.f_to_kind(Kind::Double)?);
        let y = seen_signs(&x, labels, s.size2()?.0)?;
        let (of_features, of_descriptions) = (spectrum(&x)?, spectrum(&s)?);
        let middle = x.f_tr()?.f_matmul(&y)?.f_matmul(&s)?;
        let middle = of_features.1.f_tr()?.f_matmul(&middle)?.f_matmul(&of_descriptions.1)?;
        Ok(Self { of_features, of_descriptions, middle })
    }

    /// V for these strengths, both above 0.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn solve(&self, gamma: f64, lambda: f64) -> Result<Eszsl> {
        let ((of_x, u), (of_s, v)) = (&self.of_features, &self.of_descriptions);
        let left = self.middle.f_div(&of_x.f_add_scalar(gamma)?.f_unsqueeze(1)?)?;
        let both = left.f_div(&of_s.f_add_scalar(lambda)?.f_unsqueeze(0)?)?;
        Ok(Eszsl { map: u.f_matmul(&both)?.f_matmul(&v.f_tr()?)? })
    }
}

impl Eszsl {
    /// How well images and classes match: `[N, C]` f64.
    ///
    /// # Shapes
    /// `features: [N, D]`, `descriptions: [C, A]`, of seen classes or others
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn scores(&self, features: &Tensor, descriptions: &Tensor) -> Result<Tensor> {
        let (x, s) = (features.f_to_kind(Kind::Double)?, descriptions.f_to_kind(Kind::Double)?);
        Ok(x.f_matmul(&self.map)?.f_matmul(&s.f_tr()?)?)
    }
}
