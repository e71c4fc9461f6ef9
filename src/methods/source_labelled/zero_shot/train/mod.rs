//! A network learns where images meet what is said of their classes, by a ranking loss (source labelled, target known by descriptions alone).
//!
//! The network is a source model whose outputs are a point in the space where images and classes meet, trained as fine-tuning trains: frozen or
//! learning, from weights or from random values, on images that vary. What it minimises is a method's: [joint embedding](super::Method::Joint),
//! [DeViSE](super::Method::Devise), [ALE](super::Method::Ale) or [SJE](super::Method::Sje). Images of unseen classes are looked at once, at the end.

mod objective;
mod options;
mod picture;
mod saved;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use tch::{Kind, Tensor};

use super::collapse::Collapse;
use super::embedding::ClassSide;
use crate::data::{ImageSet, Labelled, LoaderOptions, Sampler, classes_for_evaluation, open_for_evaluation};
use crate::eval::{Generalised, Metric, Point, Unit, ZeroShotScores};
use crate::methods::both_labelled::finetune::{self, Keep, Network};
use crate::models::formats::StateDict;
use crate::models::{Builder, Classifier, Named, registry};
use crate::report::{RunDir, RunResult};
use crate::text::ClassName;
use crate::train::batch_size::BatchSize;
use crate::train::observe::{Event, Finished, Observer, Observers};
use crate::train::{FeatureSource, Fitted, ImageSource, Site, Source, cached_stages, feature_cache, fit};
use crate::{Error, Result};
use objective::Learner;
pub use options::TrainOptions;
pub use saved::{About, SavedClasses, learned};

/// What a run came to.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What `result.json` holds.
    pub result: RunResult,
    /// Images of unseen classes, among these alone.
    pub unseen: ZeroShotScores,
    /// Held-out images of seen classes, among these alone; with `--keep best` the epoch was chosen on them.
    pub seen: ZeroShotScores,
    /// Both, among all classes; S is on the images that the epoch was chosen on.
    pub all: Point,
    /// The area under S over U for all that may be taken off the scores of seen classes.
    pub ausuc: f64,
}

