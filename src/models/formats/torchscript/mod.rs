//! TorchScript archives, read without running them: the tensors, and what the archive says about its modules.
//!
//! `torch.jit.save` writes a zip of `data.pkl` (the modules as objects with attributes), `data/KEY` (their storages),
//! `code/**.py` (the classes of these objects) and `extra/NAME`. The attributes are taken as they are; of the code only
//! the lists of each class's parameters and buffers are read, and which operators are called.

mod code;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;

use tch::Tensor;

use super::budget::Budget;
use super::pickle::{Dialect, Parse, quote};
use super::sniff::Format;
use super::state_dict::{Contents, Opened};
use super::zip_file::Zip;
use super::{unnest, zip_pickle};
use crate::{Error, Result};
use code::Code;

/// The most bytes of code that are read; the largest networks have a few MB.
const MAX_CODE: u64 = 1 << 26;

/// The most bytes that one extra file may have.
const MAX_EXTRA: u64 = 1 << 26;

/// One module of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its dotted path; empty for the root.
    pub path: String,
    /// Its class as the archive writes it, such as `__torch__.torchvision.models.resnet.ResNet`. Tracing puts
    /// `___torch_mangle_N` before the last part.
    pub class: String,
    /// Whether it was saved in training mode.
    pub training: bool,
}

/// What a TorchScript archive holds.
#[derive(Debug)]
pub struct Archive {
    /// Parameters and buffers, named as by `torch.jit.load(path).state_dict()`.
    pub tensors: BTreeMap<String, Tensor>,
    /// The names of the parameters, in order of definition.
    pub parameters: Vec<String>,
    /// The names of the buffers, in order of definition.
    pub buffers: Vec<String>,
    /// The modules in order of definition, each before its children. One that has two names is here twice.
    pub modules: Vec<Module>,
    /// Operators that libtorch itself does not have and the code calls, as in `torchvision::nms`, sorted.
    pub custom_ops: Vec<String>,
    /// The files that were saved along (`_extra_files`), by name.
    pub extra_files: BTreeMap<String, Vec<u8>>,
    /// Whether there is any method to call; tch's `.ot` files and C++'s `torch::save` have none.
    pub has_code: bool,
    /// Whether libtorch runs code of the archive as soon as it loads it, `__setstate__`.
    pub runs_on_load: bool,
    /// What was left out or assumed, in sentences for people.
    pub notes: Vec<String>,
}

impl Archive {
    /// Reads the archive at `path`. Nothing in it is executed.
    ///
    /// # Errors
    /// If the file cannot be read, is truncated or damaged, or is no TorchScript archive (what it is is named).
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let opened = Opened::file(path)?;
        let archive = opened.zip().and_then(|(zip, folder, format, budget)| match format {
            Format::TorchScript => read(&zip, &folder, budget),
            other => Err(format!("is a file of {other}; expected a TorchScript archive (torch.jit.save)")),
        });
        archive.map_err(|reason| Error::file(path, reason))
    }

    /// The extra files that are text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.extra_files.iter().filter_map(|(name, bytes)| Some((&name[..], str::from_utf8(bytes).ok()?)))
    }
}

/// The state dict of an archive, and whether it is more than that.
pub(super) fn contents(zip: &Zip, folder: &str, budget: Budget) -> Parse<(Contents, Format)> {
    let archive = read(zip, folder, budget)?;
    if archive.tensors.is_empty() {
        return Err("is a TorchScript module that holds no tensors: it has neither parameters nor buffers".into());
    }
    let metadata = archive.texts().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    let format = if archive.has_code { Format::TorchScript } else { Format::Ot };
    Ok((Contents { tensors: archive.tensors, metadata, notes: archive.notes }, format))
}

fn read(zip: &Zip, folder: &str, mut budget: Budget) -> Parse<Archive> {
    let extra_files = extra_files(zip, folder, &mut budget)?;
    let code = read_code(zip, folder, &mut budget)?;
    let (pickled, mut budget) = zip_pickle::unpickle(zip, folder, Dialect::TorchScript, budget)?;
    let mut found = walk::walk(&pickled, &code, &mut budget)?;
    if !code.has_methods && found.tensors.keys().any(|name| name.contains('|')) {
        found.restore_dots()?;
    }
    let storages = pickled.into_storages();
    let tensors = zip_pickle::tensors(zip, folder, &storages, &found.tensors, &mut budget)?;
    Ok(Archive {
        tensors,
        parameters: found.parameters,
        buffers: found.buffers,
        modules: found.modules,
        custom_ops: code.custom_ops.into_iter().collect(),
        extra_files,
        has_code: code.has_methods,
        runs_on_load: code.runs_on_load,
        notes: found.notes,
    })
}

/// The names below `folder`, without it, that begin with `start`.
fn below<'a>(zip: &'a Zip, folder: &str, start: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    zip.names().filter_map(move |name| {
        let inner = name.strip_prefix(folder)?;
        Some((name, inner.strip_prefix(start)?))
    })
}

fn read_code(zip: &Zip, folder: &str, budget: &mut Budget) -> Parse<Code> {
    let mut code = Code::default();
    let mut left = MAX_CODE;
    for (name, inner) in below(zip, folder, "code/") {
        let Some(module) = inner.strip_suffix(".py") else { continue };
        let size = zip.size_of(name)?;
        // gone again after this file: only its size at a time matters
        budget.take(size)?;
        let text = zip.bytes(name, left)?;
        left -= size;
        let text =
            str::from_utf8(&text).map_err(|_| format!("has code in {} that is no text: it is damaged", quote(name)))?;
        code.add(&module.replace('/', "."), text, budget)?;
        budget.give_back(size);
    }
    Ok(code)
}

fn extra_files(zip: &Zip, folder: &str, budget: &mut Budget) -> Parse<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for (name, inner) in below(zip, folder, "extra/") {
        // once as bytes, once as a state dict's metadata
        budget.take(zip.size_of(name)?.saturating_mul(2).saturating_add(unnest::TENSOR_COST))?;
        files.insert(inner.to_string(), zip.bytes(name, MAX_EXTRA)?);
    }
    Ok(files)
}
