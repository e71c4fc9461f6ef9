//! Attributes that classes have or have not, and the look-up of classes by the attributes of an image.
//!
//! Lampert et al. 2014, "Attribute-based classification for zero-shot visual object categorization", section 4: with p(aₘ | x) the probability
//! of attribute m in an image, aᶜ the attributes of class c, and p(aₘ) how common one is among the classes that were learned, the image is of
//! the class with the largest Πₘ p(aₘᶜ | x) / p(aₘᶜ). A number of a description counts as an attribute that is there where it is above the mean
//! over the classes that were learned, before any scaling, which leaves 0 and 1 as they are; attributes that all these have, or none, say nothing, and are left out.

use tch::{Kind, Tensor};

use crate::{Error, Result};

/// Probabilities are kept so far from 0 and 1.
const FLOOR: f64 = 1e-9;

/// Which numbers of descriptions are attributes, and how common each is.
#[derive(Debug)]
pub(super) struct Attributes {
    /// Of the learned classes: `[1, A]` f64.
    threshold: Tensor,
    /// Those that say something: `[M] i64`.
    telling: Tensor,
    /// The logit of how common each of these is: `[1, M]` f64.
    prior: Tensor,
}

impl Attributes {
    /// By the descriptions of the classes to learn.
    ///
    /// # Shapes
    /// `descriptions: [C, A]` f64
    ///
    /// # Errors
    /// No attribute that tells these classes apart.
    pub(super) fn of(descriptions: &Tensor) -> Result<Self> {
        let threshold = descriptions.f_mean_dim([0i64].as_slice(), true, Kind::Double)?;
        let common = descriptions.f_gt_tensor(&threshold)?.f_to_kind(Kind::Double)?;
        let common = common.f_mean_dim([0i64].as_slice(), false, Kind::Double)?;
        let telling = common.f_gt(0.0)?.f_logical_and(&common.f_lt(1.0)?)?.f_nonzero()?.f_squeeze_dim(1)?;
        if telling.numel() == 0 {
            return Err(Error::Data("no attribute tells the classes to learn from apart".into()));
        }
        let prior = common.f_index_select(0, &telling)?.f_logit(FLOOR)?.f_unsqueeze(0)?;
        Ok(Self { threshold, telling, prior })
    }

    /// Which attributes classes have: `[C, M]` of 0 and 1, f64.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub(super) fn binary(&self, descriptions: &Tensor) -> Result<Tensor> {
        let has = descriptions.f_to_kind(Kind::Double)?.f_gt_tensor(&self.threshold)?;
        Ok(has.f_to_kind(Kind::Double)?.f_index_select(1, &self.telling)?)
    }

    /// The logarithm of the product, less what is the same for all classes: `[N, C]` f64.
    ///
    /// # Shapes
    /// `probabilities: [N, M]` f64, `descriptions: [C, A]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub(super) fn look_up(&self, probabilities: &Tensor, descriptions: &Tensor) -> Result<Tensor> {
        // Σ aᶜ ln(p/π) + (1 − aᶜ) ln((1−p)/(1−π)) is Σ aᶜ (logit p − logit π), and what no class changes
        let evidence = probabilities.f_logit(FLOOR)?.f_sub(&self.prior)?;
        Ok(evidence.f_matmul(&self.binary(descriptions)?.f_tr()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_up_is_the_papers_product() -> Result<()> {
        // the second number says nothing of the three classes to learn
        let learned = Tensor::from_slice2(&[[1f64, 5.0, 0.2, 0.0], [0.0, 5.0, 0.9, 1.0], [1.0, 5.0, 0.1, 1.0]]);
        let attributes = Attributes::of(&learned)?;
        let others = Tensor::from_slice2(&[[1f64, 0.0, 0.8, 0.0], [0.0, 9.0, 0.0, 0.0]]);
        let rows = |x: &Tensor| Vec::<Vec<f64>>::try_from(x).unwrap();
        assert_eq!(rows(&attributes.binary(&others)?), [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]);
        let (p, common) = ([0.7f64, 0.4, 0.9], [2.0 / 3.0, 1.0 / 3.0, 2.0 / 3.0]);
        let product = |class: [f64; 3]| -> f64 {
            let ratio = |(&has, (p, common)): (&f64, (f64, f64))| {
                if has > 0.5 { p / common } else { (1.0 - p) / (1.0 - common) }
            };
            class.iter().zip(p.into_iter().zip(common)).map(ratio).product()
        };
        let found = rows(&attributes.look_up(&Tensor::from_slice2(&[p]), &others)?);
        let expected = (product([1.0, 1.0, 0.0]) / product([0.0; 3])).ln();
        assert!((found[0][0] - found[0][1] - expected).abs() < 1e-9, "{found:?}, {expected}");
        assert!(Attributes::of(&learned.narrow(1, 1, 1)).is_err());
        Ok(())
    }
}
