//! The seam between methods and the engine: a method says what its losses are; the engine does all else.

use std::borrow::Cow;

use tch::Tensor;

use super::schedule::Progress;
use crate::Result;
use crate::eval::Metric;
use crate::models::Store;

/// The loss of a batch, whole and in its named parts.
#[derive(Debug)]
pub struct Parts {
    /// What is differentiated: a 0-dimensional tensor.
    pub total: Tensor,
    /// The parts of the loss that are logged, the whole first; 0-dimensional, without a graph.
    pub losses: Vec<(Cow<'static, str>, Tensor)>,
    /// Shares in 0..1 that are logged, as the accuracy of the batch; 0-dimensional, without a graph.
    pub shares: Vec<(Cow<'static, str>, Tensor)>,
}

/// What chooses the best epoch: higher is better, and the second number decides between equals.
pub type Score = (f64, f64);

/// What an evaluation found.
#[derive(Debug, Clone, Default)]
pub struct Assessment {
    /// What is logged.
    pub metrics: Vec<Metric>,
    /// What chooses the best epoch; unsupervised where the target has no labels.
    pub score: Score,
}

/// A method that learns by gradient.
pub trait Objective {
    /// What one step consumes.
    type Batch: Batch;

    /// The parameters.
    fn store(&self) -> &Store;

    /// Freezes what must not learn in this epoch; called at the start of each.
    ///
    /// # Errors
    /// What the method finds wrong.
    fn begin_epoch(&mut self, epoch: usize) -> Result<()>;

    /// The factor on a parameter's learning rate.
    fn lr_multiplier(&self, name: &str) -> f64;

    /// Names of the tensors that must be the same at the end of the run as at its start.
    fn always_frozen(&self) -> Vec<String>;

    /// The losses of a batch.
    ///
    /// # Errors
    /// What libtorch refuses.
    fn losses(&mut self, batch: &Self::Batch, progress: Progress) -> Result<Parts>;

    /// How good the model is now, measured after each epoch.
    ///
    /// # Errors
    /// What libtorch refuses, or an image that cannot be read.
    fn assess(&mut self) -> Result<Assessment>;

    /// What the user should know by the end of an epoch and was not told yet, a line each.
    fn notes(&self) -> Vec<String> {
        vec![]
    }

    /// What a model file needs beside the tensors, as metadata.
    fn metadata(&self) -> std::collections::BTreeMap<String, String>;
}

/// What one step consumes.
pub trait Batch {
    /// Images in it, for the rate.
    fn samples(&self) -> usize;
}

/// The rest of an epoch's batches.
pub type Batches<'a, B> = Box<dyn Iterator<Item = Result<B>> + 'a>;

/// Where batches come from: the same ones for the same epoch, whenever it is asked.
pub trait BatchSource {
    /// What one step consumes.
    type Batch: Batch;

    /// Batches in an epoch.
    fn steps(&self) -> usize;

    /// The batches of an epoch from number `first` on.
    ///
    /// # Errors
    /// What the source finds wrong.
    fn epoch(&mut self, epoch: usize, first: usize) -> Result<Batches<'_, Self::Batch>>;
}
