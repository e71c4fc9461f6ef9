//! What makes vectors of class names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};

use super::published::{self, TextKind, TextModel};
use super::vectors::forms;
use super::{ClassName, Encoder, WordVectors};
use crate::{Error, Result};

/// Word vectors, or an encoder of sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextSource {
    /// The file.
    Vectors(PathBuf),
    /// The folder.
    Encoder(PathBuf),
}

/// Classes as vectors.
#[derive(Debug)]
pub struct Described {
    /// A row of length 1 for each class; 0 for one of which no word is known. `[C, D]` f32.
    pub vectors: Tensor,
    /// The classes of which no word is known.
    pub unknown: BTreeSet<usize>,
    /// Words that are not known, of classes of which others are.
    pub missing: BTreeMap<usize, Vec<String>>,
}

impl TextSource {
    /// What a user means: a file, an encoder's folder, or what is published under that name and lies in the cache.
    ///
    /// # Errors
    /// None of these.
    pub fn find(name: &str) -> Result<Self> {
        let path = Path::new(name);
        if path.is_dir() {
            return Ok(Self::Encoder(path.to_path_buf()));
        }
        if path.is_file() {
            return Ok(Self::Vectors(path.to_path_buf()));
        }
        let names = || published::models().iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
        let model = published::find(name).ok_or_else(|| {
            Error::Usage(format!("{name}: no file of word vectors, no folder of an encoder, and none of {}", names()))
        })?;
        let missing = || Error::Model(format!("{name} is not here yet: run `regraft models fetch {name}`"));
        Ok(Self::published(model, model.locate().ok_or_else(missing)?))
    }

    /// What is published, where it lies: at [`TextModel::fetch`]'s path.
    pub fn published(model: &TextModel, path: PathBuf) -> Self {
        match model.kind {
            TextKind::Vectors => Self::Vectors(path),
            TextKind::Encoder => Self::Encoder(path),
        }
    }

    /// A vector for each class: of its phrases the mean of those that are known, each scaled to length 1 before and after. A phrase is
    /// read whole where the vectors have it so (`polar_bear`, `polar-bear`), and otherwise as the mean of its words; an encoder
    /// reads `prompt` with the phrase in the place of `{}`.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn describe(&self, names: &[ClassName], prompt: &str, device: Device) -> Result<Described> {
        match self {
            Self::Vectors(path) => WordVectors::open(path, &forms(names))?.describe(names),
            Self::Encoder(folder) => {
                let sentences: Vec<String> =
                    names.iter().flat_map(|name| &name.phrases).map(|phrase| prompt.replace("{}", phrase)).collect();
                let all = Encoder::open(folder, device)?.encode(&sentences)?;
                let (mut rows, mut from) = (vec![], 0);
                for name in names {
                    let count = name.phrases.len() as i64;
                    let mean = all.f_narrow(0, from, count)?.f_mean_dim([0i64].as_slice(), false, Kind::Float)?;
                    rows.push(unit(&mean)?);
                    from += count;
                }
                Ok(Described {
                    vectors: Tensor::f_stack(&rows, 0)?,
                    unknown: BTreeSet::new(),
                    missing: BTreeMap::new(),
                })
            }
        }
    }
}

/// A vector for each class from several sources, one behind the other, so that the cosine of two classes that all of them know is the mean
/// of what they say. A class is unknown if no source knows it; what one of them does not know has a 0 there, and its words are missing.
///
/// # Errors
/// No source; what cannot be read.
pub fn describe(sources: &[TextSource], names: &[ClassName], prompt: &str, device: Device) -> Result<Described> {
    let mut all: Option<Described> = None;
    for source in sources {
        let mut more = source.describe(names, prompt, device)?;
        if sources.len() > 1 {
            let words = |&class: &usize| (class, names[class].words().map(str::to_string).collect());
            more.missing.extend(more.unknown.iter().map(words));
        }
        all = Some(match all {
            None => more,
            Some(Described { vectors, unknown, mut missing }) => {
                for (class, words) in more.missing {
                    let noted = missing.entry(class).or_default();
                    noted.extend(words);
                    noted.dedup();
                }
                Described {
                    vectors: Tensor::f_cat(&[vectors, more.vectors], 1)?,
                    unknown: unknown.intersection(&more.unknown).copied().collect(),
                    missing,
                }
            }
        });
    }
    let all =
        all.ok_or_else(|| Error::Usage("nothing says what classes are like: name word vectors or an encoder".into()))?;
    let missing = all.missing.into_iter().filter(|(class, _)| !all.unknown.contains(class)).collect();
    Ok(Described { vectors: unit(&all.vectors)?, unknown: all.unknown, missing })
}

/// Rows scaled to length 1; what is 0 stays so.
pub(super) fn unit(x: &Tensor) -> Result<Tensor> {
    let length = x.f_norm_scalaropt_dim(2, [-1i64], true)?.f_clamp_min(1e-12)?;
    Ok(x.f_div(&length)?)
}
