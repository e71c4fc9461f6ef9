//! What the tasks' losses weigh, and how the weights are found.
//!
//! | rule | the total | state, in the model's store |
//! |---|---|---|
//! | `fixed` | Σ w_t L_t with the weights that are given | none |
//! | `uncertainty` | Σ exp(−s_t) L_t + s_t / 2 | `task_weights.log_variances` s, a parameter: no decay, the head's rate |
//! | `gradnorm=A` | Σ w_t L_t | `task_weights.weights` w and `task_weights.first_losses` L(0), buffers in f64 |
//!
//! GradNorm's W are the weights (not the biases and norms) of the last shared stage that learns; while none does, the weights
//! of the losses stay. They move after each batch by
//! w_t ← w_t − η · (∂L_grad/∂w_t) / mean_u G_u, and are scaled to sum to the number of tasks. The state is in the store, so a
//! resumed run goes on with the same bytes.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::loss::{TaskState, grad_norm, renormalised_weights, uncertainty_weighted};
use crate::models::{Builder, Role, Store};
use crate::{Error, Result};

/// The exponent of the paper's experiments.
const EXPONENT: f64 = 1.5;
/// Below this a first loss is taken as this, for losses are divided by it.
const LEAST_FIRST_LOSS: f64 = 1e-8;

/// The rule; written `fixed`, `uncertainty` or `gradnorm=EXPONENT` on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TaskWeights {
    /// The tasks' `weight=`.
    Fixed,
    /// Learned with the network (Kendall et al. 2018).
    Uncertainty,
    /// By which gradients are alike (Chen et al. 2018), with this exponent on the training rates.
    Gradnorm(f64),
}

impl std::str::FromStr for TaskWeights {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, number) = text.split_once('=').map_or((text, None), |(name, number)| (name, Some(number)));
        let exponent = number.map_or(Some(EXPONENT), |number| number.parse().ok());
        match (name, number, exponent) {
            ("fixed", None, _) => Ok(Self::Fixed),
            ("uncertainty", None, _) => Ok(Self::Uncertainty),
            ("gradnorm", _, Some(exponent)) if exponent >= 0.0 && exponent.is_finite() => Ok(Self::Gradnorm(exponent)),
            _ => Err(Error::Usage(format!(
                "`{text}` is none of fixed, uncertainty, gradnorm and gradnorm=EXPONENT with an exponent from 0 on"
            ))),
        }
    }
}

impl std::fmt::Display for TaskWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed => f.write_str("fixed"),
            Self::Uncertainty => f.write_str("uncertainty"),
            Self::Gradnorm(exponent) => write!(f, "gradnorm={exponent}"),
        }
    }
}

crate::options::as_text!(TaskWeights);

/// What the losses weigh now.
#[derive(Debug)]
pub enum Weighing {
    /// Always the same.
    Fixed(Vec<f64>),
    /// Learned.
    Uncertainty {
        /// s_t = ln σ_t², `[T]`.
        log_variances: Tensor,
    },
    /// Moved after each batch.
    Gradnorm {
        /// The exponent on the training rates.
        exponent: f64,
        /// How far a step goes.
        rate: f64,
        /// w_t, `[T]` f64.
        weights: Tensor,
        /// L_t(0), `[T]` f64; 0 before the first batch.
        first_losses: Tensor,
    },
}

