//! The learning-rate range test (Smith 2017, "Cyclical learning rates for training neural networks", section 3.3): the
//! rate rises from step to step while the loss is watched; a good rate lies where it falls fastest.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tch::Kind;

use super::fit::FitOptions;
use super::objective::{BatchSource, Objective};
use super::optimizer::Optimizer;
use super::schedule::{Progress, range_test};
use crate::{Error, Result};

/// The curve and what it suggests.
#[derive(Debug, Clone, Serialize)]
pub struct RateCurve {
    /// Learning rates, rising.
    pub rates: Vec<f64>,
    /// The smoothed loss at each.
    pub losses: Vec<f64>,
    /// Where the loss falls fastest.
    pub suggestion: f64,
}

const LOWEST: f64 = 1e-6;
const HIGHEST: f64 = 1.0;
const STEPS: usize = 100;
/// Weight of the past in the smoothed loss.
const SMOOTHING: f64 = 0.9;

/// Trains for up to 100 steps with a rising rate, ends when the loss has grown fourfold, and leaves the model changed.
///
/// # Errors
/// A source without batches, an interruption, or what the method finds wrong.
pub fn find_rate<O: Objective>(
    objective: &mut O,
    source: &mut dyn BatchSource<Batch = O::Batch>,
    options: &FitOptions,
    interrupted: &AtomicBool,
) -> Result<RateCurve> {
    objective.begin_epoch(0)?;
    let base = options.optimizer.lr;
    let mut optimizer = Optimizer::new(options.optimizer.clone(), objective.store(), |n| objective.lr_multiplier(n));
    let (mut rates, mut losses) = (vec![], vec![]);
    let (mut average, mut epoch) = (0.0, 0);
    let all = range_test(LOWEST, HIGHEST, STEPS)?;
    'epochs: loop {
        let seen = losses.len();
        for batch in source.epoch(epoch, 0)? {
            if interrupted.load(Ordering::Relaxed) {
                return Err(Error::Interrupted("nothing was saved".into()));
            }
            let step = losses.len();
            let progress = Progress { step, steps_per_epoch: STEPS, epochs: 1 };
            let parts = {
                let _autocast = options.precision.autocast(objective.store().device())?;
                objective.losses(&batch?, progress)?
            };
            optimizer.forget_gradients()?;
            let loss = parts.total.f_to_kind(Kind::Float)?;
            loss.f_backward()?;
            average = SMOOTHING * average + (1.0 - SMOOTHING) * f64::try_from(&loss.detach())?;
            // As Adam corrects its moments: the average started at zero.
            let smoothed = average / (1.0 - SMOOTHING.powi(step as i32 + 1));
            rates.push(all[step]);
            losses.push(smoothed);
            let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
            if !smoothed.is_finite() || smoothed > 4.0 * lowest || losses.len() == STEPS {
                break 'epochs;
            }
            optimizer.step(all[step] / base)?;
        }
        epoch += 1;
        if losses.len() == seen {
            return Err(Error::Data("there is no batch to try learning rates on".into()));
        }
    }
    Ok(RateCurve { suggestion: steepest(&rates, &losses), rates, losses })
}

/// The rate at which the loss falls fastest over the logarithm of the rate, before its lowest point.
fn steepest(rates: &[f64], losses: &[f64]) -> f64 {
    let lowest = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
    let slope = |i: usize| (losses[i + 1] - losses[i - 1]) / (rates[i + 1] / rates[i - 1]).ln();
    let inner = 1..lowest.max(2).min(losses.len().saturating_sub(1));
    inner.min_by(|&a, &b| slope(a).total_cmp(&slope(b))).map_or(rates[0], |i| rates[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggestion_is_where_the_curve_is_steepest() -> Result<()> {
        let rates = range_test(1e-6, 1.0, 61)?;
        // A loss that falls around 1e-3 and rises from 1e-1 on.
        let loss = |lr: &f64| 2.0 - (lr.log10() + 3.0).tanh() + (lr / 0.3).powi(2);
        let losses: Vec<f64> = rates.iter().map(loss).collect();
        let found = steepest(&rates, &losses);
        assert!((-3.3..-2.7).contains(&found.log10()), "{found}");
        Ok(())
    }
}
