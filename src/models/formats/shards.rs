//! Checkpoints in several files, as Hugging Face saves them: an index says which file holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};

use super::StateDict;
use super::budget::Budget;
use super::pickle::{Parse, quote};
use super::state_dict::{Contents, Opened};
use super::unnest::list;
use crate::{Error, Result};

/// How an index's name ends.
const ENDING: &str = ".index.json";

/// What an entry of the index takes in memory, beyond its texts.
const ENTRY_COST: u64 = 192;

/// The one index in `folder`.
pub(super) fn find(folder: &Path) -> Result<PathBuf> {
    let cannot = |error| Error::io(folder, "cannot open")(error);
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(ENDING)) {
            found.insert(path);
        }
    }
    let names = list(found.iter().map(|path| quote(&path.file_name().unwrap_or_default().to_string_lossy())));
    match (found.pop_first(), found.is_empty()) {
        (Some(index), true) => Ok(index),
        (None, _) => Err(Error::file(
            folder,
            "is a folder without an index of shards (*.index.json), not a file; expected a checkpoint file, or the folder \
             of a sharded one",
        )),
        (Some(_), false) => Err(Error::file(folder, format!("has several indices, {names}: name the one to read"))),
    }
}

/// The tensors that the index at `path` lists, out of the files beside it.
pub(super) fn read(path: &Path, opened: &Opened) -> Result<Contents> {
    let map = index(&opened.file, opened.length).map_err(|reason| Error::file(path, reason))?;
    let mut by_shard: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, shard) in &map {
        by_shard.entry(shard).or_default().push(name);
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut contents = Contents::default();
    let mut left_out = 0;
    for (shard, names) in by_shard {
        let is_plain = Path::new(shard).file_name().is_some_and(|name| name == shard) && !shard.contains(['\\', '\0']);
        if !is_plain {
            let reason = format!("names the shard {}, which is not a file beside it: refused", quote(shard));
            return Err(Error::file(path, reason));
        }
        let file = folder.join(shard);
        if !file.exists() {
            let names = list(names.iter().map(|name| quote(name)));
            let reason = format!("needs {} beside it, which is missing (it has {names}); fetch it too", quote(shard));
            return Err(Error::file(path, reason));
        }
        let mut part = StateDict::open_file(&file)?;
        for name in names {
            let tensor = part.tensors.remove(name);
            let missing = || Error::file(&file, format!("lacks {}, which {} says it has", quote(name), path.display()));
            contents.tensors.insert(name.to_string(), tensor.ok_or_else(missing)?);
        }
        left_out += part.tensors.len();
        contents.metadata.extend(part.metadata);
        contents.notes.extend(part.notes);
    }
    if left_out > 0 {
        contents.notes.push(format!("left out {left_out} tensors of the shards that the index does not list"));
    }
    Ok(contents)
}

/// Which file holds which tensor.
fn index(file: &File, length: u64) -> Parse<BTreeMap<String, String>> {
    let mut budget = Budget::of(length);
    let mut reader = serde_json::Deserializer::from_reader(BufReader::new(file));
    let map = Index(&mut budget).deserialize(&mut reader).map_err(|error| match error.is_data() {
        true => error.to_string(),
        false => format!("is damaged JSON ({error})"),
    })?;
    match map {
        Some(map) if !map.is_empty() => Ok(map),
        Some(_) => Err("is an index of shards that lists no tensor".into()),
        None => {
            Err("is JSON without a `weight_map`: perhaps a server's error message; expected an index of shards, a \
                     PyTorch state dict (.pth, .pt) or .safetensors"
                .into())
        }
    }
}

/// Finds `weight_map` in an index, within a budget.
struct Index<'a>(&'a mut Budget);

/// Reads `weight_map` itself.
struct WeightMap<'a>(&'a mut Budget);

impl<'de> DeserializeSeed<'de> for Index<'_> {
    type Value = Option<BTreeMap<String, String>>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Index<'_> {
    type Value = Option<BTreeMap<String, String>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an index of shards with a `weight_map`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = None;
        while let Some(key) = entries.next_key::<String>()? {
            if key == "weight_map" {
                map = Some(entries.next_value_seed(WeightMap(self.0))?);
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(map)
    }
}

impl<'de> DeserializeSeed<'de> for WeightMap<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WeightMap<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a file name for each tensor in `weight_map`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, shard)) = entries.next_entry::<String, String>()? {
            let cost = ENTRY_COST + 2 * (name.len() + shard.len()) as u64;
            self.0.take(cost).map_err(|_| A::Error::custom("lists more tensors than can be: it is damaged"))?;
            map.insert(name, shard);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::super::sniff::Format;
    use super::super::write_safetensors;
    use super::*;

    /// A folder with two shards and the index `text`.
    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, name, value) in [("1.safetensors", "a", 1f32), ("2.safetensors", "b", 2.0)] {
            let tensors = BTreeMap::from([(name.to_string(), Tensor::from_slice(&[value]))]);
            write_safetensors(folder.path().join(file), &StateDict::new(tensors, BTreeMap::new())).unwrap();
        }
        std::fs::write(folder.path().join("model.safetensors.index.json"), text).unwrap();
        folder
    }

    #[test]
    fn shards_come_together_by_their_index_or_their_folder() {
        let text =
            "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {\"a\": \"1.safetensors\", \"b\": \"2.safetensors\"}}";
        let folder = folder(text);
        for path in [folder.path().to_path_buf(), folder.path().join("model.safetensors.index.json")] {
            let state = StateDict::read(path).unwrap();
            assert_eq!(state.format, Format::Sharded);
            assert_eq!(state.names().collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(f64::try_from(state.get("b").unwrap()).unwrap(), 2.0);
        }
        std::fs::write(folder.path().join("other.index.json"), text).unwrap();
        let error = StateDict::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has several indices, `model.safetensors.index.json`, `other.index.json`"), "{error}");
    }

    #[test]
    fn what_an_index_may_not_say_is_named() {
        for (text, expected) in [
            ("{\"weight_map\": {\"a\": \"../1.safetensors\"}}", "`../1.safetensors`, which is not a file beside it"),
            ("{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "`/etc/passwd`, which is not a file beside it"),
            ("{\"weight_map\": {\"a\": \"..\"}}", "not a file beside it"),
            ("{\"weight_map\": {\"a\": \"3.safetensors\"}}", "needs `3.safetensors` beside it, which is missing"),
            ("{\"weight_map\": {\"b\": \"1.safetensors\"}}", "1.safetensors: lacks `b`"),
            ("{\"weight_map\": {\"a\": \"model.safetensors.index.json\"}}", "is an index of shards itself"),
            ("{\"weight_map\": {}}", "lists no tensor"),
            ("{\"weight_map\": {\"a\": 1}}", "expected a string"),
            ("{\"weight_map\": {\"a\": \"1.saf", "is damaged JSON"),
            ("{\"error\": 404}", "JSON without a `weight_map`"),
        ] {
            let error = StateDict::read(folder(text).path()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn an_empty_folder_is_told_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let error = StateDict::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is a folder without an index of shards"), "{error}");
    }
}
