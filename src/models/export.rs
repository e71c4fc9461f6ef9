//! Models for other programs: TorchScript, safetensors, `.pth`.
//!
//! TorchScript files hold the description of the model (classes, preprocessing) as `regraft.json`, and take images
//! normalised as it says, `[N, 3, H, W]` f32. Their tensors have the names that the model's state dict has. A module
//! that came in as TorchScript and got a linear head goes out as itself, with other values in its tensors; of one that got
//! another head the graph of the features is kept, and our own networks are traced, with batch norm and dropout following
//! `train()` and `eval()` as in the original. What draws random numbers over whole branches (stochastic depth) is left out
//! by tracing, as in Python. Every file is read back and compared with the model before it is kept; where a
//! module does not answer as the model when it goes out as itself, the graph of its features is kept like that of the others.
//!
//! The head of an earlier task that a model keeps is in safetensors only.
//!
//! ONNX is not among the formats: libtorch has no writer for it, and one of our own would be a second definition of
//! every operator. In Python, `torch.onnx.export` takes the network that the exported `.pth` is loaded into.

use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::backbone::Body;
use super::classifier::{Classifier, EARLIER_HEAD, EXTRA_FILE};
use super::formats::{write_pth, write_safetensors};
use super::selector::lies_under;
use super::{HeadKind, Role, torchscript};
use crate::files::write_path_atomically;
use crate::native::Script;
use crate::{Error, Result};

/// What a model can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// A module that torch.jit.load runs, with classes and preprocessing inside (.pt)
    #[value(name = "torchscript")]
    TorchScript,
    /// Weights, classes and preprocessing (.safetensors)
    Safetensors,
    /// A state dict for torch.load: names and values only (.pth)
    Pth,
}

impl ExportFormat {
    /// The usual ending of such a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::TorchScript => "pt",
            Self::Safetensors => "safetensors",
            Self::Pth => "pth",
        }
    }
}

/// How far what was written may be from the model, relative to the largest logit.
const TOLERANCE: f64 = 1e-5;

impl Classifier {
    /// Writes the model to `path`, whole or not at all.
    ///
    /// # Errors
    /// A path that cannot be written; a traced module that answers otherwise than the model.
    pub fn export(&self, format: ExportFormat, path: &Path) -> Result<()> {
        match format {
            ExportFormat::TorchScript => self.export_torchscript(path),
            ExportFormat::Safetensors | ExportFormat::Pth => {
                let mut dict = self.store.snapshot()?;
                if format == ExportFormat::Pth {
                    dict.tensors.retain(|name, _| !lies_under(name, EARLIER_HEAD));
                    return write_pth(path, &dict);
                }
                if self.spec.architecture == torchscript::ARCHITECTURE {
                    return Err(Error::Usage(
                        "a model on a TorchScript module is not whole without the module: export it as torchscript, or its \
                         weights alone as pth"
                            .into(),
                    ));
                }
                dict.metadata = self.metadata();
                write_safetensors(path, &dict)
            }
        }
    }

    /// Writes the model as regraft keeps it in a run's folder: `model.safetensors`, or `model.pt` where the network is a
    /// TorchScript module.
    ///
    /// # Errors
    /// As [`Classifier::export`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        let is_module = self.spec.architecture == torchscript::ARCHITECTURE;
        let format = if is_module { ExportFormat::TorchScript } else { ExportFormat::Safetensors };
        self.export(format, &folder.join("model").with_extension(format.extension()))
    }

    fn export_torchscript(&self, path: &Path) -> Result<()> {
        let mut spec = self.spec.clone();
        spec.head_path = Some(self.backbone().head_path.clone());
        spec.earlier = None;
        let text = serde_json::to_string_pretty(&spec).expect("a description is plain data");
        let write = |file: &Path| {
            if let Some((script, replaced)) = self.as_itself() {
                script.save(file, &replaced, EXTRA_FILE, &text)?;
                if self.compare(file).is_ok() {
                    return Ok(());
                }
            }
            self.trace()?.save(file, &[], EXTRA_FILE, &text)?;
            self.compare(file)
        };
        let named = |error| Error::file(path, format!("cannot write: {error}"));
        write_path_atomically(path, |file| write(file).map_err(named))
    }

    /// The module that the network came in as, and what replaces its head, where nothing but the values differ.
    fn as_itself(&self) -> Option<(&Script, Vec<(String, Tensor)>)> {
        let Body::TorchScript(module) = &self.backbone().body else { return None };
        let names = ["weight", "bias"].map(|name| format!("{}.{name}", self.backbone().head_path));
        // only a head that is exactly weight and bias can stand in the old one's place, with nothing behind it
        let fits = self.spec.head == HeadKind::Linear && names.iter().all(|name| module.script().tensor(name).is_ok());
        let value = |name: String| Some((name.clone(), self.store.get(&name)?.shallow_clone()));
        (self.ends_in_head && fits).then(|| (module.script(), names.into_iter().filter_map(value).collect()))
    }

    /// The model written down as a new module.
    fn trace(&self) -> Result<Script> {
        let _guard = tch::no_grad_guard();
        let class: String =
            self.spec.architecture.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let entries = self.store.entries().filter(|(name, _)| !lies_under(name, EARLIER_HEAD));
        let tensors: Vec<_> =
            entries.map(|(name, entry)| (name, entry.tensor.shallow_clone(), entry.role == Role::Parameter)).collect();
        Script::trace(&class, &tensors, &self.pattern(2)?, |x| self.forward(x, false))
    }

    /// So many made-up images.
    fn pattern(&self, batch: i64) -> Result<Tensor> {
        let (device, side) = (self.store.device(), i64::from(self.spec.preprocessing.crop));
        let numbers = Tensor::f_arange(batch * 3 * side * side, (Kind::Float, device))?;
        Ok(numbers.f_sin()?.f_reshape([batch, 3, side, side])?)
    }

    /// Asks the module in `file` and the model about another number of images than was written down.
    fn compare(&self, file: &Path) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let x = self.pattern(3)?;
        let (module, _) = Script::load(file, self.store.device(), EXTRA_FILE)?;
        let (expected, found) = (self.forward(&x, false)?, module.forward(&x)?);
        let error = f64::try_from((&found - &expected).abs().max())?;
        let largest = f64::try_from(expected.abs().max())?;
        if error <= TOLERANCE * largest.max(1.0) {
            return Ok(());
        }
        Err(Error::Model(format!("the module answers otherwise than the model, by {error:.1e} of {largest:.1e}")))
    }
}
