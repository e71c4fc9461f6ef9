//! Batches that hold images of every task.

use tch::Device;

use super::{MultitaskOptions, images_per_step};
use crate::Result;
use crate::data::{LoaderOptions, Preprocessing, Sampler, Splits};
use crate::methods::options::Balance;
use crate::train::{Batch, BatchSource, Batches, ImageSource, LabelledBatch, Source, Stream};

/// Images of every task, in the tasks' order.
#[derive(Debug)]
pub struct TasksBatch(pub Vec<LabelledBatch>);

impl Batch for TasksBatch {
    fn samples(&self) -> usize {
        self.0.iter().map(Batch::samples).sum()
    }
}

/// The batches of all tasks: which images a step takes depends on the seed, the epoch and the step alone.
pub struct TasksSource {
    streams: Vec<Stream>,
    steps: usize,
}

/// The data and the preprocessing of one task.
pub(super) struct TaskData<'a> {
    pub(super) splits: &'a Splits,
    pub(super) preprocessing: &'a Preprocessing,
}

impl TasksSource {
    /// Batches to train on; `minimum` of every task's images at least.
    ///
    /// # Errors
    /// A batch too small for the tasks.
    pub(super) fn new(tasks: &[TaskData], options: &MultitaskOptions, minimum: usize, device: Device) -> Result<Self> {
        let seed = options.finetune.machine.seed;
        let batch = options.batch_size()?;
        let labels: Vec<Vec<usize>> = tasks.iter().map(|task| task.splits.train.labels()).collect();
        let counts: Vec<usize> = labels.iter().map(Vec::len).collect();
        // alone a task fills its batches whatever it needs
        let minimum = if tasks.len() == 1 { 1 } else { minimum };
        let images = images_per_step(options.sampling, &counts, batch, minimum)?;
        let epochs = options.finetune.fit.epochs().max(1);
        let least = options.min_steps.unwrap_or(0) * tasks.len();
        let steps = counts.iter().sum::<usize>().div_ceil(batch).max(least.div_ceil(epochs));
        let sampler = match options.finetune.balance {
            Balance::Sampler => Sampler::Balanced { seed },
            _ => Sampler::Shuffled { seed },
        };
        let augmentation = &options.finetune.augmentation;
        let stream = |((task, labels), images): ((&TaskData, Vec<usize>), usize)| {
            let workers = options.finetune.machine.workers;
            let loader = LoaderOptions { batch_size: images, workers, device, ..LoaderOptions::default() };
            let set = &task.splits.train;
            let source = ImageSource::training(set, task.preprocessing, augmentation, sampler, seed, loader)?;
            Ok(Stream::new(Source::Images(source), sampler, labels, images))
        };
        let streams = tasks.iter().zip(labels).zip(images).map(stream).collect::<Result<_>>()?;
        Ok(Self { streams, steps })
    }

    /// How many images of each task a step takes.
    pub fn images(&self) -> impl Iterator<Item = usize> {
        self.streams.iter().map(Stream::images)
    }
}

impl BatchSource for TasksSource {
    type Batch = TasksBatch;

    fn steps(&self) -> usize {
        self.steps
    }

    fn epoch(&mut self, epoch: usize, first: usize) -> Result<Batches<'_, TasksBatch>> {
        let steps = self.steps;
        let mut parts: Vec<_> = self.streams.iter().map(|stream| stream.epoch(epoch, steps, first)).collect();
        Ok(Box::new((first..steps).map_while(move |_| {
            // all streams are equally long, so they end together
            let batches: Option<Result<Vec<_>>> =
                parts.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>().map(|all| all.into_iter().collect());
            batches.map(|batches| batches.map(TasksBatch))
        })))
    }
}
