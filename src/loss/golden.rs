//! What PyTorch makes of the losses, for the tests; `tests/golden/losses/generate.py` made it.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor};

/// The tensors whose names begin with `prefix`, under the rest of their names.
pub(super) fn golden(prefix: &str) -> BTreeMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/losses/data.safetensors");
    let all = Tensor::read_safetensors(path).unwrap().into_iter();
    all.filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor))).collect()
}

/// A copy that learns.
pub(super) fn leaf(tensor: &Tensor) -> Tensor {
    tensor.copy().set_requires_grad(true)
}

/// Within a tolerance that is relative to the largest expected number.
pub(super) fn close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let (found, expected) = (found.detach().to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let (difference, scale) = ((&found - &expected).abs().max(), expected.abs().max());
    let (difference, scale) = (f64::try_from(difference).unwrap(), f64::try_from(scale).unwrap());
    assert!(difference <= tolerance * scale, "{what}: off by {difference} of {scale}");
}
