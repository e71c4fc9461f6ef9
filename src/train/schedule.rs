//! Learning-rate schedules: pure functions of how far training has come, so that resuming needs no state of theirs.
//!
//! Only the plateau rule looks at results; its state is one small struct that the checkpoint carries.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How far training has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps taken so far.
    pub step: usize,
    /// Optimizer steps in one epoch.
    pub steps_per_epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
}

impl Progress {
    /// The share of training that lies behind, in 0..1.
    pub fn fraction(&self) -> f64 {
        self.step as f64 / (self.steps_per_epoch * self.epochs).max(1) as f64
    }

    /// Epochs that lie behind, with a fraction.
    pub fn epoch(&self) -> f64 {
        self.step as f64 / self.steps_per_epoch.max(1) as f64
    }
}

/// The shape of the learning rate over training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Constant after the warm-up.
    Constant,
    /// Half a cosine down to 0 (Loshchilov & Hutter 2017, without restarts).
    Cosine,
    /// Up from 1/25 over the first 30 %, then down to 1/250,000, both along a cosine (Smith & Topin 2018, with the
    /// numbers of PyTorch's OneCycleLR); the warm-up option is not used.
    OneCycle,
    /// Divided by (1 + 10 p)^0.75, where p is the share of training that lies behind (Ganin et al. 2016); the warm-up comes on
    /// top.
    Inverse,
    /// Multiplied by --lr-gamma every --lr-step epochs.
    Step,
    /// Multiplied by --lr-gamma once the selection metric has not improved for --lr-patience epochs.
    Plateau,
}

/// The learning rate over time.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct Schedule {
    /// How the learning rate changes over training
    #[arg(long, value_enum, default_value = "cosine")]
    pub schedule: Shape,
    /// Epochs (fractions allowed) over which the learning rate rises linearly from 0 at the start
    #[arg(long, value_name = "EPOCHS", default_value_t = 0.5)]
    pub warmup: f64,
    /// Epochs between two reductions, for --schedule step
    #[arg(long, value_name = "EPOCHS", default_value_t = 10)]
    pub lr_step: usize,
    /// Factor of one reduction, for --schedule step and plateau
    #[arg(long, value_name = "FACTOR", default_value_t = 0.1)]
    pub lr_gamma: f64,
    /// Epochs without improvement before a reduction, for --schedule plateau
    #[arg(long, value_name = "EPOCHS", default_value_t = 3)]
    pub lr_patience: usize,
}

impl Schedule {
    /// What to multiply the base rate with for the step that comes next; `plateau` is what [`Plateau::factor`] says.
    pub fn factor(&self, progress: Progress, plateau: f64) -> f64 {
        let cosine = |from: f64, to: f64, t: f64| to + (from - to) * (1.0 + (std::f64::consts::PI * t).cos()) / 2.0;
        if self.schedule == Shape::OneCycle {
            let (t, peak) = (progress.fraction().min(1.0), 0.3);
            return if t < peak {
                cosine(1.0 / 25.0, 1.0, t / peak)
            } else {
                cosine(1.0, 4e-6, (t - peak) / (1.0 - peak))
            };
        }
        if progress.epoch() < self.warmup {
            // The first step is not lost: it gets the rate at its end.
            return ((progress.step + 1) as f64 / (self.warmup * progress.steps_per_epoch as f64)).min(1.0);
        }
        match self.schedule {
            Shape::Constant | Shape::OneCycle => 1.0,
            Shape::Cosine => {
                let warm = (self.warmup / progress.epochs.max(1) as f64).min(1.0);
                let t = if warm < 1.0 { (progress.fraction() - warm) / (1.0 - warm) } else { 1.0 };
                cosine(1.0, 0.0, t.clamp(0.0, 1.0))
            }
            Shape::Inverse => (1.0 + 10.0 * progress.fraction().min(1.0)).powf(-0.75),
            Shape::Step => self.lr_gamma.powi((progress.epoch() as usize / self.lr_step.max(1)) as i32),
            Shape::Plateau => plateau,
        }
    }

