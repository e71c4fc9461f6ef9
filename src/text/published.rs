//! Published word vectors and sentence encoders: where each comes from and what it may be used for.
//!
//! The entries lie in `models/text.json`, which is part of the program.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::models::cache::{Cache, Progress, Published};
use crate::models::registry::Origin;
use crate::{Error, Result};

/// Vectors or an encoder that can be had by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextModel {
    /// What the user calls it.
    pub name: String,
    /// Which of the two it is.
    pub kind: TextKind,
    /// Its files; vectors have one, an encoder has its configuration, its tokenizer and its weights.
    pub files: Vec<TextFile>,
    /// How many numbers a vector has.
    pub dimensions: i64,
    /// Licence under which the publisher gives it, as an SPDX identifier.
    pub licence: String,
    /// The paper, or the publisher's page.
    pub paper: String,
}

/// What makes vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextKind {
    /// A vector for each of many words.
    Vectors,
    /// A network that reads sentences.
    Encoder,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFile {
    /// Where it comes from.
    pub origin: Origin,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// All of them.
pub fn models() -> &'static [TextModel] {
    static MODELS: OnceLock<Vec<TextModel>> = OnceLock::new();
    MODELS.get_or_init(|| {
        serde_json::from_str(include_str!("../../models/text.json")).expect("a test parses the embedded entries")
    })
}

/// The one of that name.
pub fn find(name: &str) -> Option<&'static TextModel> {
    models().iter().find(|model| model.name == name)
}

impl TextModel {
    /// Where a file lies in the cache.
    fn place(&self, file: &TextFile) -> PathBuf {
        Path::new("text").join(&self.name).join(file.origin.file_name())
    }

    /// The file of vectors or the encoder's folder, if all of it is in the cache and intact.
    pub fn locate(&self) -> Option<PathBuf> {
        let cache = Cache::open().ok()?;
        let files: Option<Vec<PathBuf>> =
            self.files.iter().map(|file| cache.locate_file(&self.place(file), &file.sha256)).collect();
        self.of(files?)
    }

    fn of(&self, files: Vec<PathBuf>) -> Option<PathBuf> {
        let first = files.into_iter().next()?;
        match self.kind {
            TextKind::Vectors => Some(first),
            TextKind::Encoder => first.parent().map(Path::to_path_buf),
        }
    }

    /// The same, fetched first where it is not there.
    ///
    /// # Errors
    /// See [`fetch`](crate::models::cache::fetch).
    pub fn fetch(&self, progress: &mut Progress) -> Result<PathBuf> {
        let cache = Cache::open()?;
        let mut files = vec![];
        for file in &self.files {
            files.push(cache.fetch_file(
                &Published {
                    what: &self.name,
                    origin: &file.origin,
                    sha256: &file.sha256,
                    file: &self.place(file),
                    instead: "name a file of word vectors or the folder of an encoder",
                },
                progress,
            )?);
        }
        self.of(files).ok_or_else(|| Error::Model(format!("{} has no files", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_complete() {
        for model in models() {
            assert!(!model.files.is_empty() && model.dimensions > 0, "{}", model.name);
            assert!(model.files.iter().all(|file| file.sha256.len() == 64), "{}", model.name);
            if model.kind == TextKind::Encoder {
                let names: Vec<&str> = model.files.iter().map(|file| file.origin.file_name()).collect();
                assert_eq!(names, ["config.json", "tokenizer.json", "model.safetensors"], "{}", model.name);
            }
            assert_eq!(find(&model.name), Some(model));
        }
        assert!(find("resnet18").is_none());
    }
}
