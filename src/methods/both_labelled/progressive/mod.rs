//! Progressive networks: a column per task, earlier columns kept whole, their knowledge at hand (source and target labelled).
//!
//! Rusu et al. 2016, "Progressive neural networks". The first task trains a network. Each later one trains a new column beside
//! those that are there: they are frozen, so nothing of their tasks is forgotten, and what their stages make flows into the new
//! column through connections that learn (eq. 2; see [`crate::models::Classifier::laterals`]). A new column begins as if it were
//! alone, for its connections begin at 0; it takes from the others what lowers its loss.
//!
//! Every column is a run of [`finetune`] with `--beside` the one before, and has all of its options. To compare
//! with, two more networks learn each later task from as many images: one alone, which begins as the new column does, and one
//! that is fine-tuned from the task before, in a chain.
//!
//! What is measured, on each task's validation images:
//!
//! | | |
//! |---|---|
//! | proof | the logits of every earlier task, computed by the network with all columns, have the SHA-256 that they had before the newest column was there; anything else is an error |
//! | forgetting of the chain | the accuracy on an earlier task of its own head on the layers of the network that was fine-tuned since |
//! | ablation | the accuracy on the newest task with one connection switched off, for each of them |
//!
//! Differences from the paper: its tasks are games and its sensitivity is to noise on a layer (average perturbation
//! sensitivity) or by Fisher information; here a connection is taken away whole, which is what it is worth to the network as it
//! is. The form of the connections differs as the table in `models/lateral.rs` says.

mod measure;
mod outcome;
mod plots;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::finetune::{self, FinetuneOptions, Keep};
use crate::methods::cells::Cells;
use crate::methods::options::{DataOptions, seeds};
use crate::methods::tasks::Task;
use crate::models::Classifier;
use crate::{Error, Result};
use measure::Measure;
pub use outcome::{Ablation, Forgetting, Outcome, Proof, TaskOutcome, Without};

/// All options.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct ProgressiveOptions {
    /// A task, in the order in which they are learned: a name and its images, then, if wanted, size=PIXELS, classes=A+B, shots=N
    /// or share=SHARE behind commas
    #[arg(long, value_name = "NAME=FOLDER[,…]", help_heading = "Tasks")]
    #[serde(default)]
    pub task: Vec<Task>,
    /// Leaves out the networks to compare with: one alone, one fine-tuned from the task before
    #[arg(long, help_heading = "Tasks")]
    #[serde(default)]
    pub no_baselines: bool,
    /// Repeats with seeds SEED, SEED+1, … and reports mean ± standard deviation
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Run")]
    #[serde(default = "one")]
    pub seeds: u64,
    /// Everything that fine-tuning can be told, for all networks alike.
    #[command(flatten)]
    #[serde(flatten)]
    pub finetune: FinetuneOptions,
}

fn one() -> u64 {
    1
}

/// How a network learns a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As a column beside those before.
    Column,
    /// From the network of the task before.
    FineTuned,
    /// With nothing of the tasks before.
    Alone,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Column => "column",
            Self::FineTuned => "fine-tuned",
            Self::Alone => "alone",
        }
    }
}

