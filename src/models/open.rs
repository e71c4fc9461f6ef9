//! What a user means by a model: a source model's name, a run's folder, or a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};

use super::architecture::{self, Unlearned};
use super::classifier::{Classifier, Spec};
use super::formats::{Format, StateDict, load_into};
use super::torchscript::{self, Cut, TorchScript};
use super::{HeadKind, SourceModel, registry};
use crate::data::PreprocessingOptions;
use crate::{Error, Result};

/// A model that exists.
#[derive(Debug)]
pub enum Named {
    /// A source model of the registry.
    Source(&'static SourceModel),
    /// A network without published weights.
    Unlearned(Unlearned),
    /// Weights and description that regraft wrote as safetensors.
    Trained(PathBuf),
    /// A module of `torch.jit.save`.
    TorchScript(PathBuf),
}

/// The files of a run's folder that hold its model.
pub(crate) const OF_RUN: [&str; 2] = ["model.safetensors", "model.pt"];

impl Named {
    /// The model that is meant by `name`. What exists as a file comes before what the registry has.
    ///
    /// # Errors
    /// Nothing of that name, with the nearest ones.
    pub fn find(name: &Path) -> Result<Self> {
        if name.is_dir() {
            let file = OF_RUN.iter().map(|file| name.join(file)).find(|file| file.is_file());
            let none = || {
                Error::file(name, format!("holds no {}; expected the folder of a finished run", OF_RUN.join(" or ")))
            };
            return Self::of_file(file.ok_or_else(none)?);
        }
        if name.is_file() {
            return Self::of_file(name.to_path_buf());
        }
        let looks_like_path = name.components().count() > 1 || name.extension().is_some();
        if let Some(network) = name.to_str().and_then(architecture::unlearned) {
            return Ok(Self::Unlearned(network));
        }
        match name.to_str().map(registry::find) {
            Some(Ok(entry)) => Ok(Self::Source(entry)),
            Some(Err(error)) if !looks_like_path => Err(error),
            _ => Err(Error::file(name, "not found: give a run's folder, a model's file or a source model's name")),
        }
    }

    fn of_file(file: PathBuf) -> Result<Self> {
        Ok(if Format::of(&file)? == Format::TorchScript { Self::TorchScript(file) } else { Self::Trained(file) })
    }
}

impl Classifier {
    /// The model that a user means by a run's folder, a file, or a source model's name, with its own head. `options` say
    /// how images are prepared where that is to differ from what the model says.
    ///
    /// # Errors
    /// None of these, or one whose weights are not here, damaged, or no classifier of images.
    pub fn open(name: &Path, device: Device, options: &PreprocessingOptions) -> Result<Self> {
        let mut faults = vec![];
        options.faults(&mut faults);
        if !faults.is_empty() {
            return Err(Error::Usage(faults.join("; ")));
        }
        let mut model = match Named::find(name)? {
            Named::Source(entry) => Self::source(entry, None, device)?,
            Named::Unlearned(network) => return Err(network.has_no_weights()),
            Named::Trained(file) => Self::load(&file, device)?,
            Named::TorchScript(file) => return Self::open_torchscript(&file, device, options),
        };
        model.spec.preprocessing = options.apply(&model.spec.preprocessing);
        Ok(model)
    }

    fn open_torchscript(file: &Path, device: Device, options: &PreprocessingOptions) -> Result<Self> {
        let module = TorchScript::load(file, device)?;
        match module.spec.clone() {
            Some(mut spec) if spec.architecture != torchscript::ARCHITECTURE => {
                spec.preprocessing = options.apply(&spec.preprocessing);
                let model = Self::new(spec, device, 0)?;
                model.store.restore(&module.state_dict()?).map_err(|error| Error::file(file, error.to_string()))?;
                Ok(model)
            }
            spec => {
                let mut cut = module.cut(None)?;
                let mut spec = match spec {
                    Some(spec) => spec,
                    None => bare(file, &cut, options)?,
                };
                spec.preprocessing = options.apply(&spec.preprocessing);
                cut.try_out(&spec.preprocessing, device)?;
                let head = cut.head_tensors()?;
                let model = Self::graft(cut, spec, device, 0)?;
                model.restore_head(head).map_err(|error| Error::file(file, error.to_string()))?;
                Ok(model)
            }
        }
    }

    /// Copies values into the head; a source head without a bias gets one of zeros.
    fn restore_head(&self, mut values: BTreeMap<String, Tensor>) -> Result<()> {
        let prefix = format!("{}.", self.backbone().head_path);
        let views = self.store.views().into_iter();
        let own: BTreeMap<_, _> =
            views.filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_string(), tensor))).collect();
        if let Some(bias) = own.get("bias").filter(|_| !values.contains_key("bias")) {
            values.insert("bias".into(), Tensor::f_zeros(bias.size(), (Kind::Float, tch::Device::Cpu))?);
        }
        let report = load_into(&own, &StateDict::new(values, BTreeMap::new()), |name| Some(name.to_string()))?;
        if report.is_clean() {
            return Ok(());
        }
        Err(Error::Model(format!("its head is not the one that its description says: {report}")))
    }
}

/// The description of a module that says nothing of itself.
fn bare(file: &Path, cut: &Cut, options: &PreprocessingOptions) -> Result<Spec> {
    let harmless = ["aten::softmax", "aten::log_softmax"];
    if let Some(kind) = cut.findings.after.iter().find(|kind| !harmless.contains(&kind.as_str())) {
        return Err(Error::file(
            file,
            format!(
                "the module computes its answer from its head by {kind}, so its logits are not known; give it a new head \
                     with regraft finetune"
            ),
        ));
    }
    let imagenet = registry::imagenet_classes();
    let classes = match cut.classes() {
        count if count as usize == imagenet.len() => imagenet.iter().map(|name| name.to_string()).collect(),
        count => (0..count).map(|class| class.to_string()).collect(),
    };
    Ok(Spec {
        architecture: torchscript::ARCHITECTURE.into(),
        source: file.display().to_string(),
        head: HeadKind::Linear,
        head_path: Some(cut.head().to_string()),
        dropout: None,
        classes,
        preprocessing: cut.preprocessing(options)?,
        temperature: 1.0,
        earlier: None,
        beside: None,
    })
}
