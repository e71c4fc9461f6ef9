//! Every checkpoint that `torch.save` writes is read to the last bit; everything else is answered with one clear line,
//! and nothing in it is executed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use regraft::models::formats::torchscript::Archive;
use regraft::models::formats::{Format, StateDict};
use tch::Tensor;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state_dicts")
}

/// What the generator says each file holds, by file and name.
fn expected() -> BTreeMap<String, BTreeMap<String, Tensor>> {
    let mut files: BTreeMap<String, BTreeMap<String, Tensor>> = BTreeMap::new();
    let all = StateDict::read_safetensors(folder().join("expected.safetensors")).unwrap();
    assert!(all.metadata["torch"].starts_with("2.11.0"));
    for (name, tensor) in all.tensors {
        let (file, name) = name.split_once('/').unwrap();
        files.entry(file.to_string()).or_default().insert(name.to_string(), tensor);
    }
    files
}

fn error(name: &str) -> String {
    StateDict::read(folder().join(name)).unwrap_err().to_string()
}

#[test]
fn every_checkpoint_is_read_exactly() {
    let expected = expected();
    assert_eq!(expected.len(), 27);
    for (file, tensors) in expected {
        let state = StateDict::read(folder().join(&file)).unwrap();
        assert!(state.names().eq(tensors.keys().map(String::as_str)), "{file}: {:?}", state.tensors.keys());
        for (name, expected) in &tensors {
            let found = &state.tensors[name];
            assert_eq!((found.kind(), found.size()), (expected.kind(), expected.size()), "{file}: {name}");
            assert!(found.equal(expected) && !found.requires_grad(), "{file}: {name}");
        }
        let format = match file.split_once('.') {
            Some((_, "pt")) => Format::TorchScript,
            Some((_, "npz")) => Format::Npz,
            Some((stem, _)) if stem.contains("legacy") => Format::LegacyPickle,
            _ => Format::ZipPickle,
        };
        assert_eq!(state.format, format, "{file}");
    }
}

#[test]
fn sizes_are_counted_over_all_tensors() {
    let state = StateDict::read(folder().join("zip.pth")).unwrap();
    assert_eq!(state.elements(), 4 * 27 + 4 + 4 * 4 + 1 + 8 + 2);
    assert_eq!(state.bytes(), 4 * (state.elements() - 1) + 8);
    assert!(state.get("bn.running_mean").is_some() && state.get("nothing").is_none());
}

#[test]
fn notes_tell_what_was_done() {
    let notes = |file: &str| StateDict::read(folder().join(file)).unwrap().notes.join("; ");
    assert_eq!(notes("zip.pth"), "");
    let nested = notes("nested_net.pth");
    assert!(nested.starts_with("took the weights under `net`, left out `epoch`, `best`"), "{nested}");
    assert_eq!(notes("mixed.pth"), "skipped 2 entries that are not tensors: `epoch`, `args`");
    assert_eq!(
        notes("prefix_both.pth"),
        "took the prefix `module.` off all 9 names; took the prefix `_orig_mod.` off all 9 names; took the prefix \
         `model.` off all 9 names"
    );
}

#[test]
fn views_of_one_storage_share_its_memory() {
    for file in ["views.pth", "views_legacy.pth"] {
        let state = StateDict::read(folder().join(file)).unwrap();
        let _ = state.tensors["whole"].shallow_clone().fill_(7.0);
        assert_eq!(f64::try_from(state.tensors["tail"].sum(tch::Kind::Double)).unwrap(), 28.0, "{file}");
        assert_eq!(f64::try_from(state.tensors["transposed"].min()).unwrap(), 7.0, "{file}");
        assert_eq!(
            (state.tensors["transposed"].size(), state.tensors["transposed"].stride()),
            (vec![6, 4], vec![1, 6])
        );
    }
}

/// A list of texts out of `scripts.json`.
fn texts(value: &serde_json::Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn a_torchscript_archive_tells_of_itself_what_pytorch_says_of_it() {
    let facts = std::fs::read(folder().join("scripts.json")).unwrap();
    let facts: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&facts).unwrap();
    for (file, facts) in &facts {
        let archive = Archive::read(folder().join(file)).unwrap();
        assert_eq!(archive.parameters, texts(&facts["parameters"]), "{file}");
        assert_eq!(archive.buffers, texts(&facts["buffers"]), "{file}");
        let modules: Vec<_> = facts["modules"].as_array().unwrap().iter().collect();
        assert_eq!(archive.modules.len(), modules.len(), "{file}");
        for (module, expected) in archive.modules.iter().zip(modules) {
            let found = serde_json::json!([module.path, module.class, module.training]);
            assert_eq!(&found, expected, "{file}");
        }
        assert!(archive.has_code && archive.notes.is_empty(), "{file}: {:?}", archive.notes);
    }
    let scripted = Archive::read(folder().join("scripted.pt")).unwrap();
    assert_eq!(scripted.custom_ops, ["regraft_golden::twice"]);
    assert_eq!(scripted.extra_files["raw.bin"], b"\x00\xff");
    assert_eq!(scripted.texts().collect::<Vec<_>>(), [("classes.txt", "cat\ndog")]);
    let state = StateDict::read(folder().join("scripted.pt")).unwrap();
    assert_eq!(state.metadata["classes.txt"], "cat\ndog");
    let error = Archive::read(folder().join("zip.pth")).unwrap_err().to_string();
    assert!(error.contains("is a file of torch.save (zip); expected a TorchScript archive"), "{error}");
}

