//! Names of element types: tch's, PyTorch's and those of safetensors, in one table.

use safetensors::Dtype;
use tch::Kind;

/// One row per element type that both tch and at least one file format know: tch's kind, PyTorch's name for the type,
/// PyTorch's name for a storage of it, and the name in safetensors.
const TABLE: [(Kind, &str, Option<&str>, Option<Dtype>); 17] = [
    (Kind::Double, "float64", Some("DoubleStorage"), Some(Dtype::F64)),
    (Kind::Float, "float32", Some("FloatStorage"), Some(Dtype::F32)),
    (Kind::Half, "float16", Some("HalfStorage"), Some(Dtype::F16)),
    (Kind::BFloat16, "bfloat16", Some("BFloat16Storage"), Some(Dtype::BF16)),
    (Kind::Int64, "int64", Some("LongStorage"), Some(Dtype::I64)),
    (Kind::Int, "int32", Some("IntStorage"), Some(Dtype::I32)),
    (Kind::Int16, "int16", Some("ShortStorage"), Some(Dtype::I16)),
    (Kind::Int8, "int8", Some("CharStorage"), Some(Dtype::I8)),
    (Kind::Uint8, "uint8", Some("ByteStorage"), Some(Dtype::U8)),
    (Kind::Bool, "bool", Some("BoolStorage"), Some(Dtype::BOOL)),
    (Kind::ComplexFloat, "complex64", Some("ComplexFloatStorage"), Some(Dtype::C64)),
    (Kind::ComplexDouble, "complex128", Some("ComplexDoubleStorage"), None),
    (Kind::ComplexHalf, "complex32", None, None),
    (Kind::Float8e5m2, "float8_e5m2", None, Some(Dtype::F8_E5M2)),
    (Kind::Float8e4m3fn, "float8_e4m3fn", None, Some(Dtype::F8_E4M3)),
    (Kind::Float8e5m2fnuz, "float8_e5m2fnuz", None, Some(Dtype::F8_E5M2FNUZ)),
    (Kind::Float8e4m3fnuz, "float8_e4m3fnuz", None, Some(Dtype::F8_E4M3FNUZ)),
];

/// PyTorch's name for an element type, such as `float32`.
pub fn dtype_name(kind: Kind) -> &'static str {
    TABLE.iter().find(|row| row.0 == kind).map_or("a quantised type", |row| row.1)
}

/// The kind that PyTorch calls `name`, as in `torch.float32`.
pub(super) fn from_torch(name: &str) -> Option<Kind> {
    TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
}

/// The kind of a storage class, as in `torch.FloatStorage`; bytes for an untyped one.
pub(super) fn from_storage_class(name: &str) -> Option<Kind> {
    if name == "UntypedStorage" {
        return Some(Kind::Uint8);
    }
    TABLE.iter().find(|row| row.2 == Some(name)).map(|row| row.0)
}

/// The kind of a safetensors type, where tch has one.
pub(super) fn from_safetensors(dtype: Dtype) -> Option<Kind> {
    TABLE.iter().find(|row| row.3 == Some(dtype)).map(|row| row.0)
}

/// The storage class of a kind, where there is one.
pub(super) fn to_storage_class(kind: Kind) -> Option<&'static str> {
    TABLE.iter().find(|row| row.0 == kind).and_then(|row| row.2)
}

/// What NumPy calls the types that both have, without the byte order.
const NUMPY: [(&str, Kind); 11] = [
    ("f8", Kind::Double),
    ("f4", Kind::Float),
    ("f2", Kind::Half),
    ("i8", Kind::Int64),
    ("i4", Kind::Int),
    ("i2", Kind::Int16),
    ("i1", Kind::Int8),
    ("u1", Kind::Uint8),
    ("b1", Kind::Bool),
    ("c8", Kind::ComplexFloat),
    ("c16", Kind::ComplexDouble),
];

/// The kind that NumPy calls `name`, as in `f4`.
pub(super) fn from_numpy(name: &str) -> Option<Kind> {
    NUMPY.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// The safetensors type of a kind, where there is one.
pub(super) fn to_safetensors(kind: Kind) -> Option<Dtype> {
    TABLE.iter().find(|row| row.0 == kind).and_then(|row| row.3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_agree_and_sizes_match() {
        for (kind, name, storage, dtype) in TABLE {
            assert_eq!(from_torch(name), Some(kind));
            assert!(storage.is_none_or(|class| from_storage_class(class) == Some(kind)));
            if let Some(dtype) = dtype {
                assert_eq!((from_safetensors(dtype), to_safetensors(kind)), (Some(kind), Some(dtype)));
                assert_eq!(dtype.bitsize(), 8 * kind.elt_size_in_bytes(), "{name}");
            }
        }
        assert_eq!(from_safetensors(Dtype::U16), None);
        for (name, kind) in NUMPY {
            assert_eq!(name[1..].parse(), Ok(kind.elt_size_in_bytes()), "{name}");
        }
    }
}
