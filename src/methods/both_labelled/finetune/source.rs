//! The source model with its own head, where a run still needs it: to stay close to it, to keep its head, or to see what
//! of its task is forgotten.

use std::collections::BTreeSet;
use std::path::Path;

use tch::Device;

use super::{FinetuneOptions, InitialWeights};
use crate::data::{Imagenet, Labelled, LoaderOptions, open_for_evaluation, open_imagenet};
use crate::eval::accuracy;
use crate::loss::StartingPoint;
use crate::methods::both_labelled::conserve::{Conservation, Kept};
use crate::models::formats::{StateDict, write_safetensors};
use crate::models::layers::Layer;
use crate::models::{Classifier, Named, registry};
use crate::report::RunDir;
use crate::train::{ImageSource, Precision, inference};
use crate::{Error, Result};

/// The first weights of the model that learns, in the folder of the source model.
const START: &str = "start.safetensors";

/// The source model, if a run with these options needs it. A run keeps it, so that one that goes on finds it whatever became
/// of the original.
pub(super) fn open(
    options: &FinetuneOptions,
    run: &RunDir,
    resume: bool,
    device: Device,
) -> Result<Option<Classifier>> {
    let kept = options.conserve.wants_source();
    if resume {
        return kept.then(|| Classifier::open(&run.source_model(), device, &Default::default())).transpose();
    }
    if !kept && !options.model.head.keep {
        return Ok(None);
    }
    let name = Path::new(&options.model.model);
    let weights = options.model.weights.as_deref();
    let mut source = match Named::find(name)? {
        Named::Source(entry) => Classifier::source(entry, weights, device)?,
        _ if weights.is_some() => {
            return Err(Error::Usage(format!(
                "--weights with --conserve, --source-data or --head keep: {} has its own weights; leave --weights out, or give \
                 the file that --weights names as --model",
                name.display()
            )));
        }
        _ => Classifier::open(name, device, &Default::default())?,
    };
    source.spec.preprocessing = options.model.preprocessing.apply(&source.spec.preprocessing);
    if kept {
        let folder = run.source_model();
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "cannot make the folder"))?;
        source.save(&folder)?;
    }
    if options.machine.channels_last && source.backbone().takes_channels_last() {
        source.store.to_channels_last()?;
    }
    Ok(Some(source))
}

/// Images of the source task: of ImageNet in the layouts that it has, otherwise a folder per class of the source model.
pub(super) fn images(options: &FinetuneOptions, source: Option<&Classifier>) -> Result<Option<Labelled>> {
    let (Some(root), Some(source)) = (&options.conserve.source_data, source) else { return Ok(None) };
    let classes = registry::imagenet_classes();
    if source.spec.classes.iter().eq(classes) {
        let Imagenet { images, .. } = open_imagenet(root, registry::imagenet_wnids(), classes)?;
        return Ok(Some(images));
    }
    open_for_evaluation(root, &source.spec.classes).map(Some)
}

/// What holds the model back that begins with `initial` weights, or went on; `None` where nothing does.
pub(super) fn conservation(
    options: &FinetuneOptions,
    run: &RunDir,
    source: Option<Classifier>,
    model: &Classifier,
    initial: Option<&InitialWeights>,
) -> Result<Option<Conservation>> {
    let Some(source) = source.filter(|_| options.conserve.wants_source()) else { return Ok(None) };
    let (conserve, file) = (options.conserve.clone(), run.source_model().join(START));
    let start = match (options.conserve.strength(Kept::Weights), initial) {
        (None, _) => None,
        (Some(_), Some(initial)) => {
            let outline = model.outline();
            let head = if options.model.head.keep { &outline.head } else { &outline.earlier };
            let copied: BTreeSet<&String> =
                outline.backbone().filter(|name| initial.covers(name)).chain(head).collect();
            let start = conserve.starting_point(&model.store, |name| copied.contains(&name.to_string()))?;
            let values = start.iter().flat_map(StartingPoint::values);
            let values = values.map(|(name, value)| (name.to_string(), value.shallow_clone())).collect();
            write_safetensors(&file, &StateDict::new(values, Default::default()))?;
            start
        }
        (Some(strength), None) => {
            let saved = StateDict::read_safetensors(&file)?.tensors;
            let device = model.store.device();
            let values: Vec<_> = saved.into_iter().map(|(name, value)| (name, value.to_device(device))).collect();
            let values = values.iter().map(|(name, value)| (name.as_str(), value));
            Some(StartingPoint::new(values, strength, conserve.on_new())?)
        }
    };
    Conservation::new(conserve, source, start).map(Some)
}

/// The share of the source task's images that a model with the source task's head names rightly.
///
/// # Errors
/// An image that cannot be read.
pub(super) fn accuracy_of(
    model: &Classifier,
    images: &Labelled,
    loader: LoaderOptions,
    precision: Precision,
) -> Result<f64> {
    let head = model.earlier_head().unwrap_or(model.head());
    let mut source = ImageSource::evaluation(images, &model.spec.preprocessing, loader)?;
    let outputs = inference::over(&mut source, model.store.device(), precision, &mut |_| Ok(()), |input| {
        head.forward(&inference::features(model, input, model.backbone().stages.len())?, false)
    })?;
    Ok(accuracy(&outputs.predictions()?))
}
