//! GradNorm: weights of tasks by which all of them train at a like rate.
//!
//! The network is trained on Σ_t w_t L_t. After each step the weights take a step of their own down the gradient of
//!
//! L_grad = Σ_t |w_t G_t − Ḡ · r_t^a|,  G_t = ‖∇_W L_t‖,  Ḡ = mean_t w_t G_t,
//! r_t = (L_t / L_t(0)) / mean_u (L_u / L_u(0)),
//!
//! with W the weights of the last layer that the tasks share, and r_t the *relative inverse training rate*: above 1 where the
//! loss has fallen less than that of the others. The exponent a says how strongly rates are made alike; with 0 it is the
//! gradients that are. Ḡ · r_t^a is the target and held constant, so the gradient to w_t is sgn(w_t G_t − Ḡ r_t^a) · G_t.
//! Then the weights are scaled to sum to the number of tasks, so that they do not change the learning rate.
//!
//! Source: Chen et al., *GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks*, ICML 2018,
//! equations 1 and 2 and algorithm 1. The more the tasks differ the larger a should be; it is 1.5 in the paper's experiments on
//! NYUv2. L_t(0) is the loss of the first step there, or ln K for a cross-entropy over K classes whose first loss depends much
//! on the initial weights.
//!
//! Differences: the norm of the weighted gradient is w_t G_t only while w_t ≥ 0, which the paper does not secure; a weight that
//! a step took below 0 becomes 0 here, from where L_grad raises it again.

use crate::{Error, Result};

/// Where one task stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskState {
    /// w_t, from 0 on.
    pub weight: f64,
    /// G_t: the 2-norm of the gradient of the loss, without its weight, to the last shared layer.
    pub gradient_norm: f64,
    /// L_t, without its weight.
    pub loss: f64,
    /// L_t(0), above 0.
    pub first_loss: f64,
}

/// L_grad, and its gradient to each weight.
///
/// # Errors
/// No tasks, an exponent or a number of a task that is outside of its range.
pub fn grad_norm(tasks: &[TaskState], exponent: f64) -> Result<(f64, Vec<f64>)> {
    check(tasks, exponent)?;
    let mean = |number: &dyn Fn(&TaskState) -> f64| tasks.iter().map(number).sum::<f64>() / tasks.len() as f64;
    let share = |task: &TaskState| task.loss / task.first_loss;
    let (mean_norm, mean_share) = (mean(&|task| task.weight * task.gradient_norm), mean(&share));
    let (mut loss, mut gradient) = (0.0, Vec::with_capacity(tasks.len()));
    for task in tasks {
        // losses that are all 0 have fallen alike
        let rate = if mean_share == 0.0 { 1.0 } else { share(task) / mean_share };
        let excess = task.weight * task.gradient_norm - mean_norm * rate.powf(exponent);
        loss += excess.abs();
        let direction = if excess == 0.0 { 0.0 } else { excess.signum() };
        gradient.push(direction * task.gradient_norm);
    }
    Ok((loss, gradient))
}

/// Weights in the same proportions that sum to their number; those below 0 become 0 first.
///
/// # Errors
/// No weight above 0, or one that is not finite.
pub fn renormalised_weights(weights: &[f64]) -> Result<Vec<f64>> {
    let total: f64 = weights.iter().map(|weight| weight.max(0.0)).sum();
    if weights.iter().any(|weight| !weight.is_finite()) || total <= 0.0 {
        return Err(Error::Training(format!(
            "GradNorm: the weights of the tasks are {weights:?}, expected numbers of which one is above 0; lower the learning \
             rate of the weights"
        )));
    }
    Ok(weights.iter().map(|weight| weight.max(0.0) / total * weights.len() as f64).collect())
}

