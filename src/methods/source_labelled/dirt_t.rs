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

use super::adapt::{Adaptation, Sees, Setup, Step, Strengths, Teacher, Terms};
use crate::Result;
use crate::loss::{divergence, entropy, virtual_adversarial};

/// The teacher.
pub(super) struct DirtT {
    teacher: Teacher,
    strengths: Strengths,
}

impl DirtT {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let strengths = setup.strengths.clone();
        Ok(Self { teacher: Teacher::new(setup, setup.begin()?, strengths.teacher(0.998))?, strengths })
    }
}

impl Adaptation for DirtT {
    fn sees(&self) -> Sees {
        Sees::Target
    }

    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let target = step.target()?;
        self.teacher.follow(step.network.model)?;
        let Strengths { certain, radius, .. } = self.strengths;
        let taught = self.teacher.logits(&step.network, &target.input)?;
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
