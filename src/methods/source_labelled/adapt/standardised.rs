//! Features with mean 0 and standard deviation 1 within their domain.

use tch::{Kind, Tensor};

use crate::Result;

/// Standardised features, and what was taken from them.
#[derive(Debug)]
pub struct Standardised {
    /// `[N, D]` f64.
    pub rows: Tensor,
    mean: Tensor,
    deviation: Tensor,
}

impl Standardised {
    /// The features of one domain.
    ///
    /// # Shapes
    /// `features: [N, D]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn of(features: &Tensor) -> Result<Self> {
        let x = features.f_to_kind(Kind::Double)?;
        let mean = x.f_mean_dim(0, false, Kind::Double)?;
        let centred = x.f_sub(&mean)?;
        let deviation = centred.f_square()?.f_mean_dim(0, false, Kind::Double)?.f_sqrt()?;
        // what never varies says nothing
        let deviation = deviation.f_where_self(&deviation.f_gt(1e-9)?, &deviation.f_ones_like()?)?;
        Ok(Self { rows: centred.f_div(&deviation)?, mean, deviation })
    }

    /// A linear map on standardised features as one on the features as they come.
    ///
    /// # Shapes
    /// `weight: [K, D]`, `bias: [K]` → the same
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn folded(&self, weight: &Tensor, bias: &Tensor) -> Result<(Tensor, Tensor)> {
        let weight = weight.f_div(&self.deviation)?;
        let bias = bias.f_sub(&weight.f_matmul(&self.mean)?)?;
        Ok((weight, bias))
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn a_map_is_the_same_folded() -> Result<()> {
        let x = (Tensor::arange(30, (Kind::Double, Device::Cpu)) * 1.1).sin().reshape([10, 3]) * 7.0 + 3.0;
        let standardised = Standardised::of(&x)?;
        let (weight, bias) = (Tensor::from_slice2(&[[1.0f64, -2.0, 0.5]]), Tensor::from_slice(&[0.25f64]));
        let (folded, moved) = standardised.folded(&weight, &bias)?;
        let difference = (standardised.rows.matmul(&weight.tr()) + bias) - (x.matmul(&folded.tr()) + moved);
        assert!(f64::try_from(difference.abs().max())? < 1e-12);
        let deviations = standardised.rows.std_dim(Some([0i64].as_slice()), false, false);
        assert!(f64::try_from((deviations - 1.0).abs().max())? < 1e-12);
        Ok(())
    }
}
