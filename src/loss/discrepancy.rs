//! The maximum mean discrepancy: how far the means of two samples lie apart in the space of a kernel.
//!
//! Gretton et al. 2012, "A kernel two-sample test", equation 3, which has no bias:
//!
//! MMD² = mean_{i≠j} k(s_i, s_j) + mean_{i≠j} k(t_i, t_j) − 2 mean_{i,j} k(s_i, t_j)
//!
//! It can fall below 0, as an estimate of 0 must.

use tch::{Kind, Tensor};

use crate::Result;

/// What the mean squared distance is multiplied with for the bandwidths: a factor of 2 between neighbours (Long et al. 2015).
const FACTORS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// The mean of five Gaussian kernels, exp(−‖x − y‖² / (2 σ²)) with σ² = c · the mean squared distance of two rows, c = ¼ … 4,
/// between all rows of both. The bandwidths have no gradient.
///
/// # Shapes
/// `source: [N, D]`, `target: [M, D]` f32 → `[N + M, N + M]`, the source's rows first
///
/// # Errors
/// What libtorch refuses.
pub fn gaussian_kernels(source: &Tensor, target: &Tensor) -> Result<Tensor> {
    let x = Tensor::f_cat(&[source, target], 0)?;
    let rows = x.size()[0];
    let squares = x.f_square()?.f_sum_dim_intlist(1, true, Kind::Float)?;
    let distances =
        squares.f_add(&squares.f_tr()?)?.f_sub(&x.f_matmul(&x.f_tr()?)?.f_mul_scalar(2.0)?)?.f_clamp_min(0.0)?;
    let pairs = (rows * (rows - 1)).max(1) as f64;
    let mean =
        distances.f_detach()?.f_sum(Kind::Float)?.f_div_scalar(pairs)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
    let scaled = distances.f_div(&mean)?;
    let kernels =
        FACTORS.iter().map(|factor| Ok(scaled.f_div_scalar(-2.0 * factor)?.f_exp()?)).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::f_stack(&kernels, 0)?.f_mean_dim(0, false, Kind::Float)?)
}

/// The squared discrepancy of the first `source` rows from the others.
///
/// # Shapes
/// `kernel: [N + M, N + M]`, `source`: N ≥ 2, M ≥ 2 → `[]`
///
/// # Errors
/// What libtorch refuses.
pub fn discrepancy(kernel: &Tensor, source: i64) -> Result<Tensor> {
    let target = kernel.size()[0] - source;
    let within = |from: i64, count: i64| -> Result<Tensor> {
        let block = kernel.f_narrow(0, from, count)?.f_narrow(1, from, count)?;
        let pairs = (count * (count - 1)).max(1) as f64;
        Ok(block.f_sum(Kind::Float)?.f_sub(&block.f_trace()?)?.f_div_scalar(pairs)?)
    };
    let between = kernel.f_narrow(0, 0, source)?.f_narrow(1, source, target)?.f_mean(Kind::Float)?;
    Ok(within(0, source)?.f_add(&within(source, target)?)?.f_sub(&between.f_mul_scalar(2.0)?)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn numbers(rows: i64, shift: f64) -> Tensor {
        (Tensor::arange(rows * 3, (Kind::Float, Device::Cpu)) * 1.7).sin().reshape([rows, 3]) + shift
    }

    #[test]
    fn it_grows_with_the_distance_and_is_small_for_one_distribution() -> Result<()> {
        let of = |shift| -> Result<f64> {
            let (source, target) = (numbers(40, 0.0), (numbers(80, shift)).narrow(0, 40, 40));
            Ok(f64::try_from(discrepancy(&gaussian_kernels(&source, &target)?, 40)?)?)
        };
        let (none, some, more) = (of(0.0)?, of(0.5)?, of(2.0)?);
        assert!(none.abs() < 0.02 && some > none + 0.02 && more > some + 0.1, "{none} {some} {more}");
        Ok(())
    }

    #[test]
    fn a_row_is_as_near_to_itself_as_can_be() -> Result<()> {
        let kernel = gaussian_kernels(&numbers(3, 0.0), &numbers(2, 1.0))?;
        let own = f64::try_from((kernel.diag(0) - 1.0).abs().max())?;
        assert!(kernel.size() == [5, 5] && own < 1e-5, "{own}");
        assert!(f64::try_from((&kernel - kernel.tr()).abs().max())? < 1e-6);
        Ok(())
    }
}
