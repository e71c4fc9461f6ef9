//! Images of classes of which something is said: as features that a source model makes, for the methods that learn from these.

use std::path::{Path, PathBuf};

use clap::Args;
use rand::seq::SliceRandom;
use serde::Serialize;
use tch::{Device, Tensor};

use super::super::forward::ForwardArgs;
use super::super::interrupt;
use super::output;
use crate::data::{
    ImageSet, LoaderOptions, PreprocessingOptions, Purpose, classes_for_evaluation, open_for_evaluation, stream,
};
use crate::methods::source_labelled::zero_shot::train::learned;
use crate::methods::source_labelled::zero_shot::{ClassOptions, Task};
use crate::models::Classifier;
use crate::text::ClassName;
use crate::train::feature_cache;
use crate::train::observe::{Event, Observer, Observers};
use crate::{Error, Result};

/// Which images, and what is said of their classes.
#[derive(Debug, Args, Serialize)]
pub(super) struct ImageArgs {
    /// A folder with one folder of images per class, or with such a val/, of which a source model makes features
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// What is said of their classes.
    #[command(flatten)]
    #[serde(flatten)]
    pub about: ClassOptions,
    /// The classes that nobody learns from, separated by commas
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "data")]
    pub unseen: Vec<String>,
    /// So many of them, drawn anew for each seed
    #[arg(long, value_name = "N", conflicts_with = "unseen", requires = "data")]
    pub unseen_classes: Option<usize>,
    /// The model that makes features of images: a run's folder, a model's file, or a source model
    #[arg(long, value_name = "RUN|FILE|NAME", default_value = "efficientnet_lite0")]
    pub model: PathBuf,
    /// How images are made ready.
    #[command(flatten)]
    #[serde(flatten)]
    pub preprocessing: PreprocessingOptions,
}

/// Shows how many images have become features.
struct FeatureBar(indicatif::ProgressBar);

impl FeatureBar {
    fn new(images: usize, quiet: bool) -> Self {
        Self(output::bar("images", images, quiet))
    }
}

impl Observer for FeatureBar {
    fn observe(&mut self, event: &Event) -> Result<()> {
        if let Event::Work { done, total, .. } = event {
            self.0.set_position(*done);
            if done == total {
                self.0.finish_and_clear();
            }
            if interrupt::flag().load(std::sync::atomic::Ordering::Relaxed) {
                return Err(Error::Interrupted(format!("{done} of {total} images were done")));
            }
        }
        Ok(())
    }
}

/// Images as features, and what is said of their classes.
pub(super) struct DescribedImages {
    features: Tensor,
    labels: Vec<usize>,
    classes: Vec<String>,
    /// Scaled, and before.
    descriptions: (Tensor, Tensor),
    /// Classes that the model has learned from images.
    pub learned: Vec<String>,
}

impl DescribedImages {
    /// Of the images that are asked for, if any.
    pub(super) fn of(args: &ImageArgs, forward: &ForwardArgs, quiet: bool) -> Result<Option<Self>> {
        let Some(data) = &args.data else { return Ok(None) };
        let mut faults = vec![];
        args.about.faults(&mut faults);
        if !faults.is_empty() {
            return Err(Error::Usage(format!("--data {}: {}", data.display(), faults.join("; "))));
        }
        if args.unseen.is_empty() && args.unseen_classes.is_none() {
            return Err(Error::Usage("no class is unseen: give --unseen NAME,… or --unseen-classes N".into()));
        }
        Self::compute(args, data, forward, quiet).map(Some)
    }

    fn compute(args: &ImageArgs, data: &Path, forward: &ForwardArgs, quiet: bool) -> Result<Self> {
        let classes = classes_for_evaluation(data)?;
        let images = open_for_evaluation(data, &classes)?;
        let device = forward.device()?;
        args.about.descriptions.iter().try_for_each(|name| output::text_source(name, quiet).map(drop))?;
        let names: Vec<ClassName> = classes.iter().map(|class| ClassName::plain(class)).collect();
        let described = args.about.describe(&names, device)?;
        described.notes.iter().for_each(|note| eprintln!("{note}"));
        output::fetch_if_source(&args.model, quiet)?;
        let model = Classifier::open(&args.model, device, &args.preprocessing)?;
        let learned = ClassName::shared(&names, &learned(&args.model, &model.spec)?);
        let loader = LoaderOptions { batch_size: forward.batch_size, device, ..LoaderOptions::default() };
        let stages = model.backbone().stages.len();
        let mut observers = Observers(vec![Box::new(FeatureBar::new(images.len(), quiet))]);
        let features = feature_cache(&model, stages, &images, loader, forward.precision, &mut observers)?;
        let _no_grad = tch::no_grad_guard();
        let features = model.head().embed(&features.values.f_to_device(device)?, false)?.f_flatten(1, -1)?;
        let features = features.f_to_device(Device::Cpu)?;
        Ok(Self {
            features,
            labels: images.labels(),
            classes,
            descriptions: (described.values, described.unscaled),
            learned,
        })
    }

    /// With the unseen classes that are asked for, or drawn.
    pub(super) fn task(&self, args: &ImageArgs, seed: u64) -> Result<Task> {
        let mut unseen = args.unseen.clone();
        if let Some(many) = args.unseen_classes {
            unseen = self.classes.clone();
            unseen.shuffle(&mut stream(seed, Purpose::Choose, 2, 0));
            unseen.truncate(many);
        }
        Task::of_features(
            &self.features,
            self.labels.clone(),
            self.classes.clone(),
            (self.descriptions.0.shallow_clone(), self.descriptions.1.shallow_clone()),
            &unseen,
            seed,
        )
    }
}
