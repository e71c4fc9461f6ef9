//! Brightness, contrast, saturation and hue, with Pillow's arithmetic, and torchvision's `ColorJitter` made of them.
//!
//! The first three blend an image with a degenerate one (black, its mean grey, its grey version): out = d + f·(x − d),
//! computed in f32 and cut off, not rounded, to 8 bits.

use std::str::FromStr;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::numbers;
use crate::{Error, Result};

/// Random changes of colour: factors from 1 − strength to 1 + strength, and a turn of the hue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ColorJitter {
    /// Strength of the change of brightness.
    pub brightness: f64,
    /// Strength of the change of contrast.
    pub contrast: f64,
    /// Strength of the change of saturation.
    pub saturation: f64,
    /// Largest turn of the hue to either side, in turns of the colour circle: 0 to 0.5.
    pub hue: f64,
}

impl FromStr for ColorJitter {
    type Err = Error;

    /// Reads `S` (brightness, contrast and saturation alike, no hue) or `B,C,S,H`.
    fn from_str(text: &str) -> Result<Self> {
        match numbers(text).as_deref() {
            Some(&[s]) => Ok(Self { brightness: s, contrast: s, saturation: s, hue: 0.0 }),
            Some(&[brightness, contrast, saturation, hue]) => Ok(Self { brightness, contrast, saturation, hue }),
            _ => Err(Error::Usage(format!(
                "found {text:?}, expected one strength, as in 0.4, or brightness,contrast,saturation,hue, as in 0.4,0.4,0.4,0.1"
            ))),
        }
    }
}

impl ColorJitter {
    /// Changes `pixels` by factors drawn from `rng`, in an order drawn from it too.
    pub(super) fn apply(&self, pixels: &mut [u8], rng: &mut ChaCha8Rng) {
        let mut order = [0, 1, 2, 3];
        order.shuffle(rng);
        let mut factor = |strength: f64| rng.random_range((1.0 - strength).max(0.0)..=1.0 + strength) as f32;
        let factors = [factor(self.brightness), factor(self.contrast), factor(self.saturation)];
        let turn = rng.random_range(-self.hue..=self.hue);
        for step in order {
            match step {
                0 if self.brightness > 0.0 => brightness(pixels, factors[0]),
                1 if self.contrast > 0.0 => contrast(pixels, factors[1]),
                2 if self.saturation > 0.0 => saturation(pixels, factors[2]),
                3 if self.hue > 0.0 => hue(pixels, turn),
                _ => {}
            }
        }
    }
}

/// `degenerate + factor·(value − degenerate)`; the cast cuts off what is below 0, above 255 and behind the point.
#[inline(always)]
pub(super) fn blend(degenerate: u8, value: u8, factor: f32) -> u8 {
    let (degenerate, value) = (f32::from(degenerate), f32::from(value));
    (degenerate + factor * (value - degenerate)) as u8
}

/// Luma by ITU-R 601-2 in 16-bit fixed point.
#[inline(always)]
fn grey(red: u8, green: u8, blue: u8) -> u8 {
    ((u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16) as u8
}

pub(super) fn map(pixels: &mut [u8], table: &[u8; 256]) {
    for value in pixels {
        *value = table[usize::from(*value)];
    }
}

fn blend_with_constant(pixels: &mut [u8], degenerate: u8, factor: f32) {
    map(pixels, &std::array::from_fn(|value| blend(degenerate, value as u8, factor)));
}

/// Blends with black.
pub(super) fn brightness(pixels: &mut [u8], factor: f32) {
    blend_with_constant(pixels, 0, factor);
}

/// Blends with the mean of the grey version.
pub(super) fn contrast(pixels: &mut [u8], factor: f32) {
    let mut sum = 0u64;
    for pixel in pixels.chunks_exact(3) {
        sum += u64::from(grey(pixel[0], pixel[1], pixel[2]));
    }
    let mean = sum as f64 / (pixels.len() / 3).max(1) as f64;
    blend_with_constant(pixels, (mean + 0.5) as u8, factor);
}

/// Blends with the grey version.
pub(super) fn saturation(pixels: &mut [u8], factor: f32) {
    for pixel in pixels.chunks_exact_mut(3) {
        let grey = grey(pixel[0], pixel[1], pixel[2]);
        for value in pixel {
            *value = blend(grey, *value, factor);
        }
    }
}

/// Turns the hue by `turn` (−0.5 to 0.5 of the circle) in 8-bit hue, saturation, value, and back.
pub(super) fn hue(pixels: &mut [u8], turn: f64) {
    let shift = (turn * 255.0) as i32 as u8;
    for pixel in pixels.chunks_exact_mut(3) {
        let [hue, saturation, value] = to_hsv([pixel[0], pixel[1], pixel[2]]);
        pixel.copy_from_slice(&to_rgb([hue.wrapping_add(shift), saturation, value]));
    }
}

fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let (high, low) = (red.max(green).max(blue), red.min(green).min(blue));
    if high == low {
        return [0, 0, high];
    }
    let range = f32::from(high - low);
    let below = |channel: u8| f32::from(high - channel) / range;
    let sector = if red == high {
        below(blue) - below(green)
    } else if green == high {
        2.0 + below(red) - below(blue)
    } else {
        4.0 + below(green) - below(red)
    };
    // The sector is negative between magenta and red; adding a turn and dropping whole ones makes it a hue.
    let hue = (f64::from(sector) / 6.0 + 1.0).fract() as f32;
    let saturation = range / f32::from(high);
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, high]
}

fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let position = f64::from(hue) * 6.0 / 255.0;
    let sector = position.floor();
    let within = f64::from((position - sector) as f32);
    let saturation = f64::from((f64::from(saturation) / 255.0) as f32);
    let level = |share: f64| (f64::from(value) * (1.0 - share)).round() as u8;
    let (low, falling, rising) = (level(saturation), level(saturation * within), level(saturation * (1.0 - within)));
    match sector as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::{Purpose, stream};

    #[test]
    fn the_neutral_factors_change_nothing() {
        let pixels: Vec<u8> = (0..=254).collect();
        for operation in [brightness, contrast, saturation] {
            let mut changed = pixels.clone();
            operation(&mut changed, 1.0);
            assert_eq!(changed, pixels);
        }
    }

    #[test]
    fn jitter_of_no_strength_changes_nothing_and_some_strength_does() {
        let pixels: Vec<u8> = (0..=254).collect();
        let mut rng = stream(0, Purpose::Augment, 0, 0);
        let mut changed = pixels.clone();
        ColorJitter { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 }.apply(&mut changed, &mut rng);
        assert_eq!(changed, pixels);
        ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }.apply(&mut changed, &mut rng);
        assert_ne!(changed, pixels);
    }

    #[test]
    fn half_a_turn_of_red_is_cyan() {
        let mut pixels = [255, 0, 0];
        hue(&mut pixels, 0.5);
        assert!(pixels[0] < 10 && pixels[1] > 245 && pixels[2] > 245, "{pixels:?}");
    }
}
