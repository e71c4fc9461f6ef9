//! Where the batches of labelled images come from: the loader, or features that were computed once.

use std::sync::Arc;

use tch::Tensor;

use super::objective::{Batch, BatchSource, Batches};
use crate::data::{Augmentation, ImageSet, Labelled, Loader, LoaderOptions, Preprocessing, Sampler, Samples};
use crate::{Error, Result};

/// What a classifier trains on.
#[derive(Debug)]
pub struct LabelledBatch {
    /// What goes in.
    pub input: Input,
    /// `[N] i64`, on the CPU.
    pub labels: Tensor,
}

/// What goes into a classifier.
#[derive(Debug)]
pub enum Input {
    /// `[N, H, W, 3] u8` on the CPU.
    Images(Tensor),
    /// `[N, features] f32`, or `[N, features, H, W]` where they are a map, on the device of the model.
    Features(Tensor),
}

impl Batch for LabelledBatch {
    fn samples(&self) -> usize {
        self.labels.size()[0] as usize
    }
}

/// Labelled images through the loader, in an order that the seed and the epoch fix.
pub struct ImageSource {
    loader: Loader,
    sampler: Sampler,
    labels: Vec<usize>,
}

impl ImageSource {
    /// Augmented images for training.
    ///
    /// # Errors
    /// Options that make no sense.
    pub fn training(
        set: &Labelled,
        preprocessing: &Preprocessing,
        augmentation: &Augmentation,
        sampler: Sampler,
        seed: u64,
        options: LoaderOptions,
    ) -> Result<Self> {
        let samples =
            Samples::for_training(Arc::new(set.clone()), (0..set.len()).collect(), preprocessing, augmentation, seed)?;
        Ok(Self { loader: Loader::new(Arc::new(samples), options)?, sampler, labels: set.labels() })
    }

    /// The same pixels every time, in stored order, for evaluation.
    ///
    /// # Errors
    /// Options that make no sense.
    pub fn evaluation(set: &Labelled, preprocessing: &Preprocessing, options: LoaderOptions) -> Result<Self> {
        let samples = Samples::for_evaluation(Arc::new(set.clone()), (0..set.len()).collect(), preprocessing)?;
        let loader = Loader::new(Arc::new(samples), LoaderOptions { drop_last: false, ..options })?;
        Ok(Self { loader, sampler: Sampler::Sequential, labels: set.labels() })
    }

    /// The most that decoded images take at any moment, in bytes.
    pub fn memory_bound(&self) -> u64 {
        self.loader.memory_bound()
    }
}

impl BatchSource for ImageSource {
    type Batch = LabelledBatch;

    fn steps(&self) -> usize {
        self.loader.batches(self.labels.len())
    }

    fn epoch(&mut self, epoch: usize, first: usize) -> Result<Batches<'_, LabelledBatch>> {
        let order = self.sampler.order(epoch as u64, &self.labels);
        let batches = self.loader.epoch(order, epoch as u64, first);
        Ok(Box::new(batches.map(|batch| {
            batch.map(|batch| LabelledBatch { input: Input::Images(batch.images), labels: batch.labels })
        })))
    }
}

/// Features of labelled images, held in memory.
pub struct FeatureSource {
    features: Tensor,
    labels: Vec<usize>,
    sampler: Sampler,
    batch_size: usize,
}

impl FeatureSource {
    /// # Shapes
    /// `features: [N, F]` f32
    ///
    /// # Errors
    /// Another count of labels than of rows.
    pub fn new(features: Tensor, labels: Vec<usize>, sampler: Sampler, batch_size: usize) -> Result<Self> {
        if features.size()[0] as usize != labels.len() {
            return Err(Error::Data(format!("{:?} features for {} labels", features.size(), labels.len())));
        }
        Ok(Self { features, labels, sampler, batch_size })
    }

    /// All features with their labels.
    pub fn all(&self) -> (&Tensor, Tensor) {
        (&self.features, label_tensor(self.labels.iter().copied()))
    }
}

fn label_tensor(labels: impl Iterator<Item = usize>) -> Tensor {
    Tensor::from_slice(&labels.map(|label| label as i64).collect::<Vec<_>>())
}

impl BatchSource for FeatureSource {
    type Batch = LabelledBatch;

    fn steps(&self) -> usize {
        self.labels.len().div_ceil(self.batch_size)
    }

