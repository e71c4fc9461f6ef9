//! All options of multitask learning.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Sampling, TaskWeights};
use crate::methods::both_labelled::finetune::{FinetuneOptions, Keep};
use crate::methods::options::seeds;
use crate::methods::tasks::Task;
use crate::models::{HeadKind, Selector};
use crate::train::Precision;
use crate::train::batch_size::BatchSize;
use crate::{Error, Result};

/// All options of one run.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct MultitaskOptions {
    /// A task: NAME=FOLDER, with size=, classes=A+B, shots=, share= and weight= behind commas; at least two of them
    #[arg(long = "task", value_name = "NAME=FOLDER,…", help_heading = "Tasks")]
    pub tasks: Vec<Task>,
    /// Stages of which every task has its own, as first:1 for its own input network or first:1,last:1 for a shared middle;
    /// heads are own in any case
    #[arg(long, value_name = "SELECTOR", default_value = "none", help_heading = "Tasks")]
    pub own: Selector,
    /// How many images of a step are of which task: proportional to the tasks' images n, equal, or temperature=T for n^(1/T)
    #[arg(long, value_name = "RULE", default_value = "proportional", help_heading = "Tasks")]
    pub sampling: Sampling,
    /// What the tasks' losses weigh: fixed (weight= of each), uncertainty (learned; Kendall 2018), or gradnorm=EXPONENT (1.5 if
    /// not given; Chen 2018)
    #[arg(long, value_name = "RULE", default_value = "fixed", help_heading = "Tasks")]
    pub task_weights: TaskWeights,
    /// How far GradNorm moves the weights in a step
    #[arg(long, value_name = "RATE", default_value_t = 0.025, help_heading = "Tasks")]
    pub gradnorm_rate: f64,
    /// Lengthens epochs so that a run takes at least so many optimizer steps for each of its tasks, however few images there
    /// are [default: 0, or 300 with --shares]
    #[arg(long, value_name = "STEPS", help_heading = "Tasks")]
    pub min_steps: Option<usize>,
    /// Fine-tuning's options.
    #[command(flatten)]
    #[serde(flatten)]
    pub finetune: FinetuneOptions,
}

impl Default for MultitaskOptions {
    fn default() -> Self {
        crate::options::defaults()
    }
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct CompareOptions {
    /// Shares of the training images to learn from, as 0.01,0.05,0.25,1: a curve instead of one run
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',', help_heading = "Comparison")]
    pub shares: Vec<f64>,
    /// Repeats everything with seeds SEED, SEED+1, …; the seed also chooses which images make up a share
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Comparison")]
    pub seeds: u64,
    /// Leaves out the runs on each task alone
    #[arg(long, help_heading = "Comparison")]
    pub no_baselines: bool,
}

/// Steps for each task of a run of the curve, if nothing is said.
const STEPS_OF_A_SHARE: usize = 300;

impl MultitaskOptions {
    /// The fine-tuning options of one task.
    pub fn of_task(&self, task: &Task) -> FinetuneOptions {
        let mut options = self.finetune.clone();
        options.data = task.data(&options.data);
        options.model = task.model(&options.model);
        options
    }

    /// The options of the run that learns one task alone: what weighs tasks against each other is left out.
    pub fn alone(&self, task: &Task) -> Self {
        let task = Task { weight: 1.0, ..task.clone() };
        Self { tasks: vec![task], task_weights: TaskWeights::Fixed, sampling: Sampling::Proportional, ..self.clone() }
    }

    /// The same options for a share of every task's training images.
    pub fn at(&self, share: f64) -> Self {
        let mut options = self.clone();
        options.finetune.data.share = Some(share);
        options.min_steps = Some(self.min_steps.unwrap_or(STEPS_OF_A_SHARE));
        // the curve is drawn of the validation images, which so are the test
        options.finetune.keep = Some(self.finetune.keep.unwrap_or(Keep::Last));
        options
    }

    /// The same options with nothing left open.
    pub fn resolved(&self) -> Self {
        let mut options = Self { finetune: self.finetune.resolved(), ..self.clone() };
        options.min_steps = Some(self.min_steps.unwrap_or(0));
        let shots = self.tasks.iter().any(|task| task.data(&self.finetune.data).shots.is_some());
        options.finetune.keep = Some(self.finetune.keep.unwrap_or(if shots { Keep::Last } else { Keep::Best }));
        options
    }

