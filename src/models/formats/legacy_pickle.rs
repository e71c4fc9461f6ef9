//! What `torch.save` wrote before PyTorch 1.6: five pickles (a magic number, a version, facts about the machine, the
//! object, the keys of its storages), then each storage as an i64 count and its elements.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;

use super::budget::Budget;
use super::pickle::{Dialect, Input, Parse, Pickled, Value, quote, run};
use super::state_dict::Contents;
use super::storage::Wanted;
use super::unnest;
use crate::native;

/// The one version of the format.
const VERSION: i64 = 1001;

/// The state dict in `file`, of `length` bytes.
pub(super) fn read(file: &File, length: u64) -> Parse<Contents> {
    let mut input = Input::new(BufReader::new(file), length);
    let mut budget = Budget::of(length);
    let mut next = |input: &mut Input<_>| -> Parse<Pickled> {
        let mut pickled = run(input, Dialect::TorchSave, std::mem::take(&mut budget))?;
        budget = std::mem::take(&mut pickled.arena.budget);
        Ok(pickled)
    };
    match (next(&mut input)?.root, next(&mut input)?.root) {
        (Value::LargeInt, Value::Int(VERSION)) => {}
        _ => return Err(format!("is a legacy torch.save file of another version than {VERSION}")),
    }
    check_machine(&next(&mut input)?)?;
    let pickled = next(&mut input)?;
    let keys = next(&mut input)?;
    let keys = keys.arena.sequence(keys.root).ok_or("has no list of storages: it is damaged")?.iter().map(|&key| {
        keys.arena
            .text(key)
            .and_then(|key| pickled.arena.storage_of(key).ok_or(key).ok())
            .ok_or("lists a storage that nothing uses")
    });
    let keys = keys.collect::<Result<Vec<usize>, _>>().map_err(|reason| format!("{reason}: it is damaged"))?;
    let selection = unnest::select(&pickled, &mut budget)?;
    let storages = pickled.into_storages();
    let wanted = Wanted::new(&selection.tensors);
    let (mut tensors, mut missing) = (BTreeMap::new(), wanted.storages().collect::<BTreeSet<_>>());
    for storage in keys {
        let described = &storages[storage];
        let elements = u64::from_le_bytes(input.array()?);
        if elements != described.elements {
            let (key, claimed) = (quote(&described.key), described.elements);
            return Err(format!("claims {claimed} elements for storage {key} but has {elements}: it is damaged"));
        }
        let bytes = described.bytes()?;
        input.require(bytes)?;
        if wanted.contains(storage) {
            wanted.build(storage, &storages, &mut budget, &mut tensors, |shape, kind| {
                native::read_at(file, input.position(), shape, kind, None).map_err(|error| error.to_string())
            })?;
        }
        input.seek_over(bytes)?;
        missing.remove(&storage);
    }
    match missing.first() {
        Some(&storage) => Err(format!("has no data for storage {}: it is damaged", quote(&storages[storage].key))),
        None => Ok(Contents { tensors, notes: selection.notes, ..Contents::default() }),
    }
}

/// Refuses numbers in another byte order.
fn check_machine(facts: &Pickled) -> Parse<()> {
    let entries =
        facts.arena.dict(facts.root).ok_or("has no facts about the machine it was written on: it is damaged")?;
    let little = entries.iter().find(|(key, _)| facts.arena.text(*key) == Some("little_endian"));
    match little {
        Some((_, Value::Bool(false))) => {
            Err("was written on a big-endian machine; re-save it on a little-endian one".into())
        }
        _ => Ok(()),
    }
}