    /// Whether the numbers make sense; all faults at once.
    pub(crate) fn faults(&self, faults: &mut Vec<String>) {
        if !(self.warmup >= 0.0 && self.warmup.is_finite()) {
            faults.push(format!("--warmup {} is not a number of epochs", self.warmup));
        }
        if !(self.lr_gamma > 0.0 && self.lr_gamma < 1.0) {
            faults.push(format!("--lr-gamma {} must lie between 0 and 1", self.lr_gamma));
        }
        if self.lr_step == 0 {
            faults.push("--lr-step must be at least 1".into());
        }
    }
}

/// Counts epochs without improvement: the state of --schedule plateau.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    best: Option<f64>,
    waited: usize,
    factor: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { best: None, waited: 0, factor: 1.0 }
    }
}

impl Plateau {
    /// What the learning rate is multiplied with now.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Takes in the score of an epoch; higher is better.
    pub fn observe(&mut self, score: f64, schedule: &Schedule) {
        if self.best.is_none_or(|best| score > best) {
            (self.best, self.waited) = (Some(score), 0);
        } else {
            self.waited += 1;
            if self.waited > schedule.lr_patience {
                (self.factor, self.waited) = (self.factor * schedule.lr_gamma, 0);
            }
        }
    }
}

/// The exponential ramp of a learning-rate range test (Smith 2017): `from` at step 0, `to` at the last of `steps`.
///
/// # Errors
/// Bounds that are not positive and rising.
pub fn range_test(from: f64, to: f64, steps: usize) -> Result<Vec<f64>> {
    if !(from > 0.0 && to > from && steps > 1) {
        return Err(Error::Usage(format!("a learning-rate range from {from} to {to} in {steps} steps does not rise")));
    }
    let ratio = (to / from).ln();
    Ok((0..steps).map(|i| from * (ratio * i as f64 / (steps - 1) as f64).exp()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::defaults;

    fn at(schedule: &Schedule, step: usize) -> f64 {
        schedule.factor(Progress { step, steps_per_epoch: 10, epochs: 10 }, 0.5)
    }

    fn shaped(schedule: Shape) -> Schedule {
        Schedule { schedule, warmup: 1.0, ..defaults() }
    }

    #[test]
    fn warm_up_rises_to_one_and_the_cosine_falls_to_zero() {
        let cosine = shaped(Shape::Cosine);
        assert!((at(&cosine, 0) - 0.1).abs() < 1e-12);
        assert!((at(&cosine, 9) - 1.0).abs() < 1e-12);
        assert!((at(&cosine, 55) - 0.5).abs() < 1e-12);
        assert!(at(&cosine, 100) < 1e-12);
    }

    #[test]
    fn one_cycle_equals_pytorch() {
        // OneCycleLR(max_lr=1, total_steps=101).get_last_lr() after 0, 10, 30, 65 and 100 steps, torch 2.11
        let one_cycle = shaped(Shape::OneCycle);
        for (step, expected) in [(0, 0.04), (10, 0.28), (30, 1.0), (65, 0.500_002), (100, 4e-6)] {
            assert!((at(&one_cycle, step) - expected).abs() < 1e-6, "{step}: {}", at(&one_cycle, step));
        }
    }

    #[test]
    fn steps_fall_at_their_epochs_and_the_plateau_is_passed_on() {
        let step = Schedule { lr_step: 3, ..shaped(Shape::Step) };
        assert_eq!([at(&step, 29), at(&step, 30)], [1.0, 0.1]);
        assert_eq!(at(&shaped(Shape::Plateau), 20), 0.5);
    }

    #[test]
    fn the_plateau_reduces_after_its_patience() {
        let schedule = Schedule { lr_patience: 1, ..shaped(Shape::Plateau) };
        let mut plateau = Plateau::default();
        for (score, factor) in [(0.5, 1.0), (0.5, 1.0), (0.4, 0.1), (0.6, 0.1)] {
            plateau.observe(score, &schedule);
            assert_eq!(plateau.factor(), factor);
        }
    }

    #[test]
    fn the_range_test_is_geometric() -> Result<()> {
        let rates = range_test(1e-4, 1.0, 5)?;
        assert!((rates[2] - 1e-2).abs() < 1e-12 && (rates[4] - 1.0).abs() < 1e-12);
        assert!(range_test(1.0, 0.1, 5).is_err());
        Ok(())
    }
}
