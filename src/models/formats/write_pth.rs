//! Writes what `torch.save(OrderedDict(…))` writes, so that `torch.load(path, weights_only=True)` reads it.
//!
//! A zip of `archive/data.pkl` and one stored, aligned `archive/data/N` for each storage. The pickle is written without
//! a memo: it names the few functions anew for each tensor, which costs bytes and no one's time.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::pickle::{Parse, quote};
use super::safetensors::write_tensor;
use super::{StateDict, dtype};
use crate::files::write_atomically;
use crate::{Error, Result};

/// Where storages begin, in bytes, so that a reader may map them.
const ALIGNMENT: u16 = 64;

/// Writes the tensors of `state` to `path` as PyTorch's zip of a pickled state dict. The same tensors give the same bytes; the
/// file appears whole or not at all. Tensors that share all of their memory (tied weights) share it in the file; other
/// views are written as tensors of their own. [`StateDict::metadata`] is left out: a plain state dict, which is what
/// `weights_only=True` and `load_state_dict` want, has no place for it.
///
/// # Errors
/// If the file cannot be written, or if a tensor has a type that PyTorch has no storage for.
pub fn write_pth(path: impl AsRef<Path>, state: &StateDict) -> Result<()> {
    let path = path.as_ref();
    let (pickle, storages) =
        pickle(state).map_err(|reason| Error::file(path, format!("cannot be written: {reason}")))?;
    let identity = identity(&pickle);
    write_atomically(path, |file| {
        let mut archive = ZipWriter::new_stream(file);
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let options = options.last_modified_time(zip::DateTime::default()).with_alignment(ALIGNMENT);
        let mut entry = |name: &str, large: bool, write: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>| {
            archive.start_file(format!("archive/{name}"), options.large_file(large))?;
            write(&mut archive)
        };
        entry("data.pkl", false, &mut |file| file.write_all(&pickle))?;
        entry(".format_version", false, &mut |file| file.write_all(b"1"))?;
        entry(".storage_alignment", false, &mut |file| file.write_all(ALIGNMENT.to_string().as_bytes()))?;
        entry("byteorder", false, &mut |file| file.write_all(b"little"))?;
        for (number, tensor) in storages.iter().enumerate() {
            let large = tensor.numel() * tensor.kind().elt_size_in_bytes() >= u32::MAX as usize;
            entry(&format!("data/{number}"), large, &mut |file| write_tensor(file, tensor))?;
        }
        entry("version", false, &mut |file| file.write_all(b"3\n"))?;
        entry(".data/serialization_id", false, &mut |file| file.write_all(identity.as_bytes()))?;
        archive.finish()?;
        Ok(())
    })
}

/// What makes two tensors one: the same numbers at the same place.
type Place = (usize, Kind, Vec<i64>, Vec<i64>);

/// The pickle of an ordered dictionary, and the storages that it refers to by their numbers.
fn pickle(state: &StateDict) -> Parse<(Vec<u8>, Vec<&Tensor>)> {
    let (mut storages, mut known) = (Vec::new(), HashMap::<Place, usize>::new());
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (name, tensor) in &state.tensors {
        let fault = |error: tch::TchError| format!("tensor {}: {error}", quote(name));
        let (kind, size) = (tensor.f_kind().map_err(fault)?, tensor.size());
        let Some(class) = dtype::to_storage_class(kind) else {
            let kind = dtype::dtype_name(kind);
            return Err(format!("tensor {} is {kind}, for which PyTorch has no storage of its own", quote(name)));
        };
        let count = tensor.numel();
        let number = match count {
            // nothing in memory, nothing to share
            0 => storages.len(),
            _ => {
                let place = (tensor.data_ptr() as usize, kind, size.clone(), tensor.stride());
                *known.entry(place).or_insert(storages.len())
            }
        };
        if number == storages.len() {
            storages.push(tensor);
        }
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(format!("ctorch\n{class}\n").bytes());
        text(&mut out, &number.to_string());
        text(&mut out, "cpu");
        integer(&mut out, count as i64);
        out.extend(b"tQ");
        integer(&mut out, 0);
        integers(&mut out, &size);
        integers(&mut out, &contiguous(&size));
        // asks for no gradient, has no hooks
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    Ok((out, storages))
}

/// The strides of a tensor that lies in memory row after row.
fn contiguous(size: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; size.len()];
    for dimension in (1..size.len()).rev() {
        strides[dimension - 1] = strides[dimension] * size[dimension].max(1);
    }
    strides
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.bytes());
}

