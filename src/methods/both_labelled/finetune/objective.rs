//! The loss and the assessment of fine-tuning.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::data::{ImageCache, Mix};
use crate::eval::{Evaluation, Predictions};
use crate::loss::CrossEntropy;
use crate::methods::both_labelled::conserve::Conservation;
use crate::models::layers::Layer;
use crate::models::{Classifier, Store};
use crate::train::inference::{self, Outputs, Passed};
use crate::train::{Assessment, Input, LabelledBatch, Objective, Parts, Plan, Precision, Progress, Source};
use crate::{Result, native};

/// A classifier that learns new classes.
pub struct Finetune {
    pub(super) model: Classifier,
    pub(super) plan: Plan,
    pub(super) criterion: CrossEntropy,
    pub(super) mix: Option<Mix>,
    pub(super) validation: Source,
    /// What holds the network to its source model, if anything does.
    pub(super) conservation: Option<Conservation>,
    pub(super) cache: Option<Arc<ImageCache>>,
    pub(super) precision: Precision,
}

impl Finetune {
    /// Logits and labels of the validation images.
    pub(super) fn outputs(&mut self) -> Result<Outputs> {
        let (model, device) = (&self.model, self.model.store.device());
        inference::over(&mut self.validation, device, self.precision, &mut |_| Ok(()), |input| {
            inference::logits(model, input, false)
        })
    }

    /// Everything that is measured on the validation images.
    pub(super) fn evaluation(&mut self) -> Result<(Predictions, Evaluation)> {
        let predictions = self.outputs()?.predictions()?;
        let evaluation = Evaluation::of(&predictions, &self.model.spec.classes)?;
        Ok((predictions, evaluation))
    }
}

impl Objective for Finetune {
    type Batch = LabelledBatch;

    fn store(&self) -> &Store {
        &self.model.store
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

    /// `loss`: what is minimised; `cross_entropy` and what [`conserve`](super::super::conserve) adds, where it adds
    /// something; `accuracy`: the share of the batch that is right, without mixing.
    fn losses(&mut self, batch: &LabelledBatch, _progress: Progress) -> Result<Parts> {
        let device = self.model.store.device();
        let labels = native::send(&batch.labels, device)?;
        let (begun, mut x) = inference::begin(&self.model, &batch.input)?;
        let mut mixed = None;
        if let (Some(mix), Input::Images(_)) = (&self.mix, &batch.input) {
            let classes = self.model.spec.classes.len() as i64;
            let (images, targets) = mix.apply_drawn(&x, &labels, classes, self.criterion.smoothing())?;
            x = images;
            mixed = Some(targets);
        }
        let each = self.conservation.as_ref().is_some_and(Conservation::compares_stages);
        let passed = Passed::through(&self.model, begun, &x, true, each)?;
        let logits = self.model.head().forward(&passed.features, true)?;
        let target = match &mixed {
            Some(targets) => self.criterion.soft(&logits, targets)?,
            None => self.criterion.hard(&logits, &labels)?,
        };
        let terms = match &self.conservation {
            Some(conservation) => conservation.terms(&self.model, begun, &x, &passed)?,
            None => vec![],
        };
        let total = terms.iter().try_fold(target.shallow_clone(), |sum, (_, term)| sum.f_add(term))?;
        let mut losses = vec![("loss".into(), total.detach())];
        if !terms.is_empty() {
            losses.push(("cross_entropy".into(), target.detach()));
            losses.extend(terms.iter().map(|(name, term)| ((*name).into(), term.detach())));
        }
        let mut shares = vec![];
        if mixed.is_none() {
            shares.push(("accuracy".into(), inference::share_right(&logits, &labels)?));
        }
        Ok(Parts { losses, shares, total })
    }

    fn assess(&mut self) -> Result<Assessment> {
        let (_, evaluation) = self.evaluation()?;
        let score = (evaluation.accuracy, -evaluation.negative_log_likelihood);
        Ok(Assessment { metrics: evaluation.metrics(), score })
    }

    fn notes(&self) -> Vec<String> {
        self.cache.as_ref().map_or_else(Vec::new, |cache| cache.notes())
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.model.metadata()
    }
}
