//! Training augmentation: what varies an image from epoch to epoch, and how much.
//!
//! Everything here works on 8-bit pixels, as torchvision's transforms on Pillow images do, and takes its randomness
//! from the one stream that it is given.

mod color;
mod erasing;
mod geometry;
mod rand_augment;
mod random_resized_crop;
mod tone;
mod train_transform;

use serde::{Deserialize, Serialize};

pub use color::ColorJitter;
pub use rand_augment::RandAugment;
pub use train_transform::TrainTransform;

use crate::{Error, Result};

/// How training images are varied. The defaults suit fine-tuning: they are milder than those for training from scratch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct Augmentation {
    /// Trains on the same pixels as evaluation: no random crop, flip or any other augmentation
    #[arg(long = "no-augment")]
    pub none: bool,

    /// Smallest part of an image's area that a random crop may take (1 is the largest; training from scratch
    /// commonly takes 0.08, which can crop a small set's objects away)
    #[arg(long = "crop-scale", value_name = "MIN", default_value_t = 0.35)]
    pub crop_scale: f64,

    /// Smallest and largest width/height of a random crop.
    #[arg(skip = (3.0 / 4.0, 4.0 / 3.0))]
    pub crop_ratio: (f64, f64),

    /// Probability that an image is mirrored left to right (0 where left and right differ, as in text)
    #[arg(long = "flip", value_name = "P", default_value_t = 0.5)]
    pub flip: f64,

    /// Varies brightness, contrast and saturation by up to this strength, as in 0.4; or brightness,contrast,saturation,hue,
    /// as in 0.4,0.4,0.4,0.1
    #[arg(long, value_name = "S")]
    pub color_jitter: Option<ColorJitter>,

    /// RandAugment: applies N random operations of magnitude M (0 to 30), as in 2,9
    #[arg(long, value_name = "N,M")]
    pub rand_augment: Option<RandAugment>,

    /// Probability that a random rectangle of an image is erased
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub random_erasing: f64,

    /// What an erased rectangle is filled with
    #[arg(long, value_name = "FILL", value_enum, default_value_t)]
    pub erasing_fill: ErasingFill,

    /// Blends pairs of images and their labels: alpha of mixup's Beta distribution, as in 0.2 (0 is off)
    #[arg(long, value_name = "ALPHA", default_value_t = 0.0)]
    pub mixup: f64,

    /// Pastes a rectangle of one image into another and mixes their labels by area: alpha of CutMix's Beta distribution,
    /// as in 1 (0 is off); with mixup on as well, each batch gets one of the two
    #[arg(long, value_name = "ALPHA", default_value_t = 0.0)]
    pub cutmix: f64,
}

/// What random erasing fills a rectangle with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ErasingFill {
    /// The mean colour of the model's preprocessing
    #[default]
    Mean,
    /// A random colour for every pixel
    Noise,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            none: false,
            crop_scale: 0.35,
            crop_ratio: (3.0 / 4.0, 4.0 / 3.0),
            flip: 0.5,
            color_jitter: None,
            rand_augment: None,
            random_erasing: 0.0,
            erasing_fill: ErasingFill::Mean,
            mixup: 0.0,
            cutmix: 0.0,
        }
    }
}

impl Augmentation {
    /// Everything that is wrong with the values, one line each; empty if nothing is.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut within = |option: &str, value: f64, low: f64, high: f64| {
            // Written so that NaN is out of range too.
            if !(low..=high).contains(&value) {
                problems.push(format!("{option} is {value}, but must lie between {low} and {high}"));
            }
        };
        within("--crop-scale", self.crop_scale, 0.001, 1.0);
        within("--flip", self.flip, 0.0, 1.0);
        within("--random-erasing", self.random_erasing, 0.0, 1.0);
        within("--mixup", self.mixup, 0.0, 100.0);
        within("--cutmix", self.cutmix, 0.0, 100.0);
        within("crop_ratio's minimum", self.crop_ratio.0, 0.01, 100.0);
        within("crop_ratio's maximum", self.crop_ratio.1, self.crop_ratio.0, 100.0);
        if let Some(jitter) = self.color_jitter {
            within("--color-jitter's brightness", jitter.brightness, 0.0, 100.0);
            within("--color-jitter's contrast", jitter.contrast, 0.0, 100.0);
            within("--color-jitter's saturation", jitter.saturation, 0.0, 100.0);
            within("--color-jitter's hue", jitter.hue, 0.0, 0.5);
        }
        if let Some(RandAugment { operations, magnitude }) = self.rand_augment {
            within("--rand-augment's N", operations.into(), 0.0, 100.0);
            within("--rand-augment's M", magnitude.into(), 0.0, 30.0);
        }
        problems
    }

    /// Whether all values make sense.
    ///
    /// # Errors
    /// All of [`problems`](Self::problems), as one usage error.
    pub fn validate(&self) -> Result<()> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(Error::Usage(problems.join("; "))) }
    }

    /// Whether training sees the same pixels in every epoch, so that features could be computed once.
    pub fn is_off(&self) -> bool {
        self.none
    }
}

/// Numbers between commas, for options that take several.
fn numbers<T: std::str::FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',').map(|part| part.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        augmentation: Augmentation,
    }

    fn parse(words: &str) -> Result<Augmentation, clap::Error> {
        Cli::try_parse_from(["test"].into_iter().chain(words.split_whitespace())).map(|cli| cli.augmentation)
    }

    #[test]
    fn no_options_are_the_defaults() {
        assert_eq!(parse("").unwrap(), Augmentation::default());
        assert_eq!(serde_json::from_str::<Augmentation>("{}").unwrap(), Augmentation::default());
        Augmentation::default().validate().unwrap();
    }

    #[test]
    fn options_are_read_and_survive_json() {
        let words = "--crop-scale 0.08 --flip 0 --color-jitter 0.4 --rand-augment 2,9 --random-erasing 0.25 \
                     --erasing-fill noise --mixup 0.2 --cutmix 1";
        let read = parse(words).unwrap();
        assert_eq!(read.color_jitter, Some(ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.0 }));
        assert_eq!(read.rand_augment, Some(RandAugment { operations: 2, magnitude: 9 }));
        assert_eq!((read.crop_scale, read.flip, read.mixup, read.cutmix), (0.08, 0.0, 0.2, 1.0));
        assert_eq!(read.erasing_fill, ErasingFill::Noise);
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Augmentation>(&json).unwrap(), read);
        let four = parse("--color-jitter 0.1,0.2,0.3,0.4").unwrap().color_jitter.unwrap();
        assert_eq!((four.contrast, four.hue), (0.2, 0.4));
        assert!(parse("--no-augment").unwrap().is_off());
        for wrong in ["--color-jitter 1,2", "--color-jitter red", "--rand-augment 2", "--rand-augment 2,x"] {
            assert!(parse(wrong).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn all_wrong_values_are_named_at_once() {
        let wrong = parse("--crop-scale 1.5 --flip NaN --color-jitter 0,0,0,0.6 --rand-augment 2,31").unwrap();
        let message = wrong.validate().unwrap_err().to_string();
        for part in ["--crop-scale is 1.5", "--flip is NaN", "hue is 0.6", "M is 31"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
        assert_eq!(wrong.problems().len(), 4);
    }
}
