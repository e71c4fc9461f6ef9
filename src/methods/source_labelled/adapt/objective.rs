//! The loss and the assessment of domain adaptation.

use std::collections::{BTreeMap, BTreeSet};

use tch::{Kind, Tensor};

use super::batches::DomainsBatch;
use super::{Adaptation, Extractor, Network, Sees, Side, Step};
use crate::data::HeldOut;
use crate::eval::{Evaluation, Metric, Predictions, Selection, Unit, Unsupervised, oracle_accuracy};
use crate::loss::CrossEntropy;
use crate::models::{Classifier, Store};
use crate::train::{Assessment, Objective, Parts, Plan, Precision, Progress, Source, inference};
use crate::{Result, native};

/// The name of the score that knows the target's labels.
pub const ORACLE: &str = "oracle/accuracy";

/// What the network is measured on.
pub(super) struct Measured {
    /// The source's validation images.
    pub(super) source: Source,
    /// Some of the target's images, without labels.
    pub(super) target: Source,
    /// The target's test, of which [`crate::eval`] alone opens the labels.
    pub(super) test: Option<(Source, HeldOut)>,
}

/// A classifier that learns from the source and is to serve the target.
pub struct Adapt {
    pub(super) model: Classifier,
    /// The network's tensors and the method's own.
    pub(super) store: Store,
    pub(super) extractor: Extractor,
    pub(super) method: Box<dyn Adaptation>,
    pub(super) plan: Plan,
    pub(super) criterion: CrossEntropy,
    pub(super) measured: Measured,
    pub(super) select: Selection,
    pub(super) precision: Precision,
}

/// Logits of all images of a source, in its order.
pub(super) fn logits(model: &Classifier, source: &mut Source, precision: Precision) -> Result<inference::Outputs> {
    inference::over(source, model.store.device(), precision, &mut |_| Ok(()), |input| {
        inference::logits(model, input, false)
    })
}

impl Adapt {
    /// Freezes what the plan says, and nothing of the method's own.
    pub(super) fn freeze(&mut self, epoch: usize) -> Result<()> {
        let frozen: BTreeSet<String> = self.plan.frozen(epoch);
        self.model.freeze(&frozen, self.plan.holds_statistics())
    }

    /// The predictions on the source's validation images.
    pub(super) fn on_source(&mut self) -> Result<Predictions> {
        logits(&self.model, &mut self.measured.source, self.precision)?.predictions()
    }

    /// The predictions on some of the target's images, of which nobody knows whether they are right.
    pub(super) fn on_target(&mut self) -> Result<Predictions> {
        logits(&self.model, &mut self.measured.target, self.precision)?.predictions()
    }

    /// The predictions on the target's test, and how many of them are right, where labels are held out.
    pub(super) fn oracle(&mut self) -> Result<Option<(Vec<usize>, f64)>> {
        let Some((source, held_out)) = &mut self.measured.test else { return Ok(None) };
        let outputs = logits(&self.model, source, self.precision)?;
        let predicted: Vec<i64> = Vec::try_from(&outputs.values.f_argmax(-1, false)?)?;
        let predicted: Vec<usize> = predicted.into_iter().map(|class| class as usize).collect();
        let accuracy = oracle_accuracy(held_out, &predicted)?;
        Ok(Some((predicted, accuracy)))
    }

    /// The two sides of a batch, of which the method sees what it wants.
    fn sides(&self, network: Network, source: &Tensor, target: &Tensor) -> Result<(Option<Side>, Option<Side>)> {
        let sees = self.method.sees();
        let side = |input: &Tensor| -> Result<Side> {
            let passed = network.pass(input, true)?;
            Ok(Side {
                input: input.shallow_clone(),
                aligned: passed.aligned,
                embedded: passed.embedded,
                logits: passed.logits,
            })
        };
        Ok(match sees {
            Sees::Source => (Some(side(source)?), None),
            Sees::Target => (None, Some(side(target)?)),
            Sees::Both => {
                // in one batch, so that a batch norm sees the mixture
                let (images, all) = (source.size()[0], Tensor::f_cat(&[source, target], 0)?);
                let passed = network.pass(&all, true)?;
                let part = |from: i64, count: i64, input: &Tensor| -> Result<Side> {
                    let cut = |x: &Tensor| x.f_narrow(0, from, count);
                    let (aligned, embedded) = (cut(&passed.aligned)?, cut(&passed.embedded)?);
                    Ok(Side { input: input.shallow_clone(), aligned, embedded, logits: cut(&passed.logits)? })
                };
                (Some(part(0, images, source)?), Some(part(images, target.size()[0], target)?))
            }
        })
    }
}

