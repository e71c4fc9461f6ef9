//! A checkpoint's contents in memory, whatever file it came from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use tch::Tensor;

use super::budget::Budget;
use super::pickle::Parse;
use super::sniff::{Format, HEAD, recognise, recognise_zip};
use super::zip_file::Zip;
use super::{legacy_pickle, npz, safetensors, shards, torchscript, unnest, zip_pickle};
use crate::{Error, Result};

/// Named tensors on the CPU, with what the file says about itself.
///
/// Tensors that share memory in the file (tied weights) share it here, as they do after `torch.load`: copy before
/// changing one in place. They have the strides of the file and ask for no gradient. Those of a safetensors file are views of
/// its pages: a file that is replaced by renaming leaves them as they are, one that is cut shorter in place ends the
/// process when they are touched.
#[derive(Debug)]
pub struct StateDict {
    /// The tensors, by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Text that a file carries beside its tensors: safetensors' metadata, TorchScript's extra files.
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
    /// under `state_dict`, `model_state_dict`, `model` or `net`), safetensors, TorchScript archives, `.ot`, `.npz`, and
    /// shards by their `*.index.json` or by the folder that holds one. The prefixes `module.`, `_orig_mod.`
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

    /// What the file or the folder of shards at `path` holds.
    fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Self::open(&shards::find(path)?);
        }
        let opened = Opened::file(path)?;
        match opened.format() {
            Ok(Format::Sharded) => {
                let Contents { tensors, metadata, notes } = shards::read(path, &opened)?;
                Ok(Self { tensors, metadata, format: Format::Sharded, notes })
            }
            _ => Self::of(path, &opened),
        }
    }

    /// What the single file at `path` holds.
    pub(super) fn open_file(path: &Path) -> Result<Self> {
        Self::of(path, &Opened::file(path)?)
    }

    fn of(path: &Path, opened: &Opened) -> Result<Self> {
        let read = opened.format().and_then(|format| match format {
            Format::LegacyPickle => Ok((legacy_pickle::read(&opened.file, opened.length)?, format)),
            Format::Safetensors => Ok((safetensors::read(&opened.file, opened.length)?, format)),
            Format::Sharded => Err("is an index of shards itself, where weights are expected".into()),
            Format::ZipPickle | Format::TorchScript | Format::Ot | Format::Npz => {
                let (zip, folder, format, budget) = opened.zip()?;
                match format {
                    Format::TorchScript => torchscript::contents(&zip, &folder, budget),
                    Format::Npz => Ok((npz::read(&zip, budget)?, format)),
                    _ => Ok((zip_pickle::read(&zip, &folder, budget)?, format)),
                }
            }
        });
        let (Contents { tensors, metadata, notes }, format) = read.map_err(|reason| {
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

impl Format {
    /// The format of the file at `path`, from a look at its first bytes and, in an archive, at the names in it; of an
    /// `.ot` file it is said to be [`Format::TorchScript`], which it is but for its methods.
    ///
    /// # Errors
    /// If the file cannot be read or is in no format that is known.
    pub fn of(path: &Path) -> Result<Self> {
        let opened = Opened::file(path)?;
        let format = opened.format().and_then(|format| match format {
            Self::ZipPickle => Ok(opened.zip()?.2),
            other => Ok(other),
        });
        format.map_err(|reason| Error::file(path, reason))
    }
}

/// What a reader finds in a file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub tensors: BTreeMap<String, Tensor>,
    pub metadata: BTreeMap<String, String>,
    pub notes: Vec<String>,
}

/// A file that was opened and looked at.
pub(super) struct Opened {
    pub file: File,
    pub length: u64,
    head: Vec<u8>,
}

impl Opened {
    /// Opens `path` and reads its first bytes.
    pub fn file(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io(path, "cannot open"))?;
        let facts = file.metadata().map_err(Error::io(path, "cannot open"))?;
        if !facts.is_file() {
            return Err(Error::file(path, "is not a file; expected a PyTorch state dict (.pth, .pt) or .safetensors"));
        }
        let mut head = Vec::with_capacity(HEAD);
        file.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(Error::io(path, "cannot read"))?;
        file.rewind().map_err(Error::io(path, "cannot read"))?;
        Ok(Self { file, length: facts.len(), head })
    }

    /// The format by the first bytes; of all zip archives it is said to be [`Format::ZipPickle`].
    pub fn format(&self) -> Parse<Format> {
        recognise(&self.head, self.length)
    }

    /// The archive, the folder inside it that counts, its format, and what may still be allocated.
    pub fn zip(&self) -> Parse<(Zip, String, Format, Budget)> {
        match self.format()? {
            Format::ZipPickle => {}
            other => return Err(format!("is a file of {other}; expected a TorchScript archive (torch.jit.save)")),
        }
        let mut budget = Budget::of(self.length);
        let file = self.file.try_clone().map_err(|error| format!("cannot open: {error}"))?;
        let zip = Zip::open(file, self.length, &mut budget)?;
        let (format, folder) = recognise_zip(zip.names())?;
        Ok((zip, folder, format, budget))
    }
}
