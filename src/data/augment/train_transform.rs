//! The training transform: random crop, flip, colour jitter, RandAugment, random erasing, in this order.

use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, erasing, geometry, random_resized_crop};
use crate::Result;
use crate::data::transform::{EvaluationTransform, resize_region};
use crate::data::{Interpolation, Preprocessing};

/// What training does to every image.
#[derive(Debug, Clone)]
pub struct TrainTransform {
    augmentation: Augmentation,
    evaluation: EvaluationTransform,
    interpolation: Interpolation,
    mean: [u8; 3],
}

impl TrainTransform {
    /// Images come out in the size that `preprocessing` crops to, resized with its interpolation. Mixing
    /// ([`Augmentation::mixup`], [`Augmentation::cutmix`]) is not done here but on whole batches.
    ///
    /// # Errors
    /// Values that make no sense.
    pub fn new(preprocessing: &Preprocessing, augmentation: &Augmentation) -> Result<Self> {
        augmentation.validate()?;
        Ok(Self {
            augmentation: augmentation.clone(),
            evaluation: EvaluationTransform::new(preprocessing)?,
            interpolation: preprocessing.interpolation,
            mean: preprocessing.mean.map(|mean| (mean * 255.0).round() as u8),
        })
    }

    /// The side of the square that comes out, in pixels.
    pub fn side(&self) -> u32 {
        self.evaluation.side()
    }

    /// Writes `image`, varied by what is drawn from `rng`, to `out`, which is resized to fit.
    ///
    /// # Shapes
    /// `image: [H, W, 3] u8` → `out: [side, side, 3] u8`, row by row
    ///
    /// # Errors
    /// An image without pixels.
    pub fn apply(&self, image: &RgbImage, rng: &mut ChaCha8Rng, out: &mut Vec<u8>) -> Result<()> {
        let options = &self.augmentation;
        if options.none || image.width() == 0 || image.height() == 0 {
            return self.evaluation.apply(image, out);
        }
        let region = random_resized_crop::sample(image.dimensions(), options.crop_scale, options.crop_ratio, rng);
        resize_region(image, region, self.side(), self.interpolation, out)?;
        let width = self.side() as usize;
        if rng.random_bool(options.flip) {
            geometry::flip(out, width);
        }
        if let Some(jitter) = &options.color_jitter {
            jitter.apply(out, rng);
        }
        if let Some(rand_augment) = &options.rand_augment {
            rand_augment.apply(out, width, rng);
        }
        if rng.random_bool(options.random_erasing) {
            erasing::erase(out, width, options.erasing_fill, self.mean, rng);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::{ColorJitter, ErasingFill, RandAugment};
    use crate::data::golden::pictures;
    use crate::data::random::{Purpose, stream};

    fn preprocessing() -> Preprocessing {
        Preprocessing { resize: 36, crop: 32, interpolation: Interpolation::Bicubic, mean: [0.5; 3], std: [0.5; 3] }
    }

    fn run(augmentation: &Augmentation, item: u64) -> Vec<u8> {
        let transform = TrainTransform::new(&preprocessing(), augmentation).unwrap();
        let mut out = Vec::new();
        transform.apply(&pictures()["evaluation/0"], &mut stream(7, Purpose::Augment, 2, item), &mut out).unwrap();
        out
    }

    #[test]
    fn no_augmentation_is_the_evaluation_transform() {
        let mut expected = Vec::new();
        let evaluation = EvaluationTransform::new(&preprocessing()).unwrap();
        evaluation.apply(&pictures()["evaluation/0"], &mut expected).unwrap();
        let none = Augmentation { none: true, ..Default::default() };
        assert_eq!(run(&none, 0), expected);
        assert_eq!(run(&none, 1), expected);
        assert_ne!(run(&Augmentation::default(), 0), expected);
    }

    #[test]
    fn everything_at_once_is_a_function_of_the_stream() {
        let all = Augmentation {
            color_jitter: Some(ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }),
            rand_augment: Some(RandAugment { operations: 2, magnitude: 9 }),
            random_erasing: 1.0,
            erasing_fill: ErasingFill::Noise,
            ..Default::default()
        };
        assert_eq!(run(&all, 3).len(), 32 * 32 * 3);
        assert_eq!(run(&all, 3), run(&all, 3));
        assert_ne!(run(&all, 3), run(&all, 4));
    }

    #[test]
    fn a_flip_of_probability_one_mirrors_the_same_crop() {
        let straight = run(&Augmentation { flip: 0.0, ..Default::default() }, 0);
        let mut mirrored = run(&Augmentation { flip: 1.0, ..Default::default() }, 0);
        assert_ne!(mirrored, straight);
        geometry::flip(&mut mirrored, 32);
        assert_eq!(mirrored, straight);
    }
}
