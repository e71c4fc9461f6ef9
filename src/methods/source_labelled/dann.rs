//! DANN: features from which a domain classifier cannot tell source from target (source labelled, target not).
//!
//! Ganin et al. 2016, "Domain-adversarial training of neural networks", equations 9 to 17. With features f = G(x), label predictor
//! and domain classifier D, the step goes down
//!
//! L = L_y(source) + L_d,  L_d = ½ mean_source CE(D(R_λ(f)), 1) + ½ mean_target CE(D(R_λ(f)), 0)
//!
//! where R_λ is the identity whose gradient is multiplied by −λ ([`grad_reverse`](crate::native::grad_reverse)): D learns to tell the domains apart at its own
//! rate, G learns the opposite λ times as strongly. λ(p) rises from 0 to `--trade-off` as [`ramp`] says, so that the noise of an untrained D does
//! no harm.
//!
//! | | paper | here |
//! |---|---|---|
//! | λ | 2/(1+e^(−10p)) − 1 | the same (`--ramp` 10, `--trade-off` 1) |
//! | learning rate | 0.01/(1+10p)^0.75, SGD with momentum 0.9 | the options'; the paper's with `--optimizer sgd --lr 0.01 --schedule inverse` |
//! | batch | 64 of each domain | `--batch-size` of each domain |
//! | domain classifier | 100 wide, or 1024, 1024 | `--discriminator` |

use super::adapt::{Adaptation, Discriminator, Setup, Step, Terms, adversary, ramp};
use crate::Result;

/// The adversary.
pub(super) struct Dann {
    discriminator: Discriminator,
    gamma: f64,
    strength: f64,
}

impl Dann {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let discriminator = Discriminator::new(setup, setup.aligned)?;
        Ok(Self { discriminator, gamma: setup.strengths.ramp, strength: setup.strengths.trade_off(1.0) })
    }
}

impl Adaptation for Dann {
    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let (source, target) = step.both()?;
        let factor = self.strength * ramp(step.progress, self.gamma);
        adversary(&self.discriminator, &source.aligned, &target.aligned, factor, None)
    }
}
