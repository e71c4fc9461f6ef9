//! Where a random crop lies: torchvision's `RandomResizedCrop` (Szegedy et al. 2015, <https://arxiv.org/abs/1409.4842>).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::data::Region;

/// A region of `scale` of the area, up to all of it, with a width/height within `ratio`, both drawn at random (the
/// ratio on a logarithmic scale); after ten that do not fit, the largest centred one whose ratio is allowed.
pub(super) fn sample((width, height): (u32, u32), scale: f64, ratio: (f64, f64), rng: &mut ChaCha8Rng) -> Region {
    let area = f64::from(width) * f64::from(height);
    for _ in 0..10 {
        let target = area * rng.random_range(scale..=1.0);
        let ratio = rng.random_range(ratio.0.ln()..=ratio.1.ln()).exp();
        let w = (target * ratio).sqrt().round_ties_even() as u32;
        let h = (target / ratio).sqrt().round_ties_even() as u32;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = rng.random_range(0..=height - h);
            let left = rng.random_range(0..=width - w);
            return Region { left, top, width: w, height: h };
        }
    }
    let found = f64::from(width) / f64::from(height);
    let (w, h) = if found < ratio.0 {
        (width, (f64::from(width) / ratio.0).round_ties_even() as u32)
    } else if found > ratio.1 {
        ((f64::from(height) * ratio.1).round_ties_even() as u32, height)
    } else {
        (width, height)
    };
    // A side of one pixel times a ratio below 1 may round to nothing.
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    Region { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::random::{Purpose, stream};

    const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

    proptest! {
        #[test]
        fn crops_lie_inside(width in 1u32..2000, height in 1u32..2000, scale in 0.01f64..=1.0, item: u64) {
            let crop = sample((width, height), scale, RATIO, &mut stream(0, Purpose::Augment, 0, item));
            prop_assert!(crop.width >= 1 && crop.left + crop.width <= width);
            prop_assert!(crop.height >= 1 && crop.top + crop.height <= height);
        }

        #[test]
        fn crops_of_a_square_have_the_wanted_area_and_ratio(item: u64) {
            let crop = sample((1000, 1000), 0.25, RATIO, &mut stream(0, Purpose::Augment, 0, item));
            let (width, height) = (f64::from(crop.width), f64::from(crop.height));
            prop_assert!(width * height >= 0.249e6);
            prop_assert!((0.749..=1.335).contains(&(width / height)));
        }
    }

    #[test]
    fn a_strip_falls_back_to_its_centre() {
        let crop = sample((1000, 10), 1.0, RATIO, &mut stream(0, Purpose::Augment, 0, 0));
        assert_eq!(crop, Region { left: 493, top: 0, width: 13, height: 10 });
        let crop = sample((10, 1000), 1.0, RATIO, &mut stream(0, Purpose::Augment, 0, 0));
        assert_eq!(crop, Region { left: 0, top: 493, width: 10, height: 13 });
    }
}
