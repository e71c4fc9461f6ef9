//! Running a classifier without learning: logits and features of whole sets.

use tch::{Device, Kind, Tensor};

use super::objective::BatchSource;
use super::precision::Precision;
use super::sources::{Input, LabelledBatch};
use crate::Result;
use crate::data::normalise;
use crate::eval::Predictions;
use crate::models::Classifier;
use crate::models::layers::Layer;

/// Logits of one batch.
///
/// # Shapes
/// → `[N, classes]`
///
/// # Errors
/// What libtorch refuses, as an image too small for the network.
pub fn logits(model: &Classifier, input: &Input, train: bool) -> Result<Tensor> {
    let ((begun, x), backbone) = (begin(model, input)?, model.backbone());
    model.head().forward(&backbone.run(begun..backbone.stages.len(), &x, train)?, train)
}

/// The share of a batch that is named rightly, without a graph.
///
/// # Shapes
/// `logits: [N, K]`, `labels: [N] i64` → `[]`
///
/// # Errors
/// What libtorch refuses.
pub fn share_right(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let right = logits.detach().f_argmax(-1, false)?.f_eq_tensor(labels)?;
    Ok(right.f_to_kind(Kind::Float)?.f_mean(Kind::Float)?)
}

/// A batch as the network's stages take it: normalised images, or features; and how many stages have run.
///
/// # Errors
/// What libtorch refuses.
pub fn begin(model: &Classifier, input: &Input) -> Result<(usize, Tensor)> {
    Ok(match input {
        Input::Images(images) => (0, normalise(images, &model.spec.preprocessing, model.store.device())?),
        Input::Features { values, stages } => (*stages, values.shallow_clone()),
    })
}

/// What a network made of a batch on the way to its head.
#[derive(Debug)]
pub struct Passed {
    /// What every stage gave, the first that ran first; empty unless asked for.
    pub stages: Vec<Tensor>,
    /// What the head gets.
    pub features: Tensor,
}

impl Passed {
    /// Runs the stages from number `begun` on over `x`; `each` keeps what every one of them gives. Of a network that runs
    /// only as a whole that is the last alone.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn through(model: &Classifier, begun: usize, x: &Tensor, train: bool, each: bool) -> Result<Self> {
        let (backbone, mut stages) = (model.backbone(), vec![]);
        let mut x = x.shallow_clone();
        let mut from = begun;
        for end in begun + 1..=backbone.stages.len() {
            if end == backbone.stages.len() || (each && backbone.is_cut_at(end)) {
                x = backbone.run(from..end, &x, train)?;
                from = end;
                if each {
                    stages.push(x.shallow_clone());
                }
            }
        }
        Ok(Self { stages, features: x })
    }
}

/// What the first `stages` stages make of one batch of images; after all of them, what the head gets.
///
/// # Shapes
/// → `[N, features]`, or `[N, C, H, W]` where they make a map
///
/// # Errors
/// What libtorch refuses.
pub fn features(model: &Classifier, input: &Input, stages: usize) -> Result<Tensor> {
    let (begun, x) = begin(model, input)?;
    model.backbone().run(begun..stages, &x, false)
}

/// What a model makes of every image of a source, in the source's order, with the labels.
#[derive(Debug)]
pub struct Outputs {
    /// `[N, classes]`, `[N, features]` or `[N, C, H, W]`, f32.
    pub values: Tensor,
    /// `[N] i64` on the CPU.
    pub labels: Tensor,
}

impl Outputs {
    /// The values as logits, ready to be measured.
    ///
    /// # Errors
    /// A logit that is not a number.
    pub fn predictions(&self) -> Result<Predictions> {
        let labels: Vec<usize> = Vec::<i64>::try_from(&self.labels)?.into_iter().map(|label| label as usize).collect();
        Predictions::new(&self.values, &labels)
    }
}

/// Applies `function` to all batches of `source` without building a graph; `done` hears how many images are through, and
/// may end it with an error.
///
/// # Errors
/// An image that cannot be read, what libtorch refuses, an empty source, what `done` answers.
pub fn over(
    source: &mut dyn BatchSource<Batch = LabelledBatch>,
    device: Device,
    precision: Precision,
    done: &mut dyn FnMut(usize) -> Result<()>,
    function: impl Fn(&Input) -> Result<Tensor>,
) -> Result<Outputs> {
    let (mut values, mut labels) = (vec![], vec![]);
    let _no_grad = tch::no_grad_guard();
    for batch in source.epoch(0, 0)? {
        let batch = batch?;
        let _autocast = precision.autocast(device)?;
        values.push(function(&batch.input)?.f_to_kind(Kind::Float)?);
        done(batch.labels.size()[0] as usize)?;
        labels.push(batch.labels);
    }
    if values.is_empty() {
        return Err(crate::Error::Data("there is no image to run the model on".into()));
    }
    Ok(Outputs { values: Tensor::f_cat(&values, 0)?, labels: Tensor::f_cat(&labels, 0)?.f_to_device(Device::Cpu)? })
}
