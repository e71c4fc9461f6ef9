//! Images made up on the spot: classes that a network can tell apart within seconds, for tests and benchmarks.

use image::{Rgb, RgbImage};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::ImageSet;
use crate::Result;

/// What a [`SyntheticSet`] holds.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntheticOptions {
    /// How many classes.
    pub classes: usize,
    /// How many images each class has.
    pub per_class: usize,
    /// Width and height of every image, in pixels.
    pub size: u32,
    /// How far noise moves a value at most, in levels of 0..255.
    pub noise: u8,
    /// Which images of all that could be.
    pub seed: u64,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        Self { classes: 4, per_class: 16, size: 32, noise: 24, seed: 0 }
    }
}

/// A coloured shape before grey, somewhere in the image and of some size, under noise.
///
/// A class is a hue with one of four shapes: disc, square, ring, stripes. Image `i` has class `i % classes` and is a
/// function of the seed and `i`, so no image is kept in memory.
#[derive(Debug, Clone)]
pub struct SyntheticSet {
    options: SyntheticOptions,
    classes: Vec<String>,
}

impl SyntheticSet {
    /// The set that `options` describe.
    pub fn new(options: SyntheticOptions) -> Self {
        let digits = options.classes.saturating_sub(1).to_string().len();
        let classes = (0..options.classes).map(|class| format!("class {class:0digits$}")).collect();
        Self { options, classes }
    }
}

impl ImageSet for SyntheticSet {
    fn len(&self) -> usize {
        self.options.classes * self.options.per_class
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        index % self.options.classes
    }

    fn name(&self, index: usize) -> String {
        format!("synthetic[{index}]")
    }

    fn fingerprint(&self, index: usize) -> Result<String> {
        Ok(format!("{:?}[{index}]", self.options))
    }

    fn load(&self, index: usize) -> Result<RgbImage> {
        let class = self.label(index);
        let mut random = ChaCha8Rng::seed_from_u64(self.options.seed);
        random.set_stream(index as u64);
        let colour = hue(class as f32 / self.options.classes as f32);
        let grey = random.random_range(90.0..160.0f32);
        let (x, y) = (random.random_range(-0.3..0.3f32), random.random_range(-0.3..0.3f32));
        let radius = random.random_range(0.35..0.6f32);

        let mut image = RgbImage::new(self.options.size, self.options.size);
        random.fill_bytes(&mut image);
        let scale = 2.0 / self.options.size.max(1) as f32;
        let amplitude = f32::from(self.options.noise) / 127.5;
        for (column, row, pixel) in image.enumerate_pixels_mut() {
            // Offset from the shape's centre, in radii.
            let (dx, dy) = ((column as f32 * scale - 1.0 - x) / radius, (row as f32 * scale - 1.0 - y) / radius);
            let base = if inside(class % 4, dx, dy) { colour } else { [grey; 3] };
            let noise = pixel.0;
            *pixel = Rgb(std::array::from_fn(|c| (base[c] + (f32::from(noise[c]) - 127.5) * amplitude) as u8));
        }
        Ok(image)
    }
}

fn inside(shape: usize, dx: f32, dy: f32) -> bool {
    let square = dx.abs().max(dy.abs()) < 0.9;
    let squared = dx * dx + dy * dy;
    match shape {
        0 => squared < 1.0,
        1 => square,
        2 => (0.35..1.0).contains(&squared),
        _ => square && (dy * 5.0).rem_euclid(2.0) < 1.0,
    }
}

/// A strong colour: `turn` in 0..1 goes once around from red over green and blue.
fn hue(turn: f32) -> [f32; 3] {
    std::array::from_fn(|channel| {
        let distance = (turn - channel as f32 / 3.0).rem_euclid(1.0);
        let distance = distance.min(1.0 - distance);
        230.0 - 200.0 * (distance * 6.0 - 1.0).clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_function_of_seed_and_index() {
        let options = SyntheticOptions { classes: 12, per_class: 2, ..Default::default() };
        let set = SyntheticSet::new(options.clone());
        assert_eq!(set.len(), 24);
        assert!(set.classes().is_sorted());
        assert_eq!(set.load(3).unwrap(), SyntheticSet::new(options.clone()).load(3).unwrap());
        assert_ne!(set.load(3).unwrap(), set.load(15).unwrap());
        let other = SyntheticSet::new(SyntheticOptions { seed: 1, ..options });
        assert_ne!(set.load(3).unwrap(), other.load(3).unwrap());
    }

    /// The nearest class mean of training images, in pixel space, finds nearly every class of other images.
    #[test]
    fn classes_can_be_told_apart() {
        let set = SyntheticSet::new(SyntheticOptions { per_class: 40, size: 16, ..Default::default() });
        let pixels = |index| set.load(index).unwrap().into_raw();
        let mut means = vec![vec![0.0; 16 * 16 * 3]; 4];
        for index in 0..80 {
            let mean = &mut means[set.label(index)];
            mean.iter_mut().zip(pixels(index)).for_each(|(mean, value)| *mean += f64::from(value) / 20.0);
        }
        let right = (80..160).filter(|&index| {
            let image = pixels(index);
            let distance = |mean: &Vec<f64>| -> f64 {
                mean.iter().zip(&image).map(|(mean, &value)| (mean - f64::from(value)).powi(2)).sum()
            };
            let nearest = (0..4).min_by(|&a, &b| distance(&means[a]).total_cmp(&distance(&means[b])));
            nearest == Some(set.label(index))
        });
        assert!(right.count() >= 70);
    }
}