    fn epoch(&mut self, epoch: usize, first: usize) -> Result<Batches<'_, LabelledBatch>> {
        let order = self.sampler.order(epoch as u64, &self.labels);
        let batches: Vec<Vec<usize>> = order.chunks(self.batch_size).skip(first).map(<[usize]>::to_vec).collect();
        Ok(Box::new(batches.into_iter().map(|positions| {
            let index = label_tensor(positions.iter().copied()).f_to_device(self.features.device())?;
            let features = self.features.f_index_select(0, &index)?;
            let labels = label_tensor(positions.iter().map(|&position| self.labels[position]));
            Ok(LabelledBatch { input: Input::Features(features), labels })
        })))
    }
}

/// Where the batches of a run come from.
pub enum Source {
    /// Images.
    Images(ImageSource),
    /// Features that a frozen backbone made once.
    Features(FeatureSource),
}

impl BatchSource for Source {
    type Batch = LabelledBatch;

    fn steps(&self) -> usize {
        match self {
            Self::Images(images) => images.steps(),
            Self::Features(features) => features.steps(),
        }
    }

    fn epoch(&mut self, epoch: usize, first: usize) -> Result<Batches<'_, LabelledBatch>> {
        match self {
            Self::Images(images) => images.epoch(epoch, first),
            Self::Features(features) => features.epoch(epoch, first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SyntheticOptions, SyntheticSet};
    use crate::models::registry;

    /// First features and labels of the batches of an epoch.
    fn batches(source: &mut FeatureSource, epoch: usize, first: usize) -> Result<Vec<(Vec<f32>, Vec<i64>)>> {
        let read = |batch: Result<LabelledBatch>| {
            let LabelledBatch { input: Input::Features(features), labels } = batch? else { unreachable!("features") };
            Ok((Vec::try_from(features.select(1, 0))?, Vec::try_from(labels)?))
        };
        source.epoch(epoch, first)?.map(read).collect()
    }

    #[test]
    fn features_keep_their_labels_in_any_order() -> Result<()> {
        let features = Tensor::from_slice2(&[[0f32, 9.0], [1.0, 9.0], [2.0, 9.0], [3.0, 9.0], [4.0, 9.0]]);
        let labels = vec![0, 10, 20, 30, 40];
        let source = |sampler| FeatureSource::new(features.shallow_clone(), labels.clone(), sampler, 2);
        let mut sequential = source(Sampler::Sequential)?;
        assert_eq!(sequential.steps(), 3);
        let all = batches(&mut sequential, 0, 0)?;
        let expected = [(vec![0.0, 1.0], vec![0, 10]), (vec![2.0, 3.0], vec![20, 30]), (vec![4.0], vec![40])];
        assert_eq!(all, expected);
        assert_eq!(batches(&mut sequential, 0, 2)?, expected[2..]);
        let mut shuffled = source(Sampler::Shuffled { seed: 1 })?;
        let epochs = [0, 1].map(|epoch| batches(&mut shuffled, epoch, 0).unwrap());
        assert_ne!(epochs[0], epochs[1]);
        for (value, label) in epochs.concat().into_iter().flat_map(|(values, labels)| values.into_iter().zip(labels)) {
            assert_eq!(value as i64 * 10, label);
        }
        // going on in the middle of an epoch gives the rest of the same order
        assert_eq!(batches(&mut shuffled, 1, 1)?, epochs[1][1..]);
        assert!(FeatureSource::new(features, vec![0], Sampler::Sequential, 2).is_err());
        Ok(())
    }

    #[test]
    fn images_for_evaluation_come_whole_and_in_stored_order() -> Result<()> {
        let set = SyntheticSet::new(SyntheticOptions { classes: 3, per_class: 3, size: 32, ..Default::default() });
        let set = Labelled::new(Arc::new(set));
        let preprocessing = Preprocessing { resize: 32, crop: 32, ..registry::find("resnet18")?.preprocessing.clone() };
        let loader = LoaderOptions { batch_size: 4, drop_last: true, ..LoaderOptions::default() };
        let mut source = ImageSource::evaluation(&set, &preprocessing, loader)?;
        assert_eq!(source.steps(), 3);
        let batches = source.epoch(0, 0)?.collect::<Result<Vec<_>>>()?;
        let labels = batches.iter().flat_map(|batch| Vec::<i64>::try_from(&batch.labels).unwrap());
        assert!(labels.eq(set.labels().into_iter().map(|label| label as i64)));
        assert_eq!(batches.iter().map(Batch::samples).collect::<Vec<_>>(), [4, 4, 1]);
        Ok(())
    }
}
