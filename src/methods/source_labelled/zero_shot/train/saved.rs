//! What a run keeps beside its network: the classes, what is said of them, and where that puts them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::super::embedding::ClassSide;
use super::super::{ClassOptions, Method};
use crate::models::formats::{StateDict, write_safetensors};
use crate::models::{Builder, Spec, Store};
use crate::report::RunDir;
use crate::text::ClassName;
use crate::{Error, Result};

const FILE: &str = RunDir::CLASSES;
const KEY: &str = "regraft.classes";
const DESCRIPTIONS: &str = "descriptions";

/// What the file says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// How the network learned.
    pub method: Method,
    /// The classes, the seen ones first.
    pub classes: Vec<String>,
    /// How many of them are seen.
    pub seen: usize,
    /// Width of the space, where it is not that of descriptions.
    pub space: Option<i64>,
    /// What says what classes are like.
    pub options: ClassOptions,
}

/// The classes of a run.
#[derive(Debug)]
pub struct SavedClasses {
    /// What they are.
    pub about: About,
    /// Of all of them: `[C, A]` f32, on the CPU.
    pub descriptions: Tensor,
    side: ClassSide,
}

impl SavedClasses {
    /// Where they lie for a run's folder or its model's file, if it has them.
    pub fn find(model: &Path) -> Option<PathBuf> {
        let folder = if model.is_file() { model.parent()? } else { model };
        Some(folder.join(FILE)).filter(|file| file.is_file())
    }

    /// Reads them.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged.
    pub fn open(file: &Path) -> Result<Self> {
        let mut dict = StateDict::read_safetensors(file)?;
        let damaged = |reason: String| Error::file(file, reason);
        let text = dict.metadata.get(KEY).ok_or_else(|| damaged("does not say which classes it holds".into()))?;
        let about: About = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        let descriptions = dict.tensors.remove(DESCRIPTIONS);
        let descriptions = descriptions.ok_or_else(|| damaged(format!("holds no tensor `{DESCRIPTIONS}`")))?;
        let (count, width) = descriptions.size2()?;
        if count != about.classes.len() as i64 || about.seen > about.classes.len() {
            return Err(damaged(format!("describes {count} classes and names {}", about.classes.len())));
        }
        let builder = Builder::new(Device::Cpu);
        let side = ClassSide::new(&builder, about.space, width)?;
        builder.finish().restore(&dict).map_err(|error| damaged(error.to_string()))?;
        Ok(Self { about, descriptions, side })
    }

    /// Whether it holds what is said of all these classes, so that nobody needs to read it again.
    pub fn has(&self, wanted: &[ClassName]) -> bool {
        wanted.iter().all(|name| self.position(name).is_some())
    }

    /// Where it holds a class. Other phrases than a class's name say something else.
    fn position(&self, name: &ClassName) -> Option<i64> {
        let known = self.about.classes.iter().position(|class| *class == name.class);
        known.filter(|_| *name == ClassName::plain(&name.class)).map(|at| at as i64)
    }

    /// Where these classes lie, by their names among those that are known, or else by what is said of them: `[C, E]` f32 on the CPU; and
    /// what a user should know.
    ///
    /// # Errors
    /// A class of which nothing is said, or that says nothing new.
    pub fn place(&self, wanted: &[ClassName], device: Device) -> Result<(Tensor, Vec<String>)> {
        let known: Option<Vec<i64>> = wanted.iter().map(|name| self.position(name)).collect();
        let (descriptions, notes) = match known {
            Some(known) => (self.descriptions.f_index_select(0, &Tensor::f_from_slice(&known)?)?, vec![]),
            None => {
                let described = self.about.options.describe(wanted, device)?;
                if described.values.size()[1] != self.descriptions.size()[1] {
                    let reason = "what says what classes are like has another width now than when the run was made";
                    return Err(Error::Data(reason.into()));
                }
                (described.values.f_to_kind(Kind::Float)?, described.notes)
            }
        };
        let _no_grad = tch::no_grad_guard();
        Ok((self.side.embed(&descriptions)?, notes))
    }
}

/// What the model of a run's folder or a file knows by images: its classes, or those that a run of embeddings has seen.
///
/// # Errors
/// A file of classes that cannot be read.
pub fn learned(model: &Path, spec: &Spec) -> Result<Vec<String>> {
    Ok(match SavedClasses::find(model) {
        Some(saved) => {
            let about = SavedClasses::open(&saved)?.about;
            about.classes[..about.seen].to_vec()
        }
        None => spec.classes.clone(),
    })
}

/// Writes them into a run's folder.
///
/// # Shapes
/// `descriptions: [C, A]` f32
///
/// # Errors
/// A folder that cannot be written.
pub(super) fn write(run: &Path, about: &About, descriptions: &Tensor, side: &Store) -> Result<()> {
    let mut dict = side.snapshot()?;
    dict.tensors.insert(DESCRIPTIONS.into(), descriptions.f_to_device(Device::Cpu)?.f_contiguous()?);
    let text = serde_json::to_string(about).expect("plain data");
    dict.metadata = BTreeMap::from([(KEY.to_string(), text)]);
    write_safetensors(run.join(FILE), &dict)
}
