//! Operations on tones: posterize, solarize, autocontrast, equalize, sharpness, with Pillow's arithmetic.

use super::color::{blend, map};

/// Keeps the `bits` highest bits of every value.
pub(super) fn posterize(pixels: &mut [u8], bits: u32) {
    let mask = !(0xff_u32 >> bits) as u8;
    for value in pixels {
        *value &= mask;
    }
}

/// Inverts every value from `threshold` on.
pub(super) fn solarize(pixels: &mut [u8], threshold: f32) {
    map(pixels, &std::array::from_fn(|value| if (value as f32) < threshold { value as u8 } else { 255 - value as u8 }));
}

/// Stretches each channel's range to 0..=255.
pub(super) fn autocontrast(pixels: &mut [u8]) {
    map_channels(pixels, |histogram, table| {
        let (Some(low), Some(high)) =
            (histogram.iter().position(|&count| count > 0), histogram.iter().rposition(|&count| count > 0))
        else {
            return;
        };
        if low < high {
            let scale = 255.0 / (high - low) as f64;
            let offset = -(low as f64) * scale;
            *table = std::array::from_fn(|value| (value as f64 * scale + offset) as u8);
        }
    });
}

/// Spreads each channel's values so that all are about equally frequent.
pub(super) fn equalize(pixels: &mut [u8]) {
    map_channels(pixels, |histogram, table| {
        let total: u32 = histogram.iter().sum();
        let last = histogram.iter().rfind(|&&count| count > 0).copied().unwrap_or(0);
        let step = (total - last) / 255;
        if step > 0 {
            let mut seen = step / 2;
            for (target, count) in table.iter_mut().zip(histogram) {
                *target = (seen / step).min(255) as u8;
                seen += count;
            }
        }
    });
}

/// Maps each channel through the table that `fill` makes of its histogram; the table begins as the identity.
fn map_channels(pixels: &mut [u8], fill: impl Fn(&[u32; 256], &mut [u8; 256])) {
    let mut histograms = [[0u32; 256]; 3];
    for pixel in pixels.chunks_exact(3) {
        for (histogram, &value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(value)] += 1;
        }
    }
    let mut tables = [std::array::from_fn(|value| value as u8); 3];
    for (histogram, table) in histograms.iter().zip(&mut tables) {
        fill(histogram, table);
    }
    for pixel in pixels.chunks_exact_mut(3) {
        for (value, table) in pixel.iter_mut().zip(&tables) {
            *value = table[usize::from(*value)];
        }
    }
}

/// Blends with a smoothed version (3 × 3, centre 5, sum 13); the border of one pixel stays.
pub(super) fn sharpness(pixels: &mut [u8], width: usize, factor: f32) {
    let row = width * 3;
    let source = pixels.to_vec();
    for (y, target) in pixels.chunks_exact_mut(row).enumerate() {
        if y == 0 || (y + 2) * row > source.len() {
            continue;
        }
        let [above, here, below] = [y - 1, y, y + 1].map(|y| &source[y * row..(y + 1) * row]);
        for x in 3..row.saturating_sub(3) {
            let mut sum = 4 * u32::from(here[x]);
            for line in [above, here, below] {
                sum += u32::from(line[x - 3]) + u32::from(line[x]) + u32::from(line[x + 3]);
            }
            // sum / 13, rounded; it never lies half way.
            target[x] = blend(((2 * sum + 13) / 26) as u8, here[x], factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_image_has_no_tones_to_spread() {
        let flat = vec![90; 12 * 9];
        for operation in [autocontrast, equalize] {
            let mut pixels = flat.clone();
            operation(&mut pixels);
            assert_eq!(pixels, flat);
        }
        let mut pixels = flat.clone();
        sharpness(&mut pixels, 12, 1.9);
        assert_eq!(pixels, flat);
    }

    #[test]
    fn all_bits_and_the_highest_threshold_keep_everything() {
        let all: Vec<u8> = (0..=254).collect();
        let mut pixels = all.clone();
        posterize(&mut pixels, 8);
        solarize(&mut pixels, 255.0);
        assert_eq!(pixels, all);
        posterize(&mut pixels, 1);
        assert!(pixels.iter().all(|&value| value == 0 || value == 128));
    }

    #[test]
    fn images_without_an_inside_stay_as_they_are() {
        for width in [1, 2] {
            let mut pixels = vec![7; width * 2 * 3];
            sharpness(&mut pixels, width, 0.1);
            assert_eq!(pixels, vec![7; width * 2 * 3]);
        }
    }
}