fn check(tasks: &[TaskState], exponent: f64) -> Result<()> {
    if tasks.is_empty() {
        return Err(Error::Usage("GradNorm: no tasks, expected at least one".into()));
    }
    if !(exponent >= 0.0 && exponent.is_finite()) {
        return Err(Error::Usage(format!("GradNorm: the exponent is {exponent}, expected a number from 0 on")));
    }
    for (number, task) in tasks.iter().enumerate() {
        let from_zero = [("weight", task.weight), ("gradient norm", task.gradient_norm), ("loss", task.loss)];
        let wrong = from_zero.into_iter().find(|(_, value)| !(*value >= 0.0 && value.is_finite()));
        let first = Some(("first loss", task.first_loss)).filter(|(_, value)| !(*value > 0.0 && value.is_finite()));
        if let Some((what, value)) = wrong.or(first) {
            let bound = if what == "first loss" { "above 0" } else { "from 0 on" };
            return Err(Error::Training(format!(
                "GradNorm: the {what} of task {number} is {value}, expected a number {bound}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::golden::golden;
    use super::*;

    fn case(name: &str) -> (Vec<TaskState>, f64, f64, Vec<f64>) {
        let golden = golden(&format!("grad_norm/{name}/"));
        let numbers = |what: &str| Vec::<f64>::try_from(&golden[what]).unwrap();
        let [weights, norms, losses, first] = ["weights", "norms", "losses", "first_losses"].map(numbers);
        let task =
            |t: usize| TaskState { weight: weights[t], gradient_norm: norms[t], loss: losses[t], first_loss: first[t] };
        let number = |what: &str| f64::try_from(&golden[what]).unwrap();
        ((0..weights.len()).map(task).collect(), number("alpha"), number("value"), numbers("gradient/weights"))
    }

    #[test]
    fn value_and_gradient_equal_what_autograd_finds() -> Result<()> {
        for (name, count) in [("two", 2), ("four", 4), ("even", 3)] {
            let (tasks, exponent, value, expected) = case(name);
            let (loss, gradient) = grad_norm(&tasks, exponent)?;
            assert!((loss / value - 1.0).abs() < 1e-12, "{name}: {loss}, expected {value}");
            assert_eq!((gradient.len(), expected.len()), (count, count));
            for (found, expected) in gradient.iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-12, "{name}: {found}, expected {expected}");
            }
        }
        Ok(())
    }

    #[test]
    fn tasks_that_train_alike_are_left_alone() -> Result<()> {
        let task = TaskState { weight: 1.0, gradient_norm: 3.0, loss: 0.5, first_loss: 2.0 };
        assert_eq!(grad_norm(&[task; 3], 1.5)?, (0.0, vec![0.0; 3]));
        let done = TaskState { loss: 0.0, ..task };
        assert_eq!(grad_norm(&[done; 3], 1.5)?, (0.0, vec![0.0; 3]));
        Ok(())
    }

    #[test]
    fn following_the_gradient_raises_the_slow_task_to_the_target() -> Result<()> {
        let slow = TaskState { weight: 1.0, gradient_norm: 1.0, loss: 1.0, first_loss: 1.0 };
        let mut tasks = [slow, TaskState { loss: 0.25, gradient_norm: 2.0, ..slow }];
        let before = grad_norm(&tasks, 1.0)?.0;
        for _ in 0..500 {
            let (_, gradient) = grad_norm(&tasks, 1.0)?;
            let stepped: Vec<f64> = tasks.iter().zip(gradient).map(|(task, g)| task.weight - 0.005 * g).collect();
            for (task, weight) in tasks.iter_mut().zip(renormalised_weights(&stepped)?) {
                task.weight = weight;
            }
            assert!((tasks.iter().map(|task| task.weight).sum::<f64>() - 2.0).abs() < 1e-12);
        }
        assert!(grad_norm(&tasks, 1.0)?.0 < 0.05 * before);
        // r is 1.6 and 0.4, so w₁ : 2 w₂ is 4 : 1
        assert!((tasks[0].weight / tasks[1].weight - 8.0).abs() < 0.5, "{tasks:?}");
        Ok(())
    }

    #[test]
    fn a_weight_below_zero_becomes_zero_and_comes_back() -> Result<()> {
        let weights = renormalised_weights(&[-0.5, 1.0, 3.0])?;
        assert_eq!(weights, [0.0, 0.75, 2.25]);
        let task = |weight| TaskState { weight, gradient_norm: 1.0, loss: 1.0, first_loss: 1.0 };
        let (_, gradient) = grad_norm(&weights.into_iter().map(task).collect::<Vec<_>>(), 1.0)?;
        assert!(gradient[0] < 0.0, "a step down the gradient raises it");
        Ok(())
    }

    #[test]
    fn bad_input_is_named() {
        let good = TaskState { weight: 1.0, gradient_norm: 1.0, loss: 1.0, first_loss: 1.0 };
        let message = |task: TaskState| grad_norm(&[good, task], 1.0).unwrap_err().to_string();
        assert!(
            message(TaskState { loss: f64::NAN, ..good })
                .contains("loss of task 1 is NaN, expected a number from 0 on")
        );
        assert!(message(TaskState { weight: -0.1, ..good }).contains("weight of task 1 is -0.1"));
        assert!(message(TaskState { gradient_norm: f64::INFINITY, ..good }).contains("gradient norm of task 1 is inf"));
        assert!(
            message(TaskState { first_loss: 0.0, ..good })
                .contains("first loss of task 1 is 0, expected a number above 0")
        );
        assert!(grad_norm(&[good], -1.0).unwrap_err().to_string().contains("exponent is -1"));
        assert!(grad_norm(&[], 1.0).unwrap_err().to_string().contains("no tasks"));
        for weights in [&[][..], &[-1.0, 0.0], &[f64::NAN, 1.0]] {
            assert!(renormalised_weights(weights).unwrap_err().to_string().contains("GradNorm: the weights"));
        }
    }
}
