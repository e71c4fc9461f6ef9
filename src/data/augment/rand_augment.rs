//! RandAugment (Cubuk et al. 2020, <https://arxiv.org/abs/1909.13719>): a few operations, drawn uniformly, all of one
//! magnitude. Operations and scales are torchvision's (14 operations, magnitudes 0 to 30).

use std::str::FromStr;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{color, geometry, numbers, tone};
use crate::{Error, Result};

/// How many operations, and how strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RandAugment {
    /// Operations per image; the paper's N.
    pub operations: u32,
    /// Magnitude of all of them, 0 to 30; the paper's M.
    pub magnitude: u32,
}

impl FromStr for RandAugment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match numbers(text).as_deref() {
            Some(&[operations, magnitude]) => Ok(Self { operations, magnitude }),
            _ => Err(Error::Usage(format!(
                "found {text:?}, expected the number of operations and their magnitude, as in 2,9"
            ))),
        }
    }
}

impl RandAugment {
    /// Applies operations drawn from `rng` to an image of `width` pixels.
    pub(super) fn apply(&self, pixels: &mut [u8], width: usize, rng: &mut ChaCha8Rng) {
        let height = pixels.len() / (width * 3);
        for _ in 0..self.operations {
            let negative = rng.random();
            let share = f64::from(self.magnitude) / 30.0;
            Operation::draw(rng.random_range(0..14), share, negative, width, height).apply(pixels, width);
        }
    }
}

/// One operation and how strong it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    Identity,
    /// Pixels per row.
    ShearX(f64),
    /// Pixels per column.
    ShearY(f64),
    /// Pixels to the right.
    TranslateX(f64),
    /// Pixels down.
    TranslateY(f64),
    /// Degrees, counter-clockwise.
    Rotate(f64),
    /// How much the factor differs from 1; so the next three.
    Brightness(f64),
    Color(f64),
    Contrast(f64),
    Sharpness(f64),
    /// Bits that are kept.
    Posterize(u32),
    /// The first value that is inverted.
    Solarize(f64),
    AutoContrast,
    Equalize,
}

impl Operation {
    /// Operation `number` (0..14) at `share` (0 to 1) of its largest strength; some also go the other way.
    fn draw(number: u32, share: f64, negative: bool, width: usize, height: usize) -> Self {
        let signed = |most: f64| if negative { -share * most } else { share * most };
        match number {
            0 => Self::Identity,
            1 => Self::ShearX(signed(0.3)),
            2 => Self::ShearY(signed(0.3)),
            3 => Self::TranslateX(signed(150.0 / 331.0 * width as f64)),
            4 => Self::TranslateY(signed(150.0 / 331.0 * height as f64)),
            5 => Self::Rotate(signed(30.0)),
            6 => Self::Brightness(signed(0.9)),
            7 => Self::Color(signed(0.9)),
            8 => Self::Contrast(signed(0.9)),
            9 => Self::Sharpness(signed(0.9)),
            10 => Self::Posterize(8 - (share * 4.0).round_ties_even() as u32),
            11 => Self::Solarize(255.0 * (1.0 - share)),
            12 => Self::AutoContrast,
            _ => Self::Equalize,
        }
    }

    fn apply(self, pixels: &mut [u8], width: usize) {
        let factor = |change: f64| (1.0 + change) as f32;
        match self {
            Self::Identity => {}
            Self::ShearX(level) => geometry::shear_x(pixels, width, level),
            Self::ShearY(level) => geometry::shear_y(pixels, width, level),
            Self::TranslateX(right) => geometry::translate(pixels, width, right as i32, 0),
            Self::TranslateY(down) => geometry::translate(pixels, width, 0, down as i32),
            Self::Rotate(degrees) => geometry::rotate(pixels, width, degrees),
            Self::Brightness(change) => color::brightness(pixels, factor(change)),
            Self::Color(change) => color::saturation(pixels, factor(change)),
            Self::Contrast(change) => color::contrast(pixels, factor(change)),
            Self::Sharpness(change) => tone::sharpness(pixels, width, factor(change)),
            Self::Posterize(bits) => tone::posterize(pixels, bits),
            Self::Solarize(threshold) => tone::solarize(pixels, threshold as f32),
            Self::AutoContrast => tone::autocontrast(pixels),
            Self::Equalize => tone::equalize(pixels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::golden::{largest_difference, parts, pictures};
    use crate::data::random::{Purpose, stream};

    #[test]
    fn every_operation_is_torchvisions_to_the_bit() {
        let pictures = pictures();
        let picture = &pictures["operation"];
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let mut seen = std::collections::BTreeSet::new();
        for (name, expected) in &pictures {
            let Some(parts) = parts(name, "operation/") else { continue };
            let [number, magnitude, sign] = [0, 1, 2].map(|part| parts[part].parse::<i32>().unwrap());
            let operation = Operation::draw(number as u32, f64::from(magnitude) / 30.0, sign < 0, width, height);
            let mut pixels = picture.to_vec();
            operation.apply(&mut pixels, width);
            assert_eq!(largest_difference(&pixels, expected), 0, "{operation:?}");
            seen.insert(number);
        }
        assert_eq!(seen, (0..14).collect());
    }

    #[test]
    fn the_hue_turns_as_torchvisions() {
        let pictures = pictures();
        let mut seen = 0;
        for (name, expected) in &pictures {
            let Some(parts) = parts(name, "hue/") else { continue };
            let mut pixels = pictures["operation"].to_vec();
            color::hue(&mut pixels, parts[0].parse::<f64>().unwrap() / 1000.0);
            assert_eq!(largest_difference(&pixels, expected), 0, "{name}");
            seen += 1;
        }
        assert_eq!(seen, 5);
    }

    #[test]
    fn operations_come_from_the_stream() {
        let picture = &pictures()["operation"];
        let run = |item| {
            let mut pixels = picture.to_vec();
            let rand_augment = RandAugment { operations: 3, magnitude: 15 };
            rand_augment.apply(&mut pixels, picture.width() as usize, &mut stream(0, Purpose::Augment, 0, item));
            pixels
        };
        assert_eq!(run(0), run(0));
        assert!((1..5).any(|item| run(item) != run(0)));
    }
}
