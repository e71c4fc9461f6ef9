//! What a camera does to what it sees: light, blur, few pixels, noise.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// A colour of values in 0..255 as a pixel; what lies beyond is cut off.
pub(super) fn pixel(colour: [f32; 3]) -> [u8; 3] {
    colour.map(|value| value.round().clamp(0.0, 255.0) as u8)
}

/// About a draw from the normal distribution: the sum of four even ones, of variance 1.
pub(super) fn normal(random: &mut ChaCha8Rng) -> f32 {
    let sum: f32 = (0..4).map(|_| random.random_range(-1.0..1.0f32)).sum();
    sum * 0.75f32.sqrt()
}

/// Any colour.
pub(super) fn any_colour(random: &mut ChaCha8Rng) -> [f32; 3] {
    std::array::from_fn(|_| random.random_range(0.0..256.0))
}

/// How bright a colour looks.
pub(super) fn luma([red, green, blue]: [f32; 3]) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// From `from` in one corner or at one side to `to` on the opposite one, in any direction.
pub(super) fn gradient(side: u32, from: [f32; 3], to: [f32; 3], random: &mut ChaCha8Rng) -> RgbImage {
    let (sin, cos) = random.random_range(0.0..std::f32::consts::TAU).sin_cos();
    let centre = (side as f32 - 1.0) / 2.0;
    RgbImage::from_fn(side, side, |x, y| {
        let along = ((x as f32 - centre) * cos + (y as f32 - centre) * sin) / (side as f32 * 1.42) + 0.5;
        Rgb(pixel(std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * along)))
    })
}

/// Out of focus by a Gaussian of standard deviation `sigma`, in pixels.
pub(super) fn out_of_focus(image: RgbImage, sigma: f32) -> RgbImage {
    // less than this changes no value by more than noise does
    if sigma < 0.25 { image } else { imageops::blur(&image, sigma) }
}

/// Moved by `length` pixels in the direction `angle` while the picture was taken.
pub(super) fn in_motion(image: &RgbImage, length: f32, angle: f32) -> RgbImage {
    let steps = (length * 2.0).ceil().max(1.0);
    let (sin, cos) = angle.sin_cos();
    let (width, height) = (image.width() as i32, image.height() as i32);
    let pixels: &[u8] = image;
    let mut sums = vec![0.0f32; pixels.len()];
    for step in 0..=steps as u32 {
        let along = (step as f32 / steps - 0.5) * length;
        let (right, down) = (along * cos, along * sin);
        // between the same four neighbours, with the same weights, everywhere
        let (left, top, x_share, y_share) = (right.floor(), down.floor(), right - right.floor(), down - down.floor());
        for (row, column, weight) in [
            (0, 0, (1.0 - x_share) * (1.0 - y_share)),
            (0, 1, x_share * (1.0 - y_share)),
            (1, 0, (1.0 - x_share) * y_share),
            (1, 1, x_share * y_share),
        ] {
            let (dx, dy) = (left as i32 + column, top as i32 + row);
            let inside = |value: i32, length: i32| value.clamp(0, length - 1) as usize;
            for (y, sums) in (0..height).zip(sums.chunks_exact_mut(3 * width as usize)) {
                let row = &pixels[inside(y + dy, height) * sums.len()..][..sums.len()];
                for (x, sum) in (0..width).zip(sums.chunks_exact_mut(3)) {
                    let from = &row[3 * inside(x + dx, width)..][..3];
                    sum.iter_mut().zip(from).for_each(|(sum, &value)| *sum += weight * f32::from(value));
                }
            }
        }
    }
    let mut moved = image.clone();
    moved.iter_mut().zip(sums).for_each(|(value, sum)| *value = (sum / (steps + 1.0)).round() as u8);
    moved
}

/// As enlarged from a picture that was only `side` pixels wide.
pub(super) fn from_afar(image: RgbImage, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    if side >= width {
        return image;
    }
    let small = imageops::resize(&image, side, side, FilterType::Triangle);
    imageops::resize(&small, width, height, FilterType::Triangle)
}