/// Learns in the folder `run`, and leaves there the model, the classes, the plots, the log and `result.json`.
///
/// # Errors
/// Whatever is wrong with options, data, weights or the folder; an interruption.
pub fn run(
    options: &TrainOptions,
    run: &RunDir,
    observers: &mut Observers,
    interrupted: &AtomicBool,
    resume: bool,
) -> Result<Outcome> {
    options.validate()?;
    let mut options = options.resolved();
    let device = options.machine.device()?;
    let root = options.data.data.clone().expect("validated");
    let (classes, seen) = sorted_by_seen(&options, &root)?;
    let names: Vec<ClassName> = classes.iter().map(|class| ClassName::plain(class)).collect();
    let unseen = unseen_images(&root, &classes[seen..])?;
    let known = known_by_source(&options, &names[seen..])?;
    if !known.is_empty() {
        observers.message(&format!("not unseen: the source model has learned {} from images", known.join(", ")))?;
    }
    if let Some(weights) = &options.model.weights {
        let file = weights.display();
        observers
            .message(&format!("{file} does not say what it has learned from: see that it is none of the unseen"))?;
    }
    let vectors = options.about.describe(&names, device)?;
    vectors.notes.iter().try_for_each(|note| observers.message(note))?;
    let descriptions = vectors.values.f_to_kind(Kind::Float)?.f_to_device(device)?;
    let width = descriptions.size()[1];
    let outputs = match options.space {
        None if vectors.names.len() as i64 == width => vectors.names,
        space => (1..=space.unwrap_or(width)).map(|number| format!("dimension {number}")).collect(),
    };
    let finetune = options.finetune(classes[..seen].to_vec());
    let prepared = finetune::prepare_with(&finetune, Some(outputs), run, resume, observers)?;
    let Network { model, plan, mut source, validation, initial, splits, options: finetune } = prepared.into_network();
    if let Some(initial) = initial.as_ref().filter(|initial| !initial.is_random()) {
        run.write_json(RunDir::WEIGHTS, initial)?;
    }
    let BatchSize::Fixed(batch_size) = finetune.machine.batch_size else { unreachable!("chosen by now") };
    if options.machine.batch_size == BatchSize::Auto {
        options.machine.batch_size = finetune.machine.batch_size;
        run.write_config(&options)?; // what was chosen, for whoever goes on
    }
    tch::manual_seed(options.machine.seed as i64);
    let builder = Builder::new(device);
    let side = ClassSide::new(&builder, options.space, width)?;
    let side_store = builder.finish();
    let mut learner = Learner {
        store: model.store.with(&side_store)?,
        model,
        classes: side,
        plan,
        aim: options.method.form().expect("validated").aim,
        margin: options.margin(),
        seen: descriptions.f_narrow(0, 0, seen as i64)?,
        names: classes[..seen].to_vec(),
        validation,
        precision: options.fit.precision,
        collapse: Collapse::default(),
    };
    // of the values that the seed draws, also where a run goes on
    learner.collapse.begin(&learner.class_points(&learner.seen)?)?;
    let config = serde_json::to_string_pretty(&options).expect("options are plain data");
    let site = Site { run, observers, config: &config, interrupted, seed: options.machine.seed, resume };
    let fitted = fit(&mut learner, &mut source, &finetune.fit, site)?;
    if options.keep == Keep::Best {
        learner.store.restore(&StateDict::read_safetensors(run.best_model())?)?;
    }
    learner.model.save(run.path())?;
    let about = About {
        method: options.method,
        classes: classes.clone(),
        seen,
        space: options.space,
        options: options.about.clone(),
    };
    saved::write(run.path(), &about, &descriptions, &side_store)?;
    let loader = LoaderOptions { batch_size, workers: options.machine.workers, device, ..LoaderOptions::default() };
    let mut unseen_source = in_order(&learner, &unseen, loader, observers)?;
    let of_unseen = learner.images(&mut unseen_source)?;
    let mut validation = in_order(&learner, &splits.val, loader, observers)?;
    let of_seen = learner.images(&mut validation)?;
    let points = learner.class_points(&descriptions)?;
    let numbers = |labels: &Tensor| -> Result<Vec<usize>> {
        Ok(Vec::<i64>::try_from(labels)?.into_iter().map(|at| at as usize).collect())
    };
    let (seen_labels, unseen_labels) = (numbers(&of_seen.labels)?, numbers(&of_unseen.labels)?);
    let all_labels: Vec<usize> = seen_labels.iter().copied().chain(unseen_labels.iter().map(|at| at + seen)).collect();
    let images = Tensor::f_cat(&[&of_seen.values, &of_unseen.values], 0)?;
    let scores = options.method.scores(&images, &points)?;
    let (count, of_them) = (seen_labels.len() as i64, seen as i64);
    let among = |rows: (i64, i64), columns: (i64, i64)| -> Result<Tensor> {
        Ok(scores.f_narrow(0, rows.0, rows.1)?.f_narrow(1, columns.0, columns.1)?)
    };
    let (all_images, all_classes) = scores.size2()?;
    let seen_scores = ZeroShotScores::of(&among((0, count), (0, of_them))?, &seen_labels, &classes[..seen])?;
    let rest = (count, all_images - count);
    let unseen_scores =
        ZeroShotScores::of(&among(rest, (of_them, all_classes - of_them))?, &unseen_labels, &classes[seen..])?;
    let is_seen: Vec<bool> = (0..classes.len()).map(|class| class < seen).collect();
    let generalised = Generalised::of(&scores, &all_labels, &is_seen)?;
    picture::draw(&images, &points, &all_labels, &about, &run.plots())?;
    finish(&options, &fitted, (seen_scores, unseen_scores, generalised), &learner, run, observers)
}