impl Weighing {
    /// The rule at its start for tasks with the `fixed` weights that are given; what it learns goes into `store`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(rule: TaskWeights, fixed: Vec<f64>, rate: f64, store: &mut Store) -> Result<Self> {
        let (tasks, device) = ([fixed.len() as i64], store.device());
        let builder = Builder::new(device);
        let weighing = match rule {
            TaskWeights::Fixed => Self::Fixed(fixed),
            TaskWeights::Uncertainty => {
                let zeros = Tensor::f_zeros(tasks, (Kind::Float, device))?;
                builder.adopt("task_weights.log_variances", zeros.shallow_clone(), Role::Parameter)?;
                Self::Uncertainty { log_variances: zeros }
            }
            TaskWeights::Gradnorm(exponent) => {
                let weights = Tensor::f_ones(tasks, (Kind::Double, device))?;
                let first_losses = weights.f_zeros_like()?;
                for (name, tensor) in [("weights", &weights), ("first_losses", &first_losses)] {
                    builder.adopt(&format!("task_weights.{name}"), tensor.shallow_clone(), Role::Buffer)?;
                }
                Self::Gradnorm { exponent, rate, weights, first_losses }
            }
        };
        store.absorb(builder.finish())?;
        Ok(weighing)
    }

    /// The total of the tasks' `losses`; GradNorm also moves its weights, for which `shared` are the tensors W.
    ///
    /// # Shapes
    /// `losses`: one `[]` per task → `[]`
    ///
    /// # Errors
    /// A loss that is no number, where GradNorm needs it; what libtorch refuses.
    pub fn total(&self, losses: &[Tensor], shared: &[Tensor]) -> Result<Tensor> {
        match self {
            Self::Fixed(weights) => weighted(losses, weights),
            Self::Uncertainty { log_variances } => uncertainty_weighted(&Tensor::f_stack(losses, 0)?, log_variances),
            Self::Gradnorm { exponent, rate, weights, first_losses } => {
                let now = Vec::<f64>::try_from(weights)?;
                let total = weighted(losses, &now)?;
                if shared.is_empty() {
                    return Ok(total);
                }
                let read = |loss: &Tensor| f64::try_from(loss.detach());
                let values = losses.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                let mut first = Vec::<f64>::try_from(first_losses)?;
                if first.iter().all(|loss| *loss == 0.0) {
                    first = values.iter().map(|loss| loss.max(LEAST_FIRST_LOSS)).collect();
                    first_losses.shallow_clone().f_copy_(&Tensor::from_slice(&first))?;
                }
                let norms = losses.iter().map(|loss| gradient_norm(loss, shared)).collect::<Result<Vec<_>>>()?;
                let state = |task: usize| TaskState {
                    weight: now[task],
                    gradient_norm: norms[task],
                    loss: values[task],
                    first_loss: first[task],
                };
                let next = moved(&(0..losses.len()).map(state).collect::<Vec<_>>(), *exponent, *rate)?;
                weights.shallow_clone().f_copy_(&Tensor::from_slice(&next))?;
                Ok(total)
            }
        }
    }

    /// The factors on the losses, where they change: exp(−s_t), or GradNorm's weights for the next batch.
    ///
    /// # Shapes
    /// `[T]`
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn learned(&self) -> Result<Option<Tensor>> {
        Ok(match self {
            Self::Fixed(_) => None,
            Self::Uncertainty { log_variances } => Some(log_variances.detach().f_neg()?.f_exp()?),
            // a copy: the next batch moves them
            Self::Gradnorm { weights, .. } => Some(weights.copy()),
        })
    }
}

/// Σ w_t L_t.
fn weighted(losses: &[Tensor], weights: &[f64]) -> Result<Tensor> {
    let mut terms = losses.iter().zip(weights).map(|(loss, weight)| loss.f_mul_scalar(*weight));
    let first = terms.next().unwrap_or_else(|| Tensor::f_zeros([0i64; 0], (Kind::Float, Device::Cpu)))?;
    Ok(terms.try_fold(first, |sum, term| sum.f_add(&term?))?)
}

/// ‖∇_W L‖ over all tensors of W together; the graph stays for the step itself.
fn gradient_norm(loss: &Tensor, shared: &[Tensor]) -> Result<f64> {
    let gradients = Tensor::f_run_backward(&[loss], shared, true, false)?;
    let squares = gradients.iter().map(|gradient| gradient.f_square()?.f_sum(Kind::Double));
    let squares = squares.collect::<Result<Vec<_>, _>>()?;
    Ok(f64::try_from(Tensor::f_stack(&squares, 0)?.f_sum(Kind::Double)?.f_sqrt()?)?)
}

