//! The training transform: random crop, flip, colour jitter, RandAugment, random erasing, in this order.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Augmentation, erasing, geometry, random_resized_crop};
use crate::data::transform::{EvaluationTransform, resize_part};
use crate::data::{ImageSet, Interpolation, Preprocessing, Region};
use crate::{Error, Result};

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

    /// Writes image `index` of `set`, varied by what is drawn from `rng`, to `out`, which is resized to fit. The random
    /// crop is drawn before the image is decoded, so of a large photograph no more is decoded than the crop needs.
    ///
    /// # Shapes
    /// `out: [side, side, 3] u8`, row by row
    ///
    /// # Errors
    /// An image that cannot be read or has no pixels, named.
    pub fn apply(&self, set: &dyn ImageSet, index: usize, rng: &mut ChaCha8Rng, out: &mut Vec<u8>) -> Result<()> {
        let options = &self.augmentation;
        let named = |error| Error::Data(format!("{}: {error}", set.name(index)));
        if options.none {
            let image = set.load_shared(index)?;
            return self.evaluation.apply(&image, out).map_err(named);
        }
        let part = set.load_part(index, self.side(), &mut |size| match size {
            (0, _) | (_, 0) => Region { left: 0, top: 0, width: size.0, height: size.1 },
            size => random_resized_crop::sample(size, options.crop_scale, options.crop_ratio, rng),
        })?;
        resize_part(&part, self.side(), self.interpolation, out).map_err(named)?;
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
    use image::RgbImage;

    use super::*;
    use crate::data::augment::{ColorJitter, ErasingFill, RandAugment};
    use crate::data::golden::pictures;
    use crate::data::random::{Purpose, stream};

    fn preprocessing() -> Preprocessing {
        Preprocessing { resize: 36, crop: 32, interpolation: Interpolation::Bicubic, mean: [0.5; 3], std: [0.5; 3] }
    }

    /// A set of one picture.
    struct Picture(RgbImage);

    impl ImageSet for Picture {
        fn len(&self) -> usize {
            1
        }
        fn classes(&self) -> &[String] {
            &[]
        }
        fn label(&self, _: usize) -> usize {
            0
        }
        fn name(&self, _: usize) -> String {
            "picture".into()
        }
        fn load(&self, _: usize) -> Result<RgbImage> {
            Ok(self.0.clone())
        }
    }

    fn apply(picture: RgbImage, augmentation: &Augmentation, item: u64) -> Result<Vec<u8>> {
        let transform = TrainTransform::new(&preprocessing(), augmentation)?;
        let mut out = Vec::new();
        transform.apply(&Picture(picture), 0, &mut stream(7, Purpose::Augment, 2, item), &mut out)?;
        Ok(out)
    }

    fn run(augmentation: &Augmentation, item: u64) -> Vec<u8> {
        apply(pictures()["evaluation/0"].clone(), augmentation, item).unwrap()
    }

    #[test]
    fn a_picture_without_pixels_is_named() {
        for none in [false, true] {
            let augmentation = Augmentation { none, ..Default::default() };
            let error = apply(RgbImage::new(0, 3), &augmentation, 0).unwrap_err().to_string();
            assert!(error.starts_with("picture: ") && error.contains("nothing in it"), "{error}");
        }
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
