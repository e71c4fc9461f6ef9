//! `--batch-size`: a number, or as many images as fit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::inference;
use super::memory::{Memory, pool_memory};
use super::precision::Precision;
use super::sources::Input;
use crate::loss::CrossEntropy;
use crate::models::Classifier;
use crate::{Error, Result, native};

/// Images in a batch as the user says it: a number, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BatchSize {
    /// So many.
    Fixed(usize),
    /// As many as memory allows, within reason; see [`largest`].
    #[serde(with = "auto")]
    Auto,
}

/// `"auto"` in JSON.
mod auto {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("auto")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "auto" => Ok(()),
            other => Err(D::Error::custom(format!("batch size `{other}` is neither a number nor auto"))),
        }
    }
}

impl FromStr for BatchSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Usage(format!("`{text}` is neither a number of images nor auto"));
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Fixed).map_err(|_| wrong()) }
    }
}

impl fmt::Display for BatchSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(images) => write!(f, "{images}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// What a batch size was chosen from; memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The batch size.
    pub images: usize,
    /// What a step takes whatever its batch.
    pub fixed: u64,
    /// What each image adds.
    pub per_image: u64,
    /// What there is for a step.
    pub available: u64,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mega = |bytes: u64| bytes / 1_000_000;
        let Self { images, fixed, per_image, available } = *self;
        let (fixed, per_image, available) = (mega(fixed), mega(per_image), mega(available));
        write!(
            f,
            "--batch-size auto is {images}: a step takes {fixed} MB and {per_image} MB an image, of {available} MB"
        )
    }
}

/// The largest power of two for which a training step fits into half of what is free on the CPU, or 85 % of what is free
/// on CUDA: at most 64 images on the CPU, where more are not faster, and 512 on CUDA, and at most a quarter of the
/// `training` images. Two steps on grey images tell what a step takes; the model's values and statistics stay as they are.
///
/// # Errors
/// Not even one image fits; what libtorch refuses.
pub fn largest(model: &Classifier, precision: Precision, training: usize) -> Result<Choice> {
    let device = model.store.device();
    let (small, large, most) = if device.is_cuda() { (4, 12, 512) } else { (2, 6, 64) };
    let before = model.store.snapshot()?;
    let measured = step_peak(model, precision, small).and_then(|low| Ok((low, step_peak(model, precision, large)?)));
    model.store.restore(&before)?;
    let (low, high) = measured?;
    let available = match device {
        Device::Cuda(index) => native::free_memory(index)? / 100 * 85,
        _ => Memory::probe().map_or(u64::MAX, |memory| memory.available.min(memory.most()) / 2),
    };
    let per_image = high.saturating_sub(low) / (large - small) as u64;
    // the optimizer's state: at most two numbers for each parameter
    let state: usize = model.store.trainable().map(|(_, tensor)| tensor.numel() * 8).sum();
    let fixed = low.saturating_sub(per_image * small as u64) + state as u64;
    choose(fixed, per_image, available, most.min(training / 4))
}

fn choose(fixed: u64, per_image: u64, available: u64, most: usize) -> Result<Choice> {
    let fits = |images: usize| fixed.saturating_add(per_image.saturating_mul(images as u64)) <= available;
    if !fits(1) {
        let [needed, available] = [fixed + per_image, available].map(|bytes| bytes / 1_000_000);
        return Err(Error::Device(format!(
            "--batch-size auto: a step on one image takes {needed} MB, and there are {available} MB; use a smaller network, \
             --image-size, or --freeze"
        )));
    }
    let sizes = std::iter::successors(Some(1usize), |size| Some(size * 2)).take_while(|size| *size <= most.max(1));
    let images = sizes.filter(|size| fits(*size)).last().unwrap_or(1);
    Ok(Choice { images, fixed, per_image, available })
}

/// The most memory that tensors take, beyond what they take now, in a step on so many images.
fn step_peak(model: &Classifier, precision: Precision, images: usize) -> Result<u64> {
    let device = model.store.device();
    if device == Device::Cpu {
        pool_memory()?;
    }
    native::reset_peak(device)?;
    let before = native::taken_memory(device)?;
    let side = i64::from(model.spec.preprocessing.crop);
    let grey = Tensor::f_full([images as i64, side, side, 3], 127, (Kind::Uint8, Device::Cpu))?;
    let labels = Tensor::f_zeros([images as i64], (Kind::Int64, device))?;
    let loss = {
        let _autocast = precision.autocast(device)?;
        let logits = inference::logits(model, &Input::Images(grey), true)?;
        CrossEntropy::new(None, 0.0, device).hard(&logits, &labels)?
    };
    loss.f_backward()?;
    let peak = native::peak(device)?;
    let learning: Vec<_> = model.store.trainable().map(|(_, tensor)| tensor.shallow_clone()).collect();
    native::forget_gradients(&learning)?;
    Ok(peak.saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::small_classifier as small;

    #[test]
    fn words_numbers_and_json_name_it() {
        for (word, size) in [("auto", BatchSize::Auto), ("32", BatchSize::Fixed(32))] {
            assert_eq!(word.parse::<BatchSize>().unwrap(), size);
            assert_eq!(size.to_string(), word);
            let json = serde_json::to_string(&size).unwrap();
            assert_eq!(serde_json::from_str::<BatchSize>(&json).unwrap(), size);
        }
        assert_eq!(serde_json::to_string(&BatchSize::Fixed(8)).unwrap(), "8");
        assert!("many".parse::<BatchSize>().unwrap_err().to_string().contains("`many`"));
        assert!(serde_json::from_str::<BatchSize>("\"many\"").is_err());
    }

    #[test]
    fn the_largest_power_of_two_that_fits_is_chosen() -> Result<()> {
        let images = |available, most| choose(1000, 100, available, most).map(|choice| choice.images);
        assert_eq!(images(1000 + 100 * 40, 64)?, 32);
        assert_eq!(images(1000 + 100 * 32, 64)?, 32);
        assert_eq!(images(u64::MAX, 64)?, 64);
        assert_eq!(images(u64::MAX, 3)?, 2);
        assert_eq!(images(1100, 0)?, 1);
        assert!(images(1099, 64).unwrap_err().to_string().contains("one image"));
        Ok(())
    }

    #[test]
    fn trying_out_a_step_leaves_the_model_as_it_was() -> Result<()> {
        let model = small(&["a", "b"], 1)?;
        let before = model.store.digest(|_| true)?;
        let choice = largest(&model, Precision::Fp32, 1000)?;
        assert_eq!(model.store.digest(|_| true)?, before);
        assert!(model.store.trainable().all(|(_, tensor)| !tensor.grad().defined()));
        // how much it takes cannot be asserted: other tests take memory at the same time
        assert!((1..=64).contains(&choice.images), "{choice}");
        Ok(())
    }
}
