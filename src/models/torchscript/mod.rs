//! TorchScript modules from elsewhere, scripted or traced, as backbones: their graph is searched for the head and cut
//! before it, so that any classifier of images can be given new classes without Python and without its source.
//!
//! The head is the last linear layer on the way to the output, or the layer that the user names. Everything else keeps
//! its dotted names and shares its tensors with the module, so what is learned is saved with it. Batch norm and dropout
//! follow training where the module asks its `training` attribute; where tracing wrote a constant instead, the constant
//! is replaced by that attribute, and the user is told ([`Cut::notes`]).

mod findings;
mod module;
mod stages;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};

use super::backbone::Body;
use super::classifier::{EXTRA_FILE, Spec};
use super::formats::{StateDict, dtype_name};
use super::{Backbone, Builder, FeatureForm, Outline, Role, Store};
use crate::data::{Preprocessing, PreprocessingOptions};
use crate::native::{self, Script};
use crate::{Error, Result};
pub use findings::plain_class;
use findings::{Contents, Findings};
pub(super) use module::Module;

/// What [`Spec::architecture`] says of a module from elsewhere.
pub const ARCHITECTURE: &str = "torchscript";

/// A module that was read and not yet looked into.
pub struct TorchScript {
    path: PathBuf,
    script: Script,
    contents: Contents,
    /// What regraft wrote beside the module, if it wrote it.
    pub spec: Option<Spec>,
}

/// A module that is cut: all but the head, and what is known of the head.
pub struct Cut {
    pub(super) script: Script,
    pub(super) contents: Contents,
    pub(super) findings: Findings,
    path: PathBuf,
    features: i64,
    classes: i64,
    /// Whether it takes images whose channels lie side by side in memory.
    channels_last: bool,
}

impl TorchScript {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A file that libtorch cannot read, among them one with operations that are not libtorch's own.
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        let refused = |error: Error| Error::file(path, refusal(&error.to_string()));
        let (script, text) = Script::load(path, device, EXTRA_FILE).map_err(refused)?;
        let spec = if text.is_empty() {
            None
        } else {
            Some(Spec::parse(&text).map_err(|e| Error::file(path, e.to_string()))?)
        };
        let contents = Contents::parse(&script.list()?)?;
        Ok(Self { path: path.to_path_buf(), script, contents, spec })
    }

    /// Its parameters and buffers by name, sharing their values with the module.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn state_dict(&self) -> Result<StateDict> {
        let names = self.contents.parameters.iter().chain(&self.contents.buffers);
        let tensors = names.map(|name| Ok((name.clone(), self.script.tensor(name)?))).collect::<Result<_>>()?;
        Ok(StateDict::new(tensors, BTreeMap::new()))
    }

    /// Finds the head, or takes the layer `head` for it, and cuts the module before it.
    ///
    /// # Errors
    /// A module that is no classifier of images; the message says what it is instead.
    pub fn cut(mut self, head: Option<&str>) -> Result<Cut> {
        let head = head.or(self.spec.as_ref().and_then(|spec| spec.head_path.as_deref()));
        let findings = self.script.analyse(head).map_err(|error| {
            let (class, reason) = (self.contents.class(), plain(&error));
            let layers = self.contents.linear_layers();
            let mend = match head {
                _ if reason.contains("its forward takes")
                    || reason.contains("its forward returns")
                    || layers.is_empty() =>
                {
                    "wrap it in a module whose forward takes images and returns logits".to_string()
                }
                Some(_) => format!("its linear layers are {}", layers.join(", ")),
                None => format!("regraft finetune --head takes one of its linear layers: {}", layers.join(", ")),
            };
            Error::file(&self.path, format!("the module ({class}) cannot be given a new head: {reason}; {mend}"))
        })?;
        let Self { path, script, contents, .. } = self;
        let findings = Findings::parse(&findings)?;
        // an MLP that regraft put on has its first layer at `head.0`
        let weight = ["weight", "0.weight"]
            .into_iter()
            .find_map(|name| script.tensor(&format!("{}.{name}", findings.head)).ok());
        let size = weight.map(|weight| weight.size()).filter(|size| size.len() == 2).ok_or_else(|| {
            Error::file(&path, format!("its layer `{}` is no linear layer, so it cannot be the head", findings.head))
        })?;
        for name in &contents.parameters {
            let kind = script.tensor(name)?.kind();
            if kind != Kind::Float {
                let (kind, mend) = (dtype_name(kind), "save it as float32, module.float()");
                return Err(Error::file(&path, format!("its parameter `{name}` is {kind}: {mend}")));
            }
        }
        let (features, classes) = (size[1], size[0]);
        Ok(Cut { script, contents, findings, path, features, classes, channels_last: true })
    }
}

impl Cut {
    /// Number of classes of its own head.
    pub fn classes(&self) -> i64 {
        self.classes
    }

    /// Path of its head.
    pub fn head(&self) -> &str {
        &self.findings.head
    }

    /// What a user has to know before training it.
    pub fn notes(&self) -> Vec<String> {
        self.findings.notes()
    }

    /// Operations on the pixels before the first layer, by which it seems to normalise them itself.
    pub fn arithmetic(&self) -> &[String] {
        &self.findings.arithmetic
    }

