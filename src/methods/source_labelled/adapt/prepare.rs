//! Everything that is ready before the first step.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use super::batches::Domains;
use super::objective::{Adapt, Measured};
use super::{AdaptOptions, Adaptation, Extractor, Images, Method, Network, Setup};
use crate::data::{
    ImageSet, Labelled, LoaderOptions, OpenOptions, Sampler, Splits, Target, looks_like_domains, open_data,
    open_target, some,
};
use crate::loss::CrossEntropy;
use crate::methods::both_labelled::finetune::{self, InitialWeights};
use crate::models::{Builder, Classifier, Spec, torchscript};
use crate::report::RunDir;
use crate::train::observe::Observers;
use crate::train::{
    Checkpoint, FeatureSource, ImageSource, Plan, Precision, Source, Stream, cached_stages, feature_cache, inference,
};
use crate::{Error, Result};

/// The most images of the target that scores without labels are taken on: they compare each with each.
const SCORED: usize = 2000;

/// The loss, the network and the batches.
pub(super) struct Prepared {
    pub(super) objective: Adapt,
    pub(super) domains: Domains,
    /// Where the first weights came from; not for a run that goes on, or goes out from another.
    pub(super) initial: Option<InitialWeights>,
    pub(super) options: AdaptOptions,
}

/// The images of both domains.
struct DomainImages {
    source: Splits,
    target: Target,
}

impl DomainImages {
    /// Opens both. The oracle's source is the target with its labels.
    fn open(options: &AdaptOptions, method: Method, observers: &mut Observers) -> Result<Self> {
        let seed = options.machine.seed;
        for root in options.source.iter().chain(&options.target) {
            looks_like_domains(root)?.iter().try_for_each(|note| observers.message(note))?;
        }
        let mut source = options.source_data().open(seed, observers)?;
        let root = options.target.clone().expect("validated");
        let seed = options.images_seed();
        let mut target = open_target(&root, &source.classes, options.target_images, seed)?;
        for note in &target.notes {
            observers.message(note)?;
        }
        if target.images.len() < 2 {
            return Err(Error::file(root, "holds a single image; a domain to adapt to needs at least two"));
        }
        let mut most = options.source_images;
        if method == Method::Oracle {
            if target.test.is_none() {
                let reason = "has no labels, from which the oracle would learn; leave it out";
                return Err(Error::Usage(format!("{}: {reason}", root.display())));
            }
            let open = OpenOptions { val_fraction: options.val_fraction, seed, ..OpenOptions::default() };
            let labelled = open_data(&root, &open)?;
            if labelled.classes != source.classes {
                return Err(Error::Usage(format!(
                    "oracle: learns from the target's labels, so {} must have the source's classes",
                    root.display()
                )));
            }
            if target.is_transductive {
                // it has learned from the images that the others are tested on, so its test is what it holds out
                target.test = Some(labelled.val.clone().forget_labels_among(&labelled.classes));
            }
            (source, most) = (labelled, options.target_images);
        }
        source.train = source.train.subset(&some(source.train.len(), most, seed));
        Ok(Self { source, target })
    }
}

