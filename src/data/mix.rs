//! Mixing the images of a batch and their labels: mixup (Zhang et al. 2018, <https://arxiv.org/abs/1710.09412>) and
//! CutMix (Yun et al. 2019, <https://arxiv.org/abs/1905.04899>).
//!
//! One λ ~ Beta(α, α) and one permutation of the batch for each call. Mixup blends, λ·x + (1 − λ)·x′; CutMix pastes a
//! rectangle of x′ into x. The targets are λ·y + (1 − λ)·y′, where λ is, for CutMix, the share of x that is left.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::Augmentation;
use crate::{Error, Result, native};

/// Which of the two is done, and how strongly.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Alpha of mixup's λ.
    mixup: Option<f64>,
    /// Alpha of CutMix's λ.
    cutmix: Option<f64>,
}

/// A rectangle in a batch of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rectangle {
    left: i64,
    top: i64,
    width: i64,
    height: i64,
}

impl Mix {
    /// What `augmentation` asks for; `None` if it asks for neither. With both, each batch gets one, by a fair draw.
    ///
    /// # Errors
    /// Values that make no sense, such as a negative alpha.
    pub fn new(augmentation: &Augmentation) -> Result<Option<Self>> {
        augmentation.validate()?;
        let on = |alpha: f64| (alpha > 0.0).then_some(alpha);
        let (mixup, cutmix) = (on(augmentation.mixup), on(augmentation.cutmix));
        let off = augmentation.none || (mixup.is_none() && cutmix.is_none());
        Ok((!off).then_some(Self { mixup, cutmix }))
    }

    /// [`apply`](Self::apply) with a stream that libtorch's generator chooses. In training that is seeded for each batch alone, and
    /// so the mix is too.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_drawn(
        &self,
        images: &Tensor,
        labels: &Tensor,
        classes: i64,
        label_smoothing: f64,
    ) -> Result<(Tensor, Tensor)> {
        let draw = i64::try_from(Tensor::f_randint(i64::MAX, [1], (Kind::Int64, tch::Device::Cpu))?)?;
        self.apply(images, labels, classes, label_smoothing, &mut ChaCha8Rng::seed_from_u64(draw as u64))
    }

    /// Mixes a batch of normalised images and makes soft targets of its labels.
    ///
    /// # Shapes
    /// `images: [N, C, H, W] f32`, `labels: [N] i64` → `[N, C, H, W] f32` (channels-last if `images` is) and
    /// `[N, classes] f32` whose rows sum to 1
    ///
    /// # Errors
    /// Images or labels of another shape.
    pub fn apply(
        &self,
        images: &Tensor,
        labels: &Tensor,
        classes: i64,
        label_smoothing: f64,
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor, Tensor)> {
        let size = images.size();
        let &[batch, _, height, width] = size.as_slice() else {
            return Err(Error::Data(format!("images of shape {size:?} cannot be mixed, expected [N, C, H, W]")));
        };
        let mut partners: Vec<i64> = (0..batch).collect();
        partners.shuffle(rng);
        let partners = native::send(&Tensor::f_from_slice(&partners)?, images.device())?;
        // Rows of pixels are gathered as they lie in memory, so that channels-last images stay so.
        let others = images.f_permute([0, 2, 3, 1])?.f_index_select(0, &partners)?.f_permute([0, 3, 1, 2])?;
        let cut = match (self.mixup, self.cutmix) {
            (Some(_), Some(_)) => rng.random(),
            (_, cutmix) => cutmix.is_some(),
        };
        let (images, lambda) = match (self.mixup, self.cutmix) {
            (_, Some(alpha)) if cut => {
                let rectangle = rectangle(symmetric_beta(alpha, rng), width, height, rng);
                let Rectangle { left, top, width: w, height: h } = rectangle;
                let part = |x: &Tensor| x.f_narrow(2, top, h)?.f_narrow(3, left, w);
                let mixed = images.f_add_scalar(0)?;
                part(&mixed)?.f_copy_(&part(&others)?)?;
                (mixed, 1.0 - (w * h) as f64 / (width * height) as f64)
            }
            (Some(alpha), _) => {
                let lambda = symmetric_beta(alpha, rng);
                (others.f_lerp(images, lambda)?, lambda)
            }
            (None, _) => (images.f_add_scalar(0)?, 1.0),
        };
        let targets = soft_targets(labels, classes, label_smoothing)?;
        let targets = targets.f_index_select(0, &partners)?.f_lerp(&targets, lambda)?;
        Ok((images, targets))
    }
}

/// One row per label: 1 − smoothing at the label, and smoothing / classes everywhere.
///
/// # Shapes
/// `labels: [N] i64` → `[N, classes] f32`
///
/// # Errors
/// A label outside `0..classes`.
pub fn soft_targets(labels: &Tensor, classes: i64, label_smoothing: f64) -> Result<Tensor> {
    let hot = labels.f_one_hot(classes)?.f_to_kind(Kind::Float)?;
    Ok(hot.f_mul_scalar(1.0 - label_smoothing)?.f_add_scalar(label_smoothing / classes as f64)?)
}

/// One draw from Beta(α, α), by way of Student's t with 2α degrees of freedom, which Bailey's polar method makes of two
/// uniform numbers (Mathematics of Computation 62, 1994): B = (1 + t/√(2α + t²))/2.
fn symmetric_beta(alpha: f64, rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (rng.random(), rng.random());
    let cosine = (std::f64::consts::TAU * angle).cos();
    // t²/2α; infinite where a small α drives λ to 0 or 1.
    let square = (radius.powf(-1.0 / alpha) - 1.0) * cosine * cosine;
    0.5 * (1.0 + (1.0 / (1.0 + 1.0 / square)).sqrt().copysign(cosine))
}

