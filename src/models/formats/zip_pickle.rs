//! What `torch.save` has written since PyTorch 1.6: a zip archive of `NAME/data.pkl`, `NAME/byteorder` and one
//! `NAME/data/KEY` for each storage.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};

use tch::Tensor;
use zip::ZipArchive;

use super::pickle::{Input, Parse, quote, run};
use super::storage::{Budget, Wanted};
use super::unnest;

/// The longest pickle that is read; state dicts of the largest models have a few MB.
const MAX_PICKLE: u64 = 1 << 28;

type Archive = ZipArchive<BufReader<File>>;

/// The state dict in `file`, of `length` bytes, and notes on how it was found.
pub(super) fn read(file: File, length: u64) -> Parse<(BTreeMap<String, Tensor>, Vec<String>)> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
        format!("begins as a zip archive but has no readable end ({error}): it is truncated or damaged; fetch or copy it again")
    })?;
    let folder = folder_of(&archive)?;
    let mut budget = Budget::of(length);
    if archive.index_for_name(&format!("{folder}byteorder")).is_some() {
        let order = entry(&mut archive, &format!("{folder}byteorder"), &mut budget, 16)?;
        if order.trim_ascii() != b"little" {
            return Err("was written on a big-endian machine; re-save it on a little-endian one".into());
        }
    }
    let pickle = entry(&mut archive, &format!("{folder}data.pkl"), &mut budget, MAX_PICKLE)?;
    let pickled = run(&mut Input::new(&pickle[..], pickle.len() as u64))?;
    drop(pickle);
    let selection = unnest::select(&pickled)?;
    let wanted = Wanted::new(&selection.tensors);
    let mut tensors = BTreeMap::new();
    for storage in wanted.storages() {
        let described = &pickled.arena.storages[storage];
        let (name, bytes) = (format!("{folder}data/{}", described.key), described.bytes()?);
        // the size is checked before the memory is asked for
        let actual = size_of(&mut archive, &name)?;
        if actual != bytes {
            return Err(format!("claims {bytes} bytes for {} but has {actual}: it is damaged", quote(&name)));
        }
        wanted.build(storage, &pickled.arena, &mut budget, &mut tensors, |buffer| fill(&mut archive, &name, buffer))?;
    }
    Ok((tensors, selection.notes))
}

/// The folder that holds `data.pkl`, with its slash.
fn folder_of(archive: &Archive) -> Parse<String> {
    let mut folder = None;
    let mut names = Vec::new();
    for name in archive.file_names() {
        let name = name.map_err(|error| format!("has an unreadable entry ({error}): it is damaged"))?;
        let (head, tail) =
            name.split_once('/').map_or(("", &name[..]), |(_, tail)| (&name[..name.len() - tail.len()], tail));
        if tail == "constants.pkl" || tail.starts_with("code/") || tail == "bytecode.pkl" {
            return Err(
                "is a TorchScript module (torch.jit.save), not a state dict; re-save its weights in Python with \
                        torch.save(torch.jit.load(path).state_dict(), …)"
                    .into(),
            );
        }
        if tail == "data.pkl" {
            folder = Some(head.to_string());
        }
        names.push(name.into_owned());
    }
    folder.ok_or_else(|| {
        if names.iter().any(|name| name.ends_with(".npy")) {
            return "is a NumPy archive (.npz), not a PyTorch checkpoint; save its arrays as .safetensors".to_string();
        }
        let names = unnest::list(names.iter().map(|name| quote(name)));
        format!("is a zip archive without `data.pkl` (it has {names}): not a PyTorch checkpoint")
    })
}

fn size_of(archive: &mut Archive, name: &str) -> Parse<u64> {
    let file =
        archive.by_name(name).map_err(|error| format!("has no readable {} ({error}): it is damaged", quote(name)))?;
    Ok(file.size())
}

/// A whole entry, of at most `limit` bytes.
fn entry(archive: &mut Archive, name: &str, budget: &mut Budget, limit: u64) -> Parse<Vec<u8>> {
    let size = size_of(archive, name)?;
    if size > limit {
        return Err(format!("has {size} bytes in {}, where no more than {limit} are expected", quote(name)));
    }
    budget.take(size)?;
    let mut bytes = vec![0; size as usize];
    fill(archive, name, &mut bytes)?;
    Ok(bytes)
}

/// Reads the entry `name` into `buffer`, which has its size.
fn fill(archive: &mut Archive, name: &str, buffer: &mut [u8]) -> Parse<()> {
    let fault = |error: &dyn std::fmt::Display| {
        format!("has a damaged {} ({error}): fetch or copy it again, or re-save it with torch.save", quote(name))
    };
    let mut file = archive.by_name(name).map_err(|error| fault(&error))?;
    file.read_exact(buffer).map_err(|error| fault(&error))?;
    // the checksum is compared where the end is met
    match file.read(&mut [0]).map_err(|error| fault(&error))? {
        0 => Ok(()),
        _ => Err(fault(&"longer than it says")),
    }
}
