//! The network that is fine-tuned: the source model, whatever form it comes in, with a new head.

use std::path::{Path, PathBuf};

use tch::Device;

use super::{FinetuneOptions, InitialWeights};
use crate::data::Preprocessing;
use crate::methods::options::ModelOptions;
use crate::models::formats::StateDict;
use crate::models::torchscript::{self, TorchScript};
use crate::models::{CLASS_SIDE, Classifier, EarlierTask, HeadChoice, HeadKind, Named, Spec, cache, lies_under};
use crate::train::Checkpoint;
use crate::train::observe::Observers;
use crate::{Error, Result};

/// What the network is made for.
pub(super) struct Purpose<'a> {
    /// All options.
    pub options: &'a FinetuneOptions,
    /// What its outputs are called: the classes, where it tells classes apart.
    pub outputs: &'a [String],
    /// Where it is to lie.
    pub device: Device,
    /// The source model with its own head, where that is wanted.
    pub source: Option<&'a Classifier>,
    /// The model that it is to stand beside.
    pub beside: Option<&'a Classifier>,
}

/// The model that a new column is to stand beside, if the options name one.
pub(super) fn beside(options: &ModelOptions, device: Device, observers: &mut Observers) -> Result<Option<Classifier>> {
    let Some(name) = &options.beside else { return Ok(None) };
    let model = Classifier::open(name, device, &Default::default())?;
    let (shown, columns) = (name.display(), model.columns());
    if model.spec.architecture == torchscript::ARCHITECTURE {
        return Err(Error::Usage(format!(
            "--beside {shown}: is a TorchScript module, which runs as a whole, so its stages cannot be connected to those of the \
             new column; give a run of a network that 'regraft models' lists"
        )));
    }
    if options.preprocessing.apply(&model.spec.preprocessing) != model.spec.preprocessing {
        let Preprocessing { crop, mean, std, .. } = &model.spec.preprocessing;
        return Err(Error::Usage(format!(
            "--beside {shown}: its task is defined on images of {crop} × {crop} pixels, mean {mean:?}, std {std:?}, which every \
             column gets; leave --image-size, --mean and --std out, or give these"
        )));
    }
    let what = if columns == 1 { "is a column".into() } else { format!("has {columns} columns") };
    observers.message(&format!("{shown}: {what} beside the new one, frozen"))?;
    Ok(Some(model))
}

/// The network with its first weights, or those of the checkpoint `resumed`, and a new head. A run that goes on needs the
/// source model again only where that is the program of the network, not just its weights.
pub(super) fn build(
    purpose: &Purpose,
    resumed: Option<&Path>,
    observers: &mut Observers,
) -> Result<(Classifier, Option<InitialWeights>)> {
    let Purpose { options, device, source, .. } = *purpose;
    let seed = options.machine.seed;
    let checkpoint = resumed.map(Checkpoint::read).transpose()?;
    let earlier = checkpoint.as_ref().map(|checkpoint| Spec::of(&checkpoint.model)).transpose()?.flatten();
    let (model, file) = match earlier.filter(|spec| spec.architecture != torchscript::ARCHITECTURE) {
        Some(spec) => (Classifier::new(spec, device, seed)?, None),
        None => match Named::find(Path::new(&options.model.model))? {
            Named::TorchScript(file) => (graft(&file, purpose, observers)?, options.model.weights.clone()),
            Named::Source(entry) => {
                let file = weights(&options.model, || cache::require(&entry.name))?;
                let spec = native(&entry.name, &entry.preprocessing, &file, purpose)?;
                (Classifier::new(spec, device, seed)?, file)
            }
            Named::Unlearned(network) => {
                let file = weights(&options.model, || Err(network.has_no_weights()))?;
                let spec = native(network.architecture, &network.preprocessing, &file, purpose)?;
                (Classifier::new(spec, device, seed)?, file)
            }
            Named::Trained(path) => {
                let trained = described(&path)?;
                if trained.beside.is_some() {
                    return Err(Error::Usage(format!(
                        "--model {}: has columns beside it, without which it is another network; give it as --beside for a new \
                         column, or a run of a single one as --model",
                        path.display()
                    )));
                }
                let file = weights(&options.model, || Ok(path))?;
                let spec = native(&trained.architecture, &trained.preprocessing, &file, purpose)?;
                (Classifier::new(spec, device, seed)?, file)
            }
        },
    };
    let initial = match checkpoint {
        Some(Checkpoint { model: mut saved, .. }) => {
            // where classes lie is beside the network, and restored by the loop
            saved.tensors.retain(|name, _| !lies_under(name, CLASS_SIDE));
            model.store.restore(&saved)?;
            None
        }
        None => {
            let initial = InitialWeights::load(&model, file, &options.model, observers)?;
            source.map(|source| model.take_head(source)).transpose()?;
            purpose.beside.map(|beside| model.take_beside(beside)).transpose()?;
            Some(initial)
        }
    };
    if options.machine.channels_last && model.backbone().takes_channels_last() {
        model.store.to_channels_last()?;
    }
    Ok((model, initial))
}

