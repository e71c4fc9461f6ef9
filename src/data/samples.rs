//! What the loader asks for: pixels of one size, and a label, for every index.

use std::sync::Arc;

use super::random::{Purpose, stream};
use super::{Augmentation, EvaluationTransform, ImageSet, Preprocessing, TrainTransform};
use crate::{Error, Result};

/// One visit to one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Which image.
    pub index: usize,
    /// The epoch.
    pub epoch: u64,
    /// How often the epoch visited the image before: 0 unless it draws images several times, as balanced sampling does.
    pub repeat: u64,
}

/// Images of one size with labels; several threads ask at once.
pub trait SampleSource: Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The side of every image, in pixels.
    fn side(&self) -> u32;

    /// Writes the pixels of an image to `out`, which holds some earlier image and is resized to fit. The pixels depend on
    /// `draw` and on nothing else.
    ///
    /// # Shapes
    /// `out: [side, side, 3] u8`, row by row
    ///
    /// # Errors
    /// An image that cannot be read, named.
    fn pixels(&self, draw: Draw, out: &mut Vec<u8>) -> Result<()>;

    /// The class of image `index`.
    fn label(&self, index: usize) -> usize;

    /// What a message calls image `index`.
    fn name(&self, index: usize) -> String;
}

/// What is done to an image between decoding and the batch.
#[derive(Debug, Clone)]
pub enum Transform {
    /// The same pixels every time.
    Evaluation(EvaluationTransform),
    /// Other pixels every time.
    Training {
        /// What varies.
        transform: TrainTransform,
        /// The seed of all variation.
        seed: u64,
    },
}

/// Some images of a set, transformed: what training or evaluation reads.
pub struct Samples {
    set: Arc<dyn ImageSet>,
    indices: Vec<usize>,
    transform: Transform,
}

impl Samples {
    /// The images of `set` at `indices`, as evaluation wants them.
    ///
    /// # Errors
    /// A crop that does not fit into the resized image.
    pub fn for_evaluation(set: Arc<dyn ImageSet>, indices: Vec<usize>, preprocessing: &Preprocessing) -> Result<Self> {
        let transform = Transform::Evaluation(EvaluationTransform::new(preprocessing)?);
        Ok(Self { set, indices, transform })
    }

    /// The images of `set` at `indices`, varied from epoch to epoch. An image varies in the same way whatever other
    /// images are among `indices`.
    ///
    /// # Errors
    /// Augmentation or sizes that make no sense.
    pub fn for_training(
        set: Arc<dyn ImageSet>,
        indices: Vec<usize>,
        preprocessing: &Preprocessing,
        augmentation: &Augmentation,
        seed: u64,
    ) -> Result<Self> {
        let transform = Transform::Training { transform: TrainTransform::new(preprocessing, augmentation)?, seed };
        Ok(Self { set, indices, transform })
    }

    /// The label of every image, in order: what a [`Sampler`](super::Sampler) wants to know.
    pub fn labels(&self) -> Vec<usize> {
        self.indices.iter().map(|&index| self.set.label(index)).collect()
    }
}

impl SampleSource for Samples {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn side(&self) -> u32 {
        match &self.transform {
            Transform::Evaluation(transform) => transform.side(),
            Transform::Training { transform, .. } => transform.side(),
        }
    }

    fn pixels(&self, draw: Draw, out: &mut Vec<u8>) -> Result<()> {
        let index = self.indices[draw.index];
        match &self.transform {
            Transform::Evaluation(transform) => {
                let image = self.set.load_shared(index)?;
                transform.apply(&image, out).map_err(|error| Error::Data(format!("{}: {error}", self.set.name(index))))
            }
            Transform::Training { transform, seed } => {
                // Images fit into 40 bits, and visits to one of them within an epoch into 24.
                let item = index as u64 | draw.repeat << 40;
                let rng = &mut stream(*seed, Purpose::Augment, draw.epoch, item);
                transform.apply(self.set.as_ref(), index, rng, out)
            }
        }
    }

    fn label(&self, index: usize) -> usize {
        self.set.label(self.indices[index])
    }

    fn name(&self, index: usize) -> String {
        self.set.name(self.indices[index])
    }
}
