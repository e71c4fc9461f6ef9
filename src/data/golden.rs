//! What torchvision makes of small pictures, for the tests; `tests/golden/transforms/generate.py` made it.

use std::collections::BTreeMap;

use image::RgbImage;
use safetensors::SafeTensors;

/// Every picture by its name.
pub(super) fn pictures() -> BTreeMap<String, RgbImage> {
    let file = SafeTensors::deserialize(include_bytes!("../../tests/golden/transforms/data.safetensors")).unwrap();
    let picture = |name: &str| {
        let view = file.tensor(name).unwrap();
        let [height, width] = [0, 1].map(|axis| view.shape()[axis] as u32);
        RgbImage::from_raw(width, height, view.data().to_vec()).unwrap()
    };
    file.names().into_iter().map(|name| (name.to_string(), picture(name))).collect()
}

/// The parts of `name` behind `prefix`, if it begins so.
pub(super) fn parts<'a>(name: &'a str, prefix: &str) -> Option<Vec<&'a str>> {
    Some(name.strip_prefix(prefix)?.split('/').collect())
}

/// The largest difference of two values.
pub(super) fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| a.abs_diff(b)).max().unwrap_or(0)
}
