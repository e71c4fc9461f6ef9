//! What `torch.save` wrote before PyTorch 1.6: five pickles (a magic number, a version, facts about the machine, the
//! object, the keys of its storages), then each storage as an i64 count and its elements.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;

use tch::Tensor;

use super::pickle::{Input, Parse, Pickled, Value, quote, run};
use super::storage::{Budget, Wanted};
use super::unnest;

/// The one version of the format.
const VERSION: i64 = 1001;

/// The state dict in `file`, of `length` bytes, and notes on how it was found.
pub(super) fn read(file: File, length: u64) -> Parse<(BTreeMap<String, Tensor>, Vec<String>)> {
    let mut input = Input::new(BufReader::new(file), length);
    let magic = run(&mut input)?;
    let version = run(&mut input)?;
    match (magic.root, version.root) {
        (Value::LargeInt, Value::Int(VERSION)) => {}
        _ => return Err(format!("is a legacy torch.save file of another version than {VERSION}")),
    }
    check_machine(&run(&mut input)?)?;
    let pickled = run(&mut input)?;
    let keys = run(&mut input)?;
    let keys = keys.arena.sequence(keys.root).ok_or("has no list of storages: it is damaged")?.iter().map(|&key| {
        keys.arena
            .text(key)
            .and_then(|key| pickled.arena.storage_of(key).ok_or(key).ok())
            .ok_or("lists a storage that nothing uses")
    });
    let keys = keys.collect::<Result<Vec<usize>, _>>().map_err(|reason| format!("{reason}: it is damaged"))?;
    let selection = unnest::select(&pickled)?;
    let wanted = Wanted::new(&selection.tensors);
    let mut budget = Budget::of(length);
    let (mut tensors, mut missing) = (BTreeMap::new(), wanted.storages().collect::<std::collections::BTreeSet<_>>());
    for storage in keys {
        let described = &pickled.arena.storages[storage];
        let elements = u64::from_le_bytes(input.array()?);
        if elements != described.elements {
            let (key, claimed) = (quote(&described.key), described.elements);
            return Err(format!("claims {claimed} elements for storage {key} but has {elements}: it is damaged"));
        }
        let bytes = described.bytes()?;
        input.require(bytes)?;
        if wanted.contains(storage) {
            wanted.build(storage, &pickled.arena, &mut budget, &mut tensors, |buffer| input.fill(buffer))?;
        } else {
            input.seek_over(bytes)?;
        }
        missing.remove(&storage);
    }
    match missing.first() {
        Some(&storage) => {
            Err(format!("has no data for storage {}: it is damaged", quote(&pickled.arena.storages[storage].key)))
        }
        None => Ok((tensors, selection.notes)),
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
