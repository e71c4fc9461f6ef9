//! What fine-tuning reads: images, or the features that frozen stages made of them once.

use std::sync::Arc;

use super::FinetuneOptions;
use crate::Result;
use crate::data::{CacheImages, ImageCache, ImageSet, Labelled, LoaderOptions, Sampler, Splits};
use crate::methods::options::Balance;
use crate::models::Classifier;
use crate::train::observe::Observers;
use crate::train::{FeatureSource, ImageSource, Plan, Source, cached_stages, feature_cache, inference};

/// Batches to train on and batches to validate with: images, or what the first stages make of them where these never
/// change, and the images do not either.
pub(super) fn sources(
    options: &FinetuneOptions,
    splits: &Splits,
    model: &Classifier,
    plan: &Plan,
    loader: LoaderOptions,
    observers: &mut Observers,
) -> Result<(Source, Source, Option<Arc<ImageCache>>)> {
    let (seed, batch_size) = (options.machine.seed, loader.batch_size);
    let sampler = match options.balance {
        Balance::Sampler => Sampler::Balanced { seed },
        _ => Sampler::Shuffled { seed },
    };
    let preprocessing = &model.spec.preprocessing;
    let (train, val) = (&splits.train, &splits.val);
    let repeats = options.augmentation.is_off();
    let images = val.len() + if repeats { train.len() } else { 0 };
    let held = plan.held_stages(&model.outline());
    let stages = cached_stages(model, held, images, observers)?;
    // A last batch of a single image has no variance for a batch norm that learns to divide by.
    let drop_last = train.len() % batch_size == 1 && train.len() > 1 && held < model.backbone().stages.len();
    let for_training = LoaderOptions { drop_last, ..loader };
    // without gradients four times as many images take less; on the CPU that would not be faster
    let fitting = if loader.device.is_cuda() { 4 * batch_size } else { batch_size };
    let without_gradients = LoaderOptions { batch_size: fitting, ..loader };
    // images of which only features are made are not worth keeping
    let on_images = stages == 0 || !repeats;
    let (kept, cache) = if on_images { options.data.cached(splits, observers)? } else { (splits.clone(), None) };
    if !on_images && options.data.cache_images != CacheImages::None {
        observers.message("decoded images are not kept: only their features are used")?;
    }
    let mut bound = 0;
    let mut cached = |set: &Labelled, sampler, loader| -> Result<Source> {
        let features = feature_cache(model, stages, set, without_gradients, options.fit.precision, observers)?;
        Ok(Source::Features(FeatureSource::new(features, set.labels(), sampler, loader)?))
    };
    let training = if !on_images {
        cached(train, sampler, for_training)?
    } else {
        let augmentation = &options.augmentation;
        let source = ImageSource::training(&kept.train, preprocessing, augmentation, sampler, seed, for_training)?;
        bound += source.memory_bound();
        Source::Images(source)
    };
    let validation = if stages > 0 {
        cached(val, Sampler::Sequential, without_gradients)?
    } else {
        let source = ImageSource::evaluation(&kept.val, preprocessing, without_gradients)?;
        bound += source.memory_bound();
        Source::Images(source)
    };
    if bound > 0 {
        let besides = if cache.is_some() { ", besides those that are kept" } else { "" };
        observers.message(&format!("decoded images take at most {} MB at a time{besides}", bound / 1_000_000))?;
    }
    Ok((training, validation, cache))
}

/// Sets the prototypes from the training images as evaluation sees them.
pub(super) fn imprint(
    model: &Classifier,
    options: &FinetuneOptions,
    splits: &Splits,
    source: &Source,
    loader: LoaderOptions,
) -> Result<()> {
    let device = model.store.device();
    if let Source::Features(features) = source
        && let Some((features, labels)) = features.vectors_after(model.backbone().stages.len())
    {
        return model.head().imprint(&features.f_to_device(device)?, &labels.f_to_device(device)?);
    }
    let mut images = ImageSource::evaluation(&splits.train, &model.spec.preprocessing, loader)?;
    let outputs = inference::over(&mut images, device, options.fit.precision, &mut |_| Ok(()), |input| {
        inference::features(model, input, model.backbone().stages.len())
    })?;
    model.head().imprint(&outputs.values, &outputs.labels.f_to_device(device)?)
}
