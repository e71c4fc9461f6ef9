//! A teacher: the average of what a network has been in its last steps.

use tch::{Kind, Tensor};

use super::{Network, Setup};
use crate::Result;
use crate::models::{Classifier, Role};

/// A second network whose weights are the exponential average of the first one's.
pub struct Teacher {
    network: Classifier,
    decay: f64,
}

impl Teacher {
    /// Begins as `network` is.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(setup: &Setup, network: Classifier, decay: f64) -> Result<Self> {
        // kept in the checkpoint as what is not learned
        for (name, entry) in network.store.entries() {
            let _same = entry.tensor.set_requires_grad(false);
            setup.builder.adopt(&format!("adapt.teacher.{name}"), entry.tensor.shallow_clone(), Role::Buffer)?;
        }
        Ok(Self { network, decay })
    }

    /// Moves towards the network: θ' ← decay θ' + (1 − decay) θ.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn follow(&self, network: &Classifier) -> Result<()> {
        tch::no_grad(|| {
            for ((_, teacher), (_, own)) in self.network.store.entries().zip(network.store.entries()) {
                let mut teacher = teacher.tensor.shallow_clone();
                if teacher.kind() == Kind::Float {
                    let _same = teacher.f_lerp_(&own.tensor, 1.0 - self.decay)?;
                } else {
                    teacher.f_copy_(&own.tensor)?;
                }
            }
            Ok(())
        })
    }

    /// Its logits, as in evaluation and without a gradient, for what `network` would read.
    ///
    /// # Shapes
    /// `x`: what the next stage takes → `[N, K]` f32
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn logits(&self, network: &Network, x: &Tensor) -> Result<Tensor> {
        tch::no_grad(|| Network { model: &self.network, ..*network }.logits(x, false))
    }
}
