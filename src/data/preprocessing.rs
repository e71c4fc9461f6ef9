//! How a network wants its images: the sizes, the interpolation and the normalisation it was trained with.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How pixels are interpolated when an image is resized; both filters widen when shrinking, as Pillow's do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The triangle filter.
    Bilinear,
    /// The cubic filter with a = −0.5.
    Bicubic,
}

/// A network's own preprocessing, stored in the registry and with every trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// The shorter side after resizing, in pixels.
    pub resize: u32,
    /// The side of the square that is cut from the centre, in pixels.
    pub crop: u32,
    /// How the resize interpolates.
    pub interpolation: Interpolation,
    /// Mean per channel (red, green, blue) of values in 0..1, subtracted.
    pub mean: [f32; 3],
    /// Standard deviation per channel, divided by.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// What nearly every network that learned ImageNet was given.
    pub fn imagenet() -> Self {
        Self {
            resize: 256,
            crop: 224,
            interpolation: Interpolation::Bilinear,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}

/// What a user wants otherwise than the network's own preprocessing.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
pub struct PreprocessingOptions {
    /// Side of the images that go into the network, in pixels [default: the model's]
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<u32>,
    /// Mean of red, green and blue in 0..1 that is subtracted, as 0.5,0.5,0.5 [default: the model's]
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of red, green and blue that is divided by [default: the model's]
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    pub std: Option<[f32; 3]>,
}

/// Three numbers, separated by commas.
fn channels(text: &str) -> Result<[f32; 3]> {
    let numbers: Vec<f32> = text.split(',').map_while(|part| part.trim().parse().ok()).collect();
    let three = <[f32; 3]>::try_from(numbers).ok().filter(|_| text.matches(',').count() == 2);
    three
        .filter(|values| values.iter().all(|value| value.is_finite()))
        .ok_or_else(|| Error::Usage(format!("`{text}` is not three numbers, as 0.5,0.5,0.5")))
}

impl PreprocessingOptions {
    /// Appends a line for everything that makes no sense.
    pub fn faults(&self, faults: &mut Vec<String>) {
        if let Some(size) = self.image_size.filter(|size| !(8..=2048).contains(size)) {
            faults.push(format!("--image-size {size} must lie between 8 and 2048 pixels"));
        }
        if let Some(std) = self.std.filter(|std| std.iter().any(|value| *value <= 0.0)) {
            faults.push(format!("--std {std:?} must be positive"));
        }
    }

    /// `own` with what is wanted otherwise; the side before the crop grows with the crop.
    pub fn apply(&self, own: &Preprocessing) -> Preprocessing {
        let mut preprocessing = own.clone();
        if let Some(size) = self.image_size {
            let scaled = u64::from(preprocessing.resize) * u64::from(size) / u64::from(preprocessing.crop);
            (preprocessing.resize, preprocessing.crop) = (scaled as u32, size);
        }
        preprocessing.mean = self.mean.unwrap_or(preprocessing.mean);
        preprocessing.std = self.std.unwrap_or(preprocessing.std);
        preprocessing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_are_read_and_nothing_else() {
        assert_eq!(channels("0.5, 0.25,1").unwrap(), [0.5, 0.25, 1.0]);
        for bad in ["", "0.5", "1,2", "1,2,3,4", "a,b,c", "1,,2", "1,2,inf"] {
            assert!(channels(bad).unwrap_err().to_string().contains("three numbers"), "{bad}");
        }
    }

    #[test]
    fn what_is_not_wanted_otherwise_stays() {
        let own = Preprocessing::imagenet();
        assert_eq!(PreprocessingOptions::default().apply(&own), own);
        let options = PreprocessingOptions { image_size: Some(112), mean: Some([0.5; 3]), std: None };
        let changed = options.apply(&own);
        assert_eq!((changed.resize, changed.crop, changed.mean, changed.std), (128, 112, [0.5; 3], own.std));
    }
}
