//! The domain classifier, and what it is told.

use tch::{Kind, Reduction, Tensor};

use super::{Setup, Terms};
use crate::Result;
use crate::models::layers::{Layer, Linear};
use crate::models::{Init, Scope};
use crate::native;

/// Says of features which domain they are of: layers with a ReLU, and one logit, above 0 for the source.
pub struct Discriminator {
    layers: Vec<Linear>,
}

impl Discriminator {
    /// On so many `inputs`, with hidden layers of the options' widths, under `adapt.discriminator`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(setup: &Setup, inputs: i64) -> Result<Self> {
        let scope = setup.builder.root().at("adapt").at("discriminator");
        Self::with(&scope, inputs, &setup.strengths.discriminator)
    }

    /// On so many `inputs`, with hidden layers of these widths.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn with(scope: &Scope, inputs: i64, hidden: &[i64]) -> Result<Self> {
        let (mut layers, mut width) = (vec![], inputs);
        for (number, &next) in hidden.iter().enumerate() {
            let start = Init::he_fan_in(width);
            layers.push(Linear::with(&scope.at(number), width, next, start, Init::Constant(0.0))?);
            width = next;
        }
        layers.push(Linear::new(&scope.at(hidden.len()), width, 1)?);
        Ok(Self { layers })
    }

    /// The logit that each is of the source.
    ///
    /// # Shapes
    /// `x: [N, inputs]` → `[N]` f32
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.through(x, |layer, x| layer.forward(x, true))
    }

    /// The same, where the domain classifier itself is to learn nothing.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn forward_fixed(&self, x: &Tensor) -> Result<Tensor> {
        self.through(x, Linear::forward_fixed)
    }

    fn through(&self, x: &Tensor, layer: impl Fn(&Linear, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let (last, hidden) = self.layers.split_last().expect("there is a last layer");
        let x = hidden.iter().try_fold(x.shallow_clone(), |x, one| Ok::<_, crate::Error>(layer(one, &x)?.f_relu()?))?;
        Ok(layer(last, &x)?.f_flatten(0, -1)?.f_to_kind(Kind::Float)?)
    }
}

/// The adversary's factor λ(p) = 2 / (1 + exp(−γ p)) − 1 (Ganin et al. 2016, section 5.2.2), from 0 at the start up to 1.
pub fn ramp(progress: f64, gamma: f64) -> f64 {
    2.0 / (1.0 + (-gamma * progress).exp()) - 1.0
}

/// The mean binary cross-entropy of telling the domains apart, half of it the source's and half the target's, however many
/// images each has. With `weights` an image counts as much as its own; they add up to anything.
///
/// # Shapes
/// `source: [N]`, `target: [M]` logits; weights alike → `[]`
///
/// # Errors
/// What libtorch refuses.
pub fn domain_loss(source: &Tensor, target: &Tensor, weights: Option<(&Tensor, &Tensor)>) -> Result<Tensor> {
    let one = |logits: &Tensor, right: f64, weight: Option<&Tensor>| -> Result<Tensor> {
        let truth = logits.f_full_like(right)?;
        match weight {
            None => Ok(logits.f_binary_cross_entropy_with_logits(
                &truth,
                None::<Tensor>,
                None::<Tensor>,
                Reduction::Mean,
            )?),
            Some(weight) => {
                let each = logits.f_binary_cross_entropy_with_logits(
                    &truth,
                    None::<Tensor>,
                    None::<Tensor>,
                    Reduction::None,
                )?;
                Ok(each.f_mul(weight)?.f_sum(Kind::Float)?.f_div(&weight.f_sum(Kind::Float)?)?)
            }
        }
    };
    let source = one(source, 1.0, weights.map(|(source, _)| source))?;
    let target = one(target, 0.0, weights.map(|(_, target)| target))?;
    Ok(source.f_add(&target)?.f_mul_scalar(0.5)?)
}

/// The share that is told rightly, of each domain, averaged: one half is a guess.
///
/// # Errors
/// What libtorch refuses.
pub fn domain_accuracy(source: &Tensor, target: &Tensor) -> Result<Tensor> {
    let share = |right: Tensor| right.f_to_kind(Kind::Float)?.f_mean(Kind::Float);
    let (source, target) = (share(source.detach().f_gt(0.0)?)?, share(target.detach().f_le(0.0)?)?);
    Ok(source.f_add(&target)?.f_mul_scalar(0.5)?)
}

