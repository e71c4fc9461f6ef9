//! The loss and the assessment of a network that learns where images and classes meet.

use std::collections::BTreeMap;

use tch::Tensor;

use super::super::collapse::Collapse;
use super::super::embedding::{Aim, ClassSide};
use crate::Result;
use crate::eval::{Metric, Unit, ZeroShotScores};
use crate::models::{Classifier, Store};
use crate::train::inference::{self, Outputs};
use crate::train::{Assessment, LabelledBatch, Objective, Parts, Plan, Precision, Progress, Source};

/// A network on images, and what it meets.
pub(super) struct Learner {
    pub model: Classifier,
    pub classes: ClassSide,
    /// Of both.
    pub store: Store,
    pub plan: Plan,
    pub aim: Aim,
    pub margin: f64,
    /// Of the seen classes: `[C, A]` f32, on the network's device.
    pub seen: Tensor,
    pub names: Vec<String>,
    /// Held-out images of seen classes.
    pub validation: Source,
    pub precision: Precision,
    pub collapse: Collapse,
}

impl Learner {
    /// Where images lie, with their labels.
    pub fn images(&self, source: &mut Source) -> Result<Outputs> {
        inference::over(source, self.model.store.device(), self.precision, &mut |_| Ok(()), |input| {
            inference::logits(&self.model, input, false)
        })
    }

    /// Where classes lie: `[C, E]`.
    ///
    /// # Shapes
    /// `descriptions: [C, A]` f32
    pub fn class_points(&self, descriptions: &Tensor) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        self.classes.embed(&descriptions.f_to_device(self.model.store.device())?)
    }
}

impl Objective for Learner {
    type Batch = LabelledBatch;

    fn store(&self) -> &Store {
        &self.store
    }

    fn begin_epoch(&mut self, epoch: usize) -> Result<()> {
        self.model.freeze(&self.plan.frozen(epoch), self.plan.holds_statistics())
    }

    fn lr_multiplier(&self, name: &str) -> f64 {
        self.plan.multiplier(name)
    }

    fn always_frozen(&self) -> Vec<String> {
        self.plan.always_frozen(&self.model.store)
    }

    /// See [`Aim::parts`].
    fn losses(&mut self, batch: &LabelledBatch, _progress: Progress) -> Result<Parts> {
        let labels = crate::native::send(&batch.labels, self.model.store.device())?;
        let images = inference::logits(&self.model, &batch.input, true)?;
        self.aim.parts(&images, &self.classes.embed(&self.seen)?, &labels, self.margin)
    }

    fn assess(&mut self) -> Result<Assessment> {
        let (model, aim, device) = (&self.model, self.aim, self.model.store.device());
        let classes = self.class_points(&self.seen)?;
        let outputs = inference::over(&mut self.validation, device, self.precision, &mut |_| Ok(()), |input| {
            aim.scores(&inference::logits(model, input, false)?, &classes)
        })?;
        let labels: Vec<usize> = Vec::<i64>::try_from(&outputs.labels)?.into_iter().map(|at| at as usize).collect();
        let found = ZeroShotScores::of(&outputs.values, &labels, &self.names)?;
        let metrics = vec![
            Metric::higher("accuracy", found.accuracy, Unit::Fraction),
            Metric::higher("mean_per_class_accuracy", found.per_class_accuracy, Unit::Fraction),
        ];
        Ok(Assessment { metrics, score: (found.per_class_accuracy, found.accuracy) })
    }

    fn notes(&self) -> Vec<String> {
        let classes = self.class_points(&self.seen);
        classes.and_then(|classes| self.collapse.note(&classes)).unwrap_or_default().into_iter().collect()
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.model.metadata()
    }
}
