//! Everything that is ready before the first step.

use tch::{Device, Kind, Tensor};

use super::batches::Domains;
use super::objective::{Adapt, Measured};
use super::{AdaptOptions, Extractor, Images, Method, Network, Setup};
use crate::data::{
    ImageSet, Labelled, LoaderOptions, OpenOptions, Sampler, Splits, Target, open_data, open_target, refuse_domains,
    some,
};
use crate::loss::CrossEntropy;
use crate::methods::both_labelled::finetune::{self, InitialWeights};
use crate::models::{Builder, Classifier, Spec, torchscript};
use crate::report::RunDir;
use crate::train::observe::Observers;
use crate::train::{
    Checkpoint, FeatureSource, ImageSource, Plan, Source, Stream, cached_stages, feature_cache, inference,
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
        options.source.iter().chain(&options.target).try_for_each(|root| refuse_domains(root))?;
        let mut source = options.source_data().open(seed, observers)?;
        let root = options.target.clone().expect("validated");
        let seed = options.images_seed();
        let mut target = open_target(&root, &source.classes, options.target_images, seed)?;
        for note in &target.notes {
            observers.message(note)?;
        }
        let mut most = options.source_images;
        if method == Method::Oracle {
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
    let method = method.build(&setup)?;
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
    if trains && store.trainable().next().is_none() {
        return Err(Error::Usage(format!(
            "{}: everything that it could teach is frozen; freeze less, or add --head bottleneck",
            options.methods
        )));
    }
    model.freeze(&plan.frozen(0), plan.holds_statistics())?;
    let (domains, measured) = sources(&options, &images, &model, &plan, observers)?;
    let criterion = CrossEntropy::new(None, options.label_smoothing, device);
    let (select, precision) = (options.select, options.fit.precision);
    let mut objective = Adapt { model, store, extractor, method, plan, criterion, measured, select, precision };
    if !resume {
        settle(&mut objective, &options, &images)?;
    }
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

/// Batches to train on, and what is measured on: images, or what stages made of them that never change.
fn sources(
    options: &AdaptOptions,
    images: &DomainImages,
    model: &Classifier,
    plan: &Plan,
    observers: &mut Observers,
) -> Result<(Domains, Measured)> {
    let (batch_size, seed, workers) = (options.batch_size(), options.machine.seed, options.machine.workers);
    let device = model.store.device();
    let loader = LoaderOptions { batch_size, workers, device, ..LoaderOptions::default() };
    let DomainImages { source: Splits { train, val, .. }, target } = images;
    let adapted = target.images.of_one_class();
    let scored = target.images.subset(&some(target.images.len(), Some(SCORED), options.images_seed())).of_one_class();
    let (test, held_out) = target.test.clone().map(|(images, labels)| (images.of_one_class(), labels)).unzip();
    let repeats = options.augmentation.is_off();
    let measured = val.len() + scored.len() + test.as_ref().map_or(0, Labelled::len);
    let all = measured + if repeats { train.len() + adapted.len() } else { 0 };
    let stages = cached_stages(model, plan.held_stages(&model.outline()), all, observers)?;
    let mut cached = |set: &Labelled, sampler| -> Result<Source> {
        let features = feature_cache(model, stages, set, loader, options.fit.precision, observers)?;
        Ok(Source::Features(FeatureSource::new(features, set.labels(), sampler, loader)?))
    };
    let mut to_measure = |set: &Labelled| -> Result<Source> {
        if stages > 0 {
            return cached(set, Sampler::Sequential);
        }
        Ok(Source::Images(ImageSource::evaluation(set, &model.spec.preprocessing, loader)?))
    };
    let (source, scored) = (to_measure(val)?, to_measure(&scored)?);
    let test = test.map(|test| to_measure(&test)).transpose()?.zip(held_out);
    let sampler = Sampler::Shuffled { seed };
    let mut stream = |set: &Labelled, seed: u64| -> Result<Stream> {
        let source = if stages > 0 && repeats {
            cached(set, sampler)?
        } else {
            let (preprocessing, augmentation) = (&model.spec.preprocessing, &options.augmentation);
            Source::Images(ImageSource::training(set, preprocessing, augmentation, sampler, seed, loader)?)
        };
        Ok(Stream::new(source, sampler, set.labels(), batch_size))
    };
    let domains = Domains {
        source: stream(train, seed)?,
        target: stream(&adapted, seed ^ 1)?,
        steps: train.len().max(adapted.len()).div_ceil(batch_size),
    };
    Ok((domains, Measured { source, target: scored, test }))
}

/// Lets the method do what it does before the first step.
fn settle(objective: &mut Adapt, options: &AdaptOptions, images: &DomainImages) -> Result<()> {
    let Adapt { model, method, .. } = objective;
    let (model, device, precision) = (&*model, model.store.device(), options.fit.precision);
    let (batch_size, workers) = (options.batch_size(), options.machine.workers);
    let loader = LoaderOptions { batch_size, workers, device, ..LoaderOptions::default() };
    let read = |set: &Labelled| ImageSource::evaluation(set, &model.spec.preprocessing, loader);
    let stages = model.backbone().stages.len();
    let embedded = |set: &Labelled| -> Result<(Tensor, Tensor)> {
        let outputs = inference::over(&mut read(set)?, device, precision, &mut |_| Ok(()), |input| {
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
            for (number, batch) in read(&target)?.visit(order, 0, 0).enumerate() {
                model.store.average_statistics(number as u64 + 1);
                let _logits = inference::logits(model, &batch?.input, false)?;
            }
            model.store.average_statistics(0);
            Ok(())
        },
    };
    method.settle(model, all)
}