/// A rectangle of 1 − λ of the area about a random pixel, cut off where it leaves the image.
fn rectangle(lambda: f64, width: i64, height: i64, rng: &mut ChaCha8Rng) -> Rectangle {
    let half = 0.5 * (1.0 - lambda).sqrt();
    let mut span = |side: i64| {
        let (centre, half) = (rng.random_range(0..side), (half * side as f64) as i64);
        let start = (centre - half).max(0);
        (start, (centre + half).min(side) - start)
    };
    let ((left, width), (top, height)) = (span(width), span(height));
    Rectangle { left, top, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::{Purpose, stream};

    const BATCH: i64 = 6;

    /// Image n is filled with the value n and has the label n.
    fn batch() -> (Tensor, Tensor) {
        let labels = Tensor::arange(BATCH, (Kind::Int64, tch::Device::Cpu));
        let images = labels.to_kind(Kind::Float).view([-1, 1, 1, 1]).expand([-1, 3, 10, 8], false);
        (crate::native::to_channels_last(&images).unwrap(), labels)
    }

    fn mix(mixup: f64, cutmix: f64) -> Mix {
        Mix::new(&Augmentation { mixup, cutmix, ..Default::default() }).unwrap().unwrap()
    }

    fn values(x: &Tensor) -> Vec<f64> {
        Vec::try_from(x.to_kind(Kind::Double).reshape([-1])).unwrap()
    }

    #[test]
    fn targets_sum_to_one_and_weigh_the_pixels() {
        let (images, labels) = batch();
        let label_values = Tensor::arange(BATCH, (Kind::Float, tch::Device::Cpu));
        for (item, mix) in (0..60).map(|item| (item, [mix(0.4, 0.0), mix(0.0, 1.0), mix(0.2, 1.0)][item as usize % 3]))
        {
            let mut rng = stream(3, Purpose::Mix, 0, item);
            let (mixed, targets) = mix.apply(&images, &labels, BATCH, 0.0, &mut rng).unwrap();
            assert!(crate::native::is_channels_last(&mixed).unwrap());
            for sum in values(&targets.sum_dim_intlist(1, false, Kind::Double)) {
                assert!((sum - 1.0).abs() < 1e-6);
            }
            // A pixel's value is its image's label: so the mean pixel must be what the targets expect.
            let expected = values(&targets.matmul(&label_values));
            let found = values(&mixed.mean_dim([1, 2, 3].as_slice(), false, Kind::Float));
            for (expected, found) in expected.iter().zip(found) {
                assert!((expected - found).abs() < 1e-4, "expected {expected}, found {found}");
            }
        }
        assert_eq!(values(&images), values(&batch().0), "the batch itself was changed");
    }

    #[test]
    fn lambda_has_the_moments_of_its_distribution() {
        let mut rng = stream(5, Purpose::Mix, 0, 0);
        for alpha in [0.1, 0.4, 1.0, 3.0] {
            let count = 40_000;
            let draws: Vec<f64> = (0..count).map(|_| symmetric_beta(alpha, &mut rng) - 0.5).collect();
            assert!(draws.iter().all(|draw| draw.abs() <= 0.5));
            let moment = |power| draws.iter().map(|draw: &f64| draw.powi(power)).sum::<f64>() / f64::from(count);
            // Central moments of Beta(α, α).
            let (second, fourth) =
                (0.25 / (2.0 * alpha + 1.0), 3.0 / (16.0 * (2.0 * alpha + 1.0) * (2.0 * alpha + 3.0)));
            assert!(moment(1).abs() < 0.01 && moment(3).abs() < 0.005);
            assert!((moment(2) / second - 1.0).abs() < 0.03, "alpha {alpha}: {} and not {second}", moment(2));
            assert!((moment(4) / fourth - 1.0).abs() < 0.05, "alpha {alpha}: {} and not {fourth}", moment(4));
        }
    }

    #[test]
    fn cutmix_pastes_pixels_and_blends_none() {
        let (images, labels) = batch();
        let (mixed, _) = mix(0.0, 1.0).apply(&images, &labels, BATCH, 0.0, &mut stream(1, Purpose::Mix, 0, 0)).unwrap();
        assert!(values(&mixed).iter().all(|value| value.fract() == 0.0));
        assert_ne!(values(&mixed), values(&images));
    }

    #[test]
    fn smoothing_goes_to_all_classes() {
        let targets = soft_targets(&Tensor::from_slice(&[1i64, 0]), 4, 0.1).unwrap();
        let expected = [0.025, 0.925, 0.025, 0.025, 0.925, 0.025, 0.025, 0.025];
        assert!(values(&targets).iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6));
    }

    #[test]
    fn the_same_stream_mixes_the_same_way() {
        let (images, labels) = batch();
        let run = |item| {
            let (mixed, targets) =
                mix(0.2, 1.0).apply(&images, &labels, BATCH, 0.1, &mut stream(1, Purpose::Mix, 0, item)).unwrap();
            (values(&mixed), values(&targets))
        };
        assert_eq!(run(4), run(4));
        assert_ne!(run(4), run(5));
    }

    #[test]
    fn nothing_to_mix_is_none_and_a_wrong_alpha_is_an_error() {
        assert!(Mix::new(&Augmentation::default()).unwrap().is_none());
        assert!(Mix::new(&Augmentation { mixup: 0.2, none: true, ..Default::default() }).unwrap().is_none());
        assert!(Mix::new(&Augmentation { cutmix: -1.0, ..Default::default() }).is_err());
    }
}