/// What an adversary adds: the domain classifier on reversed features learns to tell the domains apart, and the features learn
/// the opposite, `factor` times as strongly.
///
/// # Shapes
/// `source: [N, inputs]`, `target: [M, inputs]`
///
/// # Errors
/// What libtorch refuses.
pub fn adversary(
    discriminator: &Discriminator,
    source: &Tensor,
    target: &Tensor,
    factor: f64,
    weights: Option<(&Tensor, &Tensor)>,
) -> Result<Terms> {
    let logits = |features: &Tensor| discriminator.forward(&native::grad_reverse(features, factor)?);
    let (source, target) = (logits(source)?, logits(target)?);
    Ok(Terms {
        losses: vec![("domain".into(), domain_loss(&source, &target, weights)?)],
        shares: vec![("domain_accuracy".into(), domain_accuracy(&source, &target)?)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Builder;

    #[test]
    fn the_ramp_is_the_papers() {
        assert_eq!(ramp(0.0, 10.0), 0.0);
        assert!((ramp(0.1, 10.0) - 0.462_117_157_260_009_8).abs() < 1e-15);
        assert!((ramp(1.0, 10.0) - 0.999_909_204_262_595_1).abs() < 1e-15);
    }

    #[test]
    fn domains_of_unequal_size_count_alike() -> Result<()> {
        let (source, target) = (Tensor::from_slice(&[2f32, -1.0]), Tensor::from_slice(&[0.5f32, -3.0, 1.0]));
        let loss = |logit: f64, right: f64| (1.0 + (-(2.0 * right - 1.0) * logit).exp()).ln();
        let expected = 0.5 * ((loss(2.0, 1.0) + loss(-1.0, 1.0)) / 2.0)
            + 0.5 * ((loss(0.5, 0.0) + loss(-3.0, 0.0) + loss(1.0, 0.0)) / 3.0);
        let found = f64::try_from(domain_loss(&source, &target, None)?)?;
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        // a weight of 0 takes an image out
        let weights = (Tensor::from_slice(&[1f32, 0.0]), Tensor::from_slice(&[0f32, 3.0, 0.0]));
        let found = f64::try_from(domain_loss(&source, &target, Some((&weights.0, &weights.1)))?)?;
        assert!((found - 0.5 * (loss(2.0, 1.0) + loss(-3.0, 0.0))).abs() < 1e-6);
        let accuracy = f64::try_from(domain_accuracy(&source, &target)?)?;
        assert!((accuracy - 0.5 * (0.5 + 1.0 / 3.0)).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn features_learn_the_opposite_of_the_domain_classifier() -> Result<()> {
        let builder = Builder::new(tch::Device::Cpu);
        let discriminator = Discriminator::with(&builder.root(), 3, &[4])?;
        let store = builder.finish();
        let features =
            Tensor::from_slice2(&[[0.5f32, -1.0, 2.0], [1.5, 0.3, -0.7], [0.1, 0.2, 0.3]]).set_requires_grad(true);
        let gradients = |factor: f64| -> Result<Vec<Tensor>> {
            let (source, target) = (features.narrow(0, 0, 1), features.narrow(0, 1, 2));
            let loss = adversary(&discriminator, &source, &target, factor, None)?.losses.remove(0).1;
            Ok(Tensor::run_backward(&[&loss], &[&features, store.get("0.weight").unwrap()], false, false))
        };
        let (strong, weak) = (gradients(-1.0)?, gradients(0.25)?);
        assert!(f64::try_from((&strong[0] * -0.25 - &weak[0]).abs().max())? < 1e-8);
        assert_eq!(strong[1], weak[1], "the domain classifier learns at its own rate");
        assert!(f64::try_from(strong[0].abs().max())? > 1e-4);
        Ok(())
    }

    #[test]
    fn what_is_fixed_gets_no_gradient() -> Result<()> {
        let builder = Builder::new(tch::Device::Cpu);
        let discriminator = Discriminator::with(&builder.root(), 2, &[3])?;
        let store = builder.finish();
        let x = Tensor::from_slice2(&[[1f32, 2.0]]).set_requires_grad(true);
        assert_eq!(discriminator.forward(&x)?, discriminator.forward_fixed(&x)?);
        discriminator.forward_fixed(&x)?.sum(Kind::Float).backward();
        assert!(x.grad().defined() && store.parameters().all(|(_, tensor)| !tensor.grad().defined()));
        Ok(())
    }
}
