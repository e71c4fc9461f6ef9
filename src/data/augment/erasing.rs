//! Random erasing (Zhong et al. 2017, <https://arxiv.org/abs/1708.04896>): a rectangle of 2 to 33 % of the image, with a
//! height/width of 0.3 to 3.3, is painted over.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::ErasingFill;

const AREA: (f64, f64) = (0.02, 0.33);
const RATIO: (f64, f64) = (0.3, 3.3);

/// Erases one rectangle; nothing, if ten drawn ones do not fit. `mean` is the colour for [`ErasingFill::Mean`].
pub(super) fn erase(pixels: &mut [u8], width: usize, fill: ErasingFill, mean: [u8; 3], rng: &mut ChaCha8Rng) {
    let height = pixels.len() / (width * 3);
    for _ in 0..10 {
        let area = (width * height) as f64 * rng.random_range(AREA.0..=AREA.1);
        let ratio = rng.random_range(RATIO.0.ln()..=RATIO.1.ln()).exp();
        let h = (area * ratio).sqrt().round_ties_even() as usize;
        let w = (area / ratio).sqrt().round_ties_even() as usize;
        if h >= height || w >= width {
            continue;
        }
        let top = rng.random_range(0..=(height - h) as u64) as usize;
        let left = rng.random_range(0..=(width - w) as u64) as usize;
        for row in pixels.chunks_exact_mut(width * 3).skip(top).take(h) {
            let row = &mut row[left * 3..(left + w) * 3];
            match fill {
                ErasingFill::Mean => row.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&mean)),
                ErasingFill::Noise => rng.fill_bytes(row),
            }
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::{Purpose, stream};

    #[test]
    fn a_rectangle_of_the_wanted_area_is_filled() {
        for item in 0..50 {
            let mut pixels = vec![0; 60 * 40 * 3];
            erase(&mut pixels, 60, ErasingFill::Mean, [1, 2, 3], &mut stream(0, Purpose::Augment, 0, item));
            let mut erased = 0;
            let (mut columns, mut rows) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
            for (at, pixel) in pixels.chunks_exact(3).enumerate() {
                if pixel != [0, 0, 0] {
                    assert_eq!(pixel, [1, 2, 3]);
                    erased += 1;
                    columns.insert(at % 60);
                    rows.insert(at / 60);
                }
            }
            assert_eq!(erased, columns.len() * rows.len(), "not a rectangle");
            assert!((0.015..0.35).contains(&(erased as f64 / 2400.0)), "{erased} pixels");
        }
    }

    #[test]
    fn noise_differs_from_pixel_to_pixel() {
        let mut pixels = vec![0; 60 * 40 * 3];
        erase(&mut pixels, 60, ErasingFill::Noise, [0; 3], &mut stream(0, Purpose::Augment, 0, 0));
        let distinct: std::collections::BTreeSet<_> = pixels.iter().collect();
        assert!(distinct.len() > 20);
    }
}
