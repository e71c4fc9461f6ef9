//! Where the batches of labelled images come from: the loader, or features that were computed once.

use std::sync::Arc;

use tch::{Device, Tensor};

use super::objective::{Batch, BatchSource, Batches};
use super::upload::Uploads;
use crate::data::{Augmentation, ImageSet, Labelled, Loader, LoaderOptions, Preprocessing, Sampler, Samples};
use crate::{Error, Result, native};

/// Features of at most so many bytes lie on the model's device as a whole.
const SMALL: usize = 1 << 30;

/// What a classifier trains on.
#[derive(Debug)]
pub struct LabelledBatch {
    /// What goes in.
    pub input: Input,
    /// `[N] i64`, where the input is.
    pub labels: Tensor,
}

/// What goes into a classifier.
#[derive(Debug)]
pub enum Input {
    /// `[N, H, W, 3] u8`, on the device of the model or on the CPU.
    Images(Tensor),
    /// What the backbone's first stages have made of images.
    Features {
        /// `[N, features] f32`, or `[N, C, H, W]` where they are a map, on the device of the model.
        values: Tensor,
        /// How many stages have run.
        stages: usize,
    },
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
    device: Device,
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
        let (loader, device) = (Loader::new(Arc::new(samples), options)?, options.device);
        Ok(Self { loader, sampler, labels: set.labels(), device })
    }

    /// The same pixels every time, in stored order, for evaluation.
    ///
    /// # Errors
    /// Options that make no sense.
    pub fn evaluation(set: &Labelled, preprocessing: &Preprocessing, options: LoaderOptions) -> Result<Self> {
        let samples = Samples::for_evaluation(Arc::new(set.clone()), (0..set.len()).collect(), preprocessing)?;
        let loader = Loader::new(Arc::new(samples), LoaderOptions { drop_last: false, ..options })?;
        Ok(Self { loader, sampler: Sampler::Sequential, labels: set.labels(), device: options.device })
    }

    /// Batches of the images in this `order`, in which one may come several times, from batch number `first` on. An image varies
    /// with the epoch, and with how often it was in the order before.
    pub fn visit(&self, order: Vec<usize>, epoch: usize, first: usize) -> Batches<'_, LabelledBatch> {
        let batches = self.loader.epoch(order, epoch as u64, first);
        if self.device.is_cuda() {
            return Box::new(Uploads::new(batches, self.device));
        }
        Box::new(
            batches.map(|batch| {
                batch.map(|batch| LabelledBatch { input: Input::Images(batch.images), labels: batch.labels })
            }),
        )
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
        Ok(self.visit(self.sampler.order(epoch as u64, &self.labels), epoch, first))
    }
}

/// What the first stages of a backbone made of images, all of them.
#[derive(Debug)]
pub struct Features {
    /// `[N, features]` or `[N, C, H, W]`, f32, on the CPU.
    pub values: Tensor,
    /// How many stages have run.
    pub stages: usize,
}

/// Features of labelled images, held in memory.
pub struct FeatureSource {
    /// `[N, features]`, or `[N, H, W, C]`: a batch of rows then is a map with its channels innermost.
    rows: Tensor,
    stages: usize,
    labels: Vec<usize>,
    sampler: Sampler,
    batch_size: usize,
    drop_last: bool,
    device: Device,
}

impl FeatureSource {
    /// Batches on the loader's device, where the features stay as a whole if they are small.
    ///
    /// # Errors
    /// Another count of labels than of rows; what libtorch refuses.
    pub fn new(features: Features, labels: Vec<usize>, sampler: Sampler, loader: LoaderOptions) -> Result<Self> {
        let Features { values, stages } = features;
        if values.size()[0] as usize != labels.len() {
            return Err(Error::Data(format!("{:?} features for {} labels", values.size(), labels.len())));
        }
        let rows = match values.dim() {
            4 => values.f_permute([0, 2, 3, 1])?.f_contiguous()?,
            _ => values,
        };
        let LoaderOptions { batch_size, drop_last, device, .. } = loader;
        let small = rows.numel() * 4 <= SMALL;
        let rows = if small { rows.f_to_device(device)? } else { rows };
        Ok(Self { rows, stages, labels, sampler, batch_size, drop_last, device })
    }

    /// Batches of the features of images in this `order`, in which one may come several times, from batch number `first` on.
    fn visit(&self, order: Vec<usize>, first: usize) -> Batches<'_, LabelledBatch> {
        let steps = steps(order.len(), self.batch_size, self.drop_last);
        let batches: Vec<Vec<usize>> =
            order.chunks(self.batch_size).take(steps).skip(first).map(<[usize]>::to_vec).collect();
        Box::new(batches.into_iter().map(|positions| {
            let index = native::send(&label_tensor(positions.iter().copied()), self.rows.device())?;
            let mut values = native::send(&self.rows.f_index_select(0, &index)?, self.device)?;
            if values.dim() == 4 {
                values = values.f_permute([0, 3, 1, 2])?;
            }
            let labels = label_tensor(positions.iter().map(|&position| self.labels[position]));
            let labels = native::send(&labels, self.device)?;
            Ok(LabelledBatch { input: Input::Features { values, stages: self.stages }, labels })
        }))
    }

    /// All features with their labels, if they are vectors and what so many stages make.
    pub fn vectors_after(&self, stages: usize) -> Option<(&Tensor, Tensor)> {
        let are = self.stages == stages && self.rows.dim() == 2;
        are.then(|| (&self.rows, label_tensor(self.labels.iter().copied())))
    }
}

