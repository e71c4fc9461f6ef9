//! Multinomial logistic regression with an L2 penalty, solved to the end: a linear classifier on fixed features.
//!
//! Minimises (1/N) Σ CE(softmax(W x + b), y) + ½ λ ‖W‖² by accelerated gradient descent (Nesterov 1983) with the step 1/L that the
//! data allow, L = ½ λ_max(XᵀX / N) + λ with a column of ones in X (Böhning 1992), and a restart wherever the momentum points
//! uphill (O'Donoghue & Candès 2015). In double precision; nothing is drawn.

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// A linear map to logits.
#[derive(Debug)]
pub struct LogisticRegression {
    /// W: `[K, D]` f64.
    pub weight: Tensor,
    /// b: `[K]` f64.
    pub bias: Tensor,
    /// The largest entry of the gradient where it stopped.
    pub gradient: f64,
}

/// It ends where no entry of the gradient is larger, or after so many steps.
const TOLERANCE: f64 = 1e-6;
const STEPS: usize = 1000;

impl LogisticRegression {
    /// The solution for these features and labels, with the penalty λ.
    ///
    /// # Shapes
    /// `features: [N, D]`, `labels: [N] i64` below `classes`
    ///
    /// # Errors
    /// No rows, not one label for each, or what libtorch refuses.
    pub fn fit(features: &Tensor, labels: &Tensor, classes: i64, penalty: f64) -> Result<Self> {
        let (rows, columns) = features.size2()?;
        if rows == 0 || labels.size() != [rows] {
            return Err(Error::Data(format!("{:?} labels for {rows} rows of features", labels.size())));
        }
        let _no_grad = tch::no_grad_guard();
        let device = features.device();
        let ones = Tensor::f_ones([rows, 1], (Kind::Double, device))?;
        let x = Tensor::f_cat(&[features.detach().f_to_kind(Kind::Double)?, ones], 1)?;
        let y = labels.f_to_device(device)?.f_one_hot(classes)?.f_to_kind(Kind::Double)?;
        // both products have the same largest eigenvalue
        let gram = if rows < columns { x.f_matmul(&x.f_tr()?)? } else { x.f_tr()?.f_matmul(&x)? };
        let step = 1.0 / (0.5 * largest_eigenvalue(&gram)? / rows as f64 + penalty);
        // the bias is not penalised
        let penalties = Tensor::f_full([columns + 1, 1], penalty, (Kind::Double, device))?;
        let _same = penalties.f_narrow(0, columns, 1)?.f_zero_()?;
        let mut w = Tensor::f_zeros([columns + 1, classes], (Kind::Double, device))?;
        let (mut ahead, mut momentum, mut gradient) = (w.copy(), 1.0f64, f64::INFINITY);
        for _ in 0..STEPS {
            let p = x.f_matmul(&ahead)?.f_softmax(-1, Kind::Double)?;
            let slope =
                x.f_tr()?.f_matmul(&p.f_sub(&y)?)?.f_div_scalar(rows as f64)?.f_add(&ahead.f_mul(&penalties)?)?;
            gradient = f64::try_from(slope.f_abs()?.f_max()?)?;
            if gradient <= TOLERANCE {
                w = ahead;
                break;
            }
            let next = ahead.f_sub(&slope.f_mul_scalar(step)?)?;
            let moved = next.f_sub(&w)?;
            let uphill = f64::try_from(slope.f_mul(&moved)?.f_sum(Kind::Double)?)? > 0.0;
            let following = if uphill { 1.0 } else { (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) / 2.0 };
            let carried = if uphill { 0.0 } else { (momentum - 1.0) / following };
            ahead = next.f_add(&moved.f_mul_scalar(carried)?)?;
            (w, momentum) = (next, following);
        }
        let weight = w.f_narrow(0, 0, columns)?.f_tr()?.f_contiguous()?;
        Ok(Self { weight, bias: w.f_select(0, columns)?, gradient })
    }

    /// Logits.
    ///
    /// # Shapes
    /// `features: [N, D]` → `[N, K]` f64
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn logits(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.f_to_kind(Kind::Double)?.f_matmul(&self.weight.f_tr()?)?.f_add(&self.bias)?)
    }
}

/// Of a symmetric matrix.
fn largest_eigenvalue(matrix: &Tensor) -> Result<f64> {
    Ok(f64::try_from(matrix.f_to_device(Device::Cpu)?.f_linalg_eigvalsh("L")?.f_max()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that are not round, three classes that overlap.
    fn data() -> (Tensor, Tensor) {
        let x = (Tensor::arange(240, (Kind::Double, Device::Cpu)) * 1.3).sin().reshape([60, 4]) * 2.0;
        let weight = (Tensor::arange(12, (Kind::Double, Device::Cpu)) * 0.7).cos().reshape([4, 3]);
        let noise = (Tensor::arange(180, (Kind::Double, Device::Cpu)) * 2.1).sin().reshape([60, 3]);
        (x.shallow_clone(), (x.matmul(&weight) + noise).argmax(-1, false))
    }

    #[test]
    fn no_other_solution_is_better() -> Result<()> {
        let (x, y) = data();
        let found = LogisticRegression::fit(&x, &y, 3, 0.01)?;
        assert!(found.gradient <= TOLERANCE, "{}", found.gradient);
        let loss = |weight: &Tensor, bias: &Tensor| -> Result<f64> {
            let logits = x.matmul(&weight.tr()) + bias;
            let fit = logits.log_softmax(-1, Kind::Double).gather(1, &y.unsqueeze(1), false).mean(Kind::Double);
            Ok(f64::try_from(weight.square().sum(Kind::Double) * 0.005 - fit)?)
        };
        let best = loss(&found.weight, &found.bias)?;
        for number in 0..6 {
            let change =
                (Tensor::arange(12, (Kind::Double, Device::Cpu)) * f64::from(number + 1)).sin().reshape([3, 4]) * 0.01;
            assert!(loss(&(&found.weight + change), &found.bias)? > best);
        }
        let right = found.logits(&x)?.argmax(-1, false).eq_tensor(&y).sum(Kind::Int64);
        assert!(i64::try_from(right)? > 45);
        Ok(())
    }

    #[test]
    fn what_cannot_be_told_apart_gets_equal_logits() -> Result<()> {
        let (x, y) = (Tensor::ones([4, 2], (Kind::Float, Device::Cpu)), Tensor::from_slice(&[0i64, 1, 0, 1]));
        let logits = LogisticRegression::fit(&x, &y, 2, 0.1)?.logits(&x)?;
        assert!(f64::try_from((logits.select(1, 0) - logits.select(1, 1)).abs().max())? < 1e-4);
        assert!(LogisticRegression::fit(&x, &y.narrow(0, 0, 3), 2, 0.1).is_err());
        Ok(())
    }
}
