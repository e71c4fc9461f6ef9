//! The options of the transfer table, and what each of its runs makes of them.

use std::ops::Range;
use std::path::Path;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::data::{ClassCounts, Splits};
use crate::methods::both_labelled::finetune::{FinetuneOptions, Keep};
use crate::methods::options::{DataOptions, seeds};
use crate::methods::tasks::Task;
use crate::options::defaults;
use crate::train::observe::Observers;
use crate::{Error, Result};

/// All options of the transfer table.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct MatrixOptions {
    /// A task, as digits=data/mnist; at least two. More about it stands behind commas: size=28, classes=A+B, and shots=N or
    /// share=SHARE for what there is to learn from where it is the target
    #[arg(long = "task", value_name = "NAME=FOLDER[,…]", help_heading = "Transfer table")]
    pub tasks: Vec<Task>,
    /// Repeats everything with seeds SEED, SEED+1, … for mean ± standard deviation
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Transfer table")]
    pub seeds: u64,
    /// Passes over the images of a task in learning it as a source [default: --epochs]
    #[arg(long, value_name = "COUNT", help_heading = "Transfer table")]
    pub source_epochs: Option<usize>,
    /// Learns a source from at most this many images per class [default: from all]
    #[arg(long, value_name = "N", conflicts_with = "source_share", help_heading = "Transfer table")]
    pub source_at_most: Option<usize>,
    /// Learns a source from this share of its training images
    #[arg(long, value_name = "SHARE", help_heading = "Transfer table")]
    pub source_share: Option<f64>,
    /// How every target is learned.
    #[command(flatten)]
    #[serde(flatten)]
    pub finetune: FinetuneOptions,
}

impl MatrixOptions {
    /// Whether the options make sense together, before anything is read.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<()> {
        let (mut faults, common) = (vec![], &self.finetune);
        Task::faults(&self.tasks, &common.data, 2, &mut faults);
        faults.extend(seeds(common.machine.seed, self.seeds).err());
        if self.source_epochs == Some(0) {
            faults.push("--source-epochs must be at least 1".into());
        }
        if self.source_at_most == Some(0) {
            faults.push("--source-at-most must be at least 1".into());
        }
        if let Some(share) = self.source_share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            faults.push(format!("--source-share {share} must be above 0 and at most 1"));
        }
        if self.source_share.is_some() && self.source_at_most.is_some() {
            faults.push("--source-share and --source-at-most both say what sources learn from; leave one out".into());
        }
        if common.model.head.keep {
            faults.push("--head keep: every task has classes of its own here, so every target gets a new head".into());
        }
        if common.model.beside.is_some() {
            faults.push("--beside is about one task after the other: see regraft progressive; leave it out".into());
        }
        if common.conserve.source_data.is_some() {
            faults.push("--source-data is about one source, of which there are several here; leave it out".into());
        }
        if let Some(task) = self.tasks.iter().find(|task| task.weight != 1.0) {
            faults.push(format!("--task {task}: weight= is for tasks that are learned together; leave it out"));
        }
        let cells = |task| [self.source(task, 0), self.alone(task, 0), self.transfer(Path::new("run"), task, 0)];
        for mut cell in self.tasks.iter().flat_map(cells) {
            cell.model.head.keep = false; // is said above
            let mut own = vec![];
            cell.faults_beside_data(&mut own);
            // most options are those of every cell, so most faults are too
            own.retain(|fault| !faults.contains(fault));
            faults.extend(own);
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
    }

    /// The seeds.
    ///
    /// # Errors
    /// None, or more than there can be.
    pub fn all_seeds(&self) -> Result<Range<u64>> {
        seeds(self.finetune.machine.seed, self.seeds).map_err(Error::Usage)
    }

    /// Learning a task as a source: every layer, from all its images or as many as the options say.
    pub fn source(&self, task: &Task, seed: u64) -> FinetuneOptions {
        let mut options = self.at_start(task, seed);
        options.data = DataOptions {
            shots: None,
            share: self.source_share,
            at_most: self.source_at_most,
            ..task.data(&self.finetune.data)
        };
        options.fit.epochs = self.source_epochs.or(options.fit.epochs);
        options.fit.max_steps = None;
        options.freezing = defaults();
        options.conserve = defaults();
        options
    }

    /// Learning a task as a target without any source: from what sources start from.
    pub fn alone(&self, task: &Task, seed: u64) -> FinetuneOptions {
        let mut options = self.at_start(task, seed);
        if options.model.from_scratch {
            // there is nothing yet to hold on to
            options.freezing = defaults();
            options.conserve = defaults();
        }
        options
    }

    /// Learning a task as a target from the run of a source.
    pub fn transfer(&self, source: &Path, task: &Task, seed: u64) -> FinetuneOptions {
        let mut options = self.at_start(task, seed);
        // at the rates of the target alone, or the table would show what rates are worth
        options.freezing.backbone_lr =
            options.freezing.backbone_lr.or(self.alone(task, seed).resolved().freezing.backbone_lr);
        let model = &mut options.model;
        (model.model, model.from_scratch, model.weights) = (source.display().to_string(), false, None);
        (model.copy, model.from, model.map) = (vec![], vec![], vec![]);
        options
    }

    /// What all runs on a task have in common; of its images what a target has.
    fn at_start(&self, task: &Task, seed: u64) -> FinetuneOptions {
        let mut options = self.finetune.clone();
        options.data = limited(task.data(&options.data));
        options.model = task.model(&options.model);
        options.machine.seed = seed;
        // validation images are the test here
        options.keep = Some(options.keep.unwrap_or(Keep::Last));
        options
    }

    /// The images of a task as a target, once it is sure that there are as many as the options say.
    ///
    /// # Errors
    /// A folder that holds no data set or not these classes, or a class with fewer images than the options say.
    pub fn target_images(&self, task: &Task, seed: u64) -> Result<Splits> {
        let about = |error| match error {
            Error::Usage(reason) => Error::Usage(format!("--task {}: {reason}", task.name)),
            other => other,
        };
        let splits = self.alone(task, seed).data.open(seed, &mut Observers::default()).map_err(about)?;
        if let Some(shots) = task.data(&self.finetune.data).shots {
            let counts = ClassCounts::of(&splits.classes, splits.train.labels());
            if let Some((class, count)) = counts.iter().find(|(_, count)| *count < shots) {
                return Err(Error::Usage(format!(
                    "--task {}: class {class:?} has only {count} image(s) besides those that are held out; lower --shots \
                     {shots}, or give --at-most {shots}",
                    task.name
                )));
            }
        }
        Ok(splits)
    }
}

