//! The loss and the assessment of fine-tuning.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::data::{ImageCache, Mix};
use crate::eval::{Evaluation, Predictions};
use crate::loss::CrossEntropy;
use crate::models::{Classifier, Store};
use crate::train::inference::{self, Outputs};
use crate::train::{Assessment, Input, LabelledBatch, Objective, Parts, Plan, Precision, Progress, Source};
use crate::{Result, native};

/// A classifier that learns new classes.
pub struct Finetune {
    pub(super) model: Classifier,
    pub(super) plan: Plan,
    pub(super) criterion: CrossEntropy,
    pub(super) mix: Option<Mix>,
    pub(super) validation: Source,
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

    /// `loss`: cross-entropy; `accuracy`: the share of the batch that is right, without mixing.
    fn losses(&mut self, batch: &LabelledBatch, _progress: Progress) -> Result<Parts> {
        let device = self.model.store.device();
        let labels = native::send(&batch.labels, device)?;
        let (logits, total) = match (&self.mix, &batch.input) {
            (Some(mix), Input::Images(images)) => {
                let images = crate::data::normalise(images, &self.model.spec.preprocessing, device)?;
                // libtorch's generator is seeded for this batch alone, so the mix is too.
                let draw = i64::try_from(Tensor::randint(i64::MAX, [1], (Kind::Int64, tch::Device::Cpu)))?;
                let classes = self.model.spec.classes.len() as i64;
                let rng = &mut ChaCha8Rng::seed_from_u64(draw as u64);
                let (images, targets) = mix.apply(&images, &labels, classes, self.criterion.smoothing(), rng)?;
                let logits = self.model.forward(&images, true)?;
                let total = self.criterion.soft(&logits, &targets)?;
                (logits, total)
            }
            (_, input) => {
                let logits = inference::logits(&self.model, input, true)?;
                let total = self.criterion.hard(&logits, &labels)?;
                (logits, total)
            }
        };
        let mut shares = vec![];
        if self.mix.is_none() {
            let right = logits.detach().f_argmax(-1, false)?.f_eq_tensor(&labels)?;
            shares.push(("accuracy", right.f_to_kind(Kind::Float)?.f_mean(Kind::Float)?));
        }
        Ok(Parts { losses: vec![("loss", total.detach())], shares, total })
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