#[test]
fn what_tch_saves_gets_its_dots_back() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("weights.ot");
    let named = [("layer1.0.weight", Tensor::from_slice(&[1f32, 2.0])), ("fc.bias", Tensor::from_slice(&[3i64]))];
    Tensor::save_multi(&named, &path).unwrap();
    let state = StateDict::read(&path).unwrap();
    assert_eq!((state.format, &state.notes[..]), (Format::Ot, &[][..]));
    assert_eq!(state.names().collect::<Vec<_>>(), ["fc.bias", "layer1.0.weight"]);
    assert!(named.iter().all(|(name, tensor)| state.tensors[*name].equal(tensor)));
}

#[test]
fn code_is_refused_by_name_and_never_run() {
    let marker = Path::new("/tmp/regraft-was-here");
    for file in ["malicious.pth", "malicious_nested.pth", "malicious_legacy.pth"] {
        let error = error(file);
        assert!(error.contains("holds `posix.system`, which is not a tensor or container"), "{error}");
        assert!(!error.contains('\n') && !marker.exists());
    }
    for file in ["whole_module.pth", "whole_module_legacy.pth"] {
        let error = error(file);
        assert!(error.contains("a whole pickled object of class `__main__.Net`"), "{error}");
        assert!(error.contains("torch.save(model.state_dict()"), "{error}");
    }
}

#[test]
fn what_is_no_state_dict_is_named() {
    for (file, expected) in [
        ("torchscript.pt", "holds no tensors"),
        ("exported.pt2", "is an exported program (torch.export, .pt2)"),
        ("objects.npz", "array `odd`: holds pickled Python objects"),
        ("big_endian.npz", "array `w`: has big-endian numbers (>f4)"),
        ("single.npy", "is a single NumPy array (.npy)"),
        ("plain_pickle.pkl", "is a Python pickle that torch.save did not write"),
        ("truncated.pth", "it is truncated"),
        ("truncated_legacy.pth", "it is truncated"),
        ("big_endian_legacy.pth", "big-endian"),
        ("bare_tensor.pth", "holds a single tensor, not a dictionary"),
        ("no_tensors.pth", "holds no state dict: its entries are `epoch`, `lr`"),
        ("generate.py", "is in no format that is known here"),
        ("missing.pth", "cannot open: No such file"),
        ("", "is a folder without an index of shards (*.index.json), not a file"),
    ] {
        let error = error(file);
        assert!(error.contains(expected) && !error.contains('\n'), "{file}: {error}");
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("cut");
    for file in ["zip.pth", "legacy.pth", "scripted.pt", "deflated.npz"] {
        let whole = std::fs::read(folder().join(file)).unwrap();
        for length in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(StateDict::read(&path).is_err(), "{file} cut to {length} bytes");
        }
    }
}

#[test]
fn a_decompression_bomb_is_refused() {
    use std::io::Write;
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("bomb.pth");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let deflated = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    // {"w": a tensor of 2²⁴ elements of one storage}
    let mut pickle =
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n".to_vec();
    pickle.extend(
        b"X\x01\0\0\x000X\x03\0\0\0cpuJ\0\0\0\x01tQK\0J\0\0\0\x01\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs.",
    );
    archive.start_file("x/data.pkl", deflated).unwrap();
    archive.write_all(&pickle).unwrap();
    archive.start_file("x/data/0", deflated).unwrap();
    for _ in 0..64 {
        archive.write_all(&[0; 1 << 20]).unwrap();
    }
    archive.finish().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 1 << 17);
    let error = StateDict::read(&path).unwrap_err().to_string();
    assert!(error.contains("decompression bomb"), "{error}");
}

/// The good files, to be damaged.
fn goldens() -> Vec<Vec<u8>> {
    let files = expected().into_keys().map(|file| std::fs::read(folder().join(file)).unwrap());
    files.chain([std::fs::read(folder().join("expected.safetensors")).unwrap()]).collect()
}

fn read_bytes(bytes: &[u8]) -> Option<String> {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("x");
    std::fs::write(&path, bytes).unwrap();
    StateDict::read(&path).err().map(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes_are_one_line_of_error(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0usize..4) {
        let start: &[u8] = [&b""[..], b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x10\0\0\0\0\0\0\0{"][start];
        let error = read_bytes(&[start, &bytes].concat());
        prop_assert!(error.is_some_and(|error| !error.contains('\n')));
    }

    #[test]
    fn damage_never_panics(
        file in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let goldens = goldens();
        let mut bytes = goldens[file.index(goldens.len())].clone();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        prop_assert!(read_bytes(&bytes).is_none_or(|error| !error.contains('\n')));
    }
}
