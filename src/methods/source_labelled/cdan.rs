//! CDAN+E: domain-adversarial training on features and predictions together (source labelled, target not).
//!
//! Long et al. 2018, "Conditional adversarial domain adaptation", equations 4 to 9. The domain classifier of
//! [DANN](super::dann) sees T(f, g) instead of f, with g the softmax of the logits:
//!
//! * T = f ⊗ g, all products, where there are at most 4096 of them;
//! * T = (R_f f) ⊙ (R_g g) / √4096 otherwise, with fixed random matrices R (the paper's randomised form, whose entries are normal).
//!
//! Images count by how certain the prediction is: w = 1 + e^(−H(g)), H in nats, without a gradient (the paper's "+E").
//!
//! λ(p) is DANN's. Difference from the paper's code: weights are normalised within each domain, by [`domain_loss`](super::adapt::domain_loss).

use tch::{Kind, Tensor};

use super::adapt::{Adaptation, Discriminator, Setup, Side, Step, Terms, adversary, ramp};
use crate::Result;
use crate::loss::entropy;

/// The most products that are taken one by one, and how many there are of the random kind.
const MOST: i64 = 4096;

/// The conditional adversary.
pub(super) struct Cdan {
    discriminator: Discriminator,
    random: Option<(Tensor, Tensor)>,
    gamma: f64,
    strength: f64,
}

impl Cdan {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let (features, classes) = (setup.aligned, setup.model.spec.classes.len() as i64);
        let is_small = features * classes <= MOST;
        let fixed = |name: &str, from: i64| -> Result<Tensor> {
            let normal = Tensor::f_randn([from, MOST], (Kind::Float, tch::Device::Cpu))?;
            setup.builder.root().at("adapt").fixed(name, normal.f_to_device(setup.builder.device())?)
        };
        let random = if is_small {
            None
        } else {
            Some((fixed("random_features", features)?, fixed("random_classes", classes)?))
        };
        let discriminator = Discriminator::new(setup, if is_small { features * classes } else { MOST })?;
        Ok(Self { discriminator, random, gamma: setup.strengths.ramp, strength: setup.strengths.trade_off(1.0) })
    }

    /// Features and predictions as one, and what the images weigh.
    fn joint(&self, side: &Side) -> Result<(Tensor, Tensor)> {
        let g = side.logits.f_softmax(-1, Kind::Float)?.f_detach()?;
        let weights = entropy(&side.logits.f_detach()?)?.f_neg()?.f_exp()?.f_add_scalar(1.0)?;
        let joint = match &self.random {
            None => g.f_unsqueeze(2)?.f_matmul(&side.aligned.f_unsqueeze(1)?)?.f_flatten(1, -1)?,
            Some((of_features, of_classes)) => {
                let product = side.aligned.f_matmul(of_features)?.f_mul(&g.f_matmul(of_classes)?)?;
                product.f_div_scalar((MOST as f64).sqrt())?
            }
        };
        Ok((joint, weights))
    }
}

impl Adaptation for Cdan {
    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let (source, target) = step.both()?;
        let ((source, certain), (target, guessed)) = (self.joint(source)?, self.joint(target)?);
        let factor = self.strength * ramp(step.progress, self.gamma);
        adversary(&self.discriminator, &source, &target, factor, Some((&certain, &guessed)))
    }
}
