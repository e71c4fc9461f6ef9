//! The options of the epoch loop, whatever the method.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::train::{OptimizerOptions, Precision, Schedule, Shape};

/// How to train, whatever the method.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct FitOptions {
    /// Passes over the training images [default: 10, or 0 for prototypes on a frozen backbone]
    #[arg(long, value_name = "COUNT")]
    pub epochs: Option<usize>,
    /// Ends training after this many optimizer steps, within an epoch or not
    #[arg(long, value_name = "STEPS")]
    pub max_steps: Option<usize>,
    /// Batches whose gradients are averaged before a step
    #[arg(long, value_name = "BATCHES", default_value_t = 1)]
    pub accumulate: usize,
    /// Scales gradients down to this norm where they exceed it
    #[arg(long, value_name = "NORM")]
    pub clip_grad: Option<f64>,
    /// Evaluates and saves an exponential moving average of the weights with this decay, as 0.999
    #[arg(long, value_name = "DECAY")]
    pub ema: Option<f64>,
    /// Number format of the forward and backward pass
    #[arg(long, value_enum, default_value = "fp32", help_heading = "Machine")]
    pub precision: Precision,
    /// Stops after this many epochs without a better score
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<usize>,
    /// Optimizer steps between two checkpoints [default: one after an epoch, at most every ten seconds]
    #[arg(long, value_name = "STEPS", help_heading = "Run")]
    pub checkpoint_every: Option<usize>,
    /// Epochs between two assessments on the validation images; there is always one after the last epoch
    #[arg(long, value_name = "EPOCHS", default_value_t = 1)]
    pub eval_every: usize,
    /// Optimizer steps between two log lines
    #[arg(long, value_name = "STEPS", default_value_t = 10, help_heading = "Run")]
    pub log_every: usize,
    /// Traces so many batches after the first three: where their time went is shown, and written as profile.txt and, for
    /// TensorBoard or chrome://tracing, as profile.pt.trace.json
    #[arg(long, value_name = "BATCHES", num_args = 0..=1, default_missing_value = "10", help_heading = "Run")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<usize>,
    /// The optimizer.
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: OptimizerOptions,
    /// The learning rate over time.
    #[command(flatten)]
    #[serde(flatten)]
    pub schedule: Schedule,
}

impl FitOptions {
    /// Passes over the training images.
    pub fn epochs(&self) -> usize {
        self.epochs.unwrap_or(10)
    }

    /// Appends a line for everything that makes no sense.
    pub fn faults(&self, faults: &mut Vec<String>) {
        let counts = [("accumulate", self.accumulate), ("log-every", self.log_every), ("eval-every", self.eval_every)];
        for (name, value) in counts {
            if value == 0 {
                faults.push(format!("--{name} must be at least 1"));
            }
        }
        for (name, value) in
            [("checkpoint-every", self.checkpoint_every), ("max-steps", self.max_steps), ("profile", self.profile)]
        {
            if value == Some(0) {
                faults.push(format!("--{name} must be at least 1"));
            }
        }
        if let Some(clip) = self.clip_grad.filter(|clip| clip.is_nan() || *clip <= 0.0) {
            faults.push(format!("--clip-grad {clip} must be positive"));
        }
        if let Some(decay) = self.ema.filter(|decay| !(0.0..1.0).contains(decay)) {
            faults.push(format!("--ema {decay} must be at least 0 and below 1"));
        }
        if self.eval_every > 1 && self.schedule.schedule == Shape::Plateau {
            let every = self.eval_every;
            faults.push(format!(
                "--eval-every {every}: --schedule plateau needs the score of every epoch; leave one out"
            ));
        }
        self.optimizer.faults(faults);
        self.schedule.faults(faults);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_at_once() {
        let mut options: FitOptions = crate::options::defaults();
        let mut faults = vec![];
        options.faults(&mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        options.accumulate = 0;
        options.clip_grad = Some(f64::NAN);
        options.ema = Some(1.0);
        options.optimizer.lr = -1.0;
        options.schedule.lr_gamma = 1.0;
        options.faults(&mut faults);
        for (fault, option) in faults.iter().zip(["--accumulate", "--clip-grad", "--ema", "--lr ", "--lr-gamma"]) {
            assert!(fault.starts_with(option), "{fault}");
        }
        assert_eq!(faults.len(), 5);
    }
}