/// Writes the result, and tells that the run is over.
fn finish(
    options: &TrainOptions,
    fitted: &Fitted,
    (seen, unseen, generalised): (ZeroShotScores, ZeroShotScores, Generalised),
    learner: &Learner,
    run: &RunDir,
    observers: &mut Observers,
) -> Result<Outcome> {
    let all = generalised.at(0.0);
    let share = |name: &str, value: f64| Metric::higher(name, value, Unit::Fraction);
    let metrics = [
        share("unseen/per_class_accuracy", unseen.per_class_accuracy),
        share("unseen/chance", unseen.chance),
        share("seen/per_class_accuracy", seen.per_class_accuracy),
        share("all/unseen", all.unseen),
        share("all/seen", all.seen),
        share("all/harmonic_mean", all.harmonic()),
        share("all/ausuc", generalised.ausuc),
        Metric::lower("unseen/hubness", unseen.hubness, Unit::Plain),
    ];
    let hits = unseen.hits.iter().filter(|(k, _)| **k > 1).map(|(k, hit)| share(&format!("unseen/hit@{k}"), *hit));
    let (device, seed) = (learner.model.store.device(), options.machine.seed);
    let name = format!("zeroshot-{}", options.method.name());
    let result = fitted.result(&name, metrics.into_iter().chain(hits), device, seed, options.fit.precision)?;
    run.finish(&result)?;
    observers.observe(&Event::Finished(Finished { step: fitted.state.step as u64, seconds: fitted.state.seconds }))?;
    observers.flush()?;
    Ok(Outcome { result, unseen, seen, all, ausuc: generalised.ausuc })
}

/// All classes, the seen ones first, and how many these are.
fn sorted_by_seen(options: &TrainOptions, root: &Path) -> Result<(Vec<String>, usize)> {
    let given = &options.data.classes;
    let all = if given.is_empty() { classes_for_evaluation(root)? } else { given.clone() };
    if let Some(other) = options.unseen.iter().find(|class| !all.contains(class)) {
        return Err(Error::Usage(format!("--unseen {other}: none of the classes {}", all.join(", "))));
    }
    if let Some(twice) = (1..options.unseen.len()).find(|&at| options.unseen[..at].contains(&options.unseen[at])) {
        return Err(Error::Usage(format!("--unseen names {} twice", options.unseen[twice])));
    }
    let (unseen, seen): (Vec<String>, Vec<String>) = all.into_iter().partition(|class| options.unseen.contains(class));
    if seen.len() < 2 || unseen.len() < 2 {
        let (seen, unseen) = (seen.len(), unseen.len());
        return Err(Error::Usage(format!(
            "--unseen leaves {seen} seen classes and {unseen} unseen; expected 2 of each"
        )));
    }
    let count = seen.len();
    Ok(([seen, unseen].concat(), count))
}

/// Which of these classes the source model knows by images.
fn known_by_source(options: &TrainOptions, unseen: &[ClassName]) -> Result<Vec<String>> {
    if options.model.from_scratch {
        return Ok(vec![]);
    }
    let own: Vec<String> = match Named::find(Path::new(&options.model.model))? {
        // a file of weights does not say
        Named::Source(_) if options.model.weights.is_some() => vec![],
        Named::Source(_) => registry::imagenet_classes().iter().map(|name| name.to_string()).collect(),
        Named::Trained(file) => learned(&file, &Classifier::load(&file, tch::Device::Cpu)?.spec)?,
        Named::TorchScript(_) | Named::Unlearned(_) => vec![],
    };
    Ok(ClassName::shared(unseen, &own))
}

/// The images of unseen classes, numbered among these.
fn unseen_images(root: &Path, unseen: &[String]) -> Result<Labelled> {
    let every = classes_for_evaluation(root)?;
    let all = open_for_evaluation(root, &every)?;
    let positions: Vec<usize> = (0..all.len()).filter(|&at| unseen.contains(&every[all.label(at)])).collect();
    if positions.is_empty() {
        return Err(Error::file(root, "holds no image of an unseen class"));
    }
    all.subset(&positions).with_classes(unseen)
}

/// Images in their order, or what frozen stages made of them once.
fn in_order(learner: &Learner, set: &Labelled, loader: LoaderOptions, observers: &mut Observers) -> Result<Source> {
    let model = &learner.model;
    let held = learner.plan.held_stages(&model.outline());
    let stages = cached_stages(model, held, set.len(), observers)?;
    if stages == 0 {
        return Ok(Source::Images(ImageSource::evaluation(set, &model.spec.preprocessing, loader)?));
    }
    let features = feature_cache(model, stages, set, loader, learner.precision, observers)?;
    Ok(Source::Features(FeatureSource::new(features, set.labels(), Sampler::Sequential, loader)?))
}