    /// Images in a step.
    ///
    /// # Errors
    /// `auto`, which [`validate`](Self::validate) refuses.
    pub fn batch_size(&self) -> Result<usize> {
        match self.finetune.machine.batch_size {
            BatchSize::Fixed(images) => Ok(images),
            BatchSize::Auto => Err(Error::Usage(
                "--batch-size auto tries out one network on one size of image; give a number of images, of all tasks together"
                    .into(),
            )),
        }
    }

    /// Whether the options make sense together for `at_least` so many tasks, before anything is read.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self, at_least: usize) -> Result<()> {
        let mut faults = vec![];
        Task::faults(&self.tasks, &self.finetune.data, at_least, &mut faults);
        // what is wrong for all tasks is said once
        for task in &self.tasks {
            let mut options = self.of_task(task);
            options.model.preprocessing.image_size = self.finetune.model.preprocessing.image_size;
            // Task::faults has looked at these
            (options.data.shots, options.data.share) = (None, None);
            faults
                .extend(options.validate().err().map(|error| error.to_string()).filter(|text| !faults.contains(text)));
        }
        self.unsupported(&mut faults);
        let gradnorm = matches!(self.task_weights, TaskWeights::Gradnorm(_));
        if !(self.gradnorm_rate > 0.0 && self.gradnorm_rate.is_finite()) {
            faults.push(format!("--gradnorm-rate {} must be positive", self.gradnorm_rate));
        }
        if gradnorm && self.finetune.fit.precision == Precision::Fp16 {
            faults.push(
                "--task-weights gradnorm with --precision fp16: small gradients would vanish; use bf16 or fp32".into(),
            );
        }
        if let Some(task) = self.tasks.iter().find(|task| task.weight != 1.0 && self.task_weights != TaskWeights::Fixed)
        {
            faults.push(format!(
                "--task {}: weight={} is for --task-weights fixed; the others find the weights themselves",
                task.name, task.weight
            ));
        }
        if !self.tasks.is_empty() && self.tasks.iter().all(|task| task.weight == 0.0) {
            faults.push("all tasks have weight=0, so nothing is learned".into());
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
    }

    /// What fine-tuning can do and this cannot.
    fn unsupported(&self, faults: &mut Vec<String>) {
        let FinetuneOptions { conserve, model, .. } = &self.finetune;
        if conserve.wants_source() {
            faults.push(
                "--conserve and --source-data hold one network to its source; here the tasks do that for each other: leave them out"
                    .into(),
            );
        }
        if model.head.keep || model.head.kind == HeadKind::Prototype {
            faults.push(format!("--head {}: every task gets a new head here, linear, mlp or bottleneck", model.head));
        }
        if model.beside.is_some() {
            faults.push("--beside is about one task after the other: see regraft progressive; leave it out".into());
        }
        faults.extend(self.batch_size().err().map(|error| error.to_string()));
    }
}

impl CompareOptions {
    /// Whether these make sense with the options of a run.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self, options: &MultitaskOptions) -> Result<()> {
        let mut faults: Vec<String> = options.validate(2).err().map(|error| error.to_string()).into_iter().collect();
        for (number, share) in self.shares.iter().enumerate() {
            if !(*share > 0.0 && *share <= 1.0) {
                faults.push(format!("--shares {share} must be above 0 and at most 1, as 0.01,0.05,0.25,1"));
            }
            if self.shares[..number].contains(share) {
                faults.push(format!("--shares has {share} twice"));
            }
        }
        let counted = |task: &&Task| {
            let data = task.data(&options.finetune.data);
            data.share.is_some() || data.shots.is_some()
        };
        if let Some(task) = options.tasks.iter().find(counted).filter(|_| !self.shares.is_empty()) {
            faults.push(format!(
                "--shares says how many images to learn from, and for task {} --share or --shots do too; leave one of them out",
                task.name
            ));
        }
        faults.extend(seeds(options.finetune.machine.seed, self.seeds).err());
        if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
