//! Logistic regression with an L2 penalty, solved to a small gradient: a linear classifier on fixed features, of classes or of attributes.
//!
//! Minimises (1/N) Σ ℓ(W x + b, y) + ½ λ ‖W‖², where ℓ is the cross-entropy of the softmax, or the sum over attributes of that of the
//! logistic function. The second derivative is nowhere above c XᵀX/N + λ with c = ½ or ¼ (Böhning 1992, "Multinomial logistic regression
//! algorithm"), so steps are those of Newton with that bound, whose eigenvectors are computed once for all λ; they are accelerated (Nesterov
//! 1983), with a restart wherever the momentum points uphill (O'Donoghue & Candès 2015). In double precision; nothing is drawn.

use tch::{Kind, Tensor};

use crate::{Error, Result};

/// A linear map to logits.
#[derive(Debug)]
pub struct LogisticRegression {
    /// W: `[K, D]` f64.
    pub weight: Tensor,
    /// b: `[K]` f64.
    pub bias: Tensor,
    /// The largest entry of the gradient where it stopped, in the basis of the features' eigenvectors.
    pub gradient: f64,
}

/// It ends where no entry of the gradient is larger, or after so many steps; attributes are many, and each needs no more than this.
const TOLERANCE: f64 = 1e-6;
const OF_ATTRIBUTES: f64 = 1e-4;
const STEPS: usize = 1000;

/// What logits become.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Link {
    Softmax,
    Logistic,
}

/// Features, with what is the same for all labels and penalties.
#[derive(Debug)]
pub struct Regressors {
    /// X less its mean: `[N, D]` f64.
    x: Tensor,
    mean: Tensor,
    /// Eigenvalues and eigenvectors of XᵀX/N.
    values: Tensor,
    vectors: Tensor,
}

impl Regressors {
    /// Of features.
    ///
    /// # Shapes
    /// `features: [N, D]`
    ///
    /// # Errors
    /// No rows, or what libtorch refuses.
    pub fn new(features: &Tensor) -> Result<Self> {
        let rows = features.size2()?.0;
        if rows == 0 {
            return Err(Error::Data("there are no features to learn from".into()));
        }
        let _no_grad = tch::no_grad_guard();
        let x = features.detach().f_to_kind(Kind::Double)?;
        let mean = x.f_mean_dim([0i64].as_slice(), true, Kind::Double)?;
        let x = x.f_sub(&mean)?;
        let (values, vectors) = x.f_tr()?.f_matmul(&x)?.f_div_scalar(rows as f64)?.f_linalg_eigh("L")?;
        Ok(Self { x, mean, values: values.f_clamp_min(0.0)?, vectors })
    }

    /// The solution for labels of which each row has one.
    ///
    /// # Shapes
    /// `labels: [N] i64` below `classes`
    ///
    /// # Errors
    /// Not one label for each row, or what libtorch refuses.
    pub fn classes(&self, labels: &Tensor, classes: i64, penalty: f64) -> Result<LogisticRegression> {
        let rows = self.x.size()[0];
        if labels.size() != [rows] {
            return Err(Error::Data(format!("{:?} labels for {rows} rows of features", labels.size())));
        }
        let y = labels.f_to_device(self.x.device())?.f_one_hot(classes)?.f_to_kind(Kind::Double)?;
        self.solve(&y, Link::Softmax, penalty)
    }

    /// The solution for attributes that each row has (1) or has not (0).
    ///
    /// # Shapes
    /// `attributes: [N, K]`
    ///
    /// # Errors
    /// Not one row of attributes for each of features, or what libtorch refuses.
    pub fn attributes(&self, attributes: &Tensor, penalty: f64) -> Result<LogisticRegression> {
        let (found, rows) = (attributes.size2()?.0, self.x.size()[0]);
        if found != rows {
            return Err(Error::Data(format!("attributes of {found} images for {rows} rows of features")));
        }
        self.solve(&attributes.f_to_device(self.x.device())?.f_to_kind(Kind::Double)?, Link::Logistic, penalty)
    }

