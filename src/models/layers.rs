//! The layers that backbones are made of, with PyTorch's names, defaults and initial values.

mod activation;
mod conv;
mod drop;
mod linear;
mod norm;
mod pool;

use tch::Tensor;

pub use self::activation::{Activated, Activation};
pub use self::conv::{Conv2d, ConvConfig, Padding};
pub use self::drop::{Dropout, StochasticDepth};
pub use self::linear::Linear;
pub use self::norm::{BatchNorm2d, LayerNorm};
pub use self::pool::{AdaptivePool, AveragePool, GlobalPool, MaxPool};
use crate::Result;

/// Something that maps a tensor to a tensor; `train` says whether dropout drops and batch norm takes its statistics
/// from the batch.
pub trait Layer: Send {
    /// The output for `x`.
    ///
    /// # Errors
    /// What libtorch refuses, as a wrong shape or too little memory.
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor>;
}

/// Layers one after the other.
#[derive(Default)]
pub struct Sequential(pub Vec<Box<dyn Layer>>);

impl Layer for Sequential {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(&x, train))
    }
}