impl Objective for Adapt {
    type Batch = DomainsBatch;

    fn store(&self) -> &Store {
        &self.store
    }

    fn begin_epoch(&mut self, epoch: usize) -> Result<()> {
        self.freeze(epoch)
    }

    fn lr_multiplier(&self, name: &str) -> f64 {
        self.plan.multiplier(name)
    }

    fn always_frozen(&self) -> Vec<String> {
        self.plan.always_frozen(&self.model.store)
    }

    /// `loss`: what is minimised; `cross_entropy` on the source and the method's own terms, where it has any; `accuracy`: the share of
    /// the source's batch that is right, and the method's own shares.
    fn losses(&mut self, batch: &DomainsBatch, progress: Progress) -> Result<Parts> {
        let labels = native::send(&batch.source.labels, self.model.store.device())?;
        let (begun, source) = inference::begin(&self.model, &batch.source.input)?;
        let (_, target) = inference::begin(&self.model, &batch.target)?;
        let network = Network { model: &self.model, extractor: self.extractor, begun };
        let seen = (self.method.view(&source)?, self.method.view(&target)?);
        let (from_source, from_target) =
            self.sides(network, seen.0.as_ref().unwrap_or(&source), seen.1.as_ref().unwrap_or(&target))?;
        let step = Step {
            network,
            source: from_source.as_ref(),
            target: from_target.as_ref(),
            source_input: &source,
            target_input: &target,
            labels: &labels,
            progress: progress.fraction().min(1.0),
        };
        let terms = self.method.terms(&step)?;
        let (mut losses, mut shares, mut total) = (vec![], vec![], None);
        if let Some(side) = &from_source {
            let cross_entropy = self.criterion.hard(&side.logits, &labels)?;
            if !terms.losses.is_empty() {
                losses.push(("cross_entropy".into(), cross_entropy.detach()));
            }
            shares.push(("accuracy".into(), inference::share_right(&side.logits, &labels)?));
            total = Some(cross_entropy);
        }
        for (name, value) in terms.losses {
            losses.push((name, value.detach()));
            total = Some(match total {
                Some(sum) => sum.f_add(&value)?,
                None => value,
            });
        }
        let total = match total {
            Some(total) => total,
            None => Tensor::f_zeros([], (Kind::Float, self.model.store.device()))?,
        };
        losses.insert(0, ("loss".into(), total.detach()));
        shares.extend(terms.shares);
        Ok(Parts { losses, shares, total })
    }

    /// On the source what fine-tuning measures, on the target what asks no label, and what the oracle says of its test. The score is
    /// of the first two.
    fn assess(&mut self) -> Result<Assessment> {
        let evaluation = Evaluation::of(&self.on_source()?, &self.model.spec.classes)?;
        let target = logits(&self.model, &mut self.measured.target, self.precision)?;
        let unsupervised = Unsupervised::of(&target.values)?;
        let mut metrics = evaluation.metrics();
        metrics.extend(unsupervised.metrics());
        if let Some((_, accuracy)) = self.oracle()? {
            metrics.push(Metric::higher(ORACLE, accuracy, Unit::Fraction));
        }
        let score = (unsupervised.score(self.select, evaluation.accuracy), -evaluation.negative_log_likelihood);
        Ok(Assessment { metrics, score })
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.model.metadata()
    }
}
