//! Files of MATLAB 7.3: the same variables, as data sets of HDF5.
//!
//! A variable is a data set of its name in the root group, with its class in the attribute `MATLAB_class`. HDF5's last dimension runs fastest and
//! MATLAB's first, so dimensions stand in reverse and elements in the same order. Texts are 16-bit units; cells are references to data sets.

use std::collections::BTreeMap;
use std::path::Path;

use hdf5_reader::dataset::Dataset;
use hdf5_reader::messages::datatype::Datatype;
use hdf5_reader::reference::read_object_references;
use hdf5_reader::{Hdf5File, OpenOptions};

use super::array::{MatArray, Values};
use super::{MAX_BYTES, Parse};

/// Where what cells refer to lies.
const REFERRED: &str = "#refs#";

/// An open file.
#[derive(Clone)]
pub(super) struct Hdf5 {
    file: std::sync::Arc<Hdf5File>,
    /// The names of the variables, sorted.
    pub(super) names: Vec<String>,
}

impl std::fmt::Debug for Hdf5 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hdf5").field("names", &self.names).finish_non_exhaustive()
    }
}

fn damaged(error: impl std::fmt::Display) -> String {
    format!("is damaged: {error}")
}

impl Hdf5 {
    pub(super) fn open(path: &Path) -> Parse<Self> {
        let options = OpenOptions::default().with_max_read_bytes(MAX_BYTES as usize);
        let file = Hdf5File::open_with_options(path, options).map_err(damaged)?;
        let mut names = file.root_group().and_then(|root| root.member_names()).map_err(damaged)?.1;
        names.sort_unstable();
        Ok(Self { file: std::sync::Arc::new(file), names })
    }

    pub(super) fn get(&self, name: &str) -> Parse<MatArray> {
        let set = self.file.dataset(name).map_err(damaged)?;
        let class = class_of(&set)?;
        if class != "cell" {
            return array(&set, &class);
        }
        let size = self.file.superblock().offset_size;
        let bytes = set.read_raw_bytes().map_err(damaged)?;
        let references = read_object_references(&bytes, size).map_err(damaged)?;
        let referred = self.file.group(REFERRED).and_then(|group| group.datasets()).map_err(damaged)?;
        let referred: BTreeMap<u64, Dataset> = referred.into_iter().map(|set| (set.address(), set)).collect();
        let cell = |(index, address): (usize, &u64)| -> Parse<MatArray> {
            let set = referred.get(address).ok_or_else(|| damaged(format!("cell {index} refers to nothing")))?;
            let within = |reason| format!("in cell {index}: {reason}");
            let class = class_of(set).map_err(within)?;
            if class == "cell" {
                return Err(within("holds cells, which are read only directly in a variable".into()));
            }
            array(set, &class).map_err(within)
        };
        let cells = references.iter().enumerate().map(cell).collect::<Parse<Vec<_>>>()?;
        checked(MatArray { dims: dims(&set)?, values: Values::Cells(cells) })
    }
}

/// What MATLAB calls what is in it; a set that something else wrote is what its numbers are.
fn class_of(set: &Dataset) -> Parse<String> {
    if let Ok(class) = set.attribute("MATLAB_class") {
        return class.read_string().map_err(damaged);
    }
    Ok(match set.dtype() {
        Datatype::FloatingPoint { size: 4, .. } => "single".into(),
        Datatype::FloatingPoint { .. } => "double".into(),
        Datatype::FixedPoint { size, signed, .. } => {
            format!("{}int{}", if *signed { "" } else { "u" }, u32::from(*size) * 8)
        }
        Datatype::Reference { .. } => "cell".into(),
        _ => return Err("is neither numbers, a text nor cells".into()),
    })
}

/// MATLAB's dimensions: HDF5's in reverse, two or more.
fn dims(set: &Dataset) -> Parse<Vec<usize>> {
    let mut dims: Vec<usize> =
        set.shape().iter().rev().map(|&dim| usize::try_from(dim).map_err(damaged)).collect::<Parse<_>>()?;
    while dims.len() < 2 {
        dims.push(1);
    }
    Ok(dims)
}

/// Numbers or a text.
fn array(set: &Dataset, class: &str) -> Parse<MatArray> {
    // an empty array is the list of its dimensions
    if set.attribute("MATLAB_empty").is_ok() {
        let values = if class == "char" { Values::Text(String::new()) } else { Values::F64(vec![]) };
        return Ok(MatArray { dims: vec![0, 0], values });
    }
    if set.attribute("MATLAB_sparse").is_ok() {
        return Err("is a sparse array; save full(…) of it".into());
    }
    macro_rules! numbers {
        ($kind:ident, $of:ty) => {
            Values::$kind(set.read_array::<$of>().map_err(damaged)?.into_iter().collect())
        };
    }
    let values = match class {
        "double" => numbers!(F64, f64),
        "single" => numbers!(F32, f32),
        "int8" => numbers!(I8, i8),
        "uint8" | "logical" => numbers!(U8, u8),
        "int16" => numbers!(I16, i16),
        "uint16" => numbers!(U16, u16),
        "int32" => numbers!(I32, i32),
        "uint32" => numbers!(U32, u32),
        "int64" => numbers!(I64, i64),
        "uint64" => numbers!(U64, u64),
        "char" => {
            let units: Vec<u16> = set.read_array::<u16>().map_err(damaged)?.into_iter().collect();
            Values::Text(String::from_utf16_lossy(&units))
        }
        "struct" => return Err("is a struct; arrays of numbers, texts and cells are read".into()),
        other => return Err(format!("is of class {other}; arrays of numbers, texts and cells are read")),
    };
    checked(MatArray { dims: dims(set)?, values })
}

/// Whether there are as many elements as the dimensions say.
fn checked(array: MatArray) -> Parse<MatArray> {
    let count = array.dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    match &array.values {
        Values::Text(_) => Ok(array),
        _ if count == Some(array.len()) => Ok(array),
        _ => Err(format!("is damaged: {} has {} elements", array.describe(), array.len())),
    }
}
