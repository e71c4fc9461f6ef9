//! Initial values, drawn as PyTorch draws them.

use tch::{Kind, Tensor};

use crate::Result;

/// How a new parameter gets its first values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// The same value everywhere.
    Constant(f64),
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal around zero with this standard deviation.
    Normal(f64),
}

impl Init {
    /// What `nn.Linear` and `nn.Conv2d` do by default (He et al. 2015 with a = √5, for weight and bias alike):
    /// uniform in ±1/√`fan_in`.
    pub fn default_for(fan_in: i64) -> Self {
        Self::Uniform(1.0 / (fan_in.max(1) as f64).sqrt())
    }

    /// He et al. 2015 for a ReLU network, keeping the variance of gradients: normal with σ = √(2/`fan_out`), where
    /// `fan_out` counts output channels × kernel area, as `kaiming_normal_(mode="fan_out")` does.
    pub fn he_fan_out(out_channels: i64, area: i64) -> Self {
        Self::Normal((2.0 / (out_channels * area) as f64).sqrt())
    }

    /// The same keeping the variance of activations: normal with σ = √(2/`fan_in`), as `kaiming_normal_`.
    pub fn he_fan_in(fan_in: i64) -> Self {
        Self::Normal((2.0 / fan_in as f64).sqrt())
    }

    /// The same with a uniform distribution, as `kaiming_uniform_`.
    pub fn he_uniform(fan_in: i64) -> Self {
        Self::Uniform((6.0 / fan_in as f64).sqrt())
    }

    /// Glorot & Bengio 2010: uniform in ±√(6/(`fan_in` + `fan_out`)), as `xavier_uniform_`.
    pub fn glorot(fan_in: i64, fan_out: i64) -> Self {
        Self::Uniform((6.0 / (fan_in + fan_out) as f64).sqrt())
    }

    /// A new f32 tensor on the CPU, drawn from libtorch's generator.
    pub(crate) fn tensor(self, shape: &[i64]) -> Result<Tensor> {
        let mut tensor = Tensor::f_empty(shape, (Kind::Float, tch::Device::Cpu))?;
        Ok(match self {
            Self::Constant(value) => tensor.f_fill_(value)?,
            Self::Uniform(bound) => tensor.f_uniform_(-bound, bound)?,
            Self::Normal(std) => tensor.f_normal_(0.0, std)?,
        })
    }
}
