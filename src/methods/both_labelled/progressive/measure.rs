//! What is measured on the tasks' validation images, beside what every run measures itself.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::ProgressiveOptions;
use super::outcome::{Ablation, Forgetting, Proof, Without};
use crate::data::{ImageSet, LoaderOptions, Splits};
use crate::eval::accuracy;
use crate::models::{Classifier, LateralName, transfer};
use crate::train::batch_size::BatchSize;
use crate::train::inference::{self, Outputs};
use crate::train::observe::Observers;
use crate::train::{ImageSource, Precision};
use crate::{Error, Result};

/// What a task's logits were.
pub(super) struct Logits {
    sha256: String,
    accuracy: f64,
}

/// The images of all tasks, and how networks are run over them.
pub(super) struct Measure<'a> {
    names: Vec<String>,
    splits: Vec<Splits>,
    device: Device,
    loader: LoaderOptions,
    precision: Precision,
    interrupted: &'a AtomicBool,
}

impl<'a> Measure<'a> {
    /// Opens the images of all tasks as the runs of that seed do.
    pub fn new(options: &ProgressiveOptions, seed: u64, interrupted: &'a AtomicBool) -> Result<Self> {
        let common = &options.finetune;
        let device = common.machine.device()?;
        let batch_size = match common.machine.batch_size {
            BatchSize::Fixed(images) => images.max(64),
            BatchSize::Auto => 64,
        };
        let open = |task: &crate::methods::tasks::Task| task.data(&common.data).open(seed, &mut Observers(vec![]));
        Ok(Self {
            names: options.task.iter().map(|task| task.name.clone()).collect(),
            splits: options.task.iter().map(open).collect::<Result<_>>()?,
            device,
            loader: LoaderOptions { batch_size, workers: common.machine.workers, device, ..LoaderOptions::default() },
            precision: common.fit.precision,
            interrupted,
        })
    }

    /// How many images a task has to learn from and to be measured on.
    pub fn images(&self, task: usize) -> (usize, usize) {
        (self.splits[task].train.len(), self.splits[task].val.len())
    }

    /// The model of a run.
    pub fn open(&self, run: &Path) -> Result<Classifier> {
        Classifier::open(run, self.device, &Default::default())
    }

    /// What `of` makes of a task's validation images, normalised.
    fn over(&self, task: usize, model: &Classifier, of: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Outputs> {
        let mut source = ImageSource::evaluation(&self.splits[task].val, &model.spec.preprocessing, self.loader)?;
        let mut go_on = |_| match self.interrupted.load(Ordering::Relaxed) {
            true => Err(Error::Interrupted("all runs so far are kept; the same command goes on from here".into())),
            false => Ok(()),
        };
        inference::over(&mut source, self.device, self.precision, &mut go_on, |input| {
            of(&inference::begin(model, input)?.1)
        })
    }

    /// The logits that column number `column` of a model gives a task.
    pub fn logits(&self, task: usize, model: &Classifier, column: usize) -> Result<Logits> {
        let outputs = self.over(task, model, |images| Ok(model.logits_of_columns(images)?.swap_remove(column)))?;
        let bytes = outputs.values.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1])?.f_view_dtype(Kind::Uint8)?;
        let hash = Sha256::digest(Vec::<u8>::try_from(&bytes)?);
        let sha256 = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Logits { sha256, accuracy: accuracy(&outputs.predictions()?) })
    }

    /// Compares what a model answers to all earlier tasks with what was answered when each was the newest.
    pub fn prove(&self, seed: u64, model: &Classifier, before: &[Logits]) -> Result<Vec<Proof>> {
        let after = &self.names[before.len()];
        let prove = |(task, before): (usize, &Logits)| {
            let name = &self.names[task];
            let now = self.logits(task, model, task)?;
            if now.sha256 != before.sha256 {
                return Err(Error::Training(format!(
                    "{name} is answered otherwise after {after}, {:.4} of it rightly and {:.4} before; this is a defect of regraft",
                    now.accuracy, before.accuracy
                )));
            }
            let (task, after, images) = (name.clone(), after.clone(), self.splits[task].val.len());
            let (logits_sha256, accuracy) = (now.sha256, now.accuracy);
            Ok(Proof { seed, task, after, images, logits_sha256, identical: true, accuracy })
        };
        before.iter().enumerate().map(prove).collect()
    }

    /// What each connection into a column is worth to its task.
    pub fn ablation(&self, seed: u64, column: usize, model: &Classifier) -> Result<Ablation> {
        let outputs = self.over(column, model, |images| model.logits_without_each(images))?;
        let labels = outputs.labels.f_unsqueeze(1)?;
        let right = outputs.values.f_to_device(Device::Cpu)?.f_argmax(-1, false)?.f_eq_tensor(&labels)?;
        let shares = Vec::<f64>::try_from(right.f_mean_dim([0i64].as_slice(), false, Kind::Double)?)?;
        let without = |(LateralName { into, column }, share): (LateralName, &f64)| Without {
            into,
            from: self.names[column - 1].clone(),
            accuracy: *share,
            drop: shares[0] - share,
        };
        let laterals = model.laterals().into_iter().zip(&shares[1..]).map(without).collect();
        Ok(Ablation { seed, task: self.names[column].clone(), accuracy: shares[0], laterals })
    }

    /// What became of a task whose own run is `own` in the network of the run `later`, which was fine-tuned from it for the
    /// task `last`: the accuracy of its own head on the layers of that network.
    pub fn forgetting(&self, seed: u64, task: usize, last: usize, own: &Path, later: &Path) -> Result<Forgetting> {
        let model = self.open(own)?;
        let measure = |model: &Classifier| -> Result<f64> {
            Ok(accuracy(&self.over(task, model, |images| model.forward(images, false))?.predictions()?))
        };
        let before = measure(&model)?;
        let everything = "all".parse().expect("a selector");
        transfer::copy(&model.store.views(), &model.outline(), &model.spec.architecture, &everything, later, &[])?;
        let now = measure(&model)?;
        let (task, after) = (self.names[task].clone(), self.names[last].clone());
        Ok(Forgetting { seed, task, after, before, now, lost: before - now })
    }
}
