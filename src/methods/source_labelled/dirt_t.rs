//! DIRT-T: the network of [VADA](super::vada), refined on the target alone (source labelled, target not).
//!
//! Shu et al. 2018, "A DIRT-T approach to unsupervised domain adaptation", equations 9 and 10. What fits the source best need not be best
//! for the target, so the source is let go; a teacher keeps the network from drifting away:
//!
//! L = λ_t [ L_v(target) + mean H(p(target)) ] + β mean KL(p_teacher ‖ p)
//!
//! The teacher is the exponential average of the network's weights with decay `--teacher` (0.998); β is `--trade-off` (0.01) and λ_t
//! `--certain`. The paper's optimizer keeps the averages in the same way.

use tch::Kind;

use super::adapt::{Adaptation, Network, Sees, Setup, Step, Strengths, Terms};
use crate::Result;
use crate::loss::{divergence, entropy, virtual_adversarial};
use crate::models::{Classifier, Role};

/// The teacher.
pub(super) struct DirtT {
    teacher: Classifier,
    strengths: Strengths,
}

impl DirtT {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let teacher = setup.begin()?;
        // kept in the checkpoint as what is not learned
        for (name, entry) in teacher.store.entries() {
            let _same = entry.tensor.set_requires_grad(false);
            setup.builder.adopt(&format!("adapt.teacher.{name}"), entry.tensor.shallow_clone(), Role::Buffer)?;
        }
        Ok(Self { teacher, strengths: setup.strengths.clone() })
    }

    /// Moves the teacher towards the network.
    fn follow(&self, network: &Classifier) -> Result<()> {
        let decay = self.strengths.teacher;
        tch::no_grad(|| {
            for ((_, teacher), (_, own)) in self.teacher.store.entries().zip(network.store.entries()) {
                let mut teacher = teacher.tensor.shallow_clone();
                if teacher.kind() == Kind::Float {
                    let _same = teacher.f_lerp_(&own.tensor, 1.0 - decay)?;
                } else {
                    teacher.f_copy_(&own.tensor)?;
                }
            }
            Ok(())
        })
    }
}

impl Adaptation for DirtT {
    fn sees(&self) -> Sees {
        Sees::Target
    }

    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let target = step.target()?;
        self.follow(step.network.model)?;
        let Strengths { certain, radius, .. } = self.strengths;
        let teacher = Network { model: &self.teacher, ..step.network };
        let taught = tch::no_grad(|| teacher.logits(&target.input, false))?;
        let smooth = virtual_adversarial(&target.input, &target.logits, radius, |x| step.network.logits(x, true))?;
        let uncertain = entropy(&target.logits)?.f_mean(Kind::Float)?;
        let apart = divergence(&taught, &target.logits)?;
        Ok(Terms {
            losses: vec![
                ("smoothness".into(), smooth.f_mul_scalar(certain)?),
                ("entropy".into(), uncertain.f_mul_scalar(certain)?),
                ("teacher".into(), apart.f_mul_scalar(self.strengths.trade_off(0.01))?),
            ],
            shares: vec![],
        })
    }
}