/// The weights after a step.
fn moved(tasks: &[TaskState], exponent: f64, rate: f64) -> Result<Vec<f64>> {
    let (_, gradient) = grad_norm(tasks, exponent)?;
    let mean = tasks.iter().map(|task| task.gradient_norm).sum::<f64>() / tasks.len() as f64;
    if mean == 0.0 {
        return Ok(tasks.iter().map(|task| task.weight).collect());
    }
    let stepped = tasks.iter().zip(gradient).map(|(task, slope)| task.weight - rate * slope / mean);
    renormalised_weights(&stepped.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        Builder::new(Device::Cpu).finish()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
    }

    /// Losses a · w and b · w of a shared weight w = [3, 4], whose gradients are a and b.
    fn losses(w: &Tensor) -> [Tensor; 2] {
        [[1f32, 0.5], [0.0, 2.0]].map(|factor| w.dot(&Tensor::from_slice(&factor)))
    }

    fn shared() -> Tensor {
        Tensor::from_slice(&[3f32, 4.0]).set_requires_grad(true)
    }

    #[test]
    fn fixed_weights_weigh() -> Result<()> {
        let w = shared();
        let mut store = store();
        let weighing = Weighing::new(TaskWeights::Fixed, vec![0.5, 2.0], 0.1, &mut store)?;
        let total = weighing.total(&losses(&w), &[])?;
        close(f64::try_from(total.detach())?, 0.5 * 5.0 + 2.0 * 8.0);
        total.f_backward()?;
        assert_eq!(Vec::<f32>::try_from(w.grad())?, [0.5, 4.25]);
        assert!(weighing.learned()?.is_none() && store.entries().count() == 0);
        Ok(())
    }

    #[test]
    fn uncertainty_learns_its_variances_in_the_store() -> Result<()> {
        let (w, mut store) = (shared(), store());
        let weighing = Weighing::new(TaskWeights::Uncertainty, vec![1.0; 2], 0.1, &mut store)?;
        let s = store.trainable().next().expect("a parameter").1.shallow_clone();
        tch::no_grad(|| s.shallow_clone().copy_(&Tensor::from_slice(&[0.5f32, -1.0])));
        let total = weighing.total(&losses(&w), &[])?;
        let (first, second) = ((-0.5f64).exp(), 1f64.exp());
        close(f64::try_from(total.detach())?, first * 5.0 + 0.25 + second * 8.0 - 0.5);
        total.f_backward()?;
        for (index, expected) in [0.5 - first * 5.0, 0.5 - second * 8.0].into_iter().enumerate() {
            assert!((s.grad().double_value(&[index as i64]) - expected).abs() < 1e-5);
        }
        for (found, expected) in Vec::<f64>::try_from(weighing.learned()?.unwrap())?.into_iter().zip([first, second]) {
            close(found, expected);
        }
        Ok(())
    }

    #[test]
    fn gradnorm_moves_its_weights_as_the_formula_says() -> Result<()> {
        let (w, mut store) = (shared(), store());
        let rule = TaskWeights::Gradnorm(1.5);
        let weighing = Weighing::new(rule, vec![1.0; 2], 0.1, &mut store)?;
        let total = weighing.total(&losses(&w), &[w.shallow_clone()])?;
        close(f64::try_from(total.detach())?, 13.0);
        assert!(!w.grad().defined(), "only the step itself leaves gradients");
        total.f_backward()?;
        assert_eq!(Vec::<f32>::try_from(w.grad())?, [1.0, 2.5]);
        // at the first batch all rates are 1: G = √1.25 and 2, the mean lies between them
        let [low, high] = [1.25f64.sqrt(), 2.0];
        let mean = (low + high) / 2.0;
        let stepped = [1.0 + 0.1 * low / mean, 1.0 - 0.1 * high / mean];
        let total: f64 = stepped.iter().sum();
        let weights = Vec::<f64>::try_from(weighing.learned()?.unwrap())?;
        close(weights[0], 2.0 * stepped[0] / total);
        close(weights[1], 2.0 * stepped[1] / total);
        let first = store.get("task_weights.first_losses").unwrap();
        assert_eq!(Vec::<f64>::try_from(first)?, [5.0, 8.0]);
        // the first losses stay while the losses fall
        tch::no_grad(|| w.shallow_clone().copy_(&Tensor::from_slice(&[1f32, 1.0])));
        let _total = weighing.total(&losses(&w), &[w.shallow_clone()])?;
        assert_eq!(Vec::<f64>::try_from(first)?, [5.0, 8.0]);
        // without a shared stage that learns nothing moves
        let before = weighing.learned()?.unwrap();
        let _total = weighing.total(&losses(&w), &[])?;
        assert_eq!(weighing.learned()?.unwrap(), before);
        assert!(store.parameters().next().is_none(), "weights of GradNorm are no parameters");
        Ok(())
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["fixed", "uncertainty", "gradnorm=0.5"] {
            assert_eq!(String::from(text.parse::<TaskWeights>().unwrap()), text);
        }
        assert_eq!("gradnorm".parse::<TaskWeights>().unwrap(), TaskWeights::Gradnorm(EXPONENT));
        for bad in ["", "fix", "fixed=1", "uncertainty=2", "gradnorm=", "gradnorm=-1", "gradnorm=inf"] {
            assert!(bad.parse::<TaskWeights>().unwrap_err().to_string().contains("none of fixed"), "{bad}");
        }
    }
}
