//! safetensors: a JSON header (names, types, shapes, offsets), then the numbers. The tensors are views of the file's pages,
//! as in the format's own library; written with the same bytes every time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};
use tch::{Kind, Tensor};

use super::budget::Budget;
use super::pickle::{Input, Parse, quote};
use super::state_dict::Contents;
use super::storage::{torch, typed};
use super::unnest::TENSOR_COST;
use super::{StateDict, dtype};
use crate::files::write_atomically;
use crate::{Error, Result, native};

/// The longest header that the format allows.
const MAX_HEADER: u64 = 100_000_000;

/// What parsing a byte of the header may take: the shortest entries are a few letters, and two texts in two tables.
const HEADER_COST: u64 = 24;

/// The tensors and the metadata of a file of `length` bytes.
pub(super) fn read(file: &File, length: u64) -> Parse<Contents> {
    let mut input = Input::new(BufReader::new(file), length);
    let mut budget = Budget::of(length);
    let size = u64::from_le_bytes(input.array()?);
    if size > MAX_HEADER {
        return Err(format!("has a header of {size} bytes, over the format's {MAX_HEADER}: it is damaged"));
    }
    input.require(size)?;
    budget.take(size.saturating_mul(HEADER_COST))?;
    let header = input.bytes(size)?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|error| format!("has a damaged safetensors header ({error})"))?;
    let (data, present) = (header.data_len() as u64, length - 8 - size);
    if data > present {
        let missing = data - present;
        return Err(format!("ends too early, {missing} bytes are missing: it is truncated; fetch or copy it again"));
    }
    if data < present {
        return Err(format!("has {} bytes after its tensors: it is damaged", present - data));
    }
    let mut source = Source { file, start: 8 + size, memory: native::map(file, length).ok(), budget };
    let mut tensors = BTreeMap::new();
    // the crate has checked that, in this order, the tensors follow one another without gap or overlap
    for name in header.offset_keys() {
        let info = header.info(&name).ok_or("has a damaged safetensors header")?;
        let tensor = source.tensor(info).map_err(|reason| format!("tensor {}: {reason}", quote(&name)))?;
        tensors.insert(name, tensor);
    }
    let metadata = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(Contents { tensors, metadata, notes: Vec::new() })
}

/// Where the numbers are: in the file, and in its pages in memory where it could be mapped.
struct Source<'a> {
    file: &'a File,
    /// Where they begin.
    start: u64,
    memory: Option<Tensor>,
    budget: Budget,
}

impl Source<'_> {
    fn tensor(&mut self, info: &TensorInfo) -> Parse<Tensor> {
        let kind = dtype::from_safetensors(info.dtype)
            .ok_or_else(|| format!("has elements of type {}, which libtorch through tch does not have", info.dtype))?;
        let fault = || format!("has the impossible shape {:?}: the file is damaged", info.shape);
        let shape = info.shape.iter().map(|&size| i64::try_from(size)).collect::<std::result::Result<Vec<_>, _>>();
        let shape = shape.ok().filter(|shape| shape.len() <= 64).ok_or_else(fault)?;
        // also of an empty tensor: libtorch multiplies its other dimensions
        let elements = shape.iter().try_fold(1i64, |count, &size| count.checked_mul(size.max(1))).ok_or_else(fault)?;
        elements.checked_mul(kind.elt_size_in_bytes() as i64).ok_or_else(fault)?;
        self.budget.take(TENSOR_COST + 32 * shape.len() as u64)?;
        let (from, to) = info.data_offsets;
        let offset = self.start + from as u64;
        let aligned = offset.is_multiple_of(kind.elt_size_in_bytes() as u64);
        match &self.memory {
            // the pages are read when they are touched, and copied only when they are changed
            Some(memory) if aligned && to > from && kind != Kind::Bool => {
                let bytes = memory.f_narrow(0, offset as i64, (to - from) as i64);
                bytes.and_then(|bytes| bytes.f_view_dtype(kind)?.f_view(&shape[..])).map_err(torch)
            }
            _ => {
                self.budget.take((to - from) as u64)?;
                typed(&shape, kind, &mut self.budget, |shape, kind| {
                    native::read_at(self.file, offset, shape, kind, None).map_err(|error| error.to_string())
                })
            }
        }
    }
}

/// Writes `state` to `path` as safetensors. The same tensors and metadata give the same bytes; the file appears whole
/// or not at all, and what was there before is replaced only at the end. Tensors on other devices and with other
/// strides are copied one at a time.
///
/// # Errors
/// If the file cannot be written (as when the disk is full), or if a tensor has a type that the format
/// does not have.
pub fn write_safetensors(path: impl AsRef<Path>, state: &StateDict) -> Result<()> {
    let path = path.as_ref();
    let header = header(state).map_err(|reason| Error::file(path, format!("cannot be written: {reason}")))?;
    write_atomically(path, |file| {
        file.write_all(&(header.bytes.len() as u64).to_le_bytes())?;
        file.write_all(&header.bytes)?;
        header.order.iter().try_for_each(|name| write_tensor(file, &state.tensors[*name]))
    })
}

struct Header<'a> {
    bytes: Vec<u8>,
    order: Vec<&'a str>,
}