impl ProgressiveOptions {
    /// Checks everything at once, that of every run included.
    ///
    /// # Errors
    /// All options that make no sense, in one message.
    pub fn validate(&self) -> Result<()> {
        let (mut faults, common) = (vec![], &self.finetune);
        Task::faults(&self.task, &common.data, 2, &mut faults);
        let size = |task: &Task| task.size.or(common.model.preprocessing.image_size);
        if let Some(other) = self.task.iter().find(|task| size(task) != size(&self.task[0])) {
            faults.push(format!(
                "--task {}: images of another size than {}'s; every column gets the same images, so give all tasks one size",
                other.name, self.task[0].name
            ));
        }
        faults.extend(seeds(common.machine.seed, self.seeds).err());
        for (flag, given, why) in [
            ("--beside", common.model.beside.is_some(), "the columns stand beside each other already"),
            ("--head keep", common.model.head.keep, "every task has a head of its own"),
            ("--conserve and --source-data", common.conserve.wants_source(), "nothing of an earlier column changes"),
        ] {
            if given {
                faults.push(format!("{flag}: {why}; leave it out"));
            }
        }
        if let Some(task) = self.task.iter().find(|task| task.weight != 1.0) {
            faults.push(format!("--task {}: weight= is for tasks that are learned at once; leave it out", task.name));
        }
        // the data of each task were looked at; what else is wrong with one run is wrong with all
        let mut alike = common.clone();
        alike.data = DataOptions { data: Some(PathBuf::new()), ..crate::options::defaults() };
        match alike.validate() {
            Err(Error::Usage(more)) => faults.push(more),
            checked => checked?,
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
    }

    /// The options of one run; `previous` is that of the task before.
    fn run(&self, task: &Task, way: Way, seed: u64, previous: Option<PathBuf>) -> FinetuneOptions {
        let mut options = self.finetune.clone();
        options.data = task.data(&self.finetune.data);
        options.model = task.model(&self.finetune.model);
        options.machine.seed = seed;
        // validation images are the test here
        options.keep = Some(options.keep.unwrap_or(Keep::Last));
        match (way, previous) {
            (Way::Column, previous) => options.model.beside = previous,
            (Way::FineTuned, Some(previous)) => {
                options.model.model = previous.display().to_string();
                (options.model.from_scratch, options.model.weights) = (false, None);
                (options.model.copy, options.model.from, options.model.map) = (vec![], vec![], vec![]);
            }
            (Way::FineTuned, None) | (Way::Alone, _) => {}
        }
        options
    }
}

/// The runs of one seed, by task.
struct Runs {
    columns: Vec<PathBuf>,
    fine_tuned: Vec<PathBuf>,
    alone: Vec<PathBuf>,
}

/// Learns all tasks in all ways, and measures what came of it. The pictures are in `plots/` of the folder of `cells`.
///
/// # Errors
/// As [`finetune::run`]; an earlier task's logits that are no longer the same; an interruption.
pub fn run(options: &ProgressiveOptions, cells: &mut Cells) -> Result<Outcome> {
    options.validate()?;
    let began = Instant::now();
    let mut outcome = Outcome::of(&options.task);
    let seeds = seeds(options.finetune.machine.seed, options.seeds).map_err(Error::Usage)?;
    let mut all = vec![];
    for seed in seeds {
        let measure = Measure::new(options, seed, cells.interrupted)?;
        let (runs, proofs) = learn(options, seed, cells, &measure, &mut outcome)?;
        outcome.proofs.extend(proofs);
        for (column, folder) in runs.columns.iter().enumerate().skip(1) {
            outcome.ablation.push(measure.ablation(seed, column, &measure.open(folder)?)?);
        }
        for (last, folder) in runs.fine_tuned.iter().enumerate().skip(1) {
            for task in 0..last {
                outcome.forgetting.push(measure.forgetting(seed, task, last, &runs.fine_tuned[task], folder)?);
            }
        }
        all.push(runs);
    }
    plots::draw(&outcome, &all, &cells.root.join("plots"))?;
    outcome.seconds = began.elapsed().as_secs_f64();
    Ok(outcome)
}

/// Trains all networks of one seed; after each column the earlier tasks are looked at.
fn learn(
    options: &ProgressiveOptions,
    seed: u64,
    cells: &mut Cells,
    measure: &Measure,
    outcome: &mut Outcome,
) -> Result<(Runs, Vec<Proof>)> {
    let mut runs = Runs { columns: vec![], fine_tuned: vec![], alone: vec![] };
    let (mut proofs, mut before) = (vec![], vec![]);
    let ways: &[Way] = if options.no_baselines { &[Way::Column] } else { &[Way::Column, Way::FineTuned, Way::Alone] };
    let total = options.seeds as usize * (1 + (options.task.len() - 1) * ways.len());
    for (number, task) in options.task.iter().enumerate() {
        for &way in if number == 0 { &[Way::Column] } else { ways } {
            let folder = if options.seeds == 1 { String::new() } else { format!("seed-{seed}/") };
            let name = format!("{folder}{}-{}-{}", number + 1, task.name, way.name());
            let of = match way {
                Way::Column => &runs.columns,
                Way::FineTuned => &runs.fine_tuned,
                Way::Alone => &runs.alone,
            };
            let run = options.run(task, way, seed, of.last().cloned());
            let label = format!("[{}/{total}] {}, {}", outcome.trained + 1, task.name, way.name());
            let result = finetune::cell(cells, &name, &label, &run)?;
            outcome.trained += 1;
            let (accuracy, path) = (result.metrics["accuracy"], cells.path(&name));
            let found = &mut outcome.tasks[number];
            // the first task's network is all three: there is nothing before it
            if way == Way::Column {
                found.progressive.add(accuracy);
                runs.columns.push(path.clone());
            }
            if way == Way::FineTuned || (number == 0 && ways.len() > 1) {
                found.fine_tuned.add(accuracy);
                runs.fine_tuned.push(path.clone());
            }
            if way == Way::Alone || (number == 0 && ways.len() > 1) {
                found.alone.add(accuracy);
                runs.alone.push(path);
            }
            if way == Way::Column {
                let model: Classifier = measure.open(&runs.columns[number])?;
                (found.training_images, found.validation_images) = measure.images(number);
                proofs.extend(measure.prove(seed, &model, &before)?);
                before.push(measure.logits(number, &model, number)?);
            }
        }
    }
    Ok((runs, proofs))
}

/// The folder of the plots among the results in `root`.
pub fn plots_in(root: &Path) -> PathBuf {
    root.join("plots")
}