    /// How it wants its images: as the user says, or else as nearly every ImageNet network does.
    ///
    /// # Errors
    /// A module that normalises by itself, where the user does not say what it expects.
    pub fn preprocessing(&self, options: &PreprocessingOptions) -> Result<Preprocessing> {
        if !self.findings.arithmetic.is_empty() && (options.mean.is_none() || options.std.is_none()) {
            return Err(Error::file(
                &self.path,
                format!(
                    "the module computes with the pixels before its first layer ({}), so it seems to normalise them itself: \
                     say what it takes with --mean and --std, as --mean 0,0,0 --std 1,1,1 for pixels in 0..1",
                    self.findings.arithmetic.join(", ")
                ),
            ));
        }
        Ok(options.apply(&Preprocessing::imagenet()))
    }

    /// Runs two empty images through it.
    ///
    /// # Errors
    /// A module that does not take images of that size, or whose features are not one vector per image.
    pub fn try_out(&mut self, preprocessing: &Preprocessing, device: Device) -> Result<()> {
        let _guard = tch::no_grad_guard();
        // a module that was saved in training mode would take the empty images into its statistics
        self.script.train([])?;
        let side = i64::from(preprocessing.crop);
        let images = |batch: i64| Ok::<_, Error>(Tensor::f_zeros([batch, 3, side, side], (Kind::Float, device))?);
        let features = match self.script.features(&native::to_channels_last(&images(2)?)?) {
            Ok(features) => features,
            // `view` in its code asks for the channels one after the other
            Err(_) => {
                self.channels_last = false;
                let found = self.script.features(&images(2)?);
                found.map_err(|error| Error::file(&self.path, self.refusal(side, &images, &error)))?
            }
        };
        if features.size() == [2, self.features] {
            return Ok(());
        }
        let (head, found, wanted) = (&self.findings.head, features.size(), self.features);
        Err(Error::file(
            &self.path,
            format!(
                "its head `{head}` is given {found:?} for two images, expected [2, {wanted}]: name another with --head"
            ),
        ))
    }

    /// Why it does not take two images.
    fn refusal(&self, side: i64, images: &dyn Fn(i64) -> Result<Tensor>, error: &Error) -> String {
        match images(1).and_then(|image| self.script.features(&image)) {
            Ok(_) => {
                "it takes one image at a time: tracing wrote the number of images into it; trace it with a batch of \
                      several, or script it"
                    .to_string()
            }
            Err(_) => format!("it refuses images of {side} × {side} pixels ({}); set --image-size", plain(error)),
        }
    }

    /// The values of its own head under their names, without the head's path.
    pub(super) fn head_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let prefix = format!("{}.", self.findings.head);
        let own = |name: &&String| name.starts_with(&prefix);
        let names = self.contents.parameters.iter().filter(own);
        names.map(|name| Ok((name[prefix.len()..].to_string(), self.script.tensor(name)?))).collect()
    }

    /// Which tensors belong to which stage, and which to its own head.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn outline(self) -> Result<(Outline, Store)> {
        let builder = Builder::new(Device::Cpu);
        let (head, own) = (self.findings.head.clone(), self.head_tensors()?);
        let backbone = self.into_backbone(&builder)?;
        for (name, tensor) in own {
            builder.adopt(&format!("{head}.{name}"), tensor, Role::Parameter)?;
        }
        let store = builder.finish();
        Ok((backbone.outline(&store), store))
    }

    /// The backbone, its tensors entered into `builder` under their own names.
    pub(super) fn into_backbone(self, builder: &Builder) -> Result<Backbone> {
        let Self { script, contents, findings, features, channels_last, .. } = self;
        let paths: Vec<String> = contents.modules.into_iter().map(|(path, _)| path).collect();
        let stages = stages::stages(&findings, &paths.iter().map(String::as_str).collect::<BTreeSet<_>>());
        let under = |name: &str, path: &str| {
            name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let of_stage = |name: &&String| stages.iter().any(|stage| stage.paths.iter().any(|path| under(name, path)));
        for (role, names) in [(Role::Parameter, &contents.parameters), (Role::Buffer, &contents.buffers)] {
            for name in names.iter().filter(of_stage) {
                builder.adopt(name, script.tensor(name)?, role)?;
            }
        }
        let held =
            findings.batch_norms.iter().map(|path| (path.clone(), builder.root().at(path).norm_layer())).collect();
        Ok(Backbone {
            architecture: ARCHITECTURE.to_string(),
            extractor: stages.len(),
            stages,
            features,
            form: FeatureForm::Vector,
            head_path: findings.head,
            dropout: findings.dropped,
            ignored: &[],
            body: Body::TorchScript(Module::new(script, paths, held, channels_last)),
        })
    }
}

/// The message of a libtorch error without the words that every one begins with.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("libtorch: ").unwrap_or(&text);
    let text = text.strip_prefix("Internal torch error: ").unwrap_or(text);
    // before it stands a listing of the module's code
    text.rsplit_once("RuntimeError: ").map_or(text, |(_, reason)| reason).to_string()
}

/// Why libtorch cannot read a module, in words that say what to do.
fn refusal(message: &str) -> String {
    let operator = message.split_once("Unknown builtin op: ").map(|(_, rest)| rest);
    if let Some(name) = operator.and_then(|rest| rest.split([' ', '\n', '.']).next()) {
        return format!(
            "the TorchScript module calls the operator {name}, which is not part of libtorch but of an extension; export it \
             without that operator"
        );
    }
    format!("libtorch cannot read it as a TorchScript module: {message}")
}

#[cfg(test)]
mod tests;
