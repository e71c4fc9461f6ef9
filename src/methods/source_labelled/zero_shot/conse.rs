//! ConSE: an image as a mixture of known classes (source labelled, target known by descriptions alone; nothing is learned).
//!
//! Norouzi et al. 2014, "Zero-shot learning by convex combination of semantic embeddings", equations 3 to 5. With p(y | x) what a source
//! model says of the image, s(y) the description of class y, and y₁ … y_T the T most probable classes:
//!
//! f(x) = (1/Z) Σₜ p(yₜ | x) s(yₜ), Z = Σₜ p(yₜ | x)
//!
//! The image is of the target's class whose description has the largest cosine with f(x). T is 10 as in the paper. Differences from the
//! paper: descriptions have length 1; classes of the source of which nothing is known are left out, and p is that of the others.

use tch::{Kind, Tensor};

use crate::{Error, Result};

/// The source's classes as vectors.
#[derive(Debug)]
pub struct Conse {
    /// `[K, D]`, rows of length 1.
    descriptions: Tensor,
    /// Which classes of the model these are: `[K] i64`.
    classes: Tensor,
    most: i64,
}

/// Images as mixtures.
#[derive(Debug)]
pub struct Mixtures {
    /// f(x): `[N, D]` f32.
    pub embedding: Tensor,
    /// What of it each class is, the largest first: `[N, T]`, rows with the sum 1.
    pub shares: Tensor,
    /// Which class of the model that is: `[N, T] i64`.
    pub classes: Tensor,
}

impl Conse {
    /// For a model whose classes have these descriptions, of which `unknown` are none; `most` is T.
    ///
    /// # Shapes
    /// `descriptions: [K, D]` f32
    ///
    /// # Errors
    /// No class with a description, or a T of 0.
    pub fn new(descriptions: &Tensor, unknown: &std::collections::BTreeSet<usize>, most: usize) -> Result<Self> {
        let known: Vec<i64> =
            (0..descriptions.size()[0]).filter(|&class| !unknown.contains(&(class as usize))).collect();
        if known.is_empty() {
            return Err(Error::Data("nothing is said of any of the source model's classes".into()));
        }
        if most == 0 {
            return Err(Error::Usage("--top must be at least 1".into()));
        }
        let most = (most as i64).min(known.len() as i64);
        let classes = Tensor::f_from_slice(&known)?.f_to_device(descriptions.device())?;
        Ok(Self { descriptions: descriptions.f_index_select(0, &classes)?, classes, most })
    }

    /// What images are mixed of.
    ///
    /// # Shapes
    /// `logits: [N, classes]` f32
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn mix(&self, logits: &Tensor) -> Result<Mixtures> {
        let known = logits.f_index_select(1, &self.classes)?.f_softmax(-1, Kind::Float)?;
        let (shares, at) = known.f_topk(self.most, -1, true, true)?;
        let shares = shares.f_div(&shares.f_sum_dim_intlist([-1i64].as_slice(), true, Kind::Float)?)?;
        let parts = self.descriptions.f_index_select(0, &at.f_view(-1)?)?;
        let parts = parts.f_view([at.size()[0], self.most, -1])?;
        let embedding = shares.f_unsqueeze(1)?.f_bmm(&parts)?.f_squeeze_dim(1)?;
        let classes = self.classes.f_index_select(0, &at.f_view(-1)?)?.f_view([-1, self.most])?;
        Ok(Mixtures { embedding, shares, classes })
    }
}

impl Mixtures {
    /// How alike images and the target's classes are: cosines, `[N, C]`.
    ///
    /// # Shapes
    /// `targets: [C, D]`, rows of length 1
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn compared_with(&self, targets: &Tensor) -> Result<Tensor> {
        let length = self.embedding.f_norm_scalaropt_dim(2, [-1i64], true)?.f_clamp_min(1e-12)?;
        Ok(self.embedding.f_div(&length)?.f_matmul(&targets.f_tr()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_lion_and_half_a_tiger_is_a_liger() -> Result<()> {
        let animals = Tensor::from_slice2(&[[1f32, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
        // class 2 has no description, though the model is surest of it
        let conse = Conse::new(&animals, &[2].into(), 2)?;
        let logits = Tensor::from_slice2(&[[2f32, 2.0, 5.0, -3.0], [0.0, 0.0, 0.0, 2.0]]);
        let mixtures = conse.mix(&logits)?;
        let numbers = |x: &Tensor| Vec::<Vec<f64>>::try_from(&x.to_kind(Kind::Double)).unwrap();
        let half = 0.5f64.sqrt();
        for (found, expected) in numbers(&mixtures.shares)[0].iter().zip([0.5, 0.5]) {
            assert!((found - expected).abs() < 1e-6);
        }
        let mut classes = Vec::<Vec<i64>>::try_from(&mixtures.classes).unwrap();
        classes[0].sort_unstable();
        assert_eq!((classes[0].clone(), classes[1][0]), (vec![0, 1], 3));
        let targets = Tensor::from_slice2(&[[half as f32, half as f32, 0.0], [0.0, 0.0, 1.0]]);
        let cosines = numbers(&mixtures.compared_with(&targets)?);
        assert!((cosines[0][0] - 1.0).abs() < 1e-6 && cosines[0][1].abs() < 1e-6);
        // e² / (e² + 1) of it is class 3
        let share = 2f64.exp() / (2f64.exp() + 1.0);
        assert!((numbers(&mixtures.shares)[1][0] - share).abs() < 1e-6);
        let length = (share * share + (1.0 - share).powi(2)).sqrt();
        assert!((cosines[1][1] - share / length).abs() < 1e-6);
        assert!(
            Conse::new(&animals, &[0, 1, 2, 3].into(), 2).is_err() && Conse::new(&animals, &[2].into(), 0).is_err()
        );
        Ok(())
    }
}