/// Which head the network gets, and which it keeps beside that.
fn heads(purpose: &Purpose) -> Result<(HeadKind, Option<EarlierTask>)> {
    let choice = &purpose.options.model.head;
    match purpose.source {
        Some(source) if choice.keep => {
            let (own, wanted) = (&source.spec.classes, &purpose.outputs);
            if own == wanted {
                return Ok((source.spec.head, None));
            }
            Err(Error::Usage(format!(
                "--head keep: the source model knows {} classes ({}), the data have {} ({}); leave it out for a new head",
                own.len(),
                some(own),
                wanted.len(),
                some(wanted)
            )))
        }
        Some(source) => {
            let earlier = EarlierTask { head: source.spec.head, classes: source.spec.classes.clone() };
            Ok((choice.kind, Some(earlier)))
        }
        None => Ok((choice.kind, None)),
    }
}

/// The first few of many names.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown}, …") } else { shown }
}

/// The file of the first weights, if there is one.
fn weights(options: &ModelOptions, own: impl FnOnce() -> Result<PathBuf>) -> Result<Option<PathBuf>> {
    match (options.from_scratch, &options.weights) {
        (true, _) => Ok(None),
        (false, Some(file)) => Ok(Some(file.clone())),
        (false, None) => own().map(Some),
    }
}

/// What a model that regraft trained says of itself.
fn described(file: &Path) -> Result<Spec> {
    let spec = Spec::of(&StateDict::read(file)?).map_err(|error| Error::file(file, error.to_string()))?;
    spec.ok_or_else(|| {
        let mend = "give --model NAME and --weights FILE";
        Error::file(file, format!("holds weights, but does not say of which network: {mend}"))
    })
}

/// The description of a network of our own layers.
fn native(
    architecture: &str,
    preprocessing: &Preprocessing,
    weights: &Option<PathBuf>,
    purpose: &Purpose,
) -> Result<Spec> {
    let ModelOptions { head: HeadChoice { at, .. }, dropout, preprocessing: wanted, .. } = &purpose.options.model;
    if let Some(at) = at {
        return Err(Error::Usage(format!(
            "--head {at}: {architecture} knows where its head is; the layer is to be named for a TorchScript file only, and \
             the kinds of head are linear, mlp, bottleneck and prototype"
        )));
    }
    let (head, earlier) = heads(purpose)?;
    Ok(Spec {
        architecture: architecture.to_string(),
        source: weights.as_ref().map_or("random".into(), |file| file.display().to_string()),
        head,
        head_path: None,
        dropout: *dropout,
        classes: purpose.outputs.to_vec(),
        preprocessing: purpose
            .beside
            .map_or_else(|| wanted.apply(preprocessing), |model| model.spec.preprocessing.clone()),
        temperature: 1.0,
        earlier,
        beside: purpose.beside.map(|model| Box::new(model.spec.clone())),
    })
}

/// A TorchScript module whose head is replaced.
fn graft(file: &Path, purpose: &Purpose, observers: &mut Observers) -> Result<Classifier> {
    let Purpose { options, device, .. } = *purpose;
    let ModelOptions { from_scratch, head: HeadChoice { at, .. }, dropout, preprocessing, .. } = &options.model;
    let (kind, earlier) = heads(purpose)?;
    let shown = file.display();
    if purpose.beside.is_some() {
        return Err(Error::Usage(format!(
            "--beside: {shown} is a TorchScript module, which runs as a whole, so its stages cannot be connected to those of \
             another column; give --model a network that 'regraft models' lists"
        )));
    }
    if *from_scratch {
        return Err(Error::Usage(format!(
            "--from-scratch: {shown} is a TorchScript module, which comes with its weights; name a network that 'regraft \
             models' lists"
        )));
    }
    let module = TorchScript::load(file, device)?;
    let own = module.spec.as_ref().map(|spec| preprocessing.apply(&spec.preprocessing));
    let mut cut = module.cut(at.as_deref())?;
    let preprocessing = own.map_or_else(|| cut.preprocessing(preprocessing), Ok)?;
    cut.try_out(&preprocessing, device)?;
    if options.model.head.keep {
        observers.message(&format!("{shown}: its head {} stays", cut.head()))?;
    } else {
        let new = HeadChoice { kind, ..HeadChoice::default() };
        observers.message(&format!("{shown}: a new head ({new}) takes the place of its layer {}", cut.head()))?;
    }
    for note in cut.notes() {
        observers.message(&format!("{shown}: {note}"))?;
    }
    let spec = Spec {
        architecture: torchscript::ARCHITECTURE.into(),
        source: shown.to_string(),
        head: kind,
        head_path: Some(cut.head().to_string()),
        dropout: *dropout,
        classes: purpose.outputs.to_vec(),
        preprocessing,
        temperature: 1.0,
        earlier,
        beside: None,
    };
    let model = Classifier::graft(cut, spec, device, options.machine.seed)?;
    // better now than after the last epoch
    let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir(), "cannot write"))?;
    let mend = if kind == HeadKind::Linear { "" } else { "; try --head linear" };
    let lost = |error| Error::file(file, format!("what is learned could not be saved: {error}{mend}"));
    model.save(folder.path()).map_err(lost)?;
    Ok(model)
}
