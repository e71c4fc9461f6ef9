//! A checkpoint's contents in memory, whatever file it came from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use tch::Tensor;

use super::sniff::{Format, HEAD, recognise};
use super::{legacy_pickle, safetensors, unnest, zip_pickle};
use crate::{Error, Result};

/// Named tensors on the CPU, with what the file says about itself.
///
/// Tensors that share memory in the file (tied weights) share it here, as they do after `torch.load`: copy before
/// changing one in place. All are contiguous and ask for no gradient.
#[derive(Debug)]
pub struct StateDict {
    /// The tensors, by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Text that a safetensors file carries beside its tensors; empty for pickles.
    pub metadata: BTreeMap<String, String>,
    /// The format of the file.
    pub format: Format,
    /// What was done to find the tensors, in sentences for people: nests taken, entries skipped, prefixes taken off.
    pub notes: Vec<String>,
}

impl StateDict {
    /// A state dict that is about to be written.
    pub fn new(tensors: BTreeMap<String, Tensor>, metadata: BTreeMap<String, String>) -> Self {
        Self { tensors, metadata, format: Format::Safetensors, notes: Vec::new() }
    }

    /// Reads a checkpoint, told apart by its contents: `torch.save` files (zip or legacy; a state dict, or one nested
    /// under `state_dict`, `model_state_dict`, `model` or `net`) and safetensors. The prefixes `module.`, `_orig_mod.`
    /// and `model.` come off where all names have them. [`Self::notes`] tells all of this.
    ///
    /// # Errors
    /// If the file cannot be read, is truncated, damaged or in another format (which is named), or if it is a pickle
    /// that holds anything but tensors and containers: nothing in a checkpoint is ever executed.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let mut state = Self::open(path.as_ref())?;
        let notes = unnest::strip_wrappers(&mut state.tensors);
        state.notes.extend(notes);
        Ok(state)
    }

    /// Reads a safetensors file with the names exactly as they are in it, for what this crate wrote itself.
    ///
    /// # Errors
    /// As [`Self::read`]; also if the file is in another format.
    pub fn read_safetensors(path: impl AsRef<Path>) -> Result<Self> {
        let state = Self::open(path.as_ref())?;
        match state.format {
            Format::Safetensors => Ok(state),
            other => Err(Error::file(path, format!("is a file of {other}; expected safetensors"))),
        }
    }

    fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io(path, "cannot open"))?;
        let facts = file.metadata().map_err(Error::io(path, "cannot open"))?;
        if !facts.is_file() {
            return Err(Error::file(path, "is not a file; expected a PyTorch state dict (.pth, .pt) or .safetensors"));
        }
        let (length, mut head) = (facts.len(), Vec::with_capacity(HEAD));
        file.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(Error::io(path, "cannot read"))?;
        file.rewind().map_err(Error::io(path, "cannot read"))?;
        let mut metadata = BTreeMap::new();
        let read = recognise(&head, length).and_then(|format| {
            let (tensors, notes) = match format {
                Format::ZipPickle => zip_pickle::read(file, length)?,
                Format::LegacyPickle => legacy_pickle::read(file, length)?,
                Format::Safetensors => {
                    let (tensors, found) = safetensors::read(file, length)?;
                    metadata = found;
                    (tensors, Vec::new())
                }
            };
            Ok((tensors, notes, format))
        });
        let (tensors, notes, format) = read.map_err(|reason| {
            // other crates quote the file's own text in their messages
            Error::file(path, reason.replace(char::is_control, " "))
        })?;
        Ok(Self { tensors, metadata, format, notes })
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Number of elements of all tensors together, buffers among them.
    pub fn elements(&self) -> usize {
        self.tensors.values().map(Tensor::numel).sum()
    }

    /// Size of all tensors together, in bytes.
    pub fn bytes(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum()
    }

    /// Takes `prefix` off all names, if every name has it; says whether it did.
    pub fn strip_prefix(&mut self, prefix: &str) -> bool {
        unnest::strip(&mut self.tensors, prefix)
    }
}
