//! Number formats of training: f32, or autocast to bf16 or f16, the latter with a scaled loss.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::native::{self, Autocast};
use crate::{Error, Result};

/// The number format of forward and backward passes; weights and optimizer stay f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    Fp32,
    /// bfloat16 wherever autocast holds it safe.
    Bf16,
    /// float16 wherever autocast holds it safe, with a scaled loss; for CUDA.
    Fp16,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        })
    }
}

impl Precision {
    /// Autocast for as long as the guard lives; nothing for f32.
    ///
    /// # Errors
    /// f16 on the CPU, where it is slow and unsafe: bf16 has the range of f32.
    pub fn autocast(self, device: Device) -> Result<Option<Autocast>> {
        match self {
            Self::Fp32 => Ok(None),
            Self::Bf16 => Autocast::begin(device, Kind::BFloat16).map(Some),
            Self::Fp16 if device == Device::Cpu => {
                Err(Error::Usage("--precision fp16 is for CUDA; on the CPU use bf16".into()))
            }
            Self::Fp16 => Autocast::begin(device, Kind::Half).map(Some),
        }
    }
}

/// Keeps f16 gradients away from zero: the loss is multiplied, the gradients divided, and a step whose gradients
/// overflowed is left out (Micikevicius et al. 2018, section 3.2). PyTorch's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GradientScaler {
    scale: f64,
    good_steps: usize,
}

impl Default for GradientScaler {
    fn default() -> Self {
        Self { scale: 65536.0, good_steps: 0 }
    }
}

const GROWTH: f64 = 2.0;
const GROWTH_INTERVAL: usize = 2000;

impl GradientScaler {
    /// The loss to go backward from.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn scaled(&self, loss: &Tensor) -> Result<Tensor> {
        Ok(loss.f_mul_scalar(self.scale)?)
    }

    /// Divides `gradients` by the scale, in place; false if one of them is not finite, and the step must be left out.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn unscale(&self, gradients: &[Tensor]) -> Result<bool> {
        let Some(first) = gradients.first() else { return Ok(true) };
        let mut overflow = Tensor::f_zeros([1], (Kind::Float, first.device()))?;
        let inverse = native::send(&Tensor::from(1.0 / self.scale as f32), first.device())?;
        for gradient in gradients {
            gradient.shallow_clone().f_internal_amp_non_finite_check_and_unscale(&mut overflow, &inverse)?;
        }
        Ok(f64::try_from(overflow)? == 0.0)
    }

    /// Grows the scale after many good steps, and halves it after a bad one.
    pub fn update(&mut self, good: bool) {
        if !good {
            (self.scale, self.good_steps) = (self.scale / GROWTH, 0);
            return;
        }
        self.good_steps += 1;
        if self.good_steps == GROWTH_INTERVAL {
            (self.scale, self.good_steps) = (self.scale * GROWTH, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_autocast_lasts_as_long_as_its_guard() -> Result<()> {
        let x = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        let guard = Precision::Bf16.autocast(Device::Cpu)?;
        assert_eq!(x.f_matmul(&x)?.kind(), Kind::BFloat16);
        drop(guard);
        assert_eq!(x.f_matmul(&x)?.kind(), Kind::Float);
        assert!(Precision::Fp16.autocast(Device::Cpu).is_err());
        Ok(())
    }

    #[test]
    fn the_scaler_divides_and_notices_overflow() -> Result<()> {
        let mut scaler = GradientScaler::default();
        let good = Tensor::from_slice(&[65536f32, 131072.0]);
        assert!(scaler.unscale(&[good.shallow_clone()])?);
        assert_eq!(Vec::<f32>::try_from(good)?, [1.0, 2.0]);
        assert!(!scaler.unscale(&[Tensor::from_slice(&[f32::INFINITY])])?);
        scaler.update(false);
        assert_eq!(scaler.scale, 32768.0);
        (0..GROWTH_INTERVAL).for_each(|_| scaler.update(true));
        assert_eq!(scaler.scale, 65536.0);
        Ok(())
    }
}
