//! A backbone with a head and all that a file needs to be used alone: classes, preprocessing, where it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::formats::{StateDict, load_into};
use super::layers::Layer;
use super::progressive::{self, BESIDE, LATERALS};
use super::selector::lies_under;
use super::torchscript::{self, Cut};
use super::{Backbone, Builder, Head, HeadKind, Outline, SourceModel, Store, architecture, cache, names, registry};
use crate::data::Preprocessing;
use crate::{Error, Result};

/// Where a model's description lies in the metadata of a safetensors file.
const METADATA_KEY: &str = "regraft";
/// Where the head of the earlier task lies among the model's tensors.
pub(crate) const EARLIER_HEAD: &str = "earlier_head";
/// Where what a method learns of classes lies, beside the network.
pub(crate) const CLASS_SIDE: &str = "classes";
/// The file with the description in a TorchScript archive.
pub(super) const EXTRA_FILE: &str = "regraft.json";

/// What a classifier is, apart from its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The registry's name of the architecture.
    pub architecture: String,
    /// Where the first weights came from: a registry name, a file, or `random`.
    pub source: String,
    /// Which head.
    pub head: HeadKind,
    /// Which layer the head is, in a TorchScript module; in all others the architecture says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_path: Option<String>,
    /// The share of features dropped before the head in training; the source network's own if not given.
    pub dropout: Option<f64>,
    /// The classes' names; logit number i belongs to the i-th.
    pub classes: Vec<String>,
    /// How images are made ready.
    pub preprocessing: Preprocessing,
    /// What logits are divided by so that probabilities mean what they say (Guo et al. 2017); 1 if not calibrated.
    #[serde(default = "one")]
    pub temperature: f64,
    /// The task that the network had before, where its head was kept beside the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<EarlierTask>,
    /// The model beside it, whole and frozen, whose stages feed those of this one; it may have one beside it in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Box<Spec>>,
}

/// A task that a network can do besides its own, on the same features with a head of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlierTask {
    /// Which head.
    pub head: HeadKind,
    /// The classes' names.
    pub classes: Vec<String>,
}

fn one() -> f64 {
    1.0
}

impl Spec {
    /// The description that a file carries in its metadata, if regraft wrote it.
    ///
    /// # Errors
    /// A description that is damaged.
    pub fn of(dict: &StateDict) -> Result<Option<Self>> {
        [METADATA_KEY, EXTRA_FILE]
            .iter()
            .find_map(|key| dict.metadata.get(*key))
            .map(|text| Self::parse(text))
            .transpose()
    }

    /// The description in its written form.
    ///
    /// # Errors
    /// A text that is damaged.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let damaged = |error| Error::Model(format!("the description of the model is damaged: {error}"));
        serde_json::from_str(text).map_err(damaged)
    }
}

/// A network that tells classes apart.
#[derive(Debug)]
pub struct Classifier {
    /// What it is.
    pub spec: Spec,
    /// Its tensors.
    pub store: Store,
    backbone: Backbone,
    head: Head,
    earlier: Option<Head>,
    /// Whether a TorchScript module answers with its head and evaluates when told to, so that another head can stand there.
    pub(super) ends_in_head: bool,
}

impl Classifier {
    /// A classifier with initial values drawn from `seed`.
    ///
    /// # Errors
    /// An unknown architecture, or what libtorch refuses.
    pub fn new(spec: Spec, device: Device, seed: u64) -> Result<Self> {
        tch::manual_seed(seed as i64);
        let builder = Builder::new(device);
        let backbone = architecture::build(&spec.architecture, &builder.root())?;
        Self::on(backbone, builder, spec, seed, true)
    }

    /// Another one, exactly as this is now; what either learns from here on, the other does not.
    ///
    /// # Errors
    /// A module from elsewhere, which only its file can build.
    pub fn twin(&self) -> Result<Self> {
        if self.spec.architecture == torchscript::ARCHITECTURE {
            let reason =
                "needs a second network like the first, which a TorchScript file gives only once; take a source model";
            return Err(Error::Usage(reason.into()));
        }
        let twin = Self::new(self.spec.clone(), self.store.device(), 0)?;
        twin.store.restore(&self.store.snapshot()?)?;
        Ok(twin)
    }

