//! Linear maps.

use tch::Tensor;

use super::Layer;
use crate::models::Init;
use crate::models::store::Scope;
use crate::{Error, Result};

/// A linear map with bias.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// `weight: [outputs, inputs]`, `bias: [outputs]`, which start as those of `nn.Linear`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(scope: &Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let init = Init::default_for(inputs);
        Self::with(scope, inputs, outputs, init, init)
    }

    /// The same with another start of the weight and of the bias.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn with(scope: &Scope, inputs: i64, outputs: i64, weight: Init, bias: Init) -> Result<Self> {
        let weight = scope.parameter("weight", &[outputs, inputs], weight)?;
        Ok(Self { weight, bias: scope.parameter("bias", &[outputs], bias)? })
    }

    /// Takes other values.
    ///
    /// # Errors
    /// Other shapes.
    pub fn set(&self, weight: &Tensor, bias: &Tensor) -> Result<()> {
        if (weight.size(), bias.size()) != (self.weight.size(), self.bias.size()) {
            let (found, wanted) = (weight.size(), self.weight.size());
            return Err(Error::Model(format!("a linear layer of {wanted:?} cannot take a weight of {found:?}")));
        }
        tch::no_grad(|| {
            self.weight.shallow_clone().f_copy_(weight)?;
            self.bias.shallow_clone().f_copy_(bias)?;
            Ok(())
        })
    }

    /// The same as a layer gives, where a gradient goes through to `x` and none to the layer.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn forward_fixed(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight.detach(), Some(&self.bias.detach()))?)
    }
}

impl Layer for Linear {
    /// # Shapes
    /// `x: [N, …, inputs]` → `[N, …, outputs]`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight, Some(&self.bias))?)
    }
}
