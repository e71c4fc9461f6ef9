//! SAE: features as a linear code of descriptions that also gives them back, in closed form (source labelled, target known by descriptions
//! alone).
//!
//! Kodirov et al. 2017, "Semantic autoencoder for zero-shot learning", equations 4 to 8. With X the features of images, [N, D], and S the
//! descriptions of their classes, [N, A] (both transposed in the paper), W minimises ‖X − S W‖² + λ ‖X Wᵀ − S‖², which is a Sylvester equation:
//!
//! SᵀS W + W (λ XᵀX) = (1 + λ) SᵀX
//!
//! Both sides' matrices are symmetric, so their eigenvectors solve it. Images and classes are compared by cosine either among descriptions (W x
//! with s) or among features (x with Wᵀ s).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{checked, spectrum};
use crate::Result;

/// The code.
#[derive(Debug)]
pub struct Sae {
    /// W: `[A, D]` f64.
    pub code: Tensor,
}

/// Where images and classes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// Among descriptions: features become descriptions.
    Descriptions,
    /// Among features: descriptions become features.
    Features,
}

/// What is the same for all λ.
#[derive(Debug)]
pub struct Problem {
    /// Eigenvalues and eigenvectors of SᵀS and XᵀX.
    of_descriptions: (Tensor, Tensor),
    of_features: (Tensor, Tensor),
    /// SᵀX between these eigenvectors: `[A, D]`.
    right: Tensor,
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
        let x = features.f_to_kind(Kind::Double)?;
        let index = checked(&x, labels, descriptions.size2()?.0)?;
        let s = descriptions.f_to_kind(Kind::Double)?.f_index_select(0, &index)?;
        let (of_descriptions, of_features) = (spectrum(&s)?, spectrum(&x)?);
        let right = s.f_tr()?.f_matmul(&x)?;
        let right = of_descriptions.1.f_tr()?.f_matmul(&right)?.f_matmul(&of_features.1)?;
        Ok(Self { of_descriptions, of_features, right })
    }

    /// W for this strength, above 0.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn solve(&self, lambda: f64) -> Result<Sae> {
        let ((of_s, u), (of_x, v)) = (&self.of_descriptions, &self.of_features);
        let sums = of_s.f_unsqueeze(1)?.f_add(&of_x.f_mul_scalar(lambda)?.f_unsqueeze(0)?)?;
        // along directions that neither has, the right side is 0 too
        let floor = (f64::try_from(sums.f_max()?)? * 1e-12).max(f64::MIN_POSITIVE);
        let solved = self.right.f_mul_scalar(1.0 + lambda)?.f_div(&sums.f_clamp_min(floor)?)?;
        let solved = solved.f_mul(&sums.f_gt(floor)?.f_to_kind(Kind::Double)?)?;
        Ok(Sae { code: u.f_matmul(&solved)?.f_matmul(&v.f_tr()?)? })
    }
}

impl Sae {
    /// Cosines of images and classes: `[N, C]` f64.
    ///
    /// # Shapes
    /// `features: [N, D]`, `descriptions: [C, A]`, of seen classes or others
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn scores(&self, features: &Tensor, descriptions: &Tensor, space: Space) -> Result<Tensor> {
        let (x, s) = (features.f_to_kind(Kind::Double)?, descriptions.f_to_kind(Kind::Double)?);
        let (x, s) = match space {
            Space::Descriptions => (x.f_matmul(&self.code.f_tr()?)?, s),
            Space::Features => (x, s.f_matmul(&self.code)?),
        };
        let unit = |x: &Tensor| -> Result<Tensor> {
            Ok(x.f_div(&x.f_norm_scalaropt_dim(2, [1i64], true)?.f_clamp_min(1e-300)?)?)
        };
        Ok(unit(&x)?.f_matmul(&unit(&s)?.f_tr()?)?)
    }
}
