//! What `torch.save` has written since PyTorch 1.6: a zip archive of `NAME/data.pkl`, `NAME/byteorder` and one
//! `NAME/data/KEY` for each storage.

use std::collections::BTreeMap;

use tch::Tensor;

use super::budget::Budget;
use super::pickle::{Dialect, Input, Parse, Pickled, Storage, View, quote, run};
use super::state_dict::Contents;
use super::storage::Wanted;
use super::unnest;
use super::zip_file::Zip;

/// The longest pickle that is read; state dicts of the largest models have a few MB.
const MAX_PICKLE: u64 = 1 << 28;

/// The state dict in `archive`, whose entries are under `folder`.
pub(super) fn read(archive: &Zip, folder: &str, budget: Budget) -> Parse<Contents> {
    let (pickled, mut budget) = unpickle(archive, folder, Dialect::TorchSave, budget)?;
    let selection = unnest::select(&pickled, &mut budget)?;
    let storages = pickled.into_storages();
    let tensors = tensors(archive, folder, &storages, &selection.tensors, &mut budget)?;
    Ok(Contents { tensors, notes: selection.notes, ..Contents::default() })
}

/// The pickle of the archive, and what may be allocated after it.
pub(super) fn unpickle(archive: &Zip, folder: &str, dialect: Dialect, mut budget: Budget) -> Parse<(Pickled, Budget)> {
    let order = format!("{folder}byteorder");
    if archive.contains(&order) && archive.bytes(&order, 16)?.trim_ascii() != b"little" {
        return Err("was written on a big-endian machine; re-save it on a little-endian one".into());
    }
    let name = format!("{folder}data.pkl");
    let size = archive.size_of(&name)?;
    budget.take(size)?;
    let bytes = archive.bytes(&name, MAX_PICKLE)?;
    let mut pickled = run(&mut Input::new(&bytes[..], size), dialect, budget)?;
    let mut budget = std::mem::take(&mut pickled.arena.budget);
    drop(bytes);
    budget.give_back(size);
    Ok((pickled, budget))
}

/// Reads the storages behind `wanted`, each of them once.
pub(super) fn tensors(
    archive: &Zip,
    folder: &str,
    storages: &[Storage],
    wanted: &BTreeMap<String, View>,
    budget: &mut Budget,
) -> Parse<BTreeMap<String, Tensor>> {
    let wanted = Wanted::new(wanted);
    let mut tensors = BTreeMap::new();
    for storage in wanted.storages() {
        let described = &storages[storage];
        let (name, bytes) = (format!("{folder}data/{}", described.key), described.bytes()?);
        // the size is checked before the memory is asked for
        let actual = archive.size_of(&name)?;
        if actual != bytes {
            let name = quote(&name);
            return Err(format!("claims {bytes} bytes for {name} but has {actual}: it is damaged"));
        }
        wanted.build(storage, storages, budget, &mut tensors, |shape, kind| archive.tensor(&name, 0, shape, kind))?;
    }
    Ok(tensors)
}