fn integer(out: &mut Vec<u8>, number: i64) {
    match i32::try_from(number) {
        Ok(number) => {
            out.push(b'J');
            out.extend(number.to_le_bytes());
        }
        Err(_) => {
            out.extend([0x8a, 8]);
            out.extend(number.to_le_bytes());
        }
    }
}

fn integers(out: &mut Vec<u8>, numbers: &[i64]) {
    out.push(b'(');
    numbers.iter().for_each(|&number| integer(out, number));
    out.push(b't');
}

/// Forty digits that tell one state dict's layout from another's, as libtorch writes them for its own records.
fn identity(pickle: &[u8]) -> String {
    let digest = Sha256::digest(pickle);
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| digest[at + byte]));
    format!("{:020}{:020}", number(0), number(8))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Format;
    use super::*;

    fn state(tensors: Vec<(&str, Tensor)>) -> StateDict {
        StateDict::new(tensors.into_iter().map(|(name, tensor)| (name.to_string(), tensor)).collect(), BTreeMap::new())
    }

    #[test]
    fn what_is_written_is_read_back_and_always_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["a.pth", "b.pth"].map(|name| folder.path().join(name));
        let base = Tensor::arange(6, tch::kind::FLOAT_CPU).reshape([2, 3]);
        let kinds = [Kind::Double, Kind::Half, Kind::BFloat16, Kind::Int64, Kind::Int8, Kind::Bool, Kind::ComplexFloat];
        let mut tensors: Vec<_> = kinds.iter().map(|&kind| (dtype::dtype_name(kind), base.to_kind(kind))).collect();
        tensors.extend([
            ("turned", base.transpose(0, 1)),
            ("tied", base.shallow_clone()),
            ("é", base.shallow_clone()),
            ("scalar", Tensor::from(1.5f32)),
            ("empty", Tensor::zeros([0, 3], tch::kind::FLOAT_CPU)),
        ]);
        let state = state(tensors);
        write_pth(&first, &state).unwrap();
        let back = StateDict::read(&first).unwrap();
        assert_eq!((back.format, &back.notes[..]), (Format::ZipPickle, &[][..]));
        assert!(back.names().eq(state.names()));
        for (name, tensor) in &state.tensors {
            let found = &back.tensors[name];
            assert_eq!((found.kind(), found.size()), (tensor.kind(), tensor.size()), "{name}");
            assert!(found.equal(tensor) && found.is_contiguous(), "{name}");
        }
        let _ = back.tensors["tied"].shallow_clone().fill_(7.0);
        assert_eq!(f64::try_from(back.tensors["é"].max()).unwrap(), 7.0, "tied weights share their memory");
        write_pth(&second, &StateDict::read(&first).unwrap()).unwrap();
        let [first, second] = [first, second].map(|path| std::fs::read(path).unwrap());
        assert_eq!(first, second);
    }

    #[test]
    fn storages_begin_at_whole_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pth");
        write_pth(&path, &state(vec![("a", Tensor::from_slice(&[1u8])), ("b", Tensor::from_slice(&[2u8]))])).unwrap();
        let mut archive = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
        for name in ["archive/data/0", "archive/data/1"] {
            assert_eq!(archive.by_name(name).unwrap().data_start().unwrap() % u64::from(ALIGNMENT), 0, "{name}");
        }
    }

    #[test]
    fn a_type_without_a_storage_is_named_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let tensor = Tensor::zeros([1], tch::kind::FLOAT_CPU).to_kind(Kind::Float8e5m2);
        let error = write_pth(folder.path().join("x.pth"), &state(vec![("z", tensor)])).unwrap_err().to_string();
        assert!(error.contains("`z` is float8_e5m2"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