/// Batches of so many images.
fn steps(images: usize, batch_size: usize, drop_last: bool) -> usize {
    if drop_last { images / batch_size } else { images.div_ceil(batch_size) }
}

fn label_tensor(labels: impl Iterator<Item = usize>) -> Tensor {
    Tensor::from_slice(&labels.map(|label| label as i64).collect::<Vec<_>>())
}

impl BatchSource for FeatureSource {
    type Batch = LabelledBatch;

    fn steps(&self) -> usize {
        steps(self.labels.len(), self.batch_size, self.drop_last)
    }

    fn epoch(&mut self, epoch: usize, first: usize) -> Result<Batches<'_, LabelledBatch>> {
        let order = self.sampler.order(epoch as u64, &self.labels);
        Ok(self.visit(order, first))
    }
}

/// Where the batches of a run come from.
pub enum Source {
    /// Images.
    Images(ImageSource),
    /// What frozen stages made once.
    Features(FeatureSource),
}

impl Source {
    /// Batches in this `order`, in which an image may come several times, from batch number `first` on.
    pub fn visit(&self, order: Vec<usize>, epoch: usize, first: usize) -> Batches<'_, LabelledBatch> {
        match self {
            Self::Images(images) => images.visit(order, epoch, first),
            Self::Features(features) => features.visit(order, first),
        }
    }
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
            let LabelledBatch { input: Input::Features { values, stages: 3 }, labels } = batch? else {
                unreachable!("features of three stages")
            };
            Ok((Vec::try_from(values.select(1, 0))?, Vec::try_from(labels)?))
        };
        source.epoch(epoch, first)?.map(read).collect()
    }

    #[test]
    fn features_keep_their_labels_in_any_order() -> Result<()> {
        let features = Tensor::from_slice2(&[[0f32, 9.0], [1.0, 9.0], [2.0, 9.0], [3.0, 9.0], [4.0, 9.0]]);
        let labels = vec![0, 10, 20, 30, 40];
        let source = |sampler, drop_last| {
            let features = Features { values: features.shallow_clone(), stages: 3 };
            let loader = LoaderOptions { batch_size: 2, drop_last, ..LoaderOptions::default() };
            FeatureSource::new(features, labels.clone(), sampler, loader)
        };
        let mut sequential = source(Sampler::Sequential, false)?;
        assert_eq!(sequential.steps(), 3);
        let all = batches(&mut sequential, 0, 0)?;
        let expected = [(vec![0.0, 1.0], vec![0, 10]), (vec![2.0, 3.0], vec![20, 30]), (vec![4.0], vec![40])];
        assert_eq!(all, expected);
        assert_eq!(batches(&mut sequential, 0, 2)?, expected[2..]);
        let mut full = source(Sampler::Sequential, true)?;
        assert_eq!((full.steps(), batches(&mut full, 0, 0)?.as_slice()), (2, &expected[..2]));
        let mut shuffled = source(Sampler::Shuffled { seed: 1 }, false)?;
        let epochs = [0, 1].map(|epoch| batches(&mut shuffled, epoch, 0).unwrap());
        assert_ne!(epochs[0], epochs[1]);
        for (value, label) in epochs.concat().into_iter().flat_map(|(values, labels)| values.into_iter().zip(labels)) {
            assert_eq!(value as i64 * 10, label);
        }
        // going on in the middle of an epoch gives the rest of the same order
        assert_eq!(batches(&mut shuffled, 1, 1)?, epochs[1][1..]);
        let features = Features { values: features.shallow_clone(), stages: 3 };
        let loader = LoaderOptions::default();
        assert!(FeatureSource::new(features, vec![0], Sampler::Sequential, loader).is_err());
        Ok(())
    }

    #[test]
    fn batches_of_maps_have_their_channels_innermost() -> Result<()> {
        let values = Tensor::arange(2 * 3 * 4 * 5, (tch::Kind::Float, Device::Cpu)).view([2, 3, 4, 5]);
        let features = Features { values: values.shallow_clone(), stages: 1 };
        let loader = LoaderOptions::default();
        let mut source = FeatureSource::new(features, vec![0, 1], Sampler::Sequential, loader)?;
        let batch = source.epoch(0, 0)?.next().expect("a batch")?;
        let Input::Features { values: batch, .. } = batch.input else { unreachable!("features") };
        assert!(crate::native::is_channels_last(&batch)? && batch == values);
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