/// Reads both domains, builds the network with its weights and the method, and freezes. A run that goes on has its weights from its
/// checkpoint alone.
pub(super) fn prepare(
    options: &AdaptOptions,
    run: &RunDir,
    resume: bool,
    observers: &mut Observers,
) -> Result<Prepared> {
    options.validate()?;
    let mut options = options.resolved();
    let [method] = *options.methods.list() else {
        return Err(Error::Usage("a run is of one method; regraft adapt compares several".into()));
    };
    let device = options.machine.device()?;
    options.fit.precision.autocast(device)?;
    let trains = method.trains();
    if !trains {
        options.fit.epochs = Some(0);
    }
    let images = DomainImages::open(&options, method, observers)?;
    let checkpoint = if resume { Some(Checkpoint::read(&run.last())?) } else { None };
    let (mut model, initial) = network(&options, &images.source, checkpoint.as_ref(), device, observers)?;
    let extractor = Extractor::of(&model, options.align.as_deref())?;
    let setup_builder = Builder::new(device);
    tch::manual_seed(options.machine.seed as i64);
    let setup = Setup {
        builder: &setup_builder,
        aligned: aligned(&model, extractor)?,
        model: &model,
        extractor,
        strengths: &options.strengths,
        begin: options.begin.as_deref(),
    };
    let mut method = method.build(&setup)?;
    let store = model.store.with(&setup_builder.finish())?;
    let mut plan = options.freezing.plan(&model.outline(), &model.store)?;
    if method.holds_predictor() {
        plan.hold(extractor.predictor(&model));
    }
    let random_may_not_freeze = options.model.from_scratch && !options.freezing.freeze_random;
    if let Some(initial) = initial.as_ref().filter(|_| random_may_not_freeze) {
        initial.require_copied(&plan.frozen(0))?;
    }
    model.freeze(&plan.frozen(usize::MAX), plan.holds_statistics())?;
    if trains && model.store.trainable().next().is_none() {
        return Err(Error::Usage(format!(
            "{}: everything that it could teach is frozen; freeze less, or add --head bottleneck",
            options.methods
        )));
    }
    model.freeze(&plan.frozen(0), plan.holds_statistics())?;
    // what frozen stages make is computed with the weights that they have, so these come first
    match &checkpoint {
        Some(checkpoint) => store.restore(&checkpoint.model)?,
        None => settle(&mut *method, &model, &plan, &options, &images, observers)?,
    }
    let reading = Reading::new(&options, &images, &model, extractor, &plan, observers)?;
    let (domains, measured) = sources(&reading, &options, &images, observers)?;
    let criterion = CrossEntropy::new(None, options.label_smoothing, device);
    let (select, precision) = (options.select, options.fit.precision);
    let objective = Adapt { model, store, extractor, method, plan, criterion, measured, select, precision };
    Ok(Prepared { objective, domains, initial, options })
}

/// The network: that of the checkpoint, of the run to go out from, or the source model with a new head.
fn network(
    options: &AdaptOptions,
    splits: &Splits,
    checkpoint: Option<&Checkpoint>,
    device: Device,
    observers: &mut Observers,
) -> Result<(Classifier, Option<InitialWeights>)> {
    let described = checkpoint.map(|checkpoint| Spec::of(&checkpoint.model)).transpose()?.flatten();
    let (model, initial) =
        match (described.filter(|spec| spec.architecture != torchscript::ARCHITECTURE), &options.begin) {
            (Some(spec), _) => (Classifier::new(spec, device, options.machine.seed)?, None),
            (None, Some(run)) => {
                let model = Classifier::open(run, device, &options.model.preprocessing)?;
                if model.spec.classes != splits.classes {
                    return Err(Error::file(run, "is a run on other classes than the source has"));
                }
                (model, None)
            }
            (None, None) => {
                let (model, initial) = finetune::initial_model(&options.finetune(), splits, device, observers)?;
                (model, Some(initial))
            }
        };
    if options.machine.channels_last && model.backbone().takes_channels_last() {
        model.store.to_channels_last()?;
    }
    Ok((model, initial))
}

/// How many numbers are made alike for an image.
fn aligned(model: &Classifier, extractor: Extractor) -> Result<i64> {
    let _no_grad = tch::no_grad_guard();
    let side = i64::from(model.spec.preprocessing.crop);
    let image = Tensor::f_zeros([1, 3, side, side], (Kind::Float, model.store.device()))?;
    Ok(Network { model, extractor, begun: 0 }.pass(&image, false)?.aligned.size()[1])
}

/// How images are read: as they are, or as what stages made of them that never change.
struct Reading<'a> {
    model: &'a Classifier,
    /// So many of the first stages are done once.
    stages: usize,
    precision: Precision,
    loader: LoaderOptions,
}

impl<'a> Reading<'a> {
    /// With as many stages done once as freezing, memory and the place where features are made alike allow.
    fn new(
        options: &AdaptOptions,
        images: &DomainImages,
        model: &'a Classifier,
        extractor: Extractor,
        plan: &Plan,
        observers: &mut Observers,
    ) -> Result<Self> {
        let DomainImages { source: Splits { train, val, .. }, target } = images;
        let measured = val.len() + target.images.len() + target.test.as_ref().map_or(0, |(images, _)| images.len());
        let trained = if options.augmentation.is_off() { train.len() + target.images.len() } else { 0 };
        let most = match extractor {
            Extractor::Stages(stages) => stages,
            Extractor::Embedding => usize::MAX,
        };
        let held = plan.held_stages(&model.outline()).min(most);
        let stages = cached_stages(model, held, measured + trained, observers)?;
        let (batch_size, workers, device) = (options.batch_size(), options.machine.workers, model.store.device());
        let loader = LoaderOptions { batch_size, workers, device, ..LoaderOptions::default() };
        Ok(Self { model, stages, precision: options.fit.precision, loader })
    }