/// So many images per class as `--shots` says, but of those that are not held out: what a source is tested on, a target must
/// not be learned from, and all are to be tested on the same images.
fn limited(data: DataOptions) -> DataOptions {
    let at_most = data.shots.or(data.at_most);
    DataOptions { shots: None, at_most, ..data }
}

/// Where the run of a source lies in the folder of the table.
pub(super) fn source_name(source: &Task, seed: u64) -> String {
    format!("sources/{}-seed-{seed}", source.name)
}

/// Where the run of a target without a source lies.
pub(super) fn alone_name(target: &Task, seed: u64) -> String {
    format!("alone/{}-seed-{seed}", target.name)
}

/// Where the run of a target that starts from a source lies.
pub(super) fn transfer_name(source: &Task, target: &Task, seed: u64) -> String {
    // in folders of their own: joined by a dash, two pairs of names could come to the same
    format!("transfers/{}/{}-seed-{seed}", source.name, target.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(tasks: &[&str]) -> MatrixOptions {
        let mut options: MatrixOptions = defaults();
        options.tasks = tasks.iter().map(|task| task.parse().unwrap()).collect();
        options.finetune.model.from_scratch = true;
        options
    }

    fn faults(change: impl FnOnce(&mut MatrixOptions)) -> String {
        let mut options = options(&["a=x", "b=y"]);
        change(&mut options);
        options.validate().map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn runs_on_a_task_differ_in_nothing_but_where_they_start() -> Result<()> {
        let mut options = options(&["a=x", "b=y,size=40,shots=3"]);
        options.finetune.data.shots = Some(5);
        options.finetune.fit.epochs = Some(7);
        options.source_epochs = Some(2);
        options.validate()?;
        let [a, b] = [&options.tasks[0], &options.tasks[1]];
        let (source, alone, transfer) =
            (options.source(b, 4), options.alone(b, 4), options.transfer(Path::new("r"), b, 4));
        // what is held out is the same for all three, and the target has part of what the source has
        for run in [&source, &alone, &transfer] {
            assert_eq!((run.data.data.as_deref(), run.data.shots), (Some(Path::new("y")), None));
            assert_eq!((run.machine.seed, run.keep), (4, Some(Keep::Last)));
            assert_eq!(run.model.preprocessing.image_size, Some(40));
            assert_eq!(run.data.val_fraction, source.data.val_fraction);
        }
        assert_eq!((source.data.at_most, alone.data.at_most, transfer.data.at_most), (None, Some(3), Some(3)));
        assert_eq!((source.fit.epochs, alone.fit.epochs, transfer.fit.epochs), (Some(2), Some(7), Some(7)));
        assert_eq!(options.alone(a, 0).data.at_most, Some(5));
        assert!(alone.model.from_scratch && !transfer.model.from_scratch && transfer.model.model == "r");
        // with the start made equal nothing is left, the rates included
        let same = FinetuneOptions { model: alone.model.clone(), ..transfer.resolved() };
        assert_eq!(same, alone.resolved());
        let rate = |options: &MatrixOptions| options.transfer(Path::new("r"), a, 4).freezing.backbone_lr;
        assert_eq!(rate(&options), Some(1.0));
        let mut learned = options.clone();
        learned.finetune.model.from_scratch = false;
        assert_eq!(rate(&learned), Some(0.1));
        learned.finetune.freezing.backbone_lr = Some(0.5);
        assert_eq!(rate(&learned), Some(0.5));
        Ok(())
    }

    #[test]
    fn what_holds_on_to_a_source_is_for_runs_that_have_one() {
        let mut options = options(&["a=x", "b=y"]);
        options.finetune.freezing.freeze = "first:2".parse().unwrap();
        options.finetune.freezing.backbone_lr = Some(0.3);
        options.finetune.conserve.conserve = vec!["weights".parse().unwrap()];
        options.validate().unwrap();
        let task = &options.tasks[0];
        let holds =
            |run: &FinetuneOptions| (run.freezing.freeze.to_string() != "none", !run.conserve.conserve.is_empty());
        assert_eq!(holds(&options.transfer(Path::new("r"), task, 0)), (true, true));
        assert_eq!(holds(&options.alone(task, 0)), (false, false));
        assert_eq!(options.alone(task, 0).freezing.backbone_lr, None);
        options.finetune.model.from_scratch = false;
        assert_eq!(holds(&options.alone(task, 0)), (true, true));
        assert_eq!(holds(&options.source(task, 0)), (false, false));
    }

    #[test]
    fn every_fault_is_named_once() {
        assert_eq!(faults(|_| ()), "");
        let message = faults(|options| {
            options.tasks = vec!["a=x,shots=0".parse().unwrap(), "a=y,weight=2".parse().unwrap()];
            options.finetune.data.data = Some("z".into());
            options.seeds = 0;
            options.source_share = Some(2.0);
            options.source_at_most = Some(0);
            options.finetune.label_smoothing = 1.0;
            options.finetune.conserve.source_data = Some("s".into());
            options.finetune.model.head = "keep".parse().unwrap();
        });
        for part in [
            "--data is for one task",
            "two tasks have this name",
            "--task a: --shots",
            "--seeds must",
            "--source-share 2",
            "--source-at-most must",
            "leave one out",
            "--label-smoothing 1",
            "--source-data",
            "--head keep",
            "weight= is for",
        ] {
            assert_eq!(message.matches(part).count(), 1, "{part}: {message}");
        }
        assert!(faults(|options| options.tasks.truncate(1)).contains("1 --task given; at least 2"));
        assert_eq!(faults(|options| options.finetune.fit.epochs = Some(0)).matches("--epochs 0").count(), 1);
    }

    #[test]
    fn pairs_of_names_lie_apart() {
        let [ab, c, a, bc] = ["a-b=x", "c=x", "a=x", "b-c=x"].map(|task| task.parse::<Task>().unwrap());
        assert_ne!(transfer_name(&ab, &c, 1), transfer_name(&a, &bc, 1));
        assert_ne!(transfer_name(&a, &c, 1), transfer_name(&c, &a, 1));
    }
}