    fn solve(&self, y: &Tensor, link: Link, penalty: f64) -> Result<LogisticRegression> {
        let _no_grad = tch::no_grad_guard();
        let (rows, columns) = self.x.size2()?;
        let outputs = y.size()[1];
        let options = (Kind::Double, self.x.device());
        let (curvature, tolerance) = if link == Link::Softmax { (0.5, TOLERANCE) } else { (0.25, OF_ATTRIBUTES) };
        // the bias lies apart, as the mean of x is 0; nothing penalises it
        let scale = self.values.f_mul_scalar(curvature)?.f_add_scalar(penalty)?.f_clamp_min(1e-12)?.f_unsqueeze(1)?;
        // everything is in the basis of eigenvectors, below it the bias
        let x = self.x.f_matmul(&self.vectors)?;
        let x = Tensor::f_cat(&[x, Tensor::f_ones([rows, 1], options)?], 1)?;
        let scale = Tensor::f_cat(&[scale, Tensor::f_full([1, 1], curvature, options)?], 0)?;
        let penalties = Tensor::f_full([columns + 1, 1], penalty, options)?;
        let _same = penalties.f_narrow(0, columns, 1)?.f_zero_()?;
        let mut w = Tensor::f_zeros([columns + 1, outputs], options)?;
        let (mut ahead, mut momentum, mut gradient) = (w.copy(), 1.0f64, f64::INFINITY);
        for _ in 0..STEPS {
            let logits = x.f_matmul(&ahead)?;
            let p = if link == Link::Softmax { logits.f_softmax(-1, Kind::Double)? } else { logits.f_sigmoid()? };
            let slope =
                x.f_tr()?.f_matmul(&p.f_sub(y)?)?.f_div_scalar(rows as f64)?.f_add(&ahead.f_mul(&penalties)?)?;
            gradient = f64::try_from(slope.f_abs()?.f_max()?)?;
            if gradient <= tolerance {
                w = ahead;
                break;
            }
            let next = ahead.f_sub(&slope.f_div(&scale)?)?;
            let moved = next.f_sub(&w)?;
            let uphill = f64::try_from(slope.f_mul(&moved)?.f_sum(Kind::Double)?)? > 0.0;
            let following = if uphill { 1.0 } else { (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) / 2.0 };
            let carried = if uphill { 0.0 } else { (momentum - 1.0) / following };
            ahead = next.f_add(&moved.f_mul_scalar(carried)?)?;
            (w, momentum) = (next, following);
        }
        let weight = self.vectors.f_matmul(&w.f_narrow(0, 0, columns)?)?.f_tr()?.f_contiguous()?;
        let bias = w.f_select(0, columns)?.f_sub(&self.mean.f_matmul(&weight.f_tr()?)?.f_squeeze_dim(0)?)?;
        Ok(LogisticRegression { weight, bias, gradient })
    }
}

impl LogisticRegression {
    /// The solution for these features and labels, with the penalty λ.
    ///
    /// # Shapes
    /// `features: [N, D]`, `labels: [N] i64` below `classes`
    ///
    /// # Errors
    /// No rows, not one label for each, or what libtorch refuses.
    pub fn fit(features: &Tensor, labels: &Tensor, classes: i64, penalty: f64) -> Result<Self> {
        Regressors::new(features)?.classes(labels, classes, penalty)
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

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    /// Rows that are not round and not about 0, three classes that overlap.
    fn data() -> (Tensor, Tensor) {
        let x = (Tensor::arange(240, (Kind::Double, Device::Cpu)) * 1.3).sin().reshape([60, 4]) * 2.0 + 1.0;
        let weight = (Tensor::arange(12, (Kind::Double, Device::Cpu)) * 0.7).cos().reshape([4, 3]);
        let noise = (Tensor::arange(180, (Kind::Double, Device::Cpu)) * 2.1).sin().reshape([60, 3]);
        (x.shallow_clone(), (x.matmul(&weight) + noise).argmax(-1, false))
    }

    #[test]
    fn no_other_solution_is_better() -> Result<()> {
        let (x, y) = data();
        let found = LogisticRegression::fit(&x, &y, 3, 0.01)?;
        let one_hot = y.one_hot(3).to_kind(Kind::Double);
        let of_each = Regressors::new(&x)?.attributes(&one_hot, 0.01)?;
        let softmax = |logits: &Tensor| {
            -logits.log_softmax(-1, Kind::Double).gather(1, &y.unsqueeze(1), false).mean(Kind::Double)
        };
        let logistic = |logits: &Tensor| {
            let each: Tensor = &one_hot * logits.log_sigmoid() + (1.0 - &one_hot) * (-logits).log_sigmoid();
            -each.sum(Kind::Double) / 60.0
        };
        type Loss<'a> = &'a dyn Fn(&Tensor) -> Tensor;
        let losses: [(_, Loss, _); 2] = [(&found, &softmax, TOLERANCE), (&of_each, &logistic, OF_ATTRIBUTES)];
        for (found, fit, tolerance) in losses {
            assert!(found.gradient <= tolerance, "{}", found.gradient);
            let loss = |weight: &Tensor, bias: &Tensor| -> Result<f64> {
                let logits = x.matmul(&weight.tr()) + bias;
                Ok(f64::try_from(weight.square().sum(Kind::Double) * 0.005 + fit(&logits))?)
            };
            let best = loss(&found.weight, &found.bias)?;
            for number in 0..6 {
                let change = (Tensor::arange(12, (Kind::Double, Device::Cpu)) * f64::from(number + 1)).sin();
                assert!(loss(&(&found.weight + change.reshape([3, 4]) * 0.01), &found.bias)? > best);
                assert!(loss(&found.weight, &(&found.bias + change.narrow(0, 0, 3) * 0.01))? > best);
            }
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
        assert!(Regressors::new(&x)?.attributes(&y.unsqueeze(1).narrow(0, 0, 3), 0.1).is_err());
        Ok(())
    }
}
