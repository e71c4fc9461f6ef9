//! Weights of tasks that are learned with the network: a task whose answers are uncertain counts less.
//!
//! L = Σ_t exp(−s_t) · L_t + s_t / 2,
//!
//! with L_t the cross-entropy of task t and s_t = ln σ_t² a learned number, 0 at the start. The gradients are exp(−s_t) to L_t
//! and ½ − exp(−s_t) · L_t to s_t, so for a loss that stands still s_t goes to ln(2 L_t), where the task contributes
//! ½ + ½ ln(2 L_t).
//!
//! Where it comes from: the likelihood of a class is taken as softmax(z / σ²), a softmax with temperature σ². Its negative
//! logarithm is L_t / σ² + ln(Σ_k exp(z_k / σ²) / (Σ_k exp z_k)^(1/σ²)), and the second term becomes ln σ under the
//! approximation (1/σ) Σ_k exp(z_k / σ²) ≈ (Σ_k exp z_k)^(1/σ²), which is exact at σ = 1. With s = ln σ² that is
//! exp(−s) · L_t + s / 2: nothing is divided by zero, and s may be any number.
//!
//! Source: Kendall, Gal & Cipolla, *Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics*,
//! CVPR 2018, section 3.2; the classification term of equation 10.
//!
//! A regression's term is ‖y − f‖² / (2σ²) + ln σ: hand over *half* of the squared error as its L_t. The loss may be negative.

use tch::{Kind, Tensor};

use crate::{Error, Result};

/// The weighted loss of all tasks, differentiable to the losses and to the log-variances. It is computed in f32.
///
/// # Shapes
/// `losses: [T]`, `log_variances: [T]` → `[]`
///
/// # Errors
/// Shapes that differ, or no tasks.
pub fn uncertainty_weighted(losses: &Tensor, log_variances: &Tensor) -> Result<Tensor> {
    let shape = losses.size();
    if shape.len() != 1 || shape[0] == 0 || log_variances.size() != shape {
        return Err(Error::Model(format!(
            "uncertainty weights: losses of shape {shape:?} and log-variances of {:?}, expected one number per task for both",
            log_variances.size()
        )));
    }
    let (losses, log_variances) = (losses.f_to_kind(Kind::Float)?, log_variances.f_to_kind(Kind::Float)?);
    let weighted = log_variances.f_neg()?.f_exp()?.f_mul(&losses)?;
    Ok(weighted.f_add(&log_variances.f_mul_scalar(0.5)?)?.f_sum(Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::super::golden::{close, golden, leaf};
    use super::*;

    #[test]
    fn value_and_gradients_equal_pytorchs() -> Result<()> {
        for case in ["three", "one"] {
            let golden = golden(&format!("uncertainty/{case}/"));
            let (losses, log_variances) = (leaf(&golden["losses"]), leaf(&golden["log_variances"]));
            let loss = uncertainty_weighted(&losses, &log_variances)?;
            loss.f_backward()?;
            close(&loss, &golden["value"], 1e-5, case);
            close(&losses.grad(), &golden["gradient/losses"], 1e-5, case);
            close(&log_variances.grad(), &golden["gradient/log_variances"], 1e-5, case);
        }
        Ok(())
    }

    #[test]
    fn at_the_start_all_tasks_count_alike_and_at_the_best_variance_nothing_pulls() -> Result<()> {
        let losses = Tensor::from_slice(&[0.25f32, 4.0]);
        assert_eq!(f64::try_from(uncertainty_weighted(&losses, &losses.zeros_like())?)?, 4.25);
        let best = leaf(&(&losses * 2.0).log());
        uncertainty_weighted(&losses, &best)?.f_backward()?;
        assert!(f64::try_from(best.grad().abs().max())? < 1e-6);
        Ok(())
    }

    #[test]
    fn bad_input_is_named() {
        let [one, two] = [1, 2].map(|tasks| Tensor::zeros([tasks], tch::kind::FLOAT_CPU));
        let message = |a: &Tensor, b: &Tensor| uncertainty_weighted(a, b).unwrap_err().to_string();
        assert!(message(&two, &one).contains("shape [2] and log-variances of [1]"));
        assert!(message(&one.narrow(0, 0, 0), &one.narrow(0, 0, 0)).contains("shape [0]"));
    }
}