/// With every channel times its `gain`, between the sides of the image from `1 − slope` to `1 + slope` times as much.
pub(super) fn lit(image: &mut RgbImage, gain: [f32; 3], slope: f32) {
    let width = image.width() as f32;
    for (x, _, value) in image.enumerate_pixels_mut() {
        let here = 1.0 + slope * (2.0 * x as f32 / width - 1.0);
        *value = Rgb(pixel(std::array::from_fn(|channel| f32::from(value.0[channel]) * gain[channel] * here)));
    }
}

/// With normal noise of standard deviation `sigma`.
pub(super) fn noisy(image: &mut RgbImage, sigma: f32, random: &mut ChaCha8Rng) {
    // the sum of four even draws, as in [`normal`], but of bytes: there are many
    const DEVIATION: f32 = 147.8;
    let mut bytes = vec![0; 4 * image.len()];
    random.fill_bytes(&mut bytes);
    for (value, bytes) in image.iter_mut().zip(bytes.chunks_exact(4)) {
        let sum: f32 = bytes.iter().map(|&byte| f32::from(byte) - 127.5).sum();
        *value = (f32::from(*value) + sum * (sigma / DEVIATION)).round().clamp(0.0, 255.0) as u8;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn mean_and_deviation(image: &RgbImage) -> (f32, f32) {
        let count = image.len() as f32;
        let mean = image.iter().map(|&value| f32::from(value)).sum::<f32>() / count;
        let variance = image.iter().map(|&value| (f32::from(value) - mean).powi(2)).sum::<f32>() / count;
        (mean, variance.sqrt())
    }

    #[test]
    fn noise_is_as_strong_as_it_says_and_light_multiplies() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut image = RgbImage::from_pixel(60, 60, Rgb([100; 3]));
        noisy(&mut image, 8.0, &mut random);
        let (mean, deviation) = mean_and_deviation(&image);
        assert!((mean - 100.0).abs() < 0.5 && (deviation - 8.0).abs() < 0.3, "{mean} {deviation}");
        let mut image = RgbImage::from_pixel(60, 60, Rgb([100; 3]));
        lit(&mut image, [0.5, 1.0, 3.0], 0.2);
        assert!(image.get_pixel(0, 9).0[0] == 40 && image.get_pixel(59, 9).0[1] > 118);
        assert_eq!(image.get_pixel(30, 0).0, [50, 100, 255]);
    }

    #[test]
    fn every_kind_of_blur_keeps_the_brightness_and_takes_contrast() {
        let stripes = RgbImage::from_fn(32, 32, |x, _| Rgb([if x % 4 < 2 { 40 } else { 200 }; 3]));
        let (mean, deviation) = mean_and_deviation(&stripes);
        for blurred in
            [out_of_focus(stripes.clone(), 1.0), in_motion(&stripes, 3.0, 0.0), from_afar(stripes.clone(), 12)]
        {
            let (now, left) = mean_and_deviation(&blurred);
            assert!((now - mean).abs() < 4.0 && left < 0.8 * deviation, "{now} {left}");
        }
        let along = in_motion(&stripes, 3.0, std::f32::consts::FRAC_PI_2);
        assert!(
            (mean_and_deviation(&along).1 - deviation).abs() < 1.0,
            "stripes stay where the camera moves along them"
        );
        assert_eq!(from_afar(stripes.clone(), 32), stripes);
    }

    #[test]
    fn a_gradient_goes_from_one_colour_to_the_other() {
        let image = gradient(32, [0.0; 3], [200.0; 3], &mut ChaCha8Rng::seed_from_u64(2));
        let values: Vec<u8> = image.pixels().map(|pixel| pixel.0[0]).collect();
        let (least, most) = (values.iter().min().unwrap(), values.iter().max().unwrap());
        assert!(*least < 40 && *most > 160, "{least} {most}");
    }
}
