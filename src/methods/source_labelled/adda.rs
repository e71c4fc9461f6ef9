//! ADDA: a feature extractor of the target's own, which deceives a domain classifier (source labelled, target not).
//!
//! Tzeng et al. 2017, "Adversarial discriminative domain adaptation", equations 7 to 9. The network that the source has taught stays
//! as it is for the source; a copy of it learns on the target until a domain classifier D takes its features M_t(x) for those of the
//! source, M_s(x). The label predictor stays. Each step goes down
//!
//! L = ½ mean CE(D(M_s(x_s)), 1) + ½ mean CE(D(M_t(x_t)), 0) over D, and mean CE(D(M_t(x_t)), 1) over M_t
//!
//! The second term is `--trade-off` (1) times as strong. Both are steps at once here, where the paper alternates.

use tch::Reduction;

use super::adapt::{Adaptation, Discriminator, Network, Sees, Setup, Step, Terms, domain_accuracy, domain_loss};
use crate::Result;
use crate::models::Classifier;

/// The source's network and the domain classifier.
pub(super) struct Adda {
    source: Classifier,
    discriminator: Discriminator,
    strength: f64,
}

impl Adda {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let source = setup.begin()?;
        let discriminator = Discriminator::new(setup, setup.aligned)?;
        Ok(Self { source, discriminator, strength: setup.strengths.trade_off(1.0) })
    }
}

impl Adaptation for Adda {
    fn sees(&self) -> Sees {
        Sees::Target
    }

    fn holds_predictor(&self) -> bool {
        true
    }

    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let network = Network { model: &self.source, ..step.network };
        let source = tch::no_grad(|| network.pass(step.source_input, false))?.aligned;
        let target = &step.target()?.aligned;
        let logits = (self.discriminator.forward(&source)?, self.discriminator.forward(&target.f_detach()?)?);
        let told = domain_loss(&logits.0, &logits.1, None)?;
        let guess = self.discriminator.forward_fixed(target)?;
        let ones = guess.f_ones_like()?;
        let deceived = guess.f_binary_cross_entropy_with_logits(
            &ones,
            None::<tch::Tensor>,
            None::<tch::Tensor>,
            Reduction::Mean,
        )?;
        Ok(Terms {
            losses: vec![("domain".into(), told), ("deception".into(), deceived.f_mul_scalar(self.strength)?)],
            shares: vec![("domain_accuracy".into(), domain_accuracy(&logits.0, &logits.1)?)],
        })
    }
}