/// The header, padded to whole words, and the order of the data: widest elements first, so that all are aligned, then
/// by name, as the safetensors crate and its Python twin have it. The crate's own writer keeps metadata in a hash map,
/// whose order changes from run to run; this one sorts.
fn header(state: &StateDict) -> Parse<Header<'_>> {
    let mut order = Vec::with_capacity(state.tensors.len());
    for (name, tensor) in &state.tensors {
        let kind = tensor.f_kind().map_err(|error| format!("tensor {}: {error}", quote(name)))?;
        let dtype = dtype::to_safetensors(kind).ok_or_else(|| {
            format!("tensor {} is {}, which safetensors does not have", quote(name), dtype::dtype_name(kind))
        })?;
        if name == "__metadata__" {
            return Err("safetensors keeps the name `__metadata__` for itself; rename that tensor".into());
        }
        order.push((name.as_str(), dtype, tensor));
    }
    order.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(right.0)));
    let mut json = serde_json::Map::new();
    if !state.metadata.is_empty() {
        json.insert("__metadata__".into(), serde_json::json!(state.metadata));
    }
    let mut start = 0;
    for (name, dtype, tensor) in &order {
        let end = start + tensor.numel() * dtype.bitsize() / 8;
        let shape = tensor.size().into_iter().map(|size| size as usize).collect();
        let info = TensorInfo { dtype: *dtype, shape, data_offsets: (start, end) };
        json.insert(name.to_string(), serde_json::to_value(info).map_err(|error| error.to_string())?);
        start = end;
    }
    let mut bytes = serde_json::to_vec(&json).map_err(|error| error.to_string())?;
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    match bytes.len() as u64 {
        0..=MAX_HEADER => Ok(Header { bytes, order: order.into_iter().map(|(name, ..)| name).collect() }),
        size => Err(format!("its header would have {size} bytes, over the format's {MAX_HEADER}")),
    }
}

/// Writes the elements of `tensor`, row after row.
pub(super) fn write_tensor(file: &mut dyn Write, tensor: &Tensor) -> std::io::Result<()> {
    let (elements, size) = (tensor.numel(), tensor.kind().elt_size_in_bytes());
    let mut bytes = vec![0; elements * size];
    // libtorch refuses to copy out of a tensor that has no memory
    if elements > 0 {
        tensor.f_copy_data_u8(&mut bytes, elements).map_err(|error| std::io::Error::other(Error::from(error)))?;
    }
    file.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 10] = [
        Kind::Double,
        Kind::Float,
        Kind::Half,
        Kind::BFloat16,
        Kind::Int64,
        Kind::Int,
        Kind::Int16,
        Kind::Int8,
        Kind::Uint8,
        Kind::Bool,
    ];

    fn tensors() -> impl Strategy<Value = BTreeMap<String, Tensor>> {
        let tensor = (0..KINDS.len(), prop::collection::vec(0i64..4, 0..4), any::<bool>());
        prop::collection::btree_map("[a-z.é\"_]{0,8}", tensor, 0..5).prop_map(|described| {
            let build = |(kind, size, turned): (usize, Vec<i64>, bool)| {
                let count: i64 = size.iter().product();
                let tensor = Tensor::arange(count, (Kind::Int64, tch::Device::Cpu)).reshape(&size).to_kind(KINDS[kind]);
                if turned && size.len() > 1 { tensor.transpose(0, 1) } else { tensor }
            };
            described.into_iter().map(|(name, tensor)| (name, build(tensor))).collect()
        })
    }

    fn metadata() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map(".{0,6}", ".{0,6}", 0..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_written_is_read_back_and_always_the_same_bytes(tensors in tensors(), metadata in metadata()) {
            let folder = tempfile::tempdir().unwrap();
            let (first, second) = (folder.path().join("a"), folder.path().join("b"));
            let state = StateDict::new(tensors, metadata);
            write_safetensors(&first, &state).unwrap();
            let back = StateDict::read_safetensors(&first).unwrap();
            prop_assert_eq!(&back.metadata, &state.metadata);
            prop_assert!(back.names().eq(state.names()));
            for (name, tensor) in &state.tensors {
                prop_assert_eq!(back.tensors[name].kind(), tensor.kind());
                prop_assert_eq!(back.tensors[name].size(), tensor.size());
                prop_assert!(back.tensors[name].equal(tensor));
            }
            write_safetensors(&second, &back).unwrap();
            prop_assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
            prop_assert!(::safetensors::SafeTensors::deserialize(&std::fs::read(&first).unwrap()).is_ok());
        }
    }

    #[test]
    fn a_type_that_the_format_lacks_is_named_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let tensor = Tensor::zeros([1], (Kind::ComplexDouble, tch::Device::Cpu));
        let state = StateDict::new([("z".to_string(), tensor)].into(), BTreeMap::new());
        let error = write_safetensors(&path, &state).unwrap_err().to_string();
        assert!(error.contains("`z` is complex128"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Headers made to be large in memory: thousands of texts or of empty tensors in a small file.
    #[test]
    fn a_header_that_would_fill_the_memory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let texts = (0..1 << 18).map(|at| format!("\"{at:x}\":\"\"")).collect::<Vec<_>>().join(",");
        let tensor = |at| format!("\"{at:x}\":{{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,0]}}");
        let tensors = (0..1 << 16).map(tensor).collect::<Vec<_>>().join(",");
        for header in [format!("{{\"__metadata__\":{{{texts}}}}}"), format!("{{{tensors}}}")] {
            let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
            std::fs::write(&path, bytes).unwrap();
            let error = StateDict::read_safetensors(&path).unwrap_err().to_string();
            assert!(error.contains("refused as a decompression bomb"), "{error}");
        }
    }
}
