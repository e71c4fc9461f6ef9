//! What follows a layer.

use tch::Tensor;

use super::Layer;
use crate::Result;
pub use crate::native::Activation;

impl Activation {
    /// The activation of `x`, which ReLU overwrites: the caller has just made it by an operation that does not need its
    /// result for a gradient, as convolution and addition. The others need `x` for a gradient of their own: libtorch
    /// would copy it before it is overwritten.
    ///
    /// # Shapes
    /// `x: […]` → `[…]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn apply(self, mut x: Tensor) -> Result<Tensor> {
        match self {
            Self::Linear => {}
            Self::Relu => drop(x.f_relu_()?),
            Self::Relu6 if x.requires_grad() => x = x.f_relu6()?,
            Self::Relu6 => drop(x.f_relu6_()?),
            Self::Silu => x = x.f_silu()?,
            Self::Hardswish => x = x.f_hardswish()?,
        }
        Ok(x)
    }
}

/// A layer and what follows it.
#[derive(Debug)]
pub struct Activated<L>(pub L, pub Activation);

impl<L: Layer> Layer for Activated<L> {
    /// # Shapes
    /// As the layer.
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.1.apply(self.0.forward(x, train)?)
    }
}
