//! The loss and the assessment of several tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use tch::{Kind, Tensor};

use super::batches::TasksBatch;
use super::{Network, Weighing};
use crate::data::{ImageCache, ImageSet, Mix, Splits, normalise};
use crate::eval::{Evaluation, Metric, Predictions, Unit};
use crate::loss::CrossEntropy;
use crate::models::Store;
use crate::train::{
    Assessment, BatchSource, ImageSource, Input, Objective, Parts, Plan, Precision, Progress, inference,
};
use crate::{Error, Result, native};

/// One task as the loss sees it.
pub(super) struct TaskLoss {
    pub(super) name: String,
    pub(super) criterion: CrossEntropy,
    pub(super) validation: ImageSource,
    pub(super) splits: Splits,
    pub(super) cache: Option<Arc<ImageCache>>,
}

/// A network that learns several tasks.
pub struct Multitask {
    pub(super) network: Network,
    pub(super) tasks: Vec<TaskLoss>,
    pub(super) weighing: Weighing,
    pub(super) plan: Plan,
    pub(super) mix: Option<Mix>,
    pub(super) precision: Precision,
}

impl Multitask {
    /// Everything that is measured on one task's validation images.
    pub(super) fn evaluation(&mut self, task: usize) -> Result<(Predictions, Evaluation)> {
        let (network, precision) = (&self.network, self.precision);
        let (spec, device) = (network.spec(task), network.store.device());
        let source: &mut dyn BatchSource<Batch = _> = &mut self.tasks[task].validation;
        let outputs = inference::over(source, device, precision, &mut |_| Ok(()), |input| {
            network.forward_one(task, normalise(images(input)?, &spec.preprocessing, device)?, false)
        })?;
        let predictions = outputs.predictions()?;
        let evaluation = Evaluation::of(&predictions, &spec.classes)?;
        Ok((predictions, evaluation))
    }

    /// How many images each task learns from.
    pub(super) fn training_images(&self) -> Vec<Metric> {
        let count = |task: &TaskLoss| {
            Metric::higher(format!("training_images/{}", task.name), task.splits.train.len() as f64, Unit::Count)
        };
        self.tasks.iter().map(count).collect()
    }
}

fn images(input: &Input) -> Result<&Tensor> {
    match input {
        Input::Images(images) => Ok(images),
        Input::Features { .. } => Err(Error::Model("several tasks learn from images, not from kept features".into())),
    }
}

/// The means over all tasks, then every task's own numbers, named `accuracy/TASK`.
pub(super) fn metrics(names: &[String], evaluations: &[Evaluation]) -> Vec<Metric> {
    let mean = |of: fn(&Evaluation) -> f64| evaluations.iter().map(of).sum::<f64>() / evaluations.len() as f64;
    let mut metrics = vec![
        Metric::higher("accuracy", mean(|evaluation| evaluation.accuracy), Unit::Fraction),
        Metric::lower("negative_log_likelihood", mean(|evaluation| evaluation.negative_log_likelihood), Unit::Nats),
    ];
    for (name, evaluation) in names.iter().zip(evaluations) {
        let own = evaluation.metrics().into_iter();
        metrics.extend(own.map(|metric| Metric { name: format!("{}/{name}", metric.name), ..metric }));
    }
    metrics
}

impl Objective for Multitask {
    type Batch = TasksBatch;

    fn store(&self) -> &Store {
        &self.network.store
    }

    fn begin_epoch(&mut self, epoch: usize) -> Result<()> {
        self.network.freeze(&self.plan.frozen(epoch), self.plan.holds_statistics())
    }

    fn lr_multiplier(&self, name: &str) -> f64 {
        self.plan.multiplier(name)
    }

    fn always_frozen(&self) -> Vec<String> {
        self.plan.always_frozen(&self.network.store)
    }

    /// `loss`: what is minimised; `loss/TASK`: L_t without its weight; `weight/TASK`: the factor on it, where it is learned;
    /// `accuracy/TASK` and their mean `accuracy`: the shares of the batch that are right, without mixing.
    fn losses(&mut self, batch: &TasksBatch, _progress: Progress) -> Result<Parts> {
        let device = self.network.store.device();
        let (mut inputs, mut labels, mut mixed) = (vec![], vec![], vec![]);
        for (task, part) in batch.0.iter().enumerate() {
            let spec = self.network.spec(task);
            let right = native::send(&part.labels, device)?;
            let mut x = normalise(images(&part.input)?, &spec.preprocessing, device)?;
            if let Some(mix) = &self.mix {
                let smoothing = self.tasks[task].criterion.smoothing();
                let (images, targets) = mix.apply_drawn(&x, &right, spec.classes.len() as i64, smoothing)?;
                x = images;
                mixed.push(targets);
            }
            inputs.push(x);
            labels.push(right);
        }
        let logits = self.network.forward(inputs, true)?;
        let (mut losses, mut shares, mut accuracies) = (vec![], vec![], vec![]);
        for (task, logits) in logits.iter().enumerate() {
            let TaskLoss { name, criterion, .. } = &self.tasks[task];
            losses.push(match mixed.get(task) {
                Some(targets) => criterion.soft(logits, targets)?,
                None => criterion.hard(logits, &labels[task])?,
            });
            if mixed.is_empty() {
                let accuracy = inference::share_right(logits, &labels[task])?;
                accuracies.push(accuracy.shallow_clone());
                shares.push((format!("accuracy/{name}").into(), accuracy));
            }
        }
        let total = self.weighing.total(&losses, &self.network.last_shared())?;
        let mut logged = vec![("loss".into(), total.detach())];
        let learned = self.weighing.learned()?;
        for (number, (task, loss)) in self.tasks.iter().zip(&losses).enumerate() {
            logged.push((format!("loss/{}", task.name).into(), loss.detach()));
            if let Some(weights) = &learned {
                logged.push((format!("weight/{}", task.name).into(), weights.f_select(0, number as i64)?));
            }
        }
        if !accuracies.is_empty() {
            shares.insert(0, ("accuracy".into(), Tensor::f_stack(&accuracies, 0)?.f_mean(Kind::Float)?));
        }
        Ok(Parts { losses: logged, shares, total })
    }

    fn assess(&mut self) -> Result<Assessment> {
        let evaluations: Vec<Evaluation> =
            (0..self.tasks.len()).map(|task| Ok(self.evaluation(task)?.1)).collect::<Result<_>>()?;
        let names: Vec<String> = self.tasks.iter().map(|task| task.name.clone()).collect();
        let metrics = metrics(&names, &evaluations);
        let score = (metrics[0].value, -metrics[1].value);
        Ok(Assessment { metrics, score })
    }

    fn notes(&self) -> Vec<String> {
        self.tasks.iter().filter_map(|task| task.cache.as_ref()).flat_map(|cache| cache.notes()).collect()
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.network.metadata()
    }
}