    /// Features of the images, if any stage is done once.
    fn features(&self, set: &Labelled, sampler: Sampler, observers: &mut Observers) -> Result<Option<Source>> {
        if self.stages == 0 {
            return Ok(None);
        }
        let features = feature_cache(self.model, self.stages, set, self.loader, self.precision, observers)?;
        Ok(Some(Source::Features(FeatureSource::new(features, set.labels(), sampler, self.loader)?)))
    }

    /// The images in their order, the same every time.
    fn in_order(&self, set: &Labelled, observers: &mut Observers) -> Result<Source> {
        match self.features(set, Sampler::Sequential, observers)? {
            Some(features) => Ok(features),
            None => Ok(Source::Images(self.images_in_order(set)?)),
        }
    }

    /// The same, whatever is frozen.
    fn images_in_order(&self, set: &Labelled) -> Result<ImageSource> {
        ImageSource::evaluation(set, &self.model.spec.preprocessing, self.loader)
    }
}

/// Batches to train on, and what is measured on.
fn sources(
    reading: &Reading,
    options: &AdaptOptions,
    images: &DomainImages,
    observers: &mut Observers,
) -> Result<(Domains, Measured)> {
    let (batch_size, seed) = (reading.loader.batch_size, options.machine.seed);
    let DomainImages { source: Splits { train, val, .. }, target } = images;
    let adapted = target.images.of_one_class();
    let scored = target.images.subset(&some(target.images.len(), Some(SCORED), options.images_seed())).of_one_class();
    let test = match &target.test {
        Some((images, labels)) => Some((reading.in_order(&images.of_one_class(), observers)?, labels.clone())),
        None => None,
    };
    let measured =
        Measured { source: reading.in_order(val, observers)?, target: reading.in_order(&scored, observers)?, test };
    let sampler = Sampler::Shuffled { seed };
    let mut stream = |set: &Labelled, seed: u64| -> Result<Stream> {
        let repeats = options.augmentation.is_off();
        let features = if repeats { reading.features(set, sampler, observers)? } else { None };
        let source = match features {
            Some(features) => features,
            None => {
                let (preprocessing, augmentation) = (&reading.model.spec.preprocessing, &options.augmentation);
                let loader = reading.loader;
                Source::Images(ImageSource::training(set, preprocessing, augmentation, sampler, seed, loader)?)
            }
        };
        Ok(Stream::new(source, sampler, set.labels(), batch_size))
    };
    let domains = Domains {
        source: stream(train, seed)?,
        target: stream(&adapted, seed ^ 1)?,
        steps: train.len().max(adapted.len()).div_ceil(batch_size),
    };
    Ok((domains, measured))
}

/// Lets the method do what it does before the first step.
fn settle(
    method: &mut dyn Adaptation,
    model: &Classifier,
    plan: &Plan,
    options: &AdaptOptions,
    images: &DomainImages,
    observers: &mut Observers,
) -> Result<()> {
    let reading = Reading::new(options, images, model, Extractor::Embedding, plan, observers)?;
    let (device, stages) = (model.store.device(), model.backbone().stages.len());
    let observers = RefCell::new(observers);
    let embedded = |set: &Labelled| -> Result<(Tensor, Tensor)> {
        let mut source = reading.in_order(set, &mut observers.borrow_mut())?;
        let outputs = inference::over(&mut source, device, reading.precision, &mut |_| Ok(()), |input| {
            model.head().embed(&inference::features(model, input, stages)?, false)
        })?;
        Ok((outputs.values, outputs.labels.f_to_device(device)?))
    };
    let target = images.target.images.of_one_class();
    let all = Images {
        source: &mut || embedded(&images.source.train),
        target: &mut || Ok(embedded(&target)?.0),
        show_target: &mut || {
            // shuffled, for batches of a single class would each have statistics of their own
            let order = Sampler::Shuffled { seed: options.machine.seed }.order(0, &target.labels());
            let _no_grad = tch::no_grad_guard();
            for (number, batch) in reading.images_in_order(&target)?.visit(order, 0, 0).enumerate() {
                model.store.average_statistics(number as u64 + 1);
                let _logits = inference::logits(model, &batch?.input, false)?;
            }
            model.store.average_statistics(0);
            Ok(())
        },
    };
    method.settle(model, all)
}