    /// A module from elsewhere with a new head, whose initial values are drawn from `seed`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn graft(cut: Cut, spec: Spec, device: Device, seed: u64) -> Result<Self> {
        let builder = Builder::new(device);
        // a module with training mode written into it would go on training in whoever reads it
        let ends_in_head = cut.findings.after.is_empty() && cut.findings.baked.1 == 0;
        let backbone = cut.into_backbone(&builder)?;
        Self::on(backbone, builder, spec, seed, ends_in_head)
    }

    /// A head on a backbone. The seed is set anew, so that the same head begins with the same values on whatever came before.
    fn on(backbone: Backbone, builder: Builder, spec: Spec, seed: u64, ends_in_head: bool) -> Result<Self> {
        tch::manual_seed(seed as i64);
        let head = Head::on(&backbone, &builder, spec.head, spec.classes.len() as i64, spec.dropout)?;
        let earlier = |task: &EarlierTask| {
            let (scope, classes) = (builder.root().at(EARLIER_HEAD), task.classes.len() as i64);
            Head::new(&scope, task.head, backbone.form, backbone.features, classes, backbone.dropout)
        };
        let earlier = spec.earlier.as_ref().map(earlier).transpose()?;
        let backbone = progressive::grow(backbone, &builder, &spec)?;
        Ok(Self { spec, store: builder.finish(), backbone, head, earlier, ends_in_head })
    }

    /// A source model with the classes of its source task; as it was published, or with the `weights` of a file.
    ///
    /// # Errors
    /// Weights that have not been fetched, or that do not fit.
    pub fn source(entry: &SourceModel, weights: Option<&Path>, device: Device) -> Result<Self> {
        let file = weights.map_or_else(|| cache::require(&entry.name), |file| Ok(file.to_path_buf()))?;
        let spec = Spec {
            architecture: entry.name.clone(),
            source: entry.name.clone(),
            head: HeadKind::Linear,
            head_path: None,
            dropout: None,
            classes: registry::imagenet_classes().iter().map(|name| name.to_string()).collect(),
            preprocessing: entry.preprocessing.clone(),
            temperature: 1.0,
            earlier: None,
            beside: None,
        };
        let model = Self::new(spec, device, 0)?;
        model.load_source(&file)?;
        Ok(model)
    }

    /// Copies all of a source model's weights from a file, its head included.
    ///
    /// # Errors
    /// A file that cannot be read or does not hold this network.
    fn load_source(&self, file: &Path) -> Result<()> {
        let ignored = |name: &str| self.backbone.ignores(name);
        let dict = StateDict::read(file)?;
        let loaded = names::load(&self.store.views(), dict, &self.backbone.architecture, &[], ignored)?;
        loaded.require(file, &self.spec.source, false)
    }

    /// Reads a classifier from a `model.safetensors` of a run.
    ///
    /// # Errors
    /// A file that cannot be read, is no model of regraft, or does not hold what its description says.
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        let dict = StateDict::read(path)?;
        let spec = Spec::of(&dict).map_err(|error| Error::file(path, error.to_string()))?.ok_or_else(|| {
            Error::file(
                path,
                "holds weights but no description of a model, such as its classes; give a TorchScript file or what regraft \
                 wrote, or use the weights with regraft finetune --model NAME --weights FILE",
            )
        })?;
        let model = Self::new(spec, device, 0)?;
        model.store.restore(&dict).map_err(|error| Error::file(path, error.to_string()))?;
        Ok(model)
    }

    /// Copies a source model's weights from a file into the backbone, whatever dialect its names are in; its head, and
    /// what the backbone [ignores](Backbone::ignores), is left out. [`names::Loaded::require`] then says whether that
    /// will do.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn load_backbone(&self, file: &Path) -> Result<names::Loaded> {
        let dict = StateDict::read(file)?;
        let head = format!("{}.", self.backbone.head_path);
        let apart = |name: &str| [EARLIER_HEAD, BESIDE, LATERALS].iter().any(|path| lies_under(name, path));
        let others = |name: &str| name.starts_with(&head) || apart(name);
        let views = self.store.views().into_iter().filter(|(name, _)| !others(name)).collect();
        let left_out = |name: &str| others(name) || self.backbone.ignores(name);
        names::load(&views, dict, &self.backbone.architecture, &[], left_out)
    }

    /// Its description, for the metadata of a file.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let text = serde_json::to_string(&self.spec).expect("a description is plain data");
        BTreeMap::from([(METADATA_KEY.to_string(), text)])
    }

    /// The parameters by stage.
    pub fn outline(&self) -> Outline {
        self.backbone.outline(&self.store)
    }

    /// The backbone.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The head of the earlier task, where it was kept.
    pub fn earlier_head(&self) -> Option<&Head> {
        self.earlier.as_ref()
    }

    /// What it is made of.
    pub(crate) fn into_parts(self) -> (Spec, Store, Backbone, Head) {
        (self.spec, self.store, self.backbone, self.head)
    }

    /// The same network doing the task that it had before, with that task's head; of a progressive network the model beside the
    /// newest column.
    ///
    /// # Errors
    /// A model that keeps no earlier head, and has no model beside it.
    pub fn into_earlier(self) -> Result<Self> {
        if let (None, Some(beside)) = (&self.earlier, self.model_beside()?) {
            return Ok(beside);
        }
        let none =
            || Error::Model(format!("a model for {} keeps no head of an earlier task", self.spec.classes.join(", ")));
        let (task, head) = self.spec.earlier.clone().zip(self.earlier).ok_or_else(none)?;
        let spec = Spec { head: task.head, classes: task.classes, temperature: 1.0, earlier: None, ..self.spec };
        Ok(Self { spec, head, earlier: None, ..self })
    }

    /// Copies the values of another network's head into the head of the earlier task, or into the head itself where there
    /// is none of an earlier task.
    ///
    /// # Errors
    /// Another form of head or number of classes.
    pub fn take_head(&self, source: &Self) -> Result<()> {
        let (from, own) = (format!("{}.", source.backbone.head_path), format!("{}.", self.backbone.head_path));
        let to = if self.earlier.is_some() { format!("{EARLIER_HEAD}.") } else { own };
        let under = |store: &Store, path: &str| -> BTreeMap<String, Tensor> {
            let named = |(name, tensor): (String, Tensor)| Some((name.strip_prefix(path)?.to_string(), tensor));
            store.views().into_iter().filter_map(named).collect()
        };
        let values = StateDict::new(under(&source.store, &from), BTreeMap::new());
        let report = load_into(&under(&self.store, &to), &values, |name| Some(name.to_string()))?;
        if report.is_clean() { Ok(()) } else { Err(Error::Model(format!("the source model's head: {report}"))) }
    }

    /// Freezes exactly these parameters, and the model beside this one; see [`Store::freeze`]. A stage without a parameter that learns runs as in
    /// evaluation, with nothing dropped.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn freeze(&mut self, frozen: &BTreeSet<String>, hold_all_statistics: bool) -> Result<()> {
        let outline = self.outline();
        let frozen: BTreeSet<String> = frozen.iter().chain(&outline.beside).cloned().collect();
        self.store.freeze(&frozen, hold_all_statistics)?;
        for (stage, (_, names)) in self.backbone.stages.iter_mut().zip(&outline.stages) {
            stage.frozen = names.iter().all(|name| frozen.contains(name));
        }
        Ok(())
    }

    /// Logits of a batch.
    ///
    /// # Shapes
    /// `images: [N, 3, H, W]` normalised f32 → `[N, classes]`
    ///
    /// # Errors
    /// What libtorch refuses, as too little memory.
    pub fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        self.head.forward(&self.backbone.forward(images, train)?, train)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tch::Kind;

    use super::*;
    use crate::data::PreprocessingOptions;
    use crate::models::formats::write_safetensors;

    /// ResNet-18 for small images, with random weights.
    pub(crate) fn small(classes: &[&str], seed: u64) -> Result<Classifier> {
        let entry = registry::find("resnet18")?;
        let spec = Spec {
            architecture: entry.name.clone(),
            source: "random".into(),
            head: HeadKind::Linear,
            head_path: None,
            dropout: Some(0.0),
            classes: classes.iter().map(|name| name.to_string()).collect(),
            preprocessing: Preprocessing { resize: 32, crop: 32, ..entry.preprocessing.clone() },
            temperature: 1.5,
            earlier: None,
            beside: None,
        };
        Classifier::new(spec, Device::Cpu, seed)
    }

    /// Drawn from no generator: tests that run at the same time share libtorch's.
    fn images() -> Tensor {
        Tensor::arange(4 * 3 * 32 * 32, (Kind::Float, Device::Cpu)).sin().reshape([4, 3, 32, 32])
    }

    #[test]
    fn a_saved_model_is_the_same_model() -> Result<()> {
        let model = small(&["ant", "bee", "cat"], 1)?;
        let folder = tempfile::tempdir().unwrap();
        let mut dict = model.store.snapshot()?;
        write_safetensors(folder.path().join("bare.safetensors"), &dict)?;
        dict.metadata = model.metadata();
        write_safetensors(folder.path().join("model.safetensors"), &dict)?;
        let loaded = Classifier::open(folder.path(), Device::Cpu, &PreprocessingOptions::default())?;
        assert_eq!(loaded.spec, model.spec);
        assert_eq!(loaded.forward(&images(), false)?, model.forward(&images(), false)?);
        let other = small(&["ant", "bee", "cat"], 2)?;
        assert_ne!(other.forward(&images(), false)?, model.forward(&images(), false)?);
        let message = Classifier::load(&folder.path().join("bare.safetensors"), Device::Cpu).unwrap_err().to_string();
        assert!(message.contains("bare.safetensors") && message.contains("no description"), "{message}");
        Ok(())
    }

    #[test]
    fn a_frozen_stage_runs_as_in_evaluation() -> Result<()> {
        let mut model = small(&["ant", "bee"], 1)?;
        let statistics = |model: &Classifier| model.store.digest(|name| name.contains("running_"));
        let (begin, backbone) = (statistics(&model)?, model.outline().backbone().cloned().collect());
        model.freeze(&backbone, false)?;
        assert_eq!(model.forward(&images(), true)?, model.forward(&images(), false)?);
        assert_eq!(statistics(&model)?, begin);
        let learns: Vec<_> = model.store.trainable().map(|(name, _)| name).collect();
        assert_eq!(learns, ["fc.bias", "fc.weight"]);

        model.freeze(&BTreeSet::new(), false)?;
        assert_ne!(model.forward(&images(), true)?, model.forward(&images(), false)?);
        assert_ne!(statistics(&model)?, begin);
        Ok(())
    }
}
