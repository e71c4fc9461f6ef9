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
    match input {
        Input::Images(images) => {
            model.forward(&normalise(images, &model.spec.preprocessing, model.store.device())?, train)
        }
        Input::Features { values, stages } => {
            let backbone = model.backbone();
            model.head().forward(&backbone.run(*stages..backbone.stages.len(), values, train)?, train)
        }
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
    let (begun, x) = match input {
        Input::Images(images) => (0, normalise(images, &model.spec.preprocessing, model.store.device())?),
        Input::Features { values, stages } => (*stages, values.shallow_clone()),
    };
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
